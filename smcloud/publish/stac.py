"""STAC items, one per tile-year, derived from the published store and rebuilt at will."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pystac

from smcloud.core.errors import ConfigError
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, Floats, sinusoidal_wkt
from smcloud.grids.tiles import TileYear
from smcloud.publish.raster import RasterRecord, transform_of

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
DATACUBE = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
NETCDF_TYPE = "application/x-netcdf"
ZARR_TYPE = "application/vnd.zarr; version=3"
EDGE_POINTS = 25
"""Points along each meridian edge: sinusoidal edges are curves in longitude and latitude."""


@dataclass(frozen=True)
class Published:
    """What a tile-year item points at."""

    product: str
    title: str
    key: TileYear
    schema: CubeSchema
    store_url: str
    model_sha256: str
    software: str
    """Version of smcloud that wrote the store."""
    rasters: tuple[RasterRecord, ...] = ()
    netcdf_url: str = ""
    report_url: str = ""
    map_url: str = ""


def item_id(product: str, key: TileYear) -> str:
    """Return the id of the item of a tile-year, such as ``glass-sm-h25v05-2019``."""
    return f"{product}-{key.tile}-{key.year}"


def tile_item(published: Published) -> pystac.Item:
    """Return the STAC item of one tile-year; equal inputs give equal items (no clock inside)."""
    key = published.key
    outline = tile_outline(key)
    start, end = _year_bounds(key)
    item = pystac.Item(
        id=item_id(published.product, key),
        geometry={"type": "Polygon", "coordinates": [outline.tolist()]},
        bbox=[*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist()],
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties={
            "title": f"{published.title}, tile {key.tile}, {key.year}",
            "smcloud:tile_year": str(key),
            "smcloud:model_sha256": published.model_sha256,
            "smcloud:version": published.software,
            **_projection(key),
            **_datacube(published.schema, key, outline),
        },
        stac_extensions=[PROJECTION, DATACUBE, FILE],
    )
    for name, asset in _assets(published).items():
        item.add_asset(name, asset)
    return item


def item_bytes(item: pystac.Item) -> bytes:
    """Return the item as JSON with sorted keys and a final newline."""
    data = item.to_dict(include_self_link=False, transform_hrefs=False)
    return (json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def tile_outline(key: TileYear) -> Floats:
    """Return the tile's outline in degrees, (n, 2) longitude and latitude, closed, anticlockwise.

    Edges of constant x are curves, so they carry points; what lies off the globe is cut at
    longitude -180 and 180. The sphere's latitude is taken as the geographic one, as the grid does.

    Raises
    ------
    ConfigError
        If no pixel of the tile is on the globe.
    """
    window = key.window
    transform = transform_of(window)
    north, south = transform.f, transform.f + transform.e * window.shape[0]
    west, east = transform.c, transform.c + transform.a * window.shape[1]
    nearest_x = min(abs(west), abs(east)) if west * east > 0 else 0.0
    last_y = EARTH_RADIUS_M * np.arccos(min(1.0, nearest_x / (np.pi * EARTH_RADIUS_M)))
    south, north = max(south, -last_y), min(north, last_y)
    if south >= north:
        raise ConfigError(f"tile {key.tile} lies off the globe: it has no outline and no land")
    lat = np.degrees(np.linspace(south, north, EDGE_POINTS) / EARTH_RADIUS_M)
    shrink = np.maximum(np.cos(np.radians(lat)), 1e-9)
    left, right = (
        np.clip(np.degrees(x / EARTH_RADIUS_M) / shrink, -180.0, 180.0) for x in (west, east)
    )
    up, down = np.stack([right, lat], axis=1), np.stack([left, lat], axis=1)[::-1]
    ring = np.round(np.concatenate([up, down, up[:1]]), 6)
    changed = np.any(np.diff(ring, axis=0) != 0, axis=1)
    return np.asarray(ring[np.concatenate([[True], changed])])


def _year_bounds(key: TileYear) -> tuple[datetime, datetime]:
    year = key.year or 1970
    start = datetime(year, 1, 1, tzinfo=UTC)
    return start, datetime(year + 1, 1, 1, tzinfo=UTC) - timedelta(seconds=1)


def _projection(key: TileYear) -> dict[str, Any]:
    transform = transform_of(key.window)
    return {
        "proj:code": None,
        "proj:wkt2": sinusoidal_wkt(),
        "proj:shape": list(key.window.shape),
        "proj:transform": list(transform)[:6],
    }


def _datacube(schema: CubeSchema, key: TileYear, outline: Floats) -> dict[str, Any]:
    rows, cols = key.window.slices
    x, y, days = SIN1KM.x[cols], SIN1KM.y[rows], schema.times(key.year)
    spatial: Mapping[str, Any] = {"type": "spatial", "reference_system": sinusoidal_wkt()}
    return {
        "cube:dimensions": {
            "time": {
                "type": "temporal",
                "extent": [f"{days[0]}T00:00:00Z", f"{days[-1]}T00:00:00Z"],
                "step": f"P{schema.step_days}D",
            },
            "y": {**spatial, "axis": "y", "extent": [float(y[-1]), float(y[0])], "step": _step(y)},
            "x": {**spatial, "axis": "x", "extent": [float(x[0]), float(x[-1])], "step": _step(x)},
        },
        "cube:variables": {
            variable.name: {
                "type": "data",
                "dimensions": list(schema.dims),
                "description": variable.long_name,
                "unit": variable.units,
            }
            for variable in schema.variables
        },
    }


def _step(axis: Floats) -> float:
    return float((axis[-1] - axis[0]) / (len(axis) - 1))


def _assets(published: Published) -> dict[str, pystac.Asset]:
    assets = {
        "store": pystac.Asset(
            published.store_url,
            title=f"{published.title}, {published.key.year}, whole grid",
            media_type=ZARR_TYPE,
            roles=["data"],
        )
    }
    for raster in published.rasters:
        assets[f"cog-{raster.day}"] = pystac.Asset(
            raster.url,
            title=f"GeoTIFF of {raster.day}",
            media_type=pystac.MediaType.COG,
            roles=["data"],
            extra_fields={"file:size": raster.size_bytes},
        )
    if published.netcdf_url:
        assets["netcdf"] = pystac.Asset(
            published.netcdf_url,
            title=f"NetCDF of tile {published.key.tile}",
            media_type=NETCDF_TYPE,
            roles=["data"],
        )
    if published.map_url:
        assets["map"] = pystac.Asset(
            published.map_url, title="Map", media_type=pystac.MediaType.PNG, roles=["overview"]
        )
    if published.report_url:
        assets["report"] = pystac.Asset(
            published.report_url,
            title="Scores and provenance",
            media_type=pystac.MediaType.HTML,
            roles=["metadata"],
        )
    return assets
