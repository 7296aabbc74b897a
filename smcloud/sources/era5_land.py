"""ERA5-Land hourly netCDF files to daily fields on the 0.1 degree grid.

Files come from the Climate Data Store in several shapes: dimension ``time`` or ``valid_time``,
longitudes from -180 or from 0, final and preliminary values beside each other along a dimension
``expver``, packed as int16 (whose rounding leaves tiny negatives, trap T11) or float32, netCDF-3 or
-4. Accumulated fields count from 00 UTC: the value at 00 UTC of the next day is the total of a day
(ECMWF, ERA5-Land documentation), so the day's total may lie in the next file. Upward fluxes such as
evaporation are negative there; none is read here.
"""

import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import ERA5LAND, Window
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.sources.base import Granule
from smcloud.sources.hdf_eos import damaged
from smcloud.sources.quality import check_rule

HOURS = 24
PIECE_BYTES = 2**24
"""What is read of a variable at once, unless one stored chunk is larger."""
BLOCK_BYTES = 256 * 1024 * 1024
"""Hours are read in blocks of whole days of about this size."""
NODE_TOLERANCE_DEGREES = 0.005
HDF5_MAGIC, NETCDF3_MAGIC, ZIP_MAGIC = b"\x89HDF", b"CDF", b"PK"

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class HourlyField:
    """What an hourly variable is and how it becomes daily.

    Attributes
    ----------
    units : tuple of str
        Units that files write for it.
    valid : (float, float)
        Physical range, in those units; values outside are unknown.
    slack : float
        How far below the range packing may round; such values are the lower bound.
    is_accumulated : bool
        True where hours add up from 00 UTC.
    factor : float
        Cube units per file unit.
    """

    units: tuple[str, ...]
    valid: tuple[float, float]
    slack: float = 0.0
    is_accumulated: bool = False
    factor: float = 1.0


_KELVIN = HourlyField(("K",), (150.0, 400.0))
FIELDS: Mapping[str, HourlyField] = {
    "swvl1": HourlyField(("m**3 m**-3", "m3 m-3"), (0.0, 1.0), slack=0.01),
    "stl1": _KELVIN,
    "skt": _KELVIN,
    "t2m": _KELVIN,
    "tp": HourlyField(("m",), (0.0, 2.0), slack=1e-5, is_accumulated=True, factor=1000.0),
}
"""Total precipitation: metres of water in files, millimetres in the cube."""


def _temperature(name: str, long_name: str, standard_name: str) -> Variable:
    return Variable(
        name,
        "int16",
        "K",
        long_name,
        (180.0, 400.0),
        scale=0.005,
        offset=273.15,
        fill=-32768,
        standard_name=standard_name,
        attrs={"cell_methods": "time: mean"},
    )


