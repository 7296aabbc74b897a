"""`smcloud validate`: the scores of what was produced, with a report and a map."""

from pathlib import Path
from typing import Annotated

import typer

from smcloud.cli.console import RichListener, cluster_from, console, table
from smcloud.production.run_file import read_run
from smcloud.production.validate_stage import ValidateResult, run
from smcloud.validation.metrics import SCORES
from smcloud.validation.report import number


def validate(
    run_file: Annotated[Path, typer.Argument(help="Run file (TOML)")],
) -> None:
    """Score the published years against unseen stations and, where there is one, the truth."""
    config = read_run(run_file)
    listener = RichListener()
    with cluster_from(config.cluster, listener) as client:
        result = run(config, client, listener)
    show(result)


def show(result: ValidateResult) -> None:
    """Print the scores and where the reports and maps are."""
    table(
        "Scores (m3 m-3; R has no unit)",
        ["estimate and reference", "counted", *SCORES],
        [
            [
                f"{line.year} {line.estimate}, {line.against}",
                line.counted,
                *(number(name, line.scores.get(name, float("nan"))) for name in SCORES),
            ]
            for line in result.lines
        ],
    )
    for report, picture in zip(result.reports, result.maps, strict=True):
        console.print(f"report {report}", markup=False)
        console.print(f"map    {picture}", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("validate")(validate)
