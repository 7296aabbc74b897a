"""The sample table: one row a station and day, made by the code that makes production's columns.

A station's features are those of the pixel that contains it. Stations are grouped by the inner
chunk of the driver cubes and by year, so that each chunk is read once; a group is one task, pure
but for its reads, and the train stage spreads groups over workers.
"""

import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from smcloud.core.errors import UserError
from smcloud.core.objects import open_objects
from smcloud.features.blockwise import FeatureReader
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import tile_at
from smcloud.ingest.stations import surface_sensors

GROUP_PIXELS = 150
"""Side of a group: the inner chunk of the fine driver cubes."""
TARGET = "soil_moisture"
QUALITY = "quality_flag"
SITE_COLUMNS = ("station", "network", "latitude", "longitude", "tile", "row", "col", "time")
PART = "part-{year:04d}.parquet"
PARTS = "parts.json"
_PIXEL = ("row", "col")


@dataclass(frozen=True)
class TargetRule:
    """Which daily means become samples.

    Attributes
    ----------
    maximum_depth_m : float
        The deepest end of a sensor that stands for 0 to 5 cm; 0.0508 m (2 inches) counts as 5 cm.
    sensors : "mean" or "first"
        Several sensors at one site and day: their mean, or the first by sensor id.
    minimum_count : int
        Accepted values that a daily mean must rest on, beside the hours that ingest asked for.
    valid : (float, float)
        Physical range of the daily mean, m3 m-3; days outside are dropped.
    """

    maximum_depth_m: float = 0.05
    sensors: Literal["mean", "first"] = "mean"
    minimum_count: int = 1
    valid: tuple[float, float] = (0.0, 0.7)


@dataclass(frozen=True)
class StationGroup:
    """The samples of one chunk and year: what one task computes.

    Attributes
    ----------
    window : Window
        The inner chunk.
    year : int
    samples : DataFrame
        Rows of `daily_target` that fall there, sorted by station and time.
    """

    window: Window
    year: int
    samples: pd.DataFrame


def daily_target(
    stations: pd.DataFrame, daily: pd.DataFrame, rule: TargetRule = TargetRule()
) -> pd.DataFrame:
    """Return one row a site and day: the place, the pixel and the surface soil moisture.

    Parameters
    ----------
    stations, daily
        The tables of `smcloud ingest ismn` (`ingest.stations.read_stations`).
    rule
        Depth, several sensors, counts, range.

    Returns
    -------
    station (``network/station``), network, latitude, longitude (degrees), tile, row, col (global
    pixel), time (UTC day), soil_moisture (m3 m-3), sorted by station and time.

    Raises
    ------
    UserError
        If no sensor is shallow enough, or soil moisture is not in m3 m-3.
    """
    surface = surface_sensors(stations, rule.maximum_depth_m)
    if surface.empty:
        raise UserError(
            f"none of {len(stations)} sensors ends within {rule.maximum_depth_m} m of the surface: "
            "there is nothing to train on; look at depth_to in stations.parquet"
        )
    values = daily[daily["station_id"].isin(surface["station_id"])]
    _check_units(values)
    low, high = rule.valid
    usable = (values["count"] >= rule.minimum_count) & values[TARGET].between(low, high)
    rows = values[usable].merge(_sites(surface), on="station_id", validate="many_to_one")
    rows = rows.sort_values(["station", "day", "station_id"], kind="stable")
    rows["time"] = rows["day"].astype("datetime64[ms]")
    found = rows.drop_duplicates(["station", "day"], keep="first")[[*SITE_COLUMNS, TARGET]]
    if rule.sensors == "mean":
        # Summed in float64 in the order of sensor ids: the same bits whatever the input's order.
        exact = rows.astype({TARGET: np.float64}).groupby(["station", "day"], sort=False)
        found = found.assign(**{TARGET: exact[TARGET].mean().to_numpy()})
    return found.astype({TARGET: np.float32}).reset_index(drop=True)


def _check_units(values: pd.DataFrame) -> None:
    highest = values[TARGET].max() if len(values) else 0.0
    if highest > 1.0:
        raise UserError(
            f"soil_moisture of the stations reaches {highest:g}: expected m3 m-3, at most 1; "
            "divide percentages by 100"
        )


def _sites(surface: pd.DataFrame) -> pd.DataFrame:
    """Return site, place and pixel of each sensor; the first sensor places its site."""
    ordered = surface.sort_values("station_id", kind="stable")
    site = ordered["network"].astype(str) + "/" + ordered["station"].astype(str)
    place = ordered.groupby(site)[["latitude", "longitude"]].transform("first")
    row, col = SIN1KM.pixel_of(place["longitude"].to_numpy(), place["latitude"].to_numpy())
    return pd.DataFrame(
        {
            "station_id": ordered["station_id"],
            "station": site,
            "network": ordered["network"],
            "latitude": place["latitude"],
            "longitude": place["longitude"],
            "tile": [tile_at(int(r), int(c)) for r, c in zip(row, col, strict=True)],
            "row": row,
            "col": col,
        }
    )


