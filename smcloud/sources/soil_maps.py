"""What readers of soil maps share: variables of texture, and area means of maps on our pixels."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from pyproj import Transformer

from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import TileYear, tile_window
from smcloud.sources.area_means import Locate, area_means, samples_across
from smcloud.sources.geotiff import Doubles, Raster
from smcloud.sources.modis import UNKNOWN_INT16

FRACTIONS = ("sand", "silt", "clay")


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
    data = {}
    for name, values in area_means(window, present, _to(crs), samples_across(cell_m)).items():
        variable = schema.variable(name)
        attrs = {"units": variable.units, "long_name": variable.long_name}
        data[name] = (("y", "x"), values, attrs)
    y, x = SIN1KM.y[window.row0 : window.row1], SIN1KM.x[window.col0 : window.col1]
    return xr.Dataset(data, coords={"y": y, "x": x})


def _to(crs: str) -> Locate:
    """Return what brings longitude and latitude to a projection."""
    to_map = Transformer.from_crs("EPSG:4326", crs, always_xy=True)

    def locate(lon: Doubles, lat: Doubles) -> tuple[Doubles, Doubles]:
        x, y = to_map.transform(lon, lat)
        return np.asarray(x), np.asarray(y)

    return locate
