"""`smcloud validate`: the scores of what was produced, with a report and a map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from distributed import Client

from smcloud.cli.coarse_stages import own_stages
from smcloud.cli.console import RichListener, cluster_from, console, table
from smcloud.cli.train_tables import show_thresholds
from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener
from smcloud.production.run_file import read_run
from smcloud.production.validate_stage import ScoreLine, ValidateResult, run
from smcloud.products.registry import product_of
from smcloud.validation.metrics import SCORES
from smcloud.validation.report import number


def validate(
    run_file: Annotated[Path, typer.Argument(help="Run file (TOML)")],
) -> None:
    """Score the published years, and the model where no year is published.

    Unseen stations, the truth where there is one, and the products that [compare] names.
    """
    config = read_run(run_file)
    listener = RichListener()
    with cluster_from(config.cluster, listener) as client:
        validate_and_show(config, client, listener)


def validate_and_show(config: RunConfig, client: Client | None, listener: Listener) -> None:
    """Score the years of a run, whatever its product is, and print what was found."""
    product = product_of(config)
    own = own_stages(product)
    if own is not None:
        own.validate(config, product, client, listener)
    else:
        show(run(config, client, listener))


def show(result: ValidateResult) -> None:
    """Print the scores and where the reports and maps are."""
    if result.lines:
        _show_scores(result.lines)
    for gaps in result.gaps:
        table(gaps.title, gaps.heads, gaps.rows)
    show_thresholds(result.thresholds)
    for line in result.told:
        console.print(line, markup=False)
    for report, picture in zip(result.reports, result.maps, strict=True):
        console.print(f"report {report}", markup=False)
        console.print(f"map    {picture}", markup=False)
    for page in result.pages:
        console.print(f"page   {page}", markup=False)


def _show_scores(lines: Sequence[ScoreLine]) -> None:
    table(
        "Scores (m3 m-3; R has no unit)",
        ["estimate and reference", "counted", *SCORES],
        [
            [
                f"{_of_year(line)}{line.estimate}, {line.against}",
                line.counted,
                *(number(name, line.scores.get(name, float("nan"))) for name in SCORES),
            ]
            for line in lines
        ],
    )


def _of_year(line: ScoreLine) -> str:
    return "" if line.year is None else f"{line.year} "


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("validate")(validate)
