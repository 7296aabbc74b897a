"""What the passes of a downscaled year take, task by task, and how far they are.

A task of the first guess leaves a receipt of its block. Those of the passes between it and the
blocks leave one here, so that the cost of a year is that of all its passes, and so that a run that
was killed forgets nothing of it.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from smcloud.core.layout import join
from smcloud.core.memory import peak_bytes
from smcloud.core.objects import Objects, in_order, open_objects
from smcloud.grids.tiles import GLOBE
from smcloud.production.block import BlockReceipt, read_receipt
from smcloud.production.first_guess import Work

T = TypeVar("T")

Pass = Literal["first guess", "sum", "anchor", "visit"]
PASSES: tuple[Pass, ...] = ("first guess", "sum", "anchor", "visit")
"""Before the blocks are finished, in their order."""
FORMAT = 1
FOLDER = "passes"
EXTENT = f"{FOLDER}/extent.json"
SETTLED = "nodes/settled/"


def figure_of(name: Pass) -> str:
    """Return the name of the core-seconds of a pass in a record of the ledger."""
    return f"seconds_{name.replace(' ', '_')}"


@dataclass(frozen=True)
class PassReceipt:
    """What one task of a pass took."""

    name: Pass
    tile: str
    """``globe`` for a task of the whole region."""
    rows: int
    """Pixel-days that went through it."""
    seconds: float
    peak_bytes: int
    """Peak resident memory of the worker process, up to the task's end."""


@dataclass(frozen=True)
class CountedTask(Generic[T]):
    """A task of a pass and where its receipt goes."""

    function: Callable[[Any], T]
    argument: Any
    name: Pass
    tile: str
    rows: int
    work: Work
    key: str
    """Of the receipt, below the folder of the pass."""


def run_counted(task: CountedTask[T]) -> tuple[T, PassReceipt]:
    """Do a task on a worker; leave its receipt last, and return it beside the result."""
    started = time.perf_counter()
    found = task.function(task.argument)
    seconds = round(time.perf_counter() - started, 4)
    receipt = PassReceipt(task.name, task.tile, task.rows, seconds, peak_bytes())
    body = json.dumps({"format": FORMAT, **asdict(receipt)}, sort_keys=True, indent=1)
    open_objects(task.work.url).put(f"{FOLDER}/{task.name}/{task.key}.json", body.encode())
    return found, receipt


def read_receipts(work: Work) -> list[PassReceipt]:
    """Return the receipts of all passes of a version, first guesses included; in order of keys."""
    objects = open_objects(work.url)
    keys = [info.key for name in PASSES for info in objects.list(f"{FOLDER}/{name}/")]
    guesses = [info.key for info in open_objects(work.receipts).list()]
    calls: list[Callable[[], PassReceipt | None]] = [
        *(partial(_guess_receipt, work, key) for key in guesses),
        *(partial(_receipt, objects, key) for key in keys),
    ]
    return [receipt for receipt in in_order(calls) if receipt is not None]


def _receipt(objects: Objects, key: str) -> PassReceipt | None:
    try:
        body = json.loads(objects.get(key))
        return PassReceipt(**body) if body.pop("format") == FORMAT else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _guess_receipt(work: Work, key: str) -> PassReceipt | None:
    found = read_receipt(work.receipts, key)
    return None if found is None else of_guess(found)


def of_guess(receipt: BlockReceipt) -> PassReceipt:
    """Return what the first guess of a block took, from the receipt that its task leaves."""
    _, tile, _, _ = receipt.block.split("-")
    seconds = round(sum(receipt.seconds.values()), 4)
    return PassReceipt("first guess", tile, receipt.rows, seconds, receipt.peak_bytes)


def seconds_of(receipts: Iterable[PassReceipt]) -> dict[str, float]:
    """Return the core-seconds of each pass, in their order."""
    found = dict.fromkeys(PASSES, 0.0)
    for receipt in receipts:
        found[receipt.name] += receipt.seconds
    return {name: round(seconds, 4) for name, seconds in found.items()}


def figures_of(
    receipts: Iterable[PassReceipt], tile: str, rows_by_tile: Mapping[str, int]
) -> dict[str, float]:
    """Return what a tile's record says of the passes: core-seconds of each, and the peak bytes.

    Of tasks of the whole region a tile has the share that it has of the pixel-days.
    """
    share = rows_by_tile[tile] / max(sum(rows_by_tile.values()), 1)
    found = {figure_of(name): 0.0 for name in PASSES}
    peak = 0
    for receipt in receipts:
        if receipt.tile in (tile, GLOBE):
            part = 1.0 if receipt.tile == tile else share
            found[figure_of(receipt.name)] += part * receipt.seconds
            peak = max(peak, receipt.peak_bytes)
    return {**{name: round(seconds, 4) for name, seconds in found.items()}, "peak_bytes": peak}


@dataclass(frozen=True)
class Extent:
    """How much work the passes of a year are.

    Attributes
    ----------
    blocks : mapping
        Blocks with land of each tile.
    slabs : int
        Slabs of days.
    """

    blocks: Mapping[str, int]
    slabs: int


def write_extent(work: Work, extent: Extent) -> None:
    """Store how much work there is, for whoever asks how far it is."""
    open_objects(work.url).put(EXTENT, json.dumps(asdict(extent), sort_keys=True).encode())


@dataclass(frozen=True)
class Progress:
    """How far one pass of a version is in one tile, or in the region.

    Attributes
    ----------
    version : str
    name : str
    tile : str
        ``globe`` for the anchors, which are of the whole region.
    done, of : int
        Blocks, or slabs of days; `of` is 0 for visits, whose number is known when they are over.
    """

    version: str
    name: Pass
    tile: str
    done: int
    of: int


def progress_of(folder: str, published: Collection[str]) -> tuple[list[Progress], dict[str, int]]:
    """Return how far the passes of a year are, and the bytes below the work of each version.

    Parameters
    ----------
    folder
        Prefix of the work of a product and year.
    published
        Versions that readers have or had: the nodes that are kept of them are no progress.
    """
    found: dict[str, dict[str, int]] = {}
    for info in open_objects(folder).list():
        version, _, key = info.key.partition("/")
        if version not in published:
            found.setdefault(version, {})[key] = info.size
    rows = [
        one
        for version, sizes in sorted(found.items())
        if EXTENT in sizes
        for one in _of_version(join(folder, version), version, sizes)
    ]
    return rows, {version: sum(sizes.values()) for version, sizes in found.items()}


def _of_version(url: str, version: str, keys: Collection[str]) -> Iterator[Progress]:
    extent = Extent(**json.loads(open_objects(url).get(EXTENT)))
    for name in PASSES:
        if name == "anchor":
            settled = sum(key.startswith(SETTLED) for key in keys)
            yield Progress(version, name, GLOBE, settled, extent.slabs)
            continue
        done = _blocks_done(keys, name)
        for tile, blocks in sorted(extent.blocks.items()):
            yield Progress(version, name, tile, done[tile], 0 if name == "visit" else blocks)


def _blocks_done(keys: Collection[str], name: Pass) -> Counter[str]:
    """Return the blocks of each tile with a receipt of a pass; each visit of a block counts."""
    if name == "first guess":
        folder = "receipts/"
        names = {key.removeprefix(folder) for key in keys if key.startswith(folder)}
        return Counter(one.partition("-")[0] for one in names)
    folder = f"{FOLDER}/{name}/"
    names = {key.removeprefix(folder) for key in keys if key.startswith(folder)}
    # After -s come slabs of days: a run that was killed may have summed the same block before.
    return Counter(one.split("-")[1] for one in {one.partition("-s")[0] for one in names})
