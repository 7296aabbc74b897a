"""Patches cut where fields are complete, and what is hidden of them."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gap_world import gap_world
from smcloud.core.errors import ModelError, UserError
from smcloud.core.objects import open_objects
from smcloud.models.gap_normals import Normals
from smcloud.models.gap_patches import (
    FILLED_WEIGHT,
    HidingRules,
    Patches,
    PatchRules,
    StoredPatches,
    cut_patches,
    hide,
    joined,
    past_filled,
    swath_masks,
)

RULES = PatchRules(size=12, stride=4, days=2)
PLAIN = HidingRules(lasting=(1.0,), recursed=0.0, mirrored=0.0, rain_unknown=0.0)


@pytest.fixture(scope="module")
def world():
    return gap_world(3, n_days=24, rows=40, cols=60)


@pytest.fixture(scope="module")
def patches(world):
    return cut(world, slice(None))


def cut(world, days, rules=RULES):
    observed, rain = world.observed[days], world.rain[days]
    normals = Normals.of(world.observed, world.land)
    return cut_patches(world.days[days], observed, world.land, rain, rules, normals)


def test_patches_are_all_the_complete_squares_that_a_plain_search_finds(world, patches):
    known = np.isfinite(world.observed)
    wanted = []
    for day in range(2, 22):
        for row in range(0, 40 - 12 + 1, 4):
            for col in range(0, 60 - 12 + 1, 4):
                square = (slice(row, row + 12), slice(col, col + 12))
                others = known[[day - 2, day - 1, day + 1, day + 2]][:, *square].any(axis=0)
                if world.land[square].all() and known[day][square].all() and others.mean() >= 0.9:
                    wanted.append((world.days[day].astype(int), row, col))
    assert len(wanted) > 30
    assert patches.place.tolist() == [list(one) for one in wanted]
    day, row, col = wanted[7]
    at = slice(day - world.days[0].astype(int) - 2, day - world.days[0].astype(int) + 3)
    square = (at, slice(row, row + 12), slice(col, col + 12))
    np.testing.assert_array_equal(patches.moisture[7], world.observed[square])
    np.testing.assert_array_equal(patches.rain[7], world.rain[square])
    assert np.isnan(patches.moisture).any(), "the days around have gaps"


def test_slabs_of_the_record_give_the_patches_of_the_whole(world, patches):
    parts = [cut(world, slice(8, 24)), cut(world, slice(0, 12))]
    found = joined(parts)
    np.testing.assert_array_equal(found.place, patches.place)
    np.testing.assert_array_equal(found.moisture, patches.moisture)
    np.testing.assert_array_equal(found.normal, patches.normal)


def test_the_normal_of_a_square_does_not_know_its_middle_day(world, patches):
    day, row, col = patches.place[5]
    day, square = day - world.days[0].astype(int), np.s_[row : row + 12, col : col + 12]
    others = np.delete(world.observed, day, axis=0)[:, *square]
    days_known = np.isfinite(others).sum(axis=0)
    around = Normals.of(world.observed, world.land).around[square]
    wanted = (np.nansum(others, axis=0) + 2 * around) / (days_known + 2)
    np.testing.assert_allclose(patches.normal[5], wanted, rtol=1e-5)
    turned = hide(patches, np.ones((1, 12, 12), bool), np.random.default_rng(0), PLAIN)
    np.testing.assert_array_equal(turned.normal[:, 0], patches.normal)


def test_normals_are_those_around_where_a_cell_was_never_known(world):
    observed = world.observed.copy()
    observed[:, 10:13, 20:23] = np.nan
    found = Normals.of(observed, world.land)
    own = found.field()
    np.testing.assert_allclose(own[10:13, 20:23], found.around[10:13, 20:23], rtol=1e-6)
    ring = np.nanmean(observed[:, 5:18, 15:28])
    assert abs(own[11, 21] - ring) < 0.03
    turned = Normals.of(np.roll(observed, 9, -1), np.roll(world.land, 9, -1), circular=True)
    whole = Normals.of(observed, world.land, circular=True).field()
    np.testing.assert_allclose(np.roll(turned.field(), -9, -1), whole, atol=1e-6)
    nothing = Normals.of(np.full_like(observed, np.nan), world.land)
    assert np.isfinite(nothing.field()).all()


def test_places_draw_what_is_kept_whatever_else_is_cut(world, patches):
    third = PatchRules(size=12, stride=4, days=2, keep_share=0.3)
    kept = cut(world, slice(None), third)
    assert 0.15 < len(kept) / len(patches) < 0.45
    slab = cut(world, slice(6, 20), third)
    inside = np.isin(kept.place[:, 0], world.days[8:18].astype(int))
    np.testing.assert_array_equal(slab.place, kept.place[inside])
    other = cut(world, slice(None), PatchRules(size=12, stride=4, days=2, keep_share=0.3, seed=1))
    assert other.place.tolist() != kept.place.tolist()


def test_a_middle_day_that_is_not_complete_is_known_where_it_is_judged(world, patches):
    loose = cut(world, slice(None), PatchRules(size=12, stride=4, days=2, complete_share=0.8))
    assert len(loose) > len(patches)
    middle = loose.moisture[:, 2]
    assert (np.isfinite(middle).mean(axis=(1, 2)) >= 0.8).all()
    batch = hide(loose, np.ones((1, 12, 12), bool), np.random.default_rng(0), PLAIN)
    assert np.isnan(batch.truth).any()
    assert np.isfinite(batch.truth[batch.hidden]).all()


def test_masks_are_windows_of_swaths_over_land(world):
    rules = PatchRules(size=12, stride=4, least_hidden=0.25)
    masks = swath_masks(world.days, world.missed, world.land, rules)
    windows = [
        world.missed[day, row : row + 12, col : col + 12]
        for day in range(24)
        for row in range(0, 29, 4)
        for col in range(0, 49, 4)
        if world.land[row : row + 12, col : col + 12].all()
    ]
    wanted = [one for one in windows if one.mean() >= 0.25]
    assert 0 < len(wanted) < len(windows)
    np.testing.assert_array_equal(masks, wanted)
    nothing = np.zeros_like(world.missed)
    assert swath_masks(world.days, nothing, world.land, rules).shape == (0, 12, 12)


def test_the_middle_day_is_hidden_under_a_mask_and_nothing_else(patches):
    masks = np.zeros((2, 12, 12), bool)
    masks[0, :, 3:7], masks[1, 5:] = True, True
    batch = hide(patches, masks, np.random.default_rng(1), PLAIN)
    is_first = (batch.hidden[:, 0] == masks[0]).all(axis=(1, 2))
    assert 0 < is_first.sum() < len(patches)
    np.testing.assert_array_equal(batch.hidden[~is_first, 0], masks[[1] * (~is_first).sum()])
    np.testing.assert_array_equal(batch.truth[:, 0], patches.moisture[:, 2])
    middle = batch.stack[:, 2:3]
    assert np.isnan(middle[batch.hidden]).all()
    np.testing.assert_array_equal(middle[~batch.hidden], batch.truth[~batch.hidden])
    around = [0, 1, 3, 4]
    np.testing.assert_array_equal(batch.stack[:, around], patches.moisture[:, around])
    np.testing.assert_array_equal(batch.weight, np.isfinite(batch.stack))
    np.testing.assert_array_equal(batch.rain, patches.rain)


def test_gaps_that_last_hide_the_days_beside(patches):
    masks = np.zeros((1, 12, 12), bool)
    masks[0, :6] = True
    rules = replace(PLAIN, lasting=(0.0, 1.0), rain_unknown=1.0)
    batch = hide(patches, masks, np.random.default_rng(1), rules)
    assert np.isnan(batch.stack[:, 1:4, :6]).all()
    np.testing.assert_array_equal(batch.stack[:, [0, 4]], patches.moisture[:, [0, 4]])
    np.testing.assert_array_equal(batch.stack[:, :, 6:], patches.moisture[:, :, 6:])
    assert np.isnan(batch.rain).all()


def test_days_before_are_filled_as_the_recursion_leaves_them(patches):
    masks = np.ones((1, 12, 12), bool)
    rules = replace(PLAIN, recursed=1.0)
    batch = hide(patches, masks, np.random.default_rng(1), rules)
    before, known = slice(0, 2), np.isfinite(patches.moisture)
    filled = ~known[:, before] & np.isfinite(batch.stack[:, before])
    assert filled.any()
    trust = np.where(filled, batch.weight[:, before], np.nan)
    assert np.nanmax(trust) <= FILLED_WEIGHT
    assert np.nanmin(trust) < 0.3 * FILLED_WEIGHT < 0.7 * FILLED_WEIGHT < np.nanmax(trust)
    one = trust.reshape(len(trust), -1)
    np.testing.assert_array_equal(np.nanmin(one, 1), np.nanmax(one, 1))
    assert (batch.weight[known & ~np.isnan(batch.stack)] == 1).all()
    assert (batch.weight[np.isnan(batch.stack)] == 0).all()
    np.testing.assert_array_equal(batch.stack[:, 3:], patches.moisture[:, 3:])


def test_filling_the_past_is_the_loop_over_days_that_its_text_says():
    rng = np.random.default_rng(5)
    stack = rng.random((40, 7, 1, 1), np.float32)
    stack[rng.random(stack.shape) < 0.6] = np.nan
    wanted = stack.copy()
    for series in wanted[:, :, 0, 0]:
        for day in range(3):
            ahead = [n for n in range(1, 4) if np.isfinite(series[day + n])]
            before = series[day - 1] if day else np.nan
            if np.isfinite(series[day]):
                continue
            if not ahead:
                series[day] = before
            elif np.isnan(before):
                series[day] = series[day + ahead[0]]
            else:
                series[day] = before + (series[day + ahead[0]] - before) / (ahead[0] + 1)
    np.testing.assert_allclose(past_filled(stack), wanted, rtol=1e-6)


def test_patches_travel_as_bytes_and_shards_are_read_one_by_one(patches, tmp_path):
    objects = open_objects(str(tmp_path))
    objects.put("a.npz", patches.to_bytes())
    objects.put("b.npz", b"not patches")
    shards = StoredPatches(objects.url, ["a.npz", "b.npz"])
    np.testing.assert_array_equal(shards[0].moisture, patches.moisture)
    np.testing.assert_array_equal(shards[:1][0].place, patches.place)
    assert patches.to_bytes() == shards[0].to_bytes()
    with pytest.raises(ModelError, match=r"b\.npz holds no patches"):
        shards[1]
    with pytest.raises(ModelError, match="holds no patches"):
        Patches.from_bytes(patches.to_bytes()[:-100], "here")


def test_a_world_without_a_complete_square_has_no_patches(world):
    nothing = np.full_like(world.observed, np.nan)
    found = cut_patches(world.days, nothing, world.land, world.rain, RULES)
    assert len(found) == 0
    assert found.moisture.shape == (0, 5, 12, 12)
    assert len(cut(world, slice(0, 4))) == 0, "no day has its days around it"


def test_what_cannot_be_cut_is_refused_in_words(world):
    with pytest.raises(UserError, match=r"rain must be \(days, rows, cols\)"):
        cut_patches(world.days, world.observed, world.land, world.rain[1:], RULES)
    gone = np.delete(np.arange(24), 9)
    with pytest.raises(UserError, match="one after the other"):
        cut(world, gone)
    with pytest.raises(UserError, match="keep_share of patches is a share"):
        PatchRules(keep_share=2.0)
    with pytest.raises(UserError, match="at least 1"):
        PatchRules(stride=0)
    with pytest.raises(UserError, match="add up to 1"):
        HidingRules(lasting=(0.5, 0.4))


def test_mirrored_patches_are_mirrored_on_all_days_and_with_their_rain(patches):
    masks = np.zeros((1, 12, 12), bool)
    masks[0, :, 3:7] = True
    turned = hide(patches, masks, np.random.default_rng(1), replace(PLAIN, mirrored=1.0))
    both = (slice(None), slice(None), slice(None, None, -1), slice(None, None, -1))
    np.testing.assert_array_equal(turned.truth, patches.moisture[both][:, 2:3])
    np.testing.assert_array_equal(turned.rain, patches.rain[both])
    assert (turned.hidden == masks[0]).all(), "gaps keep their slant"
    some = hide(patches, masks, np.random.default_rng(1), replace(PLAIN, mirrored=0.5))
    alike = (some.truth == patches.moisture[:, 2:3]).all(axis=(1, 2, 3))
    assert 0.1 < alike.mean() < 0.45
