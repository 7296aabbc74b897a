"""How well gaps in surface temperature are filled, by their size and by what a value rests on.

Two questions, answered apart. Clear pixels hidden under the clouds of other days, moved elsewhere,
are held against what was seen there: so a gap's shape is that of clouds, but its weather is clear.
Where the truth is known (a simulated Earth), pixels under true clouds are held against that: a
filler of clear skies fails there and nowhere else.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from smcloud.core.errors import UserError
from smcloud.cube.schema import Days, Variable
from smcloud.features.clear_sky import Packing, Stored
from smcloud.features.cloud_filling import HALO_NODES, FillingRules, LstState, Scene, filled
from smcloud.features.lattice import nodes_of, samples_of, widened
from smcloud.grids.grid import PIXEL_M, Floats, Window
from smcloud.validation.hidden_swaths import linear_in_time
from smcloud.validation.metrics import bias, rmse
from smcloud.validation.pairs import PairStats

Bools = NDArray[np.bool_]
Estimates = Mapping[str, NDArray[np.floating]]
"""Filler to its values (days, rows, cols), K; NaN where it has none."""

AGES = ((1, 1), (2, 3), (4, 7), (8, 15), (16, 400))
"""Classes of the days since a pixel was last seen."""
WIDTHS_KM = (5.0, 15.0, 50.0)
"""Classes of the distance to the nearest clear pixel of the day begin at 0 and at these."""
REACH_DAYS = 60
"""How far linear interpolation in time looks for a look."""
FILLED, NO_REANALYSIS = "filled", "clear sky alone"
CLIMATOLOGY, NO_CLIMATE = "climatology alone", "linear in time"
FILLERS = (FILLED, NO_REANALYSIS, CLIMATOLOGY, NO_CLIMATE)
KEYS = ["grouping", "class", "filler"]
"""Columns of a table of scores that say what a row is about."""


@dataclass(frozen=True)
class CloudHiding:
    """Which clear pixels are hidden, and under which clouds.

    Attributes
    ----------
    shift_days : int
        Days from a hidden day to the one whose clouds hide it: a month, so that the weather is
        another and the season the same.
    shift_pixels : (int, int)
        By which those clouds are moved south and east, around the edges of the window: so they
        do not stand where clouds often stand.
    apart : int
        Days from one hidden day to the next: more than a filler looks to either side.
    """

    shift_days: int = 31
    shift_pixels: tuple[int, int] = (37, -53)
    apart: int = 10

    def __post_init__(self) -> None:
        if self.apart < 1 or self.shift_days == 0:
            raise UserError(
                "hidden pixels need at least 1 day apart and a shift of at least one day, found "
                f"{self.apart} and {self.shift_days}"
            )


@dataclass(frozen=True, eq=False)
class LstWindow:
    """One overpass over one window in a year.

    Attributes
    ----------
    window : Window
        Whole nodes of the filling's lattice, in global pixels.
    days : (days,) datetime64[D]
    variable : Variable
        How looks are packed.
    looks : uint16 (days, rows, cols)
    elevation_km : (rows, cols)
    reanalysis : (2, days, nodes)
        As `Scene` has it.
    rules : FillingRules
    """

    window: Window
    days: Days
    variable: Variable
    looks: Stored
    elevation_km: Floats
    reanalysis: Floats
    rules: FillingRules

    @property
    def known(self) -> Bools:
        """Return where there is a look."""
        return np.asarray(self.looks != self.variable.fill_value)

    def scene(self, hidden: Bools) -> Scene:
        """Return what the filling is given: the looks that are not hidden, nothing around them."""
        looks = np.where(hidden, self.variable.fill_value, self.looks).astype(np.uint16)
        rows, cols = samples_of(widened(nodes_of(self.window), HALO_NODES))
        down = _inside(rows, self.window.row0, self.window.row1)
        across = _inside(cols, self.window.col0, self.window.col1)
        own = np.ix_(rows[down] - self.window.row0, cols[across] - self.window.col0)
        around = np.full((len(self.days), rows.size, cols.size), self.variable.fill_value, "u2")
        around[:, down, across] = looks[:, own[0], own[1]]
        height = np.full((rows.size, cols.size), np.nan)
        height[down, across] = self.elevation_km[own]
        flat = len(self.days), -1
        return Scene(
            self.window,
            self.days,
            Packing.of(self.variable),
            looks.reshape(flat),
            self.elevation_km.ravel(),
            around.reshape(flat),
            height.ravel(),
            self.reanalysis,
        )


def _inside(places: NDArray[np.int64], low: int, high: int) -> slice:
    """Return which of some ascending pixels lie in [low, high)."""
    return slice(int(np.searchsorted(places, low)), int(np.searchsorted(places, high)))


def fillings(
    data: LstWindow, hidden: Bools, names: Sequence[str] = FILLERS
) -> tuple[Estimates, NDArray[np.uint8]]:
    """Return what each way of filling makes of a window with pixels hidden, and `filled`'s states.

    The filling itself, always; without the reanalysis; its climatology alone; looks interpolated in
    time.
    """
    scene, shape = data.scene(hidden), data.looks.shape
    whole = filled(scene, data.rules)
    found: dict[str, NDArray[np.floating]] = {
        FILLED: data.variable.unpack(whole.stored).reshape(shape)
    }
    for name in (name for name in names if name not in (FILLED, NO_CLIMATE)):
        found[name] = _filled_by(data, scene, name)
    if NO_CLIMATE in names:
        seen = data.variable.unpack(scene.looks).astype(np.float64)
        found[NO_CLIMATE] = linear_in_time(seen, REACH_DAYS).reshape(shape)
    return found, whole.state.reshape(shape)


def climatology_alone(data: LstWindow) -> NDArray[np.float32]:
    """Return what the clear-sky years make of a window, looks aside (days, rows, cols), K."""
    return _filled_by(data, data.scene(np.zeros(data.looks.shape, bool)), CLIMATOLOGY)


def _filled_by(data: LstWindow, scene: Scene, name: str) -> NDArray[np.float32]:
    """Return what a scene becomes (days, rows, cols), K, without a part of the filling."""
    has_anomalies = name != CLIMATOLOGY
    rules = replace(data.rules, uses_departure=False, uses_anomalies=has_anomalies)
    return data.variable.unpack(filled(scene, rules).stored).reshape(data.looks.shape)


def hidden_clouds(known: Bools, rule: CloudHiding, fold: int) -> Bools:
    """Return which clear pixels (days, rows, cols) one round hides.

    Parameters
    ----------
    known
        Where there is a look.
    fold
        From 0; day `fold` is the first that may be hidden.
    """
    hidden = np.zeros(known.shape, bool)
    for day in range(fold, len(known), rule.apart):
        other = day + rule.shift_days
        if not 0 <= other < len(known):  # at the end of the series: the same shift backwards
            other = day - rule.shift_days
        if 0 <= other < len(known):
            hidden[day] = known[day] & ~np.roll(known[other], rule.shift_pixels, axis=(0, 1))
    return hidden


def score_hidden_pixels(
    data: LstWindow, rule: CloudHiding | None = None, folds: Sequence[int] = (0,)
) -> pd.DataFrame:
    """Return scores of clear pixels that were hidden, against what was seen there.

    The table has one row a grouping, class and filler: n, RMSE and bias (K). All fillers are
    judged on the same values, those that each of them estimated.

    Raises
    ------
    UserError
        If no clear pixel could be hidden.
    """
    sums = hidden_sums(data, rule or CloudHiding(), folds)
    if not sums.pairs:
        raise UserError(
            f"no clear pixel could be hidden in {len(data.days)} days: choose another shift than "
            f"{(rule or CloudHiding()).shift_days} days, or a longer series"
        )
    return sums.table()


def hidden_sums(
    data: LstWindow,
    rule: CloudHiding,
    folds: Sequence[int],
    names: Sequence[str] = FILLERS,
    where: Bools | None = None,
) -> GapSums:
    """Return the sums behind `score_hidden_pixels`; none where no pixel could be hidden.

    `where` (rows, cols) are the pixels that are judged, all by default.
    """
    seen = data.variable.unpack(data.looks)
    sums = GapSums()
    for fold in folds:
        hidden = hidden_clouds(data.known, rule, fold)
        estimates, state = fillings(data, hidden, names)
        judged = hidden if where is None else hidden & where
        sums.add(estimates, seen, judged, gap_classes(data.known & ~hidden, state))
    return sums


def score_cloudy_pixels(data: LstWindow, truth: Floats, is_cloudy: Bools) -> pd.DataFrame:
    """Return scores of pixels without a look against the true temperature, as above.

    Parameters
    ----------
    truth : (days, rows, cols)
        K.
    is_cloudy : (days, rows, cols)
        Where a cloud stood; pixels that no swath reached are no clouds.
    """
    nothing = np.zeros(data.looks.shape, bool)
    estimates, state = fillings(data, nothing)
    sums = GapSums()
    sums.add(estimates, truth, is_cloudy & ~data.known, gap_classes(data.known, state))
    return sums.table()


def days_since_a_look(known: Bools) -> NDArray[np.int64]:
    """Return the days since each pixel (days, ...) was last seen: 0 on a day that it is.

    Before its first look, the days to come to that.
    """
    number = np.arange(len(known)).reshape(-1, *[1] * (known.ndim - 1))
    far = 10 * len(known)
    last = np.maximum.accumulate(np.where(known, number, -far), axis=0)
    following = np.minimum.accumulate(np.where(known, number, far)[::-1], axis=0)[::-1]
    return np.where(last >= 0, number - last, following - number)


def distance_to_a_look(known: Bools) -> Floats:
    """Return the distance (km) to the nearest pixel (days, rows, cols) seen on the day.

    Infinite on days without one; counted in pixels of the grid.
    """
    found = np.full(known.shape, np.inf)
    for day, seen in enumerate(known):
        if seen.any():
            found[day] = distance_transform_edt(~seen) * PIXEL_M / 1000.0
    return found


Groups = Mapping[str, Mapping[str, Bools]]
Key = tuple[str, str, str]


def gap_classes(known: Bools, state: NDArray[np.uint8]) -> Groups:
    """Return the classes (days, rows, cols) of each grouping: by size of gap, by state."""
    age, width = days_since_a_look(known), distance_to_a_look(known)
    edges = (0.0, *WIDTHS_KM, np.inf)
    rests = (LstState.CLEAR_SKY_ANOMALY, LstState.CLOUD_DEPARTURE, LstState.CLIMATOLOGY)
    return {
        "all": {"": np.ones(known.shape, bool)},
        "days since a look": {
            _class(low, high): (age >= low) & (age <= high) for low, high in AGES
        },
        "km to a clear pixel": {
            _class(low, high): (width >= low) & ((width < high) | (high == np.inf))
            for low, high in itertools.pairwise(edges)
        },
        "rests on": {one.name.lower().replace("_", " "): np.asarray(state == one) for one in rests},
    }


def _class(low: float, high: float) -> str:
    """Return the words of a class; the last one has no upper end."""
    if high in (AGES[-1][1], np.inf):
        return f"{low:g} or more"
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


class GapSums:
    """Sums over pairs by grouping, class and filler; rounds and blocks add up."""

    def __init__(self, pairs: Mapping[Key, PairStats] | None = None) -> None:
        self.pairs: dict[Key, PairStats] = dict(pairs or {})

    def add(
        self,
        estimates: Estimates,
        reference: NDArray[np.floating],
        where: Bools,
        groups: Groups,
    ) -> None:
        """Add the values of one round that every filler has."""
        common = where & np.isfinite(reference)
        for values in estimates.values():
            common &= np.isfinite(values)
        for grouping, classes in groups.items():
            for name, inside in classes.items():
                chosen = common & inside
                if not chosen.any():
                    continue
                for filler, values in estimates.items():
                    self._merge(
                        (grouping, name, filler), PairStats.of(values[chosen], reference[chosen])
                    )

    def __add__(self, other: GapSums) -> GapSums:
        """Return the sums over the union of both."""
        found = GapSums(self.pairs)
        for key, more in other.pairs.items():
            found._merge(key, more)
        return found

    def _merge(self, key: Key, more: PairStats) -> None:
        self.pairs[key] = self.pairs[key] + more if key in self.pairs else more

    def table(self) -> pd.DataFrame:
        """Return one row a grouping, class and filler: n, RMSE and bias."""
        rows = [
            (*key, int(pairs.n), float(rmse(pairs)), float(bias(pairs)))
            for key, pairs in self.pairs.items()
        ]
        return pd.DataFrame(rows, columns=[*KEYS, "n", "RMSE", "bias"])

    def to_frame(self) -> pd.DataFrame:
        """Return the sums themselves, one row a grouping, class and filler."""
        names = [part.name for part in fields(PairStats)]
        rows = [
            (*key, *(float(getattr(pairs, name)) for name in names))
            for key, pairs in self.pairs.items()
        ]
        return pd.DataFrame(rows, columns=[*KEYS, *names])

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> GapSums:
        """Return the sums that `to_frame` wrote."""
        names = [part.name for part in fields(PairStats)]
        keys = frame[KEYS].astype(str).itertuples(index=False, name=None)
        values = frame[names].to_numpy(np.float64)
        pairs = (PairStats(*(np.asarray(value) for value in row)) for row in values)
        return cls(dict(zip(keys, pairs, strict=True)))
