"""How the blocks of a year come about: each by itself, or in passes over a whole region."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from distributed import Client

from smcloud.core.listener import Listener
from smcloud.production.block import BlockReceipt, run_block, warm_up
from smcloud.production.cluster import do_ahead
from smcloud.production.downscaled_year import DownscaledYear, Place
from smcloud.production.passes import PassReceipt
from smcloud.production.plan import block_task
from smcloud.production.planned import PlannedBlock, TilePlan, YearPlan
from smcloud.production.recipe import Recipe
from smcloud.production.runner import Task


class Making(Protocol):
    """Makes blocks of one year of one version."""

    def prepare(self, wanted: Collection[Place]) -> None:
        """Do what must be done before these blocks can be made; what an earlier run did is kept."""

    def task(
        self, tile: TilePlan, block: PlannedBlock, expected: Mapping[str, str] | None = None
    ) -> Task[BlockReceipt]:
        """Return the task of a block; `expected` binds a repair to these hashes by shard."""

    def figures(self, tile: TilePlan) -> Mapping[str, float]:
        """Return what the record of a tile says beside its blocks: what was done before them."""

    def problems(self) -> tuple[str, ...]:
        """Return what the records of all tiles say that could not be made, and why."""

    def spent(self) -> Sequence[PassReceipt]:
        """Return the receipts of what this run did before the blocks."""

    def tidy(self) -> None:
        """Remove what only the making needed, once the year is published."""


class BlockByBlock:
    """Every block is made by one task from drivers and model alone."""

    def __init__(self, recipe: Recipe, plan: YearPlan, client: Client | None) -> None:
        self._recipe, self._plan, self._client = recipe, plan, client

    def prepare(self, wanted: Collection[Place]) -> None:
        """Load the model and compile what evaluates it in every worker."""
        recipe = self._recipe
        model = recipe.models, recipe.config.model_name, recipe.card.whole_sha256
        do_ahead(self._client, f"warm-{recipe.product.name}", warm_up, model)

    def task(
        self, tile: TilePlan, block: PlannedBlock, expected: Mapping[str, str] | None = None
    ) -> Task[BlockReceipt]:
        """Return the task that makes one block."""
        task = block_task(self._recipe, self._plan, tile, block, expected)
        return Task(task.name, run_block, (task,))

    def figures(self, tile: TilePlan) -> Mapping[str, float]:
        """Return nothing: there is no other pass."""
        return {}

    def problems(self) -> tuple[str, ...]:
        """Return nothing: every day has the same model."""
        return ()

    def spent(self) -> Sequence[PassReceipt]:
        """Return nothing: there is no other pass."""
        return ()

    def tidy(self) -> None:
        """Do nothing: nothing was left."""


def making_of(recipe: Recipe, plan: YearPlan, client: Client | None, listener: Listener) -> Making:
    """Return how a year of a product is made."""
    if recipe.product.downscaling is None:
        return BlockByBlock(recipe, plan, client)
    return DownscaledYear(recipe, plan, client, listener)
