"""What the report of one product year says: findings in, one HTML page out."""

from collections.abc import Mapping, Sequence

import numpy as np

from smcloud.core.config import RunConfig
from smcloud.models.scoring import headline
from smcloud.production.findings import Findings, StationFinding
from smcloud.production.report_gain import gain_rows, verdicts
from smcloud.production.report_provenance import FOOTER, AnyCard, provenance_section
from smcloud.production.report_splits import (
    SPLIT_LABELS,
    TILE_NAMES,
    published_pieces,
    splits_section,
)
from smcloud.production.report_stations import station_sections
from smcloud.production.report_truth import truth_sections
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
from smcloud.validation import report
from smcloud.validation.gain import COARSE, PRODUCT
from smcloud.validation.metrics import Interval


def page_of(
    config: RunConfig,
    product: Product,
    card: AnyCard | None,
    found: Findings,
    pages: Sequence[report.Link] = (),
) -> report.Report:
    """Return the page of one year; `pages` are the others that the run writes."""
    sections = [
        _what(config, product, found),
        _maps(found),
        _scores(product, found),
        *_learning(product, found),
        *truth_sections(found),
        *station_sections(found, product),
        provenance_section(config, product, card, found.year),
    ]
    return report.Report(
        title=f"{product.name} {found.year.year}: how good is it?",
        subtitle=product.title,
        tiles=_tiles(found),
        sections=sections,
        footer=FOOTER,
        pages=pages,
    )


def _learning(product: Product, found: Findings) -> list[report.Section]:
    """Return what is told of the training: its splits, or what papers print beside the product."""
    if product.downscaling is None:
        return [splits_section(found.splits, product)]
    if not product.published:
        return []
    pieces = published_pieces(product)
    return [report.Section("published", "What papers print, of other data", pieces)]


def _tiles(found: Findings) -> list[report.Tile]:
    tiles = []
    if found.splits:
        kind = headline(found.splits)
        tiles += [
            _tile(
                f"median {TILE_NAMES[name]}, {SPLIT_LABELS[kind]}",
                name,
                report.Value.named(found.splits[kind].median[name]),
            )
            for name in TILE_NAMES
        ]
    if found.truth is not None:
        tiles += [
            _tile(
                f"{TILE_NAMES[name]} against the truth",
                name,
                report.Value.of(found.truth.product[name]),
            )
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
    why_not = "a required driver is." if found.gain is None else "their day has no model."
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
                    "Share of the year's days that have a value; the others are unknown because "
                    + why_not,
                    "Map of the share of days with a value",
                    is_narrow=True,
                )
            ),
        ],
    )


def _inside(product: Product) -> str:
    which = "stations" if product.downscaling else "test stations"
    return f"{which} inside the product"


def _scores(product: Product, found: Findings) -> report.Section:
    rows = []
    if found.truth is not None:
        n = int(found.truth.months().total().n)
        rows += [
            _interval_row("product, truth at every pixel", f"{n:,}", found.truth.product, True)
        ]
        if found.gain is not None:
            rows += gain_rows(found.gain, (PRODUCT, COARSE))
        elif found.truth.baseline:
            n = int(found.truth.months(of_baseline=True).total().n)
            label = f"{found.baseline_title}, the same pixels and days"
            rows += [_interval_row(label, f"{n:,}", found.truth.baseline)]
    for where, finding in (
        ("test stations everywhere", found.test),
        (_inside(product), found.region),
    ):
        rows += _station_rows(where, finding)
    pieces = [
        report.paragraph(
            "Intervals are 95 %, by a bootstrap: over all pixels of blocks, over stations "
            "everywhere of their spatial blocks, over those inside the product of stations. Soil "
            "moisture is in m³ m⁻³; bias is estimate minus reference."
        ),
        report.score_table("Product and baseline on the same pairs", "pairs", rows),
    ]
    if found.gain is not None and (told := verdicts(found.gain)):
        is_good = found.gain.is_better and found.gain.is_better_within
        pieces.insert(0, report.paragraph(told[0], is_warning=not is_good))
    if found.region is None:
        pieces.append(report.paragraph(found.no_stations, is_warning=True))
    return report.Section("scores", "Scores", pieces)


def _station_rows(where: str, finding: StationFinding | None) -> list[report.ScoreRow]:
    if finding is None:
        return []
    rows = []
    for name, scores in (
        ("product", finding.product),
        (finding.baseline_title, finding.baseline),
        ("product on the same days", finding.paired),
    ):
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


def _interval_row(
    label: str, counted: str, scores: Mapping[str, Interval], is_headline: bool = False
) -> report.ScoreRow:
    values = {name: report.Value.of(interval) for name, interval in scores.items()}
    return report.ScoreRow(label, counted, values, is_headline)
