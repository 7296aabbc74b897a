"""What turns the states of footprints into files, day by day."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_hdf5 import CellArrays
from smcloud.simulate.records import DayState
from smcloud.simulate.request import FOLDERS

Files = Iterator[tuple[str, bytes]]
"""Key below the output URL, content."""


@dataclass(frozen=True)
class Instrument:
    """Footprints to be simulated, and what turns their states of a day into files."""

    cells: tuple[Footprints, ...]
    files: Callable[[list[DayState]], Files]


def key_of(source: str, year: int, name: str) -> str:
    """Return the key of a file below the output URL."""
    return f"granules/{FOLDERS[source]}/{year}/{name}"


def arrays_of(cells: Footprints) -> CellArrays:
    """Return the cells as parts of global arrays by row and column."""
    return CellArrays((cells.grid.rows, cells.grid.cols), cells.rows, cells.cols)
