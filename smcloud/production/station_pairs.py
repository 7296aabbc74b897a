"""Estimates beside measurements: the product's own pixels, and the model at stations elsewhere."""

import io
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Days
from smcloud.features.derived import schema_named
from smcloud.features.spec import split_input
from smcloud.features.table import TargetRule, daily_target
from smcloud.grids.grid import Floats
from smcloud.ingest.stations import read_stations
from smcloud.production.store_year import StoreYear
from smcloud.production.train_stage import SHIPPED
from smcloud.products.base import Product
from smcloud.validation.collocation import Floats32, Layer, coarse_series, station_series

TIME = "datetime64[s]"
PAIR_COLUMNS = ["station", "time", "soil_moisture", "estimate", "baseline"]


@dataclass(frozen=True)
class Baseline:
    """A layer of a coarse cube that stands beside a product; its estimate must be beaten."""

    source: str
    variable: str
    title: str


REANALYSIS = Baseline("era5land", "swvl1", "ERA5-Land")
RAIN = Baseline("era5land", "tp", "ERA5-Land")
"""Precipitation of the day, mm."""
COARSE_INPUT = "coarse input, interpolated"


def baseline_of(product: Product) -> Baseline:
    """Return what a product must beat: the reanalysis, or its own coarse input, interpolated."""
    if product.downscaling is None:
        return REANALYSIS
    return Baseline(*split_input(product.downscaling.coarse), COARSE_INPUT)


