"""Readers of products that come as one global file a day on a coarse grid.

What they share is written here once: how a file is opened, which days there should be files of, how
days become steps of a cube. A product says what its names mean and what its files must hold.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import Grid, Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.base import Granule, coordinates, steps_dataset
from smcloud.sources.coarse_files import CoarseFiles, days_in, granule_of
from smcloud.sources.day_files import DayFile
from smcloud.sources.quality import check_rule


class GlobalDays(CoarseFiles, ABC):
    """A reader of one such product."""

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
        granule = granule_of(self, path)
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
        days = days_in(stamps, key.year)
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
            fields[variable.name] = values
        return steps_dataset(self.schema, fields, days, window)


def _dataset(
    fields: Mapping[str, xr.Variable], grid: Grid, day: date, file: DayFile, source: str
) -> xr.Dataset:
    """Return the layers of a file as a dataset of one day; closing it closes the file."""
    dataset = xr.Dataset(
        dict(fields),
        coords=coordinates(np.array([day], "datetime64[D]"), grid, grid.window),
        attrs={"source": source, "file": file.path.name},
    )
    dataset.set_close(file.close)
    return dataset
