"""The page that sets one year's maps beside other products."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from smcloud.features.derived import schema_named
from smcloud.features.spec import split_input
from smcloud.production.comparison import (
    MOISTURE_UNITS,
    CoarseFinding,
    Compared,
    ComparisonFindings,
    FineFinding,
)
from smcloud.production.findings import Findings
from smcloud.production.report_provenance import FOOTER
from smcloud.production.report_truth import error_maps
from smcloud.products.base import Product
from smcloud.publish.map import Panel, Style
from smcloud.publish.point_map import cell_map
from smcloud.validation import figures, report
from smcloud.validation.area_means import CellScores
from smcloud.validation.metrics import Interval, bias, correlation, unbiased_rmse
from smcloud.validation.pairs import Floats, PairStats

CORRELATION = Style("R", 0.0, 1.0, "viridis", extend="min")
SHARE = Style("share of the year's days", 0.0, 1.0, "cividis")
HALF = 4.6
OURS = Compared("product", "Ours", MOISTURE_UNITS, "sin1km")
"""The maps themselves, named as what they are compared with."""
WHAT_THEY_ARE = (
    "None of these products is the truth, and none is independent of the others in every respect: "
    "ESA CCI COMBINED is scaled to a land surface model and made of many of the same satellites, "
    "the 1 km product of SMAP and Sentinel-1 starts from SMAP, and ours {ours}. Agreement shows "
    "that two products see the same thing, not that either is right."
)


def _what_they_are(product: Product) -> str:
    """Return what a reader must know of how far the products hang together."""
    if product.downscaling is None:
        return WHAT_THEY_ARE.format(ours="learn from ERA5-Land among other things")
    source, _ = split_input(product.downscaling.coarse)
    return WHAT_THEY_ARE.format(ours=f"keep the cell means of “{schema_named(source).title}”")


def comparison_page(
    product: Product, found: Findings, pages: Sequence[report.Link] = ()
) -> report.Report:
    """Return the page of one year's comparisons."""
    compared = found.comparison
    sections = [_overall(product, compared)]
    sections += [_coarse(finding) for finding in compared.coarse]
    sections += [_fine(finding, found) for finding in compared.fine]
    return report.Report(
        title=f"{product.name} {found.year.year} beside other products",
        subtitle=product.title,
        sections=sections,
        footer=FOOTER,
        pages=pages,
    )


def _overall(product: Product, compared: ComparisonFindings) -> report.Section:
    rows = []
    for coarse in compared.coarse:
        n = int(sum(part.pairs.n.sum() for part in coarse.parts))
        counted = f"{n:,} days of {coarse.n_cells:,} cells"
        rows.append(_row(coarse.compared, "area means", counted, coarse.overall))
        label = f"anomalies of {coarse.window_days} days"
        rows.append(_row(coarse.compared, label, counted, coarse.anomalies, is_anomaly=True))
    for fine in compared.fine:
        n = int(fine.months.total().n)
        rows.append(_row(fine.compared, "pixels that both have", f"{n:,} pixel days", fine.overall))
    pieces = [report.paragraph(_what_they_are(product))]
    if rows:
        pieces += [
            report.score_table("The maps against each product, all days", "pairs", rows),
            report.paragraph(
                "Bias is ours minus theirs. Intervals are 95 %, from a bootstrap of the areas or "
                "blocks that tasks work on; there is none where all lie in one. Only correlations "
                "are given for a product of other units."
            ),
        ]
    pieces += [report.paragraph(line, is_warning=True) for line in compared.absent]
    return report.Section("overall", "How far they agree", pieces)


def _row(
    compared: Compared,
    what: str,
    counted: str,
    scores: Mapping[str, Interval],
    *,
    is_anomaly: bool = False,
) -> report.ScoreRow:
    names = ["R", "ubRMSE"] if is_anomaly else list(scores)
    shown = {
        name: report.Value.of(scores[name])
        for name in names
        if name == "R" or compared.has_same_units
    }
    return report.ScoreRow(f"{compared.title}, {what}", counted, shown, not is_anomaly)


