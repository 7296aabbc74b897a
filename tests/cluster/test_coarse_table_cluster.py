"""The table of coarse cells on a cluster of processes: the bytes of one process."""

from dataclasses import replace
from pathlib import Path

import pytest

from smcloud.core.listener import Silent
from smcloud.production.coarse_table_stage import write_coarse_table
from tests.production.coarse_world import coarse_config, coarse_request
from tests.production.small_world import make_world, tree_of

pytestmark = pytest.mark.cluster


def test_workers_write_the_files_of_one_process(client, tmp_path: Path):
    make_world(tmp_path)
    config = coarse_config(tmp_path)
    here = replace(coarse_request(config), url=str(tmp_path / "here"))
    there = replace(here, url=str(tmp_path / "there"))
    write_coarse_table(here, None, Silent())
    write_coarse_table(there, client, Silent())
    assert tree_of(tmp_path / "here") == tree_of(tmp_path / "there")
    assert len(tree_of(tmp_path / "here")) == 5  # two files, two receipts, the list
