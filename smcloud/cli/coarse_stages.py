"""The stages of products on coarse grids: each runs, and prints what it did."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from distributed import Client

from smcloud.cli import ground_tables, seamless_tables
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
from smcloud.production.coarse_year import Redo
from smcloud.products.base import Product

Stage = Callable[[RunConfig, Product, Client | None, Listener], None]


class Production(Protocol):
    """A produce stage: it says what is to be done again."""

    def __call__(
        self,
        config: RunConfig,
        product: Product,
        client: Client | None,
        listener: Listener,
        redo: Redo,
    ) -> None:
        """Produce, and print what was made."""


@dataclass(frozen=True)
class Stages:
    """What the commands do of one kind of product."""

    plan: Callable[[RunConfig, Product], None]
    train: Stage
    produce: Production
    validate: Stage
    publish: Stage


def own_stages(product: Product) -> Stages | None:
    """Return the stages of a product on a coarse grid; None for those of 1 km."""
    if product.label:
        return GROUND
    return SEAMLESS if product.gaps else None


def _plan_ground(config: RunConfig, product: Product) -> None:
    ground_tables.show_plans(freeze_thaw_year.plan_freeze_thaw(config, product))


def _train_ground(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> None:
    made = freeze_thaw_train.run_freeze_thaw(config, product, client, listener)
    ground_tables.show_forest(made)


def _produce_ground(
    config: RunConfig, product: Product, client: Client | None, listener: Listener, redo: Redo
) -> None:
    made = freeze_thaw_year.run_produce(config, product, client, listener, redo=redo)
    ground_tables.show_years(made)


def _validate_ground(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> None:
    ground_tables.show_found(freeze_thaw_validate.run_validate(config, product, client, listener))


def _publish_ground(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> None:
    ground_tables.show_files(freeze_thaw_publish.run_publish(config, product, client, listener))


def _plan_seamless(config: RunConfig, product: Product) -> None:
    seamless_tables.show_plans(seamless_year.plan_seamless(config, product, Silent()))


def _train_seamless(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> None:
    seamless_tables.show_network(seamless_train.run_train(config, product, client, listener))


def _produce_seamless(
    config: RunConfig, product: Product, client: Client | None, listener: Listener, redo: Redo
) -> None:
    made = seamless_year.run_produce(config, product, client, listener, redo=redo)
    seamless_tables.show_years(made)


def _validate_seamless(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> None:
    seamless_tables.show_found(seamless_validate.run_validate(config, product, client, listener))


def _publish_seamless(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> None:
    ground_tables.show_files(seamless_publish.run_publish(config, product, client, listener))


GROUND = Stages(_plan_ground, _train_ground, _produce_ground, _validate_ground, _publish_ground)
SEAMLESS = Stages(
    _plan_seamless, _train_seamless, _produce_seamless, _validate_seamless, _publish_seamless
)
