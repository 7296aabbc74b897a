"""Elevation models in latitude and longitude to elevation, slope and aspect at 1 km.

Slope and aspect are computed on the elevation model's own grid with metric spacing and then
averaged over the area of each output pixel; the sinusoidal pixels are sheared and have no east and
north of their own. An optional layer of upstream area (MERIT Hydro's ``upa``, km2) is averaged
likewise.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rasterio.crs import CRS

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import Variable
from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, Window
from smcloud.grids.tiles import TileYear, tile_window
from smcloud.sources.area_means import Block, area_means, blocks, corners, samples_across, strips
from smcloud.sources.base import Granule, steps_dataset
from smcloud.sources.geotiff import Doubles, Floats, Lattice, Raster, read_raster
from smcloud.sources.modis import UNKNOWN_INT16, tile_schema
from smcloud.sources.static_maps import StaticMaps

Cells = NDArray[np.int32]
Mask = NDArray[np.bool_]
SHEET_DEGREES = 5
MARGIN_DEGREES = 0.1
"""Sheets that close to a tile are read too: slopes need the cells beside it."""
METRES_A_DEGREE = EARTH_RADIUS_M * np.pi / 180.0
ALIGNMENT_TOLERANCE = 0.02
"""How far the cells of neighbouring sheets may be apart, in cells."""
ELEVATION_RANGE = (-500.0, 9000.0)
UPSTREAM_RANGE = (0.0, 8.0e6)

_NAME = re.compile(
    r"(?:.*[_-])?(?P<layer>elv|dem|elev|elevation|upa)(?:[_-].*)?\.tiff?", re.IGNORECASE
)
_SHEET = re.compile(r"(?P<ns>[ns])(?P<lat>\d{2})(?P<ew>[ew])(?P<lon>\d{3})_(?:elv|dem|upa)\.tif")


def _aspect(part: str) -> Variable:
    return Variable(
        f"aspect_{part}",
        "int16",
        "1",
        f"{part} of the aspect, clockwise from north; 0 on flat ground",
        (-1.0, 1.0),
        scale=0.0001,
        fill=UNKNOWN_INT16,
    )


SCHEMA = tile_schema(
    "terrain",
    "elevation, slope and aspect, 1 km",
    (
        Variable(
            "elevation",
            "int16",
            "m",
            "mean elevation",
            ELEVATION_RANGE,
            scale=0.5,
            fill=UNKNOWN_INT16,
            standard_name="surface_altitude",
        ),
        Variable(
            "slope",
            "int16",
            "degree",
            "mean slope",
            (0.0, 90.0),
            scale=0.01,
            fill=UNKNOWN_INT16,
        ),
        _aspect("sin"),
        _aspect("cos"),
        Variable(
            "upstream_area",
            "uint32",
            "km2",
            "mean upstream drainage area",
            UPSTREAM_RANGE,
            scale=0.01,
            fill=4294967295,
        ),
    ),
    None,
)


class Terrain(StaticMaps):
    """Reader of elevation and upstream area GeoTIFFs in latitude and longitude.

    Names say elv, dem, elev, elevation or upa.
    """

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a sheet of 5 degrees may touch the tile; other names may lie anywhere."""
        found = _SHEET.fullmatch(granule.name.lower())
        if found is None:
            return True
        south = int(found["lat"]) * (-1 if found["ns"] == "s" else 1)
        west = int(found["lon"]) * (-1 if found["ew"] == "w" else 1)
        bounds = _tile_bounds(key.tile)
        if bounds is None:
            return False
        tile_west, tile_south, tile_east, tile_north = bounds
        across = west < tile_east and west + SHEET_DEGREES > tile_west
        return across and south < tile_north and south + SHEET_DEGREES > tile_south

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return elevation (m) or upstream area (km2) of one file, dims (y, x), read when used.

        y and x are latitude and longitude of the cell centres, degrees.
        """
        is_upstream = self.parts(path, quality)["layer"].lower() == "upa"
        name, units = ("upstream_area", "km2") if is_upstream else ("elevation", "m")
        values = read_raster(
            path, _check_degrees, UPSTREAM_RANGE if is_upstream else ELEVATION_RANGE
        )
        values.attrs["units"] = units
        return xr.Dataset({name: values}, attrs={"source": self.name, "file": path.name})

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return elevation, slope (degree), aspect and, where given, upstream area, dims (y, x)."""
        home = tile_window(SIN1KM, key.tile)
        window = home if within is None else home.intersect(within) or home
        sheets = _rasters(datasets, "elevation")
        fields = _slopes(window, sheets)
        upstream = _rasters(datasets, "upstream_area")
        if upstream:
            across = samples_across(upstream[0].lattice.step_y * METRES_A_DEGREE)
            fields |= area_means(window, {"upstream_area": upstream}, _degrees, across)
        return steps_dataset(self.schema, fields, None, window)


