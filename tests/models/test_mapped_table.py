"""A table that is mapped from its file gives the training that a table in memory gives."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smcloud.models import mapped_table as module
from smcloud.models.mapped_table import mapped_table, needs_mapping
from smcloud.models.samples import TableColumns, training_table

COLUMNS = TableColumns(("rain", "count", "is_wet"), "sm", "station", "day", "lat", "lon")


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 4000
    frame = pd.DataFrame(
        {
            "station": [f"N/s{number:02d}" for number in rng.integers(0, 23, n)],
            "day": pd.Timestamp("2011-03-01") + pd.to_timedelta(rng.integers(0, 900, n), "D"),
            "lat": rng.uniform(40, 48, n).astype(np.float32),
            "lon": rng.uniform(0, 9, n).astype(np.float32),
            "rain": rng.gamma(0.4, 4.0, n).astype(np.float32),
            "count": rng.integers(0, 24, n),
            "is_wet": rng.random(n) < 0.5,
            "sm": rng.uniform(0.1, 0.4, n).astype(np.float32),
        }
    )
    frame.loc[[3, 900], "station"] = None
    frame.loc[[5, 901], "day"] = pd.NaT
    frame.loc[[7, 902], "rain"] = np.nan
    frame.loc[[9, 903], "sm"] = np.nan
    return frame


def is_mapped(values: np.ndarray) -> bool:
    while values is not None and not isinstance(values, np.memmap):
        values = values.base
    return values is not None


def test_a_mapped_table_is_the_table(frame, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 333)
    frame.to_parquet(tmp_path / "t.parquet")
    folder = tmp_path / "scratch"
    folder.mkdir()
    found = mapped_table(tmp_path / "t.parquet", folder)
    one, other = training_table(found, COLUMNS), training_table(frame, COLUMNS)
    assert one.dropped == other.dropped == 6
    assert one.content_hash() == other.content_hash()
    assert is_mapped(one.values["rain"])
    assert not is_mapped(other.values["rain"])


def test_dates_and_dictionaries_are_read_too(frame, tmp_path) -> None:
    table = pa.table(
        {
            "station": pa.array(["b", "a", None, "b"]).dictionary_encode(),
            "day": pa.array([17000, None, 17002, 17003], pa.int32()).cast(pa.date32()),
            "sm": pa.array([0.1, 0.2, None, 0.4]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    folder = tmp_path / "scratch"
    folder.mkdir()
    found = mapped_table(tmp_path / "t.parquet", folder)
    assert found["station"].tolist()[:2] == ["b", "a"]
    assert pd.isna(found["station"][2])
    assert found["day"].isna().tolist() == [False, True, False, False]
    assert found["day"][0] == pd.Timestamp("2016-07-18")
    np.testing.assert_allclose(found["sm"], [0.1, 0.2, np.nan, 0.4], rtol=1e-6)


def test_long_numbers_of_stations_stay_apart(tmp_path) -> None:
    ids = np.array([2_000_000_001, 2_000_000_002] * 30)
    frame = pd.DataFrame({"station": ids, "day": np.datetime64("2019-01-01"), "lists": [[1]] * 60})
    frame = frame.assign(rain=np.arange(60.0), sm=np.arange(60.0)).set_index(np.arange(60) * 2)
    frame.to_parquet(tmp_path / "t.parquet")
    folder = tmp_path / "scratch"
    folder.mkdir()
    found = mapped_table(tmp_path / "t.parquet", folder)
    assert list(found) == ["station", "day", "rain", "sm"]
    columns = TableColumns(("rain",), "sm", "station", "day")
    assert list(training_table(found, columns).names) == ["2000000001", "2000000002"]


def test_only_a_table_too_large_for_memory_is_mapped(frame, tmp_path, monkeypatch) -> None:
    frame.to_parquet(tmp_path / "t.parquet")
    assert not needs_mapping(tmp_path / "t.parquet")
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=4000 * (64 + 7 * 8))
    )
    assert needs_mapping(tmp_path / "t.parquet")
