"""The products by name: one explicit table."""

from smcloud.core.config import RunConfig
from smcloud.core.errors import ConfigError
from smcloud.products.all_weather import ALL_WEATHER
from smcloud.products.base import Product
from smcloud.products.freeze_thaw import FREEZE_THAW
from smcloud.products.glass_sm import GLASS_SM
from smcloud.products.seamless import SEAMLESS
from smcloud.products.smap_downscaling import SMAP_DOWNSCALING

PRODUCTS: dict[str, Product] = {
    product.name: product
    for product in (GLASS_SM, SMAP_DOWNSCALING, ALL_WEATHER, SEAMLESS, FREEZE_THAW)
}


def product_named(name: str) -> Product:
    """Return the product of this name, or raise `ConfigError` listing the names."""
    if name not in PRODUCTS:
        raise ConfigError(
            f"unknown product {name!r}: expected one of {', '.join(sorted(PRODUCTS))}"
        )
    return PRODUCTS[name]


def product_of(config: RunConfig) -> Product:
    """Return the product of a run, with the drivers that its run file chooses.

    Raises
    ------
    ConfigError
        If there is no such product, choice or option.
    """
    return product_named(config.product).with_drivers(config.drivers)