@dataclass(frozen=True, eq=False)
class Stations:
    """The sites of a run and their daily means, as the sample table has them.

    Attributes
    ----------
    daily : DataFrame
        `features.table.daily_target`: station, latitude, longitude, row, col, time, soil_moisture.
    sites : DataFrame
        One row per station: station, latitude, longitude, row, col.
    """

    daily: pd.DataFrame
    sites: pd.DataFrame

    @property
    def lonlat(self) -> tuple[Floats, Floats]:
        """Return longitude and latitude of each site, degrees."""
        lon, lat = (self.sites[name].to_numpy(np.float64) for name in ("longitude", "latitude"))
        return lon, lat

    @property
    def pixels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the global row and column of each site."""
        rows, cols = (self.sites[name].to_numpy(np.int64) for name in ("row", "col"))
        return rows, cols

    def measured(self, days: Days) -> Floats32:
        """Return what each site measured on consecutive days, (days, sites); NaN for unknown."""
        series = self.daily.pivot(index="time", columns="station", values="soil_moisture")
        wanted = series.reindex(index=days.astype(TIME), columns=self.sites["station"])
        return wanted.to_numpy(np.float32)

    def only(self, chosen: NDArray[np.bool_]) -> "Stations":
        """Return the chosen sites."""
        return Stations(self.daily, self.sites[chosen].reset_index(drop=True))


def stations_of(config: RunConfig, product: Product, listener: Listener) -> Stations | None:
    """Return the stations of a run; None, with a warning, where none were ingested."""
    try:
        stations, daily = read_stations(
            config.layout.stations, maximum_depth_m=config.stations.maximum_depth_m
        )
    except NotFoundError:
        listener.warn(f"no stations below {config.layout.stations}: the report does without them")
        return None
    rule = TargetRule(config.stations.maximum_depth_m, valid=product.target.valid)
    target = daily_target(stations, daily, rule).astype({"time": TIME})
    sites = target.drop_duplicates("station")[["station", "latitude", "longitude", "row", "col"]]
    return Stations(target, sites.reset_index(drop=True))


def baseline_layer(config: RunConfig, baseline: Baseline, year: int) -> Layer | None:
    """Return the layer of one year; None where there is no such cube."""
    url = join(config.cube_prefix(baseline.source), year_store(year))
    if not open_objects(url).exists("zarr.json"):
        return None
    return Layer(url, schema_named(baseline.source), year, baseline.variable, required=False)


def test_pairs(config: RunConfig, stations: Stations | None, baseline: Baseline) -> pd.DataFrame:
    """Return what the model says of the stations that it has never seen, wherever they are.

    These are the test estimates that training stored. They come from the drivers of the station's
    own pixel, read by the code that production reads them with: the product has the same values
    there. Columns as `PAIR_COLUMNS` and `block`; the baseline is NaN where it is unknown.
    """
    folder = open_objects(join(config.layout.reports(config.product), "splits"))
    if not folder.exists(f"{SHIPPED}.parquet"):
        return no_pairs().assign(block=pd.Series(dtype=object))
    pairs = pd.read_parquet(io.BytesIO(folder.get(f"{SHIPPED}.parquet")))
    pairs = pairs.astype({"station": object, "time": TIME})
    if stations is None:
        return pairs.assign(baseline=np.float32(np.nan))
    known = stations.only(stations.sites["station"].isin(set(pairs["station"])).to_numpy())
    frames = [
        _series_frame(known, layer, coarse_series(layer, *known.lonlat), "baseline")
        for year in sorted(set(pairs["time"].dt.year))
        if (layer := baseline_layer(config, baseline, year)) is not None
    ]
    if not frames:
        return pairs.assign(baseline=np.float32(np.nan))
    return pairs.merge(pd.concat(frames, ignore_index=True), on=["station", "time"], how="left")


def product_pairs(
    stations: Stations | None, year: StoreYear, baseline: Layer | None
) -> pd.DataFrame:
    """Return every day of the stations inside the produced blocks, with the product's value.

    Columns as `PAIR_COLUMNS`; NaN where product, station or baseline is unknown.
    """
    if stations is None:
        return no_pairs()
    rows, cols = stations.pixels
    inside = year.holds(rows, cols)
    if not inside.any():
        return no_pairs()
    known = stations.only(inside)
    estimate = station_series(year.layer, rows[inside], cols[inside])
    pairs = _series_frame(known, year.layer, estimate, "estimate")
    if baseline is not None:
        coarse = _series_frame(known, baseline, coarse_series(baseline, *known.lonlat), "baseline")
        pairs = pairs.merge(coarse, on=["station", "time"], how="left")
    else:
        pairs["baseline"] = np.float32(np.nan)
    measured = known.daily[["station", "time", "soil_moisture"]]
    return pairs.merge(measured, on=["station", "time"], how="left")[PAIR_COLUMNS]


def rain_at(config: RunConfig, stations: Stations, names: Collection[str]) -> pd.DataFrame | None:
    """Return the daily precipitation at some stations: station, time, rain (mm).

    None where no year has a cube, or none of it is known.
    """
    chosen = stations.only(stations.sites["station"].isin(set(names)).to_numpy())
    years = sorted(set(chosen.daily["time"].dt.year))
    frames = [
        _series_frame(chosen, layer, coarse_series(layer, *chosen.lonlat), "rain")
        for year in years
        if (layer := baseline_layer(config, RAIN, year)) is not None
    ]
    if not frames or not len(chosen.sites):
        return None
    found = pd.concat(frames, ignore_index=True)
    return found if found["rain"].notna().any() else None


def no_pairs() -> pd.DataFrame:
    """Return a table of pairs without rows."""
    kinds = {"station": "object", "time": TIME}
    return pd.DataFrame(columns=PAIR_COLUMNS).astype(
        {name: kinds.get(name, "float32") for name in PAIR_COLUMNS}
    )


def _series_frame(stations: Stations, layer: Layer, values: Floats32, name: str) -> pd.DataFrame:
    """Return (days, stations) values as one row per station and day."""
    days = layer.open().times.astype(TIME)
    names = stations.sites["station"].to_numpy(object)
    return pd.DataFrame(
        {
            "station": np.repeat(names, len(days)),
            "time": np.tile(days, len(names)),
            name: values.T.reshape(-1),
        }
    )
