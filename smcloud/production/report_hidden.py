"""What is told of filled gaps: temperatures under cloud by size of gap, seams between swaths."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from smcloud.features.lst_filled import OVERPASSES
from smcloud.production.hidden_scores import CLOUDY, FILLERS, HIDDEN, HiddenFindings, LstScores
from smcloud.validation import report
from smcloud.validation.hidden_pixels import CLIMATOLOGY, FILLED

WORDS = {"lst_day": "day", "lst_night": "night"}
SEAM_SCORES = ("R", "RMSE", "ubRMSE", "bias")


class GapTable(NamedTuple):
    """One table of temperatures: of hidden clear pixels, or of truly cloudy ones."""

    title: str
    heads: list[str]
    rows: list[list[str]]


def gap_tables(found: LstScores) -> list[GapTable]:
    """Return RMSE and bias (K) by size of gap, by day and by night; a table for what is judged."""
    heads = ["gap"]
    for overpass in OVERPASSES:
        heads += [f"{WORDS[overpass]}: pixels", *FILLERS]
    tables = []
    for judged in (HIDDEN, CLOUDY):
        own = found.table[found.table["judged"] == judged]
        if len(own):
            title = f"Surface temperature filled, {judged}: RMSE (bias), K"
            tables.append(GapTable(title, heads, _rows(own)))
    return tables


def _rows(table: pd.DataFrame) -> list[list[str]]:
    """Return a row for each size of gap; pixels and fillers of each overpass in columns."""
    cells = {
        (row["grouping"], row["class"], row["overpass"], row["filler"]): row
        for row in table.to_dict("records")
    }
    rows = []
    for grouping, name in dict.fromkeys(key[:2] for key in cells):
        row = ["all" if grouping == "all" else f"{grouping}: {name}"]
        for overpass in OVERPASSES:
            found = [cells.get((grouping, name, overpass, filler)) for filler in FILLERS]
            row.append("–" if found[0] is None else f"{int(found[0]['n']):,}")
            row += ["–" if one is None else _kelvin(one) for one in found]
        rows.append(row)
    return rows


def _kelvin(cell: Mapping[Hashable, Any]) -> str:
    return f"{cell['RMSE']:.2f} ({cell['bias']:+.2f})".replace("-", "−")


def hidden_lines(found: HiddenFindings) -> list[str]:
    """Return in words what filling gains over climatology alone, and seams over time alone."""
    lines = []
    if found.lst is not None:
        for judged in (HIDDEN, CLOUDY):
            parts = [
                f"{WORDS[overpass]} {found.lst.value(judged, overpass, FILLED):.2f} against "
                f"{found.lst.value(judged, overpass, CLIMATOLOGY):.2f}"
                for overpass in OVERPASSES
            ]
            if judged == HIDDEN or found.lst.knows_truth:
                lines.append(
                    f"surface temperature of {judged}, RMSE in K beside climatology alone: "
                    + ", ".join(parts)
                )
    if found.seams:
        told = ", ".join(f"{name} {one['RMSE']:.4f}" for name, one in found.seams.items())
        lines.append(f"soil moisture of hidden swaths, RMSE in m³ m⁻³: {told}")
    return lines


def hidden_sections(found: HiddenFindings) -> list[report.Section]:
    """Return the sections about filled gaps; none where nothing was filled."""
    sections = []
    if found.lst is not None:
        sections.append(_temperatures(found.lst))
    if found.seams:
        sections.append(_seams(found))
    return sections


def _temperatures(found: LstScores) -> report.Section:
    pieces = [
        report.paragraph(
            "Clear pixels are hidden under the clouds of a day a month away, moved elsewhere, and "
            "filled as if nothing around the block were known; they are held against what was seen "
            "there. That shows gaps of the shape of clouds, but under a clear sky. "
            f"{found.blocks} of {found.whole} blocks stand for all."
        )
    ]
    if found.knows_truth:
        pieces.append(
            report.paragraph(
                "Truly cloudy pixels are those that production filled, under clouds of the "
                "simulated Earth, where they change the true temperature: a filling of clear skies "
                "fails there and nowhere else."
            )
        )
    else:
        text = (
            "Nobody knows the true temperature under clouds here (smcloud simulate writes it with "
            "--sources ...,truth_lst), so truly cloudy pixels are not judged."
        )
        pieces.append(report.paragraph(text))
    pieces += [
        report.text_table(table.title, table.heads, table.rows) for table in gap_tables(found)
    ]
    return report.Section("under-clouds", "How well were temperatures filled?", pieces)


def _seams(found: HiddenFindings) -> report.Section:
    rows = [
        [
            name,
            f"{int(one['n']):,}",
            f"{one['share']:.1%}",
            *(report.number(score, one[score]) for score in SEAM_SCORES),
        ]
        for name, one in found.seams.items()
    ]
    pieces = [
        report.paragraph(
            "Cells that the orbits saw are hidden where they passed by on another day, so that "
            "gaps keep their shape and move; what fills them is held against what was seen. All "
            "rows are scored on the values that each of them could estimate; the share is of all "
            "hidden ones."
        ),
        report.text_table(
            "Coarse soil moisture on hidden swaths, m³ m⁻³",
            ["filled by", "values", "estimated", *SEAM_SCORES],
            rows,
        ),
    ]
    return report.Section("seams", "How well were seams between swaths filled?", pieces)
