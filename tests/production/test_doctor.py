"""The doctor tries what smcloud relies on."""

import pytest

from smcloud.production.doctor import examine


def states(findings):
    return {finding.name: finding.is_good for finding in findings}


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_memory_and_folders_are_fit(kind, tmp_path):
    url = "memory://doctor" if kind == "memory" else str(tmp_path)
    findings = examine(url)
    assert all(states(findings).values())
    assert [finding.name for finding in findings] == [
        "write",
        "read",
        "overwrite",
        "list",
        "create only if absent",
        "clock",
    ]


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    (finding,) = examine(str(tmp_path / "file"))
    assert (finding.name, finding.is_good) == ("write", False)
