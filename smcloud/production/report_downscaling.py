"""The page of what downscaling gains: maps beside their own input, by state, by period, in rain."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from smcloud.models.families import TITLES
from smcloud.models.periods import PeriodsCard
from smcloud.production.downscalers import DownscalerCard
from smcloud.production.findings import Findings, GainFinding
from smcloud.production.gain_examination import MAPS
from smcloud.production.report_downscalers import downscaler_sections
from smcloud.production.report_gain import gain_section, gain_tiles, states_section
from smcloud.production.report_hidden import hidden_sections
from smcloud.production.report_provenance import FOOTER
from smcloud.production.report_splits import published_pieces
from smcloud.products.base import Product
from smcloud.validation import report
from smcloud.validation.downscaling_figures import rain_picture
from smcloud.validation.gain import COARSE, LARGEST_RATIO, PRODUCT
from smcloud.validation.metrics import all_scores
from smcloud.validation.precipitation import EVENT_MM, LAGS, LEAST_EVENTS, RainResponse

BY_FAMILY = (("RMSE", False), ("ubRMSE", True), ("R", True))
"""Scores by family, and whether within cells."""
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
    sections = []
    if gain is not None:
        sections += [gain_section(gain), states_section(found, gain), _edges(gain)]
    if isinstance(card, PeriodsCard) and gain is not None and gain.overall is not None:
        sections.append(_by_family(found, gain, card))
    sections += hidden_sections(found.hidden)
    sections += [] if card is None else downscaler_sections(card, periods, found.year.year)
    sections += [] if gain is None else [_rain(gain)]
    if product.published:
        pieces = published_pieces(product)
        sections.append(report.Section("published", "What the paper prints", pieces))
    return report.Report(
        title=f"{product.name} {found.year.year}: what does downscaling gain?",
        subtitle=product.title,
        tiles=gain_tiles(gain),
        sections=sections,
        footer=FOOTER,
        pages=pages,
    )


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
        if not gain.gain.of(PRODUCT).at(mine).n.sum():
            continue
        numbers = [
            report.number(score, float(all_scores(sums.at(mine).total())[score]))
            for score, within in BY_FAMILY
            for sums in (gain.gain.of(name, within=within) for name in (PRODUCT, COARSE))
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
    pieces = [
        report.paragraph(
            "The maps saw no rain. A change from one day to the next should go with the rain of "
            "its own day or of the day before (satellites pass in the morning), and not with rain "
            f"still to come. After an event (a day of {EVENT_MM:g} mm or more after one with less, "
            "until the next such day) soil is wetter than on the day before it, and dries."
        )
    ]
    for whose, found in gain.rain.items():
        pieces += [report.subheading(f"Rain of {whose}"), *_answers(whose, found)]
    return report.Section("rain", "Does it answer to rain?", pieces)


def _answers(whose: str, found: Mapping[str, RainResponse]) -> list[str]:
    """Return what is told of the answers to one rain."""
    best = LAGS[int(np.nanargmax(found[MAPS].correlations))]
    fits = best in EXPECTED_LAGS
    rows = [
        [name, *(report.number("R", value) for value in one.correlations), f"{one.events:,}"]
        for name, one in found.items()
    ]
    return [
        report.paragraph(
            f"The change of the maps goes best with the rain of {_when(best)}: "
            + ("as it should." if fits else "not as it should."),
            is_warning=not fits,
        ),
        report.figure(
            report.Picture(
                rain_picture(found),
                "Left: correlation of the daily change with the rain so many days earlier. Right: "
                "mean difference from the day before the event, where there are "
                f"{LEAST_EVENTS} events.",
                f"Answer of soil moisture to the rain of {whose}",
            )
        ),
        report.text_table(
            "R of the daily change with the rain so many days before",
            ["", *(f"{lag:+d}" if lag else "0" for lag in LAGS), "events"],
            rows,
        ),
    ]


def _when(lag: int) -> str:
    if lag == 0:
        return "the same day"
    days = "day" if abs(lag) == 1 else "days"
    return f"{abs(lag)} {days} {'before' if lag > 0 else 'after'}"
