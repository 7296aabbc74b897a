"""The validate stage of seamless: gaps simulated, stations, the simulated truth, and a page.

Values of complete areas are hidden under the gaps of other days and found again by the network,
which learns nothing of it, and by every plain way to fill gaps. This is done on squares of the
region, whole years each; where a year was produced that taught nothing, on such years alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.store import open_cube
from smcloud.grids.grid import GLOBAL025, Window
from smcloud.ingest.stations import read_stations
from smcloud.models.gap_baselines import baseline_fillers
from smcloud.models.gap_reasons import REASON_NAMES, GapReason
from smcloud.models.seamless_files import SeamlessCard, load_net, load_net_card, require_torch
from smcloud.models.seamless_rules import Device
from smcloud.production.block_map import run_listed
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.coarse_publish import map_of
from smcloud.production.report_seamless import NETWORK, YearScores, verdict, write_page
from smcloud.production.runner import Task
from smcloud.production.seamless_inputs import GapFields, Region, RunInputs, inputs_of
from smcloud.production.seamless_publish import draw_days
from smcloud.production.seamless_year import TILE
from smcloud.production.versions import published_store, read_pointer
from smcloud.products.base import Product
from smcloud.products.seamless import MOISTURE, REASON, SCHEMA
from smcloud.simulate.truth_cells import CELL_TRUTH
from smcloud.validation.hidden_swaths import HidingRule
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats
from smcloud.validation.simulated_gaps import Fields, GapRule, GapScores, score_gaps

SQUARE = 120
"""Cells along the side of a square that gaps are simulated in."""
APART = 9
"""Days from one hidden day to the next: the window of days that the network looks at."""
OBSERVED, FILLED = "observed", "filled"
BOTH = "observed and filled"


@dataclass(frozen=True)
class SeamlessResult:
    """What the stage found.

    Attributes
    ----------
    years : tuple of YearScores
    reports : tuple of str
        URLs of the pages.
    told : tuple of str
        What is said in words.
    """

    years: tuple[YearScores, ...]
    reports: tuple[str, ...]
    told: tuple[str, ...]


@dataclass(frozen=True)
class HideTask:
    """One square of a year to hide values in: URLs, keys and records, never data."""

    fields: GapFields
    region: Region
    window: Window
    year: int
    rounds: int
    models: str
    model: str
    device: Device


@dataclass(frozen=True)
class TruthTask:
    """One block of a produced year to hold against the truth."""

    region: Region
    window: Window
    year: int
    store: str
    truth: str


def run_validate(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> SeamlessResult:
    """Score the years of a run and write a page for each.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    NotFoundError
        If there is no network, or no cube.
    CubeError
        If a block of the product is absent or damaged.
    """
    require_torch()
    refuse_memory_urls(client, (config.store.root, *config.ingest.cubes.values()))
    card = load_net_card(open_objects(config.layout.model("")), config.model_name)
    inputs = inputs_of(config, client, listener)
    years: list[YearScores] = []
    reports: list[str] = []
    told: list[str] = []
    for year in judged_years(config, card):
        found = _year(config, product, inputs, card, year, client, listener)
        years.append(found)
        told += found.told
        picture = None
        if year in config.produced_years:
            blocks = inputs.region.blocks()
            picture = map_of(config, product, blocks, draw_days, year).picture()
        reports.append(write_page(config, product, card, found, picture))
    return SeamlessResult(tuple(years), tuple(reports), tuple(told))


def judged_years(config: RunConfig, card: SeamlessCard) -> list[int]:
    """Return the produced years that the network was not fitted to, else the one held out."""
    fitted = {int(key.rpartition("/")[2]) for key in card.training_keys}
    free = sorted(set(config.produced_years) - fitted)
    return free or [int(key.rpartition("/")[2]) for key in card.held_out_keys]


def _year(
    config: RunConfig,
    product: Product,
    inputs: RunInputs,
    card: SeamlessCard,
    year: int,
    client: Client | None,
    listener: Listener,
) -> YearScores:
    """Return every score of one year."""
    gaps, told = _simulated(config, inputs, card, year, client, listener)
    store = ""
    truth: Mapping[str, PairStats] = {}
    stations = pd.DataFrame()
    if read_pointer(config.layout, product.name, year) is None:
        told.append(f"{year} is not published: no stations and no truth are looked at")
    else:
        store = published_store(config.layout, product.name, year)
        truth = _against_truth(config, inputs.region, store, year, client, listener)
        stations = station_scores(config, store, year)
        if stations.empty:
            told.append(f"{year}: no station lies in the region")
    if year in {int(key.rpartition("/")[2]) for key in card.held_out_keys}:
        told.append(f"{year} ended the training, so its scores are a little too good")
    if gaps is not None:
        told.append(f"{year}: {verdict(gaps)}")
    return YearScores(year, store, gaps, stations, truth, tuple(told))


def _simulated(
    config: RunConfig,
    inputs: RunInputs,
    card: SeamlessCard,
    year: int,
    client: Client | None,
    listener: Listener,
) -> tuple[GapScores | None, list[str]]:
    """Return the scores of simulated gaps over all squares, and why there are none."""
    tasks = [
        HideTask(
            inputs.fields,
            inputs.region,
            window,
            year,
            config.seamless.hiding_rounds,
            config.layout.model(""),
            card.name,
            config.train.device,
        )
        for window in squares(inputs.region)
    ]
    names = [f"hide-{year}-s{number:03d}" for number in range(len(tasks))]
    jobs = [Task(name, hide_square, (one,)) for name, one in zip(names, tasks, strict=True)]
    found = run_listed(jobs, f"simulate gaps in {year}", "squares", client, listener)
    scores = [one for one in found if isinstance(one, GapScores)]
    if not scores:
        return None, [f"{year}: no gaps could be simulated: {found[0]}"]
    return sum(scores[1:], scores[0]), []


def squares(region: Region) -> list[Window]:
    """Return the squares that cut up the region's window and hold land, row by row."""
    window = region.window
    found = [
        Window(row, min(row + SQUARE, window.row1), col, min(col + SQUARE, window.col1))
        for row in range(window.row0, window.row1, SQUARE)
        for col in range(window.col0, window.col1, SQUARE)
    ]
    return [one for one in found if region.land_in(one).any()]


