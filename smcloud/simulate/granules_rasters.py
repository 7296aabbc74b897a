"""Static GeoTIFFs: elevation sheets like MERIT DEM, soil maps like SoilGrids 2.0.

Elevation: 5 x 5 degree sheets in latitude and longitude named by their lower left corner
(``n30e100_elv.tif``, the naming of MERIT DEM), float32 metres, nodata -9999; 15 arc seconds instead
of MERIT's 3, as GMTED2010 has. Soil: one map per property and depth named as SoilGrids names them
(``clay_0-5cm_mean``), Homolosine on WGS 84, 250 m pixels, int16 in mapped units (clay, sand, silt
g/kg; bdod cg/cm3; soc dg/kg), nodata -32768.

Files are tiled and sparse: blocks that nobody asked for take no space, so that a map of a few
windows of a large tile costs what its windows cost.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.windows import Window as RasterWindow

from smcloud.simulate.hdf_eos import Array

SHEET_DEGREES = 5
CELLS_PER_DEGREE = 240
"""15 arc seconds."""
ELEVATION_NODATA = -9999.0
SOIL_PIXEL_M = 250.0
SOIL_NODATA = -32768
SOIL_BLOCK = 128
"""Pixels of a block, 32 km: a station's window touches one to four."""
HOMOLOSINE = CRS.from_proj4("+proj=igh +lat_0=0 +lon_0=0 +datum=WGS84 +units=m +no_defs")


@dataclass(frozen=True)
class SoilLayer:
    """One property: stored = physical * factor, with `units` those of the stored integers."""

    name: str
    factor: float
    units: str


SOIL_LAYERS: Mapping[str, SoilLayer] = {
    "sand_percent": SoilLayer("sand", 10.0, "g/kg"),
    "silt_percent": SoilLayer("silt", 10.0, "g/kg"),
    "clay_percent": SoilLayer("clay", 10.0, "g/kg"),
    "bulk_density_g_cm3": SoilLayer("bdod", 100.0, "cg/cm3"),
    "organic_carbon_g_kg": SoilLayer("soc", 10.0, "dg/kg"),
}
"""By the field of the simulated soil map."""

PointFields = Callable[[Array, Array], Mapping[str, Array]]
"""Longitude and latitude (n,) to named fields (n,)."""


def sheet_name(south: int, west: int) -> str:
    """Return the name of the elevation sheet whose lower left corner is here, whole degrees."""
    ns, ew = "s" if south < 0 else "n", "w" if west < 0 else "e"
    return f"{ns}{abs(south):02d}{ew}{abs(west):03d}_elv.tif"


def sheets_of(lon: Array, lat: Array) -> list[tuple[int, int]]:
    """Return the lower left corners (south, west) of the sheets that hold these points."""
    south = np.floor(lat / SHEET_DEGREES).astype(int) * SHEET_DEGREES
    west = np.floor(lon / SHEET_DEGREES).astype(int) * SHEET_DEGREES
    return sorted({(int(s), int(w)) for s, w in zip(south, west, strict=True)})


def sheet_lonlat(south: int, west: int) -> tuple[Array, Array]:
    """Return longitude (cols,) and latitude (rows,), north to south, of a sheet's cell centres."""
    steps = (np.arange(SHEET_DEGREES * CELLS_PER_DEGREE) + 0.5) / CELLS_PER_DEGREE
    return west + steps, south + SHEET_DEGREES - steps


def write_elevation(folder: Path, south: int, west: int, elevation_m: Array) -> Path:
    """Write one sheet (rows, cols) of metres, NaN for unknown, and return its path."""
    path = folder / sheet_name(south, west)
    part = path.with_suffix(".part")
    values = np.where(np.isnan(elevation_m), ELEVATION_NODATA, elevation_m).astype(np.float32)
    step = 1.0 / CELLS_PER_DEGREE
    with rasterio.open(
        part,
        "w",
        driver="GTiff",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=_from_corner(west, south + SHEET_DEGREES, step),
        nodata=ELEVATION_NODATA,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        zlevel=1,
        predictor=3,
        SPARSE_OK="TRUE",
    ) as file:
        file.write(values, 1)
        file.set_band_description(1, "elevation (m)")
    part.replace(path)
    return path


def _from_corner(west: float, north: float, step: float) -> Affine:
    """Return the transform of square pixels from the north-west corner."""
    return Affine(step, 0.0, west, 0.0, -step, north)


def soil_file_name(layer: SoilLayer, region: str) -> str:
    """Return the name of a soil map; `region` may be empty."""
    suffix = f"_{region}" if region else ""
    return f"{layer.name}_0-5cm_mean{suffix}.tif"


