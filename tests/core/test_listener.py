"""Counts as people read them."""

import pytest

from smcloud.core.listener import counted


@pytest.mark.parametrize(
    ("count", "unit", "text"),
    [
        (0, "tasks", "0 tasks"),
        (1, "tasks", "1 task"),
        (1, "groups of stations", "1 group of stations"),
        (2, "groups of stations", "2 groups of stations"),
        (1200, "land pixels", "1,200 land pixels"),
    ],
)
def test_one_is_singular(count, unit, text):
    assert counted(count, unit) == text
