"""The page of the uncertainty: whether the intervals hold what they promise."""

from collections.abc import Sequence

import numpy as np

from smcloud.models.base import ModelCard
from smcloud.production.assessment import Assessment
from smcloud.production.report_splits import SPLIT_LABELS
from smcloud.validation import report
from smcloud.validation.coverage import MEANINGS, NOMINAL, Coverage, CoverageRow
from smcloud.validation.study_figures import Group, Line, groups_picture, reliability_picture

SHOWN_NETWORKS = 20


def applicability_sections(card: ModelCard | None) -> list[report.Section]:
    """Return the section about where the model may be applied; none without such an area."""
    if card is None or card.area is None:
        return []
    pieces = [
        report.paragraph(
            "A pixel counts as outside when it is farther from every training row, by features "
            "weighted with their importance, than training rows of different spatial blocks are "
            "from each other. Outside, neither the scores nor the intervals of this report speak "
            "for it. Products say so by a bit, judged once a month."
        ),
        report.facts(
            {
                "Largest index inside": f"{card.area.threshold:.3f} mean distances",
                "Training rows compared with": f"{card.area.prototypes:,}",
            }
        ),
    ]
    return [report.Section("applicability", "Where the model may be applied", pieces)]


def uncertainty_sections(found: Assessment) -> list[report.Section]:
    """Return the sections about the coverage of the intervals; none without uncertainty."""
    scored = coverages(found)
    if not scored:
        return []
    curves = [_curve(name, coverage) for name, coverage in scored.items()]
    main = next(iter(scored.values()))
    pieces = [
        report.paragraph(
            "Each estimate has an interval that promises to hold the value in 68 or 90 of 100 "
            "cases. Its width is learnt from stations that were left out, and calibrated on "
            "stations that neither fit nor stop had. The test stations below had no part in it."
        ),
        report.paragraph("What is covered: " + "; ".join(_meanings(scored)) + "."),
        *_unscored(main),
        report.figure(
            report.Picture(
                reliability_picture(curves, _bins(main)),
                "Left: on the line, intervals hold what they promise; below it they are too "
                f"narrow. Right: {next(iter(scored))}, by estimated soil moisture; dashed lines "
                "are the promises.",
                "Reliability of the intervals: share covered against share promised, and by "
                "moisture bin",
            )
        ),
        _overall(scored),
        *_stations(main),
        *_networks(scored),
    ]
    return [report.Section("uncertainty", "Do the intervals hold what they promise?", pieces)]


def _unscored(coverage: Coverage) -> list[str]:
    known = {row.nominal for row in coverage.by("all")}
    missing = [f"{level:.0%}" for level in NOMINAL if level not in known]
    if not missing:
        return []
    words = f"No interval promises {' or '.join(missing)}: the calibrate set has too few stations."
    return [report.paragraph(words, is_warning=True)]


def coverages(found: Assessment) -> dict[str, Coverage]:
    """Return the coverage of every test set that was scored, by words for it."""
    words = {str(split): label for split, label in SPLIT_LABELS.items()}
    return {
        f"{words.get(split, split)}, {covers}": Coverage.from_json(body)
        for split, parts in found.coverage.items()
        for covers in MEANINGS  # the point first: it is what the intervals are made for
        if (body := parts.get(covers))
    }


def _meanings(scored: dict[str, Coverage]) -> list[str]:
    found = dict.fromkeys(coverage.covers for coverage in scored.values())
    return [f"{covers}: {MEANINGS[covers]}" for covers in found]


def _curve(name: str, coverage: Coverage) -> Line:
    rows = sorted(coverage.by("all"), key=lambda row: row.nominal)
    share = [row.covered_by_station for row in rows]
    return Line(name, np.array([row.nominal for row in rows]), np.array(share))


def _bins(coverage: Coverage) -> list[tuple[str, list[Line]]]:
    found: dict[str, list[Line]] = {}
    for row in coverage.by("moisture"):
        line = Line(row.group, np.array([row.nominal]), np.array([row.covered]))
        found.setdefault(row.group, []).append(line)
    return list(found.items())


def _overall(scored: dict[str, Coverage]) -> str:
    rows = [
        _row(f"{name}, {row.nominal:.0%} promised", row)
        for name, coverage in scored.items()
        for row in sorted(coverage.by("all"), key=lambda row: row.nominal)
    ]
    return _table("Over everything", rows)


def _row(label: str, row: CoverageRow) -> list[str]:
    return [
        label,
        f"{row.rows:,}",
        f"{row.stations:,}",
        f"{row.covered:.1%}",
        f"{row.covered_by_station:.1%}",
        f"{row.width:.3f}",
    ]


def _table(caption: str, rows: Sequence[Sequence[str]]) -> str:
    heads = ["", "days", "stations", "of days", "mean of stations", "mean width, m³ m⁻³"]
    return report.text_table(f"{caption}: share inside the interval", heads, rows)


def _stations(coverage: Coverage) -> list[str]:
    rows = coverage.by("station")
    levels = sorted({row.nominal for row in rows})
    if not levels:
        return []
    groups = [
        Group(
            f"{level:.0%} promised",
            {"share covered": np.array([row.covered for row in rows if row.nominal == level])},
            True,
        )
        for level in levels
    ]
    return [
        report.subheading("Station by station"),
        report.figure(
            report.Picture(
                groups_picture(groups, ("share covered",)),
                "Each test station's share of days inside the interval. The promise holds for a "
                "random day of a random station, not for each station: one with a bias of its own "
                "is missed again and again.",
                "Share covered at every test station",
            )
        ),
    ]


def _networks(scored: dict[str, Coverage]) -> list[str]:
    rows = [
        _row(f"{row.group} ({name}), {row.nominal:.0%}", row)
        for name, coverage in scored.items()
        for row in coverage.by("network")
    ]
    if not rows:
        return []
    shown = rows[:SHOWN_NETWORKS]
    pieces = [report.subheading("Network by network"), _table("Networks", shown)]
    if len(rows) > len(shown):
        pieces.append(report.folded("The others", _table("Other networks", rows[len(shown) :])))
    return pieces
