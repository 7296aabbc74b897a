"""The pages of a model: what they say of a made-up assessment, with and without its parts."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.models.base import AreaNote, ModelCard
from smcloud.production.examination import scored
from smcloud.production.findings import StudyFindings
from smcloud.production.report_splits import splits_section
from smcloud.production.report_strategies import gain_lines
from smcloud.production.report_study import FIRST, study_pages
from smcloud.production.report_uncertainty import applicability_sections
from smcloud.products.registry import product_named
from smcloud.validation.report import Report, render

from . import product_root, study_root


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return product_root.build(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def findings(config):
    table = product_root._test_table([("GULF/site0", True, 5700, 22500)], 0.03)
    table = table.assign(baseline=np.float32(np.nan))
    return StudyFindings(
        None,
        study_root.assessment(),
        study_root.selection(),
        study_root.truth_of_stations(),
        scored(table, 0),
        study_root.thresholds(),
    )


def pages_of(config, findings):
    pages = study_pages(config, product_named("glass-sm"), findings)
    return {name: render(page) for name, page in pages.items()}


@pytest.fixture(scope="module")
def pages(config, findings):
    return pages_of(config, findings)


def test_there_is_a_page_for_each_question_and_each_links_to_all(pages):
    assert set(pages) == {
        FIRST, "stations.html", "selection.html", "model.html", "uncertainty.html"
    }  # fmt: skip
    for page in pages.values():
        for name in pages:
            assert f'href="{name}"' in page
        assert "http" not in page


def test_the_first_page_sets_splits_and_variants_side_by_side(pages):
    page = pages[FIRST]
    for text in (
        "new stations in new years, taught by selected",
        "new stations in new years, taught by all",
        "random days (reference), taught by all",
        "On the same unselected test stations",
        "On those test stations that pass the rule themselves",
        "On the truth of the test stations&#x27; pixels",
        "clearly a result of model overfitting",
    ):
        assert text in page


def test_the_gain_of_selection_is_told_as_it_is(findings):
    lines = gain_lines(findings.assessment)
    assert any("R changes by +0.030" in line and "selection helps" in line for line in lines)
    assert len(lines) == 4


def test_a_loss_by_selection_is_called_a_loss(findings):
    rows = findings.assessment.rows.copy()
    selected = rows["variant"] == "selected"
    rows.loc[selected, "R"] -= 2 * study_root.GAIN
    lines = gain_lines(replace(findings.assessment, rows=rows))
    assert any("R changes by −0.030" in line and "selection harms" in line for line in lines)


def test_a_station_of_which_nobody_knows_whether_it_passes_is_none_that_does(config, findings):
    rows = findings.assessment.rows.copy()
    rows["is_selected"] = rows["is_selected"].astype("boolean")
    rows.loc[rows["station"] == rows["station"].iloc[0], "is_selected"] = None
    page = _page(config, replace(findings, assessment=replace(findings.assessment, rows=rows)))
    passing = int(study_root.stations()["is_selected"].iloc[1:].sum())
    assert f"<td>R</td><td>{passing}</td>" in page


def _page(config, findings):
    return pages_of(config, findings)[FIRST]


def test_published_figures_stand_beside_ours_as_other_data(pages):
    page = pages[FIRST]
    assert "nothing on this page reproduces them" in page
    assert "ESSD 15, 2055, 2023" in page
    assert "published, other data" in page


def test_kept_and_dropped_stations_are_listed_with_reason_and_verdict(pages):
    page = pages["selection.html"]
    for text in ("6 of 10 stations are kept", "dropped: 0.30 is below 0.50", "Precision", "83%"):
        assert text in page
    for station in study_root.selection()["station"]:
        assert station in page


def test_without_a_simulated_earth_nobody_knows_precision(config, findings):
    unknown = study_root.thresholds(is_known=False)
    found = replace(findings, representative=None, thresholds=unknown)
    page = pages_of(config, found)["selection.html"]
    assert "Precision" not in page
    assert "precision</th>" not in page
    assert "Nobody knows" in page
    assert "<td>10</td>" in page, "how many stations a threshold keeps is known all the same"


def test_other_thresholds_are_told_beside_the_rule(config, findings, pages):
    page = pages["selection.html"]
    assert "0.50 (the rule)</th><td>6</td><td>83%</td><td>83%</td>" in page
    assert "0.90</th><td>0</td><td>unknown</td><td>0%</td>" in page
    without = pages_of(config, replace(findings, thresholds=None))["selection.html"]
    assert "another threshold" not in without


def test_what_stands_against_the_figures_is_counted(config, findings):
    table = study_root.selection()
    table.loc[[0, 7], "status"] = np.uint8(8)
    page = pages_of(config, replace(findings, selection=table))["selection.html"]
    assert "an error variance is negative</th><td>2</td>" in page


def test_scores_are_told_by_season_land_cover_climate_and_network(pages):
    page = pages["stations.html"]
    for text in ("June to August", "grass", "Cfa", "NET2", "Networks held out whole", "NET1"):
        assert text in page


def test_the_model_page_tells_search_importance_and_ablation(pages):
    page = pages["model.html"]
    for text in (
        "trial 2, 200 trees",
        "0.0551, with the run file",
        "Without each driver",
        "mod13a2",
    ):
        assert text in page


def test_uncertainty_says_what_is_covered(pages):
    page = pages["uncertainty.html"]
    for text in ("new stations, point", "new stations, pixel", "68% promised", "from 0.4"):
        assert text in page or text == "from 0.4"
    assert "representativeness" in page


def test_a_bare_assessment_has_the_first_page_and_says_what_is_absent(config, findings):
    bare = replace(
        findings.assessment, tuning=(), importance=(), ablation=(), coverage={}, constraints={},
        seconds={}, rows=findings.assessment.rows.iloc[:0],
    )  # fmt: skip
    found = replace(
        findings, assessment=bare, selection=None, test=None, absent=("No search for parameters.",)
    )
    pages = pages_of(config, found)
    assert "model.html" not in pages
    assert "selection.html" not in pages
    assert "No search for parameters." in pages[FIRST]


def test_pictures_have_words_for_those_who_do_not_see_them(pages):
    for page in pages.values():
        assert 'alt=""' not in page
        assert page.count("<img") == page.count("alt=")


def test_where_the_model_may_be_applied_is_told_where_it_is_known():
    area = AreaNote(sha256="ab" * 32, threshold=0.4321, prototypes=1800)
    (section,) = applicability_sections(ModelCard.model_construct(area=area))
    page = render(Report("a", "b", sections=[section]))
    assert "0.432 mean distances" in page
    assert "1,800" in page
    assert applicability_sections(None) == []
    assert applicability_sections(ModelCard.model_construct(area=None)) == []


def test_the_year_marks_what_papers_print_as_other_data():
    page = render(Report("a", "b", sections=[splits_section({}, product_named("glass-sm"))]))
    assert "What papers print, of other data" in page
    assert "nothing on this page reproduces them" in page
