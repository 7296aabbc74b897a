"""AMSR-E, AMSR2 and MWRI by orbit: names, quality, midnight, merged orbits, files of others."""

from datetime import date, datetime

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import EASE2_NORTH_25KM, Window
from smcloud.grids.tiles import TileYear
from smcloud.ingest.cubes import shards_reached
from smcloud.sources.gpm_l1c import AMSR2_TB, AMSRE_TB, kept_codes
from smcloud.sources.mwri import MWRI_TB
from tests.sources.frozen_ground_files import PLACE, footprints, write_l1c, write_mwri

KEY = TileYear("ease2n_25km", "globe", 2019)
NOON = datetime(2019, 1, 1, 12)
ROW, COL = (int(index) for index in EASE2_NORTH_25KM.pixel_of(*PLACE))
AROUND = Window(ROW - 4, ROW + 5, COL - 4, COL + 5)


def steps_of(source, *paths, quality=""):
    return source.steps([source.read(p, quality=quality) for p in paths], KEY, within=AROUND)


def test_names_tell_sensor_days_and_orbit():
    name = "1C.GCOMW1.AMSR2.XCAL2016-V.20120702-S223117-E001009.000676.V07A.HDF5"
    found = AMSR2_TB.identify(name)
    assert (found.start, found.end) == (date(2012, 7, 2), date(2012, 7, 3))
    assert (found.scene, found.produced) == ("orbit-000676", "V07A-XCAL2016-V")
    assert AMSRE_TB.identify(name) is None
    assert AMSR2_TB.identify(name.replace("0702", "0732")) is None
    assert not AMSR2_TB.expects(date(2012, 7, 1))
    assert not AMSRE_TB.expects(date(2011, 10, 5))
    early = MWRI_TB.identify("FY3B_MWRIA_GBAL_L1_20120702_2130_010KM_MS.HDF")
    late = MWRI_TB.identify("FY3B_MWRID_GBAL_L1_20120702_2318_010KM_MS.HDF")
    assert (early.end, late.end) == (date(2012, 7, 2), date(2012, 7, 3))
    assert MWRI_TB.identify("FY3C_MWRID_GBAL_L1_20160702_2318_010KM_MS.HDF") is None


def test_channels_lie_where_they_belong(tmp_path):
    found = steps_of(AMSR2_TB, write_l1c(tmp_path, "AMSR2", NOON))
    expected = {"10": 0, "18": 1, "23": 2, "36": 3}
    for direction in ("asc", "desc"):
        for band, number in expected.items():
            values = found[f"tb_{band}v_{direction}"].values
            assert values[0, 4, 4] == 250.0 + number
            assert found[f"tb_{band}h_{direction}"].values[0, 4, 4] == 230.0 + number
        assert found[f"tb_89v_{direction}"].values[0, 4, 4] == 254.5  # 89A and 89B together


def test_the_hour_of_an_overpass_is_that_of_its_scans(tmp_path):
    found = steps_of(AMSR2_TB, write_l1c(tmp_path, "AMSR2", NOON))
    rising, falling = (found[f"hour_{one}"].values[0, 4, 4] for one in ("asc", "desc"))
    assert 12.0 < rising < falling < 12.0 + 44 * 1.5 / 3600
    afternoon = datetime(2019, 1, 1, 14, 30)
    found = steps_of(MWRI_TB, write_mwri(tmp_path, "D", afternoon))
    assert found["hour_desc"].values[0, 4, 4] == 14.5
    assert np.isnan(found["hour_asc"].values).all()


def test_rules_keep_footprints_by_their_quality():
    codes = np.array([0, 1, 2, 3, 4, -1, -99], np.int8)
    assert kept_codes(codes, "recommended").tolist() == [True] + 6 * [False]
    assert kept_codes(codes, "attempted").tolist() == [True, True, False, True, True, False, False]
    assert kept_codes(codes, "all").tolist() == 5 * [True] + [False, False]


