"""The part of a report that tells how a score depends on the split, and what others published."""

from collections.abc import Mapping, Sequence

from smcloud.models.scoring import MEANINGS, SplitScores, headline
from smcloud.products.base import Product
from smcloud.validation import figures, report
from smcloud.validation.splits import SplitKind

SPLIT_ORDER: tuple[SplitKind, ...] = ("station_year", "station", "year", "random")
SPLIT_LABELS: Mapping[SplitKind, str] = {
    "station_year": "new stations in new years",
    "station": "new stations",
    "year": "known stations, new years",
    "random": "random days (reference)",
    "network": "networks held out whole",
}
NOT_A_REPRODUCTION = (
    "Figures of papers are of other data: other stations, years and drivers, on the real Earth. "
    "They stand here for scale; nothing on this page reproduces them."
)
TILE_NAMES = {"R": "R", "ubRMSE": "ubRMSE (m³ m⁻³)"}
"""The two scores at the head of the page: one for the pattern, one for the size of the error."""


def splits_section(splits: Mapping[SplitKind, SplitScores], product: Product) -> report.Section:
    """Return the section about the splits of a training."""
    possible = [kind for kind in SPLIT_ORDER if kind in splits and splits[kind].possible]
    pieces = [report.paragraph(report.RANDOM_SPLIT_REASON, is_warning=True)]
    if possible:
        best = headline(splits)
        rows = [
            report.ScoreRow(
                SPLIT_LABELS[kind],
                f"{splits[kind].counts['test']['stations']} stations",
                {n: report.Value.named(v) for n, v in splits[kind].median.items()},
                kind == best,
            )
            for kind in possible
        ]
        pieces.append(report.figure(_split_picture(splits, possible, best)))
        pieces.append(
            report.score_table("Median over test stations, a model of its own per split", "", rows)
        )
    missing = [kind for kind in SPLIT_ORDER if kind in splits and kind not in possible]
    pieces += [report.paragraph(splits[kind].why_not) for kind in missing]
    if product.published:
        pieces.append(report.subheading("What papers print, of other data"))
        pieces += published_pieces(product)
    return report.Section("splits", "How a score depends on the split", pieces)


def published_pieces(product: Product) -> list[str]:
    """Return the figures that others print, and that they are of other data."""
    published = {item.name: f"{item.value} ({item.source})" for item in product.published}
    return [report.paragraph(NOT_A_REPRODUCTION), report.facts(published)]


def _split_picture(
    splits: Mapping[SplitKind, SplitScores], possible: Sequence[SplitKind], best: SplitKind
) -> report.Picture:
    panels = [
        (
            title,
            [
                figures.Bar(
                    SPLIT_LABELS[kind], **splits[kind].median[name], is_headline=kind == best
                )
                for kind in possible
            ],
        )
        for name, title in (("R", "median R"), ("ubRMSE", "median ubRMSE, m³ m⁻³"))
    ]
    return report.Picture(
        figures.interval_picture(panels),
        f"Blue is the headline: {MEANINGS[best]}. Bars are 95 % intervals, from a bootstrap of "
        "whole spatial blocks.",
        "Median R and ubRMSE of each split with intervals",
    )
