"""What is asked of `simulate`, checked once; and which pixels of each tile it means."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import EARTH_RADIUS_M, GLOBAL025, SIN1KM, TILE_PIXELS
from smcloud.grids.land import is_land
from smcloud.grids.tiles import GLOBE, TileYear, parse_window, tile_window, tiles_of
from smcloud.simulate.granules_amsr import LPRM_PRODUCTS, NNSM_PRODUCTS, days_of
from smcloud.simulate.granules_imerg import FIRST_YEAR as FIRST_IMERG_YEAR
from smcloud.simulate.ground_years import FROZEN_GROUND, check_ground_years, ground_without
from smcloud.simulate.hdf_eos import Array, TilePixels
from smcloud.simulate.records import Station
from smcloud.simulate.region import EXAMPLE, Region
from smcloud.simulate.sites import varied
from smcloud.simulate.stations import Accept, Bounds, place_stations
from smcloud.simulate.world import Earth

FOLDERS: Mapping[str, str] = {
    "mod11a1": "MOD11A1",
    "mod13a2": "MOD13A2",
    "mod15a2h": "MOD15A2H",
    "mod09a1": "MOD09A1",
    "mcd43a3": "MCD43A3",
    "mcd43d51": "MCD43D",
    "mcd43d58": "MCD43D",
    "mcd43d61": "MCD43D",
    "glass_lai": "GLASS-LAI",
    "glass_albedo": "GLASS-Albedo",
    "glass_lst": "GLASS-LST",
    "era5land": "ERA5-Land",
    "terrain": "DEM",
    "soilgrids": "SoilGrids",
    "china_soil": "China-soil",
    "ismn": "ISMN",
    "station_csv": "Station-CSV",
    "precipitation_csv": "Station-CSV",
    "smap_l3": "SPL3SMP",
    "smap_l3e": "SPL3SMP_E",
    "smap_sentinel": "SPL2SMAP_S",
    "cci_active": "CCI-active",
    "cci_passive": "CCI-passive",
    "cci_combined": "CCI-combined",
    "amsre_lprm": "LPRM-AMSRE",
    "amsre_lprm_day": "LPRM-AMSRE-day",
    "amsr2_lprm": "LPRM-AMSR2",
    "amsr2_lprm_day": "LPRM-AMSR2-day",
    "windsat_lprm": "LPRM-WindSat",
    "windsat_lprm_day": "LPRM-WindSat-day",
    "amsr_nnsm": "NNsm-AMSR",
    "mwri_nnsm": "NNsm-MWRI",
    "imerg_025": "IMERG",
    "amsre_tb": "L1C-AMSRE",
    "amsr2_tb": "L1C-AMSR2",
    "mwri_tb": "MWRI-L1",
    "gldas": "GLDAS",
    "smos_ft": "SMOS-FT",
    "smap_ft": "SPL3FTP",
    "ismn_temperature": "ISMN-temperature",
}
"""Folder below ``granules/`` of every source that can be simulated."""
TRUTH, TRUTH_LST, TRUTH_025 = "truth", "truth_lst", "truth_025"
"""The words that ask for the cubes of the truth: soil moisture, skin temperature, coarse cells."""
TRUTH_FROZEN = "truth_frozen"
"""And of frozen ground on cells of 25 km."""
TRUTH_WORDS = (TRUTH, TRUTH_LST, TRUTH_025, TRUTH_FROZEN)
REGION_SOURCES = (*LPRM_PRODUCTS, "imerg_025", "ismn", TRUTH_025)
"""What can be written over a region of cells of 0.25 degree, which has no pixels of 1 km."""
DEFAULT_SOURCES = (
    "mod11a1",
    "glass_lai",
    "glass_albedo",
    "mod13a2",
    "mod09a1",
    "era5land",
    "terrain",
    "soilgrids",
    "ismn",
    TRUTH,
)
"""What glass-sm needs."""
PRODUCT_SOURCES: Mapping[str, tuple[str, ...]] = {
    "glass-sm": DEFAULT_SOURCES,
    "smap-downscaling": (
        "mod11a1",
        "mcd43a3",
        "mod15a2h",
        "mod09a1",
        "mod13a2",
        "terrain",
        "soilgrids",
        "smap_l3",
        "smap_sentinel",
        "cci_combined",
        "era5land",
        "ismn",
        "station_csv",
        "precipitation_csv",
        TRUTH,
    ),
    "all-weather": (
        "mod11a1",
        "mod13a2",
        "mod09a1",
        "terrain",
        "soilgrids",
        "era5land",
        "amsr_nnsm",
        "mwri_nnsm",
        "cci_combined",
        "ismn",
        "station_csv",
        "precipitation_csv",
        TRUTH,
        TRUTH_LST,
    ),
    "freeze-thaw": (
        "amsr2_tb",
        "mwri_tb",
        "gldas",
        "smos_ft",
        "smap_ft",
        "terrain",
        "soilgrids",
        "ismn",
        "ismn_temperature",
        TRUTH_FROZEN,
    ),
    "seamless": ("amsre_lprm", "windsat_lprm", "amsr2_lprm", "imerg_025", "ismn", TRUTH_025),
}
"""What each product reads, and is compared with."""
REFERENCES = ("smap_l3", "smap_l3e", "smap_sentinel", "cci_active", "cci_passive", "cci_combined")
"""Satellites that estimates are held against: never features, and written only when asked for."""
RADIOMETERS = (*LPRM_PRODUCTS, *NNSM_PRODUCTS)
"""Coarse moisture that estimates at 1 km come down from; written when asked for by name."""
GLOBAL_ALBEDO = ("mcd43d51", "mcd43d58", "mcd43d61")
"""Albedo in files of the whole globe, with its quality beside it."""
PLAIN, VARIED = "plain", "varied"
SITES = (PLAIN, VARIED)
"""What stations are like: see `sites`."""
WHOLE_TILE = f"{TILE_PIXELS}x{TILE_PIXELS}"
FIRST_SMAP_YEAR = 2015
STATION_RADIUS = 1
"""Pixels on each side of a station's own that are simulated with ``--at stations``."""


