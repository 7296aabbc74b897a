"""The Maqu network on the plateau, real files, through reader and scores of the downscaled maps."""

import json

import numpy as np
import pandas as pd
import pytest

from smcloud.core.config import RunConfig
from smcloud.core.listener import Silent
from smcloud.cube.schema import shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import blocks_of, tile_window, tiles_of, window_text
from smcloud.ingest.stations import read_stations
from smcloud.production.examination import scored, why_no_stations
from smcloud.production.report_stations import in_situ_line
from smcloud.production.station_pairs import product_pairs, stations_of
from smcloud.production.stations_stage import ingest_named_stations
from smcloud.production.store_year import published_year
from smcloud.production.versions import Pointer, write_pointer
from smcloud.products.registry import product_named

pytestmark = pytest.mark.real

YEAR, VERSION = 2010, "v1"
DAYS = np.arange("2010-01-01", "2011-01-01", dtype="datetime64[D]")
LON, LAT = 102.1333, 33.8833
"""Of CST-01, degrees; CST-02 is within 40 pixels."""
(TILE,) = tiles_of(np.array([LON]), np.array([LAT]))
PRODUCTS = ("smap-downscaling", "all-weather")


def maps():
    """Soil moisture (days,) of maps that know the season and nothing else, m3 m-3."""
    return (0.25 - 0.1 * np.cos(2 * np.pi * np.arange(DAYS.size) / 365)).astype(np.float32)


def around():
    """The blocks of the tile that hold both stations."""
    row, col = (int(one) for one in SIN1KM.pixel_of(LON, LAT))
    near = Window(row - 40, row + 40, col - 40, col + 40)
    blocks = [b for b in blocks_of(tile_window(SIN1KM, TILE), 150) if b.intersect(near)]
    return Window(
        min(b.row0 for b in blocks),
        max(b.row1 for b in blocks),
        min(b.col0 for b in blocks),
        max(b.col1 for b in blocks),
    )


def run_of(folder, archive, product):
    return RunConfig(
        product=product,
        years=(YEAR,),
        tiles=(TILE,),
        store={"root": str(folder / "root")},
        stations={"archive": f"file://{archive}"},
        produce={"window": window_text(around(), TILE)},
    )


def publish(config):
    """Write the maps about the stations."""
    schema = product_named(config.product).schema
    url = config.layout.store(config.product, YEAR, VERSION)
    create_store(url, schema, YEAR)
    stored = schema.variables[0].pack(np.broadcast_to(maps()[:, None, None], (365, 150, 150)))
    for block in blocks_of(around(), 150):
        write_shard(url, schema, "soil_moisture", shard_index(schema, block, 0), stored)
    store = f"{VERSION}.zarr"
    write_pointer(config.layout, Pointer(config.product, YEAR, VERSION, store, "ab" * 32, (TILE,)))


@pytest.fixture(scope="module")
def maqu(realdata):
    return realdata / "ismn" / "networks" / "multinetwork" / "header_values" / "MAQU"


def raw(maqu, name):
    """The rows of a file by another road: split at the carriage returns."""
    (path,) = maqu.rglob(f"*{name}*.stm")
    lines = [line.split() for line in path.read_bytes().decode().split("\r")[1:] if line.strip()]
    table = pd.DataFrame(lines, columns=["day", "hour", "value", "flag", "own"])
    table["value"] = table["value"].astype(float)
    table["time"] = pd.to_datetime(table["day"] + " " + table["hour"])
    return table


def expected_ubrmse(maqu, name):
    """The ubRMSE of the maps at a station, computed by pandas from its raw file."""
    table = raw(maqu, name)
    good = table[(table["flag"] == "U") & table["value"].between(0.0, 0.6)]
    daily = good.groupby(good["time"].dt.normalize())["value"].agg(["mean", "size"])
    daily = daily[(daily["size"] >= 12) & (daily.index.year == YEAR)]["mean"]
    difference = pd.Series(np.round(maps(), 4), DAYS)[daily.index] - daily
    return float(difference.std(ddof=0)), len(daily)


@pytest.mark.parametrize("product", PRODUCTS)
def test_maps_are_scored_at_maqu_as_pandas_scores_them(maqu, tmp_path, product):
    config = run_of(tmp_path, maqu, product)
    summary = ingest_named_stations(config, None, Silent())
    assert (summary.networks, summary.stations, summary.broken) == (1, 2, ())
    table, _ = read_stations(config.layout.stations)
    flags = json.loads(table.loc[table["station"] == "CST_01", "flags"].item())
    assert {name: flags[name] for name in ("U", "D01,D03", "C03", "D03")} == {
        "U": 9407,
        "D01,D03": 3258,
        "C03": 1338,
        "D03": 1235,
    }
    publish(config)
    stations = stations_of(config, product_named(product), Silent())
    pairs = product_pairs(stations, published_year(config, YEAR), None)
    found = scored(pairs, 0)
    rows = found.product.stations.set_index("station")
    expected = [expected_ubrmse(maqu, name) for name in ("CST-01", "CST-02")]
    assert rows["n"].tolist() == [days for _, days in expected]
    np.testing.assert_allclose(rows["ubRMSE"], [score for score, _ in expected], atol=2e-6)
    mean = np.mean([score for score, _ in expected])
    line = in_situ_line(found, product_named(product))
    assert line.startswith(f"mean ubRMSE over 2 stations {mean:.3f} m3 m-3")
    assert ("0.057" if product == PRODUCTS[0] else "0.053 to 0.056") in line


def test_stations_on_another_continent_are_said_to_lie_outside(realdata, tmp_path):
    archive = realdata / "ismn/networks/multinetwork/header_values/SCAN"
    config = run_of(tmp_path, archive, PRODUCTS[0])
    ingest_named_stations(config, None, Silent())
    publish(config)
    stations = stations_of(config, product_named(config.product), Silent())
    pairs = product_pairs(stations, published_year(config, YEAR), None)
    assert "of 3 stations none lies inside" in why_no_stations(stations, pairs, 0)


def test_the_same_series_as_plain_csv_has_the_same_days(maqu, tmp_path):
    """Networks that ISMN lacks come as CSV: real rows of Maqu, what is flagged left empty."""
    config = run_of(tmp_path / "ismn", maqu, PRODUCTS[0])
    ingest_named_stations(config, None, Silent())
    _, expected = read_stations(config.layout.stations)
    table = raw(maqu, "CST-01")
    value = table["value"].where(table["flag"] == "U").map("{:.4f}".format).replace("nan", "")
    time = table["time"].dt.strftime("%Y-%m-%dT%H:%M")
    rows = f"BABAO,CST-01,{LAT},{LON},0.05," + time + "," + value
    text = "network,station,lat,lon,depth,time,value\n" + "\n".join(rows) + "\n"
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/soil_moisture.csv").write_text(text)
    plain = run_of(tmp_path / "csv", tmp_path / "plain", PRODUCTS[0])
    summary = ingest_named_stations(plain, None, Silent())
    assert summary.broken == ()
    _, found = read_stations(plain.layout.stations)
    own = expected[expected["station_id"].str.startswith("MAQU/CST_01")]
    assert found["day"].tolist() == own["day"].tolist()
    assert found["count"].tolist() == own["count"].tolist()
    np.testing.assert_allclose(found["soil_moisture"], own["soil_moisture"], rtol=1e-6)
