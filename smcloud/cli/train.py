"""`smcloud train`: samples to a model with honest scores, for a run file or for any table."""

from typing import Annotated

import typer

from smcloud.cli.console import RichListener, cluster_from
from smcloud.cli.console import console as console
from smcloud.cli.train_tables import show as show
from smcloud.core.config import ClusterConfig
from smcloud.core.errors import UserError
from smcloud.models.parameters import known_device
from smcloud.production.run_file import read_run
from smcloud.production.table_stage import (
    MOST_ROWS,
    TableOptions,
    exceeds_memory,
    opened,
    request_for,
    train_rows,
)
from smcloud.production.train_stage import run


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
    network: Annotated[str, typer.Option(help="Column of the network, for --held-out")] = "",
    held_out: Annotated[
        str, typer.Option(help="Networks that one more model never sees, comma separated")
    ] = "",
    features: Annotated[
        str, typer.Option(help="Predictors, comma separated; all other numeric columns by default")
    ] = "",
    units: Annotated[str, typer.Option(help="Units of the target")] = "",
    out: Annotated[str, typer.Option(help="Root below which models/NAME is written")] = "",
    name: Annotated[str, typer.Option(help="Name of the model; the table's by default")] = "",
    block_degrees: Annotated[float, typer.Option(help="Side of a spatial block")] = 1.0,
    folds: Annotated[int, typer.Option(help="One part in FOLDS is the test set")] = 5,
    every_fold: Annotated[
        bool, typer.Option("--every-fold", help="Train and score all folds, not the first alone")
    ] = False,
    tune: Annotated[
        int, typer.Option(help="Candidates of a search for parameters; 0 for none")
    ] = 0,
    permutations: Annotated[
        int, typer.Option(help="Repeats of each permutation importance; 0 for none")
    ] = 3,
    rounds: Annotated[int, typer.Option(help="Most trees")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of splits and trees")] = 0,
    most_rows: Annotated[
        int, typer.Option(help="Rows that a training takes, evenly over the days; 0 for all")
    ] = MOST_ROWS,
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

    A killed training goes on from its last checkpoint, and with the folds that are missing, when
    the same command is given again.
    """
    if bool(run_file) == bool(table_file):
        raise UserError("train takes a run file or --table FILE, one of them: see --help")
    if run_file:
        _train_product(run_file, distributed, device)
        return
    options = TableOptions(
        table_file,
        out,
        target,
        group,
        time,
        lat,
        lon,
        network,
        _words(held_out),
        _words(features),
        units,
        name,
        block_degrees,
        folds,
        every_fold,
        tune,
        permutations,
        rounds,
        seed,
        most_rows,
        distributed,
        known_device(device or "cpu"),
    )
    cluster = ClusterConfig(workers=workers or None, scheduler=scheduler)
    _train_table(options, cluster, bool(workers or scheduler or distributed))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _train_product(run_file: str, distributed: bool, device: str) -> None:
    listener = RichListener()
    config = read_run(run_file)
    changes: dict[str, str] = {"distributed": "dask"} if distributed else {}
    if device:
        changes["device"] = known_device(device)
    config = config.model_copy(update={"train": config.train.model_copy(update=changes)})
    with cluster_from(config.cluster, listener) as client:
        show(run(config, client, listener))


def _train_table(options: TableOptions, cluster: ClusterConfig, is_asked: bool) -> None:
    listener = RichListener()
    with opened(options) as source:
        request = request_for(options, source)
        if not is_asked and exceeds_memory(source, request):
            listener.note("the rows exceed this host's free memory: over a cluster's workers")
            is_asked = True
        if not is_asked:
            show(train_rows(source, options, request, None, listener))
            return
        with cluster_from(cluster, listener) as client:
            show(train_rows(source, options, request, client, listener))


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("train")(train)
