"""Reference satellites at stations, straight from their sensors: what the gates look at.

Triple collocation of stations, reanalysis and satellite needs members that agree, but not so well
that there is no error to find; and it can only tell sites apart that differ from their pixel in
time. Both are figures of the simulator alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smcloud.simulate.footprints import Footprints
from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.noise import Floats
from smcloud.simulate.records import Station
from smcloud.simulate.satellites import MORNING, CciSatellites, SmapRadiometer, footprints
from smcloud.simulate.sites import varied
from smcloud.simulate.station_days import reanalysis_days
from smcloud.simulate.station_truth import daily_means
from smcloud.simulate.stations import observe_all, station_pixel_centres
from smcloud.simulate.world import Earth

LEAST_DAYS = 60
COLUMNS = ("smap", "cci_active", "cci_passive", "cci_combined")


def reference_days(
    earth: Earth, stations: Sequence[Station], days: NDArray[np.datetime64]
) -> dict[str, Floats]:
    """Return each of `COLUMNS` at the cells that hold the stations, (days, n).

    Only recommended retrievals; NaN elsewhere. SMAP is its morning pass at 36 km.
    """
    lon = np.array([station.longitude for station in stations])
    lat = np.array([station.latitude for station in stations])
    coarse, quarter = footprints("smap_l3", lon, lat), footprints("cci", lon, lat)
    smap, cci = SmapRadiometer(earth, coarse), CciSatellites(earth, quarter)
    split = coarse.place_lon.size
    places = (
        np.concatenate([coarse.place_lon, quarter.place_lon]),
        np.concatenate([coarse.place_lat, quarter.place_lat]),
    )
    at_smap, at_cci = cells_of(coarse, lon, lat), cells_of(quarter, lon, lat)
    found: dict[str, list[Floats]] = {name: [] for name in COLUMNS}
    for state in earth.run(*places, days):
        morning = smap.observe(state.part(slice(0, split)), MORNING)
        good = morning.is_seen & (morning.quality == 0)
        found["smap"].append(np.where(good, morning.soil_moisture, np.nan)[at_smap])
        for name, day in cci.observe(state.part(slice(split, None))).items():
            values = np.where(day.flag == 0, day.soil_moisture, np.nan)
            found[name].append(values[at_cci])
    return {name: np.stack(rows).astype(np.float32) for name, rows in found.items()}


def cells_of(cells: Footprints, lon: Array, lat: Array) -> NDArray[np.int64]:
    """Return for each point the number of the cell that holds it."""
    row, col = cells.grid.pixel_of(lon, lat)
    flat = cells.rows * cells.grid.cols + cells.cols
    number: NDArray[np.int64] = np.searchsorted(flat, row * cells.grid.cols + col)
    return number


def judge_references(
    earth: Earth, placed: Sequence[Station], days: NDArray[np.datetime64]
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return what the gates judge, and figures that help to read it, over varied sites.

    Judged are the median correlation of SMAP with the stations, by how much it exceeds that of CCI
    active, and by how much the correlation of stations with the unknown truth of triple collocation
    (McColl et al. 2014) falls from representative to odd sites.
    """
    stations = varied(earth, placed)
    found = reference_days(earth, stations, days)
    seen = daily_means(observe_all(earth, stations, days))
    model, _ = reanalysis_days(earth.seed, *station_pixel_centres(stations), days)
    is_odd = np.array([not station.is_representative for station in stations])
    with_station = {name: _correlations(seen, values) for name, values in found.items()}
    triple = _collocated(seen, model, found["smap"])
    medians = {name: float(np.nanmedian(r)) for name, r in with_station.items()}
    apart = {"representative": triple[~is_odd], "odd": triple[is_odd]}
    collocated = {f"collocated_r_{name}": float(np.nanmedian(r)) for name, r in apart.items()}
    judged = {
        "smap_median_r": medians["smap"],
        "smap_minus_active_r": medians["smap"] - medians["cci_active"],
        "odd_sites_lost_r": collocated["collocated_r_representative"]
        - collocated["collocated_r_odd"],
    }
    figures = {f"{name}_median_r": r for name, r in medians.items() if name != "smap"}
    figures["smap_reanalysis_median_r"] = float(np.nanmedian(_correlations(found["smap"], model)))
    figures["smap_median_days"] = float(np.median(np.isfinite(found["smap"]).sum(axis=0)))
    return judged, {**figures, **collocated}


def _collocated(x: Floats, y: Floats, z: Floats) -> Floats:
    """Return the correlation of x with the unknown truth, (n,); NaN where it cannot be had."""
    everywhere = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    x, y, z = (np.where(everywhere, values, np.nan) for values in (x, y, z))
    square = _correlations(x, y) * _correlations(x, z) / _correlations(y, z)
    root: Floats = np.sqrt(np.where((square > 0) & (square < 1.5), square, np.nan))
    return root


def _correlations(a: Floats, b: Floats) -> Floats:
    """Return the correlation of each column; NaN with fewer than 60 common days."""
    found = np.full(a.shape[1], np.nan, np.float32)
    for k in range(a.shape[1]):
        known = np.isfinite(a[:, k]) & np.isfinite(b[:, k])
        if known.sum() >= LEAST_DAYS and min(np.ptp(a[known, k]), np.ptp(b[known, k])) > 0:
            found[k] = np.corrcoef(a[known, k], b[known, k])[0, 1]
    return found
