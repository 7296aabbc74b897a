"""HDF-EOS2 grid files (HDF4) with the structure that MODIS and GLASS tiles have.

The structure was read off real MOD11A1 and MOD09A1 files: one SDS per layer with the dimensions
``YDim:<grid>`` and ``XDim:<grid>``, deflate, ``long_name``, ``units``, ``valid_range``,
``_FillValue``, ``scale_factor`` and their companions, and the global attributes
``HDFEOSVersion``, ``StructMetadata.0`` (corners in metres on the sphere), ``CoreMetadata.0`` and
``ArchiveMetadata.0``. Left out are the Vgroups and the padding of ``StructMetadata.0`` that the
HDF-EOS library itself would add: readers of the SD interface never miss them.

A file depends on its arguments alone: no clock, no host, no path is stored, so that two runs give
equal bytes. Layers that nobody filled are created but not stored; HDF4 reads them as fill.
"""

import ctypes
import os
from collections.abc import Iterable, Mapping
from contextlib import chdir
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError, MissingExtraError
from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, TILE_PIXELS, TILE_SIZE_M
from smcloud.grids.tiles import tile_window

Array = NDArray[Any]

HDF_EOS_VERSION = "HDFEOS_V2.19"
DEFLATE_LEVEL = 1
"""Real MOD11A1 files use level 1 too; higher levels cost time and save little."""
PRODUCTION_DELAY = timedelta(days=487, hours=4, minutes=56, seconds=12)
"""Simulated files are "produced" this long after the first day they cover: fixed, never a clock."""
CALIBRATED_INT16 = 5
"""Value that every real MODIS file gives for ``calibrated_nt``."""


@dataclass(frozen=True)
class Layer:
    """One SDS of a product.

    Attributes
    ----------
    name, dtype, long_name, units : str
        As in real files; `dtype` is the numpy name. No units attribute when empty.
    fill : int or None
        ``_FillValue``; None for layers whose real files declare none (the QC of MOD11A1).
    background : int or None
        Stored where no pixel is given; None for `fill`.
    scale, offset : float or None
        Physical value = stored * scale + offset. None: a code or bit field without either.
    declared_scale : float or None
        What the file says in ``scale_factor``; differs from `scale` where a product means a divisor
        (MOD13A2 says 10000).
    valid : (int, int) or None
        ``valid_range`` of stored values.
    extra : tuple of (name, text)
        Further text attributes.
    """

    name: str
    dtype: str
    long_name: str
    units: str = ""
    fill: int | None = None
    background: int | None = None
    scale: float | None = None
    offset: float | None = None
    declared_scale: float | None = None
    valid: tuple[int, int] | None = None
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def empty(self) -> int:
        """Return the stored value of a pixel that nobody observed."""
        value = self.fill if self.background is None else self.background
        return 0 if value is None else value

    def pack(self, values: Array) -> Array:
        """Return stored integers of physical `values`; NaN becomes fill.

        Integers are taken as stored values already (bit fields, codes). Values beyond
        ``valid_range`` are clipped to it, as retrieval codes do.
        """
        if not np.issubdtype(values.dtype, np.floating):
            return values.astype(self.dtype)
        scale = 1.0 if self.scale is None else self.scale
        stored = np.rint((values.astype(np.float64) - (self.offset or 0.0)) / scale)
        if self.valid is not None:
            stored = np.clip(stored, *self.valid)
        return np.where(np.isnan(values), self.empty, stored).astype(self.dtype)


@dataclass(frozen=True)
class GridProduct:
    """One kind of tile file.

    Attributes
    ----------
    short_name, version, grid_name, long_name : str
        Product word, collection ("061") or version ("V50"), name of the HDF-EOS grid, title.
    pixels : int
        Rows and columns of a tile: 1200 at 1 km, 2400 at 500 m.
    days : int
        Length of the period a file covers.
    layers : tuple of Layer
        In the order of the real file.
    name_pattern : str
        Format of the file name, with short_name, version, start (date), tile and produced.
    """

    short_name: str
    version: str
    grid_name: str
    long_name: str
    pixels: int
    days: int
    layers: tuple[Layer, ...]
    name_pattern: str = "{short_name}.A{start:%Y%j}.{tile}.{version}.{produced:%Y%j%H%M%S}.hdf"

    def file_name(self, tile: str, start: date) -> str:
        """Return the name of the file of one tile and period."""
        return self.name_pattern.format(
            short_name=self.short_name,
            version=self.version,
            start=start,
            tile=tile,
            produced=production_time(start),
        )


