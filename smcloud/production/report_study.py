"""The pages about a model itself: what its assessment found, apart from any map."""

from collections.abc import Callable, Mapping, Sequence

from smcloud.core.config import RunConfig
from smcloud.production.findings import StudyFindings
from smcloud.production.report_kinds import kind_sections
from smcloud.production.report_model import model_sections
from smcloud.production.report_provenance import FOOTER, provenance_section
from smcloud.production.report_selection import selection_sections
from smcloud.production.report_splits import SPLIT_LABELS, TILE_NAMES
from smcloud.production.report_strategies import headline_value, strategy_sections
from smcloud.production.report_uncertainty import applicability_sections, uncertainty_sections
from smcloud.products.base import Product
from smcloud.validation import report

FIRST = "report.html"
Sections = Callable[[StudyFindings], list[report.Section]]
PAGES: Mapping[str, tuple[str, str, Sections]] = {
    "stations.html": ("Stations", "where and when is it good?", kind_sections),
    "selection.html": ("Selection", "which stations may teach it?", selection_sections),
    "model.html": (
        "Model",
        "which parameters, which features?",
        lambda found: model_sections(found.assessment),
    ),
    "uncertainty.html": (
        "Uncertainty",
        "do its intervals hold?",
        lambda found: uncertainty_sections(found.assessment) + applicability_sections(found.card),
    ),
}
"""Every page but the first: its file, its name, its question, and what it holds."""


def study_pages(
    config: RunConfig, product: Product, found: StudyFindings, years: Sequence[report.Link] = ()
) -> dict[str, report.Report]:
    """Return every page by its file name; a page with nothing to tell is left out.

    `years` are the reports of produced years, which the pages link to.
    """
    filled = {file: sections for file, (*_, make) in PAGES.items() if (sections := make(found))}
    links = [
        report.Link("Strategies", FIRST),
        *(report.Link(PAGES[file][0], file) for file in filled),
        *years,
    ]
    name = found.assessment.model
    pages = {FIRST: _first(config, product, found, links)}
    for file, sections in filled.items():
        pages[file] = report.Report(
            title=f"{name}: {PAGES[file][1]}",
            subtitle=product.title,
            sections=sections,
            footer=FOOTER,
            pages=links,
        )
    return pages


def _first(
    config: RunConfig, product: Product, found: StudyFindings, links: Sequence[report.Link]
) -> report.Report:
    return report.Report(
        title=f"{found.assessment.model}: what is the model worth?",
        subtitle=product.title,
        tiles=_tiles(found),
        sections=[
            *strategy_sections(found.assessment, product),
            *_absent(found),
            provenance_section(config, product, found.card),
        ],
        footer=FOOTER,
        pages=links,
    )


def _tiles(found: StudyFindings) -> list[report.Tile]:
    tiles = []
    words = SPLIT_LABELS[found.assessment.headline]
    for name, label in TILE_NAMES.items():
        value = headline_value(found.assessment, name)
        if value is not None:
            interval = report.interval_text(name, value)
            tiles.append(
                report.Tile(
                    f"median {label}, {words}",
                    report.number(name, value.value),
                    f"95 %: {interval}" if interval else "",
                )
            )
    return tiles


def _absent(found: StudyFindings) -> list[report.Section]:
    if not found.absent:
        return []
    pieces = [report.paragraph(line) for line in found.absent]
    return [report.Section("absent", "What is not here", pieces)]
