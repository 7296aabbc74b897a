"""The cube `lst_filled`: MOD11A1 with its gaps filled, and what each value rests on."""

from collections.abc import Mapping

import numpy as np

from smcloud.core.errors import NotFoundError
from smcloud.cube.schema import YEAR_STEPS, Array, CubeSchema, Variable
from smcloud.cube.store import Cube
from smcloud.features.clear_sky import Packing, Stored
from smcloud.features.cloud_filling import (
    HALO_NODES,
    Filled,
    FillingRules,
    LstState,
    Scene,
    departure_nodes,
    filled,
)
from smcloud.features.derived_cubes import Derived, DerivedBlock
from smcloud.features.inputs import Points, unwrapped_windows
from smcloud.features.lattice import lonlat, nodes_of, pixels_of, samples_of, widened
from smcloud.grids.grid import ERA5LAND, SIN1KM, Floats, Window
from smcloud.grids.land import Mask, land_mask
from smcloud.grids.regrid import Weights, bilinear
from smcloud.sources.modis import lst_variable

OVERPASSES = ("lst_day", "lst_night")
RULES = {
    "lst_day": FillingRules(factors=(1.0, 1.0)),
    "lst_night": FillingRules(factors=(1.0, 0.0)),
}
"""A warm skin over cooler air tells of a sunny day, of the night before and after it nothing."""
BLOCK_PIXELS = 150
BLOCK_BYTES = 450 * 10**6
"""Of a year: looks of the block and the samples around it (90 MB), one overpass of node fields
(150 MB), what is written (50 MB), and chunks on their way from the store."""
RESTS_ON = {
    int(LstState.OBSERVED): "observed",
    int(LstState.CLEAR_SKY_ANOMALY): "filled_from_clear_sky_anomaly",
    int(LstState.CLOUD_DEPARTURE): "filled_with_cloud_departure",
    int(LstState.CLIMATOLOGY): "filled_from_climatology",
    int(LstState.UNKNOWN): "unknown",
}
"""CF `flag_values` and the `flag_meanings` that belong to them."""


def state_name(overpass: str) -> str:
    """Return the variable that says what each value of an overpass rests on."""
    return f"{overpass}_state"


def _state(overpass: str, words: str) -> Variable:
    return Variable(
        state_name(overpass),
        "uint8",
        "1",
        f"what the land surface temperature by {words} rests on",
        (0.0, 254.0),
        fill=int(LstState.UNKNOWN),
        attrs={
            "flag_values": list(RESTS_ON),
            "flag_meanings": " ".join(RESTS_ON.values()),
        },
    )


SCHEMA = CubeSchema(
    "lst_filled",
    SIN1KM.name,
    (
        lst_variable("lst_day", "land surface temperature by day, gaps filled"),
        lst_variable("lst_night", "land surface temperature by night, gaps filled"),
        _state("lst_day", "day"),
        _state("lst_night", "night"),
    ),
    step_days=1,
    chunks=(46, BLOCK_PIXELS, BLOCK_PIXELS),
    shards=(YEAR_STEPS, BLOCK_PIXELS, BLOCK_PIXELS),
    title="MOD11A1 land surface temperature, gaps filled, daily, 1 km",
    codec="lz4",
)


def filled_block(block: DerivedBlock) -> Mapping[str, Array]:
    """Return both overpasses of a block without gaps, and their states, as stored.

    Outside the part that is asked for everything is unknown, though its looks serve as neighbours;
    pixels that are no land are filled nowhere.

    Raises
    ------
    NotFoundError
        If a cube of the year was never ingested.
    CubeError
        If an object of the part is absent or damaged.
    """
    looks, heights, reanalysis = (
        required_cube(block, source, year)
        for source, year in (("mod11a1", block.year), ("terrain", None), ("era5land", block.year))
    )
    days = looks.times
    heights.require("elevation", slice(0, 0), block.part)
    fields = reanalysis_of(reanalysis, block, len(days))
    is_wanted = np.zeros(block.window.shape, np.bool_)
    is_wanted[block.part.within(block.window)] = land_mask(block.part)
    found: dict[str, Array] = {}
    for overpass in OVERPASSES:
        scene = _scene(looks, heights, overpass, block, fields)
        result = filled(scene, RULES[overpass])
        _restrict(result, scene, is_wanted, block.part)
        found[overpass] = result.stored.reshape(len(days), *block.window.shape)
        found[state_name(overpass)] = result.state.reshape(len(days), *block.window.shape)
    return found


