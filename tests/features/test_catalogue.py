"""The catalogue: names lead to records by source, and mistakes get one helpful line."""

import inspect

import pytest

from smcloud.core.errors import UserError
from smcloud.features.catalogue import FEATURES, features_named
from smcloud.features.derived import schema_named
from smcloud.features.reads import schemas_of
from smcloud.features.spec import PSEUDO_SOURCES, Driver, Feature, split_input
from smcloud.products.registry import PRODUCTS


def all_records():
    return [record for records in FEATURES.values() for record in records]


@pytest.mark.parametrize("record", all_records(), ids=lambda r: f"{r.name}-{'-'.join(r.sources)}")
def test_record_reads_variables_that_its_sources_have(record):
    for name in record.inputs:
        source, variable = split_input(name)
        if source not in PSEUDO_SOURCES and name != "terrain.upstream_area":
            schema_named(source).variable(variable)
    assert record.units
    assert record.long_name
    assert inspect.getdoc(record.function)
    takes = [
        p for p in inspect.signature(record.function).parameters.values() if p.default is p.empty
    ]
    assert len(takes) == len(record.inputs)


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=lambda product: product.name)
def test_every_product_finds_its_features(product):
    features = features_named(product.features, product.drivers)
    assert [feature.name for feature in features] == list(product.features)
    schemas_of(features, {driver.source: driver for driver in product.drivers}, None)


def test_drivers_decide_which_source_a_name_means():
    linear = {"to_days": "linear"}
    modis = features_named(["lai"], [Driver("mod15a2h", **linear), Driver("mod11a1")])
    glass = features_named(["lai"], [Driver("glass_lai", **linear)])
    assert modis[0].sources == ("mod15a2h",)
    assert glass[0].sources == ("glass_lai",)


def test_unknown_name_lists_near_ones():
    with pytest.raises(UserError, match=r"unknown feature 'lst_days': near ones are lst_day"):
        features_named(["lst_days"], [Driver("mod11a1")])


def test_name_without_its_driver_or_given_twice_is_refused():
    with pytest.raises(UserError, match=r"'lai' needs the driver mod15a2h or glass_lai"):
        features_named(["lai"], [Driver("mod11a1")])
    with pytest.raises(UserError, match="given twice: lst_day"):
        features_named(["lst_day", "lst_day"], [Driver("mod11a1")])


@pytest.mark.parametrize("text", ["lst_day", "mod11a1.", ".lst", "a.b.c", "calendar.month"])
def test_unreadable_input_is_refused(text):
    with pytest.raises(UserError, match="input"):
        Feature("any", (text,), "1", abs)


def test_coarse_composites_are_refused():
    with pytest.raises(UserError, match="coarse sources are daily"):
        Driver("gldas", to_grid="bilinear", to_days="linear")
