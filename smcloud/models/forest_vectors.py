"""Four small pieces of vector code that numba cannot say, emitted as portable LLVM IR.

A *row mask* is 64 bytes: one bit for each of 512 rows, row ``r`` being bit ``r // 8`` of word
``r % 8``. A *slice* is a row mask that holds one bit of each row's leaf number. LLVM turns the
vectors below into AVX-512, AVX2, SSE2 or NEON, whichever the machine that compiles them has.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WORDS = 8
"""64-bit words of a row mask."""
ROWS = 64 * WORDS
"""Rows of a block."""
MASK_BYTES = 8 * WORDS
SLICES = 8
"""Slices that are turned into bytes at once."""

_WORD = ir.IntType(64)
_SLOT = ir.IntType(32)
_SWAPS = ((4, 0x0F0F0F0F0F0F0F0F), (2, 0x3333333333333333), (1, 0x5555555555555555))

Value = Any  # llvmlite has no annotations
Emitted = Callable[..., None]


def lanes_for(features: str) -> int:
    """Return the words per vector for LLVM's CPU features, such as ``+sse2,+avx2,-avx512f``.

    A vector as wide as the registers keeps a tree's 8 bits and its pending branches in them; one
    that is wider is split by LLVM and spilled to the stack.
    """
    has = set(features.split(","))
    if "+avx512f" in has:
        return 8
    return 4 if "+avx2" in has else 2


class _Vectors:
    """Loads, stores and constants of one vector width."""

    def __init__(self, builder: Value, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.type = ir.VectorType(_WORD, lanes)

    def splat(self, word: int) -> Value:
        return ir.Constant(self.type, [word] * self.lanes)

    def _pointer(self, address: Value, offset: int) -> Value:
        moved = self.builder.add(address, ir.Constant(_WORD, offset))
        return self.builder.inttoptr(moved, self.type.as_pointer())

    def load(self, address: Value, offset: int = 0) -> Value:
        found = self.builder.load(self._pointer(address, offset))
        found.align = 8 * self.lanes
        return found

    def store(self, value: Value, address: Value, offset: int = 0) -> None:
        self.builder.store(value, self._pointer(address, offset)).align = 8 * self.lanes

    def choose(self, mask: Value, left: Value, right: Value) -> Value:
        """Return `left` where the bits of `mask` are set, else `right`."""
        b = self.builder
        return b.xor(right, b.and_(mask, b.xor(left, right)))

    def stripes(self) -> range:
        """Return the byte offsets at which vectors of this width cover a row mask."""
        return range(0, MASK_BYTES, 8 * self.lanes)


def emit_tree(builder: Value, args: Sequence[Value], depth: int, lanes: int) -> None:
    """Emit the logic of a whole binary tree; `args` are addresses: masks, slots, slices.

    Bit `k` of the leaf number is the mask of the node at level `k` that the bits before it lead
    to: level by level, each a tree of choices, since then no more than `depth` bits and as many
    pending branches are alive.
    """
    masks, slots, slices = args
    vectors = _Vectors(builder, lanes)
    slot = builder.inttoptr(slots, _SLOT.as_pointer())

    def walk(base: Value, bits: list[Value], node: int, level: int) -> Value:
        if level == len(bits):
            place = builder.load(builder.gep(slot, [ir.Constant(_WORD, node)]))
            return vectors.load(builder.add(base, builder.zext(place, _WORD)))
        left = walk(base, bits, 2 * node + 1, level + 1)
        right = walk(base, bits, 2 * node + 2, level + 1)
        return vectors.choose(bits[level], left, right)

    for stripe in vectors.stripes():
        base = builder.add(masks, ir.Constant(_WORD, stripe))
        bits: list[Value] = []
        for _ in range(depth):
            bits.append(walk(base, bits, 0, 0))
        for level, bit in enumerate(bits):
            vectors.store(bit, slices, (depth - 1 - level) * MASK_BYTES + stripe)
        for empty in range(depth, SLICES):
            vectors.store(vectors.splat(0), slices, empty * MASK_BYTES + stripe)


def emit_bytes(builder: Value, args: Sequence[Value], lanes: int) -> None:
    """Emit the turning of 8 slices into 512 bytes; `args` are addresses: slices, numbers.

    An 8 x 8 bit transpose of every byte column, by 12 swaps of bit groups between registers.
    """
    slices, numbers = args
    vectors = _Vectors(builder, lanes)
    for stripe in vectors.stripes():
        rows = [vectors.load(slices, k * MASK_BYTES + stripe) for k in range(SLICES)]
        for distance, mask in _SWAPS:
            for low in range(SLICES):
                if not low & distance:
                    _swap(vectors, rows, low, low + distance, distance, mask)
        for k, row in enumerate(rows):
            vectors.store(row, numbers, k * MASK_BYTES + stripe)


def _swap(
    vectors: _Vectors, rows: list[Value], low: int, high: int, distance: int, mask: int
) -> None:
    b, by = vectors.builder, vectors.splat(distance)
    differing = b.and_(b.xor(b.lshr(rows[low], by), rows[high]), vectors.splat(mask))
    rows[high] = b.xor(rows[high], differing)
    rows[low] = b.xor(rows[low], b.shl(differing, by))


def emit_choice(builder: Value, args: Sequence[Value], lanes: int) -> None:
    """Emit one choice between two slices; `args` are addresses: mask, left, right, chosen."""
    mask, left, right, chosen = args
    vectors = _Vectors(builder, lanes)
    for stripe in vectors.stripes():
        found = vectors.choose(*(vectors.load(address, stripe) for address in (mask, left, right)))
        vectors.store(found, chosen, stripe)


def emit_running_union(builder: Value, args: Sequence[Value], lanes: int) -> None:
    """Emit ``out[j] = first | rows[0] | .. | rows[j]``; `args`: first, rows, count, out.

    All but the count are addresses. The union stays in registers from row to row.
    """
    first, rows, count, out = args
    vectors = _Vectors(builder, lanes)
    stripes = vectors.stripes()
    start = [vectors.load(first, stripe) for stripe in stripes]
    entry = builder.block
    head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    row = builder.phi(_WORD)
    union = [builder.phi(vectors.type) for _ in stripes]
    builder.cbranch(builder.icmp_signed("<", row, count), body, done)
    builder.position_at_end(body)
    offset = builder.mul(row, ir.Constant(_WORD, MASK_BYTES))
    source, target = builder.add(rows, offset), builder.add(out, offset)
    grown = [
        builder.or_(so_far, vectors.load(source, stripe))
        for so_far, stripe in zip(union, stripes, strict=True)
    ]
    for value, stripe in zip(grown, stripes, strict=True):
        vectors.store(value, target, stripe)
    row.add_incoming(ir.Constant(_WORD, 0), entry)
    row.add_incoming(builder.add(row, ir.Constant(_WORD, 1)), body)
    for so_far, before, after in zip(union, start, grown, strict=True):
        so_far.add_incoming(before, entry)
        so_far.add_incoming(after, body)
    builder.branch(head)
    builder.position_at_end(done)


def _lanes(context: Value) -> int:
    """Return the vector width for the CPU that numba compiles for."""
    _, _, features = context.codegen().magic_tuple()
    return lanes_for(features)


def _type_tree_slices(
    typing_context: Any, masks: Any, slots: Any, slices: Any, levels: Any
) -> tuple[Any, Any]:
    """Write the slices of one tree's leaf numbers; `levels` is a tuple as long as it is deep."""

    def codegen(context: Value, builder: Value, signature: Value, args: Value) -> Value:
        emit_tree(builder, args[:3], len(levels), _lanes(context))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, levels), codegen


