"""Which stations stand for their pixel, by triple collocation.

A station measures a point; the model's pixel is 1 km wide. Triple collocation compares the
station with two products whose errors it takes to have nothing to do with its own nor with each
other's, and says how closely it follows the signal that all three share: the TC correlation of its
member (McColl et al. 2014, doi:10.1002/2014GL061322). Stations above a threshold are kept, as
GLASS SM does (doi:10.5194/essd-15-2055-2023); the threshold of that paper is not known, so it is
a parameter here.

What selection may not see is decided by the caller: it judges the rows it is given, which in a
training are those of the stations and years that are fitted and stopped on, never those of a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError, UserError
from smcloud.validation.anomalies import anomalies
from smcloud.validation.triple_collocation import (
    Status,
    TripleCollocation,
    bootstrap,
)

IN_SITU = "soil_moisture"
AGAIN, OTHERWISE = "_again", "_otherwise"
PLACE_COLUMNS = ("network", "latitude", "longitude")
FORMS = ("raw", "anomaly")
REFUSED: Mapping[str, str] = {
    "cci_combined": (
        "its values are scaled to a land surface model, whose errors it thereby shares with the "
        "reanalysis: name cci_active or cci_passive, one of them"
    ),
}
"""Products that must not be a member, and why."""
PLAIN_R = 0.5
"""Correlation with a reference that a station beyond r = 1 must reach; a convention [M]."""
STATIONS_AT_ONCE = 64
"""Stations whose calendars are in memory together: 64 x 20 years x 4 series are 15 MB."""

Form = Literal["raw", "anomaly"]
Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class SelectionRules:
    """Which stations are kept.

    Attributes
    ----------
    members : (str, str)
        Columns of the references table that make the triplet with the station.
    again : (str, str) or ()
        A second triplet, judged and reported but not decisive; its default does without ERA5-Land,
        which is a predictor of the model too.
    otherwise : (str, str) or ()
        The triplet that decides for a station that the first cannot judge: SMAP began in 2015 and
        is not recommended at coasts or under dense forest; a station is not bad for that.
    minimum_r : float
        Least TC correlation of the station. 0.5 is a convention and no law: no source states the
        threshold of GLASS SM. It means that a quarter of the station's variance is signal.
    minimum_samples : int
        Days on which all three are known; below, a station is not judged and not kept.
    form : "raw" or "anomaly"
        The series that the rule judges; the table has the figures of both.
    bootstrap_draws : int
        Draws behind the intervals in the table; 0 for none. They decide nothing, so that the
        folds of an assessment may do without.
    block_days : int
        Days that are drawn together: errors of soil moisture remember.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ConfigError
        If a member is refused or named twice, or a number is out of range.
    """

    members: tuple[str, str] = ("era5land", "smap_l3")
    again: tuple[str, ...] = ("cci_active", "smap_l3")
    otherwise: tuple[str, ...] = ("era5land", "cci_active")
    minimum_r: float = 0.5
    minimum_samples: int = 100
    form: Form = "raw"
    bootstrap_draws: int = 200
    block_days: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        _check_members("members", self.members)
        for key, members in (("again", self.again), ("otherwise", self.otherwise)):
            if members:
                _check_members(key, members)
        if self.form not in FORMS:
            known = ", ".join(FORMS)
            raise ConfigError(f"selection.form is {self.form!r}: expected one of {known}")
        if not 0.0 <= self.minimum_r < 1.0:
            raise ConfigError(f"selection.minimum_r is {self.minimum_r}: expected 0 to below 1")
        if self.minimum_samples < 3 or self.bootstrap_draws < 0 or self.block_days < 1:
            raise ConfigError(
                "selection.minimum_samples must be 3 or more, draws 0 or more, block_days 1 or "
                f"more, found {self.minimum_samples}, {self.bootstrap_draws} and {self.block_days}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Return every column of references that is read, each once."""
        return tuple(dict.fromkeys((*self.members, *self.again, *self.otherwise)))

    @property
    def triplets(self) -> Mapping[str, tuple[str, ...]]:
        """Return the two products of each triplet, by the suffix of its columns."""
        named = {"": self.members, AGAIN: self.again, OTHERWISE: self.otherwise}
        return {suffix: members for suffix, members in named.items() if members}

    @property
    def judged(self) -> str:
        """Return the suffix of the columns that the rule looks at."""
        return "" if self.form == "raw" else "_anomaly"


