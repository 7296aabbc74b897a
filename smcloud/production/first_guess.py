"""First pass of a downscaled year: a block's first guess at 1 km, and how much it varies in cells.

The first guess is what the model says of each pixel by itself; its mean over a coarse cell is not
yet the coarse value. It is kept, below the work of its version, until the year is published:
features are computed once, and a killed run continues.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from smcloud.core.layout import join
from smcloud.core.memory import peak_bytes
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Array, CubeSchema, Variable, shard_index
from smcloud.cube.store import encode_shard, hash_values, open_cube, shard_key
from smcloud.features.blockwise import FeatureReader
from smcloud.features.inputs import BlockInputs, Points
from smcloud.features.sink import FloatSink
from smcloud.features.spec import Flags, Floats32
from smcloud.grids.grid import SIN1KM, Window, grid_named
from smcloud.grids.tiles import TileYear
from smcloud.models.cell_sums import Links, links
from smcloud.models.damping import (
    LAG_DAYS,
    Spread,
    factors_from,
    merged_in_time,
    spread_of,
)
from smcloud.models.downscaler import Downscaler
from smcloud.production.block import (
    BlockReceipt,
    Clock,
    land_points,
    receipt_key,
    write_receipt,
)
from smcloud.production.downscalers import open_downscaler
from smcloud.production.lanes import take_turn

SLAB_DAYS = 46
"""Days that are anchored at once: one inner chunk of the store."""
FIRST_GUESS = Variable(
    "first_guess",
    "int16",
    "m3 m-3",
    "soil moisture as the model says it of each pixel alone",
    valid=(-3.0, 3.0),
    scale=0.0001,
    fill=-32768,
)
"""A linear model may say less than nothing; the correction, and the physical range, come after."""


def first_guess_schema(schema: CubeSchema) -> CubeSchema:
    """Return the store of the first guesses of a product's year: same days, same shards."""
    flag = schema.variable("quality_flag")
    return replace(schema, name=f"{schema.name}-first-guess", variables=(FIRST_GUESS, flag))


def slabs_of(n_days: int, step: int) -> list[slice]:
    """Return consecutive slices of at most `step` days."""
    return [slice(start, min(start + step, n_days)) for start in range(0, n_days, step)]


@dataclass(frozen=True)
class Work:
    """Where the passes of one downscaled year leave what the next ones need.

    Attributes
    ----------
    url : str
        Prefix of one version; nothing below it is published.
    """

    url: str

    @property
    def store(self) -> str:
        """Return the URL of the store of first guesses."""
        return join(self.url, "first-guess.zarr")

    @property
    def receipts(self) -> str:
        """Return the prefix of the receipts of the first pass."""
        return join(self.url, "receipts")

    def spread_key(self, block: str) -> str:
        """Return the key of how much a block's first guess varies within cells."""
        return f"spread/{block}.npz"

    @property
    def damping_key(self) -> str:
        """Return the key of the factor of each day that first guesses are scaled by."""
        return "damping.npz"

    def sums_key(self, slab: int, block: str, visit: int = 0) -> str:
        """Return the key of a block's sums over a slab; visits after the first are clamped ones."""
        return f"sums/v{visit}/s{slab:02d}/{block}.npz"

    def nodes_key(self, slab: int, visit: int) -> str:
        """Return the key of the nodes of a slab after so many visits."""
        return f"nodes/v{visit}/s{slab:02d}.npz"

    def settled_key(self, slab: int) -> str:
        """Return the key of the nodes of a slab with which the year is finished."""
        return f"nodes/settled/s{slab:02d}.npz"


@lru_cache(maxsize=4)
def read_damping(work: Work) -> Floats32:
    """Return the factor of each day, (days,); read once per process and version."""
    return factors_from(open_objects(work.url).get(work.damping_key))


@dataclass(frozen=True)
class FineBlock:
    """One block of a downscaled year: URLs, keys and records that every pass needs, never data."""

    key: TileYear
    number: int
    """Position of the block in its tile, counted row by row from the north-west."""
    window: Window
    part: Window
    schema: CubeSchema
    """Of the first guesses."""
    cells: str
    """Name of the coarse grid."""
    ceiling: FeatureReader | None
    """Reads the highest value of each pixel, its porosity; None where one holds for all."""
    highest: float
    work: Work
    input_hash: str

    @property
    def name(self) -> str:
        """Return the readable name, as ``h25v05-b07``."""
        return f"{self.key.tile}-b{self.number:02d}"

    @property
    def points(self) -> Points:
        """Return the land pixels that are produced, flat in the window."""
        return land_points(self.window, self.part)

    def links(self, points: Points) -> Links:
        """Return how the points hang on the cells of the coarse grid."""
        lon, lat = lonlat_of(self.window, points)
        return links(grid_named(self.cells), lon, lat)

    def ceilings(self, points: Points) -> Floats32:
        """Return the highest value of each point, (n_points,): its porosity, if that is lower."""
        whole = np.full(len(points), self.highest, np.float32)
        if self.ceiling is None:
            return whole
        first = self.schema.times(self.key.year)[:1]
        read = self.ceiling.read(self.window, first, points)
        found: Floats32 = np.fmin(whole, self.ceiling.compute(read).values[0, 0])
        return found

    def guesses(self, steps: slice, points: Points) -> Floats32:
        """Return the damped first guesses of some days, (days, n_points); NaN is unknown."""
        cube = open_cube(self.work.store, self.schema, self.key.year)
        stored = cube.read_points("first_guess", steps, self.window, points)
        factors = read_damping(self.work)[steps, None]
        return np.asarray(FIRST_GUESS.unpack(stored) * factors, np.float32)

    def flags(self, steps: slice, points: Points) -> NDArray[np.uint16]:
        """Return the flags that the features raised on some days, (days, n_points)."""
        cube = open_cube(self.work.store, self.schema, self.key.year)
        found = cube.read_points("quality_flag", steps, self.window, points)
        return found.astype(np.uint16, copy=False)


