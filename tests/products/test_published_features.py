"""The fourteen features of the paper that smap-downscaling follows: all there, and told as such."""

import re
from pathlib import Path

from smcloud.features.catalogue import features_named
from smcloud.products.smap_downscaling import SMAP_DOWNSCALING

PUBLISHED = {
    "LST": ("lst_day",),
    "albedo": ("albedo_white_sky",),
    "LAI": ("lai",),
    "NDWI": ("ndwi",),
    "LSWI": ("lswi",),
    "NSDSI": ("nsdsi3",),
    "NDVI": ("ndvi",),
    "EVI": ("evi",),
    "DEM": ("elevation",),
    "slope": ("slope",),
    "aspect": ("aspect_sine", "aspect_cosine"),
    "sand": ("sand",),
    "silt": ("silt",),
    "clay": ("clay",),
}
SOURCES = {
    "mod11a1": ("LST",),
    "mcd43a3": ("albedo",),
    "mod15a2h": ("LAI",),
    "mod09a1": ("NDWI", "LSWI", "NSDSI"),
    "mod13a2": ("NDVI", "EVI"),
    "terrain": ("DEM", "slope", "aspect"),
    "soilgrids": ("sand", "silt", "clay"),
}


def test_all_fourteen_are_the_columns_of_the_product():
    assert len(PUBLISHED) == 14
    columns = tuple(name for names in PUBLISHED.values() for name in names)
    assert columns == SMAP_DOWNSCALING.features


def test_each_is_made_of_the_product_that_the_paper_names():
    named = features_named(SMAP_DOWNSCALING.features, SMAP_DOWNSCALING.drivers)
    features = {one.name: one for one in named}
    for source, words in SOURCES.items():
        for word in words:
            assert {s for name in PUBLISHED[word] for s in features[name].sources} == {source}


def test_the_manual_lists_each_with_its_source():
    manual = Path(__file__).parents[2] / "docs" / "downscale.md"
    rows = re.findall(r"^\| (\w+) \| (`[^|]*) \|[^|]*\| `(\w+)`", manual.read_text(), re.MULTILINE)
    found = {word: tuple(re.findall(r"`(\w+)`", names)) for word, names, _ in rows}
    assert found == PUBLISHED
    assert {word: source for word, _, source in rows} == {
        word: source for source, words in SOURCES.items() for word in words
    }
