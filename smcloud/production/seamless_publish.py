"""The publish stage of seamless: a NetCDF file of each published year."""

from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.coarse_publish import YearFiles, write_years
from smcloud.production.seamless_inputs import inputs_of
from smcloud.products.base import Product


def run_publish(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> YearFiles:
    """Write each published year of a run as one NetCDF file, of the blocks that hold its region.

    Raises
    ------
    NotFoundError
        If a year is not published, or a cube is not there.
    CubeError
        If a block of the product is absent or damaged.
    """
    refuse_memory_urls(client, (config.store.root,))
    blocks = inputs_of(config, client, listener).region.blocks()
    return write_years(config, product, blocks, client, listener)
