"""Cubes made of other cubes on a cluster of processes are those of one process."""

import pytest

from tests.production.filled_root import BLOCKS, fill, make_inputs
from tests.trees import tree_of

pytestmark = pytest.mark.cluster


def test_a_cluster_makes_the_same_bytes_as_one_process(tmp_path, client):
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    make_inputs(tmp_path / "one")
    (tmp_path / "many" / "own").symlink_to(tmp_path / "one" / "own")
    fill(tmp_path / "one")
    _, summary = fill(tmp_path / "many", client)
    assert (summary.tasks, summary.tasks_skipped) == (BLOCKS, 0)
    assert tree_of(tmp_path / "many/out/cubes") == tree_of(tmp_path / "one/out/cubes")
    _, again = fill(tmp_path / "many", client)
    assert again.tasks_skipped == BLOCKS
