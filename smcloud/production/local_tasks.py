"""Local regressions from a table of coarse cells: a bandwidth, then one task for each year.

The rows of a year are written once; a task carries URLs, hashes and a small rule. It computes the
weights between cells once and solves month after month, which bounds its memory. What a task finds
is noted at ``models/<name>/local/<hash>.json``, the hash being that of the rows and of everything
else that shapes it: a run that was stopped, or that has one more year, does only what is missing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from distributed import Client
from threadpoolctl import threadpool_limits

from smcloud.core.errors import ModelError, NotFoundError, UserError
from smcloud.core.listener import Listener, Silent
from smcloud.core.objects import open_objects
from smcloud.grids.grid import Grid, Window, grid_named
from smcloud.models.base import content_hash
from smcloud.models.gwr import CoarseDays, LocalFit, LocalRule, fit_days, kernel
from smcloud.models.gwr_bandwidth import (
    BANDWIDTHS_KM,
    Criterion,
    Judged,
    departure_slope,
    search_bandwidth,
)
from smcloud.models.gwr_files import (
    LocalCard,
    LocalYear,
    YearNote,
    load_local,
    save_card,
    save_year,
)
from smcloud.production.coarse_request import CoarseModelRequest
from smcloud.production.training_jobs import Result, TrainingJob, TrainingJobs

NOTES = "local"
YEAR_FILE = ".local.npz"
FORMAT = 1
"""Raised when equal rows and settings give other files."""
DAYS_AT_ONCE = 31


@dataclass(frozen=True, kw_only=True)
class LocalRequest(CoarseModelRequest):
    """Local regressions to make: on temperature, a vegetation and a shortwave-infrared index.

    Attributes
    ----------
    grid : str
        Grid of the table's rows and columns.
    bandwidth_km : float
        0 finds it among `candidates`.
    rule : LocalRule
        Its bandwidth is replaced by the one above or the one found.
    candidates : tuple of float
    criterion : "block" or "cell"
        How candidates are judged.
    judged : Judged
        What the search looks at.
    """

    table: ClassVar[str] = "local"
    grid: str
    bandwidth_km: float = 0.0
    rule: LocalRule = field(default_factory=lambda: LocalRule(BANDWIDTHS_KM[0]))
    candidates: tuple[float, ...] = BANDWIDTHS_KM
    criterion: Criterion = "block"
    judged: Judged = field(default_factory=Judged)

    def stamp(self, shaping: Mapping[str, Any]) -> str:
        """Return a hash of what shapes a task's result."""
        common = [FORMAT, self.grid, self.features, self.target, self.all_versions]
        return _hash(json.dumps([*common, shaping], sort_keys=True))


@dataclass(frozen=True)
class LocalSummary:
    """What a training made.

    Attributes
    ----------
    card : LocalCard
    repeated : bool
        True if an equal training had been finished before, and nothing was done.
    done, kept : int
        Tasks that were run, and those whose results were found.
    """

    card: LocalCard
    repeated: bool = False
    done: int = 0
    kept: int = 0

    @property
    def modelled(self) -> int:
        """Return how many days have coefficients."""
        return sum(note.modelled for note in self.card.years.values())


@dataclass(frozen=True)
class _Job:
    """One task: what it is called, its rows, and what else shapes it.

    Attributes
    ----------
    name : str
        As an operator sees it.
    samples : str
        Hash of the rows.
    stamp : str
        Hash of rows and settings, which names the note.
    work : callable
        From request, job and rows to what is noted, as JSON can hold it.
    settings : mapping
        Arguments of the work beside the rows.
    """

    name: str
    samples: str
    stamp: str
    work: Callable[[LocalRequest, CoarseDays, Mapping[str, Any]], dict[str, Any]]
    settings: Mapping[str, Any]


def train_local(
    table: pd.DataFrame,
    request: LocalRequest,
    client: Client | None = None,
    listener: Listener | None = None,
) -> LocalSummary:
    """Return the coefficients of all days of a table, stored below ``models/<name>/``.

    Parameters
    ----------
    table
        One row a coarse cell and day: row, col, time, the features and the target; NaN is unknown.
        The order of rows does not matter.
    client
        Cluster; None works in this process, one task after another.

    Raises
    ------
    UserError
        If the table lacks a column, has a cell twice on a day, or no day can be modelled.
    """
    grid = grid_named(request.grid)
    window = _node_window(table, grid)
    runner = _Runner(request, client, listener or Silent())
    rule, scores = _with_bandwidth(runner, table, grid)
    slope = _slope(runner, table, grid, rule)
    years = table["time"].to_numpy("datetime64[Y]")
    settings = {"window": list(window), "rule": asdict(rule)}
    jobs = []
    for year in np.unique(years):
        series = CoarseDays.from_table(table[years == year], grid, request.features, request.target)
        jobs.append(runner.job(f"regress-{year}", series, _fit_year, settings))
    found = runner.run(jobs, "years")
    notes = {job.name.removeprefix("regress-"): YearNote(**found[job.name]) for job in jobs}
    if not any(note.modelled for note in notes.values()):
        raise UserError(
            f"no day of {request.name} has {rule.minimum_cells} coarse cells with a target and all "
            "predictors: see which of the inputs is missing, or widen the region"
        )
    stamps = [job.stamp for job in jobs]
    card = _card(request, rule, scores, slope, window, notes, stamps)
    repeated = runner.jobs.done == 0 and _is_stored(request, card)
    save_card(request.models, request.name, card)
    runner.tidy(card)
    return LocalSummary(card, repeated, runner.jobs.done, runner.jobs.kept)


