"""A table of samples made ready to learn from: any user's, or the one that smcloud builds.

Rows are put in one order, so that the model does not depend on the order in which they came.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.models.rows import Index, Rows
from smcloud.models.table_columns import Numbers, days_of, numbers_of, require_places
from smcloud.validation.splits import Codes, Samples, locate

FILE_ROWS = 262_144
"""Rows that a Parquet file is written by."""
NOT_PREDICTORS = ("row", "col", "quality_flag")
"""Columns of smcloud's own sample tables that are no predictors unless they are asked for."""


@dataclass(frozen=True)
class TableColumns:
    """Which column of a table is what.

    Attributes
    ----------
    features : tuple of str
        Predictors in the order of the model's columns.
    target : str
        What the model learns to say.
    station : str
        Rows of equal value here are never parted by a split in space.
    time : str
        UTC day or instant.
    latitude, longitude : str or None
        Degrees, both or neither; without them each station is a block of its own.
    truth : str or None
        What the target is in truth at the pixel of the station, which only a simulated Earth knows:
        estimates are scored against it too, and nothing learns from it.
    """

    features: tuple[str, ...]
    target: str
    station: str = "station"
    time: str = "time"
    latitude: str | None = None
    longitude: str | None = None
    truth: str | None = None

    def __post_init__(self) -> None:
        if (self.latitude is None) != (self.longitude is None):
            raise UserError("a split in space needs latitude and longitude, found only one of them")

    def all(self) -> tuple[str, ...]:
        """Return every column that is needed, each once."""
        return tuple(dict.fromkeys([self.station, self.time, *self.numeric()]))

    def numeric(self) -> tuple[str, ...]:
        """Return every column that must hold numbers, each once."""
        others = [name for name in (self.latitude, self.longitude, self.truth) if name]
        return tuple(dict.fromkeys([*others, *self.features, self.target]))


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """Rows whose target, station and time are known, in one order whatever the source's.

    The columns stay where and as the source has them; `order` says which rows count and when.

    Attributes
    ----------
    columns : TableColumns
    values : mapping of str to array (n_source,)
        Target, predictors and coordinates; NaN is unknown.
    stations : Categorical (n_source,)
        Station of each row of the source, names ascending.
    source_days : datetime64[D] (n_source,)
        UTC day of each row of the source.
    order : int64 (n_rows,)
        Row of the source that each row of the table is.
    """

    columns: TableColumns
    values: Mapping[str, Numbers]
    stations: pd.Categorical[str]
    source_days: NDArray[np.datetime64]
    order: Index
    _located: dict[float, Samples] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> NDArray[np.object_]:
        """Return the names of all stations of the source, ascending."""
        return np.asarray(self.stations.categories, dtype=object)

    @cached_property
    def codes(self) -> Codes:
        """Return the number of each row's station in `names`."""
        return self.stations.codes[self.order].astype(np.int64)

    @property
    def dropped(self) -> int:
        """Return how many rows of the source have no target, time or station."""
        return len(self.stations) - self.order.size

    @property
    def days(self) -> NDArray[np.datetime64]:
        """Return the UTC day of each row, datetime64[D]."""
        return self.source_days[self.order]

    def rows(self, index: Codes) -> Rows:
        """Return some rows to learn from, to stop on or to be scored on."""
        chosen = self.order[index]
        target = self.values[self.columns.target][chosen].astype(np.float32)
        return Rows(tuple(self.values[name] for name in self.columns.features), target, chosen)

    def samples(self, block_degrees: float) -> Samples:
        """Return where and when each row was measured, for the splits; found out once."""
        lat, lon = self.columns.latitude, self.columns.longitude
        if block_degrees not in self._located:
            self._located[block_degrees] = locate(
                self.stations[self.order],
                self.days,
                None if lat is None else self.values[lat][self.order],
                None if lon is None else self.values[lon][self.order],
                block_degrees=block_degrees,
            )
        return self._located[block_degrees]

    def is_at(self, stations: Collection[str]) -> NDArray[np.bool_]:
        """Return which rows were measured at one of the stations."""
        is_meant = np.array([name in stations for name in self.names], dtype=bool)
        return np.asarray(is_meant[self.codes])

    def truth_at(self, index: Codes) -> NDArray[np.float64] | None:
        """Return the truth of the pixel at some rows, NaN unknown; None where nobody knows it."""
        if self.columns.truth is None:
            return None
        return self.values[self.columns.truth][self.order[index]].astype(np.float64)

    def with_features(self, features: Sequence[str]) -> TrainingTable:
        """Return the same rows with some of the predictors; nothing is copied."""
        return replace(self, columns=replace(self.columns, features=tuple(features)))

    def frame(self, index: Codes | slice, *names: str) -> pd.DataFrame:
        """Return station, day and the named columns of some rows."""
        chosen = self.order[index]
        stations = self.names[self.stations.codes[chosen]]
        found = {
            self.columns.station: stations,
            self.columns.time: self.source_days[chosen].astype("datetime64[s]"),
        }
        return pd.DataFrame(found | {name: self.values[name][chosen] for name in names})

    def to_parquet(self) -> bytes:
        """Return the rows as one Parquet file, made a few rows at a time."""
        buffer = io.BytesIO()
        with ExitStack() as stack:
            writer: pq.ParquetWriter | None = None
            for start in range(0, self.order.size, FILE_ROWS):
                part = self.frame(slice(start, start + FILE_ROWS), *self.values)
                group = pa.Table.from_pandas(part, preserve_index=False)
                writer = writer or stack.enter_context(pq.ParquetWriter(buffer, group.schema))
                writer.write_table(group)
        return buffer.getvalue()

    def content_hash(self) -> str:
        """Return a hash of all values, independent of the order of the source's rows."""
        found = hashlib.sha256(repr(self.columns).encode())
        stations = self.stations[self.order].remove_unused_categories()
        found.update(repr(list(stations.categories)).encode())
        found.update(stations.codes.astype(np.int32).data)
        found.update(self.days.astype(np.int64).data)
        for name in self.columns.numeric():
            found.update(self.values[name][self.order].astype(np.float64).data)
        return found.hexdigest()


