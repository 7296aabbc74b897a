"""What the report of one product year says: findings in, one HTML page out."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
import pandas as pd

from smcloud.core.config import RunConfig
from smcloud.models.base import ModelCard
from smcloud.models.scoring import MEANINGS, headline
from smcloud.production.findings import Findings, StationFinding
from smcloud.production.report_truth import truth_sections
from smcloud.production.station_pairs import BASELINE
from smcloud.products.base import Product
from smcloud.publish.map import (
    Panel,
    Style,
    day_panels,
    map_picture,
    moisture_style,
    season_panels,
    view_of,
)
from smcloud.validation import figures, report
from smcloud.validation.collocation import bin_pairs
from smcloud.validation.metrics import Interval
from smcloud.validation.pairs import PairStats
from smcloud.validation.splits import SplitKind
from smcloud.version import __version__

SERIES_SHOWN = 4
SPLIT_ORDER: tuple[SplitKind, ...] = ("station_year", "station", "year", "random")
SPLIT_LABELS: Mapping[SplitKind, str] = {
    "station_year": "new stations in new years",
    "station": "new stations",
    "year": "known stations, new years",
    "random": "random days (reference)",
}
TILE_NAMES = {"R": "R", "ubRMSE": "ubRMSE (m³ m⁻³)"}
"""The two scores at the head of the page: one for the pattern, one for the size of the error."""
PACKAGES = ("numpy", "pandas", "xarray", "zarr", "dask", "distributed", "xgboost-cpu", "xgboost")


def page_of(
    config: RunConfig, product: Product, card: ModelCard | None, found: Findings
) -> report.Report:
    """Return the page of one year."""
    sections = [
        _what(config, product, found),
        _maps(found),
        _scores(found),
        _splits(found, product),
        *truth_sections(found),
        *_stations(found),
        _provenance(config, product, card, found),
    ]
    return report.Report(
        title=f"{product.name} {found.year.year}: how good is it?",
        subtitle=product.title,
        tiles=_tiles(found),
        sections=sections,
        footer=f"Made by smcloud {__version__}. This page loads nothing from elsewhere.",
    )


def _tiles(found: Findings) -> list[report.Tile]:
    tiles = []
    if found.splits:
        kind = headline(found.splits)
        tiles += [
            _tile(
                f"median {TILE_NAMES[name]}, {SPLIT_LABELS[kind]}",
                name,
                _plain_value(found.splits[kind].median[name]),
            )
            for name in TILE_NAMES
        ]
    if found.truth is not None:
        tiles += [
            _tile(f"{TILE_NAMES[name]} against the truth", name, _value(found.truth.product[name]))
            for name in TILE_NAMES
        ]
    return tiles


def _tile(label: str, name: str, value: report.Value) -> report.Tile:
    return report.Tile(
        label, report.number(name, value.value), f"95 %: {report.interval_text(name, value)}"
    )


def _what(config: RunConfig, product: Product, found: Findings) -> report.Section:
    pixels = int(found.overview.land_days.sum() / _days(found))
    coverage = found.overview.known.sum() / max(found.overview.land_days.sum(), 1)
    mean = found.overview.mean()
    rows = {
        "Product": f"{product.name}, {product.reference}",
        "Year": f"{found.year.year}, {_days(found)} days (UTC), version {found.year.version}",
        "Where": _where(config, found),
        "Land pixels": f"{pixels:,} of 1 km, in {len(found.year.blocks)} blocks",
        "Days with a value": f"{coverage:.1%} of all land pixels and days",
        "Annual mean": (
            f"{np.nanmean(mean):.3f} m³ m⁻³ on average, cells from {np.nanmin(mean):.3f} to "
            f"{np.nanmax(mean):.3f}"
        ),
        "Store": found.year.store_url,
    }
    return report.Section("what", "What this is", [report.facts(rows)])


def _where(config: RunConfig, found: Findings) -> str:
    west, east, south, north = view_of(found.overview).edges
    part = f" (window {config.produce.window})" if config.produce.window else ""
    tiles = ", ".join(sorted(found.year.tiles))
    return (
        f"tile {tiles}{part}: {_degrees(south, 'S', 'N')} to {_degrees(north, 'S', 'N')}, "
        f"{_degrees(west, 'W', 'E')} to {_degrees(east, 'W', 'E')}"
    )


def _degrees(value: float, below: str, above: str) -> str:
    return f"{abs(value):.1f}° {above if value >= 0 else below}"


def _days(found: Findings) -> int:
    return len(found.year.schema.times(found.year.year))


def _maps(found: Findings) -> report.Section:
    overview = found.overview
    annual = [Panel(f"Mean of {found.year.year}", overview.mean()), *day_panels(overview)]
    moisture = map_picture(overview, annual, moisture_style(overview))
    seasons = map_picture(overview, season_panels(overview), moisture_style(overview))
    share = Style("share of days with a value", 0.0, 1.0, "cividis")
    gaps = map_picture(overview, [Panel("Data gaps", overview.coverage())], share, inches=6.0)
    text = (
        "Darker is wetter. Dark grey is land of the product without a value, light grey land "
        "that was not produced, blue-white the sea."
    )
    return report.Section(
        "maps",
        "Maps",
        [
            report.figure(report.Picture(moisture, text, "Maps of the annual mean and of one day")),
            report.figure(
                report.Picture(
                    seasons, "Means of the four seasons of the calendar year.", "Seasonal maps"
                )
            ),
            report.figure(
                report.Picture(
                    gaps,
                    "Share of the year's days that have a value; the others are unknown because a "
                    "required driver is.",
                    "Map of the share of days with a value",
                    is_narrow=True,
                )
            ),
        ],
    )


def _scores(found: Findings) -> report.Section:
    rows = []
    if found.truth is not None:
        n = int(found.truth.months().total().n)
        rows += [
            _interval_row("product, truth at every pixel", f"{n:,}", found.truth.product, True)
        ]
        if found.truth.baseline:
            n = int(found.truth.months(of_baseline=True).total().n)
            label = f"{BASELINE.title}, the same pixels and days"
            rows += [_interval_row(label, f"{n:,}", found.truth.baseline)]
    for where, finding in (
        ("test stations everywhere", found.test),
        ("test stations inside the product", found.region),
    ):
        rows += _station_rows(where, finding)
    pieces = [
        report.paragraph(
            "Intervals are 95 %: over all pixels from a bootstrap of blocks, over stations from a "
            "bootstrap of stations. Soil moisture is in m³ m⁻³; bias is estimate minus reference."
        ),
        report.score_table("Product and baseline on the same pairs", "pairs", rows),
    ]
    if found.region is None:
        pieces.append(
            report.paragraph(
                f"No station that the model has never seen lies inside the produced blocks "
                f"({found.stations_seen} that it was made with do, and are not scored)."
            )
        )
    return report.Section("scores", "Scores", pieces)


def _station_rows(where: str, finding: StationFinding | None) -> list[report.ScoreRow]:
    if finding is None:
        return []
    rows = []
    for name, scores in (("product", finding.product), (BASELINE.title, finding.baseline)):
        if scores is not None:
            n = f"{int(scores.pairs.n.sum()):,}"
            stations = len(scores.stations)
            rows.append(
                report.ScoreRow(f"{name}, {where}, all days", n, report.values_of(scores.overall))
            )
            rows.append(
                report.ScoreRow(
                    f"{name}, {where}, median",
                    f"{stations} stations",
                    report.values_of(scores.median),
                    name == "product",
                )
            )
    return rows


def _splits(found: Findings, product: Product) -> report.Section:
    possible = [
        kind for kind in SPLIT_ORDER if kind in found.splits and found.splits[kind].possible
    ]
    pieces = [report.paragraph(report.RANDOM_SPLIT_REASON, is_warning=True)]
    if possible:
        best = headline(found.splits)
        rows = [
            report.ScoreRow(
                SPLIT_LABELS[kind],
                f"{found.splits[kind].counts['test']['stations']} stations",
                {n: _plain_value(v) for n, v in found.splits[kind].median.items()},
                kind == best,
            )
            for kind in possible
        ]
        pieces.append(report.figure(_split_picture(found, possible, best)))
        pieces.append(
            report.score_table("Median over test stations, a model of its own per split", "", rows)
        )
    missing = [kind for kind in SPLIT_ORDER if kind in found.splits and kind not in possible]
    pieces += [report.paragraph(found.splits[kind].why_not) for kind in missing]
    published = {item.name: f"{item.value} ({item.source})" for item in product.published}
    if published:
        pieces.append(report.subheading("What the authors of the data set report"))
        pieces.append(report.facts(published))
    return report.Section("splits", "How a score depends on the split", pieces)


def _split_picture(
    found: Findings, possible: Sequence[SplitKind], best: SplitKind
) -> report.Picture:
    panels = [
        (
            title,
            [
                figures.Bar(
                    SPLIT_LABELS[kind], **found.splits[kind].median[name], is_headline=kind == best
                )
                for kind in possible
            ],
        )
        for name, title in (("R", "median R"), ("ubRMSE", "median ubRMSE, m³ m⁻³"))
    ]
    return report.Picture(
        figures.interval_picture(panels),
        f"Blue is the headline: {MEANINGS[best]}. Bars are 95 % intervals over stations.",
        "Median R and ubRMSE of each split with intervals",
    )


def _stations(found: Findings) -> list[report.Section]:
    finding = found.region if found.region is not None else found.test
    main = found.test if found.test is not None else finding
    if finding is None or main is None:
        return []
    pairs = main.pairs
    x, y = (pairs[c].to_numpy(np.float32) for c in ("estimate", "soil_moisture"))
    pieces = [
        report.paragraph(
            "Stations in spatial blocks that no part of the training has seen. Intervals of each "
            "station count its independent days only: soil moisture remembers (the number in "
            "brackets)."
        ),
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
        report.figure(
            report.Picture(
                figures.series_picture(_series(finding, found.year.year), BASELINE.title),
                "Stations evenly spaced from the best R to the worst, not chosen for good looks.",
                "Time series of estimates and measurements",
            )
        ),
        report.folded(
            "Scores of every test station",
            report.station_table("Test stations, by name", main.product.stations),
        ),
    ]
    return [report.Section("stations", "Against stations", pieces)]


def _series(finding: StationFinding, year: int) -> list[figures.StationSeries]:
    """Return up to four stations from the best R to the worst, evenly spaced, in `year`."""
    pairs = finding.pairs[finding.pairs["time"].dt.year == year]
    if pairs.empty:
        pairs = finding.pairs
    ranked = finding.product.stations.dropna(subset=["R"]).sort_values("R", ascending=False)
    names = [name for name in ranked["station"] if (pairs["station"] == name).any()]
    at = np.unique(
        np.linspace(0, len(names) - 1, min(SERIES_SHOWN, len(names))).round().astype(int)
    )
    return [_station_year(name, pairs[pairs["station"] == name]) for name in (names[i] for i in at)]


def _station_year(name: str, rows: pd.DataFrame) -> figures.StationSeries:
    """Return one station's days on an unbroken calendar, so that no line crosses a gap."""
    calendar = pd.date_range(rows["time"].min(), rows["time"].max(), freq="D")
    daily = rows.set_index("time").reindex(calendar)
    return figures.StationSeries(
        name,
        calendar.to_numpy("datetime64[D]"),
        daily["estimate"].to_numpy(np.float32),
        daily["soil_moisture"].to_numpy(np.float32),
        daily["baseline"].to_numpy(np.float32) if daily["baseline"].notna().any() else None,
    )


