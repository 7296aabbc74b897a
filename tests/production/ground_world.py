"""A run of freeze-thaw that is small and whole: a user's own cubes of a few cells of the plateau.

Its ground changes from night to night, so that a label that is matched with another day than its
own tells nothing.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from smcloud.core.config import RunConfig
from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import grid_mapping_attrs
from smcloud.features.ground_columns import BRIGHTNESS
from smcloud.features.pass_matching import utc_hours
from smcloud.grids.grid import SIN1KM, Grid, Window
from smcloud.grids.tiles import tile_at, window_text
from smcloud.sources.registry import SOURCES

HALF_PIXELS = 130
EMPTY_DAY, NO_NIGHT = 40, 41
"""Days of each year on which nothing, and on which only the day's overpass, saw the ground."""
NIGHT_HOUR = 1.5
"""Of the radiometer's night overpass, local solar time."""
SOURCES_USED = ("amsr2_tb", "gldas", "terrain", "soilgrids", "smos_ft", "smap_ft")


@dataclass(frozen=True)
class Site:
    """Where a world lies, and its years.

    Attributes
    ----------
    lon, lat : float
        Of the middle.
    years : tuple of int
    """

    lon: float
    lat: float
    years: tuple[int, ...]

    def around(self, grid: Grid, reach: int) -> Window:
        """Return the cells of a grid about the middle."""
        row, col = (int(one) for one in grid.pixel_of(self.lon, self.lat))
        return Window(row - reach, row + reach + 1, col - reach, col + reach + 1)

    @property
    def tile(self) -> str:
        """Return the tile of the middle."""
        return tile_at(*(int(one) for one in SIN1KM.pixel_of(self.lon, self.lat)))

    @property
    def part(self) -> str:
        """Return the part of the tile that is produced, as a run file has it."""
        return window_text(self.around(SIN1KM, HALF_PIXELS), self.tile)

    def window_of(self, source: str) -> Window:
        """Return the cells of a source's cubes."""
        reach = {"gldas": 16, "smap_ft": 8, "terrain": 330, "soilgrids": 330}.get(source, 9)
        return self.around(SOURCES[source].schema.on, reach)


PLATEAU = Site(86.0, 33.0, (2014, 2015))


def height(lon, lat):
    """Return elevation, m."""
    return 4300.0 + 700.0 * np.sin(1.7 * lon) + 500.0 * np.cos(2.3 * lat)


@dataclass
class Ground:
    """Soil temperature at some places, degrees Celsius, by night and by day, (days, rows, cols)."""

    night: np.ndarray
    day: np.ndarray

    @classmethod
    def at(cls, lon, lat, year: int) -> "Ground":
        """Return what weather, which is the same all over, and the place make of it."""
        n_days = len(SOURCES["gldas"].schema.times(year))
        rng = np.random.default_rng(year)
        season = -12.0 * np.cos(2 * np.pi * (np.arange(n_days) - 20) / n_days)
        weather = rng.normal(0.0, 5.0, n_days)
        place = 22.0 - 0.0047 * height(lon, lat)
        night = (season + weather)[:, None, None] + place
        return cls(night, night + 6.0 + rng.normal(0.0, 2.0, n_days)[:, None, None])


def state_of(soil) -> np.ndarray:
    """Return the state as SMOS codes it."""
    return np.where(soil < -1.5, 2.0, np.where(soil < 0.5, 1.0, 0.0))


def make_ground_world(folder: Path, site: Site = PLATEAU, parts: int = 1) -> Path:
    """Make cubes and a run file below `folder`; return the run file.

    Along each axis, the arrays of the cubes have so many chunks.
    """
    for source in SOURCES_USED:
        schema = SOURCES[source].schema
        for year in (None,) if schema.is_static else site.years:
            window = site.window_of(source)
            values = _values(source, window, year)
            make_store(folder / "own" / source, schema, window, year, values, parts)
    return write_run(folder, site=site)


def write_run(
    folder: Path, *, root: str = "", extra: str = "", scheduler: str = "", site: Site = PLATEAU
) -> Path:
    """Write a run file whose product root is `root` (by default ``folder/out``)."""
    urls = "\n".join(f'{one} = "{folder}/own/{one}"' for one in SOURCES_USED)
    path = folder / "run.toml"
    path.write_text(f"""
product = "freeze-thaw"
years = {list(site.years)}
tiles = ["{site.tile}"]
stages = ["train", "produce", "validate", "publish"]
[store]
root = "{root or folder / "out"}"
[ingest.cubes]
{urls}
[ground]
trees = 8
max_depth = 8
most_rows = 8000
block_degrees = 0.4
folds = 1
{extra}
[produce]
window = "{site.part}"
years = [{site.years[-1]}]
heartbeat_seconds = 0.5
[compare]
products = ["smap_ft"]
[cluster]
scheduler = "{scheduler}"
workers = 1
memory = "2GiB"
""")
    return path