def _coarse(found: CoarseFinding) -> report.Section:
    compared = found.compared
    pieces = [
        report.paragraph(
            f"Our pixels are averaged over each cell of its grid; a mean counts where at least "
            f"{found.minimum_share:.0%} of the cell's land pixels have a value that day."
        ),
        *_score_maps(found),
    ]
    if compared.has_same_units:
        pieces.append(_months(found.months, "Area means over all cells, month by month."))
    pieces += _coverage(found)
    if found.third is not None:
        pieces += _collocation(found, found.third)
    else:
        pieces.append(
            report.paragraph(
                "No triple collocation: the run file names no third product ([compare] third)."
            )
        )
    return report.Section(compared.source, compared.title, pieces)


def _score_maps(found: CoarseFinding) -> list[str]:
    maps = [
        Panel("R of the daily values", _cells(found, lambda part: correlation(part.pairs))),
        Panel("R of the anomalies", _cells(found, lambda part: correlation(part.anomalies))),
    ]
    text = (
        f"Correlation in time of each cell. Anomalies are departures from the mean of the "
        f"{found.window_days} days about each day, so that summer and winter add nothing."
    )
    pieces = [_map(found, maps, CORRELATION, text, "Maps of R and of the anomalies' R")]
    if not found.compared.has_same_units:
        return pieces
    biases = _cells(found, lambda part: bias(part.pairs))
    errors = _cells(found, lambda part: unbiased_rmse(part.pairs))
    reach, top = _top(np.abs(biases)), _top(errors)
    pieces.append(
        report.side_by_side(
            [
                _map(
                    found,
                    [Panel("bias", biases)],
                    Style("ours minus theirs, m³ m⁻³", -reach, reach, "BrBG", extend="both"),
                    "Green: ours are wetter. Brown: drier.",
                    "Map of the bias",
                    inches=HALF,
                ),
                _map(
                    found,
                    [Panel("ubRMSE", errors)],
                    Style("m³ m⁻³", 0.0, top, "magma_r", extend="max"),
                    "Difference that is left without the bias.",
                    "Map of the ubRMSE",
                    inches=HALF,
                ),
            ]
        )
    )
    return pieces


def _coverage(found: CoarseFinding) -> list[str]:
    names = ("ours", "theirs", "both")
    shares = [_cells(found, partial(_share_known, which=k)) for k in range(3)]
    panels = [Panel(f"{n}: {np.nanmean(s):.0%}", s) for n, s in zip(names, shares, strict=True)]
    return [
        report.subheading("Coverage"),
        _map(
            found,
            panels,
            SHARE,
            "Share of the days of the year on which a cell has a value.",
            "Maps of the share of days with a value: ours, theirs, both",
            columns=3,
        ),
    ]


def _collocation(found: CoarseFinding, third: Compared) -> list[str]:
    names = ("ours", found.compared.source, third.source)
    panels = [
        Panel(name, _cells(found, partial(_member, figure="r", member=k)))
        for k, name in enumerate(names)
    ]
    pieces = [
        report.subheading("Triple collocation"),
        report.paragraph(
            f"With {third.title} as third member, in the cell that holds the centre. The figures "
            "hold if the errors of the three have nothing to do with each other; they share "
            "some inputs, so read them as a comparison of cells rather than as errors."
        ),
        _map(
            found,
            panels,
            CORRELATION,
            "Correlation of each product with the signal that all three share.",
            "Maps of the triple collocation correlation of the three products",
            columns=3,
        ),
    ]
    if found.compared.has_same_units:
        pieces.append(_errors(found, names))
    pieces += _medians(found, [OURS, found.compared, third])
    pieces.append(_statuses(found))
    return pieces


def _errors(found: CoarseFinding, names: Sequence[str]) -> str:
    """Return maps of the errors of both products, and of what ours really are where it is known."""
    panels = [
        Panel(name, _cells(found, partial(_member, figure="error_std", member=k)))
        for k, name in enumerate(names[:2])
    ]
    text = "Error standard deviation by triple collocation, each in its own units, unscaled."
    if found.knows_truth:
        true = _cells(found, partial(_true, figure="error_std"))
        panels.append(Panel("ours, by the truth", true))
        text += " The truth of the simulated Earth says what ours really is."
    top = _top(np.concatenate([panel.values for panel in panels]))
    style = Style("m³ m⁻³", 0.0, top, "magma_r", extend="max")
    alt = "Maps of error standard deviations"
    return _map(found, panels, style, text, alt, columns=len(panels))


