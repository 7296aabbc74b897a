"""IMERG files as Goddard lays them out, written with h5py alone: daily netCDF-4, half-hourly HDF5.

Arrays lie by time, longitude and latitude from south to north; only a square is known.
"""

from datetime import date
from pathlib import Path

import h5py
import numpy as np

from smcloud.grids.grid import IMERG, Window

FILL = np.float32(-9999.9)
PLACE = Window(430, 450, 1870, 1890)
"""Cells of 0.1 degree that are written: 45 to 47 N, 7 to 9 E."""


def daily_name(day: date, version: str = "V07B", run: str = "") -> str:
    return f"3B-DAY{run}.MS.MRG.3IMERG.{day:%Y%m%d}-S000000-E235959.{version}.nc4"


def half_name(day: date, half: int, version: str = "V07B", run: str = "") -> str:
    hour, minute = divmod(30 * half, 60)
    span = f"S{hour:02d}{minute:02d}00-E{hour:02d}{minute + 29:02d}59"
    return f"3B-HHR{run}.MS.MRG.3IMERG.{day:%Y%m%d}-{span}.{30 * half:04d}.{version}.HDF5"


def square(seed: int = 0) -> np.ndarray:
    """Return rain of the square (rows, cols), north to south; one cell in seven is unknown."""
    values = np.random.default_rng(seed).gamma(0.5, 6.0, PLACE.shape).astype(np.float32)
    values.ravel()[::7] = np.nan
    return values


def write_daily(
    folder: Path, day: date, *, version: str = "V07B", run: str = "", **changes
) -> Path:
    is_new = version.startswith("V07")
    changes = {
        "path": "precipitation" if is_new else "precipitationCal",
        "units": "mm/day" if is_new else "mm",
        "values": square(day.toordinal()),
        "counts": np.full(PLACE.shape, 48),
    } | changes
    return _write(folder / daily_name(day, version, run), "", **changes)


def write_half(folder: Path, day: date, half: int, *, version: str = "V07B", **changes) -> Path:
    is_new = version.startswith("V07")
    name = "precipitation" if is_new else "precipitationCal"
    changes = {"path": f"Grid/{name}", "units": "mm/hr", "values": square(half)} | changes
    return _write(folder / half_name(day, half, version), "Grid/", **changes)


def _write(
    path_of_file: Path,
    group: str,
    *,
    path: str,
    units: str,
    values: np.ndarray,
    counts: np.ndarray | None = None,
    cut: Window | None = None,
    order: str = "",
    shift: float = 0.0,
) -> Path:
    """Write one file of the globe, or of the cells `cut` alone."""
    held = cut or IMERG.window
    path_of_file.parent.mkdir(parents=True, exist_ok=True)
    rows, cols = PLACE.within(held)
    south = held.row1 - held.row0
    place = (0, cols, slice(south - rows.stop, south - rows.start))
    shape = (1, held.col1 - held.col0, south)
    with h5py.File(path_of_file, "w") as file:
        lon, lat = IMERG.x[held.slices[1]], IMERG.y[held.slices[0]][::-1]
        file[f"{group}lon"], file[f"{group}lat"] = lon.astype("f4"), (lat + shift).astype("f4")
        chunks = (1, min(shape[1], 145), shape[2])
        layer = file.create_dataset(
            path, shape, "f4", fillvalue=FILL, chunks=chunks, compression="gzip"
        )
        layer[place] = np.where(np.isnan(values), FILL, values)[::-1].T
        layer.attrs["units"], layer.attrs["_FillValue"] = np.bytes_(units), FILL
        if order:
            layer.attrs["DimensionNames"] = np.bytes_(order)
        if counts is not None:
            number = file.create_dataset(f"{path}_cnt", shape, "i2", chunks=chunks)
            number[place] = counts[::-1].T
    return path_of_file
