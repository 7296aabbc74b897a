"""`smcloud train`: samples to a model with honest scores, for a run file or for any table."""

from collections.abc import Mapping
from typing import Annotated

import pandas as pd
import typer

from smcloud.cli.console import RichListener, cluster_from, console, table
from smcloud.core.config import ClusterConfig
from smcloud.core.errors import UserError
from smcloud.core.objects import normalise_url, open_objects
from smcloud.models.parameters import BoostingParams, known_device
from smcloud.models.samples import TableColumns, numeric_columns, read_table
from smcloud.models.scoring import MEANINGS, WHY_NOT_RANDOM, SplitScores
from smcloud.production.run_file import read_run
from smcloud.production.train_stage import TrainRequest, TrainSummary, run, train_table
from smcloud.validation.splits import SplitRules


def train(
    run_file: Annotated[str, typer.Argument(help="A run file; or give --table")] = "",
    table_file: Annotated[
        str, typer.Option("--table", help="Any Parquet or CSV table: path or URL")
    ] = "",
    target: Annotated[str, typer.Option(help="Column to learn")] = "",
    group: Annotated[str, typer.Option(help="Column of the station, never parted")] = "",
    time: Annotated[str, typer.Option(help="Column of the day")] = "",
    lat: Annotated[str, typer.Option(help="Column of latitude; makes spatial blocks")] = "",
    lon: Annotated[str, typer.Option(help="Column of longitude")] = "",
    features: Annotated[
        str, typer.Option(help="Predictors, comma separated; all other numeric columns by default")
    ] = "",
    units: Annotated[str, typer.Option(help="Units of the target")] = "",
    out: Annotated[str, typer.Option(help="Root below which models/NAME is written")] = "",
    name: Annotated[str, typer.Option(help="Name of the model; the table's by default")] = "",
    block_degrees: Annotated[float, typer.Option(help="Side of a spatial block")] = 1.0,
    folds: Annotated[int, typer.Option(help="One part in FOLDS is the test set")] = 5,
    rounds: Annotated[int, typer.Option(help="Most trees")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of splits and trees")] = 0,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 trains here")] = 0,
    scheduler: Annotated[str, typer.Option(help="Address of a running Dask scheduler")] = "",
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Sum histograms over the workers")
    ] = False,
    device: Annotated[
        str, typer.Option(help="cpu or cuda; the run file's, else cpu, by default")
    ] = "",
) -> None:
    """Fit a model and score it on days, stations and years that it never saw.

    A killed training goes on from its last checkpoint when the same command is given again.
    """
    if bool(run_file) == bool(table_file):
        raise UserError("train takes a run file or --table FILE, one of them: see --help")
    if run_file:
        _train_product(run_file, distributed, device)
        return
    _require({"--target": target, "--group": group, "--time": time, "--out": out})
    source, stem = _read(table_file)
    chosen = tuple(word.strip() for word in features.split(",") if word.strip())
    chosen = chosen or numeric_columns(source, (target, group, time, lat, lon))
    request = TrainRequest(
        normalise_url(out),
        name or stem,
        TableColumns(chosen, target, group, time, lat or None, lon or None),
        SplitRules(block_degrees=block_degrees, folds=folds, seed=seed),
        BoostingParams(rounds=rounds, seed=seed, device=known_device(device or "cpu")),
        route="dask" if distributed else "auto",
        target_units=units,
    )
    cluster = ClusterConfig(workers=workers or None, scheduler=scheduler)
    _train_table(source, request, cluster if workers or scheduler or distributed else None)


def _require(given: Mapping[str, str]) -> None:
    lacking = [option for option, value in given.items() if not value]
    if lacking:
        raise UserError(f"train --table also needs {', '.join(lacking)}: see --help")


def _train_product(run_file: str, distributed: bool, device: str) -> None:
    listener = RichListener()
    config = read_run(run_file)
    changes: dict[str, str] = {"distributed": "dask"} if distributed else {}
    if device:
        changes["device"] = known_device(device)
    config = config.model_copy(update={"train": config.train.model_copy(update=changes)})
    with cluster_from(config.cluster, listener) as client:
        show(run(config, client, listener))


def _train_table(
    source: pd.DataFrame, request: TrainRequest, cluster: ClusterConfig | None
) -> None:
    listener = RichListener()
    if cluster is None:
        show(train_table(source, request, None, listener))
        return
    with cluster_from(cluster, listener) as client:
        show(train_table(source, request, client, listener))


def _read(url: str) -> tuple[pd.DataFrame, str]:
    """Return the table at a path or URL and its file name up to the first dot."""
    folder, _, name = normalise_url(url).rpartition("/")
    return read_table(open_objects(folder).get(name), name), name.split(".")[0]


def show(summary: TrainSummary) -> None:
    """Print the scores of every split, the headline first, and where the model lies."""
    card = summary.card
    units = f", {card.target_units}" if card.target_units else ""
    ordered = [summary.scores[kind] for kind in MEANINGS if kind in summary.scores]
    table(
        f"{card.name}: {card.target}{units}, on test sets",
        ["test set", "stations", "rows", "R", "RMSE", "bias", "median R", "median ubRMSE"],
        [_row(scores) for scores in ordered if scores.possible],
    )
    for scores in ordered:
        if not scores.possible:
            console.print(f"  {scores.why_not}", markup=False)
    _show_headline(summary.scores[summary.headline])
    console.print(f"  random days are no result: {WHY_NOT_RANDOM}", markup=False)
    fit = card.sets["fit"]
    console.print(
        f"  {card.rounds} trees on {fit['rows']:,} rows of {fit['stations']} stations"
        + (", continued from a checkpoint" if card.resumed else "")
        + (", over the cluster's workers" if card.distributed else "")
    )
    console.print(f"  model {summary.model_url}", markup=False)
    console.print(f"  scores {summary.scores_url}", markup=False)


def _row(scores: SplitScores) -> list[str]:
    test = scores.counts["test"]
    shown = [scores.overall[name] for name in ("R", "RMSE", "bias")]
    shown += [scores.median[name] for name in ("R", "ubRMSE")]
    values = [f"{score['value']:.3f}" for score in shown]
    return [MEANINGS[scores.kind], str(test["stations"]), f"{test['rows']:,}", *values]


def _show_headline(scores: SplitScores) -> None:
    text = [
        f"{label}{name} {_interval(found[name])}"
        for label, found, name in (
            ("", scores.overall, "R"),
            ("", scores.overall, "RMSE"),
            ("median ", scores.median, "R"),
            ("median ", scores.median, "ubRMSE"),
        )
    ]
    console.print(f"  headline: {MEANINGS[scores.kind]} (95 %): {', '.join(text)}", markup=False)


def _interval(score: Mapping[str, float]) -> str:
    return f"{score['value']:.3f} [{score['low']:.3f} to {score['high']:.3f}]"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("train")(train)
