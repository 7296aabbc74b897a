"""How well gaps were filled, block by block: temperatures under cloud, seams between swaths.

Each block of a cube that fills gaps is scored on values that are hidden from its filling, and on
truly cloudy pixels where a simulated Earth knows them. What is found of a block is kept by a hash
of its inputs: scores of a year that has not changed are read, not made again.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError
from smcloud.core.layout import join
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.features.coarse_cubes import JOINED
from smcloud.features.lst_filled import (
    OVERPASSES,
    RULES,
    SCHEMA,
    looks_of,
    reanalysis_of,
    required_cube,
    state_name,
)
from smcloud.grids.land import Mask, land_mask
from smcloud.production.block_map import run_listed
from smcloud.production.cluster import smallest_worker_bytes
from smcloud.production.coarse_report import by_filler, seam_scores
from smcloud.production.derived_stage import DerivedTask, derived_tasks
from smcloud.production.ledger import combined_hash
from smcloud.production.runner import Task
from smcloud.production.store_year import StoreYear
from smcloud.products.base import Product
from smcloud.simulate.truth import TRUTH_LST_SCHEMA, TRUTHS
from smcloud.validation.collocation import Layer
from smcloud.validation.hidden_pixels import (
    CLIMATOLOGY,
    FILLED,
    CloudHiding,
    GapSums,
    LstWindow,
    climatology_alone,
    gap_classes,
    hidden_sums,
)
from smcloud.validation.hidden_swaths import HiddenScores

HIDDEN, CLOUDY = "hidden clear pixels", "truly cloudy pixels"
FILLED_CUBE = "lst_filled"
MOST_BLOCKS = 12
"""Blocks scored, evenly over those of a run: errors of a filling repeat from block to block."""
BLOCK_BYTES = 1100 * 10**6
"""Of a worker, its libraries included: one overpass of a year as production fills it, its estimates
and the classes of its gaps (1.05 GB measured)."""
VERSION = 1
"""Raised when the same inputs give other scores."""
FILLERS = (FILLED, CLIMATOLOGY)


@dataclass(frozen=True)
class BlockTask:
    """One block whose filling is scored: names and URLs, never data.

    Attributes
    ----------
    made : DerivedTask
        How production filled it.
    truth : Layer or None
        True temperature by day, of a simulated Earth; its other layers lie beside it.
    fold : int
        First day that is hidden.
    folder, name : str
        Where the scores are kept.
    """

    made: DerivedTask
    truth: Layer | None
    fold: int
    folder: str
    name: str


@dataclass(frozen=True, eq=False)
class LstScores:
    """How well temperatures were filled.

    Attributes
    ----------
    table : DataFrame
        judged, overpass, grouping, class, filler, n, RMSE, bias (K).
    blocks, whole : int
        Blocks that were scored, and that there are.
    knows_truth : bool
        Whether pixels under true clouds could be judged.
    """

    table: pd.DataFrame
    blocks: int
    whole: int
    knows_truth: bool

    def value(self, judged: str, overpass: str, filler: str, score: str = "RMSE") -> float:
        """Return a score over all gaps; NaN where there is none."""
        table = self.table
        own = (table["judged"] == judged) & (table["overpass"] == overpass)
        rows = table[own & (table["filler"] == filler) & (table["grouping"] == "all")]
        return float(rows[score].iloc[0]) if len(rows) else float("nan")


@dataclass(frozen=True)
class HiddenFindings:
    """What is known of the filling of gaps in one year; nothing where none was filled or judged."""

    lst: LstScores | None = None
    seams: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Filler to n, share and every score (m3 m-3) on hidden swaths; the one in use first."""


def hidden_findings(
    config: RunConfig, product: Product, year: StoreYear, client: Client | None, listener: Listener
) -> HiddenFindings:
    """Return how well the gaps of a year were filled; blocks run on the cluster."""
    sources = {driver.source for driver in product.drivers}
    joined = sorted(name for name in sources & set(JOINED) if not JOINED[name].has_seams)
    return HiddenFindings(
        _lst(config, year, client, listener) if FILLED_CUBE in sources else None,
        _seams(config, joined[0], year, client, listener) if joined else {},
    )


def _lst(
    config: RunConfig, year: StoreYear, client: Client | None, listener: Listener
) -> LstScores | None:
    room = smallest_worker_bytes(client) if client else 0
    if room and room < BLOCK_BYTES:
        listener.warn(
            f"scores of hidden pixels need workers with {BLOCK_BYTES / 1e9:.1f} GB, the smallest "
            f"has {room / 1e9:.1f} GB: the report does without them"
        )
        return None
    truth = _true_temperature(config, year.year)
    made = derived_tasks(config, FILLED_CUBE, year.year)
    tasks = block_tasks(config, year, made, truth)
    sums = run_listed(
        [Task(task.name, score_lst_block, (task,)) for task in tasks],
        f"hidden pixels {year.year}",
        "blocks",
        client,
        listener,
    )
    found = pd.concat([_added(sums, judged, overpass) for judged, overpass in _kinds()])
    if found.empty:
        return None
    return LstScores(found.reset_index(drop=True), len(tasks), len(made), truth is not None)


def _kinds() -> list[tuple[str, str]]:
    return [(judged, overpass) for judged in (HIDDEN, CLOUDY) for overpass in OVERPASSES]


def _added(frames: Sequence[pd.DataFrame], judged: str, overpass: str) -> pd.DataFrame:
    """Return the scores of one kind over all blocks."""
    whole = GapSums()
    for frame in frames:
        own = frame[(frame["judged"] == judged) & (frame["overpass"] == overpass)]
        whole = whole + GapSums.from_frame(own)
    table = whole.table()
    table.insert(0, "overpass", overpass)
    table.insert(0, "judged", judged)
    return table