def _check_members(key: str, members: Sequence[str]) -> None:
    for name in members:
        if name in REFUSED:
            raise ConfigError(f"selection.{key} names {name}: {REFUSED[name]}")
    if len(members) != 2 or len(set(members)) != 2 or IN_SITU in members:
        raise ConfigError(
            f"selection.{key} is {list(members)}: triple collocation needs two different products "
            'beside the station, such as ["era5land", "smap_l3"]'
        )


def select_stations(references: pd.DataFrame, rules: SelectionRules) -> pd.DataFrame:
    """Return one row a station: its triple collocation figures, and why it is kept or dropped.

    Parameters
    ----------
    references
        station, network, latitude, longitude, time (UTC day), soil_moisture (in situ, m3 m-3) and
        the columns `rules.columns`; NaN is unknown. One row a station and day at most.
    rules
        The triplets, the threshold, the form.

    Returns
    -------
    station, network, latitude, longitude; days (in situ known); then for the first triplet, raw:
    n (common days), r, r_low, r_high (TC correlation of the station, its 95 % interval), error_std,
    error_std_low, error_std_high (m3 m-3, of the station's own scale), snr_db, snr_db_low,
    snr_db_high (inf where r may be 1), r_2, r_3, beta_2, beta_3 (of the other two members, in their
    order; beta brings a member to the station's scale), status (uint8,
    `triple_collocation.Status`); the same of the second triplet with the suffix ``_again`` and of
    the one for otherwise with ``_otherwise``, each with ``_anomaly`` for anomalies; kept (bool),
    cause (one word), reason (one line). Sorted by station. NaN where a figure does not exist.

    A station without a usable day, with too few common days or with a constant series has its
    status and is dropped; it is no error.

    Raises
    ------
    UserError
        If there are no rows, a column is missing, a station has two rows of one day, or no station
        at all is kept: training would have nothing to learn from.
    """
    _check_table(references, rules)
    days = _calendar(references)
    parts = [
        _batch_figures(places, values, days, rules)
        for places, values in _batches(references, days, rules)
    ]
    table = pd.concat(parts, ignore_index=True)
    verdicts = _verdicts(table, rules)
    table["kept"] = [cause == KEPT for cause, _ in verdicts]
    table["cause"] = [cause for cause, _ in verdicts]
    table["reason"] = [reason for _, reason in verdicts]
    if not table["kept"].any():
        raise UserError(_why_none(table, rules))
    return table


def kept_at(selection: pd.DataFrame, rules: SelectionRules, minimum_r: float) -> NDArray[np.bool_]:
    """Return which stations the rule keeps, (n_stations,), with another threshold.

    Everything else is as `rules` has it, the triplet for otherwise and stations beyond r = 1 among
    it; the figures are those of the table.

    Parameters
    ----------
    selection
        Table of `select_stations`, made by `rules` with any threshold.

    Raises
    ------
    UserError
        If the table lacks the columns of a triplet.
    """
    needed = [f"days_{name}" for name in rules.columns]
    needed += [f"{name}{suffix}" for suffix in rules.triplets for name in ("n", "r", "status")]
    missing = [name for name in needed if name not in selection]
    if missing:
        raise UserError(
            f"the table of stations has no column {missing[0]!r}: it was made by another "
            "[selection]; train the model again"
        )
    verdicts = _verdicts(selection, replace(rules, minimum_r=minimum_r))
    return np.array([cause == KEPT for cause, _ in verdicts], np.bool_)


def kept_stations(selection: pd.DataFrame) -> frozenset[str]:
    """Return the stations that a table of `select_stations` keeps."""
    return frozenset(selection.loc[selection["kept"], "station"].astype(str))


def counted_reasons(selection: pd.DataFrame) -> list[tuple[str, int]]:
    """Return how many stations are kept, and dropped for each cause, most frequent first."""
    counts = selection["cause"].value_counts()
    ordered = sorted(counts.items(), key=lambda item: (item[0] != KEPT, -item[1], item[0]))
    return [(MEANINGS[str(cause)], int(count)) for cause, count in ordered]


KEPT = "kept"
MEANINGS: Mapping[str, str] = {
    KEPT: "kept",
    "low_r": "dropped: TC correlation below the threshold",
    "too_few": "dropped: too few days on which all three are known",
    "no_usable_day": "dropped: no usable day of the station or of a reference",
    "constant": "dropped: a series does not vary",
    "no_signal": "dropped: the three do not agree even in sign",
    "negative_variance": "dropped: error variance of the station is negative, references disagree",
}
"""What each cause means, in words for a table."""
UNJUDGED = ("no_usable_day", "too_few")
"""Causes that say nothing about the station: another triplet may know better."""


