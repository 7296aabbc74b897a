"""Where the core-seconds of a piece of work go, by the functions that bound it."""

import cProfile
import pstats
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

BOUNDS: Mapping[str, tuple[str, ...]] = {
    "inflating HDF4": ("_SDreaddata_0",),
    "deflating HDF4": ("_SDwritedata_0",),
    "judging, averaging, packing": ("packing.py:_pack_means",),
    "fresh memory": ("cubes.py:unknown",),
    "encoding shards": ("store.py:encode_shard", "codecs.py:encode"),
    "hashing": ("store.py:hash_values",),
    "opening netCDF": ("era5_land.py:read",),
    "inflating hours": ("era5_files.py:_basic",),
    "writing netCDF": ("granules_era5_land.py:write_era5_land",),
    "projecting points": ("transformer.py:transform",),
    "sampling cells": ("area_means.py:taken", "area_means.py:mean", "terrain.py:horn"),
    "placing pixels": ("hdf_eos.py:place",),
    "water balance": ("columns.py:_advance",),
    "describing days": ("columns.py:_describe",),
    "weather of nodes": ("climate.py:weather",),
    "weather to pixels": ("climate.py:to_pixels",),
    "sensors": ("sensors.py:observe", "composites.py:add", "composites.py:finish"),
    "parsing text": ("ismn.py:read_stm",),
    "hourly to daily": ("daily_means.py:daily_means",),
    "columns of features": ("blockwise.py:compute", "blockwise.py:compute_into"),
    "reading cubes": ("inputs.py:load",),
    "trees": ("forest.py:predict_codes", "forest.py:predict", "boosting.py:predict"),
    "growing trees": ("core.py:update",),
    "drawing": ("figures.py:png_bytes",),
    "scoring pairs": ("collocation.py:score_block",),
    "overview": ("overview.py:summarise_block",),
    "encoding GeoTIFF": ("raster.py:encode_cog",),
    "encoding netCDF": ("netcdf.py:write_netcdf",),
}
"""Functions that do one kind of work, as `file:name`, or `name` where it is of a C library. None
of them calls another one."""


@dataclass(frozen=True)
class Taken:
    """Core-seconds of a piece of work, and of each of its bounds."""

    core_seconds: float
    parts: Mapping[str, float]


def profiled(work: Callable[[], T]) -> tuple[T, Taken]:
    """Return the result of `work`, and what it took of this process, all its threads together."""
    profile = cProfile.Profile(time.process_time)
    started = time.process_time()
    result = profile.runcall(work)
    seconds = time.process_time() - started
    return result, Taken(seconds, _parts(pstats.Stats(profile)))


def _parts(stats: pstats.Stats) -> dict[str, float]:
    """Return the cumulative seconds of each bound that had any."""
    found = {}
    functions: Mapping[tuple[str, int, str], tuple[int, int, float, float, object]]
    functions = stats.stats  # type: ignore[attr-defined]
    for bound, names in BOUNDS.items():
        total = sum(
            cumulative
            for (file, _, name), (_, _, _, cumulative, _) in functions.items()
            if any(_is(file, name, wanted) for wanted in names)
        )
        if total > 0:
            found[bound] = total
    return found


def _is(file: str, name: str, wanted: str) -> bool:
    place, _, function = wanted.rpartition(":")
    if not place:
        return file == "~" and name.endswith(f".{function}>")
    return name == function and file.endswith(f"/{place}")
