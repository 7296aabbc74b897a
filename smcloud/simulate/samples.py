"""A few small native files of every source, with smooth made-up values: material for tests.

Nothing here is physics: values are waves of longitude and latitude within the range of the
quantity, some pixels are unknown or flagged, and the seed moves the waves. The simulated Earth
itself is written by `run`.
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import ERA5LAND, GLOBAL30S, SIN1KM, Window
from smcloud.grids.tiles import tile_window
from smcloud.simulate.global_albedo import ALBEDO_PRODUCTS, cells_around
from smcloud.simulate.granules_era5_land import FIELDS, write_era5_land
from smcloud.simulate.granules_glass import GLASS_ALBEDO, GLASS_LAI, GLASS_LST, albedo_quality
from smcloud.simulate.granules_ismn import CEOP, HEADER, download_name, write_folder, write_zip
from smcloud.simulate.granules_mcd43d import (
    BAND_QUALITY,
    OVERALL_QUALITY,
    QUALITY,
    SNOW,
    SNOW_STATUS,
    write_globe_file,
)
from smcloud.simulate.granules_modis import MCD43A3, MOD09A1, MOD11A1, MOD13A2, MOD15A2H
from smcloud.simulate.granules_rasters import (
    SOIL_LAYERS,
    sheet_lonlat,
    sheets_of,
    write_elevation,
    write_fractions,
    write_soil_maps,
)
from smcloud.simulate.hdf_eos import Array, GridProduct, TilePixels, write_grid_file
from smcloud.simulate.records import SoilMap, Station, StationSeries

SAMPLE_TILE = "h18v04"
SAMPLE_START = date(2019, 1, 1)
SAMPLE_ROW, SAMPLE_COL, SAMPLE_SIZE = 480, 360, 60
"""First pixel and side of the square of SAMPLE_TILE that holds values."""
GRANULES = 2
"""Tile files per source: this many periods from SAMPLE_START."""


def write_sample(source_name: str, folder: Path, *, seed: int = 0) -> list[Path]:
    """Write a small set of native files of one source and return their paths, sorted.

    Tile products cover SAMPLE_SIZE x SAMPLE_SIZE pixels of SAMPLE_TILE in two periods from
    SAMPLE_START; ERA5-Land the nodes around them for two days and 00 UTC of the third; elevation
    and soil the same place; stations two networks, one per format.

    Raises
    ------
    ConfigError
        If there is no such source.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if source_name in SAMPLE_LAYERS:
        product, layers = SAMPLE_LAYERS[source_name]
        return _tile_files(product, layers, folder, seed)
    if source_name not in _OTHERS:
        known = ", ".join(sorted({*SAMPLE_LAYERS, *_OTHERS}))
        raise ConfigError(f"no sample of a source {source_name!r}: expected one of {known}")
    return sorted(_OTHERS[source_name](folder, seed))


class _Field:
    """Waves over the sample's pixels of one day: values between two bounds."""

    def __init__(self, lon: Array, lat: Array, seed: int, day: date) -> None:
        self.lon, self.lat = lon, lat
        self.phase = 0.7 * seed + day.timetuple().tm_yday / 58.0
        self.day = day

    def between(self, low: float, high: float, turn: float = 0.0) -> Array:
        """Return a smooth field (n,) of values from `low` to `high`."""
        wave = np.sin(9.0 * self.lon + self.phase + turn) * np.cos(11.0 * self.lat - turn)
        field: Array = low + (high - low) * (0.5 + 0.5 * wave)
        return field

    def codes(self, common: int, rare: int, dtype: str) -> Array:
        """Return `common`, and `rare` in the quarter of the pixels that `hidden` marks."""
        return np.where(self.hidden(), rare, common).astype(dtype)

    def hidden(self) -> Array:
        """Return where something is unknown, (n,) bool: under the crests of one wave."""
        return self.between(0.0, 1.0, turn=2.0) > 0.75

    def seen(self, low: float, high: float, turn: float = 0.0) -> Array:
        """Return `between`, NaN where `hidden`."""
        return np.where(self.hidden(), np.nan, self.between(low, high, turn))


