"""A season of a simulated Earth, from native files on, for the products that come down from cells.

The window lies in a desert basin at 36 N, where pixels are sheared, across the corner of four
blocks. Files are there for 96 days of the year; before, after, and in two fortnights between,
sensors are silent. So every run has days of every kind.
"""

import contextlib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from smcloud.cli import ingest, produce, publish, run, train, validate
from smcloud.cli.main import main
from smcloud.grids.tiles import parse_window
from smcloud.simulate.granules_amsr import NNSM_PRODUCTS
from smcloud.simulate.instruments import key_of
from smcloud.simulate.references import SMAP_PRODUCTS
from smcloud.simulate.tile_files import TILE_SOURCES, tile_keys

TILE, YEAR, PART = "h25v05", 2015, "100x100+428+737"
WINDOW = parse_window(PART, TILE)
DAYS = np.arange(f"{YEAR}-01-01", f"{YEAR + 1}-01-01", dtype="datetime64[D]")
SEASON = slice(96, 192)
"""7 April to 11 July: three periods of 32 days."""
CLOUDED = slice(130, 144)
"""A fortnight without a clear look at the surface."""
SILENT = slice(165, 179)
"""A fortnight in which neither SMAP nor AMSR2 delivers."""
ALBEDO_DAYS = 4
"""Days from one file of albedo to the next; on the others it is unknown."""
FINE = ("mod11a1", "mcd43a3", "mod15a2h", "mod09a1", "mod13a2")
SOURCES = (*FINE, "terrain", "soilgrids", "smap_l3", "era5land", "amsr_nnsm")
SMAP, WEATHER = "smap-downscaling", "all-weather"
DOWNSCALE = {
    SMAP: 'period_days = 32\ncandidates = 1\nfamilies = ["mlr", "svr", "xgb"]',
    WEATHER: 'bandwidth_km = 100\nminimum_cells = 4\nbridge = "none"',
}
"""What 15 cells need; a region has hundreds."""
STAGES = {
    SMAP: ("ingest", "train", "produce", "validate"),
    WEATHER: ("ingest", "train", "produce"),
}
COMMANDS = (ingest, produce, publish, run, train, validate)


class Failed(Exception):
    """A command that ended with another code than 0: the code, and its one line."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(code, line)
        self.code, self.line = code, line


def smcloud(*words: object, client=None) -> str:
    """Run one command line in this process, on a cluster if one is given; return its output."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as redirected:
        for module in COMMANDS:
            patch.setattr(module, "cluster_from", lambda *_: contextlib.nullcontext(client))
        patch.setattr(sys, "argv", ["smcloud", *map(str, words)])
        redirected.enter_context(contextlib.redirect_stdout(out))
        redirected.enter_context(contextlib.redirect_stderr(err))
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise Failed(int(ended.code), err.getvalue()) from ended
    return out.getvalue()


def make_earth(folder: Path) -> None:
    """Simulate the granules of the season below a folder."""
    for key in _unwanted():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # `simulate` writes what is missing, and takes this for written
    words = {
        "tiles": TILE, "window": PART, "year": YEAR, "stations": 0, "seed": 7,
        "sources": ",".join(SOURCES), "out": folder, "workers": 1,
    }  # fmt: skip
    smcloud("simulate", *(word for name, value in words.items() for word in (f"--{name}", value)))
    for key in _unwanted():
        (folder / key).unlink()


def _unwanted() -> Iterator[str]:
    """Yield the key of every file that no sensor delivered."""
    season, clouded, silent = (set(DAYS[part].astype(object)) for part in (SEASON, CLOUDED, SILENT))
    for source in FINE:
        length = timedelta(days=TILE_SOURCES[source].product.days)
        for key, start in tile_keys(source, TILE, YEAR).items():
            is_hidden = source == "mod11a1" and start in clouded
            is_hidden |= source == "mcd43a3" and start.toordinal() % ALBEDO_DAYS > 0
            if is_hidden or not {start, start + length - timedelta(days=1)} & season:
                yield key
    for source, product in (
        ("smap_l3", SMAP_PRODUCTS["smap_l3"]),
        ("amsr_nnsm", NNSM_PRODUCTS["amsr_nnsm"]),
    ):
        for day in DAYS.astype(object):
            if day not in season - silent:
                yield key_of(source, YEAR, product.file_name(day))


def write_run(folder: Path, earth: Path, product: str, changes: Mapping[str, str] = {}) -> Path:
    """Write the run file of a product whose root lies below the folder; return it.

    `changes` replaces the keys of a section, or its text altogether.
    """
    sections = {
        "store": f'granules = "{earth}/granules"\nroot = "{folder}/root"',
        "produce": f'window = "{PART}"\nheartbeat_seconds = 0.5',
        "downscale": DOWNSCALE[product],
        **changes,
    }
    text = f'product = "{product}"\ntiles = ["{TILE}"]\nyears = [{YEAR}]\n'
    text += f"stages = {json.dumps(STAGES[product])}\n"
    path = folder / f"{product}.toml"
    path.write_text(text + "".join(f"[{name}]\n{keys}\n" for name, keys in sections.items()))
    return path
