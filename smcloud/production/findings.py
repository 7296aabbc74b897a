"""Everything that is found out about one product year, before it is told."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from smcloud.models.scoring import SplitScores
from smcloud.production.store_year import StoreYear
from smcloud.validation.collocation import BlockScores
from smcloud.validation.metrics import Interval, StationScores
from smcloud.validation.overview import Overview
from smcloud.validation.pairs import PairStats
from smcloud.validation.splits import SplitKind


@dataclass(frozen=True, eq=False)
class TruthFinding:
    """Scores against the truth of the simulated Earth at every pixel of the produced blocks."""

    parts: tuple[BlockScores, ...]
    product: Mapping[str, Interval]
    """Every score over all pairs, its interval from a bootstrap over blocks."""
    baseline: Mapping[str, Interval]

    def months(self, *, of_baseline: bool = False) -> PairStats:
        """Return the sums of each month, shape (12,)."""
        sums = [part.baseline if of_baseline else part.product for part in self.parts]
        return PairStats.stacked([part.total(axis=(1, 2)) for part in sums]).total(axis=0)


@dataclass(frozen=True, eq=False)
class StationFinding:
    """Scores of an estimate and of the baseline at the same stations and days."""

    pairs: pd.DataFrame
    """Columns as `station_pairs.PAIR_COLUMNS`."""
    product: StationScores
    baseline: StationScores | None


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that is told of one year."""

    year: StoreYear
    overview: Overview
    splits: Mapping[SplitKind, SplitScores]
    truth: TruthFinding | None
    test: StationFinding | None
    """The model at all stations it has never seen, wherever they are."""
    region: StationFinding | None
    """The product at those of them that lie inside the produced blocks."""
    stations_seen: int
    """Stations inside the produced blocks that the model was made with: not scored."""
