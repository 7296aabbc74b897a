"""The grids that smcloud reads and writes, and rectangles of their pixels.

The output grid is the MODIS sinusoidal one at 1 km: a sphere of radius 6371007.181 m, 36 x 18 tiles
of 1200 x 1200 pixels, 43200 x 21600 pixels in all. It has no EPSG code; its CRS travels as WKT2.
Row 0 is the northernmost row, column 0 the westernmost; pixel centres are float64 and always
slices of one global array, so that two tiles can never disagree about a coordinate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from smcloud.core.errors import ConfigError
from smcloud.grids import ease2

EARTH_RADIUS_M = 6371007.181
TILE_SIZE_M = 1111950.5196666667
TILE_PIXELS = 1200
TILES_ACROSS = 36
TILES_DOWN = 18
PIXEL_M = TILE_SIZE_M / TILE_PIXELS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MODIS_SPHERE = f"+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R={EARTH_RADIUS_M} +units=m +no_defs"
Projection = Literal["sinusoidal", "ease2", "ease2north", "geographic"]
SINUSOIDAL: Projection = "sinusoidal"
EASE2: Projection = "ease2"
EASE2_NORTH: Projection = "ease2north"
GEOGRAPHIC: Projection = "geographic"
_CRS_OF = {
    SINUSOIDAL: _MODIS_SPHERE,
    EASE2: "EPSG:6933",
    EASE2_NORTH: "EPSG:6931",
    GEOGRAPHIC: "EPSG:4326",
}


@dataclass(frozen=True, order=True)
class Window:
    """Pixels ``[row0, row1) x [col0, col1)`` of a whole grid, counted from its north-west."""

    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, columns)."""
        return self.row1 - self.row0, self.col1 - self.col0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the slices of rows and columns."""
        return slice(self.row0, self.row1), slice(self.col0, self.col1)

    def intersect(self, other: "Window") -> "Window | None":
        """Return the pixels in both windows, or None."""
        row0, row1 = max(self.row0, other.row0), min(self.row1, other.row1)
        col0, col1 = max(self.col0, other.col0), min(self.col1, other.col1)
        return Window(row0, row1, col0, col1) if row0 < row1 and col0 < col1 else None

    def within(self, outer: "Window") -> tuple[slice, slice]:
        """Return the slices of this window in an array that covers `outer`."""
        return (
            slice(self.row0 - outer.row0, self.row1 - outer.row0),
            slice(self.col0 - outer.col0, self.col1 - outer.col0),
        )


def bounding_window(windows: Sequence[Window]) -> Window:
    """Return the smallest window around all `windows`."""
    return Window(
        min(window.row0 for window in windows),
        max(window.row1 for window in windows),
        min(window.col0 for window in windows),
        max(window.col1 for window in windows),
    )


@dataclass(frozen=True)
class Grid:
    """A regular grid of pixels in one CRS.

    Attributes
    ----------
    name : str
        Word of the grid in keys, such as ``sin1km``.
    rows, cols : int
        Size of the whole grid in pixels.
    x_first, y_first : float
        Centre of the north-west pixel, in CRS units (m or degrees).
    step : float
        Pixel size in CRS units, the same in x and y; rows go south.
    projection : str
        ``sinusoidal`` (the MODIS sphere, m), ``ease2`` (EASE-Grid 2.0 global, m), ``ease2north``
        (EASE-Grid 2.0 about the north pole, m) or ``geographic`` (latitude and longitude, degrees).
    """

    name: str
    rows: int
    cols: int
    x_first: float
    y_first: float
    step: float
    projection: Projection

    def __reduce__(self) -> tuple[Callable[[str], "Grid"], tuple[str]]:
        """Travel as a name: cached coordinates would make each task half a megabyte."""
        return grid_named, (self.name,)

    @property
    def projected(self) -> bool:
        """Say whether coordinates are metres."""
        return self.projection != GEOGRAPHIC

    @property
    def is_fine(self) -> bool:
        """Say whether this is the 1 km grid of tiles that products are written on.

        All others are coarse: one tile, and cells that are interpolated or looked up.
        """
        return self.projection == SINUSOIDAL

    @property
    def goes_around(self) -> bool:
        """Say whether the last column lies beside the first, around the globe."""
        return self.projection in (EASE2, GEOGRAPHIC)

    @property
    def dims(self) -> tuple[str, str]:
        """Return the names of the row and column dimensions in stores of this grid."""
        return ("y", "x") if self.projected else ("latitude", "longitude")

    @property
    def window(self) -> Window:
        """Return the window of the whole grid."""
        return Window(0, self.rows, 0, self.cols)

    @cached_property
    def crs(self) -> CRS:
        """Return the CRS."""
        return CRS.from_user_input(_CRS_OF[self.projection])

    @cached_property
    def x(self) -> Floats:
        """Return the pixel centres along a row (cols,), in CRS units, west to east."""
        return self.x_first + self.step * np.arange(self.cols, dtype=np.float64)

    @cached_property
    def y(self) -> Floats:
        """Return the pixel centres along a column (rows,), in CRS units, north to south."""
        return self.y_first - self.step * np.arange(self.rows, dtype=np.float64)

    def geobox(self, window: Window) -> GeoBox:
        """Return the odc-geo box of a window."""
        west = self.x_first + self.step * (window.col0 - 0.5)
        north = self.y_first - self.step * (window.row0 - 0.5)
        return GeoBox(
            window.shape, Affine(self.step, 0.0, west, 0.0, -self.step, north), self.crs.to_wkt()
        )

    def lonlat(self, window: Window) -> tuple[Floats, Floats]:
        """Return longitude and latitude of the pixel centres, degrees, each (rows, cols).

        NaN where a sinusoidal pixel lies off the globe. The sphere's own latitude is taken as the
        geographic one, as the MODIS grid defines it.
        """
        rows, cols = window.slices
        x, y = self.x[cols][None, :], self.y[rows][:, None]
        if self.projection == EASE2_NORTH:
            return ease2.north_to_degrees(x, y)
        if not self.is_fine:
            lon, lat = (x, y) if self.projection == GEOGRAPHIC else ease2.to_degrees(x, y)
            shape = window.shape
            return np.broadcast_to(lon, shape).copy(), np.broadcast_to(lat, shape).copy()
        lat = np.broadcast_to(np.degrees(y / EARTH_RADIUS_M), window.shape).copy()
        lon = np.degrees(x / (EARTH_RADIUS_M * np.cos(y / EARTH_RADIUS_M)))
        off_globe = np.abs(lon) > 180.0
        lon[off_globe] = np.nan
        lat[off_globe] = np.nan
        return lon, lat

    def xy(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        """Return the points (degrees, any shape) in CRS units.

        Longitudes are brought to -180..180 on the sinusoidal grid, and left as they are on those
        whose columns go around the globe.
        """
        if self.projection == SINUSOIDAL:
            wrapped = (lon + 180.0) % 360.0 - 180.0
            phi = np.radians(lat)
            return EARTH_RADIUS_M * np.radians(wrapped) * np.cos(phi), EARTH_RADIUS_M * phi
        if self.projection == EASE2_NORTH:
            return ease2.to_north_map(lon, lat)
        return ease2.to_map(lon, lat) if self.projection == EASE2 else (lon, lat)

    def pixel_of(self, lon: Floats | float, lat: Floats | float) -> tuple[Ints, Ints]:
        """Return row and column of the pixels that contain the points (degrees).

        Beyond the first or last row, which is at 85 degrees on EASE-Grid 2.0, that row is held; so
        is the first or last column of a grid that does not go around the globe.

        Raises
        ------
        ConfigError
            If a point is NaN or beyond the poles.
        """
        lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
        if not (np.isfinite(lon).all() and (np.abs(lat) <= 90.0).all()):
            raise ConfigError("a point has no usable coordinates: latitude within -90..90, degrees")
        x, y = self.xy(lon, lat)
        if self.goes_around:
            first_edge = self.x_first - self.step / 2
            x = (x - first_edge) % (self.cols * self.step) + first_edge
        col = np.floor((x - self.x_first) / self.step + 0.5).astype(np.int64)
        row = np.floor((self.y_first - y) / self.step + 0.5).astype(np.int64)
        return np.clip(row, 0, self.rows - 1), np.clip(col, 0, self.cols - 1)


def _ease2(
    name: str, shape: tuple[int, int], cell_m: float, projection: Projection = EASE2
) -> Grid:
    """Return an EASE-Grid 2.0, whose cells meet at the origin of its map."""
    rows, cols = shape
    west, north = -(cols - 1) / 2 * cell_m, (rows - 1) / 2 * cell_m
    return Grid(name, rows, cols, west, north, cell_m, projection)


SIN1KM = Grid(
    "sin1km",
    rows=TILES_DOWN * TILE_PIXELS,
    cols=TILES_ACROSS * TILE_PIXELS,
    x_first=-TILES_ACROSS / 2 * TILE_SIZE_M + PIXEL_M / 2,
    y_first=TILES_DOWN / 2 * TILE_SIZE_M - PIXEL_M / 2,
    step=PIXEL_M,
    projection=SINUSOIDAL,
)
ERA5LAND = Grid("era5land", 1801, 3600, x_first=0.0, y_first=90.0, step=0.1, projection=GEOGRAPHIC)
GLOBAL025 = Grid("global025", 720, 1440, -179.875, 89.875, step=0.25, projection=GEOGRAPHIC)
IMERG = Grid("imerg", 1800, 3600, -179.95, 89.95, step=0.1, projection=GEOGRAPHIC)
GLOBAL30S = Grid(
    "global30s", 21600, 43200, -180 + 1 / 240, 90 - 1 / 240, step=1 / 120, projection=GEOGRAPHIC
)
EASE2_36KM = _ease2("ease2_36km", ease2.SHAPE_36KM, ease2.CELL_36KM_M)
EASE2_9KM = _ease2("ease2_9km", ease2.SHAPE_9KM, ease2.CELL_9KM_M)
EASE2_1KM = _ease2("ease2_1km", ease2.SHAPE_1KM, ease2.CELL_1KM_M)
EASE2_NORTH_25KM = _ease2(
    "ease2n_25km", ease2.SHAPE_NORTH_25KM, ease2.CELL_NORTH_25KM_M, EASE2_NORTH
)

GRIDS = {
    grid.name: grid
    for grid in (
        SIN1KM,
        ERA5LAND,
        GLOBAL025,
        IMERG,
        GLOBAL30S,
        EASE2_36KM,
        EASE2_9KM,
        EASE2_1KM,
        EASE2_NORTH_25KM,
    )
}


@lru_cache(maxsize=1)
def sinusoidal_wkt() -> str:
    """Return the CRS of the output grid as WKT2, the text that stores and files carry."""
    return str(SIN1KM.crs.to_wkt("WKT2_2019"))


def grid_named(name: str) -> Grid:
    """Return the grid of this name, or raise `ConfigError` listing the names."""
    if name not in GRIDS:
        raise ConfigError(f"unknown grid {name!r}: expected one of {', '.join(sorted(GRIDS))}")
    return GRIDS[name]
