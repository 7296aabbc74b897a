"""The commands around production, as a person types them."""

import json
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from smcloud.cli import produce
from smcloud.cli.main import app
from smcloud.core.errors import IntegrityError, NotFoundError, PlanError, UserError
from smcloud.core.objects import open_objects
from smcloud.production import downscaled_year
from smcloud.production.versions import published_store
from tests.production import small_downscaling
from tests.production.conftest import downscaling, downscaling_once, world, world_once  # noqa: F401
from tests.production.small_world import BLOCKS, YEAR, config_of


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    """Run everything in this process: clusters have tests of their own."""

    @contextmanager
    def nothing(config, listener):
        yield None

    monkeypatch.setattr(produce, "cluster_from", nothing)


def smcloud(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_plan_produce_status_verify_tell_one_story(world):  # noqa: F811
    run = world / "run.toml"
    assert "1 new" in smcloud("plan", run)
    assert "none" in smcloud("status", run)
    shown = smcloud("produce", run)
    assert "rows/s" in shown
    assert "core-seconds: read" in shown
    assert "1 done" in smcloud("plan", run)
    rows = json.loads(smcloud("status", run, "--json"))
    (row,) = [row for row in rows if row["stage"] == "produce/glass-sm"]
    assert (row["key"], row["state"], row["blocks"]) == (
        f"sin1km/h18v04/{YEAR}",
        "published",
        BLOCKS,
    )
    assert "every shard holds what the ledger says" in smcloud("verify", run)


def test_verify_names_tile_and_block_and_ends_with_6(world):  # noqa: F811
    run = world / "run.toml"
    smcloud("produce", run)
    store = open_objects(published_store(config_of(run).layout, "glass-sm", YEAR))
    key = next(i.key for i in store.list() if i.key.startswith("quality_flag/c/0"))
    store.put(key, b"")
    with pytest.raises(IntegrityError, match=r"1 of 8 shards .*--redo damaged") as caught:
        smcloud("verify", run)
    assert caught.value.exit_code == 6
    smcloud("produce", run, "--redo", "damaged")
    smcloud("verify", run)


def test_plan_refuses_what_cannot_fit_after_showing_it(world):  # noqa: F811
    run = world / "run.toml"
    run.write_text(run.read_text().replace('"2GiB"', '"300MiB"'))
    with pytest.raises(PlanError, match="a worker of 300 MiB"):
        smcloud("plan", run)


def test_an_unknown_redo_is_refused(world):  # noqa: F811
    with pytest.raises(UserError, match="expected one of missing, damaged, all"):
        smcloud("produce", world / "run.toml", "--redo", "some")


def test_a_run_without_a_model_says_what_to_do(world):  # noqa: F811
    open_objects(str(world / "out")).delete("models/tiny/card.json")
    with pytest.raises(NotFoundError, match="run `smcloud train` first"):
        smcloud("produce", world / "run.toml")


def test_doctor_shows_what_it_tried(tmp_path):
    shown = smcloud("doctor", tmp_path)
    assert "create only if absent" in shown
    assert "BAD" not in shown


def test_a_year_in_passes_is_planned_produced_and_shown_pass_by_pass(
    downscaling,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    run = tmp_path / "run" / "run.toml"
    shown = smcloud("plan", run)
    for word in ("first guess", "8 slabs of days", "where values clamp", "northern China"):
        assert word in shown
    assert "a round figure, before any receipt" in shown
    real, calls = downscaled_year.finish_block, []

    def interrupted(task):
        calls.append(task)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return real(task)

    with monkeypatch.context() as patch:
        patch.setattr(downscaled_year, "finish_block", interrupted)
        smcloud("produce", run)
    shown = smcloud("status", run)
    assert "4 of 4" in shown
    assert "3 of 4" in shown
    assert "MiB below work/ until it is published" in shown
    assert "core-seconds: read" in smcloud("produce", run)
    shown = smcloud("status", run)
    assert "published" in shown
    assert "first guess" not in shown
    assert "as receipts say" in smcloud("plan", run)
    assert "every shard holds" in smcloud("verify", run)
    small_downscaling.write_run(tmp_path / "run", memory="500MiB")
    with pytest.raises(PlanError, match="give workers more memory"):
        smcloud("plan", run)
