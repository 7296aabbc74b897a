"""Area means of rasters on pixels of the output grid.

An output pixel is sampled at a regular lattice of points inside it; each point takes the raster
cell that holds it, and the mean is over the points that are known. On the sheared sinusoidal grid
this follows the true outline of the pixel, where a warp that averages over the bounding box of a
pixel's corners takes in twice its area (45 degrees of shear at 100 E, 35 N).

Projecting the points is most of the work, and rasters are often known in small parts alone: a
cut-out, an island, the surroundings of stations. Hence the corners of pixels are projected first,
and the points of those blocks only that have a known cell between their corners.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, Window
from smcloud.sources.geotiff import Doubles, Floats, Lattice, Raster

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Locate = Callable[[Doubles, Doubles], tuple[Doubles, Doubles]]
"""Longitude and latitude (degrees) to x and y of a raster's CRS."""

STRIP_ROWS = 50
"""Rows of the output grid whose cells are read together."""
BLOCK_COLS = 50
"""Columns of a block: some rows and columns of a strip that are sampled together."""
MIN_SAMPLES, MAX_SAMPLES = 4, 10
"""Points along each side of an output pixel."""
MIN_FRACTION = 0.25
"""Part of an output pixel that must be known."""
MARGIN_CELLS = 4
"""How far from the straight lines between its corners a point of a pixel may be projected."""
HELD_CELLS = 2**24
"""Cells around a strip that are read at once; a strip across a gap of its projection has more."""


def samples_across(cell_m: float) -> int:
    """Return the points along each side of an output pixel for cells of this size (m)."""
    wanted = int(np.ceil(2.0 * SIN1KM.step / cell_m))
    return int(np.clip(wanted, MIN_SAMPLES, MAX_SAMPLES))


@dataclass(frozen=True)
class Block:
    """Points inside some output pixels.

    Attributes
    ----------
    window : Window
        Output pixels.
    samples : int
        n, points along each side of a pixel.
    """

    window: Window
    samples: int

    @cached_property
    def lonlat(self) -> tuple[Doubles, Doubles]:
        """Return longitude and latitude, (rows * n, cols * n) each, degrees; NaN off the globe."""
        inner = (np.arange(self.samples) + 0.5) / self.samples - 0.5
        rows, cols = self.window.slices
        y = (SIN1KM.y[rows, None] - inner * SIN1KM.step).ravel()
        x = (SIN1KM.x[cols, None] + inner * SIN1KM.step).ravel()
        return _on_globe(x, y)

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


def strips(window: Window) -> Iterator[Window]:
    """Yield some rows of a window at a time, north to south."""
    for row0 in range(window.row0, window.row1, STRIP_ROWS):
        yield Window(row0, min(row0 + STRIP_ROWS, window.row1), window.col0, window.col1)


def blocks(strip: Window, samples: int) -> Iterator[Block]:
    """Yield the blocks of a strip, west to east."""
    for col0 in range(strip.col0, strip.col1, BLOCK_COLS):
        stop = min(col0 + BLOCK_COLS, strip.col1)
        yield Block(Window(strip.row0, strip.row1, col0, stop), samples)


def corners(window: Window) -> tuple[Doubles, Doubles]:
    """Return longitude and latitude of the corners of pixels, (rows + 1, cols + 1) each, degrees.

    NaN off the globe.
    """
    west, north = SIN1KM.x_first - SIN1KM.step / 2, SIN1KM.y_first + SIN1KM.step / 2
    rows = np.arange(window.row0, window.row1 + 1, dtype=np.float64)
    cols = np.arange(window.col0, window.col1 + 1, dtype=np.float64)
    return _on_globe(west + SIN1KM.step * cols, north - SIN1KM.step * rows)


def _on_globe(x: Doubles, y: Doubles) -> tuple[Doubles, Doubles]:
    """Return longitude and latitude of rows at y and columns at x, metres; NaN off the globe."""
    phi = y[:, None] / EARTH_RADIUS_M
    lon = np.degrees(x[None, :] / (EARTH_RADIUS_M * np.cos(phi)))
    lat = np.broadcast_to(np.degrees(phi), lon.shape)
    on_globe = np.abs(lon) <= 180.0
    return np.where(on_globe, lon, np.nan), np.where(on_globe, lat, np.nan)


def area_means(
    window: Window, rasters: Mapping[str, Sequence[Raster]], locate: Locate, samples: int
) -> dict[str, Floats]:
    """Return the area mean of each layer over a window, (rows, cols) by name.

    Of rasters of one layer that overlap, the first that knows a point counts. NaN where less than a
    quarter of a pixel is known.
    """
    means = {name: np.full(window.shape, np.nan, np.float32) for name in rasters}
    for strip in strips(window):
        around = _Surroundings(strip, rasters, locate)
        for block in blocks(strip, samples):
            if around.may_know(block.window):
                place = block.window.within(window)
                for name, points in around.sampled(block).items():
                    means[name][place] = block.mean(points)
    return means


