"""What every reader of native files offers: a name, a cube schema, and three verbs.

`identify` tells what a file is from its name alone, `read` opens it on its own grid, `steps` brings
what was read to the grid and the time steps of the source's cube. A source whose files are tiles
packs them at once beside (`PacksGranules`). Nothing else is known about a source elsewhere, so that
a new one is one file and one line in the registry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol, runtime_checkable

import xarray as xr

from smcloud.cube.schema import Array, CubeSchema, Days
from smcloud.grids.grid import Grid, Window
from smcloud.grids.tiles import TileYear


@dataclass(frozen=True, order=True)
class Granule:
    """One native file, as far as its name tells.

    Attributes
    ----------
    source : str
        Name of the source.
    tile : str
        Sinusoidal tile, or ``globe`` for files that are not cut along it.
    start, end : date
        First and last UTC day covered, inclusive; both 1970-01-01 for static layers.
    produced : str
        Production stamp, sortable as text; empty where the name has none.
    name : str
        File name without folders.
    scene : str
        What two productions of a file that is not cut along tiles have in common beside its days;
        empty where each name stands for itself.
    """

    source: str
    tile: str
    start: date
    end: date
    produced: str
    name: str
    scene: str = ""


def day_of(digits: str) -> date | None:
    """Return the day that ``YYYYMMDD`` of a file name spells; None for one that never was."""
    try:
        return date.fromisoformat(digits)
    except ValueError:
        return None


def coordinates(times: Days | None, grid: Grid, window: Window) -> dict[str, Array]:
    """Return times, unless there are none, and the centres of a window's rows and columns."""
    rows, cols = grid.dims
    places: dict[str, Array] = {
        rows: grid.y[window.slices[0]],
        cols: grid.x[window.slices[1]],
    }
    return places if times is None else {"time": times.astype("datetime64[ns]")} | places


def steps_dataset(
    schema: CubeSchema, values: Mapping[str, Array], days: Days | None, window: Window
) -> xr.Dataset:
    """Return the fields of a window as `Source.steps` does, described as the cube's variables are.

    Parameters
    ----------
    schema : CubeSchema
    values : mapping of variable to array, dims as the cube has them
    days : datetime64[D] (days,)
        First days of the steps; None of a static cube.
    window : Window
        Of the cube's grid.
    """
    fields = {}
    for name, found in values.items():
        variable = schema.variable(name)
        attrs = {"units": variable.units, "long_name": variable.long_name}
        fields[name] = (schema.dims, found, attrs)
    return xr.Dataset(fields, coords=coordinates(days, schema.on, window))


@dataclass(frozen=True)
class Outage:
    """Days without a file because nothing was produced.

    Attributes
    ----------
    first, last : date
        UTC days, inclusive.
    reason : str
        Why, for people.
    """

    first: date
    last: date
    reason: str

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


@runtime_checkable
class Source(Protocol):
    """A reader of one kind of native file.

    Attributes
    ----------
    name, title : str
        Word of the command line; one line for people.
    schema : CubeSchema
        The cube that ingest writes.
    quality_rules : tuple of str
        Names of the rules for which pixels are kept, the default first; empty where files carry no
        quality.
    joins_granules : bool
        True where `steps` needs all files of a slab at once.
    lookahead_days : int
        Days after a slab whose files are needed too: 1 where the total of a day lies in the next.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def schema(self) -> CubeSchema: ...  # noqa: D102
    @property
    def quality_rules(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def joins_granules(self) -> bool: ...  # noqa: D102
    @property
    def lookahead_days(self) -> int: ...  # noqa: D102

    def identify(self, name: str) -> Granule | None:
        """Return what a file name says, or None where it is no file of this source."""

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say from its name whether a granule may hold pixels of the key's tile."""

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return one file on its native grid: physical values, units in attributes, NaN unknown.

        Integers are quality words, as stored. `quality` is one of `quality_rules`; empty means the
        first.

        Raises
        ------
        GranuleError
            If the file is damaged or of another product, grid or collection; one line that names
            the file, what was expected and what was found.
        UserError
            If there is no such quality rule.
        MissingExtraError
            If the library that reads this format is not installed.
        """

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return datasets of `read` on the cube's grid and steps, dims as the cube has them.

        Coordinates are pixel centres of the cube's grid and, unless static, the first days of the
        steps; values outside the files are NaN. The window is the key's tile, or on a coarse grid
        what the files cover, cut to `within` where that is given.

        Raises
        ------
        GranuleError
            If the datasets do not belong to the key's tile or do not fit together.
        """


@runtime_checkable
class PacksGranules(Source, Protocol):
    """A source each of whose files is one step of one tile, so that it is packed at once."""

    def pack_into(self, path: Path, into: Mapping[str, Array], *, quality: str = "") -> None:
        """Pack one file into the stored integers of the cube; unknown pixels are left alone.

        The same bits as `read`, `steps` and `Variable.pack` give one after another, without their
        arrays.

        Parameters
        ----------
        path, quality
            As of `read`.
        into : mapping of cube variable to (rows, cols) of its stored type
            The whole tile of the file at its step, C-contiguous.

        Raises
        ------
        As `read`; `into` may hold some of the file's variables then.
        """


@runtime_checkable
class PairsFiles(Source, Protocol):
    """A source with the values of a day in one file, and what says their quality in others."""

    def scenes(self, quality: str) -> tuple[str, ...]:
        """Return the scenes (`Granule.scene`) that a day needs under a quality rule, all of them.

        Those that no rule needs are left out of the work.
        """


@runtime_checkable
class KnowsItsDays(Source, Protocol):
    """A source that does not have a file on each day, and knows when none is to be expected."""

    @property
    def outages(self) -> tuple[Outage, ...]:
        """Return the periods in which nothing was produced, in order."""

    def expects(self, day: date) -> bool:
        """Say whether a file of this day is missing where there is none."""


@runtime_checkable
class KnowsItsMemory(Source, Protocol):
    """A source on a coarse grid whose open files keep another amount than a layer each."""

    def kept_bytes(self, granules: int, quality: str) -> int:
        """Return the bytes that so many open files keep under a quality rule."""
