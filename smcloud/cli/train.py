"""`smcloud train`: samples to a model with honest scores, for a run file or for any table."""

from dataclasses import fields

import typer
from distributed import Client

from smcloud.cli import train_options as given
from smcloud.cli.coarse_stages import own_stages
from smcloud.cli.coarse_tables import show_coarse
from smcloud.cli.console import RichListener, cluster_from
from smcloud.cli.console import console as console
from smcloud.cli.train_tables import show as show
from smcloud.core.config import ClusterConfig, RunConfig
from smcloud.core.errors import UserError
from smcloud.core.listener import Listener
from smcloud.models.parameters import known_device
from smcloud.production.coarse_train_stage import run_coarse
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
from smcloud.products.registry import product_of

OF_RUN_FILE = ("run_file", "distributed", "device")
"""What may be said beside a run file."""
SAME_HOST = (
    ", which share it: --scheduler names a cluster with more, a smaller --most-rows needs less"
)


def train(
    context: typer.Context,
    run_file: given.RunFile = "",
    table: given.Table = "",
    target: given.Target = "",
    station: given.Station = "",
    time: given.Time = "",
    latitude: given.Latitude = "",
    longitude: given.Longitude = "",
    network: given.Network = "",
    held_out: given.HeldOut = "",
    features: given.Features = "",
    units: given.Units = "",
    out: given.Out = "",
    name: given.Name = "",
    block_degrees: given.BlockDegrees = 1.0,
    parts: given.Parts = 5,
    every_fold: given.EveryFold = False,
    candidates: given.Candidates = 0,
    permutations: given.Permutations = 3,
    rounds: given.Rounds = 300,
    seed: given.Seed = 0,
    most_rows: given.MostRows = MOST_ROWS,
    workers: given.Workers = 0,
    scheduler: given.Scheduler = "",
    distributed: given.Distributed = False,
    device: given.Device = "",
) -> None:
    """Fit a model and score it on days, stations and years that it never saw.

    A killed training goes on from its last checkpoint, and with the folds that are missing, when
    the same command is given again.
    """
    if bool(run_file) == bool(table):
        raise UserError("train takes a run file or --table FILE, one of them: see --help")
    if run_file:
        _refuse_table_options(context)
        _train_product(run_file, distributed, device)
        return
    cluster = ClusterConfig(workers=workers or None, scheduler=scheduler)
    _train_table(_table_options(context), cluster, bool(workers or scheduler or distributed))


def _refuse_table_options(context: typer.Context) -> None:
    """Raise `UserError` for an option beside a run file that would count for nothing."""
    said = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in OF_RUN_FILE and _is_said(context, str(parameter.name))
    ]
    if said:
        raise UserError(
            f"{', '.join(said)} goes with --table: say it in the run file, under [train], [tune] "
            "or [cluster]"
        )


def _is_said(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _table_options(context: typer.Context) -> TableOptions:
    """Return what was said of a table; options have the names of the fields."""
    said = {field.name: context.params[field.name] for field in fields(TableOptions)}
    said |= {name: _words(said[name]) for name in ("held_out", "features")}
    return TableOptions(**said | {"device": known_device(said["device"] or "cpu")})


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
        train_and_show(config, client, listener)


def train_and_show(config: RunConfig, client: Client | None, listener: Listener) -> None:
    """Train what a run's product learns from, stations or coarse cells, and print what was made."""
    product = product_of(config)
    own = own_stages(product)
    if own is not None:
        own.train(config, product, client, listener)
    elif product.downscaling is None:
        show(run(config, client, listener))
    else:
        show_coarse(run_coarse(config, product, client, listener))


def _train_table(options: TableOptions, cluster: ClusterConfig, is_asked: bool) -> None:
    listener = RichListener()
    with opened(options) as source:
        request = request_for(options, source)
        if not is_asked and exceeds_memory(source, request):
            listener.note(
                "the rows exceed this host's free memory: over a cluster's workers"
                + ("" if cluster.scheduler else SAME_HOST)
            )
            is_asked = True
        if not is_asked:
            show(train_rows(source, options, request, None, listener))
            return
        with cluster_from(cluster, listener) as client:
            show(train_rows(source, options, request, client, listener))


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("train")(train)
