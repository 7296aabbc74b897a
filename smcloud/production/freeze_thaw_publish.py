"""The publish stage of freeze-thaw: a NetCDF file and a map of each published year."""

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener
from smcloud.cube.store import Cube
from smcloud.grids.grid import Window
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.coarse_publish import Drawing, YearFiles, of_day, write_years
from smcloud.production.freeze_thaw_inputs import region_of
from smcloud.products.base import Product
from smcloud.products.freeze_thaw import PROBABILITY
from smcloud.publish.map import FROST_COLOURS, Panel, Style

MAP_DAYS = ("01-15", "04-15", "07-15", "10-15")


def run_publish(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> YearFiles:
    """Write each published year of a run as one NetCDF file and a map, of the blocks of its region.

    Everything is derived from the pointer and the
    store: it may be deleted and is the same when made again.

    Raises
    ------
    NotFoundError
        If a year is not published.
    CubeError
        If a block of the product is absent or damaged.
    """
    refuse_memory_urls(client, (config.store.root,))
    region = region_of(config, product.schema, config.produced_tiles)
    return write_years(config, product, region.blocks(), draw_days, client, listener)


def draw_days(cube: Cube, window: Window) -> Drawing:
    """Return the probability of frozen ground on a day of each season."""
    year = cube.times[0].astype("datetime64[Y]")
    days = [np.datetime64(f"{year}-{text}", "D") for text in MAP_DAYS]
    panels = tuple(Panel(str(day), of_day(cube, PROBABILITY, day, window)) for day in days)
    asked = np.any([np.isfinite(panel.values) for panel in panels], axis=0)
    style = Style("probability that the ground is frozen", 0.0, 1.0, FROST_COLOURS)
    return Drawing(asked, panels, style)
