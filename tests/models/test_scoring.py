"""Tables made ready, and scores that say what was unseen."""

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import UserError
from smcloud.models import samples
from smcloud.models.fold_jobs import FoldJob, TrainingData, score_job
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TableColumns, TrainingTable, numeric_columns, training_table
from smcloud.models.scoring import SplitScores, headline, pooled
from smcloud.models.table_files import read_table
from smcloud.validation.splits import SPLIT_KINDS, SplitRules

COLUMNS = TableColumns(("rain", "soil"), "sm", "station", "day", "lat", "lon")
PARAMS = BoostingParams(rounds=80, early_stopping=20, threads=1, trees={"max_depth": 5})
RULES = SplitRules(block_degrees=0.5, gap_days=10)


def clustered(years: int = 2, n: int = 30) -> pd.DataFrame:
    """Return stations whose level nothing explains, though a static column gives them away."""
    rng = np.random.default_rng(4)
    days = pd.date_range("2018-01-01", periods=73 * years, freq="5D")
    rain = np.convolve(rng.gamma(0.3, 4.0, days.size), [0.5, 0.3, 0.2], "same")
    frames = [
        pd.DataFrame(
            {
                "station": f"s{number:02d}",
                "day": days,
                "lat": rng.uniform(40, 48),
                "lon": rng.uniform(0, 10),
                "rain": rain + rng.normal(0, 0.3, days.size),
                "soil": rng.uniform(0, 1),
                "sm": rng.uniform(0.1, 0.35) + 0.02 * rain + rng.normal(0, 0.01, days.size),
            }
        )
        for number in range(n)
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def source() -> pd.DataFrame:
    return clustered()


def whole(table: TrainingTable) -> pd.DataFrame:
    return table.frame(slice(None), *table.values)


def scored(source: pd.DataFrame, kind: str) -> tuple[SplitScores, pd.DataFrame | None]:
    data = TrainingData(training_table(source, COLUMNS), RULES)
    found, estimates = score_job(data, FoldJob("j", kind, 0, "all", PARAMS, estimates="kept"))
    return pooled([found], RULES.seed), estimates


def scores_of(source: pd.DataFrame, kind: str) -> SplitScores:
    return scored(source, kind)[0]


def test_a_random_split_flatters_clustered_stations(source: pd.DataFrame) -> None:
    random, station = scores_of(source, "random"), scores_of(source, "station")
    assert random.overall["R"]["value"] > station.overall["R"]["value"] + 0.15
    assert random.overall["RMSE"]["value"] < 0.8 * station.overall["RMSE"]["value"]


def test_estimates_of_the_test_set_come_with_station_day_and_block(source: pd.DataFrame) -> None:
    scores, tested = scored(source, "station_year")
    assert tested is not None
    assert list(tested) == ["station", "time", "block", "estimate", "sm"]
    assert len(tested) == scores.counts["test"]["rows"]
    found = np.corrcoef(tested["estimate"], tested["sm"])[0, 1]
    assert found == pytest.approx(scores.overall["R"]["value"], abs=1e-4)


def test_one_year_says_why_there_is_no_split_by_year() -> None:
    source = clustered(years=1)
    found = {kind: scores_of(source, kind) for kind in SPLIT_KINDS}
    assert not found["year"].possible
    assert "all of 2018" in found["station_year"].why_not
    assert headline(found) == "station"


def test_scores_are_the_same_after_json(source: pd.DataFrame) -> None:
    scores = scores_of(source, "station")
    again = SplitScores.from_json(scores.to_json())
    assert again.to_json() == scores.to_json()
    assert again.for_card()["median_R"] == pytest.approx(scores.median["R"]["value"], rel=1e-5)


def test_rows_come_in_one_order_whatever_the_table_had(source: pd.DataFrame) -> None:
    mixed = source.sample(frac=1.0, random_state=3)[list(source)[::-1]]
    one, other = training_table(source, COLUMNS), training_table(mixed, COLUMNS)
    pd.testing.assert_frame_equal(whole(one), whole(other))
    assert one.content_hash() == other.content_hash()
    changed = source.assign(rain=source["rain"] + 1e-3)
    assert training_table(changed, COLUMNS).content_hash() != one.content_hash()


def test_rows_of_one_station_and_day_come_by_their_values(source: pd.DataFrame) -> None:
    again = source.assign(soil=source["soil"] - 1.0)
    unknown = source.assign(rain=np.nan)
    mixed = pd.concat([source, again, unknown]).sample(frac=1.0, random_state=5)
    found = whole(training_table(mixed, COLUMNS))
    keys = ["station", "day", "lat", "lon", "rain", "soil", "sm"]
    expected = mixed.sort_values(keys, ignore_index=True)[found.columns]
    pd.testing.assert_frame_equal(found, expected.astype(found.dtypes))
    assert len(found) == 3 * len(source)


def test_the_columns_of_a_table_are_the_sources_own(source: pd.DataFrame) -> None:
    table = training_table(source, COLUMNS)
    for name, column in zip(COLUMNS.features, table.rows(np.arange(9)).columns, strict=True):
        assert np.shares_memory(column, source[name].to_numpy())


def test_what_pandas_marks_as_unknown_is_nan(source: pd.DataFrame) -> None:
    marked = source.assign(rain=source["rain"].astype("Float64").where(source["rain"] > 1.0))
    table = training_table(marked, COLUMNS)
    expected = int((source["rain"] <= 1.0).sum())
    assert np.isnan(table.values["rain"]).sum() == expected


def test_a_stored_table_is_read_back_as_it_was(source: pd.DataFrame, monkeypatch) -> None:
    monkeypatch.setattr(samples, "FILE_ROWS", 1000)
    table = training_table(source, COLUMNS)
    again = training_table(read_table(table.to_parquet(), "rows.parquet"), COLUMNS)
    assert again.content_hash() == table.content_hash()


def test_unknown_targets_times_and_stations_are_left_out(source: pd.DataFrame) -> None:
    holes = source.copy()
    holes.loc[3, "sm"] = np.nan
    holes.loc[4, "day"] = pd.NaT
    holes.loc[5, "station"] = None
    holes.loc[6, "rain"] = np.nan
    table = training_table(holes, COLUMNS)
    assert table.dropped == 3
    assert len(whole(table)) == len(source) - 3
    assert whole(table)[["rain", "soil"]].isna().sum().sum() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rain": "wet"}, "the column 'rain' holds .* where numbers are expected"),
        ({"sm": 0.3}, r"the target 'sm' is 0\.3 in all"),
        ({"sm": np.nan}, "none of the [0-9]+ rows has a known 'sm'"),
        ({"day": "soon"}, "the column 'day' cannot be read as time"),
        ({"day": 17}, "the column 'day' holds numbers where times are expected"),
        ({"soil": np.inf}, "the column 'soil' has [0-9]+ infinite values"),
    ],
)
def test_an_unusable_column_is_named(source: pd.DataFrame, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        training_table(source.assign(**change), COLUMNS)


def test_missing_columns_are_named_beside_those_there(source: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"no column 'lat', 'soil'; it has station, day, lon, rain"):
        training_table(source.drop(columns=["soil", "lat"]), COLUMNS)


def test_instants_in_any_zone_become_utc_days(source: pd.DataFrame) -> None:
    late = pd.to_datetime(source["day"]).dt.tz_localize("UTC") + pd.Timedelta(hours=23)
    table = training_table(source.assign(day=late.dt.tz_convert("Asia/Tokyo")), COLUMNS)
    np.testing.assert_array_equal(table.days, training_table(source, COLUMNS).days)


def test_features_default_to_the_other_numbers(source: pd.DataFrame) -> None:
    used = ("sm", "station", "day", "lat", "lon")
    assert numeric_columns(source.assign(note="x"), used) == ("rain", "soil")


def test_parquet_and_csv_give_the_same_table(source: pd.DataFrame, tmp_path) -> None:
    source.to_parquet(tmp_path / "t.parquet")
    source.to_csv(tmp_path / "t.csv", index=False)
    one, other = (
        training_table(read_table((tmp_path / name).read_bytes(), name), COLUMNS)
        for name in ("t.parquet", "t.csv")
    )
    pd.testing.assert_frame_equal(whole(one), whole(other))


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"PAR1 no", "t.parquet", r"the table t\.parquet cannot be read"),
        (b"", "t.csv", r"the table t\.csv cannot be read"),
        (b"a,b", "t.xlsx", r"t\.xlsx must end in \.parquet or \.csv"),
    ],
)
def test_a_damaged_or_other_file_is_one_clear_error(data: bytes, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(data, name)
