"""Training of the gap-filling network: better than plain interpolation, the same after a break."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'smcloud[deep]'")

import torch

from benchmarks.gap_world import gap_world
from smcloud.core.errors import ModelError, NotFoundError, UserError
from smcloud.core.objects import open_objects
from smcloud.models.gap_baselines import dct_smooth, temporal_linear
from smcloud.models.gap_patches import (
    PatchRules,
    cut_patches,
    swath_masks,
)
from smcloud.models.seamless import fill_days
from smcloud.models.seamless_files import card_of, load_net, load_net_card, net_of, save_net
from smcloud.models.seamless_rules import SeamlessShape, TrainingRules
from smcloud.models.seamless_training import forget_checkpoints, train

SHAPE = SeamlessShape(channels=8, mid_layers=1, days=4, lstm_hidden=8)
TINY = SeamlessShape(channels=2, mid_layers=1, days=4, lstm_hidden=2)
RULES = TrainingRules(epochs=8, steps=20, batch=16, learning_rate=6e-3)
BRIEF = TrainingRules(epochs=4, steps=2, batch=4, patience=4)
PATCHES = PatchRules(size=16, stride=4, complete_share=0.95)


def cut(world, rules):
    return cut_patches(world.days, world.observed, world.land, world.rain, rules)


@pytest.fixture(scope="module")
def patches():
    return cut(gap_world(1, n_days=70, rows=64, cols=96), PATCHES)


@pytest.fixture(scope="module")
def held_out():
    return cut(gap_world(2, n_days=40), replace(PATCHES, stride=16))


@pytest.fixture(scope="module")
def masks():
    world = gap_world(1, n_days=70, rows=64, cols=96)
    return swath_masks(world.days, world.missed, world.land, replace(PATCHES, keep_share=0.2))


@pytest.fixture(scope="module")
def trained(patches, held_out, masks):
    return train([patches], masks, held_out, SHAPE, RULES)


@pytest.fixture(scope="module")
def brief(patches, held_out, masks):
    return train(halves(patches), masks, held_out, TINY, BRIEF)


def halves(patches):
    middle = len(patches) // 2
    return [patches.take(np.arange(middle)), patches.take(np.arange(middle, len(patches)))]


def test_hidden_values_of_other_worlds_are_met_better_than_by_plain_ways(trained):
    net, squares = net_of(trained.data, SHAPE, "a"), []
    for seed in (3, 4, 5):
        world = gap_world(seed, n_days=20, rows=48, cols=64)
        hidden = np.zeros(world.missed.shape, bool)
        hidden[7:14:2] = world.missed[12:19:2] & np.isfinite(world.observed[7:14:2])
        seen = np.where(hidden, np.float32(np.nan), world.observed)
        ways = (
            fill_days(net, seen, world.land, world.rain),
            fill_days(net, seen, world.land, np.full_like(world.rain, np.nan)),
            temporal_linear(seen, world.land),
            dct_smooth(seen, world.land),
        )
        squares.append([np.mean((way - world.truth)[hidden] ** 2) for way in ways])
    network, without_rain, line, smoother = np.sqrt(np.mean(squares, axis=0))
    assert network < 0.8 * line
    assert network < 0.95 * smoother
    assert without_rain < smoother
    assert network < 0.95 * without_rain


def test_the_best_epoch_on_the_year_held_out_is_kept(trained, held_out):
    assert trained.epoch == int(np.argmin(trained.history)) + 1
    assert min(trained.history) < 0.95 * trained.untrained_rmse
    assert not trained.resumed


class Broken(Exception):
    pass


class Breaks:
    """Shards that cannot be read any more after so many readings."""

    def __init__(self, shards, readings):
        self.shards, self.left = shards, readings

    def __len__(self):
        return len(self.shards)

    def __iter__(self):
        return iter(self.shards)

    def __getitem__(self, at):
        self.left -= 1
        if self.left < 0:
            raise Broken
        return self.shards[at]


def test_a_training_that_broke_goes_on_to_the_same_bits(brief, patches, held_out, masks, tmp_path):
    url = str(tmp_path)
    with pytest.raises(Broken):
        train(Breaks(halves(patches), 2), masks, held_out, TINY, BRIEF, checkpoints=url)
    resumed = train(halves(patches), masks, held_out, TINY, BRIEF, checkpoints=url)
    assert resumed.resumed
    assert resumed.data == brief.data
    assert resumed.history == brief.history
    again = train(Breaks(halves(patches), 0), masks, held_out, TINY, BRIEF, checkpoints=url)
    assert again.data == brief.data, "nothing was left to train"
    forget_checkpoints(url)
    assert not open_objects(url).list()


def test_a_damaged_checkpoint_is_passed_over(brief, patches, held_out, masks, tmp_path):
    url = str(tmp_path)
    with pytest.raises(Broken):
        train(Breaks(halves(patches), 2), masks, held_out, TINY, BRIEF, checkpoints=url)
    objects = open_objects(url)
    last = objects.list()[-1].key
    data = bytearray(objects.get(last))
    data[-3] ^= 1
    objects.put(last, bytes(data))
    resumed = train(halves(patches), masks, held_out, TINY, BRIEF, checkpoints=url)
    assert resumed.resumed
    assert resumed.data == brief.data


def test_only_checkpoints_of_the_same_inputs_are_continued(patches, held_out, masks, tmp_path):
    url, short = str(tmp_path), replace(BRIEF, epochs=1)
    train([patches], masks, held_out, TINY, short, checkpoints=url, input_hash="a")
    other = train([patches], masks, held_out, TINY, short, checkpoints=url, input_hash="b")
    assert not other.resumed
    assert train([patches], masks, held_out, TINY, short, checkpoints=url, input_hash="a").resumed


def test_seeds_are_what_trainings_differ_by(brief, patches, held_out, masks):
    before = torch.get_rng_state()
    assert train(halves(patches), masks, held_out, TINY, BRIEF).data == brief.data
    other = train(halves(patches), masks, held_out, TINY, replace(BRIEF, seed=1))
    assert other.data != brief.data
    assert torch.equal(torch.get_rng_state(), before), "the stream of others is left alone"


def test_training_ends_when_the_year_held_out_gains_nothing(patches, held_out, masks):
    still = replace(BRIEF, epochs=30, steps=1, learning_rate=1e-30, patience=2)
    found = train([patches], masks, held_out, TINY, still)
    assert (found.epoch, len(found.history)) == (1, 3)


def test_a_network_is_stored_with_its_card_and_a_flipped_bit_is_found(brief, masks, tmp_path):
    card = card_of(
        "gaps",
        brief,
        TINY,
        BRIEF,
        counts=(10, 2, len(masks)),
        keys=(("g/globe/2016", "g/globe/2015"), ("g/globe/2017",)),
        versions={"gappy_moisture": "1"},
        input_hash="abc",
    )
    objects = open_objects(str(tmp_path))
    save_net(objects, "gaps", brief.data, card)
    net, found = load_net(objects, "gaps")
    assert found == card == load_net_card(objects, "gaps")
    assert found.training_keys == ("g/globe/2015", "g/globe/2016")
    assert net.shape == TINY
    wanted = net_of(brief.data, TINY, "gaps").state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in net.state_dict().items())
    key = f"gaps/{card.sha256}.safetensors"
    data = bytearray(brief.data)
    data[-1] ^= 4
    objects.put(key, bytes(data))
    with pytest.raises(ModelError, match="is damaged"):
        load_net(objects, "gaps")
    with pytest.raises(ModelError, match="belongs to other bytes"):
        save_net(objects, "gaps", bytes(data), card)
    with pytest.raises(ModelError, match="not those of a network"):
        net_of(brief.data, SHAPE, "gaps")
    with pytest.raises(ModelError, match="not those of a network"):
        net_of(b"nothing", TINY, "gaps")
    with pytest.raises(NotFoundError, match="smcloud train"):
        load_net_card(objects, "others")


def test_what_cannot_be_trained_is_refused_in_words(patches, held_out, masks):
    none = held_out.take(np.arange(0))
    with pytest.raises(UserError, match="no complete patches in any shard"):
        train([none], masks, held_out, TINY, BRIEF)
    with pytest.raises(UserError, match="of the year held out"):
        train([patches], masks, none, TINY, BRIEF)
    with pytest.raises(UserError, match="no gap of a swath"):
        train([patches], masks[:0], held_out, TINY, BRIEF)
    with pytest.raises(UserError, match="can be hidden"):
        train([patches], masks[:1] & False, held_out, TINY, BRIEF)
    with pytest.raises(UserError, match="3 days to each side, the patches 4"):
        train([patches], masks, held_out, replace(TINY, days=3), BRIEF)
    with pytest.raises(UserError, match="batch of training must be positive"):
        replace(BRIEF, batch=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_in_words(patches, held_out, masks):
    with pytest.raises(UserError, match="torch finds none here"):
        train([patches], masks, held_out, TINY, replace(BRIEF, device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_learns_as_well_and_fills_alike(patches, held_out, masks, trained):
    found = train([patches], masks, held_out, SHAPE, replace(RULES, device="cuda"))
    assert min(found.history) < 1.05 * min(trained.history)
    world, net = gap_world(3, n_days=12), net_of(trained.data, SHAPE, "a")
    here = fill_days(net, world.observed, world.land, world.rain)
    there = fill_days(net, world.observed, world.land, world.rain, device="cuda")
    np.testing.assert_allclose(there, here, atol=2e-3)
