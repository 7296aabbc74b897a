"""Where each tile-year stands, from the ledger, the pointer and the receipts; nothing is opened."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from smcloud.core.config import RunConfig
from smcloud.core.layout import join
from smcloud.core.objects import open_objects
from smcloud.features.derived import schema_named
from smcloud.features.spec import split_input
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.production.drivers import drivers_of, extent_of
from smcloud.production.ledger import Ledger, Record
from smcloud.production.passes import progress_of
from smcloud.production.versions import Pointer, read_pointer
from smcloud.products.base import Product
from smcloud.products.registry import product_of

PUBLISHED, DONE, PARTIAL, NONE = "published", "done", "partial", "none"


@dataclass(frozen=True)
class Status:
    """One stage of one tile-year, or one version of it where several lie side by side."""

    stage: str
    key: TileYear
    state: str
    """published (readers see it), done (in the ledger), partial (receipts only) or none."""
    version: str = ""
    blocks: int = 0
    """Blocks with a receipt; shards of a driver cube; of anchors, slabs of days."""
    of: int = 0
    """Blocks, or slabs of days, that there will be; 0 where it is not known before the end."""
    rows: int = 0
    """Land pixel-days."""
    core_seconds: float = 0.0
    peak_bytes: int = 0
    stored_bytes: int = 0
    """What lies below the work of a version until it is published; told with its anchors."""
    problems: tuple[str, ...] = ()
    """Granules that were missing or damaged; days of a product without a model."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "key": str(self.key), "problems": list(self.problems)}


def status(config: RunConfig) -> list[Status]:
    """Return a row for each driver cube and product tile-year of a run, in the order of the flow.

    A tile-year has a row for what readers see, and one for each version that is not published yet.

    Reads one snapshot per stage and year, and the records that came after it.
    """
    product = product_of(config)
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
                yield _recorded(DONE, record, blocks=len(record.shards))


def _cube_keys(config: RunConfig, source: str) -> list[TileYear]:
    schema = schema_named(source)
    own, when = extent_of(config, source)
    tiles = sorted(set(own)) if schema.on.is_fine else [GLOBE]
    years: list[int | None] = [None] if schema.is_static else [*when]
    return [TileYear(schema.grid, tile, year) for year in years for tile in tiles]


def _products(config: RunConfig, product: Product) -> Iterator[Status]:
    stage = f"produce/{product.name}"
    ledger = Ledger(config.store.root, stage)
    for year in sorted(set(config.produced_years)):
        newest = ledger.records(year)
        pointer = read_pointer(config.layout, product.name, year)
        published = ledger.records(year, pointer.version) if pointer else {}
        begun = _begun(config, product, year, pointer.history if pointer else ())
        passes = list(_passes(config, product, year, pointer)) if product.downscaling else []
        blocks = {(one.key.tile, one.version): one.of for one in passes if one.of}
        yield from passes
        tiles = set(config.produced_tiles) if product.schema.on.is_fine else {GLOBE}
        for tile in sorted(tiles):
            key = TileYear(product.schema.grid, tile, year)
            rows = [_recorded(PUBLISHED, published[key])] if key in published else []
            if key in newest and newest[key] != published.get(key):
                rows.append(_recorded(DONE, newest[key]))
            told = {row.version for row in rows}
            rows += [
                Status(stage, key, PARTIAL, version, done, blocks.get((tile, version), 0))
                for version, done in sorted(begun.get(tile, {}).items())
                if version not in told
            ]
            yield from rows or [Status(stage, key, NONE)]


def _passes(
    config: RunConfig, product: Product, year: int, pointer: Pointer | None
) -> Iterator[Status]:
    """Yield how far the passes before the blocks are, of each version that is in the making."""
    how = product.downscaling
    if how is None:
        return
    coarse = schema_named(split_input(how.coarse)[0]).grid
    published = (*pointer.history, pointer.version) if pointer else ()
    folder = open_objects(config.layout.work(product.name, year, ""))
    rows, stored = progress_of(folder.url, published)
    for one in rows:
        is_whole = one.tile == GLOBE
        state = DONE if one.of and one.done == one.of else PARTIAL if one.done else NONE
        yield Status(
            f"produce/{product.name}: {one.name}",
            TileYear(coarse if is_whole else product.schema.grid, one.tile, year),
            state,
            one.version,
            one.done,
            one.of,
            stored_bytes=stored[one.version] if is_whole else 0,
        )


def _recorded(state: str, record: Record, *, blocks: int | None = None) -> Status:
    """Return the row of a ledger record; `blocks` replaces the record's own count."""
    figures = record.figures
    return Status(
        record.stage,
        record.key,
        state,
        record.version,
        int(figures["blocks"]) if blocks is None else blocks,
        rows=int(figures.get("rows", 0)),
        core_seconds=round(figures["seconds"], 1),
        peak_bytes=int(figures["peak_bytes"]),
        problems=record.problems,
    )


def _begun(
    config: RunConfig, product: Product, year: int, history: Collection[str]
) -> dict[str, Counter[str]]:
    """Return the receipts of each tile by version, without versions that were published before."""
    folder = open_objects(join(config.store.root, "receipts", product.name, f"{year:04d}"))
    found: dict[str, Counter[str]] = {}
    for info in folder.list():
        version, _, name = info.key.partition("/")
        if version not in history:
            found.setdefault(name.partition("-")[0], Counter())[version] += 1
    return found
