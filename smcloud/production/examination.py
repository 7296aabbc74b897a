"""Finding out about one product year, or a model: pairs on the cluster, scores with intervals.

Here things are found; the modules `report_*` tell them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import open_objects
from smcloud.grids.grid import Window
from smcloud.models.base import ModelCard
from smcloud.models.scoring import SplitScores
from smcloud.production.assessment import Assessment
from smcloud.production.block_map import over_blocks
from smcloud.production.comparison import Comparer
from smcloud.production.findings import (
    Findings,
    GainFinding,
    StationFinding,
    StudyFindings,
    TruthFinding,
)
from smcloud.production.gain_examination import GainExamination
from smcloud.production.hidden_scores import hidden_findings
from smcloud.production.references_stage import read_selection, station_truth, thresholds_of
from smcloud.production.station_pairs import (
    RAIN,
    REANALYSIS,
    Baseline,
    Stations,
    baseline_layer,
    baseline_of,
    product_pairs,
    rain_at,
    stations_of,
    test_pairs,
)
from smcloud.production.store_year import StoreYear
from smcloud.products.base import Product
from smcloud.simulate.truth import TRUTH_SCHEMA
from smcloud.validation.collocation import Comparison, Layer, score_block
from smcloud.validation.metrics import (
    StationScores,
    draw_weights,
    overall_interval,
    score_stations,
)
from smcloud.validation.overview import Overview, cell_size, mosaic, summarise_block
from smcloud.validation.pairs import PairStats
from smcloud.validation.splits import SplitKind

T = TypeVar("T")
MAP_DAYS = ("07-15", "08-15", "06-15", "09-15", "05-15", "10-15")
"""Beside the annual mean stands the first of these days on which anything is known: satellites fall
silent for weeks."""
MIN_STATION_DAYS = 30


@dataclass(frozen=True)
class Examiner:
    """Finds out everything about one year; blocks run on the cluster."""

    config: RunConfig
    product: Product
    year: StoreYear
    client: Client | None
    listener: Listener

    def examine(self, splits: Mapping[SplitKind, SplitScores]) -> Findings:
        """Return the findings of the year."""
        cell = cell_size(self.config.produce.block_pixels, self.year.blocks)
        baseline = baseline_of(self.product)
        layer = baseline_layer(self.config, baseline, self.year.year)
        truth = self._truth_layer()
        test, region, why_none = self._stations(baseline, layer)
        return Findings(
            self.year,
            self._overview(cell),
            splits,
            None if truth is None else self._truth(truth, layer, cell),
            test,
            region,
            why_none,
            Comparer(self.config, self.year, self.client, self.listener, truth).compare(cell),
            baseline.title,
            None if self.product.downscaling is None else self._gain(layer, truth),
            hidden=hidden_findings(
                self.config, self.product, self.year, self.client, self.listener
            ),
        )

    def _stations(
        self, baseline: Baseline, layer: Layer | None
    ) -> tuple[StationFinding | None, StationFinding | None, str]:
        """Return the scores of unseen stations everywhere and inside, or why there are none."""
        config, seed, year = self.config, self.config.train.seed, self.year.year
        stations = stations_of(config, self.product, self.listener)
        unseen = test_pairs(config, stations, baseline)
        inside = product_pairs(stations, self.year, layer)
        is_unseen = inside["station"].isin(set(unseen["station"]))
        if self.product.downscaling is not None:
            is_unseen[:] = True  # its model learned from coarse cells alone
        test = scored(unseen, seed, "block", baseline.title)
        region = scored(inside[is_unseen], seed, title=baseline.title)
        seen = int(inside.loc[~is_unseen, "station"].nunique())
        why_none = "" if region else why_no_stations(stations, inside, seen)
        return (
            with_rain(config, stations, test, year),
            with_rain(config, stations, region, year),
            why_none,
        )

    def _gain(self, coarse: Layer | None, truth: Layer | None) -> GainFinding | None:
        if coarse is None:
            self.listener.warn(
                f"no cube of {baseline_of(self.product).source} in {self.year.year}: nothing is "
                "said of the gain over it"
            )
            return None
        rain = baseline_layer(self.config, RAIN, self.year.year)
        how = self.product.downscaling
        origin = None
        if how is not None and how.filled:
            origin = replace(coarse, variable=how.filled)
        asked = GainExamination(self.config, self.product, self.year, coarse, origin, truth, rain)
        return asked.examine(self.client, self.listener)

    def _overview(self, cell: int) -> Overview:
        days, layer, part_of = map_days(self.year.year), self.year.layer, self.year.part_of
        parts = self._over_blocks(
            "overview",
            summarise_block,
            lambda block: (layer, block, part_of(block), cell, days),
        )
        return mosaic(parts).with_day(days)

    def _truth_layer(self) -> Layer | None:
        """Return the truth of the year; None where the run names none or it is not there."""
        if not self.config.store.truth:
            return None
        url = join(self.config.store.truth, year_store(self.year.year))
        if not open_objects(url).exists("zarr.json"):
            self.listener.warn(f"no truth at {url}: the report does without it")
            return None
        return Layer(url, TRUTH_SCHEMA, self.year.year, "soil_moisture", required=False)

    def _truth(self, truth: Layer, baseline: Layer | None, cell: int) -> TruthFinding | None:
        """Return the scores against the truth at every pixel; None where it knows none of them."""
        comparison = Comparison(self.year.layer, truth, baseline, cell)
        parts = self._over_blocks("truth", score_block, lambda block: (comparison, block))
        product = PairStats.stacked([part.product.total() for part in parts])
        reference = PairStats.stacked([part.baseline.total() for part in parts])
        if product.n.sum() == 0:
            self.listener.warn(f"the truth at {truth.url} knows no pixel of the produced blocks")
            return None
        weights = draw_weights(np.arange(len(parts)), seed=self.config.train.seed)
        return TruthFinding(
            tuple(parts),
            overall_interval(product, weights),
            overall_interval(reference, weights) if reference.n.sum() else {},
        )

    def _over_blocks(
        self,
        stage: str,
        function: Callable[..., T],
        arguments: Callable[[Window], tuple[object, ...]],
    ) -> list[T]:
        return over_blocks(stage, self.year, function, arguments, self.client, self.listener)


def examine_model(
    config: RunConfig,
    product: Product,
    card: ModelCard | None,
    assessment: Assessment,
    listener: Listener,
    *,
    has_maps: bool,
) -> StudyFindings:
    """Return what is known of a model apart from its maps: its assessment and its stations."""
    stations = stations_of(config, product, listener)
    baseline = baseline_of(product)
    pairs = test_pairs(config, stations, baseline)
    test = scored(pairs, config.train.seed, "block", baseline.title)
    selection = _selection(config.layout.model(assessment.model))
    found = StudyFindings(
        card,
        assessment,
        selection,
        station_truth(config),
        with_rain(config, stations, test, last_year(test)),
        None if selection is None else thresholds_of(config, selection, listener),
    )
    return replace(found, absent=tuple(_absent(config, found, has_maps=has_maps)))


def scored(
    pairs: pd.DataFrame, seed: int, block: str | None = None, title: str = REANALYSIS.title
) -> StationFinding | None:
    """Return the scores of stations with enough days; None without any. `title`: the baseline's."""
    # The baseline is scored on the days of the product, so that the two can be compared.
    pairs = pairs.assign(baseline=pairs["baseline"].where(pairs["estimate"].notna()))
    days = pairs.dropna(subset=["estimate", "soil_moisture"])["station"].value_counts()
    if days.empty or days.max() < MIN_STATION_DAYS:
        return None

    def score(column: str, rows: pd.DataFrame = pairs) -> StationScores:
        return score_stations(rows, column, block=block, min_pairs=MIN_STATION_DAYS, seed=seed)

    is_known = pairs["baseline"].notna()
    if not is_known.any():
        return StationFinding(pairs, score("estimate"), None, baseline_title=title)
    is_sparse = bool((~is_known & pairs["estimate"].notna()).any())
    return StationFinding(
        pairs,
        score("estimate"),
        score("baseline"),
        baseline_title=title,
        paired=score("estimate", pairs[is_known]) if is_sparse else None,
    )


