"""Temperatures under clouds: cuts into blocks, what is left alone, what each state rests on."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.features.clear_sky import Packing, harmonics
from smcloud.features.cloud_filling import (
    HALO_NODES,
    FillingRules,
    LstState,
    Scene,
    departure_nodes,
    filled,
)
from smcloud.features.lattice import lonlat, nodes_of, pixels_of, samples_of, widened
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import tile_window
from smcloud.sources.modis import lst_variable

VARIABLE = lst_variable("lst_day", "by day")
PACKING = Packing.of(VARIABLE)
TILE = tile_window(SIN1KM, "h26v05")
REGION = Window(TILE.row0 + 300, TILE.row0 + 390, TILE.col0 + 450, TILE.col0 + 570)
YEAR = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]")
STEP = 0.0101
"""Half a stored step, K."""


class Land:
    """A country whose temperature is known at any pixel: seasons, relief, air masses, cloud.

    On a cloudy day every pixel is `cloud_k` warmer; the reanalysis has `told_share` of that in
    its skin temperature, and all of the air masses.
    """

    def __init__(self, days=YEAR, cloud_k=-9.0, told_k=-3.0, seed=1):
        self.days = days
        rng = np.random.default_rng(seed)
        self.air = np.convolve(rng.normal(0, 4, len(days) + 4), np.ones(5) / 5, "valid")
        self.cover = rng.random(len(days)) ** 2
        self.cloud_k, self.told_k = cloud_k, told_k

    def height_km(self, rows, cols):
        return 1.2 + 0.5 * np.sin(rows / 17.0) * np.cos(cols / 23.0)

    def true(self, rows, cols):
        """Temperature (days, n), K."""
        year = harmonics(self.days) @ [288.0, -12.0, -4.0, 1.0, 0.5]
        place = -5.0 * self.height_km(rows, cols) + np.sin(rows / 40.0)
        day = self.air + self.cloud_k * (self.cover - 0.2)
        return year[:, None] + place + day[:, None]

    def fields(self, nodes):
        """The reanalysis (2, days, nodes), K."""
        year = harmonics(self.days) @ [285.0, -11.0, -3.0, 0.5, 0.0]
        ones = np.ones(nodes.shape[0] * nodes.shape[1])
        excess = 2.0 + self.told_k * self.cover
        return np.stack([np.outer(year + self.air, ones), np.outer(excess, ones)])

    def looks(self, rows, cols):
        """Stored looks (days, n) with clouds that are a function of the place and the day."""
        number = np.arange(len(self.days))[:, None]
        wave = np.sin(rows / 19.0 + number * 1.7) * np.cos(cols / 27.0 - number * 0.9)
        hidden = wave + 2.4 * (self.cover[:, None] - 0.45) > 0
        return np.where(hidden, 0, VARIABLE.pack(self.true(rows, cols))).astype(np.uint16)


def scene_of(land, window, region=REGION, looks=None):
    """The scene of a block: looks outside the region are unknown, as beyond what was ingested."""
    look = looks or land.looks
    rows, cols = (grid.ravel() for grid in np.mgrid[window.slices])
    around = widened(nodes_of(window), HALO_NODES)
    far_rows, far_cols = (g.ravel() for g in np.meshgrid(*samples_of(around), indexing="ij"))
    inside = (far_rows >= region.row0) & (far_rows < region.row1)
    inside &= (far_cols >= region.col0) & (far_cols < region.col1)
    sampled = np.zeros((len(land.days), far_rows.size), np.uint16)
    sampled[:, inside] = look(far_rows[inside], far_cols[inside])
    height = np.where(inside, land.height_km(far_rows, far_cols), np.nan)
    return Scene(
        window,
        land.days,
        PACKING,
        look(rows, cols),
        land.height_km(rows, cols),
        sampled,
        height,
        land.fields(departure_nodes(window)),
    )


def pixels(window):
    return tuple(grid.ravel() for grid in np.mgrid[window.slices])


def errors(result, land, window, where):
    """Estimate minus truth of some values, K."""
    return (VARIABLE.unpack(result.stored) - land.true(*pixels(window)))[where]


@pytest.fixture(scope="module")
def land():
    return Land()


@pytest.fixture(scope="module")
def whole(land):
    scene = scene_of(land, REGION)
    return scene, filled(scene)


def test_any_cut_into_blocks_gives_equal_bytes(land, whole):
    _, result = whole
    rng = np.random.default_rng(4)
    shape = len(land.days), *REGION.shape
    for _ in range(3):
        row, col = (15 * int(rng.integers(0, size // 15)) for size in REGION.shape)
        down = 15 * int(rng.integers(1, (REGION.shape[0] - row) // 15 + 1))
        across = 15 * int(rng.integers(1, (REGION.shape[1] - col) // 15 + 1))
        window = Window(
            REGION.row0 + row,
            REGION.row0 + row + down,
            REGION.col0 + col,
            REGION.col0 + col + across,
        )
        alone = filled(scene_of(land, window))
        inside = (slice(None), *window.within(REGION))
        for name in ("stored", "state"):
            expected = getattr(result, name).reshape(shape)[inside]
            found = getattr(alone, name).reshape(shape[0], down, across)
            np.testing.assert_array_equal(found, expected)


def test_looks_stay_as_they_are_and_every_gap_is_filled(whole):
    scene, result = whole
    seen = scene.looks != 0
    np.testing.assert_array_equal(result.stored[seen], scene.looks[seen])
    assert (result.state[seen] == LstState.OBSERVED).all()
    assert (result.stored != 0).all()
    assert set(np.unique(result.state[~seen])) <= {1, 2}


def test_hidden_pixels_are_found(land, whole):
    scene, result = whole
    hidden = scene.looks == 0
    plain = {
        "climatology": FillingRules(uses_anomalies=False, uses_departure=False),
        "clear sky": FillingRules(uses_departure=False),
    }
    spread = {
        name: errors(filled(scene, rule), land, REGION, hidden) for name, rule in plain.items()
    }
    found = errors(result, land, REGION, hidden)
    rmse = {name: float(np.sqrt((one**2).mean())) for name, one in spread.items()}
    assert float(np.sqrt((found**2).mean())) < 0.5
    assert rmse["climatology"] > 2.0
    assert rmse["clear sky"] < rmse["climatology"]


def test_cloud_departure_is_what_finds_an_overcast_week(land):
    overcast = slice(150, 157)

    def looks(rows, cols):
        found = land.looks(rows, cols)
        found[overcast] = 0
        return found

    scene = scene_of(land, REGION, looks=looks)
    hidden = np.zeros(scene.looks.shape, bool)
    hidden[overcast] = True
    with_it, without = filled(scene), filled(scene, FillingRules(uses_departure=False))
    assert (with_it.state[overcast] == LstState.CLOUD_DEPARTURE).all()
    assert (without.state[overcast] == LstState.CLIMATOLOGY).all()
    best = np.abs(errors(with_it, land, REGION, hidden)).mean()
    assert best < 0.8
    assert best < 0.5 * np.abs(errors(without, land, REGION, hidden)).mean()


def test_without_evidence_the_factors_are_those_of_the_rules(land):
    scene = scene_of(land, REGION)
    flat = replace(scene, reanalysis=np.zeros(scene.reanalysis.shape))
    plain = filled(flat, FillingRules(uses_departure=False))
    np.testing.assert_array_equal(filled(flat).stored, plain.stored)


def test_a_pixel_that_was_never_seen_takes_its_neighbours_at_its_own_height(land):
    def looks(rows, cols):
        found = land.looks(rows, cols)
        found[:, (rows == REGION.row0 + 40) & (cols == REGION.col0 + 61)] = 0
        return found

    scene = scene_of(land, REGION, looks=looks)
    pixel = 40 * REGION.shape[1] + 61
    result = filled(scene)
    assert (result.state[:, pixel] != LstState.UNKNOWN).all()
    error = (VARIABLE.unpack(result.stored) - land.true(*pixels(REGION)))[:, pixel]
    assert np.abs(error).mean() < 1.0


def test_where_nothing_was_ever_seen_nothing_is_made_up(land):
    def looks(rows, cols):
        return np.zeros((len(land.days), rows.size), np.uint16)

    result = filled(scene_of(land, REGION, looks=looks))
    assert (result.state == LstState.UNKNOWN).all()
    assert (result.stored == 0).all()


def test_few_clear_days_do_not_make_a_season_up():
    land = Land()
    rare = np.zeros(len(land.days), bool)
    rare[[170, 181, 190]] = True

    def looks(rows, cols):
        return np.where(rare[:, None], land.looks(rows, cols), 0).astype(np.uint16)

    result = filled(scene_of(land, REGION, looks=looks))
    values = VARIABLE.unpack(result.stored)
    assert np.isfinite(values).all()
    assert 240 < values.min() < values.max() < 330


def test_seasons_without_a_look_follow_the_reanalysis(land):
    unseen = np.r_[0:150, 190:365]

    def looks(rows, cols):
        found = land.looks(rows, cols)
        found[unseen] = 0
        return found

    scene = scene_of(land, REGION, looks=looks)
    hidden = np.zeros(scene.looks.shape, bool)
    hidden[unseen] = True
    error = errors(filled(scene), land, REGION, hidden)
    assert abs(error.mean()) < 3.0
    assert np.abs(error).mean() < 4.0


def test_unknown_elevation_and_reanalysis_cost_accuracy_but_no_values(land):
    scene = scene_of(land, REGION)
    rng = np.random.default_rng(0)
    heights = np.where(rng.random(scene.elevation_km.shape) < 0.3, np.nan, scene.elevation_km)
    fields = scene.reanalysis.copy()
    fields[:, 100:110] = np.nan
    result = filled(replace(scene, elevation_km=heights, reanalysis=fields))
    assert (result.stored != 0).all()
    hidden = scene.looks == 0
    assert np.abs(errors(result, land, REGION, hidden)).mean() < 2.0
    assert (result.state[100:110][hidden[100:110]] != LstState.CLOUD_DEPARTURE).all()


def test_nodes_and_samples_are_those_of_one_global_lattice():
    inner = nodes_of(REGION)
    wide = widened(inner, 2)
    rows, cols = samples_of(inner)
    far_rows, far_cols = samples_of(wide)
    assert set(rows) <= set(far_rows)
    assert set(cols) <= set(far_cols)
    assert pixels_of(inner) == REGION
    lon, lat = lonlat(inner)
    expected = SIN1KM.lonlat(
        Window(REGION.row0 + 7, REGION.row0 + 8, REGION.col0 + 7, REGION.col0 + 8)
    )
    np.testing.assert_allclose((lon[0, 0], lat[0, 0]), [one[0, 0] for one in expected])
