"""A table of the user's own to a model: the columns named on the command line, the rest by rule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import psutil
import pyarrow as pa
from distributed import Client

from smcloud.core.errors import UserError
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import normalise_url, open_objects
from smcloud.models.mapped_table import mapped_table, needs_mapping
from smcloud.models.parameters import BoostingParams, Device
from smcloud.models.samples import TableColumns, numeric_columns, station_names
from smcloud.models.table_files import PARQUET, read_table
from smcloud.models.training import TRAINING_BYTES
from smcloud.models.tuning import TuningRules
from smcloud.production.model_files import TrainSummary
from smcloud.production.train_request import TrainRequest
from smcloud.production.train_stage import train_table
from smcloud.validation.splits import SplitRules

MOST_ROWS = 2_000_000
"""Rows that a training on a user's table takes by default: some minutes on two cores."""


@dataclass(frozen=True)
class TableOptions:
    """What a user says of a table.

    Attributes
    ----------
    table, out : str
        URL or path of the table, and of the root below which the model is written.
    target, station, time : str
        Columns.
    latitude, longitude, network : str
        Columns; empty where there are none.
    held_out : tuple of str
        Networks that one more model never sees.
    features : tuple of str
        Predictors; empty for all other numeric columns.
    units, name : str
        Of the target, and of the model (the table's by default).
    block_degrees : float
    parts : int
        One part in so many is the test set of a fold.
    every_fold : bool
        Score all folds, not the first alone.
    candidates : int
        Of the search for parameters; 0 for none.
    permutations : int
        Repeats of each permutation importance; 0 for none.
    rounds, seed, most_rows : int
        Most trees, seed of splits and trees, rows that a training takes (0 for all).
    distributed : bool
        Sum histograms over the workers.
    device : "cpu" or "cuda"
    """

    table: str
    out: str
    target: str
    station: str
    time: str
    latitude: str = ""
    longitude: str = ""
    network: str = ""
    held_out: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    units: str = ""
    name: str = ""
    block_degrees: float = 1.0
    parts: int = 5
    every_fold: bool = False
    candidates: int = 0
    permutations: int = 3
    rounds: int = 300
    seed: int = 0
    most_rows: int = MOST_ROWS
    distributed: bool = False
    device: Device = "cpu"

    def __post_init__(self) -> None:
        needed = {
            "--target": self.target,
            "--group": self.station,
            "--time": self.time,
            "--out": self.out,
        }
        lacking = [option for option, value in needed.items() if not value]
        if lacking:
            raise UserError(f"train --table also needs {', '.join(lacking)}: see --help")
        counts = {
            "--tune": self.candidates,
            "--permutations": self.permutations,
            "--most-rows": self.most_rows,
            "--seed": self.seed,
        }
        for option, value in counts.items():
            if value < 0:
                raise UserError(f"{option} is {value}: expected 0 or more")
        if self.held_out and not self.network:
            raise UserError("--held-out needs --network: the column that names each row's network")

    @property
    def file_name(self) -> str:
        """Return the last part of the table's URL."""
        return normalise_url(self.table).rpartition("/")[2]


@contextmanager
def opened(options: TableOptions) -> Iterator[pd.DataFrame]:
    """Give the rows of the user's table; one larger than memory is mapped while it is open.

    Raises
    ------
    UserError
        If it is neither Parquet nor CSV, or damaged.
    """
    folder, _, name = normalise_url(options.table).rpartition("/")
    with open_objects(folder).fetch(name) as path, TemporaryDirectory() as scratch:
        yield _mapped(path, Path(scratch), name)


def _mapped(path: Path, scratch: Path, name: str) -> pd.DataFrame:
    try:
        if name.lower().endswith(PARQUET) and needs_mapping(path):
            return mapped_table(path, scratch)
    except (pa.ArrowException, OSError) as err:
        reason = str(err).splitlines()[0]
        raise UserError(f"the table {name} cannot be read: {reason}") from err
    return read_table(path, name)


