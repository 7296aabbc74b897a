"""Which sources a run reads, and in which tiles and years."""

from smcloud.core.config import RunConfig
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.coarse_cubes import JOINED
from smcloud.features.derived import with_inputs
from smcloud.features.spec import CubeSet, Driver, split_input
from smcloud.products.base import Product
from smcloud.products.registry import product_of
from smcloud.sources.base import KnowsItsDays
from smcloud.sources.registry import SOURCES


def drivers_of(config: RunConfig) -> tuple[Driver, ...]:
    """Return the drivers that the features of a run need, then the references that it reads.

    Cubes that are made of others come after those, which need not be drivers of the product.
    """
    product = product_of(config)
    if product.label:
        asked = {*config.reference_sources}
        return (*product.drivers, *(one for one in product.references if one.source in asked))
    if product.gaps:
        return _of_gaps(config, product)
    names = list(config.train.features or product.features)
    if product.downscaling is not None and product.downscaling.ceiling not in ("", *names):
        names.append(product.downscaling.ceiling)
    cubes = CubeSet({driver.source: "" for driver in product.drivers})
    reader = FeatureReader(features_named(names, product.drivers), product.drivers, cubes)
    anchors = {split_input(layer)[0] for layer in product.anchors}
    needed = {*reader.sources, *anchors, *config.reference_sources}
    known = {driver.source: driver for driver in (*product.drivers, *product.references)}
    own = [name for name in known if name in needed and name in config.ingest.cubes]
    made = with_inputs(name for name in known if name in needed and name not in own)
    there = [name for name in made if name in needed or _serves(config, name)]
    return tuple(known.get(name) or Driver(name) for name in dict.fromkeys((*there, *own)))


def _of_gaps(config: RunConfig, product: Product) -> tuple[Driver, ...]:
    """Return the drivers of a product that fills gaps, and before them what they are made of."""
    known = {driver.source: driver for driver in product.drivers}
    own = [name for name in known if name in config.ingest.cubes]
    made = with_inputs(name for name in known if name not in own)
    there = [name for name in made if name in known or _serves(config, name)]
    return tuple(known.get(name) or Driver(name) for name in (*there, *own))


def _serves(config: RunConfig, source: str) -> bool:
    """Say whether an input of a derived cube is read: a sensor only while it measured.

    One that stands between two others is left out where the run file wants it so.
    """
    if is_bridge(source) and config.downscale.bridge != "sensor":
        return False
    reader = SOURCES.get(source)
    if not isinstance(reader, KnowsItsDays):
        return True
    years = extent_of(config, source)[1]
    days = [day for year in years for day in reader.schema.times(year).astype(object)]
    return any(reader.expects(day) for day in days)


def is_bridge(source: str) -> bool:
    """Return whether a sensor is read only because it saw two others that never met."""
    return source in {joined.bridge for joined in JOINED.values()}


def extent_of(config: RunConfig, source: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return tiles and years of a source's cube: of what is produced, where only maps need it."""
    if is_for_maps(config, source):
        return config.produced_tiles, tuple(sorted(set(config.produced_years)))
    return config.tiles, config.ingested_years


def is_for_maps(config: RunConfig, source: str) -> bool:
    """Return whether a source is read where maps are compared, and nowhere else."""
    drivers = {driver.source for driver in product_of(config).drivers}
    return source in set(config.compare.sources) - drivers - set(config.selection.sources)
