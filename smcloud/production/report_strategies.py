"""The study's first page: every strategy side by side, what selection gains, what others print."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.models.folds import VARIANTS, Variant
from smcloud.models.scoring import MEANINGS
from smcloud.production.assessment import Against, Assessment, StrategyScores
from smcloud.production.report_splits import NOT_A_REPRODUCTION, SPLIT_LABELS, SPLIT_ORDER
from smcloud.products.base import Product
from smcloud.validation import report
from smcloud.validation.metrics import SCORES
from smcloud.validation.splits import SplitKind
from smcloud.validation.strategies import (
    WITH,
    WITHOUT,
    Difference,
    difference,
    paired,
    station_scores,
)
from smcloud.validation.study_figures import Group, groups_picture, pairs_picture

AGAINST_LABELS: Mapping[Against, str] = {
    "all": "On the same unselected test stations",
    "selected": "On those test stations that pass the rule themselves",
    "truth": "On the truth of the test stations' pixels",
}
AGAINST_WORDS: Mapping[Against, str] = {
    "all": "unselected test stations",
    "selected": "test stations that pass the rule",
    "truth": "truth of their pixels",
}
"""The same in a few words, for a line of a printed table."""
ALONE_LABELS: Mapping[Against, str] = {**AGAINST_LABELS, "all": "On the test stations"}
"""Headings where no second model was taught by selected stations."""
AGAINST_NOTES: Mapping[Against, str] = {
    "all": (
        "Every test station, whether the rule would keep it or not. Both models are asked the "
        "same, so this is the comparison that counts."
    ),
    "selected": (
        "If the rule is right, these stations measure with less error and any model scores better "
        "on them: a gain from the table above to this one is the stations', not the model's."
    ),
    "truth": (
        "The simulated Earth knows the soil moisture of the whole pixel, which no station does. "
        "A real Earth has no such table."
    ),
}
VARIANT_LABELS = {"all": "taught by all", "selected": "taught by selected"}
COLUMNS: Mapping[Against, tuple[str, str]] = {
    "all": ("R", "ubRMSE"),
    "selected": ("R", "ubRMSE"),
    "truth": ("R_truth", "ubRMSE_truth"),
}


def strategy_sections(found: Assessment, product: Product) -> list[report.Section]:
    """Return the sections about splits and variants, the gain by selection, and the papers."""
    pieces = [
        report.paragraph(
            "Each split asks something else of a model, and each is scored with models of its own. "
            "What a map shows away from stations and outside the training years is told by new "
            "stations in new years."
        ),
        report.paragraph(report.RANDOM_SPLIT_REASON, is_warning=True),
        _distributions(found),
    ]
    for against in AGAINST_LABELS:
        pieces += _table_of(found, against)
    pieces += _impossible(found)
    sections = [report.Section("strategies", "The strategies side by side", pieces)]
    return sections + _gain_section(found) + _published_section(found, product)


def headline_value(found: Assessment, score: str) -> report.Value | None:
    """Return the median of a score of the stored variant in the headline split."""
    scores = found.scores_of(found.headline, found.shipped)
    if scores is None or score not in scores.median:
        return None
    return report.Value.named(scores.median[score])


def variants_of(found: Assessment) -> list[Variant]:
    """Return the variants that were scored, without selection first."""
    scored = {scores.variant for scores in found.scores}
    return [variant for variant in VARIANTS if variant in scored]


def label_of(split: SplitKind, variant: str, variants: Sequence[str]) -> str:
    """Return the words for one strategy; the variant is named where there are two."""
    return SPLIT_LABELS[split] + (f", {VARIANT_LABELS[variant]}" if len(variants) > 1 else "")


def _scored(found: Assessment, against: Against) -> Iterator[tuple[str, StrategyScores]]:
    variants = variants_of(found)
    for split in SPLIT_ORDER:
        for variant in variants:
            scores = found.scores_of(split, variant, against)
            if scores is not None and not scores.why_not and scores.median:
                yield label_of(split, variant, variants), scores


def _table_of(found: Assessment, against: Against) -> list[str]:
    rows = [
        report.ScoreRow(
            label,
            f"{scores.stations} ({_folds(scores.folds)})",
            {
                name: report.Value.named(scores.median[name])
                for name in SCORES
                if name in scores.median
            },
            scores.split == found.headline,
        )
        for label, scores in _scored(found, against)
    ]
    if not rows:
        return []
    is_compared = len(variants_of(found)) > 1
    notes = [report.paragraph(AGAINST_NOTES[against])] if is_compared or against == "truth" else []
    return [
        report.subheading(AGAINST_LABELS[against] if is_compared else ALONE_LABELS[against]),
        *notes,
        report.score_table("Medians over stations; intervals are 95 %", "stations", rows),
    ]


def _folds(number: int) -> str:
    return "1 fold" if number == 1 else f"{number} folds"


def _impossible(found: Assessment) -> list[str]:
    lines = [
        f"{SPLIT_LABELS[scores.split]}: {scores.why_not}"
        for scores in found.scores
        if scores.why_not
    ]
    return [report.paragraph(line) for line in dict.fromkeys(lines)]


def _distributions(found: Assessment) -> str:
    if found.rows.empty:
        return report.paragraph("No station has days enough for a score.", is_warning=True)
    variants = variants_of(found)
    groups = []
    for split in SPLIT_ORDER:
        for variant in variants:
            rows = station_scores(found.rows, split, variant)
            if len(rows):
                scores = {name: rows[name].to_numpy(float) for name in ("R", "ubRMSE")}
                is_headline = split == found.headline
                groups.append(Group(label_of(split, variant, variants), scores, is_headline))
    return report.figure(
        report.Picture(
            groups_picture(groups),
            f"Every unselected test station (dots), the middle half (bars) and the median. Blue is "
            f"the headline: {MEANINGS[found.headline]}. A station that several folds tested has "
            "the mean of its folds here, and all its days in one score in the tables.",
            "R and ubRMSE of every test station by split and variant",
        )
    )


def gain_lines(found: Assessment) -> list[str]:
    """Return in words what selection gains in the headline split; nothing without two variants."""
    if WITH not in variants_of(found) or found.rows.empty:
        return []
    return [
        _in_words(AGAINST_LABELS[against], score, gain)
        for against, score, gain in _differences(paired(found.rows, found.headline))
        if against in ("all", "truth")
    ]


def _gain_section(found: Assessment) -> list[report.Section]:
    if WITH not in variants_of(found) or found.rows.empty:
        return []
    table = [
        _gain_row(f"{SPLIT_LABELS[split]}: {AGAINST_LABELS[against].lower()}", gain)
        for split in SPLIT_ORDER
        for against, _, gain in _differences(paired(found.rows, split))
    ]
    pieces = [
        report.paragraph(
            "Station by station: the score of the model of selected stations minus that of the "
            "model of all stations, at stations that both were tested on. The median of the "
            "differences is what a station gains; an interval that holds 0 shows neither gain nor "
            "loss."
        ),
        *(report.paragraph(line) for line in gain_lines(found)),
        report.text_table(
            "Median difference at the same stations",
            ["", "score", "stations", "without", "with", "difference", "95 % interval"],
            table,
        ),
    ]
    pairs = paired(found.rows, found.headline)
    if len(pairs):
        pieces.append(_pairs_figure(pairs))
    return [report.Section("gain", "What selection of stations gains", pieces)]


def _differences(pairs: pd.DataFrame) -> Iterator[tuple[Against, str, Difference]]:
    for against, columns in COLUMNS.items():
        chosen = None
        if against == "selected":
            if "is_selected" not in pairs:
                continue
            chosen = _passes(pairs)
        for name, column in zip(("R", "ubRMSE"), columns, strict=True):
            if column in pairs:
                gain = difference(pairs, column, chosen)
                if gain.stations:
                    yield against, name, gain


def _gain_row(label: str, gain: Difference) -> list[str]:
    return [
        label,
        gain.score.removesuffix("_truth"),
        str(gain.stations),
        report.number("", gain.without),
        report.number("", gain.with_),
        report.number("bias", gain.value),
        f"{report.number('bias', gain.low)} to {report.number('bias', gain.high)}",
    ]


def _in_words(where: str, score: str, gain: Difference) -> str:
    low, high = (report.number("bias", end) for end in (gain.low, gain.high))
    ends = f"95 %: {low} to {high}; " if np.isfinite(gain.low) else ""
    size = f"{report.number('bias', gain.value)} ({ends}median over {gain.stations} stations)"
    if not np.isfinite(gain.low) or gain.low <= 0 <= gain.high:
        verdict = "these stations cannot tell whether selection helps or harms"
    elif (gain.value > 0) == (score == "R"):
        verdict = "selection helps"
    else:
        verdict = "selection harms"
    return f"{where}, {score} changes by {size}: {verdict}."


def _pairs_figure(pairs: pd.DataFrame) -> str:
    without = {name: pairs[name].to_numpy(float) for name in ("R", "ubRMSE")}
    with_ = {name: pairs[f"{name}_with"].to_numpy(float) for name in ("R", "ubRMSE")}
    return report.figure(
        report.Picture(
            pairs_picture(without, with_, _passes(pairs)),
            "Each test station of the headline split: R above the line and ubRMSE below it are "
            "gains from selection.",
            "R and ubRMSE of test stations without and with selection of the training stations",
        )
    )


def _passes(pairs: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which stations pass the rule themselves; one of which nobody knows does not."""
    if "is_selected" not in pairs:
        return np.zeros(len(pairs), bool)
    known = pairs["is_selected"].astype("boolean")
    return known.fillna(False).to_numpy(bool)


