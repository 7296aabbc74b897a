"""How well sensors were joined and seams filled, over the blocks of a run: figures for people.

The step at the join is told as it was and as it is left; seams are scored on values hidden under
the gaps of other days. Some of the blocks and of their cells stand for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add

import numpy as np

from smcloud.core.errors import UserError
from smcloud.cube.schema import Days
from smcloud.features.coarse_cubes import CALIBRATION_YEARS, JOINED
from smcloud.features.derived import DERIVED
from smcloud.features.derived_cubes import DerivedBlock
from smcloud.grids.grid import Floats
from smcloud.models.coarse_moisture import Bridge, Sensed, Sensors, mapped, scales_of
from smcloud.models.intercalibration import Calibration
from smcloud.models.seams import Bools, fill_seams
from smcloud.production.coarse_blocks import RULE, of_years, sensors_of, skin_temperature
from smcloud.validation.hidden_swaths import (
    Filler,
    HiddenScores,
    HidingRule,
    linear_in_time,
    monthly_climatology,
    score_hidden,
)
from smcloud.validation.sensor_join import JoinStep, SensorRecord, join_steps

MOST_BLOCKS, CELL_STRIDE = 12, 3
"""Blocks looked at, evenly over those of a run; each third cell of a block along its row."""


@dataclass(frozen=True)
class JoinFigures:
    """What the joining of sensors came to.

    Attributes
    ----------
    route : str
        ``overlap``, ``bridge``, ``climatology``; empty where nothing was to be joined.
    common_days : tuple of int
        Days common to the sensors of each link.
    before, after : tuple of mapping
        `JoinStep` as the sensors had it, and on one scale; empty where it cannot be told.
    seams : mapping
        Filler to its scores over hidden values: n, share, R, RMSE, ubRMSE, bias.
    untold : str
        Why there is no step or no score.
    """

    route: str
    common_days: tuple[int, ...]
    before: tuple[Mapping[str, object], ...]
    after: tuple[Mapping[str, object], ...]
    seams: Mapping[str, Mapping[str, float]]
    untold: str

    @property
    def lines(self) -> tuple[str, ...]:
        """Return what people are told, a line each."""
        told = []
        if self.before and self.after:
            told.append(
                f"step at the join, m3 m-3: {_step(self.before[0])} as measured, "
                f"{_step(self.after[0])} on one scale ({self._way})"
            )
        if self.seams:
            scores = ", ".join(f"{name} {one['RMSE']:.4f}" for name, one in self.seams.items())
            told.append(f"RMSE on hidden swaths (m3 m-3): {scores}")
        return (*told, self.untold) if self.untold else tuple(told)

    @property
    def _way(self) -> str:
        """Return how the scale was found, in words."""
        if not self.common_days or not any(self.common_days):
            return self.route
        return f"{self.route}, {' and '.join(map(str, self.common_days))} days in common"


def _step(step: Mapping[str, object]) -> str:
    return f"{step['step']:+.4f} +- {step['standard_error']:.4f}"


def join_figures(blocks: Sequence[DerivedBlock], name: str) -> JoinFigures:
    """Return the figures of a joined cube over some of its blocks, all of one year.

    Parameters
    ----------
    blocks
        Of the last year of a run: the year whose seams are scored, if they were filled.
    """
    bridge = Bridge(str(blocks[0].settings["bridge"]))
    chosen = blocks[:: -(-len(blocks) // MOST_BLOCKS)]
    history = [_thinned(block, name) for block in chosen]
    untold: list[str] = []
    route, common, before, after = _steps(history, bridge, untold)
    seams = {} if JOINED[name].has_seams else _seams(chosen, history, name, untold)
    return JoinFigures(route, common, before, after, seams, "; ".join(untold))


def _thinned(block: DerivedBlock, name: str) -> Sensors:
    """Return the sensors of each third cell of a block."""
    years = {*CALIBRATION_YEARS, block.year}
    found = sensors_of(block, JOINED[name], years)

    def cut(sensed: Sensed | None) -> Sensed | None:
        if sensed is None:
            return None
        cells = slice(None, None, CELL_STRIDE)
        record = SensorRecord(sensed.record.days, sensed.record.values[:, cells])
        return Sensed(record, sensed.missed[:, cells])

    return Sensors(cut(found.earlier), cut(found.later), cut(found.bridge))


Steps = tuple[Mapping[str, object], ...]


def _steps(
    history: Sequence[Sensors], bridge: Bridge, untold: list[str]
) -> tuple[str, tuple[int, ...], Steps, Steps]:
    """Return route, common days, and the steps before and after, over all blocks together."""
    calibrating = [of_years(one, CALIBRATION_YEARS) for one in history]
    both = [
        (one.earlier.record, one.later.record, scales_of(one, bridge).earlier)
        for one in calibrating
        if one.earlier is not None and one.later is not None
    ]
    if not both:
        return "", (), (), ()
    # Blocks at the edge of what was ingested have few days: the best matched one speaks for all.
    found = [scale for _, _, scale in both if scale is not None]
    calibration = max(
        found, key=lambda scale: (len(scale.common_days), min(scale.common_days)), default=None
    )
    route = calibration.route if calibration else "sensors left on their own scales"
    common = calibration.common_days if calibration else ()
    later = _together([record for _, record, _ in both])
    raw = _together([record for record, _, _ in both])
    moved = _together([_on_scale(record, scale) for record, _, scale in both])
    try:
        before, after = (join_steps(earlier, later) for earlier in (raw, moved))
    except UserError as err:
        untold.append(str(err))
        return route, common, (), ()
    return route, common, _plain(before), _plain(after)


def _on_scale(record: SensorRecord, scale: Calibration | None) -> SensorRecord:
    return SensorRecord(record.days, mapped(scale, record.values, record.days))


def _together(records: Sequence[SensorRecord]) -> SensorRecord:
    """Return the cells of several records of one sensor on the days that any of them has."""
    days = np.unique(np.concatenate([record.days for record in records]))
    return SensorRecord(days, np.concatenate([record.on(days) for record in records], axis=1))


def _plain(steps: Sequence[JoinStep]) -> Steps:
    return tuple(asdict(step) for step in steps)


def _seams(
    blocks: Sequence[DerivedBlock], history: Sequence[Sensors], name: str, untold: list[str]
) -> Mapping[str, Mapping[str, float]]:
    """Return the scores of fillers on values hidden in the year of the blocks."""
    found = []
    for block, sensors in zip(blocks, history, strict=True):
        try:
            scores = _seams_of(block, sensors, name, CELL_STRIDE)
        except UserError as err:
            untold.append(str(err))
            continue
        found += [] if scores is None else [scores]
    if not found:
        if not untold:
            untold.append(f"no sensor measured in {blocks[0].year}: no seam is scored")
        return {}
    untold.clear()
    return by_filler(reduce(add, found))


def seam_scores(block: DerivedBlock, name: str) -> HiddenScores | None:
    """Return how well the seams of a block are filled, on values hidden in its year.

    None where no sensor measured in the year, or no value could be hidden.
    """
    try:
        return _seams_of(block, sensors_of(block, JOINED[name], {block.year}), name, 1)
    except UserError:
        return None


def by_filler(scores: HiddenScores) -> dict[str, dict[str, float]]:
    """Return filler to its scores: n, share, R, RMSE, ubRMSE, MAE, bias."""
    return {
        str(name): {str(score): float(value) for score, value in row.items()}
        for name, row in scores.table().iterrows()
    }


def _seams_of(block: DerivedBlock, sensors: Sensors, name: str, stride: int) -> HiddenScores | None:
    """Return the scores of a block by its later sensor, else its earlier; None without either."""
    days = np.arange(f"{block.year}-01-01", f"{block.year + 1}-01-01", dtype="datetime64[D]")
    for sensed in (sensors.later, sensors.earlier):
        own = np.zeros(0, bool) if sensed is None else np.isin(sensed.record.days, days)
        if sensed is None or not own.any():
            continue
        record = SensorRecord(sensed.record.days[own], sensed.record.values[own])
        there = SensorRecord(record.days, sensed.missed[own].astype(np.float64)).on(days)
        skin = skin_temperature(block, DERIVED[name].schema.on, days)
        warmth = None if skin is None else skin[:, :, ::stride]
        return _scored(record.on(days), there == 1.0, warmth, days)
    return None


def _scored(values: Floats, missed: Bools, predictors: Floats | None, days: Days) -> HiddenScores:
    """Return the scores by filler: the one in use first."""

    def filled(with_predictors: Floats | None) -> Filler:
        def fill(seen: Floats, wanted: Bools) -> Floats:
            return fill_seams(seen, wanted, with_predictors, RULE).values

        return fill

    fillers: dict[str, Filler] = {"seams": filled(predictors)}
    if predictors is not None:
        fillers["seams without temperature"] = filled(None)
    fillers["linear in time"] = lambda seen, _: linear_in_time(seen, RULE.days)
    fillers["climatology"] = lambda seen, _: monthly_climatology(seen, days)
    return score_hidden(values, missed, fillers, HidingRule())
