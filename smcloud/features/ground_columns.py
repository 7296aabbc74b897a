"""What tells of frozen ground, by cell of a coarse grid and day: columns read from cubes.

Brightness temperatures lie on the cells themselves. The land model is interpolated to their
centres, and elevation and soil, which are stored at 1 km, are means over points spread evenly over
a cell. An overpass of the radiometer goes with the label's pass nearest to it in time
(`features.pass_matching`): the one at 1:30 with the label of 6:00, the one at 13:30 with the label
of 18:00, local solar time, four and a half hours each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import NotFoundError
from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import Cube, open_cube
from smcloud.features.inputs import unwrapped_windows
from smcloud.features.pass_matching import days_later, utc_hours, with_labels_of
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import SIN1KM, Floats, Grid, Window
from smcloud.grids.regrid import bilinear
from smcloud.sources.swath_cells import (
    ASCENDING,
    DESCENDING,
    FREQUENCIES,
    POLARISATIONS,
    brightness_name,
    hour_name,
)

Floats32 = NDArray[np.float32]
Points = NDArray[np.intp]
PassName = Literal["night", "day"]
SAMPLES = 5
"""Points along each side of a cell at which what is stored at 1 km is looked up."""
LEAST_SAMPLES = 5
"""Fewer known points give no mean."""
LAND_MODEL = "land_model_"
"""What names of columns from the land model begin with."""


@dataclass(frozen=True)
class Overpass:
    """An overpass of the radiometer and the passes of others that go with it.

    Attributes
    ----------
    name : str
    direction : str
        Of the radiometer.
    local_hour : float
        Of the radiometer, local solar time.
    label : str
        Variable of the label's cube.
    label_hour : float
        Local solar time of the label.
    """

    name: PassName
    direction: str
    local_hour: float
    label: str
    label_hour: float


NIGHT = Overpass("night", DESCENDING, 1.5, "state_asc", 6.0)
DAY = Overpass("day", ASCENDING, 13.5, "state_desc", 18.0)
OVERPASSES: Mapping[str, Overpass] = {one.name: one for one in (NIGHT, DAY)}

BRIGHTNESS: tuple[str, ...] = tuple(
    f"tb_{frequency}{polarisation}" for frequency in FREQUENCIES for polarisation in POLARISATIONS
)
RATIOS = ("polarisation_18", "polarisation_36")
"""(V - H) / (V + H): water makes it large, which frozen ground lacks."""
GRADIENTS = ("gradient_18_36v", "gradient_18_36h", "gradient_36_89v")
"""Brightness at the higher frequency less that at the lower one, K: negative over frozen ground and
snow, which scatter."""
MODELLED = ("air_temperature", "soil_temperature", "soil_moisture", "snow_water")
IS_NIGHT = "is_night"
NO_LABEL = 255


@dataclass(frozen=True)
class GroundSources:
    """Where columns come from; empty names are left out.

    Attributes
    ----------
    radiometer, land_model : str
        Daily sources on the cells and on a grid of latitude and longitude.
    terrain, soil : str
        Static sources at 1 km.
    """

    radiometer: str
    land_model: str = ""
    terrain: str = ""
    soil: str = ""

    @property
    def layers(self) -> tuple[tuple[str, str], ...]:
        """Return source and variable of each static column."""
        found = [(self.terrain, name) for name in ("elevation", "slope") if self.terrain]
        return (*found, *((self.soil, name) for name in ("sand", "silt", "clay") if self.soil))

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of all columns, in their order."""
        modelled = tuple(LAND_MODEL + name for name in MODELLED) if self.land_model else ()
        static = tuple(name for _, name in self.layers)
        return (*BRIGHTNESS, *RATIOS, *GRADIENTS, *modelled, *static, IS_NIGHT)

    @property
    def units(self) -> tuple[str, ...]:
        """Return the units of all columns."""
        known = {"elevation": "m", "slope": "degree", "sand": "%", "silt": "%", "clay": "%"}
        known |= {LAND_MODEL + "soil_moisture": "m3 m-3", LAND_MODEL + "snow_water": "kg m-2"}
        known |= dict.fromkeys((*RATIOS, IS_NIGHT), "1")
        return tuple(known.get(name, "K") for name in self.columns)

    @property
    def of_land_model(self) -> tuple[str, ...]:
        """Return the columns that an ablation of the land model leaves out."""
        return tuple(name for name in self.columns if name.startswith(LAND_MODEL))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the sources, each once."""
        every = (self.radiometer, self.land_model, self.terrain, self.soil)
        return tuple(dict.fromkeys(name for name in every if name))


@dataclass(frozen=True)
class GroundReader:
    """Reads the columns of some cells.

    Attributes
    ----------
    sources : GroundSources
    cubes : CubeSet
    schemas : mapping
        What the cubes of each source hold.
    grid : Grid
        Of the cells.
    """

    sources: GroundSources
    cubes: CubeSet
    schemas: Mapping[str, CubeSchema]
    grid: Grid

    def read(
        self, window: Window, points: Points, year: int, overpasses: Sequence[Overpass]
    ) -> dict[str, Floats32]:
        """Return the columns (columns, days, cells) of each overpass, by its name.

        Parameters
        ----------
        window
            Cells of the grid.
        points
            Flat indices within the window of the cells that are asked for.
        year
            All of its days.

        Returns
        -------
        NaN is unknown: no footprint, the sea, a day that was not ingested.

        Raises
        ------
        NotFoundError
            If a cube of the year, or a static one, was never ingested.
        CubeError
            If a cube is damaged or not what its schema says.
        """
        modelled, static = self._modelled(window, points, year), self._static(window, points)
        found: dict[str, Floats32] = {}
        for overpass in overpasses:
            seen = self._brightness(window, points, year, overpass)
            n_days = len(seen[0])
            columns = [*seen, *brightness_contrasts(dict(zip(BRIGHTNESS, seen, strict=True)))]
            columns += [*modelled, *(np.broadcast_to(one, seen[0].shape) for one in static)]
            columns.append(np.full((n_days, points.size), overpass.name == "night", np.float32))
            found[overpass.name] = np.stack(columns)
        return found

    def labels(
        self, label: str, window: Window, points: Points, year: int, overpass: Overpass
    ) -> NDArray[np.uint8]:
        """Return the label of each pass of the radiometer, (days, cells), `NO_LABEL` without one.

        Parameters
        ----------
        label
            Source of the labels, on the same cells. Its cubes of the years around are looked at
            for the pairs that lie on two days; where there is none these have no label.

        Raises
        ------
        NotFoundError
            If the cube of the year was never ingested.
        """
        lon = self.grid.lonlat(window)[0].ravel()[points]
        timed = hour_name(overpass.direction)
        hours = self.layer(self.sources.radiometer, timed, window, points, year)
        # The hour of a cell is that of one channel; where it is unknown, that of the orbit stands.
        own = np.where(np.isfinite(hours), hours, utc_hours(overpass.local_hour, lon))
        asked = label, overpass.label, window, points
        same = _as_states(self.layer(*asked, year))
        before, after = self._edge(*asked, year - 1, -1), self._edge(*asked, year + 1, 0)
        states = {
            -1: np.concatenate([before, same[:-1]]),
            0: same,
            1: np.concatenate([same[1:], after]),
        }
        return with_labels_of(states, days_later(own, overpass.label_hour, lon), NO_LABEL)

    def _edge(
        self, source: str, name: str, window: Window, points: Points, year: int, day: int
    ) -> NDArray[np.uint8]:
        """Return the states of the first or last day of a year beside, (1, cells)."""
        try:
            return _as_states(self.layer(source, name, window, points, year, day))
        except NotFoundError:
            return np.full((1, points.size), NO_LABEL, np.uint8)

    def layer(
        self,
        source: str,
        name: str,
        window: Window,
        points: Points,
        year: int,
        day: int | None = None,
    ) -> Floats32:
        """Return one daily variable on the cells, (days, cells): of all days, or of one alone."""
        cube = self._open(source, year)
        n_days = len(cube.times)
        first = 0 if day is None else day % n_days
        steps = slice(first, n_days if day is None else first + 1)
        # How far files of a coarse grid reach is known to them alone: no object, no value.
        stored = cube.read_points(name, steps, window, points, required=False)
        return cube.variables[name].unpack(stored)

    def _brightness(
        self, window: Window, points: Points, year: int, overpass: Overpass
    ) -> list[Floats32]:
        names = [
            brightness_name(frequency, polarisation, overpass.direction)
            for frequency in FREQUENCIES
            for polarisation in POLARISATIONS
        ]
        return [self.layer(self.sources.radiometer, name, window, points, year) for name in names]

    def _modelled(self, window: Window, points: Points, year: int) -> list[Floats32]:
        """Return the variables of the land model at the cells' centres, (days, cells) each."""
        if not self.sources.land_model:
            return []
        lon, lat = (one.ravel()[points] for one in self.grid.lonlat(window))
        cube = self._open(self.sources.land_model, year)
        weights = bilinear(cube.schema.on, lon, lat)
        steps = slice(0, len(cube.times))
        found = []
        for name in MODELLED:
            parts = [
                cube.read_physical(name, steps, part, required=False)
                for part in unwrapped_windows(weights.window, cube.schema.on)
            ]
            found.append(weights.apply(np.concatenate(parts, axis=2)))
        return found

    def _static(self, window: Window, points: Points) -> list[Floats32]:
        """Return the means of static layers over each cell, (cells,) each."""
        if not self.sources.layers:
            return []
        lon, lat = sample_points(self.grid, window)
        lon, lat = lon[points], lat[points]
        row, col = SIN1KM.pixel_of(lon.ravel(), lat.ravel())
        wide = Window(int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1)
        flat = (row - wide.row0) * wide.shape[1] + col - wide.col0
        found = []
        for source, name in self.sources.layers:
            cube = self._open(source, None)
            stored = cube.read_points(name, slice(0, 0), wide, flat, required=False)
            found.append(mean_of_known(cube.variables[name].unpack(stored).reshape(lon.shape)))
        return found

    def _open(self, source: str, year: int | None) -> Cube:
        url = self.cubes.url(source, year)
        try:
            return open_cube(url, self.schemas[source], year)
        except NotFoundError as err:
            raise NotFoundError(f"no cube {url}: ingest {source} first") from err


