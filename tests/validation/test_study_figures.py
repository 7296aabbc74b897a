"""Pictures of a study can be drawn of any data, and equal data give equal bytes."""

import numpy as np
import pandas as pd
import pytest

from smcloud.validation.study_figures import (
    Group,
    Line,
    Worth,
    groups_picture,
    pairs_picture,
    reliability_picture,
    search_picture,
    threshold_picture,
    worth_picture,
)

SCORES = {"R": np.array([0.5, np.nan, 0.7]), "ubRMSE": np.array([0.05, 0.06, np.nan])}
UNKNOWN = {name: np.full(3, np.nan) for name in SCORES}


def thresholds(shares):
    return pd.DataFrame(
        {
            "minimum_r": [0.3, 0.5, 0.95],
            "kept": [9, 4, 0],
            "precision": shares,
            "recall": shares,
            "is_chosen": [False, True, False],
        }
    )


def pictures(scores):
    kept = np.array([True, False, True])
    line = Line("a", np.array([0.5, 0.9]), np.array([0.4, 0.8]))
    level = Line("dry", np.array([0.68]), np.array([0.6]))
    return {
        "groups": groups_picture([Group("a", scores, True), Group("b", UNKNOWN)]),
        "pairs": pairs_picture(scores, scores, kept),
        "worth": worth_picture(["gain", "rise"], [Worth("ndvi", (0.2, np.nan), (np.nan, 0.1))]),
        "search": search_picture([line], 0, "RMSE"),
        "thresholds": threshold_picture(thresholds(scores["R"])),
        "reliability": reliability_picture([line], [("0 to 0.1", [level]), ("0.1 to 0.2", [])]),
    }


@pytest.mark.parametrize("scores", [SCORES, UNKNOWN])
def test_every_picture_is_drawn_and_the_same_twice(scores):
    first, second = pictures(scores), pictures(scores)
    for name, png in first.items():
        assert png.startswith(b"\x89PNG"), name
        assert png == second[name], name


def test_a_group_counts_the_stations_that_have_a_score():
    assert Group("a", SCORES).n == 2
    assert Group("b", UNKNOWN).n == 0


def test_nothing_to_show_is_an_empty_picture():
    assert groups_picture([]).startswith(b"\x89PNG")
    assert worth_picture(["gain"], []).startswith(b"\x89PNG")
    assert reliability_picture([], []).startswith(b"\x89PNG")
    assert search_picture([], 0, "RMSE").startswith(b"\x89PNG")
