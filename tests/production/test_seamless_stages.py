"""seamless from a user's cubes to maps: patches, network, segments, blocks, scores, file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from smcloud.cli.seamless_tables import show_found
from smcloud.core.errors import ConfigError, NotFoundError, PlanError, UserError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.cube.store import create_store, open_cube
from smcloud.features.coarse_cubes import GAPPY_MOISTURE
from smcloud.models.gap_reasons import GapReason
from smcloud.models.seamless_files import load_net_card
from smcloud.production.seamless_inputs import GapFields, inputs_of
from smcloud.production.seamless_publish import draw_days, run_publish
from smcloud.production.seamless_train import run_train, years_of
from smcloud.production.seamless_validate import run_validate, squares
from smcloud.production.seamless_year import (
    check_memory,
    fill_segment,
    fill_tasks,
    plan_seamless,
    put_together,
    run_produce,
)
from smcloud.production.status import status
from smcloud.production.versions import published_store
from smcloud.products.seamless import MOISTURE, REASON, SCHEMA, SEAMLESS
from tests.production.gap_world import (
    CELLS,
    DARK_DAY,
    DAYS,
    FROZEN,
    LAKE,
    YEARS,
    fields_of,
    gap_config,
)
from tests.production.recorder import Recorder

YEAR = YEARS[-1]
FILL = SCHEMA.variable(MOISTURE).fill_value


def stored(config) -> tuple[np.ndarray, np.ndarray]:
    """Return stored moisture and reasons of the published year."""
    cube = open_cube(published_store(config.layout, "seamless", YEAR), SCHEMA, YEAR)
    return tuple(cube.read(name, slice(0, 365), CELLS) for name in (MOISTURE, REASON))


def with_store(config, **changes):
    """Return the same run with other keys of its section `store`."""
    return config.model_copy(update={"store": config.store.model_copy(update=changes)})


def test_training_is_done_once_and_leaves_no_patches(trained) -> None:
    config, found = trained
    assert not found.repeated
    assert found.card.training_keys == (f"global025/globe/{YEARS[0]}",)
    assert found.card.held_out_keys == (f"global025/globe/{YEAR}",)
    assert found.card.patches > 50
    assert found.card.masks > 10
    left = [info.key for info in open_objects(config.layout.table("seamless-patches")).list()]
    assert left == []
    recorder = Recorder()
    again = run_train(config, SEAMLESS, None, recorder)
    assert again.repeated
    assert again.card == load_net_card(open_objects(config.layout.model("")), "seamless")
    assert "cut patches" not in recorder.stages


def test_what_was_observed_stays_and_gaps_are_filled(produced) -> None:
    config, _ = produced
    moisture, reason = stored(config)
    truth, _, told = fields_of(YEAR)
    np.testing.assert_array_equal(reason[:DAYS], told)
    observed = told == GapReason.OBSERVED
    packed = SCHEMA.variable(MOISTURE).pack(truth)
    np.testing.assert_array_equal(moisture[:DAYS][observed], packed[observed])
    swath = told == GapReason.SWATH
    assert (moisture[:DAYS][swath] != FILL).all()
    errors = SCHEMA.variable(MOISTURE).unpack(moisture[:DAYS][swath]) - truth[swath]
    assert np.sqrt(np.mean(errors**2)) < 0.06
    assert (moisture[:DAYS][FROZEN] == FILL).all()
    assert (moisture[:, *LAKE] == FILL).all()
    # Long after the last day with a value nothing is known, and nothing is made up.
    assert (moisture[150:] == FILL).all()


def test_a_day_without_any_observation_is_filled(produced) -> None:
    config, _ = produced
    moisture, reason = stored(config)
    land = reason[DARK_DAY] != GapReason.NOT_LAND
    assert (reason[DARK_DAY][land] == GapReason.OUTAGE).all()
    truth = fields_of(YEAR)[0][DARK_DAY]
    found = SCHEMA.variable(MOISTURE).unpack(moisture[DARK_DAY])
    assert np.sqrt(np.mean((found - truth)[land] ** 2)) < 0.06


def test_a_second_run_does_nothing_and_damage_is_restored_from_days_that_are_filled_anew(
    produced,
) -> None:
    config, first = produced
    work = open_objects(config.layout.work("seamless", YEAR, ""))
    assert work.list() == []
    (row,) = [one for one in status(config) if one.stage == "produce/seamless"]
    assert (row.state, row.blocks) == ("published", first.years[0].blocks)
    assert row.core_seconds > 10 * first.years[0].seconds["encode"]  # filling is counted too
    recorder = Recorder()
    again = run_produce(config, SEAMLESS, None, recorder)
    assert (again.years[0].made, again.years[0].kept) == (0, first.years[0].blocks)
    sound = run_produce(config, SEAMLESS, None, recorder, redo="damaged")
    assert sound.years[0].repaired == 0
    assert f"fill {YEAR}" not in recorder.stages
    before = stored(config)
    store = open_objects(published_store(config.layout, "seamless", YEAR))
    store.delete(next(one.key for one in store.list() if one.key.startswith(f"{MOISTURE}/c/")))
    mended = run_produce(config, SEAMLESS, None, recorder, redo="damaged")
    assert mended.years[0].repaired == 1
    assert f"fill {YEAR}" in recorder.stages
    assert work.list() == []
    for old, new in zip(before, stored(config), strict=True):
        np.testing.assert_array_equal(old, new)


def test_cutting_time_changes_nothing_where_the_recursion_has_begun_at_the_same_day(
    produced, tmp_path
) -> None:
    config, _ = produced
    card = load_net_card(open_objects(config.layout.model("")), "seamless")
    inputs = inputs_of(config, None, Silent())
    alone = replace(inputs, fields=replace(inputs.fields, years=(YEAR,), wet_years=(YEAR,)))

    def kept(segment_days: int, slab: int) -> np.ndarray:
        said = {"segment_days": segment_days, "spin_up_days": 46}
        own = config.model_copy(update={"seamless": config.seamless.model_copy(update=said)})
        task = fill_tasks(own, alone, card, YEAR)[slab]
        task = replace(task, folder=str(tmp_path / str(segment_days)))
        create_store(task.store, task.schema, YEAR)
        fill_segment(task)
        cube = open_cube(task.store, task.schema, YEAR)
        return np.asarray(cube.read(MOISTURE, slice(46, 60), CELLS, required=False))

    in_two = kept(46, 1)
    assert (in_two != FILL).any()
    np.testing.assert_allclose(in_two, kept(92, 0), atol=1)


def test_segments_reach_over_the_border_of_years_only_where_there_is_a_cube() -> None:
    fields = GapFields("", "", (2014, 2015), (2015,))
    first, last = fields.span(2015, 12, 4)
    assert (str(first), str(last)) == ("2014-01-01", "2015-12-31")
    assert str(fields.span(2015, 0, 4)[0]) == "2015-01-01"


def test_reasons_that_are_masked_stay_unknown() -> None:
    observed = np.array([[[5, FILL, FILL, FILL]]], np.int16)
    filled = np.array([[[5, 7, 8, 9]]], np.int16)
    reason = np.array([[[0, 1, 3, 1]]], np.uint8)
    land = np.array([[True, True, True, False]])
    found = put_together(observed, filled, reason, land, (GapReason.FROZEN,))
    assert found.tolist() == [[[5, 7, FILL, FILL]]]
    assert put_together(observed, filled, reason, land, ()).tolist() == [[[5, 7, 8, FILL]]]


def test_scores_stand_beside_plain_ways_and_the_verdict_is_said(produced, capsys) -> None:
    config, _ = produced
    found = run_validate(config, SEAMLESS, None, Silent())
    show_found(found)
    assert f"Simulated gaps of {YEAR}" in capsys.readouterr().out
    (year,) = found.years
    assert set(year.gaps.found) > {"network", "linear in time", "inverse distance", "climatology"}
    assert any("every plain way" in line for line in found.told)
    assert any("ended the training" in line for line in found.told)
    page = Path(found.reports[0].removeprefix("file://"))
    assert "Gaps simulated in complete areas" in page.read_text()
    assert page.read_text().count("data:image/png") == 1
    scores = json.loads((page.parent / "scores.json").read_text())
    assert {row["filler"] for row in scores["simulated_gaps"]} == set(year.gaps.found)


def test_a_year_is_one_file_with_latitude_and_longitude(produced) -> None:
    config, _ = produced
    (url,) = run_publish(config, SEAMLESS, None, Silent()).netcdf
    with xr.open_dataset(url.removeprefix("file://"), engine="h5netcdf") as file:
        assert file[MOISTURE].dims == ("time", "latitude", "longitude")
        lon, lat = SCHEMA.on.lonlat(CELLS)
        own = file[MOISTURE].sel(latitude=lat[:, 0], longitude=lon[0])
        moisture, _ = stored(config)
        expected = SCHEMA.variable(MOISTURE).unpack(moisture[:DAYS])
        np.testing.assert_allclose(own.values[:DAYS], expected, atol=1e-6)
        assert file[MOISTURE].attrs["units"] == "m3 m-3"


def test_the_map_shows_two_days_with_gaps_and_without(produced) -> None:
    config, _ = produced
    (url,) = run_publish(config, SEAMLESS, None, Silent()).maps
    assert Path(url.removeprefix("file://")).read_bytes().startswith(b"\x89PNG")
    cube = open_cube(published_store(config.layout, "seamless", YEAR), SCHEMA, YEAR)
    shown = draw_days(cube, CELLS)
    moisture, reason = stored(config)
    expected = SCHEMA.variable(MOISTURE).unpack(moisture)[14]
    before, after = (panel.values for panel in shown.panels[:2])
    np.testing.assert_array_equal(after, expected)
    np.testing.assert_array_equal(np.isfinite(before), reason[14] == GapReason.OBSERVED)
    assert np.isfinite(after).sum() > np.isfinite(before).sum()
    assert (shown.asked == (reason[14] != GapReason.NOT_LAND)).all()


def test_the_plan_says_what_is_left(produced, tmp_path) -> None:
    config, _ = produced
    (plan,) = plan_seamless(config, SEAMLESS, Silent())
    assert (plan.blocks, plan.waiting, plan.segments, plan.rows) == (4, 0, 0, 0)
    filled = config.model_copy(
        update={"seamless": config.seamless.model_copy(update={"masked": ()})}
    )
    (plan,) = plan_seamless(filled, SEAMLESS, Silent())
    assert (plan.waiting, plan.segments) == (4, 8)
    assert plan.rows == (24 * 24 - 4) * 365


def test_a_year_without_precipitation_is_told_and_filled_without(produced, tmp_path) -> None:
    config, _ = produced
    cubes = {**config.ingest.cubes, "imerg_025": str(tmp_path / "none")}
    dry = config.model_copy(update={"ingest": config.ingest.model_copy(update={"cubes": cubes})})
    dry = with_store(dry, root=str(tmp_path / "dry"))
    recorder = Recorder()
    inputs = inputs_of(dry, None, recorder)
    assert recorder.warnings == [
        "no precipitation for 2014, 2015: gaps are filled without it, as if it were unknown"
    ]
    assert np.isnan(inputs.fields.wetted(SCHEMA.times(YEAR)[:3], CELLS)).all()


def test_bad_input_is_told_in_a_line(trained, tmp_path) -> None:
    config, _ = trained
    alone = config.model_copy(update={"train": config.train.model_copy(update={"years": (YEAR,)})})
    with pytest.raises(ConfigError, match="a network needs a year to learn from beside 2015"):
        years_of(alone)
    early = config.model_copy(update={"years": (2001, 2002)})
    with pytest.raises(NotFoundError, match="no cube of gappy_moisture for 2001, 2002"):
        inputs_of(early, None, Silent())
    with pytest.raises(NotFoundError, match="run `smcloud train` first"):
        run_produce(with_store(config, root=str(tmp_path / "x")), SEAMLESS, None, Silent())
    small = config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"memory": "300MB"})}
    )
    region = inputs_of(config, None, Silent()).region
    with pytest.raises(PlanError, match=r"46 days .* lower seamless\.spin_up_days"):
        check_memory(small, region, None)
    longer = {"seamless": small.seamless.model_copy(update={"segment_days": 92})}
    with pytest.raises(PlanError, match=r"92 days .* lower seamless\.segment_days"):
        check_memory(small.model_copy(update=longer), region, None)
    assert squares(region) == [region.window]


def test_nothing_observed_is_an_error(gap_world, tmp_path) -> None:
    config = gap_config(gap_world / "run.toml")
    for year in YEARS:
        create_store(str(tmp_path / f"{year}.zarr"), GAPPY_MOISTURE.schema, year)
    cubes = {**config.ingest.cubes, "gappy_moisture": str(tmp_path)}
    empty = config.model_copy(update={"ingest": config.ingest.model_copy(update={"cubes": cubes})})
    with pytest.raises(UserError, match="no cell of gappy_moisture was observed on any day"):
        inputs_of(with_store(empty, root=str(tmp_path / "out")), None, Silent())
