"""What a feature is, how a driver reaches the grid and the day, and what the quality bits mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.core.layout import join, year_store

Floats32 = NDArray[np.float32]
Days = NDArray[np.datetime64]
Flags = NDArray[np.uint8]
FeatureFunction = Callable[..., NDArray[np.floating]]

CALENDAR = "calendar"
POSITION = "position"
PSEUDO_SOURCES: Mapping[str, tuple[str, ...]] = {
    CALENDAR: ("day_of_year",),
    POSITION: ("longitude", "latitude"),
}
"""Inputs that need no cube: the day (1 to 366) and the pixel centre (degrees)."""

FREEZING_K = 273.15

T = TypeVar("T")


def as_stored(values: T) -> T:
    """Return the input unchanged: the feature is a variable of a cube, or a coordinate.

    A daily variable of the output grid that is a feature by this very function goes to the model
    as the integers that are stored.
    """
    return values


class Quality(IntFlag):
    """Bits of the quality flag that features raise; a product's schema publishes them.

    A bit says that an input was poor at this pixel on this day; a row without bits had everything.
    Bits from 32 up are left to the products.
    """

    LST_UNKNOWN = 1
    """Every land surface temperature that the features read is unknown (cloud, mostly)."""
    FROZEN_OR_SNOW = 2
    """Soil (stl1) or skin (skt) of the reanalysis is below 273.15 K on the daily mean."""
    COMPOSITE_MISSING = 4
    """A feature from 8 or 16 day composites is unknown: the gap is too long to bridge."""
    REANALYSIS_MISSING = 8
    """A feature from a coarse driver is unknown."""
    STATIC_MISSING = 16
    """A terrain or soil feature is unknown."""


QUALITY_MEANINGS: Mapping[int, str] = {
    int(bit): name
    for bit, name in (
        (Quality.LST_UNKNOWN, "land_surface_temperature_unknown"),
        (Quality.FROZEN_OR_SNOW, "frozen_soil_or_snow_suspected"),
        (Quality.COMPOSITE_MISSING, "composite_driver_missing"),
        (Quality.REANALYSIS_MISSING, "reanalysis_driver_missing"),
        (Quality.STATIC_MISSING, "static_driver_missing"),
    )
}
"""CF `flag_masks` and the `flag_meanings` that belong to them, in ascending order."""


@dataclass(frozen=True)
class Halo:
    """What a feature needs beyond the pixel and the day.

    Attributes
    ----------
    days_before, days_after : int
        Further days of its daily inputs.
    pixels : int
        Further pixels on each side; static inputs only.
    """

    days_before: int = 0
    days_after: int = 0
    pixels: int = 0


@dataclass(frozen=True)
class Feature:
    """One column of the sample table and of production: a name, its inputs and a pure function.

    Attributes
    ----------
    name : str
        Column name, lower_snake.
    inputs : tuple of str
        ``source.variable`` of a cube, ``calendar.day_of_year``, ``position.longitude`` or
        ``position.latitude``.
    units : str
        Units of the result.
    function : callable
        Takes the inputs in this order, physical values with NaN for unknown, and returns the
        feature; elementwise over the last axis. It receives

        - composites only: (composites, points), before they are interpolated to days;
        - coarse daily inputs only: (days with halo, cells), before they are interpolated to points;
        - static inputs and position only: (points,), or (rows + 2 h, cols + 2 h) with a halo of h
          pixels, and then returns (rows, cols);
        - otherwise everything at points: daily inputs (days with halo, points), static ones
          (points,), the calendar (days with halo, 1).
    halo : Halo
        What the function needs beyond the pixel and the day.
    long_name : str
        One line for people.
    version : int
        Raised when the values change; part of every input hash.
    """

    name: str
    inputs: tuple[str, ...]
    units: str
    function: FeatureFunction
    halo: Halo = Halo()
    long_name: str = ""
    version: int = 1

    def __post_init__(self) -> None:
        for text in self.inputs:
            split_input(text)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the sources whose cubes are read, without repetition."""
        found = dict.fromkeys(split_input(text)[0] for text in self.inputs)
        return tuple(source for source in found if source not in PSEUDO_SOURCES)


@dataclass(frozen=True)
class Driver:
    """How one source reaches the output grid and the day.

    Attributes
    ----------
    source : str
        Name of the source, such as ``mod11a1``.
    to_grid : "native", "bilinear" or "nearest"
        Native sources lie on the output grid. Coarse ones are interpolated inside the block, or
        give a pixel the value of the cell it lies in ("nearest"), as references are compared.
    to_days : "daily", "linear" or "static"
        Linear: composites are interpolated between their own dates.
    quality : str
        Quality rule of the source at ingest; empty for its default.
    """

    source: str
    to_grid: Literal["native", "bilinear", "nearest"] = "native"
    to_days: Literal["daily", "linear", "static"] = "daily"
    quality: str = ""

    def __post_init__(self) -> None:
        if self.to_grid != "native" and self.to_days != "daily":
            raise UserError(
                f"driver {self.source}: coarse sources are daily; {self.to_days!r} needs 'native'"
            )


@dataclass(frozen=True)
class CubeSet:
    """Where the driver cubes lie: source to the URL prefix of its yearly stores."""

    urls: Mapping[str, str]

    def url(self, source: str, year: int | None) -> str:
        """Return the store of one source and year (None: static)."""
        if source not in self.urls:
            known = ", ".join(sorted(self.urls)) or "none"
            raise UserError(f"no cube URL is given for the source {source!r}: given are {known}")
        return join(self.urls[source], year_store(year))


def split_input(text: str) -> tuple[str, str]:
    """Return source and variable of ``source.variable``.

    Raises
    ------
    UserError
        If the text has another form or names a calendar or position input that does not exist.
    """
    source, dot, variable = text.partition(".")
    if not (source and dot and variable) or "." in variable:
        raise UserError(f"unreadable input {text!r}: expected source.variable, as mod11a1.lst_day")
    if source in PSEUDO_SOURCES and variable not in PSEUDO_SOURCES[source]:
        expected = ", ".join(f"{source}.{name}" for name in PSEUDO_SOURCES[source])
        raise UserError(f"unknown input {text!r}: expected {expected}")
    return source, variable
