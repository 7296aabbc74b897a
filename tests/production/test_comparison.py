"""Comparison with other products: a coarse one by area mean, a fine one by pixel."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from smcloud.core.config import CompareConfig
from smcloud.core.errors import ConfigError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Silent
from smcloud.cube.schema import CubeSchema, shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM, grid_named
from smcloud.production import comparison, validate_stage
from smcloud.production.comparison import Comparer, moisture_of
from smcloud.production.store_year import published_year
from smcloud.simulate.truth import SOIL_MOISTURE, TRUTH_SCHEMA
from smcloud.sources.registry import SOURCES
from smcloud.validation.collocation import Layer

from . import product_root
from .product_root import BLOCKS, DAYS, PART, YEAR, block_values, truth_at

PERCENT = replace(SOIL_MOISTURE, units="%", valid=(0.0, 100.0), scale=0.01)
COARSE = CubeSchema(
    "cci_combined", "global025", (SOIL_MOISTURE,), 1, (46, 40, 40), (368, 40, 40), "Coarse"
)
THIRD = replace(COARSE, name="cci_active", variables=(PERCENT,))
FINE = CubeSchema(
    "smap_sentinel",
    "sin1km",
    (replace(SOIL_MOISTURE, name="soil_moisture_am"),),
    1,
    (46, 150, 150),
    (368, 150, 150),
    "Fine",
)
KNOWN = {
    schema.name: SimpleNamespace(name=schema.name, title=f"The {schema.name}", schema=schema)
    for schema in (COARSE, THIRD, FINE)
}


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    monkeypatch.setattr(comparison, "SOURCES", {**SOURCES, **KNOWN})


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = product_root.build(tmp_path_factory.mktemp("root"))
    for schema, factor in ((COARSE, 1.0), (THIRD, 100.0)):
        _write_coarse(join(config.cube_prefix(schema.name), year_store(YEAR)), schema, factor)
    _write_fine(join(config.cube_prefix(FINE.name), year_store(YEAR)))
    compare = CompareConfig(products=("cci_combined", "smap_sentinel"), third="cci_active")
    return config.model_copy(update={"compare": compare})


def _write_coarse(url, schema, factor):
    """The truth of one point, with noise, in every cell: the season and the storms agree."""
    create_store(url, schema, YEAR)
    variable = schema.variables[0]
    block = BLOCKS[0]
    season = truth_at(np.array([block.row0]), np.array([block.col0]))[:, 0]
    rng = np.random.default_rng(int(factor))
    for row in (4, 5):
        for col in (18, 19):
            noise = rng.normal(0, 0.02, (DAYS.size, 40, 40))
            values = factor * np.clip(season[:, None, None] + noise, 0, 0.7)
            write_shard(url, schema, variable.name, (0, row, col), variable.pack(values))


def _write_fine(url):
    create_store(url, FINE, YEAR)
    for block in BLOCKS[:1]:
        values = block_values(block, truth_at) + 0.02
        values[np.arange(DAYS.size) % 12 != 0] = np.nan
        variable = FINE.variables[0]
        index = shard_index(FINE, block, 0)
        write_shard(url, FINE, variable.name, index, variable.pack(values))


@pytest.fixture(scope="module")
def compared(config):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "SOURCES", {**SOURCES, **KNOWN})
        year = published_year(config, YEAR)
        url = join(config.store.truth, year_store(YEAR))
        truth = Layer(url, TRUTH_SCHEMA, YEAR, "soil_moisture", required=False)
        return Comparer(config, year, None, Silent(), truth).compare(10)


def test_area_means_agree_with_a_product_that_sees_the_same_storms(compared):
    (found,) = compared.coarse
    assert found.n_cells > 20
    assert 0.5 < float(found.overall["R"].value) < 1
    assert float(found.anomalies["R"].value) > 0.3
    assert compared.absent == ()


def test_cells_lie_where_the_grid_has_them(compared):
    (found,) = compared.coarse
    part = found.parts[0]
    whole = found.mosaic([p.pairs.n for p in found.parts])
    row, col = part.cells.rows[0] - found.window.row0, part.cells.cols[0] - found.window.col0
    assert whole[row, col] == part.pairs.n[0]
    _, lat = grid_named("global025").lonlat(found.window)
    assert 42 < lat.mean() < 46
    assert np.isnan(whole).any() or whole.size == found.n_cells


def test_cells_that_a_window_leaves_out_are_no_gaps_of_the_maps(config, compared):
    produce = config.produce.model_copy(update={"window": "75x300+750+150"})
    half = config.model_copy(update={"produce": produce})
    narrow = Comparer(half, published_year(half, YEAR), None, Silent()).compare(10)
    cells = narrow.coarse[0].parts[0].cells
    assert 5 < narrow.coarse[0].n_cells < compared.coarse[0].n_cells
    row, _ = SIN1KM.pixel_of(*cells.lonlat)
    assert row.max() < PART.row0 + 75 + 15  # half a cell below the window's edge


def test_the_third_may_have_units_of_its_own(compared):
    (found,) = compared.coarse
    assert found.third.title == "The cci_active"
    r = np.concatenate([part.collocation.r for part in found.parts])
    assert np.nanmedian(r[:, 2]) > 0.7


def test_a_fine_product_is_compared_where_both_have_a_value(compared):
    (found,) = compared.fine
    total = found.months.total()
    ours = block_values(BLOCKS[0], product_root.product_at)[::12]
    assert int(total.n) == int(np.isfinite(ours).sum())
    assert found.compared.units == "m3 m-3"


def test_the_truth_shows_what_triple_collocation_is_worth(compared):
    (found,) = compared.coarse
    assert found.knows_truth
    judged = [(part.collocation, part.truth) for part in found.parts]
    for figure, within in (("r", 0.1), ("error_std", 0.01)):
        by_it, true = (
            np.concatenate([getattr(which, figure)[:, 0] for which in side])
            for side in zip(*judged, strict=True)
        )
        known = np.isfinite(by_it) & np.isfinite(true)
        assert known.sum() > 10
        assert abs(np.median(by_it[known]) - np.median(true[known])) < within


def test_what_triple_collocation_says_of_the_maps_is_told(config):
    (line,) = validate_stage.run(config, None, Silent()).told
    for words in ("2019, triple collocation with cci_combined and cci_active", "by the truth"):
        assert words in line


def test_on_a_real_earth_the_page_tells_of_no_truth(config):
    real = product_root.without_truth(config)
    result = validate_stage.run(real, None, Silent())
    assert "truth" not in result.told[0]
    page = Path(result.reports[0].removeprefix("file://"))
    assert "true error" not in page.with_name("comparison.html").read_text()


def test_the_year_has_a_page_that_links_back(config):
    result = validate_stage.run(config, None, Silent())
    folder = Path(result.reports[0].removeprefix("file://")).parent
    page = (folder / "comparison.html").read_text()
    for text in (
        "The cci_combined",
        "Triple collocation",
        "anomalies of 35 days",
        "Coverage",
        "true error",
    ):
        assert text in page
    assert "is the truth" in page
    assert 'href="report.html"' in page
    assert 'href="comparison.html"' in (folder / "report.html").read_text()
    against = {line.against for line in result.lines}
    assert {"cci_combined, area means", "cci_combined, anomalies"} <= against
    assert "smap_sentinel, common pixels" in against


def test_a_product_in_percent_is_told_by_correlations_alone(config):
    compare = CompareConfig(products=("cci_active",))
    result = validate_stage.run(config.model_copy(update={"compare": compare}), None, Silent())
    (line, _) = (line for line in result.lines if "cci_active" in line.against)
    assert set(line.scores) == {"R"}
    page = Path(result.reports[0].removeprefix("file://")).with_name("comparison.html").read_text()
    assert "ubRMSE by month" not in page
    assert "no third product" in page


def test_a_product_without_a_cube_is_told_and_not_fatal(config):
    compare = CompareConfig(products=("cci_combined",))
    bare = config.model_copy(
        update={
            "compare": compare,
            "ingest": config.ingest.model_copy(update={"cubes": {"cci_combined": "/nowhere"}}),
        }
    )
    found = Comparer(bare, published_year(config, YEAR), None, Silent()).compare(10)
    assert found.coarse == ()
    assert "no cube of cci_combined" in found.absent[0]


def test_a_name_that_is_no_source_of_moisture_is_refused(config):
    wrong = config.model_copy(update={"compare": CompareConfig(products=("mod13a2",))})
    with pytest.raises(ConfigError, match="'mod13a2' is no source of soil moisture: expected one"):
        Comparer(wrong, published_year(config, YEAR), None, Silent()).compare(10)


def test_the_moisture_of_a_cube_is_the_morning_one():
    both = replace(
        FINE,
        variables=tuple(
            replace(SOIL_MOISTURE, name=f"soil_moisture_{name}")
            for name in ("uncertainty", "am", "pm")
        ),
    )
    assert moisture_of(both) == "soil_moisture_am"
    assert moisture_of(SOURCES["era5land"].schema) == "swvl1"


def test_the_sources_of_a_comparison_are_each_named_once():
    same = CompareConfig(products=("smap_l3", "cci_combined"), third="smap_l3")
    assert same.sources == ("smap_l3", "cci_combined")
    assert CompareConfig(third="smap_l3").sources == ()
