"""Tiles of a grid, and `TileYear`: the key of everything that is planned, stored or logged."""

import re
from dataclasses import dataclass
from functools import total_ordering

import numpy as np

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import (
    GRIDS,
    SIN1KM,
    TILE_PIXELS,
    TILES_ACROSS,
    TILES_DOWN,
    Floats,
    Grid,
    Window,
    grid_named,
)

GLOBE = "globe"
STATIC = "static"
FIRST_YEAR, LAST_YEAR = 1970, 2199
_TILE = re.compile(r"h(\d{2})v(\d{2})")
_WINDOW = re.compile(r"(\d+)x(\d+)(?:\+(\d+)\+(\d+))?")


@total_ordering
@dataclass(frozen=True)
class TileYear:
    """One tile of one grid in one year; static layers have no year.

    >>> key = TileYear.parse("sin1km/h25v05/2019")
    >>> key.tile, key.year, str(key)
    ('h25v05', 2019, 'sin1km/h25v05/2019')

    Raises
    ------
    ConfigError
        If the grid, the tile or the year does not exist.
    """

    grid: str
    tile: str
    year: int | None

    def __post_init__(self) -> None:
        tile_window(grid_named(self.grid), self.tile)
        if self.year is not None and not FIRST_YEAR <= self.year <= LAST_YEAR:
            raise ConfigError(
                f"unknown year {self.year}: expected {FIRST_YEAR} to {LAST_YEAR}, or {STATIC!r}"
            )

    @classmethod
    def parse(cls, text: str) -> "TileYear":
        """Return the key written as ``grid/tile/year``."""
        parts = text.split("/")
        if len(parts) != 3 or not (parts[2] == STATIC or re.fullmatch(r"\d{4}", parts[2])):
            raise ConfigError(
                f"unreadable key {text!r}: expected grid/tile/year, such as sin1km/h25v05/2019"
            )
        return cls(parts[0], parts[1], None if parts[2] == STATIC else int(parts[2]))

    def __str__(self) -> str:
        return (
            f"{self.grid}/{self.tile}/{STATIC if self.year is None else format(self.year, '04d')}"
        )

    def __lt__(self, other: "TileYear") -> bool:
        return (self.grid, self.tile, self.year or 0) < (other.grid, other.tile, other.year or 0)

    @property
    def window(self) -> Window:
        """Return the pixels of the tile."""
        return tile_window(GRIDS[self.grid], self.tile)


def tile_window(grid: Grid, tile: str) -> Window:
    """Return the pixels of a tile; small grids have the single tile ``globe``.

    Raises
    ------
    ConfigError
        If the grid has no such tile.
    """
    if grid is not SIN1KM:
        if tile != GLOBE:
            raise ConfigError(
                f"unknown tile {tile!r} of grid {grid.name}: its only tile is 'globe'"
            )
        return grid.window
    match = _TILE.fullmatch(tile)
    if not match or int(match[1]) >= TILES_ACROSS or int(match[2]) >= TILES_DOWN:
        raise ConfigError(
            f"unknown tile {tile!r} of grid {grid.name}: expected h00v00 to "
            f"h{TILES_ACROSS - 1:02d}v{TILES_DOWN - 1:02d}, such as h25v05"
        )
    col0, row0 = int(match[1]) * TILE_PIXELS, int(match[2]) * TILE_PIXELS
    return Window(row0, row0 + TILE_PIXELS, col0, col0 + TILE_PIXELS)


def tile_at(row: int, col: int) -> str:
    """Return the name of the sinusoidal tile that holds a global pixel."""
    return f"h{col // TILE_PIXELS:02d}v{row // TILE_PIXELS:02d}"


def tiles_of(lon: Floats, lat: Floats) -> list[str]:
    """Return the sinusoidal tile of each point (degrees)."""
    rows, cols = SIN1KM.pixel_of(np.atleast_1d(lon), np.atleast_1d(lat))
    return [tile_at(int(row), int(col)) for row, col in zip(rows, cols, strict=True)]


def tiles_around(tile: str) -> list[str]:
    """Return a sinusoidal tile and its neighbours inside the grid, row by row."""
    across, down = int(tile[1:3]), int(tile[4:6])
    return [
        f"h{h:02d}v{v:02d}"
        for v in range(max(0, down - 1), min(TILES_DOWN - 1, down + 1) + 1)
        for h in range(max(0, across - 1), min(TILES_ACROSS - 1, across + 1) + 1)
    ]


def blocks_of(window: Window, size: int) -> list[Window]:
    """Return the squares of `size` pixels that tile `window`, row by row.

    Raises
    ------
    ConfigError
        If `size` does not divide the window.
    """
    rows, cols = window.shape
    if size <= 0 or rows % size or cols % size:
        raise ConfigError(f"block size {size} does not divide a tile of {rows} x {cols} pixels")
    return [
        Window(row, row + size, col, col + size)
        for row in range(window.row0, window.row1, size)
        for col in range(window.col0, window.col1, size)
    ]


def parse_window(text: str, tile: str) -> Window:
    """Return the global pixels of a window written ``ROWSxCOLS`` or ``ROWSxCOLS+ROW+COL``.

    The position counts from the tile's north-west corner; without one the window is centred.

    Raises
    ------
    ConfigError
        If the text is unreadable or the window does not lie inside the tile.
    """
    match = _WINDOW.fullmatch(text)
    if not match:
        raise ConfigError(
            f"unreadable window {text!r}: expected ROWSxCOLS such as 240x240, "
            "or with a position in the tile, 240x240+600+750"
        )
    rows, cols = int(match[1]), int(match[2])
    row = int(match[3]) if match[3] else (TILE_PIXELS - rows) // 2
    col = int(match[4]) if match[4] else (TILE_PIXELS - cols) // 2
    if min(rows, cols) < 1 or min(row, col) < 0 or max(row + rows, col + cols) > TILE_PIXELS:
        raise ConfigError(
            f"window {text!r} does not lie inside a tile of {TILE_PIXELS} x {TILE_PIXELS} pixels"
        )
    outer = tile_window(SIN1KM, tile)
    return Window(
        outer.row0 + row, outer.row0 + row + rows, outer.col0 + col, outer.col0 + col + cols
    )


def window_text(window: Window, tile: str) -> str:
    """Return a window of a tile as `parse_window` reads it, ``ROWSxCOLS+ROW+COL``."""
    rows, cols = window.shape
    outer = tile_window(SIN1KM, tile)
    return f"{rows}x{cols}+{window.row0 - outer.row0}+{window.col0 - outer.col0}"
