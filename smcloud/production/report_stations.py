"""The part of a report that sets estimates beside the stations that the model has never seen."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.listener import counted
from smcloud.production.findings import Findings, StationFinding
from smcloud.production.station_pairs import RAIN
from smcloud.products.base import Product
from smcloud.products.downscaled import IN_SITU
from smcloud.validation import figures, report
from smcloud.validation.collocation import bin_pairs
from smcloud.validation.pairs import PairStats

UNSEEN = (
    "Stations in spatial blocks that no part of the training has seen. Intervals of each station "
    "count its independent days only: soil moisture remembers (the number in brackets)."
)
NO_TEACHERS = (
    "The model learned from coarse cells: no station has taught it, and all of those inside the "
    "produced blocks are scored. A station is a point, and a pixel a square kilometre. Intervals "
    "of each station count its independent days only: soil moisture remembers (the number in "
    "brackets)."
)


def station_sections(found: Findings, product: Product) -> list[report.Section]:
    """Return the section about stations, or none where no unseen one has days enough."""
    finding = found.region if found.region is not None else found.test
    main = found.test if found.test is not None else finding
    if finding is None or main is None:
        return []
    pairs = main.pairs
    x, y = (pairs[c].to_numpy(np.float32) for c in ("estimate", "soil_moisture"))
    pieces = [
        report.paragraph(UNSEEN if product.downscaling is None else NO_TEACHERS),
        *([] if product.downscaling is None else _in_situ(main, product)),
        report.figure(
            report.Picture(
                figures.density_picture(bin_pairs(x, y), PairStats.of(x, y), "measured"),
                "Every day of every test station.",
                "Density of estimates against measurements",
                is_narrow=True,
            )
        ),
        report.figure(
            report.Picture(
                figures.station_picture(main.product.stations),
                "Each test station with its 95 % interval.",
                "R and ubRMSE of every test station",
            )
        ),
        series_figure(finding, found.year.year),
        report.folded(
            "Scores of every test station",
            report.station_table("Test stations, by name", main.product.stations),
        ),
    ]
    return [report.Section("stations", "Against stations", pieces)]


def _in_situ(found: StationFinding, product: Product) -> list[str]:
    """Return mean and median over stations, of maps and coarse input, and the paper's beside."""
    own = found.product if found.paired is None else found.paired
    where = "" if found.paired is None else ", on the days of the input"
    rows = [("product", found.product)]
    rows += [] if found.paired is None else [(f"product{where}", own)]
    rows += [] if found.baseline is None else [(found.baseline_title, found.baseline)]
    table = [
        report.ScoreRow(
            f"{name}, {kind} over stations",
            f"{scores.scored}",
            report.values_of(summary),
            is_headline=name == "product" and kind == "mean",
        )
        for name, scores in rows
        for kind, summary in (("mean", scores.mean), ("median", scores.median))
    ]
    return [
        report.score_table("Mean and median over stations", "stations", table),
        report.paragraph(in_situ_line(found, product)),
    ]


def in_situ_line(found: StationFinding, product: Product) -> str:
    """Return in words the mean ubRMSE over stations beside that of the paper."""
    scores = found.product
    mean, median = (report.values_of(one)["ubRMSE"].value for one in (scores.mean, scores.median))
    line = (
        f"mean ubRMSE over {counted(scores.scored, 'stations')} {mean:.3f} m3 m-3 "
        f"(median {median:.3f})"
    )
    if found.baseline is not None:
        same = scores if found.paired is None else found.paired
        both = (report.values_of(one.mean)["ubRMSE"].value for one in (same, found.baseline))
        line += "; on the days of the input {:.3f}, the input itself {:.3f}".format(*both)
    papers = [one for one in product.published if one.name.startswith(IN_SITU)]
    if papers:
        named = "; ".join(f"{one.value} ({one.source})" for one in papers)
        line += f". The paper prints {named}, at other stations and in other years, for scale only"
    return f"{line}. No station had a part in fitting, in choosing or in scaling the model."


def series_figure(finding: StationFinding, year: int) -> str:
    """Return the series of a few stations in `year`, or in all years where there is none in it."""
    series = series_of(finding, year)
    if not series:
        return report.paragraph("No test station has a score, so no series is drawn.")
    rain = "" if finding.rain is None else f" Blue from above: precipitation of {RAIN.title}."
    return report.figure(
        report.Picture(
            figures.series_picture(series, finding.baseline_title),
            "Stations evenly spaced from the best R to the worst, not chosen for good looks."
            + rain,
            "Time series of estimates and measurements",
        )
    )


def series_of(finding: StationFinding, year: int) -> list[figures.StationSeries]:
    """Return the series of the shown stations in `year`."""
    pairs = finding.pairs_of(year)
    if finding.rain is not None:
        pairs = pairs.merge(finding.rain, on=["station", "time"], how="left")
    shown = finding.shown(year)
    return [_station_year(name, pairs[pairs["station"] == name]) for name in shown]


def _station_year(name: str, rows: pd.DataFrame) -> figures.StationSeries:
    """Return one station's days on an unbroken calendar, so that no line crosses a gap."""
    calendar = pd.date_range(rows["time"].min(), rows["time"].max(), freq="D")
    daily = rows.set_index("time").reindex(calendar)

    def known(column: str) -> NDArray[np.float32] | None:
        has = column in daily and bool(daily[column].notna().any())
        return daily[column].to_numpy(np.float32) if has else None

    return figures.StationSeries(
        name,
        calendar.to_numpy("datetime64[D]"),
        daily["estimate"].to_numpy(np.float32),
        daily["soil_moisture"].to_numpy(np.float32),
        known("baseline"),
        known("rain"),
    )
