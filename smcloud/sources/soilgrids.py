"""SoilGrids 2.0 maps (Goode homolosine, 250 m) to soil properties at 1 km.

Stored integers are in mapped units: sand, silt and clay in g/kg, bulk density in cg/cm3, organic
carbon in dg/kg (ISRIC, SoilGrids FAQ); nodata is the file's own, -32768 in general.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr
from rasterio.crs import CRS

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import Variable
from smcloud.grids.grid import Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.base import Granule
from smcloud.sources.geotiff import read_raster
from smcloud.sources.modis import UNKNOWN_INT16, tile_schema
from smcloud.sources.static_maps import StaticMaps, means_on_tile, texture

CELL_M = 250.0
HOMOLOSINE = "+proj=igh +lat_0=0 +lon_0=0 +datum=WGS84 +units=m +no_defs"
_NAME = re.compile(r"(?P<layer>sand|silt|clay|bdod|soc)_0-5cm_mean(?:_(?P<region>[\w-]+))?\.tiff?")
_TILE = re.compile(r"h\d{2}v\d{2}")


@dataclass(frozen=True)
class SoilLayer:
    """One map: the cube's variable, its value per stored unit, and the range of stored values."""

    variable: str
    factor: float
    valid: tuple[float, float]


LAYERS: Mapping[str, SoilLayer] = {
    "sand": SoilLayer("sand", 0.1, (0, 1000)),
    "silt": SoilLayer("silt", 0.1, (0, 1000)),
    "clay": SoilLayer("clay", 0.1, (0, 1000)),
    "bdod": SoilLayer("bulk_density", 0.01, (1, 250)),
    "soc": SoilLayer("organic_carbon", 0.1, (0, 10000)),
}


SCHEMA = tile_schema(
    "soilgrids",
    "SoilGrids 2.0 soil properties, 0-5 cm, 1 km",
    (
        *texture("0-5 cm"),
        Variable(
            "bulk_density",
            "int16",
            "g cm-3",
            "bulk density of the fine earth, 0-5 cm",
            (0.0, 2.5),
            scale=0.001,
            fill=UNKNOWN_INT16,
        ),
        Variable(
            "organic_carbon",
            "uint16",
            "g kg-1",
            "organic carbon in the fine earth, 0-5 cm",
            (0.0, 1000.0),
            scale=0.02,
            fill=65535,
        ),
    ),
    None,
)


class SoilGrids(StaticMaps):
    """Reader of SoilGrids 2.0 GeoTIFFs, whole or cut, ``<property>_0-5cm_mean[_region].tif``."""

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a map may touch the tile: not where its region is the name of another."""
        found = _NAME.fullmatch(granule.name)
        region = (found["region"] or "") if found else ""
        return region == key.tile or _TILE.fullmatch(region) is None

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return one soil map in the cube's units, dims (y, x), metres on the homolosine."""
        found = self.parts(path, quality)
        layer = LAYERS[found["layer"]]
        values = read_raster(path, _check_homolosine, layer.valid, layer.factor)
        if abs(values.attrs["step_x"] - CELL_M) > 1.0:
            raise GranuleError(
                f"{path.name}: expected cells of {CELL_M:g} m, found {values.attrs['step_x']:g} m"
            )
        values.attrs["units"] = self.schema.variable(layer.variable).units
        attrs = {"source": self.name, "file": path.name}
        return xr.Dataset({layer.variable: values}, attrs=attrs)

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return the area means of all maps given, dims (y, x); see `means_on_tile`."""
        return means_on_tile(
            datasets, self.schema, key, within=within, crs=HOMOLOSINE, cell_m=CELL_M
        )


def _check_homolosine(crs: CRS) -> str:
    """Return what is wrong with a CRS that is not Goode's homolosine."""
    if crs.to_dict().get("proj") == "igh":
        return ""
    return f"expected Goode homolosine, found {crs.to_string()[:60]}"


SOILGRIDS = SoilGrids(
    SCHEMA, SCHEMA.title, _NAME, "clay_0-5cm_mean.tif (sand, silt, clay, bdod or soc)"
)
