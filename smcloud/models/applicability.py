"""Where a model may be applied: how unlike its training a pixel is, by a dissimilarity index.

After Meyer and Pebesma (Methods in Ecology and Evolution, 2021, doi:10.1111/2041-210X.13650).
Predictors are standardised and weighted by their importance in the model. The index of a row is its
distance to the nearest training row, divided by the mean distance between training rows. Its
threshold is what the training itself shows: the index of each training row against rows of other
spatial blocks, outliers removed (the largest one at most 1.5 interquartile ranges above the upper
quartile).

Two things differ. Training rows are thinned to at most 2,000 prototypes, spread evenly over
stations and days, and the threshold is that of the prototypes, so that thinning does not make the
area smaller. Features that are unknown in either row are left out of a distance, which is scaled up
by the weight that is left; a row with less than half of the weight known is outside.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.core.errors import ModelError
from smcloud.models.base import AreaNote, content_hash
from smcloud.models.boosting import booster_of
from smcloud.models.checkpoints import Trained
from smcloud.models.rows import Floats, Index
from smcloud.models.samples import TrainingTable
from smcloud.validation.splits import Codes, Samples, Split, SplitRules

PROTOTYPES = 2000
WHISKER = 1.5
"""Interquartile ranges above the upper quartile beyond which an index is an outlier."""
KNOWN_WEIGHT = 0.5
"""Least share of the weight that must be known of a row, or nothing vouches for it."""
IMPORTANCE = "total_gain"
LANES = 64
"""Prototypes whose distances are summed side by side, in vector registers."""
GLANCE = 4
"""Features after which a group of prototypes is given up if all of them are too far already."""


class Lanes(NamedTuple):
    """Prototypes in groups of `LANES`, side by side.

    Attributes
    ----------
    values, known : float32 (n_groups, n_features, LANES)
        Scaled features, 0 where unknown; 1 where known, else 0. The last group is filled up with
        rows of which nothing is known.
    weights : float32 (n_features,)
    order : int64 (n_features,)
        Features from the heaviest to the lightest: what is far is found out soon.
    least : float32
        Weight that must be known of two rows together.
    """

    values: Floats
    known: Floats
    weights: Floats
    order: Index
    least: np.float32


@dataclass(frozen=True, eq=False)
class Area:
    """The training of a model in the space of its features, and how far from it is too far.

    Attributes
    ----------
    means, scales : float32 (n_features,)
        A feature x counts as (x - mean) * scale; scale is importance / standard deviation.
    weights : float32 (n_features,)
        Squares of the importances, whose sum is 1; 0 for features that the trees never use.
    prototypes : float32 (n_prototypes, n_features)
        Scaled training rows; NaN is unknown.
    mean_distance : float
        Of all pairs of prototypes.
    threshold : float
        Largest index that is inside.
    why_not : str
        Why there is no area; empty where there is one.
    """

    means: Floats
    scales: Floats
    weights: Floats
    prototypes: Floats = field(repr=False)
    mean_distance: float
    threshold: float
    why_not: str = ""

    @property
    def possible(self) -> bool:
        """Return whether anything can be judged."""
        return not self.why_not

    @property
    def data(self) -> bytes:
        """Return the area as one npy array; empty where there is none."""
        if not self.possible:
            return b""
        numbers = np.zeros((1, self.means.size), np.float32)
        # A model of one feature has room for one number in a row: each gets a row of its own.
        distance, threshold = (
            numbers + np.float32(x) for x in (self.mean_distance, self.threshold)
        )
        head = [distance, threshold, self.means[None], self.scales[None], self.weights[None]]
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate([*head, self.prototypes]), allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def from_data(cls, data: bytes) -> Area:
        """Return the area that `data` holds; its hash must have been checked.

        Raises
        ------
        ModelError
            If it is no such array.
        """
        try:
            rows = np.load(io.BytesIO(data), allow_pickle=False)
            distance, threshold, means, scales, weights = rows[:5]
        except ValueError as err:
            raise ModelError(f"the area of applicability is unreadable: {err}") from err
        prototypes = np.ascontiguousarray(rows[5:])
        return cls(means, scales, weights, prototypes, float(distance[0]), float(threshold[0]))

    def note(self) -> AreaNote | None:
        """Return what the model's card says of the area; None where there is none."""
        if not self.possible:
            return None
        return AreaNote(
            sha256=content_hash(self.data),
            threshold=float(f"{self.threshold:.6g}"),
            prototypes=len(self.prototypes),
        )

    def index(self, columns: Floats) -> Floats:
        """Return the dissimilarity index (n,) of rows given as columns (n_features, n).

        Infinity where less than half of the weight is known.
        """
        found = np.empty(columns.shape[1], np.float32)
        _nearest(self._scaled(columns), self._lanes, found)
        return np.asarray(np.sqrt(found) / np.float32(self.mean_distance), np.float32)

    def outside(self, columns: Floats) -> NDArray[np.bool_]:
        """Say which rows of (n_features, n) are outside; many times faster than their index.

        A row is inside as soon as one prototype is near enough; the group that held one near to its
        neighbour is tried first.
        """
        far = np.empty(columns.shape[1], np.bool_)
        most = np.float32((np.float32(self.threshold) * np.float32(self.mean_distance)) ** 2)
        _is_far(self._scaled(columns), self._lanes, most, far)
        return far

    @cached_property
    def _lanes(self) -> Lanes:
        """Return the prototypes as the compiled loops go through them."""
        groups = -(-len(self.prototypes) // LANES)
        rows = np.full((groups * LANES, self.means.size), np.nan, np.float32)
        rows[: len(self.prototypes)] = self.prototypes
        values = np.ascontiguousarray(rows.reshape(groups, LANES, -1).swapaxes(1, 2))
        known = np.isfinite(values)
        return Lanes(
            np.where(known, values, np.float32(0)),
            known.astype(np.float32),
            self.weights,
            np.argsort(-self.weights, kind="stable"),
            np.float32(KNOWN_WEIGHT),
        )

    def _scaled(self, columns: Floats) -> Floats:
        """Return rows (n, n_features) in the space of the prototypes."""
        return np.ascontiguousarray(((columns - self.means[:, None]) * self.scales[:, None]).T)


def fit_area(table: TrainingTable, split: Split, rules: SplitRules, trained: Trained) -> Area:
    """Return the area of applicability of a trained model; one that says why not if there is none.

    Parameters
    ----------
    split
        Its fit set is the training; spatial blocks by `rules` are the folds.
    """
    samples = table.samples(rules.block_degrees)
    chosen = prototype_rows(samples, split.fit)
    blocks = samples.blocks[chosen]
    if np.unique(blocks).size < 2:
        return _none("the training rows lie in one spatial block")
    (columns,) = (part for part, _ in table.rows(chosen).batches(chosen.size))
    importance = importances(trained, len(columns))
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(columns)
        count = np.maximum(known.sum(axis=1), 1)
        means = np.where(known, columns, 0).sum(axis=1, dtype=np.float64) / count
        squares = np.where(known, columns - means[:, None], 0) ** 2
        deviations = np.sqrt(squares.sum(axis=1, dtype=np.float64) / count)
        scales = np.where(deviations > 0, importance / deviations, 0.0)
    weights = np.where(scales > 0, importance**2, 0.0)
    if not weights.sum():
        return _none("no feature that the trees use varies in the training")
    # Weights of 1 in all: a distance over what is known is scaled by what is left of them.
    scale = np.sqrt(weights.sum())
    area = Area(
        means.astype(np.float32),
        (scales / scale).astype(np.float32),
        (weights / scale**2).astype(np.float32),
        np.empty((0, len(columns)), np.float32),
        1.0,
        0.0,
    )
    return _with_threshold(area, area._scaled(columns), blocks)


def prototype_rows(samples: Samples, fit: Index, most: int = PROTOTYPES) -> Index:
    """Return at most so many rows of `fit`, spread evenly over its stations and their days."""
    stations, of_row = np.unique(samples.stations[fit], return_inverse=True)
    kept = stations if stations.size <= most else stations[_even(stations.size, most)]
    each = most // kept.size
    order = np.lexsort((samples.days[fit], of_row))
    bounds = np.searchsorted(of_row[order], np.arange(stations.size + 1))
    chosen = []
    for number in np.flatnonzero(np.isin(stations, kept)):
        rows = order[bounds[number] : bounds[number + 1]]
        chosen.append(rows[_even(rows.size, min(each, rows.size))])
    return np.asarray(fit[np.sort(np.concatenate(chosen))], np.int64)


def importances(trained: Trained, n_features: int) -> NDArray[np.float64]:
    """Return the share of each feature in the gain of all splits (n_features,)."""
    gains = booster_of(trained.data).get_score(importance_type=IMPORTANCE)
    found = np.zeros(n_features)
    for name, gain in gains.items():
        found[int(name[1:])] = float(np.sum(gain))
    total = found.sum()
    return found / total if total else found


def _none(why: str) -> Area:
    nothing = np.empty(0, np.float32)
    return Area(nothing, nothing, nothing, nothing[:, None], 0.0, 0.0, why)


def _even(n: int, count: int) -> Index:
    """Return `count` of n positions, evenly spaced."""
    return np.asarray((np.arange(count) + 0.5) * n / count, np.int64)


def _with_threshold(area: Area, prototypes: Floats, blocks: Codes) -> Area:
    limit = np.float32(KNOWN_WEIGHT)
    nearest = np.empty(len(prototypes), np.float32)
    places = np.unique(blocks, return_inverse=True)[1].astype(np.int64)
    mean = _among(prototypes, area.weights, places, limit, nearest)
    usable = nearest[np.isfinite(nearest)]
    if not (mean > 0 and usable.size):
        return _none("training rows of different blocks have no known features in common")
    index = usable / np.float32(mean)
    low, high = np.quantile(index, [0.25, 0.75])
    threshold = index[index <= high + WHISKER * (high - low)].max()
    if not threshold > 0:
        return _none("training rows of different blocks are all alike")
    return Area(
        area.means, area.scales, area.weights, prototypes, float(np.float32(mean)), float(threshold)
    )


@compiled
def _squared(
    one: Floats, other: Floats, weights: Floats, least: np.float32, most: np.float32
) -> np.float32:
    """Return the squared distance of two scaled rows over what both know; infinity beyond `most`.

    The sum over known features only grows, and is scaled up: once it exceeds `most` it stays so.
    """
    total, known = np.float32(0), np.float32(0)
    for feature in range(one.size):
        step = one[feature] - other[feature]
        if step == step:
            total += step * step
            known += weights[feature]
        if total > most:
            return np.float32(np.inf)
    if known < least:
        return np.float32(np.inf)
    return total / known


@compiled
def _shared(row: Floats, lanes: Lanes, shared: Floats) -> bool:
    """Write the weight that a row and each prototype know; return whether the row knows enough.

    A prototype with which it is too little gets -1, which no distance undercuts.
    """
    shared[:] = np.float32(0)
    own = np.float32(0)
    for feature in range(row.size):
        if row[feature] == row[feature]:
            own += lanes.weights[feature]
            for group in range(lanes.known.shape[0]):
                for lane in range(LANES):
                    weight = lanes.known[group, feature, lane] * lanes.weights[feature]
                    shared[group, lane] += weight
    for group in range(lanes.known.shape[0]):
        for lane in range(LANES):
            if shared[group, lane] < lanes.least:
                shared[group, lane] = np.float32(-1)
    return bool(own >= lanes.least)


@compiled
def _knows_as(row: Floats, other: Floats) -> bool:
    """Say whether two rows lack the same features: their shared weights are equal then."""
    for feature in range(row.size):
        if (row[feature] == row[feature]) != (other[feature] == other[feature]):
            return False
    return True


@compiled
def _is_near(
    row: Floats, lanes: Lanes, group: int, shared: Floats, most: np.float32, sums: Floats
) -> bool:
    """Say whether a prototype of one group lies within sqrt(`most`); `sums` is left as it comes."""
    for lane in range(LANES):
        sums[lane] = np.float32(0)
    seen = 0
    for place in range(row.size):
        feature = lanes.order[place]
        value = row[feature]
        if value != value:
            continue
        for lane in range(LANES):
            step = (value - lanes.values[group, feature, lane]) * lanes.known[group, feature, lane]
            sums[lane] += step * step
        seen += 1
        if seen % GLANCE == 0 and not _any_within(sums, shared, group, most):
            return False
    return _any_within(sums, shared, group, most)


@compiled
def _any_within(sums: Floats, shared: Floats, group: int, most: np.float32) -> bool:
    near = 0
    for lane in range(LANES):
        near |= int(sums[lane] <= most * shared[group, lane])
    return near > 0


@compiled
def _is_far(rows: Floats, lanes: Lanes, most: np.float32, far: NDArray[np.bool_]) -> None:
    """Say of each row whether every prototype is farther than sqrt(`most`)."""
    groups = lanes.values.shape[0]
    shared = np.empty((groups, LANES), np.float32)
    sums = np.empty(LANES, np.float32)
    last, is_known = 0, False
    for number in range(len(rows)):
        row = rows[number]
        if number == 0 or not _knows_as(row, rows[number - 1]):
            is_known = _shared(row, lanes, shared)
        far[number] = True
        if not is_known:
            continue
        if _is_near(row, lanes, last, shared, most, sums):
            far[number] = False
            continue
        for group in range(groups):
            if group != last and _is_near(row, lanes, group, shared, most, sums):
                far[number] = False
                last = group
                break


@compiled
def _nearest(rows: Floats, lanes: Lanes, found: Floats) -> None:
    """Write the squared distance of each row to the nearest prototype."""
    shared = np.empty((lanes.values.shape[0], LANES), np.float32)
    sums = np.empty(LANES, np.float32)
    for number in range(len(rows)):
        best = np.float32(np.inf)
        if _shared(rows[number], lanes, shared):
            for group in range(lanes.values.shape[0]):
                _is_near(rows[number], lanes, group, shared, best, sums)
                for lane in range(LANES):
                    if shared[group, lane] > 0:
                        best = min(best, sums[lane] / shared[group, lane])
        found[number] = best


@compiled
def _among(
    rows: Floats, weights: Floats, places: Codes, least: np.float32, nearest: Floats
) -> float:
    """Write each row's distance to the nearest row of another place; return the mean of all."""
    nearest[:] = np.inf
    total, pairs = 0.0, 0
    for one in range(len(rows)):
        for other in range(one):
            away = _squared(rows[one], rows[other], weights, least, np.float32(np.inf))
            if away == np.float32(np.inf):
                continue
            total += np.sqrt(np.float64(away))
            pairs += 1
            if places[one] != places[other]:
                nearest[one] = min(nearest[one], np.sqrt(away))
                nearest[other] = min(nearest[other], np.sqrt(away))
    return total / pairs if pairs else 0.0
