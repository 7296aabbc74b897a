"""One block of a tile-year: stored drivers in, whole shards of the product out, and a receipt.

`make_block` is pure; `run_block` is what a worker runs.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import IntegrityError, ModelError
from smcloud.core.memory import peak_bytes
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Array, CubeSchema, Days, Variable, shard_index
from smcloud.cube.store import encode_shard, hash_values, shard_key
from smcloud.features.inputs import BlockInputs
from smcloud.features.sink import FanSink, Sink
from smcloud.features.spec import Flags, Floats32
from smcloud.grids.grid import Window
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import TileYear
from smcloud.models.applicability import Area
from smcloud.models.boosting import Model, StoredSpread, load_model
from smcloud.models.forest import Forest
from smcloud.production.estimators import (
    Predictor,
    encoding_of,
    estimator_of,
    half_widths_of,
    put_estimates,
    put_half_widths,
)
from smcloud.production.judgement import Judgement
from smcloud.production.lanes import take_turn

log = logging.getLogger(__name__)

FORMAT = 1
STEPS = ("read", "features", "predict", "encode", "write")


class Reader(Protocol):
    """What a block needs of a reader of features."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""

    def read(self, window: Window, days: Days, points: NDArray[np.intp]) -> BlockInputs:
        """Return the stored inputs of a block."""

    def compute_into(self, inputs: BlockInputs, days: slice, sink: Sink) -> Flags:
        """Hand the columns of a slab of days to `sink` and return their flags."""


@dataclass(frozen=True)
class BlockTask:
    """One block to produce: URLs, keys and records, never data."""

    key: TileYear
    number: int
    """Position of the block in its tile, counted row by row from the north-west."""
    window: Window
    """The whole shard, in global pixels."""
    part: Window
    """Pixels of the tile that the run produces; the others of the block are fill."""
    reader: Reader
    models: str
    model: str
    model_sha256: str
    """Of everything that the model consists of (`ModelCard.whole_sha256`)."""
    schema: CubeSchema
    target: str
    no_estimate_where: int
    """Quality bits of the features under which a pixel-day gets no estimate."""
    step_days: int
    read_ahead: bool
    """Whether the worker reads its next block while this one is computed."""
    store: str
    receipts: str
    input_hash: str
    expected: Mapping[str, str] = field(default_factory=dict)
    """Hash by shard that a repair must reproduce; empty for a first production."""

    @property
    def name(self) -> str:
        """Return the readable key, as ``produce-h25v05-2019-b07``."""
        return f"produce-{self.key.tile}-{self.key.year}-b{self.number:02d}"

    @property
    def receipt_key(self) -> str:
        """Return the key of the receipt below `receipts`."""
        return receipt_key(self.key.tile, self.number)


@dataclass(frozen=True)
class BlockReceipt:
    """What a worker says about the block that it wrote."""

    block: str
    input_hash: str
    shards: Mapping[str, str]
    """Object key of each shard, and the sha256 of its decoded values."""
    rows: int
    """Pixel-days that were estimated or refused: land pixels times days."""
    stored_bytes: int
    seconds: Mapping[str, float]
    """Seconds of each step: read, features, predict, encode, write."""
    peak_bytes: int
    """Peak resident memory of the worker process, up to the block's end."""


@dataclass(frozen=True)
class BlockArrays:
    """The stored integers of one block, (days, rows, cols) by variable, and how long it took."""

    values: Mapping[str, Array]
    rows: int
    seconds: Mapping[str, float]


def receipt_key(tile: str, number: int) -> str:
    """Return the key of a block's receipt below the receipts of its version."""
    return f"{tile}-b{number:02d}.json"


def land_points(window: Window, part: Window) -> NDArray[np.intp]:
    """Return the flat indices within `window` of the land pixels that lie in `part`, ascending."""
    inside = window.intersect(part)
    if inside is None:
        return np.array([], np.intp)
    wanted = np.zeros(window.shape, np.bool_)
    wanted[inside.within(window)] = land_mask(inside)
    return np.flatnonzero(wanted)


