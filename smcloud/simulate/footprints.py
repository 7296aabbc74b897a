"""Cells of coarse grids, and the places of the Earth whose mean a coarse sensor sees.

A footprint is a square lattice of places about the centre of its cell; it depends on the cell
alone, so that a cell has the same values whatever other cells are asked for with it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.ease2 import north_to_degrees
from smcloud.grids.grid import Grid, Window
from smcloud.grids.land import is_land
from smcloud.simulate.noise import Doubles, Floats
from smcloud.simulate.records import Bools

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Footprints:
    """Cells of one grid, each with the same number of places.

    Attributes
    ----------
    grid : Grid
    rows, cols : int array (n,)
        The cells, sorted by row and column.
    lon, lat : float array (n,)
        Their centres, degrees.
    place_lon, place_lat : float array (n * k,)
        The places, cell after cell, degrees.
    on_land : bool array (n, k)
        Which places are land: the sea is not part of the mean.
    """

    grid: Grid
    rows: Ints
    cols: Ints
    lon: Doubles
    lat: Doubles
    place_lon: Doubles
    place_lat: Doubles
    on_land: Bools

    @classmethod
    def holding(
        cls, grid: Grid, lon: Doubles, lat: Doubles, across: int, reach: float = 1.0
    ) -> "Footprints":
        """Return the footprints of the cells that hold points.

        Parameters
        ----------
        lon, lat
            Degrees, 1-D.
        across
            Places along each side of a footprint.
        reach
            Side of a footprint in cells: more than 1 where a product is posted more finely than
            its instrument sees.
        """
        row, col = grid.pixel_of(lon, lat)
        flat = np.unique(row * grid.cols + col)
        rows, cols = flat // grid.cols, flat % grid.cols
        steps = ((np.arange(across) + 0.5) / across - 0.5) * reach
        down, right = (step.ravel() for step in np.meshgrid(steps, steps, indexing="ij"))
        lay = _around if grid.goes_around else _about_pole
        lon, lat, place_lon, place_lat = lay(grid, rows, cols, (down, right))
        on_land = is_land(place_lon, place_lat).reshape(len(rows), across * across)
        return cls(grid, rows, cols, lon, lat, place_lon, place_lat, on_land)

    @property
    def per_cell(self) -> int:
        """Return the number of places of each cell."""
        return int(self.on_land.shape[1])

    @cached_property
    def land_share(self) -> Floats:
        """Return the share of land in each cell (n,)."""
        share: Floats = self.on_land.mean(axis=1).astype(np.float32)
        return share

    def mean(self, values: Floats) -> Floats:
        """Return the mean over the land of each cell (n,) of values at the places (n * k,).

        0 where a cell has no land: `land_share` tells.
        """
        held = np.where(self.on_land, values.reshape(self.on_land.shape), np.float32(0.0))
        mean: Floats = (held.sum(axis=1) / self._count).astype(np.float32)
        return mean

    @cached_property
    def _count(self) -> Ints:
        """Return how many places of each cell are land, 1 where none is (n,)."""
        count: Ints = np.maximum(self.on_land.sum(axis=1), 1)
        return count

    def repeated(self, values: Floats) -> Floats:
        """Return values of the cells (n,) at each of their places (n * k,)."""
        repeated: Floats = np.repeat(values, self.per_cell)
        return repeated


Laid = tuple[Doubles, Doubles, Doubles, Doubles]
"""Longitude and latitude (degrees) of cells (n,) and of their places (n * k,)."""


def _around(grid: Grid, rows: Ints, cols: Ints, steps: tuple[Doubles, Doubles]) -> Laid:
    """Return cells and places of a grid whose columns go around the globe."""
    down, right = steps
    lons, lats = grid_axes(grid)
    place_lat = np.interp((rows[:, None] + down).ravel(), np.arange(grid.rows), lats)
    width = lons[1] - lons[0]
    place_lon = (lons[cols][:, None] + width * right).ravel()
    return lons[cols], lats[rows], (place_lon + 180.0) % 360.0 - 180.0, place_lat


def _about_pole(grid: Grid, rows: Ints, cols: Ints, steps: tuple[Doubles, Doubles]) -> Laid:
    """Return cells and places of a grid of the northern map."""
    x, y = grid.x[cols], grid.y[rows]
    down, right = steps
    places = (x[:, None] + grid.step * right).ravel(), (y[:, None] - grid.step * down).ravel()
    return *north_to_degrees(x, y), *north_to_degrees(*places)


def grid_axes(grid: Grid) -> tuple[Doubles, Doubles]:
    """Return longitudes (cols,) and latitudes (rows,) of a cylindrical grid's centres, degrees."""
    lon = grid.lonlat(Window(0, 1, 0, grid.cols))[0][0]
    lat = grid.lonlat(Window(0, grid.rows, 0, 1))[1][:, 0]
    return lon, lat
