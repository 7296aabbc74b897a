"""The compiled loops of the bit-sliced evaluator; `docs/design/forest.md` tells how they work.

Addresses are passed to the vector code without any check: every array here is allocated by
`forest`, 64-byte aligned, and as long as its tables say.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.models.forest_vectors import (
    MASK_BYTES,
    ROWS,
    SLICES,
    WORDS,
    byte_of_row,
    choose_slice,
    running_union,
    slices_to_bytes,
    tree_slices,
)

Array = NDArray[Any]
Floats = NDArray[np.float32]
Codes = NDArray[Any]
"""Unsigned integers of 1 or 2 bytes."""
Slots = NDArray[np.uint32]

AT_ONCE = 16
"""Trees whose leaf numbers are kept before their leaves are added: they and the leaves fit L1."""
MAX_LEVELS = 8
"""Levels of a tree, or of the subtrees of a deeper one, that are unrolled."""

PIECE_ROWS = 8 * ROWS
"""Rows whose codes and sums are kept while group after group of trees is added."""
ROW_PLACES = np.array([byte_of_row(row) for row in range(ROWS)], np.intp)


class Cuts(NamedTuple):
    """How values become codes: the number of a feature's cuts at or below a value.

    Attributes
    ----------
    cuts : float32 (n_features, n)
        Ascending, padded with NaN, to which no value compares.
    counts : intp (n_features,)
        Cuts of each feature. The code of an unknown value is one more.
    lows, scales : float32 (n_features,)
        ``(x - low) * scale`` is the cell of a value.
    firsts : uint16 (n_features, cells + 1)
        Code of the lowest value of each cell; the last one is that of unknown values.
    steps : intp (n_features,)
        Halvings that find the code within a cell.
    """

    cuts: NDArray[np.float32]
    counts: NDArray[np.intp]
    lows: NDArray[np.float32]
    scales: NDArray[np.float32]
    firsts: NDArray[np.uint16]
    steps: NDArray[np.intp]


class Group(NamedTuple):
    """Consecutive trees whose masks fit the cache together.

    Attributes
    ----------
    counts : intp (n_features,)
        Cuts of each feature in these trees.
    rights, lefts : intp (n_features,)
        First row mask of each feature where unknown goes right, or left; -1 where no tree asks.
    slots : uint32 (n_trees, subtrees, nodes)
        Byte offset of the mask of each node of a subtree, breadth first.
    leaves : float32 or float64 (n_outputs, n_trees, leaves)
    n_rows : int
        Row masks of the group; the first one is empty.
    """

    counts: NDArray[np.intp]
    rights: NDArray[np.intp]
    lefts: NDArray[np.intp]
    slots: Slots
    leaves: NDArray[Any]
    n_rows: int


class Scratch(NamedTuple):
    """Memory of one thread.

    Attributes
    ----------
    masks : uint64 (n_rows, 8)
    events : uint64 (most codes, 8)
        Which rows have each code of the feature at work.
    codes : uint16 (512,)
        Codes of a group.
    all_codes : uint8 or uint16 (n_features, rows)
        Codes of the whole forest.
    cells : int32 (512,)
    slices : uint64 (subtrees, 8 + levels above them, 8)
    low, high : uint8 (512,)
    numbers : uint8 or uint16 (16, 512)
        Leaf numbers of the trees at work, in the order of `ROW_PLACES`.
    """

    masks: NDArray[np.uint64]
    events: NDArray[np.uint64]
    codes: NDArray[np.uint16]
    all_codes: NDArray[Any]
    cells: NDArray[np.int32]
    slices: NDArray[np.uint64]
    low: NDArray[np.uint8]
    high: NDArray[np.uint8]
    numbers: NDArray[Any]


@compiled
def find_cells(
    values: Floats, low: np.float32, scale: np.float32, top: int, cells: NDArray[np.int32]
) -> None:
    """Write the cell of each value; unknown ones get the cell behind the last.

    Subtraction and multiplication round monotonically, so that a value in a lower cell is lower:
    that alone makes the codes exact, whatever the rounding.
    """
    zero = np.float32(0)
    last = np.float32(top - 1)
    for r in range(values.shape[0]):
        place = (values[r] - low) * scale
        place = place if place > zero else zero
        place = place if place < last else last
        cell = np.int32(place)
        cells[r] = cell if values[r] == values[r] else np.int32(top)


@compiled
def find_codes(
    values: Floats,
    cells: NDArray[np.int32],
    firsts: NDArray[np.uint16],
    cuts: Floats,
    steps: int,
    codes: Codes,
) -> None:
    """Write the code of each value: halvings from the first code of its cell."""
    if steps == 1:
        for r in range(values.shape[0]):
            code = np.uint64(firsts[np.uint64(cells[r])])
            codes[r] = code + np.uint64(cuts[code] <= values[r])
        return
    for r in range(values.shape[0]):
        code = np.uint64(firsts[np.uint64(cells[r])])
        for step in range(steps):
            half = np.uint64(1) << np.uint64(steps - 1 - step)
            is_above = np.uint64(cuts[code + half - np.uint64(1)] <= values[r])
            code += half * is_above
        codes[r] = code


@compiled
def encode_column(
    values: Floats, feature: int, known: Cuts, cells: NDArray[np.int32], codes: Codes
) -> None:
    """Write the codes of one feature's values, any number of them."""
    top = known.firsts.shape[1] - 1
    for start in range(0, values.shape[0], ROWS):
        piece = values[start : start + ROWS]
        find_cells(piece, known.lows[feature], known.scales[feature], top, cells)
        find_codes(
            piece,
            cells,
            known.firsts[feature],
            known.cuts[feature],
            known.steps[feature],
            codes[start : start + ROWS],
        )


