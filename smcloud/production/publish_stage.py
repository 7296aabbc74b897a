"""The publish stage: GeoTIFFs, maps and STAC items of what the pointers name."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import ConfigError, NotFoundError
from smcloud.core.layout import join
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.grids.grid import SIN1KM
from smcloud.grids.tiles import TileYear, tile_window
from smcloud.models.base import load_card
from smcloud.production.block_map import over_blocks, run_listed
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.downscalers import load_downscaler_card
from smcloud.production.examination import map_days
from smcloud.production.runner import Task
from smcloud.production.store_year import StoreYear, published_year
from smcloud.production.validate_stage import REPORT
from smcloud.products.base import Product
from smcloud.products.registry import product_of
from smcloud.publish.map import year_map
from smcloud.publish.netcdf import NetcdfTask, write_netcdf
from smcloud.publish.raster import (
    RasterRecord,
    RasterTask,
    RegionTask,
    write_raster,
    write_region,
)
from smcloud.publish.stac import Published, item_bytes, item_id, tile_item
from smcloud.validation.overview import Overview, cell_size, mosaic, summarise_block
from smcloud.version import __version__

log = logging.getLogger(__name__)

EVERY_DAY = ("all",)
SEASON_DAYS = ("01-15", "04-15", "07-15", "10-15")
"""Days that become GeoTIFFs when a run file names none: the middle of each season."""
MAP = "map.png"
T = TypeVar("T")


@dataclass(frozen=True)
class PublishedYear:
    """What was written for one year."""

    year: int
    store_url: str
    map_url: str
    rasters: tuple[RasterRecord, ...]
    items: tuple[str, ...]
    """URLs of the STAC items, one per tile."""
    netcdf: tuple[str, ...]
    """URLs of the NetCDF files, one per tile, if they were asked for."""
    regions: tuple[RasterRecord, ...] = ()
    """GeoTIFFs of the whole region, one a day, if the run file asks for them."""


@dataclass(frozen=True)
class PublishResult:
    """What was written, year by year."""

    years: tuple[PublishedYear, ...]


def run(
    config: RunConfig, client: Client | None, listener: Listener, *, netcdf: bool = False
) -> PublishResult:
    """Write GeoTIFFs, a map and STAC items of every published year of a run.

    Below ``published/<product>/<year>/``: cog/, map.png, stac/, geotiff/ with one file a day of the
    whole region if the run file asks for it, and netcdf/ with one file per tile-year if `netcdf`
    is. Everything is derived from the
    pointer and the store: it may be deleted and is the same when made again.

    Raises
    ------
    NotFoundError
        If a year is not published.
    ConfigError
        If a day to export is not a day, or of none of the run's years; if the region is too large
        for one file.
    CubeError
        If a block of the product is absent or damaged.
    """
    refuse_memory_urls(client, (config.store.root,))
    days = chosen_days(config.publish.days, config.produced_years)
    found = []
    for year in config.produced_years:
        publisher = _Publisher(
            config, product_of(config), published_year(config, year), client, listener
        )
        found.append(publisher.publish(days[year], netcdf=netcdf))
    return PublishResult(tuple(found))


def chosen_days(named: Sequence[str], years: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return the days to export of each year, ascending; the middle of each season by default.

    The one word ``all`` stands for every day.

    Raises
    ------
    ConfigError
        If a named day is not a day, or of none of the years.
    """
    if tuple(named) == EVERY_DAY:
        return {year: _days_of(year) for year in years}
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


def _days_of(year: int) -> tuple[str, ...]:
    first, after = (np.datetime64(f"{y:04d}-01-01", "D") for y in (year, year + 1))
    return tuple(map(str, np.arange(first, after)))


