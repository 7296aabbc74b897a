"""What is told of a forest of frozen ground: scores by split, confusion, strata, reliability."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smcloud.models.freeze_thaw_files import FreezeThawCard
from smcloud.models.freeze_thaw_scores import RANDOM_SETS, SET_WORDS, AllScores, StateScores
from smcloud.production.freeze_thaw_stations import StationFinding
from smcloud.products.base import Product
from smcloud.validation import report
from smcloud.validation.confusion import (
    Confusion,
    Ends,
    all_scores,
    f1,
    gain_interval,
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
OTHERWISE_WORDS = {
    "likeliest": "forest, states weighed alike",
    "balanced": "forest, likeliest states",
}
"""What the other way to decide is called, by how the maps decide."""
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
TEACHER_WORDS = "labels that taught"
NO_STATION = (
    "No station of the run's archive measured soil temperature in this region and year, so the "
    "maps have no independent check here."
)
POINT_WARNING = (
    "Soil temperature of {stations} stations within an hour of the overpass, below 0 °C being "
    "frozen. A station is a point in a cell of 25 km, and ground at 0 °C may be either: even a "
    "perfect map would not agree everywhere. The labels are those of the same cells and days."
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


def score_rows(card: FreezeThawCard, scores: AllScores) -> list[list[str]]:
    """Return a row for each tested set and each way to tell states, as texts."""
    rows = []
    for name in ordered_sets(scores):
        variants = scores.scores[name]
        for variant, found in variants.items():
            rows.append(_row(f"{name}: {VARIANT_WORDS[variant]}", found.whole, found.blocks))
        both = variants["all"]
        rows.append(_row(f"{name}: {otherwise_of(card)}", both.otherwise, None))
        if both.rule.n:
            rows.append(_row(f"{name}: {RULE_WORDS}", both.rule, None))
    return rows


def gain_lines(scores: AllScores) -> list[str]:
    """Return by how much the forest beats the plain rule on each set that was not fitted."""
    lines = []
    for name in ordered_sets(scores):
        found = scores.scores[name]["all"]
        if name == RANDOM_SETS[0] or not found.rule.n:
            continue
        gains = [
            f"{word} {ends.value:+.3f} (95 % {ends.low:+.3f} to {ends.high:+.3f})"
            for word, score in (("accuracy", overall_accuracy), ("kappa", kappa))
            for ends in [gain_interval(found.beside_blocks, found.rule_blocks, score)]
        ]
        lines.append(f"{name}: forest less plain rule: {', '.join(gains)}")
    return lines


def otherwise_of(card: FreezeThawCard) -> str:
    """Return what the other way to decide is called."""
    return OTHERWISE_WORDS[str(card.params["decision"])]


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
    return report.text_table(caption, *confusion_rows(found))


def confusion_rows(found: Confusion) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of a confusion matrix with producer's and user's accuracies."""
    heads = ["reference", *(f"told {word}" for word in found.classes), "producer's", "F1"]
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
    return heads, rows


def strata_table(
    caption: str, classes: Sequence[str], found: Confusion, rule: Confusion | None = None
) -> str:
    """Return the scores of each class of a stratum, with those of the plain rule, as a table."""
    return report.text_table(caption, *strata_rows(classes, found, rule))


