"""What one training needs to know beside its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from smcloud.core.config import RunConfig, TuneConfig
from smcloud.core.layout import join
from smcloud.core.objects import Objects, open_objects
from smcloud.features.spec import Feature
from smcloud.models.constraints import Constraints
from smcloud.models.folds import Variant
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TableColumns
from smcloud.models.training import Route
from smcloud.models.tuning import SPACE, TuningRules
from smcloud.production.samples_stage import features_of
from smcloud.products.base import Product
from smcloud.validation.selection import SelectionRules
from smcloud.validation.splits import SplitKind, SplitRules

SHIPPED: SplitKind = "station"
"""The split whose first fold is the stored model: its test stations stay unseen."""
FEWEST_PARTS = 5
"""One part in five is the test set of a fold, unless more folds are asked for."""
TRUTH = "soil_moisture_pixel"
"""Column of the simulated truth at the pixel of a station."""


@dataclass(frozen=True)
class TrainRequest:
    """What one training needs to know beside the table.

    Attributes
    ----------
    root : str
        Product root below which the model is written (`Layout`).
    name : str
        Name of the model.
    columns : TableColumns
    rules : SplitRules
    params : BoostingParams
        As stated; constraints by feature name come on top.
    product : str
        Product whose reports receive the estimates of the test sets; the model's name by default.
    route : "auto", "dask" or "local"
    target_units : str
    units : tuple of str
        Units of the features; empty strings where nobody said.
    versions : mapping
        Versions of product and features, kept in the card.
    folds : int
        Folds of each split that are trained and scored.
    constraints : Constraints
    tuning : TuningRules or None
        The search for parameters; None keeps those stated.
    selection : SelectionRules or None
        Models of selected stations are made beside those of all; needs references.
    ship : "selected" or "all"
        Which of them is stored, where there is a selection.
    held_out_networks : tuple of str
    groups : mapping
        Driver to its features, for importance and ablation.
    permutations : int
        Repeats of each permutation importance; 0 leaves it out.
    ablation : bool
        Train once more without each group of features.
    most_rows : int
        Rows that a training takes, every so-manieth day of all stations; 0 for all.
    has_uncertainty : bool
        Fit the uncertainty and the area of applicability of the stored model.
    """

    root: str
    name: str
    columns: TableColumns
    rules: SplitRules = field(default_factory=SplitRules)
    params: BoostingParams = field(default_factory=BoostingParams)
    product: str = ""
    route: Route = "auto"
    target_units: str = ""
    units: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    folds: int = 1
    constraints: Constraints = field(default_factory=Constraints)
    tuning: TuningRules | None = None
    selection: SelectionRules | None = None
    ship: Variant = "selected"
    held_out_networks: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    permutations: int = 0
    ablation: bool = False
    most_rows: int = 0
    has_uncertainty: bool = True

    @property
    def models(self) -> Objects:
        """Return the prefix that holds all models of the root."""
        return open_objects(join(self.root, "models"))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Return the variants of the model that are trained, the stored one first."""
        if self.selection is None:
            return ("all",)
        return ("selected", "all") if self.ship == "selected" else ("all", "selected")

    @property
    def kinds(self) -> tuple[SplitKind, ...]:
        """Return the splits that are scored."""
        asked: tuple[SplitKind, ...] = ("random", "station", "year", "station_year")
        return (*asked, "network") if self.held_out_networks else asked

    @property
    def ruled(self) -> BoostingParams:
        """Return the stated parameters with the constraints by feature name.

        Raises
        ------
        ConfigError
            If a constraint names no feature of the model.
        """
        return self.constraints.applied(self.params, self.columns.features)


def request_of(config: RunConfig, product: Product, *, has_truth: bool) -> TrainRequest:
    """Return the training that a run file asks for."""
    chosen = config.train
    features = features_of(config, product)
    names = tuple(feature.name for feature in features)
    return TrainRequest(
        config.store.root,
        config.model_name,
        TableColumns(
            names,
            product.target.column,
            "station",
            "time",
            "latitude",
            "longitude",
            TRUTH if has_truth else None,
        ),
        SplitRules(
            block_degrees=chosen.block_degrees,
            folds=max(FEWEST_PARTS, chosen.folds),
            seed=chosen.seed,
        ),
        BoostingParams(
            rounds=chosen.rounds,
            early_stopping=chosen.early_stopping,
            seed=chosen.seed,
            trees={**product.parameters, **chosen.parameters},
            device=chosen.device,
        ),
        product.name,
        chosen.distributed,
        product.target.units,
        tuple(feature.units for feature in features),
        {
            "product": str(product.version),
            "schema": str(product.schema.version),
            **{f"feature {feature.name}": str(feature.version) for feature in features},
        },
        folds=chosen.folds,
        constraints=Constraints(chosen.monotone, chosen.interactions),
        tuning=None if config.tune is None else tuning_rules(config.tune),
        held_out_networks=chosen.held_out_networks,
        groups=groups_by_driver(features),
        permutations=chosen.permutations,
        ablation=chosen.ablation,
        most_rows=chosen.most_rows,
    )


def tuning_rules(chosen: TuneConfig) -> TuningRules:
    """Return the rules of a section [tune]."""
    return TuningRules(
        chosen.candidates,
        chosen.keep_one_in,
        chosen.rungs,
        chosen.inner_folds,
        chosen.score,
        chosen.every_fold,
        chosen.seed,
        chosen.space or dict(SPACE),
    )


def groups_by_driver(features: tuple[Feature, ...]) -> dict[str, tuple[str, ...]]:
    """Return the features of each driver, in the model's order; a feature of several is of all."""
    groups: dict[str, list[str]] = {}
    for feature in features:
        drivers = dict.fromkeys(name.partition(".")[0] for name in feature.inputs)
        for driver in drivers:
            groups.setdefault(driver, []).append(feature.name)
    return {driver: tuple(names) for driver, names in groups.items()}
