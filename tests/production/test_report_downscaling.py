"""What validate and publish say of maps that come down from coarse cells."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.grids.land import land_mask
from smcloud.models.gwr_files import LocalCard, YearNote
from smcloud.models.periods import SCORES
from smcloud.production import publish_stage, validate_stage
from smcloud.production.findings import GainFinding
from smcloud.production.report_downscalers import downscaler_sections
from smcloud.production.report_gain import TITLES, verdicts
from smcloud.production.smooth_correction import smooth_correction
from smcloud.production.station_pairs import COARSE_INPUT, REANALYSIS, baseline_layer, baseline_of
from smcloud.production.store_year import published_year
from smcloud.products.registry import product_named
from smcloud.validation.gain import COARSE, SMOOTH
from smcloud.validation.gain_squares import Scored
from smcloud.validation.metrics import Interval

from . import downscaled_root, product_root

LAND = sum(int(land_mask(block).sum()) for block in product_root.BLOCKS)


class Heard(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.warnings, self.stages = [], []

    def begin(self, stage, total, unit):
        self.stages.append(stage)

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def config(maps):
    return maps


@pytest.fixture
def result(maps_validated):
    return maps_validated


@pytest.fixture
def page(result):
    report = Path(result.reports[0].removeprefix("file://"))
    return (report.parent / "downscaling.html").read_text()


def line_of(result, estimate, against):
    return next(x for x in result.lines if x.estimate == estimate and against in x.against)


def test_a_product_must_beat_its_own_input_and_one_of_stations_the_reanalysis():
    found = baseline_of(product_named("smap-downscaling"))
    assert (found.source, found.variable, found.title) == (
        "smap_l3",
        "soil_moisture_am",
        COARSE_INPUT,
    )
    assert baseline_of(product_named("glass-sm")) == REANALYSIS


def test_maps_that_know_half_of_the_pattern_halve_the_error_of_their_input(result):
    for against in ("input is known", "within cells"):
        product = line_of(result, "product", against)
        coarse = line_of(result, COARSE_INPUT, against)
        assert product.counted == coarse.counted
        assert product.scores["ubRMSE"] == pytest.approx(0.5 * coarse.scores["ubRMSE"], rel=0.02)
    assert line_of(result, "product", "within cells").scores["R"] > 0.99


def test_what_is_gained_is_said_in_words(result):
    assert result.told[0].startswith("2019: The maps beat the bilinear interpolation")
    assert re.search("correction alone: .*: a gain; within cells, .*: a gain", result.told[1])


def test_what_knows_no_pixel_stands_beside_the_maps(result, page):
    smooth, coarse = (
        line_of(result, title, "within cells") for title in (TITLES[SMOOTH], TITLES[COARSE])
    )
    # Cells of this world are alike on a day, so that neither has a pattern.
    assert smooth.scores["ubRMSE"] == pytest.approx(coarse.scores["ubRMSE"], rel=0.01)
    assert "constant in cells, within cells" in page
    assert "squares of 3 x 3 cells in months" in page


def test_coverage_of_every_day_is_written(result):
    folder = Path(result.reports[0].removeprefix("file://")).parent
    table = pd.read_csv(folder / "coverage.csv")
    assert len(table) == 365
    assert (table.loc[100:109, "no coarse value"] == 1.0).all()
    assert (table.loc[:99, "clear"] == 1.0).all()
    assert (table["any state"] == 1.0).all()


def test_states_are_scored_at_pixels_and_at_stations(result):
    silent = line_of(result, "product", "truth, no coarse value")
    assert silent.counted == f"{10 * LAND:,} pairs"
    clear = line_of(result, "product", "stations, mean, clear")
    assert clear.counted == "6 stations"
    assert clear.scores["ubRMSE"] == pytest.approx(0.04, abs=0.005)
    whole = line_of(result, "product", "stations, mean, all days")
    mean = line_of(result, "product", "stations inside, mean")
    assert whole.scores["ubRMSE"] == pytest.approx(mean.scores["ubRMSE"], rel=1e-4)
    assert not any("stations, mean, no coarse" in line.against for line in result.lines)


def test_the_smooth_correction_is_found_once(config, result):
    folder = open_objects(f"{config.layout.reports('smap-downscaling')}/2019/smooth")
    first = {info.key: folder.get(info.key) for info in folder.list()}
    assert all("nodes/settled/" in key for key in first)
    listener, year = Heard(), published_year(config, 2019)
    coarse = baseline_layer(config, baseline_of(product_named("smap-downscaling")), 2019)
    smooth_correction(config, year, coarse, None, listener)
    assert listener.stages == []
    assert {info.key: folder.get(info.key) for info in folder.list()} == first


def gained(product, coarse, within_product, within_coarse, half=0.001):
    """Findings in which every score of an estimate has one value, differences certain to `half`."""

    def of(*values):
        names = ("R", "RMSE", "ubRMSE")
        nowhere = np.nan, np.nan
        own = [dict.fromkeys(names, Interval(value, *nowhere)) for value in values]
        less = [
            dict.fromkeys(
                names, Interval(values[0] - v, values[0] - v - half, values[0] - v + half)
            )
            for v in values
        ]
        return Scored(tuple(own), tuple(less), 10)

    overall = of(product, coarse, coarse, coarse)
    within = of(within_product, within_coarse, within_coarse, within_coarse)
    return GainFinding(None, (), overall, within, (), {})


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (gained(0.05, 0.06, 0.03, 0.04), "The maps beat the bilinear interpolation of their own"),
        (
            gained(0.07, 0.06, 0.05, 0.04),
            "DO NOT beat the bilinear interpolation of their own input:",
        ),
        (gained(0.05, 0.06, 0.05, 0.04), "DO NOT .* own input within cells:"),
        (gained(0.07, 0.06, 0.03, 0.04), "DO NOT .* own input over all pixels:"),
        (gained(0.06, 0.06, 0.04, 0.04), "DO NOT beat"),
        (gained(0.05, 0.06, 0.03, 0.04, half=0.02), "DO NOT beat .* own input:"),
    ],
)
def test_maps_that_are_no_better_than_their_input_are_said_to_be(found, words):
    assert re.search(words, verdicts(found)[0])


def test_the_pattern_is_judged_beside_the_smooth_correction_alone():
    told = verdicts(gained(0.05, 0.06, 0.05, 0.04))[1]
    assert re.search("alone: where the input is known, RMSE 0.0500 .*: a gain; within", told)
    assert told.endswith(": a loss.")
    unsure = verdicts(gained(0.05, 0.06, 0.03, 0.04, half=0.02))[1]
    assert unsure.count("cannot be told apart") == 2


def test_every_station_inside_is_scored_for_none_has_taught_the_model(result):
    assert line_of(result, "product", "stations inside").counted == "6 stations"
    folder = Path(result.reports[0].removeprefix("file://")).parent
    assert len((folder / "stations.csv").read_text().splitlines()) == 7


def test_states_and_flags_are_counted(page):
    silent = 10 * LAND
    assert f"no coarse value</th><td>{silent:,}</td><td>{10 / 365:.1%}</td>" in page
    assert f"on {1 / 365:.2%} ({LAND:,}) the value cannot be met" in page


def test_families_and_periods_without_a_model_are_told(page):
    for text in ("support vector regression", "best of each period", downscaled_root.GAP):
        assert text in page
    assert "1 of the 46 periods of 2019 have no model" in page
    assert "0.057 m3 m-3 (ESSD 14, 3053, 2022)" in page
    assert "nothing on this page reproduces them" in page


def test_maps_that_follow_the_rain_are_said_to(page):
    assert "goes best with the rain of the same day: as it should." in page


def test_the_pages_lead_to_each_other(result, page):
    report = Path(result.reports[0].removeprefix("file://")).read_text()
    assert 'href="downscaling.html"' in report
    assert 'href="report.html"' in page
    assert "clearly a result of model overfitting" not in report


def test_without_truth_rain_and_table_of_scores_the_page_tells_the_rest(tmp_path):
    config = product_root.without_truth(downscaled_root.build(tmp_path))
    open_objects(config.layout.model("")).delete(f"smap-downscaling/{SCORES}")
    found = validate_stage.run(config, None, Silent())
    assert not any("truth" in line.against for line in found.lines)
    assert not any("The maps" in text for text in found.told)
    report = Path(found.reports[0].removeprefix("file://"))
    page = (report.parent / "downscaling.html").read_text()
    for text in ("Nobody knows", "Neither a cube", "no coarse value"):
        assert text in page


def test_a_coarse_cube_that_is_gone_and_stations_that_never_were_are_named_once(tmp_path):
    config = downscaled_root.build(tmp_path)
    for url in (config.cube_prefix("smap_l3"), config.layout.stations):
        for info in open_objects(url).list():
            open_objects(url).delete(info.key)
    heard = Heard()
    found = validate_stage.run(config, None, heard)
    assert [text for text in heard.warnings if "smap_l3" in text] == [
        "no cube of smap_l3 in 2019: nothing is said of the gain over it"
    ]
    assert line_of(found, "product", "every pixel")
    (told,) = found.told
    assert told.startswith("2019: There are no stations to score at: none was ingested")
    assert told.removeprefix("2019: ") in Path(found.reports[0].removeprefix("file://")).read_text()


def test_the_item_names_the_hash_of_all_models(config, result):
    year = publish_stage.run(config, None, Silent()).years[0]
    text = Path(year.items[0].removeprefix("file://")).read_text()
    assert '"smcloud:model_sha256": "' in text.replace('":"', '": "')
    assert '"smcloud:model_sha256": ""' not in text.replace('":"', '": "')


def test_local_regressions_are_told_by_their_bandwidth():
    card = LocalCard(
        name="all-weather", target="soil_moisture", target_units="m3 m-3", columns=("lst", "ndvi"),
        units=("K", "1"), grid="ease2_36km", window=(0, 1, 0, 1), bandwidth_km=75.0, params={},
        scores={
            "bandwidth_rmse": {"140": 0.045, "75": 0.04}, "bandwidth_pairs": {"n": 1374.0},
        }, versions={}, input_hash="ab" * 32,
        years={"2019": YearNote(sha256="cd" * 32, days=365, modelled=350)},
    )  # fmt: skip
    (section,) = downscaler_sections(card, None, 2019)
    text = "".join(section.pieces)
    assert text.index("75 km</th><td>0.040") < text.index("140 km</th><td>0.045")
    assert "1,374 cells and days left out" in text
    assert "350 of 365 with a regression" in text
