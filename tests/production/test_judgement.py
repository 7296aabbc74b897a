"""What is judged on the 15th speaks for its month, however the year is cut."""

from itertools import pairwise

import numpy as np
import pytest

from smcloud.cube.schema import Variable
from smcloud.features.sink import DaySink, FanSink, FloatSink
from smcloud.features.spec import Quality
from smcloud.production.judgement import JudgedDays, Judgement, judgement_bytes
from smcloud.products.base import OPEN_WATER, OUTSIDE_AREA

DAYS = np.arange("2019-01-10", "2019-04-20", dtype="datetime64[D]")
NAMES = ("ndvi", "lst_day")
POINTS = np.array([1, 3, 4])


class FarFrom:
    """An area that holds temperatures below 300 K."""

    def outside(self, columns):
        return columns[1] >= 300


def field(seed=0):
    rng = np.random.default_rng(seed)
    return np.stack(
        [rng.uniform(-0.2, 0.8, (DAYS.size, 3)), rng.uniform(280, 320, (DAYS.size, 3))]
    ).astype(np.float32)


FAR = FarFrom()


def judged(cuts, area=FAR, names=NAMES, flags=None):
    values, judgement = field(), Judgement(DAYS, names, 3, area)
    flags = np.zeros((DAYS.size, 3), np.uint8) if flags is None else flags
    bounds = [0, *cuts, DAYS.size]
    for start, stop in pairwise(bounds):
        sink = judgement.begin(slice(start, stop))
        for column in range(2) if sink is not None else ():
            sink.put(column, slice(0, stop - start), values[column, start:stop])
        judgement.judge(flags[start:stop])
    raised = np.ones((DAYS.size, 6), np.uint16)
    judgement.raise_into(raised, POINTS)
    return raised


def test_months_take_what_their_fifteenth_says():
    days = JudgedDays.of(DAYS)
    fifteenths = DAYS[days.judged]
    assert fifteenths.astype(str).tolist() == [f"2019-0{month}-15" for month in (1, 2, 3, 4)]
    raised, values = judged(cuts=()), field()
    for day, month in zip(range(DAYS.size), days.month, strict=True):
        ndvi, warmth = values[:, days.judged[month]]
        bits = (warmth >= 300) * OUTSIDE_AREA + (ndvi < 0) * OPEN_WATER
        np.testing.assert_array_equal(raised[day, POINTS], bits + 1)
    assert (raised[:, [0, 2, 5]] == 1).all()
    assert len(np.unique(raised)) == 4


@pytest.mark.parametrize("cuts", [(5,), (6, 37, 38), tuple(range(1, DAYS.size))])
def test_slabs_do_not_change_what_is_judged(cuts):
    np.testing.assert_array_equal(judged(cuts), judged(()))


def test_a_month_without_its_fifteenth_is_not_judged():
    short = JudgedDays.of(np.arange("2019-01-16", "2019-02-20", dtype="datetime64[D]"))
    assert short.month.tolist() == [-1] * 16 + [0] * 19


def test_frozen_pixels_are_not_called_water():
    flags = np.full((DAYS.size, 3), int(Quality.FROZEN_OR_SNOW), np.uint8)
    assert not (judged((), flags=flags) & OPEN_WATER).any()
    assert (judged(()) & OPEN_WATER).any()


def test_nothing_is_kept_where_nothing_can_be_judged():
    assert Judgement(DAYS, ("lst_day",), 3, None).begin(slice(0, 50)) is None
    assert Judgement(DAYS, NAMES, 3, None).begin(slice(10, 20)) is None
    raised = judged((), area=None)
    assert (raised & OPEN_WATER).any()
    assert not (raised & OUTSIDE_AREA).any()


def test_kept_days_are_those_of_a_whole_slab_whatever_form_they_come_in():
    stored = Variable("lst_day", "uint16", "K", "LST", (200.0, 350.0), 0.02, 0.0, 0)
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, 17_500, (9, 3), dtype=np.uint16)
    whole, few = FloatSink(3, 9, 3), DaySink(3, (2, 8), 3)
    both = FanSink([whole, few])
    both.put_static(0, np.array([1, 2, np.nan], np.float32))
    for days in (slice(0, 3), slice(3, 9)):
        both.put(1, days, rng.random((days.stop - days.start, 3)).astype(np.float32))
        both.put_stored(2, days, numbers[days], stored)
    np.testing.assert_array_equal(few.values, whole.values[:, [2, 8]])


def test_planned_bytes_hold_the_kept_days():
    for slab in (1, 27, 46, 92):
        most = max(
            JudgedDays.of(np.arange(first, first + slab)).judged.size
            for first in np.arange("2019-01-01", "2019-12-31", dtype="datetime64[D]")
        )
        sink = DaySink(24, range(most), 100)
        assert judgement_bytes(24, slab, 100) >= sink.values.nbytes