def _check_table(references: pd.DataFrame, rules: SelectionRules) -> None:
    expected = ("station", *PLACE_COLUMNS, "time", IN_SITU, *rules.columns)
    missing = [name for name in expected if name not in references]
    if missing:
        raise UserError(
            f"the references table has no column {missing[0]!r}: it has "
            f"{', '.join(map(str, references.columns))}; name other members, or collocate anew"
        )
    if references.empty:
        raise UserError("the references table has no rows: there is no station to select")
    twice = references.duplicated(["station", "time"])
    if twice.any():
        first = references[twice].iloc[0]
        raise UserError(
            f"{first['station']} has two rows of {pd.Timestamp(first['time']).date()}: expected "
            "one row a station and day"
        )


def _calendar(references: pd.DataFrame) -> Days:
    """Return every day from the first to the last of the table."""
    known = references["time"].to_numpy().astype("datetime64[D]")
    return np.arange(known.min(), known.max() + np.timedelta64(1, "D"))


def _batches(
    references: pd.DataFrame, days: Days, rules: SelectionRules
) -> Iterator[tuple[pd.DataFrame, Floats]]:
    """Yield stations in order of their names, and their series (stations, 1 + columns, days)."""
    code, names = pd.factorize(references["station"], sort=True)
    order = np.argsort(code, kind="stable")
    at = (references["time"].to_numpy().astype("datetime64[D]") - days[0]).astype(np.intp)
    columns = [references[name].to_numpy() for name in (IN_SITU, *rules.columns)]
    bounds = np.searchsorted(code[order], np.arange(len(names) + 1))
    for first in range(0, len(names), STATIONS_AT_ONCE):
        stop = min(first + STATIONS_AT_ONCE, len(names))
        rows = order[bounds[first] : bounds[stop]]
        values = np.full((stop - first, len(columns), len(days)), np.nan)
        for number, column in enumerate(columns):
            values[code[rows] - first, number, at[rows]] = column[rows]
        places = references.iloc[order[bounds[first:stop]]]
        yield places[["station", *PLACE_COLUMNS]].reset_index(drop=True), values


def _batch_figures(
    places: pd.DataFrame, values: Floats, days: Days, rules: SelectionRules
) -> pd.DataFrame:
    columns: dict[str, NDArray[np.generic]] = {"days": _days_known(values[:, :1])}
    for number, name in enumerate(rules.columns, start=1):
        columns[f"days_{name}"] = _days_known(values[:, [0, number]])
    for form in FORMS:
        series = values if form == "raw" else anomalies(values, days)
        for suffix, members in rules.triplets.items():
            chosen = [0, *(1 + rules.columns.index(name) for name in members)]
            found = bootstrap(
                series[:, chosen],
                draws=rules.bootstrap_draws,
                block_days=rules.block_days,
                seed=rules.seed,
                minimum=rules.minimum_samples,
            )
            end = suffix + ("_anomaly" if form == "anomaly" else "")
            columns |= {f"{name}{end}": column for name, column in _figures(found).items()}
    return places.assign(**columns)


def _days_known(values: Floats) -> NDArray[np.int64]:
    """Return on how many days all series of (stations, series, days) are known, by station."""
    return np.asarray(np.isfinite(values).all(axis=1).sum(axis=1), np.int64)


def _figures(found: TripleCollocation) -> dict[str, NDArray[np.generic]]:
    """Return the columns of one triplet; the station is its first member."""
    unknown = np.full((len(found.n), 3), np.nan)
    ends = {
        "r_low": found.r_low,
        "r_high": found.r_high,
        "error_std_low": found.error_std_low,
        "error_std_high": found.error_std_high,
        "snr_db_low": found.snr_db_low,
        "snr_db_high": found.snr_db_high,
    }
    return {
        "n": found.n.astype(np.int64),
        "r": found.r[:, 0],
        "error_std": found.error_std[:, 0],
        "snr_db": found.snr_db[:, 0],
        **{name: (unknown if end is None else end)[:, 0] for name, end in ends.items()},
        "r_2": found.r[:, 1],
        "r_3": found.r[:, 2],
        "beta_2": found.beta[:, 1],
        "beta_3": found.beta[:, 2],
        "status": found.status.astype(np.uint8),
    }


def _verdicts(table: pd.DataFrame, rules: SelectionRules) -> list[tuple[str, str]]:
    """Return the cause and the reason of every station of a table of figures."""
    return [
        _verdict(dict(zip(table.columns, row, strict=True)), rules)
        for row in table.itertuples(index=False)
    ]


