"""Everything that is found out about one product year, or one model, before it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from smcloud.models.base import ModelCard
from smcloud.models.scoring import SplitScores
from smcloud.production.assessment import Assessment
from smcloud.production.comparison import ComparisonFindings
from smcloud.production.station_pairs import REANALYSIS
from smcloud.production.store_year import StoreYear
from smcloud.validation.collocation import BlockScores
from smcloud.validation.gain import Gain
from smcloud.validation.metrics import Interval, StationScores
from smcloud.validation.overview import Overview
from smcloud.validation.pairs import PairStats
from smcloud.validation.precipitation import RainResponse
from smcloud.validation.splits import SplitKind

SERIES_SHOWN = 4
"""Stations whose series are drawn."""


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
    rain: pd.DataFrame | None = None
    """Precipitation at the stations that are drawn: station, time, rain (mm per day)."""
    baseline_title: str = REANALYSIS.title
    paired: StationScores | None = None
    """The estimate on the days of the baseline alone; None where these are all of its days."""

    def pairs_of(self, year: int) -> pd.DataFrame:
        """Return the pairs of a year; all of them where there is none in it."""
        inside = self.pairs[self.pairs["time"].dt.year == year]
        return self.pairs if inside.empty else inside

    def shown(self, year: int) -> list[str]:
        """Return up to four stations of `year`, from the best R to the worst, evenly spaced."""
        inside = set(self.pairs_of(year)["station"])
        ranked = self.product.stations.dropna(subset=["R"]).sort_values("R", ascending=False)
        names = [str(name) for name in ranked["station"] if name in inside]
        shown = min(SERIES_SHOWN, len(names))
        at = np.unique(np.linspace(0, len(names) - 1, shown).round().astype(int))
        return [names[i] for i in at]


@dataclass(frozen=True, eq=False)
class GainFinding:
    """What the maps of a year gain over the coarse input that they come down from.

    Attributes
    ----------
    gain : Gain
        Sums over all blocks.
    states : tuple of str
        Names of the states, in the order of its sums.
    scores : mapping
        Every score with its interval (bootstrap over blocks) by ``product``, ``coarse``,
        ``within_product``, ``within_coarse``; empty without a truth.
    rain : mapping
        Answer to rain by name of the soil moisture; empty where no cube holds precipitation.
    """

    gain: Gain
    states: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Interval]]
    rain: Mapping[str, RainResponse]

    def value(self, which: str, name: str) -> float:
        """Return a score; NaN without a truth."""
        return float(self.scores[which][name].value) if which in self.scores else float("nan")

    @property
    def is_better(self) -> bool:
        """Return whether the maps are nearer to the truth than their input, interpolated."""
        return self.value("product", "RMSE") < self.value("coarse", "RMSE")

    @property
    def is_better_within(self) -> bool:
        """Return the same of what lies within cells, the mean of each cell and day removed."""
        return self.value("within_product", "ubRMSE") < self.value("within_coarse", "ubRMSE")


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
    comparison: ComparisonFindings = field(default_factory=ComparisonFindings)
    """The maps beside other products."""
    baseline_title: str = REANALYSIS.title
    gain: GainFinding | None = None
    """Of a product that comes down from coarse cells: the maps beside their own input."""


@dataclass(frozen=True, eq=False)
class StudyFindings:
    """Everything that is told of a model apart from its maps.

    Attributes
    ----------
    card : ModelCard or None
    assessment : Assessment
    selection : DataFrame or None
        `validation.selection.select_stations` of the stored model; None where none was made.
    representative : DataFrame or None
        station, representative (bool) of the simulated Earth; None where nobody knows.
    test : StationFinding or None
        The stored model at the stations that it has never seen.
    thresholds : DataFrame or None
        What other thresholds of the selection would keep, as `validation.verdicts.by_threshold`.
    absent : tuple of str
        What a reader may look for and why it is not there, one line each.
    """

    card: ModelCard | None
    assessment: Assessment
    selection: pd.DataFrame | None
    representative: pd.DataFrame | None
    test: StationFinding | None
    thresholds: pd.DataFrame | None = None
    absent: tuple[str, ...] = ()