def required_cube(block: DerivedBlock, source: str, year: int | None) -> Cube:
    """Return a cube that a block is filled from; `NotFoundError` where it was never ingested."""
    cube = block.open(source, year)
    if cube is None:
        raise NotFoundError(
            f"lst_filled needs the cube {block.cubes.url(source, year)}: ingest {source} first"
        )
    return cube


def _scene(looks: Cube, heights: Cube, overpass: str, block: DerivedBlock, fields: Floats) -> Scene:
    """Return the looks of one overpass, of the block and of the samples around it."""
    steps = slice(0, len(looks.times))
    looks.require(overpass, steps, block.part)
    wide, points = _samples(block.window)
    every = np.arange(block.window.shape[0] * block.window.shape[1])
    elevation = heights.variables["elevation"]
    near, around = (
        elevation.unpack(heights.read_points("elevation", steps, window, at, required=False))
        for window, at in ((block.window, every), (wide, points))
    )
    return Scene(
        block.window,
        looks.times,
        Packing.of(looks.variables[overpass]),
        looks_of(looks, overpass, block.window, every),
        near.astype(np.float64) / 1000.0,
        looks_of(looks, overpass, wide, points),
        around.astype(np.float64) / 1000.0,
        fields,
    )


def looks_of(cube: Cube, overpass: str, window: Window, points: Points) -> Stored:
    """Return stored looks (days, n); by slabs, for a store without shards is read in rectangles."""
    found = np.empty((len(cube.times), points.size), np.uint16)
    for steps in cube.schema.slabs(cube.year):
        found[steps] = cube.read_points(overpass, steps, window, points, required=False)
    return found


def _samples(window: Window) -> tuple[Window, Points]:
    """Return the pixels of the block's nodes and those around, and the samples' flat indices."""
    nodes = widened(nodes_of(window), HALO_NODES)
    wide = pixels_of(nodes)
    rows, cols = samples_of(nodes)
    flat = (rows[:, None] - wide.row0) * wide.shape[1] + cols - wide.col0
    return wide, flat.ravel()


def reanalysis_of(cube: Cube, block: DerivedBlock, n_days: int) -> Floats:
    """Return air temperature and skin less air (2, days, nodes) about a block, K; NaN unknown."""
    own = _at_nodes(nodes_of(block.part))
    for window in unwrapped_windows(own[0].window, ERA5LAND):
        for name in ("t2m", "skt"):
            cube.require(name, slice(0, n_days), window)
    weights, is_on_globe = _at_nodes(departure_nodes(block.window))
    found = np.full((2, n_days, is_on_globe.size), np.nan)
    for number, name in enumerate(("t2m", "skt")):
        parts = [
            cube.read_physical(name, slice(0, n_days), window, required=False)
            for window in unwrapped_windows(weights.window, ERA5LAND)
        ]
        found[number][:, is_on_globe] = weights.apply(np.concatenate(parts, axis=2))
    found[1] -= found[0]
    return found


def _at_nodes(nodes: Window) -> tuple[Weights, Mask]:
    """Return the weights from cells of the reanalysis to nodes on the globe, and which are."""
    lon, lat = (one.ravel() for one in lonlat(nodes))
    known = np.isfinite(lon)
    return bilinear(ERA5LAND, lon[known], lat[known]), known


def _restrict(result: Filled, scene: Scene, is_wanted: Mask, part: Window) -> None:
    """Leave unknown what lies outside the part, and what was filled where there is no land."""
    inside = np.zeros(is_wanted.shape, np.bool_)
    inside[part.within(scene.window)] = True
    for day in range(len(result.stored)):
        is_look = scene.looks[day] != scene.packing.fill
        keep = is_wanted.ravel() | (inside.ravel() & is_look)
        result.stored[day, ~keep] = scene.packing.fill
        result.state[day, ~keep] = LstState.UNKNOWN


LST_FILLED = Derived(
    "lst_filled",
    "MOD11A1 with its gaps filled",
    SCHEMA,
    ("mod11a1", "era5land", "terrain"),
    filled_block,
    BLOCK_BYTES,
)
