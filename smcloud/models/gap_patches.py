"""Patches cut where the field is complete, and gaps of real shape laid over them.

A patch is a square of land on 2 d + 1 days whose middle day is known everywhere, as SGD-SM 1.0 cuts
them (40 pixels, every 10, at least 90 % of the pixels seen on another of its days). The gaps that
hide a part of the middle day are windows of the sensors' own swaths. Which patches are kept and
what is hidden follow from seeds and places alone: the same for any cut of the record into slabs.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ModelError, UserError
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Days
from smcloud.models.gap_normals import Normals

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Places = NDArray[np.int32]

FILLED_WEIGHT = np.float32(0.5)
"""Weight, beside 1 of an observation, of a value that the recursion filled on an earlier day, where
it rested on much; less where it rested on little (`gap_guess.Guess.basis`)."""
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class PatchRules:
    """Which windows become patches; the defaults are those of SGD-SM 1.0, but for `keep_share`."""

    size: int = 40
    stride: int = 10
    """Pixels from one window to the next, in rows and in columns."""
    days: int = 4
    """Days to either side of the middle day."""
    complete_share: float = 1.0
    """Least share of the pixels that are known on the middle day. What is not is no truth: it is
    a gap to the network, and neither fitted nor scored."""
    seen_share: float = 0.9
    """Least share of the pixels with a value on at least one of the other days."""
    keep_share: float = 1.0
    """Share of the patches that are kept, drawn by place: a year of the globe has 70 GB of them."""
    least_hidden: float = 0.05
    """Least share of a window of a swath's gap, or it is no gap to learn from."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.size, self.stride, self.days) < 1:
            raise UserError(
                "patches need a size, a stride and days of at least 1, found "
                f"{self.size}, {self.stride} and {self.days}"
            )
        for name in ("complete_share", "seen_share", "keep_share", "least_hidden"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(
                    f"{name} of patches is a share, 0 to 1, found {getattr(self, name)}"
                )


@dataclass(frozen=True, eq=False)
class Patches:
    """Squares whose middle day is complete.

    Attributes
    ----------
    moisture : float32 (n, 2 d + 1, size, size)
        m3 m-3; NaN unknown; on the middle day only as far as `complete_share` lets it.
    rain : float32 (n, 2 d + 1, size, size)
        mm per day; NaN unknown.
    normal : float32 (n, size, size)
        What the pixels usually have, m3 m-3, the middle day left out.
    place : int32 (n, 3)
        Middle day (days since 1970-01-01), first row, first column.
    """

    moisture: Floats
    rain: Floats
    normal: Floats
    place: Places

    def __len__(self) -> int:
        return len(self.moisture)

    @property
    def days(self) -> int:
        """Return the days to either side of the middle one."""
        return int(self.moisture.shape[1]) // 2

    def take(self, index: NDArray[np.int64]) -> Patches:
        """Return the patches of these numbers."""
        return Patches(*(field[index] for field in self._fields()))

    def _fields(self) -> tuple[NDArray[Any], ...]:
        return self.moisture, self.rain, self.normal, self.place

    def to_bytes(self) -> bytes:
        """Return the arrays as one npz without pickled objects."""
        file = io.BytesIO()
        np.savez(file, moisture=self.moisture, rain=self.rain, normal=self.normal, place=self.place)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Patches:
        """Return what `to_bytes` wrote.

        Raises
        ------
        ModelError
            If these are not patches.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                return cls(found["moisture"], found["rain"], found["normal"], found["place"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as err:
            raise ModelError(f"{where} holds no patches: cut them again") from err


class StoredPatches(Sequence[Patches]):
    """Shards of patches that lie in the store and are read one at a time, when asked for."""

    def __init__(self, url: str, keys: Sequence[str]) -> None:
        self.url = url
        self.keys = tuple(keys)

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Patches: ...
    @overload
    def __getitem__(self, at: slice) -> StoredPatches: ...
    def __getitem__(self, at: int | slice) -> Patches | StoredPatches:
        """Return one shard, or the shards of a slice, which are not read yet."""
        if isinstance(at, slice):
            return StoredPatches(self.url, self.keys[at])
        objects, key = open_objects(self.url), self.keys[at]
        return Patches.from_bytes(objects.get(key), f"{self.url}/{key}")


def joined(parts: Sequence[Patches]) -> Patches:
    """Return all patches as one, ordered by place: the same however the parts were cut."""
    place = np.concatenate([part.place for part in parts])
    order = np.lexsort(place.T[::-1])
    fields = zip(*(part._fields() for part in parts), strict=True)
    return Patches(*(np.concatenate(field)[order] for field in fields))


def cut_patches(
    days: Days,
    moisture: Floats,
    land: Bools,
    rain: Floats,
    rules: PatchRules,
    normals: Normals | None = None,
) -> Patches:
    """Return the patches of the days that have `rules.days` days before and behind them.

    Parameters
    ----------
    days : (days,) datetime64[D]
        One after the other. A slab of a longer record needs `rules.days` more on both sides.
    moisture : float32 (days, rows, cols)
        m3 m-3, NaN unknown.
    land : bool (rows, cols)
    rain : float32 (days, rows, cols)
        mm per day, NaN unknown.
    normals
        What cells usually have, from days that hold the given ones; by default of these.

    Raises
    ------
    UserError
        If the arrays do not fit each other, or a day is missing.
    """
    _check(days, land, moisture=moisture, rain=rain)
    known = np.isfinite(moisture) & land
    normals = normals or Normals.of(moisture, land)
    found = []
    for day in range(rules.days, len(days) - rules.days):
        place = _complete(days[day], known[day - rules.days : day + rules.days + 1], land, rules)
        slab = slice(day - rules.days, day + rules.days + 1)
        windows = [(slab, *_square(one, rules.size)) for one in place]
        if windows:
            fields = [np.stack([field[one] for one in windows]) for field in (moisture, rain)]
            own = np.where(known[day], moisture[day], np.float32(np.nan))
            usual = [normals.without(own[one[1:]], one[1:]) for one in windows]
            found.append(Patches(fields[0], fields[1], np.stack(usual), place))
    return joined(found) if found else _none(rules)


def swath_masks(days: Days, missed: Bools, land: Bools, rules: PatchRules) -> Bools:
    """Return windows (m, size, size) of what orbits missed, over land alone, on the given days.

    Parameters
    ----------
    missed : bool (days, rows, cols)
        Where no orbit looked.
    """
    _check(days, land, missed=missed)
    all_land = window_counts(land, rules) == rules.size**2
    least = max(rules.least_hidden * rules.size**2, 1.0)
    found = []
    for day, one in zip(days, missed, strict=True):
        place = _kept(day, all_land & (window_counts(one & land, rules) >= least), rules)
        found += [one[_square(window, rules.size)] for window in place]
    return np.stack(found) if found else np.zeros((0, rules.size, rules.size), bool)


def window_counts(flags: Bools, rules: PatchRules) -> NDArray[np.int64]:
    """Return how many flags (rows, cols) are set in each window: (windows down, across)."""
    rows, cols = flags.shape
    sums = np.zeros((rows + 1, cols + 1), np.int64)
    sums[1:, 1:] = flags.cumsum(0).cumsum(1)
    top = np.arange(0, rows - rules.size + 1, rules.stride)[:, None]
    left = np.arange(0, cols - rules.size + 1, rules.stride)[None]
    bottom, right = top + rules.size, left + rules.size
    return np.asarray(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])


def _complete(day: np.datetime64, known: Bools, land: Bools, rules: PatchRules) -> Places:
    """Return the places of one day's patches; `known` has its 2 d + 1 days."""
    whole = rules.size**2
    middle = known[rules.days]
    others = np.logical_or(known[: rules.days].any(0), known[rules.days + 1 :].any(0))
    complete = window_counts(middle, rules) >= rules.complete_share * whole
    complete &= window_counts(land, rules) == whole
    seen = window_counts(others, rules) >= rules.seen_share * whole
    return _kept(day, complete & seen, rules)


def _kept(day: np.datetime64, wanted: Bools, rules: PatchRules) -> Places:
    """Return the places (n, 3) of wanted windows that the draw of each place keeps."""
    at = np.argwhere(wanted) * rules.stride
    number = int(day.astype("datetime64[D]").astype(np.int64))
    place = np.column_stack([np.full(len(at), number), at]).astype(np.int32)
    return place[_chance(place, rules.seed) < rules.keep_share]


def _chance(place: Places, seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each place, by the mixing of the generator SplitMix64."""
    mixed = np.full(len(place), seed & 0xFFFFFFFFFFFFFFFF, np.uint64)
    for column in place.T:
        mixed = mixed + _STEP + column.astype(np.int64).view(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FACTORS[0]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _FACTORS[1]
        mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _square(place: Places, size: int) -> tuple[slice, slice]:
    row, col = int(place[1]), int(place[2])
    return slice(row, row + size), slice(col, col + size)


def _none(rules: PatchRules) -> Patches:
    empty = np.zeros((0, 2 * rules.days + 1, rules.size, rules.size), np.float32)
    return Patches(empty, empty, empty[:, 0], np.zeros((0, 3), np.int32))


def _check(days: Days, land: Bools, **fields: NDArray[np.float32] | Bools) -> None:
    """Raise `UserError` where a field is not (days, rows, cols), or a day is missing."""
    shape = (len(days), *land.shape)
    for name, field in fields.items():
        if field.shape != shape:
            raise UserError(f"{name} must be (days, rows, cols) = {shape}, found {field.shape}")
    if len(days) > 1 and not (np.diff(days) == np.timedelta64(1, "D")).all():
        raise UserError("patches need days one after the other: give missing days as unknown")


@dataclass(frozen=True)
class HidingRules:
    """What is hidden of a patch beside the gap of its middle day."""

    lasting: tuple[float, ...] = (0.5, 0.15, 0.1, 0.1, 0.15)
    """Chances that the gap lasts 0, 1, 2, ... days to either side: retrievals fail for days, and
    for so long that no day of the patch knows anything."""
    recursed: float = 0.5
    """Chance that gaps of the days before are filled, as the recursion leaves them, at weights
    drawn from 0 to `FILLED_WEIGHT`: some rest on much, some on little."""
    mirrored: float = 0.5
    """Chance that a patch is mirrored, in rows and again in columns; gaps keep their slant."""
    rain_unknown: float = 0.1
    """Chance that no rain is known, so that a year without precipitation can be filled."""

    def __post_init__(self) -> None:
        if abs(sum(self.lasting) - 1.0) > 1e-9 or min(self.lasting) < 0:
            raise UserError(f"chances of lasting gaps must add up to 1, found {self.lasting}")


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches with gaps, and what is hidden there.

    Attributes
    ----------
    stack : float32 (n, 2 d + 1, size, size)
        m3 m-3, NaN unknown.
    weight : float32 like `stack`
        1 observed, up to `FILLED_WEIGHT` filled on an earlier day, 0 unknown.
    rain : float32 like `stack`
        mm per day, NaN unknown.
    normal : float32 (n, 1, size, size)
        What the pixels usually have, m3 m-3.
    truth : float32 (n, 1, size, size)
        The middle day; NaN where it was never known.
    hidden : bool (n, 1, size, size)
        Where it is known, and hidden.
    """

    stack: Floats
    weight: Floats
    rain: Floats
    normal: Floats
    truth: Floats
    hidden: Bools


def hide(patches: Patches, masks: Bools, rng: np.random.Generator, rules: HidingRules) -> Batch:
    """Return the patches under gaps drawn from `masks` (m, size, size)."""
    n, days = len(patches), patches.days
    patches = _mirrored(patches, rng, rules.mirrored)
    hidden = masks[rng.integers(len(masks), size=n)]
    lasts = rng.choice(len(rules.lasting), size=n, p=rules.lasting)
    recursed = rng.random(n) < rules.recursed
    rainless = rng.random(n) < rules.rain_unknown
    apart = np.abs(np.arange(-days, days + 1))
    gap = (apart[None] <= lasts[:, None])[:, :, None, None] & hidden[:, None]
    stack = np.where(gap, np.float32(np.nan), patches.moisture)
    stack[recursed] = past_filled(stack[recursed])
    weight = np.isfinite(stack).astype(np.float32)
    before = slice(0, days)
    filled = np.isfinite(stack[:, before]) & (np.isnan(patches.moisture) | gap)[:, before]
    trust = FILLED_WEIGHT * rng.random(n, dtype=np.float32)[:, None, None, None]
    weight[:, before] = np.where(filled, trust, weight[:, before])
    rain = np.where(rainless[:, None, None, None], np.float32(np.nan), patches.rain)
    truth = patches.moisture[:, days : days + 1]
    known = hidden[:, None] & np.isfinite(truth)
    return Batch(stack, weight, rain, patches.normal[:, None], truth, known)


def _mirrored(patches: Patches, rng: np.random.Generator, chance: float) -> Patches:
    """Return the patches, some turned east to west, and some north to south."""
    fields = [patches.moisture, patches.rain, patches.normal[:, None]]
    for axis in (-2, -1):
        turned = (rng.random(len(patches)) < chance)[:, None, None, None]
        fields = [np.where(turned, np.flip(field, axis), field) for field in fields]
    return Patches(fields[0], fields[1], fields[2][:, 0], patches.place)


def past_filled(stack: Floats) -> Floats:
    """Return the stack with the days before the middle one filled as the recursion would.

    Day after day, a gap takes the value between the day before, already filled, and the next known
    day within `d` days: what the network starts from Where only one of
    them is known it is held; where none is, the gap stays.
    """
    found = stack.copy()
    days = found.shape[1] // 2
    for day in range(days):
        after = np.full_like(found[:, 0], np.nan)
        until = np.ones_like(after)
        for ahead in range(days, 0, -1):
            known = np.isfinite(found[:, day + ahead])
            after = np.where(known, found[:, day + ahead], after)
            until = np.where(known, np.float32(ahead), until)
        before = found[:, day - 1] if day else np.full_like(after, np.nan)
        between = (before * until + after) / (until + 1)
        held = np.where(np.isnan(before), after, np.where(np.isnan(after), before, between))
        found[:, day] = np.where(np.isnan(found[:, day]), held, found[:, day])
    return found


def batches(n: int, size: int) -> Iterator[slice]:
    """Return slices of at most `size` that cover 0 to n."""
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))
