"""Radiometers at C-band: missions, swaths, calibrations, and files that their readers accept."""

from datetime import date

import numpy as np
import pytest

from smcloud.core.errors import ConfigError
from smcloud.core.listener import Silent
from smcloud.grids.grid import EASE2_36KM, GLOBAL025, SIN1KM, Window
from smcloud.grids.tiles import TileYear
from smcloud.simulate.amsr import (
    AMSR2,
    AMSRE,
    WINDSAT,
    LprmRadiometer,
    NetworkRadiometer,
    trust_in_brightness,
)
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_amsr import LPRM_PRODUCTS, LprmFiles, days_of
from smcloud.simulate.request import SimulateRequest
from smcloud.simulate.run import simulate
from smcloud.simulate.swath import AQUA, CORIOLIS, GCOM_W, Swath
from smcloud.simulate.world import Earth
from smcloud.sources.amsr import AMSR2_LPRM, AMSRE_LPRM, RetrievalState
from smcloud.sources.registry import SOURCES

SEED = 3
LPRM = ("amsr2_lprm", "windsat_lprm", "amsr2_lprm_day", "amsr_nnsm", "mwri_nnsm")


def request(out, years=(2012,), sources=LPRM, **changes):
    given = {"tiles": ("h26v05",), "window": "60x60+500+500", "stations": 0} | changes
    return SimulateRequest(str(out), years=years, sources=sources, **given)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("amsr")
    simulate(request(out), Silent())
    return out


def test_files_exist_on_the_days_of_each_mission(written):
    counts = {
        "LPRM-AMSR2": 366 - 183,
        "LPRM-AMSR2-day": 366 - 183,
        "LPRM-WindSat": 213,
        "NNsm-AMSR": 366 - 183,
        "NNsm-MWRI": 366,
    }
    found = {name: len(list((written / "granules" / name / "2012").iterdir())) for name in counts}
    assert found == counts
    assert not (written / "granules/LPRM-AMSRE").exists()


@pytest.mark.parametrize("name", ["amsr2_lprm", "windsat_lprm", "amsr2_lprm_day", "amsr_nnsm"])
def test_readers_accept_what_is_written(name, written):
    source = SOURCES[name]
    folder = {"amsr2_lprm": "LPRM-AMSR2", "windsat_lprm": "LPRM-WindSat"} | {
        "amsr2_lprm_day": "LPRM-AMSR2-day",
        "amsr_nnsm": "NNsm-AMSR",
    }
    paths = sorted((written / "granules" / folder[name] / "2012").iterdir())
    paths = [path for path in paths if source.identify(path.name).start >= date(2012, 7, 5)][:20]
    grid = source.schema.on
    row, col = grid.pixel_of(103.9, 35.6)
    around = Window(int(row) - 20, int(row) + 20, int(col) - 20, int(col) + 20)
    datasets = [source.read(path) for path in paths]
    key = TileYear(grid.name, "globe", 2012)
    values = source.steps(datasets, key, within=around)["soil_moisture"].values
    assert len(values) == 20
    assert 20 < np.isfinite(values).sum() < values.size / 4
    assert np.nanmin(values) >= 0
    for dataset in datasets:
        dataset.close()


def test_years_without_a_day_of_a_radiometer_are_refused():
    with pytest.raises(ConfigError, match="amsre_lprm has no day in 2012, 2013"):
        request("out", years=(2012, 2013), sources=("amsre_lprm",))
    assert request("out", years=(2011, 2012), sources=("amsre_lprm",)).references


def test_missions_leave_the_gap_between_the_two():
    days = [*days_of("amsre_lprm", 2011), *days_of("amsr2_lprm", 2012)]
    steps = np.diff(np.array(days, "datetime64[D]")).astype(int)
    assert days[-1] == date(2012, 12, 31)
    assert sorted(set(steps)) == [1, 272]
    assert AMSRE_LPRM.expects(date(2011, 10, 4))
    assert all(AMSR2_LPRM.expects(day) for day in days_of("amsr2_lprm", 2012))


@pytest.mark.parametrize(("orbit", "least", "most"), [(AQUA, 0.50, 0.62), (CORIOLIS, 0.33, 0.46)])
def test_seams_are_open_at_low_latitudes_and_move(orbit, least, most):
    lon = np.linspace(-180, 180, 400, endpoint=False)
    swath = Swath(lon, np.zeros(400), orbit)
    seen = np.stack([~np.isnan(swath.look(day, False).angle_degree) for day in range(64)])
    assert least < seen.mean() < most
    gaps = ~seen
    assert max(_longest(gaps[:, cell]) for cell in range(0, 400, 7)) <= 4
    assert Swath(lon, np.zeros(400), GCOM_W).orbit.phase != AQUA.phase


def _longest(gap):
    runs, length = [0], 0
    for is_gap in gap:
        length = length + 1 if is_gap else 0
        runs.append(length)
    return max(runs)


