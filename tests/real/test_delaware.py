"""Real pairs: ESA CCI over Delaware in January 2018 and the stations of the state's network."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.transform

from smcloud.core.listener import Silent
from smcloud.grids.grid import GLOBAL025
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TableColumns
from smcloud.production.train_stage import TrainRequest, train_table
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats
from smcloud.validation.splits import SplitRules

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def table(realdata):
    path = Path(__file__).parents[2] / "examples" / "real.py"
    spec = importlib.util.spec_from_file_location("example_real", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example.delaware_table(realdata / "delaware-2018-01")


def test_fields_and_stations_meet_on_the_same_days(table):
    assert table["day"].dt.strftime("%Y-%m").unique().tolist() == ["2018-01"]
    assert table["station"].nunique() <= 28
    assert table["soil_moisture"].between(0.0, 0.7).all()
    assert table["cci"].between(0.0, 1.0).all()
    assert table["longitude"].between(-76.5, -74.5).all()


def test_scores_agree_with_numpy(table):
    codes = table["station"].astype("category").cat.codes.to_numpy()
    pairs = PairStats.grouped(table["cci"], table["soil_moisture"], codes, codes.max() + 1)
    found = all_scores(pairs)
    one = table[codes == 0]
    expected = np.corrcoef(one["cci"], one["soil_moisture"])[0, 1]
    assert found["R"][0] == pytest.approx(expected)
    assert np.nanmedian(found["RMSE"]) > 0.05


def test_a_model_on_the_pairs_is_scored_on_stations_it_never_saw(table, tmp_path):
    """One winter month of a coarse field: poor on new stations, and flattering on random days."""
    request = TrainRequest(
        f"file://{tmp_path}",
        "delaware",
        TableColumns(("cci", "elevation_m", "day_of_month"), "soil_moisture", "station", "day"),
        SplitRules(block_degrees=1.0, seed=0),
        BoostingParams(rounds=60, seed=0),
        "local",
    )
    scores = train_table(table, request, None, Silent()).scores
    assert scores["station"].possible
    assert not scores["year"].possible
    unseen, random = (scores[kind].overall["RMSE"]["value"] for kind in ("station", "random"))
    assert random < unseen


def test_cells_of_esa_cci_are_cells_of_our_quarter_degree_grid(realdata):
    """A station's cell by our grid is the one that the GeoTIFF of its maker has there."""
    folder = realdata / "delaware-2018-01"
    stations = pd.read_csv(folder / "NetworkPoints" / "deos_met.csv")
    lon, lat = stations["Longitude"].to_numpy(), stations["Latitude"].to_numpy()
    with rasterio.open(folder / "ESAGrids" / "ESA_CCI_SM_v45_Delaware_20180105.tif") as raster:
        inside = (lon > raster.bounds.left) & (lon < raster.bounds.right)
        inside &= (lat > raster.bounds.bottom) & (lat < raster.bounds.top)
        expected = rasterio.transform.rowcol(raster.transform, lon[inside], lat[inside])
        north_west = GLOBAL025.pixel_of(raster.bounds.left + 0.1, raster.bounds.top - 0.1)
    row, col = GLOBAL025.pixel_of(lon[inside], lat[inside])
    np.testing.assert_array_equal(row - north_west[0], expected[0])
    np.testing.assert_array_equal(col - north_west[1], expected[1])
    assert inside.sum() > 20
