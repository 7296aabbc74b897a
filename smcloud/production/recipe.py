"""What a run produces from what: product, features, cubes, model; and the hash of its inputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

from smcloud.core.config import RunConfig
from smcloud.core.errors import CubeError, ModelError, NotFoundError
from smcloud.core.layout import join, year_store
from smcloud.core.objects import Objects, open_objects
from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import open_cube
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.derived import schema_named
from smcloud.features.frozen_mask import GroundStates, MaskedReader
from smcloud.features.spec import CubeSet, split_input
from smcloud.grids.grid import Window
from smcloud.grids.tiles import (
    GLOBE,
    TileYear,
    blocks_of,
    parse_window,
    tile_at,
    tile_window,
    tiles_around,
)
from smcloud.models.anchoring import ANCHORING, AnchorRules
from smcloud.models.base import ModelCard, check_columns, load_bytes, load_parts
from smcloud.models.damping import LAG_DAYS, WINDOW_DAYS
from smcloud.models.periods import PeriodsCard
from smcloud.production.downscalers import DownscalerCard, load_downscaler_card
from smcloud.production.ledger import Ledger, Record, combined_hash
from smcloud.production.versions import read_pointer
from smcloud.products.base import Product
from smcloud.products.freeze_thaw import FREEZE_THAW, FROZEN_STATES, STATE
from smcloud.products.registry import product_of

TAIL_BYTES = 4096
READERS = 16
"""Threads that fetch ends of objects: each is one small request, mostly waiting."""


@dataclass(frozen=True)
class Inputs:
    """The driver cubes that are read to make something, of whatever product."""

    config: RunConfig
    reader: FeatureReader
    sources: tuple[str, ...]
    """Those of the features, then the others."""

    def schema_of(self, source: str) -> CubeSchema:
        """Return what the cubes of a source hold."""
        return self.reader.schemas.get(source) or schema_named(source)


@dataclass(frozen=True)
class Recipe:
    """Everything that the values of a product depend on, beside tile and year."""

    config: RunConfig
    product: Product
    schema: CubeSchema
    """The product's schema with the run's block size as its shard; with the uncertainty where the
    model has a spread."""
    reader: FeatureReader
    card: ModelCard | DownscalerCard
    models: str
    """URL of the prefix that holds the models."""

    def part(self, tile: str) -> Window:
        """Return the pixels of a tile that the run produces, in global pixels."""
        if self.config.produce.window:
            return parse_window(self.config.produce.window, tile)
        return tile_window(self.schema.on, tile)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the sources whose cubes are read: those of the features, then the others."""
        how, drivers = self.product.downscaling, self.product.drivers
        if how is None:
            return self.reader.sources
        named = [split_input(layer)[0] for layer in self.product.anchors]
        if how.ceiling:
            (ceiling,) = features_named([how.ceiling], drivers)
            named += ceiling.sources
        return tuple(dict.fromkeys((*self.reader.sources, *named)))

    @property
    def inputs(self) -> Inputs:
        """Return the driver cubes that are read."""
        return Inputs(self.config, self.reader, self.sources)

    def schema_of(self, source: str) -> CubeSchema:
        """Return what the cubes of a source hold."""
        return self.inputs.schema_of(source)

    @property
    def anchor_rules(self) -> AnchorRules:
        """Return when a coarse cell is anchored to its value."""
        return AnchorRules(minimum_share=self.config.downscale.minimum_share)

    def blocks(self, tile: str) -> list[Window]:
        """Return the blocks of a tile; each is one shard of the product."""
        return blocks_of(tile_window(self.schema.on, tile), self.schema.shards[1])


