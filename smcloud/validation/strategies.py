"""What a strategy is worth at the same stations: paired differences, and scores by kind of station.

Two models are compared on the stations that both were tested on, station by station. The median of
the differences is not the difference of the medians: it is what a station gains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from smcloud.grids.grid import Floats
from smcloud.validation.collocation import month_of
from smcloud.validation.metrics import (
    correlation,
    draw_weights,
    unbiased_rmse,
    weighted_median,
)
from smcloud.validation.overview import SEASONS
from smcloud.validation.pairs import PairStats

WITHOUT: Final = "all"
WITH: Final = "selected"
"""The variants of a model: of all stations, and of selected ones."""
MINIMUM_DAYS = 15
"""Days of a station in a season below which it has no score there."""


@dataclass(frozen=True)
class Difference:
    """What a score gains from selection at the same stations; the ends are of its 95 % interval.

    `without` and `with_` are the medians over these stations; `value` the median of the
    differences. Units are the score's.
    """

    score: str
    stations: int
    without: float
    with_: float
    value: float
    low: float
    high: float


def station_scores(rows: pd.DataFrame, split: str, variant: str) -> pd.DataFrame:
    """Return one row a station, its scores the mean over the folds that tested it.

    `rows` is the table of an assessment: split, variant, station, numbers and words about each.
    """
    chosen = rows[(rows["split"] == split) & (rows["variant"] == variant)]
    numbers = chosen.select_dtypes("number").columns.difference(["fold"])
    words = chosen.columns.difference([*numbers, "station", "split", "variant", "fold"])
    how: dict[str, str] = dict.fromkeys(numbers, "mean") | dict.fromkeys(words, "first")
    return chosen.groupby("station", sort=True).agg(how).reset_index()


def paired(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the stations that models without and with selection were both tested on.

    Columns are those of `station_scores`, of the first as they are and of the second with the
    suffix ``_with``.
    """
    without, with_ = (station_scores(rows, split, variant) for variant in (WITHOUT, WITH))
    return without.merge(with_, on="station", suffixes=("", "_with"))


def difference(
    pairs: pd.DataFrame, score: str, chosen: np.ndarray | None = None, seed: int = 0
) -> Difference:
    """Return what `score` gains at the stations of `paired`; `chosen` keeps some of them (bool).

    The interval is a bootstrap over spatial blocks (column ``block``), whose stations are not
    independent; NaN ends where fewer than two have both scores.
    """
    kept = pairs if chosen is None else pairs[np.asarray(chosen, bool)]
    x, y = (kept[name].to_numpy(float) for name in (score, f"{score}_with"))
    known = np.isfinite(x) & np.isfinite(y)
    gain, n = (y - x)[known], int(known.sum())
    if n == 0:
        return Difference(score, 0, *(float("nan"),) * 5)
    blocks = kept["block"].to_numpy(str)[known]
    drawn = weighted_median(gain, draw_weights(blocks, seed=seed))
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (float("nan"),) * 2
    middle = float(np.median(x[known])), float(np.median(y[known]))
    return Difference(score, n, *middle, float(np.median(gain)), float(low), float(high))


def by_season(pairs: pd.DataFrame) -> Mapping[str, Mapping[str, Floats]]:
    """Return, by season, R and ubRMSE (m3 m-3) of every station; NaN where days are too few.

    `pairs` has station, time, estimate and soil_moisture; seasons are those of the calendar.
    """
    names, codes = np.unique(pairs["station"].to_numpy(str), return_inverse=True)
    months = month_of(pairs["time"].to_numpy("datetime64[D]"))
    season = np.empty(12, np.int64)
    for number, members in enumerate(SEASONS.values()):
        season[list(members)] = number
    groups = codes * len(SEASONS) + season[months]
    x, y = (pairs[name].to_numpy(float) for name in ("estimate", "soil_moisture"))
    sums = PairStats.grouped(x, y, groups, len(names) * len(SEASONS))
    enough = (sums.n >= MINIMUM_DAYS).reshape(-1, len(SEASONS))
    found = {"R": correlation(sums), "ubRMSE": unbiased_rmse(sums)}
    table = {k: np.where(enough, v.reshape(enough.shape), np.nan) for k, v in found.items()}
    return {
        name: {score: values[:, number] for score, values in table.items()}
        for number, name in enumerate(SEASONS)
    }


def by_kind(stations: pd.DataFrame, column: str) -> Mapping[str, Mapping[str, Floats]]:
    """Return, by the words in `column`, R and ubRMSE of every station, most stations first.

    `stations` is `station_scores`. Stations of which the word is unknown are "unknown".
    """
    words = stations[column].astype(object).where(stations[column].notna(), "unknown").astype(str)
    order = words.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    return {
        str(word): {
            score: stations.loc[words == word, score].to_numpy(float) for score in ("R", "ubRMSE")
        }
        for word in order
    }
