"""Cubes made of other cubes: made once, again where inputs changed, and read as others are."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Silent
from smcloud.cube.schema import shard_index
from smcloud.cube.store import create_store, open_cube, write_shard
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.cloud_filling import LstState
from smcloud.features.derived import DERIVED, with_inputs
from smcloud.features.lst_filled import OVERPASSES
from smcloud.features.spec import CubeSet, Driver
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import TileYear, parse_window
from smcloud.production import hidden_scores
from smcloud.production.derived_stage import derived_tasks, run_derived
from smcloud.production.hidden_scores import CLOUDY, HIDDEN, BlockTask, score_lst_block
from smcloud.production.ledger import Ledger
from smcloud.simulate.truth import TRUTH_LST_SCHEMA, TRUTHS
from smcloud.sources.registry import SOURCES
from smcloud.validation.collocation import Layer
from smcloud.validation.hidden_pixels import GapSums
from tests.production.filled_root import BLOCKS, TEXT, fill, make_inputs, write_input
from tests.production.small_world import (
    TILE,
    YEAR,
    config_of,
    write_run,
)
from tests.trees import tree_of

PART, ONE_BLOCK = parse_window(TEXT, TILE), "6x5+740+910"
SCHEMA = DERIVED["lst_filled"].schema
KEY = TileYear("sin1km", TILE, YEAR)
DAYS = slice(0, 365)


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """A folder with a user's own cubes of everything that the filling reads."""
    folder = tmp_path_factory.mktemp("cubes")
    make_inputs(folder)
    return folder


@pytest.fixture
def folder(cubes, tmp_path):
    (tmp_path / "own").symlink_to(cubes / "own")
    return tmp_path


@pytest.fixture(scope="module")
def made(cubes):
    """The folder after its cube was made, and the summary."""
    return cubes, *fill(cubes)


def stored(config, name, window=PART):
    url = join(config.layout.cubes("lst_filled"), year_store(YEAR))
    return open_cube(url, SCHEMA, YEAR).read(name, DAYS, window)


def test_every_gap_of_the_part_is_filled_and_looks_stay(made):
    folder, config, summary = made
    assert (summary.tasks, summary.tasks_skipped) == (BLOCKS, 0)
    assert summary.bytes_written > 0
    looks = open_cube(str(folder / "own/mod11a1/2019.zarr"), SOURCES["mod11a1"].schema, YEAR)
    for name in ("lst_day", "lst_night"):
        seen = looks.read(name, DAYS, PART)
        values, state = stored(config, name), stored(config, f"{name}_state")
        np.testing.assert_array_equal(values[seen != 0], seen[seen != 0])
        assert (state[seen != 0] == LstState.OBSERVED).all()
        assert (values[:, land_mask(PART)] != 0).all()
    assert (stored(config, "lst_day_state") != LstState.OBSERVED).any()


def test_outside_the_part_nothing_is_known(made):
    _, config, _ = made
    beside = parse_window("30x5+735+925", TILE)
    assert (stored(config, "lst_day", beside) == 0).all()
    assert (stored(config, "lst_day_state", beside) == LstState.UNKNOWN).all()


def test_a_second_run_makes_nothing_and_the_ledger_knows_the_shards(made):
    folder, config, _ = made
    before = tree_of(folder / "out")
    _, again = fill(folder)
    assert (again.tasks, again.tasks_skipped, again.bytes_written) == (BLOCKS, BLOCKS, 0)
    assert tree_of(folder / "out") == before
    record = Ledger(config.store.root, "ingest/lst_filled").records(YEAR)[KEY]
    assert len(record.shards) == BLOCKS * len(SCHEMA.variables)
    assert record.figures["blocks"] == BLOCKS


def test_a_lost_shard_comes_back_bit_for_bit(made):
    folder, _, _ = made
    before = tree_of(folder / "out" / "cubes")
    lost = sorted(name for name in before if "/lst_day/c/" in name)[1]
    (folder / "out" / "cubes" / lost).unlink()
    _, again = fill(folder)
    assert (again.tasks, again.tasks_skipped) == (BLOCKS, BLOCKS - 1)
    assert tree_of(folder / "out" / "cubes") == before


def test_changed_inputs_are_noticed(cubes, tmp_path):
    shutil.copytree(cubes / "own", tmp_path / "own")
    fill(tmp_path, window=ONE_BLOCK)
    write_input(tmp_path, "mod11a1", shift=0.05)
    _, again = fill(tmp_path, window=ONE_BLOCK)
    assert again.tasks_skipped == 0


def test_a_cube_of_another_version_is_made_anew(made, monkeypatch):
    config = made[1]
    before = {task.input_hash for task in derived_tasks(config, "lst_filled", YEAR)}
    raised = replace(DERIVED["lst_filled"], version=DERIVED["lst_filled"].version + 1)
    monkeypatch.setitem(DERIVED, "lst_filled", raised)
    after = {task.input_hash for task in derived_tasks(config, "lst_filled", YEAR)}
    assert not before & after


