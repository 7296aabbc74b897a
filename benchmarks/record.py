"""What was measured, where and from which commit: one JSON file a benchmark, scale and commit."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

FORMAT = 2
RESULTS = Path(__file__).parent / "results"
CHANGED = "-changed"
"""Marks the record of a working tree that differs from its commit."""
CODE = ("smcloud", "benchmarks", ":!benchmarks/results", "pyproject.toml", "constraints.txt")
"""What decides how fast the commit is, as git names paths."""
PACKAGES = (
    "dask",
    "ismn",
    "llvmlite",
    "numba",
    "numpy",
    "onnxruntime",
    "pandas",
    "pytesmo",
    "scikit-learn",
    "scipy",
    "tl2cgen",
    "torch",
    "treelite",
    "xarray",
    "xgboost",
    "xgboost-cpu",
    "zarr",
    "zarrs",
)
ROOT = Path(__file__).parents[1]


class BenchmarkError(Exception):
    """A benchmark that cannot be run, read or compared; the message is for a person."""


@dataclass(frozen=True)
class Record:
    """One benchmark of one commit on one machine."""

    benchmark: str
    scale: str
    seed: int
    commit: str
    committed: str
    """When the commit was made, ISO 8601: what orders a history."""
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    figures: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the name of the record's file."""
        return f"{self.benchmark}-{self.scale}-{self.commit}.json"


def record_of(benchmark: str, scale: str, seed: int, figures: Mapping[str, Any]) -> Record:
    """Return the record of what was measured here and now."""
    commit, committed = commit_here()
    return Record(benchmark, scale, seed, commit, committed, machine(), versions(), figures)


def write(record: Record, folder: Path = RESULTS) -> Path:
    """Store a record, over one of the same benchmark, scale and commit, and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / record.name
    body = {"format": FORMAT, **asdict(record)}
    path.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")
    return path


def read(path: Path) -> Record:
    """Return a stored record.

    Raises
    ------
    BenchmarkError
        If the file is absent, is not JSON, or has another form.
    """
    try:
        body = json.loads(path.read_text())
        found = body.pop("format")
        if found == FORMAT:
            return Record(**body)
    except OSError as err:
        raise BenchmarkError(f"{path}: {err.strerror or err}; give the file of a record") from err
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise BenchmarkError(
            f"{path} is not the record of a benchmark: `python -m benchmarks run` writes one"
        ) from err
    raise BenchmarkError(
        f"{path} has format {found}, expected {FORMAT}: measure that commit with its own code"
    )


def machine() -> dict[str, str | int]:
    """Return the processor, what it can do, what compiled code uses of it, cores and memory."""
    model, flags = _processor()
    return {
        "processor": model,
        "vector_features": vector_features(flags),
        "compiled_for": vector_features(compiled_features()),
        "cores": os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }


def compiled_features() -> list[str]:
    """Return the processor features that numba compiles for: its environment may bound them."""
    from numba.core.registry import cpu_target

    features = cpu_target.target_context.codegen()._get_host_cpu_features()
    return [one[1:] for one in features.split(",") if one.startswith("+")]


def vector_features(features: list[str]) -> str:
    """Return the vector features among others, sorted: ``avx2``, ``avx512bw`` and the like."""
    spelled = {one.replace("avx512_", "avx512") for one in features}
    return " ".join(sorted(one for one in spelled if one == "avx2" or one.startswith("avx512")))


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide the figures, of those installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit_here() -> tuple[str, str]:
    """Return the commit of the working tree, marked if its code was changed, and its date."""
    try:
        commit, committed = _git("log", "-1", "--abbrev=10", "--format=%h %cI").split()
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return "unknown", ""
    return commit + CHANGED * bool(changed), committed


def _git(*words: str) -> str:
    found = subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=ROOT)
    return found.stdout.strip()


def _processor() -> tuple[str, list[str]]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor(), []
    pairs = [line.partition(":") for line in cpuinfo.read_text().splitlines()]
    said = {key.strip(): value.strip() for key, _, value in reversed(pairs)}
    return said.get("model name", platform.processor()), said.get("flags", "").split()
