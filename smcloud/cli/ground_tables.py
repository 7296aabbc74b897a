"""What the commands print of a product that tells states of the ground."""

from collections.abc import Mapping

from smcloud.cli.console import console, table
from smcloud.cli.year_tables import MIB
from smcloud.production.freeze_thaw_tasks import FreezeThawSummary
from smcloud.production.freeze_thaw_validate import GroundResult
from smcloud.production.freeze_thaw_year import GroundPlan
from smcloud.production.report_freeze_thaw import (
    RULE_WORDS,
    confusion_rows,
    gain_lines,
    headline_of,
    score_lines,
    strata_rows,
)

SCORES: Mapping[str, str] = {
    "overall_accuracy": "accuracy",
    "kappa": "kappa",
    "balanced_accuracy": "balanced",
    "F1 thawed": "F1 thawed",
    "F1 frozen": "F1 frozen",
    "brier": "Brier",
}
"""Scores that are printed, and what heads their columns."""


def show_forest(made: FreezeThawSummary) -> None:
    """Print the scores of a forest on cells and years that it never saw."""
    card = made.card
    _show_headline(made)
    _show_scores(f"{card.name}: states told on rows apart", score_lines(card, made.scores))
    for line in gain_lines(made.scores):
        console.print(f"  {line}", markup=False)
    console.print(
        "  random rows are no result: the cells and days beside them were fitted", markup=False
    )
    for note in card.notes:
        console.print(f"  {note}", markup=False)
    counted = ", ".join(f"{word} {count:,}" for word, count in card.rows.items())
    trees = card.params["trees"]
    console.print(f"  {trees} trees on {counted} rows; partly is {card.partly}", markup=False)


def _show_headline(made: FreezeThawSummary) -> None:
    """Print the matrices and strata of the tested set that tells what to expect."""
    if not made.scores.scores:
        return
    head = headline_of(made.card, made.scores)
    found = made.scores.scores[head]["all"]
    table(f"{head}: forest", *confusion_rows(found.whole))
    if found.rule.n:
        table(f"{head}: {RULE_WORDS}", *confusion_rows(found.rule))
    for name, classes in made.scores.strata.items():
        heads, rows = strata_rows(classes, found.strata[name], found.rule_strata[name])
        table(f"{head}, by {name}", heads, rows)


def _show_scores(title: str, lines: Mapping[str, Mapping[str, float]]) -> None:
    table(
        title,
        ["tested", "rows", *SCORES.values()],
        [
            [name, f"{scores['n']:,.0f}", *(_number(scores.get(key)) for key in SCORES)]
            for name, scores in lines.items()
        ],
    )


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"


def show_plans(plans: tuple[GroundPlan, ...]) -> None:
    """Print what `produce` would do."""
    table(
        "Plan",
        ["year", "blocks", "to make", "cell-days", "memory of a block, MiB"],
        [
            [plan.year, plan.blocks, plan.waiting, f"{plan.rows:,}", f"{plan.bytes / MIB:,.0f}"]
            for plan in plans
        ],
    )


def show_found(result: GroundResult) -> None:
    """Print the scores and where the reports are."""
    _show_scores("Scores", result.lines)
    for line in result.told:
        console.print(line, markup=False)
    for url in result.reports:
        console.print(f"report {url}", markup=False)