Layers = Callable[[_Field], Mapping[str, Array]]


def _lst(field: _Field) -> Mapping[str, Array]:
    # 0 is the best quality, 2 means cloud.
    return {
        "LST_Day_1km": field.seen(285.0, 305.0),
        "QC_Day": field.codes(0, 2, "uint8"),
        "Day_view_time": field.seen(10.0, 11.5),
        "Day_view_angl": field.seen(-60.0, 60.0),
        "LST_Night_1km": field.seen(272.0, 284.0, turn=0.5),
        "QC_Night": field.codes(0, 2, "uint8"),
        "Night_view_time": field.seen(21.5, 23.0),
        "Night_view_angl": field.seen(-60.0, 60.0),
        "Emis_31": field.between(0.95, 0.99),
        "Emis_32": field.between(0.96, 0.99),
    }


def _vegetation_index(field: _Field) -> Mapping[str, Array]:
    day_of_year = field.day.timetuple().tm_yday
    # Bits 0-1: 0 good, 2 probably cloudy; bits 11-13: 1 land.
    return {
        "1 km 16 days NDVI": field.between(0.1, 0.9),
        "1 km 16 days EVI": field.between(0.05, 0.7),
        "1 km 16 days VI Quality": field.codes(1 << 11, 1 << 11 | 2, "uint16"),
        "1 km 16 days composite day of the year": field.codes(
            day_of_year + 3, day_of_year + 11, "int16"
        ),
        "1 km 16 days pixel reliability": field.codes(0, 3, "int8"),
    }


def _modis_lai(field: _Field) -> Mapping[str, Array]:
    # Bits 5-7: 0 main algorithm, 3 back-up; bit 0 set with it.
    return {
        "Lai_500m": field.between(0.2, 6.0),
        "Fpar_500m": field.between(0.1, 0.9),
        "FparLai_QC": field.codes(0, 3 << 5 | 1, "uint8"),
        "FparExtra_QC": field.codes(0, 0, "uint8"),
    }


def _reflectance(field: _Field) -> Mapping[str, Array]:
    day_of_year = field.day.timetuple().tm_yday
    bands = {
        f"sur_refl_b{band:02d}": field.between(0.03 * band, 0.05 * band + 0.1, turn=0.1 * band)
        for band in range(1, 8)
    }
    # State bits 0-1: 0 clear, 1 cloudy; bits 3-5: 1 land. QC bit 30: corrected.
    return {
        **bands,
        "sur_refl_qc_500m": field.codes(1 << 30, 1 << 30 | 2, "uint32"),
        "sur_refl_state_500m": field.codes(1 << 3, 1 << 3 | 1, "uint16"),
        "sur_refl_day_of_year": field.codes(day_of_year + 2, day_of_year + 6, "uint16"),
    }


def _modis_albedo(field: _Field) -> Mapping[str, Array]:
    return {
        "Albedo_BSA_shortwave": field.between(0.1, 0.3),
        "Albedo_WSA_shortwave": field.between(0.12, 0.33),
        "BRDF_Albedo_Band_Mandatory_Quality_shortwave": field.codes(0, 1, "uint8"),
    }


def _glass_lai(field: _Field) -> Mapping[str, Array]:
    return {"LAI": field.seen(0.2, 6.0)}


def _glass_albedo(field: _Field) -> Mapping[str, Array]:
    percent = np.full(field.lon.shape, 100)
    return {
        "ABD_BSA_shortwave": field.between(0.1, 0.3),
        "ABD_WSA_shortwave": field.between(0.12, 0.33),
        "ABD_QA_shortwave": albedo_quality(field.codes(0, 2, "uint16"), percent, percent),
    }


def _glass_lst(field: _Field) -> Mapping[str, Array]:
    return {"LST": field.seen(275.0, 300.0)}


