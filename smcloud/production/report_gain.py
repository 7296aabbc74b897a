"""What maps gain over what knows no pixel, in words and tables: overall, within cells, by state."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from smcloud.cube.schema import Days
from smcloud.production.findings import Findings, GainFinding
from smcloud.production.station_pairs import COARSE_INPUT
from smcloud.products.downscaled import DOWNSCALED_FLAGS, MEAN_NOT_MET, NO_COARSE_VALUE
from smcloud.validation import figures, report
from smcloud.validation.downscaling_figures import MEAN_DAYS, coverage_picture
from smcloud.validation.gain import COARSE, CONSTANT, ESTIMATES, PRODUCT, SMOOTH
from smcloud.validation.gain_squares import SQUARE_CELLS
from smcloud.validation.metrics import Interval, all_scores
from smcloud.validation.pairs import Floats
from smcloud.validation.state_scores import LEAST_DAYS, StationState

TITLES = {
    PRODUCT: "product",
    COARSE: COARSE_INPUT,
    CONSTANT: "coarse input, constant in cells",
    SMOOTH: "smooth correction alone",
}
SHOWN = ("R", "RMSE", "ubRMSE", "bias")
WORDS = {False: "where the input is known", True: "within cells"}
JUDGED = {True: "ubRMSE", False: "RMSE"}
"""What the maps are judged by, within cells and at all pixels."""
AT_STATIONS = ("stations", "days", "mean ubRMSE", "mean R")


def verdicts(found: GainFinding) -> list[str]:
    """Return in words whether the maps beat what knows no pixel; nothing where nobody knows."""
    if found.overall is None:
        return []
    told = [_against_input(found)]
    if found.knows(SMOOTH):
        told.append(_against_smooth(found))
    return told


def _against_input(found: GainFinding) -> str:
    within = _compared(found, COARSE, within=True)
    figures_told = f"{_compared(found, COARSE)}; {within}, {_correlations(found, COARSE)}"
    if found.is_better and found.is_better_within:
        start = "The maps beat the bilinear interpolation of their own input"
    elif found.is_better or found.is_better_within:
        where = "within cells" if found.is_better else "over all pixels"
        start = f"The maps DO NOT beat the bilinear interpolation of their own input {where}"
    else:
        start = "The maps DO NOT beat the bilinear interpolation of their own input"
    return f"{start}: {figures_told}."


def _against_smooth(found: GainFinding) -> str:
    """Return what the pattern itself adds to the smooth correction that anchors the maps."""
    parts = [
        f"{_compared(found, SMOOTH, within=inside)}: {_said(_judged(found, SMOOTH, inside))}"
        for inside in (False, True)
    ]
    return f"What the pattern adds to the smooth correction alone: {'; '.join(parts)}."


def _compared(found: GainFinding, other: str, *, within: bool = False) -> str:
    score = JUDGED[within]
    one, reference = (found.value(name, score, within=within) for name in (PRODUCT, other))
    ends = _judged(found, other, within)
    interval = ""
    if np.isfinite(ends.low):
        interval = f", 95 %: {_signed(ends.low)} to {_signed(ends.high)}"
    return (
        f"{WORDS[within]}, {score} {one:.4f} against {reference:.4f} m³ m⁻³ "
        f"({_percent(one / reference - 1)}; difference {_signed(ends.value)}{interval})"
    )


def _percent(share: float) -> str:
    return f"{100 * share:+.0f} %".replace("-", "−")


def _correlations(found: GainFinding, other: str) -> str:
    one, reference = (found.value(name, "R", within=True) for name in (PRODUCT, other))
    return f"R {one:.3f} against {reference:.3f}"


def _judged(found: GainFinding, other: str, within: bool) -> Interval:
    return found.difference(other, JUDGED[within], within=within)


def _said(difference: Interval) -> str:
    """Return in a word what the interval of a difference of errors says."""
    if difference.high < 0:
        return "a gain"
    if difference.low > 0:
        return "a loss"
    return "cannot be told apart" if np.isfinite(difference.low) else "of unknown certainty"


def _signed(value: Floats) -> str:
    return f"{float(value):+.4f}".replace("-", "−")


def gain_tiles(gain: GainFinding | None) -> list[report.Tile]:
    """Return the head figures of the page; none without a truth."""
    if gain is None or gain.overall is None:
        return []
    found = []
    for label, score, within in (
        ("RMSE, input known", "RMSE", False),
        ("ubRMSE within cells", "ubRMSE", True),
        ("R within cells", "R", True),
    ):
        value, reference = (
            report.number(score, gain.value(name, score, within=within))
            for name in (PRODUCT, COARSE)
        )
        found.append(report.Tile(label, value, f"{COARSE_INPUT}: {reference}"))
    return found


def gain_section(gain: GainFinding) -> report.Section:
    """Return the section that sets the maps beside what knows no pixel."""
    heading = "Against its own input"
    if gain.overall is None:
        text = (
            "Nobody knows the soil moisture of every pixel of this Earth, so the gain over the "
            "coarse input is not known. Stations and rain say what they can."
        )
        return report.Section("gain", heading, [report.paragraph(text)])
    told = verdicts(gain)
    is_good = gain.is_better and gain.is_better_within
    months = figures.month_picture(
        gain.gain.by_month(PRODUCT), gain.gain.by_month(COARSE), COARSE_INPUT
    )
    pieces = [
        report.paragraph(told[0], is_warning=not is_good),
        *map(report.paragraph, told[1:]),
        report.paragraph(
            "The coarse input, interpolated bilinearly to the same pixels, is what anybody has "
            "without a model. The smooth correction alone is the smoothest field with the coarse "
            "means: what the maps would be without any pattern. Within cells the mean of each "
            "cell and day is taken out of estimates and truth alike: what is left is the pattern "
            "that downscaling adds, which no accuracy of the input can lend it."
        ),
        report.score_table("All against the truth", "pixel-days", gain_rows(gain)),
        _differences(gain),
        report.figure(
            report.Picture(
                months, "All pixels, month by month.", "R and ubRMSE by month, product and input"
            )
        ),
    ]
    return report.Section("gain", heading, pieces)


def gain_rows(found: GainFinding, estimates: Sequence[str] = ESTIMATES) -> list[report.ScoreRow]:
    """Return the scores of maps and of what knows no pixel; none without a truth."""
    rows = []
    for within, scored in ((False, found.overall), (True, found.within)):
        for number, name in enumerate(ESTIMATES if scored is not None else ()):
            if scored is None or name not in estimates or not found.knows(name):
                continue
            counted = f"{int(found.gain.of(name, within=within).n.sum()):,}"
            values = {
                score: report.Value.of(value) for score, value in scored.values[number].items()
            }
            title = f"{TITLES[name]}, {WORDS[within]}"
            rows.append(report.ScoreRow(title, counted, values, name == PRODUCT))
    return rows


def _differences(found: GainFinding) -> str:
    rows = []
    for name in ESTIMATES[1:]:
        if not found.knows(name):
            continue
        for within in (False, True):
            ends = _judged(found, name, within)
            known = np.isfinite(ends.low)
            interval = f"{_signed(ends.low)} to {_signed(ends.high)}" if known else "–"
            label = f"product less {TITLES[name]}, {WORDS[within]}"
            rows.append([label, JUDGED[within], _signed(ends.value), interval, _said(ends)])
    blocks = 0 if found.overall is None else found.overall.blocks
    caption = (
        f"Differences of errors, m³ m⁻³; below zero the maps gain. Bootstrap of {blocks:,} blocks: "
        f"squares of {SQUARE_CELLS} x {SQUARE_CELLS} cells in months"
    )
    return report.text_table(
        caption, ["", "of", "difference", "95 %", "verdict"], rows, text_from=4
    )


def states_section(found: Findings, gain: GainFinding) -> report.Section:
    """Return scores and coverage by state, and the coverage of each day."""
    days = found.year.schema.times(found.year.year)
    sums = gain.gain
    whole = sums.known.sum() / max(int(sums.land.sum()), 1)
    empty = int((sums.known.sum(axis=0) == 0).sum())
    pieces = [
        report.paragraph(
            f"{whole:.1%} of all land pixels and days have a value; {empty} of {len(days)} days "
            "have none anywhere. A pixel-day is in the first state that applies, from the top. "
            "The last two columns are of pixel-days on which the input is known too."
        ),
        _state_table(gain),
    ]
    if gain.at_stations:
        pieces.append(_station_table(gain))
    pieces += [
        report.figure(
            report.Picture(
                coverage_picture(days, sums.coverage, gain.states),
                f"Share of land with a value, by state: means of {MEAN_DAYS} days, for swaths "
                "alternate from day to day. White: no value. Line: all states, day by day; "
                "coverage.csv beside this page has every day.",
                "Coverage by day and state",
            )
        ),
        _means_met(gain),
        report.folded("What the flags say", _flags(gain)),
    ]
    return report.Section("states", "By state and by day", pieces)


def _state_table(gain: GainFinding) -> str:
    """Return the maps by state, their input beside them where it is known."""
    sums = gain.gain
    land = max(int(sums.land.sum()), 1)
    scores, shown = all_scores(sums.states), SHOWN if sums.has_truth else ()
    paired = all_scores(sums.by_state)["RMSE"]
    rows = []
    for number, name in enumerate(gain.states):
        known = int(sums.known[number].sum())
        if not known:
            continue
        numbers = [report.number(score, float(scores[score][number])) for score in shown]
        if sums.has_truth:
            numbers += [
                report.number("RMSE", float(paired[ESTIMATES.index(estimate), number]))
                for estimate in (PRODUCT, COARSE)
            ]
        rows.append([name, f"{known:,}", f"{known / land:.1%}", *numbers])
    both = ("RMSE beside input", "input's RMSE") if sums.has_truth else ()
    return report.text_table(
        "The maps by state" + (", against the truth" if sums.has_truth else ""),
        ["state of the pixel-day", "with a value", "of land", *shown, *both],
        rows,
    )


def _station_table(gain: GainFinding) -> str:
    rows = [
        [
            name,
            f"{one.stations}",
            f"{one.days:,}",
            report.number("ubRMSE", one.ubrmse),
            report.number("R", one.r),
        ]
        for name, one in station_states(gain)
    ]
    caption = (
        f"The maps at stations by state: means over the stations with {LEAST_DAYS} days or more in "
        "it, m³ m⁻³"
    )
    return report.text_table(caption, ["state of the station's pixel", *AT_STATIONS], rows)


def coverage_table(gain: GainFinding, days: Days) -> pd.DataFrame:
    """Return the share of land with a value on each day: day, each state, all of them."""
    shares = pd.DataFrame(gain.gain.coverage.T, columns=list(gain.states))
    shares.insert(0, "day", days.astype(str))
    return shares.assign(**{"any state": gain.gain.coverage.sum(axis=0)})


def station_states(gain: GainFinding) -> Iterator[tuple[str, StationState]]:
    """Yield the name of each state in which a station has days enough, and its scores."""
    for name, one in zip((*gain.states, "all days"), gain.at_stations, strict=False):
        if one.stations:
            yield name, one


def _means_met(gain: GainFinding) -> str:
    """Return in words where the mean of a cell is the coarse value, and where it is not."""
    known = max(int(gain.gain.known.sum()), 1)
    missed, without = (
        int(gain.gain.flags[bit.bit_length() - 1]) for bit in (MEAN_NOT_MET, NO_COARSE_VALUE)
    )
    met = known - missed - without
    return report.paragraph(
        f"On {met / known:.2%} of the pixel-days with a value, the mean of the cell is its coarse "
        f"value, to 0.0001 before packing. On {without / known:.2%} there is no such value, or too "
        "few pixels of the cell are known, and the correction is that of the neighbouring cells; "
        f"on {missed / known:.2%} ({missed:,}) the value cannot be met, because pixels would have "
        "to leave their physical range: those are flagged."
    )


def _flags(gain: GainFinding) -> str:
    land = max(int(gain.gain.land.sum()), 1)
    rows = []
    for mask, meaning in DOWNSCALED_FLAGS.items():
        count = int(gain.gain.flags[mask.bit_length() - 1])
        rows.append([meaning.replace("_", " "), f"{mask}", f"{count:,}", f"{count / land:.2%}"])
    caption = "Pixel-days of land on which each bit of quality_flag is raised"
    return report.text_table(caption, ["meaning", "bit", "pixel-days", "of land"], rows)
