"""`smcloud publish`: GeoTIFFs, maps and STAC items of the published years."""

from pathlib import Path
from typing import Annotated

import typer

from smcloud.cli.console import RichListener, cluster_from, console, table
from smcloud.production.publish_stage import PublishResult, run
from smcloud.production.run_file import read_run


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
        result = run(config, client, listener, netcdf=netcdf)
    show(result)


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