def perform(request: LocalRequest, job: _Job) -> Result:
    """Do one job and note what it finds: the task of a worker."""
    data = open_objects(request.samples_url).get(f"{job.samples}.npz")
    # With more threads BLAS sums in another order, and the last bits would differ.
    with threadpool_limits(1):
        found = job.work(request, _series(data), job.settings)
    note = json.dumps(found, sort_keys=True).encode()
    request.models.put(_note_key(request, job), note)
    return note


def _search(
    request: LocalRequest, series: CoarseDays, settings: Mapping[str, Any]
) -> dict[str, Any]:
    found = search_bandwidth(
        series,
        LocalRule(**settings["rule"]),
        settings["candidates"],
        criterion=settings["criterion"],
        judged=Judged(**settings["judged"]),
    )
    rmse = {f"{b:g}": float(e) for b, e in zip(found.bandwidth_km, found.rmse, strict=True)}
    return {"chosen": found.chosen_km, "rmse": rmse, "pairs": found.pairs}


def _judge_departures(
    request: LocalRequest, series: CoarseDays, settings: Mapping[str, Any]
) -> dict[str, Any]:
    found = departure_slope(
        series,
        LocalRule(**settings["rule"]),
        judged=Judged(**settings["judged"]),
    )
    return {"slope": found if np.isfinite(found) else None}


def _fit_year(
    request: LocalRequest, series: CoarseDays, settings: Mapping[str, Any]
) -> dict[str, Any]:
    window, rule = Window(*settings["window"]), LocalRule(**settings["rule"])
    lon, lat = (values.reshape(-1) for values in grid_named(request.grid).lonlat(window))
    weights = kernel((lon, lat), (series.lon, series.lat), rule.bandwidth_km)
    year = LocalYear.of(_months(series, weights, rule), window.shape)
    return save_year(request.models, request.name, year).model_dump()


def _months(series: CoarseDays, weights: Any, rule: LocalRule) -> list[LocalFit]:
    """Return the fits of a year, a month's days at a time; coefficients as they are stored."""
    found, days = [], series.days
    for start in range(0, len(days), DAYS_AT_ONCE):
        month = slice(start, min(start + DAYS_AT_ONCE, len(days)))
        reach = np.array([days[month][0] - rule.days_around, days[month][-1] + rule.days_around])
        first, last = np.searchsorted(days, reach[0]), np.searchsorted(days, reach[1], "right")
        wanted = np.arange(month.start, month.stop) - first
        fit = fit_days(series.at(slice(int(first), int(last))), weights, rule, wanted)
        found.append(replace(fit, coefficients=fit.coefficients.astype(np.float32)))
    return found


class _Runner:
    """The jobs of one training and their rows."""

    def __init__(self, request: LocalRequest, client: Client | None, listener: Listener) -> None:
        self.request = request
        self.jobs = TrainingJobs(
            request.models,
            f"{request.name}/",
            lambda sha256: _year_key(request.name, sha256),
            open_objects(request.samples_url),
            client,
            listener,
        )

    def job(
        self,
        name: str,
        series: CoarseDays,
        work: Callable[[LocalRequest, CoarseDays, Mapping[str, Any]], dict[str, Any]],
        settings: Mapping[str, Any],
    ) -> _Job:
        """Return a job over some rows."""
        data = _to_bytes(series)
        sha256 = content_hash(data)
        job = _Job(name, sha256, self.request.stamp({"rows": sha256, **settings}), work, settings)
        if not self.jobs.is_known(_note_key(self.request, job)):
            # Written at once: the rows of all years together may not fit this process.
            self.jobs.samples.put(f"{sha256}.npz", data)
        return job

    def run(self, jobs: Sequence[_Job], stage: str) -> dict[str, dict[str, Any]]:
        """Return what each job finds, by name; what was noted before is read, not redone."""
        tasks = [
            TrainingJob(job.name, _note_key(self.request, job), perform, (self.request, job))
            for job in jobs
        ]
        notes = self.jobs.run(tasks, stage, "tasks")
        return {job.name: json.loads(note) for job, note in zip(jobs, notes, strict=True)}

    def tidy(self, card: LocalCard) -> None:
        """Delete rows, notes and years that the card does not need, where credentials may."""
        years = {_year_key(card.name, note.sha256) for note in card.years.values()}
        self.jobs.tidy(years, lambda key: key.endswith(YEAR_FILE) or f"/{NOTES}/" in key)


