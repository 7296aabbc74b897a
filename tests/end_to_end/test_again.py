"""The same season again: killed between passes, damaged, on a cluster, in other pieces."""

from pathlib import Path

import numpy as np
import pytest

from smcloud.production import runner
from tests.end_to_end.maps import maps_of, twin, without
from tests.end_to_end.season import PART, WEATHER, Failed, smcloud, write_run
from tests.trees import tree_of

INTERRUPTED, INTEGRITY = 130, 6
DERIVED = ("lst_filled", "coarse_moisture_36km")
PASSES = ("guess", "anchor", "visit", "produce")


def copied(run: Path, earth: Path, folder: Path, made: tuple[str, ...], **changes: str) -> Path:
    """Return the run file of a twin."""
    return write_run(twin(run, folder, made), earth, run.stem, changes)


def products_of(run: Path) -> dict[str, bytes]:
    """Return the published product of a run, file by file."""
    return tree_of(run.parent / "root" / "products" / run.stem)


@pytest.mark.faults
def test_a_run_killed_in_each_pass_ends_with_the_bytes_of_an_unbroken_one(
    run, earth, tmp_path, monkeypatch
):
    again, run_here, killed = copied(run, earth, tmp_path, ("models",)), runner._run_here, []

    def die_in(name):
        def run_or_die(task, told):
            found = run_here(task, told)
            if task.key.startswith(name):
                killed.append(task.key)
                raise KeyboardInterrupt
            return found

        return run_or_die

    for name in PASSES:
        monkeypatch.setattr(runner, "_run_here", die_in(name))
        with pytest.raises(Failed) as caught:
            smcloud("produce", again)
        assert caught.value.code == INTERRUPTED
    monkeypatch.setattr(runner, "_run_here", run_here)
    smcloud("produce", again)
    assert [key.partition("-")[0] for key in killed] == list(PASSES)
    assert products_of(again) == products_of(run)


@pytest.mark.faults
def test_verify_passes_finds_damage_and_a_repair_brings_the_bytes_back(run, earth, tmp_path):
    again = copied(run, earth, tmp_path, ("models", "maps"))
    assert "every shard holds what the ledger says" in smcloud("verify", again)
    shards = sorted((tmp_path / "root/products").rglob("c/0/*/*"))
    for path, data in zip(shards[::5], (b"", shards[0].read_bytes()[:-9]), strict=False):
        path.unlink()
        path.write_bytes(data)
    with pytest.raises(Failed, match="2 of 8 shards") as caught:
        smcloud("verify", again)
    assert caught.value.code == INTEGRITY
    smcloud("produce", again, "--redo", "damaged")
    assert products_of(again) == products_of(run)


@pytest.mark.cluster
def test_two_workers_write_the_bytes_of_one_process(run, earth, tmp_path, client):
    """Cubes made of others, models and maps: every byte, and not to within a tolerance."""
    again = copied(run, earth, tmp_path, ())
    made = DERIVED if run.stem == WEATHER else ()
    for source in made:
        without(tmp_path, source)
    for command in ("ingest", "train", "produce"):
        smcloud(command, again, client=client)
    for source in made:
        cube = f"root/cubes/{source}"
        assert tree_of(tmp_path / cube) == tree_of(run.parent / cube)
    assert tree_of(tmp_path / "root/models" / run.stem) == tree_of(
        run.parent / "root/models" / run.stem
    )
    assert products_of(again) == products_of(run)


def test_any_pieces_of_days_give_the_same_bytes_and_any_blocks_the_same_values(
    run, earth, tmp_path
):
    draw, found = np.random.default_rng(11), {}
    for block in (150, 300):
        folder = tmp_path / str(block)
        pieces = f"block_pixels = {block}\nstep_days = {draw.integers(5, 120)}"
        again = copied(run, earth, folder, ("models",), produce=f'window = "{PART}"\n{pieces}')
        smcloud("produce", again)
        found[block] = again
    assert products_of(found[150]) == products_of(run)
    one, other = (maps_of(found[block]) for block in (150, 300))
    np.testing.assert_array_equal(one.moisture, other.moisture)
    np.testing.assert_array_equal(one.flag, other.flag)
