"""The region of which each product's data set has maps: what a year of it is counted by."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """Land of which a data set has a map each day.

    Attributes
    ----------
    name : str
    land_pixels : int
        Of the 1 km grid.
    """

    name: str
    land_pixels: int


REGIONS: Mapping[str, Region] = {
    "glass-sm": Region("all land but Antarctica", 157_000_000),
    "smap-downscaling": Region("northern China, 70-120 E, 30-50 N", 10_924_750),
    "all-weather": Region("China", 11_180_000),
}
"""By product. Northern China is counted on the mask of `grids.land`; China is 9.6 million km2."""
