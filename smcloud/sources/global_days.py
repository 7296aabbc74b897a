"""Readers of products that come as one global file a day on a coarse grid.

What they share is written here once: how a file is opened, which days there should be files of, how
days become steps of a cube. A product says what its names mean and what its files must hold.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import Grid, Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.base import Granule, Outage
from smcloud.sources.day_files import DayFile
from smcloud.sources.quality import RETRIEVAL_RULES, check_rule


@dataclass(frozen=True)
class GlobalDays(ABC):
    """A reader of one such product.

    Attributes
    ----------
    product : str
        The maker's word, as names or metadata of files have it.
    schema : CubeSchema
        On the grid of the files.
    outages : tuple of Outage
        Days of which there are no files.
    """

    product: str
    schema: CubeSchema
    outages: tuple[Outage, ...]
    quality_rules: tuple[str, ...] = RETRIEVAL_RULES
    joins_granules: bool = True
    lookahead_days: int = 0

    @property
    def name(self) -> str:
        """Return the word of the command line, such as ``smap_l3``."""
        return self.schema.name

    @property
    def title(self) -> str:
        """Return one line for people."""
        return self.schema.title

    def expects(self, day: date) -> bool:
        """Say whether there should be a file of a day: it lies in no outage."""
        return not any(day in outage for outage in self.outages)

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a granule may hold cells of the key: all lie on the one coarse tile."""
        return granule.tile == key.tile

    @abstractmethod
    def identify(self, name: str) -> Granule | None:
        """Return what a file name says, or None where it is no file of this product."""

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return a day on the grid of the product, its layers read when they are used.

        Returns
        -------
        Dims as the cube has them, one time step. Soil moisture is in the units of the cube; NaN
        where unknown, outside the physical range or refused by the quality rule. Flags are as
        stored.

        Raises
        ------
        GranuleError
            If the file is damaged, of another product, version, grid or layout.
        """
        rule = check_rule(quality, self.quality_rules, self.name)
        granule = self.identify(path.name)
        if granule is None:
            raise GranuleError(f"{path.name}: expected the name of a file of {self.title}")
        grid = self.schema.on
        file = DayFile(path, (grid.rows, grid.cols))
        try:
            fields = self._fields(file, granule, rule)
        except GranuleError:
            file.close()
            raise
        return _dataset(fields, grid, granule.start, file, self.name)

    @abstractmethod
    def _fields(self, file: DayFile, granule: Granule, rule: str) -> Mapping[str, xr.Variable]:
        """Return the layers of a file by name, after a look that they are what they must be."""

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return the days of the key's year that there are files of, in order, dims as the cube's.

        Where two files are of one day, the first that knows a cell counts. The window is the whole
        grid, or `within`.
        """
        grid = self.schema.on
        window = within or grid.window
        stamps = [dataset["time"].values.astype("datetime64[D]") for dataset in datasets]
        days = np.unique(np.concatenate([*stamps, np.array([], "datetime64[D]")]))
        days = days[days.astype("datetime64[Y]") == np.datetime64(f"{key.year:04d}", "Y")]
        inside = dict(zip(grid.dims, window.slices, strict=True))
        fields = {}
        for variable in self.schema.variables:
            values = np.full((len(days), *window.shape), np.nan, np.float32)
            for dataset, own_days in zip(datasets, stamps, strict=True):
                # A variable alone: indexing its coordinates too takes longer than reading it.
                part = dataset.variables[variable.name].isel(inside)
                for number, at in enumerate(np.searchsorted(days, own_days)):
                    if at < len(days) and days[at] == own_days[number]:
                        here = values[at]
                        np.copyto(here, part.isel(time=number).values, where=np.isnan(here))
            attrs = {"units": variable.units, "long_name": variable.long_name}
            fields[variable.name] = (self.schema.dims, values, attrs)
        return xr.Dataset(fields, coords=_coordinates(days, grid, window))


def _dataset(
    fields: Mapping[str, xr.Variable], grid: Grid, day: date, file: DayFile, source: str
) -> xr.Dataset:
    """Return the layers of a file as a dataset of one day; closing it closes the file."""
    dataset = xr.Dataset(
        dict(fields),
        coords=_coordinates(np.array([day], "datetime64[D]"), grid, grid.window),
        attrs={"source": source, "file": file.path.name},
    )
    dataset.set_close(file.close)
    return dataset


def _coordinates(
    days: np.ndarray[tuple[int], np.dtype[np.datetime64]], grid: Grid, window: Window
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.generic]]]:
    """Return days and the centres of a window's rows and columns."""
    rows, cols = grid.dims
    return {
        "time": days.astype("datetime64[ns]"),
        rows: grid.y[window.slices[0]],
        cols: grid.x[window.slices[1]],
    }
