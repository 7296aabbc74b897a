"""The publish stage of products on coarse grids: a NetCDF file and a map of each published year."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.layout import join
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import Cube, open_cube
from smcloud.grids.grid import Window, bounding_window
from smcloud.grids.tiles import GLOBE
from smcloud.production.block_map import run_listed
from smcloud.production.coarse_year import CoarseBlock
from smcloud.production.runner import Task
from smcloud.production.versions import published_store
from smcloud.products.base import Product
from smcloud.publish.map import Panel, Style
from smcloud.publish.netcdf import NetcdfTask, write_netcdf
from smcloud.publish.point_map import cell_map

MAP = "map.png"


@dataclass(frozen=True)
class YearFiles:
    """URLs of what was written, one a year."""

    netcdf: tuple[str, ...]
    maps: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Drawing:
    """What the map of a year shows.

    Attributes
    ----------
    asked : bool (rows, cols)
        Cells that could have a value.
    panels : tuple of Panel
        Of the same cells.
    style : Style
    """

    asked: NDArray[np.bool_]
    panels: tuple[Panel, ...]
    style: Style


Draw = Callable[[Cube, Window], Drawing]


@dataclass(frozen=True)
class MapTask:
    """One map to draw: the store of a year, the cells that are shown, and what of them."""

    store: str
    schema: CubeSchema
    year: int
    window: Window
    draw: Draw

    def picture(self) -> bytes:
        """Return the map as a PNG."""
        found = self.draw(open_cube(self.store, self.schema, self.year), self.window)
        grid = self.schema.on
        return cell_map(grid, self.window, found.panels, found.style, asked=found.asked)


def map_of(
    config: RunConfig, product: Product, held: Sequence[CoarseBlock], draw: Draw, year: int
) -> MapTask:
    """Return what the map of a published year is drawn of.

    Raises
    ------
    NotFoundError
        If the year is not published.
    """
    store = published_store(config.layout, product.name, year)
    outer = bounding_window([block.window for block in held])
    return MapTask(store, product.schema, year, outer, draw)


def write_map(task: MapTask, folder: str) -> str:
    """Draw the map of a year below a folder and return its URL: the task of a worker."""
    open_objects(folder).put(MAP, task.picture())
    return join(folder, MAP)


def of_day(cube: Cube, name: str, day: np.datetime64, window: Window) -> NDArray[np.float32]:
    """Return a variable (rows, cols) on a day of the year, NaN unknown or not produced."""
    step = int((day - cube.times[0]) / np.timedelta64(1, "D"))
    days = cube.read_physical(name, slice(step, step + 1), window, required=False)
    return days.reshape(window.shape)


def write_years(
    config: RunConfig,
    product: Product,
    held: Sequence[CoarseBlock],
    draw: Draw,
    client: Client | None,
    listener: Listener,
) -> YearFiles:
    """Write each published year of a run as one NetCDF file and a map, of the blocks given.

    Below ``published/<product>/<year>/``: netcdf/ and map.png.

    Raises
    ------
    NotFoundError
        If a year is not published.
    CubeError
        If a block of the product is absent or damaged.
    """
    blocks = tuple(block.window for block in held)
    outer = bounding_window(blocks)
    files, maps = [], []
    for year in sorted(set(config.produced_years)):
        store = published_store(config.layout, product.name, year)
        folder = config.layout.published(product.name, year)
        below = join(folder, "netcdf")
        file = NetcdfTask(store, product.schema, year, GLOBE, outer, blocks, below)
        picture = map_of(config, product, held, draw, year)
        files.append(Task(f"netcdf-{year}", write_netcdf, (file,)))
        maps.append(Task(f"map-{year}", write_map, (picture, folder)))
    return YearFiles(
        tuple(run_listed(files, "netcdf", "files", client, listener)),
        tuple(run_listed(maps, "map", "files", client, listener)),
    )