def _medians(found: CoarseFinding, members: Sequence[Compared]) -> list[str]:
    """Return what triple collocation says of each member, beside what is true where it is known."""
    heads = ["", "cells", "R", "error"]
    if found.knows_truth:
        heads = ["", "cells", "R by it", "R with the truth", "error by it", "true error"]
    rows = []
    for number, member in enumerate(members):
        medians = found.medians(number)
        if medians is None:
            continue
        figures = [medians.r, medians.true_r, medians.error_std, medians.true_error_std]
        shown = [f"{value:.3f}" for value in figures if np.isfinite(value)]
        name = f"{member.title} ({member.units.replace(MOISTURE_UNITS, 'm³ m⁻³')})"
        rows.append([name, f"{medians.cells:,}", *shown])
    if not rows:
        return []
    if not found.knows_truth:
        return [report.text_table("Medians over cells", heads, rows)]
    return [
        report.text_table("Triple collocation beside the truth, medians over cells", heads, rows),
        report.paragraph(
            "The truth is the simulated Earth's mean over the cell's pixels on the same days; the "
            "true error is what a straight line on it leaves, which is what triple collocation "
            "estimates. Where the two differ, members share errors or see different places: with "
            "real products nobody could tell."
        ),
    ]


def _statuses(found: CoarseFinding) -> str:
    counts: dict[str, int] = {}
    for part in found.parts:
        if part.collocation is not None:
            for words, count in part.collocation.counts().items():
                counts[words] = counts.get(words, 0) + count
    rows = [[words, f"{count:,}"] for words, count in counts.items()]
    return report.text_table("Cells by what stands against their figures", ["", "cells"], rows)


def _fine(finding: FineFinding, found: Findings) -> report.Section:
    compared = finding.compared
    density = np.sum([part.density for part in finding.parts], axis=0)
    total = finding.months.total()
    possible = max(float(found.overview.land_days.sum()), 1.0)
    pieces = [
        report.paragraph(
            f"Pixel by pixel, where both have a value: {int(total.n):,} pixel days, "
            f"{total.n / possible:.1%} of all land pixels and days, while ours have "
            f"{found.overview.known.sum() / possible:.1%}. It sees a place every few days only, so "
            "that no anomalies can be formed: a moving mean of five weeks would rest on a handful "
            "of values."
        )
    ]
    if compared.has_same_units:
        pieces += [
            report.figure(
                report.Picture(
                    figures.density_picture(density, total, compared.title),
                    "Every pixel and day that both know.",
                    f"Density of our estimates against {compared.title}",
                    is_narrow=True,
                )
            ),
            _months(finding.months, "All common pixels, month by month."),
        ]
        parts = [(part.window, part.product) for part in finding.parts]
        errors, bias_map, r_map = map(
            report.figure, error_maps(found.overview, parts, compared.title)
        )
        pieces += [errors, report.side_by_side([bias_map, r_map])]
    return report.Section(compared.source, compared.title, pieces)


def _months(months: PairStats, text: str) -> str:
    picture = figures.month_picture(months, PairStats.zero((12,)), "", first="")
    return report.figure(report.Picture(picture, text, "R and ubRMSE by month"))


def _map(
    found: CoarseFinding,
    panels: Sequence[Panel],
    style: Style,
    caption: str,
    alt: str,
    *,
    columns: int = 2,
    inches: float = 9.2,
) -> str:
    grid = found.parts[0].cells.grid
    png = cell_map(grid, found.window, panels, style, columns=columns, inches=inches)
    return report.figure(report.Picture(png, caption, alt))


def _cells(found: CoarseFinding, value: Callable[[CellScores], Floats]) -> Floats:
    return found.mosaic([value(part) for part in found.parts])


def _share_known(part: CellScores, which: int) -> Floats:
    return np.asarray(part.known[which] / part.days)


def _member(part: CellScores, figure: str, member: int) -> Floats:
    """Return one figure of one member; NaN where there are no three members."""
    if part.collocation is None:
        return np.full(part.cells.rows.shape, np.nan)
    return np.asarray(getattr(part.collocation, figure)[:, member])


def _true(part: CellScores, figure: str, member: int = 0) -> Floats:
    """Return a true figure of one member; NaN where it is not known."""
    if part.truth is None:
        return np.full(part.cells.rows.shape, np.nan)
    return np.asarray(getattr(part.truth, figure)[:, member])


def _top(values: Floats) -> float:
    known = values[np.isfinite(values)]
    top = float(np.quantile(known, 0.98)) if known.size else 0.1
    return float(max(0.02, np.ceil(top * 50) / 50))