def strata_rows(
    classes: Sequence[str], found: Confusion, rule: Confusion | None
) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the scores of each class of a stratum that has rows.

    Where only one state occurs there is no agreement beyond chance, and no F1 of the others.
    """
    ways = [found] if rule is None or not rule.n.sum() else [found, rule]
    words = ["accuracy", "kappa", *(f"F1 {word}" for word in found.classes)]
    heads = ["", "rows"]
    for word in words:
        heads += [word, "rule's"][: len(ways)]
    values = np.stack([_scores_of(way) for way in ways], axis=2)
    rows = [
        [word, f"{int(found.n[k]):,}", *(_number(one) for one in values[k].ravel())]
        for k, word in enumerate(classes)
        if found.n[k]
    ]
    return heads, rows


def _scores_of(found: Confusion) -> NDArray[np.float64]:
    """Return accuracy, kappa and F1 of each class by group, (groups, scores); NaN without sense."""
    occurs = found.counts.sum(axis=-1) > 0
    agreement = np.where(occurs.sum(axis=-1) > 1, kappa(found), np.nan)
    each = np.where(occurs, f1(found), np.nan)
    return np.column_stack([overall_accuracy(found), agreement, each])


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
        report.Section("confusion", "Which states are taken for which", _matrices(card, scores)),
        report.Section("strata", f"Where it is hard, {head}", _strata(scores, found)),
        report.Section("reliability", "Do the probabilities come true?", _reliability(scores)),
    ]


def _scores_section(product: Product, card: FreezeThawCard, scores: AllScores) -> report.Section:
    counted = ", ".join(f"{word} {count:,}" for word, count in card.rows.items())
    pieces = [
        report.paragraph(LABEL_WARNING),
        report.paragraph(f"Labelled rows: {counted}. Partly frozen counts as: {card.partly}."),
        *(report.paragraph(note, is_warning=True) for note in card.notes),
        report.text_table(
            "Scores by what the forest had not seen", SCORE_HEADS, score_rows(card, scores)
        ),
        *(report.paragraph(line) for line in gain_lines(scores)),
        report.paragraph(RANDOM_WARNING),
    ]
    if product.published:
        figures = {one.name: f"{one.value} ({one.source})" for one in product.published}
        pieces += [report.paragraph(OTHER_DATA), report.facts(figures)]
    return report.Section("scores", "How good is it?", pieces)


def _matrices(card: FreezeThawCard, scores: AllScores) -> list[str]:
    """Return the matrices of the headline, and folded those of the other tested sets."""
    head = headline_of(card, scores)
    variants = scores.scores[head]
    pieces = [
        confusion_table(f"{head}: {VARIANT_WORDS[name]}", found.whole)
        for name, found in variants.items()
    ]
    both = variants["all"]
    if both.rule.n:
        pieces.append(confusion_table(f"{head}: {RULE_WORDS}", both.rule))
    pieces.append(confusion_table(f"{head}: {otherwise_of(card)}", both.otherwise))
    others = [name for name in ordered_sets(scores) if name != head]
    tables = [
        confusion_table(f"{name}: {words}", found)
        for name in others
        for words, found in (
            (VARIANT_WORDS["all"], scores.scores[name]["all"].whole),
            (RULE_WORDS, scores.scores[name]["all"].rule),
        )
        if found.n
    ]
    return [*pieces, report.folded("The other tested sets", "".join(tables))]


def _strata(scores: AllScores, found: StateScores) -> list[str]:
    return [
        strata_table(
            f"By {STRATUM_WORDS[name]}", classes, found.strata[name], found.rule_strata[name]
        )
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


def score_lines(card: FreezeThawCard, scores: AllScores) -> Mapping[str, Mapping[str, float]]:
    """Return the scores that the command prints, by words for what was tested."""
    found: dict[str, Mapping[str, float]] = {}
    for name in ordered_sets(scores):
        for variant, one in scores.scores[name].items():
            found[f"{name}: {VARIANT_WORDS[variant]}"] = one.summary()
        both = scores.scores[name]["all"]
        found[f"{name}: {otherwise_of(card)}"] = all_scores(both.otherwise)
        if both.rule.n:
            found[f"{name}: {RULE_WORDS}"] = all_scores(both.rule)
    return found


def station_lines(year: int, found: StationFinding | None) -> dict[str, dict[str, float]]:
    """Return the scores at stations that the command prints; nothing where none measured."""
    if found is None:
        return {}
    lines = {f"{year} maps: {STATION_WORDS}": all_scores(found.maps)}
    if found.labels.n:
        lines[f"{year} {TEACHER_WORDS}: {STATION_WORDS}"] = all_scores(found.labels)
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
        confusion_table("Maps", found.maps),
        confusion_table("The labels that the forest learned from", found.labels),
        confusion_table(RULE_WORDS, found.rule),
        strata_table("Maps by season", SEASONS, found.seasons),
        strata_table(f"Maps by {STRATUM_WORDS['transition']}", TRANSITION, found.transition),
    ]
    return report.Section("stations", heading, pieces)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
