"""A run file read and checked against what exists, before a cluster starts or a byte is read."""

from collections.abc import Sequence
from pathlib import Path

from dask.utils import parse_bytes

from smcloud.core.config import RunConfig, load_config
from smcloud.core.errors import ConfigError
from smcloud.features.catalogue import features_named
from smcloud.features.derived import with_inputs
from smcloud.grids.grid import SIN1KM
from smcloud.grids.land import land_tiles
from smcloud.grids.tiles import GLOBE, TileYear, parse_window
from smcloud.production.publish_stage import chosen_days
from smcloud.production.references_stage import rules_of
from smcloud.products.base import Product
from smcloud.products.registry import product_of
from smcloud.sources.registry import SOURCES


def read_run(path: str | Path) -> RunConfig:
    """Return the run that a TOML file describes, all of whose names exist.

    Raises
    ------
    ConfigError
        As `load_config`; if the product, a tile, a year, the window, a source or one of its
        quality rules, a product to select or compare by, a day to publish or an amount of memory
        is not one; the message begins with the file.
    UserError
        If a feature is not in the catalogue.
    """
    config = load_config(path)
    try:
        product = product_of(config)
        config = _with_all_tiles(config, product)
        _require_places(config)
        _require_sources(config, product)
        chosen_days(config.publish.days, config.produced_years)
        rules_of(config.selection)
        _require_memory(config.cluster.memory)
    except ConfigError as err:
        raise ConfigError(f"{path}: {err}") from err
    features_named(config.train.features or product.features, product.drivers)
    return config


def _with_all_tiles(config: RunConfig, product: Product) -> RunConfig:
    """Return the run with every tile that has land, where ``tiles = ["globe"]`` asks for them."""
    if GLOBE not in config.tiles:
        return config
    if product.schema.on.is_fine:
        raise ConfigError(
            f'tiles = ["{GLOBE}"] is for products on a coarse grid, and {product.name} is on that '
            'of 1 km: name its tiles, as ["h25v05"]'
        )
    return config.model_copy(update={"tiles": tuple(sorted(land_tiles()))})


def _require_places(config: RunConfig) -> None:
    """Raise ConfigError unless every tile and year exists and the window lies in a tile."""
    for tile in config.tiles:
        for year in config.ingested_years:
            TileYear(SIN1KM.name, tile, year)
    _require_own("tiles", config.produce.tiles, config.tiles)
    _require_own("years", config.produce.years, config.years)
    for tile in config.produced_tiles:
        if config.produce.window:
            parse_window(config.produce.window, tile)


def _require_own(key: str, produced: Sequence[object], own: Sequence[object]) -> None:
    """Raise ConfigError unless what is produced belongs to the run, which ingests no other."""
    for foreign in sorted(set(produced) - set(own), key=str):
        listed = ", ".join(map(str, own))
        raise ConfigError(f"produce.{key}: {foreign} is none of the run's {key} ({listed})")


def _require_sources(config: RunConfig, product: Product) -> None:
    """Raise ConfigError unless the sections name sources of the product and rules they have."""
    drivers = (*product.drivers, *product.references)
    known = set(with_inputs(driver.source for driver in drivers))
    named = {
        "ingest.quality": config.ingest.quality,
        "ingest.cubes": config.ingest.cubes,
        "selection": config.selection.sources,
        "compare": config.compare.sources,
    }
    for section, names in named.items():
        for name in sorted(set(names) - known):
            expected = ", ".join(sorted(known))
            raise ConfigError(f"{section} names the source {name!r}: expected one of {expected}")
    for name, rule in sorted(config.ingest.quality.items()):
        rules = SOURCES[name].quality_rules if name in SOURCES else ()
        if rule not in rules:
            raise ConfigError(
                f"ingest.quality.{name} = {rule!r}: expected "
                + (f"one of {', '.join(rules)}" if rules else "no such key, it has no rules")
            )


def _require_memory(text: str) -> None:
    try:
        parse_bytes(text)
    except ValueError as err:
        raise ConfigError(
            f"cluster.memory = {text!r}: expected bytes with a unit, such as 2GiB"
        ) from err
