"""One command line in this process, and the small world of tests/production for its run file."""

import contextlib
import sys

import pytest

from smcloud.cli import ingest, produce, publish, run, train, validate
from smcloud.cli.main import main
from tests.production.conftest import world, world_once

__all__ = ["world", "world_once"]
COMMANDS = (ingest, produce, publish, run, train, validate)


@pytest.fixture
def no_cluster(monkeypatch):
    """Run every command in this process."""
    for module in COMMANDS:
        monkeypatch.setattr(module, "cluster_from", lambda *_: contextlib.nullcontext(None))


@pytest.fixture
def smcloud(capsys, monkeypatch):
    """Run one command line; return its code, its output and its lines on standard error."""

    def command(*words: object) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["smcloud", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err.splitlines()

    return command
