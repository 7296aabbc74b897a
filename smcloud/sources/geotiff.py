"""GeoTIFF rasters, opened strictly, and their area means on pixels of the output grid.

An output pixel is sampled at a regular lattice of points inside it; each point takes the raster
cell that holds it, and the mean is over the points that are known. On the sheared sinusoidal grid
this follows the true outline of the pixel, where a warp that averages over the bounding box of a
pixel's corners takes in twice its area (45 degrees of shear at 100 E, 35 N).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dask.array
import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, Window
from smcloud.sources.hdf_eos import damaged

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Locate = Callable[[Doubles, Doubles], tuple[Doubles, Doubles]]
"""Longitude and latitude (degrees) to x and y of a raster's CRS."""

STRIP_ROWS = 50
"""Rows of the output grid that are sampled together."""
MIN_SAMPLES, MAX_SAMPLES = 4, 10
"""Points along each side of an output pixel."""
MIN_FRACTION = 0.25
"""Part of an output pixel that must be known."""
BLOCK_CELLS = 2048


@dataclass(frozen=True)
class Raster:
    """One raster whose cells are read when they are asked for.

    Attributes
    ----------
    values : DataArray (y, x)
        Cells, north to south; NaN unknown.
    west, north : float
        Outer corner, CRS units.
    step_x, step_y : float
        Cell size, CRS units, both positive.
    """

    values: xr.DataArray
    west: float
    north: float
    step_x: float
    step_y: float

    def crop(self, row0: int, row1: int, col0: int, col1: int) -> Floats:
        """Return cells [row0, row1) x [col0, col1); NaN outside the raster."""
        rows, cols = self.values.shape
        array = np.full((row1 - row0, col1 - col0), np.nan, np.float32)
        inner = Window(max(row0, 0), min(row1, rows), max(col0, 0), min(col1, cols))
        if inner.row0 < inner.row1 and inner.col0 < inner.col1:
            part = self.values[inner.row0 : inner.row1, inner.col0 : inner.col1]
            # Computed in this thread: a task must not wait for its own cluster.
            loaded = part.compute(scheduler="synchronous").values
            array[inner.within(Window(row0, row1, col0, col1))] = loaded
        return array


def read_raster(
    path: Path, check_crs: Callable[[CRS], str], valid: tuple[float, float], factor: float = 1.0
) -> xr.DataArray:
    """Return the one band of a GeoTIFF, float32 (y, x), NaN unknown, read when used.

    Parameters
    ----------
    path
        The file.
    check_crs
        Returns what is wrong with a CRS, empty when it is right.
    valid
        Range of stored values; those outside, and nodata, are unknown.
    factor
        Physical value of one stored unit.

    Raises
    ------
    GranuleError
        If the file is damaged, has several bands, another CRS, or is not north up.
    """
    try:
        with rasterio.open(path, driver="GTiff") as file:
            bands, crs, transform = file.count, file.crs, file.transform
            shape, nodata = file.shape, file.nodata
    except RasterioError as err:
        raise damaged(path, " ".join(str(err).split())) from err
    if bands != 1:
        raise GranuleError(f"{path.name}: expected a GeoTIFF of one band, found {bands} bands")
    problem = "expected a CRS, found none" if crs is None else check_crs(crs)
    if problem:
        raise GranuleError(f"{path.name}: {problem}")
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise GranuleError(f"{path.name}: expected a raster with north up, found a rotated one")
    values = xr.DataArray(
        _lazy(path, shape, nodata, valid, factor),
        dims=("y", "x"),
        coords=dict(zip(("y", "x"), _centres(transform, shape), strict=True)),
    )
    corner = {"west": transform.c, "north": transform.f}
    values.attrs = corner | {"step_x": transform.a, "step_y": -transform.e}
    return values


def _lazy(
    path: Path,
    shape: tuple[int, int],
    nodata: float | None,
    valid: tuple[float, float],
    factor: float,
) -> object:
    """Return a dask array of blocks that open the file themselves."""
    rows = _blocks(shape[0])
    cols = _blocks(shape[1])

    def read(block_info: dict[object, dict[str, list[tuple[int, int]]]]) -> Floats:
        (row0, row1), (col0, col1) = block_info[None]["array-location"]
        return _read_block(path, Window(row0, row1, col0, col1), nodata, valid, factor)

    map_blocks: Callable[..., object] = dask.array.map_blocks
    return map_blocks(
        read, chunks=(rows, cols), dtype=np.float32, meta=np.empty((0, 0), np.float32)
    )


def _blocks(size: int) -> tuple[int, ...]:
    whole, rest = divmod(size, BLOCK_CELLS)
    return (BLOCK_CELLS,) * whole + ((rest,) if rest else ())


def _read_block(
    path: Path, window: Window, nodata: float | None, valid: tuple[float, float], factor: float
) -> Floats:
    try:
        with rasterio.open(path) as file:
            stored = file.read(1, window=((window.row0, window.row1), (window.col0, window.col1)))
    except RasterioError as err:
        raise damaged(path, " ".join(str(err).split())) from err
    known = (stored >= valid[0]) & (stored <= valid[1])
    if nodata is not None:
        known &= stored != stored.dtype.type(nodata)
    values = stored.astype(np.float32) * np.float32(factor)
    return np.where(known, values, np.float32(np.nan))