def with_rain(
    config: RunConfig, stations: Stations | None, found: StationFinding | None, year: int
) -> StationFinding | None:
    """Return the finding with the precipitation at the stations that are drawn."""
    if found is None or stations is None:
        return found
    return replace(found, rain=rain_at(config, stations, found.shown(year)))


def why_no_stations(stations: Stations | None, inside: pd.DataFrame, seen: int) -> str:
    """Return why no station can be scored inside the produced blocks, in a sentence.

    `inside` are the days of stations there; `seen` is how many of them have taught the model.
    """
    if stations is None:
        return (
            "There are no stations to score at: none was ingested ([stations] archive and csv name "
            "them)."
        )
    held = inside["station"].nunique()
    if not held:
        everywhere = counted(len(stations.sites), "stations")
        return f"There are no stations to score at: of {everywhere} none lies inside what was made."
    if seen == held:
        return (
            "There are no stations to score at: the model was made with all "
            f"{held} that lie inside."
        )
    return (
        f"There are no stations to score at: of {counted(held - seen, 'stations')} inside that the "
        f"model has not seen none has {MIN_STATION_DAYS} days on which the maps are known too."
    )


def last_year(found: StationFinding | None) -> int:
    """Return the last year of the pairs, 0 without any."""
    years = [] if found is None else found.pairs["time"].dt.year
    return int(max(years, default=0))


def map_days(year: int) -> tuple[np.datetime64, ...]:
    """Return the days of a year of which maps show one, the preferred one first."""
    return tuple(np.datetime64(f"{year:04d}-{day}", "D") for day in MAP_DAYS)


def _selection(model_url: str) -> pd.DataFrame | None:
    """Return the stations that a model was taught by, and those dropped; None without a rule."""
    try:
        return read_selection(model_url)
    except NotFoundError:
        return None


def _absent(config: RunConfig, found: StudyFindings, *, has_maps: bool) -> list[str]:
    """Return a line for everything that a run could have had and did not."""
    assessment = found.assessment
    reasons = {
        "No maps: no year of the product is published, so pixels are not compared with anything.": (
            not has_maps
        ),
        "No selection of stations beside the model ([selection] use makes one).": found.selection
        is None,
        "No test on the truth: the run names no simulated Earth ([store] truth).": (
            not config.store.truth
        ),
        "No search for parameters ([tune] makes one).": not assessment.tuning,
        "No models without a driver ([train] ablation makes them).": not assessment.ablation,
        "No network held out whole ([train] held_out_networks names them).": not any(
            scores.network for scores in assessment.scores
        ),
        "No uncertainty: the model has no intervals to judge.": not assessment.coverage,
        "No precipitation beside the series: no ERA5-Land cube holds it.": (
            found.test is not None and found.test.rain is None
        ),
        "No series of single stations: training kept no estimates with days enough.": (
            found.test is None
        ),
    }
    return [line for line, is_absent in reasons.items() if is_absent]