@compiled
def encode_columns(
    columns: Floats, first: int, stop: int, known: Cuts, cells: NDArray[np.int32], codes: Codes
) -> None:
    """Write the codes of rows [first, stop) of every feature to the first columns of `codes`."""
    for feature in range(columns.shape[0]):
        if known.counts[feature]:
            values = columns[feature, first:stop]
            encode_column(values, feature, known, cells, codes[feature, : stop - first])


@compiled
def build_masks(codes: Codes, feature: int, group: Group, scratch: Scratch) -> None:
    """Write the masks of one feature for up to 512 rows: which rows lie below each cut."""
    events = scratch.events
    count = group.counts[feature]
    events[: count + 2] = 0
    flat = events.reshape(-1)
    whole = codes.shape[0] // WORDS
    for bit in range(whole):
        one = np.uint64(1) << np.uint64(bit)
        for word in range(WORDS):
            code = np.uint64(codes[np.uint64(bit * WORDS + word)])
            flat[code * np.uint64(WORDS) + np.uint64(word)] |= one
    for row in range(whole * WORDS, codes.shape[0]):
        code = np.uint64(codes[row])
        flat[code * np.uint64(WORDS) + np.uint64(row % WORDS)] |= np.uint64(1) << np.uint64(whole)
    rows = np.intp(events.ctypes.data)
    empty = np.intp(scratch.masks.ctypes.data)
    if group.rights[feature] >= 0:
        out = np.intp(empty + group.rights[feature] * MASK_BYTES)
        running_union(empty, rows, np.intp(count), out)
    if group.lefts[feature] >= 0:
        out = np.intp(empty + group.lefts[feature] * MASK_BYTES)
        unknown = np.intp(rows + (count + 1) * MASK_BYTES)
        running_union(unknown, rows, np.intp(count), out)


