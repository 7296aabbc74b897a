"""Drivers that a run file chooses: what becomes of the recipe, and what is refused."""

import pytest

from smcloud.core.config import RunConfig
from smcloud.core.errors import ConfigError, UserError
from smcloud.features.catalogue import features_named
from smcloud.features.reads import schemas_of
from smcloud.production.drivers import drivers_of
from smcloud.production.run_file import read_run
from smcloud.products.registry import PRODUCTS, product_of

CHOICES = [
    (product.name, word, option)
    for product in PRODUCTS.values()
    for word, options in product.choices.items()
    for option in options
]


def run_of(product="smap-downscaling", **drivers):
    return RunConfig(
        product=product, years=(2019,), tiles=("h25v05",), store={"root": "out"}, drivers=drivers
    )


@pytest.mark.parametrize(("name", "word", "option"), CHOICES, ids=lambda one: str(one)[:40])
def test_every_option_serves_all_features_of_its_product(name, word, option):
    own = PRODUCTS[name].choices[word][0]
    assert own.driver in PRODUCTS[name].drivers
    assert not own.features
    product = product_of(run_of(name, **{word: option.driver.source}))
    drivers = {driver.source: driver for driver in product.drivers}
    assert option.driver.source in drivers
    assert (own.driver.source in drivers) == (own == option)
    # Columns of freeze-thaw are its own: only 1 km products take features of the catalogue.
    if product.downscaling is not None:
        needed = [*product.features, product.downscaling.ceiling]
        schemas_of(features_named(needed, product.drivers), drivers, None)
    assert len(product.features) == len(PRODUCTS[name].features)


def test_what_is_chosen_is_ingested_in_place_of_the_other():
    own = {driver.source for driver in drivers_of(run_of())}
    other = {driver.source for driver in drivers_of(run_of(soil="china_soil"))}
    assert own - other == {"soilgrids"}
    assert other - own == {"china_soil"}


RUN_FILE = """
product = "smap-downscaling"
years = [2019]
tiles = ["h25v05"]
[drivers]
albedo = "{albedo}"
[ingest]
quality = {{ mcd43d58 = "all" }}
[store]
root = "out"
{more}
"""


def test_a_run_file_chooses_in_one_line_and_gives_its_source_a_rule(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(RUN_FILE.format(albedo="mcd43d58", more=""))
    config = read_run(path)
    sources = {driver.source for driver in drivers_of(config)}
    assert "mcd43d58" in sources
    assert "mcd43a3" not in sources
    assert "albedo_white_sky_band7" in product_of(config).features
    path.write_text(RUN_FILE.format(albedo="mcd43d61", more=""))
    with pytest.raises(ConfigError, match=r"ingest\.quality names the source 'mcd43d58'"):
        read_run(path)


def test_a_feature_that_the_chosen_source_does_not_give_is_named(tmp_path):
    """Broadband albedo is asked for where band 7 is what there is."""
    path = tmp_path / "run.toml"
    more = '[train]\nfeatures = ["lst_day", "albedo_white_sky"]'
    path.write_text(RUN_FILE.format(albedo="mcd43d58", more=more))
    with pytest.raises(UserError, match="'albedo_white_sky' needs the driver mcd43a3 or"):
        read_run(path)


@pytest.mark.parametrize(
    ("product", "drivers", "message"),
    [
        ("smap-downscaling", {"soil": "terrain"}, "drivers.soil = 'terrain': expected one of"),
        ("smap-downscaling", {"rain": "imerg"}, "drivers.rain is no choice of smap-downscaling: "),
        ("glass-sm", {"soil": "china_soil"}, "no choice of glass-sm: it has none"),
    ],
)
def test_what_is_no_choice_is_named(product, drivers, message):
    with pytest.raises(ConfigError, match=message):
        product_of(run_of(product, **drivers))
