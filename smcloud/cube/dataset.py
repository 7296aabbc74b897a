"""A store as xarray sees it: decoded, lazy, one Dask chunk a shard."""

import xarray as xr
from zarr.storage import ObjectStore

from smcloud.core.errors import NotFoundError
from smcloud.core.objects import open_objects
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import Window


def open_dataset(url: str, schema: CubeSchema, window: Window | None = None) -> xr.Dataset:
    """Return a store lazily, physical values with NaN for unknown, chunked by shard.

    Parameters
    ----------
    url : str
        The Zarr store.
    schema : CubeSchema
        Says what a shard is. Cutting comes first and chunking after it: Dask chunks of the inner
        chunks of a global array would be hundreds of thousands.
    window : Window, optional
        Pixels of the whole grid; all of them by default.

    Raises
    ------
    NotFoundError
        If there is no store.
    """
    objects = open_objects(url)
    try:
        ds = xr.open_zarr(
            ObjectStore(objects.bucket, read_only=True),
            group=objects.prefix,
            chunks=None,
            consolidated=False,  # xarray looks for it at the bucket's root, not at the group
            decode_coords="all",
        )
    except (FileNotFoundError, KeyError) as err:
        raise NotFoundError(f"no Zarr store at {url}: run the stage that writes it") from err
    rows, cols = schema.on.dims
    if window is not None:
        ds = ds.isel({rows: window.slices[0], cols: window.slices[1]})
    chunked: xr.Dataset = ds.chunk(dict(zip(schema.dims, schema.shard_shape(), strict=True)))
    return chunked
