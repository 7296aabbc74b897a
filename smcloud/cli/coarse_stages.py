"""The stages of products on coarse grids: each runs, and prints what it did."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from distributed import Client

from smcloud.cli import ground_tables, seamless_tables, year_tables
from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener, Silent
from smcloud.production import (
    freeze_thaw_publish,
    freeze_thaw_train,
    freeze_thaw_validate,
    freeze_thaw_year,
    seamless_publish,
    seamless_train,
    seamless_validate,
    seamless_year,
)
from smcloud.production.coarse_year import CoarseSummary, Redo
from smcloud.products.base import Product

Result = TypeVar("Result")
Stage = Callable[[RunConfig, Product, Client | None, Listener], None]
Production = Callable[[RunConfig, Product, Client | None, Listener, Redo], None]
"""A produce stage is told what is to be done again."""


class MakesYears(Protocol):
    """What a produce stage of production looks like."""

    def __call__(
        self,
        config: RunConfig,
        product: Product,
        client: Client | None,
        listener: Listener,
        *,
        redo: Redo,
    ) -> CoarseSummary:
        """Produce the years of a run."""


@dataclass(frozen=True)
class Stages:
    """What the commands do of one kind of product."""

    plan: Callable[[RunConfig, Product], None]
    train: Stage
    produce: Production
    validate: Stage
    publish: Stage


def _shown(
    run: Callable[[RunConfig, Product, Client | None, Listener], Result],
    show: Callable[[Result], None],
) -> Stage:
    """Return a stage that runs and prints what came out."""

    def act(config: RunConfig, product: Product, client: Client | None, listener: Listener) -> None:
        show(run(config, product, client, listener))

    return act


def _produced(run: MakesYears) -> Production:
    """Return a produce stage that prints the years it made."""

    def act(
        config: RunConfig,
        product: Product,
        client: Client | None,
        listener: Listener,
        redo: Redo,
    ) -> None:
        year_tables.show_years(run(config, product, client, listener, redo=redo))

    return act


def _plan_ground(config: RunConfig, product: Product) -> None:
    ground_tables.show_plans(freeze_thaw_year.plan_freeze_thaw(config, product))


def _plan_seamless(config: RunConfig, product: Product) -> None:
    seamless_tables.show_plans(seamless_year.plan_seamless(config, product, Silent()))


GROUND = Stages(
    _plan_ground,
    _shown(freeze_thaw_train.run_freeze_thaw, ground_tables.show_forest),
    _produced(freeze_thaw_year.run_produce),
    _shown(freeze_thaw_validate.run_validate, ground_tables.show_found),
    _shown(freeze_thaw_publish.run_publish, year_tables.show_files),
)
SEAMLESS = Stages(
    _plan_seamless,
    _shown(seamless_train.run_train, seamless_tables.show_network),
    _produced(seamless_year.run_produce),
    _shown(seamless_validate.run_validate, seamless_tables.show_found),
    _shown(seamless_publish.run_publish, year_tables.show_files),
)


def own_stages(product: Product) -> Stages | None:
    """Return the stages of a product on a coarse grid; None for those of 1 km."""
    if product.label:
        return GROUND
    return SEAMLESS if product.gaps else None
