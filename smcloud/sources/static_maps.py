"""What readers of static maps share: names, variables of texture, area means on our pixels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr
from pyproj import Transformer

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import GLOBE, TileYear, tile_window
from smcloud.sources.area_means import Locate, area_means, samples_across
from smcloud.sources.base import Granule, steps_dataset
from smcloud.sources.geotiff import Doubles, Raster
from smcloud.sources.modis import UNKNOWN_INT16
from smcloud.sources.quality import check_rule

STATIC_DAY = date(1970, 1, 1)
FRACTIONS = ("sand", "silt", "clay")


@dataclass(frozen=True)
class StaticMaps:
    """A reader of GeoTIFFs of what does not change.

    Attributes
    ----------
    schema : CubeSchema
    title : str
        One line for people.
    pattern : Pattern
        Names of the files.
    example : str
        Such a name and what it may say, for people.
    """

    schema: CubeSchema
    title: str
    pattern: re.Pattern[str]
    example: str
    quality_rules: tuple[str, ...] = ()
    joins_granules: bool = True
    lookahead_days: int = 0

    @property
    def name(self) -> str:
        """Return the word of the command line."""
        return self.schema.name

    def identify(self, name: str) -> Granule | None:
        """Return what a file name says: a map may lie anywhere on the globe."""
        if self.pattern.fullmatch(name) is None:
            return None
        return Granule(self.name, GLOBE, STATIC_DAY, STATIC_DAY, "", name)

    def parts(self, path: Path, quality: str) -> re.Match[str]:
        """Return the parts of a file's name.

        Raises
        ------
        GranuleError
            If it is no name of such a file.
        UserError
            If there is no such quality rule.
        """
        check_rule(quality, self.quality_rules, self.name)
        found = self.pattern.fullmatch(path.name)
        if found is None:
            raise GranuleError(f"{path.name}: expected a name like {self.example}, found another")
        return found


def texture(depth: str) -> tuple[Variable, ...]:
    """Return sand, silt and clay of a depth, per cent of the fine earth by mass."""
    return tuple(
        Variable(
            name,
            "int16",
            "%",
            f"{name} in the fine earth, {depth}, by mass",
            (0.0, 100.0),
            scale=0.01,
            fill=UNKNOWN_INT16,
        )
        for name in FRACTIONS
    )


def means_on_tile(
    datasets: Sequence[xr.Dataset],
    schema: CubeSchema,
    key: TileYear,
    *,
    within: Window | None,
    crs: str,
    cell_m: float,
) -> xr.Dataset:
    """Return the area means of the maps of each variable, dims (y, x); see `area_means`.

    Parameters
    ----------
    datasets : sequence of Dataset
        Maps of the schema's variables, all in one projection.
    schema : CubeSchema
    key, within
        The tile, and the part of it that is wanted, as of `Source.steps`.
    crs : str
        The projection of the maps.
    cell_m : float
        About how large their cells are, metres.
    """
    home = tile_window(SIN1KM, key.tile)
    window = home if within is None else home.intersect(within) or home
    rasters = {
        variable.name: [Raster(one[variable.name]) for one in datasets if variable.name in one]
        for variable in schema.variables
    }
    present = {name: maps for name, maps in rasters.items() if maps}
    means = area_means(window, present, _to(crs), samples_across(cell_m))
    return steps_dataset(schema, means, None, window)


def _to(crs: str) -> Locate:
    """Return what brings longitude and latitude to a projection."""
    to_map = Transformer.from_crs("EPSG:4326", crs, always_xy=True)

    def locate(lon: Doubles, lat: Doubles) -> tuple[Doubles, Doubles]:
        x, y = to_map.transform(lon, lat)
        return np.asarray(x), np.asarray(y)

    return locate