@dataclass(frozen=True)
class TilePixels:
    """Pixels of one tile for which values are given, counted from the tile's north-west corner.

    Attributes
    ----------
    tile : str
        Such as ``h25v05``.
    rows, cols : int array (n,)
        1 km rows and columns, 0 to 1199.
    """

    tile: str
    rows: Array
    cols: Array

    def place(self, layer: Layer, values: Array, pixels: int) -> Array:
        """Return a whole tile (pixels, pixels) of stored values, empty outside these pixels.

        At 500 m `values` holds the four parts of each pixel in its last axis (n, 4), north-west,
        north-east, south-west, south-east; an (n,) array gives all four the same value.
        """
        canvas = np.full((pixels, pixels), layer.empty, layer.dtype)
        stored = layer.pack(np.asarray(values))
        factor = pixels // TILE_PIXELS
        for part in range(factor * factor):
            down, across = divmod(part, factor)
            one = stored if stored.ndim == 1 else stored[:, part]
            canvas[self.rows * factor + down, self.cols * factor + across] = one
        return canvas


def production_time(start: date) -> datetime:
    """Return the production time that files starting on `start` carry."""
    return datetime(start.year, start.month, start.day) + PRODUCTION_DELAY


def tile_corners_m(tile: str) -> tuple[float, float, float, float]:
    """Return west, north, east, south of a tile, metres on the sinusoidal sphere."""
    window = tile_window(SIN1KM, tile)
    west = (window.col0 - SIN1KM.cols // 2) / TILE_PIXELS * TILE_SIZE_M
    north = (SIN1KM.rows // 2 - window.row0) / TILE_PIXELS * TILE_SIZE_M
    return west, north, west + TILE_SIZE_M, north - TILE_SIZE_M


def write_grid_file(
    folder: Path,
    product: GridProduct,
    pixels: TilePixels,
    start: date,
    values: Mapping[str, Array],
) -> Path:
    """Write one tile file and return its path; an existing file of that name is replaced.

    Parameters
    ----------
    folder : Path
        Existing folder.
    product : GridProduct
        What to write.
    pixels : TilePixels
        Where the values lie; the rest of the tile is fill.
    start : date
        First day of the period.
    values : mapping of layer name to array (n,) or (n, 4)
        Physical floats with NaN for unknown, or stored integers. Layers left out hold fill only.

    Raises
    ------
    ConfigError
        If `values` names a layer that the product does not have.
    MissingExtraError
        If pyhdf is not installed.
    """
    known = {layer.name for layer in product.layers}
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"{product.short_name} has no layer {unknown[0]!r}: expected {', '.join(sorted(known))}"
        )
    name = product.file_name(pixels.tile, start)
    part = f"{name}.part"
    # HDF4 stores the path it was given; from inside the folder it is the same for every run.
    with chdir(folder):
        _write_sd(part, product, pixels, start, values)
        os.replace(part, name)
    return folder / name


def _write_sd(
    name: str, product: GridProduct, pixels: TilePixels, start: date, values: Mapping[str, Array]
) -> None:
    try:
        from pyhdf.SD import SD, SDC
    except ImportError as err:
        raise MissingExtraError("pyhdf", "hdf4", "writing HDF4 granules") from err
    file = SD(name, SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    try:
        for key, text in _global_attributes(product, pixels.tile, start).items():
            set_text(file, key, text)
        for layer in product.layers:
            _write_layer(file, product, layer, pixels, values.get(layer.name))
    finally:
        file.end()


def _write_layer(
    file: Any, product: GridProduct, layer: Layer, pixels: TilePixels, values: Array | None
) -> None:
    from pyhdf.SD import SDC

    sds = create_layer(file, product, layer, (product.pixels, product.pixels))
    sds.setcompress(SDC.COMP_DEFLATE, DEFLATE_LEVEL)
    if values is not None:
        sds[:] = pixels.place(layer, values, product.pixels)
    elif layer.empty != layer.fill:
        sds[:] = np.full((product.pixels, product.pixels), layer.empty, layer.dtype)
    sds.endaccess()


def create_layer(file: Any, product: GridProduct, layer: Layer, shape: tuple[int, int]) -> Any:
    """Return a new layer of an open file, with its attributes, and nothing stored."""
    from pyhdf.SD import SDC

    codes = {
        "uint8": SDC.UINT8,
        "int8": SDC.INT8,
        "uint16": SDC.UINT16,
        "int16": SDC.INT16,
        "uint32": SDC.UINT32,
    }
    code = codes[layer.dtype]
    sds = file.create(layer.name, code, shape)
    sds.dim(0).setname(f"YDim:{product.grid_name}")
    sds.dim(1).setname(f"XDim:{product.grid_name}")
    if layer.fill is not None:
        sds.setfillvalue(layer.fill)
    kinds = {"float": SDC.FLOAT64, "stored": code, "int32": SDC.INT32}
    for key, kind, value in _layer_attributes(layer):
        if kind == "text":
            set_text(sds, key, value)
        else:
            sds.attr(key).set(kinds[kind], value)
    return sds


def set_text(owner: Any, name: str, text: str) -> None:
    """Set a text attribute of a file or a layer, copied whole: pyhdf sets each character alone."""
    from pyhdf import hdfext
    from pyhdf.SD import SDC

    data = text.encode("latin-1")
    buffer = hdfext.array_byte(len(data))
    ctypes.memmove(int(buffer.cast()), data, len(data))
    if hdfext.SDsetattr(owner._id, name, SDC.CHAR8, len(data), buffer) < 0:
        raise OSError(f"the HDF4 library refuses the attribute {name}")


def _layer_attributes(layer: Layer) -> Iterable[tuple[str, str, Any]]:
    """Yield (name, kind, value) of a layer's attributes, without the fill value."""
    yield "long_name", "text", layer.long_name
    if layer.units:
        yield "units", "text", layer.units
    if layer.valid is not None:
        yield "valid_range", "stored", list(layer.valid)
    for key, text in layer.extra:
        yield key, "text", text
    if layer.scale is None:
        return
    yield "scale_factor", "float", layer.declared_scale or layer.scale
    yield "scale_factor_err", "float", 0.0
    if layer.offset is not None:
        yield "add_offset", "float", layer.offset
    yield "add_offset_err", "float", 0.0
    yield "calibrated_nt", "int32", CALIBRATED_INT16


def _global_attributes(product: GridProduct, tile: str, start: date) -> dict[str, str]:
    return {
        "HDFEOSVersion": HDF_EOS_VERSION,
        "StructMetadata.0": struct_metadata(product, tile),
        "CoreMetadata.0": core_metadata(product, tile, start),
        "ArchiveMetadata.0": archive_metadata(product, tile),
    }


def struct_metadata(product: GridProduct, tile: str) -> str:
    """Return the text of ``StructMetadata.0`` of a tile, its corners in metres."""
    radius = f"ProjParams=({EARTH_RADIUS_M:.6f},0,0,0,0,0,0,0,0,0,0,0,0)"
    return grid_metadata(
        product,
        (product.pixels, product.pixels),
        tile_corners_m(tile),
        ("Projection=GCTP_SNSOID", radius, "SphereCode=-1"),
    )


def grid_metadata(
    product: GridProduct,
    shape: tuple[int, int],
    corners: tuple[float, float, float, float],
    projection: tuple[str, ...],
) -> str:
    """Return the text of ``StructMetadata.0``: grid, corners, projection, fields.

    `corners` are west, north, east and south in the units of the projection, and `projection` the
    lines that name it.
    """
    west, north, east, south = corners
    rows, cols = shape
    fields = []
    for number, layer in enumerate(product.layers, start=1):
        fields += [
            f"\t\t\tOBJECT=DataField_{number}",
            f'\t\t\t\tDataFieldName="{layer.name}"',
            f"\t\t\t\tDataType=DFNT_{layer.dtype.upper()}",
            '\t\t\t\tDimList=("YDim","XDim")',
            f"\t\t\tEND_OBJECT=DataField_{number}",
        ]
    lines = [
        "GROUP=SwathStructure",
        "END_GROUP=SwathStructure",
        "GROUP=GridStructure",
        "\tGROUP=GRID_1",
        f'\t\tGridName="{product.grid_name}"',
        f"\t\tXDim={cols}",
        f"\t\tYDim={rows}",
        f"\t\tUpperLeftPointMtrs=({west:.6f},{north:.6f})",
        f"\t\tLowerRightMtrs=({east:.6f},{south:.6f})",
        *(f"\t\t{line}" for line in projection),
        "\t\tGridOrigin=HDFE_GD_UL",
        "\t\tGROUP=Dimension",
        "\t\tEND_GROUP=Dimension",
        "\t\tGROUP=DataField",
        *fields,
        "\t\tEND_GROUP=DataField",
        "\t\tGROUP=MergedFields",
        "\t\tEND_GROUP=MergedFields",
        "\tEND_GROUP=GRID_1",
        "END_GROUP=GridStructure",
        "GROUP=PointStructure",
        "END_GROUP=PointStructure",
        "END",
    ]
    return "\n".join(lines) + "\n"


Odl = Mapping[str, Any]


def core_metadata(product: GridProduct, tile: str, start: date) -> str:
    """Return the text of ``CoreMetadata.0``: what the granule is and which days it covers."""
    produced = production_time(start)
    version = product.version.lstrip("V0") or "0"
    end = start + timedelta(days=product.days - 1)
    return _odl(
        "INVENTORYMETADATA",
        {
            "ECSDATAGRANULE": {
                "LOCALGRANULEID": product.file_name(tile, start),
                "PRODUCTIONDATETIME": f"{produced:%Y-%m-%dT%H:%M:%S}.000Z",
                "DAYNIGHTFLAG": "Both",
                "REPROCESSINGACTUAL": "processed once",
                "LOCALVERSIONID": "smcloud simulate",
            },
            "COLLECTIONDESCRIPTIONCLASS": {
                "VERSIONID": int(version),
                "SHORTNAME": product.short_name,
            },
            "INPUTGRANULE": {"INPUTPOINTER": "simulated Earth"},
            "RANGEDATETIME": {
                "RANGEENDINGDATE": f"{end:%Y-%m-%d}",
                "RANGEENDINGTIME": "23:59:59",
                "RANGEBEGINNINGDATE": f"{start:%Y-%m-%d}",
                "RANGEBEGINNINGTIME": "00:00:00",
            },
        },
    )


def archive_metadata(product: GridProduct, tile: str) -> str:
    """Return the text of ``ArchiveMetadata.0``: tile numbers and the product's title."""
    return _odl(
        "ARCHIVEDMETADATA",
        {
            "TILEINFO": {"HORIZONTALTILENUMBER": tile[1:3], "VERTICALTILENUMBER": tile[4:6]},
            "PROJECT": {
                "LONGNAME": product.long_name,
                "INSTRUMENTNAME": "Moderate-Resolution Imaging SpectroRadiometer",
            },
        },
    )


def _odl(master: str, groups: Mapping[str, Odl]) -> str:
    """Return groups of objects in the Object Description Language of the ECS metadata."""
    lines = ["", f"{'GROUP':<22} = {master}", f"  {'GROUPTYPE':<20} = MASTERGROUP", ""]
    for group, objects in groups.items():
        lines += [f"  {'GROUP':<22} = {group}", ""]
        for name, value in objects.items():
            text = f'"{value}"' if isinstance(value, str) else str(value)
            lines += [
                f"    {'OBJECT':<22} = {name}",
                f"      {'NUM_VAL':<20} = 1",
                f"      {'VALUE':<20} = {text}",
                f"    {'END_OBJECT':<22} = {name}",
                "",
            ]
        lines += [f"  {'END_GROUP':<22} = {group}", ""]
    return "\n".join([*lines, f"{'END_GROUP':<22} = {master}", "", "END"])