Ours = Callable[[Assessment], str]


def _published_section(found: Assessment, product: Product) -> list[report.Section]:
    if not product.published:
        return []
    rows = [
        [item.name, _ours(found, item.name), item.value, item.source] for item in product.published
    ]
    pieces = [
        report.paragraph(NOT_A_REPRODUCTION, is_warning=True),
        report.text_table(
            "Published figures and their counterparts here",
            ["", "here", "published, other data", "source"],
            rows,
            text_from=1,
        ),
    ]
    return [report.Section("published", "What papers print", pieces)]


def _ours(found: Assessment, name: str) -> str:
    """Return our counterpart of a published figure, and of which strategy it is; else a dash."""
    counterpart = COUNTERPARTS.get(name)
    return "–" if counterpart is None else counterpart(found)


def _overall(split: SplitKind, score: str) -> Ours:
    def told(found: Assessment) -> str:
        scores = found.scores_of(split, found.shipped)
        known = scores is not None and score in scores.overall
        return report.number(score, scores.overall[score]["value"]) if scores and known else "–"

    return told


def _with_and_without(score: str) -> Ours:
    def told(found: Assessment) -> str:
        values = {
            variant: scores.median[score]["value"]
            for variant in variants_of(found)
            if (scores := found.scores_of("station", variant)) is not None
            and score in scores.median
        }
        if WITH not in values:
            return f"{report.number(score, values[WITHOUT])} (no selection)" if values else "–"
        without = report.number(score, values.get(WITHOUT, float("nan")))
        return f"{report.number(score, values[WITH])} ({without} without), new stations"

    return told


def _networks(score: str) -> Ours:
    def told(found: Assessment) -> str:
        values = [
            scores.overall[score]["value"]
            for scores in found.scores
            if scores.network and scores.variant == found.shipped and scores.against == "all"
            and score in scores.overall
        ]  # fmt: skip
        if not values:
            return "– (no network was held out)"
        low, high = report.number(score, min(values)), report.number(score, max(values))
        return f"{low} to {high} ({len(values)} networks)"

    return told


COUNTERPARTS: Mapping[str, Ours] = {
    "R, random split": _overall("random", "R"),
    "RMSE, random split": _overall("random", "RMSE"),
    "median station R, selected stations": _with_and_without("R"),
    "median station ubRMSE": _with_and_without("ubRMSE"),
    "R, four independent networks": _networks("R"),
    "ubRMSE, four independent networks": _networks("ubRMSE"),
}
"""What stands beside each figure of `Product.published`, by its name."""
