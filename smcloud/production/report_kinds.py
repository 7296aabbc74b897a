"""The page of the stations: where and when the model is good, by season, land cover and network."""

from collections.abc import Mapping

import numpy as np

from smcloud.production.assessment import Assessment
from smcloud.production.findings import StationFinding, StudyFindings
from smcloud.production.report_splits import SPLIT_LABELS
from smcloud.production.report_stations import series_figure
from smcloud.validation import report
from smcloud.validation.metrics import SCORES
from smcloud.validation.strategies import by_kind, by_season, station_scores
from smcloud.validation.study_figures import Group, groups_picture

LAND_COVERS = {
    1: "cropland, rainfed",
    2: "cropland, irrigated",
    3: "mosaic with cropland",
    4: "mosaic with cropland",
    5: "trees, broadleaved evergreen",
    6: "trees, broadleaved deciduous",
    7: "trees, needleleaved evergreen",
    8: "trees, needleleaved deciduous",
    9: "trees, mixed",
    10: "mosaic of trees and herbs",
    11: "mosaic of trees and herbs",
    12: "shrubs",
    13: "grass",
    14: "lichens and mosses",
    15: "sparse vegetation",
    16: "flooded vegetation",
    17: "flooded vegetation",
    18: "flooded vegetation",
    19: "urban",
    20: "bare ground",
    21: "water",
    22: "snow and ice",
}
"""Tens of the legend of ESA CCI land cover, whose codes the archive of stations holds."""
KINDS = {
    "land_cover": "By land cover",
    "climate": "By climate",
    "network": "By network",
}
"""Columns of the assessment's rows that say what kind a station is, and their headings."""
MOST_KINDS = 12
"""Kinds shown, those with most stations; the rest is one line."""


def kind_sections(found: StudyFindings) -> list[report.Section]:
    """Return the sections about seasons, kinds of station, held-out networks, single stations."""
    sections = []
    pieces = _breakdown(found)
    if pieces:
        sections.append(report.Section("kinds", "Where and when it is good", pieces))
    sections += _networks(found.assessment)
    if found.test is not None:
        sections.append(_single(found.test))
    return sections


def _breakdown(found: StudyFindings) -> list[str]:
    pieces = []
    if found.test is not None:
        pieces.append(
            _figure(
                "By season",
                by_season(found.test.pairs),
                "The stored model at its test stations. A season is shorter and calmer than a "
                "year: its R is lower for that alone.",
            )
        )
    rows, split = found.assessment.rows, found.assessment.headline
    if rows.empty:
        return pieces
    stations = station_scores(rows, split, found.assessment.shipped)
    for column, heading in KINDS.items():
        if column in stations and stations[column].notna().any():
            named = stations.assign(**{column: stations[column].map(_word)})
            kinds = _fewer(by_kind(named, column))
            text = f"Test stations of the headline split ({SPLIT_LABELS[split]})."
            pieces.append(_figure(heading, kinds, text))
        else:
            pieces.append(
                report.paragraph(f"{heading}: the station archive does not say, so it is not told.")
            )
    return pieces


def _word(value: object) -> object:
    """Return the name of a land cover code; anything else as it is."""
    text = str(value).removesuffix(".0")
    if not (text.isdecimal() and int(text) // 10 in LAND_COVERS):
        return value
    return LAND_COVERS[int(text) // 10]


def _fewer(kinds: Mapping[str, Mapping[str, np.ndarray]]) -> Mapping[str, Mapping[str, np.ndarray]]:
    names = list(kinds)
    if len(names) <= MOST_KINDS:
        return kinds
    rest = [kinds[name] for name in names[MOST_KINDS - 1 :]]
    together = {score: np.concatenate([part[score] for part in rest]) for score in rest[0]}
    return {name: kinds[name] for name in names[: MOST_KINDS - 1]} | {
        f"{len(rest)} others": together
    }


def _figure(heading: str, kinds: Mapping[str, Mapping[str, np.ndarray]], caption: str) -> str:
    groups = [Group(name, scores, True) for name, scores in kinds.items()]
    rows = [
        [group.label, str(group.n), *(_quartiles(group.scores[s]) for s in ("R", "ubRMSE"))]
        for group in groups
    ]
    picture = report.Picture(
        groups_picture(groups),
        f"{caption} Dots are stations, bars the middle half, large dots the median.",
        f"R and ubRMSE of test stations {heading.lower()}",
    )
    table = report.text_table(
        f"{heading}: medians, with the middle half of the stations",
        ["", "stations", "R", "ubRMSE, m³ m⁻³"],
        rows,
    )
    return report.subheading(heading) + report.figure(picture) + report.folded("As a table", table)


def _quartiles(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return "–"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _networks(found: Assessment) -> list[report.Section]:
    rows = [
        report.ScoreRow(
            f"{scores.network or 'all of them'}, {what}",
            f"{scores.stations}",
            {name: report.Value.named(numbers[name]) for name in SCORES if name in numbers},
            what == "all days",
        )
        for scores in found.scores
        if scores.split == "network" and scores.against == "all"
        and scores.variant == found.shipped
        and not scores.why_not
        for what, numbers in (("all days", scores.overall), ("median", scores.median))
    ]  # fmt: skip
    if not rows:
        return []
    pieces = [
        report.paragraph(
            "One more model never saw any station of these networks, not even to stop its "
            "training. A network shares sensors, installation and climate, so this is harder than "
            "new stations of known networks."
        ),
        report.score_table("Networks held out whole", "stations", rows),
    ]
    return [report.Section("networks", "Networks held out whole", pieces)]


def _single(test: StationFinding) -> report.Section:
    pieces = [
        series_figure(test, int(test.pairs["time"].dt.year.max())),
        report.folded(
            "Scores of every test station",
            report.station_table("Test stations of the stored model", test.product.stations),
        ),
    ]
    return report.Section("series", "Single stations", pieces)