def _type_slices_to_bytes(typing_context: Any, slices: Any, numbers: Any) -> tuple[Any, Any]:
    """Write the 512 bytes that 8 slices hold, in the order of `byte_of_row`."""

    def codegen(context: Value, builder: Value, signature: Value, args: Value) -> Value:
        emit_bytes(builder, args, _lanes(context))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


def _type_choose_slice(
    typing_context: Any, mask: Any, left: Any, right: Any, chosen: Any
) -> tuple[Any, Any]:
    """Write the slice that is `left` where the mask is set, else `right`."""

    def codegen(context: Value, builder: Value, signature: Value, args: Value) -> Value:
        emit_choice(builder, args, _lanes(context))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), codegen


def _type_running_union(
    typing_context: Any, first: Any, rows: Any, count: Any, out: Any
) -> tuple[Any, Any]:
    """Write ``out[j] = first | rows[0] | .. | rows[j]`` for each of `count` row masks."""

    def codegen(context: Value, builder: Value, signature: Value, args: Value) -> Value:
        emit_running_union(builder, args, _lanes(context))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), codegen


tree_slices: Emitted = intrinsic(_type_tree_slices)
slices_to_bytes: Emitted = intrinsic(_type_slices_to_bytes)
choose_slice: Emitted = intrinsic(_type_choose_slice)
running_union: Emitted = intrinsic(_type_running_union)


def byte_of_row(row: int) -> int:
    """Return where `slices_to_bytes` puts the byte of a row."""
    word, bit = row % WORDS, row // WORDS
    return (bit % 8) * MASK_BYTES + word * 8 + bit // 8
