"""Splits inside a split, and networks held out whole, with checks that fail when they leak.

A search for parameters and a selection of stations are part of the training: they may see fit and
stop rows of the split that their model is scored by, and no other row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError, ModelError, UserError
from smcloud.validation.splits import (
    SETS,
    Mask,
    Rows,
    Samples,
    Split,
    SplitKind,
    SplitRules,
    check_leakage,
    deal,
    ranked,
    require_rows,
    stations_per_block,
)

INNER_STOP_SHARE = 0.15
"""Part of the stations that are not scored which says when to stop."""


@dataclass(frozen=True)
class InnerFold:
    """Which of how many inner folds; equal seeds give equal folds whatever the order of rows."""

    number: int
    folds: int
    seed: int = 0


@dataclass(frozen=True)
class InnerSplit:
    """Row numbers, each ascending: whole spatial blocks of fit and stop of an outer split."""

    fit: Rows
    stop: Rows
    score: Rows


def folds_of(kind: SplitKind, samples: Samples, rules: SplitRules, wanted: int) -> int:
    """Return how many different folds of a split there are, at most `wanted`.

    A split by year has no more folds than there are years.
    """
    if kind == "network":
        return 1
    most = min(wanted, rules.folds)
    return min(most, np.unique(samples.years).size) if kind == "year" else most


def inner_split(samples: Samples, outer: Split, inner: InnerFold) -> InnerSplit:
    """Return one station-independent fold inside fit and stop of `outer`, checked for leaks.

    Raises
    ------
    UserError
        If fit and stop have too few spatial blocks.
    ModelError
        If it leaks.
    """
    if not 0 <= inner.number < inner.folds:
        raise ConfigError(f"inner fold {inner.number}: expected 0 to {inner.folds - 1}")
    rows = np.sort(np.concatenate([outer.fit, outer.stop]))
    of_row, blocks = pd.factorize(samples.blocks[rows], sort=True)
    needed = max(inner.folds, 3)
    if blocks.size < needed:
        raise UserError(
            f"a search with {inner.folds} inner folds needs {needed} spatial blocks in fit and "
            f"stop of split {outer.kind!r}, found {blocks.size}: take smaller blocks, fewer "
            "tune.inner_folds or more stations"
        )
    weight = stations_per_block(samples.stations[rows], of_row.astype(np.int64), blocks.size)
    order = np.random.default_rng([inner.seed, 4]).permutation(blocks.size)
    heaviest_first = order[np.argsort(-weight[order], kind="stable")]
    hand = deal(heaviest_first, weight, np.full(inner.folds, 1 / inner.folds))
    left = order[hand[order] != inner.number]
    stops = deal(left, weight, np.array([1 - INNER_STOP_SHARE, INNER_STOP_SHARE])) == 1
    is_score = (hand == inner.number)[of_row]
    is_stop = stops[of_row] & ~is_score
    found = InnerSplit(rows[~is_score & ~is_stop], rows[is_stop], rows[is_score])
    check_inner_leakage(found, outer, samples)
    return found


def check_inner_leakage(inner: InnerSplit, outer: Split, samples: Samples) -> None:
    """Raise `ModelError` if a search sees what it must not; otherwise do nothing.

    Every row must lie in fit or stop of the outer split, and no two of the inner sets may share a
    station, a pixel or a spatial block.
    """
    allowed = np.zeros(samples.days.size, dtype=bool)
    allowed[outer.fit] = allowed[outer.stop] = True
    sets = {"fit": inner.fit, "stop": inner.stop, "score": inner.score}
    for name, rows in sets.items():
        outside = int((~allowed[rows]).sum())
        if outside:
            raise ModelError(
                f"the search leaks: {outside} rows of its inner {name} set lie outside fit and "
                f"stop of split {outer.kind!r}; scores on that split would flatter the model"
            )
    places = {"stations": samples.stations, "1 km pixels": samples.pixels}
    for noun, codes in (places | {"spatial blocks": samples.blocks}).items():
        for one, other in combinations(sets, 2):
            shared = np.intersect1d(codes[sets[one]], codes[sets[other]]).size
            if shared:
                raise ModelError(
                    f"the search leaks: its inner {one} and {other} sets share {shared} {noun}"
                )


def check_selection_leakage(outer: Split, seen: Rows) -> None:
    """Raise `ModelError` if stations were selected by other rows than those of fit and stop."""
    allowed = np.concatenate([outer.fit, outer.stop])
    outside = int((~np.isin(seen, allowed)).sum())
    if outside:
        raise ModelError(
            f"selection leaks: it saw {outside} rows outside fit and stop of split "
            f"{outer.kind!r}; scores on that split would flatter the model"
        )


def thinned(rows: Rows, samples: Samples, every: int) -> Rows:
    """Return the rows of every so-manieth day of the table: all stations, fewer days.

    Soil moisture of neighbouring days is nearly the same: leaving days out costs a model little,
    leaving stations out costs it what it needs. A station that measured on none of those days
    gives every so-manieth row of its own.

    Parameters
    ----------
    rows
        Row numbers, ascending.
    samples
        Station and day of every row of the table.
    every
        1 keeps all.
    """
    if every <= 1 or not rows.size:
        return rows
    is_kept: Mask = (ranked(samples.days.astype(np.int64)) % every == 0)[rows]
    station = samples.stations[rows]
    lost = ~np.bincount(station, is_kept).astype(bool)[station]
    if lost.any():
        place = pd.Series(station[lost]).groupby(station[lost]).cumcount()
        is_kept[lost] = place.to_numpy() % every == 0
    return np.asarray(rows[is_kept])


def split_networks(samples: Samples, is_held: NDArray[Any], rules: SplitRules) -> Split:
    """Return the split whose test set are held-out networks whole, checked for leaks.

    Parameters
    ----------
    samples
        Where and when each row was measured.
    is_held : bool (n_rows,)
        Rows of the networks held out.
    rules
        Shares of stop and calibrate, and the seed.

    Returns
    -------
    Split
        Of kind "network". Stations of other networks in a block that holds a test station are in
        no set: they would tell of it.

    Raises
    ------
    UserError
        If a side is empty.
    """
    held = np.asarray(is_held, dtype=bool)
    is_near: Mask = np.isin(samples.blocks, samples.blocks[held])
    rows = np.flatnonzero(~is_near)
    of_row, blocks = pd.factorize(samples.blocks[rows], sort=True)
    if not held.any() or blocks.size < len(SETS) - 1:
        raise UserError(
            f"split 'network' needs rows to test and {len(SETS) - 1} spatial blocks without them, "
            f"found {int(held.sum())} rows and {blocks.size} blocks: hold out fewer networks"
        )
    weight = stations_per_block(samples.stations[rows], of_row.astype(np.int64), blocks.size)
    order = np.random.default_rng([rules.seed, 5]).permutation(blocks.size)
    shares = [1 - rules.stop_share - rules.calibrate_share, rules.stop_share, rules.calibrate_share]
    part = deal(order, weight, np.array(shares))[of_row]
    fit, stop, calibrate = (rows[part == number] for number in range(len(SETS) - 1))
    split = Split("network", 0, fit, stop, calibrate, np.flatnonzero(held))
    require_rows(split, samples)
    check_leakage(split, samples)
    return split
