"""Frozen ground of a coarse product, looked up at fine pixels: one more reason for a quality bit.

The state of a cell counts for every pixel in it. Where it is unknown no bit is raised: other inputs
may raise the same one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import open_cube
from smcloud.features.blockwise import FeatureReader
from smcloud.features.inputs import BlockInputs, Points
from smcloud.features.sink import Sink
from smcloud.features.spec import Days, Flags, Quality
from smcloud.grids.grid import Floats, Window

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class GroundStates:
    """Published years of a product that tells states of the ground.

    Attributes
    ----------
    stores : mapping of int to str
        Year to the URL of its store.
    hashes : mapping of int to str
        Year to a hash of what it holds: part of the input hash of whatever reads it.
    schema : CubeSchema
    variable : str
    frozen : tuple of int
        Stored states under which the ground is frozen.
    """

    stores: Mapping[int, str]
    hashes: Mapping[int, str]
    schema: CubeSchema
    variable: str
    frozen: tuple[int, ...]

    def cells_of(self, lon: Floats, lat: Floats) -> tuple[Window, Points, Points]:
        """Return the window of the points' cells, their flat indices in it, and each point's own.

        The last are positions in the flat indices, (n_points,).
        """
        row, col = self.schema.on.pixel_of(lon, lat)
        window = Window(int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1)
        flat = (row - window.row0) * window.shape[1] + col - window.col0
        cells, own = np.unique(flat, return_inverse=True)
        return window, cells.astype(np.intp), own.astype(np.intp)

    def read(self, window: Window, cells: Points, days: Days) -> Mask:
        """Return which cells are frozen on consecutive days of published years, (days, cells)."""
        years = days.astype("datetime64[Y]").astype(np.int64) + 1970
        parts = []
        for year in np.unique(years).tolist():
            cube = open_cube(self.stores[year], self.schema, year)
            first, last = (days[years == year][[0, -1]] - cube.times[0]).astype(np.int64)
            steps = slice(int(first), int(last) + 1)
            # Cells that the product was not asked about have no object, and no state.
            stored = cube.read_points(self.variable, steps, window, cells, required=False)
            parts.append(np.isin(stored, self.frozen))
        return np.concatenate(parts)


@dataclass(frozen=True)
class MaskedInputs(BlockInputs):
    """Inputs of a block and the frozen cells below it.

    Attributes
    ----------
    frozen : bool (n_days, n_cells)
    own_cell : (n_points,)
        Cell of each point.
    """

    frozen: Mask | None = None
    own_cell: Points | None = None


class MaskedReader(FeatureReader):
    """A reader of features that also raises `FROZEN_OR_SNOW` where a coarse product says so.

    Parameters
    ----------
    reader : FeatureReader
        What is read and computed.
    states : GroundStates
    """

    def __init__(self, reader: FeatureReader, states: GroundStates) -> None:
        super().__init__(
            reader.features,
            tuple(reader.drivers.values()),
            reader.cubes,
            reader.grid.name,
            reader.schemas,
        )
        self.states = states

    def read(self, window: Window, days: Days, points: NDArray[np.integer[Any]]) -> BlockInputs:
        """Return the stored inputs of a block and the frozen cells below it; see `FeatureReader`.

        A point whose cell was never produced is not known to be frozen.
        """
        inputs = super().read(window, days, points)
        lon, lat = (one.reshape(-1)[inputs.points] for one in self.grid.lonlat(window))
        place, cells, own = self.states.cells_of(lon, lat)
        frozen = self.states.read(place, cells, inputs.days)
        held = {field.name: getattr(inputs, field.name) for field in fields(BlockInputs)}
        return MaskedInputs(**held, frozen=frozen, own_cell=own)

    def compute_into(self, inputs: BlockInputs, days: slice, sink: Sink) -> Flags:
        """Hand the columns of a slab of days to `sink` and return their flags."""
        flags = super().compute_into(inputs, days, sink)
        if isinstance(inputs, MaskedInputs) and inputs.frozen is not None:
            is_frozen = inputs.frozen[days][:, inputs.own_cell]
            flags |= is_frozen.view(np.uint8) * np.uint8(Quality.FROZEN_OR_SNOW)
        return flags
