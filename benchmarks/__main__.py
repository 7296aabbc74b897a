"""`python -m benchmarks run | compare | plot`: measure, put two records side by side, draw all."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import (
    ahead,
    anchoring,
    cloud_filling,
    collocation,
    compare,
    downscaling,
    families,
    features,
    freeze_thaw,
    glass,
    gwr,
    ismn_reading,
    kernel,
    plot,
    seamless,
    seams,
    selection,
    stages,
    stores,
    table,
    tile,
    training,
    uncertainty,
)
from benchmarks.record import RESULTS, BenchmarkError, record_of, write

SCALES = ("tiny", "small", "large")


@dataclass(frozen=True)
class Part:
    """One benchmark: what it measures, and how people read it."""

    measure: Callable[[str, int, Path], Mapping[str, Any]]
    """From scale, seed and a folder to work in, figures that JSON can hold."""
    show: Callable[[Mapping[str, Any]], str]
    """The figures as lines of text."""


PARTS = {
    "kernel": Part(kernel.measure, kernel.show),
    "tile": Part(tile.measure, tile.show),
    "ahead": Part(ahead.measure, ahead.show),
    "stores": Part(stores.measure, stores.show),
    "glass": Part(glass.measure, glass.show),
    "features": Part(features.measure, features.show),
    "gwr": Part(gwr.measure, gwr.show),
    "seams": Part(seams.measure, seams.show),
    "seamless": Part(seamless.measure, seamless.show),
    "freeze-thaw": Part(freeze_thaw.measure, freeze_thaw.show),
    "anchoring": Part(anchoring.measure, anchoring.show),
    "training": Part(training.measure, training.show),
    "table": Part(table.measure, table.show),
    "stages": Part(stages.measure, stages.show),
    "selection": Part(selection.measure, selection.show),
    "uncertainty": Part(uncertainty.measure, uncertainty.show),
    "ismn_reading": Part(ismn_reading.measure, ismn_reading.show),
    "collocation": Part(collocation.measure, collocation.show),
    "cloud_filling": Part(cloud_filling.measure, cloud_filling.show),
    "families": Part(families.measure, families.show),
    "downscaling": Part(downscaling.measure, downscaling.show),
}


def run(chosen: argparse.Namespace) -> None:
    """Measure the parts that were asked for; print their tables and write their records."""
    for name in _parts(chosen.only):
        print(f"{name}, scale {chosen.scale}, seed {chosen.seed}", flush=True)
        with tempfile.TemporaryDirectory(prefix="smcloud-bench-") as folder:
            found = PARTS[name].measure(chosen.scale, chosen.seed, Path(folder))
        print(PARTS[name].show(found))
        record = record_of(name, chosen.scale, chosen.seed, found)
        print(f"record: {write(record, chosen.results)}\n", flush=True)


def _parts(only: str) -> Sequence[str]:
    names = only.split(",") if only else list(PARTS)
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        raise BenchmarkError(f"no benchmark is called {unknown[0]!r}: there are {', '.join(PARTS)}")
    return names


def compare_records(chosen: argparse.Namespace) -> None:
    """Print the ratio of every figure of two records."""
    print(compare.show(*compare.compare(chosen.before, chosen.after)))


def plot_history(chosen: argparse.Namespace) -> None:
    """Draw the records of all commits."""
    print(plot.draw(chosen.results, chosen.out))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="run | compare | plot")
    one = verbs.add_parser("run", help="measure, print tables, write records")
    one.add_argument("--scale", choices=SCALES, default="small")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--only", default="", help=f"some of {','.join(PARTS)}, with commas between")
    one.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    one.set_defaults(verb=run)
    two = verbs.add_parser("compare", help="ratio of every figure of two records")
    two.add_argument("before", type=Path)
    two.add_argument("after", type=Path)
    two.set_defaults(verb=compare_records)
    three = verbs.add_parser("plot", help="draw the history of the records")
    three.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    three.add_argument("--out", type=Path, default=plot.IMAGE)
    three.set_defaults(verb=plot_history)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; return 1, after one line, where a benchmark cannot be run or read."""
    chosen = parser().parse_args(words)
    try:
        chosen.verb(chosen)
    except BenchmarkError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
