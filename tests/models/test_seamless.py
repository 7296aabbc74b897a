"""The gap-filling network: its convolutions, its gaps, and its run through days and tiles."""

import sys
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'smcloud[deep]'")

import torch

from benchmarks.gap_world import gap_world
from smcloud.core.errors import MissingExtraError, UserError
from smcloud.models import seamless
from smcloud.models.gap_normals import Normals
from smcloud.models.gap_patches import FILLED_WEIGHT
from smcloud.models.seamless import (
    HIGHEST,
    PartialConv2d,
    PixelLstm,
    SeamlessNet,
    exactly,
    fill_days,
)
from smcloud.models.seamless_files import require_torch
from smcloud.models.seamless_rules import SeamlessShape, segments
from smcloud.models.seamless_training import new_net

SHAPE = SeamlessShape(channels=4, mid_layers=2, days=2, lstm_hidden=3)


@pytest.fixture(scope="module")
def world():
    return gap_world(7, n_days=9, rows=26, cols=40)


@pytest.fixture(scope="module")
def net():
    """Return a network that has learned nothing good, but says something everywhere."""
    found = new_net(SHAPE, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        torch.nn.init.normal_(found.last.convolution.weight, std=0.3)
    return found


@pytest.fixture(scope="module")
def filled(net, world):
    return fill(net, world, circular=True)


def normal_of(world, **rules):
    return Normals.of(world.observed, world.land, **rules).field()


def fill(net, world, **rules):
    return fill_days(net, world.observed, world.land, world.rain, **rules)


def test_a_partial_convolution_is_the_loop_that_its_formula_says():
    rng = np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = PartialConv2d(2, 3)
    x = rng.standard_normal((1, 2, 6, 7)).astype(np.float32)
    mask = (rng.random(x.shape) < 0.3) * rng.choice([0.5, 1.0], x.shape)
    mask[:, :, :3, :3] = 0
    weight = layer.convolution.weight.detach().numpy()
    bias = layer.convolution.bias.detach().numpy()
    wanted, wanted_mask = np.zeros((3, 6, 7)), np.zeros((6, 7))
    for row in range(6):
        for col in range(7):
            total, sums = 0.0, np.zeros(3)
            for channel in range(2):
                for i in range(-1, 2):
                    for j in range(-1, 2):
                        if 0 <= row + i < 6 and 0 <= col + j < 7:
                            m = mask[0, channel, row + i, col + j]
                            total += m
                            value = m * x[0, channel, row + i, col + j]
                            sums += weight[:, channel, i + 1, j + 1] * value
            if total > 0:
                wanted[:, row, col] = sums * 18 / total + bias
                wanted_mask[row, col] = 1
    with torch.no_grad():
        found, known = layer(torch.from_numpy(x), torch.from_numpy(mask.astype(np.float32)))
    assert 0 < wanted_mask.sum() < 42
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=2e-5)
    np.testing.assert_array_equal(known[0, 0].numpy(), wanted_mask)


def test_a_mask_grows_by_a_pixel_with_each_layer():
    layer = PartialConv2d(1, 1)
    x, mask = torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)
    mask[0, 0, 4, 4] = 1.0
    for step in range(1, 4):
        x, mask = layer(x, mask)
        around = np.zeros((9, 9))
        around[4 - step : 5 + step, 4 - step : 5 + step] = 1
        np.testing.assert_array_equal(mask[0, 0].numpy(), around)
        assert (x[mask == 0] == 0).all()


def test_a_memory_along_days_is_torchs_own():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        ours, theirs = PixelLstm(5, 4), torch.nn.LSTM(5, 4)
        steps = torch.randn(1, 6, 5, 2, 3)
    # Theirs has its gates in the order enter, forget, new, show; ours ends with new.
    order = torch.cat([torch.arange(0, 8), torch.arange(12, 16), torch.arange(8, 12)])
    weight = ours.gates.weight.detach()[:, :, 0, 0][order]
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(weight[:, :5])
        theirs.weight_hh_l0.copy_(weight[:, 5:])
        theirs.bias_ih_l0.copy_(ours.gates.bias.detach()[order])
        theirs.bias_hh_l0.zero_()
        found = ours(steps)[0].reshape(4, 6).T
        wanted = theirs(steps[0].reshape(6, 5, 6).permute(0, 2, 1))[0][-1]
    torch.testing.assert_close(found, wanted)


