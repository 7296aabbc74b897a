"""The publish stage of seamless: a NetCDF file and a map of each published year."""

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener
from smcloud.cube.store import Cube
from smcloud.grids.grid import Window
from smcloud.models.gap_reasons import GapReason
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.coarse_publish import Drawing, YearFiles, of_day, write_years
from smcloud.production.seamless_inputs import inputs_of
from smcloud.products.base import Product
from smcloud.products.seamless import MOISTURE, REASON
from smcloud.publish.map import MOISTURE_COLOURS, Panel, Style

MAP_DAYS = ("01-15", "07-15")


def run_publish(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> YearFiles:
    """Write each published year of a run as one NetCDF file and a map, of the blocks of its region.

    Raises
    ------
    NotFoundError
        If a year is not published, or a cube is not there.
    CubeError
        If a block of the product is absent or damaged.
    """
    refuse_memory_urls(client, (config.store.root,))
    blocks = inputs_of(config, client, listener).region.blocks()
    return write_years(config, product, blocks, draw_days, client, listener)


def draw_days(cube: Cube, window: Window) -> Drawing:
    """Return two days, each as it was observed and without its gaps."""
    year, panels, asked = cube.times[0].astype("datetime64[Y]"), [], np.zeros(window.shape, bool)
    for text in MAP_DAYS:
        day = np.datetime64(f"{year}-{text}", "D")
        filled = of_day(cube, MOISTURE, day, window)
        reason = of_day(cube, REASON, day, window)
        observed = np.where(reason == GapReason.OBSERVED, filled, np.float32(np.nan))
        panels += [Panel(f"{day}, as observed", observed), Panel(f"{day}, without gaps", filled)]
        asked |= np.isfinite(reason) & (reason != GapReason.NOT_LAND)
    style = Style("soil moisture, m³ m⁻³", 0.0, 0.5, MOISTURE_COLOURS, extend="max")
    return Drawing(asked, tuple(panels), style)
