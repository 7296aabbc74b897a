"""The page of what downscaling gains: maps beside their own input, by state, by period, in rain."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from smcloud.models.families import TITLES
from smcloud.models.periods import PeriodsCard
from smcloud.production.downscalers import DownscalerCard
from smcloud.production.findings import Findings, GainFinding
from smcloud.production.gain_examination import PAIRED
from smcloud.production.report_downscalers import downscaler_sections
from smcloud.production.report_provenance import FOOTER
from smcloud.production.report_splits import published_pieces
from smcloud.production.station_pairs import COARSE_INPUT
from smcloud.products.base import Product
from smcloud.products.downscaled import (
    DOWNSCALED_FLAGS,
    MEAN_NOT_MET,
    NO_COARSE_VALUE,
)
from smcloud.validation import figures, report
from smcloud.validation.downscaling_figures import coverage_picture, rain_picture
from smcloud.validation.gain import LARGEST_RATIO
from smcloud.validation.metrics import all_scores
from smcloud.validation.precipitation import EVENT_MM, LAGS

ROWS = {
    "product": "product, where its input is known",
    "coarse": f"{COARSE_INPUT}, the same pixels and days",
    "within_product": "product, within cells",
    "within_coarse": f"{COARSE_INPUT}, within cells",
}
SHOWN = ("R", "RMSE", "ubRMSE", "bias")
BY_FAMILY = (("RMSE", "product"), ("ubRMSE", "within_product"), ("R", "within_product"))
EXPECTED_LAGS = (0, 1)
"""Days since the rain on which soil moisture should rise."""


def downscaling_page(
    product: Product,
    found: Findings,
    card: DownscalerCard | None,
    periods: pd.DataFrame | None,
    pages: Sequence[report.Link] = (),
) -> report.Report:
    """Return the page; `periods` is the table of scores by period and family, if there is one."""
    gain = found.gain
    sections = [] if gain is None else [_gain(found, gain), _states(found, gain), _edges(gain)]
    if isinstance(card, PeriodsCard) and gain is not None and gain.scores:
        sections.append(_by_family(found, gain, card))
    sections += [] if card is None else downscaler_sections(card, periods, found.year.year)
    sections += [] if gain is None else [_rain(gain)]
    if product.published:
        pieces = published_pieces(product)
        sections.append(report.Section("published", "What the paper prints", pieces))
    return report.Report(
        title=f"{product.name} {found.year.year}: what does downscaling gain?",
        subtitle=product.title,
        tiles=_tiles(gain),
        sections=sections,
        footer=FOOTER,
        pages=pages,
    )


def verdict(found: GainFinding) -> str:
    """Return in words whether the maps beat the interpolation of their input; empty if unknown."""
    if not found.scores:
        return ""
    overall = _compared(found, "RMSE", "product", "coarse")
    within = _compared(found, "ubRMSE", "within_product", "within_coarse")
    r = found.value("within_product", "R"), found.value("within_coarse", "R")
    within += f", R {r[0]:.3f} against {r[1]:.3f}"
    if found.is_better and found.is_better_within:
        start = "The maps beat the bilinear interpolation of their own input"
    elif found.is_better or found.is_better_within:
        where = "within cells" if found.is_better else "over all pixels"
        start = f"The maps DO NOT beat the bilinear interpolation of their own input {where}"
    else:
        start = "The maps DO NOT beat the bilinear interpolation of their own input"
    return f"{start}: {overall}; {within}."


def _compared(found: GainFinding, score: str, first: str, second: str) -> str:
    one, other = found.value(first, score), found.value(second, score)
    where = "within cells" if first.startswith("within") else "all pixels"
    return f"{where}, {score} {one:.3f} against {other:.3f} m³ m⁻³ ({one / other - 1:+.0%})"


def _tiles(gain: GainFinding | None) -> list[report.Tile]:
    if gain is None or not gain.scores:
        return []
    found = []
    for label, score, one, other in (
        ("RMSE, all pixels", "RMSE", "product", "coarse"),
        ("ubRMSE within cells", "ubRMSE", "within_product", "within_coarse"),
        ("R within cells", "R", "within_product", "within_coarse"),
    ):
        reference = report.number(score, gain.value(other, score))
        value = report.number(score, gain.value(one, score))
        found.append(report.Tile(label, value, f"{COARSE_INPUT}: {reference}"))
    return found


def _gain(found: Findings, gain: GainFinding) -> report.Section:
    if not gain.scores:
        text = (
            "Nobody knows the soil moisture of every pixel of this Earth, so the gain over the "
            "coarse input is not known. Stations and rain say what they can."
        )
        return report.Section("gain", "Against its own input", [report.paragraph(text)])
    is_good = gain.is_better and gain.is_better_within
    by_month = gain.gain.by_month(found.year.schema.times(found.year.year))
    months = figures.month_picture(*by_month, COARSE_INPUT)
    pieces = [
        report.paragraph(verdict(gain), is_warning=not is_good),
        report.paragraph(
            "The coarse input, interpolated bilinearly to the same pixels, is what anybody has "
            "without a model. Within cells the mean of each cell and day is taken out of "
            "estimate, input and truth alike: what is left is the pattern that downscaling adds, "
            "which no accuracy of the input can lend it."
        ),
        report.score_table("Product and input against the truth", "pixel-days", gain_rows(gain)),
        report.figure(
            report.Picture(
                months, "All pixels, month by month.", "R and ubRMSE by month, product and input"
            )
        ),
    ]
    return report.Section("gain", "Against its own input", pieces)


def gain_rows(found: GainFinding) -> list[report.ScoreRow]:
    """Return the scores of product and input, all pixels and within cells; none without a truth."""
    return [
        report.ScoreRow(
            title,
            f"{int(getattr(found.gain, name).n.sum()):,}",
            {score: report.Value.of(value) for score, value in found.scores[name].items()},
            name.endswith("product"),
        )
        for name, title in ROWS.items()
        if name in found.scores
    ]


def _by_family(found: Findings, gain: GainFinding, card: PeriodsCard) -> report.Section:
    """Return what each family gains in the periods for which it was chosen."""
    days = found.year.schema.times(found.year.year)
    chosen = np.full(len(days), "", object)
    for entry in card.periods:
        if entry.family is not None:
            chosen[[entry.period.holds(day) for day in days]] = entry.family
    rows = []
    for family, title in TITLES.items():
        mine = chosen == family
        sums = {name: getattr(gain.gain, name).at(mine).total() for name in PAIRED}
        if not sums["product"].n:
            continue
        scores = {name: all_scores(pairs) for name, pairs in sums.items()}
        numbers = [
            report.number(score, float(scores[name][score]))
            for score, ours in BY_FAMILY
            for name in (ours, ours.replace("product", "coarse"))
        ]
        rows.append([title, f"{int(mine.sum())}", *numbers])
    heads = ["", "days", "RMSE", "input's", "within: ubRMSE", "input's", "within: R", "input's"]
    pieces = [
        report.paragraph(
            "The truth of every pixel, on the days of the periods for which each family was "
            "chosen. A family that is good on coarse cells may fail at pixels: their features go "
            "beyond the range of the cells' means, where some families are tame and others are not."
        ),
        report.text_table("Against the truth, by the family of the period", heads, rows),
    ]
    return report.Section("by-family", "Which family gains?", pieces)


def _states(found: Findings, gain: GainFinding) -> report.Section:
    sums = gain.gain
    days = found.year.schema.times(found.year.year)
    land = max(int(sums.land.sum()), 1)
    scores, shown = all_scores(sums.states), SHOWN if sums.has_truth else ()
    rows = []
    for number, name in enumerate(gain.states):
        known = int(sums.known[number].sum())
        if not known:
            continue
        numbers = [report.number(score, float(scores[score][number])) for score in shown]
        rows.append([name, f"{known:,}", f"{known / land:.1%}", *numbers])
    whole = sums.known.sum() / land
    empty = int((sums.known.sum(axis=0) == 0).sum())
    pieces = [
        report.paragraph(
            f"{whole:.1%} of all land pixels and days have a value; {empty} of {len(days)} days "
            "have none anywhere. A pixel-day is in the first state that applies, from the top."
        ),
        report.text_table(
            "The maps by state" + (", against the truth" if sums.has_truth else ""),
            ["state of the pixel-day", "with a value", "of land", *shown],
            rows,
        ),
        report.figure(
            report.Picture(
                coverage_picture(days, sums.coverage, gain.states),
                "Share of land with a value on each day, by state. White: no value.",
                "Coverage by day and state",
            )
        ),
        _means_met(gain),
        report.folded("What the flags say", _flags(gain)),
    ]
    return report.Section("states", "By state and by day", pieces)


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


def _edges(gain: GainFinding) -> report.Section:
    ratio = gain.gain.edge_ratio
    if not np.isfinite(ratio):
        text = "No edge of a cell lies between two pixels with a value, so none can show."
        return report.Section("edges", "Do the cells show?", [report.paragraph(text)])
    shows = ratio > LARGEST_RATIO
    words = "they show" if shows else "they do not show"
    text = (
        f"The median step between neighbouring pixels is {ratio:.2f} times as large across an edge "
        f"of two coarse cells as inside a cell. At 1 the cells leave no trace; above "
        f"{LARGEST_RATIO:g} their grid is seen on the map: {words}."
    )
    return report.Section("edges", "Do the cells show?", [report.paragraph(text, is_warning=shows)])


def _rain(gain: GainFinding) -> report.Section:
    if not gain.rain:
        text = (
            "Neither a cube (ERA5-Land's tp) nor a station (*precipitation.csv) has daily rain of "
            'this year, so the answer is not told. [compare] products = ["era5land"] brings it.'
        )
        return report.Section("rain", "Does it answer to rain?", [report.paragraph(text)])
    rows = [
        [name, *(report.number("R", value) for value in one.correlations), f"{one.events:,}"]
        for name, one in gain.rain.items()
    ]
    ours = next(one for name, one in gain.rain.items() if name.startswith("product"))
    best = LAGS[int(np.nanargmax(ours.correlations))]
    fits = best in EXPECTED_LAGS
    pieces = [
        report.paragraph(
            "Rain is that of ERA5-Land at every tenth pixel, or of gauges of stations where a row "
            "says so; the maps saw neither. A change from "
            "one day to the next should go with the rain of its own day or of the day before "
            "(satellites pass in the morning), and not with rain still to come. After an event "
            f"(a day of {EVENT_MM:g} mm or more after one with less, until the next such day) soil "
            "is wetter than on the day before it, and dries."
        ),
        report.paragraph(
            f"The change of the maps goes best with the rain of {_when(best)}: "
            + ("as it should." if fits else "not as it should."),
            is_warning=not fits,
        ),
        report.figure(
            report.Picture(
                rain_picture(gain.rain),
                "Left: correlation of the daily change with the rain so many days earlier. Right: "
                "mean difference from the day before the event.",
                "Answer of soil moisture to rain",
            )
        ),
        report.text_table(
            "R of the daily change with the rain so many days before",
            ["", *(f"{lag:+d}" if lag else "0" for lag in LAGS), "events"],
            rows,
        ),
    ]
    return report.Section("rain", "Does it answer to rain?", pieces)


def _when(lag: int) -> str:
    if lag == 0:
        return "the same day"
    days = "day" if abs(lag) == 1 else "days"
    return f"{abs(lag)} {days} {'before' if lag > 0 else 'after'}"