def request_for(options: TableOptions, source: pd.DataFrame) -> TrainRequest:
    """Return the training of a table; predictors are its other numeric columns by default."""
    named = (options.target, options.station, options.time, options.latitude, options.longitude)
    chosen = options.features or numeric_columns(source, (*named, options.network))
    return TrainRequest(
        normalise_url(options.out),
        options.name or options.file_name.split(".")[0],
        TableColumns(
            chosen,
            options.target,
            options.station,
            options.time,
            options.latitude or None,
            options.longitude or None,
        ),
        SplitRules(options.block_degrees, options.parts, seed=options.seed),
        BoostingParams(rounds=options.rounds, seed=options.seed, device=options.device),
        route="dask" if options.distributed else "auto",
        target_units=options.units,
        folds=options.parts if options.every_fold else 1,
        tuning=(TuningRules(options.candidates, seed=options.seed) if options.candidates else None),
        held_out_networks=options.held_out,
        permutations=options.permutations,
        most_rows=options.most_rows,
    )


def exceeds_memory(source: pd.DataFrame, request: TrainRequest) -> bool:
    """Return whether growing trees on a table takes more memory than this host has free."""
    rows = min(len(source), request.most_rows or len(source))
    needed = rows * len(request.columns.features) * TRAINING_BYTES
    return bool(needed > psutil.virtual_memory().available)


def train_rows(
    source: pd.DataFrame,
    options: TableOptions,
    request: TrainRequest,
    client: Client | None,
    listener: Listener,
) -> TrainSummary:
    """Train the model of a user's table and score it on days, stations and years it never saw."""
    told = left_out(options, source, request)
    if told:
        listener.note(told)
    return train_table(source, request, client, listener, sites=_sites(source, options))


def left_out(options: TableOptions, source: pd.DataFrame, request: TrainRequest) -> str:
    """Return a line on the columns that are no predictors though nobody said so; empty for none."""
    columns = request.columns
    named = {*columns.all(), options.network}
    others = [str(name) for name in source.columns if name not in named]
    if options.features or not others:
        return ""
    return (
        f"no predictors, being text, row numbers or quality flags: {', '.join(others)}; "
        f"predictors: {', '.join(columns.features)}"
    )


def _sites(source: pd.DataFrame, options: TableOptions) -> pd.DataFrame:
    """Return each station's name and, where columns say so, its network and place.

    A station at several places counts at the northernmost, whatever the order of the rows.

    Raises
    ------
    UserError
        If a column is missing, or a station is of two networks, one of which may be held out.
    """
    columns = {
        "station": options.station,
        "network": options.network,
        "latitude": options.latitude,
        "longitude": options.longitude,
    }
    named = {name: column for name, column in columns.items() if column}
    missing = [column for column in named.values() if column not in source]
    if missing:
        raise UserError(
            f"the table has no column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(str, source.columns))}"
        )
    # Of the whole table only these columns are gone through: a copy of all would double it.
    known = pd.DataFrame({name: source[column] for name, column in named.items()}, copy=False)
    first = known.drop_duplicates().dropna(subset="station")
    first = first.assign(station=station_names(pd.Index(first["station"])))
    if "network" in first:
        first["network"] = _words(first["network"])
        _require_one_network(first)
    order = [name for name in ("latitude", "longitude") if name in first]
    first = first.sort_values(["station", *order], ascending=[True, *[False] * len(order)])
    return first.groupby("station", sort=True).first().reset_index()


def _words(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return names as text, None where there is none."""
    return column.astype(object).map(lambda name: str(name).strip(), na_action="ignore")


def _require_one_network(sites: pd.DataFrame) -> None:
    counts = sites.groupby("station")["network"].nunique()
    several = counts.index[counts > 1]
    if several.size:
        names = sorted(set(sites.loc[sites["station"] == several[0], "network"].dropna()))
        raise UserError(
            f"{counted(several.size, 'stations')} of several networks, such as {several[0]!r} of "
            f"{', '.join(names)}: give each station a name of its own, such as NETWORK/STATION"
        )
