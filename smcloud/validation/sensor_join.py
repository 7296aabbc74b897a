"""The step that a series makes where one sensor takes over from another, and its standard error.

Months of the year differ, and so do the cells that a day's orbits see; hence the step is one of
anomalies, each value less the climatology of its cell and month. Nature may have changed between
the two periods: the step is also told for the differences from a reference that saw both, such as
a reanalysis, in which most of nature's own change cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smcloud.core.errors import UserError
from smcloud.cube.schema import Days
from smcloud.grids.grid import Floats
from smcloud.validation.collocation import MONTHS, Indices, month_of
from smcloud.validation.metrics import lag_one_autocorrelation

FEWEST_DAYS = 3


@dataclass(frozen=True, eq=False)
class SensorRecord:
    """What one sensor saw.

    Attributes
    ----------
    days : (days,)
        Increasing.
    values : (days, cells)
        m3 m-3; NaN unknown.
    """

    days: Days
    values: Floats

    def on(self, days: Days) -> Floats:
        """Return the values of these days (days, cells), NaN on days that the sensor lacks."""
        found = np.full((len(days), self.values.shape[1]), np.nan)
        _, here, there = np.intersect1d(days, self.days, return_indices=True)
        found[here] = self.values[there]
        return found


@dataclass(frozen=True)
class JoinStep:
    """A step at the join.

    Attributes
    ----------
    climatology : str
        Whose months anomalies are from: ``earlier`` or ``later``.
    reference : bool
        Whether anomalies of a reference were taken off.
    step : float
        Mean after less mean before, m3 m-3.
    standard_error : float
        From the days' own variation, a day counting less the more it is like the one before. The
        difference of whole years is not in it.
    days_before, days_after : int
        Days with a value.
    """

    climatology: str
    reference: bool
    step: float
    standard_error: float
    days_before: int
    days_after: int


def join_steps(
    earlier: SensorRecord,
    later: SensorRecord,
    reference: SensorRecord | None = None,
    *,
    window_days: int = 365,
) -> list[JoinStep]:
    """Return the step by the climatology of either sensor, each without and with the reference.

    Parameters
    ----------
    earlier, later
        Of the same cells; as they were, or on one scale already.
    window_days
        Days before the last of the earlier and after the first of the later that are compared.

    Raises
    ------
    UserError
        If a side has fewer than three days whose months the other one's climatology knows.
    """
    before = _since(earlier, earlier.days[-1] - np.timedelta64(window_days - 1, "D"))
    after = _until(later, later.days[0] + np.timedelta64(window_days - 1, "D"))
    found = []
    for name, owner in (("earlier", earlier), ("later", later)):
        months = monthly_means(owner.values, month_of(owner.days))
        found.append(_step(name, before, after, months, None))
        if reference is not None:
            found.append(_step(name, before, after, months, reference))
    return found


def step_table(steps: Sequence[JoinStep]) -> pd.DataFrame:
    """Return one row per step, in their order."""
    return pd.DataFrame([vars(step) for step in steps])


def monthly_means(values: Floats, month: Indices) -> Floats:
    """Return the mean of each calendar month and cell (12, cells), NaN where nothing is known."""
    known = np.isfinite(values)
    total, count = np.zeros((2, MONTHS, values.shape[1]))
    for number in range(MONTHS):
        is_month = month == number
        total[number] = np.where(known[is_month], values[is_month], 0.0).sum(axis=0)
        count[number] = known[is_month].sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _step(
    name: str,
    before: SensorRecord,
    after: SensorRecord,
    months: Floats,
    reference: SensorRecord | None,
) -> JoinStep:
    means, variances, counts = np.zeros((3, 2))
    for side, record in enumerate((before, after)):
        series = _region_anomaly(record, months)
        if reference is not None:
            of_reference = monthly_means(reference.values, month_of(reference.days))
            # The same cells on the same days: where the sensor looked.
            seen = np.where(np.isfinite(record.values), reference.on(record.days), np.nan)
            series = series - _region_anomaly(SensorRecord(record.days, seen), of_reference)
        known = np.isfinite(series)
        if known.sum() < FEWEST_DAYS:
            raise UserError(
                f"no step can be told: the {'earlier' if side == 0 else 'later'} sensor has "
                f"{known.sum()} usable days beside the join, {FEWEST_DAYS} are needed; take a "
                "longer window"
            )
        memory = min(max(lag_one_autocorrelation(record.days, series), 0.0), 0.99)
        counts[side] = known.sum()
        means[side] = series[known].mean()
        independent = max(counts[side] * (1 - memory) / (1 + memory), 1.0)
        variances[side] = series[known].var(ddof=1) / independent
    return JoinStep(
        name,
        reference is not None,
        float(means[1] - means[0]),
        float(np.sqrt(variances.sum())),
        int(counts[0]),
        int(counts[1]),
    )


def _region_anomaly(record: SensorRecord, months: Floats) -> Floats:
    """Return the mean anomaly over the known cells of each day, (days,)."""
    anomaly = record.values - months[month_of(record.days)]
    known = np.isfinite(anomaly)
    count = known.sum(axis=1)
    total = np.where(known, anomaly, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def _since(record: SensorRecord, day: np.datetime64) -> SensorRecord:
    kept = record.days >= day
    return SensorRecord(record.days[kept], record.values[kept])


def _until(record: SensorRecord, day: np.datetime64) -> SensorRecord:
    kept = record.days <= day
    return SensorRecord(record.days[kept], record.values[kept])