SAMPLE_LAYERS: Mapping[str, tuple[GridProduct, Layers]] = {
    "mod11a1": (MOD11A1, _lst),
    "mod13a2": (MOD13A2, _vegetation_index),
    "mod15a2h": (MOD15A2H, _modis_lai),
    "mod09a1": (MOD09A1, _reflectance),
    "mcd43a3": (MCD43A3, _modis_albedo),
    "glass_lai": (GLASS_LAI, _glass_lai),
    "glass_albedo": (GLASS_ALBEDO, _glass_albedo),
    "glass_lst": (GLASS_LST, _glass_lst),
}


def sample_window() -> Window:
    """Return the global pixels of the output grid that hold values in the samples."""
    tile = tile_window(SIN1KM, SAMPLE_TILE)
    row, col = tile.row0 + SAMPLE_ROW, tile.col0 + SAMPLE_COL
    return Window(row, row + SAMPLE_SIZE, col, col + SAMPLE_SIZE)


def _tile_files(product: GridProduct, layers: Layers, folder: Path, seed: int) -> list[Path]:
    lon, lat = (axis.ravel() for axis in SIN1KM.lonlat(sample_window()))
    rows, cols = np.indices((SAMPLE_SIZE, SAMPLE_SIZE)).reshape(2, -1)
    pixels = TilePixels(SAMPLE_TILE, rows + SAMPLE_ROW, cols + SAMPLE_COL)
    paths = []
    for period in range(GRANULES):
        day = SAMPLE_START + timedelta(days=product.days * period)
        values = layers(_Field(lon, lat, seed, day))
        paths.append(write_grid_file(folder, product, pixels, day, values))
    return paths


