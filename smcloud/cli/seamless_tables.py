"""What the commands print of a product that fills gaps."""

from smcloud.cli.console import console, table
from smcloud.cli.year_tables import MIB
from smcloud.production.report_seamless import (
    GAP_HEADS,
    STATION_HEADS,
    TRUTH_HEADS,
    class_tables,
    gap_rows,
    station_rows,
    truth_rows,
)
from smcloud.production.seamless_train import SeamlessSummary
from smcloud.production.seamless_validate import SeamlessResult
from smcloud.production.seamless_year import GapPlan


def show_network(made: SeamlessSummary) -> None:
    """Print what a network learned from, and how well it fills squares held out."""
    card = made.card
    scores = card.scores["held_out"]
    table(
        f"{card.name}: RMSE in hidden parts of squares of the year held out (m3 m-3)",
        ["network", "first guess that it starts from", "squares", "learned from", "epoch"],
        [
            [
                f"{scores['RMSE']:.4f}",
                f"{scores['RMSE_untrained']:.4f}",
                f"{card.held_out:,}",
                f"{card.patches:,}",
                f"{card.epoch} of {len(card.history)}",
            ]
        ],
    )


def show_plans(plans: tuple[GapPlan, ...]) -> None:
    """Print what `produce` would do."""
    table(
        "Plan",
        ["year", "blocks", "to write", "segments to fill", "cell-days", "MiB of a segment"],
        [
            [
                plan.year,
                plan.blocks,
                plan.waiting,
                plan.segments,
                f"{plan.rows:,}",
                f"{plan.bytes / MIB:,.0f}",
            ]
            for plan in plans
        ],
    )


def show_found(result: SeamlessResult) -> None:
    """Print the scores and where the reports are."""
    for year in result.years:
        if year.gaps is not None:
            table(f"Simulated gaps of {year.year} (m3 m-3)", GAP_HEADS, gap_rows(year.gaps))
            for title, heads, rows in class_tables(year.gaps):
                table(title, heads, rows)
        if rows := station_rows(year.stations):
            table(f"Stations in {year.year}, medians (m3 m-3)", STATION_HEADS, rows)
        if rows := truth_rows(year.truth):
            table(f"Against the truth of {year.year} (m3 m-3)", TRUTH_HEADS, rows)
    for line in result.told:
        console.print(line, markup=False)
    for url in result.reports:
        console.print(f"report {url}", markup=False)
