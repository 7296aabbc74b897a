"""`smcloud run`: one product through all its stages, each of which is also a command."""

import time
from typing import Annotated

import typer

from smcloud.cli import ingest, produce, publish, train, validate
from smcloud.cli.console import RichListener, cluster_from, console
from smcloud.core.config import load_config
from smcloud.products.registry import product_named
from smcloud.production import (
    ingest_stage,
    produce_stage,
    publish_stage,
    train_stage,
    validate_stage,
)

STAGES = (
    ("ingest", ingest_stage.run, ingest.show),
    ("train", train_stage.run, train.show),
    ("produce", produce_stage.run, produce.show),
    ("validate", validate_stage.run, validate.show),
    ("publish", publish_stage.run, publish.show),
)


def run(
    file: Annotated[str, typer.Argument(help="A run file, such as examples/glass-sm.toml")],
) -> None:
    """Take a product through ingest, train, produce, validate and publish.

    Each stage does only what is missing, so a run that was killed continues.
    """
    config = load_config(file)
    product = product_named(config.product)
    listener = RichListener()
    console.print(f"[bold]{product.title}[/bold]")
    started = time.perf_counter()
    with cluster_from(config.cluster, listener) as client:
        for name, stage, show in STAGES:
            console.rule(f"[bold]{name}", align="left")
            before = time.perf_counter()
            result = stage(config, client, listener)
            show(result)
            console.print(f"  {name} took {time.perf_counter() - before:.0f} s")
    console.rule(align="left")
    console.print(f"all stages took {time.perf_counter() - started:.0f} s")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("run")(run)
