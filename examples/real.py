"""The same commands on real product files: `make real`, or python examples/real.py OUTPUT_FOLDER.

The files are found through SMCLOUD_REALDATA (by default ../shared/realdata). They are of different
years and places, so this is no study: it shows that real granules, station archives, satellite
fields and elevation go through the code that the simulated Earth goes through.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio

from smcloud.cube.store import open_cube
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.spec import CubeSet, Driver
from smcloud.grids.cells import Aggregation, aggregate, cells_in, land_in, reach, sampled
from smcloud.grids.grid import EASE2_36KM, Window
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import TileYear
from smcloud.publish.map import Panel, Style, map_picture
from smcloud.sources.registry import SOURCES
from smcloud.validation.collocation import Layer
from smcloud.validation.metrics import all_scores
from smcloud.validation.overview import mosaic, summarise_block
from smcloud.validation.pairs import PairStats

LST_KEY = TileYear.parse("sin1km/h14v09/2019")
DEM_KEY = TileYear.parse("sin1km/h18v04/static")
LST_DAY = np.datetime64("2019-11-01")
BANDS_KEY = TileYear.parse("sin1km/h18v04/2017")
BANDS_DAY = np.datetime64("2017-07-16")
MINIMUM_PAIRS = 8


def find_realdata() -> Path:
    """Return the folder of real files, or stop with a line that says how to name it."""
    here = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("SMCLOUD_REALDATA", here.parent / "shared" / "realdata"))
    if not (folder / "modis").is_dir():
        sys.exit(
            f"no real files at {folder}: set SMCLOUD_REALDATA to a folder with modis/, ismn/, "
            "dem/ and delaware-2018-01/, such as one with your own MOD11A1 granules and ISMN zips"
        )
    return folder


def smcloud(*words: object) -> None:
    """Run one smcloud command and stop where it fails."""
    command = [str(Path(sys.executable).with_name("smcloud")), *map(str, words)]
    print("$ smcloud", *words, flush=True)
    subprocess.run(command, check=True)


def temperature_tile(real: Path, out: Path) -> None:
    """Bring the full MOD11A1 tile to a cube under both rules, and draw it with its coast."""
    cubes = {}
    for rule in ("good", "all"):
        root = out / f"lst-{rule}"
        smcloud("ingest", "mod11a1", "--from", real / "modis", "--to", root, "--tiles",
                LST_KEY.tile, "--year", LST_KEY.year, "--quality", rule)  # fmt: skip
        cubes[rule] = f"file://{root.absolute()}/cubes/mod11a1/2019.zarr"
    schema = SOURCES["mod11a1"].schema
    step = int((LST_DAY - np.datetime64("2019-01-01")).astype(int))
    for rule, url in cubes.items():
        cube = open_cube(url, schema, LST_KEY.year)
        lst = cube.read_physical("lst_day", slice(step, step + 1), LST_KEY.window)[0]
        known = np.isfinite(lst)
        on_land = float((known & land_mask(LST_KEY.window)).sum() / max(known.sum(), 1))
        print(
            f"  MOD11A1 {LST_KEY.tile} {LST_DAY} rule {rule!r}: {known.sum():,} valid pixels, "
            f"{np.nanmin(lst):.1f} to {np.nanmax(lst):.1f} K, {on_land:.1%} of them on land"
        )
    temperature_features(f"file://{out.absolute()}/lst-all/cubes/mod11a1")
    temperature_cells(f"file://{out.absolute()}/lst-good/cubes/mod11a1")
    _draw_temperature(cubes["all"], out / "mod11a1-h14v09.png")


def temperature_features(cubes: str) -> None:
    """Print the temperature features of the tile's land, from the code that production runs."""
    names = ("lst_day", "lst_night", "lst_mean", "lst_range")
    drivers = (Driver("mod11a1", to_grid="native", to_days="daily"),)
    reader = FeatureReader(features_named(names, drivers), drivers, CubeSet({"mod11a1": cubes}))
    points = np.flatnonzero(land_mask(LST_KEY.window))
    days = np.array([LST_DAY])
    columns = reader.compute(reader.read(LST_KEY.window, days, points))
    for name, values in zip(columns.names, columns.values, strict=True):
        known = values[np.isfinite(values)]
        print(f"  feature {name}: {known.size:,} of {points.size:,} land pixels, "
              f"{known.min():.1f} to {known.max():.1f}, mean {known.mean():.1f} K")  # fmt: skip


