"""Every bad input that a person may give: one clear line, a code, no traceback, nothing written.

Each case is a line of a table: what is arranged, the command, its exit code, and what its one line
on standard error says. The commands run in this process through the real `main`; clusters of
processes have tests of their own. What needs processes, mounts or servers of its own is tested
where the tools for it are:

- a full disk: `tests/faults/test_produce.py` (a small tmpfs, resumed after it was enlarged);
- a killed ingest, a killed runner, a killed worker: `tests/cluster/test_ingest_cluster.py`,
  `tests/faults/test_produce.py`;
- damage to granules of every source: `tests/sources/test_contract.py`, `test_hdf_damage.py`;
- caps on zip files, one by one: `tests/sources/test_archive.py`;
- buckets that are absent, closed, down or silent: `test_bad_bucket.py` beside this file, and on
  a real S3 server `tests/core/test_objects_s3.py`;
- a scheduler that accepts and stays silent: `tests/cluster/test_cluster.py`.
"""

import json
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from smcloud.core.listener import Silent
from smcloud.ingest.daily_means import DailySeries
from smcloud.ingest.stations import Sensor
from smcloud.production.lease import hold
from smcloud.simulate.samples import SAMPLE_START, SAMPLE_TILE, write_sample
from smcloud.sources.archive import LIMITS
from tests.ingest.station_archives import write_stations
from tests.production.small_world import MODEL, TILE, YEAR, tree_of

pytestmark = pytest.mark.usefixtures("no_cluster")
Arrange = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One mistake: what is arranged in the world, the command, its code, and its one line."""

    name: str
    arrange: Arrange
    command: str
    """Words of the command; `{w}` is the folder of the world."""
    code: int
    line: str

    def __str__(self) -> str:
        return self.name


def nothing(world: Path) -> None:
    """Arrange nothing: the command itself is the mistake."""


def edit(old: str, new: str) -> Arrange:
    """Replace a text of the run file."""

    def arrange(world: Path) -> None:
        file = world / "run.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return arrange


def doctored(source: str, change: Arrange) -> Arrange:
    """Point the run at a copy of a cube and change the store in it."""

    def arrange(world: Path) -> None:
        shutil.copytree(world / "own" / source, world / "doctored")
        edit(f"{world}/own/{source}", f"{world}/doctored")(world)
        change(next((world / "doctored").glob("*.zarr")))

    return arrange


def without_a_day(store: Path) -> None:
    days = zarr.open_array(str(store / "time"), mode="r+")
    days[100] = days[101]


def in_celsius(store: Path) -> None:
    zarr.open_array(str(store / "lst_day"), mode="r+").attrs["units"] = "degC"


def on_another_grid(store: Path) -> None:
    from pyproj import CRS

    crs = CRS.from_epsg(4326).to_wkt()
    zarr.open_array(str(store / "spatial_ref"), mode="r+").attrs["crs_wkt"] = crs


def of_truth_values(store: Path) -> None:
    group = zarr.open_group(str(store), mode="r+")
    old = group["lst_day"]
    shape, chunks, attrs = old.shape, old.chunks, dict(old.attrs)
    group.create_array(
        "lst_day", shape=shape, chunks=chunks, dtype="bool", attributes=attrs,
        dimension_names=("time", "y", "x"), overwrite=True,
    )  # fmt: skip


def without_a_chunk(store: Path) -> None:
    next(path for path in (store / "lst_day" / "c").rglob("*") if path.is_file()).unlink()


def model(world: Path) -> Path:
    return world / "out" / "models" / MODEL


def flipped_model(world: Path) -> None:
    (file,) = model(world).glob("*.ubj")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def lost_model(world: Path) -> None:
    (file,) = model(world).glob("*.ubj")
    file.unlink()


def card_with(**changes: object) -> Arrange:
    def arrange(world: Path) -> None:
        file = model(world) / "card.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return arrange


def stations_elsewhere(world: Path) -> None:
    days = np.arange("2019-01-01", "2019-02-01", dtype="datetime64[D]")
    values = np.full(days.size, 0.2, np.float32)
    series = DailySeries(days, values, np.full(days.size, 24, np.int16), {"G": 744}, 0, 0)
    sensor = Sensor("NET", "far", "probe", 34.0, 110.0, 10.0, 0.0, 0.05, 744, series)
    write_stations([sensor], str(world / "out" / "stations"))


def table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Arrange:
    """Write a user's own table after a change."""

    def arrange(world: Path) -> None:
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {
                "site": np.repeat([f"s{n}" for n in range(12)], 30),
                "day": np.tile(pd.date_range("2018-01-01", periods=30, freq="20D"), 12),
                "rain": rng.gamma(1, 1, 360).round(3),
                "sm": rng.uniform(0.1, 0.4, 360).round(3),
            }
        )
        change(frame).to_csv(world / "mine.csv", index=False)

    return arrange