def _with_bandwidth(
    runner: _Runner, table: pd.DataFrame, grid: Grid
) -> tuple[LocalRule, dict[str, dict[str, float]]]:
    """Return the rule with the bandwidth asked for, or the best, and what candidates score."""
    request = runner.request
    if request.bandwidth_km:
        return replace(request.rule, bandwidth_km=request.bandwidth_km), {}
    rows = _searched(table, request)
    series = CoarseDays.from_table(rows, grid, request.features, request.target)
    settings = {
        "rule": asdict(request.rule),
        "candidates": list(request.candidates),
        "criterion": request.criterion,
        "judged": asdict(request.judged),
    }
    job = runner.job("bandwidth", series, _search, settings)
    found = runner.run([job], "bandwidth")[job.name]
    rule = replace(request.rule, bandwidth_km=found["chosen"])
    return rule, {"bandwidth_rmse": found["rmse"], "bandwidth_pairs": {"n": float(found["pairs"])}}


def _slope(runner: _Runner, table: pd.DataFrame, grid: Grid, rule: LocalRule) -> float:
    """Return the slope of true on estimated departures from block means; NaN if unknown."""
    request = runner.request
    rows = _searched(table, request)
    series = CoarseDays.from_table(rows, grid, request.features, request.target)
    settings = {"rule": asdict(rule), "judged": asdict(request.judged)}
    job = runner.job("departures", series, _judge_departures, settings)
    found = runner.run([job], "departures")[job.name]["slope"]
    return float("nan") if found is None else float(found)


def _searched(table: pd.DataFrame, request: LocalRequest) -> pd.DataFrame:
    """Return the rows of the days that the search looks at, and of those around them."""
    days = table["time"].to_numpy("datetime64[D]")
    wanted = [name for name in (*request.features, request.target) if name in table.columns]
    known = table[wanted].notna().all(axis=1).to_numpy()
    found, count = np.unique(days, return_inverse=True)
    at = request.judged.days_of(np.bincount(count[known], minlength=found.size), request.rule)
    if at.size == 0:
        return table
    reach = request.rule.days_around
    around = found[at][:, None] + np.arange(-reach, reach + 1)
    return table[np.isin(days, around)]


def _node_window(table: pd.DataFrame, grid: Grid) -> tuple[int, int, int, int]:
    """Return the window of the table's cells and one more around: points beyond centres have four.

    A region across the seam of longitude has all columns in its window.
    """
    if table.empty:
        raise UserError("the table of coarse cells has no rows: see which input is missing")
    rows, cols = table["row"].to_numpy(), table["col"].to_numpy()
    return (
        max(int(rows.min()) - 1, 0),
        min(int(rows.max()) + 2, grid.rows),
        max(int(cols.min()) - 1, 0),
        min(int(cols.max()) + 2, grid.cols),
    )


def _card(
    request: LocalRequest,
    rule: LocalRule,
    scores: dict[str, dict[str, float]],
    slope: float,
    window: tuple[int, int, int, int],
    years: dict[str, YearNote],
    stamps: list[str],
) -> LocalCard:
    named = [request.name, request.units, request.target, request.target_units]
    params = {name: value for name, value in asdict(rule).items() if name != "bandwidth_km"}
    return LocalCard(
        **request.said,
        grid=request.grid,
        window=window,
        bandwidth_km=rule.bandwidth_km,
        params={**params, "criterion": request.criterion, "block_km": request.judged.block_km},
        scores=scores,
        input_hash=_hash(json.dumps([named, stamps])),
        years=years,
        inner_slope=slope,
    )


def _is_stored(request: LocalRequest, card: LocalCard) -> bool:
    try:
        return load_local(request.models, request.name).card == card
    except (ModelError, NotFoundError):
        return False


def _year_key(model: str, sha256: str) -> str:
    return f"{model}/{sha256}{YEAR_FILE}"


def _note_key(request: LocalRequest, job: _Job) -> str:
    return f"{request.name}/{NOTES}/{job.stamp[:32]}.json"


def _to_bytes(series: CoarseDays) -> bytes:
    """Return rows as an archive of plain arrays; equal rows are equal bytes."""
    file = io.BytesIO()
    np.savez(
        file,
        lon=series.lon,
        lat=series.lat,
        days=series.days.astype(np.int32),
        predictors=series.predictors.astype(np.float32),
        target=series.target.astype(np.float32),
    )
    return file.getvalue()


def _series(data: bytes) -> CoarseDays:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return CoarseDays(
            found["lon"],
            found["lat"],
            found["days"].astype("datetime64[D]"),
            found["predictors"].astype(np.float64),
            found["target"].astype(np.float64),
        )


def _hash(text: str) -> str:
    return content_hash(text.encode())
