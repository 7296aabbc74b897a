"""Cloud-optimised GeoTIFFs: one tile and day as stored, or a day of a region in physical values.

Sinusoidal CRS and -9999 for unknown. A tile has the stored integers with their scale and offset as
GDAL tags: values are those of the cube, bit for bit. A region is for programs that look at no tag:
its tiles side by side, float32 in the units of the variable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rio_cogeo.cogeo import cog_validate

from smcloud.core.errors import ConfigError, IntegrityError
from smcloud.core.layout import join
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Variable
from smcloud.grids.grid import PIXEL_M, SIN1KM, Window, bounding_window, sinusoidal_wkt
from smcloud.grids.tiles import tile_window
from smcloud.validation.collocation import Layer

NODATA = -9999
REGION = "region"
MOST_PIXELS = 200_000_000
"""Of a region's file: 0.8 GB in memory, a quarter of the land of the globe."""
COG_OPTIONS = {
    "driver": "COG",
    "blocksize": 512,
    "compress": "DEFLATE",
    "predictor": "YES",
    "overviews": "IGNORE_EXISTING",
    "overview_resampling": "AVERAGE",
}


@dataclass(frozen=True)
class RasterTask:
    """One GeoTIFF to write: a tile, a day, and the produced blocks inside the tile."""

    layer: Layer
    tile: str
    day: str
    blocks: tuple[Window, ...]
    folder: str
    """URL that the file is put below."""

    @property
    def name(self) -> str:
        """Return the name of the file, such as ``glass-sm.h25v05.2019-07-15.tif``."""
        return f"{self.layer.schema.name}.{self.tile}.{self.day}.tif"


@dataclass(frozen=True)
class RegionTask:
    """One GeoTIFF of a whole region to write: a day, and the produced blocks of all its tiles.

    Raises
    ------
    ConfigError
        If the rectangle around the blocks has more pixels than one file may have.
    """

    layer: Layer
    day: str
    blocks: tuple[Window, ...]
    folder: str

    def __post_init__(self) -> None:
        rows, cols = self.window.shape
        if rows * cols > MOST_PIXELS:
            raise ConfigError(
                f"publish.geotiff: the rectangle around the tiles has {rows:,} x {cols:,} pixels, "
                f"more than the {MOST_PIXELS:,} of one file: name tiles that lie closer together"
            )

    @property
    def window(self) -> Window:
        """Return the rectangle around the blocks."""
        return bounding_window(self.blocks)

    @property
    def name(self) -> str:
        """Return the name of the file, such as ``smap-downscaling.2019-07-15.tif``."""
        return f"{self.layer.schema.name}.{self.day}.tif"


@dataclass(frozen=True)
class RasterRecord:
    """What was written; the tile of a region is `REGION`."""

    tile: str
    day: str
    url: str
    size_bytes: int
    known_pixels: int


def write_raster(task: RasterTask) -> RasterRecord:
    """Read one day of one tile from the cube, put it as a GeoTIFF, and return what was written.

    Raises
    ------
    ConfigError
        If the day is not in the year.
    CubeError
        If a produced block is absent or damaged.
    IntegrityError
        If the file would not be a valid cloud-optimised GeoTIFF.
    """
    window = tile_window(SIN1KM, task.tile)
    variable = task.layer.schema.variable(task.layer.variable)
    values = read_day(task.layer, np.datetime64(task.day, "D"), window, task.blocks)
    data = encode_cog(values, window, variable, {"DATE": task.day, "TILE": task.tile})
    open_objects(task.folder).put(task.name, data)
    known = int((values != variable.fill_value).sum())
    return RasterRecord(task.tile, task.day, join(task.folder, task.name), len(data), known)


def write_region(task: RegionTask) -> RasterRecord:
    """Read one day of all tiles from the cube, put it as one GeoTIFF, and return what was written.

    Raises
    ------
    ConfigError
        If the day is not in the year.
    CubeError
        If a produced block is absent or damaged.
    IntegrityError
        If the file would not be a valid cloud-optimised GeoTIFF.
    """
    variable = task.layer.schema.variable(task.layer.variable)
    stored = read_day(task.layer, np.datetime64(task.day, "D"), task.window, task.blocks)
    known = int((stored != variable.fill_value).sum())
    values = np.nan_to_num(variable.unpack(stored), nan=NODATA)
    physical = replace(variable, scale=1.0, offset=0.0)
    data = _encoded(values, task.window, physical, {"DATE": task.day})
    open_objects(task.folder).put(task.name, data)
    return RasterRecord(REGION, task.day, join(task.folder, task.name), len(data), known)


def read_day(
    layer: Layer, day: np.datetime64, window: Window, blocks: Sequence[Window]
) -> NDArray[np.generic]:
    """Return the stored values of one day (rows, cols) of `window`; fill outside `blocks`."""
    cube = layer.open()
    variable = cube.variables[layer.variable]
    step = int((day - cube.times[0]).astype(int))
    if not 0 <= step < len(cube.times):
        raise ConfigError(f"{day} is not a day of {layer.year}: choose days of the product's years")
    values = np.full(window.shape, variable.fill_value, variable.dtype)
    for block in blocks:
        if (inside := block.intersect(window)) is not None:
            stored = cube.read(
                layer.variable, slice(step, step + 1), inside, required=layer.required
            )
            values[inside.within(window)] = stored[0]
    return values


def encode_cog(
    values: NDArray[np.generic], window: Window, variable: Variable, tags: dict[str, str]
) -> bytes:
    """Return the bytes of a cloud-optimised GeoTIFF of stored values (rows, cols) of `window`.

    Fill becomes -9999. Overviews average the known pixels.

    Raises
    ------
    IntegrityError
        If the result does not validate.
    """
    filled = np.where(values == variable.fill_value, NODATA, values).astype(np.int16)
    return _encoded(filled, window, variable, tags)


def _encoded(
    filled: NDArray[np.generic], window: Window, variable: Variable, tags: dict[str, str]
) -> bytes:
    """Return the bytes of a cloud-optimised GeoTIFF of values in which unknown is -9999."""
    profile = {
        "driver": "GTiff",
        "dtype": filled.dtype.name,
        "count": 1,
        "height": window.shape[0],
        "width": window.shape[1],
        "nodata": NODATA,
        "crs": rasterio.CRS.from_wkt(sinusoidal_wkt()),
        "transform": transform_of(window),
    }
    with MemoryFile() as plain, MemoryFile() as target:
        with plain.open(**profile) as raster:
            raster.write(filled, 1)
            raster.update_tags(**tags)
            raster.scales, raster.offsets = (variable.scale,), (variable.offset,)
            raster.units = (variable.units,)
            raster.set_band_description(1, variable.name)
        copy_raster(plain.name, target.name, **COG_OPTIONS)
        valid, faults, _ = cog_validate(target.name)
        if not valid:
            raise IntegrityError(f"the GeoTIFF of {tags} is not cloud-optimised: {faults}")
        return bytes(target.read())


def transform_of(window: Window) -> Affine:
    """Return the affine transform from pixel (col, row) of `window` to metres: upper left edges."""
    west = float(SIN1KM.x[window.col0]) - PIXEL_M / 2
    north = float(SIN1KM.y[window.row0]) + PIXEL_M / 2
    return Affine(PIXEL_M, 0.0, west, 0.0, -PIXEL_M, north)