@pytest.fixture(scope="module")
def year():
    lon, lat = np.meshgrid(np.arange(100.0, 118.0, 3.0), np.arange(32.0, 46.0, 3.0))
    cells = Footprints.holding(GLOBAL025, lon.ravel(), lat.ravel(), 3)
    earth = Earth(SEED)
    sensors = {s.word: LprmRadiometer(earth, s, cells) for s in (AMSRE, AMSR2, WINDSAT)}
    days = np.arange("2009-04-01", "2009-11-01", dtype="datetime64[D]")
    looks = {word: [] for word in sensors}
    truth = []
    for state in earth.run(cells.place_lon, cells.place_lat, days):
        truth.append(cells.mean(state.soil_moisture))
        for word, sensor in sensors.items():
            looks[word].append(sensor.observe(state))
    return cells, looks, np.stack(truth)


def stacked(looks, name):
    return np.stack([getattr(one, name) for one in looks])


def test_each_sensor_has_a_calibration_of_its_own_and_follows_the_truth(year):
    _, looks, truth = year
    means, spreads = {}, {}
    for word, own in looks.items():
        percent = np.where(stacked(own, "depth") < 0.8, stacked(own, "percent"), np.nan)
        means[word], spreads[word] = np.nanmean(percent), np.nanstd(percent)
        r = [
            np.corrcoef(percent[known, k], truth[known, k])[0, 1]
            for k in range(truth.shape[1])
            if (known := np.isfinite(percent[:, k])).sum() > 60
        ]
        assert len(r) > 10
        assert 0.25 < np.median(r) < 0.95
    assert means["amsr-e"] - means["amsr2"] > 1.0
    assert spreads["windsat"] > 1.1 * spreads["amsr-e"]


def test_what_was_not_seen_is_told_apart_from_what_failed(year):
    _, looks, _ = year
    own = looks["amsr2"]
    seen, seconds = stacked(own, "is_seen"), stacked(own, "seconds")
    np.testing.assert_array_equal(np.isfinite(seconds), seen)
    assert 0.4 < seen.mean() < 0.9
    disturbed = stacked(own, "is_disturbed")
    assert not disturbed[~seen].any()
    assert disturbed.sum() > 0


def test_a_file_gives_back_values_and_states(year, tmp_path):
    cells, looks, _ = year
    day = date(2012, 8, 1)
    product = LPRM_PRODUCTS["amsr2_lprm"]
    one = looks["amsr2"][100]
    path = tmp_path / product.file_name(day)
    path.write_bytes(LprmFiles(product, cells).file(one))
    dataset = AMSR2_LPRM.read(path)
    found = {name: dataset[name].values[0][cells.rows, cells.cols] for name in dataset.data_vars}
    dataset.close()
    seen, state = one.is_seen, found["retrieval_state"]
    np.testing.assert_array_equal(np.isfinite(state), seen)
    kept = state == RetrievalState.RETRIEVED
    assert kept.sum() > 3
    np.testing.assert_allclose(
        found["soil_moisture"][kept], np.rint(one.percent[kept]) / 100, atol=1e-6
    )
    assert (state[seen & one.is_disturbed & (one.temperature_k > 274)] == 3).all()


def test_the_network_files_lie_on_cells_of_36_km(written):
    source = SOURCES["amsr_nnsm"]
    path = sorted((written / "granules/NNsm-AMSR/2012").iterdir())[10]
    dataset = source.read(path)
    rows, _ = np.nonzero(np.isfinite(dataset["soil_moisture"].values[0]))
    dataset.close()
    row = EASE2_36KM.pixel_of(103.9, 35.6)[0]
    assert (np.abs(rows - row) < 20).all()


def test_a_network_varies_less_than_an_inversion_and_the_less_the_more_leaves_hide():
    leaves = np.array([0.0, 0.5, 1.0, 2.0, 4.0], np.float32)
    trust = trust_in_brightness(leaves, AMSR2.channel)
    assert (np.diff(trust) < 0).all()
    assert trust[0] > 0.8
    assert trust[-1] < 0.05
    # Cropland of eastern China, where leaves grow over the summer.
    earth, window = Earth(SEED), Window(6300, 6500, 32700, 32900)
    lon, lat = (values.reshape(-1)[::40] for values in SIN1KM.lonlat(window))
    cells = Footprints.holding(EASE2_36KM, lon, lat, 3, 1.0)
    network = NetworkRadiometer(earth, AMSR2, cells)
    by_night = AMSR2.passes(by_night=True)
    days = np.arange(np.datetime64("2016-05-01"), np.datetime64("2016-09-01"), 6)
    told, inverted, truth = [], [], []
    for state in earth.run(cells.place_lon, cells.place_lat, days):
        told.append(network.observe(state))
        inverted.append(network.sensor.observe(state, by_night).soil_moisture)
        truth.append(cells.mean(state.soil_moisture_start))
    told, inverted, truth = map(np.array, (told, inverted, truth))
    both = np.isfinite(told) & np.isfinite(inverted)
    assert both.sum() > 200
    assert told[both].std() < 0.9 * inverted[both].std()
    errors = [np.std((values - truth)[both]) for values in (told, inverted)]
    assert errors[0] < errors[1]
    # It is a sensor still: errors are there, and it follows the truth by halves.
    assert 0.02 < errors[0] < 0.09
    assert 0.3 < np.corrcoef(told[both], truth[both])[0, 1] < 0.95