def test_a_smaller_part_gives_equal_values(made, folder):
    _, whole, _ = made
    rng = np.random.default_rng(2)
    for _ in range(2):
        row, col = (int(rng.integers(0, size)) for size in (20, 12))
        text = f"{rng.integers(3, 10)}x{rng.integers(3, 8)}+{735 + row}+{905 + col}"
        part, _ = fill(folder, window=text)
        window = parse_window(text, TILE)
        for variable in SCHEMA.variables:
            np.testing.assert_array_equal(
                stored(part, variable.name, window), stored(whole, variable.name, window)
            )


def test_features_read_the_filled_cube_as_any_driver(made):
    _, config, _ = made
    driver = Driver("lst_filled")
    cubes = CubeSet({"lst_filled": config.layout.cubes("lst_filled")})
    features = features_named(["lst_day", "lst_range"], [driver])
    reader = FeatureReader(features, [driver], cubes)
    days = np.arange("2019-03-01", "2019-03-10", dtype="datetime64[D]")
    points = np.array([0, 61, 320])
    found = reader.compute(reader.read(PART, days, points)).values
    both = [
        SCHEMA.variable(name).unpack(stored(config, name)[59:68].reshape(9, -1)[:, points])
        for name in ("lst_day", "lst_night")
    ]
    np.testing.assert_allclose(found[0], both[0])
    np.testing.assert_allclose(found[1], both[0] - both[1], rtol=1e-6)


def test_sources_are_listed_before_what_is_made_of_them():
    found = with_inputs(["terrain", "lst_filled", "mod13a2"])
    assert found == ("terrain", "mod11a1", "era5land", "lst_filled", "mod13a2")


def test_a_cube_that_was_never_ingested_is_named(folder):
    config = config_of(write_run(folder))
    own = {**config.ingest.cubes, "era5land": str(folder / "nowhere")}
    poor = config.model_copy(update={"ingest": config.ingest.model_copy(update={"cubes": own})})
    with pytest.raises(NotFoundError, match="ingest era5land first"):
        run_derived(poor, ["lst_filled"], None, Silent())


def test_a_part_without_land_is_refused(folder):
    with pytest.raises(UserError, match="no land for lst_filled in h18v04"):
        fill(folder, window="10x8+760+872")


def write_truth(folder, config, block):
    """Write a truth in which every gap is one kelvin warmer than what filled it, under cloud."""
    url = TRUTHS["truth_lst"].url(str(folder), YEAR)
    create_store(url, TRUTH_LST_SCHEMA, YEAR)
    for name in OVERPASSES:
        values = stored(config, name, block).astype(np.int64)
        warmer = np.where(values == 0, 0, values + 50)
        for variable, whole in ((name, warmer), (name.replace("lst", "cloud"), values * 0 + 1)):
            packed = whole.astype(TRUTH_LST_SCHEMA.variable(variable).dtype)
            index = shard_index(TRUTH_LST_SCHEMA, block, 0)
            write_shard(url, TRUTH_LST_SCHEMA, variable, index, packed)
    return Layer(url, TRUTH_LST_SCHEMA, YEAR, "lst_day", required=False)


def test_a_filled_block_is_scored_where_pixels_are_hidden_and_under_true_clouds(
    made, tmp_path, monkeypatch
):
    _, config, _ = made
    block = derived_tasks(config, "lst_filled", YEAR)[0]
    truth = write_truth(tmp_path, config, block.block.window)
    task = BlockTask(block, truth, 0, str(tmp_path / "scores"), "block")
    monkeypatch.setattr(hidden_scores, "OVERPASSES", ("lst_day",))
    found = score_lst_block(task)
    by_kind = {
        judged: GapSums.from_frame(found[found["judged"] == judged]).table()
        for judged in (HIDDEN, CLOUDY)
    }
    for table in by_kind.values():
        assert set(table["filler"]) == {"filled", "climatology alone"}
        assert set(table["grouping"]) == {
            "all",
            "days since a look",
            "km to a clear pixel",
            "rests on",
        }
    cloudy = by_kind[CLOUDY].query("filler == 'filled' and grouping == 'all'").iloc[0]
    assert cloudy["bias"] == pytest.approx(-1.0, abs=1e-3)
    assert cloudy["RMSE"] == pytest.approx(1.0, abs=1e-3)
    looks = GapSums.from_frame(found[found["judged"] == HIDDEN]).pairs["all", "", "filled"]
    assert 0 < looks.n < land_mask(PART).sum() * 37
    monkeypatch.setattr(hidden_scores, "_overpass", None)  # what is kept is not made again
    pd.testing.assert_frame_equal(score_lst_block(task), found)


def test_scores_of_gaps_are_named_by_what_they_depend_on(made):
    _, config, _ = made
    year = SimpleNamespace(year=YEAR, schema=SimpleNamespace(name="all-weather"))
    blocks = derived_tasks(config, "lst_filled", YEAR)
    one, other = (
        hidden_scores.block_tasks(config.model_copy(update={"train": train}), year, blocks, None)
        for train in (config.train, config.train.model_copy(update={"seed": 13}))
    )
    assert len(one) == len(blocks) == BLOCKS
    assert {task.name for task in one}.isdisjoint(task.name for task in other)
    assert [task.fold for task in other] == [3] * BLOCKS
