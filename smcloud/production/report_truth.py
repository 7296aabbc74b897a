"""The part of the report that only a simulated Earth can fill: the product against its truth."""

from collections.abc import Sequence

import numpy as np

from smcloud.grids.grid import Window
from smcloud.production.findings import Findings
from smcloud.publish.map import Panel, Style, map_picture
from smcloud.validation import figures, report
from smcloud.validation.gain import COARSE, PRODUCT
from smcloud.validation.metrics import bias, correlation, rmse, unbiased_rmse
from smcloud.validation.overview import Overview, cells_of
from smcloud.validation.pairs import Floats, PairStats

HALF = 4.6
"""Width in inches of a picture that shares a line with another."""


def truth_sections(found: Findings) -> list[report.Section]:
    """Return the section about the truth, or none where there is no truth."""
    if found.truth is None:
        return []
    truth, months = found.truth, found.truth.months()
    paired = months, truth.months(of_baseline=True)
    if found.gain is not None:  # its coarse input is known on fewer days: the same ones for both
        sums_of = found.gain.gain.by_month
        paired = sums_of(PRODUCT), sums_of(COARSE)
    density = np.sum([part.density for part in truth.parts], axis=0)
    pieces = [
        report.paragraph(
            "The drivers come from a simulated Earth whose soil moisture is known at every pixel "
            "and day. No real product has such a reference; no sensor of that Earth shows it."
        ),
        report.figure(
            report.Picture(
                figures.density_picture(density, months.total(), "truth"),
                "Every known pixel and day of the produced blocks.",
                "Density of estimates against the truth",
                is_narrow=True,
            )
        ),
        report.figure(
            report.Picture(
                figures.month_picture(*paired, found.baseline_title),
                "Scores over all pixels, month by month.",
                "R and ubRMSE by month",
            )
        ),
    ]
    sums = [(part.window, part.product) for part in truth.parts]
    errors, bias_map, r_map = (
        report.figure(p) for p in error_maps(found.overview, sums, "the truth")
    )
    pieces += [errors, report.side_by_side([bias_map, r_map])]
    return [report.Section("truth", "Against the truth", pieces)]


def error_maps(
    overview: Overview, parts: Sequence[tuple[Window, PairStats]], reference: str
) -> list[report.Picture]:
    """Return maps of RMSE and ubRMSE, bias, and R, from the sums (12, rows, cols) of blocks."""
    scores = {"R": correlation, "RMSE": rmse, "ubRMSE": unbiased_rmse, "bias": bias}
    whole = {name: np.full(overview.land_days.shape, np.nan) for name in scores}
    for window, months in parts:
        cells = months.total(axis=0)
        target = cells_of(window, overview.window, overview.cell)
        for name, score in scores.items():
            whole[name][target] = score(cells)
    side = f"cells of {overview.cell} km" if overview.cell > 1 else "every pixel"
    error = Style("m³ m⁻³", 0.0, _round_top(whole["RMSE"]), "magma_r", extend="max")
    reach = _round_top(np.abs(whole["bias"]))
    departure = Style(
        f"product minus {reference.removeprefix('the ')}, m³ m⁻³",
        -reach,
        reach,
        "BrBG",
        extend="both",
    )
    return [
        report.Picture(
            map_picture(overview, [Panel(n, whole[n]) for n in ("RMSE", "ubRMSE")], error),
            f"Errors over the year, {side}. Darker is worse.",
            "Maps of RMSE and ubRMSE",
        ),
        report.Picture(
            map_picture(overview, [Panel("bias", whole["bias"])], departure, inches=HALF),
            f"Green: wetter than {reference}. Brown: drier.",
            "Map of the bias",
        ),
        report.Picture(
            map_picture(
                overview,
                [Panel("R over the year", whole["R"])],
                Style("R", 0.0, 1.0, "viridis"),
                inches=HALF,
            ),
            "Correlation in time.",
            "Map of R",
        ),
    ]


def _round_top(values: Floats) -> float:
    known = values[np.isfinite(values)]
    top = float(np.quantile(known, 0.99)) if known.size else 0.1
    return float(max(0.02, np.ceil(top * 50) / 50))
