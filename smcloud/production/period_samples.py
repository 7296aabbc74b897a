"""The samples of each period, cut from a table of coarse cells, and how they travel to workers."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
import xgboost

from smcloud.core.errors import UserError
from smcloud.core.objects import open_objects
from smcloud.models.base import content_hash
from smcloud.models.families import CellSamples
from smcloud.models.family_fits import DEFAULTS, FORMAT, SPACES
from smcloud.models.period_fits import PeriodRules, groups_of, usable, why_not_modelled
from smcloud.models.periods import Period, periods_of
from smcloud.production.coarse_request import CoarseModelRequest

PLACE = ("row", "col", "time")


@dataclass(frozen=True, kw_only=True)
class PeriodsRequest(CoarseModelRequest):
    """Models by period to make, by these rules."""

    rules: PeriodRules = field(default_factory=PeriodRules)

    table: ClassVar[str] = "periods"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn", "scipy")

    @property
    def all_versions(self) -> dict[str, str]:
        """Return the versions that the models depend on."""
        return super().all_versions | {"xgboost": str(xgboost.__version__)}

    def stamp(self) -> str:
        """Return a hash of all that shapes every period alike."""
        shaping = {
            "rules": self.rules.to_json() | {"families": []},
            "defaults": {name: dict(found) for name, found in DEFAULTS.items()},
            "spaces": {name: dict(found) for name, found in SPACES.items()},
            "features": self.features,
            "versions": self.all_versions,
            "format": FORMAT,
        }
        return content_hash(json.dumps(shaping, sort_keys=True).encode())


@dataclass(frozen=True, eq=False)
class PeriodSamples:
    """The samples of one period, as they are handed to its tasks.

    Attributes
    ----------
    period : Period
    samples : CellSamples
    sha256 : str
        Hash of `data`.
    why_not : str
        Why no family can model the period; empty where one may.
    """

    period: Period
    samples: CellSamples
    sha256: str
    why_not: str

    @property
    def known(self) -> list[str]:
        """Return what a change of the samples changes."""
        return [str(self.period), self.sha256]


def cleaned(table: pd.DataFrame, request: PeriodsRequest) -> tuple[pd.DataFrame, int]:
    """Return the rows that can be learned from, by time and place, and how many were dropped.

    Raises
    ------
    UserError
        If a column is missing, a cell stands twice on a day, or nothing is left.
    """
    wanted = [*PLACE, *request.features, request.target]
    missing = [name for name in wanted if name not in table.columns]
    if missing or not request.features:
        raise UserError(
            f"the table of coarse cells lacks {', '.join(missing) or 'features'}: expected "
            f"{', '.join(wanted)}"
        )
    found = table[wanted].assign(time=table["time"].to_numpy().astype("datetime64[D]"))
    twice = int(found.duplicated(list(PLACE)).sum())
    if twice:
        raise UserError(
            f"the table of coarse cells has {twice} rows whose cell and day stand there already: "
            "leave each in once"
        )
    is_usable = usable(
        found[list(request.features)].to_numpy(np.float32),
        found[request.target].to_numpy(np.float64),
    )
    if not is_usable.any():
        raise UserError(
            f"none of the {len(found)} rows of coarse cells has a target and half of its features: "
            "see which of the inputs is missing"
        )
    order = ["time", "row", "col"]
    return found[is_usable].sort_values(order, ignore_index=True), int((~is_usable).sum())


def cut(rows: pd.DataFrame, request: PeriodsRequest) -> list[PeriodSamples]:
    """Return the samples of every period from the first to the last day, in the order of time."""
    periods, at = periods_of(rows["time"].to_numpy(), request.rules)
    features = rows[list(request.features)].to_numpy(np.float32)
    target = rows[request.target].to_numpy(np.float64)
    groups = groups_of(rows["row"].to_numpy(), rows["col"].to_numpy(), request.rules.group_cells)
    days = rows["time"].to_numpy().astype("datetime64[D]").astype(np.int64)
    ends = np.searchsorted(at, np.arange(len(periods)), side="right")
    found = []
    for start, end, period in zip([0, *ends[:-1]], ends, periods, strict=True):
        piece = slice(int(start), int(end))
        samples = CellSamples(features[piece], target[piece], groups[piece], days[piece])
        sha256 = content_hash(samples_data(samples))
        why_not = why_not_modelled(samples, request.rules)
        found.append(PeriodSamples(period, samples, sha256, why_not))
    return found


def samples_data(samples: CellSamples) -> bytes:
    """Return samples as an archive of plain arrays; equal samples are equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(sorted(vars(samples).items())))
    return buffer.getvalue()


def read_samples(url: str, sha256: str) -> CellSamples:
    """Return the samples of this hash below a URL."""
    with np.load(io.BytesIO(open_objects(url).get(samples_key(sha256)))) as found:
        return CellSamples(**{name: found[name] for name in found.files})


def samples_key(sha256: str) -> str:
    """Return where samples lie below the prefix of all samples."""
    return f"{sha256}.npz"
