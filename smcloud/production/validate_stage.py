"""The validate stage: scores with intervals, a report and a map a year, pages of the model."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError
from smcloud.core.layout import join
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.models.base import ModelCard, load_card
from smcloud.models.periods import SCORES as PERIOD_SCORES
from smcloud.models.periods import PeriodsCard
from smcloud.production.assessment import Assessment, read_assessment
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.downscalers import DownscalerCard, load_downscaler_card
from smcloud.production.examination import Examiner, examine_model
from smcloud.production.findings import Findings, GainFinding, StudyFindings
from smcloud.production.hidden_scores import HiddenFindings
from smcloud.production.report_comparison import comparison_page
from smcloud.production.report_downscaling import downscaling_page
from smcloud.production.report_gain import TITLES as GAIN_TITLES
from smcloud.production.report_gain import WORDS as GAIN_WORDS
from smcloud.production.report_gain import coverage_table, station_states, verdicts
from smcloud.production.report_hidden import GapTable, gap_tables, hidden_lines
from smcloud.production.report_page import page_of
from smcloud.production.report_provenance import AnyCard
from smcloud.production.report_splits import SPLIT_LABELS
from smcloud.production.report_stations import in_situ_line
from smcloud.production.report_strategies import AGAINST_WORDS, gain_lines, label_of, variants_of
from smcloud.production.report_study import FIRST, study_pages
from smcloud.production.store_year import StoreYear, published_year
from smcloud.production.train_stage import read_scores
from smcloud.products.base import Product
from smcloud.products.registry import product_of
from smcloud.publish.map import year_map
from smcloud.validation.metrics import StationScores, all_scores
from smcloud.validation.pairs import PairStats
from smcloud.validation.report import Link, render

log = logging.getLogger(__name__)

REPORT, MAP, SCORES_FILE, STATIONS_FILE = "report.html", "map.png", "scores.json", "stations.csv"
COMPARISON = "comparison.html"
DOWNSCALING = "downscaling.html"
HIDDEN_FILE, COVERAGE = "hidden.json", "coverage.csv"


@dataclass(frozen=True)
class ScoreLine:
    """One line of the table that the command prints; a model's own lines are of no year."""

    year: int | None
    estimate: str
    against: str
    counted: str
    scores: Mapping[str, float]


@dataclass(frozen=True)
class ValidateResult:
    """Scores of every year and of the model, and where the reports and maps are.

    Attributes
    ----------
    lines : tuple of ScoreLine
    reports, maps : tuple of str
        One a year.
    pages : tuple of str
        The model's report, first of its pages; empty without an assessment.
    told : tuple of str
        What is said in words: whether maps beat their coarse input, triple collocation of the maps,
        what selection gains, what is absent.
    thresholds : DataFrame or None
        What other thresholds of the selection would keep, as `validation.verdicts.by_threshold`.
    gaps : tuple of GapTable
        How well gaps in surface temperature were filled, by their size.
    """

    lines: tuple[ScoreLine, ...]
    reports: tuple[str, ...]
    maps: tuple[str, ...]
    pages: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    thresholds: pd.DataFrame | None = None
    gaps: tuple[GapTable, ...] = ()


