"""Every cube that is made of other cubes at ingest: gaps filled, sensors joined."""

from collections.abc import Iterable, Mapping

from smcloud.core.errors import UserError
from smcloud.cube.schema import CubeSchema
from smcloud.features.coarse_cubes import COARSE_MOISTURE, COARSE_MOISTURE_36KM, GAPPY_MOISTURE
from smcloud.features.derived_cubes import Derived
from smcloud.features.lst_filled import LST_FILLED
from smcloud.sources.registry import SOURCES

DERIVED: Mapping[str, Derived] = {
    derived.name: derived
    for derived in (LST_FILLED, COARSE_MOISTURE, COARSE_MOISTURE_36KM, GAPPY_MOISTURE)
}


def with_inputs(sources: Iterable[str]) -> tuple[str, ...]:
    """Return sources and, before each derived one, the sources that it is made of; once each."""
    found: dict[str, None] = {}
    for source in sources:
        if source in DERIVED:
            found |= dict.fromkeys(with_inputs(DERIVED[source].sources))
        found[source] = None
    return tuple(found)


def schema_named(source: str) -> CubeSchema:
    """Return what the cubes of a source hold, ingested or derived.

    Raises
    ------
    UserError
        If there is no such source.
    """
    if source in DERIVED:
        return DERIVED[source].schema
    if source not in SOURCES:
        known = ", ".join(sorted({*SOURCES, *DERIVED}))
        raise UserError(f"unknown source {source!r}: expected one of {known}")
    return SOURCES[source].schema
