"""seamless whatever befalls a run: workers, cuts, kills, small memory, bad input by command."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smcloud.core.errors import ConfigError, PlanError
from smcloud.core.listener import Silent
from smcloud.core.objects import Objects, open_objects
from smcloud.cube.store import create_store, open_cube
from smcloud.features.coarse_cubes import GAPPY_MOISTURE
from smcloud.grids.grid import GLOBAL025
from smcloud.grids.land import land_tiles
from smcloud.models.gap_patches import StoredPatches, joined
from smcloud.models.seamless_files import load_net_card
from smcloud.production import seamless_train, seamless_year
from smcloud.production.run_file import read_run
from smcloud.production.seamless_inputs import RunInputs, inputs_of
from smcloud.production.seamless_publish import run_publish
from smcloud.production.seamless_train import CutTask, cut_slab, rules_of, run_train
from smcloud.production.seamless_year import fill_segment, fill_tasks, run_produce
from smcloud.production.versions import published_store
from smcloud.products.seamless import MOISTURE, SCHEMA, SEAMLESS
from tests.cli.conftest import no_cluster, smcloud
from tests.production.gap_world import CELLS, DARK_DAY, YEARS, gap_config, write_gap_run
from tests.production.recorder import Recorder
from tests.publish.cf_faults import cf_faults
from tests.trees import tree_of

__all__ = ["no_cluster", "smcloud"]
YEAR = YEARS[-1]


@pytest.fixture(scope="module")
def inputs(trained) -> RunInputs:
    return inputs_of(trained[0], None, Silent())


def beside(produced, folder: Path, *, models: bool = True) -> Path:
    """Return a run file with the same cubes below `folder`, and with the network of the run."""
    root = Path(produced[0].store.root.removeprefix("file://"))
    (folder / "own").symlink_to(root.parent / "own")
    if models:
        shutil.copytree(root / "models", folder / "out" / "models")
    return write_gap_run(folder)


def made_by(config) -> dict[str, bytes]:
    """Return weights and maps of a run, by path; how often a training began anew is no part."""
    root = Path(config.store.root.removeprefix("file://"))
    found = tree_of(root / "models") | tree_of(root / "products")
    return {path: data for path, data in found.items() if not path.endswith("card.json")}


@pytest.mark.parametrize("part_bytes", [1, 20_000_000])
def test_patches_are_the_same_however_days_are_cut(
    trained, inputs, tmp_path, monkeypatch, part_bytes
) -> None:
    rules, _, _ = rules_of(trained[0])
    monkeypatch.setattr(seamless_train, "SLAB_DAYS", 60)
    monkeypatch.setattr(seamless_train, "PART_BYTES", 10**12)
    whole = CutTask(inputs.fields, inputs.region, rules, YEAR, 0, str(tmp_path / "whole"))
    cut = cut_slab(whole)
    assert len(cut.parts) == 1
    expected = joined(list(StoredPatches(whole.folder, cut.keys())))
    monkeypatch.setattr(seamless_train, "SLAB_DAYS", 20)
    monkeypatch.setattr(seamless_train, "PART_BYTES", part_bytes)
    tasks = [replace(whole, slab=slab, folder=str(tmp_path / "parts")) for slab in range(3)]
    cuts = [cut_slab(task) for task in tasks]
    assert sum(len(one.parts) for one in cuts) == (60 if part_bytes == 1 else 3)
    keys = [key for one in cuts for key in one.keys()]
    found = StoredPatches(tasks[0].folder, keys)
    assert joined(list(found)).to_bytes() == expected.to_bytes()
    assert sum(one.masks for one in cuts) == cut.masks
    monkeypatch.setattr(seamless_train, "MOST_HELD_OUT", 50)
    thinned = seamless_train._thinned(found, len(expected))
    assert 25 < len(thinned) <= 50
    step = -(-len(expected) // 50)
    np.testing.assert_array_equal(thinned.place, expected.place[::step])


def test_tiles_of_a_day_leave_no_seam(produced, inputs, tmp_path, monkeypatch) -> None:
    config, _ = produced
    card = load_net_card(open_objects(config.layout.model("")), "seamless")
    task = fill_tasks(config, inputs, card, YEAR)[1]

    def filled(tile: int) -> np.ndarray:
        monkeypatch.setattr(seamless_year, "TILE", tile)
        own = replace(task, folder=str(tmp_path / str(tile)))
        create_store(own.store, own.schema, YEAR)
        fill_segment(own)
        return np.asarray(open_cube(own.store, own.schema, YEAR).read(MOISTURE, own.days, CELLS))

    whole = filled(96)
    assert (whole != SCHEMA.variable(MOISTURE).fill_value).sum() > 5000
    np.testing.assert_allclose(filled(10), whole, atol=1)


@pytest.mark.cluster
def test_two_workers_make_the_bytes_of_one_process(produced, tmp_path, client) -> None:
    config = gap_config(beside(produced, tmp_path, models=False))
    run_train(config, SEAMLESS, client, Silent())
    run_produce(config, SEAMLESS, client, Silent())
    assert made_by(config) == made_by(produced[0])


class Killed(BaseException):
    """What no part of a run may catch."""


KILLS = (
    r"patches-2014-s01-p00\.npz$",
    r"patches-2015-s01\.json$",
    r"checkpoints/.*00001-[0-9a-f]{64}\.safetensors$",
    r"models/seamless/[0-9a-f]{64}\.safetensors$",
    r"filled\.zarr/soil_moisture/c/3/.*",
    r"receipts/fill-2015-s05\.json$",
    r"products/seamless/2015/v[0-9a-f]{12}\.zarr/gap_reason/c/.*",
    r"current\.json$",
)
"""Objects before whose writing a run is killed, in the order in which it comes to them."""


def test_killed_anywhere_a_run_goes_on_to_the_same_bytes(produced, tmp_path, monkeypatch) -> None:
    config = gap_config(beside(produced, tmp_path, models=False))
    actual = Objects.put

    def run() -> None:
        run_train(config, SEAMLESS, None, Silent())
        run_produce(config, SEAMLESS, None, Silent())

    for pattern in KILLS:

        def killed(objects: Objects, key: str, data: bytes, at: str = pattern) -> None:
            if re.search(at, f"{objects.url}/{key}"):
                raise Killed(at)
            actual(objects, key, data)

        monkeypatch.setattr(Objects, "put", killed)
        with pytest.raises(Killed, match=re.escape(pattern)):
            run()
        monkeypatch.setattr(Objects, "put", actual)
    recorder = Recorder()
    run_train(config, SEAMLESS, None, recorder)
    run_produce(config, SEAMLESS, None, recorder)
    assert "cut patches" not in recorder.stages
    assert f"fill {YEAR}" not in recorder.stages
    assert load_net_card(open_objects(config.layout.model("")), "seamless").resumed
    assert made_by(config) == made_by(produced[0])


@pytest.mark.filterwarnings("ignore")  # of the checker's own dependencies
def test_the_cf_checker_finds_nothing_in_the_published_file(produced, tmp_path) -> None:
    (url,) = run_publish(produced[0], SEAMLESS, None, Silent()).netcdf
    assert cf_faults(url, tmp_path) == []


def test_the_globe_is_every_tile_with_land(produced, tmp_path) -> None:
    path = beside(produced, tmp_path)
    path.write_text(path.read_text().replace('["h18v05"]', '["globe"]'))
    assert set(read_run(path).tiles) == set(land_tiles())
    fine = 'product = "glass-sm"\nyears = [2019]\ntiles = ["globe"]\n[store]\nroot = "out"\n'
    path.write_text(fine)
    with pytest.raises(ConfigError, match=r"glass-sm is on that of 1 km: name its tiles"):
        read_run(path)


def test_the_memory_of_the_globe_is_said_before_anything_starts(produced, inputs) -> None:
    """Land everywhere, as no globe has: more memory than any run needs."""
    config, _ = produced
    region = replace(inputs.region, window=GLOBAL025.window)
    for memory, code in (("3GiB", None), ("2GiB", "lower seamless.spin_up_days")):
        given = config.cluster.model_copy(update={"memory": memory})
        usual = config.seamless.model_copy(update={"spin_up_days": 30})
        own = config.model_copy(update={"cluster": given, "seamless": usual})
        if code is None:
            seamless_year.check_memory(own, region, None)
        else:
            with pytest.raises(PlanError, match=code):
                seamless_year.check_memory(own, region, None)


@pytest.mark.usefixtures("no_cluster")
def test_what_was_done_before_is_printed_and_not_done_again(produced, tmp_path, smcloud) -> None:
    path = beside(produced, tmp_path)
    code, out, told = smcloud("train", path)
    assert (code, told) == (0, [])
    assert "trained before on the same fields" in out
    assert "first guess that it starts from" in " ".join(out.split())
    assert not (tmp_path / "out" / "tables").exists()
    code, out, _ = smcloud("plan", path)
    assert code == 0
    assert f"{(CELLS.shape[0] * CELLS.shape[1] - 4) * 365:,}" in out


def absent(monkeypatch) -> None:
    """Take torch away, and the modules that have imported it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("smcloud.models.seamless")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("command", ["train", "produce", "validate"])
