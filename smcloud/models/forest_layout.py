"""How trees lie in memory for the bit-sliced evaluator: cuts, masks, slots and leaves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.models.forest_kernel import (
    AT_ONCE,
    MAX_LEVELS,
    PIECE_ROWS,
    Cuts,
    Group,
    Scratch,
    find_cells,
)
from smcloud.models.forest_trees import LEAF, Ensemble, NoFitError, Tree
from smcloud.models.forest_vectors import MASK_BYTES, ROWS, SLICES, WORDS

DEEPEST = 12
GROUP_BYTES = 2**20
"""Row masks of trees that are evaluated together: they stay in the second-level cache."""
CELLS = 2**11
MOST_CELLS = 2**13
"""More would outgrow the first-level cache: further halvings are faster."""
MOST_STEPS = 2
MOST_CODES = 2**16
EMPTY_ROW = 0

Splits = NDArray[np.int64]
_RANKS = 2**32
_NO_SPLITS = np.array([], np.int64)


@dataclass(frozen=True, eq=False)
class Part:
    """One group of trees, and what the compiler leaves out where it is None.

    Attributes
    ----------
    group : Group
    maps : uint16 (n_features, codes)
        The group's own codes by code of the forest; None for an only group, whose codes are those.
    tops : uint32 (n_trees, subtrees - 1)
        Byte offset of the mask of each node above the subtrees; None where there is none.
    """

    group: Group
    maps: NDArray[np.uint16] | None
    tops: NDArray[np.uint32] | None


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything that the kernel reads.

    Attributes
    ----------
    cuts : Cuts
        Of all trees together: by them values become codes.
    parts : tuple of Part
        In the order in which their leaves are added.
    levels : int
        Unrolled levels of every tree or subtree.
    """

    cuts: Cuts
    parts: tuple[Part, ...]
    levels: int

    @property
    def unrolled(self) -> tuple[int, ...]:
        """Return a tuple as long as there are levels: the compiler sees lengths, not values."""
        return (0,) * self.levels

    @property
    def code_dtype(self) -> type[np.unsignedinteger[Any]]:
        """Return the type that holds every code."""
        return np.uint8 if _most(self.cuts.counts) + 2 <= 2**8 else np.uint16


def layout_of(ensemble: Ensemble) -> Layout:
    """Return the layout of an ensemble.

    Raises
    ------
    NoFitError
        If a tree is too deep, or a feature has too many cuts.
    """
    depth = max([1, *(tree.levels() for tree in ensemble.trees)])
    if depth > DEEPEST:
        raise NoFitError(f"a tree has {depth} levels, more than {DEEPEST}")
    levels = min(depth, MAX_LEVELS)
    cuts = _cuts_of(_unique_splits(ensemble.trees), ensemble.n_features)
    runs = list(_grouped(ensemble.trees))
    known = cuts if len(runs) > 1 else None
    parts = tuple(_part(trees, ensemble, (levels, depth - levels), known) for trees in runs)
    return Layout(cuts, parts, levels)


def _most(counts: NDArray[np.intp]) -> int:
    return int(counts.max(initial=0))


def _grouped(trees: Sequence[Tree]) -> Iterator[Sequence[Tree]]:
    """Yield runs of trees whose row masks fit the cache; one tree at least."""
    first, known = 0, _NO_SPLITS
    for number, tree in enumerate(trees):
        more = np.union1d(known, _splits(tree))
        if number > first and _n_rows(more) * MASK_BYTES > GROUP_BYTES:
            yield trees[first:number]
            first, more = number, np.unique(_splits(tree))
        known = more
    yield trees[first:]


