"""The validate stage on a small product root: what it scores, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smcloud.cli.validate import show
from smcloud.core.errors import CubeError, NotFoundError, UserError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.production import examination, validate_stage
from smcloud.production.store_year import published_year
from smcloud.validation.pairs import PairStats

from . import product_root, study_root


class Heard(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return product_root.build(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def result(config):
    return validate_stage.run(config, None, Silent())


def line_of(result, estimate, against):
    return next(x for x in result.lines if x.estimate == estimate and against in x.against)


def test_the_truth_is_met_at_every_known_pixel_and_day(result):
    estimate, reference = (
        np.concatenate([product_root.block_values(b, f).ravel() for b in product_root.BLOCKS])
        for f in (product_root.product_at, product_root.truth_at)
    )
    expected = PairStats.of(estimate, reference)
    found = line_of(result, "product", "truth")
    assert found.counted == f"{int(expected.n):,} pairs"
    assert found.scores["bias"] == pytest.approx(float(expected.mean_d), abs=1e-5)
    assert found.scores["RMSE"] == pytest.approx(
        float(np.sqrt(expected.m2_d / expected.n + expected.mean_d**2)), abs=1e-5
    )


def test_the_baseline_is_scored_on_the_pairs_of_the_product(result):
    for against in ("truth", "stations inside", "unseen stations,"):
        product, baseline = (line_of(result, name, against) for name in ("product", "ERA5-Land"))
        assert product.counted == baseline.counted


def test_stations_that_the_model_knows_are_not_scored(result):
    assert line_of(result, "product", "stations inside").counted == "3 stations"


def test_report_map_and_tables_are_where_the_result_says(result, config):
    page = Path(result.reports[0].removeprefix("file://")).read_text()
    for text in ("new stations", "clearly a result of model overfitting", "ERA5-Land", "sha256"):
        assert text in page
    assert "http" not in page.replace("https://schemas", "")
    folder = Path(result.maps[0].removeprefix("file://")).parent
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")
    lines = json.loads((folder / "scores.json").read_text())
    assert {line["against"] for line in lines} == {line.against for line in result.lines}
    stations = pd.read_csv(folder / "stations.csv")
    assert {"station", "R", "R_low", "R_high", "ubRMSE"} <= set(stations.columns)


def test_a_second_run_writes_the_same_bytes(result, config):
    report = Path(result.reports[0].removeprefix("file://"))
    before = report.read_bytes()
    validate_stage.run(config, None, Silent())
    assert report.read_bytes() == before


def test_without_a_truth_there_are_stations_still(config):
    heard = Heard()
    found = validate_stage.run(product_root.without_truth(config), None, heard)
    assert {line.estimate for line in found.lines} == {"product", "ERA5-Land"}
    assert not any("truth" in line.against for line in found.lines)
    assert heard.warnings == []


def test_a_year_that_is_not_published_is_refused(config):
    with pytest.raises(NotFoundError, match="run `smcloud produce`"):
        published_year(config, 2018)


def test_a_tile_that_is_not_published_is_refused(config):
    other = config.model_copy(update={"tiles": ("h25v05",)})
    with pytest.raises(UserError, match="published for h18v04, not for h25v05"):
        published_year(other, product_root.YEAR)


def test_a_lost_block_stops_the_scores(tmp_path):
    config = product_root.build(tmp_path)
    store = open_objects(published_year(config, product_root.YEAR).store_url)
    lost = next(info.key for info in store.list("soil_moisture") if "/c/" in info.key)
    store.delete(lost)
    with pytest.raises(CubeError, match="lacks the object"):
        validate_stage.run(config, None, Silent())


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A root with an assessment, a published year and a truth of stations."""
    config = product_root.build(tmp_path_factory.mktemp("studied"))
    study_root.write(config)
    open_objects(config.store.truth).put(
        "stations.parquet", study_root.truth_of_stations().to_parquet(index=False)
    )
    return config


@pytest.fixture(scope="module")
def with_model(studied):
    return validate_stage.run(studied, None, Silent())


@pytest.fixture(scope="module")
def study(studied):
    """The same root for a run that produced no map."""
    return studied.model_copy(update={"years": (2017, 2018)})


def paths(urls):
    return [Path(url.removeprefix("file://")) for url in urls]


def test_an_assessment_adds_the_pages_of_the_model(with_model):
    pages, (year,) = paths(with_model.pages), paths(with_model.reports)
    names = {page.name for page in pages}
    assert names >= {"report.html", "selection.html", "model.html", "uncertainty.html"}
    assert all(page.exists() for page in pages)
    first = pages[0]
    assert (first.parent / "../../2019/report.html").resolve() == year
    assert 'href="../../2019/report.html"' in first.read_text()
    assert 'href="../models/glass-sm/report.html"' in year.read_text()
    assert "Precision" in (first.parent / "selection.html").read_text()
    assert "No maps" not in first.read_text()


def test_the_lines_of_a_model_are_of_no_year(with_model):
    model = [line for line in with_model.lines if line.year is None]
    label = "new stations in new years, taught by selected"
    assert any(line.estimate == label and "unselected" in line.against for line in model)
    assert any("truth" in line.against for line in model)


def test_the_command_prints_what_was_found(with_model, capsys):
    show(with_model)
    told = capsys.readouterr().out
    assert "selection helps" in told
    assert "page" in told


def test_a_study_without_maps_reports_of_the_model_alone(study):
    heard = Heard()
    result = validate_stage.run(study, None, heard)
    assert result.reports == result.maps == ()
    assert any("no maps to validate" in text for text in heard.warnings)
    pages = paths(result.pages)
    assert len(pages) >= 4
    assert "No maps: no year of the product is published" in pages[0].read_text()
    before = [page.read_bytes() for page in pages]
    validate_stage.run(study, None, Silent())
    assert [page.read_bytes() for page in pages] == before


def test_one_missing_year_among_others_is_still_refused(studied):
    with pytest.raises(NotFoundError, match="run `smcloud produce`"):
        validate_stage.run(studied.model_copy(update={"years": (2019, 2020)}), None, Silent())


def test_rain_stands_beside_the_series_where_the_reanalysis_has_it(study, monkeypatch):
    known = pd.DataFrame(
        {"station": "GULF/site0", "time": product_root.DAYS.astype("datetime64[s]"), "rain": 2.0}
    )
    monkeypatch.setattr(examination, "rain_at", lambda *_: known)
    pages = paths(validate_stage.run(study, None, Silent()).pages)
    page = next(page for page in pages if page.name == "stations.html").read_text()
    assert "precipitation of ERA5-Land" in page
