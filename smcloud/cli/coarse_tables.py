"""What `smcloud train` prints of models that learned from coarse cells: families, and the gaps."""

from collections import Counter

from smcloud.cli.console import console, table
from smcloud.core.listener import counted
from smcloud.models.families import TITLES
from smcloud.models.gwr_files import LocalCard
from smcloud.models.periods import BEST, PeriodEntry, PeriodsCard
from smcloud.production.coarse_train_stage import CoarseTraining

SHOWN_REASONS = 5
BEST_TITLE = "best of each period"


def show_coarse(made: CoarseTraining) -> None:
    """Print what the models do on cells that they never saw, and what they were made of."""
    if isinstance(made.card, PeriodsCard):
        show_periods(made.card)
    else:
        show_local(made.card)
    console.print(
        f"  {made.rows:,} samples of {made.cells:,} coarse cells on {made.days:,} days",
        markup=False,
    )
    console.print(f"  model {made.url}/card.json", markup=False)


def show_local(card: LocalCard) -> None:
    """Print the bandwidth of local regressions, how it was found, and what is modelled."""
    modelled = sum(note.modelled for note in card.years.values())
    days = sum(note.days for note in card.years.values())
    console.print(
        f"  {card.name}: a regression around each cell of {card.grid} on "
        f"{', '.join(card.columns)}, Gaussian kernel of {card.bandwidth_km:.0f} km; {modelled:,} "
        f"of {days:,} days are modelled",
        markup=False,
    )
    for name, scores in card.scores.items():
        found = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
        console.print(f"    {name}: {found}", markup=False)


def show_periods(card: PeriodsCard) -> None:
    """Print the scores of every family on held-out groups, and why periods have no model."""
    units = f", {card.target_units}" if card.target_units else ""
    head = ["family", "chosen", "R", "RMSE", "ubRMSE", "bias", "random R", "random RMSE"]
    title = f"{card.name}: {card.target}{units}, on groups of cells that were held out"
    titles: dict[str, str] = {str(name): text for name, text in TITLES.items()}
    titles[BEST] = BEST_TITLE
    rows = [
        [titles[name], f"{scores['chosen']:.0f}"] + [f"{scores[_key(one)]:.3f}" for one in head[2:]]
        for name, scores in card.scores.items()
    ]
    table(title, head, rows)
    if BEST in card.scores:
        best = card.scores[BEST]
        console.print(
            f"  over {best['periods']:.0f} periods in which every family has a model; the mean of "
            f"the fitted cells has RMSE {best['constant_RMSE']:.3f}; the family is chosen by inner "
            "validation, never by these scores",
            markup=False,
        )
        console.print(
            "  random cells are no result: cells beside them were fitted, and neighbours are alike",
            markup=False,
        )
    _show_gaps(card)


def _key(head: str) -> str:
    return head.replace("random ", "random_")


def _show_gaps(card: PeriodsCard) -> None:
    modelled, periods = card.modelled, len(card.periods)
    console.print(f"  {modelled} of {counted(periods, 'periods')} are modelled", markup=False)
    gaps = [entry for entry in card.periods if entry.family is None]
    reasons = Counter(_kind(entry) for entry in gaps)
    for reason, count in reasons.most_common(SHOWN_REASONS):
        first = next(str(entry.period) for entry in gaps if _kind(entry) == reason)
        console.print(f"  {count} not modelled, {first} the first: {reason}", markup=False)
    if len(reasons) > SHOWN_REASONS:
        console.print(f"  and for {len(reasons) - SHOWN_REASONS} other reasons", markup=False)


def _kind(entry: PeriodEntry) -> str:
    """Return the reason without the count of samples, which differs from period to period."""
    samples = f"{entry.samples} samples: "
    return entry.why_not.replace(samples, "too few samples: ", 1)
