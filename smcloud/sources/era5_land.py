"""ERA5-Land hourly files to daily fields on the 0.1 degree grid.

Means are of UTC days. Accumulated fields count from 00 UTC: the value at 00 UTC of the next day is
the total of a day (ECMWF, ERA5-Land documentation), so the day's total may lie in the next file.
Only what a file stores is read and averaged, a rectangle of stored cells at a time.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema, Days, Variable
from smcloud.grids.grid import ERA5LAND, Window, bounding_window
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.sources.base import Granule, steps_dataset
from smcloud.sources.coarse_files import (
    OnOneTile,
    daily_schema,
    days_in,
    soil_water,
    temperature,
)
from smcloud.sources.era5_files import (
    FIELDS,
    STORED,
    UNREADABLE,
    Floats,
    Mask,
    checked,
    open_file,
)
from smcloud.sources.hdf_eos import damaged
from smcloud.sources.quality import check_rule

HOURS = 24
MOST_K = 400.0
FLOAT32_BYTES = 4
BLOCK_BYTES = 2**27
"""Hours are read in blocks of whole days of about this size."""

Indices = NDArray[np.int64]


SCHEMA = daily_schema(
    "era5land",
    ERA5LAND,
    (
        soil_water("swvl1", "0-7 cm"),
        *(
            temperature(name, f"{words}, daily mean", standard_name, MOST_K)
            for name, words, standard_name in (
                ("stl1", "soil temperature, 0-7 cm", "soil_temperature"),
                ("skt", "skin temperature", "surface_temperature"),
                ("t2m", "air temperature at 2 m", "air_temperature"),
            )
        ),
        Variable(
            "tp",
            "uint16",
            "mm day-1",
            "precipitation, daily total",
            (0.0, 1300.0),
            scale=0.02,
            fill=65535,
            standard_name="lwe_precipitation_rate",
            attrs={"cell_methods": "time: sum"},
        ),
    ),
    (50, 200),
    "ERA5-Land, daily, 0.1 degree",
)


@dataclass(frozen=True)
class Era5Land(OnOneTile):
    """Reader of ERA5-Land hourly files; any region, several regions and months together."""

    name: str = "era5land"
    title: str = "ERA5-Land reanalysis, hourly to daily, 0.1 degree"
    schema: CubeSchema = SCHEMA
    quality_rules: tuple[str, ...] = ()
    joins_granules: bool = True
    lookahead_days: int = 1

    def identify(self, name: str) -> Granule | None:
        """Return what a name ``era5_land_<first day>_<last day>[_region].nc`` says."""
        found = re.fullmatch(r"era5_?land_(\d{8})_(\d{8})(?:_[\w-]+)?\.nc4?", name)
        if found is None:
            return None
        try:
            start, end = (date.fromisoformat(found[group]) for group in (1, 2))
        except ValueError:
            return None
        return Granule(self.name, GLOBE, start, end, "", name)

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return the hourly fields of a file, dims (time, latitude, longitude), read when used.

        Latitude runs north to south; longitudes are those of the file. Values are float32 in the
        file's units, rounding below the physical range is clipped to it, NaN is unknown. The
        coordinate ``stored`` (latitude, longitude) is False where the file has no value at all.
        """
        check_rule(quality, self.quality_rules, self.name)
        raw = open_file(path)
        try:
            return checked(raw, path)
        except GranuleError:
            raw.close()
            raise
        except UNREADABLE as err:
            raw.close()
            raise damaged(path, str(err)) from err

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return daily fields, dims (time, latitude, longitude), over what the files cover.

        Means are of all hours of a UTC day, NaN where the file lacks one; precipitation is the
        total of the day in mm. Days are those of the key's year of which a file has an hour. Where
        files overlap, the first that knows a cell counts.
        """
        placed = [_Placed(dataset) for dataset in datasets]
        if not placed:
            raise GranuleError("era5land: expected at least one file, found none")
        # A region across Greenwich spans all columns.
        window = within or bounding_window([place.window for place in placed])
        days = days_in([place.times for place in placed], key.year)
        fields = {}
        for variable in self.schema.variables:
            values = np.full((len(days), *window.shape), np.nan, np.float32)
            for place in placed:
                if variable.name in place.dataset:
                    _fill(values, days, window, place, variable.name)
            fields[variable.name] = values
        return steps_dataset(self.schema, fields, days, window)


class _Placed:
    """A dataset with the rows and columns of its nodes on the grid."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self.dataset = dataset
        latitude, longitude = dataset["latitude"].values, dataset["longitude"].values
        self.rows: Indices = np.rint((ERA5LAND.y_first - latitude) / ERA5LAND.step).astype(np.int64)
        cols = np.rint((longitude - ERA5LAND.x_first) / ERA5LAND.step).astype(np.int64)
        self.cols: Indices = cols % ERA5LAND.cols
        self.times = dataset["time"].values.astype("datetime64[h]")
        self.window = Window(
            int(self.rows.min()),
            int(self.rows.max()) + 1,
            int(self.cols.min()),
            int(self.cols.max()) + 1,
        )

    def pieces(self, window: Window) -> Iterator[tuple[slice, slice]]:
        """Yield rectangles (latitudes, longitudes) of stored nodes inside a window.

        Rows and columns of the grid are consecutive in each: a file around the globe may begin in
        the middle of the window.
        """
        for latitudes in _runs(self.rows, window.row0, window.row1):
            for longitudes in _runs(self.cols, window.col0, window.col1):
                for rows, cols in _rectangles(self._stored[latitudes, longitudes]):
                    yield _moved(rows, latitudes.start), _moved(cols, longitudes.start)

    @cached_property
    def _stored(self) -> Mask:
        stored: Mask = self.dataset[STORED].values
        return stored

    @property
    def hours_a_day(self) -> int:
        """Return how many hours make a day complete: 24, or 24 by the step of the file."""
        steps = np.diff(self.times).astype(np.int64)
        return HOURS // int(steps.min()) if steps.size and steps.min() <= HOURS else HOURS


