"""The passes of a downscaled year: first guesses of all blocks, nodes slab by slab, then blocks.

Cells lie across blocks and tiles, so that the mean of one is known only when all blocks have their
first guess. What is finished is kept: each first guess has a receipt, each slab its settled nodes.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
from distributed import Client

from smcloud.core.errors import StoreError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.store import create_store
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.spec import split_input
from smcloud.grids.tiles import GLOBE
from smcloud.models.damping import Spread, factors, factors_to_bytes, merged
from smcloud.models.downscaler import Downscaler
from smcloud.production.anchor_pass import AnchorTask, CoarseField, VisitTask
from smcloud.production.anchor_passes import AnchorPasses
from smcloud.production.block import BlockReceipt, read_receipt, receipt_key
from smcloud.production.cluster import worker_threads
from smcloud.production.downscalers import days_without_model, open_downscaler
from smcloud.production.finish_block import FinishTask, FlagLayer, finish_block
from smcloud.production.first_guess import (
    SLAB_DAYS,
    FineBlock,
    GuessTask,
    Work,
    first_guess_schema,
    guess_block,
    slabs_of,
)
from smcloud.production.passes import (
    SETTLED,
    CountedTask,
    Extent,
    Pass,
    PassReceipt,
    figures_of,
    of_guess,
    read_receipts,
    run_counted,
    write_extent,
)
from smcloud.production.planned import PlannedBlock, TilePlan, YearPlan
from smcloud.production.recipe import Recipe
from smcloud.production.runner import Task, run_tasks
from smcloud.products.base import Downscaling
from smcloud.products.downscaled import NOT_MODELLED

log = logging.getLogger(__name__)

T = TypeVar("T")
Place = tuple[str, int]
"""A tile and the number of a block in it."""


class DownscaledYear:
    """Makes one year of one version of a product that comes down from coarse cells."""

    def __init__(
        self, recipe: Recipe, plan: YearPlan, client: Client | None, listener: Listener
    ) -> None:
        downscaling = recipe.product.downscaling
        if downscaling is None:
            raise ValueError(f"{recipe.product.name} does not come down from coarse cells")
        self._recipe, self._plan = recipe, plan
        self._client, self._listener = client, listener
        self._how: Downscaling = downscaling
        config = recipe.config
        self._work = Work(config.layout.work(recipe.product.name, plan.year, plan.version))
        self._schema = first_guess_schema(recipe.schema)
        self._coarse = _field(recipe, downscaling.coarse, plan.year)
        self._slabs = slabs_of(len(self._schema.times(plan.year)), SLAB_DAYS)
        self._spent: list[PassReceipt] = []

    def prepare(self, wanted: Collection[Place]) -> None:
        """Make the first guess of every block, its damping, then the nodes of every slab.

        Where all nodes are known, as of a published year, only blocks that are wanted need theirs.
        """
        create_store(self._work.store, self._schema, self._plan.year, {})
        if len(self._settled()) == len(self._slabs):
            self._guess(wanted)
            return
        blocks = {tile.key.tile: len(tile.blocks) for tile in self._plan.tiles}
        write_extent(self._work, Extent(blocks, len(self._slabs)))
        self._guess((tile.key.tile, one.number) for tile in self._plan.tiles for one in tile.blocks)
        self._damp()
        self._anchor()

    def task(
        self, tile: TilePlan, block: PlannedBlock, expected: Mapping[str, str] | None = None
    ) -> Task[BlockReceipt]:
        """Return the task that finishes one block."""
        config, recipe = self._recipe.config, self._recipe
        task = FinishTask(
            block=self._block(tile, block),
            schema=recipe.schema,
            target=recipe.product.target.column,
            coarse=self._coarse,
            filled=self._how.filled,
            layers=tuple(self._layers()),
            store=config.layout.store(recipe.product.name, self._plan.year, self._plan.version),
            receipts=self._plan.receipts,
            expected=expected or {},
        )
        return Task(task.name, finish_block, (task,))

    def figures(self, tile: TilePlan) -> dict[str, float]:
        """Return the core-seconds of each pass for a tile, and the peak bytes of their tasks.

        Days without a model are among the figures too, if there are any.
        """
        rows = {
            one.key.tile: sum(block.land_pixels for block in one.blocks) for one in self._plan.tiles
        }
        without = sum(self._without_model.values())
        days = {"days_without_model": float(without)} if without else {}
        return {**figures_of(self._receipts, tile.key.tile, rows), **days}

    def problems(self) -> tuple[str, ...]:
        """Return the days without a model, which are not produced, and why."""
        return tuple(self._without_model)

    def spent(self) -> Sequence[PassReceipt]:
        """Return the receipts of the tasks that this run did before the blocks."""
        return self._spent

    def tidy(self) -> None:
        """Delete first guesses, sums and receipts, where the credentials may.

        Damping and nodes stay: they are small, and with them a damaged block is made again alone.
        """
        work = open_objects(self._work.url)
        try:
            for info in work.list():
                if info.key != self._work.damping_key and not info.key.startswith(SETTLED):
                    work.delete(info.key)
        except StoreError as err:
            log.warning("first guesses stay at %s: %s", work.url, err)

    @cached_property
    def _without_model(self) -> dict[str, int]:
        return days_without_model(self._model(), self._schema.times(self._plan.year))

    def _model(self) -> Downscaler:
        recipe = self._recipe
        return open_downscaler(recipe.models, recipe.config.model_name, recipe.card.whole_sha256)

    @cached_property
    def _receipts(self) -> list[PassReceipt]:
        return read_receipts(self._work)

    @cached_property
    def _land(self) -> dict[str, int]:
        """Return the land pixels of each block, by name."""
        return {
            self._block(tile, block).name: block.land_pixels
            for tile in self._plan.tiles
            for block in tile.blocks
        }

    def _settled(self) -> set[str]:
        return {info.key for info in open_objects(self._work.url).list(SETTLED)}

    def _guess(self, wanted: Iterable[Place]) -> None:
        stored, places = {info.key for info in open_objects(self._work.receipts).list()}, {*wanted}
        tasks = [
            Task(task.name, guess_block, (task,))
            for tile in self._plan.tiles
            for block in tile.blocks
            if (tile.key.tile, block.number) in places
            and not self._is_guessed(task := self._guess_task(tile, block), stored)
        ]
        self._over(tasks, "first guess", "blocks", of_guess)

    def _guess_task(self, tile: TilePlan, block: PlannedBlock) -> GuessTask:
        recipe = self._recipe
        return GuessTask(
            block=self._block(tile, block),
            reader=recipe.reader,
            models=recipe.models,
            model=recipe.config.model_name,
            model_sha256=recipe.card.whole_sha256,
            refuse=recipe.product.no_estimate_where,
            unmodelled=NOT_MODELLED,
            step_days=recipe.config.produce.step_days,
            read_ahead=recipe.config.read_ahead,
        )

    def _is_guessed(self, task: GuessTask, stored: set[str]) -> bool:
        key = receipt_key(task.block.key.tile, task.block.number)
        receipt = read_receipt(self._work.receipts, key) if key in stored else None
        return receipt is not None and receipt.input_hash == task.block.input_hash

    def _damp(self) -> None:
        """Write the factor of each day by which first guesses are scaled."""
        recipe, days = self._recipe, self._schema.times(self._plan.year)
        work = open_objects(self._work.url)
        keys = [self._work.spread_key(block.name) for block in self._blocks()]
        spread = merged(Spread.from_bytes(work.get(key)) for key in keys)
        found = np.ones(len(days), np.float32)
        if recipe.config.downscale.damped:
            model = self._model()
            found = factors(spread, np.array([model.slope(day) for day in days]))
        work.put(self._work.damping_key, factors_to_bytes(found))
        self._listener.note(
            f"first guesses are damped to {np.median(found):.0%} of their pattern (median of days)"
        )

    def _anchor(self) -> None:
        """Settle the nodes of every slab of days, each task leaving what it took."""
        passes = AnchorPasses(
            self._plan.year,
            tuple(self._blocks()),
            self._coarse,
            self._work,
            self._recipe.anchor_rules,
            self._over_counted,
        )
        passes.settle()

    def _over_counted(self, tasks: list[Task[T]], stage: Pass, unit: str) -> list[T]:
        counted = [self._counted(task, stage) for task in tasks]
        visit = tasks[0].args[0].visit if tasks else 0
        label = f"{stage}, round {visit}" if visit else stage
        return [found for found, _ in self._over(counted, label, unit, lambda one: one[1])]

    def _counted(self, task: Task[T], stage: Pass) -> Task[tuple[T, PassReceipt]]:
        """Return a task of summing or solving that leaves a receipt."""
        what: VisitTask | AnchorTask = task.args[0]
        if isinstance(what, VisitTask):
            tile, land, slabs = what.block.key.tile, self._land[what.block.name], what.slabs
        else:
            tile, land, slabs = GLOBE, sum(self._land.values()), (what.slab,)
        rows = land * sum(self._slabs[n].stop - self._slabs[n].start for n in slabs)
        # The slabs belong to the name: a run that was killed leaves some of them for the next.
        key = f"{task.key}-s{slabs[0]:02d}-{slabs[-1]:02d}"
        counted = CountedTask(task.function, what, stage, tile, rows, self._work, key)
        return Task(task.key, run_counted, (counted,))

    def _over(
        self,
        tasks: list[Task[T]],
        stage: str,
        unit: str,
        receipt_of: Callable[[T], PassReceipt],
    ) -> list[T]:
        """Return what the tasks return, in their order; their receipts are kept for the summary."""
        found: dict[str, T] = {}
        rows, started = 0, time.perf_counter()

        def keep(task: Task[T], result: T) -> None:
            nonlocal rows
            found[task.key], receipt = result, receipt_of(result)
            self._spent.append(receipt)
            rows += receipt.rows
            self._listener.advance(land_rows_per_s=rows / (time.perf_counter() - started))

        if not tasks:
            return []
        config, client = self._recipe.config, self._client
        ahead = config.produce.tasks_per_worker
        self._listener.begin(f"{stage} {self._recipe.product.name}", len(tasks), unit)
        try:
            run_tasks(
                client,
                tasks,
                window=ahead * worker_threads(client) if client else 1,
                on_done=keep,
                listener=self._listener,
            )
        finally:
            self._listener.end()
        return [found[task.key] for task in tasks]

    def _blocks(self) -> Iterator[FineBlock]:
        """Yield every block of the year, in order of tiles."""
        for tile in self._plan.tiles:
            for block in tile.blocks:
                yield self._block(tile, block)

    def _block(self, tile: TilePlan, block: PlannedBlock) -> FineBlock:
        recipe = self._recipe
        return FineBlock(
            key=tile.key,
            number=block.number,
            window=block.window,
            part=recipe.part(tile.key.tile),
            schema=self._schema,
            cells=self._coarse.schema.grid,
            ceiling=_ceiling(recipe, self._how.ceiling),
            highest=recipe.product.target.valid[1],
            work=self._work,
            input_hash=tile.input_hash,
        )

    def _layers(self) -> Iterator[FlagLayer]:
        recipe = self._recipe
        for rule in self._how.flags:
            source, variable = split_input(rule.layer)
            url = join(recipe.config.cube_prefix(source), year_store(self._plan.year))
            yield FlagLayer(url, recipe.schema_of(source), variable, rule.values, rule.bit)


def _field(recipe: Recipe, layer: str, year: int) -> CoarseField:
    source, variable = split_input(layer)
    url = join(recipe.config.cube_prefix(source), year_store(year))
    valid = recipe.product.target.valid
    return CoarseField(url, recipe.schema_of(source), variable, year, valid)


def _ceiling(recipe: Recipe, name: str) -> FeatureReader | None:
    """Return the reader of the static feature that no value may exceed."""
    if not name:
        return None
    drivers = recipe.product.drivers
    return FeatureReader(features_named([name], drivers), drivers, recipe.reader.cubes)