def _n_rows(splits: Splits) -> int:
    """Return the row masks of splits: every cut of a feature, once for each side in use."""
    cuts = np.bincount(np.unique(splits // 2) // (2 * _RANKS), minlength=1)
    sides = np.unique(splits // 2 // (2 * _RANKS) * 2 + splits % 2) // 2
    return int(cuts @ np.bincount(sides, minlength=len(cuts)))


def _splits(tree: Tree) -> Splits:
    """Return each split as one number: feature, rank of the cut, whether unknown goes left."""
    nodes = tree.splits
    cut = rank_of(tree.cut[nodes]) + _RANKS
    return (tree.feature[nodes] * (2 * _RANKS) + cut) * 2 + tree.unknown_left[nodes]


def _parts(splits: Splits) -> tuple[Splits, Splits, Splits]:
    """Return the features, ranks and sides of splits."""
    cuts = splits // 2
    return cuts // (2 * _RANKS), cuts % (2 * _RANKS) - _RANKS, splits % 2


def rank_of(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return integers in the order of the floats; zeros of both signs are one."""
    bits = np.ascontiguousarray(values + np.float32(0), np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def value_of(ranks: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the floats of ranks."""
    size = np.abs(ranks).astype(np.int32).view(np.float32)
    return np.where(ranks < 0, -size, size)


def _unique_splits(trees: Sequence[Tree]) -> Splits:
    return np.unique(np.concatenate([_NO_SPLITS, *map(_splits, trees)]))


def _by_feature(splits: Splits, n_features: int) -> list[NDArray[np.float32]]:
    """Return the cuts of each feature, ascending."""
    features, ranks, _ = _parts(splits)
    return [value_of(np.unique(ranks[features == number])) for number in range(n_features)]


def _cuts_of(splits: Splits, n_features: int) -> Cuts:
    by_feature = _by_feature(splits, n_features)
    counts = np.array([len(cuts) for cuts in by_feature], np.intp)
    most = _most(counts)
    if most + 2 > MOST_CODES:
        raise NoFitError(f"a feature has {most} cuts, more than {MOST_CODES - 2}")
    cells = CELLS
    while True:
        made = [_cells_of(cuts, cells) for cuts in by_feature]
        steps = np.array([step for *_, step in made], np.intp)
        if cells == MOST_CELLS or steps.max(initial=0) <= MOST_STEPS:
            break
        cells *= 2
    # A search may look one halving beyond the last cut, or beyond the code of unknown values.
    padded = np.full((n_features, most + 2 + 2 ** int(steps.max(initial=0))), np.nan, np.float32)
    for row, cuts in zip(padded, by_feature, strict=True):
        row[: len(cuts)] = cuts
    lows = np.array([low for low, *_ in made], np.float32)
    scales = np.array([scale for _, scale, *_ in made], np.float32)
    firsts = np.stack([first for _, _, first, _ in made]).astype(np.uint16)
    return Cuts(padded, counts, lows, scales, firsts, np.maximum(steps, 1))


def _cells_of(
    cuts: NDArray[np.float32], cells: int
) -> tuple[np.float32, np.float32, NDArray[np.int64], int]:
    """Return low, scale, first code by cell, and halvings within a cell, of one feature."""
    finite = cuts[np.isfinite(cuts)]
    low = finite[0] if finite.size else np.float32(0)
    with np.errstate(over="ignore", divide="ignore"):
        extent = finite[-1] - low if finite.size else np.float32(0)
        scale = np.float32(cells - 1) / extent if extent > 0 else np.float32(1)
    place = np.empty(len(cuts), np.int32)
    find_cells(cuts, low, scale, cells, place)
    first = np.append(np.searchsorted(place, np.arange(cells)), len(cuts) + 1)
    fullest = int(np.bincount(place, minlength=1).max(initial=0))
    return low, scale, first, fullest.bit_length()


def _part(
    trees: Sequence[Tree], ensemble: Ensemble, shape: tuple[int, int], cuts: Cuts | None
) -> Part:
    """Return the layout of one group: unrolled levels, levels above them, and the forest's cuts."""
    levels, above = shape
    splits = _unique_splits(trees)
    by_feature = _by_feature(splits, ensemble.n_features)
    counts = np.array([len(known) for known in by_feature], np.intp)
    rights, lefts, n_rows = _rows_of(splits, counts)
    slots = np.zeros((len(trees), 2**above, 2**levels - 1), np.uint32)
    tops = np.zeros((len(trees), 2**above - 1), np.uint32)
    leaves = np.zeros((ensemble.n_outputs, len(trees), 2 ** (levels + above)), ensemble.start.dtype)
    for number, tree in enumerate(trees):
        rows = _rows_of_nodes(tree, by_feature, rights, lefts)
        _place(tree, rows * MASK_BYTES, slots[number], tops[number], leaves[:, number])
    maps = None if cuts is None else _maps(cuts, by_feature)
    group = Group(counts, rights, lefts, slots, leaves, n_rows)
    return Part(group, maps, tops if above else None)


def _maps(cuts: Cuts, by_feature: Sequence[NDArray[np.float32]]) -> NDArray[np.uint16]:
    maps = np.zeros((len(by_feature), _most(cuts.counts) + 2), np.uint16)
    for row, known, count, own in zip(maps, cuts.cuts, cuts.counts, by_feature, strict=True):
        row[1 : count + 1] = np.searchsorted(own, known[:count], side="right")
        row[count + 1] = len(own) + 1
    return maps


def _rows_of(
    splits: Splits, counts: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return where each feature's masks begin, for unknown right and left, and how many rows."""
    features, _, sides = _parts(splits)
    starts = np.full((2, len(counts)), -1, np.intp)
    n_rows = EMPTY_ROW + 1
    for feature, count in enumerate(counts):
        for side in np.unique(sides[features == feature]):
            starts[side, feature] = n_rows
            n_rows += int(count)
    return starts[0], starts[1], n_rows


def _rows_of_nodes(
    tree: Tree,
    by_feature: Sequence[NDArray[np.float32]],
    rights: NDArray[np.intp],
    lefts: NDArray[np.intp],
) -> NDArray[np.int64]:
    """Return the row mask of each node; the empty one for leaves."""
    rows = np.full(len(tree.left), EMPTY_ROW, np.int64)
    nodes = tree.splits
    features = tree.feature[nodes]
    for feature in np.unique(features):
        some = nodes[features == feature]
        first = np.where(tree.unknown_left[some], lefts[feature], rights[feature])
        rows[some] = first + np.searchsorted(by_feature[feature], tree.cut[some])
    return rows


def _place(
    tree: Tree,
    offsets: NDArray[np.int64],
    slots: NDArray[np.uint32],
    tops: NDArray[np.uint32],
    leaves: NDArray[Any],
) -> None:
    """Write a tree's masks and leaves, level by level.

    Leaf number: one bit a level from the root down, set where a row went left. A leaf above the
    bottom fills the whole subtree below it, whose masks do not matter.
    """
    depth = leaves.shape[1].bit_length() - 1
    first_unrolled = len(slots).bit_length() - 1
    nodes = np.zeros(1, np.int64)
    for level in range(depth):
        if level < first_unrolled:
            tops[2**level - 1 : 2 ** (level + 1) - 1] = offsets[nodes]
        else:
            inside = level - first_unrolled
            slots[:, 2**inside - 1 : 2 ** (inside + 1) - 1] = offsets[nodes].reshape(len(slots), -1)
        is_leaf = tree.left[nodes] == LEAF
        children = np.stack([tree.left[nodes], tree.right[nodes]], axis=1)
        nodes = np.where(is_leaf[:, None], nodes[:, None], children).reshape(-1)
    # Breadth first the leftmost leaf comes first, yet every bit of its number is set.
    leaves[:] = tree.value[nodes[::-1]].T


def scratch_for(layout: Layout) -> Scratch:
    """Return the memory of one thread, aligned to the cache lines that vectors load whole."""
    groups = [part.group for part in layout.parts]
    subtrees = max((group.slots.shape[1] for group in groups), default=1)
    rows = max((group.n_rows for group in groups), default=1)
    n_codes = max((_most(group.counts) for group in groups), default=0) + 2
    return Scratch(
        masks=_aligned((rows, WORDS), np.uint64),
        events=_aligned((n_codes, WORDS), np.uint64),
        codes=_aligned((ROWS,), np.uint16),
        all_codes=_aligned((len(layout.cuts.counts), PIECE_ROWS), layout.code_dtype),
        cells=_aligned((ROWS,), np.int32),
        slices=_aligned((subtrees, 2 * SLICES, WORDS), np.uint64),
        low=_aligned((ROWS,), np.uint8),
        high=_aligned((ROWS,), np.uint8),
        numbers=_aligned((AT_ONCE, ROWS), np.uint8 if subtrees == 1 else np.uint16),
    )


def _aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return zeros whose first byte begins a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + MASK_BYTES, np.uint8)
    first = -memory.ctypes.data % MASK_BYTES
    aligned: NDArray[Any] = memory[first : first + size].view(dtype).reshape(shape)
    return aligned
