"""What is judged once a month: whether a pixel is like the training, and whether it is water.

The features of the 15th speak for the days of their month: what is asked changes with the seasons,
not with the weather, and a year of it costs a thirtieth. Any cut into blocks and slabs judges the
same days by the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.cube.schema import Array, Days
from smcloud.features.inputs import Points
from smcloud.features.sink import DaySink
from smcloud.features.spec import Flags, Floats32, Quality
from smcloud.models.applicability import Area
from smcloud.products.base import OPEN_WATER, OUTSIDE_AREA

JUDGED_DAY = 15
LEAST_DAYS_APART = 28
"""Days from the 15th of February to that of March: no two judged days lie closer."""
WATER_FEATURE = "ndvi"
"""Below zero over open water; over snow and ice too, which have a bit of their own."""
COPIES = 3
"""Float32 arrays of one judged day's features while it is judged: scaled, and turned over."""

Bits = NDArray[np.uint16]


@dataclass(frozen=True)
class JudgedDays:
    """Which days of a block are judged, and which month each day belongs to.

    Attributes
    ----------
    judged : int64 (n_judged,)
        Positions among the block's days.
    month : int64 (n_days,)
        Number of the judged day that speaks for each day; -1 where its month has none.
    """

    judged: NDArray[np.int64]
    month: NDArray[np.int64]

    @classmethod
    def of(cls, days: Days) -> "JudgedDays":
        """Return the judged days among consecutive days."""
        months = days.astype("datetime64[M]")
        judged = np.flatnonzero((days - months.astype(days.dtype)).astype(int) == JUDGED_DAY - 1)
        place = {month: number for number, month in enumerate(months[judged].tolist())}
        return cls(judged, np.array([place.get(m, -1) for m in months.tolist()], np.int64))


class Judgement:
    """Collects what is judged of a block, slab after slab.

    Parameters
    ----------
    days : datetime64[D] (n_days,)
        Of the block.
    names : sequence of str
        Features, in order.
    area : Area or None
        The model's area of applicability; without it nothing is outside.
    """

    def __init__(self, days: Days, names: Sequence[str], n_points: int, area: Area | None) -> None:
        self._area = area
        self._water = names.index(WATER_FEATURE) if WATER_FEATURE in names else None
        self._days = JudgedDays.of(days)
        self._n_features, self._n_points = len(names), n_points
        self._bits: Bits = np.zeros((len(self._days.judged), n_points), np.uint16)
        self._sink: DaySink | None = None
        self._slab = slice(0, 0)

    def begin(self, slab: slice) -> DaySink | None:
        """Return a sink for the judged days of a slab; None if there is nothing to judge."""
        self._slab = slab
        judged = self._days.judged
        kept = (judged[(judged >= slab.start) & (judged < slab.stop)] - slab.start).tolist()
        has_work = bool(kept) and (self._area is not None or self._water is not None)
        self._sink = DaySink(self._n_features, kept, self._n_points) if has_work else None
        return self._sink

    def judge(self, flags: Flags) -> None:
        """Judge the days that the sink received; `flags` (n_days, n_points) are the slab's."""
        if self._sink is None:
            return
        for place, day in enumerate(self._sink.kept):
            number = self._days.month[self._slab.start + day]
            self._bits[number] = self._of_day(self._sink.values[:, place], flags[day])
        self._sink = None

    def raise_into(self, raised: Array, points: Points) -> None:
        """Raise the bits of each month in whole days (n_days, pixels), at the points."""
        if self._bits.any():
            _raise(self._bits, self._days.month, points, raised)

    def _of_day(self, columns: Floats32, flags: Flags) -> Bits:
        bits = np.zeros(self._n_points, np.uint16)
        if self._area is not None:
            bits |= np.where(self._area.outside(columns), np.uint16(OUTSIDE_AREA), np.uint16(0))
        if self._water is not None:
            is_frozen = (flags & np.uint8(Quality.FROZEN_OR_SNOW)) != 0
            is_wet = (columns[self._water] < 0) & ~is_frozen
            bits |= np.where(is_wet, np.uint16(OPEN_WATER), np.uint16(0))
        return bits


def judgement_bytes(n_features: int, slab_days: int, n_points: int) -> int:
    """Return the most bytes that judging takes: the kept days of a slab, and one day's copies."""
    kept = slab_days // LEAST_DAYS_APART + 1
    a_day = np.dtype(np.float32).itemsize * n_features * n_points
    return (kept + COPIES) * a_day + 12 * np.dtype(np.uint16).itemsize * n_points


@compiled
def _raise(bits: Bits, month: NDArray[np.int64], points: Points, raised: Any) -> None:
    for day in range(raised.shape[0]):
        if month[day] >= 0:
            for number in range(points.shape[0]):
                raised[day, points[number]] |= bits[month[day], number]