def config_of(path: Path, **changes) -> RunConfig:
    """Return the run of a file, with changes to its section `ground`."""
    config = RunConfig.model_validate(tomllib.loads(path.read_text()))
    return config.model_copy(update={"ground": config.ground.model_copy(update=changes)})


def _values(source: str, window: Window, year: int | None) -> dict[str, np.ndarray]:
    """Return the physical values of a source by variable."""
    if source == "terrain":
        flat = np.full(window.shape, 3.0)
        return {"elevation": height(*SIN1KM.lonlat(window)), "slope": flat}
    if source == "soilgrids":
        return {name: np.full(window.shape, 33.0) for name in ("sand", "silt", "clay")}
    assert year is not None
    rng = np.random.default_rng([year, len(source)])
    lon, lat = SOURCES[source].schema.on.lonlat(window)
    ground = Ground.at(lon, lat, year)
    if source == "gldas":
        return _land_model(ground, rng)
    if source == "smap_ft":
        return {"state_am": np.where(state_of(ground.night) > 0, 2.0, 0.0)}
    return _label(ground, lon) if source == "smos_ft" else _brightness(ground, lon, rng)


def _label(ground: Ground, lon: np.ndarray) -> dict[str, np.ndarray]:
    # At 86 E, 6:00 is soon after midnight UTC: the overpass was filed under the day before.
    later = utc_hours(6.0, lon) < utc_hours(NIGHT_HOUR, lon)
    rolled = np.roll(state_of(ground.night), 1, axis=0)
    rolled[0] = np.nan
    morning = np.where(later, rolled, state_of(ground.night))
    return {"state_asc": morning, "state_desc": state_of(ground.day)}


def _land_model(ground: Ground, rng) -> dict[str, np.ndarray]:
    mean = 273.15 + (ground.night + ground.day) / 2
    return {
        "soil_temperature": mean + rng.normal(0.0, 2.0, mean.shape),
        "air_temperature": mean + rng.normal(0.0, 4.0, mean.shape),
        "soil_moisture": np.full(mean.shape, 0.2),
        "snow_water": np.zeros(mean.shape),
    }


def _brightness(ground: Ground, lon: np.ndarray, rng) -> dict[str, np.ndarray]:
    found = {}
    for direction, soil, hour in (
        ("desc", ground.night, NIGHT_HOUR),
        ("asc", ground.day, NIGHT_HOUR + 12),
    ):
        frozen = 1.0 / (1.0 + np.exp(np.clip(soil / 0.8, -30, 30)))
        for number, name in enumerate(BRIGHTNESS):
            emissivity = 0.95 - 0.05 * (number % 2) + 0.01 * (number % 3) * frozen
            values = emissivity * (270.0 + 0.8 * soil) + rng.normal(0.0, 1.0, soil.shape)
            values[[EMPTY_DAY, NO_NIGHT] if direction == "desc" else [EMPTY_DAY]] = np.nan
            found[f"{name}_{direction}"] = values
        found[f"hour_{direction}"] = np.broadcast_to(utc_hours(hour, lon), soil.shape)
    return found


def make_store(
    folder: Path,
    schema: CubeSchema,
    window: Window,
    year: int | None,
    values: dict,
    parts: int = 1,
) -> None:
    """Write a store of a region as a user has it: chunks without shards."""
    rows, cols = window.slices
    grid, days = schema.on, schema.times(year)
    root = zarr.create_group(str(folder / (f"{year}.zarr" if year else "static.zarr")))
    for dim, centres in zip(grid.dims, (grid.y[rows], grid.x[cols]), strict=True):
        root.create_array(dim, data=centres, dimension_names=(dim,))
    root.create_array("spatial_ref", data=np.array(0), attributes=grid_mapping_attrs(grid))
    if days.size:
        units = {"units": "days since 1970-01-01"}
        root.create_array("time", data=days.astype(np.int64).astype(np.int32), attributes=units)
    shape = (*([days.size] if days.size else []), *window.shape)
    for variable in schema.variables:
        array = root.create_array(
            variable.name,
            shape=shape,
            chunks=tuple(-(-size // parts) for size in shape),
            dtype=variable.dtype,
            fill_value=variable.fill_value,
            attributes={**variable.cf_attrs(), "grid_mapping": "spatial_ref"},
            dimension_names=schema.dims,
        )
        if variable.name in values:
            array[...] = variable.pack(np.asarray(values[variable.name], np.float32))
