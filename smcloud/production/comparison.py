"""The produced maps beside other products: on the cells of a coarse one, the pixels of a fine one.

Neither is a reference that is right: what is told is how far they agree, where, and when.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from distributed import Client

from smcloud.core.config import CompareConfig, RunConfig
from smcloud.core.errors import ConfigError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.schema import CubeSchema
from smcloud.grids.cells import areas_of
from smcloud.grids.grid import Window
from smcloud.production.block_map import over_blocks, over_windows
from smcloud.production.store_year import StoreYear
from smcloud.sources.base import Source
from smcloud.sources.registry import SOURCES
from smcloud.validation.area_means import (
    MEMBERS,
    CellScores,
    CoarseComparison,
    compare_area,
)
from smcloud.validation.collocation import BlockScores, Comparison, Layer, score_block
from smcloud.validation.metrics import Interval, draw_weights, overall_interval
from smcloud.validation.pairs import Floats, PairStats

MOISTURE_UNITS = "m3 m-3"


@dataclass(frozen=True)
class Compared:
    """What the maps are compared with.

    Attributes
    ----------
    source, title : str
        Word and line of the source.
    units : str
        Of its soil moisture: where they are not those of the maps, only correlations are told.
    grid : str
    """

    source: str
    title: str
    units: str
    grid: str

    @property
    def has_same_units(self) -> bool:
        """Return whether differences mean anything."""
        return self.units == MOISTURE_UNITS


class Medians(NamedTuple):
    """Medians over cells of what triple collocation says of a member, and of what is true of it.

    `error_std` and `true_error_std` are in the member's units; without a truth the true figures
    are NaN.
    """

    cells: int
    r: float
    error_std: float
    true_r: float
    true_error_std: float


@dataclass(frozen=True, eq=False)
class CoarseFinding:
    """The maps against a product of coarse cells, by area mean.

    Attributes
    ----------
    compared : Compared
    third : Compared or None
        Third member of the triple collocation.
    parts : tuple of CellScores
        One per area with cells to compare.
    overall, anomalies : mapping
        Every score over all cells and days, of values and of anomalies; intervals from a bootstrap
        over the areas.
    minimum_share, window_days
        As the run file says.
    """

    compared: Compared
    third: Compared | None
    parts: tuple[CellScores, ...]
    overall: Mapping[str, Interval]
    anomalies: Mapping[str, Interval]
    minimum_share: float
    window_days: int

    @property
    def n_cells(self) -> int:
        """Return how many cells were compared."""
        return sum(part.cells.rows.size for part in self.parts)

    @property
    def months(self) -> PairStats:
        """Return the sums of each month, shape (12,)."""
        return PairStats.stacked([part.months for part in self.parts]).total(axis=0)

    @property
    def knows_truth(self) -> bool:
        """Return whether the errors of the members are known, as on a simulated Earth."""
        return any(part.truth is not None for part in self.parts)

    def medians(self, member: int) -> Medians | None:
        """Return the medians of a member, over the cells that can be judged; None without any."""
        found = [self._figures(part, member) for part in self.parts if part.collocation is not None]
        if not found:
            return None
        figures = np.concatenate(found, axis=1)
        needed = figures if self.knows_truth else figures[:2]
        judged = np.isfinite(needed).all(axis=0)
        if not judged.any():
            return None
        r, error, true_r, true_error = (float(np.median(row[judged])) for row in figures)
        return Medians(int(judged.sum()), r, error, true_r, true_error)

    @staticmethod
    def _figures(part: CellScores, member: int) -> Floats:
        """Return R and error of the cells of a part, by triple collocation and by the truth."""
        unknown = np.full((part.cells.rows.size, len(MEMBERS)), np.nan)
        found, true = part.collocation, part.truth
        columns = [unknown, unknown] if found is None else [found.r, found.error_std]
        columns += [unknown, unknown] if true is None else [true.r, true.error_std]
        return np.stack([column[:, member] for column in columns])

    def mosaic(self, values: Sequence[Floats]) -> Floats:
        """Return the values of the cells of each part on `window`; NaN where nothing is known."""
        window = self.window
        whole = np.full(window.shape, np.nan)
        for part, found in zip(self.parts, values, strict=True):
            whole[part.cells.rows - window.row0, part.cells.cols - window.col0] = found
        return whole

    @property
    def window(self) -> Window:
        """Return the rectangle of the coarse grid around all cells."""
        rows = np.concatenate([part.cells.rows for part in self.parts])
        cols = np.concatenate([part.cells.cols for part in self.parts])
        return Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)


@dataclass(frozen=True, eq=False)
class FineFinding:
    """The maps against a product of the same pixels, where both have a value.

    Attributes
    ----------
    compared : Compared
    parts : tuple of BlockScores
        One per block; their `baseline` is empty.
    overall : mapping
        Every score over all pairs; intervals from a bootstrap over the blocks.
    """

    compared: Compared
    parts: tuple[BlockScores, ...]
    overall: Mapping[str, Interval]

    @property
    def months(self) -> PairStats:
        """Return the sums of each month, shape (12,)."""
        sums = [part.product.total(axis=(1, 2)) for part in self.parts]
        return PairStats.stacked(sums).total(axis=0)


@dataclass(frozen=True, eq=False)
class ComparisonFindings:
    """Every comparison of one year that could be made, and why others could not."""

    coarse: tuple[CoarseFinding, ...] = ()
    fine: tuple[FineFinding, ...] = ()
    absent: tuple[str, ...] = ()
    """One line for each product that was asked for and is not there."""


@dataclass(frozen=True)
class Comparer:
    """Compares one year with the products that a run names; blocks run on the cluster."""

    config: RunConfig
    year: StoreYear
    client: Client | None
    listener: Listener
    truth: Layer | None = None
    """A simulated Earth's own moisture, which shows what triple collocation is worth."""

    def compare(self, cell: int) -> ComparisonFindings:
        """Return the findings; `cell` is the side of the cells of fine maps, in pixels.

        Raises
        ------
        ConfigError
            If a name is no source of soil moisture, or its cube is not daily.
        """
        coarse: list[CoarseFinding] = []
        fine: list[FineFinding] = []
        absent: list[str] = []
        for name in self.config.compare.products:
            layer = self._layer(name, absent)
            if layer is None:
                continue
            if layer.schema.on.is_fine:
                found = self._fine(name, layer, cell)
                fine += [] if found is None else [found]
            else:
                cells = self._coarse(name, layer, self._third(name, absent))
                coarse += [] if cells is None else [cells]
            found_in = [*(f.compared for f in coarse), *(f.compared for f in fine)]
            if not any(compared.source == name for compared in found_in):
                absent.append(
                    self._warned(f"{name} shares no day and place with the produced maps")
                )
        return ComparisonFindings(tuple(coarse), tuple(fine), tuple(dict.fromkeys(absent)))

    def _coarse(self, name: str, layer: Layer, third: Layer | None) -> CoarseFinding | None:
        chosen = self.config.compare
        asked = CoarseComparison(
            self.year.layer, layer, third, self.truth, chosen.minimum_share, chosen.window_days
        )
        # Of a block only a part may be produced: the rest is no gap of the product.
        cuts = ((block, self.year.part_of(block)) for block in self.year.blocks)
        blocks = tuple(cut for block, part in cuts if (cut := block.intersect(part)) is not None)
        found = over_windows(
            f"compare-{name}",
            self.year,
            areas_of(blocks),
            compare_area,
            lambda area: (asked, area, _near(area, blocks)),
            self.client,
            self.listener,
            "areas",
        )
        parts = tuple(part for part in found if part is not None and part.pairs.n.any())
        if not parts:
            return None
        return _coarse_finding(name, third, parts, chosen, self.config.train.seed)

    def _fine(self, name: str, layer: Layer, cell: int) -> FineFinding | None:
        comparison = Comparison(self.year.layer, layer, None, cell)
        parts = over_blocks(
            f"compare-{name}",
            self.year,
            score_block,
            lambda block: (comparison, block),
            self.client,
            self.listener,
        )
        overall = _overall([part.product.total() for part in parts], self.config.train.seed)
        return FineFinding(_compared(name), tuple(parts), overall) if overall else None

    def _third(self, name: str, absent: list[str]) -> Layer | None:
        """Return the third member, unless it is the product itself."""
        third = self.config.compare.third
        return self._layer(third, absent) if third and third != name else None

    def _layer(self, name: str, absent: list[str]) -> Layer | None:
        """Return the year's layer of a source; None, with a line in `absent`, without a cube."""
        schema = _moisture_source(name).schema
        url = join(self.config.cube_prefix(name), year_store(self.year.year))
        if not open_objects(url).exists("zarr.json"):
            absent.append(
                self._warned(f"no cube of {name} in {self.year.year} ({url}): it is not compared")
            )
            return None
        return Layer(url, schema, self.year.year, moisture_of(schema), required=False)

    def _warned(self, text: str) -> str:
        self.listener.warn(text)
        return text