def _provenance(
    config: RunConfig, product: Product, card: ModelCard | None, found: Findings
) -> report.Section:
    keys = [f"produce/{product.name} {config_key}" for config_key in sorted(found.year.tiles)]
    rows = {
        "Store": found.year.store_url,
        "Version": found.year.version,
        "Ledger": f"{config.layout.ledger}: {', '.join(keys)}, {found.year.year}",
        "smcloud": f"{__version__}, Python {platform.python_version()}",
        "Packages": ", ".join(_versions()),
    }
    pieces = [report.facts(rows)]
    if card is not None:
        pieces = [report.facts({"Model": f"{card.name}, sha256 {card.sha256}", **rows})]
        pieces.append(report.folded("Model card", report.code(card.to_json().decode())))
    text = json.dumps(config.model_dump(mode="json"), indent=1, sort_keys=True)
    pieces.append(report.folded("Run file", report.code(text)))
    return report.Section("provenance", "Where it comes from", pieces)


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except ModuleNotFoundError:
            continue
    return found


def _interval_row(
    label: str, counted: str, scores: Mapping[str, Interval], is_headline: bool = False
) -> report.ScoreRow:
    values = {name: _value(interval) for name, interval in scores.items()}
    return report.ScoreRow(label, counted, values, is_headline)


def _value(interval: Interval) -> report.Value:
    return report.Value(*(float(part) for part in interval))


def _plain_value(found: Mapping[str, float]) -> report.Value:
    return report.Value(found["value"], found["low"], found["high"])
