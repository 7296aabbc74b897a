"""A user's table as a frame: Parquet, or CSV in the dialects that spreadsheets write."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from smcloud.core.errors import UserError

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".csv.gz")
SEPARATORS = ",;\t"
SNIFFED_BYTES = 65_536
"""Bytes at the start of a CSV file that say how it is written."""
INDEX = re.compile(r"__index_level_\d+__")
"""Columns in which pandas hides the row numbers of a frame that it writes."""


def read_table(data: bytes | Path, name: str) -> pd.DataFrame:
    """Return the table in a Parquet or CSV file, told apart by the end of `name`.

    Parameters
    ----------
    data
        The file's bytes, or where it lies: a Parquet file that is mapped needs no memory of its
        own.
    name
        For its end, and for errors.

    Raises
    ------
    UserError
        If the file is neither, is damaged, or has no rows.
    """
    try:
        table = _parsed(data, name)
    except UnicodeDecodeError as err:
        raise UserError(
            f"the table {name} is no UTF-8 text: save it as such, for names may hold other letters"
        ) from err
    except (ValueError, OSError, pa.ArrowException) as err:
        reason = str(err).splitlines()[0]
        raise UserError(f"the table {name} cannot be read: {reason}") from err
    if table.empty:
        raise UserError(f"the table {name} has no rows: expected one per station and day")
    return table


def _parsed(data: bytes | Path, name: str) -> pd.DataFrame:
    if name.lower().endswith(PARQUET):
        return _of_parquet(data)
    if name.lower().endswith(CSV):
        return _of_csv(data, is_packed=name.lower().endswith(".gz"))
    raise UserError(f"the table {name} must end in .parquet or .csv: convert it first")


def _of_parquet(data: bytes | Path) -> pd.DataFrame:
    source = str(data) if isinstance(data, Path) else pa.BufferReader(data)
    read = pq.read_table(source, memory_map=True)
    read = read.drop_columns([name for name in read.column_names if INDEX.fullmatch(name)])
    # Each column of Arrow's is let go as soon as pandas has it: no second whole table. Without
    # pandas' own notes an index is a column like others, and dates are no Python objects.
    frame: pd.DataFrame = read.to_pandas(
        split_blocks=True, self_destruct=True, ignore_metadata=True, date_as_object=False
    )
    return frame


def _of_csv(data: bytes | Path, *, is_packed: bool) -> pd.DataFrame:
    packed = data.read_bytes() if isinstance(data, Path) else data
    text = gzip.decompress(packed) if is_packed else packed
    separator, decimal = dialect(text[:SNIFFED_BYTES])
    return pd.read_csv(io.BytesIO(text), sep=separator, decimal=decimal)


def dialect(head: bytes) -> tuple[str, str]:
    """Return the separator and the decimal mark of a CSV file, by its first bytes.

    Where the header is separated by semicolons or tabs, numbers may be written with a comma.
    """
    header, _, rows = head.decode("utf-8-sig", "replace").partition("\n")
    separator = max(SEPARATORS, key=header.count)
    has_comma = separator != "," and re.search(r"\d,\d", rows) and not re.search(r"\d\.\d", rows)
    return separator, "," if has_comma else "."