@dataclass(frozen=True)
class _Publisher:
    """Writes what people read of one year; files are made on the cluster."""

    config: RunConfig
    product: Product
    year: StoreYear
    client: Client | None
    listener: Listener

    @property
    def folder(self) -> str:
        """Return the prefix that everything is written below."""
        return self.config.layout.published(self.product.name, self.year.year)

    def publish(self, days: Sequence[str], *, netcdf: bool) -> PublishedYear:
        """Write everything of the year; the items come last, since they name the others."""
        rasters = self._run("geotiff", self._raster_tasks(days))
        open_objects(self.folder).put(MAP, self._map())
        files = self._run("netcdf", self._netcdf_tasks()) if netcdf else []
        whole = self.config.publish.geotiff
        regions = self._run("region geotiff", self._region_tasks(days)) if whole else []
        return PublishedYear(
            self.year.year,
            self.year.store_url,
            join(self.folder, MAP),
            tuple(rasters),
            self._write_items(rasters, files),
            tuple(files),
            tuple(regions),
        )

    def _raster_tasks(self, days: Sequence[str]) -> list[Task[RasterRecord]]:
        folder = join(self.folder, "cog")
        return [
            Task(
                f"cog-{tile}-{day}",
                write_raster,
                (RasterTask(self.year.layer, tile, day, blocks, folder),),
            )
            for tile, blocks in sorted(self.year.tiles.items())
            for day in days
        ]

    def _region_tasks(self, days: Sequence[str]) -> list[Task[RasterRecord]]:
        folder = join(self.folder, "geotiff")
        tasks = [RegionTask(self.year.layer, day, self.year.blocks, folder) for day in days]
        return [Task(f"geotiff-{task.day}", write_region, (task,)) for task in tasks]

    def _netcdf_tasks(self) -> list[Task[str]]:
        year, folder = self.year, join(self.folder, "netcdf")
        return [
            Task(
                f"netcdf-{tile}-{year.year}",
                write_netcdf,
                (
                    NetcdfTask(
                        year.store_url,
                        year.schema,
                        year.year,
                        tile,
                        tile_window(SIN1KM, tile),
                        blocks,
                        folder,
                    ),
                ),
            )
            for tile, blocks in sorted(year.tiles.items())
        ]

    def _run(self, stage: str, tasks: Sequence[Task[T]]) -> list[T]:
        """Return the results of all tasks, in the order of the tasks."""
        title = f"{stage} {self.year.year}"
        return run_listed(tasks, title, "files", self.client, self.listener)

    def _map(self) -> bytes:
        """Return the year's map: its mean, one day and the four seasons."""
        year, layer, days = self.year, self.year.layer, map_days(self.year.year)
        cell = cell_size(self.config.produce.block_pixels, year.blocks)
        overview: Overview = mosaic(
            over_blocks(
                "map",
                year,
                summarise_block,
                lambda block: (layer, block, year.part_of(block), cell, days),
                self.client,
                self.listener,
            )
        )
        return year_map(overview.with_day(days), year.year)

    def _write_items(
        self, rasters: Sequence[RasterRecord], files: Sequence[str]
    ) -> tuple[str, ...]:
        """Write one STAC item per tile and return their URLs."""
        reports = join(self.config.layout.reports(self.product.name), str(self.year.year))
        report = join(reports, REPORT) if open_objects(reports).exists(REPORT) else ""
        stac, model = join(self.folder, "stac"), _model_hash(self.config, self.product)
        urls = []
        for tile in sorted(self.year.tiles):
            key = TileYear(self.year.schema.grid, tile, self.year.year)
            published = Published(
                product=self.product.name,
                title=self.product.title,
                key=key,
                schema=self.year.schema,
                store_url=self.year.store_url,
                model_sha256=model,
                software=__version__,
                rasters=tuple(record for record in rasters if record.tile == tile),
                netcdf_url=next((url for url in files if f".{tile}." in url), ""),
                report_url=report,
                map_url=join(self.folder, MAP),
            )
            name = f"{item_id(self.product.name, key)}.json"
            open_objects(stac).put(name, item_bytes(tile_item(published)))
            urls.append(join(stac, name))
        return tuple(urls)


def _model_hash(config: RunConfig, product: Product) -> str:
    """Return the hash of everything that the maps were estimated from; empty without a model."""
    models = open_objects(config.layout.model(""))
    try:
        if product.downscaling is None:
            return load_card(models, config.model_name).sha256
        return load_downscaler_card(models, config.model_name).whole_sha256
    except NotFoundError:
        return ""