def write_soil_maps(
    folder: Path, region: str, lon: Array, lat: Array, soil_at: PointFields
) -> list[Path]:
    """Write the five soil maps around points and return their paths.

    Parameters
    ----------
    folder : Path
        Existing folder.
    region : str
        Word for the area, part of the names.
    lon, lat : float array (n,)
        Points (degrees) whose surroundings are mapped: every block of 32 km that holds one of them
        and the blocks beside it; the rest of the rectangle is nodata.
    soil_at : callable
        Longitude and latitude (n,) to the fields of `SOIL_LAYERS`, NaN for unknown.
    """
    to_map = Transformer.from_crs("EPSG:4326", HOMOLOSINE, always_xy=True)
    x, y = to_map.transform(lon, lat)
    blocks = _blocks_around(np.asarray(x), np.asarray(y))
    profile = _soil_profile(blocks)
    values = _soil_blocks(blocks, soil_at)
    offsets = (blocks - blocks.min(axis=0)) * SOIL_BLOCK
    paths = []
    for field, layer in SOIL_LAYERS.items():
        path = folder / soil_file_name(layer, region)
        part = path.with_suffix(".part")
        with rasterio.open(part, "w", **profile) as file:
            for (row, col), block in zip(offsets, values[field], strict=True):
                window = RasterWindow(int(col), int(row), SOIL_BLOCK, SOIL_BLOCK)
                file.write(block, 1, window=window)
            file.set_band_description(1, f"{layer.name} 0-5 cm mean ({layer.units})")
        part.replace(path)
        paths.append(path)
    return paths


def _soil_profile(blocks: Array) -> dict[str, object]:
    """Return the profile of the rectangle that holds blocks (row, col)."""
    first_row, first_col = blocks.min(axis=0)
    rows, cols = blocks.max(axis=0) - blocks.min(axis=0) + 1
    size_m = SOIL_BLOCK * SOIL_PIXEL_M
    return {
        "driver": "GTiff",
        "height": int(rows) * SOIL_BLOCK,
        "width": int(cols) * SOIL_BLOCK,
        "count": 1,
        "dtype": "int16",
        "crs": HOMOLOSINE.to_wkt(),
        "transform": _from_corner(first_col * size_m, -first_row * size_m, SOIL_PIXEL_M),
        "nodata": SOIL_NODATA,
        "tiled": True,
        "blockxsize": SOIL_BLOCK,
        "blockysize": SOIL_BLOCK,
        "compress": "deflate",
        "zlevel": 1,
        "predictor": 2,
        "SPARSE_OK": "TRUE",
    }


def _blocks_around(x: Array, y: Array) -> Array:
    """Return (row, col) of the blocks that hold points or touch such a block, sorted."""
    size_m = SOIL_BLOCK * SOIL_PIXEL_M
    held = np.unique(np.stack([np.floor(-y / size_m), np.floor(x / size_m)], 1).astype(int), axis=0)
    steps = np.array([(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)])
    around: Array = np.unique((held[:, None, :] + steps[None]).reshape(-1, 2), axis=0)
    return around


def _soil_blocks(blocks: Array, soil_at: PointFields) -> dict[str, list[Array]]:
    """Return the stored values of each block by field, each (SOIL_BLOCK, SOIL_BLOCK)."""
    to_degrees = Transformer.from_crs(HOMOLOSINE, "EPSG:4326", always_xy=True)
    steps = (np.arange(SOIL_BLOCK) + 0.5) * SOIL_PIXEL_M
    size_m = SOIL_BLOCK * SOIL_PIXEL_M
    stored: dict[str, list[Array]] = {field: [] for field in SOIL_LAYERS}
    for row, col in blocks:
        x, y = np.meshgrid(col * size_m + steps, -row * size_m - steps)
        lon, lat = to_degrees.transform(x.ravel(), y.ravel())
        lon, lat = np.asarray(lon), np.asarray(lat)
        on_globe = np.isfinite(lon) & np.isfinite(lat)
        fields = soil_at(np.where(on_globe, lon, 0.0), np.where(on_globe, lat, 0.0))
        for field, layer in SOIL_LAYERS.items():
            physical = np.where(on_globe, fields[field], np.nan) * layer.factor
            whole = np.where(np.isnan(physical), SOIL_NODATA, np.rint(physical))
            stored[field].append(whole.astype(np.int16).reshape(SOIL_BLOCK, SOIL_BLOCK))
    return stored


FRACTION_CELLS_PER_DEGREE = 120
"""30 arc seconds, the cells of the China data set."""


def fraction_file_name(fraction: str, region: str) -> str:
    """Return the name of a map of the China data set."""
    return f"china_soil_{fraction}_{region}.tif"


def write_fractions(
    folder: Path, region: str, lon: Array, lat: Array, soil_at: PointFields
) -> list[Path]:
    """Write sand, silt and clay (per cent) on the rectangle around points; return their paths."""
    per = FRACTION_CELLS_PER_DEGREE
    west, east = int(np.floor(lon.min() * per)) - 2, int(np.ceil(lon.max() * per)) + 2
    south, north = int(np.floor(lat.min() * per)) - 2, int(np.ceil(lat.max() * per)) + 2
    lons, lats = np.meshgrid(
        (np.arange(west, east) + 0.5) / per, (np.arange(north, south, -1) - 0.5) / per
    )
    fields = soil_at(lons.ravel(), lats.ravel())
    paths = []
    for fraction in ("sand", "silt", "clay"):
        percent = fields[f"{fraction}_percent"].reshape(lons.shape)
        path = folder / fraction_file_name(fraction, region)
        part = path.with_suffix(".part")
        with rasterio.open(
            part,
            "w",
            driver="GTiff",
            height=lons.shape[0],
            width=lons.shape[1],
            count=1,
            dtype="float32",
            crs="EPSG:4326",
            transform=_from_corner(west / per, north / per, 1 / per),
            nodata=ELEVATION_NODATA,
            compress="deflate",
        ) as file:
            stored = np.where(np.isnan(percent), ELEVATION_NODATA, np.round(percent))
            file.write(stored.astype(np.float32), 1)
        part.replace(path)
        paths.append(path)
    return paths