def run(config: RunConfig, client: Client | None, listener: Listener) -> ValidateResult:
    """Score every published year of a run and its model; write their reports, maps and tables.

    Below ``reports/<product>/<year>/``: report.html, map.png, scores.json, stations.csv,
    comparison.html where the run names products to compare with; of a product that comes down from
    coarse cells downscaling.html, hidden.json (scores of filled gaps) and coverage.csv. The product
    is scored against the stations that its model has never seen and, on the simulated Earth,
    against the truth at every pixel; ERA5-Land, or the coarse input of the product interpolated,
    is scored on the same pairs. Below ``reports/<product>/models/<model>/``: the pages of the
    model's assessment, if training made one. Without any published year they are all that is
    written.

    Raises
    ------
    NotFoundError
        If a year is not published; without any published year, if there is no assessment either.
    CubeError
        If a block of the product is absent or damaged.
    """
    refuse_memory_urls(client, (config.store.root,))
    product = product_of(config)
    models = open_objects(config.layout.model(""))
    assessment = read_assessment(models, config.model_name)
    published = _published(config, assessment, listener)
    card = _card_of(config, product, listener)
    splits = read_scores(models, card.name) if isinstance(card, ModelCard) and published else {}
    lines: list[ScoreLine] = []
    told: list[str] = []
    gaps: list[GapTable] = []
    folders = []
    for year in published:
        found = Examiner(config, product, published[year], client, listener).examine(splits)
        folder = join(config.layout.reports(product.name), str(year))
        _write_year(folder, config, product, card, found, assessment)
        lines += _lines(found, product)
        told += _gain_lines(found) + _station_lines(found, product) + _collocation_lines(found)
        told += [f"{year}: {text}" for text in hidden_lines(found.hidden)]
        gaps += _gap_tables(found)
        folders.append(folder)
    reports, maps = (tuple(join(folder, name) for folder in folders) for name in (REPORT, MAP))
    if assessment is None:
        return ValidateResult(tuple(lines), reports, maps, told=tuple(told), gaps=tuple(gaps))
    stated = card if isinstance(card, ModelCard) else None
    study, pages = _write_model(config, product, stated, assessment, tuple(published), listener)
    return ValidateResult(
        (*lines, *_model_lines(assessment)),
        reports,
        maps,
        pages,
        (*told, *gain_lines(assessment), *study.absent),
        study.thresholds,
        tuple(gaps),
    )


def _write_model(
    config: RunConfig,
    product: Product,
    card: ModelCard | None,
    assessment: Assessment,
    published: Sequence[int],
    listener: Listener,
) -> tuple[StudyFindings, tuple[str, ...]]:
    """Write the pages of a model; return what is known of it, and their URLs."""
    study = examine_model(config, product, card, assessment, listener, has_maps=bool(published))
    years = [Link(str(year), f"../../{year}/{REPORT}") for year in published]
    pages = study_pages(config, product, study, years)
    folder = join(config.layout.reports(product.name), "models", assessment.model)
    for name, page in pages.items():
        open_objects(folder).put(name, render(page).encode())
    return study, tuple(join(folder, name) for name in pages)


def _published(
    config: RunConfig, assessment: Assessment | None, listener: Listener
) -> dict[int, StoreYear]:
    """Return the published years; none, with a warning, where the model alone can be told of."""
    found: dict[int, StoreYear] = {}
    missing: NotFoundError | None = None
    for year in config.produced_years:
        try:
            found[year] = published_year(config, year)
        except NotFoundError as err:
            missing = missing or err
    if missing is None:
        return found
    # A year that is missing among others is a fault; a study produces none at all.
    if found or assessment is None:
        raise missing
    listener.warn(f"no maps to validate, the report is of the model alone: {missing}")
    return found


def _card_of(config: RunConfig, product: Product, listener: Listener) -> AnyCard | None:
    load = load_card if product.downscaling is None else load_downscaler_card
    try:
        return load(open_objects(config.layout.model("")), config.model_name)
    except NotFoundError:
        listener.warn(f"no card of model {config.model_name!r}: the report has no provenance of it")
        return None


def _write_year(
    folder: str,
    config: RunConfig,
    product: Product,
    card: AnyCard | None,
    found: Findings,
    assessment: Assessment | None,
) -> None:
    target = open_objects(folder)
    links = _links(config, product, assessment)
    target.put(MAP, year_map(found.overview, found.year.year))
    target.put(REPORT, render(page_of(config, product, card, found, links)).encode())
    if config.compare.products:
        target.put(COMPARISON, render(comparison_page(product, found, links)).encode())
    if product.downscaling is not None:
        learned = card if not isinstance(card, ModelCard) else None
        page = downscaling_page(product, found, learned, _period_scores(config, learned), links)
        target.put(DOWNSCALING, render(page).encode())
    lines = [
        {
            "estimate": line.estimate,
            "against": line.against,
            "counted": line.counted,
            "scores": {n: round(v, 6) for n, v in line.scores.items() if np.isfinite(v)},
        }
        for line in _lines(found, product)
    ]
    target.put(SCORES_FILE, (json.dumps(lines, sort_keys=True, indent=1) + "\n").encode())
    if product.downscaling is not None:
        target.put(HIDDEN_FILE, _hidden_json(found.hidden))
    if found.gain is not None:
        coverage = coverage_table(found.gain, found.year.schema.times(found.year.year))
        target.put(COVERAGE, coverage.to_csv(index=False, float_format="%.4f").encode())
    stations = found.test or found.region
    if stations is not None:
        table = stations.product.stations.to_csv(index=False, float_format="%.6g")
        target.put(STATIONS_FILE, table.encode())


