"""Where each tile-year stands, from the ledger, the pointer and the receipts; nothing is opened."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from smcloud.core.config import RunConfig
from smcloud.core.layout import join
from smcloud.core.objects import open_objects
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.production.ingest_stage import drivers_of
from smcloud.production.ledger import Ledger
from smcloud.production.versions import read_pointer
from smcloud.products.base import Product
from smcloud.products.registry import product_named
from smcloud.sources.registry import SOURCES

PUBLISHED, DONE, PARTIAL, NONE = "published", "done", "partial", "none"


@dataclass(frozen=True)
class Status:
    """One stage of one tile-year."""

    stage: str
    key: TileYear
    state: str
    """published (readers see it), done (in the ledger), partial (receipts only) or none."""
    version: str = ""
    blocks: int = 0
    """Blocks with a receipt; shards of a driver cube."""
    rows: int = 0
    """Land pixel-days."""
    core_seconds: float = 0.0
    peak_bytes: int = 0
    problems: tuple[str, ...] = ()
    """Granules that were missing or damaged."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "key": str(self.key), "problems": list(self.problems)}


def status(config: RunConfig) -> list[Status]:
    """Return a row for each driver cube and product tile-year of a run, in the order of the flow.

    Reads one snapshot per stage and year, and the records that came after it.
    """
    product = product_named(config.product)
    return [*_drivers(config), *_products(config, product)]


def _drivers(config: RunConfig) -> Iterator[Status]:
    for driver in drivers_of(config):
        if driver.source in config.ingest.cubes:
            continue
        stage = f"ingest/{driver.source}"
        records = cache(Ledger(config.store.root, stage).records)
        for key in _cube_keys(config, driver.source):
            record = records(key.year).get(key)
            if record is None:
                yield Status(stage, key, NONE)
            else:
                yield Status(stage, key, DONE, blocks=len(record.shards), problems=record.problems)


def _cube_keys(config: RunConfig, source: str) -> list[TileYear]:
    schema = SOURCES[source].schema
    tiles = sorted(set(config.tiles)) if schema.on.projected else [GLOBE]
    years: list[int | None] = [None] if schema.is_static else [*sorted(set(config.years))]
    return [TileYear(schema.grid, tile, year) for year in years for tile in tiles]


def _products(config: RunConfig, product: Product) -> Iterator[Status]:
    stage = f"produce/{product.name}"
    ledger = Ledger(config.store.root, stage)
    for year in sorted(set(config.years)):
        records = ledger.records(year)
        pointer = read_pointer(config.layout, product.name, year)
        begun = _begun(config, product, year)
        for tile in sorted(set(config.tiles)):
            key = TileYear(product.schema.grid, tile, year)
            record = records.get(key)
            if record is None:
                version, blocks = begun.get(tile, ("", 0))
                yield Status(stage, key, PARTIAL if blocks else NONE, version, blocks)
                continue
            is_published = pointer is not None and pointer.version == record.version
            yield Status(
                stage,
                key,
                PUBLISHED if is_published else DONE,
                record.version,
                int(record.figures["blocks"]),
                int(record.figures["rows"]),
                round(record.figures["seconds"], 1),
                int(record.figures["peak_bytes"]),
                record.problems,
            )


def _begun(config: RunConfig, product: Product, year: int) -> dict[str, tuple[str, int]]:
    """Return, by tile, the version with most receipts and how many there are."""
    folder = open_objects(join(config.store.root, "receipts", product.name, f"{year:04d}"))
    counts: Counter[tuple[str, str]] = Counter()
    for info in folder.list():
        version, _, name = info.key.partition("/")
        counts[name.partition("-")[0], version] += 1
    found: dict[str, tuple[str, int]] = {}
    for (tile, version), count in sorted(counts.items()):
        if count > found.get(tile, ("", 0))[1]:
            found[tile] = (version, count)
    return found
