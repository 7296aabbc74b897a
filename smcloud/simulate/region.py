"""A region of 0.25 degree cells: which cells of it are land, and stations inside."""

from dataclasses import dataclass

import numpy as np

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import GLOBAL025
from smcloud.grids.land import is_land
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.noise import Doubles
from smcloud.simulate.records import Bools, Station
from smcloud.simulate.satellites import footprints
from smcloud.simulate.stations import Bounds, place_stations

EXAMPLE = "--region 95,30,105,40 (west,south,east,north in degrees)"


@dataclass(frozen=True)
class Region:
    """Longitudes from `west` eastward to `east`, latitudes from `south` to `north`, degrees.

    A region whose west is greater than its east crosses the date line.
    """

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def parse(cls, text: str) -> "Region":
        """Return the region written ``W,S,E,N``.

        Raises
        ------
        ConfigError
            If the text is not four numbers, or they are no region of the globe.
        """
        try:
            west, south, east, north = (float(word) for word in text.split(","))
        except ValueError as err:
            raise ConfigError(
                f"unreadable region {text!r}: expected four numbers, such as {EXAMPLE}"
            ) from err
        # Written so that NaN fails too.
        if not (abs(west) <= 180 and abs(east) <= 180 and -90 <= south <= 90 and abs(north) <= 90):
            raise ConfigError(
                f"region {text!r} leaves the globe: expected longitudes within -180..180 and "
                f"latitudes within -90..90, such as {EXAMPLE}"
            )
        if south >= north or west == east:
            raise ConfigError(
                f"region {text!r} is empty: expected a south below its north, and a west that is "
                f"not its east, such as {EXAMPLE}"
            )
        return cls(west, south, east, north)

    def __str__(self) -> str:
        return ",".join(f"{side:g}" for side in (self.west, self.south, self.east, self.north))

    @property
    def bounds(self) -> Bounds:
        """Return west, south, east, north with an east beyond 180 where it crosses that."""
        turn = 360.0 if self.west > self.east else 0.0
        return self.west, self.south, self.east + turn, self.north

    def holds(self, lon: Doubles, lat: Doubles) -> Bools:
        """Say of points (degrees) whether they lie inside."""
        west, south, east, north = self.bounds
        eastward = (lon - west) % 360.0
        inside: Bools = (eastward < east - west) & (lat > south) & (lat < north)
        return inside


def land_cells(region: Region) -> Footprints:
    """Return the cells with land whose centres lie in a region, sorted by row and column.

    Raises
    ------
    ConfigError
        If there is none.
    """
    lon, lat = (axis.ravel() for axis in GLOBAL025.lonlat(GLOBAL025.window))
    inside = region.holds(lon, lat)
    if inside.any():
        cells = footprints("lprm", lon[inside], lat[inside])
        has_land = cells.on_land.any(axis=1)
        if has_land.any():
            return footprints("lprm", cells.lon[has_land], cells.lat[has_land])
    raise ConfigError(
        f"region {region} has no cell of 0.25 degree with land: choose another, such as {EXAMPLE}"
    )


def region_stations(
    seed: int, count: int, region: Region, cells: Footprints
) -> tuple[Station, ...]:
    """Return stations on the land of some cells of a region.

    Raises
    ------
    ConfigError
        If there is too little land for so many.
    """
    if count == 0:
        return ()
    has_cell = np.zeros((GLOBAL025.rows, GLOBAL025.cols), np.bool_)
    has_cell[cells.rows, cells.cols] = True

    def accept(lon: Doubles, lat: Doubles) -> Bools:
        wrapped = (lon + 180.0) % 360.0 - 180.0
        found: Bools = is_land(wrapped, lat) & has_cell[GLOBAL025.pixel_of(wrapped, lat)]
        return found

    try:
        return place_stations(seed, count, accept, bounds=region.bounds)
    except ValueError as err:
        raise ConfigError(
            f"region {region} has too little land for {count} stations: ask for fewer (--stations)"
        ) from err