def recipe_of(config: RunConfig) -> Recipe:
    """Return the recipe of a run after checking that model and features fit.

    Raises
    ------
    ConfigError
        If the product is unknown.
    NotFoundError
        If the model was not trained.
    ModelError
        If the model is damaged, or its columns are not the features, in their order.
    """
    product = product_of(config)
    names = config.train.features or product.features
    cubes = CubeSet({d.source: config.cube_prefix(d.source) for d in product.drivers})
    reader = FeatureReader(features_named(names, product.drivers), product.drivers, cubes)
    states = ground_states(config) if config.produce.frozen_mask else None
    reader = reader if states is None else MaskedReader(reader, states)
    card = _card(config, product, reader.names)
    has_spread = isinstance(card, ModelCard) and card.spread is not None
    size, schema = config.produce.block_pixels, product.schema_for(has_spread=has_spread)
    schema = replace(schema, shards=(schema.shards[0], size, size))
    return Recipe(config, product, schema, reader, card, config.layout.model(""))


def ground_states(config: RunConfig) -> GroundStates | None:
    """Return the published states of the ground below a run's root; None unless all years have."""
    layout, name = config.layout, FREEZE_THAW.name
    years = sorted(set(config.produced_years))
    pointers = {year: read_pointer(layout, name, year) for year in years}
    found = {year: pointer for year, pointer in pointers.items() if pointer is not None}
    if len(found) < len(years):
        return None
    return GroundStates(
        {year: join(layout.product(name, year), one.store) for year, one in found.items()},
        {year: one.output_hash for year, one in found.items()},
        FREEZE_THAW.schema,
        STATE,
        FROZEN_STATES,
    )


def _card(
    config: RunConfig, product: Product, columns: tuple[str, ...]
) -> ModelCard | DownscalerCard:
    """Return the card of a run's model, after checking that it takes these columns."""
    models = open_objects(config.layout.model(""))
    if product.downscaling is None:
        # The bytes too: a damaged model is found here, before a lease is taken or a store made.
        _, card = load_bytes(models, config.model_name, columns)
        load_parts(models, config.model_name, card)
        return card
    found = load_downscaler_card(models, config.model_name)
    check_columns(found, columns)
    if isinstance(found, PeriodsCard) and not found.modelled:
        raise ModelError(
            f"model {config.model_name!r} has no period with a model, so that nothing can be made: "
            "widen the region, or set downscale.period_days, minimum_samples or pooled, and train "
            "it again"
        )
    return found


IngestRecords = Callable[[str, int | None], Mapping[TileYear, Record]]
"""Source and year to the ingest's ledger records."""


def ingest_records(root: str) -> IngestRecords:
    """Return a look-up of the ingest's records that reads each source and year once."""
    return cache(lambda source, year: Ledger(root, f"ingest/{source}").records(year))


def input_hashes(
    recipe: Recipe, keys: Sequence[TileYear], records: IngestRecords
) -> dict[TileYear, str]:
    """Return the sha256 of everything that each tile-year's values depend on; no clock, no host.

    Maps that are anchored to coarse cells depend on all tiles of the region: cells lie across
    their edges.
    """
    own = {key: _input_hash(recipe, key, records) for key in keys}
    if recipe.product.downscaling is None:
        return own
    damping = (LAG_DAYS, WINDOW_DAYS) if recipe.config.downscale.damped else ()
    rules = [recipe.product.downscaling, recipe.anchor_rules, damping, ANCHORING]
    region = combined_hash([*sorted(own.values()), *map(repr, rules)])
    return {key: combined_hash([found, region]) for key, found in own.items()}


def _input_hash(recipe: Recipe, key: TileYear, records: IngestRecords) -> str:
    schema = recipe.schema
    return combined_hash(
        {
            "key": str(key),
            "product": [
                recipe.product.name,
                recipe.product.version,
                recipe.product.no_estimate_where,
            ],
            "schema": [schema.name, schema.version, schema.chunks, schema.shards],
            "variables": [[v.name, v.dtype, v.scale, v.offset, v.fill] for v in schema.variables],
            "features": [[f.name, f.version] for f in recipe.reader.features],
            "model": recipe.card.whole_sha256,
            "part": str(recipe.part(key.tile)),
            "drivers": dict(sorted(driver_states(recipe.inputs, key, records))),
        }
        | _frozen_state(recipe, key)
    )