def _true_temperature(config: RunConfig, year: int) -> Layer | None:
    """Return the true temperature beside the true moisture; None where there is none."""
    if not config.store.truth:
        return None
    folder = config.store.truth.rstrip("/").rpartition("/")[0]
    url = TRUTHS["truth_lst"].url(folder, year)
    if not open_objects(url).exists("zarr.json"):
        return None
    return Layer(url, TRUTH_LST_SCHEMA, year, OVERPASSES[0], required=False)


def block_tasks(
    config: RunConfig, year: StoreYear, made: Sequence[DerivedTask], truth: Layer | None
) -> list[BlockTask]:
    """Return the tasks of some of the blocks, named by what their scores depend on."""
    rule, seed = CloudHiding(), config.train.seed
    folder = join(config.layout.reports(year.schema.name), str(year.year), "hidden")
    tasks = []
    for one in made[:: -(-len(made) // MOST_BLOCKS)]:
        url = truth.url if truth else ""
        sha = combined_hash([one.input_hash, VERSION, repr(rule), seed, url])
        name = f"hidden-{one.task_name}-{sha[:12]}"
        tasks.append(BlockTask(one, truth, seed % rule.apart, folder, name))
    return tasks


def score_lst_block(task: BlockTask) -> pd.DataFrame:
    """Return the sums of a block: judged, overpass, and as `GapSums.to_frame`; kept for next time.

    Raises
    ------
    NotFoundError
        If a cube that the block was filled from is not there.
    """
    stored, key = open_objects(task.folder), f"{task.name}.parquet"
    try:
        data = stored.get(key)
    except NotFoundError:
        frames = [_overpass(task, overpass) for overpass in OVERPASSES]
        buffer = io.BytesIO()
        pd.concat(frames, ignore_index=True).to_parquet(buffer, index=False)
        data = buffer.getvalue()
        stored.put(key, data)
    return pd.read_parquet(io.BytesIO(data))


def _overpass(task: BlockTask, overpass: str) -> pd.DataFrame:
    """Return the sums of one overpass over a block."""
    data = _window(task, overpass)
    block = task.made.block
    where = np.zeros(block.window.shape, np.bool_)
    where[block.part.within(block.window)] = land_mask(block.part)
    rule = CloudHiding()
    hidden = hidden_sums(data, rule, (task.fold,), FILLERS, where).to_frame()
    frames = [hidden.assign(judged=HIDDEN)]
    if task.truth is not None:
        frames.append(
            _cloudy(task, task.truth, overpass, data, where).to_frame().assign(judged=CLOUDY)
        )
    return pd.concat(frames, ignore_index=True).assign(overpass=overpass)


def _window(task: BlockTask, overpass: str) -> LstWindow:
    """Return one overpass of a block as production read it, nothing around it being known."""
    block = task.made.block
    looks, heights, reanalysis = (
        required_cube(block, source, year)
        for source, year in (("mod11a1", block.year), ("terrain", None), ("era5land", block.year))
    )
    every = np.arange(block.window.shape[0] * block.window.shape[1])
    shape = block.window.shape
    height = heights.read_physical("elevation", slice(0, 1), block.window, required=False)
    return LstWindow(
        block.window,
        looks.times,
        looks.variables[overpass],
        looks_of(looks, overpass, block.window, every).reshape(-1, *shape),
        height.reshape(shape).astype(np.float64) / 1000.0,
        reanalysis_of(reanalysis, block, len(looks.times)),
        RULES[overpass],
    )


def _cloudy(task: BlockTask, truth: Layer, overpass: str, data: LstWindow, where: Mask) -> GapSums:
    """Return the sums under true clouds of what production stored, beside climatology alone."""
    block = task.made.block
    steps = slice(0, len(data.days))
    cube, made = truth.open(), Layer(task.made.store, SCHEMA, block.year, overpass).open()
    clouds = cube.read(overpass.replace("lst", "cloud"), steps, block.window, required=False)
    true = cube.read_physical(overpass, steps, block.window, required=False)
    state = made.read(state_name(overpass), steps, block.window, required=False)
    values = {
        FILLED: made.read_physical(overpass, steps, block.window, required=False),
        CLIMATOLOGY: climatology_alone(data),
    }
    sums = GapSums()
    sums.add(
        values,
        true,
        (clouds == 1) & ~data.known & where,
        gap_classes(data.known, state.astype(np.uint8)),
    )
    return sums


@dataclass(frozen=True)
class SeamTask:
    """One block of a joined coarse cube whose seams are scored."""

    made: DerivedTask
    source: str

    @property
    def name(self) -> str:
        """Return the readable key, as ``seams-coarse_moisture_36km-globe-2012-b03``."""
        return f"seams-{self.made.task_name.removeprefix('ingest-')}"


def score_seam_block(task: SeamTask) -> HiddenScores | None:
    """Return the scores of a block; None where nothing could be hidden."""
    return seam_scores(task.made.block, task.source)


def _seams(
    config: RunConfig, source: str, year: StoreYear, client: Client | None, listener: Listener
) -> Mapping[str, Mapping[str, float]]:
    """Return the scores by filler over the blocks of a joined coarse cube; none without any."""
    made = derived_tasks(config, source, year.year)
    tasks = [SeamTask(one, source) for one in made[:: -(-len(made) // MOST_BLOCKS)]]
    found = run_listed(
        [Task(task.name, score_seam_block, (task,)) for task in tasks],
        f"hidden swaths {year.year}",
        "blocks",
        client,
        listener,
    )
    known = [one for one in found if one is not None]
    return by_filler(reduce(add, known)) if known else {}
