"""The passes of a downscaled year: planned, counted, shown while they run, kept for a repair."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smcloud.core.errors import PlanError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.grids.cells import land_pixels
from smcloud.grids.grid import EASE2_36KM, SIN1KM, Window
from smcloud.grids.tiles import tile_window
from smcloud.models.anchoring import Anchors, refined, solve
from smcloud.models.cell_sums import cell_sums, links, merged
from smcloud.production import anchor_passes, downscaled_year, pass_plan, recipe
from smcloud.production.ledger import Ledger
from smcloud.production.pass_plan import FINISH, SOLVER_BYTES
from smcloud.production.passes import PASSES, figure_of
from smcloud.production.plan import check_fits, plan_year
from smcloud.production.planned import PROCESS_BYTES
from smcloud.production.produce_stage import run
from smcloud.production.recipe import recipe_of
from smcloud.production.status import status
from tests.production.recorder import Recorder
from tests.production.small_downscaling import BLOCKS, NAME, SLABS, TILE, YEAR, make_models
from tests.trees import tree_of

STAGE = f"produce/{NAME}"


class Counts(Recorder):
    """Remembers how many tasks each stage had."""

    def begin(self, stage, total, unit):
        self.stages.append((stage.split(" smap")[0], total))


def interrupt(monkeypatch, module, name, after):
    """Let a run be interrupted in a task after so many of its kind."""
    real, calls = getattr(module, name), []

    def interrupted(task):
        calls.append(task)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(task)

    monkeypatch.setattr(module, name, interrupted)


def interrupted_run(config, monkeypatch, module, name, after):
    with monkeypatch.context() as patch:
        interrupt(patch, module, name, after)
        with pytest.raises(KeyboardInterrupt):
            run(config, None, Silent())


def rows_of(config):
    return [
        (row.stage.removeprefix(STAGE).removeprefix(": "), row.state, row.blocks, row.of)
        for row in status(config)
        if row.stage.startswith(STAGE)
    ]


def products(config):
    return tree_of(Path(config.store.root.removeprefix("file://")) / "products")


def work_keys(config):
    return [info.key for info in open_objects(config.layout.work(NAME, YEAR, "")).list()]


def test_the_plan_has_every_pass_with_its_memory_and_hours(downscaling):
    plan = plan_year(recipe_of(downscaling), YEAR)
    land = sum(block.land_pixels for block in plan.tiles[0].blocks)
    assert [one.name for one in plan.passes] == [*PASSES, FINISH]
    assert [one.tasks for one in plan.passes] == [BLOCKS, BLOCKS, SLABS, 0, BLOCKS]
    assert {one.rows for one in plan.passes} == {365 * land}
    assert min(one.total() for one in plan.passes) > PROCESS_BYTES
    hours = sum(one.core_hours for one in plan.passes)
    assert plan.estimate.core_hours == pytest.approx(hours)
    assert plan.estimate.hours_of(365 * land) == pytest.approx(hours)
    assert not plan.estimate.is_measured


@pytest.mark.parametrize("rule", ["ANCHORING", "LAG_DAYS", "WINDOW_DAYS"])
def test_a_year_of_other_rules_is_another(rule, downscaling, monkeypatch):
    before = plan_year(recipe_of(downscaling), YEAR).version
    assert plan_year(recipe_of(downscaling), YEAR).version == before
    monkeypatch.setattr(recipe, rule, getattr(recipe, rule) + 1)
    assert plan_year(recipe_of(downscaling), YEAR).version != before


def test_a_pass_that_cannot_fit_a_worker_is_refused_before_anything_runs(downscaling, monkeypatch):
    plan = plan_year(recipe_of(downscaling), YEAR)
    check_fits(plan, 2 * 2**30)
    monkeypatch.setattr(pass_plan, "SOLVER_BYTES", 10**7)
    with pytest.raises(PlanError, match=r"1 task of the pass `anchor` of 2019 .* fewer tiles"):
        check_fits(plan_year(recipe_of(downscaling), YEAR), 2 * 2**30)


def test_solving_takes_no_more_memory_than_is_planned():
    tile = tile_window(SIN1KM, "h25v05")
    window = Window(tile.row0, tile.row0 + 240, tile.col0, tile.col0 + 240)
    lon, lat = (values.reshape(-1) for values in SIN1KM.lonlat(window))
    where, rng = links(EASE2_36KM, lon, lat), np.random.default_rng(0)
    # Days enough for the sums to be far larger than what other threads may allocate meanwhile.
    guess = rng.normal(0.05, 0.03, (48, lon.size)).astype(np.float32)
    sums = cell_sums(guess, where, 0.5)
    anchors = Anchors(
        rng.uniform(0.0, 0.1, sums.known.shape).astype(np.float32),
        land_pixels(EASE2_36KM, sums.window),
    )
    nodes = solve(sums, anchors)
    clamped = cell_sums(guess, where, 0.5, nodes.on(where.window))
    refined(nodes, sums, clamped, anchors)  # what is compiled and kept at the first call
    tracemalloc.start()
    refined(nodes, merged([sums]), merged([clamped]), anchors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.6 * SOLVER_BYTES < peak / sums.known.size <= SOLVER_BYTES


def test_every_pass_counts_in_the_cost_of_a_year(downscaling):
    (year,) = run(downscaling, None, Silent()).years
    (record,) = Ledger(downscaling.store.root, STAGE).records(YEAR).values()
    figures = record.figures
    for name in PASSES:
        assert figures[figure_of(name)] == pytest.approx(year.passes[name], abs=1e-3)
        assert figures[figure_of(name)] > 0, name
    steps = sum(value for name, value in figures.items() if name.startswith("seconds_"))
    assert figures["seconds"] == pytest.approx(steps)
    assert figures["seconds"] > sum(year.seconds.values())
    assert year.peak_bytes == figures["peak_bytes"] > 0
    (done,) = [row for row in status(downscaling) if row.stage.startswith(STAGE)]
    assert done.core_seconds == pytest.approx(figures["seconds"], abs=0.06)
    estimate = plan_year(recipe_of(downscaling), YEAR).estimate
    assert estimate.is_measured
    assert estimate.hours_of(figures["rows"]) == pytest.approx(figures["seconds"] / 3600)


def test_a_measured_year_tells_the_hours_of_the_next(downscaled):
    recipe = recipe_of(downscaled)
    (record,) = Ledger(downscaled.store.root, STAGE).records(YEAR).values()
    plan = plan_year(recipe, YEAR, anew=True)
    assert plan.estimate.core_hours == pytest.approx(record.figures["seconds"] / 3600)
    slow = replace(record, figures={**record.figures, figure_of("anchor"): 3600.0})
    speeds = pass_plan.speeds_of([slow], "periods")
    assert speeds["anchor"] == record.figures["rows"] / 3600
    without = {name: value for name, value in record.figures.items() if "guess" not in name}
    round_figures = pass_plan.speeds_of([], "periods")
    assert pass_plan.speeds_of([replace(record, figures=without)], "periods") == round_figures


def test_status_follows_the_passes_while_they_run(downscaling, downscaled, monkeypatch):
    interrupted_run(downscaling, monkeypatch, downscaled_year, "guess_block", 3)
    waiting = [("sum", "none", 0, 4), ("anchor", "none", 0, 8), ("visit", "none", 0, 0)]
    assert rows_of(downscaling) == [("first guess", "partial", 3, 4), *waiting, ("", "none", 0, 0)]
    assert [one.tasks for one in plan_year(recipe_of(downscaling), YEAR).passes][:2] == [1, 4]
    interrupted_run(downscaling, monkeypatch, anchor_passes, "anchor_slab", 5)
    begun = rows_of(downscaling)
    assert begun[:2] == [("first guess", "done", 4, 4), ("sum", "done", 4, 4)]
    interrupted_run(downscaling, monkeypatch, downscaled_year, "finish_block", 2)
    first, sums, anchor, visit, blocks = rows_of(downscaling)
    assert (first, sums, anchor) == (*begun[:2], ("anchor", "done", 8, 8))
    assert visit[1] == "partial"
    assert visit[2] > 0
    assert blocks == ("", "partial", 2, 4)
    (size,) = {row.stored_bytes for row in status(downscaling)} - {0}
    assert size < plan_year(recipe_of(downscaling), YEAR).estimate.work_bytes
    run(downscaling, None, Silent())
    assert [row[1:3] for row in rows_of(downscaling)] == [("published", 4)]
    assert products(downscaling) == products(downscaled)


def test_what_was_killed_still_counts(downscaling, monkeypatch):
    interrupted_run(downscaling, monkeypatch, downscaled_year, "finish_block", 2)
    (year,) = run(downscaling, None, Silent()).years
    assert (year.made, year.kept, year.passes) == (2, 2, {})
    (record,) = Ledger(downscaling.store.root, STAGE).records(YEAR).values()
    assert min(record.figures[figure_of(name)] for name in PASSES) > 0


def test_days_without_a_model_stand_in_the_ledger(downscaling):
    make_models(Path(downscaling.store.root.removeprefix("file://")).parent, silent=slice(7, 13))
    run(downscaling, None, Silent())
    (record,) = Ledger(downscaling.store.root, STAGE).records(YEAR).values()
    (told,) = record.problems
    assert told.startswith(f"{YEAR}-03-03 to {YEAR}-05-02: no model (")
    assert record.figures["days_without_model"] == 61
    (row,) = [row for row in status(downscaling) if row.stage == STAGE]
    assert row.problems == (told,)


def test_a_damaged_block_is_made_again_alone_and_leaves_nothing(downscaled):
    kept = work_keys(downscaled)
    assert {key.split("/", 1)[1].rsplit("/", 1)[0] for key in kept} == {
        "damping.npz",
        "nodes/settled",
    }
    before = products(downscaled)
    (store,) = Path(downscaled.store.root.removeprefix("file://")).rglob("v*.zarr")
    shard = next(store.glob("soil_moisture/c/0/*/*"))
    shard.write_bytes(shard.read_bytes()[:-7])
    told = Counts()
    (year,) = run(downscaled, None, told, redo="damaged").years
    assert year.repaired == 1
    assert ("first guess", 1) in told.stages
    assert not {"sum", "anchor", "visit, round 1"} & {stage for stage, _ in told.stages}
    assert products(downscaled) == before
    assert work_keys(downscaled) == kept
    assert rows_of(downscaled) == [("", "published", BLOCKS, 0)]


def test_without_nodes_a_repair_makes_all_passes_again(downscaled):
    before = products(downscaled)
    work = open_objects(downscaled.layout.work(NAME, YEAR, ""))
    for info in work.list():
        work.delete(info.key)
    (store,) = Path(downscaled.store.root.removeprefix("file://")).rglob("v*.zarr")
    next(store.glob("quality_flag/c/0/*/*")).unlink()
    told = Counts()
    run(downscaled, None, told, redo="damaged")
    assert told.stages[1:4] == [("first guess", BLOCKS), ("sum", BLOCKS), ("anchor", SLABS)]
    rounds = [stage.partition(", round ")[2] for stage, _ in told.stages[4:8]]
    assert rounds == ["1", "1", "2", "2"], "visits and anchors tell which round they are"
    assert products(downscaled) == before
    assert TILE in plan_year(recipe_of(downscaled), YEAR).tiles[0].key.tile
