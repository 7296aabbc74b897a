"""The passes of a downscaled year: first guesses of all blocks, nodes slab by slab, then blocks.

Cells lie across blocks and tiles, so that the mean of one is known only when all blocks have their
first guess. What is finished is kept: each first guess has a receipt, each slab its settled nodes.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
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
from smcloud.models.anchoring import AnchorRules
from smcloud.models.damping import Spread, factors, factors_to_bytes, merged
from smcloud.production.anchor_pass import (
    Anchored,
    AnchorTask,
    CoarseField,
    VisitTask,
    anchor_slab,
    slabs_by_block,
    visit_block,
)
from smcloud.production.block import BlockReceipt, read_receipt, receipt_key
from smcloud.production.cluster import worker_threads
from smcloud.production.downscalers import open_downscaler
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
from smcloud.production.plan import PlannedBlock, TilePlan, YearPlan
from smcloud.production.recipe import Recipe
from smcloud.production.runner import Task, run_tasks
from smcloud.products.base import Downscaling
from smcloud.products.downscaled import NOT_MODELLED

log = logging.getLogger(__name__)

T = TypeVar("T")


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

    def prepare(self) -> None:
        """Make the first guess of every block, its damping, then the nodes of every slab."""
        create_store(self._work.store, self._schema, self._plan.year, {})
        self._guess()
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

    def tidy(self) -> None:
        """Delete first guesses, sums and nodes, where the credentials may."""
        work = open_objects(self._work.url)
        try:
            for info in work.list():
                work.delete(info.key)
        except StoreError as err:
            log.warning("first guesses stay at %s: %s", work.url, err)

    def _guess(self) -> None:
        stored = {info.key for info in open_objects(self._work.receipts).list()}
        tasks = [
            Task(task.name, guess_block, (task,))
            for tile in self._plan.tiles
            for block in tile.blocks
            if not self._is_guessed(task := self._guess_task(tile, block), stored)
        ]
        self._over(tasks, "first guess", "blocks")

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
        spread = merged([Spread.from_bytes(work.get(key)) for key in keys])
        found = np.ones(len(days), np.float32)
        if recipe.config.downscale.damped:
            model = open_downscaler(
                recipe.models, recipe.config.model_name, recipe.card.whole_sha256
            )
            found = factors(spread, np.array([model.slope(day) for day in days]))
        work.put(self._work.damping_key, factors_to_bytes(found))
        self._listener.note(
            f"first guesses are damped to {np.median(found):.0%} of their pattern (median of days)"
        )

    def _anchor(self) -> None:
        """Settle the nodes of every slab, visiting blocks again where values may be clamped."""
        rules = self._recipe.anchor_rules
        n_slabs = len(slabs_of(len(self._schema.times(self._plan.year)), SLAB_DAYS))
        settled = {info.key for info in open_objects(self._work.url).list("nodes/settled/")}
        waiting = [n for n in range(n_slabs) if self._work.settled_key(n) not in settled]
        if waiting:
            every = tuple(block.name for block in self._blocks())
            self._visit([Anchored(slab, every) for slab in waiting], 0)
        visited: Mapping[int, tuple[str, ...]] = dict.fromkeys(waiting, ())
        for visit in range(rules.rounds + 1):
            if not visited:
                return
            found = self._solved(visited, visit, rules)
            again = [one for one in found if one.again]
            visited = {one.slab: one.again for one in again}
            self._visit(again, visit + 1)

    def _solved(
        self, visited: Mapping[int, tuple[str, ...]], visit: int, rules: AnchorRules
    ) -> list[Anchored]:
        tasks = [
            Task(task.name, anchor_slab, (task,))
            for slab, blocks in visited.items()
            for task in [
                AnchorTask(
                    year=self._plan.year,
                    slab=slab,
                    blocks=tuple(block.name for block in self._blocks()),
                    visited=blocks,
                    visit=visit,
                    is_last=visit == rules.rounds,
                    coarse=self._coarse,
                    work=self._work,
                    rules=rules,
                )
            ]
        ]
        return self._over(tasks, "anchor", "slabs of days")

    def _visit(self, again: Sequence[Anchored], visit: int) -> None:
        wanted = slabs_by_block(again)
        tasks = [
            Task(task.name, visit_block, (task,))
            for block in self._blocks()
            if block.name in wanted
            for task in [VisitTask(block, wanted[block.name], visit)]
        ]
        self._over(tasks, "visit" if visit else "sum", "blocks")

    def _over(self, tasks: list[Task[T]], stage: str, unit: str) -> list[T]:
        """Return what the tasks return, in their order."""
        found: dict[str, T] = {}

        def keep(task: Task[T], result: T) -> None:
            found[task.key] = result
            self._listener.advance()

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
    return CoarseField(url, recipe.schema_of(source), variable, year)


def _ceiling(recipe: Recipe, name: str) -> FeatureReader | None:
    """Return the reader of the static feature that no value may exceed."""
    if not name:
        return None
    drivers = recipe.product.drivers
    return FeatureReader(features_named([name], drivers), drivers, recipe.reader.cubes)