@compiled
def number_deep_leaves(
    slots: Slots, tops: Slots, scratch: Scratch, numbers: Codes, levels: tuple[int, ...]
) -> None:
    """Write the leaf number of each row in one tree whose subtrees have 8 levels each.

    From the bottom up, each node above the subtrees chooses between the slices of its two
    children and adds its own mask as a further slice.
    """
    masks = np.intp(scratch.masks.ctypes.data)
    n_subtrees = slots.shape[0]
    pitch = scratch.slices.shape[1] * MASK_BYTES
    slices = np.intp(scratch.slices.ctypes.data)
    for subtree in range(n_subtrees):
        place = np.intp(slots[subtree].ctypes.data)
        tree_slices(masks, place, np.intp(slices + subtree * pitch), levels)
    n_slices = SLICES
    width = int(n_subtrees)
    while width > 1:
        width //= 2
        for node in range(width):
            offset = np.int64(tops[width - 1 + node])
            mask = np.intp(masks + offset)
            left = slices + 2 * node * pitch
            chosen = slices + node * pitch
            for k in range(n_slices):
                at = k * MASK_BYTES
                choose_slice(
                    mask, np.intp(left + at), np.intp(left + pitch + at), np.intp(chosen + at)
                )
            scratch.slices[node, n_slices] = scratch.masks[offset // MASK_BYTES]
        n_slices += 1
    scratch.slices[0, n_slices:] = 0
    slices_to_bytes(slices, np.intp(scratch.low.ctypes.data))
    slices_to_bytes(np.intp(slices + SLICES * MASK_BYTES), np.intp(scratch.high.ctypes.data))
    for row in range(ROWS):
        numbers[row] = np.uint16(scratch.low[row]) | np.uint16(np.uint16(scratch.high[row]) << 8)


@compiled
def add_leaves(leaves: Array, last: int, numbers: Codes, sums: Array) -> None:
    """Add the leaves of the trees whose numbers are kept, the last of them being tree `last`."""
    some = last % AT_ONCE + 1
    first = last + 1 - some
    for output in range(sums.shape[0]):
        if some == AT_ONCE:
            add_in_order(leaves[output, first:], numbers, AT_ONCE, sums[output])
        else:
            add_in_order(leaves[output, first:], numbers, some, sums[output])


@compiled
def add_in_order(leaves: Array, numbers: Codes, n_trees: int, sums: Array) -> None:
    """Add one leaf of each tree to the sum of each row, tree after tree, two rows at a time."""
    n_leaves = np.uint64(leaves.shape[1])
    flat = leaves.reshape(-1)
    every = numbers.reshape(-1)
    for row in range(0, ROWS, 2):
        first = sums[row]
        second = sums[row + 1]
        for tree in range(n_trees):
            place = np.uint64(tree * ROWS + row)
            leaf = np.uint64(tree) * n_leaves
            first += flat[leaf + np.uint64(every[place])]
            second += flat[leaf + np.uint64(every[place + np.uint64(1)])]
        sums[row] = first
        sums[row + 1] = second


@compiled
def code_of_group(codes: Codes, feature: int, maps: NDArray[np.uint16], own: Codes) -> None:
    """Write a group's own codes of one feature, given those of the whole forest."""
    for row in range(codes.shape[0]):
        own[row] = maps[feature, codes[row]]


@compiled
def add_group(
    codes: Codes,
    first: int,
    stop: int,
    maps: NDArray[np.uint16] | None,
    group: Group,
    tops: Slots | None,
    scratch: Scratch,
    sums: Array,
    levels: tuple[int, ...],
) -> None:
    """Add a group's trees to the sums (blocks, n_outputs, 512) of rows [first, stop) of codes.

    `maps` is None for the only group of a forest, `tops` for trees of at most 8 levels: numba
    then leaves out what belongs to the others, above all a second copy of the unrolled tree.
    """
    masks = np.intp(scratch.masks.ctypes.data)
    slices = np.intp(scratch.slices.ctypes.data)
    n_trees = group.slots.shape[0]
    for start in range(first, stop, ROWS):
        end = min(start + ROWS, stop)
        for feature in range(codes.shape[0]):
            if group.counts[feature] == 0:
                continue
            known = codes[feature, start:end]
            if maps is None:
                build_masks(known, feature, group, scratch)
            else:
                own = scratch.codes[: end - start]
                code_of_group(known, feature, maps, own)
                build_masks(own, feature, group, scratch)
        for tree in range(n_trees):
            numbers = scratch.numbers[tree % AT_ONCE]
            if tops is None:
                tree_slices(masks, np.intp(group.slots[tree].ctypes.data), slices, levels)
                slices_to_bytes(slices, np.intp(numbers.ctypes.data))
            else:
                number_deep_leaves(group.slots[tree], tops[tree], scratch, numbers, levels)
            if tree % AT_ONCE == AT_ONCE - 1 or tree == n_trees - 1:
                add_leaves(group.leaves, tree, scratch.numbers, sums[(start - first) // ROWS])


@compiled
def look_up(stored: Codes, table: Codes, codes: Codes) -> None:
    """Write the table's entry of each stored integer, by its unsigned bits."""
    for row in range(stored.shape[0]):
        codes[row] = table[stored[row]]


@compiled
def put_in_order(
    sums: Array, places: NDArray[np.intp], divisor: np.floating[Any], out: Array
) -> None:
    """Write the sums (blocks, n_outputs, 512) to `out` (n_rows, n_outputs), rows in their order."""
    for row in range(out.shape[0]):
        block, place = row // ROWS, places[row % ROWS]
        for output in range(out.shape[1]):
            out[row, output] = sums[block, output, place] / divisor
