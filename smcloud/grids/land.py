"""Which pixels are land: the 30 arc second mask of the package global-land-mask.

That package loads its mask (21600 x 43200, 933 MB) when it is imported, which no worker can afford.
Here its file is streamed once into one bit per cell (117 MB) in a cache folder and mapped into
memory: a tile touches a few MB of it.
"""

import json
import logging
import os
import tempfile
import zipfile
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.grid import SIN1KM, TILE_PIXELS, Floats, Grid, Window
from smcloud.grids.tiles import tile_at

log = logging.getLogger(__name__)

MASK_ROWS, MASK_COLS = 21600, 43200
CELLS_PER_DEGREE = 120
SAMPLES, ROWS_AT_ONCE = 5, 24
"""Points along each side of a coarse cell by which its land is told; rows told at once."""
_LAND_TILES = Path(__file__).with_name("land_tiles.json")

Mask = NDArray[np.bool_]


def is_land(lon: Floats, lat: Floats) -> Mask:
    """Say for points (degrees) whether they are land; most lakes count as land.

    NaN coordinates (off the globe) are not land. A cell of the source reaches south and east from
    its coordinate, as its own look-up truncates.
    """
    known = np.isfinite(lon) & np.isfinite(lat)
    bits, first_lat, lat_step = _mask_bits()
    row = (np.where(known, lat, 0.0) - first_lat) / lat_step
    col = (np.where(known, lon, 0.0) + 180.0) * CELLS_PER_DEGREE
    row_index = np.clip(np.floor(row).astype(np.int64), 0, MASK_ROWS - 1)
    col_index = np.floor(col).astype(np.int64) % MASK_COLS
    byte = bits[row_index, col_index >> 3]
    is_ocean = (byte >> (7 - (col_index & 7)).astype(np.uint8)) & 1
    land: Mask = known & (is_ocean == 0)
    return land


def land_mask(window: Window) -> Mask:
    """Return True where a pixel centre of the output grid is land, (rows, cols)."""
    return is_land(*SIN1KM.lonlat(window))


def land_cells(grid: Grid, window: Window, least: float = 0.5) -> Mask:
    """Return True where a cell of a coarse grid is land, (rows, cols).

    At least that share of 5 x 5 points, spread evenly over the cell, is land.
    """
    fine = replace(
        grid,
        rows=grid.rows * SAMPLES,
        cols=grid.cols * SAMPLES,
        x_first=grid.x_first - grid.step * (SAMPLES - 1) / (2 * SAMPLES),
        y_first=grid.y_first + grid.step * (SAMPLES - 1) / (2 * SAMPLES),
        step=grid.step / SAMPLES,
    )
    found = np.zeros(window.shape, np.bool_)
    for row in range(window.row0, window.row1, ROWS_AT_ONCE):
        part = Window(row, min(row + ROWS_AT_ONCE, window.row1), window.col0, window.col1)
        edges = (part.row0, part.row1, part.col0, part.col1)
        points = is_land(*fine.lonlat(Window(*(SAMPLES * edge for edge in edges))))
        rows, cols = part.shape
        share = points.reshape(rows, SAMPLES, cols, SAMPLES).mean(axis=(1, 3))
        found[part.within(window)] = share >= least
    return found


@lru_cache(maxsize=1)
def land_tiles() -> dict[str, int]:
    """Return the number of land pixels of every tile of the output grid that has land.

    The table beside this file is printed by ``python -m smcloud.grids.land``.
    """
    table: dict[str, int] = json.loads(_LAND_TILES.read_text())
    return table


def count_land_tiles() -> dict[str, int]:
    """Return the land pixels per tile, counted anew from the mask (a minute of work)."""
    counts = {}
    for row in range(0, SIN1KM.rows, TILE_PIXELS):
        for col in range(0, SIN1KM.cols, TILE_PIXELS):
            window = Window(row, row + TILE_PIXELS, col, col + TILE_PIXELS)
            if land := int(land_mask(window).sum()):
                counts[tile_at(row, col)] = land
    return counts


@lru_cache(maxsize=1)
def _mask_bits() -> tuple[NDArray[np.uint8], float, float]:
    """Return the ocean bits (rows, cols / 8), the latitude of row 0 and the step, degrees."""
    spec = find_spec("global_land_mask")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("global-land-mask is a dependency of smcloud: reinstall smcloud")
    archive = Path(spec.submodule_search_locations[0], "globe_combined_mask_compressed.npz")
    name = f"land-{version('global-land-mask')}-{archive.stat().st_size}.bits"
    path = _cache_folder() / name
    if not path.exists():
        _unpack(archive, path)
    latitudes = np.load(archive)["lat"]
    bits = np.memmap(path, np.uint8, mode="r", shape=(MASK_ROWS, MASK_COLS // 8))
    return bits, float(latitudes[0]), float(latitudes[1] - latitudes[0])


def _cache_folder() -> Path:
    """Return a writable folder: SMCLOUD_CACHE, the user's cache, or the temporary folder."""
    wanted = os.environ.get("SMCLOUD_CACHE") or Path.home() / ".cache" / "smcloud"
    for folder in (Path(wanted), Path(tempfile.gettempdir(), f"smcloud-{os.getuid()}")):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise PermissionError("no writable cache folder: set SMCLOUD_CACHE to one")


def _unpack(archive: Path, path: Path) -> None:
    """Stream the mask into packed bits; the rename lets several processes do so at once."""
    log.info("unpacking the land mask once into %s", path)
    with (
        zipfile.ZipFile(archive) as package,
        package.open("mask.npy") as member,
        tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as target,
    ):
        np.lib.format.read_magic(member)
        np.lib.format.read_array_header_1_0(member)
        rows_at_once = 400
        for _ in range(0, MASK_ROWS, rows_at_once):
            block = np.frombuffer(member.read(rows_at_once * MASK_COLS), np.uint8)
            target.write(np.packbits(block.reshape(rows_at_once, MASK_COLS), axis=1).tobytes())
    os.replace(target.name, path)


if __name__ == "__main__":
    _LAND_TILES.write_text(json.dumps(count_land_tiles(), indent=0, sort_keys=True) + "\n")
