"""GeoTIFF rasters, opened strictly, whose cells are read by windows when they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from xarray.backends import BackendArray
from xarray.core import indexing

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import Window
from smcloud.sources.hdf_eos import damaged

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Lattice:
    """Where the cells of a raster lie.

    Attributes
    ----------
    west, north : float
        Outer corner, CRS units.
    step_x, step_y : float
        Cell size, CRS units, both positive.
    rows, cols : int
        Size of the raster.
    """

    west: float
    north: float
    step_x: float
    step_y: float
    rows: int
    cols: int

    @property
    def window(self) -> Window:
        """Return all cells."""
        return Window(0, self.rows, 0, self.cols)

    def position(self, x: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
        """Return row and column of the cells that hold points of the CRS, also beyond the raster.

        Whole numbers; not finite where a point is not.
        """
        with np.errstate(invalid="ignore"):
            return (
                np.floor((self.north - y) / self.step_y),
                np.floor((x - self.west) / self.step_x),
            )


@dataclass(frozen=True, eq=False)
class Raster:
    """One raster whose cells are read when they are asked for.

    Attributes
    ----------
    values : DataArray (y, x)
        Cells, north to south; NaN unknown.
    """

    values: xr.DataArray

    @cached_property
    def lattice(self) -> Lattice:
        """Return where its cells lie."""
        at, (rows, cols) = self.values.attrs, self.values.shape
        return Lattice(at["west"], at["north"], at["step_x"], at["step_y"], rows, cols)

    def crop(self, window: Window) -> Floats:
        """Return the cells of a window inside the raster, (rows, cols)."""
        cells: Floats = self.values.variable[window.slices].values
        return cells


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
    y, x = _centres(transform, shape)
    band = xr.Variable(
        ("y", "x"),
        indexing.LazilyIndexedArray(_Band(path, shape, nodata, valid, factor)),
        {
            "west": transform.c,
            "north": transform.f,
            "step_x": transform.a,
            "step_y": -transform.e,
        },
    )
    return xr.Dataset({"band": band}, coords={"y": y, "x": x})["band"]


class _Band(BackendArray):
    """The cells of a file (rows, cols), physical values, NaN unknown, read when indexed."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        nodata: float | None,
        valid: tuple[float, float],
        factor: float,
    ) -> None:
        self._path, self._nodata, self._valid, self._factor = path, nodata, valid, factor
        self.shape = shape
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the cells of an index; xarray brings any to slices and integers."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[int | slice, ...]) -> Floats:
        spans: list[tuple[int, int]] = []
        inner: list[int | slice] = []
        for one, size in zip(key, self.shape, strict=True):
            if isinstance(one, slice):
                start, stop, step = one.indices(size)
                spans.append((start, stop))
                inner.append(slice(None, None, step))
            else:
                spans.append((int(one), int(one) + 1))
                inner.append(0)
        found: Floats = self._read(spans[0], spans[1])[tuple(inner)]
        return found

    def _read(self, rows: tuple[int, int], cols: tuple[int, int]) -> Floats:
        try:
            with rasterio.open(self._path, driver="GTiff") as file:
                stored = file.read(1, window=(rows, cols))
        except RasterioError as err:
            raise damaged(self._path, " ".join(str(err).split())) from err
        known = (stored >= self._valid[0]) & (stored <= self._valid[1])
        if self._nodata is not None:
            known &= stored != stored.dtype.type(self._nodata)
        values = stored.astype(np.float32) * np.float32(self._factor)
        return np.where(known, values, np.float32(np.nan))


def _centres(transform: Affine, shape: tuple[int, int]) -> tuple[Doubles, Doubles]:
    """Return y and x of the cell centres."""
    y = transform.f + transform.e * (np.arange(shape[0]) + 0.5)
    x = transform.c + transform.a * (np.arange(shape[1]) + 0.5)
    return np.asarray(y, np.float64), np.asarray(x, np.float64)