def _centres(transform: Affine, shape: tuple[int, int]) -> tuple[Doubles, Doubles]:
    """Return y and x of the cell centres."""
    y = transform.f + transform.e * (np.arange(shape[0]) + 0.5)
    x = transform.c + transform.a * (np.arange(shape[1]) + 0.5)
    return np.asarray(y, np.float64), np.asarray(x, np.float64)


def as_raster(values: xr.DataArray) -> Raster:
    """Return what `read_raster` made as a raster that can be cropped."""
    at = values.attrs
    return Raster(values, at["west"], at["north"], at["step_x"], at["step_y"])


def samples_across(cell_m: float) -> int:
    """Return the points along each side of an output pixel for cells of this size (m)."""
    wanted = int(np.ceil(2.0 * SIN1KM.step / cell_m))
    return int(np.clip(wanted, MIN_SAMPLES, MAX_SAMPLES))


@dataclass(frozen=True)
class Strip:
    """Points inside some rows of output pixels.

    Attributes
    ----------
    window : Window
        Output pixels.
    lon, lat : (rows * n, cols * n) float64
        Degrees; NaN off the globe.
    samples : int
        n, points along each side of a pixel.
    """

    window: Window
    lon: Doubles
    lat: Doubles
    samples: int

    def mean(self, values: Floats) -> Floats:
        """Return the mean of the known points of each pixel, (rows, cols) from (rows n, cols n)."""
        rows, cols = self.window.shape
        points = values.reshape(rows, self.samples, cols, self.samples)
        known = np.isfinite(points)
        count = known.sum(axis=3, dtype=np.int32).sum(axis=1)
        total = np.where(known, points, np.float32(0)).sum(axis=3).sum(axis=1, dtype=np.float64)
        enough = count >= MIN_FRACTION * self.samples**2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(enough, total / count, np.nan).astype(np.float32)


def strips(window: Window, samples: int) -> Iterator[Strip]:
    """Yield the points of a window of the output grid, some rows at a time, north to south."""
    inner = (np.arange(samples) + 0.5) / samples - 0.5
    for row0 in range(window.row0, window.row1, STRIP_ROWS):
        part = Window(row0, min(row0 + STRIP_ROWS, window.row1), window.col0, window.col1)
        y = (SIN1KM.y[part.row0 : part.row1, None] - inner * SIN1KM.step).ravel()
        x = (SIN1KM.x[part.col0 : part.col1, None] + inner * SIN1KM.step).ravel()
        phi = y[:, None] / EARTH_RADIUS_M
        lon = np.degrees(x[None, :] / (EARTH_RADIUS_M * np.cos(phi)))
        lat = np.broadcast_to(np.degrees(phi), lon.shape)
        on_globe = np.abs(lon) <= 180.0
        yield Strip(part, np.where(on_globe, lon, np.nan), np.where(on_globe, lat, np.nan), samples)


def sample(raster: Raster, x: Doubles, y: Doubles) -> Floats | None:
    """Return the cells that hold the points, NaN where none does; None where no point has one."""
    with np.errstate(invalid="ignore"):
        col = np.floor((x - raster.west) / raster.step_x)
        row = np.floor((raster.north - y) / raster.step_y)
        rows, cols = raster.values.shape
        inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    if not inside.any():
        return None
    row, col = row[inside].astype(np.int64), col[inside].astype(np.int64)
    row0, col0 = int(row.min()), int(col.min())
    cells = raster.crop(row0, int(row.max()) + 1, col0, int(col.max()) + 1)
    found = np.full(x.shape, np.nan, np.float32)
    found[inside] = cells[row - row0, col - col0]
    return found


def area_means(
    window: Window, rasters: Mapping[str, Sequence[Raster]], locate: Locate, samples: int
) -> dict[str, Floats]:
    """Return the area mean of each layer over a window, (rows, cols) by name.

    Of rasters of one layer that overlap, the first that knows a point counts. NaN where less than a
    quarter of a pixel is known.
    """
    means = {name: np.full(window.shape, np.nan, np.float32) for name in rasters}
    every = [raster for layer in rasters.values() for raster in layer]
    for strip in strips(_reached(window, every, locate), samples):
        x, y = locate(strip.lon, strip.lat)
        for name, layer in rasters.items():
            points = np.full(strip.lon.shape, np.nan, np.float32)
            for raster in layer:
                found = sample(raster, x, y)
                if found is not None:
                    np.copyto(points, found, where=np.isnan(points))
            means[name][strip.window.within(window)] = strip.mean(points)
    return means


def _reached(window: Window, rasters: Sequence[Raster], locate: Locate) -> Window:
    """Return the part of a window that the rasters may reach, so that small cut-outs cost little.

    Pixel centres decide, with a margin of one pixel; empty where there is nothing.
    """
    x, y = locate(*SIN1KM.lonlat(window))
    reached = np.zeros(window.shape, bool)
    with np.errstate(invalid="ignore"):
        for raster in rasters:
            rows, cols = raster.values.shape
            col = (x - raster.west) / raster.step_x
            row = (raster.north - y) / raster.step_y
            reached |= (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    hit_rows, hit_cols = np.flatnonzero(reached.any(axis=1)), np.flatnonzero(reached.any(axis=0))
    if hit_rows.size == 0:
        return Window(window.row0, window.row0, window.col0, window.col0)
    return Window(
        max(window.row0 + int(hit_rows[0]) - 1, window.row0),
        min(window.row0 + int(hit_rows[-1]) + 2, window.row1),
        max(window.col0 + int(hit_cols[0]) - 1, window.col0),
        min(window.col0 + int(hit_cols[-1]) + 2, window.col1),
    )
