"""Blocks of joined coarse moisture from cubes: what is read, what is filled, what is told."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from smcloud.cube.store import create_store, write_shard
from smcloud.features.coarse_cubes import COARSE_MOISTURE, GAPPY_MOISTURE, JOINED
from smcloud.features.derived import schema_named
from smcloud.features.derived_cubes import DerivedBlock
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import ERA5LAND, GLOBAL025, Window
from smcloud.models.coarse_moisture import SourceFlag
from smcloud.models.gap_reasons import GapReason
from smcloud.production.coarse_blocks import _nodes, joined_block
from smcloud.production.coarse_report import by_filler, join_figures, seam_scores
from smcloud.production.derived_makers import MAKERS
from smcloud.sources.amsr import RetrievalState

WINDOW = Window(200, 225, 1100, 1125)
SCALES = {"amsre_lprm": (0.8, 0.08), "amsr2_lprm": (1.0, 0.0), "windsat_lprm": (1.2, -0.03)}
YEARS = {"amsre_lprm": (2010, 2011), "amsr2_lprm": (2012,), "windsat_lprm": (2010, 2011, 2012)}
FIRST, LAST = np.datetime64("2012-07-02"), np.datetime64("2011-10-04")
ENDS = {"amsre_lprm": (None, LAST), "amsr2_lprm": (FIRST, None), "windsat_lprm": (None, None)}


def truth_of(days):
    """Return a season and weather of some days, (days, 25, 25)."""
    number = (days - np.datetime64("2010-01-01")).astype(int)
    rng = np.random.default_rng(0)
    weather = np.convolve(rng.normal(0, 0.02, 2000), np.ones(5) / 2, "same")[number]
    place = np.linspace(0.0, 0.08, 625).reshape(25, 25)
    season = 0.2 + 0.06 * np.sin(2 * np.pi * number / 365.25) + weather
    return np.clip(season[:, None, None] + place, 0.02, 0.6)


def write_sensor(root, source, year, phase):
    """Write what a sensor saw of one block in a year; two days in three of each column."""
    schema = schema_named(source)
    url = f"{root}/{source}/{year}.zarr"
    create_store(url, schema, year)
    days = schema.times(year)
    scale, offset = SCALES[source]
    rng = np.random.default_rng(year)
    seen = (np.arange(len(days))[:, None, None] + np.arange(25) + phase) % 3 != 0
    seen = np.broadcast_to(seen, (len(days), 25, 25)).copy()
    start, end = ENDS[source]
    seen[(days < (start or days[0])) | (days > (end or days[-1]))] = False
    state = np.where(seen, float(RetrievalState.RETRIEVED), np.nan)
    state[:, :2][seen[:, :2]] = RetrievalState.FROZEN
    value = scale * truth_of(days) + offset + rng.normal(0, 0.005, seen.shape)
    value[state != RetrievalState.RETRIEVED] = np.nan
    rows, cols = schema.shards[1:]
    corner = WINDOW.row0 // rows, WINDOW.col0 // cols
    for number, slab in enumerate(schema.slabs(year)):
        for name, values in (("soil_moisture", value), ("retrieval_state", state)):
            variable = schema.variable(name)
            whole = np.full((slab.stop - slab.start, rows, cols), variable.fill, variable.dtype)
            at = WINDOW.row0 - corner[0] * rows, WINDOW.col0 - corner[1] * cols
            whole[:, at[0] : at[0] + 25, at[1] : at[1] + 25] = variable.pack(values[slab])
            write_shard(url, schema, name, (number, *corner), whole)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("sensors"))
    for phase, (source, years) in enumerate(YEARS.items()):
        for year in years:
            write_sensor(folder, source, year, phase)
    return folder


def block_of(root, year, bridge="sensor", without=()):
    sources = COARSE_MOISTURE.sources
    urls = {name: f"{root}/{'none' if name in without else name}" for name in sources}
    schemas = {name: schema_named(name) for name in sources}
    return DerivedBlock(year, WINDOW, WINDOW, CubeSet(urls), schemas, {"bridge": bridge})


made = partial(joined_block, name="coarse_moisture")


def unpacked(stored):
    return COARSE_MOISTURE.schema.variable("soil_moisture").unpack(stored["soil_moisture"])


def test_a_year_is_on_the_scale_of_the_later_sensor_and_without_seams(root):
    stored = made(block_of(root, 2011))
    assert stored["soil_moisture"].shape == (365, 25, 25)
    days = COARSE_MOISTURE.schema.times(2011)
    error = (unpacked(stored) - truth_of(days))[:, 2:]
    flag = stored["source_flag"][:, 2:]
    assert set(np.unique(flag)) == {0, 1, 2}
    assert abs(error[flag == SourceFlag.OBSERVED].mean()) < 0.01
    assert np.sqrt((error[flag == SourceFlag.SEAM_FILLED] ** 2).mean()) < 0.03
    is_after = days > LAST
    assert not (flag[~is_after] == SourceFlag.BRIDGE_SENSOR).any()
    assert not (flag[is_after] == SourceFlag.OBSERVED).any()


def test_frozen_cells_stay_unknown(root):
    stored = made(block_of(root, 2011))
    assert (stored["source_flag"][10:-10, :2] == SourceFlag.UNKNOWN).all()
    assert np.isnan(unpacked(stored)[10:-10, :2]).all()


@pytest.mark.parametrize("bridge", ["climatology", "none"])
def test_the_time_between_is_unknown_without_a_third_sensor(root, bridge):
    stored = made(block_of(root, 2012, bridge))
    days = COARSE_MOISTURE.schema.times(2012)
    before = days < FIRST
    assert (stored["source_flag"][before] == SourceFlag.UNKNOWN).all()
    assert (stored["source_flag"][~before, 2:] != SourceFlag.UNKNOWN).mean() > 0.98


def test_years_and_sensors_that_were_never_ingested_are_unknown_and_no_error(root):
    stored = made(block_of(root, 2020))
    assert stored["soil_moisture"].shape == (366, 25, 25)
    assert (stored["source_flag"] == SourceFlag.UNKNOWN).all()
    alone = made(block_of(root, 2011, without=("amsr2_lprm", "windsat_lprm")))
    assert (alone["source_flag"] == SourceFlag.OBSERVED).any()
    nothing = made(block_of(root, 2011, without=tuple(SCALES)))
    assert (nothing["source_flag"] == SourceFlag.UNKNOWN).all()


def test_the_step_at_the_join_is_told_and_smaller_on_one_scale(root):
    figures = join_figures([block_of(root, 2011)], "coarse_moisture")
    assert figures.route == "bridge"
    before, after = figures.before[0], figures.after[0]
    assert abs(before["step"]) > 0.02
    assert abs(after["step"]) < abs(before["step"]) / 2
    assert after["standard_error"] > 0
    assert figures.seams["seams"]["RMSE"] < figures.seams["climatology"]["RMSE"]
    assert "step at the join" in figures.lines[0]


def test_a_year_without_any_sensor_is_told_so(root):
    figures = join_figures([block_of(root, 2020)], "coarse_moisture")
    assert "no sensor measured in 2020" in figures.untold
    assert figures.lines[-1] == figures.untold


def test_the_nearest_nodes_pass_the_seam_of_longitude():
    rows, cols = _nodes(GLOBAL025, Window(300, 301, 718, 722))
    lon, _ = GLOBAL025.lonlat(Window(300, 301, 718, 722))
    assert (np.diff(cols) > 0).all()
    apart = (ERA5LAND.x[cols % ERA5LAND.cols] - lon[0] + 180) % 360 - 180
    assert np.abs(apart).max() <= 0.0501
    assert rows.min() == rows.max()


def test_every_joined_cube_is_a_derived_one_of_its_sources():
    for name, made_of in JOINED.items():
        assert schema_named(name).name == name
        assert schema_named(made_of.later).grid == schema_named(name).grid


def test_seams_of_a_block_are_scored_on_hidden_swaths_and_blocks_add_up(root):
    one = seam_scores(block_of(root, 2011), "coarse_moisture")
    assert one.hidden > 1000
    twice = by_filler(one + one)
    assert list(twice) == ["seams", "linear in time", "climatology"]
    for filler, scores in by_filler(one).items():
        assert twice[filler]["RMSE"] == pytest.approx(scores["RMSE"])
        assert twice[filler]["share"] == pytest.approx(scores["share"])
        assert twice[filler]["n"] == 2 * scores["n"]
    assert seam_scores(block_of(root, 2020), "coarse_moisture") is None


gappy = MAKERS["gappy_moisture"]


@pytest.mark.parametrize(("year", "bridge"), [(2011, "sensor"), (2012, "sensor"), (2011, "none")])
def test_with_gaps_left_values_are_those_before_seams_are_filled(root, year, bridge):
    filled, open_ = made(block_of(root, year, bridge)), gappy(block_of(root, year, bridge))
    fill = GAPPY_MOISTURE.schema.variable("soil_moisture").fill
    seen = np.isin(filled["source_flag"], [SourceFlag.OBSERVED, SourceFlag.BRIDGE_SENSOR])
    np.testing.assert_array_equal(open_["soil_moisture"][seen], filled["soil_moisture"][seen])
    assert (open_["soil_moisture"][~seen] == fill).all()
    np.testing.assert_array_equal(open_["gap_reason"] == GapReason.OBSERVED, seen)
    seams = filled["source_flag"] == SourceFlag.SEAM_FILLED
    assert seams.any()
    assert (open_["gap_reason"][seams] == GapReason.SWATH).all()


def test_frozen_cells_are_told_on_days_without_an_orbit_too(root):
    reason = gappy(block_of(root, 2011))["gap_reason"]
    assert (reason[5:-5, :2] == GapReason.FROZEN).all()
    assert not (reason[:, 2:] == GapReason.FROZEN).any()


def test_days_on_which_nothing_was_to_measure_are_an_outage(root):
    days = GAPPY_MOISTURE.schema.times(2012)
    reason = gappy(block_of(root, 2012, "none"))["gap_reason"]
    before = days < FIRST
    assert (reason[before] == GapReason.OUTAGE).all()
    # The first days of a sensor have no days before them: their gaps are swaths nevertheless.
    assert set(np.unique(reason[~before][:, 2:])) == {GapReason.OBSERVED, GapReason.SWATH}


def test_what_was_never_ingested_has_no_known_reason(root):
    assert (gappy(block_of(root, 2020))["gap_reason"] == GapReason.UNKNOWN).all()
    stored = gappy(block_of(root, 2011, without=tuple(SCALES)))
    assert (stored["gap_reason"] == GapReason.UNKNOWN).all()
    assert set(stored) == {variable.name for variable in GAPPY_MOISTURE.schema.variables}
    assert all(one.shape == (365, 25, 25) for one in stored.values())


def test_the_sea_is_no_land_whatever_sensors_do(root):
    window = Window(350, 375, 150, 175)
    block = replace(block_of(root, 2011), window=window, part=window)
    assert (gappy(block)["gap_reason"] == GapReason.NOT_LAND).all()


def test_with_gaps_left_the_step_is_told_and_no_seam_is_scored(root):
    figures = join_figures([block_of(root, 2011)], "gappy_moisture")
    assert figures.route == "bridge"
    assert figures.seams == {}
    assert figures.untold == ""
    assert len(figures.lines) == 1
