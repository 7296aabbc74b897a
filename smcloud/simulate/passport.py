"""Which simulated Earth lies below a URL: written there, so that two are never mixed."""

import json
from collections.abc import Sequence
from typing import Any

from smcloud.core.errors import ConfigError
from smcloud.core.objects import Objects
from smcloud.simulate.region import Region
from smcloud.simulate.request import PLAIN, SimulateRequest

PASSPORT = "simulated-earth.json"


def stamp(objects: Objects, request: SimulateRequest, tiles: Sequence[str]) -> None:
    """Write which Earth this is.

    Raises
    ------
    ConfigError
        If another one lies here: another seed, number or kind of stations, another region or part
        of a tile, or references over other tiles.
    """
    found = _found(objects)
    passport: dict[str, Any] = {"seed": request.seed, "stations": request.stations}
    if request.sites != PLAIN:
        passport["sites"] = request.sites
    if request.region:
        passport["region"] = str(Region.parse(request.region))
    if found:
        usual = {"sites": PLAIN, "region": "none"}
        for name, value in {**usual, **passport}.items():
            _same(objects.url, name, value, {**usual, **found}.get(name))
    references = found.get("references")
    is_global = request.references or request.global_albedo or request.frozen_ground
    if tiles and (is_global or "gldas" in request.sources):
        # Their files are global: those of more tiles are other files of the same names.
        wanted = {"tiles": sorted(tiles), "shared_error": request.shared_error}
        _same(objects.url, "the extent of the references", wanted, references)
        references = wanted
    if references:
        passport["references"] = references
    parts = dict(found.get("tiles", {}))
    for tile in tiles:
        _same(objects.url, f"the part of {tile}", request.part_of(tile), parts.get(tile))
        parts[tile] = request.part_of(tile)
    if parts:
        passport["tiles"] = dict(sorted(parts.items()))
    objects.put(PASSPORT, (json.dumps(passport, indent=1) + "\n").encode())


def _found(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(objects.get(PASSPORT)) if objects.exists(PASSPORT) else {}
    return found


def _same(url: str, name: str, asked: object, found: object) -> None:
    if found is not None and found != asked:
        raise ConfigError(
            f"{url} holds another simulated Earth: {name} there is {found}, asked is {asked}; "
            "choose another --out, or remove what lies there"
        )