class _Surroundings:
    """The cells of some rasters around a strip of output pixels."""

    def __init__(
        self, strip: Window, rasters: Mapping[str, Sequence[Raster]], locate: Locate
    ) -> None:
        self._strip, self._locate = strip, locate
        self._x, self._y = locate(*corners(strip))
        self._layers = {
            name: [_Held(raster, self._box(strip, raster.lattice)) for raster in layer]
            for name, layer in rasters.items()
        }

    def _box(self, window: Window, lattice: Lattice) -> Window | None:
        """Return the cells that pixels of the strip may need; None where a corner is off the map.

        The margin is for the curves that pixel edges are on a map.
        """
        rows, cols = window.within(self._strip)
        corner = slice(rows.start, rows.stop + 1), slice(cols.start, cols.stop + 1)
        row, col = lattice.position(self._x[corner], self._y[corner])
        if not (np.isfinite(row).all() and np.isfinite(col).all()):
            return None
        return Window(
            int(row.min()) - MARGIN_CELLS,
            int(row.max()) + 1 + MARGIN_CELLS,
            int(col.min()) - MARGIN_CELLS,
            int(col.max()) + 1 + MARGIN_CELLS,
        )

    def may_know(self, window: Window) -> bool:
        """Say whether a raster may know a point inside these pixels of the strip."""
        boxes: dict[Lattice, Window | None] = {}
        for layer in self._layers.values():
            for held in layer:
                lattice = held.raster.lattice
                if lattice not in boxes:
                    boxes[lattice] = self._box(window, lattice)
                if held.may_know(boxes[lattice]):
                    return True
        return False

    def sampled(self, block: Block) -> dict[str, Floats]:
        """Return each layer at the points of a block, NaN unknown; no layer off the globe."""
        lon, lat = block.lonlat
        if np.isnan(lon).all():
            return {}
        x, y = self._locate(lon, lat)
        places: dict[Lattice, _Places | None] = {}
        found = {}
        for name, layer in self._layers.items():
            points = np.full(lon.shape, np.nan, np.float32)
            for held in layer:
                lattice = held.raster.lattice
                if lattice not in places:
                    places[lattice] = _Places.of(lattice, x, y)
                if (place := places[lattice]) is not None:
                    np.copyto(points, held.at(place), where=np.isnan(points))
            found[name] = points
        return found


class _Held:
    """The cells of a raster inside a box, read once; others are read when they are needed."""

    def __init__(self, raster: Raster, box: Window | None) -> None:
        self.raster = raster
        window = raster.lattice.window if box is None else raster.lattice.window.intersect(box)
        self._is_none = window is None
        self._window: Window | None = None
        if window is not None and window.shape[0] * window.shape[1] <= HELD_CELLS:
            self._window, self._cells = window, raster.crop(window)

    def may_know(self, box: Window | None) -> bool:
        """Say whether a cell of a box may be known; None is anywhere."""
        inside = None if box is None else box.intersect(self.raster.lattice.window)
        if self._is_none or (box is not None and inside is None):
            return False
        if self._window is None or inside is None or inside.intersect(self._window) != inside:
            return True
        return bool(np.isfinite(self._cells[inside.within(self._window)]).any())

    def at(self, places: "_Places") -> Floats:
        """Return the cells at some places, NaN outside the raster."""
        window = self._window
        if window is None or places.box.intersect(window) != places.box:
            return places.taken(self.raster.crop(places.box), places.box)
        return places.taken(self._cells, window)


@dataclass(frozen=True, eq=False)
class _Places:
    """Which cell of a lattice holds each of some points.

    Attributes
    ----------
    inside : bool array
        Points that a cell holds; at least one.
    row, col : int array
        Cells of those points.
    box : Window
        All those cells.
    """

    inside: Mask
    row: Ints
    col: Ints
    box: Window
    _flat: dict[Window, Ints] = field(default_factory=dict)

    @classmethod
    def of(cls, lattice: Lattice, x: Doubles, y: Doubles) -> "_Places | None":
        """Return the cells that hold points of the raster's CRS; None where none has one."""
        row, col = lattice.position(x, y)
        with np.errstate(invalid="ignore"):
            inside = (row >= 0) & (row < lattice.rows) & (col >= 0) & (col < lattice.cols)
        if not inside.any():
            return None
        rows, cols = row[inside].astype(np.int64), col[inside].astype(np.int64)
        box = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
        return cls(inside, rows, cols, box)

    def taken(self, cells: Floats, window: Window) -> Floats:
        """Return the values of cells that cover a window, at all points; NaN where no cell is."""
        if window not in self._flat:
            width = window.shape[1]
            self._flat[window] = (self.row - window.row0) * width + (self.col - window.col0)
        found = np.full(self.inside.shape, np.nan, np.float32)
        found[self.inside] = cells.ravel()[self._flat[window]]
        return found
