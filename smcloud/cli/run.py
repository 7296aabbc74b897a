"""`smcloud run`: one product through all its stages, each of which is also a command."""

import time
from collections.abc import Callable
from typing import Annotated

import typer
from distributed import Client

from smcloud.cli import ingest, produce, publish, train, validate
from smcloud.cli.console import RichListener, cluster_from, console
from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener
from smcloud.production import ingest_stage
from smcloud.production.run_file import read_run
from smcloud.products.registry import product_of


def run(
    file: Annotated[str, typer.Argument(help="A run file, such as examples/glass-sm.toml")],
) -> None:
    """Take a product through its stages: ingest, train, produce, validate and publish, or fewer.

    Each stage does only what is missing, so a run that was killed continues.
    """
    config = read_run(file)
    product = product_of(config)
    listener = RichListener()
    console.print(f"[bold]{product.title}[/bold]")
    started = time.perf_counter()
    with cluster_from(config.cluster, listener) as client:
        for name, stage in stages_of(config, client, listener).items():
            console.rule(f"[bold]{name}", align="left")
            before = time.perf_counter()
            stage()
            console.print(f"  {name} took {time.perf_counter() - before:.0f} s")
    console.rule(align="left")
    console.print(f"all stages took {time.perf_counter() - started:.0f} s")


def stages_of(
    config: RunConfig, client: Client, listener: Listener
) -> dict[str, Callable[[], None]]:
    """Return the stages that a run asks for, in order; each runs and shows what it did."""
    stages: dict[str, Callable[[], None]] = {
        "ingest": lambda: ingest.show(ingest_stage.run(config, client, listener)),
        "train": lambda: train.train_and_show(config, client, listener),
        "produce": lambda: produce.produce_and_show(config, client, listener),
        "validate": lambda: validate.validate_and_show(config, client, listener),
        "publish": lambda: publish.publish_and_show(config, client, listener),
    }
    return {name: stage for name, stage in stages.items() if name in config.stages}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("run")(run)
