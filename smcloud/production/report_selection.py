"""The page of the selection: which stations were kept and dropped, and how often that was right."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from smcloud.core.errors import UserError
from smcloud.production.findings import StudyFindings
from smcloud.publish.point_map import Points, station_map
from smcloud.validation import report
from smcloud.validation.figures import BLUE, INK, ORANGE
from smcloud.validation.selection import counted_reasons
from smcloud.validation.study_figures import threshold_picture
from smcloud.validation.triple_collocation import counted_status
from smcloud.validation.verdicts import precision_recall

SHOWN = {
    "n": "days",
    "r": "R",
    "r_anomaly": "R, anomalies",
    "r_again": "R, second triplet",
    "error_std": "error, m³ m⁻³",
    "snr_db": "SNR, dB",
}
"""Columns of the table of stations that are shown, and their heads."""


def selection_sections(found: StudyFindings) -> list[report.Section]:
    """Return map, reasons, verdicts and table of the stations that selection judged."""
    table = found.selection
    if table is None or table.empty:
        return []
    kept = int(table["kept"].sum())
    pieces = [
        report.paragraph(
            "Triple collocation compares each station with two products, whose errors it takes to "
            "have nothing to do with its own nor with each other, and says how closely it follows "
            "what all three share. Where they do, it misleads, and nothing here shows it. Only the "
            "stations and years that the stored model is fitted and stopped on were judged; test "
            f"stations were not. {kept} of {len(table)} stations are kept."
        ),
        report.figure(
            report.Picture(
                station_map(_points(table, found.representative)),
                "Stations that the model may learn from, and those that were dropped."
                + (
                    " A black dot: the simulated Earth knows that the verdict is wrong."
                    if found.representative is not None
                    else ""
                ),
                f"Map of {kept} stations kept and {len(table) - kept} dropped",
            )
        ),
        report.text_table(
            "Why", ["", "stations"], [[words, str(n)] for words, n in counted_reasons(table)]
        ),
        *_statuses(table),
        *_verdicts(table, found.representative),
        *_thresholds(found.thresholds),
        report.folded("Every station, its figures and the reason", _stations(table)),
    ]
    return [report.Section("selection", "Stations kept and dropped", pieces)]


def _points(table: pd.DataFrame, representative: pd.DataFrame | None) -> list[Points]:
    kept = table["kept"].to_numpy(bool)
    lon, lat = (table[name].to_numpy(float) for name in ("longitude", "latitude"))
    kinds = [
        Points("kept", lon[kept], lat[kept], BLUE),
        Points("dropped", lon[~kept], lat[~kept], ORANGE, "X"),
    ]
    if representative is not None:
        wrong = _is_wrong(table, representative)
        kinds.append(Points("either, and wrong by the truth", lon[wrong], lat[wrong], INK, "."))
    return [kind for kind in kinds if kind.lon.size]


def _is_wrong(table: pd.DataFrame, representative: pd.DataFrame) -> np.ndarray:
    known = representative.drop_duplicates("station").set_index("station")["representative"]
    truth = table["station"].map(known)
    wrong = truth.notna() & (truth.fillna(False).astype(bool) != table["kept"].astype(bool))
    return wrong.to_numpy(bool)


def _verdicts(table: pd.DataFrame, representative: pd.DataFrame | None) -> list[str]:
    if representative is None:
        return [
            report.paragraph(
                "Nobody knows which stations of the real Earth are representative, so precision "
                "and recall cannot be told."
            )
        ]
    try:
        found = precision_recall(table, representative)
    except UserError as err:
        return [report.paragraph(str(err), is_warning=True)]
    rows = [
        ["kept", str(found.kept_right), str(found.kept_wrong)],
        ["dropped", str(found.dropped_wrong), str(found.dropped_right)],
    ]
    return [
        report.subheading("How often the rule is right"),
        report.paragraph(
            "The simulated Earth knows which stations are representative; the rule does not. "
            f"Precision, the share of kept stations that are: {_share(found.precision)} "
            f"({_interval(found.precision_interval)}), while keeping every station would give "
            f"{_share(found.representative_share)}. Recall, the share of representative stations "
            f"that are kept: {_share(found.recall)} ({_interval(found.recall_interval)})."
        ),
        report.text_table(
            "Stations by verdict and truth", ["", "representative", "not representative"], rows
        ),
    ]


def _statuses(table: pd.DataFrame) -> list[str]:
    """Return how many stations have each bit of the first triplet's status, kept or dropped."""
    counts = counted_status(table["status"].to_numpy(np.uint8))
    rows = [[words, str(n)] for words, n in counts.items() if n and words != "series"]
    caption = "What stands against the figures of the first triplet, of stations kept or dropped"
    return [report.text_table(caption, ["", "stations"], rows)]


def _thresholds(found: pd.DataFrame | None) -> list[str]:
    """Return what other thresholds would keep; nothing where the rules are not known."""
    if found is None:
        return []
    is_known = bool(found["recall"].notna().any())
    heads = ["kept from r", "stations", *(["precision", "recall"] if is_known else [])]
    rows = [
        [
            f"{row['minimum_r']:.2f}" + (" (the rule)" if row["is_chosen"] else ""),
            str(row["kept"]),
            *([_share(row["precision"]), _share(row["recall"])] if is_known else []),
        ]
        for row in found.to_dict("records")
    ]
    told = (
        "Precision and recall are those of the simulated Earth: on the real one the left curve is "
        "all that can be seen, and a threshold that is chosen by the right one would have looked "
        "at the truth."
        if is_known
        else "Only the number of stations is known here; a kink shows where stations crowd."
    )
    return [
        report.subheading("What another threshold would keep"),
        report.paragraph(f"The same stations and figures, another minimum_r. {told}"),
        report.figure(
            report.Picture(
                threshold_picture(found),
                "Stations kept"
                + (", precision and recall," if is_known else "")
                + " by the least TC correlation that is asked for; dashed: the rule of this model.",
                "Stations kept by the threshold of their TC correlation",
            )
        ),
        report.folded("As a table", report.text_table("Thresholds", heads, rows)),
    ]


def _share(value: float) -> str:
    return f"{value:.0%}" if np.isfinite(value) else "unknown"


def _interval(ends: Sequence[float]) -> str:
    return f"95 %: {_share(ends[0])} to {_share(ends[1])}"


def _stations(table: pd.DataFrame) -> str:
    columns = {name: head for name, head in SHOWN.items() if name in table}
    rows = []
    for row in table.sort_values(["kept", "station"], ascending=[False, True]).to_dict("records"):
        numbers = [_number(name, row[name]) for name in columns]
        rows.append([str(row["station"]), *numbers, str(row["reason"])])
    heads = ["station", *columns.values(), "verdict and reason"]
    return report.text_table("Stations judged", heads, rows, text_from=len(columns) + 1)


def _number(name: str, value: object) -> str:
    if not isinstance(value, int | float | np.number) or not np.isfinite(float(value)):
        return "–"
    digits = {"n": 0, "snr_db": 1}.get(name, 3)
    return f"{float(value):,.{digits}f}".replace("-", "−")
