"""A table of samples made ready to learn from: any user's, or the one that smcloud builds.

Rows are put in one order, so that the model does not depend on the order in which they came.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.models.rows import Floats, Rows
from smcloud.validation.splits import Codes, Samples, locate

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
    """

    features: tuple[str, ...]
    target: str
    station: str = "station"
    time: str = "time"
    latitude: str | None = None
    longitude: str | None = None

    def __post_init__(self) -> None:
        if (self.latitude is None) != (self.longitude is None):
            raise UserError("a split in space needs latitude and longitude, found only one of them")

    def all(self) -> tuple[str, ...]:
        """Return every column that is needed, each once."""
        others = (self.latitude, self.longitude)
        named = [self.station, self.time, *(name for name in others if name), *self.features]
        return tuple(dict.fromkeys([*named, self.target]))


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """Rows whose target, station and time are known, in one order whatever the source's.

    Attributes
    ----------
    columns : TableColumns
    frame : DataFrame
        The needed columns only, one row per station and day.
    dropped : int
        Rows of the source without target or time.
    """

    columns: TableColumns
    frame: pd.DataFrame
    dropped: int

    @property
    def target(self) -> Floats:
        """Return the target (n_rows,), float32."""
        return self.frame[self.columns.target].to_numpy(np.float32)

    @property
    def stations(self) -> NDArray[np.str_]:
        """Return the station of each row."""
        return np.asarray(self.frame[self.columns.station].to_numpy(str))

    @property
    def days(self) -> NDArray[np.datetime64]:
        """Return the UTC day of each row, datetime64[D]."""
        return np.asarray(self.frame[self.columns.time].to_numpy("datetime64[D]"))

    def features(self, index: Codes) -> Floats:
        """Return the predictors of some rows, float32 (n_rows, n_features), NaN unknown."""
        found = self.frame[list(self.columns.features)].iloc[index].to_numpy(np.float32)
        return np.ascontiguousarray(found)

    def rows(self, index: Codes) -> Rows:
        """Return some rows to learn from or to stop on."""
        return Rows(self.features(index), self.target[index])

    def samples(self, block_degrees: float) -> Samples:
        """Return where and when each row was measured, for the splits."""
        lat, lon = self.columns.latitude, self.columns.longitude
        return locate(
            self.stations,
            self.days,
            None if lat is None else self.frame[lat].to_numpy(np.float64),
            None if lon is None else self.frame[lon].to_numpy(np.float64),
            block_degrees=block_degrees,
        )

    def to_parquet(self) -> bytes:
        """Return the rows as one Parquet file."""
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        return buffer.getvalue()

    def content_hash(self) -> str:
        """Return a hash of all values, independent of the order of the source's rows."""
        hashes = pd.util.hash_pandas_object(self.frame, index=False).to_numpy()
        return hashlib.sha256(repr(self.columns).encode() + hashes.tobytes()).hexdigest()


def training_table(source: pd.DataFrame, columns: TableColumns) -> TrainingTable:
    """Return the usable rows of a table, checked and ordered.

    Raises
    ------
    UserError
        Naming the column: one is missing or not numeric, holds infinite values, a time cannot be
        read, no row is usable, or the target never varies.
    """
    _require_columns(source, columns)
    frame = pd.DataFrame({columns.station: source[columns.station].astype(str)})
    frame[columns.time] = _times(source[columns.time], columns.time)
    for name in columns.all():
        if name not in frame:
            frame[name] = _numbers(source[name], name)
    known = frame[columns.target].notna() & frame[columns.time].notna()
    known &= source[columns.station].notna()
    frame = frame[known].sort_values(
        [columns.station, columns.time, *columns.all()[2:]], kind="stable", ignore_index=True
    )
    table = TrainingTable(columns, frame, dropped=int((~known).sum()))
    if not len(frame):
        raise UserError(
            f"none of the {len(source)} rows has a known {columns.target!r}, {columns.time!r} and "
            f"{columns.station!r}: there is nothing to learn from"
        )
    if float(np.ptp(table.target)) == 0.0:
        raise UserError(
            f"the target {columns.target!r} is {float(table.target[0]):g} in all {len(frame)} "
            "rows: there is nothing to learn"
        )
    return table


def read_table(data: bytes, name: str) -> pd.DataFrame:
    """Return the table in a Parquet or CSV file, told apart by the end of `name`.

    Raises
    ------
    UserError
        If the file is neither, or is damaged.
    """
    try:
        table = _parsed(data, name)
    except (ValueError, OSError) as err:
        reason = str(err).splitlines()[0]
        raise UserError(f"the table {name} cannot be read: {reason}") from err
    if table.empty:
        raise UserError(f"the table {name} has no rows: expected one per station and day")
    return table


def _parsed(data: bytes, name: str) -> pd.DataFrame:
    if name.endswith((".parquet", ".pq")):
        return pd.read_parquet(io.BytesIO(data))
    if name.endswith((".csv", ".csv.gz")):
        return pd.read_csv(io.BytesIO(data), compression="gzip" if name.endswith(".gz") else None)
    raise UserError(f"the table {name} must end in .parquet or .csv: convert it first")


def numeric_columns(source: pd.DataFrame, without: Sequence[str | None]) -> tuple[str, ...]:
    """Return the numeric columns, in the table's order, but for those named in `without`.

    Pixel numbers and quality bits, which smcloud's own sample tables hold, are left out as well:
    they name the place and the day instead of saying something about them.

    Raises
    ------
    UserError
        If a column is text only because a few of its values are not numbers: leaving it out
        without a word would lose a predictor.
    """
    numeric = source.select_dtypes(["number", "bool"]).columns
    left_out = {*without, *NOT_PREDICTORS}
    for name in source.columns:
        if name not in numeric and name not in left_out:
            _require_no_stray_text(source[name], str(name))
    return tuple(str(name) for name in numeric if name not in left_out)


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


def _times(column: pd.Series[Any], name: str) -> pd.Series[pd.Timestamp]:
    try:
        # Days as text and as instants with a zone both become UTC days.
        parsed = pd.to_datetime(column, utc=True)
    except (ValueError, TypeError, OverflowError) as err:
        raise UserError(
            f"the column {name!r} cannot be read as time: {str(err).splitlines()[0]}"
        ) from err
    if pd.api.types.is_numeric_dtype(column.dtype):
        raise UserError(
            f"the column {name!r} holds numbers where times are expected, such as 2019-07-01"
        )
    return parsed.dt.tz_localize(None).dt.floor("D")


def _numbers(column: pd.Series[Any], name: str) -> pd.Series[float]:
    if not (pd.api.types.is_numeric_dtype(column.dtype)):
        raise UserError(
            f"the column {name!r} holds {column.dtype} where numbers are expected: encode it as "
            "numbers, or leave it out with --features"
        )
    numbers = column.astype(np.float64)
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        raise UserError(
            f"the column {name!r} has {infinite} infinite values: leave unknown ones empty"
        )
    return numbers
