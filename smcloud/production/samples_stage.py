"""The first half of the stage `train`: stations and driver cubes to the sample table of a run."""

import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.listener import Listener
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.spec import CubeSet, Feature
from smcloud.features.table import (
    QUALITY,
    StationGroup,
    TargetRule,
    daily_target,
    group_rows,
    joined,
    station_groups,
    write_table,
)
from smcloud.grids.tiles import TileYear
from smcloud.ingest.stations import read_stations
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.runner import Task, run_tasks
from smcloud.products.base import Product

WINDOW = 64
"""Groups of stations that are out at a time; each is small."""


def features_of(config: RunConfig, product: Product) -> tuple[Feature, ...]:
    """Return the features of a run: its own list, or the product's."""
    return tuple(features_named(config.train.features or product.features, product.drivers))


def build_samples(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> pd.DataFrame:
    """Return the sample table of a run and store it; one row per station and day.

    Each chunk of stations and year is a task; the same reader makes production's columns. The table
    is built anew each time, for it costs seconds and then follows its cubes.

    Raises
    ------
    NotFoundError
        If stations or cubes were not ingested.
    UserError
        If no station lies in the run's tiles and years.
    """
    target = _target(config, product)
    groups = station_groups(target, config.training_years, config.tiles)
    if not groups:
        raise UserError(_why_no_station(config, target))
    reader = _reader(config, product, client)
    listener.begin("samples", len(groups), "groups of stations")
    parts: dict[str, pd.DataFrame] = {}

    def keep(task: Task[pd.DataFrame], rows: pd.DataFrame) -> None:
        parts[task.key] = rows
        listener.advance(1, rows=sum(map(len, parts.values())))

    tasks = [Task(_key(group), group_rows, (reader, group)) for group in groups]
    run_tasks(client, tasks, window=WINDOW, on_done=keep, listener=listener)
    listener.end()
    rows = estimable(joined([parts[task.key] for task in tasks]), product.no_estimate_where)
    write_table(config.layout.table(config.model_name), rows)
    return rows


def _target(config: RunConfig, product: Product) -> pd.DataFrame:
    """Return one row a site and day of the run's tiles and years; of all where these have none."""
    url, rule = config.layout.stations, config.stations
    try:
        stations, daily = read_stations(
            url,
            years=config.training_years,
            tiles=config.tiles,
            maximum_depth_m=rule.maximum_depth_m,
        )
        if daily.empty:
            stations, daily = read_stations(url)
    except NotFoundError as err:
        raise NotFoundError(f"no stations below {url}: run `smcloud ingest RUNFILE` first") from err
    rules = TargetRule(rule.maximum_depth_m, valid=product.target.valid)
    return daily_target(stations, daily, rules)


def _why_no_station(config: RunConfig, target: pd.DataFrame) -> str:
    asked = f"{', '.join(config.tiles)} in {', '.join(map(str, config.training_years))}"
    tiles, years = sorted(set(target["tile"])), sorted(set(target["time"].dt.year))
    there = f"{', '.join(tiles[:5])} in {', '.join(map(str, years[:5]))}" if tiles else "no tile"
    return (
        f"no station of {config.layout.stations} has a day in {asked}; there are stations in "
        f"{there}: name these in the run file, or ingest an archive of the region"
    )


def estimable(rows: pd.DataFrame, no_estimate_where: int) -> pd.DataFrame:
    """Return the rows that production would estimate: the model learns from no others."""
    return rows[(rows[QUALITY] & no_estimate_where) == 0].reset_index(drop=True)


def training_keys(product: Product, rows: pd.DataFrame) -> tuple[TileYear, ...]:
    """Return the tile-years that the rows of a sample table come from, sorted."""
    pairs = rows.assign(year=rows["time"].dt.year)[["tile", "year"]].drop_duplicates()
    keys = [
        TileYear(product.schema.grid, str(tile), int(year))
        for tile, year in pairs.itertuples(index=False)
    ]
    return tuple(sorted(keys))


def _reader(config: RunConfig, product: Product, client: Client | None) -> FeatureReader:
    urls = {driver.source: config.cube_prefix(driver.source) for driver in product.drivers}
    refuse_memory_urls(client, urls.values())
    return FeatureReader(features_of(config, product), product.drivers, CubeSet(urls))


def _key(group: StationGroup) -> str:
    tile = group.samples["tile"].iloc[0]
    window = group.window
    return f"samples-{tile}-{group.year}-r{window.row0}-c{window.col0}"