def make_block(
    reader: Reader,
    inputs: BlockInputs,
    model: Forest | Predictor,
    schema: CubeSchema,
    target: str,
    step_days: int,
    no_estimate_where: int,
    *,
    spread: StoredSpread | None = None,
    area: Area | None = None,
) -> BlockArrays:
    """Return the packed product of one block; pixels that are not in `inputs.points` are fill.

    Parameters
    ----------
    inputs
        What `reader.read` returned for the days of the year.
    step_days
        Days whose features are in memory at once; it does not change the result.
    model
        The evaluator, which takes codes, or a library's model, which takes floats.
    no_estimate_where
        Quality bits of the features under which there is no estimate. Other gaps, such as clouds,
        are the model's business: it has seen them in training.
    spread
        Tells the half widths of intervals, if the schema has a variable for them; it is fed by the
        same pass of features.
    area
        Of applicability; without one no pixel is outside.
    """
    clock = Clock()
    days, points = inputs.days, inputs.points
    slabs = [
        slice(start, min(start + step_days, len(days))) for start in range(0, len(days), step_days)
    ]
    forests = (model, *([spread.forest] if spread else []))
    size = len(reader.names), slabs[0].stop, len(points)
    estimators = [estimator_of(forest, *size) for forest in forests]
    judgement = Judgement(days, reader.names, len(points), area)
    block = _Stored(schema, target, no_estimate_where, inputs, spread)
    for slab in slabs:
        with clock.step("features"):
            sinks: list[Sink] = [one.begin(slab.stop - slab.start) for one in estimators]
            judged = judgement.begin(slab)
            sinks += [] if judged is None else [judged]
            flags = reader.compute_into(inputs, slab, FanSink(sinks) if sinks[1:] else sinks[0])
        with clock.step("predict"):
            found = [one.estimates().reshape(flags.shape) for one in estimators]
            judgement.judge(flags)
        with clock.step("encode"):
            block.put(slab, found, flags)
    judgement.raise_into(block.raised, points)
    return BlockArrays(block.values(), len(days) * len(points), clock.seconds)


class _Stored:
    """The variables of a block while they are filled: (days, pixels), slab after slab."""

    def __init__(
        self,
        schema: CubeSchema,
        target: str,
        no_estimate_where: int,
        inputs: BlockInputs,
        spread: StoredSpread | None,
    ) -> None:
        self._inputs = inputs
        names = (target, *beside(schema, target))
        self._arrays = {name: self._fill(schema.variable(name)) for name in names}
        self.estimates, self.raised = (self._arrays[name] for name in names[:2])
        variable = schema.variable(target)
        self._encoding = encoding_of(variable, no_estimate_where)
        self._half_widths = None
        if spread is not None:
            self._half_widths = half_widths_of(schema.variable(names[2]), variable, spread)
            self._widths = self._arrays[names[2]]

    def _fill(self, variable: Variable) -> Array:
        pixels = self._inputs.window.shape[0] * self._inputs.window.shape[1]
        return np.full((len(self._inputs.days), pixels), variable.fill_value, variable.dtype)

    def put(self, slab: slice, found: Sequence[Floats32], flags: Flags) -> None:
        """Store the estimates of a slab, and their half widths where there are spreads."""
        points, stored = self._inputs.points, self.estimates[slab]
        put_estimates(found[0], flags, points, self._encoding, stored, self.raised[slab])
        if self._half_widths is not None:
            put_half_widths(found[1], points, self._half_widths, stored, self._widths[slab])

    def values(self) -> dict[str, Array]:
        """Return every variable, (days, rows, cols)."""
        shape = len(self._inputs.days), *self._inputs.window.shape
        return {name: array.reshape(shape) for name, array in self._arrays.items()}


def beside(schema: CubeSchema, target: str) -> tuple[str, ...]:
    """Return the variables that CF attaches to the target: the flag, and its half width if any."""
    return tuple(str(schema.variable(target).attrs["ancillary_variables"]).split())


