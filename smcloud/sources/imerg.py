"""Precipitation of GPM IMERG, daily or half-hourly at 0.1 degree, to days at 0.25 degree.

Versions 06 and 07. Daily files (3B-DAY, netCDF-4) hold ``precipitationCal`` (V06, the sum of the
half hours in mm) or ``precipitation`` (V07, mm/day) and how many half hours they rest on; half-
hourly ones (3B-HHR, HDF5) the same names below ``/Grid``, in mm/hr. Arrays lie by time, longitude
and latitude, which rises from -89.95; unknown is -9999.9 (read in the headers of real half-hourly
files; those of the daily ones after Goddard DISC's documentation and readers of other projects).
Cuts of the globe are read too: where they lie, their axes tell.

A cell of 0.25 degree holds two and a half cells of 0.1 degree each way, so it gets their mean by
exact area (`grids.regrid.area_weights`). That is done as soon as a file is read: a daily file may
be stored as one compressed chunk, which each window of it would unpack whole.

Which files make the days is a quality rule: ``daily`` (the default) or ``half_hours``. A day of
half hours needs all 48 of them: with fewer it is unknown, and the day is told as missing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import GLOBAL025, IMERG, Window, bounding_window
from smcloud.grids.regrid import AreaWeights, area_weights
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.sources.base import Granule, Outage, coordinates, day_of, steps_dataset
from smcloud.sources.coarse_files import OnOneTile, daily_schema, granule_of, is_expected
from smcloud.sources.day_files import (
    ENOUGH_VALUES,
    MOST_OUTSIDE,
    Amount,
    DayFile,
    Floats,
    LazyLayer,
    Window2,
    lazy,
)
from smcloud.sources.quality import check_rule

DAILY, HALF_HOURS = "daily", "half_hours"
HALVES = 48
LEAST_HALVES = 24
"""Half hours that a mean rate of a day must rest on; ours. A sum needs all."""
LEAST_SHARE = 0.5
"""Share of a cell of 0.25 degree that must be known."""
AXIS_TOLERANCE = 0.01
"""How far a coordinate may lie from the centre of a cell, in cells."""
FILL = -9999.9
PER_DAY, PER_HOUR = "mm day-1", "mm h-1"
_ORDER = "time,lon,lat"
_DAY_NAME = re.compile(
    r"3B-DAY(?:-(?P<run>[EL]))?\.MS\.MRG\.3IMERG\.(?P<day>\d{8})-S000000-E235959\."
    r"(?P<version>V\d\d[A-Z]?)\.nc4"
)
_HALF_NAME = re.compile(
    r"3B-HHR(?:-(?P<run>[EL]))?\.MS\.MRG\.3IMERG\.(?P<day>\d{8})-"
    r"S(?P<hour>[01]\d|2[0-3])(?P<minute>00|30)00-E\d{6}\.\d{4}\.(?P<version>V\d\d[A-Z]?)\."
    r"(?:HDF5|RT-H5)"
)
_RANKS = {"E": "1-early", "L": "2-late", None: "3-final"}
"""Runs for one day, the one to be preferred last."""
HALF_SCENES = tuple(f"half-hour-{n // 2:02d}{n % 2 * 30:02d}" for n in range(HALVES))

SCHEMA = daily_schema(
    "imerg_025",
    GLOBAL025,
    (
        Variable(
            "precipitation",
            "uint16",
            PER_DAY,
            "precipitation of the UTC day, rain and snow",
            (0.0, 1300.0),
            scale=0.02,
            fill=65535,
            standard_name="lwe_precipitation_rate",
            attrs={"cell_methods": "area: mean time: sum"},
        ),
    ),
    (25, 200),
    "GPM IMERG precipitation, daily, 0.1 degree to 0.25 degree",
)


@dataclass(frozen=True)
class Layout:
    """Where the files of one version have what is needed.

    Attributes
    ----------
    amount : Amount
    lat, lon : str
        Axes.
    units : str
        Of the values handed out.
    count : str
        Layer with the number of half hours; empty where there is none.
    least : int
        Half hours below which a cell is unknown.
    """

    amount: Amount
    lat: str
    lon: str
    units: str
    count: str = ""
    least: int = 0


def _daily(name: str, least: int) -> Layout:
    units = ("mm/day", "mm", "mm day-1", "mm/d")
    amount = Amount(name, units, (0.0, 4800.0), FILL)
    return Layout(amount, "lat", "lon", PER_DAY, f"{name}_cnt", least)


def _half_hourly(name: str) -> Layout:
    amount = Amount(f"Grid/{name}", ("mm/hr", "mm/h", "mm h-1"), (0.0, 200.0), FILL)
    return Layout(amount, "Grid/lat", "Grid/lon", PER_HOUR)


LAYOUTS: Mapping[tuple[str, str], Layout] = {
    (DAILY, "V06"): _daily("precipitationCal", HALVES),
    (DAILY, "V07"): _daily("precipitation", LEAST_HALVES),
    (HALF_HOURS, "V06"): _half_hourly("precipitationCal"),
    (HALF_HOURS, "V07"): _half_hourly("precipitation"),
}


@dataclass(frozen=True)
class Imerg(OnOneTile):
    """Reader of IMERG: daily files, or half hours that are summed to days."""

    name: str = "imerg_025"
    title: str = "GPM IMERG precipitation, daily, 0.1 degree to 0.25 degree"
    schema: CubeSchema = SCHEMA
    quality_rules: tuple[str, ...] = (DAILY, HALF_HOURS)
    joins_granules: bool = True
    lookahead_days: int = 0
    outages: tuple[Outage, ...] = (
        Outage(date(1970, 1, 1), date(1997, 12, 31), "IMERG begins in 1998"),
    )

    def expects(self, day: date) -> bool:
        """Say whether there should be a file of a day."""
        return is_expected(day, self.outages)

    def scenes(self, quality: str) -> tuple[str, ...]:
        """Return the files that make a day: one, or 48 half hours."""
        return HALF_SCENES if quality == HALF_HOURS else (DAILY,)

    def kept_bytes(self, granules: int, quality: str) -> int:
        """Return what open files keep in memory: daily ones their means, half hours nothing."""
        if quality == HALF_HOURS:
            return 0
        return granules * GLOBAL025.rows * GLOBAL025.cols * np.dtype(np.float32).itemsize

    def identify(self, name: str) -> Granule | None:
        """Return what a name says; the final run replaces the late one, and that the early one."""
        found = _DAY_NAME.fullmatch(name) or _HALF_NAME.fullmatch(name)
        day = day_of(found["day"]) if found else None
        if found is None or day is None:
            return None
        parts = found.groupdict()
        scene = f"half-hour-{parts['hour']}{parts['minute']}" if "hour" in parts else DAILY
        produced = f"{_RANKS[parts['run']]}-{parts['version']}"
        return Granule(self.name, GLOBE, day, day, produced, name, scene)

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return a file on cells of 0.25 degree, read when used.

        Returns
        -------
        ``precipitation`` (time 1, latitude, longitude): mm day-1 of a day, mm h-1 of a half hour,
        whose time is its start; NaN where unknown, outside the physical range, or known for less
        than half of a cell. Cells are those that the file touches.

        Raises
        ------
        GranuleError
            If the file is damaged, of another product, version, grid or layout.
        """
        check_rule(quality, self.quality_rules, self.name)
        granule = granule_of(self, path)
        layout = _layout_of(granule)
        means = _LazyMeans(path, layout, is_kept=granule.scene == DAILY)
        coarse = means.coarse
        return xr.Dataset(
            {"precipitation": lazy(means, self.schema.dims, {"units": layout.units})},
            coords=coordinates(np.array([_start_of(granule)]), GLOBAL025, coarse),
            attrs={"source": self.name, "file": path.name},
        )

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return days of the key's year that there are files of, dims (time, latitude, longitude).

        Where two files are of one day, the first that knows a cell counts, daily ones before half
        hours. A cell of a day of half hours is known if each of the 48 knows it.
        """
        placed = [_Placed(dataset) for dataset in datasets]
        extents = [one.window for one in placed] or [GLOBAL025.window]
        window = within or bounding_window(extents)
        year = np.datetime64(f"{key.year:04d}", "Y")
        placed = [one for one in placed if one.day.astype("datetime64[Y]") == year]
        days = np.unique(np.array([one.day for one in placed], "datetime64[D]"))
        values = np.full((len(days), *window.shape), np.nan, np.float32)
        for here, day in zip(values, days, strict=True):
            own = [one for one in placed if one.day == day]
            for one in own:
                if not one.is_half:
                    one.fill(here, window)
            total = _total([one for one in own if one.is_half], window)
            np.copyto(here, total, where=np.isnan(here))
        return steps_dataset(self.schema, {"precipitation": values}, days, window)


def _layout_of(granule: Granule) -> Layout:
    """Return the layout of a file by its name, or raise `GranuleError`."""
    kind = DAILY if granule.scene == DAILY else HALF_HOURS
    version = granule.produced.rsplit("-", 1)[-1]
    layout = LAYOUTS.get((kind, version[:3]))
    if layout is None:
        raise GranuleError(f"{granule.name}: expected version V06 or V07, found {version}")
    return layout


def _start_of(granule: Granule) -> np.datetime64:
    """Return the first instant of a file."""
    day = np.datetime64(granule.start, "m")
    half = HALF_SCENES.index(granule.scene) if granule.scene != DAILY else 0
    return day + np.timedelta64(30 * half, "m")


class _LazyMeans(LazyLayer):
    """Area means of a file on the cells of 0.25 degree that it touches.

    The file is closed between reads: thousands of half hours are in use at once.

    Parameters
    ----------
    path, layout
        Where it lies and what must be in it.
    is_kept : bool
        Whether all means are computed at the first use, and kept.
    """

    def __init__(self, path: Path, layout: Layout, *, is_kept: bool) -> None:
        self._path, self._layout, self._is_kept = path, layout, is_kept
        self._kept: Floats | None = None
        file = DayFile(path)
        try:
            self._fine = self._placed(file)
        finally:
            file.close()
        self.coarse = _reached(self._fine)
        super().__init__(self.coarse.shape, np.float32)

    def _placed(self, file: DayFile) -> Window:
        """Return the cells of 0.1 degree that a file holds, after a look that it is sound."""
        layout, name = self._layout, file.path.name
        file.amount(layout.amount)
        lat, lon = (_axis(file, axis) for axis in (layout.lat, layout.lon))
        row = (IMERG.y_first - lat) / IMERG.step
        col = (lon - IMERG.x_first) / IMERG.step
        row1, col0 = round(float(row[0])) + 1, round(float(col[0]))
        window = Window(row1 - len(row), row1, col0, col0 + len(col))
        is_placed = window.intersect(IMERG.window) == window
        for axis, found, expected in (
            (layout.lat, row, np.arange(window.row1 - 1, window.row0 - 1, -1)),
            (layout.lon, col, np.arange(window.col0, window.col1)),
        ):
            if not (is_placed and np.abs(found - expected).max() <= AXIS_TOLERANCE):
                values = lat if axis == layout.lat else lon
                raise GranuleError(
                    f"{name}: expected {axis} rising by 0.1 degree through centres of its grid, "
                    f"found {values[0]:g} to {values[-1]:g} in {len(values)} steps"
                )
        order = file.attribute(layout.amount.path, "DimensionNames") or _ORDER
        if order != _ORDER:
            raise GranuleError(f"{name}: expected dimensions {_ORDER}, found {order}")
        self._layers(file, (len(lon), len(lat)))
        return window

    def _layers(
        self, file: DayFile, shape: tuple[int, int]
    ) -> tuple[h5py.Dataset, tuple[float, float], h5py.Dataset | None]:
        """Return the amounts, their range, and the counts if there are any."""
        file.expect(shape)
        amounts, valid = file.amount(self._layout.amount)
        has_count = bool(self._layout.count) and file.has(self._layout.count)
        return amounts, valid, file.layer(self._layout.count, "iuf") if has_count else None

    def _read(self, window: Window2) -> Floats:
        if not self._is_kept:
            return self._means(window)
        if self._kept is None:
            self._kept = self._means((slice(None), slice(None)))
        return self._kept[window]

    def _means(self, window: Window2) -> Floats:
        """Return the means of a window, counted from the first cell of the file."""
        rows, cols = (
            range(*part.indices(size)) for part, size in zip(window, self.shape[1:], strict=True)
        )
        row0, col0 = self.coarse.row0, self.coarse.col0
        coarse = Window(
            row0 + rows.start, row0 + rows[-1] + 1, col0 + cols.start, col0 + cols[-1] + 1
        )
        means = np.full(coarse.shape, np.nan, np.float32)
        inside = self._fine.intersect(_needed(coarse))
        if inside is not None:
            self._fill(means, coarse, self._stored(inside), inside)
        return np.ascontiguousarray(means[:: rows.step, :: cols.step])

    def _fill(self, means: Floats, coarse: Window, stored: Floats, inside: Window) -> None:
        """Put the means of stored cells, which lie at `inside`, where they reach known ones."""
        known = np.isfinite(stored)
        rows, cols = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
        if rows.size == 0:
            return
        row0, col0 = inside.row0, inside.col0
        box = Window(row0 + rows[0], row0 + rows[-1] + 1, col0 + cols[0], col0 + cols[-1] + 1)
        reached = _reached(box).intersect(coarse)
        if reached is None:
            return
        weights = _weights(reached)
        values = np.full(weights.window.shape, np.nan, np.float32)
        both = weights.window.intersect(inside)
        if both is not None:
            values[both.within(weights.window)] = stored[both.within(inside)]
        means[reached.within(coarse)] = weights.apply(values, LEAST_SHARE)

    def _stored(self, inside: Window) -> Floats:
        """Return cells of 0.1 degree (rows, cols) from north to south, NaN unknown."""
        fine, what = self._fine, self._layout.amount
        place = (
            slice(inside.col0 - fine.col0, inside.col1 - fine.col0),
            slice(fine.row1 - inside.row1, fine.row1 - inside.row0),
        )
        file = DayFile(self._path)
        try:
            layer, (low, high), counts = self._layers(file, fine.shape[::-1])
            stored = file.cells(layer, place)
            given = None if counts is None else file.cells(counts, place)
        finally:
            file.close()
        known = np.isfinite(stored) & (stored != stored.dtype.type(what.fill))
        inside_range = known & (stored >= low) & (stored <= high)
        n_known = int(known.sum())
        outside = n_known - int(inside_range.sum())
        if n_known >= ENOUGH_VALUES and outside > MOST_OUTSIDE * n_known:
            raise GranuleError(
                f"{self._path.name}: expected {what.path} of {low:g} to {high:g} "
                f"{what.units[0]}, found {outside} of {n_known} values outside"
            )
        if given is not None:
            inside_range &= given >= self._layout.least
        values = np.where(inside_range, stored, np.nan).astype(np.float32)
        return values.T[::-1]


def _reached(fine: Window) -> Window:
    """Return the cells of 0.25 degree that some of 0.1 degree reach.

    Both grids begin at the date line and the pole; 2.5 cells of the one make one of the other.
    """
    row1, col1 = -(-fine.row1 * 2 // 5), -(-fine.col1 * 2 // 5)
    return Window(int(fine.row0 * 2 // 5), int(row1), int(fine.col0 * 2 // 5), int(col1))


def _needed(coarse: Window) -> Window:
    """Return the cells of 0.1 degree that some of 0.25 degree overlap."""
    row1, col1 = -(-coarse.row1 * 5 // 2), -(-coarse.col1 * 5 // 2)
    return Window(coarse.row0 * 5 // 2, row1, coarse.col0 * 5 // 2, col1)


@lru_cache(maxsize=64)
def _weights(coarse: Window) -> AreaWeights:
    """Return the weights of a window: the same for every file."""
    return area_weights(IMERG, GLOBAL025, coarse)


def _axis(file: DayFile, path: str) -> NDArray[np.float64]:
    """Return the values of an axis of any length, or raise `GranuleError`."""
    shape = file.shape_of(path)
    return file.values(path, max(shape, default=1))


class _Placed:
    """A dataset of `read` with its place on the grid and in time."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._field = dataset.variables["precipitation"]
        self.is_half = self._field.attrs["units"] == PER_HOUR
        self.start = dataset["time"].values[0].astype("datetime64[m]")
        self.day = self.start.astype("datetime64[D]")
        latitude, longitude = dataset["latitude"].values, dataset["longitude"].values
        row = round((GLOBAL025.y_first - float(latitude[0])) / GLOBAL025.step)
        col = round((float(longitude[0]) - GLOBAL025.x_first) / GLOBAL025.step)
        self.window = Window(row, row + len(latitude), col, col + len(longitude))

    def fill(self, values: Floats, window: Window) -> None:
        """Put what the file knows of a window where `values` (rows, cols) know nothing yet."""
        inside = self.window.intersect(window)
        if inside is None:
            return
        rows, cols = inside.within(self.window)
        found = self._field.isel(time=0, latitude=rows, longitude=cols).values
        here = values[inside.within(window)]
        np.copyto(here, found, where=np.isnan(here))


def _total(halves: Sequence[_Placed], window: Window) -> Floats:
    """Return the sum of a day's half hours (mm); NaN everywhere unless all 48 are there.

    All are read even so: a damaged one must be told.
    """
    total = np.zeros(window.shape, np.float64)
    starts = sorted({one.start for one in halves})
    for start in starts:
        rate = np.full(window.shape, np.nan, np.float32)
        for one in halves:
            if one.start == start:
                one.fill(rate, window)
        total += 0.5 * rate
    if len(starts) < HALVES:
        total[:] = np.nan
    return total.astype(np.float32)


IMERG_025 = Imerg()
