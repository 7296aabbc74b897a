"""smcloud: distributed, cloud-native production of daily 1 km soil moisture.

>>> import smcloud
>>> ds = smcloud.open("s3://bucket/smcloud", "glass-sm", 2019, tile="h18v04")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray


def open(root: str, product: str, year: int, tile: str = "") -> "xarray.Dataset":
    """Return what is published of one product year, lazily, one Dask chunk a shard.

    Parameters
    ----------
    root : str
        The run's `store.root`: any URL or path.
    product, year
        Such as ``"glass-sm"``, 2019.
    tile : str, optional
        Cut to one tile, such as ``"h18v04"``; the whole grid by default.

    Returns
    -------
    xarray.Dataset
        dims (time, y, x); soil moisture in m3 m-3, NaN where there is no estimate, and its flag.

    Raises
    ------
    NotFoundError
        If nothing of that year is published.
    ConfigError
        If there is no such product or tile.
    """
    # Imported here, so that a worker which imports one module does not import all of them.
    from smcloud.production.versions import open_published

    return open_published(root, product, year, tile)
