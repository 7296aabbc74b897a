"""The sections about models that learned from coarse cells: families by period, or bandwidths."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from smcloud.models.families import TITLES
from smcloud.models.gwr_files import LocalCard
from smcloud.models.periods import BEST, PeriodEntry, PeriodsCard
from smcloud.production.downscalers import DownscalerCard
from smcloud.validation import report
from smcloud.validation.downscaling_figures import PeriodStrip, families_picture

SHOWN = ("R", "RMSE", "ubRMSE", "bias")
MOST_GAPS = 6
"""Periods without a model that are named for each reason."""


def downscaler_sections(
    card: DownscalerCard, periods: pd.DataFrame | None, year: int
) -> list[report.Section]:
    """Return the sections of a model; `periods` are the scores by period and family."""
    if isinstance(card, LocalCard):
        return [_local(card)]
    return [_families(card, periods, year), _gaps(card, year)]


def _families(card: PeriodsCard, periods: pd.DataFrame | None, year: int) -> report.Section:
    pieces = [
        report.paragraph(
            "Every family is fitted to the coarse cells of each period, and the best by an inner "
            "validation is kept. The scores are those on groups of cells that no fit and no search "
            "saw, over the periods in which every family has a model: never of training. Random "
            "cells stand beside cells that were fitted and flatter: a reference, no result."
        ),
        _family_table(card),
    ]
    mine = [entry for entry in card.periods if entry.start.year == year]
    if mine and periods is not None:
        strip = strip_of(mine, periods)
        shown = [TITLES[name] for name in TITLES if name in card.scores]
        pieces += [
            report.figure(
                report.Picture(
                    families_picture(strip, shown),
                    f"{year}: the family of each period, and its RMSE on held-out cells beside "
                    "that of a constant, the mean of the fitted cells.",
                    "Families through the year, and their test RMSE",
                )
            ),
            report.folded("Every period", _period_table(mine, strip)),
        ]
    return report.Section("families", "Which family, in which period?", pieces)


def _family_table(card: PeriodsCard) -> str:
    rows = []
    titles = {**{str(name): text for name, text in TITLES.items()}, BEST: "best of each period"}
    for name, title in titles.items():
        if (scores := card.scores.get(name)) is None:
            continue
        numbers = [report.number(score, _known(scores.get(score))) for score in SHOWN]
        random = report.number("RMSE", _known(scores.get("random_RMSE")))
        rows.append([title, f"{_known(scores.get('chosen')):.0f}", *numbers, random])
    best = card.scores.get(BEST, {})
    caption = (
        f"{card.target} of held-out cells, {_known(best.get('periods')):.0f} periods; a constant "
        f"has RMSE {report.number('RMSE', _known(best.get('constant_RMSE')))}"
    )
    return report.text_table(caption, ["family", "chosen", *SHOWN, "RMSE, random cells"], rows)


def _known(value: float | int | None) -> float:
    return float("nan") if value is None else float(value)


def strip_of(entries: Sequence[PeriodEntry], periods: pd.DataFrame) -> PeriodStrip:
    """Return the families of some periods with their test RMSE, from the table of scores."""
    best = periods[periods["is_best"]]
    scores = dict(
        zip(
            best["start"].to_numpy("datetime64[D]").tolist(),
            best[["RMSE", "constant_RMSE"]].to_numpy(np.float64),
            strict=True,
        )
    )
    unknown = np.full(2, np.nan)
    found = np.array([scores.get(entry.start, unknown) for entry in entries])
    return PeriodStrip(
        np.array([entry.start for entry in entries], "datetime64[D]"),
        np.array([entry.days for entry in entries], np.int64),
        tuple(TITLES[entry.family] if entry.family else "" for entry in entries),
        found[:, 0],
        found[:, 1],
    )


def _period_table(entries: Sequence[PeriodEntry], strip: PeriodStrip) -> str:
    rows = [
        [
            str(entry.period),
            f"{entry.samples:,}",
            report.number("RMSE", float(strip.test[number])),
            report.number("RMSE", float(strip.constant[number])),
            strip.chosen[number] or entry.why_not,
        ]
        for number, entry in enumerate(entries)
    ]
    heads = ["period", "samples", "test RMSE", "of a constant", "family, or why there is none"]
    return report.text_table("Periods of the year", heads, rows, text_from=4)


def _gaps(card: PeriodsCard, year: int) -> report.Section:
    mine = [entry for entry in card.periods if entry.start.year == year]
    gaps = [entry for entry in mine if entry.family is None]
    if not gaps:
        text = f"Each of the {len(mine)} periods of {year} has a model."
        return report.Section("gaps", "Periods without a model", [report.paragraph(text)])
    reasons = Counter(why(entry) for entry in gaps)
    rows = []
    for reason, count in reasons.most_common():
        named = [str(entry.period) for entry in gaps if why(entry) == reason]
        more = f" and {count - MOST_GAPS} more" if count > MOST_GAPS else ""
        rows.append([reason, f"{count}", ", ".join(named[:MOST_GAPS]) + more])
    pieces = [
        report.paragraph(
            f"{len(gaps)} of the {len(mine)} periods of {year} have no model: their days have no "
            "value, and the flag says so."
        ),
        report.text_table("Why", ["reason", "periods", "which"], rows, text_from=2),
    ]
    return report.Section("gaps", "Periods without a model", pieces)


def why(entry: PeriodEntry) -> str:
    """Return why a period has no model, without the count of samples, which is its own."""
    return entry.why_not.replace(f"{entry.samples} samples: ", "too few samples: ", 1)


def _local(card: LocalCard) -> report.Section:
    rows = {
        "Bandwidth": f"{card.bandwidth_km:g} km",
        "Predictors": ", ".join(card.columns),
        **{
            f"Days of {year}": f"{note.modelled} of {note.days} with a regression"
            for year, note in sorted(card.years.items())
        },
    }
    tried = card.scores.get("bandwidth_rmse", {})
    table = [
        [f"{km:g} km", report.number("RMSE", rmse), "chosen" if km == card.bandwidth_km else ""]
        for km, rmse in sorted((float(name), value) for name, value in tried.items())
    ]
    pieces = [
        report.paragraph(
            "On each day a regression of its own is solved around every coarse cell, the cells "
            "near it counting more: by a Gaussian of this bandwidth, chosen on cells left out."
        ),
        report.facts(rows),
    ]
    if table:
        pairs = card.scores.get("bandwidth_pairs", {}).get("n", 0.0)
        caption = f"Bandwidths that were tried: m³ m⁻³ on {pairs:,.0f} cells and days left out"
        heads = ["bandwidth", "RMSE", ""]
        pieces.append(report.text_table(caption, heads, table, text_from=2))
    return report.Section("local", "The regression around each cell", pieces)