SCHEMA = CubeSchema(
    "era5land",
    ERA5LAND.name,
    (
        Variable(
            "swvl1",
            "uint16",
            "m3 m-3",
            "volumetric soil water, 0-7 cm, daily mean",
            (0.0, 1.0),
            scale=0.00002,
            fill=65535,
            standard_name="volume_fraction_of_condensed_water_in_soil",
            attrs={"cell_methods": "time: mean"},
        ),
        _temperature("stl1", "soil temperature, 0-7 cm, daily mean", "soil_temperature"),
        _temperature("skt", "skin temperature, daily mean", "surface_temperature"),
        _temperature("t2m", "air temperature at 2 m, daily mean", "air_temperature"),
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
    1,
    (46, 50, 50),
    (46, 200, 200),
    "ERA5-Land, daily, 0.1 degree",
    codec="lz4",
)


@dataclass(frozen=True)
class Era5Land:
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

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a granule may hold cells of the key: all lie on the one coarse tile."""
        return granule.tile == key.tile

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return the hourly fields of a file, dims (time, latitude, longitude), read when used.

        Latitude runs north to south; longitudes are those of the file. Values are float32 in the
        file's units, rounding below the physical range is clipped to it, NaN is unknown.
        """
        check_rule(quality, self.quality_rules, self.name)
        raw = _open(path)
        try:
            return _checked(raw, path)
        except GranuleError:
            raw.close()
            raise
        except (ValueError, KeyError, OSError, RuntimeError) as err:
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
        window = within or _union([place.window for place in placed])
        days = _days_of_year(placed, key)
        fields = {}
        for variable in self.schema.variables:
            values = np.full((len(days), *window.shape), np.nan, np.float32)
            for place in placed:
                if variable.name in place.dataset:
                    _fill(values, days, window, place, variable.name)
            attrs = {"units": variable.units, "long_name": variable.long_name}
            fields[variable.name] = (("time", "latitude", "longitude"), values, attrs)
        return xr.Dataset(
            fields,
            coords={
                "time": days.astype("datetime64[ns]"),
                "latitude": ERA5LAND.y[window.row0 : window.row1],
                "longitude": ERA5LAND.x[window.col0 : window.col1],
            },
        )


def _open(path: Path) -> xr.Dataset:
    """Return the file as xarray opens it, by the engine of its format."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head.startswith(ZIP_MAGIC):
            raise GranuleError(f"{path.name}: expected netCDF, found a zip: unpack it first")
        if not head.startswith((HDF5_MAGIC, NETCDF3_MAGIC)):
            raise GranuleError(f"{path.name}: expected netCDF, found bytes that begin {head!r}")
        engine = "h5netcdf" if head.startswith(HDF5_MAGIC) else "scipy"
        return xr.open_dataset(path, engine=engine)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError) as err:
        raise damaged(path, " ".join(str(err).split()) or type(err).__name__) from err


def _checked(raw: xr.Dataset, path: Path) -> xr.Dataset:
    """Return the known fields with uniform dims, order and units."""
    names = {"valid_time": "time", "lat": "latitude", "lon": "longitude"}
    dataset = raw.rename({old: new for old, new in names.items() if old in raw.variables})
    for dim in ("time", "latitude", "longitude"):
        if dim not in dataset.dims:
            raise GranuleError(
                f"{path.name}: expected a dimension {dim!r}, found "
                + ", ".join(sorted(map(str, raw.dims)))
            )
    if not np.issubdtype(dataset["time"].dtype, np.datetime64):
        raise GranuleError(f"{path.name}: expected times with units and calendar, found numbers")
    known = [name for name in FIELDS if name in dataset]
    if not known:
        raise GranuleError(
            f"{path.name}: expected one of {', '.join(FIELDS)}, found "
            + (", ".join(sorted(map(str, dataset.data_vars))) or "no variable")
        )
    _check_axis(dataset["latitude"].values, "latitude", path)
    _check_axis(dataset["longitude"].values, "longitude", path)
    if dataset["latitude"].values[0] < dataset["latitude"].values[-1]:
        dataset = dataset.isel(latitude=slice(None, None, -1))
    first = np.unique(dataset["time"].values, return_index=True)[1]
    if len(first) < dataset.sizes["time"]:
        dataset = dataset.isel(time=first)
    fields = {name: _field(dataset[name], name, path) for name in known}
    checked = xr.Dataset(fields).drop_vars(["number", "expver"], errors="ignore")
    checked.attrs = {"source": "era5land", "file": path.name}
    checked.set_close(raw.close)
    return checked


def _check_axis(degrees: NDArray[np.floating], name: str, path: Path) -> None:
    """Raise `GranuleError` unless the nodes are consecutive ones of the 0.1 degree grid."""
    steps = np.abs(np.diff(degrees.astype(np.float64)))
    off_node = np.abs(degrees / ERA5LAND.step - np.rint(degrees / ERA5LAND.step)) * ERA5LAND.step
    if off_node.max() > NODE_TOLERANCE_DEGREES or (
        steps.size and np.abs(steps - ERA5LAND.step).max() > NODE_TOLERANCE_DEGREES
    ):
        found = float(np.median(steps)) if steps.size else float(degrees[0])
        raise GranuleError(
            f"{path.name}: expected {name} nodes at multiples of {ERA5LAND.step:g} degrees, found "
            f"steps of {found:g} degrees"
        )


def _field(values: xr.DataArray, name: str, path: Path) -> xr.DataArray:
    """Return one hourly field, checked for units, clipped, without ``expver``."""
    field = FIELDS[name]
    units = str(values.attrs.get("units", ""))
    if units not in field.units:
        raise GranuleError(
            f"{path.name}: expected {name} in {' or '.join(field.units)}, found {units!r}"
        )
    values = values.chunk(_pieces(values))
    if "expver" in values.dims:
        values = _final_first(values)
    extra = set(values.dims) - {"time", "latitude", "longitude"}
    if extra:
        raise GranuleError(
            f"{path.name}: expected {name} by time, latitude and longitude, found also "
            + ", ".join(sorted(map(str, extra)))
        )
    values = values.transpose("time", "latitude", "longitude")
    clipped: xr.DataArray = xr.apply_ufunc(
        clip_rounding,
        values,
        kwargs={"valid": field.valid, "slack": field.slack},
        dask="parallelized",
        output_dtypes=[np.float32],
    )
    clipped.attrs = {"units": units, "long_name": str(values.attrs.get("long_name", name))}
    return clipped


def _pieces(values: xr.DataArray) -> dict[Hashable, int]:
    """Return the size of what is read at once: whole stored chunks, as many as a bound allows.

    Each read costs a millisecond of bookkeeping beside its bytes. What is stored as one piece is
    read by the hour.
    """
    sizes = values.sizes
    stored = values.encoding.get("chunksizes")
    if stored is None or len(stored) != values.ndim:
        pieces = {dim: 1 if dim == "time" else size for dim, size in sizes.items()}
    else:
        pieces = {dim: min(n, sizes[dim]) for dim, n in zip(values.dims, stored, strict=True)}
    for dim, size in sizes.items():
        held = np.dtype(np.float32).itemsize * math.prod(pieces.values())
        times = min(-(-size // pieces[dim]), max(1, PIECE_BYTES // held))
        pieces[dim] = min(size, times * pieces[dim])
    return pieces


def _final_first(values: xr.DataArray) -> xr.DataArray:
    """Return final values (expver 1) where there are any, preliminary ones (5) elsewhere."""
    versions = [values.isel(expver=number, drop=True) for number in range(values.sizes["expver"])]
    joined = versions[0]
    for version in versions[1:]:
        joined = joined.fillna(version)
    joined.attrs = values.attrs
    return joined


def clip_rounding(
    values: NDArray[np.floating], *, valid: tuple[float, float], slack: float
) -> Floats:
    """Return float32 values within a range; a little below it is rounding and becomes its bound.

    Packed ERA5 soil moisture reaches -0.003 (trap T11). Values further below, or above, are NaN.

    Parameters
    ----------
    values : float array
    valid : (float, float)
        Physical range.
    slack : float
        How far below the range a value may be.
    """
    low, high = valid
    with np.errstate(invalid="ignore"):
        known = (values >= low - slack) & (values <= high)
        return np.where(known, np.maximum(values, low), np.nan).astype(np.float32)


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

    def inside(self, window: Window) -> tuple[Indices, Indices]:
        """Return the positions along latitude and longitude of the nodes inside a window."""
        rows = (self.rows >= window.row0) & (self.rows < window.row1)
        cols = (self.cols >= window.col0) & (self.cols < window.col1)
        return np.flatnonzero(rows), np.flatnonzero(cols)

    @property
    def hours_a_day(self) -> int:
        """Return how many hours make a day complete: 24, or 24 by the step of the file."""
        steps = np.diff(self.times).astype(np.int64)
        return HOURS // int(steps.min()) if steps.size and steps.min() <= HOURS else HOURS


def _union(windows: Sequence[Window]) -> Window:
    """Return the smallest window that holds all; a region across Greenwich spans all columns."""
    if not windows:
        raise GranuleError("era5land: expected at least one file, found none")
    return Window(
        min(window.row0 for window in windows),
        max(window.row1 for window in windows),
        min(window.col0 for window in windows),
        max(window.col1 for window in windows),
    )


def _days_of_year(placed: Sequence[_Placed], key: TileYear) -> NDArray[np.datetime64]:
    """Return the UTC days of the key's year of which a file has an hour, sorted."""
    days = np.unique(np.concatenate([place.times.astype("datetime64[D]") for place in placed]))
    of_year: NDArray[np.datetime64] = days[
        days.astype("datetime64[Y]") == np.datetime64(f"{key.year:04d}", "Y")
    ]
    return of_year


def _fill(
    values: Floats,
    days: NDArray[np.datetime64],
    window: Window,
    place: _Placed,
    name: str,
) -> None:
    """Put the days of one file into `values` where nothing is known yet."""
    latitudes, longitudes = place.inside(window)
    if latitudes.size == 0 or longitudes.size == 0:
        return
    rows, cols = place.rows[latitudes] - window.row0, place.cols[longitudes] - window.col0
    hourly = place.dataset[name].isel(latitude=latitudes, longitude=longitudes)
    field = FIELDS[name]
    daily = _totals if field.is_accumulated else _means
    at = {day: number for number, day in enumerate(days.tolist())}
    for day, array in daily(hourly, place):
        number = at.get(day)
        if number is not None:
            here = values[number][np.ix_(rows, cols)]
            known = np.where(np.isnan(here), array * np.float32(field.factor), here)
            values[number][np.ix_(rows, cols)] = known


def _means(hourly: xr.DataArray, place: _Placed) -> Iterator[tuple[date, Floats]]:
    """Yield the mean of each complete UTC day."""
    day_of = place.times.astype("datetime64[D]")
    needed = place.hours_a_day
    days, starts, counts = np.unique(day_of, return_index=True, return_counts=True)
    cells = hourly.shape[1] * hourly.shape[2]
    at_once = max(1, BLOCK_BYTES // (HOURS * cells * 4))
    for first in range(0, len(days), at_once):
        chosen = slice(first, first + at_once)
        begin = int(starts[chosen][0])
        end = int(starts[chosen][-1] + counts[chosen][-1])
        block = _loaded(hourly.isel(time=slice(begin, end)), place)
        for day, start, count in zip(days[chosen], starts[chosen], counts[chosen], strict=True):
            if count == needed:
                hours = block[start - begin : start - begin + count]
                yield day.item(), hours.mean(axis=0, dtype=np.float64).astype(np.float32)


def _totals(hourly: xr.DataArray, place: _Placed) -> Iterator[tuple[date, Floats]]:
    """Yield the total of each day whose end, 00 UTC of the next, is in the file."""
    days = place.times.astype("datetime64[D]")
    midnights = np.flatnonzero(days.astype("datetime64[h]") == place.times)
    cells = hourly.shape[1] * hourly.shape[2]
    for run in _even_runs(midnights, place.hours_a_day, max(1, BLOCK_BYTES // (cells * 4))):
        # One read for a month of midnights: each costs more to ask for than to decode.
        every = slice(int(run[0]), int(run[-1]) + 1, place.hours_a_day)
        for position, total in zip(run, _loaded(hourly.isel(time=every), place), strict=True):
            yield (days[position] - 1).item(), total


def _even_runs(positions: Indices, step: int, at_once: int) -> Iterator[Indices]:
    """Yield the positions in runs of at most `at_once` that are `step` apart."""
    for even in np.split(positions, np.flatnonzero(np.diff(positions) != step) + 1):
        for first in range(0, len(even), at_once):
            yield even[first : first + at_once]


def _loaded(values: xr.DataArray, place: _Placed) -> Floats:
    """Return the values, computed in this thread: a task must not wait for its own cluster.

    Raises
    ------
    GranuleError
        If the file turns out damaged.
    """
    try:
        array: Floats = values.compute(scheduler="synchronous").values
    except (OSError, RuntimeError, ValueError, KeyError) as err:
        raise damaged(place.dataset.attrs["file"], " ".join(str(err).split())) from err
    return array


ERA5_LAND = Era5Land()
