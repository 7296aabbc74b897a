"""GLDAS-2 Noah at 0.25 degree, three-hourly netCDF-4: the soil and the air of a land model.

A file holds one instant of the land from 60 S to 90 N, latitudes from south to north
(`GLDAS_NOAH025_3H.A<day>.<time>.021.nc4`). Daily means are of the eight instants from 00 to 21 UTC
and of nothing less, since a day that lacks its afternoon would be too cold. Soil moisture is kg m-2
of the layer of 0 to 10 cm; divided by 100 it is m3 m-3. Files that were ordered with some variables
alone lack the others, which stay unknown; one at least must be there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import GLOBAL025, Window
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.sources.base import Granule, coordinates, day_of, steps_dataset
from smcloud.sources.coarse_files import (
    DAILY_MEAN,
    OnOneTile,
    check_axis,
    granule_of,
    soil_water,
    temperature,
)
from smcloud.sources.day_files import Amount, DayFile, Floats, LazyAmount, LazyLayer, Window2, lazy
from smcloud.sources.quality import check_rule

ROWS = 600
"""The cube's rows that files hold, 90 N to 60 S."""
EXTENT = Window(0, ROWS, 0, GLOBAL025.cols)
HOURS = range(0, 24, 3)
AXIS_TOLERANCE_DEGREES = 0.001
LAYER_MM = 100.0
"""kg m-2 in a layer of 0.1 m for each m3 m-3."""
MOST_K = 350.0
_NAME = re.compile(
    r"GLDAS_NOAH025_3H\.A(?P<day>\d{8})\.(?P<hour>\d{2})00\.(?P<version>\d{3})"
    r"(?:\.\d{3})?(?:\.SUB)?\.nc4"
)
_TIME = re.compile(r"\s*minutes since (\d{4}-\d{2}-\d{2}) (\d{2}):(\d{2})(?::\d{2})?\s*")


@dataclass(frozen=True)
class Field:
    """What a variable of the cube is in files.

    Attributes
    ----------
    amount : Amount
        Name, units and range in files.
    factor : float
        Cube units per file unit.
    """

    amount: Amount
    factor: float = 1.0


FIELDS: Mapping[str, Field] = {
    "air_temperature": Field(Amount("Tair_f_inst", ("K",), (150.0, MOST_K))),
    "soil_temperature": Field(Amount("SoilTMP0_10cm_inst", ("K",), (150.0, MOST_K))),
    "soil_moisture": Field(
        Amount("SoilMoi0_10cm_inst", ("kg m-2",), (0.0, LAYER_MM)), 1.0 / LAYER_MM
    ),
    "snow_water": Field(Amount("SWE_inst", ("kg m-2",), (0.0, 60_000.0))),
}


SCHEMA = CubeSchema(
    "gldas",
    GLOBAL025.name,
    (
        temperature("air_temperature", "air temperature, daily mean", "air_temperature", MOST_K),
        temperature(
            "soil_temperature", "soil temperature, 0-10 cm, daily mean", "soil_temperature", MOST_K
        ),
        soil_water("soil_moisture", "0-10 cm"),
        Variable(
            "snow_water",
            "uint16",
            "kg m-2",
            "water in snow, daily mean; what glaciers pile up counts as 6000",
            (0.0, 6000.0),
            scale=0.1,
            fill=65535,
            standard_name="surface_snow_amount",
            attrs=DAILY_MEAN,
        ),
    ),
    1,
    (16, 40, 40),
    # The whole globe: a layer of a file is one compressed chunk, which each shard would unpack.
    (16, 720, 1440),
    "GLDAS Noah, daily, 0.25 degree",
    codec="lz4",
)


class _Southward(LazyLayer):
    """A layer that is stored from south to north, in the units of the cube, read when indexed."""

    def __init__(self, amount: LazyAmount, factor: float, most: float) -> None:
        self._amount, self._factor, self._most = amount, np.float32(factor), np.float32(most)
        super().__init__((ROWS, GLOBAL025.cols), np.float32)

    def _read(self, window: Window2) -> Floats:
        rows, cols = window
        start, stop, step = rows.indices(ROWS)
        south = slice(ROWS - stop, ROWS - start)
        # Nothing is kept: a slab has eight files a day, each a whole globe.
        found = self._amount.physical((south, cols))[::-1]
        values: Floats = np.minimum(found[::step] * self._factor, self._most)
        return values