@lru_cache(maxsize=512)
def _tile_bounds(tile: str) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north around a tile with a margin, degrees; None off the globe."""
    lon, lat = SIN1KM.lonlat(tile_window(SIN1KM, tile))
    if np.isnan(lon).all():
        return None
    west, south = float(np.nanmin(lon)), float(np.nanmin(lat))
    east, north = float(np.nanmax(lon)), float(np.nanmax(lat))
    return (
        west - MARGIN_DEGREES,
        south - MARGIN_DEGREES,
        east + MARGIN_DEGREES,
        north + MARGIN_DEGREES,
    )


def _check_degrees(crs: CRS) -> str:
    """Return what is wrong with a CRS that is not latitude and longitude."""
    if crs.is_geographic:
        return ""
    return f"expected latitude and longitude, found {crs.to_string()[:60]}; reproject it first"


def _degrees(lon: Doubles, lat: Doubles) -> tuple[Doubles, Doubles]:
    return lon, lat


def _rasters(datasets: Sequence[xr.Dataset], name: str) -> list[Raster]:
    """Return the sheets of one layer, checked to share one lattice of cells."""
    chosen = [one for one in datasets if name in one]
    rasters = [Raster(one[name]) for one in chosen]
    for dataset, raster in zip(chosen[1:], rasters[1:], strict=True):
        first, other = rasters[0].lattice, raster.lattice
        row, col = (
            (first.north - other.north) / first.step_y,
            (other.west - first.west) / first.step_x,
        )
        apart = max(abs(row - round(row)), abs(col - round(col)))
        sizes = abs(other.step_y / first.step_y - 1) + abs(other.step_x / first.step_x - 1)
        if sizes > 1e-6 or apart > ALIGNMENT_TOLERANCE:
            raise GranuleError(
                f"{dataset.attrs['file']}: expected cells in line with those of "
                f"{chosen[0].attrs['file']}, found cells of {other.step_y:g} degrees, "
                f"{apart:.2f} cells apart"
            )
    return rasters


def _slopes(window: Window, sheets: Sequence[Raster]) -> dict[str, Floats]:
    """Return area means of elevation, slope and the two parts of aspect over a window.

    Cells are read by strips; blocks of which no cell is known are left out.
    """
    names = ("elevation", "slope", "aspect_sin", "aspect_cos")
    fields = {name: np.full(window.shape, np.nan, np.float32) for name in names}
    if not sheets:
        return fields
    samples = samples_across(sheets[0].lattice.step_y * METRES_A_DEGREE)
    for strip in strips(window):
        mosaic = _Mosaic.around(Block(strip, samples), sheets)
        if mosaic is None:
            continue
        for block in blocks(strip, samples):
            if (part := mosaic.part(block)) is not None:
                place = block.window.within(window)
                for name, points in zip(names, part.sampled(block), strict=True):
                    fields[name][place] = block.mean(points)
    return fields


@dataclass(frozen=True, eq=False)
class _Mosaic:
    """A rectangle of cells of the sheets' common lattice, counted from the first sheet's corner.

    Attributes
    ----------
    lattice : Lattice
        That of the first sheet.
    window : Window
    cells : (rows, cols)
        Elevation, m, NaN unknown.
    """

    lattice: Lattice
    window: Window
    cells: Floats

    @classmethod
    def around(cls, strip: Block, sheets: Sequence[Raster]) -> "_Mosaic | None":
        """Return the cells around output pixels; None if none of them is known."""
        lattice = sheets[0].lattice
        window = _cells_around(strip, lattice)
        if window is None:
            return None
        cells = np.full(window.shape, np.nan, np.float32)
        for sheet in sheets:
            down = round((lattice.north - sheet.lattice.north) / lattice.step_y)
            right = round((sheet.lattice.west - lattice.west) / lattice.step_x)
            rows, cols = sheet.lattice.rows, sheet.lattice.cols
            part = window.intersect(Window(down, down + rows, right, right + cols))
            if part is None:
                continue
            found = sheet.crop(
                Window(part.row0 - down, part.row1 - down, part.col0 - right, part.col1 - right)
            )
            here = cells[part.within(window)]
            np.copyto(here, found, where=np.isnan(here))
        return None if np.isnan(cells).all() else cls(lattice, window, cells)

    def part(self, pixels: Block) -> "_Mosaic | None":
        """Return the cells around some of the output pixels; None if none of them is known."""
        around = _cells_around(pixels, self.lattice)
        window = None if around is None else around.intersect(self.window)
        if window is None:
            return None
        cells = self.cells[window.within(self.window)]
        return None if np.isnan(cells).all() else _Mosaic(self.lattice, window, cells)

    def sampled(self, block: Block) -> Iterator[Floats]:
        """Yield elevation, slope, sine and cosine of aspect at the points of a block."""
        at, off_globe = self._places(*block.lonlat)
        rows = np.arange(self.window.row0, self.window.row1) + 0.5
        latitudes = np.asarray(self.lattice.north - rows * self.lattice.step_y, np.float64)
        slopes = horn(self.cells, latitudes, self.lattice.step_x, self.lattice.step_y)
        for values in (self.cells, *slopes):
            points = values.ravel()[at]
            points[off_globe] = np.nan
            yield points

    def _places(self, lon: Doubles, lat: Doubles) -> tuple[Cells, Mask]:
        """Return the flat index of the cell that holds each point, and which are off the globe.

        Points off the globe get the index of some cell.
        """
        off_globe = np.isnan(lon)
        row, col = self.lattice.position(
            np.where(off_globe, 0.0, lon), np.where(off_globe, 0.0, lat)
        )
        rows, cols = self.window.shape
        down = np.clip(row.astype(np.int32) - self.window.row0, 0, rows - 1)
        right = np.clip(col.astype(np.int32) - self.window.col0, 0, cols - 1)
        cells: Cells = down * np.int32(cols) + right
        return cells, off_globe


def _cells_around(pixels: Block, lattice: Lattice) -> Window | None:
    """Return the cells of a lattice that hold output pixels, with one more on each side.

    None where all of them lie off the globe.
    """
    lon, lat = corners(pixels.window)
    if np.isnan(lon).any():
        # At the edge of the globe no corner tells how far the points of a pixel reach.
        lon, lat = pixels.lonlat
        if np.isnan(lon).all():
            return None
    row, col = lattice.position(lon, lat)
    return Window(
        int(np.nanmin(row)) - 1,
        int(np.nanmax(row)) + 2,
        int(np.nanmin(col)) - 1,
        int(np.nanmax(col)) + 2,
    )


def horn(
    elevation: Floats, latitudes: Doubles, step_x: float, step_y: float
) -> tuple[Floats, Floats, Floats]:
    """Return slope (degrees) and sine and cosine of aspect of each cell, (rows, cols).

    Horn's 3 x 3 gradient (Horn 1981, Proc. IEEE 69, 14-47) with metric spacing: a degree of
    longitude shrinks with the cosine of latitude. Aspect is the direction in which the ground
    falls, clockwise from north; both parts are 0 on flat ground. A neighbour that is unknown (sea,
    edge) counts as level with the cell; unknown cells stay NaN.

    Parameters
    ----------
    elevation : (rows, cols)
        Metres, north to south, NaN unknown.
    latitudes : (rows,)
        Degrees, of the cell centres.
    step_x, step_y : float
        Cell size in degrees of longitude and latitude.
    """
    padded = np.pad(elevation, 1, constant_values=np.nan)
    rows, cols = elevation.shape

    def neighbour(down: int, right: int) -> Floats:
        moved = padded[1 + down : 1 + down + rows, 1 + right : 1 + right + cols]
        return np.where(np.isnan(moved), elevation, moved)

    north_west, north, north_east = (neighbour(-1, right) for right in (-1, 0, 1))
    west, east = neighbour(0, -1), neighbour(0, 1)
    south_west, south, south_east = (neighbour(1, right) for right in (-1, 0, 1))
    spacing_y = step_y * METRES_A_DEGREE
    spacing_x = step_x * METRES_A_DEGREE * np.cos(np.radians(latitudes))[:, None]
    to_east = (north_east + 2 * east + south_east) - (north_west + 2 * west + south_west)
    to_north = (north_west + 2 * north + north_east) - (south_west + 2 * south + south_east)
    to_east, to_north = to_east / (8 * spacing_x), to_north / (8 * spacing_y)
    steepness = np.hypot(to_east, to_north)
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = np.where(steepness == 0, 0.0, -to_east / steepness)
        cosine = np.where(steepness == 0, 0.0, -to_north / steepness)
    slope = np.degrees(np.arctan(steepness))
    return slope.astype(np.float32), sine.astype(np.float32), cosine.astype(np.float32)


TERRAIN = Terrain(
    SCHEMA,
    "elevation model to elevation, slope and aspect, 1 km",
    _NAME,
    "n30e100_elv.tif (elv, dem, elev or upa)",
)
