"""Satellites of frozen ground, and the years that they have files of."""

from collections.abc import Collection, Mapping
from datetime import date

from smcloud.core.errors import ConfigError
from smcloud.grids.tiles import LAST_YEAR
from smcloud.simulate.granules_amsr import MISSIONS, Mission

TB_MISSIONS: Mapping[str, Mission] = {
    "amsre_tb": MISSIONS["AMSR_E"],
    "amsr2_tb": MISSIONS["AMSR2"],
    "mwri_tb": MISSIONS["MWRI"],
}
"""Of each source of brightness temperatures."""
FROZEN_GROUND = (*TB_MISSIONS, "smos_ft", "smap_ft")
"""Brightness temperatures and states of the ground on cells of 25 and 36 km."""
SMOS_FIRST, SMAP_FIRST_YEAR = date(2010, 7, 1), 2015


def ground_without(years: Collection[int]) -> frozenset[str]:
    """Return the satellites of frozen ground that have files in none of some years."""
    return frozenset(
        source
        for source in FROZEN_GROUND
        if not any(_first(source) <= year <= _last(source) for year in years)
    )


def check_ground_years(sources: Collection[str], years: Collection[int]) -> None:
    """Raise `ConfigError` for a satellite among `sources` that has files in none of the years."""
    for source in sorted(ground_without(years) & set(sources)):
        last = f" to {_last(source)}" if _last(source) < LAST_YEAR else ""
        raise ConfigError(
            f"{source} has no day in {', '.join(map(str, years))}: it has files from "
            f"{_first(source)}{last}; give other years, or leave it out"
        )


def _first(source: str) -> int:
    if source in TB_MISSIONS:
        return TB_MISSIONS[source].first.year
    return SMOS_FIRST.year if source == "smos_ft" else SMAP_FIRST_YEAR


def _last(source: str) -> int:
    return TB_MISSIONS[source].last.year if source in TB_MISSIONS else LAST_YEAR