def hide_square(task: HideTask) -> GapScores | str:
    """Return the scores of a square, or why there are none: the task of a worker."""
    from smcloud.models.seamless import fill_days

    days, window = SCHEMA.times(task.year), task.window
    land = task.region.land_in(window)
    values = np.where(land, task.fields.observed(days, window), np.float32(np.nan))
    rain, reasons = task.fields.wetted(days, window), task.fields.reasons(days, window)
    net, _ = load_net(open_objects(task.models), task.model, task.device)

    def network(seen: Fields, on: NDArray[np.bool_]) -> Fields:
        return fill_days(net, seen, on, rain, tile=TILE, device=task.device)

    lon, lat = GLOBAL025.lonlat(window)
    fillers = {NETWORK: network, **baseline_fillers(days, lat[:, 0], lon[0])}
    rule = GapRule(HidingRule(apart=APART, folds=task.rounds))
    try:
        return score_gaps(values, land, fillers, rule, reasons=reasons, reason_names=REASON_NAMES)
    except UserError as err:  # a square without a complete area says nothing
        return str(err)


def _against_truth(
    config: RunConfig,
    region: Region,
    store: str,
    year: int,
    client: Client | None,
    listener: Listener,
) -> dict[str, PairStats]:
    """Return sums of the product and the simulated truth by what a value rests on."""
    if not config.store.truth:
        return {}
    url = join(config.store.truth, year_store(year))
    tasks = [
        Task(
            f"truth-{year}-b{block.number:03d}",
            score_block,
            (TruthTask(region, block.window, year, store, url),),
        )
        for block in region.blocks()
    ]
    try:
        open_cube(url, CELL_TRUTH, year)
    except NotFoundError:
        listener.note(f"no truth of {year} at {config.store.truth}: the maps are not held to it")
        return {}
    total: dict[str, PairStats] = {}
    stage = f"compare {year} with the truth"
    for found in run_listed(tasks, stage, "blocks", client, listener):
        for name, pairs in found.items():
            total[name] = total[name] + pairs if name in total else pairs
    return {name: pairs for name, pairs in total.items() if pairs.n > 0}