def station_groups(
    target: pd.DataFrame,
    years: Collection[int] | None = None,
    tiles: Collection[str] | None = None,
) -> list[StationGroup]:
    """Return the samples of `daily_target` by chunk and year, in order of place and time.

    `years` and `tiles` keep only samples of those; None keeps all.
    """
    keep = np.ones(len(target), np.bool_)
    year = target["time"].dt.year
    if years is not None:
        keep &= year.isin(sorted(years)).to_numpy()
    if tiles is not None:
        keep &= target["tile"].isin(sorted(tiles)).to_numpy()
    chosen = target[keep]
    places = [chosen["row"] // GROUP_PIXELS, chosen["col"] // GROUP_PIXELS, year[keep]]
    groups = []
    for _, samples in chosen.groupby(places, sort=True):
        row, col = (int(samples[name].iloc[0]) // GROUP_PIXELS * GROUP_PIXELS for name in _PIXEL)
        window = Window(row, row + GROUP_PIXELS, col, col + GROUP_PIXELS)
        which = int(samples["time"].dt.year.iloc[0])
        groups.append(StationGroup(window, which, samples.reset_index(drop=True)))
    return groups


def group_rows(reader: FeatureReader, group: StationGroup) -> pd.DataFrame:
    """Return the rows of one group: its samples, their features and quality flag.

    Returns
    -------
    station, network, latitude, longitude, tile, row, col, time, one float32 column a feature (NaN
    for unknown), quality_flag (uint8, bits of `spec.Quality`), soil_moisture (float32, m3 m-3).

    Raises
    ------
    CubeError, NotFoundError
        As `FeatureReader.read`: the cubes must hold the stations' chunks.
    """
    samples = group.samples
    window = group.window
    flat = (samples["row"] - window.row0) * window.shape[1] + (samples["col"] - window.col0)
    points, at_point = np.unique(flat.to_numpy(np.intp), return_inverse=True)
    times = samples["time"].to_numpy().astype("datetime64[D]")
    days = np.arange(times.min(), times.max() + 1)
    columns = reader.compute(reader.read(window, days, points))
    at_day = (times - days[0]).astype(np.intp)
    values = columns.values[:, at_day, at_point]
    features = dict(zip(columns.names, values, strict=True))
    flags = columns.flags[at_day, at_point]
    return pd.DataFrame(
        {
            **{name: samples[name] for name in SITE_COLUMNS},
            **features,
            QUALITY: flags,
            TARGET: samples[TARGET],
        }
    )


def station_table(
    reader: FeatureReader,
    stations: pd.DataFrame,
    daily: pd.DataFrame,
    rule: TargetRule = TargetRule(),
    years: Collection[int] | None = None,
) -> pd.DataFrame:
    """Return the sample table of all stations, group after group; columns as `group_rows`."""
    groups = station_groups(daily_target(stations, daily, rule), years)
    return joined([group_rows(reader, group) for group in groups])


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all groups, sorted by station and time whatever the order of groups.

    Raises
    ------
    UserError
        If there are no rows.
    """
    if not parts:
        raise UserError(
            "no station has a day in these tiles and years: look at stations.parquet, or name "
            "other years in the run file"
        )
    rows = pd.concat(parts, ignore_index=True)
    return rows.sort_values(["station", "time"], kind="stable", ignore_index=True)


def write_table(url: str, rows: pd.DataFrame) -> list[str]:
    """Store a sample table as a Parquet data set, one part a year; return the keys of its parts.

    The list of parts is an object of its own, written last: parts that an earlier table of other
    years left behind do not count, and nothing is deleted.
    """
    target = open_objects(url)
    keys = []
    for _, part in rows.groupby(rows["time"].dt.year, sort=True):
        key = PART.format(year=int(part["time"].dt.year.iloc[0]))
        target.put(key, part.to_parquet(index=False, compression="zstd"))
        keys.append(key)
    target.put(PARTS, json.dumps(keys).encode())
    return keys


def read_table(url: str) -> pd.DataFrame:
    """Return the sample table that `write_table` stored below `url`.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    source = open_objects(url)
    keys: list[str] = json.loads(source.get(PARTS))
    return joined([pd.read_parquet(io.BytesIO(source.get(key))) for key in keys])
