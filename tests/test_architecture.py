"""The house: sizes that a reader meets, and words that the design forbids."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "smcloud").rglob("*.py"))


def test_no_file_is_over_500_lines():
    long = {str(p): n for p in SOURCES if (n := p.read_text().count("\n")) > 500}
    assert not long


def test_no_module_is_a_drawer():
    drawers = {"utils.py", "helpers.py", "common.py", "manager.py", "misc.py"}
    assert not [p for p in SOURCES if p.name in drawers]


def test_package_roots_import_nothing():
    importing = [p for p in SOURCES if p.name == "__init__.py" and "import " in p.read_text()]
    assert [p.parent.name for p in importing] in ([], ["smcloud"])


def test_no_file_holds_the_address_of_a_package_index():
    pattern = re.compile(r"https?://\S*/(simple|packages/[0-9a-f]{2})/|index[-]url")
    texts = [*SOURCES, ROOT / "constraints.txt", ROOT / "Makefile", ROOT / "pyproject.toml"]
    assert not [p for p in texts if pattern.search(p.read_text())]