def temperature_cells(cubes: str) -> None:
    """Print the strict temperature in SMAP's cells, as means of their land and as their centres."""
    drivers = (Driver("mod11a1", to_grid="native", to_days="daily"),)
    features = features_named(("lst_day",), drivers)
    reader = FeatureReader(features, drivers, CubeSet({"mod11a1": cubes}))
    cells = cells_in(EASE2_36KM, LST_KEY.window)
    land = land_in(cells, reach(cells, LST_KEY.window))
    for rule in (Aggregation("mean", 0.5), Aggregation("nearest")):
        points, cell_of = sampled(cells, LST_KEY.window, rule)
        found = reader.compute(reader.read(LST_KEY.window, np.array([LST_DAY]), points))
        values = aggregate(found.values[0], cell_of, cells.rows.size, land, rule)
        known = values[np.isfinite(values)]
        print(f"  in cells of 36 km, {rule.rule}: {known.size} of {(land > 0).sum()} with land, "
              f"{known.min():.1f} to {known.max():.1f} K")  # fmt: skip


def reflectance(real: Path, out: Path) -> None:
    """Bring the MOD09A1 cut-out to a cube, and print the water and soil indices of its land."""
    smcloud("ingest", "mod09a1", "--from", real / "modis", "--to", out / "bands", "--tiles",
            BANDS_KEY.tile, "--year", BANDS_KEY.year)  # fmt: skip
    drivers = (Driver("mod09a1", to_grid="native", to_days="linear"),)
    cubes = CubeSet({"mod09a1": f"file://{out.absolute()}/bands/cubes/mod09a1"})
    features = features_named(("ndwi", "lswi", "nsdsi1", "nsdsi2", "nsdsi3"), drivers)
    reader = FeatureReader(features, drivers, cubes)
    points = np.flatnonzero(land_mask(BANDS_KEY.window))
    columns = reader.compute(reader.read(BANDS_KEY.window, np.array([BANDS_DAY]), points))
    for name, values in zip(columns.names, columns.values, strict=True):
        known = values[np.isfinite(values)]
        print(f"  feature {name}: {known.size:,} pixels, {known.min():.3f} to {known.max():.3f}, "
              f"median {np.median(known):.3f}")  # fmt: skip


def _draw_temperature(url: str, path: Path) -> None:
    layer = Layer(url, SOURCES["mod11a1"].schema, LST_KEY.year, "lst_day")
    tile = LST_KEY.window
    parts = [
        summarise_block(layer, Window(row, row + 600, col, col + 600), tile, 2, (LST_DAY,))
        for row in range(tile.row0, tile.row1, 600)
        for col in range(tile.col0, tile.col1, 600)
    ]
    whole = mosaic(parts)
    style = Style("land surface temperature by day, K", 290.0, 326.0, "inferno")
    picture = map_picture(whole, [Panel(f"MOD11A1 {LST_DAY}", whole.days[LST_DAY])], style)
    path.write_bytes(picture)
    print(f"  map: {path}")


def station_archives(real: Path, out: Path) -> None:
    """Read every real ISMN folder and zip into daily tables, flags counted."""
    samples, networks = real / "ismn" / "samples", real / "ismn" / "networks"
    archives = [
        samples / "Data_seperate_files_header_20170810_20180809",
        samples / "Data_seperate_files_20170810_20180809",
        *sorted((samples / "zip_archives").rglob("*.zip")),
        networks,
    ]
    for archive in archives:
        name = archive.relative_to(real / "ismn").as_posix().replace("/", "-")
        smcloud("ingest", "ismn", "--from", archive, "--to", out / "stations" / name)


