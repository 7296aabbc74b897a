"""What is told of filled gaps: simulated gaps beside plain ways, steps in time, stations, truth."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from smcloud.core.config import RunConfig
from smcloud.core.layout import join
from smcloud.core.objects import open_objects
from smcloud.models.seamless_files import SeamlessCard
from smcloud.production.report_provenance import FOOTER, provenance_section
from smcloud.products.base import Product
from smcloud.validation import report
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats
from smcloud.validation.simulated_gaps import BY_CELLS, BY_DAYS, BY_REASON, GapScores

NETWORK = "network"
REPORT, SCORES_FILE = "report.html", "scores.json"
SHOWN = ("R", "RMSE", "MAE", "bias")
OTHER_DATA = (
    "The figures of the data set that this product follows are of other years and places: they "
    "stand beside ours, and neither confirms the other."
)
HOW_HIDDEN = (
    "Values of nearly complete areas are hidden where another day has a gap, so that gaps have the "
    "shape of real swaths. Everything that fills gaps is given the same fields and is judged on "
    "the same values. The network learned nothing from them."
)


@dataclass(frozen=True, eq=False)
class YearScores:
    """The scores of one year.

    Attributes
    ----------
    year : int
    store : str
        URL of what is published; empty for nothing.
    gaps : GapScores or None
        None where nothing could be hidden.
    stations : DataFrame
        A row a station and kind of value; empty without stations.
    truth : mapping
        Kind of value to sums of product and simulated truth; empty without a truth.
    told : tuple of str
    """

    year: int
    store: str
    gaps: GapScores | None
    stations: pd.DataFrame
    truth: Mapping[str, PairStats]
    told: tuple[str, ...]


def verdict(gaps: GapScores) -> str:
    """Return in words whether the network has a smaller RMSE than every plain way."""
    rmse = gaps.overall()["RMSE"]
    others = rmse.drop(NETWORK)
    best = str(others.idxmin())
    own = f"RMSE {rmse[NETWORK]:.4f} m³ m⁻³ in simulated gaps"
    if rmse[NETWORK] < others[best]:
        return f"the network beats every plain way: {own}, {best} {others[best]:.4f}"
    better = ", ".join(
        f"{name} {value:.4f}" for name, value in others.items() if value <= rmse[NETWORK]
    )
    return f"the network does NOT beat every plain way: {own}, but {better}"


def gap_rows(gaps: GapScores) -> list[list[str]]:
    """Return a row a filler over all simulated gaps, as texts."""
    return [
        [
            str(name),
            f"{int(row['n']):,}",
            *(_number(float(row[score])) for score in SHOWN),
            _number(float(row["step_ratio"])),
        ]
        for name, row in gaps.overall().iterrows()
    ]


GAP_HEADS = ("filler", "values", *SHOWN, "steps in time, filled / true")


def class_tables(gaps: GapScores) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return caption, heads and rows of the RMSE by reason and size of gaps."""
    table, found = gaps.table(), []
    for grouping in (BY_REASON, BY_DAYS, BY_CELLS):
        own = table[table["grouping"] == grouping]
        if own.empty:
            continue
        names = list(gaps.found)
        rows = []
        for kind in own["class"].unique():
            part = own[own["class"] == kind].set_index("filler")
            n = f"{int(part['n'].iloc[0]):,}"
            rows.append([str(kind), n, *(_number(float(part["RMSE"][name])) for name in names)])
        found.append((f"RMSE by {grouping}", [grouping, "values", *names], rows))
    return found


def station_rows(stations: pd.DataFrame) -> list[list[str]]:
    """Return a row a kind of value: medians over the stations that have it."""
    rows = []
    for kind in stations["values"].unique() if len(stations) else ():
        own = stations[stations["values"] == kind]
        medians = [_number(float(own[score].median())) for score in SHOWN]
        rows.append([str(kind), f"{len(own):,}", f"{int(own['n'].sum()):,}", *medians])
    return rows


STATION_HEADS = ("values", "stations", "days", *SHOWN)


def truth_rows(truth: Mapping[str, PairStats]) -> list[list[str]]:
    """Return a row a kind of value against the simulated truth."""
    rows = []
    for name, pairs in truth.items():
        scores = all_scores(pairs)
        rows.append([name, f"{int(pairs.n):,}", *(_number(float(scores[one])) for one in SHOWN)])
    return rows


TRUTH_HEADS = ("values", "cell-days", *SHOWN)


