"""What the cubes are that a product on a coarse grid is made from, as hashes."""

from collections.abc import Iterable

from smcloud.core.config import RunConfig
from smcloud.core.layout import join, year_store
from smcloud.features.derived import schema_named
from smcloud.grids.tiles import GLOBE, TileYear, tiles_around
from smcloud.production.ledger import Ledger
from smcloud.production.recipe import fingerprint


def states_of(config: RunConfig, sources: Iterable[str], years: Iterable[int]) -> dict[str, str]:
    """Return a hash of each cube that is read, by source and year.

    It is that of the ingest's ledger; a user's own cubes are hashed from the ends of their objects,
    in the tiles of the run.
    """
    found = {}
    for source in sorted(set(sources)):
        schema = schema_named(source)
        for when in (None,) if schema.is_static else sorted(set(years)):
            tiles = sorted(set(config.tiles)) if schema.on.is_fine else [GLOBE]
            if source in config.ingest.cubes:
                url = join(config.cube_prefix(source), year_store(when))
                for tile in tiles:
                    key = TileYear(schema.grid, tile, when)
                    found[f"{source} {key}"] = fingerprint(url, schema, key)
                continue
            near = {one for tile in tiles for one in _around(tile)}
            records = Ledger(config.store.root, f"ingest/{source}").records(when)
            for key, record in records.items():
                if key.tile in near:
                    found[f"{source} {key}"] = record.output_hash
    return found


def _around(tile: str) -> list[str]:
    """Return a tile and those that a cell at its edge may reach into."""
    return [tile] if tile == GLOBE else tiles_around(tile)
