"""Simulated gaps in real days of ESA CCI: `python -m benchmarks.gaps FOLDER` prints the scores.

FOLDER holds daily files of the passive product, some days in a row. Known values are hidden under
the gaps that other days have there; with five days those lie two days off, which is all there is
room for. With `--network` a small network, trained in each round on what is left, joins the
baselines, and beside it the first guess that it starts from (some minutes, and the extra `deep`).
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from smcloud.cube.schema import Days
from smcloud.grids.grid import GLOBAL025, Window
from smcloud.grids.land import land_cells
from smcloud.grids.tiles import TileYear
from smcloud.models.gap_baselines import baseline_fillers
from smcloud.sources.cci import CCI_PASSIVE
from smcloud.validation.hidden_swaths import HidingRule
from smcloud.validation.simulated_gaps import Bools, Fields, Filler, GapRule, GapScores, score_gaps

RULE = GapRule(HidingRule(shift_days=2, apart=5, folds=5), area_cells=5, complete=0.9)
PART = Window(220, 340, 640, 880)
"""Africa and Arabia from 35 to 5 degrees north."""


def passive_days(paths: Sequence[Path]) -> tuple[Days, Fields]:
    """Return days and fields (days, rows, cols) of the globe, m3 m-3, NaN unknown."""
    days, fields = [], []
    for path in paths:
        with closing(CCI_PASSIVE.read(path)) as dataset:
            day = dataset["time"].values[0].astype("datetime64[D]")
            key = TileYear(GLOBAL025.name, "globe", day.astype(object).year)
            days.append(day)
            fields.append(CCI_PASSIVE.steps([dataset], key)["soil_moisture"].values[0])
    return np.array(days), np.stack(fields).astype(np.float32)


def can_be_known(fields: Fields, window: Window) -> Bools:
    """Return the land (rows, cols) of a window that was known on one of the days at least.

    The rest is frozen, under dense leaves or never retrieved: its gaps are none of the orbits'.
    """
    return np.asarray(land_cells(GLOBAL025, window) & np.isfinite(fields).any(axis=0))


def scores_in(
    window: Window,
    days: Days,
    fields: Fields,
    more: Mapping[str, Filler] | None = None,
    rule: GapRule = RULE,
) -> GapScores:
    """Return the scores of every baseline, and of more fillers, in a window of global fields."""
    rows, cols = window.slices
    part = fields[:, rows, cols]
    baselines = baseline_fillers(days, GLOBAL025.y[rows], GLOBAL025.x[cols])
    return score_gaps(part, can_be_known(part, window), {**baselines, **(more or {})}, rule)


def main() -> None:
    """Print the scores over the globe, or a part of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--part", action="store_true", help="Africa and Arabia alone")
    asked = parser.parse_args()
    days, fields = passive_days(sorted(asked.folder.glob("ESACCI*PASSIVE*.nc")))
    more: dict[str, Filler] = {}
    if asked.network:
        # torch is asked for by those who want it
        from benchmarks.gap_network import self_taught, untaught

        more |= {"network": self_taught(days), "its first guess": untaught}
    found = scores_in(PART if asked.part else GLOBAL025.window, days, fields, more)
    print("\n".join(found.lines()))


if __name__ == "__main__":
    main()
