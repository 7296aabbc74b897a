"""What pieces of work over the pixels of some tiles in one year share."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from smcloud.simulate.hdf_eos import TilePixels
from smcloud.simulate.noise import Doubles
from smcloud.simulate.request import lonlat_of

Days = NDArray[np.datetime64]


def days_in(year: int) -> Days:
    """Return the days of a year."""
    return np.arange(f"{year:04d}-01-01", f"{year + 1:04d}-01-01", dtype="datetime64[D]")


def days_of_years(years: Iterable[int]) -> Days:
    """Return the days of several years, in the order given."""
    return np.concatenate([days_in(year) for year in years])


def lonlat_of_all(areas: Iterable[TilePixels]) -> tuple[Doubles, Doubles]:
    """Return longitude and latitude (n,) of the pixels of several tiles, degrees."""
    lon, lat = zip(*(lonlat_of(pixels) for pixels in areas), strict=True)
    return np.concatenate(lon), np.concatenate(lat)


@dataclass(frozen=True)
class YearPiece:
    """Files of one year over the pixels of all tiles of a request.

    Attributes
    ----------
    out : str
        URL below which files are written.
    seed, year : int
    areas : tuple of TilePixels
        What is simulated, all tiles.
    missing : frozenset of str
        Keys to write.
    """

    out: str
    seed: int
    year: int
    areas: tuple[TilePixels, ...]
    missing: frozenset[str] = field(default_factory=frozenset, kw_only=True)

    def only(self, missing: frozenset[str]) -> Self:
        """Return the piece that writes only these keys."""
        return replace(self, missing=missing)