def _hidden_json(found: HiddenFindings) -> bytes:
    """Return the scores of filled gaps as JSON: those of temperatures in rows, seams by filler."""
    table = None if found.lst is None else found.lst.table.round(6)
    rows = [] if table is None else json.loads(table.to_json(orient="records"))
    seams = {name: {n: round(v, 6) for n, v in one.items()} for name, one in found.seams.items()}
    body = {"temperature": rows, "seams": seams}
    return (json.dumps(body, sort_keys=True, indent=1) + "\n").encode()


def _period_scores(config: RunConfig, card: DownscalerCard | None) -> pd.DataFrame | None:
    """Return the scores by period and family; None where the model has no periods, or none."""
    if not isinstance(card, PeriodsCard):
        return None
    try:
        data = open_objects(config.layout.model(card.name)).get(PERIOD_SCORES)
    except NotFoundError:
        return None
    return pd.read_parquet(io.BytesIO(data))


def _links(config: RunConfig, product: Product, assessment: Assessment | None) -> list[Link]:
    """Return the links between a year's pages and the model's; none where there is one page."""
    links = []
    if product.downscaling is not None:
        links.append(Link("What downscaling gains", DOWNSCALING))
    if config.compare.products:
        links.append(Link("Other products", COMPARISON))
    if assessment is not None:
        links.append(Link("The model", f"../models/{assessment.model}/{FIRST}"))
    return [Link("The maps", REPORT), *links] if links else []


def _lines(found: Findings, product: Product) -> list[ScoreLine]:
    """Return the lines of one year: test stations, the truth where there is one, other products."""
    year, lines = found.year.year, []
    unseen = "unseen stations" if product.downscaling is None else "stations"
    for where, finding in ((unseen, found.test), (f"{unseen} inside", found.region)):
        if finding is None:
            continue
        for name, scores in (
            ("product", finding.product),
            (finding.baseline_title, finding.baseline),
            ("product on the same days", finding.paired),
        ):
            if scores is not None:
                lines.append(_summary_line(year, name, f"{where}, median", scores, scores.median))
            if scores is not None and product.downscaling is not None:
                lines.append(_summary_line(year, name, f"{where}, mean", scores, scores.mean))
    if found.truth is not None:
        total = found.truth.months().total()
        lines += _sum_line(year, "product", "truth, every pixel", total)
    if found.truth is not None and found.gain is None:
        total = found.truth.months(of_baseline=True).total()
        lines += _sum_line(year, found.baseline_title, "truth, every pixel", total)
    if found.gain is not None:
        lines += _lines_of_gain(year, found.gain)
    for filler, one in found.hidden.seams.items():
        counted = f"{int(one['n']):,} values"
        lines.append(ScoreLine(year, filler, "hidden swaths", counted, one))
    return lines + _comparison_lines(found)


def _sum_line(year: int, estimate: str, against: str, total: PairStats) -> list[ScoreLine]:
    """Return the line of a sum of pairs; none without any."""
    if not total.n:
        return []
    scores = {name: float(value) for name, value in all_scores(total).items()}
    return [ScoreLine(year, estimate, against, f"{int(total.n):,} pairs", scores)]