def test_scans_after_midnight_belong_to_the_next_day(tmp_path):
    scans = footprints()[0].shape[0]
    days = np.repeat(np.array(["2019-01-01", "2019-01-02"], "datetime64[D]"), scans // 2)
    late = write_l1c(tmp_path, "AMSR2", datetime(2019, 1, 1, 23), days=days)
    assert AMSR2_TB.identify(late.name).end == date(2019, 1, 2)
    found = steps_of(AMSR2_TB, late)
    known = {
        name: np.isfinite(found[f"tb_18v_{name}"].values).any(axis=(1, 2)).tolist()
        for name in ("asc", "desc")
    }
    assert known == {"asc": [True, False], "desc": [False, True]}


def test_a_file_of_fill_alone_knows_nothing_and_reaches_no_shard(tmp_path):
    lon, lat = (np.full(axis.shape, -9999.9) for axis in footprints())
    empty = write_l1c(tmp_path, "AMSR2", NOON, places=(lon, lat))
    dataset = AMSR2_TB.read(empty)
    assert shards_reached(AMSR2_TB.schema, dataset) == set()
    found = AMSR2_TB.steps([dataset], KEY, within=AROUND)
    assert found.sizes["time"] == 0


def test_a_file_reaches_the_shard_of_its_cells_alone(tmp_path):
    dataset = AMSR2_TB.read(write_l1c(tmp_path, "AMSR2", NOON))
    assert shards_reached(AMSR2_TB.schema, dataset) == {(1, 1)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"instrument": "GMI"}, "expected level 1C of AMSR2, found GMI"),
        ({"long_names": {"S2": "18.7 GHz V-Pol"}}, "expected S2/Tc of 18.7 GHz H-Pol"),
        ({"without": "S4/Tc"}, "expected S4/Tc of 36.5 GHz V-Pol, found 'nothing'"),
        ({"without": "S6/Quality"}, "expected a layer S6/Quality"),
        ({"without": "S1/SCstatus"}, "expected a layer S1/SCstatus/SClatitude"),
        ({"brightness": {"S3": np.ones((5, 5, 3))}}, "of scans x pixels x 2, found 5 x 5 x 3"),
        ({"brightness": {"S3": np.ones((5, 5, 2))}}, "expected S3/Longitude of 5 x 5, found"),
    ],
)
def test_other_layouts_are_refused_in_one_line(changes, words, tmp_path):
    path = write_l1c(tmp_path, "AMSR2", NOON, **changes)
    with pytest.raises(GranuleError) as error:
        AMSR2_TB.read(path)
    assert words in str(error.value)
    assert str(error.value).startswith(path.name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("grouped", [False, True])
def test_mwri_halves_are_directions(grouped, tmp_path):
    paths = [write_mwri(tmp_path, half, NOON, grouped=grouped) for half in "AD"]
    found = steps_of(MWRI_TB, *paths)
    for number, channel in enumerate(("10v", "10h", "18v", "18h", "23v", "23h", "36v", "36h")):
        for direction in ("asc", "desc"):
            value = found[f"tb_{channel}_{direction}"].values[0, 4, 4]
            assert value == pytest.approx(240.0 + number, abs=0.005)
    one = steps_of(MWRI_TB, paths[0])
    assert np.isnan(one["tb_89h_desc"].values).all()


def test_mwri_of_another_packing_or_channel_count_is_refused(tmp_path):
    with pytest.raises(GranuleError, match=r"with Slope 0\.01, found 1"):
        MWRI_TB.read(write_mwri(tmp_path, "A", NOON, slope=1.0))
    with pytest.raises(GranuleError, match="of 10 x scans x pixels, found 8 x"):
        MWRI_TB.read(write_mwri(tmp_path, "A", NOON, brightness=np.full((8, 22, 60), 250.0)))


def test_open_files_are_planned_to_keep_the_cells_of_their_orbit():
    assert 10**6 < AMSR2_TB.kept_bytes(1, "") < 10**7
    assert AMSR2_TB.kept_bytes(3, "") == 3 * AMSR2_TB.kept_bytes(1, "")
    assert MWRI_TB.kept_bytes(2, "") == AMSR2_TB.kept_bytes(1, "")
