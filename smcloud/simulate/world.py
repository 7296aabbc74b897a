"""The simulated Earth: one seed, any pixels, any days, always the same values.

::

    earth = Earth(seed=7)
    ground = earth.ground(lon, lat)                    # true static properties -> Ground
    height = earth.elevation(lon, lat)                 # metres, alone and quick
    soil = earth.soil_map(lon, lat)                    # soil as a global map has it -> SoilMap
    for state in earth.run(lon, lat, days):            # true daily state -> DayState
        ...

`lon` and `lat` are 1-D arrays of degrees, in any order and of any number (flatten a window,
reshape the results); `days` is an ascending datetime64[D] array. A state is a function of (seed,
pixel, day) alone. Every calendar year starts from an anchor, `SPIN_UP_DAYS` before 1 January, in
a state that the climate implies, and is stepped from there day by day; so the 31 December of one
year and the 1 January of the next come from different runs, and what the spin-up has not yet
forgotten is a jump at the turn of the year (a test holds it small).

Instruments live elsewhere and see the truth only through their forward models: `sensors`
(satellites), `stations` (in situ probes). `reanalysis` does not see it at all.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smcloud.simulate.climate import Climate, Normals
from smcloud.simulate.columns import SPIN_UP_DAYS, Columns
from smcloud.simulate.noise import Doubles, Floats
from smcloud.simulate.records import DayState, Ground, SoilMap, WaterDay
from smcloud.simulate.surface import Surface

__all__ = ["SPIN_UP_DAYS", "Earth"]


class Earth:
    """The true state of a simulated Earth."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.climate = Climate(seed)
        self.surface = Surface(seed)

    def elevation(self, lon: ArrayLike, lat: ArrayLike) -> Floats:
        """Return the height above the sea in metres."""
        return self.surface.elevation(*_places(lon, lat))

    def normals(self, lon: ArrayLike, lat: ArrayLike) -> Normals:
        """Return the climate normals of pixels, interpolated from the weather lattice."""
        return self.climate.normals_at(*_places(lon, lat))

    def ground(self, lon: ArrayLike, lat: ArrayLike) -> Ground:
        """Return the true ground of pixels."""
        return self.surface.ground(*_places(lon, lat), self.normals(lon, lat))

    def soil_map(self, lon: ArrayLike, lat: ArrayLike) -> SoilMap:
        """Return the soil of pixels as a global map has it."""
        return self.surface.soil_map(*_places(lon, lat), self.normals(lon, lat))

    def run(
        self,
        lon: ArrayLike,
        lat: ArrayLike,
        days: NDArray[np.datetime64],
        ground: Ground | None = None,
    ) -> Iterator[DayState]:
        """Yield the true state of each asked day, in order.

        Parameters
        ----------
        lon, lat
            Degrees, 1-D.
        days
            Ascending datetime64[D].
        ground
            Stands in for the true ground: the columns under stations that do not represent their
            pixel are run with their own soil. By default the ground of the pixels.

        Raises
        ------
        ValueError
            If the days do not ascend.
        """
        for columns, wanted in self._years(lon, lat, days, ground):
            yield from columns.year(wanted)

    def run_water(
        self, lon: ArrayLike, lat: ArrayLike, days: NDArray[np.datetime64]
    ) -> Iterator[WaterDay]:
        """Yield water, frost and leaves of each asked day: part of what `run` yields, sooner."""
        for columns, wanted in self._years(lon, lat, days, None):
            yield from columns.water(wanted)

    def _years(
        self, lon: ArrayLike, lat: ArrayLike, days: NDArray[np.datetime64], ground: Ground | None
    ) -> Iterator[tuple[Columns, NDArray[np.datetime64]]]:
        """Yield the columns and the days of each year."""
        wanted = np.asarray(days).astype("datetime64[D]")
        if wanted.size > 1 and not (np.diff(wanted).astype(int) > 0).all():
            raise ValueError("expected ascending days, found days out of order: sort them first")
        x, y = _places(lon, lat)
        ground = self.ground(x, y) if ground is None else ground
        columns = Columns(self.climate, x, y, ground)
        years = wanted.astype("datetime64[Y]")
        for year in np.unique(years):
            yield columns, wanted[years == year]


def _places(lon: ArrayLike, lat: ArrayLike) -> tuple[Doubles, Doubles]:
    """Return 1-D float64 longitudes and latitudes."""
    return np.atleast_1d(np.asarray(lon, np.float64)), np.atleast_1d(np.asarray(lat, np.float64))
