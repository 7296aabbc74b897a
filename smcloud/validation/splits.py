"""Splits of a sample table that say what a score means: which stations and years were unseen.

Every split gives four disjoint sets: **fit** (trees are grown on it), **stop** (says when to stop
growing), **calibrate** (kept for uncertainty) and **test** (scored once). Stop and calibrate are
whole spatial blocks that share no station with any other set. The random split alone draws all four
sets by days, as published work does: with unseen stations to stop on, its model would be kept from
learning the stations by heart, and the reference would hide what it is there to show.

========  =================================================================
split     the test set holds
========  =================================================================
random    days of the very stations that were fitted: a reference, never a result. A random split
          made the published R of 0.941 that its authors call "clearly a result of model
          overfitting" (doi:10.5194/essd-15-2055-2023, abstract)
station   stations in spatial blocks that no other set has seen
year      the fitted stations, in years that no other set has seen
station_year  unseen stations in unseen years: what production does
network   stations of networks that are held out whole (`nested_splits.split_networks`)
========  =================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError, ModelError, UserError
from smcloud.grids.grid import SIN1KM, TILE_PIXELS

SplitKind = Literal["random", "station", "year", "station_year", "network"]
SPLIT_KINDS: tuple[SplitKind, ...] = ("random", "station", "year", "station_year")
SETS = ("fit", "stop", "calibrate", "test")
PIXELS_PER_DEGREE = TILE_PIXELS // 10
"""A tile of the sinusoidal grid is 10 degrees of latitude high."""

SPARSE = 4
"""Codes are ranked by sorting where more than so many values lie between them a code."""

Rows = NDArray[np.int64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Ranks = NDArray[np.int32]


@dataclass(frozen=True)
class SplitRules:
    """How a table is cut.

    Attributes
    ----------
    block_degrees : float
        Side of a spatial block in degrees of latitude. Blocks are squares of the sinusoidal grid:
        equal in area everywhere, and a 1 km pixel lies in exactly one of them.
    folds : int
        One part in `folds` of the blocks, days or years is the test set of each fold.
    stop_share, calibrate_share : float
        Parts of the remaining stations that stop the training and calibrate its uncertainty.
    gap_days : int
        Days on either side of a test year that no other set may use: soil remembers for weeks,
        and a day in January tells of the December before it.
    seed : int
        Draws the blocks; equal seeds give equal sets whatever the order of the rows.
    """

    block_degrees: float = 1.0
    folds: int = 5
    stop_share: float = 0.125
    calibrate_share: float = 0.125
    gap_days: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"folds is {self.folds}: expected 2 or more")
        if not 0.0 < self.block_degrees <= 90.0:
            raise ConfigError(f"block_degrees is {self.block_degrees}: expected above 0, up to 90")
        if min(self.stop_share, self.calibrate_share) <= 0.0 or (
            self.stop_share + self.calibrate_share >= 1.0
        ):
            raise ConfigError(
                "stop_share and calibrate_share must be above 0 and leave something to fit, found "
                f"{self.stop_share} and {self.calibrate_share}"
            )
        if self.gap_days < 0:
            raise ConfigError(f"gap_days is {self.gap_days}: expected 0 or more")


@dataclass(frozen=True)
class Samples:
    """Where and when each row of a table was measured.

    Attributes
    ----------
    stations, pixels, blocks : int64 (n_rows,)
        Numbers of the station, of the group of stations that share a 1 km pixel, and of the
        spatial block. A station lies in one pixel, a pixel in one block.
    days : datetime64[D] (n_rows,)
        UTC days.
    """

    stations: Codes
    pixels: Codes
    blocks: Codes
    days: NDArray[np.datetime64]

    @cached_property
    def years(self) -> Ranks:
        """Return the UTC year of each row."""
        return self.days.astype("datetime64[Y]").astype(np.int32) + np.int32(1970)

    @cached_property
    def ranks(self) -> Mapping[str, Ranks]:
        """Return numbers from 0 of the station, pixel and block of each row, ascending as these.

        They and `pixel_days` are found out once: every split of a table is checked with them.
        """
        codes = {"stations": self.stations, "pixels": self.pixels, "blocks": self.blocks}
        return {
            name: pd.factorize(found, sort=True)[0].astype(np.int32)
            for name, found in codes.items()
        }

    @cached_property
    def pixel_days(self) -> Ranks:
        """Return a number for each pair of pixel and day: equal rows of a pixel have equal ones."""
        day = self.days.astype(np.int64)
        day -= day.min()
        return ranked(self.ranks["pixels"] * (day.max() + 1) + day).astype(np.int32)


@dataclass(frozen=True)
class Split:
    """Row numbers of the four sets, each ascending; rows in none of them are left out."""

    kind: SplitKind
    fold: int
    fit: Rows
    stop: Rows
    calibrate: Rows
    test: Rows

    @property
    def sets(self) -> Mapping[str, Rows]:
        """Return the rows of each set by name, in the order of `SETS`."""
        return {name: getattr(self, name) for name in SETS}

    def counts(self, samples: Samples) -> dict[str, dict[str, int]]:
        """Return the rows, stations and spatial blocks of each set."""
        return {
            name: {
                "rows": int(rows.size),
                "stations": pd.unique(samples.stations[rows]).size,
                "blocks": pd.unique(samples.blocks[rows]).size,
            }
            for name, rows in self.sets.items()
        }


def locate(
    stations: Sequence[str] | NDArray[np.str_] | pd.Categorical[str],
    days: NDArray[np.datetime64],
    latitude: NDArray[np.float64] | None = None,
    longitude: NDArray[np.float64] | None = None,
    *,
    block_degrees: float = 1.0,
) -> Samples:
    """Return station, pixel and block numbers of every row, independent of the order of rows.

    Parameters
    ----------
    stations
        Name of the station (or of any other group) of each row; categories ascend.
    days
        UTC day or instant of each row.
    latitude, longitude
        Degrees; without them every station is a pixel and a block of its own. A station whose
        coordinates differ between rows counts at the northernmost, then westernmost pixel.
    block_degrees
        See `SplitRules`.

    Raises
    ------
    UserError
        If a day is missing or only one coordinate is given.
    ConfigError
        If a coordinate is NaN or off the globe.
    """
    groups = pd.Categorical(pd.Series(stations)).remove_unused_categories()
    station = groups.codes.astype(np.int64)
    utc_days = np.asarray(days).astype("datetime64[D]")
    if np.isnat(utc_days).any():
        raise UserError(f"{int(np.isnat(utc_days).sum())} rows have no time: drop or mend them")
    if (latitude is None) != (longitude is None):
        raise UserError("a split in space needs latitude and longitude, found only one of them")
    if latitude is None or longitude is None:
        return Samples(station, station, station, utc_days)
    rows, cols = SIN1KM.pixel_of(np.asarray(longitude, float), np.asarray(latitude, float))
    pixel = _first_pixel(rows * SIN1KM.cols + cols, station, len(groups.categories))
    block_pixels = max(1, round(block_degrees * PIXELS_PER_DEGREE))
    row, col = pixel // SIN1KM.cols, pixel % SIN1KM.cols
    block = (row // block_pixels) * SIN1KM.cols + col // block_pixels
    return Samples(station, pixel[station], block[station], utc_days)


def split_samples(samples: Samples, kind: SplitKind, rules: SplitRules, *, fold: int = 0) -> Split:
    """Return the four sets of one fold of one split, checked for leaks.

    Raises
    ------
    UserError
        If a side would be empty: too few blocks, a single year. The message names the split and
        the counts.
    ConfigError
        If the split or the fold does not exist.
    """
    if kind not in SPLIT_KINDS:
        raise ConfigError(f"unknown split {kind!r}: expected one of {', '.join(SPLIT_KINDS)}")
    if not 0 <= fold < rules.folds:
        raise ConfigError(f"fold {fold} of split {kind!r}: expected 0 to {rules.folds - 1}")
    by_year = kind in ("year", "station_year")
    if kind == "random":
        sets = _random_sets(samples, rules, fold)
    else:
        sets = _block_sets(samples, rules, fold, kind)
    split = Split(kind, fold, *(np.flatnonzero(chosen) for chosen in sets))
    require_rows(split, samples)
    check_leakage(split, samples, gap_days=rules.gap_days if by_year else 0)
    return split


def check_leakage(split: Split, samples: Samples, *, gap_days: int = 0) -> None:
    """Raise `ModelError` if a set knows what it must not; otherwise do nothing.

    No row may lie in two sets, nor may two rows of one pixel and day. But in the random split, stop
    and calibrate share no station, pixel or block with any other set, and a test set that is
    drawn by station shares none with fit. A test set that is drawn by year shares no year with
    the others and keeps `gap_days` from them.
    """
    codes = {"rows": np.arange(samples.days.size, dtype=np.int32), "pixel days": samples.pixel_days}
    ranks = samples.ranks
    places = {
        "stations": ranks["stations"],
        "1 km pixels": ranks["pixels"],
        "spatial blocks": ranks["blocks"],
    }
    if split.kind != "random":
        codes |= places
    for noun, found in codes.items():
        held = _held(found, split)
        for one, other in combinations(SETS, 2):
            known = {one, other} == {"fit", "test"} and split.kind == "year"
            if not (known and noun in places):
                _refuse(int((held[one] & held[other]).sum()), noun, split, one, other)
    if split.kind in ("year", "station_year"):
        years = np.unique(samples.years[split.test]).astype(np.int64)
        for one in SETS[:3]:
            near = _near_years(samples.days[split.sets[one]], years, gap_days)
            _refuse(int(near.sum()), f"days within {gap_days} days", split, one, "test")


def _held(numbers: Ranks, split: Split) -> dict[str, Mask]:
    """Return for each set which of the numbers from 0 it holds."""
    held = {}
    for name, rows in split.sets.items():
        held[name] = np.zeros(int(numbers.max()) + 1, dtype=bool)
        held[name][numbers[rows]] = True
    return held


def _refuse(shared: int, noun: str, split: Split, one: str, other: str) -> None:
    if shared:
        raise ModelError(
            f"split {split.kind!r} leaks: {one} and {other} share {shared} {noun}; "
            "scores on it would flatter the model"
        )


def _first_pixel(pixels: Codes, station: Codes, n_stations: int) -> Codes:
    """Return one pixel per station: the smallest, so that the order of rows does not matter."""
    first = np.full(n_stations, np.iinfo(np.int64).max)
    np.minimum.at(first, station, pixels)
    return first


def _block_sets(samples: Samples, rules: SplitRules, fold: int, kind: SplitKind) -> list[Mask]:
    """Return which rows belong to each set of a split by station, by year or by both."""
    unseen_blocks = kind in ("station", "station_year")
    part = _parts_of_blocks(samples, rules, fold, kind, holds_test=unseen_blocks)
    sets = [part == number for number in range(len(SETS))]
    if not unseen_blocks:
        sets[-1] = sets[0].copy()
    if kind in ("year", "station_year"):
        years = _test_years(samples, rules, fold, kind)
        is_learned = ~_near_years(samples.days, years, rules.gap_days)
        sets = [chosen & is_learned for chosen in sets[:-1]] + [
            sets[-1] & np.isin(samples.years, years)
        ]
    return sets


def _random_sets(samples: Samples, rules: SplitRules, fold: int) -> list[Mask]:
    """Return which rows a random draw of (pixel, day) pairs puts in each set."""
    pair_of_row = samples.pixel_days
    n_pairs = int(pair_of_row.max()) + 1
    drawn = np.random.default_rng([rules.seed, 2]).permutation(n_pairs)
    is_test = drawn % rules.folds == fold
    # Within the rest, rank by the same draw so that the shares are those of the rules.
    is_left = np.ones(n_pairs, dtype=bool)
    is_left[drawn[is_test]] = False
    rank = (np.cumsum(is_left) - 1)[drawn]
    left = n_pairs - int(is_test.sum())
    n_stop, n_calibrate = round(left * rules.stop_share), round(left * rules.calibrate_share)
    part = np.full(n_pairs, SETS.index("fit"), np.int8)
    part[rank < n_stop + n_calibrate] = SETS.index("calibrate")
    part[rank < n_stop] = SETS.index("stop")
    part[is_test] = SETS.index("test")
    return [part[pair_of_row] == number for number in range(len(SETS))]


def ranked(codes: Codes | Ranks) -> Codes:
    """Return the rank of each code among the different ones, 0 for the smallest.

    Codes that lie close together are counted where they stand, which needs no sorting.
    """
    low = codes.min()
    span = int(codes.max() - low) + 1
    if span > SPARSE * codes.size:
        return np.unique(codes, return_inverse=True)[1].astype(np.int64)
    is_there = np.zeros(span, dtype=bool)
    is_there[codes - low] = True
    return np.asarray((np.cumsum(is_there) - 1)[codes - low])


def _parts_of_blocks(
    samples: Samples, rules: SplitRules, fold: int, kind: SplitKind, *, holds_test: bool
) -> NDArray[np.int8]:
    """Return for each row the number of the set (in `SETS`) that its block belongs to."""
    of_row = samples.ranks["blocks"]
    n_blocks = int(of_row.max()) + 1
    needed = max(rules.folds, len(SETS)) if holds_test else len(SETS) - 1
    if n_blocks < needed:
        raise UserError(
            f"split {kind!r} needs {needed} spatial blocks at least, so that fit, stop, calibrate "
            f"and test share none; found {n_blocks} with "
            f"{int(samples.ranks['stations'].max()) + 1} stations and {samples.days.size} rows: "
            "take smaller blocks, fewer folds or more stations"
        )
    weight = stations_per_block(samples.ranks["stations"], of_row, n_blocks)
    order = np.random.default_rng([rules.seed, 1]).permutation(n_blocks)
    part = np.full(n_blocks, -1, dtype=np.int8)
    if holds_test:
        heaviest_first = order[np.argsort(-weight[order], kind="stable")]
        dealt = deal(heaviest_first, weight, np.full(rules.folds, 1 / rules.folds))
        part[dealt == fold] = SETS.index("test")
    shares = np.array(
        [1 - rules.stop_share - rules.calibrate_share, rules.stop_share, rules.calibrate_share]
    )
    left = order[part[order] < 0]
    dealt = deal(left, weight, shares)
    part[left] = dealt[left]
    return part[of_row]


def stations_per_block(
    stations: Codes | Ranks, block_of_row: Codes | Ranks, n_blocks: int
) -> Codes:
    """Return how many stations lie in each block; a station lies in one."""
    number = ranked(stations)
    block_of_station = np.empty(int(number.max()) + 1, dtype=np.int64)
    block_of_station[number] = block_of_row
    return np.bincount(block_of_station, minlength=n_blocks)


def deal(order: Codes, weight: Codes, shares: NDArray[np.float64]) -> Codes:
    """Return a hand for each block: each goes to the hand that has least of its share so far.

    The first blocks go to different hands, so no hand is empty when there are enough blocks.
    """
    hand = np.full(weight.size, -1, dtype=np.int64)
    held = np.zeros(shares.size)
    for block in order:
        hand[block] = int(np.argmin(held / shares))
        held[hand[block]] += weight[block]
    return hand


def _test_years(samples: Samples, rules: SplitRules, fold: int, kind: SplitKind) -> Codes:
    years = np.unique(samples.years).astype(np.int64)
    if years.size < 2:
        raise UserError(
            f"split {kind!r} is not possible: it needs rows of two years at least, found "
            f"{samples.days.size} rows, all of {years[0]}"
        )
    drawn = np.random.default_rng([rules.seed, 3]).permutation(years)
    parts = np.array_split(drawn, min(rules.folds, years.size))
    return np.sort(parts[fold % len(parts)])


def _near_years(days: NDArray[np.datetime64], years: Codes, gap_days: int) -> Mask:
    """Return which days lie in one of `years` or at most `gap_days` from it."""
    near = np.zeros(days.shape, dtype=bool)
    for year in years:
        first = np.datetime64(f"{year:04d}-01-01", "D") - gap_days
        after = np.datetime64(f"{year + 1:04d}-01-01", "D") + gap_days
        near |= (days >= first) & (days < after)
    return near


def require_rows(split: Split, samples: Samples) -> None:
    """Raise `UserError` with the counts if a set of the split holds no row."""
    if all(rows.size for rows in split.sets.values()):
        return
    counts = ", ".join(
        f"{name} {found['rows']} rows of {found['stations']} stations"
        for name, found in split.counts(samples).items()
    )
    raise UserError(
        f"split {split.kind!r} leaves a set empty: {counts}; take smaller blocks, fewer folds "
        "or more stations and years"
    )