def _lines_of_gain(year: int, gain: GainFinding) -> list[ScoreLine]:
    """Return maps beside what knows no pixel; then the maps by state, at pixels and stations."""
    sums, lines = gain.gain, []
    for within, where in GAIN_WORDS.items():
        against = f"truth, {where}"
        for name, title in GAIN_TITLES.items():
            lines += _sum_line(year, title, against, sums.of(name, within=within).total())
    for number, state in enumerate(gain.states):
        lines += _sum_line(year, "product", f"truth, {state}", sums.states.at(number))
    for state, one in station_states(gain):
        scores = {"R": one.r, "ubRMSE": one.ubrmse}
        counted = f"{one.stations} stations"
        lines.append(ScoreLine(year, "product", f"stations, mean, {state}", counted, scores))
    return lines


def _gain_lines(found: Findings) -> list[str]:
    """Return in words whether the maps beat what knows no pixel, where that is known."""
    told = [] if found.gain is None else verdicts(found.gain)
    return [f"{found.year.year}: {text}" for text in told]


def _gap_tables(found: Findings) -> list[GapTable]:
    """Return the tables of filled temperatures, the year in their titles."""
    tables = [] if found.hidden.lst is None else gap_tables(found.hidden.lst)
    return [one._replace(title=f"{found.year.year}: {one.title}") for one in tables]


def _comparison_lines(found: Findings) -> list[ScoreLine]:
    lines = []
    for coarse in found.comparison.coarse:
        source = coarse.compared.source
        for what, scores in (("area means", coarse.overall), ("anomalies", coarse.anomalies)):
            told = {
                name: float(interval.value)
                for name, interval in scores.items()
                if name == "R" or coarse.compared.has_same_units
            }
            counted = f"{coarse.n_cells:,} cells"
            lines.append(ScoreLine(found.year.year, "product", f"{source}, {what}", counted, told))
    for fine in found.comparison.fine:
        told = {name: float(interval.value) for name, interval in fine.overall.items()}
        counted = f"{int(fine.months.total().n):,} pairs"
        against = f"{fine.compared.source}, common pixels"
        lines.append(ScoreLine(found.year.year, "product", against, counted, told))
    return lines


def _collocation_lines(found: Findings) -> list[str]:
    """Return what triple collocation says of the maps, and what is true of them, in words."""
    lines = []
    for coarse in found.comparison.coarse:
        medians = coarse.medians(0)
        if coarse.third is None or medians is None:
            continue
        line = (
            f"{found.year.year}, triple collocation with {coarse.compared.source} and "
            f"{coarse.third.source}, medians of {medians.cells:,} cells: R of the maps "
            f"{medians.r:.3f}, error {medians.error_std:.3f} m3 m-3"
        )
        if coarse.knows_truth:
            line += f"; by the truth {medians.true_r:.3f} and {medians.true_error_std:.3f}"
        lines.append(line)
    return lines


def _summary_line(
    year: int, estimate: str, where: str, scores: StationScores, summary: pd.DataFrame
) -> ScoreLine:
    values = {str(name): float(row["value"]) for name, row in summary.iterrows()}
    return ScoreLine(year, estimate, where, f"{len(scores.stations)} stations", values)


def _station_lines(found: Findings, product: Product) -> list[str]:
    """Return in words what stations say of maps that none has taught, or why they say nothing."""
    if product.downscaling is None:
        return []
    if found.region is None:
        return [f"{found.year.year}: {found.no_stations}"]
    return [f"{found.year.year}: {in_situ_line(found.region, product)}"]


def _model_lines(found: Assessment) -> list[ScoreLine]:
    """Return the medians of every strategy: split, variant, and what it was scored against."""
    variants = variants_of(found)
    return [
        ScoreLine(
            None,
            label_of(scores.split, scores.variant, variants),
            AGAINST_WORDS[scores.against] + ", median",
            f"{scores.stations} stations",
            {name: ends["value"] for name, ends in scores.median.items()},
        )
        for split in SPLIT_LABELS
        for against in AGAINST_WORDS
        for variant in variants
        if (scores := found.scores_of(split, variant, against)) is not None
        and not scores.why_not
        and scores.median
    ]
