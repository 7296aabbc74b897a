"""Versions of a product year, and the pointer that makes one of them visible.

A year is written under ``products/<product>/<year>/<version>.zarr``. Readers look at
``current.json`` beside it, which is put last, after verification: it is the only truth about what
is published, and a store that it ever named is never changed, only restored.
"""

import json
from dataclasses import asdict, dataclass

import xarray as xr

from smcloud.core.errors import IntegrityError, NotFoundError
from smcloud.core.layout import POINTER, Layout, join
from smcloud.core.objects import normalise_url, open_objects
from smcloud.cube.dataset import open_dataset
from smcloud.grids.tiles import tile_window
from smcloud.products.registry import product_named

FORMAT = 1


@dataclass(frozen=True)
class Pointer:
    """What ``current.json`` says."""

    product: str
    year: int
    version: str
    store: str
    """Path of the Zarr store beside the pointer, ``<version>.zarr``."""
    output_hash: str
    """Sha256 over the output hashes of all tiles in the ledger at publication."""
    tiles: tuple[str, ...]
    """Tiles that hold estimates, sorted."""
    history: tuple[str, ...] = ()
    """Versions published before, oldest first."""


def read_pointer(layout: Layout, product: str, year: int) -> Pointer | None:
    """Return what is published of a product year; None before the first publication.

    Raises
    ------
    IntegrityError
        If the pointer cannot be read.
    """
    folder = layout.product(product, year)
    try:
        data = open_objects(folder).get(POINTER)
    except NotFoundError:
        return None
    try:
        body = json.loads(data)
        if body.pop("format") != FORMAT:
            raise ValueError("another format")
        for name in ("tiles", "history"):
            body[name] = tuple(body[name])
        return Pointer(**body)
    except (ValueError, KeyError, TypeError) as err:
        raise IntegrityError(
            f"{folder}/{POINTER} cannot be read ({err}): run `smcloud produce` again, which "
            "verifies the year and writes it anew"
        ) from err


def write_pointer(layout: Layout, pointer: Pointer) -> None:
    """Publish: make readers see `pointer.version` from now on."""
    body = json.dumps({"format": FORMAT, **asdict(pointer)}, sort_keys=True, indent=1) + "\n"
    open_objects(layout.product(pointer.product, pointer.year)).put(POINTER, body.encode())


def published_store(layout: Layout, product: str, year: int) -> str:
    """Return the URL of the published store of a product year.

    Raises
    ------
    NotFoundError
        If nothing is published.
    """
    pointer = read_pointer(layout, product, year)
    if pointer is None:
        raise NotFoundError(
            f"nothing of {product} {year} is published below {layout.root}: run `smcloud produce`"
        )
    return join(layout.product(product, year), pointer.store)


def open_published(root: str, product: str, year: int, tile: str = "") -> xr.Dataset:
    """Return the published store of a product year as `smcloud.open` does."""
    schema = product_named(product).schema
    window = tile_window(schema.on, tile) if tile else None
    url = published_store(Layout(normalise_url(root)), product, year)
    return open_dataset(url, schema, window)
