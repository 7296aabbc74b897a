"""The sample table: stations get the very columns of production, and only usable days get in."""

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import NotFoundError, UserError
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.table import (
    TargetRule,
    daily_target,
    group_rows,
    joined,
    read_table,
    station_groups,
    station_table,
    write_table,
)
from smcloud.grids.grid import SIN1KM, Window

DAYS = pd.date_range("2018-12-01", "2019-01-31", freq="D", unit="s")


def sensor(station, lon, lat, *, depth=(0.0, 0.05), probe="TDR", network="NET"):
    name = f"{network}/{station}/{probe}/{depth[0]:.3f}-{depth[1]:.3f}"
    return {
        "station_id": name,
        "network": network,
        "station": station,
        "sensor": probe,
        "latitude": lat,
        "longitude": lon,
        "depth_from": depth[0],
        "depth_to": depth[1],
    }


def series(station_id, values, days=DAYS, count=24):
    return pd.DataFrame(
        {
            "station_id": station_id,
            "day": days,
            "soil_moisture": np.float32(values),
            "count": np.int16(count),
        }
    )


def lonlat_of(row, col):
    lon, lat = SIN1KM.lonlat(Window(row, row + 1, col, col + 1))
    return float(lon[0, 0]), float(lat[0, 0])


@pytest.fixture(scope="module")
def stations():
    """Five stations on both sides of a chunk edge and of Greenwich, two of them in one pixel."""
    places = {"a": (5401, 21585), "b": (5430, 21599), "c": (5431, 21600), "d": (5401, 21585)}
    rows = [sensor(name, *lonlat_of(*place)) for name, place in places.items()]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def daily(stations):
    rng = np.random.default_rng(3)
    return pd.concat(
        [series(name, rng.uniform(0.05, 0.4, len(DAYS))) for name in stations["station_id"]],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def reader(world):
    features = features_named(world.names, world.drivers)
    return FeatureReader(features, world.drivers, world.cubes, schemas=world.schemas)


@pytest.fixture(scope="module")
def table(world, reader, stations, daily):
    # Chunks of the small world are smaller than the real ones, and its cubes cover 40 x 40 pixels.
    groups = []
    for group in station_groups(daily_target(stations, daily)):
        inside = group.window.intersect(world.region)
        groups.append(type(group)(inside, group.year, group.samples))
    return joined([group_rows(reader, group) for group in groups])


def test_table_equals_production_at_every_station_bit_for_bit(world, reader, table):
    days = DAYS.to_numpy().astype("datetime64[D]")
    columns = reader.compute(reader.read(world.region, days, np.arange(1600)))
    assert len(table) == 4 * len(DAYS)
    for row in table.itertuples():
        day = int((np.datetime64(row.time, "D") - days[0]).astype(int))
        point = (row.row - world.region.row0) * 40 + (row.col - world.region.col0)
        have = np.array([getattr(row, name) for name in columns.names], np.float32)
        np.testing.assert_array_equal(have, columns.values[:, day, point])
        assert row.quality_flag == columns.flags[day, point]


def test_table_has_place_time_features_and_target(table, reader, daily):
    assert list(table.columns) == [
        *("station", "network", "latitude", "longitude", "tile", "row", "col", "time"),
        *reader.names,
        "quality_flag",
        "soil_moisture",
    ]
    assert table["station"].unique().tolist() == ["NET/a", "NET/b", "NET/c", "NET/d"]
    assert set(table["tile"]) == {"h17v04", "h18v04"}
    assert table["soil_moisture"].dtype == np.float32
    of_a = table.loc[table["station"] == "NET/a", "soil_moisture"].to_numpy()
    np.testing.assert_array_equal(of_a, daily["soil_moisture"].to_numpy()[: len(DAYS)])


def test_groups_read_each_chunk_once_a_year(stations, daily):
    groups = station_groups(daily_target(stations, daily))
    assert [(g.window.row0, g.window.col0, g.year) for g in groups] == [
        (5400, 21450, 2018),
        (5400, 21450, 2019),
        (5400, 21600, 2018),
        (5400, 21600, 2019),
    ]
    assert sum(len(g.samples) for g in groups) == 4 * len(DAYS)
    only = station_groups(daily_target(stations, daily), years=[2019], tiles=["h18v04"])
    assert [(g.window.col0, g.year) for g in only] == [(21600, 2019)]


def test_sensors_of_a_site_are_averaged_or_the_first_counts():
    one, two = sensor("s", 0.0, 45.0, probe="A"), sensor("s", 0.0, 45.0, probe="B")
    stations = pd.DataFrame([two, one])
    daily = pd.concat(
        [series(two["station_id"], 0.3), series(one["station_id"], 0.1)], ignore_index=True
    )
    mean = daily_target(stations, daily)
    np.testing.assert_allclose(mean["soil_moisture"], 0.2, atol=1e-7)
    assert len(mean) == len(DAYS)
    first = daily_target(stations, daily, TargetRule(sensors="first"))
    np.testing.assert_array_equal(first["soil_moisture"], np.float32(0.1))


def test_only_sensors_of_the_top_five_centimetres_count():
    rows = [
        sensor("top", 0.0, 45.0, depth=(0.0, 0.05)),
        sensor("inches", 0.0, 45.0, depth=(0.0508, 0.0508)),
        sensor("deep", 0.0, 45.0, depth=(0.1, 0.1)),
    ]
    daily = pd.concat([series(row["station_id"], 0.2) for row in rows], ignore_index=True)
    found = daily_target(pd.DataFrame(rows), daily)
    assert sorted(found["station"].unique()) == ["NET/inches", "NET/top"]
    with pytest.raises(UserError, match=r"none of 1 sensors ends within 0\.05 m"):
        daily_target(pd.DataFrame(rows[2:]), daily)


def test_days_with_few_values_or_out_of_range_are_left_out():
    row = sensor("s", 0.0, 45.0)
    daily = series(row["station_id"], 0.2)
    daily.loc[3, "count"] = 2
    daily.loc[5, "soil_moisture"] = np.float32(0.9)
    daily.loc[7, "soil_moisture"] = np.float32(np.nan)
    found = daily_target(pd.DataFrame([row]), daily, TargetRule(minimum_count=3))
    left_out = set(DAYS) - set(found["time"])
    assert left_out == {DAYS[3], DAYS[5], DAYS[7]}


def test_percentages_are_refused():
    row = sensor("s", 0.0, 45.0)
    with pytest.raises(UserError, match=r"reaches 21.5: expected m3 m-3"):
        daily_target(pd.DataFrame([row]), series(row["station_id"], 21.5))


def test_target_does_not_depend_on_the_order_of_rows(stations, daily):
    shuffled = daily.sample(frac=1.0, random_state=1)
    expected = daily_target(stations, daily)
    found = daily_target(stations.iloc[::-1], shuffled)
    pd.testing.assert_frame_equal(found, expected)


def test_data_set_returns_as_it_was_written(table):
    url = "memory://features-table/tables/train"
    assert write_table(url, table) == ["part-2018.parquet", "part-2019.parquet"]
    pd.testing.assert_frame_equal(read_table(url), table)
    shorter = table[table["time"] >= "2019-01-01"].reset_index(drop=True)
    assert write_table(url, shorter) == ["part-2019.parquet"]
    pd.testing.assert_frame_equal(read_table(url), shorter)
    with pytest.raises(NotFoundError):
        read_table("memory://features-table/tables/none")


def test_years_without_samples_are_an_error(reader, stations, daily):
    with pytest.raises(UserError, match="no station has a day"):
        station_table(reader, stations, daily, years=[1999])
