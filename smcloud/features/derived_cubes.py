"""What a cube that is made of other cubes is, and what its function is asked for.

To everything that reads them they are sources as others are. What makes one is a function of a
block; reading is its own affair, for each needs another neighbourhood in space and time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from smcloud.core.errors import NotFoundError
from smcloud.cube.schema import Array, CubeSchema
from smcloud.cube.store import Cube, open_cube
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import Window

Setting = str | float | int | bool


@dataclass(frozen=True)
class DerivedBlock:
    """One block of a derived cube: what its function is asked for.

    Attributes
    ----------
    year : int
    window : Window
        Whole shards of the cube's grid.
    part : Window
        What is asked for of it; the rest stays unknown.
    cubes : CubeSet
        Where the cubes lie that it is made of.
    schemas : mapping
        What those cubes hold.
    settings : mapping
        Of the run file, as plain values; part of the input hash.
    """

    year: int
    window: Window
    part: Window
    cubes: CubeSet
    schemas: Mapping[str, CubeSchema]
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def open(self, source: str, year: int | None) -> Cube | None:
        """Return the cube of a source and year; None where it was never ingested."""
        try:
            return open_cube(self.cubes.url(source, year), self.schemas[source], year)
        except NotFoundError:
            return None


@dataclass(frozen=True)
class Derived:
    """A cube made of other cubes.

    Attributes
    ----------
    name, title : str
    schema : CubeSchema
        Its shards hold a whole year: one block is one task.
    sources : tuple of str
        What it is made of.
    make : callable or None
        Returns the stored arrays (days, rows, cols) of every variable of a block. None where that
        takes models, which features know nothing of: `production.derived_makers` names what does.
    block_bytes : int
        What making one block takes of a worker's memory at most.
    settings : tuple of str
        Keys of the run file's section ``[downscale]`` that its values depend on.
    years_around : int
        Years before and after that are looked at where they exist.
    version : int
        Raised when the same inputs give other values.
    """

    name: str
    title: str
    schema: CubeSchema
    sources: tuple[str, ...]
    make: Callable[[DerivedBlock], Mapping[str, Array]] | None
    block_bytes: int
    settings: tuple[str, ...] = ()
    years_around: int = 0
    version: int = 1
