"""freeze-thaw from a user's cubes to maps: table, forest, year, repair, report, file."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from smcloud.cli.main import app
from smcloud.core.errors import IntegrityError, NotFoundError, UserError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.cube.store import open_cube
from smcloud.features.ground_columns import NIGHT
from smcloud.models.freeze_thaw_files import load_freeze_thaw
from smcloud.production import freeze_thaw_stations
from smcloud.production.freeze_thaw_inputs import reader_of, region_of
from smcloud.production.freeze_thaw_publish import draw_days, run_publish
from smcloud.production.freeze_thaw_table import build_freeze_thaw_table
from smcloud.production.freeze_thaw_train import run_freeze_thaw
from smcloud.production.freeze_thaw_validate import REPORT, run_validate
from smcloud.production.freeze_thaw_year import plan_freeze_thaw, run_produce
from smcloud.production.verify import verify
from smcloud.production.versions import published_store
from smcloud.products.freeze_thaw import (
    FLAG,
    FREEZE_THAW,
    NO_OVERPASS,
    OTHER_OVERPASS,
    PROBABILITY,
    SCHEMA,
    STATE,
)
from smcloud.validation.confusion import overall_accuracy
from tests.production.ground_world import (
    EMPTY_DAY,
    NO_NIGHT,
    Ground,
    config_of,
    state_of,
    write_run,
)
from tests.production.recorder import Recorder
from tests.publish.cf_faults import cf_faults
from tests.trees import tree_of

YEAR = 2015


def folder_of(config) -> Path:
    """Return the product root of a run."""
    return Path(config.store.root.removeprefix("file://"))


def elsewhere(config, folder: Path):
    """Return the same run with another product root."""
    store = config.store.model_copy(update={"root": str(folder)})
    return config.model_copy(update={"store": store})


def cells_of(config):
    """Return the only block of the run, its points, and longitude and latitude of these."""
    region = region_of(config, SCHEMA, config.produced_tiles)
    found = [(block.window, region.points(block.window)) for block in region.blocks()]
    return found, region


def test_the_forest_learns_what_the_labels_tell(ground_trained) -> None:
    _, found = ground_trained
    assert found.card.headline == "station_year"
    assert found.card.notes == ()
    assert found.card.columns[-1] == "is_night"
    scores = found.scores.scores
    # Labels of another night would be right as often as the season tells.
    assert overall_accuracy(scores["random: test"]["all"].whole) > 0.9
    assert scores["unseen years"]["all"].rule.n > 0
    assert set(scores["unseen regions in unseen years"]) > {"without GLDAS"}


def test_rows_are_made_once_and_a_change_of_settings_makes_others(ground_trained, ground) -> None:
    config, _ = ground_trained
    recorder = Recorder()
    table = build_freeze_thaw_table(config, FREEZE_THAW, None, recorder)
    assert recorder.notes[0].startswith("rows: ")
    assert set(table["overpass"]) == {0, 1}
    assert not table.duplicated(["row", "col", "time", "overpass"]).any()
    assert len(table) <= 8000
    night = config_of(ground / "run.toml", overpasses=("night",))
    alone = build_freeze_thaw_table(elsewhere(night, ground / "other"), FREEZE_THAW, None, Silent())
    assert set(alone["is_night"]) == {1.0}


def test_maps_hold_what_the_forest_says_of_the_columns(ground_produced) -> None:
    config, _ = ground_produced
    model, _ = load_freeze_thaw(open_objects(config.layout.model("")), "freeze-thaw")
    blocks, region = cells_of(config)
    window, points = max(blocks, key=lambda block: block[1].size)
    cube = open_cube(published_store(config.layout, "freeze-thaw", YEAR), SCHEMA, YEAR)
    columns = reader_of(config, FREEZE_THAW).read(window, points, YEAR, (NIGHT,))["night"]
    stated = model.probabilities(np.ascontiguousarray(columns[:, 10]))
    steps = slice(0, 365)
    state = cube.read_points(STATE, steps, window, points)
    np.testing.assert_array_equal(state[10], model.stored_states(model.decided(stated)))
    probability = cube.variables[PROBABILITY].unpack(
        cube.read_points(PROBABILITY, steps, window, points)
    )
    np.testing.assert_allclose(probability[10], stated[:, 1], atol=0.00006)
    whole = cube.read(STATE, steps, window)
    outside = np.ones(whole[0].size, bool)
    outside[points] = False
    assert (whole.reshape(365, -1)[:, outside] == 255).all()
    assert region.schema is SCHEMA


def test_maps_agree_with_the_ground_and_flags_say_what_was_seen(ground_produced) -> None:
    config, _ = ground_produced
    blocks, _ = cells_of(config)
    cube = open_cube(published_store(config.layout, "freeze-thaw", YEAR), SCHEMA, YEAR)
    for window, points in blocks:
        lon, lat = (one.ravel()[points] for one in SCHEMA.on.lonlat(window))
        truth = state_of(Ground.at(lon[None], lat[None], YEAR).night[:, 0]) > 0
        state = cube.read_points(STATE, slice(0, 365), window, points)
        flag = cube.read_points(FLAG, slice(0, 365), window, points)
        known = np.ones(365, bool)
        known[[EMPTY_DAY, NO_NIGHT]] = False
        assert ((state[known] == 2) == truth[known]).mean() > 0.9
        assert (state[EMPTY_DAY] == 255).all()
        assert (flag[EMPTY_DAY] == NO_OVERPASS).all()
        assert (state[NO_NIGHT] != 255).all()
        assert (flag[NO_NIGHT] & OTHER_OVERPASS).astype(bool).all()
        assert not (flag[known] & (NO_OVERPASS | OTHER_OVERPASS)).any()


def test_a_second_run_does_nothing_and_the_plan_says_so(ground_produced) -> None:
    config, first = ground_produced
    (plan,) = plan_freeze_thaw(config, FREEZE_THAW)
    assert plan.waiting == 0
    again = run_produce(config, FREEZE_THAW, None, Silent())
    assert [year.made for year in again.years] == [0]
    assert again.years[0].version == first.years[0].version
    assert verify(config, None, Silent()).damages == ()


def test_a_killed_run_goes_on_to_the_same_bytes(ground_produced, tmp_path, monkeypatch) -> None:
    config, _ = ground_produced
    shutil.copytree(folder_of(config) / "models", tmp_path / "models")
    other = elsewhere(config, tmp_path)

    class Dies(Silent):
        def advance(self, steps: int = 1, **figures) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_produce(other, FREEZE_THAW, None, Dies())
    found = run_produce(other, FREEZE_THAW, None, Silent())
    assert found.years[0].kept == 1
    assert tree_of(tmp_path / "products") == tree_of(folder_of(config) / "products")


@pytest.mark.cluster
def test_workers_make_the_same_bytes(ground_produced, ground, client, tmp_path) -> None:
    config, _ = ground_produced
    other = elsewhere(config, tmp_path)
    run_freeze_thaw(other, FREEZE_THAW, client, Silent())
    run_produce(other, FREEZE_THAW, client, Silent())
    for part in ("models", "products"):
        assert tree_of(tmp_path / part) == tree_of(folder_of(config) / part)


def test_damage_is_found_and_restored(ground_produced, tmp_path) -> None:
    config, _ = ground_produced
    shutil.copytree(folder_of(config), tmp_path / "out")
    other = elsewhere(config, tmp_path / "out")
    shards = list((tmp_path / "out/products").rglob(f"{STATE}/c/*/*/*"))
    before = shards[0].read_bytes()
    shards[0].unlink()
    damages = verify(other, None, Silent()).damages
    assert [damage.fault for damage in damages] == ["missing"]
    found = run_produce(other, FREEZE_THAW, None, Silent(), redo="damaged")
    assert found.years[0].repaired == 1
    assert shards[0].read_bytes() == before
    again = run_produce(other, FREEZE_THAW, None, Silent(), redo="all")
    assert again.years[0].version.endswith("-r1")


def test_a_ledger_that_lost_its_record_is_told(ground_produced, tmp_path) -> None:
    config, _ = ground_produced
    shutil.copytree(folder_of(config), tmp_path / "out")
    shutil.rmtree(tmp_path / "out/ledger/produce")
    other = elsewhere(config, tmp_path / "out")
    with pytest.raises(IntegrityError, match="the ledger lost the record"):
        run_produce(other, FREEZE_THAW, None, Silent())


def test_the_report_tells_of_splits_rule_and_second_opinion(ground_produced) -> None:
    config, _ = ground_produced
    found = run_validate(config, FREEZE_THAW, None, Silent())
    path = Path(found.reports[0].removeprefix("file://"))
    assert path.name == REPORT
    page = path.read_text()
    for text in (
        "unseen regions in unseen years: forest without the land model",
        "plain rule: soil of the land model below 0",
        "forest, states weighed alike",
        "rule&#x27;s",
        "is a reference and not a result",
        "0.86 or more",
        "no independent check",
        "Reliability diagram",
        "months of transition",
    ):
        assert text in page
    second = found.lines[next(name for name in found.lines if "SMAP" in name)]
    assert second["overall_accuracy"] > 0.8


def test_stations_check_the_maps_and_teach_nothing(ground_produced, monkeypatch) -> None:
    config, _ = ground_produced
    places = {"one": (86.1, 33.05), "two": (85.6, 32.8), "far": (10.0, 50.0)}
    parts = []
    for name, (lon, lat) in places.items():
        soil = Ground.at(np.array([[lon]]), np.array([[lat]]), YEAR).night[:, 0, 0]
        days = SCHEMA.times(YEAR).astype("datetime64[s]")
        # 1:30 is 19:46 UTC there; what the noon says does not matter.
        for hour, values in ((19, soil), (20, soil), (8, soil + 20.0)):
            part = pd.DataFrame({"time": days + np.timedelta64(hour, "h"), "temperature": values})
            parts.append(
                part.assign(network="N", station=name, longitude=lon, latitude=lat, depth=0.02)
            )
    table = pd.concat(parts, ignore_index=True)
    monkeypatch.setattr(freeze_thaw_stations, "read_soil_temperature", lambda url: (table, ()))
    known = config.model_copy(
        update={"ground": config.ground.model_copy(update={"temperature": "file:///stations"})}
    )
    found = freeze_thaw_stations.against_stations(known, FREEZE_THAW, YEAR, Silent())
    assert found.stations == 2
    assert int(found.maps.n) == int(found.rule.n) == 2 * 364  # nothing saw the ground on one day
    assert overall_accuracy(found.maps) > 0.85
    assert found.seasons.n.sum() == found.maps.n
    # A label of one night is that of the next morning: the last one of a year has none.
    assert int(found.labels.n) == 2 * 363
    assert overall_accuracy(found.labels) > overall_accuracy(found.maps)
    page = Path(run_validate(known, FREEZE_THAW, None, Silent()).reports[0].removeprefix("file://"))
    assert "Soil temperature of 2 stations" in page.read_text()


@pytest.mark.filterwarnings("ignore")  # of the CF checker's own dependencies
def test_the_file_holds_states_and_where_they_are(ground_produced, tmp_path) -> None:
    config, _ = ground_produced
    (url,) = run_publish(config, FREEZE_THAW, None, Silent()).netcdf
    path = url.removeprefix("file://")
    with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=False) as found:
        assert found[STATE].dims == ("time", "y", "x")
        assert found[STATE].attrs["flag_meanings"] == "thawed partly_frozen frozen"
        assert found[STATE].attrs["flag_values"].dtype == np.uint8
        row, col = np.argwhere(found[STATE].values[0] != 255)[0]
        assert abs(float(found.lat[row, col]) - 33.0) < 2.0
        mapping = found.spatial_ref.attrs["grid_mapping_name"]
        assert mapping == "lambert_azimuthal_equal_area"
    assert cf_faults(path, tmp_path) == []


def test_the_map_shows_a_day_of_each_season(ground_produced) -> None:
    config, _ = ground_produced
    (url,) = run_publish(config, FREEZE_THAW, None, Silent()).maps
    assert Path(url.removeprefix("file://")).read_bytes().startswith(b"\x89PNG")
    cube = open_cube(published_store(config.layout, "freeze-thaw", YEAR), SCHEMA, YEAR)
    window = region_of(config, SCHEMA, config.tiles).blocks()[0].window
    shown = draw_days(cube, window)
    winter = cube.read_physical(PROBABILITY, slice(14, 15), window)[0]
    np.testing.assert_array_equal(shown.panels[0].values, winter)
    assert shown.asked.any()
    assert (np.isfinite(winter) <= shown.asked).all()


def test_what_is_not_there_is_told_in_one_line(ground, tmp_path) -> None:
    config = config_of(write_run(tmp_path, extra="", root=str(tmp_path / "out")))
    with pytest.raises(NotFoundError, match="run `smcloud train` first"):
        run_produce(config, FREEZE_THAW, None, Silent())
    with pytest.raises(NotFoundError, match="ingest gldas first"):
        run_freeze_thaw(config, FREEZE_THAW, None, Silent())
    shutil.copytree(ground / "own", tmp_path / "own")
    shutil.rmtree(tmp_path / "own/smos_ft/2015.zarr")
    with pytest.raises(NotFoundError, match="ingest smos_ft first"):
        run_freeze_thaw(config, FREEZE_THAW, None, Silent())
    alone = config.model_copy(update={"tiles": ("h14v06",)})
    with pytest.raises(UserError, match="no land cell"):
        run_freeze_thaw(alone, FREEZE_THAW, None, Silent())


@pytest.mark.cluster
def test_the_command_takes_it_through_its_stages(ground, ground_produced, client, tmp_path) -> None:
    # Forest and maps are there already: what they take is tested above, and workers beside it.
    out = shutil.copytree(folder_of(ground_produced[0]), tmp_path / "out")
    shutil.rmtree(out / "published", ignore_errors=True)
    path = write_run(tmp_path, scheduler=client.scheduler.address)
    (tmp_path / "own").symlink_to(ground / "own")
    found = CliRunner().invoke(app, ["run", str(path)])
    assert found.exit_code == 0, found.output
    for text in ("unseen regions", "Produced freeze-thaw", "report ", ".nc"):
        assert text in found.output
    for command in ("plan", "status", "verify"):
        told = CliRunner().invoke(app, [command, str(path)])
        assert told.exit_code == 0, told.output
