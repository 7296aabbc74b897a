"""MCD43D files: albedo at 30 arc seconds, one layer of the whole globe, and its quality.

Layers as LP DAAC's pages of the products give them; MCD43D31 has the quality overall and of each
band, MCD43D40 the state of snow. A layer of a whole globe has 930 million cells: it is stored in
compressed chunks, of which those without a known cell are never written and read as fill.
"""

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from smcloud.core.errors import ConfigError, MissingExtraError
from smcloud.grids.grid import GLOBAL30S, Window
from smcloud.simulate.hdf_eos import (
    DEFLATE_LEVEL,
    HDF_EOS_VERSION,
    Array,
    GridProduct,
    Layer,
    core_metadata,
    create_layer,
    grid_metadata,
    set_text,
)

CHUNK_CELLS = 1200
HDF_CHUNK_AND_COMP = 3
"""Flags of the HDF4 library for a chunked and compressed layer."""
FULL_TURN, QUARTER_TURN = 180_000_000.0, 90_000_000.0
"""180 and 90 degrees as HDF-EOS packs degrees, minutes and seconds."""
_NAME = "{short_name}.A{start:%Y%j}.{version}.{produced:%Y%j%H%M%S}.hdf"


def _product(code: str, title: str, *layers: Layer) -> GridProduct:
    long_name = f"MODIS/Terra+Aqua BRDF/Albedo {title} Daily L3 Global 30ArcSec CMG"
    grid = f"{code}_30arc_second"
    return GridProduct(code, "061", grid, long_name, GLOBAL30S.rows, 1, layers, _NAME)


def _albedo(code: str, sky: str, band: str) -> GridProduct:
    name = f"Global_BRDF_Albedo_{sky}_{band}"
    layer = Layer(
        name,
        "int16",
        name,
        units="none",
        fill=32767,
        scale=0.001,
        offset=0.0,
        valid=(0, 32766),
    )
    return _product(code, f"{sky} {band}", layer)


def _words(code: str, title: str, *names: str) -> GridProduct:
    layers = (
        Layer(name, "uint8", name, units="bit field", fill=255, valid=(0, 254)) for name in names
    )
    return _product(code, title, *layers)


BAND_QUALITY = "Global_BRDF_Albedo_Band_Quality_Band7"
OVERALL_QUALITY = "Global_BRDF_Quality"
SNOW_STATUS = "Global_Snow_Status"
BLACK_SKY = _albedo("MCD43D51", "BSA", "Shortwave")
WHITE_SKY_BAND7 = _albedo("MCD43D58", "WSA", "Band7")
WHITE_SKY = _albedo("MCD43D61", "WSA", "Shortwave")
QUALITY = _words("MCD43D31", "QA BRDF Quality", OVERALL_QUALITY, BAND_QUALITY)
SNOW = _words("MCD43D40", "QA SnowStatus", SNOW_STATUS)


@dataclass(frozen=True)
class GlobeCells:
    """Cells of the 30 arc second grid for which values are given.

    Attributes
    ----------
    rows, cols : int array (n,)
    parts : tuple of Window
        Rectangles that hold all of them; the rest of the globe is fill.
    """

    rows: Array
    cols: Array
    parts: tuple[Window, ...]

    def placed(self, layer: Layer, values: Array) -> Iterator[tuple[Window, Array]]:
        """Yield each rectangle with its stored values, empty at other cells."""
        stored = layer.pack(np.asarray(values))
        for part in self.parts:
            canvas = np.full(part.shape, layer.empty, layer.dtype)
            inside = (self.rows >= part.row0) & (self.rows < part.row1)
            inside &= (self.cols >= part.col0) & (self.cols < part.col1)
            canvas[self.rows[inside] - part.row0, self.cols[inside] - part.col0] = stored[inside]
            yield part, canvas


def write_globe_file(
    folder: Path,
    product: GridProduct,
    cells: GlobeCells,
    start: date,
    values: Mapping[str, Array],
) -> Path:
    """Write the file of a day and return its path; an existing file of that name is replaced.

    Parameters
    ----------
    folder : Path
        Existing folder.
    product : GridProduct
        One of those above.
    cells : GlobeCells
    start : date
    values : mapping of layer name to array (n,)
        Physical floats with NaN for unknown, or stored integers, at the cells.

    Raises
    ------
    ConfigError
        If `values` names a layer that the product does not have.
    MissingExtraError
        If pyhdf is not installed.
    """
    if unknown := sorted(set(values) - {layer.name for layer in product.layers}):
        raise ConfigError(f"{product.short_name} has no layer {unknown[0]!r}")
    try:
        from pyhdf.SD import SD, SDC
    except ImportError as err:
        raise MissingExtraError("pyhdf", "hdf4", "writing HDF4 granules") from err
    name = product.file_name("", start)
    part = f"{name}.part"
    # HDF4 stores the path it was given; from inside the folder it is the same for every run.
    with chdir(folder):
        file = SD(part, SDC.WRITE | SDC.CREATE | SDC.TRUNC)
        try:
            for key, text in _metadata(product, start).items():
                set_text(file, key, text)
            for layer in product.layers:
                _write_layer(file, product, layer, cells, values.get(layer.name))
        finally:
            file.end()
        os.replace(part, name)
    return folder / name


def _metadata(product: GridProduct, start: date) -> dict[str, str]:
    west, north = -FULL_TURN, QUARTER_TURN
    corners = west, north, -west, -north
    return {
        "HDFEOSVersion": HDF_EOS_VERSION,
        "StructMetadata.0": grid_metadata(
            product, GLOBAL30S.window.shape, corners, ("Projection=GCTP_GEO",)
        ),
        "CoreMetadata.0": core_metadata(product, "", start),
    }


def _write_layer(
    file: Any, product: GridProduct, layer: Layer, cells: GlobeCells, values: Array | None
) -> None:
    sds = create_layer(file, product, layer, GLOBAL30S.window.shape)
    _set_chunks(sds)
    if values is not None:
        for part, stored in cells.placed(layer, values):
            rows, cols = part.slices
            sds[rows, cols] = stored
    sds.endaccess()


class _ChunkDefinition(ctypes.Structure):
    """``HDF_CHUNK_DEF`` of the HDF4 library for a compressed layer."""

    _fields_ = (
        ("chunk_lengths", ctypes.c_int32 * 32),
        ("comp_type", ctypes.c_int32),
        ("model_type", ctypes.c_int32),
        ("level_and_room", ctypes.c_int32 * 5),
        ("model", ctypes.c_int32),
    )


def _set_chunks(sds: Any) -> None:
    """Store a layer in compressed chunks; pyhdf has no name for that call of its library."""
    from pyhdf import _hdfext
    from pyhdf.SD import SDC

    wanted = _ChunkDefinition(comp_type=SDC.COMP_DEFLATE)
    wanted.chunk_lengths[:2] = CHUNK_CELLS, CHUNK_CELLS
    wanted.level_and_room[0] = DEFLATE_LEVEL
    call = ctypes.CDLL(_hdfext.__file__).SDsetchunk
    call.argtypes, call.restype = (ctypes.c_int32, _ChunkDefinition, ctypes.c_int32), ctypes.c_int
    if call(sds._id, wanted, HDF_CHUNK_AND_COMP) < 0:
        raise OSError("the HDF4 library refuses chunks")
