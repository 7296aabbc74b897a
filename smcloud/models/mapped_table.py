"""A Parquet table larger than memory, as columns in files that the system pages in and out.

Rows are read once, a few at a time, and each column is written as it will be asked for: float32,
days, or numbers of names. What a training then holds in memory are row numbers, days and the bins
of the rows that it fits on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smcloud.models.table_files import INDEX

BATCH_ROWS = 262_144
MEMORY_SHARE = 0.5
"""A table that takes more than this part of the free memory is mapped."""
FLOAT_BYTES, NAME_BYTES = 8, 64
"""Bytes of a value, and of a name, in a table that is read whole."""


def needs_mapping(path: Path) -> bool:
    """Return whether a Parquet file, read whole, would take too much of the free memory."""
    schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
    names = sum(1 for field in schema if _is_name(field.type))
    row_bytes = names * NAME_BYTES + (len(schema) - names) * FLOAT_BYTES
    return bool(rows * row_bytes > MEMORY_SHARE * psutil.virtual_memory().available)


def mapped_table(path: Path, folder: Path) -> pd.DataFrame:
    """Return a Parquet file's columns as arrays in files below `folder`, which must outlive it.

    Parameters
    ----------
    path
        The Parquet file.
    folder
        Empty folder on a disk with room for 4 bytes a value.

    Returns
    -------
    DataFrame
        Numbers as float32 (NaN unknown), long integers as float64, for they may be names of
        stations; times as datetime64[s] (NaT unknown), text as categories. Columns of other kinds,
        such as lists, and an index that pandas hid there are left out.
    """
    file = pq.ParquetFile(path, memory_map=True)
    columns = {
        field.name: _Column(folder / f"{number:04d}", field.type, file.metadata.num_rows)
        for number, field in enumerate(file.schema_arrow)
        if _is_known(field.type) and not INDEX.fullmatch(field.name)
    }
    start = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
        for name, column in columns.items():
            column.fill(start, batch.column(name))
        start += batch.num_rows
    return pd.DataFrame({name: column.whole() for name, column in columns.items()}, copy=False)


class _Column:
    """One column on its way from a file of rows to a file of its own."""

    def __init__(self, path: Path, kind: pa.DataType, rows: int) -> None:
        self._is_name, self._is_time = _is_name(kind), _is_time(kind)
        dtype = np.int32 if self._is_name else np.int64 if self._is_time else _number(kind)
        self._values: NDArray[Any] = np.memmap(path, dtype, "w+", shape=(rows,))
        self._numbers: dict[str, int] = {}

    def fill(self, start: int, part: pa.Array) -> None:
        """Write the values of some rows."""
        out = self._values[start : start + len(part)]
        if self._is_name:
            out[:] = self._coded(part)
        elif self._is_time:
            seconds = pc.cast(part, pa.timestamp("s"), safe=False).cast(pa.int64())
            out[:] = seconds.fill_null(np.iinfo(np.int64).min).to_numpy()  # NaT
        else:
            floats = pc.cast(part, pa.from_numpy_dtype(out.dtype), safe=False)
            out[:] = floats.to_numpy(zero_copy_only=False)

    def whole(self) -> Any:
        """Return the column as pandas takes it."""
        if self._is_name:
            return pd.Categorical.from_codes(
                self._values, pd.Index(list(self._numbers), dtype=object)
            )
        return self._values.view("datetime64[s]") if self._is_time else self._values

    def _coded(self, part: pa.Array) -> NDArray[np.int32]:
        """Return the number of each name, -1 for none; new names get the next numbers."""
        words = pc.cast(part, pa.string()).dictionary_encode()
        known = [
            self._numbers.setdefault(word, len(self._numbers))
            for word in words.dictionary.to_pylist()
        ]
        table = np.array([*known, -1], np.int32)
        at = words.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        return np.asarray(table[at])


def _number(kind: pa.DataType) -> type[np.floating[Any]]:
    """Return how numbers of a kind are kept: integers that float32 would round are float64."""
    return np.float64 if pa.types.is_integer(kind) and kind.bit_width > 16 else np.float32


def _is_known(kind: pa.DataType) -> bool:
    is_number = any(
        test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    )
    return is_number or _is_name(kind) or _is_time(kind)


def _is_name(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    )


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))
