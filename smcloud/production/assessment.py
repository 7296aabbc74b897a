"""What is known of a model's worth: every score by split, variant and kind of test station.

``models/<name>/assessment.json`` holds the medians with their intervals, the search for parameters,
importance, ablation and coverage; ``assessment.parquet`` one row per split, fold, variant and test
station, so that anybody may draw another picture of the same numbers.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from smcloud.core.errors import ModelError, NotFoundError
from smcloud.core.objects import Objects
from smcloud.models.folds import Variant
from smcloud.models.importance import Ablation, Importance
from smcloud.models.tuning import Trial, TuningResult
from smcloud.validation.splits import SplitKind

ASSESSMENT = "assessment.json"
ROWS = "assessment.parquet"
VERSION = 1

Against = Literal["all", "selected", "truth"]
"""What a model was scored against: all unselected test stations, those of them that pass the rule
of selection themselves, or the truth of the pixels of all of them (simulated Earth only)."""
Numbers = Mapping[str, Mapping[str, float]]
"""Score name to value, low and high of its 95 % interval; NaN where it cannot be known."""


@dataclass(frozen=True)
class StrategyScores:
    """How one variant of the model met one kind of test stations in one split, folds together.

    Attributes
    ----------
    split, variant, against : str
    network : str
        Name of the held-out network that the scores are of; empty for all test stations.
    folds, stations, rows : int
        Folds, test stations with days enough, and test rows behind the scores.
    overall, median : mapping
        Over all pairs, and the median over stations; R without units, others in the target's.
    why_not : str
        Why there is no score; empty when there is one.
    """

    split: SplitKind
    variant: Variant
    against: Against
    network: str
    folds: int
    stations: int
    rows: int
    overall: Numbers
    median: Numbers
    why_not: str = ""


@dataclass(frozen=True, eq=False)
class Assessment:
    """Everything that was found out about a model; seconds are of one machine and no identity.

    Attributes
    ----------
    model, sha256 : str
        The stored model.
    headline : str
        Split that stands for the model: the one most like production that was possible.
    shipped : str
        Variant that is stored.
    scores : tuple of StrategyScores
    selection : mapping or None
        Stations kept and dropped, with reasons, in fit and stop of the stored model.
    tuning : tuple of TuningResult
        The first is that of the stored model; empty without a search.
    tuned_test : mapping
        "stated" and "chosen" parameters to their scores on the test set of the stored model.
    importance : tuple of Importance
        Features first, then drivers.
    ablation : tuple of Ablation
    coverage : mapping
        Test set to what `validation.coverage` found there; empty without uncertainty.
    constraints : mapping
        Monotone and interaction constraints by feature name.
    seconds : mapping
        Part of the training to its wall time.
    rows : DataFrame
        split, fold, variant, station, n, R, RMSE, ubRMSE, bias, is_selected, R_truth,
        ubRMSE_truth, network, latitude, longitude and what else is known of the stations.
    """

    model: str
    sha256: str
    headline: SplitKind
    shipped: Variant
    scores: tuple[StrategyScores, ...]
    selection: Mapping[str, Any] | None
    tuning: tuple[TuningResult, ...]
    tuned_test: Mapping[str, Mapping[str, float]]
    importance: tuple[Importance, ...]
    ablation: tuple[Ablation, ...]
    coverage: Mapping[SplitKind, Any]
    constraints: Mapping[str, Any]
    seconds: Mapping[str, float] = field(default_factory=dict)
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)

    def scores_of(
        self, split: SplitKind, variant: Variant, against: Against = "all", network: str = ""
    ) -> StrategyScores | None:
        """Return one entry of `scores`, or None."""
        wanted = (split, variant, against, network)
        for found in self.scores:
            if (found.split, found.variant, found.against, found.network) == wanted:
                return found
        return None

    def to_json(self) -> bytes:
        """Return everything but the rows as JSON; null for numbers that cannot be known."""
        names = [name for name in self.__dataclass_fields__ if name != "rows"]
        body = {name: _plain(getattr(self, name)) for name in names}
        body["version"] = VERSION
        return (json.dumps(body, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, rows: pd.DataFrame | None = None) -> Assessment:
        """Return the assessment that `to_json` wrote, with the rows of its Parquet file.

        Raises
        ------
        ModelError
            If it is none, or one of another version.
        """
        try:
            body = json.loads(data)
            if body.pop("version") != VERSION:
                raise ModelError("the assessment is of another version: train the model again")
            return cls(
                **body
                | {
                    "scores": tuple(_scores_from(part) for part in body["scores"]),
                    "tuning": tuple(_tuning_from(part) for part in body["tuning"]),
                    "importance": tuple(Importance(**_known(part)) for part in body["importance"]),
                    "ablation": tuple(Ablation(**_known(part)) for part in body["ablation"]),
                    "rows": pd.DataFrame() if rows is None else rows,
                }
            )
        except (ValueError, KeyError, TypeError) as err:
            raise ModelError(f"no readable assessment ({err}): train the model again") from err


def write_assessment(models: Objects, found: Assessment) -> None:
    """Store an assessment beside its model, the rows first."""
    models.put(f"{found.model}/{ROWS}", found.rows.to_parquet(index=False))
    models.put(f"{found.model}/{ASSESSMENT}", found.to_json())


def read_assessment(models: Objects, name: str) -> Assessment | None:
    """Return the assessment of a model; None where it was trained before there were any."""
    try:
        data = models.get(f"{name}/{ASSESSMENT}")
        rows = pd.read_parquet(io.BytesIO(models.get(f"{name}/{ROWS}")))
    except NotFoundError:
        return None
    return Assessment.from_json(data, rows)


def _plain(value: Any) -> Any:
    """Return plain JSON values: 9 digits, null for NaN and infinity."""
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _scores_from(part: Mapping[str, Any]) -> StrategyScores:
    numbers = {
        name: {score: _known(ends) for score, ends in part[name].items()}
        for name in ("overall", "median")
    }
    return StrategyScores(**{**part, **numbers})


def _tuning_from(part: Mapping[str, Any]) -> TuningResult:
    trials = tuple(
        Trial(**{**trial, "scores": tuple(map(_number, trial["scores"]))})
        for trial in part["trials"]
    )
    return TuningResult(**{**part, "trials": trials})


def _known(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping with NaN for null and tuples for lists."""
    return {
        name: tuple(value) if isinstance(value, list) else _number(value)
        for name, value in part.items()
    }


def _number(value: Any) -> Any:
    return float("nan") if value is None else value