def delaware_table(folder: Path) -> pd.DataFrame:
    """Return the pairs of 31 days of ESA CCI and the stations of Delaware's network.

    Columns: station, day, latitude, longitude, elevation_m, cci (m3 m-3), day_of_month,
    soil_moisture (m3 m-3). Cells without an observation are unknown and left out.
    """
    stations = pd.read_csv(folder / "NetworkPoints" / "deos_met.csv").set_index("Station")
    daily = pd.read_csv(folder / "deos_daily_vwc.csv", parse_dates=["Time"]).set_index("Time")
    names = [name for name in daily.columns if name in stations.index]
    places = stations.loc[names, ["Longitude", "Latitude", "Elev (m)"]].astype(float)
    rows = []
    for path in sorted((folder / "ESAGrids").glob("*.tif")):
        day = pd.Timestamp(path.stem[-8:])
        with rasterio.open(path) as field:
            found = np.array([v[0] for v in field.sample(places.values[:, :2].tolist())], float)
        found[(found < 0.0) | (found > 1.0)] = np.nan
        day_rows = places.set_axis(["longitude", "latitude", "elevation_m"], axis=1)
        rows.append(day_rows.assign(day=day, cci=found, soil_moisture=daily.loc[day, names]))
    table = pd.concat(rows).rename_axis("station").reset_index()
    table["day_of_month"] = table["day"].dt.day.astype(float)
    return table.dropna(subset=["cci", "soil_moisture"]).reset_index(drop=True)


def delaware(real: Path, out: Path) -> None:
    """Score ESA CCI at each station and train on the table: small and poor, as it must be."""
    table = delaware_table(real / "delaware-2018-01")
    codes, names = pd.factorize(table["station"])
    pairs = PairStats.grouped(table["cci"], table["soil_moisture"], codes, len(names))
    scores = pd.DataFrame(all_scores(pairs), index=names).assign(n=pairs.n.astype(int))
    shown = scores[scores["n"] >= MINIMUM_PAIRS].round(3)
    print(f"  ESA CCI against {len(names)} stations, {len(table)} pairs in January 2018:")
    print(shown.to_string())
    print("  median over stations:", shown.drop(columns="n").median().round(3).to_dict())
    path = out / "delaware.csv"
    table.to_csv(path, index=False)
    smcloud("train", "--table", path, "--target", "soil_moisture", "--group", "station",
            "--time", "day", "--features", "cci,elevation_m,day_of_month",
            "--out", out / "delaware-model")  # fmt: skip
    print("  one winter month of a 0.25 degree field: a small and poor model, shown as it is")


def elevation(real: Path, out: Path) -> None:
    """Bring a real elevation model to the 1 km grid with slope and aspect; UTM models are named."""
    root = out / "terrain"
    smcloud("ingest", "terrain", "--from", real / "dem", "--to", root, "--tiles", DEM_KEY.tile)
    schema = SOURCES["terrain"].schema
    cube = open_cube(f"file://{root.absolute()}/cubes/terrain/static.zarr", schema, None)
    for name in ("elevation", "slope", "aspect_sin", "aspect_cos"):
        values = cube.read_physical(name, slice(0, 0), DEM_KEY.window)
        known = values[np.isfinite(values)]
        print(f"  {name}: {known.size:,} pixels, {known.min():.3g} to {known.max():.3g}, "
              f"mean {known.mean():.3g} {schema.variable(name).units}")  # fmt: skip


def main(out: Path) -> None:
    """Run all of it."""
    real = find_realdata()
    out.mkdir(parents=True, exist_ok=True)
    temperature_tile(real, out)
    reflectance(real, out)
    station_archives(real, out)
    elevation(real, out)
    delaware(real, out)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "real"))