def _era5_land(folder: Path, seed: int) -> list[Path]:
    lon, lat = SIN1KM.lonlat(sample_window())
    step = ERA5LAND.step
    longitude = np.arange(np.floor(lon.min() / step) - 1, np.ceil(lon.max() / step) + 2) * step
    latitude = np.arange(np.ceil(lat.max() / step) + 1, np.floor(lat.min() / step) - 2, -1) * step
    start = np.datetime64(SAMPLE_START, "h")
    times = start + np.arange(24 * GRANULES + 1)
    east, north = np.meshgrid(longitude, latitude)
    fields: dict[str, list[Array]] = {name: [] for name in FIELDS}
    for hour in range(len(times)):
        field = _Field(east, north, seed, SAMPLE_START + timedelta(days=hour // 24))
        warm = 4.0 * np.sin(2 * np.pi * hour / 24.0)
        fields["swvl1"].append(field.between(0.1, 0.4))
        fields["stl1"].append(field.between(278.0, 288.0))
        fields["skt"].append(field.between(274.0, 284.0) + warm)
        fields["t2m"].append(field.between(275.0, 285.0) + warm)
        # Accumulates from 00 UTC; hour 0 holds the total of the day before.
        wet = _Field(east, north, seed, SAMPLE_START + timedelta(days=(hour - 1) // 24))
        fields["tp"].append(wet.between(0.0, 0.01) * ((hour - 1) % 24 + 1) / 24.0)
    arrays = {name: np.stack(values) for name, values in fields.items()}
    last = 24 * GRANULES
    return [
        write_era5_land(
            folder,
            SAMPLE_TILE,
            times[part],
            latitude,
            longitude,
            {name: values[part] for name, values in arrays.items()},
        )
        for part in (slice(0, last), slice(last, last + 1))
    ]


def _terrain(folder: Path, seed: int) -> list[Path]:
    lon, lat = (axis.ravel() for axis in SIN1KM.lonlat(sample_window()))
    paths = []
    for south, west in sheets_of(lon, lat):
        east, north = np.meshgrid(*sheet_lonlat(south, west))
        field = _Field(east, north, seed, SAMPLE_START)
        paths.append(write_elevation(folder, south, west, field.between(100.0, 900.0)))
    return paths


def _soilgrids(folder: Path, seed: int) -> list[Path]:
    ranges = {
        "sand_percent": (20.0, 60.0),
        "silt_percent": (15.0, 25.0),
        "clay_percent": (10.0, 15.0),
        "bulk_density_g_cm3": (1.1, 1.6),
        "organic_carbon_g_kg": (5.0, 60.0),
    }

    def soil_at(lon: Array, lat: Array) -> Mapping[str, Array]:
        field = _Field(lon, lat, seed, SAMPLE_START)
        return {name: field.between(*ranges[name]) for name in SOIL_LAYERS}

    lon, lat = (axis.ravel() for axis in SIN1KM.lonlat(sample_window()))
    return write_soil_maps(folder, SAMPLE_TILE, lon, lat, soil_at)


def _global_albedo(product: GridProduct, folder: Path, seed: int) -> list[Path]:
    rows, cols = np.indices((SAMPLE_SIZE, SAMPLE_SIZE)).reshape(2, -1)
    cells = cells_around((TilePixels(SAMPLE_TILE, rows + SAMPLE_ROW, cols + SAMPLE_COL),))
    paths = []
    for period in range(GRANULES):
        day = SAMPLE_START + timedelta(days=period)
        field = _Field(GLOBAL30S.x[cells.cols], GLOBAL30S.y[cells.rows], seed, day)
        quality = field.codes(0, 2, "uint8")
        every: dict[GridProduct, Mapping[str, Array]] = {
            product: {product.layers[0].name: field.between(0.1, 0.3)},
            QUALITY: {OVERALL_QUALITY: quality, BAND_QUALITY: quality},
            SNOW: {SNOW_STATUS: (field.between(0.0, 1.0, turn=1.0) > 0.9).astype(np.uint8)},
        }
        paths += [write_globe_file(folder, one, cells, day, own) for one, own in every.items()]
    return paths


def _china_soil(folder: Path, seed: int) -> list[Path]:
    ranges = {
        "sand_percent": (20.0, 60.0),
        "silt_percent": (15.0, 25.0),
        "clay_percent": (10.0, 15.0),
    }

    def soil_at(lon: Array, lat: Array) -> Mapping[str, Array]:
        field = _Field(lon, lat, seed, SAMPLE_START)
        return {name: field.between(*bounds) for name, bounds in ranges.items()}

    lon, lat = (axis.ravel() for axis in SIN1KM.lonlat(sample_window()))
    return write_fractions(folder, SAMPLE_TILE, lon, lat, soil_at)


def _ismn(folder: Path, seed: int) -> list[Path]:
    lon, lat = (axis.ravel() for axis in SIN1KM.lonlat(sample_window()))
    times = np.datetime64(SAMPLE_START, "h") + np.arange(24 * 4)

    def probe(network: str, name: str, pixel: int, style: str) -> tuple[StationSeries, SoilMap]:
        station = Station(
            network, name, lon[pixel], lat[pixel], 212.0, 0.05, 0.05, "Probe A", style, True
        )
        good = "U" if style == "old" else "G"
        values = 0.25 + 0.05 * np.sin(0.1 * np.arange(len(times)) + seed + pixel)
        flags = np.array([good] * len(times), dtype=object)
        values[5], flags[5] = np.nan, "M"
        flags[7], flags[9] = "C03", "D01,D03"
        return StationSeries(station, times, values.astype(np.float32), flags), _soil()

    header = [probe("SIM_NET", f"S_{i}", 600 * i, "new") for i in range(2)]
    ceop = [probe("OLDNET", f"O-{i}", 700 * i + 35, "old") for i in range(2)]
    span = times[0], times[-1]
    return [
        write_folder(folder, download_name(HEADER, *span), HEADER, header),
        write_zip(folder, download_name(CEOP, *span), CEOP, ceop),
    ]


def _soil() -> SoilMap:
    values = (40.0, 40.0, 20.0, 1.4, 12.0)
    return SoilMap(*(np.array([value], np.float32) for value in values))


_OTHERS: Mapping[str, Callable[[Path, int], list[Path]]] = {
    "era5land": _era5_land,
    "terrain": _terrain,
    "soilgrids": _soilgrids,
    "china_soil": _china_soil,
    "ismn": _ismn,
    **{name: partial(_global_albedo, one) for name, one in ALBEDO_PRODUCTS.items()},
}
