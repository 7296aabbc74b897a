"""Soil texture maps of China at about 1 km: sand, silt and clay of the topsoil.

An alternative to SoilGrids where a product was made with the China data set (Shangguan et al.
2012, Geoderma 171-172, 93-103, doi:10.1016/j.geoderma.2011.10.021). One GeoTIFF a fraction, in per
cent by mass, on any projection; all files of a run must have the same. Values are area means of the
cells inside a pixel, as for SoilGrids.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from rasterio.crs import CRS

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.base import Granule
from smcloud.sources.geotiff import read_raster
from smcloud.sources.modis import tile_schema
from smcloud.sources.static_maps import StaticMaps, means_on_tile, texture

METRES_A_DEGREE = 111_320.0
CELL_M = (500.0, 1500.0)
"""Cells of other sizes are another product's."""
_NAME = re.compile(
    r"(?:china_soil_)?(?P<fraction>sand|silt|clay)(?:_(?P<region>h\d{2}v\d{2}))?\.tiff?"
)
SCHEMA = tile_schema(
    "china_soil",
    "Soil texture of China, topsoil, 1 km",
    texture("topsoil"),
    None,
)


class ChinaSoil(StaticMaps):
    """Reader of the three maps, whole or cut to tiles, ``[china_soil_]<fraction>[_<tile>].tif``."""

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a map may touch the tile: not where its name is that of another."""
        found = _NAME.fullmatch(granule.name)
        return found is not None and found["region"] in (None, key.tile)

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return one map in per cent, dims (y, x), in the units of its CRS.

        Raises
        ------
        GranuleError
            If the file is damaged, or its cells are not about 1 km.
        """
        found = self.parts(path, quality)
        seen: list[CRS] = []

        def note(crs: CRS) -> str:
            seen.append(crs)
            return ""

        values = read_raster(path, note, (0.0, 100.0))
        cell_m = values.attrs["step_x"] * (METRES_A_DEGREE if seen[0].is_geographic else 1.0)
        if not CELL_M[0] <= cell_m <= CELL_M[1]:
            raise GranuleError(
                f"{path.name}: expected cells of {CELL_M[0]:g} to {CELL_M[1]:g} m, found "
                f"{cell_m:.0f} m"
            )
        values.attrs["units"] = "%"
        attrs = {"source": self.name, "file": path.name, "crs": seen[0].to_wkt()}
        return xr.Dataset({found["fraction"]: values}, attrs=attrs)

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return the area means of all maps given, dims (y, x).

        Raises
        ------
        GranuleError
            If the maps are on several projections.
        """
        crs = _shared_projection(datasets)
        return means_on_tile(datasets, self.schema, key, within=within, crs=crs, cell_m=1000.0)


def _shared_projection(datasets: Sequence[xr.Dataset]) -> str:
    """Return the projection of all maps, or raise `GranuleError` naming one of another."""
    first = datasets[0]
    for other in datasets:
        if other.attrs["crs"] != first.attrs["crs"]:
            raise GranuleError(
                f"{other.attrs['file']}: expected the projection of {first.attrs['file']}, found "
                "another"
            )
    return str(first.attrs["crs"])


CHINA_SOIL = ChinaSoil(SCHEMA, SCHEMA.title, _NAME, "china_soil_clay.tif (sand, silt or clay)")
