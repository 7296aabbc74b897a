"""What is told of a forest of frozen ground: scores by split, confusion, strata, reliability."""

from collections.abc import Mapping, Sequence

import numpy as np

from smcloud.models.freeze_thaw_files import FreezeThawCard
from smcloud.models.freeze_thaw_scores import RANDOM_SETS, SET_WORDS, AllScores, StateScores
from smcloud.production.freeze_thaw_stations import StationFinding
from smcloud.products.base import Product
from smcloud.validation import report
from smcloud.validation.confusion import (
    Confusion,
    Ends,
    all_scores,
    balanced_accuracy,
    f1,
    interval,
    kappa,
    overall_accuracy,
    producers_accuracy,
    users_accuracy,
)
from smcloud.validation.frost_figures import probability_picture
from smcloud.validation.frost_strata import SEASONS, TRANSITION
from smcloud.validation.reliability import brier_score, brier_skill, calibration_error

RULE_WORDS = "plain rule: soil of the land model below 0 °C"
VARIANT_WORDS = {
    "all": "forest",
    "without GLDAS": "forest without the land model",
    "GLDAS alone": "forest of the land model alone",
}
STRATUM_WORDS = {
    "season": "season",
    "elevation": "elevation of the cell",
    "state": "state that the label names",
    "transition": "months in which a cell changes its state, and others",
}
LABEL_WARNING = (
    "The labels are no measurement alone: SMOS level 3 uses air temperature of a weather model and "
    "snow maps, and is weak under radio interference and wet snow. Columns of a land model "
    "therefore repeat part of the rule behind the label, which is why the forest is shown without "
    "them, too."
)
RANDOM_WARNING = (
    "The random split is a reference and not a result: the cell beside a tested one, and the day "
    "before it, were fitted. What to expect elsewhere and in other years is told by regions and "
    "years that the forest has never seen."
)
STATION_WORDS = "soil temperature at stations"
NO_STATION = (
    "No station of the run's archive measured soil temperature in this region and year, so the "
    "maps have no independent check here."
)
POINT_WARNING = (
    "Soil temperature of {stations} stations within an hour of the overpass, below 0 °C being "
    "frozen. A station is a point in a cell of 25 km, and ground at 0 °C may be either: even a "
    "perfect map would not agree everywhere."
)
OTHER_DATA = (
    "The figure of the data set that this product follows is of other labels, years and a random "
    "split: it stands beside ours, and neither confirms the other."
)


def ordered_sets(scores: AllScores) -> list[str]:
    """Return the tested sets that there are: the hardest first, the random ones last."""
    words = [*SET_WORDS.values(), *reversed(RANDOM_SETS)]
    return [word for word in words if word in scores.scores]


def headline_of(card: FreezeThawCard, scores: AllScores) -> str:
    """Return the tested set that tells what to expect."""
    named = {str(kind): word for kind, word in SET_WORDS.items()}
    return named.get(card.headline) or ordered_sets(scores)[0]


def score_rows(scores: AllScores) -> list[list[str]]:
    """Return a row for each tested set and each way to tell states, as texts."""
    rows = []
    for name in ordered_sets(scores):
        variants = scores.scores[name]
        for variant, found in variants.items():
            rows.append(_row(f"{name}: {VARIANT_WORDS[variant]}", found.whole, found.blocks))
        both = variants["all"]
        if both.rule.n:
            rows.append(_row(f"{name}: {RULE_WORDS}", both.rule, None))
    return rows


SCORE_HEADS = (
    "",
    "rows",
    "overall accuracy",
    "95 %",
    "kappa",
    "balanced",
    "F1 thawed",
    "F1 frozen",
)


def _row(label: str, found: Confusion, blocks: Confusion | None) -> list[str]:
    ends = Ends(np.nan, np.nan, np.nan) if blocks is None else interval(blocks, overall_accuracy)
    scores = all_scores(found)
    text = "–" if np.isnan(ends.low) else f"{ends.low:.3f} to {ends.high:.3f}"
    shown = [scores[name] for name in ("kappa", "balanced_accuracy", "F1 thawed", "F1 frozen")]
    return [
        label,
        f"{int(found.n):,}",
        _number(scores["overall_accuracy"]),
        text,
        *(_number(one) for one in shown),
    ]


def confusion_table(caption: str, found: Confusion) -> str:
    """Return a confusion matrix with producer's and user's accuracies as a table."""
    heads = ["true state", *(f"told {word}" for word in found.classes), "producer's", "F1"]
    producers, scores = producers_accuracy(found), f1(found)
    rows = [
        [
            word,
            *(f"{int(count):,}" for count in found.counts[k]),
            _number(producers[k]),
            _number(scores[k]),
        ]
        for k, word in enumerate(found.classes)
    ]
    users = [_number(one) for one in users_accuracy(found)]
    rows.append(["user's", *users, "", ""])
    return report.text_table(caption, heads, rows)


