"""What a product is: a record that reads as a recipe. The engine does the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from smcloud.core.errors import ConfigError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.features.spec import QUALITY_MEANINGS, Driver

ESTIMATE_CLIPPED = 32
NO_ESTIMATE = 64
OUTSIDE_AREA = 128
"""Judged by the features of the 15th, for all days of its month."""
OPEN_WATER = 256
"""Judged as `OUTSIDE_AREA` is."""
QUALITY_FLAGS: Mapping[int, str] = {
    **QUALITY_MEANINGS,
    ESTIMATE_CLIPPED: "estimate_clipped_to_valid_range",
    NO_ESTIMATE: "no_estimate_because_a_required_driver_is_unknown",
    OUTSIDE_AREA: "outside_area_of_applicability_of_the_model",
    OPEN_WATER: "open_water_suspected",
}
"""Bits of a product's quality flag: those of the features, and those that production adds."""


@dataclass(frozen=True)
class Target:
    """What the model learns to say.

    Attributes
    ----------
    column : str
        Name of the target in the sample table and of the variable in the product.
    units : str
    valid : (float, float)
        Physical range: samples outside are dropped, estimates outside are clipped and flagged.
    rule : str
        How a sample comes about, in one line for the model card.
    """

    column: str
    units: str
    valid: tuple[float, float]
    rule: str


@dataclass(frozen=True)
class Published:
    """A figure that the data set's authors report: shown beside ours, never mixed with it."""

    name: str
    value: str
    source: str


@dataclass(frozen=True)
class Option:
    """One of the drivers that can fill a place in a product.

    Attributes
    ----------
    driver : Driver
    features : mapping of str to str
        Features of the recipe, and those that this driver gives instead: another quantity has
        another name, so that no model of the one is asked about the other.
    """

    driver: Driver
    features: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FlagRule:
    """A fine cube whose stored values raise a bit of the product's quality flag.

    Attributes
    ----------
    layer : str
        ``source.variable``, of one of the drivers.
    values : tuple of int
        Stored values under which the bit is raised.
    bit : int
    """

    layer: str
    values: tuple[int, ...]
    bit: int


@dataclass(frozen=True)
class Downscaling:
    """How a product comes down from coarse cells, where no station teaches it.

    Attributes
    ----------
    coarse : str
        ``source.variable`` of the coarse field: target of the training, and what the maps are
        anchored to.
    kind : "periods" or "local"
        A model of a period of days over all cells, or of each day around each cell.
    ceiling : str
        Static feature that no value of a pixel may exceed; empty for the target's range alone.
    filled : str
        Variable of the coarse cube that is not 0 where the coarse value itself was filled; empty
        for none.
    flags : tuple of FlagRule
        Further bits of the quality flag.
    """

    coarse: str
    kind: Literal["periods", "local"]
    ceiling: str = ""
    filled: str = ""
    flags: tuple[FlagRule, ...] = ()


@dataclass(frozen=True)
class Product:
    """One product.

    Attributes
    ----------
    name, title, reference : str
        Word of the product, a line for people, and the data set that it follows.
    drivers : tuple of Driver
        Sources and how each is brought to the grid and to daily steps.
    features : tuple of str
        Names from the catalogue, in the order of the model's columns.
    target : Target
    parameters : mapping
        XGBoost parameters; a run file may override them.
    schema : CubeSchema
        The store of one year without uncertainty: the target's variable and `quality_flag`.
    uncertainty : Variable or None
        Half width of the interval about the target, written where the model has a spread.
    references : tuple of Driver
        Products of others, collocated with stations or compared with ours; never features.
    choices : mapping of str to tuple of Option
        Places that a run file may fill otherwise ([drivers]); the first option is the recipe's own.
    no_estimate_where : int
        Quality bits of the features under which a pixel gets no estimate (fill and NO_ESTIMATE).
    downscaling : Downscaling or None
        Of a product that learns from coarse cells; None where stations teach it.
    label : str
        Source that tells the states which a product of states learns; empty for all others.
    gaps : str
        Cube whose gaps a product fills; empty for all others.
    published : tuple of Published
    version : int
        Raised when the recipe changes what the same inputs give.
    """

    name: str
    title: str
    reference: str
    drivers: tuple[Driver, ...]
    features: tuple[str, ...]
    target: Target
    parameters: Mapping[str, float | int | str]
    schema: CubeSchema
    uncertainty: Variable | None = None
    references: tuple[Driver, ...] = ()
    choices: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    no_estimate_where: int = 0
    downscaling: Downscaling | None = None
    label: str = ""
    gaps: str = ""
    published: tuple[Published, ...] = field(default=())
    version: int = 1

    def with_drivers(self, chosen: Mapping[str, str]) -> "Product":
        """Return the recipe with other sources in the places that it leaves open.

        Parameters
        ----------
        chosen : mapping of str to str
            Words of `choices` and the names of the sources to fill them with.

        Raises
        ------
        ConfigError
            If there is no such choice, or the source is none of its options.
        """
        product = self
        for word, source in sorted(chosen.items()):
            product = product._with_driver(word, source)
        return product

    def _with_driver(self, word: str, source: str) -> "Product":
        if word not in self.choices:
            known = " or ".join(sorted(self.choices))
            raise ConfigError(
                f"drivers.{word} is no choice of {self.name}: "
                + (f"expected {known}" if known else "it has none")
            )
        options = {option.driver.source: option for option in self.choices[word]}
        if source not in options:
            raise ConfigError(f"drivers.{word} = {source!r}: expected one of {', '.join(options)}")
        own, option = self.choices[word][0].driver.source, options[source]
        drivers = tuple(option.driver if one.source == own else one for one in self.drivers)
        features = tuple(option.features.get(name, name) for name in self.features)
        return replace(self, drivers=drivers, features=features)

    @property
    def anchors(self) -> tuple[str, ...]:
        """Return the layers (``source.variable``) that production reads beside the features."""
        how = self.downscaling
        return () if how is None else (how.coarse, *(rule.layer for rule in how.flags))

    @property
    def whole_schema(self) -> CubeSchema:
        """Return the store of one year with its uncertainty, to which the target refers."""
        if self.uncertainty is None:
            return self.schema
        named = f"{self.schema.variable(self.target.column).attrs['ancillary_variables']}"
        attrs = {"ancillary_variables": f"{named} {self.uncertainty.name}"}
        variables = tuple(
            replace(one, attrs={**one.attrs, **attrs}) if one.name == self.target.column else one
            for one in self.schema.variables
        )
        return replace(self.schema, variables=(*variables, self.uncertainty))

    def schema_for(self, *, has_spread: bool) -> CubeSchema:
        """Return the store of one year that a model with or without a spread can fill."""
        return self.whole_schema if has_spread else self.schema