def one_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(rain=frame["rain"].astype(object).where(frame.index != 4, "n/a?"))


def zipped(**members: bytes) -> Arrange:
    def arrange(world: Path) -> None:
        (world / "in").mkdir()
        with zipfile.ZipFile(world / "in" / "ismn.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    return arrange


def malformed_station(world: Path) -> None:
    (world / "in").mkdir()
    name = "NET_NET_A_sm_0.000000_0.050000_probe_20190101_20191231.stm"
    (world / "in" / name).write_text("not a header\n2019/01/01 nor a row\n")


def plain_station(*rows: str, variable: str = "soil_moisture") -> Arrange:
    """Write plain station CSV with these rows below its columns."""

    def arrange(world: Path) -> None:
        (world / "in").mkdir()
        text = "\n".join(("network,station,lat,lon,depth,time,value", *rows)) + "\n"
        (world / "in" / f"babao_{variable}.csv").write_text(text)

    return arrange


def granules_of_a_year(world: Path) -> None:
    (world / "in").mkdir()
    write_sample("glass_lai", world / "in")


def empty_folder(world: Path) -> None:
    (world / "in").mkdir()


def target_below_a_file(world: Path) -> None:
    granules_of_a_year(world)
    (world / "file").write_text("no folder")


OWN = "train --table {w}/mine.csv --target sm --group site --time day --out {w}/own-out --rounds 2"
LAI = "ingest glass_lai --from {w}/in --to {w}/new"
CASES = (
    # A run file that cannot be used, found before a cluster starts.
    Case("unknown key", edit("[produce]", "[produce]\nblok_pixels = 1"), "plan {w}/run.toml", 2,
         r"unknown key 'produce.blok_pixels': expected one of block_pixels"),
    Case("tile to produce that is not the run's",
         edit("[produce]", "[produce]\ntiles = ['h19v04']"),
         "plan {w}/run.toml", 2, rf"produce.tiles: h19v04 is none of the run's tiles \({TILE}\)"),
    Case("year to produce that is not the run's", edit("[produce]", "[produce]\nyears = [2011]"),
         "plan {w}/run.toml", 2, rf"produce.years: 2011 is none of the run's years \({YEAR}\)"),
    Case("unknown tile", edit(f"'{TILE}'", "'h44v04'"), "produce {w}/run.toml", 2,
         r"run.toml: unknown tile 'h44v04'.*h00v00 to h35v17, such as"),
    Case("tile in capitals", edit(f"'{TILE}'", "'H18V04'"), "ingest {w}/run.toml", 2,
         r"unknown tile 'H18V04'.*such as h25v05"),
    Case("no tile", edit(f"['{TILE}']", "[]"), "train {w}/run.toml", 2,
         r"tiles is empty: expected one at least"),
    Case("unknown year", edit(f"[{YEAR}]", "[1492]"), "status {w}/run.toml", 2,
         r"unknown year 1492: expected 1970 to 2199"),
    Case("unknown product", edit('"glass-sm"', '"glas-sm"'), "publish {w}/run.toml", 2,
         r"unknown product 'glas-sm': expected one of all-weather, freeze-thaw, glass-sm, "
         r"seamless, smap-downscaling"),
    Case("unknown source", edit("mod11a1 =", "mod99 ="), "produce {w}/run.toml", 2,
         r"ingest.cubes names the source 'mod99': expected one of cci_active.*era5land"),
    Case("selection by CCI combined", edit("[ingest.cubes]",
         '[selection]\nmembers = ["smap_l3", "cci_combined"]\n[ingest.cubes]'),
         "train {w}/run.toml", 2,
         r"run.toml: selection.members names cci_combined: its values are scaled"),
    Case("selection by a driver", edit("[ingest.cubes]",
         '[selection]\nmembers = ["terrain", "smap_l3"]\n[ingest.cubes]'),
         "plan {w}/run.toml", 2,
         r"run.toml: 'terrain' is no reference for stations: expected one of era5land"),
    Case("unknown feature", edit("'lst_day'", "'lst_dya'"), "plan {w}/run.toml", 2,
         r"unknown feature 'lst_dya': near ones are lst_day"),
    Case("unknown quality rule", edit("[ingest.cubes]",
         '[ingest.quality]\nmod11a1 = "best"\n[ingest.cubes]'), "ingest {w}/run.toml", 2,
         r"ingest.quality.mod11a1 = 'best': expected one of good"),
    Case("window outside its tile", edit("60x60+720+870", "60x60+1190+870"), "plan {w}/run.toml",
         2, r"window '60x60\+1190\+870' does not lie inside a tile of 1200 x 1200"),
    Case("memory without a number", edit('"2GiB"', '"lots"'), "validate {w}/run.toml", 2,
         r"cluster.memory = 'lots': expected bytes with a unit, such as 2GiB"),
    Case("run file that is not there", nothing, "run {w}/rum.toml", 2,
         r"no run file .*rum.toml: examples/glass-sm.toml is one to copy"),
    Case(
        "options beside a run file",
        nothing,
        "ingest {w}/run.toml --year 2018 --tiles h18v04",
        2,
        r"--tiles, --year beside a run file: .*run.toml says these itself, so change it there",
    ),
    # Where things lie.
    Case("empty granules folder", empty_folder, LAI + f" --year {YEAR}", 4,
         r"nothing lies below .*/in: .*absent or empty; check the URL given as --from"),
    Case("absent granules folder", nothing, LAI + f" --year {YEAR}", 4, r"nothing lies below"),
    Case("target that cannot be written", target_below_a_file,
         "ingest glass_lai --from {w}/in --to {w}/file/new --year 2019", 4,
         r"the store failed at file://.*check the URL and that this user may write there"),
    Case("name that leaves its folder", table(lambda frame: frame), OWN + " --name ../x", 2,
         r"cannot be the name of an object: leave out `\.\.`"),
    Case("unknown scheme", nothing, "ingest terrain --from https://host/in --to {w}/new", 2,
         r"scheme 'https'; expected a path or one of s3://"),
    Case("url without a bucket", nothing, "ingest terrain --from s3:in --to {w}/new", 2,
         r"names no bucket: expected one such as s3://bucket/path"),
    # Granules and stations.
    Case("other year than the granules", granules_of_a_year, LAI + " --year 2017", 4,
         rf"no glass_lai granule for .*found 2 of glass_lai for {SAMPLE_TILE}.*; name tiles and"),
    Case("unknown tile of an option", granules_of_a_year, LAI + " --year 2019 --tiles H18V04", 2,
         r"unknown tile 'H18V04'"),
    Case("zip with ..", zipped(**{"../evil.stm": b"x"}), "ingest ismn --from {w}/in --to {w}/new",
         2, r"ismn.zip is unsafe: its member '../evil.stm' lies outside its folder"),
    Case("zip of a huge ratio", zipped(**{"a.stm": b"0" * 10_000_000}),
         "ingest ismn --from {w}/in --to {w}/new", 2, r"is unsafe: .*unpacks .* fold, expected"),
    Case("malformed station file", malformed_station, "ingest ismn --from {w}/in --to {w}/new", 2,
         r"no soil moisture series .* can be used: 1 files are malformed"),
    Case("station CSV with a time twice", plain_station(*["N,S,38,100,0.05,2019-06-01,0.2"] * 2),
         "ingest ismn --from {w}/in --to {w}/new", 2,
         r"babao_soil_moisture.csv, line 3: expected each time of N/S .* again, as in line 2"),
    Case("station CSV in per cent", plain_station("N,S,38,100,0.05,2019-06-01,21"),
         "ingest ismn --from {w}/in --to {w}/new", 2, r"found a median of 21: divide per cent"),
    Case("no stations in the region", stations_elsewhere, "train {w}/run.toml", 2,
         rf"no station of .* has a day in {TILE} in {YEAR}; there are stations in h27v05 in 2019"),
    Case("no stations at all", nothing, "train {w}/run.toml", 4,
         r"no stations below .*: run `smcloud ingest RUNFILE` first"),
    # Driver cubes of the user's own.
    Case("cube with a missing day", doctored("mod11a1", without_a_day), "produce {w}/run.toml", 3,
         r"1 of 365 time steps are missing, such as 2019-04-11"),
    Case("cube in other units", doctored("mod11a1", in_celsius), "produce {w}/run.toml", 3,
         r"lst_day: expected units 'K', found 'degC'"),
    Case("cube of another CRS", doctored("mod11a1", on_another_grid), "plan {w}/run.toml", 3,
         r"expected the CRS of sin1km, found 'WGS 84'"),
    Case("cube of another dtype", doctored("mod11a1", of_truth_values), "produce {w}/run.toml", 3,
         r"lst_day: expected integers or floats \(such as uint16\), found bool"),
    Case("cube that is not there", doctored("terrain", shutil.rmtree), "produce {w}/run.toml", 4,
         r"no Zarr store at .*static.zarr: run the stage that writes it, or mend the URL"),
    # Models.
    Case("model with a flipped byte", flipped_model, "produce {w}/run.toml", 5,
         r"is damaged: expected sha256 \w+, found \w+; restore the file or train the model again"),
    Case("model without its file", lost_model, "produce {w}/run.toml", 5,
         r"which the card of model 'tiny' names, is not there: restore"),
    Case("model of other columns", card_with(columns=["ndvi", "rainfall"], units=["1", "mm"]),
         "produce {w}/run.toml", 5, r"do not fit model 'tiny': missing ndvi, rainfall; extra lst"),
    Case("model of another version", card_with(card_version=99), "plan {w}/run.toml", 5,
         r"is a model card of version 99, this smcloud reads version 1"),
    Case("no model", lambda world: shutil.rmtree(model(world)), "produce {w}/run.toml", 4,
         r"no model at .*: run `smcloud train` first"),
    # Stages out of order.
    Case("publish before produce", nothing, "publish {w}/run.toml", 4,
         r"nothing of glass-sm 2019 is published below .*: run `smcloud produce`"),
    Case("validate before produce", nothing, "validate {w}/run.toml", 4,
         r"nothing of glass-sm 2019 is published below"),
    Case("verify before produce", nothing, "verify {w}/run.toml", 4,
         r"holds nothing of glass-sm 2019: run `smcloud produce` first"),
    # Tables of the user's own.
    Case("table without a column", table(lambda frame: frame.drop(columns="sm")), OWN, 2,
         r"the table has no column 'sm'; it has site, day, rain"),
    Case("text among numbers", table(one_text), OWN, 2,
         r"the column 'rain' holds 'n/a\?' in data row 5 \(1 of 360 values are not numbers\)"),
    Case("unknown target everywhere", table(lambda frame: frame.assign(sm=np.nan)), OWN, 2,
         r"none of the 360 rows has a known 'sm'"),
    Case("constant target", table(lambda frame: frame.assign(sm=0.3)), OWN, 2,
         r"the target 'sm' is 0.3 in all 360 rows: there is nothing to learn"),
    Case("table without rows", table(lambda frame: frame.head(0)), OWN, 2,
         r"mine.csv has no rows: expected one per station and day"),
    Case("table that is not there", nothing, OWN, 4, r"no file .*mine.csv: check the path"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_one_clear_line_and_leaves_no_trace(case, world, smcloud):
    case.arrange(world)
    before = tree_of(world)
    words = [word.replace("{w}", str(world)) for word in case.command.split()]
    code, out, lines = smcloud(*words)
    assert code == case.code, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith("error ")
    assert re.search(case.line, lines[0]), lines[0]
    assert "Traceback" not in out
    # Nothing was lost, and nothing was written but bookkeeping that no reader takes for a result.
    after = tree_of(world)
    assert {name: after.get(name) for name in before} == before
    fresh = {name.split("/")[1] for name in after if name not in before}
    assert fresh <= {"lease"}, sorted(set(after) - set(before))


def test_unusable_granules_are_named_and_the_run_goes_on(smcloud, tmp_path):
    """Truncated, of another product, grid and collection: recorded by name, and code 0."""
    folder, lai, other = tmp_path / "in", tmp_path / "lai", tmp_path / "other"
    for path in (folder, lai, other):
        path.mkdir()
    good, second = write_sample("glass_lai", lai)
    another = write_sample("glass_albedo", other)[0]
    shutil.copy(good, folder)
    (folder / second.name).write_bytes(second.read_bytes()[:3000])
    others = {tile: good.name.replace(SAMPLE_TILE, tile) for tile in ("h17v04", "h19v04", "h20v04")}
    shutil.copy(another, folder / others["h17v04"])
    shutil.copy(good, folder / others["h19v04"])
    aged = re.sub(r"\.V\d+\.", ".V99.", others["h20v04"])
    shutil.copy(good, folder / aged)
    year = SAMPLE_START.year
    code, out, lines = smcloud(
        "ingest", "glass_lai", "--from", folder, "--to", tmp_path / "out", "--year", year
    )
    assert (code, lines) == (0, [])
    assert f"{second.name} is truncated: expected at least" in out
    for name, why in (
        (others["h17v04"], "expected the product"),
        (others["h19v04"], "expected pixels of tile h19v04"),
        (aged, "expected collection"),
    ):
        assert re.search(rf"left unknown: {re.escape(name)}: .*{why}", out), out
    report = json.loads((tmp_path / "out/reports/ingest/glass_lai.json").read_text())
    assert {bad["name"] for bad in report["damaged"]} == {
        second.name,
        aged,
        others["h17v04"],
        others["h19v04"],
    }
    assert report["granules_read"] == 1


def test_a_zip_of_too_many_members_is_one_line(smcloud, tmp_path, monkeypatch):
    monkeypatch.setitem(vars(LIMITS), "members", 20)
    zipped(**{f"{n}.stm": b"" for n in range(21)})(tmp_path)
    code, _, lines = smcloud("ingest", "ismn", "--from", tmp_path / "in", "--to", tmp_path / "new")
    assert (code, len(lines)) == (2, 1)
    assert re.search(r"ismn.zip is unsafe: it holds more than the 20 files expected", lines[0]), (
        lines[0]
    )
    assert not (tmp_path / "new").exists()


def test_a_second_run_beside_the_first_is_refused(smcloud, world):
    with hold(str(world / "out"), "glass-sm", 0.5, Silent()):
        code, _, lines = smcloud("produce", world / "run.toml")
    assert code == 7
    assert len(lines) == 1
    assert re.search(r"is working on .*glass-sm", lines[0])
    assert not (world / "out" / "products").exists()


def test_a_scheduler_that_does_not_answer_is_one_line_within_seconds(
    monkeypatch,
    smcloud,
    world,
):
    monkeypatch.undo()
    edit("workers = 1", 'scheduler = "tcp://127.0.0.1:1"')(world)
    started = time.monotonic()
    code, _, lines = smcloud("produce", world / "run.toml")
    assert (code, len(lines)) == (8, 1)
    assert re.search(r"scheduler at tcp://127.0.0.1:1 did not answer within 5 s", lines[0])
    assert time.monotonic() - started < 15


def test_folder_names_that_look_like_urls_keep_their_files(smcloud, tmp_path, monkeypatch):
    granules_of_a_year(tmp_path)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    odd = tmp_path / "my run#2?ö%20"
    code, _, lines = smcloud(
        "ingest", "glass_lai", "--from", "../in", "--to", odd, "--year", SAMPLE_START.year
    )
    assert (code, lines) == (0, [])
    assert (odd / "cubes/glass_lai" / f"{SAMPLE_START.year}.zarr" / "zarr.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", odd.name, "sub"]


def test_help_reads_like_the_flow(smcloud, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = smcloud("--help")
    assert code == 0
    verbs = re.findall(r"^\W*(\w+)  +[A-Z]", out.split("Commands", 1)[1], re.MULTILINE)
    assert verbs == (
        "simulate ingest train plan produce status verify validate publish run doctor".split()
    )