def _as_states(values: Floats32) -> NDArray[np.uint8]:
    return np.where(np.isfinite(values), values, np.float32(NO_LABEL)).astype(np.uint8)


def brightness_contrasts(seen: Mapping[str, Floats32]) -> list[Floats32]:
    """Return polarisation ratios and gradients of brightness temperatures, as `RATIOS` and so on.

    Parameters
    ----------
    seen
        `BRIGHTNESS` by name, K, any one shape; NaN is unknown.
    """
    ratios = [
        (seen[f"tb_{one}v"] - seen[f"tb_{one}h"]) / (seen[f"tb_{one}v"] + seen[f"tb_{one}h"])
        for one in ("18", "36")
    ]
    pairs = (("tb_36v", "tb_18v"), ("tb_36h", "tb_18h"), ("tb_89v", "tb_36v"))
    return [*ratios, *(seen[high] - seen[low] for high, low in pairs)]


def sample_points(grid: Grid, window: Window) -> tuple[Floats, Floats]:
    """Return longitude and latitude (degrees) of points over each cell, (cells, points) each."""
    fine = replace(
        grid,
        rows=grid.rows * SAMPLES,
        cols=grid.cols * SAMPLES,
        x_first=grid.x_first - grid.step * (SAMPLES - 1) / (2 * SAMPLES),
        y_first=grid.y_first + grid.step * (SAMPLES - 1) / (2 * SAMPLES),
        step=grid.step / SAMPLES,
    )
    edges = (window.row0, window.row1, window.col0, window.col1)
    rows, cols = window.shape
    found = []
    for values in fine.lonlat(Window(*(SAMPLES * edge for edge in edges))):
        by_cell = values.reshape(rows, SAMPLES, cols, SAMPLES).transpose(0, 2, 1, 3)
        found.append(by_cell.reshape(rows * cols, SAMPLES * SAMPLES))
    return found[0], found[1]


def mean_of_known(values: Floats32) -> Floats32:
    """Return the mean of the known values of each row (n, k); NaN where they are too few."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, np.float32(0)).sum(axis=1, dtype=np.float64)
    enough = count >= LEAST_SAMPLES
    found = np.divide(total, count, out=np.full(len(values), np.nan), where=enough)
    return np.asarray(found, np.float32)
