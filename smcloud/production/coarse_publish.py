"""The publish stage of products on coarse grids: a NetCDF file of each published year."""

from collections.abc import Sequence
from dataclasses import dataclass

from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.layout import join
from smcloud.core.listener import Listener
from smcloud.grids.grid import Window
from smcloud.grids.tiles import GLOBE
from smcloud.production.cluster import worker_threads
from smcloud.production.coarse_year import CoarseBlock
from smcloud.production.runner import Task, run_tasks
from smcloud.production.versions import published_store
from smcloud.products.base import Product
from smcloud.publish.netcdf import NetcdfTask, write_netcdf


@dataclass(frozen=True)
class YearFiles:
    """URLs of the NetCDF files, one a year."""

    netcdf: tuple[str, ...]


def write_years(
    config: RunConfig,
    product: Product,
    held: Sequence[CoarseBlock],
    client: Client | None,
    listener: Listener,
) -> YearFiles:
    """Write each published year of a run as one NetCDF file, of the blocks that are given.

    Raises
    ------
    NotFoundError
        If a year is not published.
    CubeError
        If a block of the product is absent or damaged.
    """
    blocks = tuple(block.window for block in held)
    outer = Window(
        min(one.row0 for one in blocks),
        max(one.row1 for one in blocks),
        min(one.col0 for one in blocks),
        max(one.col1 for one in blocks),
    )
    tasks = []
    for year in sorted(set(config.produced_years)):
        store = published_store(config.layout, product.name, year)
        folder = join(config.layout.published(product.name, year), "netcdf")
        task = NetcdfTask(store, product.schema, year, GLOBE, outer, blocks, folder)
        tasks.append(Task(f"netcdf-{year}", write_netcdf, (task,)))
    found: dict[str, str] = {}

    def keep(task: Task[str], url: str) -> None:
        found[task.key] = url
        listener.advance()

    listener.begin("netcdf", len(tasks), "files")
    try:
        window = 2 * worker_threads(client) if client else 1
        run_tasks(client, tasks, window=window, on_done=keep, listener=listener)
    finally:
        listener.end()
    return YearFiles(tuple(found[task.key] for task in tasks))