def run_block(task: BlockTask) -> BlockReceipt:
    """Produce one block on a worker: write its shards, then its receipt.

    Raises
    ------
    CubeError, NotFoundError
        If a driver is not what it must be.
    ModelError
        If the stored model is not the one that the plan was made for.
    IntegrityError
        If a repair comes to other values than those in the ledger; nothing is written then.
    StoreError
        If the store refuses or is full.
    """
    model = _model(task.models, task.model, task.model_sha256)
    days = task.schema.times(task.key.year)
    clock = Clock()
    with take_turn(overlap=task.read_ahead) as turn:
        with clock.step("read"):
            inputs = task.reader.read(task.window, days, land_points(task.window, task.part))
        turn.compute()
        made = make_block(
            task.reader,
            inputs,
            model.forest,
            task.schema,
            task.target,
            task.step_days,
            task.no_estimate_where,
            spread=model.spread,
            area=Area.from_data(model.area) if model.area else None,
        )
        del inputs
        clock.add(made.seconds)
        hashes = {_shard_key(task, name): hash_values(v) for name, v in made.values.items()}
        check_repair(task.name, task.expected, hashes)
        turn.write()
        stored_bytes = _write(task, made, clock)
        receipt = BlockReceipt(
            task.name,
            task.input_hash,
            hashes,
            made.rows,
            stored_bytes,
            clock.rounded(),
            peak_bytes(),
        )
        write_receipt(task.receipts, task.receipt_key, receipt)
    return receipt


def _shard_key(task: BlockTask, variable: str) -> str:
    return shard_key(variable, shard_index(task.schema, task.window, 0))


def _write(task: BlockTask, made: BlockArrays, clock: "Clock") -> int:
    """Store the shards of a block, one variable after another; return their bytes."""
    stored_bytes = 0
    for name, values in made.values.items():
        with clock.step("encode"):
            data = encode_shard(task.schema, task.schema.variable(name), values)
        with clock.step("write"):
            open_objects(task.store).put(_shard_key(task, name), data)
        stored_bytes += len(data)
    return stored_bytes


def warm_up(models: str, name: str, sha256: str) -> None:
    """Load a model and compile, or load from the cache, what evaluates it; once per process."""
    model = _model(models, name, sha256)
    model.forest.warm_up()
    if model.spread is not None:
        model.spread.forest.warm_up()
    if model.area:
        area = Area.from_data(model.area)
        area.outside(np.full((area.means.size, 1), np.nan, np.float32))


def write_receipt(url: str, key: str, receipt: BlockReceipt) -> None:
    """Store a block's receipt: the last thing its task does."""
    body = json.dumps({"format": FORMAT, **asdict(receipt)}, sort_keys=True, indent=1)
    open_objects(url).put(key, body.encode())


def read_receipt(url: str, key: str) -> BlockReceipt | None:
    """Return a stored receipt; None if it is unreadable or of another format."""
    try:
        body = json.loads(open_objects(url).get(key))
        return BlockReceipt(**body) if body.pop("format") == FORMAT else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@lru_cache(maxsize=2)
def _model(models: str, name: str, sha256: str) -> Model:
    """Load a model once per process; the hash is part of the key, so another one is loaded anew."""
    model = load_model(open_objects(models), name)
    if model.card.whole_sha256 != sha256:
        raise ModelError(
            f"model {name!r} was replaced while the run was going on: expected sha256 "
            f"{sha256[:12]}, found {model.card.whole_sha256[:12]}; run the same command again"
        )
    return model


def check_repair(name: str, expected: Mapping[str, str], hashes: Mapping[str, str]) -> None:
    """Raise IntegrityError unless every shard that is expected comes out with its hash."""
    differing = sorted(key for key, sha in expected.items() if hashes.get(key) != sha)
    if differing:
        raise IntegrityError(
            f"{name}: {differing[0]} comes out with other values than the ledger holds, so it "
            "cannot be restored: drivers, model or software changed since; published data stay as "
            "they are, and `smcloud produce --redo all` writes a new version"
        )


class Clock:
    """Adds up the seconds of named steps."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the seconds that the body takes to one step."""
        started = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - started

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add the seconds of another clock."""
        for name, value in seconds.items():
            self.seconds[name] += value

    def rounded(self) -> dict[str, float]:
        """Return the seconds by step, to a tenth of a millisecond."""
        return {name: round(value, 4) for name, value in self.seconds.items()}


def copy_block(
    source: str, store: str, receipts: str, key: str, receipt: BlockReceipt
) -> BlockReceipt:
    """Copy the shards that `receipt` names from one version's store to another, then leave it."""
    old, new = open_objects(source), open_objects(store)
    for shard in sorted(receipt.shards):
        new.copy_from(old, shard)
    write_receipt(receipts, key, receipt)
    return receipt