def write_page(
    config: RunConfig,
    product: Product,
    card: SeamlessCard,
    found: YearScores,
    picture: bytes | None,
) -> str:
    """Write page and scores of a year, and return the URL of the page.

    `picture` shows days with gaps and without, as a PNG; None where the year was not produced.
    """
    folder = join(config.layout.reports(product.name), str(found.year))
    page = report.Report(
        title=f"{product.name} {found.year}: how good is it?",
        subtitle=product.title,
        sections=[
            *_days_section(picture),
            _gaps_section(found),
            *_station_section(product, found),
            *_truth_section(found),
            _network_section(card),
            provenance_section(config, product, card),
        ],
        footer=FOOTER,
    )
    target = open_objects(folder)
    target.put(REPORT, report.render(page).encode())
    body = json.dumps(_plain(scores_of(found)), sort_keys=True, indent=1) + "\n"
    target.put(SCORES_FILE, body.encode())
    return join(folder, REPORT)


def scores_of(found: YearScores) -> dict[str, object]:
    """Return every score of a year as JSON values; NaN is None."""
    body: dict[str, object] = {"year": found.year, "told": list(found.told)}
    if found.gaps is not None:
        body["simulated_gaps"] = found.gaps.table().to_dict("records")
        body["consistency"] = found.gaps.consistency().to_dict("records")
    body["stations"] = found.stations.to_dict("records")
    body["truth"] = {
        name: {score: float(value) for score, value in all_scores(pairs).items()}
        for name, pairs in found.truth.items()
    }
    return body


def _plain(value: object) -> object:
    """Return a JSON value in which what is no number is None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _days_section(picture: bytes | None) -> list[report.Section]:
    if picture is None:
        return []
    text = "Two days as they were observed, and without their gaps. Grey is land without a value."
    shown = report.Picture(picture, text, "maps of soil moisture on two days")
    return [report.Section("days", "With gaps and without", [report.figure(shown)])]


def _gaps_section(found: YearScores) -> report.Section:
    pieces = [report.paragraph(one, is_warning="NOT" in one) for one in found.told]
    if found.gaps is not None:
        gaps = found.gaps
        pieces += [
            report.paragraph(HOW_HIDDEN),
            report.text_table("All simulated gaps (m³ m⁻³)", GAP_HEADS, gap_rows(gaps)),
            *(report.text_table(*one) for one in class_tables(gaps)),
            report.text_table(
                "Steps in time at the ends of filled days (m³ m⁻³)",
                ("filler", "side", "values", "filled", "true", "filled / true"),
                _step_rows(gaps),
                text_from=0,
            ),
        ]
    return report.Section("gaps", "Gaps simulated in complete areas", pieces)


def _step_rows(gaps: GapScores) -> list[list[str]]:
    return [
        [
            str(row["filler"]),
            str(row["side"]),
            f"{int(row['n']):,}",
            *(_number(float(row[name])) for name in ("step_filled", "step_true", "ratio")),
        ]
        for _, row in gaps.consistency().iterrows()
    ]


def _station_section(product: Product, found: YearScores) -> list[report.Section]:
    rows = station_rows(found.stations)
    if not rows:
        return []
    figures = {one.name: f"{one.value} ({one.source})" for one in product.published}
    pieces = [
        report.paragraph(
            "A station is a point in a cell of 25 km: what it differs by is mostly not the "
            "product's error. What counts is whether filled days are worse than observed ones."
        ),
        report.text_table("Medians over stations (m³ m⁻³)", STATION_HEADS, rows),
        report.paragraph(OTHER_DATA),
        report.facts(figures),
    ]
    return [report.Section("stations", "At stations", pieces)]


def _truth_section(found: YearScores) -> list[report.Section]:
    if not found.truth:
        return []
    pieces = [
        report.paragraph(
            "The drivers come from a simulated Earth whose soil moisture is known in every cell. "
            "Its sensors have errors of their own: observed values are the mark to be measured by."
        ),
        report.text_table("Maps against the truth (m³ m⁻³)", TRUTH_HEADS, truth_rows(found.truth)),
    ]
    return [report.Section("truth", "Against the truth", pieces)]


def _network_section(card: SeamlessCard) -> report.Section:
    scores = card.scores["held_out"]
    rows = {
        "Learned from": f"{card.patches:,} squares, {', '.join(card.training_keys)}",
        "Held out": f"{card.held_out:,} squares, {', '.join(card.held_out_keys)}",
        "RMSE in hidden parts of squares held out": f"{scores['RMSE']:.4f} m³ m⁻³",
        "of the first guess that it starts from": f"{scores['RMSE_untrained']:.4f} m³ m⁻³",
        "Epoch kept": f"{card.epoch} of {len(card.history)}",
    }
    return report.Section("network", "The network", [report.facts(rows)])


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
