"""`smcloud publish`: GeoTIFFs, maps and STAC items of the published years."""

from pathlib import Path
from typing import Annotated

import typer
from distributed import Client

from smcloud.cli.coarse_stages import own_stages
from smcloud.cli.console import RichListener, cluster_from, console, table
from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener
from smcloud.production.publish_stage import PublishResult, run
from smcloud.production.run_file import read_run
from smcloud.products.registry import product_of


def publish(
    run_file: Annotated[Path, typer.Argument(help="Run file (TOML)")],
    netcdf: Annotated[
        bool, typer.Option("--netcdf", help="Also write one NetCDF file per tile-year")
    ] = False,
) -> None:
    """Write GeoTIFFs of chosen days, a map and a STAC item per tile-year."""
    config = read_run(run_file)
    listener = RichListener()
    with cluster_from(config.cluster, listener) as client:
        publish_and_show(config, client, listener, netcdf=netcdf)


def publish_and_show(
    config: RunConfig, client: Client | None, listener: Listener, *, netcdf: bool = False
) -> None:
    """Publish the years of a run, whatever its product is, and print what was written."""
    product = product_of(config)
    own = own_stages(product)
    if own is not None:
        own.publish(config, product, client, listener)
    else:
        show(run(config, client, listener, netcdf=netcdf))


def show(result: PublishResult) -> None:
    """Print what was written, and where."""
    table(
        "Published",
        ["year", "tiles", "GeoTIFFs", "of the region", "MB", "STAC items"],
        [
            [
                year.year,
                len({record.tile for record in year.rasters}),
                len(year.rasters),
                len(year.regions),
                f"{sum(r.size_bytes for r in (*year.rasters, *year.regions)) / 1e6:,.1f}",
                len(year.items),
            ]
            for year in result.years
        ],
    )
    for year in result.years:
        console.print(f"store {year.store_url}", markup=False)
        console.print(f"map   {year.map_url}", markup=False)
        for url in year.items[:3]:
            console.print(f"stac  {url}", markup=False)
        for record in year.regions[:3]:
            console.print(f"file  {record.url}", markup=False)
        for url in year.netcdf[:3]:
            console.print(f"file  {url}", markup=False)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("publish")(publish)
