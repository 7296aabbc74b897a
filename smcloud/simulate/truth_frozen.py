"""The truth of frozen ground as a cube: the share of each cell of 25 km that is frozen.

At the local hours of the overpasses whose states are estimated and learnt from; only scores read
it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from smcloud.core.layout import join, year_store
from smcloud.cube.schema import YEAR_STEPS, Array, CubeSchema, Variable
from smcloud.cube.store import create_store, shard_key, write_shard
from smcloud.grids.grid import EASE2_NORTH_25KM
from smcloud.simulate.frozen_ground import frozen_share
from smcloud.simulate.frozen_pieces import northern_cells
from smcloud.simulate.pool import Report
from smcloud.simulate.world import Earth
from smcloud.simulate.year_pieces import YearPiece, days_in

FOLDER = "truth-frozen"
SHARD_CELLS = 120
LOCAL_HOURS = {"01": 1.5, "06": 6.0, "13": 13.5, "18": 18.0}
"""Local solar hours by the word that names of variables end in."""


def share_name(word: str) -> str:
    """Return the name of the share at an hour, such as ``frozen_share_06``."""
    return f"frozen_share_{word}"


FROZEN_TRUTH = CubeSchema(
    "truth_frozen",
    EASE2_NORTH_25KM.name,
    tuple(
        Variable(
            share_name(word),
            "uint8",
            "1",
            f"share of the land of a cell that is frozen at {hour:g} local solar time",
            (0.0, 1.0),
            scale=0.01,
            fill=255,
        )
        for word, hour in LOCAL_HOURS.items()
    ),
    step_days=1,
    chunks=(46, 20, 20),
    shards=(YEAR_STEPS, SHARD_CELLS, SHARD_CELLS),
    title="Frozen ground of the simulated Earth on cells of 25 km, shares of land",
)


def frozen_truth_url(out: str, year: int) -> str:
    """Return the URL of one year's truth."""
    return join(out, FOLDER, year_store(year))


@dataclass(frozen=True)
class FrozenTruthPiece(YearPiece):
    """The truth over the cells of some tiles in one year."""

    def keys(self) -> list[str]:
        """Return the keys of the shards that hold the cells."""
        return [key for key, _, _ in self._shards()]

    def _shards(self) -> Iterator[tuple[str, str, tuple[int, int]]]:
        """Yield key, variable, and row and column of each shard."""
        cells = northern_cells(self.areas)
        pairs = np.unique(np.stack([cells.rows, cells.cols], axis=1) // SHARD_CELLS, axis=0)
        for variable in FROZEN_TRUTH.variables:
            for row, col in pairs.tolist():
                inner = shard_key(variable.name, (0, row, col))
                yield join(FOLDER, year_store(self.year), inner), variable.name, (row, col)

    def run(self, report: Report) -> None:
        """Step the year and write the missing shards."""
        cells, url = northern_cells(self.areas), frozen_truth_url(self.out, self.year)
        days = days_in(self.year)
        stored: dict[str, list[Array]] = {v.name: [] for v in FROZEN_TRUTH.variables}
        for state in Earth(self.seed).run(cells.place_lon, cells.place_lat, days):
            for word, hour in LOCAL_HOURS.items():
                name = share_name(word)
                packed = FROZEN_TRUTH.variable(name).pack(frozen_share(cells, state, hour))
                stored[name].append(np.where(cells.land_share > 0, packed, np.uint8(255)))
        create_store(url, FROZEN_TRUTH, self.year)
        for key, name, (row, col) in self._shards():
            if key not in self.missing:
                continue
            inside = (cells.rows // SHARD_CELLS == row) & (cells.cols // SHARD_CELLS == col)
            at = cells.rows[inside] % SHARD_CELLS, cells.cols[inside] % SHARD_CELLS
            block = np.full((len(days), SHARD_CELLS, SHARD_CELLS), 255, np.uint8)
            block[:, at[0], at[1]] = np.stack(stored[name])[:, inside]
            record = write_shard(url, FROZEN_TRUTH, name, (0, row, col), block)
            report(1, record.stored_bytes)