def test_without_torch_one_line_names_the_extra(
    produced, tmp_path, monkeypatch, smcloud, command
) -> None:
    path = beside(produced, tmp_path)
    absent(monkeypatch)
    code, _, told = smcloud(command, path)
    assert code == 2
    assert len(told) == 1
    assert (
        "needs the package 'torch', which is not installed: pip install 'smcloud[deep]'"
        in (told[0])
    )


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("command", ["train", "produce"])
def test_years_in_which_nothing_is_known_are_told_in_one_line(
    produced, tmp_path, smcloud, command
) -> None:
    path = beside(produced, tmp_path)
    for year in YEARS:
        create_store(str(tmp_path / "none" / f"{year}.zarr"), GAPPY_MOISTURE.schema, year)
    known = f"{tmp_path}/own/gappy_moisture"
    path.write_text(path.read_text().replace(known, f"{tmp_path}/none"))
    code, _, told = smcloud(command, path)
    assert code == 2
    assert told == [
        "error no cell of gappy_moisture was observed on any day of 2014, 2015: there is nothing "
        "to fill gaps from"
    ]


@pytest.mark.usefixtures("no_cluster")
def test_memory_that_is_too_small_is_told_before_anything_is_written(
    produced, tmp_path, smcloud
) -> None:
    path = beside(produced, tmp_path)
    path.write_text(path.read_text().replace('memory = "2GiB"', 'memory = "300MB"'))
    code, _, told = smcloud("plan", path)
    assert code == 9
    assert len(told) == 1
    assert "needs 0.4 GB, but the smallest worker has 0.3 GB" in told[0]
    assert not (tmp_path / "out" / "products").exists()


