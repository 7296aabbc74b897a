"""Compiled functions keep their machine code in a folder that nothing stale or foreign enters."""

import logging
import os
import stat
import subprocess
import sys
import tempfile

import numba
import numpy as np
import pytest

from smcloud.core import compiled as module
from smcloud.core.compiled import cache_folder, compiled


def add_up(values):
    total = 0.0
    for value in values:
        total += value
    return total


def ratio(above, below):
    return above / below


@pytest.fixture(autouse=True)
def _no_folder_chosen_yet(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    cache_folder.cache_clear()
    yield
    cache_folder.cache_clear()


@pytest.fixture
def unusable(tmp_path):
    """A place below which no folder can be made, not even by root: it is a file."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    return path


def test_the_cache_is_named_by_versions_below_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sums = compiled(add_up)
    assert sums(np.arange(4.0)) == 6.0
    folder = cache_folder()
    assert folder.parent == tmp_path / "smcloud"
    assert folder.name.startswith("numba-")
    assert list(folder.rglob("*.nbc")), "no machine code was kept"
    assert numba.config.CACHE_DIR == ""


def test_division_by_zero_is_infinite_as_in_numpy(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled(ratio)(np.float32(1), np.float32(0)) == np.inf


def test_home_serves_where_no_cache_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder().parent == tmp_path / ".cache" / "smcloud"


def test_the_users_own_folder_is_respected(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "mine"))
    compiled(add_up)(np.arange(3.0))
    assert list((tmp_path / "mine").rglob("*.nbc"))
    assert numba.config.CACHE_DIR == str(tmp_path / "mine")


def test_the_environment_variable_is_that_folder(tmp_path):
    code = "from smcloud.core.compiled import cache_folder; print(cache_folder())"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith(str(tmp_path))


def test_a_private_temporary_folder_serves_where_the_users_cannot_be_written(
    monkeypatch, tmp_path, unusable
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(unusable))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache_folder()
    assert folder.parent == tmp_path / f"smcloud-{os.getuid()}"
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_a_temporary_folder_that_others_can_write_is_not_trusted(
    monkeypatch, tmp_path, unusable, caplog
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(unusable))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"smcloud-{os.getuid()}").mkdir()
    (tmp_path / f"smcloud-{os.getuid()}").chmod(0o777)
    assert cache_folder() is None


def test_without_any_folder_functions_work_and_one_warning_says_so(monkeypatch, unusable, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(unusable))
    monkeypatch.setattr(tempfile, "tempdir", str(unusable))
    with caplog.at_level(logging.WARNING, module.__name__):
        assert compiled(add_up)(np.arange(4.0)) == 6.0
        assert compiled(add_up)(np.arange(5.0)) == 10.0
    assert len(caplog.records) == 1
    assert "NUMBA_CACHE_DIR" in caplog.text


def test_the_setting_is_restored_when_decorating_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match="cannot cache"):
        compiled(eval("lambda x: x"))
    assert numba.config.CACHE_DIR == ""


@pytest.mark.parametrize(
    "line",
    ["from smcloud.core.compiled import compiled", "import numba", "    from llvmlite import ir"],
)
def test_a_change_of_any_file_that_compiles_changes_the_name(tmp_path, line):
    source = tmp_path / "deep" / "kernels.py"
    source.parent.mkdir()
    source.write_text(f"{line}\n")
    before = module._fingerprint(tmp_path)
    source.write_text(f"{line}\nSTEPS = 3\n")
    assert module._fingerprint(tmp_path) != before


def test_other_files_and_versions_count_as_they_should(monkeypatch, tmp_path):
    (tmp_path / "plain.py").write_text("import numpy\n")
    before = module._fingerprint(tmp_path)
    (tmp_path / "plain.py").write_text("import numpy\nSTEPS = 3\n")
    assert module._fingerprint(tmp_path) == before
    monkeypatch.setattr(module, "__version__", "999")
    assert module._fingerprint(tmp_path) != before