@dataclass(frozen=True)
class SimulateRequest:
    """One call of `simulate`.

    Attributes
    ----------
    out : str
        URL below which ``granules/`` and ``truth/`` are written.
    tiles : tuple of str
        Sinusoidal tiles; with `at_stations` it may be empty, for stations all over the globe.
    years : tuple of int
        Calendar years.
    seed : int
        Of the Earth; another seed is another planet.
    window : str
        Part of each tile, ``ROWSxCOLS`` or ``ROWSxCOLS+ROW+COL``; the whole tile when empty.
    at_stations : bool
        Only small windows around the stations.
    maps : tuple of str
        With `at_stations`: parts of tiles, ``TILE:ROWSxCOLS+ROW+COL``, all of whose land is
        simulated too, so that maps can be made of them.
    stations : int
        How many stations stand in the tiles (in the window, if there is one).
    sources : tuple of str
        Keys of `FOLDERS`, ``truth`` and ``truth_lst``.
    sites : str
        ``plain``, or ``varied``: networks and sites differ as a study of them needs.
    shared_error : float
        Share of SMAP's moisture that is the reanalysis's, so that the errors of both are
        correlated; 0 to below 1.
    workers : int
        Processes; 1 runs in this one.
    region : str
        ``W,S,E,N`` in place of tiles: cells of 0.25 degree whose centres lie inside, with
        `REGION_SOURCES` alone.

    Raises
    ------
    ConfigError
        If a tile, year, window, source or number does not exist or contradicts another.
    """

    out: str
    tiles: tuple[str, ...]
    years: tuple[int, ...]
    seed: int = 0
    window: str = ""
    at_stations: bool = False
    maps: tuple[str, ...] = ()
    stations: int = 60
    sources: tuple[str, ...] = DEFAULT_SOURCES
    sites: str = PLAIN
    shared_error: float = 0.0
    workers: int = 1
    region: str = ""

    def __post_init__(self) -> None:
        if not self.years:
            raise ConfigError("simulate needs at least one year: give --year 2019")
        self._check_region()
        if not (self.tiles or self.at_stations or self.region):
            raise ConfigError(
                "simulate needs at least one tile (--tiles h18v04), or --at stations for "
                "stations all over the globe"
            )
        known = {*FOLDERS, *TRUTH_WORDS}
        if unknown := [word for word in self.sources if word not in known]:
            raise ConfigError(
                f"unknown source {unknown[0]!r}: expected one of {', '.join(sorted(known))}"
            )
        if self.stations < 0 or self.workers < 1:
            raise ConfigError("--stations must be at least 0 and --workers at least 1")
        if self.stations == 0 and self.at_stations:
            raise ConfigError("--at stations needs stations: give --stations 1 or more")
        self._check_references()
        self._check_radiometers()
        check_ground_years(self.frozen_ground, self.years)
        self._check_places()

    def _check_region(self) -> None:
        """Raise `ConfigError` unless cells of 0.25 degree and pixels of 1 km are kept apart."""
        coarse = [word for word in self.sources if word in ("imerg_025", TRUTH_025)]
        if not self.region:
            if coarse:
                raise ConfigError(
                    f"{coarse[0]} is written over a region of 0.25 degree cells: give {EXAMPLE}"
                )
            return
        Region.parse(self.region)
        if self.tiles or self.window or self.at_stations or self.maps:
            raise ConfigError(
                "--region has no pixels of 1 km: leave out --tiles, --window, --at and --maps"
            )
        known = {*FOLDERS, *TRUTH_WORDS}
        if other := [one for one in self.sources if one in known and one not in REGION_SOURCES]:
            raise ConfigError(
                f"{other[0]} is not written over a region: expected some of "
                + ", ".join(REGION_SOURCES)
            )
        for year in self.years:
            TileYear(GLOBAL025.name, GLOBE, year)
            if "imerg_025" in self.sources and year < FIRST_IMERG_YEAR:
                raise ConfigError(f"IMERG begins in {FIRST_IMERG_YEAR}, asked is {year}")

    def _check_places(self) -> None:
        if self.window and self.at_stations:
            raise ConfigError("--window and --at stations exclude each other: give one of them")
        if self.maps and not self.at_stations:
            raise ConfigError("--maps goes with --at stations: else every pixel is simulated")
        for tile in self.tiles:
            for year in self.years:
                TileYear(SIN1KM.name, tile, year)
            if self.window:
                parse_window(self.window, tile)
        for text in self.maps:
            tile, window = _tile_and_window(text)
            parse_window(window, tile)
            if self.tiles and tile not in self.tiles:
                raise ConfigError(f"--maps {text}: {tile} is none of the --tiles")

    def _check_references(self) -> None:
        if self.sites not in SITES:
            raise ConfigError(f"--sites {self.sites!r}: expected one of {', '.join(SITES)}")
        if not 0 <= self.shared_error < 1:
            raise ConfigError(
                f"--shared-error {self.shared_error:g}: expected a share from 0 to below 1"
            )
        if self.shared_error and not {"smap_l3", "smap_l3e"} & set(self.sources):
            raise ConfigError(
                "--shared-error concerns SMAP: ask for it with --references or --sources smap_l3"
            )
        smap = {"smap_l3", "smap_l3e", "smap_sentinel"} & set(self.sources)
        if smap and (early := [year for year in self.years if year < FIRST_SMAP_YEAR]):
            raise ConfigError(
                f"SMAP delivers from {FIRST_SMAP_YEAR}-03-31, asked is {early[0]}: "
                "give later years, or --sources without smap_l3, smap_l3e and smap_sentinel"
            )

    def _check_radiometers(self) -> None:
        """Raise `ConfigError` for a radiometer that measured in none of the years."""
        for source in RADIOMETERS:
            if source in self.sources and not any(days_of(source, year) for year in self.years):
                raise ConfigError(
                    f"{source} has no day in {', '.join(map(str, self.years))}: give years of its "
                    "own (AMSR-E 2002 to 2011, WindSat 2003 to 2012, AMSR2 since 2012, MWRI 2010 "
                    "to 2019), or leave it out"
                )

    @property
    def references(self) -> tuple[str, ...]:
        """Return the satellites with coarse or sparse moisture that are asked for."""
        return tuple(source for source in (*REFERENCES, *RADIOMETERS) if source in self.sources)

    @property
    def frozen_ground(self) -> tuple[str, ...]:
        """Return the satellites of frozen ground that are asked for."""
        return tuple(source for source in FROZEN_GROUND if source in self.sources)

    @property
    def global_albedo(self) -> tuple[str, ...]:
        """Return the albedo in files of the whole globe that is asked for."""
        return tuple(source for source in GLOBAL_ALBEDO if source in self.sources)

    @property
    def map_tiles(self) -> tuple[str, ...]:
        """Return the tiles that `maps` names, each once."""
        return tuple(sorted({_tile_and_window(text)[0] for text in self.maps}))

    def windows_in(self, tile: str) -> tuple[str, ...]:
        """Return the parts of a tile that `maps` names, sorted."""
        named = (_tile_and_window(text) for text in self.maps)
        return tuple(sorted({window for where, window in named if where == tile}))

    def part_of(self, tile: str) -> str:
        """Return the part of a tile that is simulated, in words for records and checks."""
        if self.at_stations:
            return " and ".join(("stations", *self.windows_in(tile)))
        return self.window or "tile"


