"""Bad input of freeze-thaw through the command line: one clear line, a code, no traceback."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr

from tests.production.conftest import ground
from tests.production.ground_world import write_run

__all__ = ["ground"]
pytestmark = pytest.mark.usefixtures("no_cluster")


def states(value: int) -> Callable[[Path], None]:
    """Return what writes one label everywhere."""

    def change(cube: Path) -> None:
        for path in cube.glob("*.zarr/state_*"):
            zarr.open_array(str(path), mode="r+")[...] = value

    return change


def without_a_channel(cube: Path) -> None:
    for path in cube.glob("*.zarr/tb_89v_desc"):
        shutil.rmtree(path)


def without_any_brightness(cube: Path) -> None:
    for path in cube.glob("*.zarr/tb_*"):
        array = zarr.open_array(str(path), mode="r+")
        array[...] = array.fill_value


def without_a_year(cube: Path) -> None:
    shutil.rmtree(cube / "2015.zarr")


CASES = (
    ("no thawed row", "smos_ft", states(2), "", 2,
     r"a state has no row to learn from: thawed 0, frozen [\d,]+; take more days"),
    ("no frozen row", "smos_ft", states(0), "", 2, r"thawed [\d,]+, frozen 0; take more days"),
    ("no row of the third class", "smos_ft", states(2), 'partly = "class"', 2,
     r"thawed 0, partly frozen 0, frozen [\d,]+"),
    ("no label", "smos_ft", states(255), "", 2,
     r"no cell of this run has a label of smos_ft within hours of an overpass of amsr2_tb"),
    ("partly frozen alone, left out", "smos_ft", states(1), 'partly = "left_out"', 2,
     r"none of the [\d,]+ rows of frozen ground has a state to learn from"),
    ("a channel that is not there", "amsr2_tb", without_a_channel, "", 3, r"tb_89v_desc"),
    ("no brightness at all", "amsr2_tb", without_any_brightness, "", 2,
     r"no cell of this run has a label"),
    ("a year that is not there", "gldas", without_a_year, "", 4,
     r"2015.zarr: ingest gldas first"),
    ("an unknown mapping", "gldas", lambda cube: None, 'partly = "ice"', 2,
     r"ground.partly"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "change", "setting", "code", "line"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_training_says_in_one_line_what_is_wrong(
    ground, tmp_path, smcloud, source, change, setting, code, line
) -> None:
    (tmp_path / "own").mkdir()
    for one in (ground / "own").iterdir():
        if one.name == source:
            shutil.copytree(one, tmp_path / "own" / source)
        else:
            (tmp_path / "own" / one.name).symlink_to(one)
    change(tmp_path / "own" / source)
    run_file = write_run(tmp_path, extra=setting)
    found, _, errors = smcloud("train", run_file)
    assert found == code, errors
    assert len(errors) == 1
    assert re.search(line, errors[0]), errors
    assert not (tmp_path / "out" / "models").exists()


def test_stages_out_of_order_are_told(ground, tmp_path, smcloud) -> None:
    (tmp_path / "own").symlink_to(ground / "own")
    run_file = write_run(tmp_path)
    for command in ("plan", "produce", "validate"):
        code, _, errors = smcloud(command, run_file)
        assert code == 4
        assert "run `smcloud train` first" in errors[-1]
        assert len(errors) == 1
    code, _, errors = smcloud("publish", run_file)
    assert (code, len(errors)) == (4, 1)
    assert "nothing of freeze-thaw 2015 is published" in errors[0]
