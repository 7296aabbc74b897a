"""The validate stage of freeze-thaw: scores of the forest, a second opinion on its maps, a page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError
from smcloud.core.layout import join
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import open_cube
from smcloud.features.derived import schema_named
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import Grid, Window, bounding_window
from smcloud.grids.regrid import nearest
from smcloud.models.freeze_thaw import STATE_WORDS, Partly, classes_of, words_of
from smcloud.models.freeze_thaw_files import (
    FreezeThawCard,
    load_freeze_thaw_card,
    load_scores,
)
from smcloud.models.freeze_thaw_scores import AllScores
from smcloud.production.block_map import run_listed
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.freeze_thaw_inputs import Region, region_of
from smcloud.production.freeze_thaw_stations import StationFinding, against_stations
from smcloud.production.report_freeze_thaw import (
    confusion_table,
    model_sections,
    score_lines,
    station_lines,
    station_section,
    strata_table,
)
from smcloud.production.report_provenance import FOOTER, provenance_section
from smcloud.production.runner import Task
from smcloud.production.versions import published_store, read_pointer
from smcloud.products.base import Product
from smcloud.products.freeze_thaw import FLAG, FLAGS, SECOND, STATE
from smcloud.publish.map import Panel, Style
from smcloud.publish.point_map import cell_map
from smcloud.validation import report
from smcloud.validation.confusion import Confusion, all_scores
from smcloud.validation.frost_figures import months_picture
from smcloud.validation.frost_strata import SEASONS, by_season, months_of

REPORT, SCORES_FILE = "report.html", "scores.json"
SECOND_LAYER = "state_am"
SECOND_WORDS = "SMAP, 6:00 (a second opinion, not independent)"
NO_SECOND = (
    "No second opinion: name smap_ft under [compare] products to hold the maps against SMAP's "
    "state of the ground."
)
SECOND_WARNING = (
    "SMAP's state of the ground is no independent check: its masks use AMSR-E and the temperature "
    "of a weather model. Cells of 36 km are looked up at the centres of those of 25 km."
)


@dataclass(frozen=True)
class GroundResult:
    """What the stage found.

    Attributes
    ----------
    lines : mapping
        Words for what was scored to scores by name.
    reports : tuple of str
        URLs of the pages.
    told : tuple of str
        What is said in words.
    """

    lines: Mapping[str, Mapping[str, float]]
    reports: tuple[str, ...]
    told: tuple[str, ...]


@dataclass(frozen=True)
class ExamineTask:
    """One block of a produced year to count over."""

    region: Region
    window: Window
    year: int
    store: str
    partly: Partly
    second: CubeSet | None
    second_schema: CubeSchema


@dataclass(frozen=True, eq=False)
class YearCounts:
    """Counts over cells and days of a year; adding two merges them.

    Attributes
    ----------
    states : int64 (12, 4)
        By month: thawed, partly frozen, frozen, unknown.
    flags : int64 (bits,)
        How often each bit of the quality flag is raised.
    second : Confusion (4, ...)
        By season, the second opinion being taken for true.
    """

    states: NDArray[np.int64]
    flags: NDArray[np.int64]
    second: Confusion

    def __add__(self, other: "YearCounts") -> "YearCounts":
        """Merge the counts of two blocks."""
        return YearCounts(
            self.states + other.states, self.flags + other.flags, self.second + other.second
        )


@dataclass(frozen=True, eq=False)
class YearFinding:
    """What is told of a produced year.

    Attributes
    ----------
    year : int
    store : str
    counts : YearCounts
    window : Window
        Of the blocks.
    frozen_days : float64 (rows, cols)
        NaN outside the region.
    stations : StationFinding or None
        Soil temperature at stations against the maps.
    """

    year: int
    store: str
    counts: YearCounts
    window: Window
    frozen_days: NDArray[np.float64]
    stations: StationFinding | None


def run_validate(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> GroundResult:
    """Write a page for every published year of a run, or for the forest alone before the first.

    Raises
    ------
    NotFoundError
        If there is no model.
    CubeError
        If a block of the product is absent or damaged.
    """
    refuse_memory_urls(client, (config.store.root,))
    models = open_objects(config.layout.model(""))
    card = load_freeze_thaw_card(models, config.model_name)
    scores = AllScores.from_bytes(load_scores(models, config.model_name, card))
    lines = dict(score_lines(card, scores))
    reports, told = [], []
    published = [
        year
        for year in sorted(set(config.produced_years))
        if read_pointer(config.layout, product.name, year) is not None
    ]
    for year in published:
        found = examined(config, product, card, year, client, listener)
        lines |= station_lines(year, found.stations)
        if found.counts.second.n.sum():
            lines[f"{year} maps: {SECOND_WORDS}"] = all_scores(found.counts.second.total())
        folder = join(config.layout.reports(product.name), str(year))
        reports.append(_written(folder, config, product, card, scores, found, lines))
    if not published:
        folder = join(config.layout.reports(product.name), "models", card.name)
        reports.append(_written(folder, config, product, card, scores, None, lines))
        told.append(f"no year of {product.name} is published yet: the page is of the forest alone")
    return GroundResult(lines, tuple(reports), (*told, *card.notes))


def examined(
    config: RunConfig,
    product: Product,
    card: FreezeThawCard,
    year: int,
    client: Client | None,
    listener: Listener,
) -> YearFinding:
    """Return the counts over a published year, and its frozen days as a map."""
    region = region_of(config, product.schema, config.produced_tiles)
    store = published_store(config.layout, product.name, year)
    second = None
    if SECOND in config.compare.products:
        second = CubeSet({SECOND: config.cube_prefix(SECOND)})
    tasks, blocks = [], region.blocks()
    for block in blocks:
        task = ExamineTask(
            region, block.window, year, store, card.partly, second, schema_named(SECOND)
        )
        tasks.append(Task(f"examine-{year}-b{block.number:02d}", examine_block, (task,)))
    found = run_listed(tasks, f"examine {year}", "blocks", client, listener)
    counts = found[0][0]
    for one, _ in found[1:]:
        counts += one
    windows = [block.window for block in blocks]
    stations = against_stations(config, product, year, listener)
    outer, frozen = _mosaic(windows, [days for _, days in found])
    return YearFinding(year, store, counts, outer, frozen, stations)


def examine_block(task: ExamineTask) -> tuple[YearCounts, NDArray[np.float64]]:
    """Return the counts of one block, and its frozen days (rows, cols): the task of a worker."""
    schema, points = task.region.schema, task.region.points(task.window)
    cube = open_cube(task.store, schema, task.year)
    steps = slice(0, len(cube.times))
    state, flag = (
        cube.read_points(name, steps, task.window, points).astype(np.uint8)
        for name in (STATE, FLAG)
    )
    days = np.repeat(cube.times, points.size)
    months = months_of(days).reshape(state.shape) - 1
    place = months * 4 + np.minimum(state, 3)
    states = np.bincount(place.ravel(), minlength=48).reshape(12, 4)
    bits = np.array([int((flag & bit).astype(bool).sum()) for bit in FLAGS])
    frozen = np.full(task.window.shape[0] * task.window.shape[1], np.nan)
    frozen[points] = (state == 2).sum(axis=0)
    second = _second(task, points, state, days)
    return YearCounts(states, bits, second), frozen.reshape(task.window.shape)


def _second(
    task: ExamineTask,
    points: NDArray[np.intp],
    state: NDArray[np.uint8],
    days: NDArray[np.datetime64],
) -> Confusion:
    """Return the counts against the second opinion by season; nothing where there is none."""
    words = words_of("frozen")
    lon, lat = (one.ravel()[points] for one in task.region.schema.on.lonlat(task.window))
    season = by_season(days, np.tile(lat, len(state))).codes
    own = classes_of(state, "left_out" if task.partly == "left_out" else "frozen")
    if task.second is None:
        return Confusion.zero(words, (len(SEASONS),))
    try:
        cube = open_cube(task.second.url(SECOND, task.year), task.second_schema, task.year)
    except NotFoundError:
        return Confusion.zero(words, (len(SEASONS),))
    weights = nearest(cube.schema.on, lon, lat)
    values = cube.read_physical(
        SECOND_LAYER, slice(0, len(cube.times)), weights.window, required=False
    )
    told = weights.apply(values)
    theirs = np.where(np.isfinite(told), told, -1.0).astype(np.int8)
    theirs = np.where(theirs > 0, 1, theirs)
    return Confusion.grouped(theirs, own, season, len(SEASONS), words)


def _mosaic(
    windows: Sequence[Window], parts: Sequence[NDArray[np.float64]]
) -> tuple[Window, NDArray[np.float64]]:
    """Return blocks side by side, and the window that they fill."""
    outer = bounding_window(windows)
    whole = np.full(outer.shape, np.nan)
    for window, part in zip(windows, parts, strict=True):
        whole[window.within(outer)] = part
    return outer, whole


def _map(grid: Grid, found: YearFinding) -> bytes:
    """Return the frozen days of a year on longitude and latitude."""
    return cell_map(
        grid,
        found.window,
        [Panel(f"frozen days of {found.year}", found.frozen_days)],
        Style("days a year", 0.0, 366.0, "YlGnBu"),
        inches=6.6,
    )


def _written(
    folder: str,
    config: RunConfig,
    product: Product,
    card: FreezeThawCard,
    scores: AllScores,
    found: YearFinding | None,
    lines: Mapping[str, Mapping[str, float]],
) -> str:
    """Write page and scores below a folder, and return the URL of the page."""
    what = "the forest" if found is None else str(found.year)
    sections = [*_year_sections(product, found), *model_sections(product, card, scores)]
    page = report.Report(
        title=f"{product.name} {what}: how good is it?",
        subtitle=product.title,
        sections=[*sections, provenance_section(config, product, card)],
        footer=FOOTER,
    )
    target = open_objects(folder)
    target.put(REPORT, report.render(page).encode())
    body = {
        name: {score: None if np.isnan(value) else value for score, value in one.items()}
        for name, one in lines.items()
    }
    target.put(SCORES_FILE, (json.dumps(body, sort_keys=True, indent=1) + "\n").encode())
    return join(folder, REPORT)


def _year_sections(product: Product, found: YearFinding | None) -> list[report.Section]:
    if found is None:
        return []
    states, flags = found.counts.states, found.counts.flags
    n = int(states.sum())
    rows = {"Year": str(found.year), "Store": found.store, "Cell-days": f"{n:,}"}
    words = [*STATE_WORDS.values(), "no estimate"]
    rows |= {
        word: f"{count / max(n, 1):.1%}"
        for word, count in zip(words, states.sum(axis=0).tolist(), strict=True)
    }
    rows |= {
        f"flag: {word.replace('_', ' ')}": f"{count / max(n, 1):.1%}"
        for word, count in zip(FLAGS.values(), flags.tolist(), strict=True)
    }
    pictures = (
        report.Picture(_map(product.schema.on, found), "Frozen days of the year.", "Map"),
        report.Picture(months_picture(states, words), "States by month.", "Bars by month"),
    )
    pieces = [report.facts(rows), report.side_by_side([report.figure(one) for one in pictures])]
    return [
        report.Section("year", "What this is", pieces),
        station_section(found.stations),
        _second_section(found.counts.second),
    ]


def _second_section(second: Confusion) -> report.Section:
    if not second.n.sum():
        return report.Section("second", "Against a second opinion", [report.paragraph(NO_SECOND)])
    pieces = [
        report.paragraph(SECOND_WARNING),
        confusion_table(f"Maps against {SECOND_WORDS}", second.total()),
        strata_table("By season", SEASONS, second),
    ]
    return report.Section("second", "Against a second opinion", pieces)
