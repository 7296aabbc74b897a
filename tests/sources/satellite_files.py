"""Native files of coarse soil moisture as their makers lay them out, written with h5py alone.

Written from the makers' documents and apart from the simulated Earth's writers, so that a reader
and a writer cannot agree on a mistake.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import h5py
import numpy as np

from smcloud.grids.grid import EASE2_1KM, EASE2_9KM, EASE2_36KM, GLOBAL025, Grid, Window
from tests.sources.frozen_ground_files import FROZEN_GROUND, write_frozen_ground
from tests.sources.imerg_files import write_daily

START = date(2019, 1, 1)
CCI_UNITS = {"ACTIVE": "percent", "PASSIVE": "m3 m-3", "COMBINED": "m3 m-3"}
CCI_TOP = {"ACTIVE": 95.0, "PASSIVE": 0.98, "COMBINED": 0.6}
SMAP_SUFFIXES = {"Soil_Moisture_Retrieval_Data_AM": "", "Soil_Moisture_Retrieval_Data_PM": "_pm"}
PLACE = (8.0, 46.0)
"""Longitude and latitude of the middle of what is written, degrees: in tile h18v04."""


def around(grid: Grid, side: int, place: tuple[float, float] = PLACE) -> Window:
    """Return a square of cells whose middle cell holds a place."""
    row, col = (int(index) for index in grid.pixel_of(*place))
    half = side // 2
    return Window(row - half, row - half + side, col - half, col - half + side)


def cci_name(product: str, day: date, version: str = "v202212.0.0", record: str = "TCDR") -> str:
    kind = "SSMS" if product == "ACTIVE" else "SSMV"
    if version.startswith("fv"):
        return f"ESACCI-SOILMOISTURE-L3S-{kind}-{product}-{day:%Y%m%d}000000-{version}.nc"
    return f"C3S-SOILMOISTURE-L3S-{kind}-{product}-DAILY-{day:%Y%m%d}000000-{record}-{version}.nc"


def write_cci(
    folder: Path,
    product: str,
    day: date,
    *,
    name: str = "",
    flags: np.ndarray | None = None,
    values: np.ndarray | None = None,
    units: str = "",
    shape: tuple[int, int] = (720, 1440),
    without: str = "",
) -> Path:
    """Write a day: a square of cells around PLACE with values, the rest of the globe fill."""
    rows, cols = around(GLOBAL025, 20).slices
    sm = np.full((1, *shape), -9999.0, np.float32)
    flag = np.full((1, *shape), 127, np.int8)
    square = np.linspace(0.02, CCI_TOP[product], 400, dtype=np.float32).reshape(20, 20)
    sm[0, rows, cols] = square if values is None else values
    flag[0, rows, cols] = (np.arange(400).reshape(20, 20) % 5 == 0) if flags is None else flags
    path = folder / (name or cci_name(product, day))
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["title"] = np.bytes_(f"C3S Surface Soil Moisture merged {product} Product")
        file["lat"] = (89.875 - 0.25 * np.arange(shape[0])).astype(np.float32)
        file["lon"] = (-179.875 + 0.25 * np.arange(shape[1])).astype(np.float32)
        if without != "sm":
            layer = file.create_dataset("sm", data=sm, compression="gzip", chunks=sm.shape)
            layer.attrs["units"] = np.bytes_(units or CCI_UNITS[product])
            layer.attrs["_FillValue"] = np.float32(-9999.0)
            layer.attrs["valid_range"] = np.array([0, 100 if product == "ACTIVE" else 1], "f4")
        if without != "flag":
            file.create_dataset("flag", data=flag, compression="gzip")
    return path


def smap_name(short_name: str, day: date, release: str = "R18290", version: int = 1) -> str:
    enhanced = "_E" if short_name.endswith("_E") else ""
    return f"SMAP_L3_SM_P{enhanced}_{day:%Y%m%d}_{release}_{version:03d}.h5"


def write_smap(
    folder: Path,
    short_name: str,
    day: date,
    *,
    name: str = "",
    values: np.ndarray | None = None,
    retrieval: np.ndarray | None = None,
    surface: np.ndarray | None = None,
    side: int = 12,
    changes: Mapping[str, object] | None = None,
    flip: bool = False,
) -> Path:
    """Write a day: a square of cells around PLACE in both overpasses; unwritten chunks are fill.

    `changes` replaces attributes of soil moisture, or names what to leave out (value None).
    """
    grid = EASE2_9KM if short_name.endswith("_E") else EASE2_36KM
    window = around(grid, side)
    lon, lat = grid.lonlat(window)
    count = side * side
    square = np.linspace(0.02, 0.5, count, dtype=np.float32).reshape(side, side)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or smap_name(short_name, day))
    with h5py.File(path, "w") as file:
        identity = file.create_group("Metadata/DatasetIdentification")
        identity.attrs["shortName"] = np.bytes_(short_name)
        for group, suffix in SMAP_SUFFIXES.items():
            parts = {
                "soil_moisture": square if values is None else values,
                "retrieval_qual_flag": quarter(side, 0, 1) if retrieval is None else retrieval,
                "surface_flag": quarter(side, 0, 1 << 10) if surface is None else surface,
                "latitude": lat[::-1] if flip else lat,
                "longitude": lon,
            }
            for part, cells in parts.items():
                if f"{part}{suffix}" in (changes or {}):
                    continue
                _write_layer(file, f"{group}/{part}{suffix}", grid, window, cells)
            if f"{group}/soil_moisture{suffix}" in file:
                _describe(file[f"{group}/soil_moisture{suffix}"], changes or {})
    return path


def quarter(side: int, common: int, rare: int) -> np.ndarray:
    """Return words (side, side): `rare` in each fourth cell."""
    return np.where(np.arange(side * side).reshape(side, side) % 4 == 3, rare, common)


def _write_layer(file: h5py.File, path: str, grid: Grid, window: Window, cells: np.ndarray) -> None:
    is_word = path.rsplit("/", 1)[-1].removesuffix("_pm").endswith("flag")
    layer = file.create_dataset(
        path,
        (grid.rows, grid.cols),
        "uint16" if is_word else "float32",
        chunks=(58, 241),
        compression="gzip",
        fillvalue=65534 if is_word else -9999.0,
    )
    layer[window.slices] = cells
    layer.attrs["_FillValue"] = layer.fillvalue


def _describe(layer: h5py.Dataset, changes: Mapping[str, object]) -> None:
    layer.attrs["units"] = np.bytes_("cm**3/cm**3")
    layer.attrs["valid_min"] = np.float32(0.02)
    layer.attrs["valid_max"] = np.float32(0.5)
    for name, value in changes.items():
        if name in layer.attrs:
            layer.attrs[name] = value


def scene_name(day: date, place: str = "008E46N", release: str = "R17000") -> str:
    radar = day + timedelta(days=1)
    return (
        f"SMAP_L2_SM_SP_1AIWDV_{radar:%Y%m%d}T053807_{day:%Y%m%d}T172013_{place}_{release}_001.h5"
    )


def write_scene(
    folder: Path,
    day: date,
    *,
    name: str = "",
    window: Window | None = None,
    values: np.ndarray | None = None,
    retrieval: int = 0,
    shift: int = 0,
) -> Path:
    """Write a scene of 1 km cells around PLACE; a corner of it has no index and no value."""
    window = window or around(EASE2_1KM, 90)
    shape = window.shape
    row, col = np.mgrid[window.row0 : window.row1, window.col0 : window.col1].astype(np.uint16)
    sm = np.linspace(0.05, 0.45, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    sm = sm if values is None else values.astype(np.float32)
    sm[:10, :10] = -9999.0
    row[:10, :10] = col[:10, :10] = 65534
    row[-1, -1] += shift
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or scene_name(day))
    with h5py.File(path, "w") as file:
        identity = file.create_group("Metadata/DatasetIdentification")
        identity.attrs["shortName"] = np.bytes_("SPL2SMAP_S")
        group = file.create_group("Soil_Moisture_Retrieval_Data_1km")
        group["soil_moisture_1km"] = sm
        group["soil_moisture_1km"].attrs["units"] = np.bytes_("cm**3/cm**3")
        group["EASE_row_index_1km"], group["EASE_column_index_1km"] = row, col
        flags = np.full(shape, retrieval, np.uint16)
        flags[20:40] = 1
        group["retrieval_qual_flag_1km"] = flags
        group["surface_flag_1km"] = np.zeros(shape, np.uint16)
    return path


LPRM = {
    "amsre_lprm": ("AMSR_E", "D", "V002", "nc"),
    "amsre_lprm_day": ("AMSR_E", "A", "V002", "nc"),
    "amsr2_lprm": ("AMSR2", "D", "V001", "nc4"),
    "amsr2_lprm_day": ("AMSR2", "A", "V001", "nc4"),
    "windsat_lprm": ("WINDSAT", "NT", "V001", "nc4"),
    "windsat_lprm_day": ("WINDSAT", "DY", "V001", "nc4"),
}


def lprm_name(source: str, day: date, time: str = "010911") -> str:
    sensor, overpass, version, end = LPRM[source]
    return f"LPRM-{sensor}_L3_{overpass}_SOILM3_{version}_{day:%Y%m%d}{time}.{end}"


def write_lprm(
    folder: Path,
    source: str,
    day: date,
    *,
    name: str = "",
    layers: Mapping[str, object] | None = None,
    attributes: Mapping[str, Mapping[str, object]] | None = None,
    shape: tuple[int, int] = (1440, 720),
    south_up: bool = False,
) -> Path:
    """Write a day: a square of 20 x 20 cells around PLACE by longitude and latitude.

    `layers` are stored values (rows, cols) of the square by name, None to leave a layer out.
    """
    two = source.startswith("amsr2")
    band = "c1" if two else "c"
    moisture, depth = f"soil_moisture_{band}", f"opt_depth_{band}"
    error = "soil_moisture_c1_error" if two else "sm_c_error"
    stored: dict[str, object] = {
        moisture: 2 + np.arange(400).reshape(20, 20) % 60,
        depth: np.full((20, 20), 30),
        error: np.full((20, 20), 550),
        "ts": np.full((20, 20), 2850),
        "frequency_map" if two else "rfi_code": np.full((20, 20), 69 if two else 0),
        "scantime": np.full((20, 20), 6.3e8),
    } | dict(layers or {})
    scales = {moisture: 1.0, depth: 0.01, error: 0.01, "ts": 0.1, "frequency_map": 0.1}
    units = {moisture: "percent", error: "percent", "ts": "Kelvin", "frequency_map": "GHz"}
    rows, cols = around(GLOBAL025, 20).slices
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or lprm_name(source, day))
    lat = 89.875 - 0.25 * np.arange(shape[1])
    with h5py.File(path, "w") as file:
        file["Latitude"] = (lat[::-1] if south_up else lat).astype(np.float32)
        file["Longitude"] = (-179.875 + 0.25 * np.arange(shape[0])).astype(np.float32)
        for layer, square in stored.items():
            if square is None:
                continue
            fill = {"scantime": 0.0, "frequency_map": -1, "rfi_code": 0}.get(layer, -32767)
            kind = "f8" if layer == "scantime" else "i2"
            globe = np.full((720, 1440), fill, kind)
            globe[rows, cols] = square
            globe = (globe[::-1] if south_up else globe).T[: shape[0], : shape[1]]
            made = file.create_dataset(layer, data=globe, compression="gzip", fillvalue=fill)
            if layer != "rfi_code":
                made.attrs["_FillValue"] = np.array([fill], kind)
            if layer in scales:
                made.attrs["scale_factor"] = np.array([scales[layer]], np.float32)
                made.attrs["add_offset"] = np.array([0.0], np.float32)
            if layer in units:
                made.attrs["units"] = np.bytes_(units[layer])
            for attribute, value in (attributes or {}).get(layer, {}).items():
                made.attrs[attribute] = value
    return path


def nnsm_name(sensor: str, day: date) -> str:
    return f"NNsm-{sensor}-{day:%Y%j}.nc"


def write_nnsm(
    folder: Path,
    sensor: str,
    day: date,
    *,
    values: np.ndarray | None = None,
    turned: bool = False,
    name: str = "",
    units: str = "m3/m3",
    shape: tuple[int, int] = (406, 964),
    flip: bool = False,
) -> Path:
    """Write a day: a square of 12 x 12 cells around PLACE, NaN elsewhere."""
    window = around(EASE2_36KM, 12)
    square = np.linspace(0.03, 0.5, 144).reshape(12, 12)
    globe = np.full((406, 964), np.nan, np.float32)
    globe[window.slices] = square if values is None else values
    globe = globe[: shape[0], : shape[1]]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or nnsm_name(sensor, day))
    lon = EASE2_36KM.lonlat(Window(0, 1, 0, 964))[0]
    lat = EASE2_36KM.lonlat(Window(0, 406, 0, 1))[1]
    with h5py.File(path, "w") as file:
        file["latitude"] = lat[::-1] if flip else lat
        file["longitude"] = lon
        file["soil_moisture"] = globe.T if turned else globe
        if units:
            file["soil_moisture"].attrs["units"] = np.bytes_(units)
    return path


def write_satellite(source: str, folder: Path) -> list[Path]:
    """Write two days of a source from START, sorted by name."""
    days: Sequence[date] = (START, START + timedelta(days=1))
    if source.startswith("cci_"):
        return [write_cci(folder, source.removeprefix("cci_").upper(), day) for day in days]
    if source in LPRM:
        return [write_lprm(folder, source, day) for day in days]
    if source.endswith("_nnsm"):
        sensor = {"amsr_nnsm": "AMSR", "mwri_nnsm": "FY"}[source]
        return [write_nnsm(folder, sensor, day) for day in days]
    if source == "smap_sentinel":
        return [write_scene(folder, day) for day in days]
    if source in FROZEN_GROUND:
        return write_frozen_ground(source, folder)
    if source == "imerg_025":
        return [write_daily(folder, day) for day in days]
    short_name = {"smap_l3": "SPL3SMP", "smap_l3e": "SPL3SMP_E"}[source]
    return [write_smap(folder, short_name, day) for day in days]


SATELLITES = (
    "cci_active",
    "cci_passive",
    "cci_combined",
    "smap_l3",
    "smap_l3e",
    "smap_sentinel",
    *LPRM,
    "amsr_nnsm",
    "mwri_nnsm",
    "imerg_025",
    *FROZEN_GROUND,
)
