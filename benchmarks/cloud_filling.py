"""Surface temperature under clouds on the simulated Earth: scores by gap, and a block's seconds.

A window of pixels is simulated for a year, its overpasses seen as MOD11A1 sees them and its
reanalysis averaged to days. Clear pixels are hidden under clouds of other days and held against
what was seen; pixels under true clouds are held against the true temperature. Nothing around the
window is known, as at the edge of what was ingested.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.memory import peak_bytes
from smcloud.features.cloud_filling import departure_nodes, filled
from smcloud.features.lattice import lonlat
from smcloud.features.lst_filled import OVERPASSES, RULES, SCHEMA
from smcloud.grids.grid import ERA5LAND, SIN1KM, Window
from smcloud.grids.regrid import bilinear
from smcloud.grids.tiles import parse_window
from smcloud.simulate.reanalysis import Reanalysis
from smcloud.simulate.records import DayState, LstView
from smcloud.simulate.sensors import LstSensor
from smcloud.simulate.world import Earth
from smcloud.validation.hidden_pixels import (
    LstWindow,
    score_cloudy_pixels,
    score_hidden_pixels,
)

YEAR = 2019
MANDATORY_BITS = 3
"""Of MOD11A1's quality byte: 0 is good, and the rule "good" reads nothing else."""
TWO_REGIONS = ("h26v05", "h25v03")
"""Northern China, and north of it, where it is colder."""


@dataclass(frozen=True)
class Size:
    """How much is simulated."""

    window: str
    tiles: tuple[str, ...]
    folds: tuple[int, ...]


SIZES = {
    "tiny": Size("30x30+600+600", TWO_REGIONS[:1], (0,)),
    "small": Size("150x150+600+600", TWO_REGIONS, (0,)),
    "large": Size("300x300+450+450", TWO_REGIONS, (0, 5)),
}


@dataclass(frozen=True, eq=False)
class Overpass:
    """One overpass of a simulated window: what is known, the truth, and where clouds stood."""

    data: LstWindow
    truth: NDArray[np.float64]
    is_cloudy: NDArray[np.bool_]


def simulated(window: Window, year: int, seed: int) -> dict[str, Overpass]:
    """Return both overpasses of a window in a year of a simulated Earth."""
    lon, lat = (axis.ravel() for axis in SIN1KM.lonlat(window))
    days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")
    earth, sensor = Earth(seed), LstSensor(seed, lon, lat)
    shape = len(days), *window.shape
    looks = {name: np.zeros(shape, np.uint16) for name in OVERPASSES}
    truth = {name: np.zeros(shape, np.float32) for name in OVERPASSES}
    cloudy = {name: np.zeros(shape, bool) for name in OVERPASSES}
    for number, state in enumerate(earth.run(lon, lat, days)):
        for name, (seen, true, cloud) in _halves(sensor.observe(state), state).items():
            looks[name][number] = SCHEMA.variable(name).pack(seen).reshape(window.shape)
            truth[name][number] = true.reshape(window.shape)
            cloudy[name][number] = cloud.reshape(window.shape)
    height = earth.elevation(lon, lat).reshape(window.shape) / 1000.0
    fields = reanalysis(window, days, seed)
    return {
        name: Overpass(
            LstWindow(
                window,
                days,
                SCHEMA.variable(name),
                looks[name],
                height.astype(np.float64),
                fields,
                RULES[name],
            ),
            truth[name].astype(np.float64),
            cloudy[name],
        )
        for name in OVERPASSES
    }


def _halves(
    view: LstView, state: DayState
) -> dict[str, tuple[NDArray[np.floating], NDArray[np.float32], NDArray[np.bool_]]]:
    """Return of each overpass what is delivered with good quality, the truth, and the clouds."""
    by_day = np.where(view.qc_day & MANDATORY_BITS, np.nan, view.lst_day_k)
    by_night = np.where(view.qc_night & MANDATORY_BITS, np.nan, view.lst_night_k)
    return {
        "lst_day": (by_day, state.lst_day_k, state.cloud_day),
        "lst_night": (by_night, state.lst_night_k, state.cloud_night),
    }


def reanalysis(window: Window, days: NDArray[np.datetime64], seed: int) -> NDArray[np.float64]:
    """Return daily air temperature and skin less air (2, days, nodes) about a window, K."""
    weights = bilinear(ERA5LAND, *(axis.ravel() for axis in lonlat(departure_nodes(window))))
    cells = weights.window.shape
    lon, lat = (axis.ravel() for axis in ERA5LAND.lonlat(weights.window))
    fields = np.zeros((2, len(days), weights.corner.size))
    for number, hours in enumerate(Reanalysis(seed).run(lon, lat, days)):
        for part, values in enumerate((hours.t2m, hours.skt)):
            fields[part, number] = weights.apply(values.mean(axis=0).reshape(cells))
    fields[1] -= fields[0]
    return fields


def measure(scale: str, seed: int, folder: Path) -> Mapping[str, Any]:
    """Return the scores of each region and overpass, and the seconds that a filling took."""
    size, tables, seconds = SIZES[scale], [], []
    for tile in size.tiles:
        for name, overpass in simulated(parse_window(size.window, tile), YEAR, seed).items():
            tables += _scores(tile, name, overpass, size.folds)
            seconds.append(_seconds(overpass.data))
    return {
        "window": size.window,
        "tiles": list(size.tiles),
        "pixels": int(np.prod(parse_window(size.window, size.tiles[0]).shape)),
        "seconds_an_overpass": float(np.median(seconds)),
        "peak_bytes": peak_bytes(),
        "scores": pd.concat(tables).to_dict("records"),
    }


def _scores(tile: str, name: str, overpass: Overpass, folds: tuple[int, ...]) -> list[pd.DataFrame]:
    hidden = score_hidden_pixels(overpass.data, folds=folds)
    cloudy = score_cloudy_pixels(overpass.data, overpass.truth, overpass.is_cloudy)
    return [
        table.assign(tile=tile, overpass=name, judged=judged)
        for table, judged in ((hidden, "hidden clear"), (cloudy, "truly cloudy"))
    ]


def _seconds(data: LstWindow) -> float:
    """Return the seconds of one filling, after all code is compiled."""
    scene = data.scene(np.zeros(data.looks.shape, bool))
    began = time.perf_counter()
    filled(scene, data.rules)
    return time.perf_counter() - began


def show(found: Mapping[str, Any]) -> str:
    """Return the scores as text, RMSE and bias in K."""
    table = pd.DataFrame(found["scores"])
    lines = [
        f"{found['window']} of {', '.join(found['tiles'])}, {found['pixels']:,} pixels, {YEAR}: "
        f"{found['seconds_an_overpass']:.1f} s an overpass and year, peak "
        f"{found['peak_bytes'] / 1e6:,.0f} MB"
    ]
    for (judged, name, tile), part in table.groupby(["judged", "overpass", "tile"], sort=False):
        lines += [f"\n{judged}, {name}, {tile}: RMSE (bias), K", _pivot(part)]
    return "\n".join(lines)


def _pivot(part: pd.DataFrame) -> str:
    """Return one row a class and one column a filler."""
    order = list(dict.fromkeys(part["filler"]))
    rows = []
    for (grouping, name), own in part.groupby(["grouping", "class"], sort=False):
        cells = {
            row["filler"]: f"{row['RMSE']:.2f} ({row['bias']:+.2f})" for _, row in own.iterrows()
        }
        rows.append({"": f"{grouping} {name}".strip(), "n": f"{own['n'].iloc[0]:,}", **cells})
    return pd.DataFrame(rows)[["", "n", *order]].to_string(index=False)