def product_sources(product: str, years: Collection[int]) -> tuple[str, ...]:
    """Return the sources of a product; of satellites those that measured in one of the years.

    All of LPRM where none of them did: a request of them is refused with the years of each.
    """
    without = ground_without(years)
    every = tuple(source for source in PRODUCT_SOURCES[product] if source not in without)
    idle = {one for one in LPRM_PRODUCTS if not any(days_of(one, year) for year in years)}
    return every if idle.issuperset(LPRM_PRODUCTS) else tuple(s for s in every if s not in idle)


def _tile_and_window(text: str) -> tuple[str, str]:
    tile, colon, window = text.partition(":")
    if not colon:
        raise ConfigError(
            f"--maps {text}: expected a tile and a part of it, such as h18v04:240x240+600+750"
        )
    return tile, window


def pixels_of(request: SimulateRequest, tile: str, stations: tuple[Station, ...]) -> TilePixels:
    """Return the pixels of a tile that are simulated, in rows from its north-west corner.

    Raises
    ------
    ConfigError
        If a window, or the tile, has no land.
    """
    if not request.at_stations:
        return land_pixels(request.window, tile)
    windows = (land_pixels(window, tile) for window in request.windows_in(tile))
    parts = [station_pixels(tile, stations), *windows]
    flat = np.unique(np.concatenate([part.rows * TILE_PIXELS + part.cols for part in parts]))
    return TilePixels(tile, flat // TILE_PIXELS, flat % TILE_PIXELS)


def land_pixels(text: str, tile: str) -> TilePixels:
    """Return the land pixels of a window of a tile, of the whole tile where it is empty.

    Raises
    ------
    ConfigError
        If there is none.
    """
    window = parse_window(text or WHOLE_TILE, tile)
    lon, lat = SIN1KM.lonlat(window)
    rows, cols = np.nonzero(is_land(lon, lat))
    if not len(rows):
        where = f"window {text} of tile {tile}" if text else f"tile {tile}"
        raise ConfigError(f"{where} has no land: choose another (h18v04 is central Europe)")
    outer = tile_window(SIN1KM, tile)
    return TilePixels(tile, rows + window.row0 - outer.row0, cols + window.col0 - outer.col0)


def stations_of(request: SimulateRequest) -> dict[str, tuple[Station, ...]]:
    """Return the stations by tile; a tile without one has an empty tuple.

    Over several tiles the number asked for is shared out evenly, and the names of networks carry
    the tile, so that no two stations have one name.

    Raises
    ------
    ConfigError
        If the land of a tile or window is too small for so many stations.
    """
    found = _placed_stations(request)
    if request.sites == PLAIN:
        return found
    earth = Earth(request.seed)
    return {tile: varied(earth, own) for tile, own in found.items()}


def _placed_stations(request: SimulateRequest) -> dict[str, tuple[Station, ...]]:
    if request.stations == 0:
        return dict.fromkeys(request.tiles, ())
    if not request.tiles:
        everywhere = _placed(request.seed, request.stations, is_land, None, "the globe")
        return _by_tile(everywhere)
    share, rest = divmod(request.stations, len(request.tiles))
    found = {}
    for index, tile in enumerate(request.tiles):
        count = share + (index < rest)
        stations = _stations_of_tile(request, tile, count) if count else ()
        if len(request.tiles) > 1:
            stations = tuple(replace(s, network=f"{s.network}-{tile.upper()}") for s in stations)
        found[tile] = stations
    return found


def _by_tile(stations: tuple[Station, ...]) -> dict[str, tuple[Station, ...]]:
    lon = np.array([station.longitude for station in stations])
    lat = np.array([station.latitude for station in stations])
    tiles = tiles_of(lon, lat)
    return {
        tile: tuple(s for s, own in zip(stations, tiles, strict=True) if own == tile)
        for tile in sorted(set(tiles))
    }


def _stations_of_tile(request: SimulateRequest, tile: str, count: int) -> tuple[Station, ...]:
    window = parse_window(request.window or WHOLE_TILE, tile)
    lon, lat = SIN1KM.lonlat(window)
    bounds = (
        float(np.nanmin(lon)),
        float(np.nanmin(lat)),
        float(np.nanmax(lon)),
        float(np.nanmax(lat)),
    )

    def accept(lons: Array, lats: Array) -> Array:
        rows, cols = SIN1KM.pixel_of(lons, lats)
        inside = (rows >= window.row0) & (rows < window.row1)
        inside &= (cols >= window.col0) & (cols < window.col1)
        found: Array = inside & is_land(*pixel_centres(rows, cols))
        return found

    where = f"window {request.window} of tile {tile}" if request.window else f"tile {tile}"
    return _placed(request.seed, count, accept, bounds, where)


def _placed(
    seed: int, count: int, accept: Accept, bounds: Bounds | None, where: str
) -> tuple[Station, ...]:
    try:
        return place_stations(seed, count, accept, bounds=bounds)
    except ValueError as err:
        raise ConfigError(
            f"{where} has too little land for {count} stations: ask for fewer (--stations)"
        ) from err


def station_pixels(tile: str, stations: tuple[Station, ...]) -> TilePixels:
    """Return the pixels of the stations of a tile and the land within STATION_RADIUS, sorted."""
    outer = tile_window(SIN1KM, tile)
    lon = np.array([station.longitude for station in stations])
    lat = np.array([station.latitude for station in stations])
    own_rows, own_cols = SIN1KM.pixel_of(lon, lat)
    reach = np.arange(-STATION_RADIUS, STATION_RADIUS + 1)
    down, across = (steps.ravel() for steps in np.meshgrid(reach, reach, indexing="ij"))
    rows = (own_rows[:, None] - outer.row0 + down).ravel()
    cols = (own_cols[:, None] - outer.col0 + across).ravel()
    inside = (rows >= 0) & (rows < TILE_PIXELS) & (cols >= 0) & (cols < TILE_PIXELS)
    flat = np.unique(rows[inside] * TILE_PIXELS + cols[inside])
    around = TilePixels(tile, flat // TILE_PIXELS, flat % TILE_PIXELS)
    own = (own_rows - outer.row0) * TILE_PIXELS + own_cols - outer.col0
    kept = is_land(*lonlat_of(around)) | np.isin(flat, own)
    return TilePixels(tile, around.rows[kept], around.cols[kept])


def lonlat_of(pixels: TilePixels) -> tuple[Array, Array]:
    """Return longitude and latitude (n,) of the pixels' centres, degrees."""
    outer = tile_window(SIN1KM, pixels.tile)
    return pixel_centres(outer.row0 + pixels.rows, outer.col0 + pixels.cols)


def pixel_centres(rows: Array, cols: Array) -> tuple[Array, Array]:
    """Return longitude and latitude (n,) of pixels of the output grid, degrees."""
    lat = np.degrees(SIN1KM.y[rows] / EARTH_RADIUS_M)
    return np.degrees(SIN1KM.x[cols] / (EARTH_RADIUS_M * np.cos(np.radians(lat)))), lat