def _runs(numbers: Indices, first: int, stop: int) -> Iterator[slice]:
    """Yield the positions of numbers in [first, stop) in runs that count up by one."""
    at = np.flatnonzero((numbers >= first) & (numbers < stop))
    breaks = np.flatnonzero((np.diff(at) != 1) | (np.diff(numbers[at]) != 1)) + 1
    for run in np.split(at, breaks):
        if run.size:
            yield slice(int(run[0]), int(run[-1]) + 1)


def _rectangles(cells: Mask) -> Iterator[tuple[slice, slice]]:
    """Yield rectangles (rows, columns) that hold each true cell once and no other."""
    changes = np.flatnonzero((cells[1:] != cells[:-1]).any(axis=1)) + 1
    for start, stop in itertools.pairwise([0, *changes.tolist(), len(cells)]):
        for cols in _runs(np.where(cells[start], np.arange(cells.shape[1]), -1), 0, cells.shape[1]):
            yield slice(start, stop), cols


def _moved(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)


def _fill(values: Floats, days: Days, window: Window, place: _Placed, name: str) -> None:
    """Put the days of one file into `values` where nothing is known yet."""
    field = FIELDS[name]
    hourly = place.dataset.variables[name]
    daily = _totals if field.is_accumulated else _means
    for latitudes, longitudes in place.pieces(window):
        part = hourly[:, latitudes, longitudes]
        height, width = part.shape[1:]
        row = int(place.rows[latitudes.start]) - window.row0
        col = int(place.cols[longitudes.start]) - window.col0
        here = values[:, row : row + height, col : col + width]
        for found, arrays in daily(part, place):
            wanted = np.isin(found, days)
            at = np.searchsorted(days, found[wanted])
            known = here[at]
            here[at] = np.where(np.isnan(known), arrays[wanted] * np.float32(field.factor), known)


def _means(hourly: xr.Variable, place: _Placed) -> Iterator[tuple[Days, Floats]]:
    """Yield complete UTC days and their means (days, latitude, longitude), some at a time."""
    needed = place.hours_a_day
    days, starts, counts = np.unique(
        place.times.astype("datetime64[D]"), return_index=True, return_counts=True
    )
    at_once = max(1, BLOCK_BYTES // (HOURS * hourly[0].size * FLOAT32_BYTES))
    for first in range(0, len(days), at_once):
        chosen = slice(first, first + at_once)
        begin, end = int(starts[chosen][0]), int((starts + counts)[chosen][-1])
        block = hourly[begin:end].values
        is_whole = counts[chosen] == needed
        means = np.empty((int(is_whole.sum()), *block.shape[1:]), np.float32)
        _day_means(block, starts[chosen][is_whole] - begin, needed, means)
        yield days[chosen][is_whole], means


@compiled
def _day_means(hours: Floats, starts: Indices, needed: int, out: Floats) -> None:
    """Put the mean of `needed` hours from each start into `out`: summed in double, hour by hour."""
    rows, cols = hours.shape[1:]
    total = np.empty(cols, np.float64)
    for day in range(starts.size):
        for row in range(rows):
            total[:] = 0.0
            for hour in range(starts[day], starts[day] + needed):
                for col in range(cols):
                    total[col] += hours[hour, row, col]
            for col in range(cols):
                out[day, row, col] = np.float32(total[col] / needed)


def _totals(hourly: xr.Variable, place: _Placed) -> Iterator[tuple[Days, Floats]]:
    """Yield days whose end, 00 UTC of the next, is there, and their totals, some at a time."""
    days = place.times.astype("datetime64[D]")
    midnights = np.flatnonzero(days.astype("datetime64[h]") == place.times)
    at_once = max(1, BLOCK_BYTES // (hourly[0].size * FLOAT32_BYTES))
    for run in _even_runs(midnights, place.hours_a_day, at_once):
        # One read for a month of midnights: each costs more to ask for than to decode.
        every = slice(int(run[0]), int(run[-1]) + 1, place.hours_a_day)
        yield days[run] - 1, hourly[every].values


def _even_runs(positions: Indices, step: int, at_once: int) -> Iterator[Indices]:
    """Yield the positions in runs of at most `at_once` that are `step` apart."""
    for even in np.split(positions, np.flatnonzero(np.diff(positions) != step) + 1):
        for first in range(0, len(even), at_once):
            yield even[first : first + at_once]


ERA5_LAND = Era5Land()