@dataclass(frozen=True)
class GuessTask:
    """The first pass of one block."""

    block: FineBlock
    reader: FeatureReader
    models: str
    model: str
    model_sha256: str
    refuse: int
    """Quality bits of the features under which a pixel-day gets no estimate."""
    unmodelled: int
    """Quality bit of a day without a model."""
    step_days: int
    read_ahead: bool

    @property
    def name(self) -> str:
        """Return the readable key, as ``guess-h25v05-2019-b07``."""
        return f"guess-{self.block.key.tile}-{self.block.key.year}-b{self.block.number:02d}"


def guess_block(task: GuessTask) -> BlockReceipt:
    """Make the first guess of one block on a worker: its shards, its spread, then its receipt.

    Raises
    ------
    CubeError, NotFoundError
        If a driver is not what it must be.
    ModelError
        If the stored model is not the one that the plan was made for.
    StoreError
        If the store refuses or is full.
    """
    block, clock = task.block, Clock()
    model = open_downscaler(task.models, task.model, task.model_sha256)
    days, points = block.schema.times(block.key.year), block.points
    with take_turn(overlap=task.read_ahead) as turn:
        with clock.step("read"):
            inputs = task.reader.read(block.window, days, points)
        turn.compute()
        values = {v.name: _filled(v, len(days), block.window) for v in block.schema.variables}
        lonlat = lonlat_of(block.window, points)
        for slab in slabs_of(len(days), task.step_days):
            guesses, flags = _guessed(task, model, inputs, lonlat, slab, clock)
            _put(values, points, slab, guesses, flags)
        del inputs
        with clock.step("predict"):
            spread = _spread(block, values["first_guess"], points)
        turn.write()
        return _written(task, values, spread, len(days) * len(points), clock)


def _guessed(
    task: GuessTask,
    model: Downscaler,
    inputs: BlockInputs,
    lonlat: NDArray[np.float64],
    slab: slice,
    clock: Clock,
) -> tuple[Floats32, Array]:
    """Return first guesses and flags (days, n_points) of a slab."""
    with clock.step("features"):
        sink = FloatSink(len(task.reader.names), slab.stop - slab.start, len(inputs.points))
        raised: Flags = task.reader.compute_into(inputs, slab, sink)
    flags = raised.astype(np.uint16)
    guesses = np.full(flags.shape, np.nan, np.float32)
    with clock.step("predict"):
        for number, day in enumerate(inputs.days[slab]):
            if model.is_modelled(day):
                guesses[number] = model.estimate(day, sink.values[:, number], lonlat)
            else:
                flags[number] |= task.unmodelled
    guesses[(raised & task.refuse) != 0] = np.nan
    return guesses, flags


def lonlat_of(window: Window, points: Points) -> NDArray[np.float64]:
    """Return longitude and latitude (2, n_points) of the points of a window, degrees."""
    return np.stack([values.reshape(-1)[points] for values in SIN1KM.lonlat(window)])


def _filled(variable: Variable, n_days: int, window: Window) -> Array:
    pixels = window.shape[0] * window.shape[1]
    return np.full((n_days, pixels), variable.fill_value, variable.dtype)


def _put(
    values: Mapping[str, Array], points: Points, slab: slice, guesses: Floats32, flags: Array
) -> None:
    """Store a slab's guesses and flags at the points of whole days (days, pixels)."""
    low, high = FIRST_GUESS.valid
    values["first_guess"][slab, points] = FIRST_GUESS.pack(np.clip(guesses, low, high))
    values["quality_flag"][slab, points] = flags


def _spread(block: FineBlock, stored: Array, points: Points) -> Spread:
    """Return how the first guess, as it is stored, varies and lasts within the cells of a block."""
    where = block.links(points)
    parts = []
    for steps in slabs_of(len(stored), SLAB_DAYS):
        before = slice(max(0, steps.start - LAG_DAYS), max(0, steps.stop - LAG_DAYS))
        now, then = (FIRST_GUESS.unpack(stored[days][:, points]) for days in (steps, before))
        parts.append(spread_of(now, then, where))
    return merged_in_time(parts)


def _written(
    task: GuessTask, values: Mapping[str, Array], spread: Spread, rows: int, clock: Clock
) -> BlockReceipt:
    """Store shards, spread and receipt of a block, in this order, and return the receipt."""
    block = task.block
    hashes, stored_bytes = {}, 0
    for name, flat in values.items():
        whole = flat.reshape(len(flat), *block.window.shape)
        key = shard_key(name, shard_index(block.schema, block.window, 0))
        hashes[key] = hash_values(whole)
        with clock.step("encode"):
            data = encode_shard(block.schema, block.schema.variable(name), whole)
        with clock.step("write"):
            open_objects(block.work.store).put(key, data)
        stored_bytes += len(data)
    open_objects(block.work.url).put(block.work.spread_key(block.name), spread.to_bytes())
    receipt = BlockReceipt(
        task.name, block.input_hash, hashes, rows, stored_bytes, clock.rounded(), peak_bytes()
    )
    write_receipt(block.work.receipts, receipt_key(block.key.tile, block.number), receipt)
    return receipt
