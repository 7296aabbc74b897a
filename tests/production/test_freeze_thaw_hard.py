"""freeze-thaw whatever the chunks, kills and holes of its inputs; its mask in a product of 1 km."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from smcloud.core.listener import Silent
from smcloud.cube.store import open_cube
from smcloud.features.spec import Quality
from smcloud.grids.grid import SIN1KM
from smcloud.models import freeze_thaw
from smcloud.production import freeze_thaw_year, produce_stage
from smcloud.production.freeze_thaw_inputs import region_of
from smcloud.production.freeze_thaw_train import run_freeze_thaw
from smcloud.production.freeze_thaw_year import run_produce
from smcloud.production.store_year import published_year
from smcloud.production.versions import published_store, read_pointer
from smcloud.products.freeze_thaw import (
    DRIVER_UNKNOWN,
    FLAG,
    FREEZE_THAW,
    NO_OVERPASS,
    SCHEMA,
    STATE,
)
from tests.production import small_world
from tests.production.ground_world import (
    EMPTY_DAY,
    Site,
    config_of,
    make_ground_world,
    write_run,
)
from tests.trees import tree_of

YEAR = 2015
DAYS = slice(0, 365)
LON, LAT = (float(np.mean(axis)) for axis in SIN1KM.lonlat(small_world.WEST_PART))
SAME_PLACE = Site(LON, LAT, (small_world.YEAR - 1, small_world.YEAR))


def elsewhere(config, folder):
    """Return the same run with another product root."""
    store = config.store.model_copy(update={"root": str(folder)})
    return config.model_copy(update={"store": store})


def root_of(config):
    """Return the product root of a run."""
    return Path(config.store.root.removeprefix("file://"))


def values_of(config, name):
    """Return a variable of the published year in all cells of the run, (days, cells)."""
    cube = open_cube(published_store(config.layout, "freeze-thaw", YEAR), SCHEMA, YEAR)
    region = region_of(config, SCHEMA, config.produced_tiles)
    blocks = [(block.window, region.points(block.window)) for block in region.blocks()]
    return np.concatenate([cube.read_points(name, DAYS, *place) for place in blocks], axis=1)


def test_chunks_of_the_inputs_change_nothing(ground_trained, ground_produced, tmp_path) -> None:
    make_ground_world(tmp_path, parts=2)
    config = config_of(tmp_path / "run.toml")
    found = run_freeze_thaw(config, FREEZE_THAW, None, Silent())
    assert found.card.sha256 == ground_trained[1].card.sha256
    assert found.card.scores_sha256 == ground_trained[1].card.scores_sha256
    run_produce(config, FREEZE_THAW, None, Silent())
    here, there = (
        read_pointer(one.layout, "freeze-thaw", YEAR) for one in (config, ground_produced[0])
    )
    assert here.output_hash == there.output_hash
    # Other bytes of the cubes are other inputs, even if their values are the same.
    assert here.version != there.version


def test_pieces_of_rows_and_days_change_nothing(ground_produced, tmp_path, monkeypatch) -> None:
    config, _ = ground_produced
    shutil.copytree(root_of(config) / "models", tmp_path / "models")
    monkeypatch.setattr(freeze_thaw, "PIECE_POINTS", 1_003)
    monkeypatch.setattr(freeze_thaw_year, "STEP_DAYS", 41)
    run_produce(elsewhere(config, tmp_path), FREEZE_THAW, None, Silent())
    assert tree_of(tmp_path / "products") == tree_of(root_of(config) / "products")


class Dies(Silent):
    """Ends the process, as far as a test can, when a task of a stage is done."""

    def __init__(self, stage: str) -> None:
        self._stage, self._now = stage, ""

    def begin(self, stage: str, total: int, unit: str) -> None:
        self._now = stage

    def advance(self, steps: int = 1, **figures) -> None:
        if steps and self._now == self._stage:
            raise KeyboardInterrupt


def test_a_training_that_was_killed_again_and_again_ends_in_the_same_bytes(
    ground_trained, tmp_path
) -> None:
    config, whole = ground_trained
    other = elsewhere(config, tmp_path)
    for stage in ("rows", "splits", "trees"):
        with pytest.raises(KeyboardInterrupt):
            run_freeze_thaw(other, FREEZE_THAW, None, Dies(stage))
    found = run_freeze_thaw(other, FREEZE_THAW, None, Silent())
    # All forests of splits were grown before the last kill, and the trees of one task.
    assert found.done == 0
    assert found.kept == whole.done
    for part in ("models", "tables"):
        assert tree_of(tmp_path / part) == tree_of(root_of(config) / part)


def test_a_channel_that_was_lost_is_taken_for_its_median_and_flagged(
    ground, ground_produced, tmp_path
) -> None:
    config, _ = ground_produced
    (tmp_path / "own").mkdir()
    for source in (ground / "own").iterdir():
        (tmp_path / "own" / source.name).symlink_to(source)
    (tmp_path / "own/amsr2_tb").unlink()
    shutil.copytree(ground / "own/amsr2_tb", tmp_path / "own/amsr2_tb")
    for way in ("asc", "desc"):
        lost = zarr.open_array(str(tmp_path / f"own/amsr2_tb/{YEAR}.zarr/tb_36v_{way}"), mode="r+")
        lost[...] = lost.fill_value
    shutil.copytree(root_of(config) / "models", tmp_path / "out/models")
    other = config_of(write_run(tmp_path))
    run_produce(other, FREEZE_THAW, None, Silent())
    state, flag, before = (
        *(values_of(other, name) for name in (STATE, FLAG)),
        values_of(config, STATE),
    )
    seen = before != 255
    np.testing.assert_array_equal(state != 255, seen)
    assert not seen[EMPTY_DAY].any()
    assert (flag[EMPTY_DAY] == NO_OVERPASS).all()
    assert (flag[seen] & DRIVER_UNKNOWN).astype(bool).all()
    assert not (values_of(config, FLAG)[seen] & DRIVER_UNKNOWN).any()
    assert (state[seen] == before[seen]).mean() > 0.9


def test_a_channel_that_no_row_knows_is_left_out_of_the_forest(ground, tmp_path) -> None:
    (tmp_path / "own").mkdir()
    for source in (ground / "own").iterdir():
        if source.name == "amsr2_tb":
            shutil.copytree(source, tmp_path / "own" / source.name)
        else:
            (tmp_path / "own" / source.name).symlink_to(source)
    for path in (tmp_path / "own/amsr2_tb").glob("*.zarr/tb_89h_*"):
        lost = zarr.open_array(str(path), mode="r+")
        lost[...] = lost.fill_value
    config = config_of(write_run(tmp_path), trees=2)
    found = run_freeze_thaw(config, FREEZE_THAW, None, Silent())
    kept = found.model.preparation.kept
    assert found.card.columns.index("tb_89h") not in kept
    assert found.card.columns.index("tb_89v") in kept


def test_frozen_cells_raise_the_bit_of_the_pixels_in_them(tmp_path) -> None:
    small_world.make_world(tmp_path / "fine")
    fine = small_world.config_of(tmp_path / "fine/run.toml")
    produce_stage.run(fine, None, Silent())
    before = fine_flags(fine)
    make_ground_world(tmp_path / "coarse", SAME_PLACE)
    coarse = elsewhere(config_of(tmp_path / "coarse/run.toml", trees=2), root_of(fine))
    run_freeze_thaw(coarse, FREEZE_THAW, None, Silent())
    run_produce(coarse, FREEZE_THAW, None, Silent())
    # By default, because the year is published below the same root.
    produce_stage.run(fine, None, Silent())
    after = fine_flags(fine)
    year = small_world.YEAR
    cube = open_cube(published_store(coarse.layout, "freeze-thaw", year), SCHEMA, year)
    row, col = SCHEMA.on.pixel_of(*SIN1KM.lonlat(small_world.WEST_PART))
    bit = np.uint16(Quality.FROZEN_OR_SNOW)
    land = (before[0] != 0) | (after[0] != 0)
    for day in (0, EMPTY_DAY, 100, 200, 364):
        states = cube.read(STATE, slice(day, day + 1), SCHEMA.on.window, required=False)[0]
        frozen = states[row, col] == 2
        expected = np.where(frozen & land, before[day] | bit, before[day])
        np.testing.assert_array_equal(after[day], expected)
    assert (after & bit).astype(bool).sum() > (before & bit).astype(bool).sum()


def fine_flags(config):
    """Return the flags of the run's year over its part, (days, rows, cols)."""
    year = published_year(config, small_world.YEAR)
    cube = open_cube(year.store_url, year.schema, small_world.YEAR)
    return cube.read("quality_flag", DAYS, small_world.WEST_PART)