def strata_table(caption: str, classes: Sequence[str], found: Confusion) -> str:
    """Return the scores of each class of a stratum as a table."""
    heads = ["", "rows", "overall accuracy", "kappa", "balanced"]
    heads += [f"F1 {word}" for word in found.classes]
    accuracy, agreement, balanced = (
        score(found) for score in (overall_accuracy, kappa, balanced_accuracy)
    )
    each = f1(found)
    rows = [
        [
            word,
            f"{int(found.n[k]):,}",
            *(_number(one[k]) for one in (accuracy, agreement, balanced)),
            *(_number(one) for one in each[k]),
        ]
        for k, word in enumerate(classes)
        if found.n[k]
    ]
    return report.text_table(caption, heads, rows)


def model_sections(
    product: Product, card: FreezeThawCard, scores: AllScores
) -> list[report.Section]:
    """Return the sections about a forest and its scores."""
    if not ordered_sets(scores):
        return [_scores_section(product, card, scores)]
    head = headline_of(card, scores)
    found = scores.scores[head]["all"]
    return [
        _scores_section(product, card, scores),
        report.Section("confusion", "Which states are taken for which", _matrices(scores, head)),
        report.Section("strata", f"Where it is hard, {head}", _strata(scores, found)),
        report.Section("reliability", "Do the probabilities come true?", _reliability(scores)),
    ]


def _scores_section(product: Product, card: FreezeThawCard, scores: AllScores) -> report.Section:
    counted = ", ".join(f"{word} {count:,}" for word, count in card.rows.items())
    pieces = [
        report.paragraph(LABEL_WARNING),
        report.paragraph(f"Labelled rows: {counted}. Partly frozen counts as: {card.partly}."),
        *(report.paragraph(note, is_warning=True) for note in card.notes),
        report.text_table("Scores on rows that were not fitted", SCORE_HEADS, score_rows(scores)),
        report.paragraph(RANDOM_WARNING),
    ]
    if product.published:
        figures = {one.name: f"{one.value} ({one.source})" for one in product.published}
        pieces += [report.paragraph(OTHER_DATA), report.facts(figures)]
    return report.Section("scores", "How good is it?", pieces)


def _matrices(scores: AllScores, head: str) -> list[str]:
    variants = scores.scores[head]
    pieces = [
        confusion_table(f"{head}: {VARIANT_WORDS[name]}", found.whole)
        for name, found in variants.items()
    ]
    both = variants["all"]
    if both.rule.n:
        pieces.append(confusion_table(f"{head}: {RULE_WORDS}", both.rule))
    likeliest = confusion_table(
        f"{head}: forest, the likeliest state whatever the weights of classes", both.likeliest
    )
    return [report.side_by_side(pieces), report.folded("Without weights of classes", likeliest)]


def _strata(scores: AllScores, found: StateScores) -> list[str]:
    return [
        strata_table(f"By {STRATUM_WORDS[name]}", classes, found.strata[name])
        for name, classes in scores.strata.items()
    ]


def _reliability(scores: AllScores) -> list[str]:
    shown = {name: scores.scores[name]["all"].reliability for name in ordered_sets(scores)[:4]}
    rows = [
        [
            name,
            _number(brier_score(one)),
            _number(brier_skill(one)),
            _number(calibration_error(one)),
        ]
        for name, one in shown.items()
    ]
    return [
        report.figure(
            report.Picture(
                probability_picture(shown),
                "Left: on the dashed line, probabilities come true; right: how often each is "
                f"stated, {next(iter(shown))}.",
                "Reliability diagram of the probability of frozen ground",
            )
        ),
        report.text_table(
            "Probability of frozen ground",
            ["", "Brier score", "skill over the frequency alone", "calibration error"],
            rows,
        ),
    ]


def score_lines(scores: AllScores) -> Mapping[str, Mapping[str, float]]:
    """Return the scores that the command prints, by words for what was tested."""
    found: dict[str, Mapping[str, float]] = {}
    for name in ordered_sets(scores):
        for variant, one in scores.scores[name].items():
            found[f"{name}: {VARIANT_WORDS[variant]}"] = one.summary()
        if scores.scores[name]["all"].rule.n:
            found[f"{name}: {RULE_WORDS}"] = all_scores(scores.scores[name]["all"].rule)
    return found


def station_lines(year: int, found: StationFinding | None) -> dict[str, dict[str, float]]:
    """Return the scores at stations that the command prints; nothing where none measured."""
    if found is None:
        return {}
    lines = {f"{year} maps: {STATION_WORDS}": all_scores(found.maps)}
    if found.rule.n:
        lines[f"{year} {RULE_WORDS}: {STATION_WORDS}"] = all_scores(found.rule)
    return lines


def station_section(found: StationFinding | None) -> report.Section:
    """Return the section about soil temperature at stations."""
    heading = "Against stations, which taught nothing"
    if found is None:
        return report.Section("stations", heading, [report.paragraph(NO_STATION)])
    pieces = [
        report.paragraph(POINT_WARNING.format(stations=found.stations)),
        report.side_by_side(
            [confusion_table("Maps", found.maps), confusion_table(RULE_WORDS, found.rule)]
        ),
        strata_table("Maps by season", SEASONS, found.seasons),
        strata_table(f"Maps by {STRATUM_WORDS['transition']}", TRANSITION, found.transition),
    ]
    return report.Section("stations", heading, pieces)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
