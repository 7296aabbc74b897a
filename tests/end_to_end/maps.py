"""What a run made, read back; and twins of its root, to be run again, broken or changed."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smcloud.core.config import RunConfig, load_config
from smcloud.core.layout import join, year_store
from smcloud.cube.schema import Array
from smcloud.cube.store import open_cube, write_shard
from smcloud.features.derived import schema_named
from smcloud.features.spec import split_input
from smcloud.grids.cells import land_pixels
from smcloud.grids.grid import EASE2_36KM, SIN1KM, Window
from smcloud.production.versions import published_store
from smcloud.products.registry import product_of
from tests.end_to_end.season import DAYS, WINDOW, YEAR

ALL = slice(0, DAYS.size)


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of a year as they are stored, and the coarse field that they come from.

    Attributes
    ----------
    moisture, flag : (days, pixels)
    cell : (pixels,)
        Which coarse cell holds each.
    coarse : (days, cells)
    land : (cells,)
        Pixels of land of each cell, in the window or not.
    """

    moisture: Array
    flag: Array
    cell: Array
    coarse: Array
    land: Array

    def by_cell(self, values: Array) -> Array:
        """Return the sums over the pixels of each cell, (days, cells)."""
        return np.stack([np.bincount(self.cell, day, self.land.size) for day in values])

    @property
    def known(self) -> Array:
        return np.isfinite(self.moisture)

    @property
    def means(self) -> Array:
        """Return the mean of the known pixels of each cell, (days, cells)."""
        with np.errstate(invalid="ignore"):
            return self.by_cell(np.nan_to_num(self.moisture)) / self.by_cell(self.known)

    def raised(self, bit: int) -> Array:
        """Return where a bit of the flag is raised, (days, pixels)."""
        return (self.flag & bit) != 0


def maps_of(run: Path) -> Maps:
    """Return the published maps of a run file, on the pixels of its window."""
    config = load_config(run)
    product = product_of(config)
    cube = open_cube(published_store(config.layout, product.name, YEAR), product.schema, YEAR)
    rows, cols = EASE2_36KM.pixel_of(*(axis.ravel() for axis in SIN1KM.lonlat(WINDOW)))
    cells = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    coarse = driver(config, product.downscaling.coarse, cells)
    return Maps(
        cube.read_physical("soil_moisture", ALL, WINDOW).reshape(DAYS.size, -1),
        cube.read("quality_flag", ALL, WINDOW).reshape(DAYS.size, -1),
        (rows - cells.row0) * cells.shape[1] + cols - cells.col0,
        schema_named(split_input(product.downscaling.coarse)[0])
        .variable(split_input(product.downscaling.coarse)[1])
        .unpack(coarse),
        land_pixels(EASE2_36KM, cells).ravel(),
    )


def driver(config: RunConfig, layer: str, window: Window) -> Array:
    """Return stored values (days, places) of a daily cube."""
    source, name = split_input(layer)
    cube = open_cube(join(config.cube_prefix(source), year_store(YEAR)), schema_named(source), YEAR)
    return cube.read(name, ALL, window, required=False).reshape(DAYS.size, -1)


def twin(run: Path, folder: Path, made: tuple[str, ...] = ()) -> Path:
    """Give a folder the cubes of a run without what came of them, and with `made` of it.

    Files are linked: whoever writes one puts another in its place.
    """
    product = run.stem
    made_of = {
        "models": (f"models/{product}", f"tables/{product}*", f"ledger/train/{product}"),
        "maps": (f"products/{product}", f"receipts/{product}", f"ledger/produce/{product}",
                 f"work/{product}"),
    }  # fmt: skip
    here, there = run.parent / "root", folder / "root"
    for name in ("cubes", "index", "receipts/ingest", "ledger/ingest"):
        _link(here / name, there / name)
    for pattern in (pattern for what in made for pattern in made_of[what]):
        for path in here.glob(pattern):
            _link(path, there / path.relative_to(here))
    return folder


def _link(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=os.link)


def without(folder: Path, source: str) -> None:
    """Remove the cube of a source below a folder, and what is known of it."""
    for name in ("cubes", "receipts/ingest", "ledger/ingest"):
        shutil.rmtree(folder / "root" / name / source)


def lose(run: Path, layer: str, is_lost: Callable[[Array, Array], Array]) -> None:
    """Make the pixels of a cube unknown, at all times, of whose rows and columns that is said."""
    config = load_config(run)
    source, name = split_input(layer)
    schema = schema_named(source)
    year = None if schema.is_static else YEAR
    url = join(config.cube_prefix(source), year_store(year))
    cube, variable = open_cube(url, schema, year), schema.variable(name)
    height, width = schema.shards[-2:]
    for key in sorted(Path(url.removeprefix("file://")).glob(f"{name}/c/**/*")):
        if key.is_file():
            index = tuple(map(int, key.relative_to(key.parents[len(schema.dims) - 1]).parts))
            window = Window(index[-2] * height, (index[-2] + 1) * height,
                            index[-1] * width, (index[-1] + 1) * width)  # fmt: skip
            steps = slice(0, 0) if year is None else schema.slabs(YEAR)[index[0]]
            values = cube.read(name, steps, window)
            rows, cols = np.mgrid[window.slices]
            values[..., is_lost(rows, cols)] = variable.fill_value
            write_shard(url, schema, variable.name, index, values)
