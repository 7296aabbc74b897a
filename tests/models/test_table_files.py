"""Files as people have them: semicolons, byte order marks, indexes, dates."""

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smcloud.core.errors import UserError
from smcloud.models.table_files import dialect, read_table

FRAME = pd.DataFrame({"station": ["a", "b"], "sm": [0.25, 0.5], "rain": [1.5, np.nan]})


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("separator", "decimal"), [(",", "."), (";", ","), (";", "."), ("\t", ",")]
)
def test_every_dialect_of_csv_is_read(mark: bytes, separator: str, decimal: str) -> None:
    text = mark + FRAME.to_csv(index=False, sep=separator, decimal=decimal).encode()
    pd.testing.assert_frame_equal(read_table(text, "t.csv"), FRAME)
    packed = read_table(gzip.compress(text), "T.CSV.GZ")
    pd.testing.assert_frame_equal(packed, FRAME)


@given(
    separator=st.sampled_from(",;\t"),
    names=st.lists(st.from_regex(r"\A[a-z]{1,5}\Z"), min_size=2, max_size=9),
)
def test_the_separator_is_that_of_the_header(separator: str, names: list[str]) -> None:
    head = separator.join(names) + "\n" + separator.join("1" for _ in names)
    assert dialect(head.encode()) == (separator, ".")


def test_an_index_of_pandas_is_no_column_of_numbers(tmp_path) -> None:
    moved = FRAME.set_index(pd.Index([7, 9]))
    moved.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet", "t.parquet"), FRAME)
    FRAME.set_index("station").to_parquet(tmp_path / "t.parquet")
    named = read_table((tmp_path / "t.parquet").read_bytes(), "t.parquet")
    assert sorted(named) == ["rain", "sm", "station"]


def test_dates_are_no_objects(tmp_path) -> None:
    table = pa.table({"day": pa.array([17000, None], pa.int32()).cast(pa.date32())})
    pq.write_table(table, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", "t.parquet")["day"].dtype.kind == "M"


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet"])
def test_a_file_that_is_none_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"the table {name} cannot be read"):
        read_table(b"not at all", name)


def test_text_in_another_encoding_is_said() -> None:
    with pytest.raises(UserError, match="no UTF-8 text: save it as such"):
        read_table("site,sm\né,0.2\n".encode("latin-1"), "t.csv")