def score_block(task: TruthTask) -> dict[str, PairStats]:
    """Return the sums over one block: the task of a worker."""
    steps = slice(0, len(SCHEMA.times(task.year)))
    cube = open_cube(task.store, SCHEMA, task.year)
    product = cube.read_physical(MOISTURE, steps, task.window)
    reason = cube.read(REASON, steps, task.window)
    truth = open_cube(task.truth, CELL_TRUTH, task.year)
    true = truth.read_physical(MOISTURE, steps, task.window, required=False)
    land = task.region.land_in(task.window)
    known = np.isfinite(product) & np.isfinite(true) & land
    is_observed = known & (reason == GapReason.OBSERVED)
    chosen = {OBSERVED: is_observed, FILLED: known & ~is_observed}
    chosen |= {f"{FILLED}, {word}": known & (reason == code) for code, word in REASON_NAMES.items()}
    return {name: PairStats.of(product[at], true[at]) for name, at in chosen.items()}


def station_scores(config: RunConfig, store: str, year: int) -> pd.DataFrame:
    """Return a row a station and kind of value: n, R, RMSE, MAE and the others, m3 m-3.

    Several sensors of a station are averaged. Kinds are observed, filled, and both together.
    """
    try:
        sensors, daily = read_stations(
            config.layout.stations,
            years=[year],
            maximum_depth_m=config.stations.maximum_depth_m,
        )
    except NotFoundError:
        return pd.DataFrame()
    site = sensors["network"].astype(str) + "/" + sensors["station"].astype(str)
    named = dict(zip(sensors["station_id"], site, strict=True))
    daily = daily.assign(site=daily["station_id"].astype(str).map(named))
    means = daily.groupby(["site", "day"])["soil_moisture"].mean().unstack("day")
    means = means.reindex(columns=pd.DatetimeIndex(SCHEMA.times(year)))
    places = sensors.assign(site=site).groupby("site")[["longitude", "latitude"]].first()
    cube, steps = open_cube(store, SCHEMA, year), slice(0, len(SCHEMA.times(year)))
    rows = []
    for name, series in zip(means.index, means.to_numpy(np.float64), strict=True):
        lon, lat = places.loc[[name]].to_numpy(np.float64).T
        row, col = (int(one[0]) for one in GLOBAL025.pixel_of(lon, lat))
        cell = Window(row, row + 1, col, col + 1)
        product = cube.read_physical(MOISTURE, steps, cell, required=False).ravel()
        reason = cube.read(REASON, steps, cell, required=False).ravel()
        rows += _station_rows(str(name), product, series, reason == GapReason.OBSERVED)
    return pd.DataFrame(rows)


def _station_rows(
    name: str,
    product: NDArray[np.float32],
    series: NDArray[np.float64],
    is_observed: NDArray[np.bool_],
) -> list[dict[str, object]]:
    """Return the scores of one station, nothing where the product is unknown."""
    known = np.isfinite(product) & np.isfinite(series)
    kinds = {OBSERVED: known & is_observed, FILLED: known & ~is_observed, BOTH: known}
    rows: list[dict[str, object]] = []
    for kind, at in kinds.items():
        if at.any():
            pairs = PairStats.of(product[at].astype(np.float64), series[at])
            scores = {score: float(value) for score, value in all_scores(pairs).items()}
            rows.append({"station": name, "values": kind, "n": int(pairs.n), **scores})
    return rows
