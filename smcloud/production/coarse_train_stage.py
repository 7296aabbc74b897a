"""The train stage of products that learn from coarse cells: the coarse table, then its models."""

from collections import Counter
from dataclasses import dataclass

import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import UserError
from smcloud.core.listener import Listener
from smcloud.features.derived import schema_named
from smcloud.features.spec import split_input
from smcloud.grids.tiles import TileYear
from smcloud.models.families import known_families
from smcloud.models.family_search import SearchRules
from smcloud.models.gwr import LocalRule
from smcloud.models.gwr_bandwidth import BANDWIDTHS_KM, Judged
from smcloud.models.gwr_files import LocalCard
from smcloud.models.period_fits import PeriodRules
from smcloud.models.periods import PeriodsCard
from smcloud.production.coarse_table_stage import build_coarse_table
from smcloud.production.downscalers import DownscalerCard
from smcloud.production.ledger import Ledger, Record
from smcloud.production.local_tasks import LocalRequest, train_local
from smcloud.production.period_samples import PeriodsRequest
from smcloud.production.period_tasks import train_periods
from smcloud.production.samples_stage import features_of
from smcloud.products.base import Product


@dataclass(frozen=True, eq=False)
class CoarseTraining:
    """What a training on coarse cells made.

    Attributes
    ----------
    card : PeriodsCard or LocalCard
    url : str
        Prefix of the model.
    rows, cells, days : int
        Rows of the coarse table that have a coarse value, and the cells and days they are of.
    """

    card: DownscalerCard
    url: str
    rows: int
    cells: int
    days: int


def run_coarse(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> CoarseTraining:
    """Build the coarse table of a run, train its models, and note them in the ledger.

    Raises
    ------
    NotFoundError
        If cubes were not ingested.
    UserError
        If no coarse cell has a value in the run's tiles and years, or no period a model.
    """
    table = build_coarse_table(config, product, client, listener)
    is_local = product.downscaling is not None and product.downscaling.kind == "local"
    train = _train_local if is_local else _train_periods
    card = train(config, product, table, client, listener)
    known = table[table[product.target.column].notna()]
    made = CoarseTraining(
        card,
        config.layout.model(config.model_name),
        len(known),
        len(known[["row", "col"]].drop_duplicates()),
        int(known["time"].nunique()),
    )
    _note_in_ledger(config, product, made)
    return made


def _train_periods(
    config: RunConfig,
    product: Product,
    table: pd.DataFrame,
    client: Client | None,
    listener: Listener,
) -> PeriodsCard:
    """Return the card of models by period; raises UserError if no period has one."""
    rules = config.downscale
    features = features_of(config, product)
    request = PeriodsRequest(
        root=config.store.root,
        name=config.model_name,
        features=tuple(feature.name for feature in features),
        rules=PeriodRules(
            period_days=rules.period_days,
            minimum_samples=rules.minimum_samples,
            families=known_families(rules.families),
            pooled=rules.pooled,
            test_share=rules.test_share,
            search=SearchRules(candidates=rules.candidates, seed=config.train.seed),
        ),
        units=tuple(feature.units for feature in features),
        target=product.target.column,
        target_units=product.target.units,
        versions={feature.name: str(feature.version) for feature in features},
    )
    card = train_periods(table, request, client, listener).card
    if not card.modelled:
        ((reason, _),) = Counter(entry.why_not for entry in card.periods).most_common(1)
        raise UserError(
            f"no period of {config.product} has a model, mostly for this: {reason}; widen the "
            "region, or set downscale.period_days, minimum_samples or pooled"
        )
    return card


def _train_local(
    config: RunConfig,
    product: Product,
    table: pd.DataFrame,
    client: Client | None,
    listener: Listener,
) -> LocalCard:
    """Return the card of local regressions; raises UserError if no day can be modelled."""
    features, rules = features_of(config, product), config.downscale
    request = LocalRequest(
        root=config.store.root,
        name=config.model_name,
        grid=_cells_of(product),
        features=tuple(feature.name for feature in features),
        bandwidth_km=rules.bandwidth_km,
        rule=LocalRule(
            BANDWIDTHS_KM[0],
            minimum_cells=rules.minimum_cells,
            ridge=rules.ridge,
            days_around=rules.days_around,
        ),
        judged=Judged(seed=config.train.seed),
        units=tuple(feature.units for feature in features),
        target=product.target.column,
        target_units=product.target.units,
        versions={feature.name: str(feature.version) for feature in features},
    )
    return train_local(table, request, client, listener).card


def _cells_of(product: Product) -> str:
    """Return the name of the grid of the coarse field."""
    source = "" if product.downscaling is None else split_input(product.downscaling.coarse)[0]
    return schema_named(source).grid


def _note_in_ledger(config: RunConfig, product: Product, made: CoarseTraining) -> None:
    """Record the model at each tile-year that taught it, unless that is known already."""
    ledger = Ledger(config.store.root, f"train/{made.card.name}")
    sha256 = made.card.whole_sha256
    for year in config.training_years:
        known = ledger.records(year)
        for tile in sorted(set(config.tiles)):
            key = TileYear(product.schema.grid, tile, year)
            record = Record(
                f"train/{made.card.name}",
                key,
                made.card.input_hash,
                {"card.json": sha256},
                figures={"rows": float(made.rows)},
            )
            if key not in known or known[key].shards != record.shards:
                ledger.write(record)
