"""The publish stage: GeoTIFFs, maps and STAC items of what the pointers name."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import ConfigError, NotFoundError
from smcloud.core.layout import join
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.grids.tiles import TileYear
from smcloud.models.base import load_card
from smcloud.production.block_map import over_blocks
from smcloud.production.cluster import refuse_memory_urls, worker_threads
from smcloud.production.runner import Task, run_tasks
from smcloud.production.store_year import StoreYear, published_year
from smcloud.production.validate_stage import REPORT
from smcloud.products.base import Product
from smcloud.products.registry import product_named
from smcloud.publish.map import Panel, map_picture, moisture_style, season_panels
from smcloud.publish.raster import RasterRecord, RasterTask, write_raster
from smcloud.publish.stac import Published, item_bytes, item_id, tile_item
from smcloud.validation.overview import Overview, cell_size, mosaic, summarise_block
from smcloud.version import __version__

log = logging.getLogger(__name__)

SEASON_DAYS = ("01-15", "04-15", "07-15", "10-15")
"""Days that become GeoTIFFs when a run file names none: the middle of each season."""
MAP = "map.png"


@dataclass(frozen=True)
class PublishedYear:
    """What was written for one year."""

    year: int
    store_url: str
    map_url: str
    rasters: tuple[RasterRecord, ...]
    items: tuple[str, ...]
    """URLs of the STAC items, one per tile."""


@dataclass(frozen=True)
class PublishResult:
    """What was written, year by year."""

    years: tuple[PublishedYear, ...]


def run(config: RunConfig, client: Client | None, listener: Listener) -> PublishResult:
    """Write GeoTIFFs, a map and STAC items of every published year of a run.

    Below ``published/<product>/<year>/``: cog/, map.png, stac/. Everything is derived from the
    pointer and the store: it may be deleted and is the same when made again.

    Raises
    ------
    NotFoundError
        If a year is not published.
    ConfigError
        If a day to export is not a day, or of none of the run's years.
    CubeError
        If a block of the product is absent or damaged.
    """
    refuse_memory_urls(client, (config.store.root,))
    product = product_named(config.product)
    days = chosen_days(config.publish.days, config.years)
    return PublishResult(
        tuple(
            _publish_year(
                config, product, published_year(config, year), days[year], client, listener
            )
            for year in config.years
        )
    )


def chosen_days(named: Sequence[str], years: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return the days to export of each year, ascending; the middle of each season by default.

    Raises
    ------
    ConfigError
        If a named day is not a day, or of none of the years.
    """
    if not named:
        return {year: tuple(f"{year:04d}-{day}" for day in SEASON_DAYS) for year in years}
    found: dict[int, set[str]] = {year: set() for year in years}
    for text in named:
        try:
            day = str(np.datetime64(text, "D"))
        except ValueError as err:
            raise ConfigError(f"publish.days: {text!r} is not a day such as 2019-07-15") from err
        if int(day[:4]) not in found:
            listed = ", ".join(map(str, years))
            raise ConfigError(f"publish.days: {text} is not in the years of this run ({listed})")
        found[int(day[:4])].add(day)
    return {year: tuple(sorted(days)) for year, days in found.items()}


def _publish_year(
    config: RunConfig,
    product: Product,
    year: StoreYear,
    days: Sequence[str],
    client: Client | None,
    listener: Listener,
) -> PublishedYear:
    folder = config.layout.published(product.name, year.year)
    rasters = _write_rasters(year, days, join(folder, "cog"), client, listener)
    picture = _draw(config, year, client, listener)
    open_objects(folder).put(MAP, picture)
    items = _write_items(config, product, year, rasters, folder)
    return PublishedYear(year.year, year.store_url, join(folder, MAP), rasters, items)


def _write_rasters(
    year: StoreYear, days: Sequence[str], folder: str, client: Client | None, listener: Listener
) -> tuple[RasterRecord, ...]:
    found: list[RasterRecord] = []
    tasks = [
        Task(
            f"cog-{tile}-{day}", write_raster, (RasterTask(year.layer, tile, day, blocks, folder),)
        )
        for tile, blocks in sorted(year.tiles.items())
        for day in days
    ]

    def keep(task: Task[RasterRecord], record: RasterRecord) -> None:
        found.append(record)
        listener.advance()

    listener.begin(f"geotiff {year.year}", len(tasks), "files")
    try:
        run_tasks(
            client,
            tasks,
            window=2 * worker_threads(client) if client else 1,
            on_done=keep,
            listener=listener,
        )
    finally:
        listener.end()
    return tuple(sorted(found, key=lambda record: (record.tile, record.day)))


def _draw(config: RunConfig, year: StoreYear, client: Client | None, listener: Listener) -> bytes:
    """Return the year's map: the mean and the four seasons' means."""
    cell = cell_size(config.produce.block_pixels, year.blocks)
    layer = year.layer
    overview: Overview = mosaic(
        over_blocks(
            "map",
            year,
            summarise_block,
            lambda block: (layer, block, year.part_of(block), cell, ()),
            client,
            listener,
        )
    )
    panels = [Panel(f"Mean of {year.year}", overview.mean()), *season_panels(overview)]
    return map_picture(overview, panels, moisture_style(overview))


def _write_items(
    config: RunConfig,
    product: Product,
    year: StoreYear,
    rasters: Sequence[RasterRecord],
    folder: str,
) -> tuple[str, ...]:
    """Write one STAC item per tile and return their URLs."""
    reports = join(config.layout.reports(product.name), str(year.year))
    has_report = open_objects(reports).exists(REPORT)
    stac = join(folder, "stac")
    urls = []
    for tile in sorted(year.tiles):
        key = TileYear(year.schema.grid, tile, year.year)
        published = Published(
            product=product.name,
            title=product.title,
            key=key,
            schema=year.schema,
            store_url=year.store_url,
            model_sha256=_model_hash(config),
            software=__version__,
            rasters=tuple(record for record in rasters if record.tile == tile),
            report_url=join(reports, REPORT) if has_report else "",
            map_url=join(folder, MAP),
        )
        name = f"{item_id(product.name, key)}.json"
        open_objects(stac).put(name, item_bytes(tile_item(published)))
        urls.append(join(stac, name))
    return tuple(urls)


def _model_hash(config: RunConfig) -> str:
    try:
        return load_card(open_objects(config.layout.model("")), config.model_name).sha256
    except NotFoundError:
        return ""
