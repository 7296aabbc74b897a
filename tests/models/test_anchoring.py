"""Anchoring: coarse means are kept, nothing shows of the cells, and blocks agree to the bit."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from smcloud.core.errors import ConfigError, UserError
from smcloud.grids.cells import land_pixels
from smcloud.grids.grid import EASE2_36KM, GLOBAL025, SIN1KM, Window
from smcloud.models.anchor_nodes import Nodes, State
from smcloud.models.anchoring import (
    AnchorRules,
    Anchors,
    anchor,
    corrected,
    judged,
    may_clamp,
    modelled,
    refined,
    solve,
)
from smcloud.models.cell_sums import CellSums, cell_sums, links, merged, places

INLAND = Window(5700, 5940, 31400, 31640)
"""At 42 N, 110 E, where pixels are sheared by 55 degrees: land without sea."""
CEILING = 0.6
TOLERANCE = 1e-4
DAYS = 3


@dataclass(frozen=True)
class Scene:
    """A region with its truth, a first guess with errors of all sizes, and coarse values."""

    window: Window
    truth: np.ndarray
    guess: np.ndarray
    where: object
    land: np.ndarray
    target: np.ndarray

    def anchors(self, **rules):
        return Anchors(self.target, self.land, AnchorRules(**rules))

    def image(self, values):
        return values.reshape(-1, *self.window.shape)


def noise(rng, shape, width, height):
    field = gaussian_filter(rng.normal(size=shape), (0, width, width), mode="wrap")
    return height * field / field.std()


def scene_of(seed=0, window=INLAND, grid=EASE2_36KM, level=0.18, points=None):
    rng = np.random.default_rng(seed)
    shape = (DAYS, *window.shape)
    truth = level + noise(rng, shape, 40, 0.03) + noise(rng, shape, 8, 0.02)
    truth = np.clip(truth + noise(rng, shape, 1, 0.01), 0.0, CEILING).astype(np.float32)
    error = 0.01 + noise(rng, shape, 30, 0.03) + noise(rng, shape, 2, 0.01)
    guess = np.clip(truth + error, 0.0, CEILING).astype(np.float32)
    lon, lat = (values.reshape(-1) for values in SIN1KM.lonlat(window))
    where = links(grid, lon, lat)
    truth, guess = truth.reshape(DAYS, -1), guess.reshape(DAYS, -1)
    land = land_pixels(grid, where.window)
    sums = cell_sums(truth, where, CEILING)
    is_whole = sums.known >= 0.95 * land
    target = np.where(is_whole, sums.means, np.nan).astype(np.float32)
    return Scene(window, truth, guess, where, land, target)


@pytest.fixture(scope="module")
def scene():
    return scene_of()


def misses(values, scene, nodes):
    """Return how far the means of the anchored cells are from their coarse values."""
    means = cell_sums(values, scene.where, CEILING).means
    inner = nodes.state[:, 1:-1, 1:-1]
    is_anchored = (inner == State.ANCHORED) | (inner == State.CLAMPED)
    assert is_anchored.any()
    return np.abs(means - scene.target)[is_anchored]


def jumps(image, cell):
    """Return the median jump between pixels of two cells, and of one cell."""
    across = np.abs(np.diff(image, axis=2))
    is_edge = cell[:, 1:] != cell[:, :-1]
    return np.nanmedian(across[:, is_edge]), np.nanmedian(across[:, ~is_edge])


def clouds(scene, seed=1):
    rng = np.random.default_rng(seed)
    cover = noise(rng, (DAYS, *scene.window.shape), 15, 1.0).reshape(DAYS, -1)
    return np.where(cover > 0.3, np.nan, scene.guess).astype(np.float32)


def test_cells_keep_their_means_and_the_map_comes_nearer_to_the_truth(scene):
    found, nodes = anchor(scene.guess, scene.where, scene.anchors(), CEILING)
    assert misses(found, scene, nodes).max() <= TOLERANCE
    is_due = np.isfinite(scene.target)
    assert np.isin(nodes.state[:, 1:-1, 1:-1][is_due], (State.ANCHORED, State.CLAMPED)).all()
    error_of = lambda values: float(np.sqrt(np.mean((values - scene.truth) ** 2)))  # noqa: E731
    assert error_of(found) < 0.75 * error_of(scene.guess)


def test_the_cells_do_not_show_on_the_map_where_an_even_residual_would(scene):
    cell = scene.where.cell.reshape(scene.window.shape)
    found, _ = anchor(scene.guess, scene.where, scene.anchors(), CEILING)
    edge, inside = jumps(scene.image(found), cell)
    assert edge <= 1.2 * inside
    sums = cell_sums(scene.guess, scene.where, CEILING)
    residual = (scene.target - sums.means).reshape(DAYS, -1)[:, scene.where.cell]
    flat = scene.image(scene.guess + residual)
    edge, inside = jumps(flat, cell)
    assert edge > 1.2 * inside  # what the correction must not be


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_clouds_leave_means_of_what_is_seen(scene, share):
    seen = clouds(scene)
    found, nodes = anchor(seen, scene.where, scene.anchors(minimum_share=share), CEILING)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(seen))
    assert misses(found, scene, nodes).max() <= TOLERANCE
    state = nodes.state[:, 1:-1, 1:-1]
    known = cell_sums(seen, scene.where, CEILING).known
    is_few = np.isfinite(scene.target) & (known < np.maximum(share * scene.land, 1))
    np.testing.assert_array_equal(state == State.TOO_FEW, is_few)
    assert (state == State.NO_TARGET)[~np.isfinite(scene.target)].all()


def test_deserts_are_clamped_at_zero_and_still_keep_their_means():
    scene = scene_of(seed=3, level=0.03)
    found, nodes = anchor(scene.guess, scene.where, scene.anchors(), CEILING)
    assert (found == 0).mean() > 0.1
    assert (nodes.state == State.CLAMPED).sum() > 10
    assert found.min() >= 0
    assert misses(found, scene, nodes).max() <= TOLERANCE
    assert (nodes.state == State.NOT_REACHED).sum() == 0


def test_every_cell_with_a_clamped_pixel_is_named_beforehand():
    scene = scene_of(seed=3, level=0.05)
    sums = cell_sums(scene.guess, scene.where, CEILING)
    nodes = solve(sums, scene.anchors())
    after = cell_sums(scene.guess, scene.where, CEILING, nodes.on(scene.where.window))
    is_clamped = after.moves.sum(axis=-1) < sums.moves.sum(axis=-1)
    assert is_clamped.any()
    named = may_clamp(sums, nodes)
    assert not (is_clamped & ~named).any()
    assert not named.all()


def test_a_value_above_what_the_pixels_can_hold_is_flagged_and_spoils_no_neighbour(scene):
    ceiling = np.full(scene.guess.shape[1], CEILING, np.float32)
    row, col = 3, np.flatnonzero(np.isfinite(scene.target[0, 3]))[1]
    lone = scene.where.cell == row * scene.where.window.shape[1] + col
    ceiling[lone] = 0.3
    target = scene.target.copy()
    target[:, row, col] = 0.35
    guess = np.minimum(scene.guess, ceiling)
    found, nodes = anchor(guess, scene.where, replace(scene.anchors(), target=target), ceiling)
    inner = nodes.state[:, 1:-1, 1:-1]
    assert (inner[:, row, col] == State.NOT_REACHED).all()
    assert not nodes.missed().any()  # nothing more can be done: it is as wet as its pixels can be
    means = cell_sums(found, scene.where, ceiling).means
    np.testing.assert_allclose(means[:, row, col], 0.98 * 0.3, atol=TOLERANCE)
    assert (found <= ceiling).all()
    others = np.isfinite(target)
    others[:, row, col] = False
    assert np.isin(inner[others], (State.ANCHORED, State.CLAMPED)).all()


def cut_sums(scene, values, rows, cols, nodes=None, ceiling=CEILING):
    """Return the sums of the blocks of a cut, in an order of their own."""
    parts = []
    number = np.arange(values.shape[1]).reshape(scene.window.shape)
    for top, bottom in zip(rows, [*rows[1:], None], strict=True):
        for left, right in zip(cols, [*cols[1:], None], strict=True):
            points = number[top:bottom, left:right].reshape(-1)
            lon, lat = (v.reshape(-1)[points] for v in SIN1KM.lonlat(scene.window))
            where = links(EASE2_36KM, lon, lat)
            given = None if nodes is None else nodes.on(where.window)
            parts.append((points, where, cell_sums(values[:, points], where, ceiling, given)))
    return parts[::-1]


@settings(max_examples=6, deadline=None)
@given(
    rows=st.lists(st.integers(1, 239), max_size=3, unique=True).map(sorted),
    cols=st.lists(st.integers(1, 239), max_size=3, unique=True).map(sorted),
)
def test_any_blocks_give_the_bits_of_one_block(rows, cols):
    scene = scene_of(seed=3, level=0.05)
    seen = clouds(scene, seed=2)
    whole, expected = anchor(seen, scene.where, scene.anchors(), CEILING)
    parts = cut_sums(scene, seen, [0, *rows], [0, *cols])
    sums = merged([part for _, _, part in parts])
    assert sums.window == scene.where.window
    nodes = solve(sums, scene.anchors())
    for _ in range(AnchorRules().rounds):
        again = cut_sums(scene, seen, [0, *rows], [0, *cols], nodes)
        clamped = merged([part for _, _, part in again])
        nodes = refined(nodes, sums, clamped, scene.anchors())
        if not nodes.missed().any():
            break
    assert nodes.to_bytes() == expected.to_bytes()
    for points, where, _ in parts:
        np.testing.assert_array_equal(
            corrected(seen[:, points], nodes, where, CEILING), whole[:, points]
        )
        np.testing.assert_array_equal(nodes.state_at(where), nodes.state_at(scene.where)[:, points])


def test_only_blocks_with_clamped_cells_need_a_second_visit():
    scene = scene_of(seed=3, level=0.1)
    sums = cell_sums(scene.guess, scene.where, CEILING)
    nodes = solve(sums, scene.anchors())
    named = may_clamp(sums, nodes).any(axis=0)
    assert 0 < named.sum() < 0.7 * named.size
    blocks = list(range(0, 240, 30))
    visited = []
    for _, where, part in cut_sums(scene, scene.guess, blocks, blocks, nodes):
        rows, cols = places(EASE2_36KM, sums.window, where.window)
        if (named[rows][:, cols] & (part.known > 0).any(axis=0)).any():
            visited.append(part)
    assert 0 < len(visited) < len(blocks) ** 2
    some = judged(nodes, sums, merged(visited), scene.anchors())
    all_of_them = cell_sums(scene.guess, scene.where, CEILING, nodes.on(scene.where.window))
    every = judged(nodes, sums, all_of_them, scene.anchors())
    np.testing.assert_array_equal(some.state, every.state)
    np.testing.assert_allclose(some.error, every.error, atol=2e-8)


def lattice(side, wanted, is_known, share=1.0):
    """Return sums of a first guess of zero over full cells of a lattice, and their anchors."""
    one = np.array([0.125, 0.75, 0.125])
    number = 1296
    stencil = np.round(number * 2.0**30 * np.outer(one, one).reshape(-1)).astype(np.int64)
    shape = (1, side, side)
    sums = CellSums(
        EASE2_36KM,
        Window(100, 100 + side, 500, 500 + side),
        np.full(shape, number, np.int32),
        np.zeros(shape, np.int64),
        np.full(shape, number * 2**30, np.int64),
        np.broadcast_to(stencil, (*shape, 9)).copy(),
        np.zeros(shape, np.float32),
        np.ones(shape, np.float32),
    )
    target = np.where(is_known, wanted, np.nan).astype(np.float32)[None]
    return sums, Anchors(target, np.full((side, side), number, np.int64), AnchorRules(share))


def test_beyond_the_last_known_cell_the_correction_decays_and_never_rings():
    side = 31
    is_known = np.zeros((side, side), bool)
    is_known[:, :8] = True
    nodes = solve(*lattice(side, np.full((side, side), 0.05), is_known))
    along = nodes.values[0, side // 2, 1:-1]
    np.testing.assert_allclose(along[:6], 0.05, rtol=0.08)
    beyond = along[8:]
    assert (np.diff(beyond) < 0).all()
    assert (beyond > 0).all()
    assert 0.3 < beyond[3] / beyond[0] < 0.5  # a third, over three cells
    assert beyond[-1] < 1e-4
    assert nodes.values.max() < 1.15 * 0.05


def test_a_lone_cell_spreads_its_correction_and_nothing_else():
    side = 21
    is_known = np.zeros((side, side), bool)
    is_known[10, 10] = True
    values = solve(*lattice(side, np.full((side, side), 0.04), is_known)).values[0, 1:-1, 1:-1]
    assert values.min() > -1e-6
    assert values.argmax() == 10 * side + 10
    assert 0.04 < values.max() < 0.06


def test_a_checkerboard_is_met_with_four_times_its_height_and_no_more():
    side = 24
    row, col = np.mgrid[:side, :side]
    wanted = 0.01 * (-1.0) ** (row + col)
    nodes = solve(*lattice(side, wanted, np.ones((side, side), bool)))
    assert (nodes.state[0, 1:-1, 1:-1] == State.ANCHORED).all()
    middle = np.abs(nodes.values[0, 8:-8, 8:-8])
    np.testing.assert_allclose(middle, 0.04, rtol=0.02)
    assert np.abs(nodes.values).max() < 0.06


def test_rough_residuals_double_at_the_nodes_and_smooth_ones_do_not_grow():
    side, rng = 60, np.random.default_rng(1)
    rough = rng.normal(0, 0.02, (side, side))
    smooth = noise(rng, (1, side, side), 3, 0.02)[0]
    every = np.ones((side, side), bool)
    for wanted, low, high in ((rough, 1.9, 2.3), (smooth, 0.95, 1.1)):
        nodes = solve(*lattice(side, wanted, every))
        assert low < nodes.values[0, 1:-1, 1:-1].std() / wanted.std() < high
        assert (nodes.state[0, 1:-1, 1:-1] == State.ANCHORED).all()


def island(scene, half=6):
    """Return a first guess known only near a corner where four cells meet."""
    apart = np.abs(scene.where.weights.shares - 0.25).max(axis=1).reshape(scene.window.shape)
    row, col = np.unravel_index(apart[60:180, 60:180].argmin(), (120, 120))
    image = np.full((DAYS, *scene.window.shape), np.nan, np.float32)
    part = (
        slice(None),
        slice(row + 60 - half, row + 60 + half),
        slice(col + 60 - half, col + 60 + half),
    )
    image[part] = scene.image(scene.guess)[part]
    return image.reshape(DAYS, -1)


def test_cells_of_few_pixels_that_contradict_each_other_are_flagged_and_stay_moderate(scene):
    guess = island(scene)
    sums = cell_sums(guess, scene.where, CEILING)
    step = np.where(np.arange(sums.known.shape[2]) % 2, 0.05, -0.05)
    target = (np.nan_to_num(sums.means, nan=0.2) + step).astype(np.float32)
    asked = Anchors(target, sums.known[0].astype(np.int64), AnchorRules())
    found, nodes = anchor(guess, scene.where, asked, CEILING)
    assert (nodes.state == State.NOT_REACHED).any()
    assert np.abs(nodes.values).max() < CEILING
    assert np.nanmax(np.abs(nodes.error)) <= 0.05 + 1e-3  # never worse than no correction
    known = np.isfinite(found)
    assert found[known].min() >= 0
    assert found[known].max() <= np.float32(CEILING)


def test_a_lone_island_is_anchored_though_it_fills_a_hundredth_of_its_cell(scene):
    guess = island(scene, half=6)
    cell = scene.where.cell
    one = cell[np.flatnonzero(np.isfinite(guess[0]))[0]]
    guess[:, cell != one] = np.nan
    sums = cell_sums(guess, scene.where, CEILING)
    target = (sums.means + 0.03).astype(np.float32)
    asked = Anchors(target, sums.known[0].astype(np.int64), AnchorRules())
    found, nodes = anchor(guess, scene.where, asked, CEILING)
    assert (nodes.state == State.ANCHORED).sum() == DAYS
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known] - guess[known], 0.03, atol=0.01)


def test_days_without_any_coarse_value_leave_the_first_guess_as_it_is(scene):
    target = scene.target.copy()
    target[1] = np.nan
    found, nodes = anchor(
        scene.guess, scene.where, replace(scene.anchors(), target=target), CEILING
    )
    np.testing.assert_array_equal(found[1], scene.guess[1])
    assert (nodes.state[1] == State.NO_TARGET).all()
    assert not nodes.values[1].any()
    assert nodes.values[0].any()


def test_days_do_not_depend_on_their_neighbours(scene):
    alone = anchor(
        scene.guess[1:2], scene.where, replace(scene.anchors(), target=scene.target[1:2]), CEILING
    )
    together = anchor(scene.guess, scene.where, scene.anchors(), CEILING)
    np.testing.assert_array_equal(alone[0][0], together[0][1])


def test_a_day_without_any_first_guess_stays_unknown(scene):
    guess = scene.guess.copy()
    guess[0] = np.nan
    found, nodes = anchor(guess, scene.where, scene.anchors(), CEILING)
    assert np.isnan(found[0]).all()
    is_due = np.isfinite(scene.target[0])
    assert (nodes.state[0, 1:-1, 1:-1][is_due] == State.TOO_FEW).all()


@pytest.mark.parametrize("grid", [EASE2_36KM, GLOBAL025])
def test_blocks_on_both_sides_of_the_seam_of_longitude_go_together(grid):
    row = 2750  # 67 N, where the seam crosses Chukotka
    half = int(np.cos(np.radians(67)) * 21600)
    windows = [Window(row, row + 60, 21600 + half - 90, 21600 + half + 20)]
    windows.append(Window(row, row + 60, 21600 - half - 20, 21600 - half + 90))
    rng = np.random.default_rng(0)
    parts = []
    for window in windows:
        lon, lat = (values.reshape(-1) for values in SIN1KM.lonlat(window))
        on_globe = np.isfinite(lon)
        where = links(grid, lon[on_globe], lat[on_globe])
        guess = rng.uniform(0.1, 0.3, (1, on_globe.sum())).astype(np.float32)
        parts.append((where, guess, cell_sums(guess, where, CEILING)))
    sums = merged([part for *_, part in parts])
    assert sums.window.shape[1] < 60
    assert sums.window.col1 > grid.cols
    target = np.full(sums.known.shape, 0.25, np.float32)
    asked = Anchors(target, sums.known[0].astype(np.int64))
    nodes = solve(sums, asked)
    found = [corrected(guess, nodes, where, CEILING) for where, guess, _ in parts]
    again = merged(
        [cell_sums(f, where, CEILING) for f, (where, *_) in zip(found, parts, strict=True)]
    )
    is_anchored = nodes.state[:, 1:-1, 1:-1] == State.ANCHORED
    assert is_anchored.sum() > 5
    np.testing.assert_allclose(again.means[is_anchored], 0.25, atol=TOLERANCE)


def test_sums_and_nodes_travel_as_bytes(scene):
    sums = cell_sums(clouds(scene), scene.where, CEILING)
    back = CellSums.from_bytes(sums.to_bytes())
    assert back.to_bytes() == sums.to_bytes()
    assert (back.window, back.grid) == (sums.window, sums.grid)
    np.testing.assert_array_equal(back.moves, sums.moves)
    nodes = solve(sums, scene.anchors())
    again = Nodes.from_bytes(nodes.to_bytes())
    assert again.to_bytes() == nodes.to_bytes()
    np.testing.assert_array_equal(again.values, nodes.values)


def test_what_does_not_fit_together_is_refused(scene):
    sums = cell_sums(scene.guess, scene.where, CEILING)
    with pytest.raises(UserError, match="same days"):
        merged([])
    with pytest.raises(UserError, match="do not lie inside"):
        merged([sums], Window(0, 3, 0, 3))
    with pytest.raises(UserError, match="expected coarse values"):
        solve(sums, replace(scene.anchors(), target=scene.target[:, 1:]))
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        AnchorRules(minimum_share=2.0)
    with pytest.raises(ConfigError, match="above zero"):
        AnchorRules(rounds=0)


def half_known(scene):
    """The coarse values without those of the eastern half, and the damped first guess."""
    target = scene.target.copy()
    target[:, :, target.shape[2] // 2 :] = np.nan
    return target, np.float32(0.1) * scene.guess


def test_cells_without_a_coarse_value_keep_the_mean_of_the_model_however_damped(scene):
    target, damped = half_known(scene)
    sums = cell_sums(damped, scene.where, CEILING)
    anchors = modelled(sums, Anchors(target, scene.land), np.full(DAYS, 0.1, np.float32))
    nodes = solve(sums, anchors)
    state = nodes.state[:, 1:-1, 1:-1]
    means = cell_sums(corrected(damped, nodes, scene.where, CEILING), scene.where, CEILING).means
    truth, own = (
        cell_sums(values, scene.where, CEILING).means for values in (scene.truth, scene.guess)
    )
    is_own = state == State.MODELLED
    assert is_own.sum() > 10 * DAYS
    # Without them a tenth of the moisture would be left there.
    assert np.abs(means - truth)[is_own].mean() <= 1.1 * np.abs(own - truth)[is_own].mean()
    known = state == State.ANCHORED
    np.testing.assert_allclose(means[known], target[known], atol=TOLERANCE)


def test_the_residual_of_known_cells_reaches_their_unknown_neighbours(scene):
    target, _ = half_known(scene)
    raised = np.where(np.isfinite(target), target + 0.05, target).astype(np.float32)
    sums = cell_sums(scene.guess, scene.where, CEILING)
    ones = np.ones(DAYS, np.float32)
    low, high = (modelled(sums, Anchors(t, scene.land), ones).own for t in (target, raised))
    gained = (high - low)[:, 3:-3, target.shape[2] // 2 :]
    near, far = gained[:, :, 0], gained[:, :, 2]
    assert (near > 0.02).all()
    assert (far < near).all()
    assert (far > 0.0).all()


def test_a_whole_day_without_coarse_values_is_the_model_undamped_in_its_means(scene):
    nothing = np.full_like(scene.target, np.nan)
    damped = np.float32(0.02) * scene.guess
    sums = cell_sums(damped, scene.where, CEILING)
    anchors = modelled(sums, Anchors(nothing, scene.land), np.full(DAYS, 0.02, np.float32))
    nodes = solve(sums, anchors)
    made = corrected(damped, nodes, scene.where, CEILING)
    means = cell_sums(made, scene.where, CEILING).means
    own = cell_sums(scene.guess, scene.where, CEILING).means
    held = nodes.state[:, 1:-1, 1:-1] == State.MODELLED
    assert held.any()
    np.testing.assert_allclose(means[held], own[held], atol=1e-3)
