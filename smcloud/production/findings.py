"""Everything that is found out about one product year, or one model, before it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from smcloud.models.base import ModelCard
from smcloud.models.scoring import SplitScores
from smcloud.production.assessment import Assessment
from smcloud.production.comparison import ComparisonFindings
from smcloud.production.hidden_scores import HiddenFindings
from smcloud.production.station_pairs import REANALYSIS
from smcloud.production.store_year import StoreYear
from smcloud.validation.collocation import BlockScores
from smcloud.validation.gain import COARSE, ESTIMATES, Gain
from smcloud.validation.gain_squares import Scored
from smcloud.validation.metrics import Interval, StationScores
from smcloud.validation.overview import Overview
from smcloud.validation.pairs import PairStats
from smcloud.validation.precipitation import RainResponse
from smcloud.validation.splits import SplitKind
from smcloud.validation.state_scores import StationState

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
    overall, within : Scored or None
        Scores of `gain.ESTIMATES` against the truth, as they are and with the mean of each cell
        and day removed; None without a truth.
    at_stations : tuple of StationState
        The maps at stations by state, and on all days last; empty without a station.
    rain : mapping
        By whose rain it is, the answers to it by name of the soil moisture; empty where neither a
        cube nor a gauge has precipitation.
    """

    gain: Gain
    states: tuple[str, ...]
    overall: Scored | None
    within: Scored | None
    at_stations: tuple[StationState, ...]
    rain: Mapping[str, Mapping[str, RainResponse]]

    def value(self, estimate: str, score: str, *, within: bool = False) -> float:
        """Return a score of one of `gain.ESTIMATES`; NaN without a truth."""
        found = self.within if within else self.overall
        if found is None:
            return float("nan")
        return float(found.values[ESTIMATES.index(estimate)][score].value)

    def difference(self, estimate: str, score: str, *, within: bool = False) -> Interval:
        """Return the score of the maps less that of an estimate, with its interval."""
        found = self.within if within else self.overall
        if found is None:
            return Interval(*np.full((3, 1), np.nan)[:, 0])
        return found.less[ESTIMATES.index(estimate)][score]

    def knows(self, estimate: str) -> bool:
        """Return whether an estimate has scores."""
        return self.overall is not None and np.isfinite(self.value(estimate, "RMSE"))

    @property
    def is_better(self) -> bool:
        """Return whether the maps are nearer to the truth than their input, interpolated."""
        return _is_below_zero(self.difference(COARSE, "RMSE"))

    @property
    def is_better_within(self) -> bool:
        """Return the same of what lies within cells, the mean of each cell and day removed."""
        return _is_below_zero(self.difference(COARSE, "ubRMSE", within=True))


def _is_below_zero(found: Interval) -> bool:
    """Return whether a difference is below zero for certain; as it is where it has no interval."""
    return bool(found.high < 0 if np.isfinite(found.high) else found.value < 0)


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
    no_stations: str = ""
    """Why no station inside the produced blocks is scored, in a sentence; empty where some are."""
    comparison: ComparisonFindings = field(default_factory=ComparisonFindings)
    """The maps beside other products."""
    baseline_title: str = REANALYSIS.title
    gain: GainFinding | None = None
    """Of a product that comes down from coarse cells: the maps beside their own input."""
    hidden: HiddenFindings = field(default_factory=HiddenFindings)
    """How well gaps in what it was made of were filled."""


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
