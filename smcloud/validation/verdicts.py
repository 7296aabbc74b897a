"""How often the selection of stations is right, where it is known which are representative."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.validation.selection import SelectionRules, kept_at

THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(14))
"""Least TC correlations of which it is told what they would keep, 0.3 to 0.95."""


@dataclass(frozen=True)
class Verdicts:
    """How often selection was right, where the truth is known.

    Attributes
    ----------
    kept_right, kept_wrong : int
        Representative and unrepresentative stations that were kept.
    dropped_right, dropped_wrong : int
        Unrepresentative and representative stations that were dropped.
    unknown : int
        Stations of the selection that the truth does not know.
    """

    kept_right: int
    kept_wrong: int
    dropped_right: int
    dropped_wrong: int
    unknown: int = 0

    @property
    def precision(self) -> float:
        """Return the share of the kept stations that are representative; NaN if none is kept."""
        return _share(self.kept_right, self.kept_right + self.kept_wrong)

    @property
    def recall(self) -> float:
        """Return the share of the representative stations that is kept; NaN if there is none."""
        return _share(self.kept_right, self.kept_right + self.dropped_wrong)

    @property
    def representative_share(self) -> float:
        """Return the precision of keeping every station, which selection has to beat."""
        good = self.kept_right + self.dropped_wrong
        return _share(good, good + self.kept_wrong + self.dropped_right)

    @property
    def precision_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the precision (Wilson's score)."""
        return _wilson(self.kept_right, self.kept_right + self.kept_wrong)

    @property
    def recall_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the recall (Wilson's score)."""
        return _wilson(self.kept_right, self.kept_right + self.dropped_wrong)


def precision_recall(selection: pd.DataFrame, truth: pd.DataFrame) -> Verdicts:
    """Return how a selection compares with which stations are representative in truth.

    Parameters
    ----------
    selection
        Table of `select_stations` (station, kept).
    truth
        station, representative (bool): the simulated Earth knows.

    Raises
    ------
    UserError
        If the truth has not these columns, or knows none of the stations.
    """
    found = _truth_of(selection, truth)
    return _counted(selection["kept"].to_numpy(np.bool_), found)


def by_threshold(
    selection: pd.DataFrame,
    rules: SelectionRules,
    truth: pd.DataFrame | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> pd.DataFrame:
    """Return what other thresholds would have done at the same stations: one row each.

    Parameters
    ----------
    selection
        Table of `select_stations`.
    rules
        Those that made it; their own threshold has a row too.
    truth
        As in `precision_recall`; None where nobody knows.

    Returns
    -------
    minimum_r (ascending), kept (stations), precision, recall (NaN without a truth), and is_chosen:
    whether it is the threshold of `rules`.

    Raises
    ------
    UserError
        As `precision_recall` and `kept_at`.
    """
    found = None if truth is None else _truth_of(selection, truth)
    rows = []
    for threshold in sorted({*thresholds, rules.minimum_r}):
        kept = kept_at(selection, rules, threshold)
        precision = recall = float("nan")
        if found is not None:
            verdicts = _counted(kept, found)
            precision, recall = verdicts.precision, verdicts.recall
        rows.append((threshold, int(kept.sum()), precision, recall, threshold == rules.minimum_r))
    return pd.DataFrame(rows, columns=["minimum_r", "kept", "precision", "recall", "is_chosen"])


def _truth_of(selection: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """Return whether each station of a selection is representative; NaN where that is unknown."""
    missing = [name for name in ("station", "representative") if name not in truth]
    if missing:
        raise UserError(
            f"the truth of stations has no column {missing[0]!r}: expected station, representative"
        )
    known = truth.drop_duplicates("station").set_index("station")["representative"]
    found = selection["station"].map(known)
    if found.isna().all():
        raise UserError(
            f"the truth knows none of {len(selection)} stations, such as "
            f"{selection['station'].iloc[0]}: expected names as network/station"
        )
    return found


def _counted(kept: NDArray[np.bool_], found: pd.Series) -> Verdicts:
    judged = found.notna().to_numpy()
    good = found[judged].to_numpy(np.bool_)
    chosen = kept[judged]
    return Verdicts(
        kept_right=int((chosen & good).sum()),
        kept_wrong=int((chosen & ~good).sum()),
        dropped_right=int((~chosen & ~good).sum()),
        dropped_wrong=int((~chosen & good).sum()),
        unknown=int((~judged).sum()),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _wilson(part: int, whole: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    if not whole:
        return float("nan"), float("nan")
    share = part / whole
    scale = 1 + z**2 / whole
    centre = (share + z**2 / (2 * whole)) / scale
    half = z * np.sqrt(share * (1 - share) / whole + z**2 / (4 * whole**2)) / scale
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))
