"""The validate stage: pairs on the cluster, scores with intervals, a report and a map per year."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.grids.grid import Window
from smcloud.models.base import ModelCard, load_card
from smcloud.models.scoring import SplitScores
from smcloud.production.block_map import over_blocks
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.findings import Findings, StationFinding, TruthFinding
from smcloud.production.report_page import page_of
from smcloud.production.station_pairs import (
    BASELINE,
    baseline_layer,
    product_pairs,
    stations_of,
    test_pairs,
)
from smcloud.production.store_year import StoreYear, published_year
from smcloud.production.train_stage import read_scores
from smcloud.products.base import Product
from smcloud.products.registry import product_named
from smcloud.publish.map import year_map
from smcloud.simulate.truth import TRUTH_SCHEMA
from smcloud.validation.collocation import Comparison, Layer, score_block
from smcloud.validation.metrics import (
    StationScores,
    all_scores,
    draw_weights,
    overall_interval,
    score_stations,
)
from smcloud.validation.overview import Overview, cell_size, mosaic, summarise_block
from smcloud.validation.pairs import PairStats
from smcloud.validation.report import render
from smcloud.validation.splits import SplitKind

log = logging.getLogger(__name__)

T = TypeVar("T")
MAP_DAY = "07-15"
"""The day beside the annual mean on the map; the middle of a season."""
REPORT, MAP, SCORES_FILE, STATIONS_FILE = "report.html", "map.png", "scores.json", "stations.csv"
MIN_STATION_DAYS = 30


@dataclass(frozen=True)
class ScoreLine:
    """One line of the table that the command prints."""

    year: int
    estimate: str
    against: str
    counted: str
    scores: Mapping[str, float]


@dataclass(frozen=True)
class ValidateResult:
    """Scores of every year, and where the reports and maps are."""

    lines: tuple[ScoreLine, ...]
    reports: tuple[str, ...]
    maps: tuple[str, ...]


def run(config: RunConfig, client: Client | None, listener: Listener) -> ValidateResult:
    """Score every published year of a run and write its report, map and tables.

    Below ``reports/<product>/<year>/``: report.html, map.png, scores.json, stations.csv. The
    product is scored against the stations that its model has never seen and, on the simulated
    Earth, against the truth at every pixel; ERA5-Land is scored on the same pairs.

    Raises
    ------
    NotFoundError
        If a year is not published.
    CubeError
        If a block of the product is absent or damaged.
    """
    refuse_memory_urls(client, (config.store.root,))
    product = product_named(config.product)
    published = {year: published_year(config, year) for year in config.years}
    card = _card_of(config, listener)
    splits = {} if card is None else read_scores(open_objects(config.layout.model("")), card.name)
    lines: list[ScoreLine] = []
    reports, maps = [], []
    for year in config.years:
        examiner = _Examiner(config, product, card, published[year], client, listener)
        found = examiner.examine(splits)
        folder = join(config.layout.reports(product.name), str(year))
        _write(folder, config, product, card, found)
        lines += _lines(found)
        reports.append(join(folder, REPORT))
        maps.append(join(folder, MAP))
    return ValidateResult(tuple(lines), tuple(reports), tuple(maps))


@dataclass(frozen=True)
class _Examiner:
    """Finds out everything about one year; blocks run on the cluster."""

    config: RunConfig
    product: Product
    card: ModelCard | None
    year: StoreYear
    client: Client | None
    listener: Listener

    def examine(self, splits: Mapping[SplitKind, SplitScores]) -> Findings:
        """Return the findings of the year."""
        cell = cell_size(self.config.produce.block_pixels, self.year.blocks)
        baseline = baseline_layer(self.config, self.year.year)
        stations = stations_of(self.config, self.product, self.listener)
        unseen = test_pairs(self.config, stations)
        inside = product_pairs(stations, self.year, baseline)
        is_unseen = inside["station"].isin(set(unseen["station"]))
        return Findings(
            self.year,
            self._overview(cell),
            splits,
            self._truth(baseline, cell),
            self._scored(unseen, block="block"),
            self._scored(inside[is_unseen]),
            int(inside.loc[~is_unseen, "station"].nunique()),
        )

    def _overview(self, cell: int) -> Overview:
        day, layer, part_of = map_day(self.year.year), self.year.layer, self.year.part_of
        return mosaic(
            self._over_blocks(
                "overview",
                summarise_block,
                lambda block: (layer, block, part_of(block), cell, (day,)),
            )
        )

    def _truth(self, baseline: Layer | None, cell: int) -> TruthFinding | None:
        """Return the scores against the truth at every pixel; None where there is no truth."""
        if not self.config.store.truth:
            return None
        url = join(self.config.store.truth, year_store(self.year.year))
        if not open_objects(url).exists("zarr.json"):
            self.listener.warn(f"no truth at {url}: the report does without it")
            return None
        truth = Layer(url, TRUTH_SCHEMA, self.year.year, "soil_moisture", required=False)
        comparison = Comparison(self.year.layer, truth, baseline, cell)
        parts = self._over_blocks("truth", score_block, lambda block: (comparison, block))
        product = PairStats.stacked([part.product.total() for part in parts])
        reference = PairStats.stacked([part.baseline.total() for part in parts])
        if product.n.sum() == 0:
            self.listener.warn(f"the truth at {url} knows no pixel of the produced blocks")
            return None
        weights = draw_weights(np.arange(len(parts)), seed=self.config.train.seed)
        return TruthFinding(
            tuple(parts),
            overall_interval(product, weights),
            overall_interval(reference, weights) if reference.n.sum() else {},
        )

    def _scored(self, pairs: pd.DataFrame, block: str | None = None) -> StationFinding | None:
        """Return the scores of stations with enough days; None without any."""
        # The baseline is scored on the days of the product, so that the two can be compared.
        pairs = pairs.assign(baseline=pairs["baseline"].where(pairs["estimate"].notna()))
        days = pairs.dropna(subset=["estimate", "soil_moisture"])["station"].value_counts()
        if days.empty or days.max() < MIN_STATION_DAYS:
            return None

        def scored(column: str) -> StationScores:
            return score_stations(
                pairs,
                column,
                block=block,
                min_pairs=MIN_STATION_DAYS,
                seed=self.config.train.seed,
            )

        has_baseline = bool(pairs["baseline"].notna().any())
        return StationFinding(
            pairs, scored("estimate"), scored("baseline") if has_baseline else None
        )

    def _over_blocks(
        self,
        stage: str,
        function: Callable[..., T],
        arguments: Callable[[Window], tuple[object, ...]],
    ) -> list[T]:
        return over_blocks(stage, self.year, function, arguments, self.client, self.listener)


def map_day(year: int) -> np.datetime64:
    """Return the day of a year that maps show beside the means."""
    return np.datetime64(f"{year:04d}-{MAP_DAY}", "D")


def _card_of(config: RunConfig, listener: Listener) -> ModelCard | None:
    try:
        return load_card(open_objects(config.layout.model("")), config.model_name)
    except NotFoundError:
        listener.warn(f"no card of model {config.model_name!r}: the report has no provenance of it")
        return None


def _write(
    folder: str, config: RunConfig, product: Product, card: ModelCard | None, found: Findings
) -> None:
    target = open_objects(folder)
    target.put(MAP, year_map(found.overview, found.year.year))
    target.put(REPORT, render(page_of(config, product, card, found)).encode())
    lines = [
        {
            "estimate": line.estimate,
            "against": line.against,
            "counted": line.counted,
            "scores": {n: round(v, 6) for n, v in line.scores.items() if np.isfinite(v)},
        }
        for line in _lines(found)
    ]
    target.put(SCORES_FILE, (json.dumps(lines, sort_keys=True, indent=1) + "\n").encode())
    if found.test is not None:
        table = found.test.product.stations.to_csv(index=False, float_format="%.6g")
        target.put(STATIONS_FILE, table.encode())


def _lines(found: Findings) -> list[ScoreLine]:
    """Return the lines of one year: test stations, and the truth where there is one."""
    year, lines = found.year.year, []
    for where, finding in (
        ("unseen stations, median", found.test),
        ("unseen stations inside, median", found.region),
    ):
        if finding is not None:
            lines.append(_median_line(year, "product", where, finding.product))
            if finding.baseline is not None:
                lines.append(_median_line(year, BASELINE.title, where, finding.baseline))
    if found.truth is not None:
        for name, of_baseline in (("product", False), (BASELINE.title, True)):
            total = found.truth.months(of_baseline=of_baseline).total()
            if total.n:
                scores = {n: float(value) for n, value in all_scores(total).items()}
                counted = f"{int(total.n):,} pairs"
                lines.append(ScoreLine(year, name, "truth, every pixel", counted, scores))
    return lines


def _median_line(year: int, estimate: str, where: str, scores: StationScores) -> ScoreLine:
    median = {str(name): float(row["value"]) for name, row in scores.median.iterrows()}
    return ScoreLine(year, estimate, where, f"{len(scores.stations)} stations", median)