def training_table(source: pd.DataFrame, columns: TableColumns) -> TrainingTable:
    """Return the usable rows of a table, checked and ordered.

    Raises
    ------
    UserError
        Naming the column: one is missing or not numeric, holds infinite values, a time or a place
        cannot be read, no row is usable, or the target never varies.
    """
    _require_columns(source, columns)
    stations = _stations(source[columns.station])
    days = days_of(source[columns.time], columns.time)
    values = {name: numbers_of(source[name], name) for name in columns.numeric()}
    known = ~(np.isnan(values[columns.target]) | np.isnat(days)) & (stations.codes >= 0)
    if not known.any():
        raise UserError(
            f"none of the {len(source)} rows has a known {columns.target!r}, {columns.time!r} and "
            f"{columns.station!r}: there is nothing to learn from"
        )
    used = np.flatnonzero(known)
    if columns.latitude and columns.longitude:
        places = {"latitude": columns.latitude, "longitude": columns.longitude}
        require_places({what: (name, values[name]) for what, name in places.items()}, used)
    order = _ordered(used, stations.codes, days, list(values.values()))
    target = values[columns.target][order]
    if float(np.ptp(target.astype(np.float32))) == 0.0:
        raise UserError(
            f"the target {columns.target!r} is {float(target[0]):g} in all {order.size} "
            "rows: there is nothing to learn"
        )
    return TrainingTable(columns, values, stations, days, order)


def _stations(column: pd.Series[Any]) -> pd.Categorical[str]:
    """Return the station of each row by name, categories ascending; -1 where there is none."""
    codes, found = pd.factorize(column)
    # Names are made once a station, not once a row; 1 and "1" are one station.
    names = pd.Categorical(station_names(pd.Index(found)))
    known = np.append(names.codes.astype(np.int64), -1)
    return pd.Categorical.from_codes(known[codes], names.categories)


def station_names(stations: pd.Index[Any]) -> pd.Index[str]:
    """Return stations as text: numbers without a point, which a missing one brings into a column.

    Text is stripped: what a file pads with spaces is one station.
    """
    if pd.api.types.is_float_dtype(stations.dtype):
        numbers = stations.to_numpy(float)
        if (numbers == np.round(numbers)).all():
            stations = pd.Index(numbers.astype(np.int64))
    return stations.astype(str).str.strip()


def _ordered(
    rows: Index,
    stations: NDArray[np.signedinteger[Any]],
    days: NDArray[np.datetime64],
    values: Sequence[Numbers],
) -> Index:
    """Return the row numbers by station and day, and where these are equal by all values."""
    rows = rows[np.lexsort((days[rows], stations[rows]))]
    is_same = (np.diff(stations[rows]) == 0) & (days[rows][1:] == days[rows][:-1])
    tied = np.append(is_same, False) | np.append(False, is_same)
    among = rows[tied]
    for key in (*reversed(values), days, stations):
        among = among[np.argsort(key[among], kind="stable")]
    rows[tied] = among
    return rows


def numeric_columns(source: pd.DataFrame, without: Sequence[str | None]) -> tuple[str, ...]:
    """Return the numeric columns, in the table's order, but for those named in `without`.

    Pixel numbers and quality bits, which smcloud's own sample tables hold, and columns without a
    name, which hold row numbers, are left out as well: they name the place and the day instead of
    saying something about them.

    Raises
    ------
    UserError
        If a column is text only because a few of its values are not numbers: leaving it out
        without a word would lose a predictor.
    """
    left_out = {*without, *NOT_PREDICTORS}
    asked = [name for name in source.columns if name not in left_out and not _is_unnamed(name)]
    for name in asked:
        if not pd.api.types.is_numeric_dtype(source[name].dtype):
            _require_no_stray_text(source[name], str(name))
    return tuple(str(name) for name in asked if pd.api.types.is_numeric_dtype(source[name].dtype))


def _is_unnamed(name: object) -> bool:
    """Return whether a column is one of row numbers: pandas writes those under no name."""
    return str(name).startswith("Unnamed: ")


def _require_no_stray_text(column: pd.Series[Any], name: str) -> None:
    known = column.dropna()
    strays = known[pd.to_numeric(known, errors="coerce").isna()]
    if 0 < len(strays) < len(known) / 2:
        raise UserError(
            f"the column {name!r} holds {strays.iloc[0]!r} in data row {strays.index[0] + 1} "
            f"({len(strays)} of {len(known)} values are not numbers): leave unknown values empty, "
            "or name the predictors with --features"
        )


def _require_columns(source: pd.DataFrame, columns: TableColumns) -> None:
    twice = sorted({str(name) for name in source.columns[source.columns.duplicated()]})
    if twice:
        raise UserError(f"the table has several columns {', '.join(map(repr, twice))}: rename them")
    missing = [name for name in columns.all() if name not in source]
    if missing:
        raise UserError(
            f"the table has no column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(str, source.columns))}"
        )
    if not columns.features:
        raise UserError("the table has no numeric column to learn from: name some with --features")
    if columns.target in columns.features:
        raise UserError(f"the target {columns.target!r} is among the features: leave it out there")
