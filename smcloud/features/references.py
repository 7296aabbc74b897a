"""Products of others at stations, day by day: what triple collocation compares stations with.

A reference is no feature. It is the value of the coarse cell that contains the station, as it is
stored and not interpolated, since interpolation would mix the errors of four cells; and where its
cube ends, or has a gap, it is unknown and no error: SMAP began in 2015, stations in the fifties.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smcloud.core.errors import ConfigError, NotFoundError
from smcloud.cube.schema import Array, CubeSchema
from smcloud.cube.store import Cube, open_cube
from smcloud.features.spec import CubeSet, Floats32
from smcloud.grids.grid import Window
from smcloud.sources.registry import SOURCES

REFERENCES: Mapping[str, tuple[str, ...]] = {
    "era5land": ("swvl1",),
    "smap_l3": ("soil_moisture_am", "soil_moisture_pm"),
    "cci_active": ("soil_moisture",),
    "cci_passive": ("soil_moisture",),
}
"""Columns by name of their source, and the variables whose first known one is the day's value.

SMAP: the overpass at 6 in the morning, when soil and canopy are about equally warm as its
retrieval assumes, else the one at 18. A difference between the two adds to SMAP's own error and to
nobody else's, so that it does not touch the figures of the station.
"""


@dataclass(frozen=True, eq=False)
class Places:
    """Stations of one tile and a year: what one task collocates.

    Attributes
    ----------
    tile : str
        Sinusoidal tile; a name for the task and nothing else.
    year : int
    longitude, latitude : float64 (n_stations,)
        Degrees.
    """

    tile: str
    year: int
    longitude: Array
    latitude: Array


def check_references(names: Sequence[str]) -> None:
    """Raise `ConfigError` unless each name is a column of the references table."""
    for name in names:
        if name not in REFERENCES:
            raise ConfigError(
                f"{name!r} is no reference for stations: expected one of {', '.join(REFERENCES)}"
            )


def reference_days(
    cubes: CubeSet,
    names: Sequence[str],
    places: Places,
    schemas: Mapping[str, CubeSchema] | None = None,
) -> dict[str, Floats32]:
    """Return the daily values of each reference in the cells that contain the places.

    Parameters
    ----------
    cubes
        Where the cubes of the references lie.
    names
        Some of `REFERENCES`.
    places
        Stations of one year.
    schemas
        Schema of each source; those of the sources themselves by default.

    Returns
    -------
    By name, (n_days of the year, n_stations) in the units of the source, NaN for unknown: no value
    on that day, no shard there, or no cube of that year.

    Raises
    ------
    CubeError
        If a cube is damaged or not what its schema says.
    """
    check_references(names)
    found = {}
    for name in names:
        schema = SOURCES[name].schema if schemas is None else schemas[name]
        found[name] = _first_known(cubes, schema, REFERENCES[name], places)
    return found


def _first_known(
    cubes: CubeSet, schema: CubeSchema, variables: Sequence[str], places: Places
) -> Floats32:
    shape = len(schema.times(places.year)), len(places.latitude)
    values = np.full(shape, np.nan, np.float32)
    try:
        cube = open_cube(cubes.url(schema.name, places.year), schema, places.year)
    except NotFoundError:
        return values
    for variable in variables:
        lacking = np.isnan(values)
        if lacking.any():
            np.copyto(values, _at_cells(cube, variable, places), where=lacking)
    return values


def _at_cells(cube: Cube, variable: str, places: Places) -> Floats32:
    """Return one variable in the cells of the places, (n_days, n_stations)."""
    row, col = cube.schema.on.pixel_of(
        np.asarray(places.longitude, np.float64), np.asarray(places.latitude, np.float64)
    )
    window = Window(int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1)
    points = ((row - window.row0) * window.shape[1] + col - window.col0).astype(np.intp)
    steps = slice(0, len(cube.times))
    stored = cube.read_points(variable, steps, window, points, required=False)
    return cube.variables[variable].unpack(stored)