@pytest.mark.usefixtures("no_cluster")
def test_a_year_without_rain_and_a_day_without_observations_are_filled_and_said_so(
    produced, tmp_path, smcloud
) -> None:
    path = beside(produced, tmp_path)
    shutil.copytree(tmp_path / "own" / "imerg_025" / "2014.zarr", tmp_path / "wet" / "2014.zarr")
    wet = f"{tmp_path}/own/imerg_025"
    path.write_text(path.read_text().replace(wet, f"{tmp_path}/wet"))
    code, out, told = smcloud("produce", path)
    assert code == 0, told
    assert "no precipitation for 2015: gaps are filled without it" in " ".join(out.split())
    config = gap_config(path)
    found = open_cube(published_store(config.layout, "seamless", YEAR), SCHEMA, YEAR)
    usual = open_cube(published_store(produced[0].layout, "seamless", YEAR), SCHEMA, YEAR)
    one, other = (cube.read(MOISTURE, slice(0, 50), CELLS) for cube in (found, usual))
    fill = SCHEMA.variable(MOISTURE).fill_value
    np.testing.assert_array_equal(one == fill, other == fill)
    assert (one != other).any()
    assert (one[DARK_DAY] != fill).sum() == CELLS.shape[0] * CELLS.shape[1] - 4  # but the lake
    _, out, _ = smcloud("status", path)
    assert "2015: filled without precipitation" in " ".join(out.split())


def test_cutting_patches_is_refused_where_it_cannot_fit(trained, inputs, monkeypatch) -> None:
    rules, _, _ = rules_of(trained[0])
    monkeypatch.setattr(seamless_train, "smallest_worker_bytes", lambda _: 2**30)
    seamless_train.check_memory(inputs.region, rules, object())
    monkeypatch.setattr(seamless_train, "smallest_worker_bytes", lambda _: 2**29)
    with pytest.raises(PlanError, match=r"squares of 46 days .* lower seamless\.keep_share"):
        seamless_train.check_memory(inputs.region, rules, object())