def test_a_network_that_learned_nothing_is_its_first_guess(world):
    plain = new_net(SHAPE, 0)
    found = fill(plain, world)
    stack, weight = torch.zeros(1, 5, *world.land.shape), torch.zeros(1, 5, *world.land.shape)
    seen = torch.from_numpy(np.where(world.land, world.observed, np.nan)[:3])
    stack[0, 2:], weight[0, 2:] = seen.nan_to_num(), seen.isfinite().float()
    with torch.no_grad():
        usual = torch.from_numpy(normal_of(world))[None, None]
        wanted = plain.guess(stack, weight, usual).value[0, 0].numpy()
    gaps = np.isnan(world.observed[0]) & world.land
    assert gaps.any()
    np.testing.assert_allclose(found[0][gaps], wanted[gaps], atol=1e-6)


def test_observed_values_come_back_bit_for_bit_and_all_land_is_filled(world, filled):
    known = np.isfinite(world.observed)
    assert filled[known].tobytes() == world.observed[known].tobytes()
    assert np.isfinite(filled[:, world.land]).all()
    assert np.isnan(filled[:, ~world.land]).all()
    gaps = ~known & world.land
    assert (filled[gaps] >= 0).all()
    assert (filled[gaps] <= HIGHEST).all()
    assert filled[gaps].std() > 0.01


def test_values_beyond_the_range_are_left_where_observed_and_never_estimated(world, net):
    wild = world.observed + np.float32(0.9)
    wild[0, :, :20] = -0.2
    known = np.isfinite(wild)
    found = fill_days(net, wild, world.land, world.rain)
    np.testing.assert_array_equal(found[known], wild[known])
    gaps = ~known & world.land
    assert (found[gaps] <= np.float32(HIGHEST)).all()
    assert (found[gaps] >= 0).all()
    assert (found[gaps] == np.float32(HIGHEST)).any()


@pytest.mark.parametrize("circular", [True, False])
def test_no_tiling_changes_a_value(net, world, circular):
    whole = fill(net, world, circular=circular, tile=40)
    rng = np.random.default_rng(4)
    for tile in rng.choice(np.arange(3, 30), 4, replace=False):
        found = fill(net, world, circular=circular, tile=int(tile))
        np.testing.assert_allclose(found, whole, atol=1e-6)


def test_too_small_a_margin_would_be_seen(net, world, monkeypatch):
    whole = fill(net, world, tile=40)
    monkeypatch.setattr(SeamlessShape, "reach", SHAPE.reach - 1)
    assert np.nanmax(np.abs(fill(net, world, tile=9) - whole)) > 1e-6


def test_the_globe_has_no_first_column(net, world, filled):
    turned = [np.roll(one, 17, axis=-1) for one in (world.observed, world.land, world.rain)]
    found = fill_days(net, *turned, circular=True)
    np.testing.assert_allclose(np.roll(found, -17, axis=-1), filled, atol=1e-6)
    assert np.nanmax(np.abs(fill(net, world, circular=False) - filled)) > 1e-4


def test_a_day_is_whole_before_the_next_sees_it(net, world, monkeypatch):
    trust, plain = [], seamless._day

    def noting(*args):
        estimates, basis = plain(*args)
        trust.append(FILLED_WEIGHT * basis)
        return estimates, basis

    monkeypatch.setattr(seamless, "_day", noting)
    day, filled = 4, fill(net, world)
    seen = world.observed[day - 2 : day + 3].copy()
    seen[:2] = filled[day - 2 : day]
    weight = np.isfinite(world.observed[day - 2 : day + 3]).astype(np.float32)
    weight[:2] = np.where(weight[:2] == 0, trust[day - 2 : day], 1) * world.land
    seen[:, ~world.land] = np.nan
    around = seen, weight, world.rain[day - 2 : day + 3], normal_of(world)[None]
    stack, mask, rain, usual = (torch.from_numpy(one)[None] for one in around)
    with torch.no_grad():
        found = seamless.estimated(net, stack, mask, rain, usual)[0, 0].numpy()
    inside = np.zeros_like(world.land)
    inside[SHAPE.reach : -SHAPE.reach, SHAPE.reach : -SHAPE.reach] = True
    gaps = inside & world.land & np.isnan(world.observed[day])
    assert gaps.any()
    np.testing.assert_allclose(found[gaps], filled[day][gaps], atol=1e-6)


