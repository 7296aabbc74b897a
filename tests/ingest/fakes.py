"""A source whose granules are small .npz files: the shape of every source, none of the formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.sources.base import Granule

TEMPERATURE = Variable(
    "lst_day", "uint16", "K", "surface temperature", (150.0, 400.0), 0.02, fill=0
)
DAILY = CubeSchema("fake", "sin1km", (TEMPERATURE,), 1, (46, 150, 150), (46, 1200, 1200), "daily")
FINE = CubeSchema("fake", "sin1km", (TEMPERATURE,), 16, (12, 600, 600), (12, 1200, 1200), "16 days")
"""Two slabs a year: small enough for tests that write them."""
STEPS = range(1, 366, 16)
"""Days of the year on which the steps of `FINE` begin."""
RAIN = Variable("tp", "uint16", "mm day-1", "rain of the day", (0.0, 600.0), 0.01, fill=65535)
COARSE = CubeSchema("fakecoarse", "era5land", (RAIN,), 1, (46, 60, 60), (46, 60, 60), "coarse")


@dataclass(frozen=True)
class FakeSource:
    """Reads ``fake.A2019001.h18v04.2019010.npz``: one number for a whole tile."""

    name: str = "fake"
    title: str = "fake tiles"
    schema: CubeSchema = FINE
    quality_rules: tuple[str, ...] = ("good", "all")
    joins_granules: bool = False
    lookahead_days: int = 0

    def identify(self, name: str) -> Granule | None:
        parts = name.split(".")
        if len(parts) != 5 or parts[0] != self.name:
            return None
        start = _day(parts[1].removeprefix("A"))
        end = start + timedelta(days=(self.schema.step_days or 1) - 1)
        return Granule(self.name, parts[2], start, end, parts[3], name)

    def covers(self, granule: Granule, key) -> bool:
        return granule.tile == key.tile

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        raise NotImplementedError("tiles are packed")

    def steps(self, datasets: Sequence[xr.Dataset], key, *, within=None) -> xr.Dataset:
        raise NotImplementedError("tiles are packed")

    def pack_into(self, path: Path, into: Mapping[str, np.ndarray], *, quality: str = "") -> None:
        text, *worse = path.read_text().split()
        try:
            value = np.array(float(text), np.float32)
        except ValueError as err:
            raise GranuleError(f"{path.name}: expected a number, found something else") from err
        variable = self.schema.variables[0]
        into[variable.name][:] = variable.pack(value)
        if worse:
            raise GranuleError(f"{path.name}: its end is damaged")


@dataclass(frozen=True)
class FakeCoarse(FakeSource):
    """Hourly-like files of many days over 4 x 5 cells; a day needs the next one's first value."""

    name: str = "fakecoarse"
    schema: CubeSchema = COARSE
    joins_granules: bool = True
    lookahead_days: int = 1

    def identify(self, name: str) -> Granule | None:
        parts = name.removeprefix("east-").split("_")
        if len(parts) != 3 or parts[0] != self.name:
            return None
        start, end = (date.fromisoformat(part.removesuffix(".txt")) for part in parts[1:])
        return Granule(self.name, "globe", start, end, "", name)

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        granule = self.identify(path.name)
        assert granule is not None
        text = path.read_text()
        if not text.startswith("fake"):
            raise GranuleError(f"{path.name}: damaged")
        days = np.arange(np.datetime64(granule.start), np.datetime64(granule.end) + 1)
        grid = self.schema.on
        totals = (days - np.datetime64("2019-01-01")).astype(np.float32)
        values = np.broadcast_to(totals[:, None, None], (len(days), 4, 5)).copy()
        dims = ("time", "latitude", "longitude")
        coords = {"time": days, "latitude": grid.y[58:62], "longitude": grid.x[10:15]}
        attrs = {"broken_inside": "inside" in text, "file": path.name}
        return xr.Dataset({"tp": (dims, values, {"units": "mm day-1"})}, coords, attrs)

    def steps(self, datasets: Sequence[xr.Dataset], key, *, within=None) -> xr.Dataset:
        for dataset in datasets:
            if dataset.attrs["broken_inside"]:
                raise OSError(f"{dataset.attrs['file']}: cannot decompress a chunk")
        joined = xr.concat(datasets, "time").sortby("time")
        # The total of a day is the value at the first instant of the next one.
        shifted = joined.isel(time=slice(1, None))
        shifted["time"] = joined["time"].values[:-1]
        return shifted


def _day(text: str) -> date:
    return date(int(text[:4]), 1, 1) + timedelta(days=int(text[4:]) - 1)


def fake_name(day_of_year: int, tile: str = "h18v04", produced: str = "2019400", year=2019) -> str:
    return f"fake.A{year}{day_of_year:03d}.{tile}.{produced}.npz"


def write_fakes(folder: Path, days, tile="h18v04", value=300.0, produced="2019400") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for day in days:
        (folder / fake_name(day, tile, produced)).write_text(str(value))
