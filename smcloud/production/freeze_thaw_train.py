"""The train stage of freeze-thaw: the table of labelled cells, then a forest and its scores."""

from collections.abc import Iterable

from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.listener import Listener
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.models.freeze_thaw import ForestRules
from smcloud.production.freeze_thaw_inputs import reader_of
from smcloud.production.freeze_thaw_table import COLUMNS, build_freeze_thaw_table
from smcloud.production.freeze_thaw_tasks import (
    FreezeThawRequest,
    FreezeThawSummary,
    train_freeze_thaw,
)
from smcloud.production.ledger import Ledger, Record
from smcloud.products.base import Product
from smcloud.validation.splits import SplitRules


def run_freeze_thaw(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> FreezeThawSummary:
    """Build the table of a run, grow and score its forest, and note it in the ledger.

    Raises
    ------
    NotFoundError
        If cubes were not ingested.
    UserError
        If no row has a label, or a state has no row to learn from.
    """
    table = build_freeze_thaw_table(config, product, client, listener)
    made = train_freeze_thaw(table, request_of(config, product), client, listener)
    _note_in_ledger(config, product, made, sorted(set(config.training_years)))
    return made


def request_of(config: RunConfig, product: Product) -> FreezeThawRequest:
    """Return what a run file says of the forest."""
    ground, sources = config.ground, reader_of(config, product).sources
    return FreezeThawRequest(
        root=config.store.root,
        name=config.model_name,
        features=sources.columns,
        units=sources.units,
        target=product.target.column,
        target_units=product.target.units,
        versions={"columns": str(product.version), "radiometer": sources.radiometer},
        partly=ground.partly,
        forest=ForestRules(
            trees=ground.trees,
            max_depth=ground.max_depth,
            min_samples_leaf=ground.min_samples_leaf,
            max_features=ground.max_features,
            balanced=ground.balanced,
            decision=ground.decision,
            seed=config.train.seed,
        ),
        split=SplitRules(block_degrees=ground.block_degrees, seed=config.train.seed),
        folds=ground.folds,
        gldas=sources.of_land_model,
        columns=COLUMNS,
    )


def _note_in_ledger(
    config: RunConfig, product: Product, made: FreezeThawSummary, years: Iterable[int]
) -> None:
    """Record the model at each year that taught it, unless that is known already."""
    ledger = Ledger(config.store.root, f"train/{made.card.name}")
    for year in years:
        key = TileYear(product.schema.grid, GLOBE, year)
        record = Record(
            f"train/{made.card.name}",
            key,
            made.card.input_hash,
            {"card.json": made.card.sha256},
            figures={"rows": float(sum(made.card.rows.values()))},
        )
        known = ledger.records(year).get(key)
        if known is None or known.input_hash != record.input_hash:
            ledger.write(record)
