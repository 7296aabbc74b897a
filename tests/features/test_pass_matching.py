"""Passes of two satellites matched by time, across UTC days."""

import numpy as np
import pytest

from smcloud.features.pass_matching import days_later, utc_hours, with_labels_of


@pytest.mark.parametrize(
    ("longitude", "own", "other", "later"),
    [
        (90.0, 1.5, 6.0, 1),  # 19:30 UTC, and midnight UTC of the next day
        (0.0, 1.5, 6.0, 0),
        (60.0, 1.5, 6.0, 1),
        (170.0, 1.5, 6.0, 0),  # both on the UTC day before the local one
        (-170.0, 1.5, 6.0, 0),
        (90.0, 13.5, 18.0, 0),
        (-100.0, 13.5, 18.0, 1),
        (-30.0, 23.0, 1.0, 0),  # 1:00 and 3:00 UTC
        (100.0, 6.0, 4.0, 0),
        (92.0, 6.5, 5.0, -1),  # 0:22 UTC, and 22:52 UTC of the day before
    ],
)
def test_the_nearest_pass_may_lie_on_another_utc_day(longitude, own, other, later) -> None:
    place = np.array([longitude])
    found = days_later(utc_hours(own, place)[None], other, place)
    assert found.tolist() == [[later]]
    apart = utc_hours(other, place) + 24.0 * later - utc_hours(own, place)
    assert apart[0] == pytest.approx((other - own + 12.0) % 24.0 - 12.0)


def test_passes_too_far_apart_and_unknown_hours_are_no_pair() -> None:
    place = np.array([10.0, 10.0, 10.0])
    own = np.array([[11.0, np.nan, 5.0]])
    assert np.isnan(days_later(own, 18.0, place))[0].tolist() == [True, True, True]
    assert days_later(own, 6.0, place)[0, 2] == 0.0


def test_labels_come_from_the_day_of_the_pair() -> None:
    day = np.arange(3, dtype=np.uint8)[:, None] * np.ones((1, 4), np.uint8)
    labels = {-1: day + 10, 0: day, 1: day + 20}
    later = np.tile([-1.0, 0.0, 1.0, np.nan], (3, 1))
    found = with_labels_of(labels, later, 255)
    assert found.tolist() == [[10, 0, 20, 255], [11, 1, 21, 255], [12, 2, 22, 255]]