@dataclass(frozen=True)
class Gldas(OnOneTile):
    """Reader of the three-hourly files of GLDAS-2 Noah."""

    name: str = "gldas"
    title: str = "GLDAS Noah, three-hourly to daily, 0.25 degree"
    schema: CubeSchema = SCHEMA
    quality_rules: tuple[str, ...] = ()
    joins_granules: bool = True
    lookahead_days: int = 0

    def identify(self, name: str) -> Granule | None:
        """Return what a name ``GLDAS_NOAH025_3H.A<day>.<time>.021.nc4`` says."""
        found = _NAME.fullmatch(name)
        if found is None or int(found["hour"]) not in HOURS:
            return None
        day = day_of(found["day"])
        if day is None:
            return None
        return Granule(self.name, GLOBE, day, day, found["version"], name, f"{found['hour']}-hours")

    def kept_bytes(self, granules: int, quality: str) -> int:
        """Return the bytes that open files keep: none, each window is read anew."""
        del granules, quality
        return 0

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return the fields of one instant, dims (time, latitude, longitude), read when used.

        Latitude runs north to south, from 89.875 to -59.875. Values are float32 in the cube's
        units, NaN over the sea and where the file lacks the variable.

        Raises
        ------
        GranuleError
            If the file is damaged, of another product, grid or time than its name says.
        """
        check_rule(quality, self.quality_rules, self.name)
        granule = granule_of(self, path)
        file = DayFile(path, (ROWS, GLOBAL025.cols))
        try:
            _check_axes(file)
            instant = _instant(file, granule.start)
            fields = _fields(file)
        except GranuleError:
            file.close()
            raise
        dataset = xr.Dataset(
            fields,
            coords=coordinates(np.array([instant]), GLOBAL025, EXTENT),
            attrs={"source": self.name, "file": path.name},
        )
        dataset.set_close(file.close)
        return dataset

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return daily means, dims (time, latitude, longitude), over the files' rows or `within`.

        A mean is of the eight instants of a UTC day; a day of the key's year with fewer is there
        and unknown.
        """
        window = within or EXTENT
        instants = _by_day(datasets, key.year)
        inside = window.intersect(EXTENT)
        fields = {}
        for variable in self.schema.variables:
            values = np.full((len(instants), *window.shape), np.nan, np.float32)
            if inside is not None:
                here = (slice(None), *inside.within(window))
                values[here] = _means(list(instants.values()), variable.name, inside)
            fields[variable.name] = values
        days = np.array(list(instants), "datetime64[D]")
        return steps_dataset(self.schema, fields, days, window)


def _fields(file: DayFile) -> dict[str, xr.Variable]:
    """Return the variables that a file has; there must be one."""
    found = {}
    for name, field in FIELDS.items():
        if file.has(field.amount.path):
            amount = LazyAmount(file, field.amount, {}, ())
            variable = SCHEMA.variable(name)
            layer = _Southward(amount, field.factor, variable.valid[1])
            found[name] = lazy(layer, SCHEMA.dims, {"units": variable.units})
    if not found:
        wanted = ", ".join(field.amount.path for field in FIELDS.values())
        raise GranuleError(f"{file.path.name}: expected one of {wanted}, found none")
    return found


def _check_axes(file: DayFile) -> None:
    """Raise `GranuleError` unless axes are those of the grid, south up."""
    check_axis(file, "lat", GLOBAL025.y[:ROWS][::-1], AXIS_TOLERANCE_DEGREES)
    check_axis(file, "lon", GLOBAL025.x, AXIS_TOLERANCE_DEGREES)


def _instant(file: DayFile, day: date) -> np.datetime64:
    """Return the time of a file, UTC, or raise `GranuleError` where its name tells another."""
    units = file.attribute("time", "units")
    told = _TIME.fullmatch(units)
    if told is None:
        raise GranuleError(
            f"{file.path.name}: expected time in minutes since a time, found {units!r}"
        )
    minutes = int(file.values("time", 1)[0])
    origin = np.datetime64(f"{told[1]}T{told[2]}:{told[3]}", "m")
    instant: np.datetime64 = origin + np.timedelta64(minutes, "m")
    hour = int(_hour_of(file.path.name))
    expected = np.datetime64(day, "m") + np.timedelta64(60 * hour, "m")
    if instant != expected:
        raise GranuleError(f"{file.path.name}: expected the time {expected}, found {instant}")
    return instant


def _hour_of(name: str) -> str:
    found = _NAME.fullmatch(name)
    return found["hour"] if found else ""


def _by_day(
    datasets: Sequence[xr.Dataset], year: int | None
) -> dict[np.datetime64, dict[np.datetime64, xr.Dataset]]:
    """Return the datasets of each day of a year by their instant, in order, the first of equals."""
    found: dict[np.datetime64, dict[np.datetime64, xr.Dataset]] = {}
    for dataset in datasets:
        for instant in dataset["time"].values.astype("datetime64[h]"):
            day = instant.astype("datetime64[D]")
            if day.astype("datetime64[Y]") == np.datetime64(f"{year:04d}", "Y"):
                found.setdefault(day, {}).setdefault(instant, dataset)
    return {day: dict(sorted(found[day].items())) for day in sorted(found)}


def _means(days: Sequence[Mapping[np.datetime64, xr.Dataset]], name: str, window: Window) -> Floats:
    """Return the mean of each day (days, rows, cols), NaN unless all its instants know a cell."""
    rows, cols = window.slices
    means = np.full((len(days), *window.shape), np.nan, np.float32)
    for number, instants in enumerate(days):
        own = [one for one in instants.values() if name in one]
        if len(own) < len(HOURS):
            continue
        total: NDArray[Any] = np.zeros(window.shape)
        for dataset in own:
            total += dataset.variables[name][0, rows, cols].values
        means[number] = total / len(HOURS)
    return means


GLDAS = Gldas()
