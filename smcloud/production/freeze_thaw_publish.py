"""The publish stage of freeze-thaw: a NetCDF file of each published year."""

from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.coarse_publish import YearFiles, write_years
from smcloud.production.freeze_thaw_inputs import region_of
from smcloud.products.base import Product


def run_publish(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> YearFiles:
    """Write each published year of a run as one NetCDF file, of the blocks that hold its region.

    Below ``published/<product>/<year>/netcdf/``. Everything is derived from the pointer and the
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
    return write_years(config, product, region.blocks(), client, listener)