def moisture_of(schema: CubeSchema) -> str:
    """Return the variable of a cube that is soil moisture: the first so named, AM before PM.

    In the morning soil and canopy are nearly of one temperature, as retrievals assume.
    """
    names = [v.name for v in schema.variables if v.name.startswith("soil_moisture")]
    return next((n for n in names if "uncertainty" not in n), "swvl1")


def _moisture_source(name: str) -> Source:
    known = sorted(n for n, source in SOURCES.items() if _has_moisture(source.schema))
    if name not in known:
        raise ConfigError(
            f"compare: {name!r} is no source of soil moisture: expected one of {', '.join(known)}"
        )
    return SOURCES[name]


def _has_moisture(schema: CubeSchema) -> bool:
    return schema.step_days == 1 and any(
        v.name.startswith("soil_moisture") or v.name == "swvl1" for v in schema.variables
    )


def _compared(name: str) -> Compared:
    source = SOURCES[name]
    units = source.schema.variable(moisture_of(source.schema)).units
    return Compared(name, source.title, units, source.schema.grid)


def _coarse_finding(
    name: str,
    third: Layer | None,
    parts: tuple[CellScores, ...],
    chosen: CompareConfig,
    seed: int,
) -> CoarseFinding:
    return CoarseFinding(
        _compared(name),
        None if third is None else _compared(third.schema.name),
        parts,
        _overall([part.pairs.total() for part in parts], seed),
        _overall([part.anomalies.total() for part in parts], seed),
        chosen.minimum_share,
        chosen.window_days,
    )


def _overall(sums: Sequence[PairStats], seed: int) -> dict[str, Interval]:
    """Return every score over all sums, with a bootstrap over those that have pairs; or nothing."""
    known = [part for part in sums if part.n > 0]
    if not known:
        return {}
    weights = draw_weights(np.arange(len(known)), seed=seed)
    return overall_interval(PairStats.stacked(known), weights)


def _near(area: Window, blocks: Sequence[Window]) -> tuple[Window, ...]:
    """Return the blocks in an area or next to it: cells of the area may need their pixels."""
    margin = area.shape[0] // 2
    grown = Window(area.row0 - margin, area.row1 + margin, area.col0 - margin, area.col1 + margin)
    return tuple(block for block in blocks if block.intersect(grown) is not None)
