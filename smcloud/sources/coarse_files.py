"""What readers of files on coarse grids share: days without files, axes, places, cubes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import Array, CubeSchema, Days, Variable
from smcloud.grids.grid import Floats, Grid
from smcloud.grids.tiles import TileYear
from smcloud.sources.base import Granule, Outage, Source
from smcloud.sources.day_files import DayFile
from smcloud.sources.quality import RETRIEVAL_RULES

SLAB_DAYS = 46
DAILY_MEAN = {"cell_methods": "time: mean"}


class OnOneTile:
    """A reader whose granules lie on one coarse tile, all of them."""

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a granule may hold cells of the key: all lie on the one coarse tile."""
        return granule.tile == key.tile


@dataclass(frozen=True)
class CoarseFiles(OnOneTile):
    """A reader of a satellite's files on a coarse grid.

    Attributes
    ----------
    product : str
        The maker's word for product, sensor or satellite, as names or metadata of files have it.
    schema : CubeSchema
        On the grid of the files, or on which their footprints are averaged.
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
        return is_expected(day, self.outages)


def is_expected(day: date, outages: Sequence[Outage]) -> bool:
    """Say whether a day lies in no outage."""
    return not any(day in outage for outage in outages)


def granule_of(source: Source, path: Path) -> Granule:
    """Return what the name of a file says, or raise `GranuleError` where it is of no such file."""
    granule = source.identify(path.name)
    if granule is None:
        raise GranuleError(f"{path.name}: expected the name of a file of {source.title}")
    return granule


def check_axis(
    file: DayFile, name: str, centres: Floats, tolerance: float, unit: str = "", digits: str = "g"
) -> None:
    """Raise `GranuleError` unless the axis of a file runs through these centres."""
    found = file.values(name, len(centres))
    if not np.abs(found - centres).max() <= tolerance:
        raise GranuleError(
            f"{file.path.name}: expected {name} from {centres[0]:{digits}} to "
            f"{centres[-1]:{digits}}{unit}, found {found[0]:{digits}} to {found[-1]:{digits}}"
        )


def days_in(times: Sequence[Array], year: int | None) -> Days:
    """Return the UTC days of a year among the times of several files, each once, sorted."""
    stamps = [one.astype("datetime64[D]") for one in times]
    days = np.unique(np.concatenate([*stamps, np.array([], "datetime64[D]")]))
    chosen: Days = days[days.astype("datetime64[Y]") == np.datetime64(f"{year:04d}", "Y")]
    return chosen


def daily_schema(
    name: str,
    grid: Grid,
    variables: tuple[Variable, ...],
    cells: tuple[int, int],
    title: str,
    slab: int = SLAB_DAYS,
) -> CubeSchema:
    """Return the schema of a daily cube on a coarse grid.

    Parameters
    ----------
    cells : (int, int)
        Rows, which are as many as columns, of a chunk and of a shard.
    slab : int
        Days of a chunk and of a shard.
    """
    chunk, shard = ((slab, size, size) for size in cells)
    return CubeSchema(name, grid.name, variables, 1, chunk, shard, title, codec="lz4")


def temperature(name: str, long_name: str, standard_name: str, most_k: float) -> Variable:
    """Return a cube variable of a land model's daily mean temperature, kelvin."""
    return Variable(
        name,
        "int16",
        "K",
        long_name,
        (180.0, most_k),
        scale=0.005,
        offset=273.15,
        fill=-32768,
        standard_name=standard_name,
        attrs=DAILY_MEAN,
    )


def soil_water(name: str, layer: str) -> Variable:
    """Return a cube variable of a land model's daily mean soil moisture."""
    return Variable(
        name,
        "uint16",
        "m3 m-3",
        f"volumetric soil water, {layer}, daily mean",
        (0.0, 1.0),
        scale=0.00002,
        fill=65535,
        standard_name="volume_fraction_of_condensed_water_in_soil",
        attrs=DAILY_MEAN,
    )