def _frozen_state(recipe: Recipe, key: TileYear) -> dict[str, str]:
    """Return a hash of the states of the ground that raise a bit; nothing where none do."""
    reader = recipe.reader
    if not isinstance(reader, MaskedReader) or key.year is None:
        return {}
    return {"frozen ground": reader.states.hashes[key.year]}


def driver_states(
    inputs: Inputs, key: TileYear, records: IngestRecords
) -> Iterator[tuple[str, str]]:
    """Yield each driver cube that a tile-year reads, halo years included, and a hash of it.

    The hash is the output hash in the ledger of the ingest; cubes that the ledger does not know
    (a user's own) are hashed from their metadata and the ends of their objects.
    """
    for source in inputs.sources:
        for cube_key in _cube_keys(inputs, source, key):
            yield f"{source} {cube_key}", _state(inputs, source, cube_key, records)


def _cube_keys(inputs: Inputs, source: str, key: TileYear) -> list[TileYear]:
    schema = inputs.schema_of(source)
    tile = key.tile if schema.on.is_fine else GLOBE
    if schema.is_static or key.year is None:
        # A halo of pixels reaches into the neighbours: their terrain belongs to the inputs.
        tiles = tiles_around(tile) if schema.on.is_fine else [tile]
        return [TileYear(schema.grid, name, None) for name in tiles]
    before, after = inputs.reader.halo_days(source)
    years = [key.year - 1] * bool(before) + [key.year] + [key.year + 1] * bool(after)
    return [TileYear(schema.grid, tile, year) for year in years]


def _state(inputs: Inputs, source: str, key: TileYear, records: IngestRecords) -> str:
    if source not in inputs.config.ingest.cubes:
        record = records(source, key.year).get(key)
        if record is not None:
            return record.output_hash
    url = join(inputs.reader.cubes.urls[source], year_store(key.year))
    return fingerprint(url, inputs.schema_of(source), key)


def fingerprint(url: str, schema: CubeSchema, key: TileYear) -> str:
    """Return a hash of the objects of one tile-year in a store; "absent" where there is no store.

    Each object counts with its size and last 4096 bytes: the end of a shard is its index, the
    offsets, lengths and checksum of all its chunks, and the end of a compressed chunk its checksum.
    """
    objects = open_objects(url)
    try:
        metadata = objects.get("zarr.json")
        cube = open_cube(url, schema, key.year)
    except NotFoundError:
        return "absent"
    window = key.window.intersect(cube.window)
    if window is None:
        return "absent"
    steps = slice(0, len(cube.times))
    keys = sorted(k for v in schema.variables for k in cube.shards_of(v.name, steps, window))
    with ThreadPoolExecutor(READERS) as pool:
        ends = list(pool.map(lambda name: _end_of(objects, name), keys))
    return combined_hash([metadata.decode(), *zip(keys, ends, strict=True)])


def _end_of(objects: Objects, key: str) -> str:
    try:
        size = objects.head(key).size
        start = max(0, size - TAIL_BYTES)
        return f"{size}:{objects.get_range(key, start, size - start).hex()}" if size else "0:"
    except NotFoundError:
        return "absent"


def require_drivers(recipe: Recipe, key: TileYear) -> None:
    """Raise unless every driver cube of a tile-year opens and is what its schema says.

    Raises
    ------
    NotFoundError
        If a cube of the year, or a static one, does not exist.
    CubeError
        If a cube has other units, CRS, dtype or days, or does not reach the tile.
    """
    part = recipe.part(key.tile)
    for source in recipe.sources:
        schema = recipe.schema_of(source)
        year = None if schema.is_static else key.year
        cube = open_cube(recipe.reader.cubes.url(source, year), schema, year)
        if schema.on.is_fine and part.intersect(cube.window) is None:
            raise CubeError(
                f"{cube.url} does not reach tile {tile_at(part.row0, part.col0)}: "
                f"ingest {source} for {key}, or leave the tile out"
            )