def test_two_starts_are_forgotten(net):
    world = gap_world(8, n_days=26, rows=24, cols=30)
    usual = normal_of(world)
    late = fill_days(net, world.observed[6:], world.land, world.rain[6:], normal=usual)
    early = fill(net, world)[6:]
    error = [np.abs(a - b)[world.land].mean() for a, b in zip(early, late, strict=True)]
    assert error[0] > 1e-3, "the start is not the same"
    assert error[10] < 0.05 * error[0]
    assert np.mean(error[12:16]) < 0.2 * np.mean(error[4:8])


def test_a_gap_without_end_returns_to_what_is_usual(net, world):
    observed, rain = (np.repeat(one[:1], 50, axis=0) for one in (world.observed, world.rain))
    observed[3:] = np.nan
    usual = np.full(world.land.shape, 0.1, np.float32)
    found = fill_days(net, observed, world.land, rain, normal=usual)
    off = np.abs(found - usual)[:, world.land].max(axis=1)
    assert off[1] > 0.1
    assert off[30] < 0.3 * off[4]
    assert off[40] < 0.01


def test_segments_keep_every_day_once_and_read_what_they_need():
    found = segments(100, 30, 12, 4)
    kept = [np.arange(100)[one.read][one.keep] for one in found]
    np.testing.assert_array_equal(np.concatenate(kept), np.arange(100))
    assert found[1].read == slice(18, 64)
    assert found[0].read == slice(0, 34)
    assert found[-1].read == slice(78, 100)
    with pytest.raises(UserError, match="at least one day"):
        segments(10, 0, 2, 2)


def test_days_without_observation_and_years_without_rain_are_filled(net, world):
    blind, rainless = world.observed.copy(), np.full_like(world.rain, np.nan)
    blind[4] = np.nan
    found = fill_days(net, blind, world.land, rainless)
    assert np.isfinite(found[:, world.land]).all()
    assert np.abs(found - fill(net, world))[:, world.land].max() > 1e-3, "rain is seen"


def test_tiles_without_a_gap_on_land_are_not_looked_at(net, world, monkeypatch):
    looked = []
    plain = seamless.estimated
    monkeypatch.setattr(seamless, "estimated", lambda *a: looked.append(1) or plain(*a))
    observed = np.where(world.land, world.whole, np.float32(np.nan))
    fill_days(net, observed, world.land, world.rain, tile=10)
    assert not looked, "the ocean is no gap"
    row, col = np.argwhere(world.land)[0]
    observed[5, row, col] = np.nan
    found = fill_days(net, observed, world.land, world.rain, tile=10)
    assert len(looked) == 1
    assert np.isfinite(found[:, world.land]).all()


def test_the_same_bits_each_time_and_torch_is_left_as_it_was(net, world, filled):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    assert fill(net, world, circular=True).tobytes() == filled.tobytes()
    with exactly(1):
        assert torch.get_num_threads() == 1
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_fields_that_do_not_fit_are_refused_in_words(net, world):
    moisture, land, rain = world.observed, world.land, world.rain
    with pytest.raises(UserError, match=r"moisture and rain of \(days, rows, cols\)"):
        fill_days(net, moisture, land, rain[1:])
    with pytest.raises(UserError, match="nothing to fill gaps from"):
        fill_days(net, np.full_like(moisture, np.nan), land, rain)
    with pytest.raises(UserError, match="infinite"):
        fill_days(net, np.where(moisture > 0.3, np.inf, moisture), land, rain)
    with pytest.raises(UserError, match="at least 1 pixel"):
        fill_days(net, moisture, land, rain, tile=0)
    with pytest.raises(UserError, match="channels of a network must be positive"):
        SeamlessShape(channels=0)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    spec = spec_from_file_location("seamless_without_torch", seamless.__file__)
    with pytest.raises(MissingExtraError, match=r"pip install 'smcloud\[deep\]'"):
        spec.loader.exec_module(module_from_spec(spec))


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_stages_name_the_extra_before_any_task(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*pip install 'smcloud\[deep\]'"):
        require_torch()


def test_the_published_size_is_the_default():
    shape = SeamlessShape()
    assert (shape.channels, shape.mid_layers, shape.window, shape.reach) == (32, 8, 9, 10)
    sizes = {name: tuple(value.shape) for name, value in SeamlessNet(shape).named_parameters()}
    assert sizes["today.convolution.weight"] == (32, 1, 3, 3)
    assert sizes["around.convolution.weight"] == (32, 9, 3, 3)
    assert sizes["middle.convolution.weight"] == (64, 64, 3, 3)
    assert sizes["last.convolution.weight"] == (1, 64, 3, 3)
