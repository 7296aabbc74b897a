"""The truth of the simulated Earth as cubes: what every estimate is held against.

Soil moisture is packed and chunked as that of a product, and surface temperature as that of the
sensor, so that the same code reads both. Days are simulated in any order and by several processes:
each writes its rows of a scratch file that all of them map, and when all days are there whole
shards are cut from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from smcloud.core.layout import join, year_store
from smcloud.cube.schema import YEAR_STEPS, Array, CubeSchema, Variable
from smcloud.cube.store import create_store, shard_key, write_shard
from smcloud.grids.grid import SIN1KM
from smcloud.grids.tiles import tile_window
from smcloud.simulate.hdf_eos import TilePixels
from smcloud.simulate.records import DayState

SHARD_PIXELS = 150
SOIL_MOISTURE = Variable(
    "soil_moisture",
    "int16",
    "m3 m-3",
    "true volumetric soil moisture of the top 5 cm of the simulated Earth",
    valid=(0.0, 0.7),
    scale=0.0001,
    fill=-9999,
    standard_name="volume_fraction_of_condensed_water_in_soil",
)


def _skin_temperature(name: str, hour: str) -> Variable:
    return Variable(
        name,
        "uint16",
        "K",
        f"true skin temperature of the simulated Earth at {hour} local solar time, under cloud too",
        valid=(150.0, 400.0),
        scale=0.02,
        fill=0,
        standard_name="surface_temperature",
    )


def _cloud(name: str, hour: str) -> Variable:
    return Variable(
        name,
        "uint8",
        "1",
        f"1 where a cloud of the simulated Earth hides the ground at {hour} local solar time",
        valid=(0.0, 1.0),
        fill=255,
    )


def _schema(name: str, title: str, *variables: Variable) -> CubeSchema:
    return CubeSchema(
        name,
        SIN1KM.name,
        variables,
        step_days=1,
        chunks=(46, SHARD_PIXELS, SHARD_PIXELS),
        shards=(YEAR_STEPS, SHARD_PIXELS, SHARD_PIXELS),
        title=title,
    )


TRUTH_SCHEMA = _schema("truth", "Truth of the simulated Earth", SOIL_MOISTURE)
TRUTH_LST_SCHEMA = _schema(
    "truth_lst",
    "True skin temperature and clouds of the simulated Earth",
    _skin_temperature("lst_day", "10:30"),
    _skin_temperature("lst_night", "22:30"),
    _cloud("cloud_day", "10:30"),
    _cloud("cloud_night", "22:30"),
)


@dataclass(frozen=True)
class TruthCube:
    """One cube of the truth.

    Attributes
    ----------
    folder : str
        Below the output URL.
    schema : CubeSchema
    fields : mapping
        Variable to the field of `DayState` that it holds.
    """

    folder: str
    schema: CubeSchema
    fields: Mapping[str, str]

    def url(self, out: str, year: int) -> str:
        """Return the URL of one year's store."""
        return join(out, self.folder, year_store(year))

    def shard_keys(self, pixels: TilePixels, year: int) -> list[str]:
        """Return the keys below the output URL of the shards that hold the pixels."""
        return [
            join(self.folder, year_store(year), shard_key(name, (0, *block)))
            for name in self.fields
            for block in shard_blocks(pixels)
        ]


TRUTHS: Mapping[str, TruthCube] = {
    "truth": TruthCube("truth", TRUTH_SCHEMA, {"soil_moisture": "soil_moisture"}),
    "truth_lst": TruthCube(
        "truth-lst",
        TRUTH_LST_SCHEMA,
        {
            "lst_day": "lst_day_k",
            "lst_night": "lst_night_k",
            "cloud_day": "cloud_day",
            "cloud_night": "cloud_night",
        },
    ),
}
"""Word that asks for it to each cube of the truth."""


def truth_url(out: str, year: int) -> str:
    """Return the URL of one year's true soil moisture."""
    return TRUTHS["truth"].url(out, year)


@dataclass(frozen=True)
class Scratch:
    """Scratch files of one cube of the truth for one tile and year.

    Attributes
    ----------
    word : str
        Key of `TRUTHS`.
    folder : Path
    pixels : TilePixels
    year : int
    """

    word: str
    folder: Path
    pixels: TilePixels
    year: int

    @property
    def cube(self) -> TruthCube:
        """Return the cube."""
        return TRUTHS[self.word]

    def create(self) -> None:
        """Make empty files (days, n) of stored values."""
        for variable in self.cube.schema.variables:
            self._mapped(variable, "w+")

    def keep(self, state: DayState) -> None:
        """Put one day's values into the files."""
        day = int((state.day - self.cube.schema.times(self.year)[0]).astype(int))
        for name, field in self.cube.fields.items():
            variable = self.cube.schema.variable(name)
            values = np.asarray(getattr(state, field), np.float32)
            self._mapped(variable, "r+")[day] = variable.pack(values)

    def finish(self, out: str) -> None:
        """Cut the files into shards of the store below `out`, and remove them."""
        url, schema = self.cube.url(out, self.year), self.cube.schema
        create_store(url, schema, self.year)
        for variable in schema.variables:
            values = self._mapped(variable, "r")
            for (row, col), block in self._blocks(variable, values):
                write_shard(url, schema, variable.name, (0, row, col), block)
            self._path(variable).unlink()

    def _blocks(self, variable: Variable, values: Array) -> Iterator[tuple[tuple[int, int], Array]]:
        """Yield row and column of each shard in the global grid, and its values."""
        outer = tile_window(SIN1KM, self.pixels.tile)
        rows, cols = self.pixels.rows + outer.row0, self.pixels.cols + outer.col0
        for row, col in shard_blocks(self.pixels):
            inside = (rows // SHARD_PIXELS == row) & (cols // SHARD_PIXELS == col)
            shape = len(values), SHARD_PIXELS, SHARD_PIXELS
            block = np.full(shape, variable.fill_value, variable.dtype)
            block[:, rows[inside] % SHARD_PIXELS, cols[inside] % SHARD_PIXELS] = values[:, inside]
            yield (row, col), block

    def _path(self, variable: Variable) -> Path:
        return self.folder / f"{self.word}-{variable.name}-{self.pixels.tile}-{self.year}"

    def _mapped(self, variable: Variable, mode: Literal["r", "r+", "w+"]) -> Array:
        shape = len(self.cube.schema.times(self.year)), len(self.pixels.rows)
        path = self._path(variable)
        mapped: Array = np.memmap(path, np.dtype(variable.dtype), mode, shape=shape)
        return mapped


def shard_blocks(pixels: TilePixels) -> list[tuple[int, int]]:
    """Return (row, column) of the shards in the global grid that hold the pixels, sorted."""
    outer = tile_window(SIN1KM, pixels.tile)
    rows = (pixels.rows + outer.row0) // SHARD_PIXELS
    cols = (pixels.cols + outer.col0) // SHARD_PIXELS
    return sorted({(int(row), int(col)) for row, col in zip(rows, cols, strict=True)})