def _verdict(row: Mapping[str, object], rules: SelectionRules) -> tuple[str, str]:
    """Return the cause and the reason of one station's row of figures."""
    cause, why = _judge(row, rules, "")
    if cause in UNJUDGED and rules.otherwise:
        found, other = _judge(row, rules, OTHERWISE)
        if found not in UNJUDGED:
            pair = " and ".join(rules.otherwise)
            cause, why = found, f"{other}; judged with {pair}, for {why}"
    return cause, f"{'kept' if cause == KEPT else 'dropped'}: {why}"


@dataclass(frozen=True)
class _Judged:
    """The figures that the rule looks at."""

    n: int
    r: float
    low: float
    high: float
    plain: float
    """The larger correlation of the station with a reference: r times theirs."""
    status: Status

    @classmethod
    def of(cls, row: Mapping[str, object], end: str) -> _Judged:
        """Return those of one row of the table, in columns of one ending."""
        n, r, low, high, second, third, status = (
            float(str(row[f"{name}{end}"]))
            for name in ("n", "r", "r_low", "r_high", "r_2", "r_3", "status")
        )
        return cls(int(n), r, low, high, r * max(second, third), Status(int(status)))

    @property
    def said(self) -> str:
        """Return the TC correlation with its interval, if it has one, and its days."""
        interval = f" ({self.low:.2f} to {self.high:.2f})" if np.isfinite(self.low) else ""
        return f"TC correlation {self.r:.2f}{interval} over {self.n} days"


def _judge(row: Mapping[str, object], rules: SelectionRules, triplet: str) -> tuple[str, str]:
    """Return the first thing that speaks against a station, or that nothing does."""
    members = rules.triplets[triplet]
    second, third = members
    judged = _Judged.of(row, triplet + rules.judged)
    if not row["days"]:
        return "no_usable_day", "the station has no usable day"
    for name in members:
        if not row[f"days_{name}"]:
            return "no_usable_day", f"{name} is unknown on all {row['days']} days of the station"
    if judged.status & Status.TOO_FEW:
        need = f"{rules.minimum_samples} are needed"
        return "too_few", f"{judged.n} days on which {second} and {third} are known too, {need}"
    if judged.status & Status.CONSTANT:
        return "constant", f"the station, {second} or {third} does not vary over {judged.n} days"
    if np.isnan(judged.r):
        return "no_signal", f"it, {second} and {third} do not even agree in sign"
    if judged.r > 1.0:
        return _beyond_one(judged, rules)
    if judged.r < rules.minimum_r:
        return "low_r", f"{judged.said} is below {rules.minimum_r:.2f}"
    return KEPT, judged.said + _doubts(judged, row, rules, triplet)


def _beyond_one(judged: _Judged, rules: SelectionRules) -> tuple[str, str]:
    """Judge a station whose error variance is negative.

    The likeliest r is then 1 (a Heywood case of factor analysis), and the plain correlations with
    the references, r_x r_y, are theirs: where one reaches `PLAIN_R` the triplet tells something and
    an excellent station passes; where none does, r is a ratio of small numbers and says nothing.
    """
    floor = min(rules.minimum_r, PLAIN_R)
    what = f"error variance is negative over {judged.n} days, correlation with a reference"
    if judged.plain >= floor:
        return KEPT, f"{what} is {judged.plain:.2f} all the same"
    return "negative_variance", f"{what} is {judged.plain:.2f}, below {floor:.2f}"


def _doubts(judged: _Judged, row: Mapping[str, object], rules: SelectionRules, triplet: str) -> str:
    """Return what a reader should know of a station that is kept."""
    found = []
    if judged.status & Status.FEW:
        found.append("few days")
    if judged.status & Status.NEGATIVE_VARIANCE:
        found.append("error variance of a reference is negative")
    if rules.again and not triplet:
        other = float(str(row[f"r{AGAIN}{rules.judged}"]))
        if not other >= rules.minimum_r:
            figure = "no figure" if np.isnan(other) else f"{other:.2f}"
            found.append(f"but {figure} with {' and '.join(rules.again)}")
    return "".join(f"; {text}" for text in found)


def _why_none(table: pd.DataFrame, rules: SelectionRules) -> str:
    counts = ", ".join(f"{count} {text}" for text, count in counted_reasons(table))
    best = table[f"r{rules.judged}"].max()
    highest = f"; the highest TC correlation is {best:.2f}" if np.isfinite(best) else ""
    return (
        f"selection keeps none of {len(table)} stations ({counts}){highest}: lower "
        "selection.minimum_r or minimum_samples, name other selection.members, or train without "
        "selection"
    )
