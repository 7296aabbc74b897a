"""smap-downscaling: SMAP's 36 km soil moisture brought down to 1 km by a model per period.

The data set that it follows: Rao et al., Earth System Science Data 14, 3053-3073, 2022, for the
deserts of northern China (70 to 120 E, 30 to 50 N), daily from 2015 to 2020. Its fourteen features
are those below (aspect counts once there, and is a sine and a cosine here). Five families of
regression are fitted to the coarse cells of each period and the best one is kept. What its authors
leave open (split, search, per-day or pooled) is a default that a run file may replace.
"""

from smcloud.features.spec import Driver, Quality
from smcloud.products.base import Downscaling, Option, Product, Published, Target
from smcloud.products.downscaled import SOIL, downscaled_schema

_PAPER = "ESSD 14, 3053, 2022"
ALBEDO = (
    Option(Driver("mcd43a3")),
    Option(Driver("mcd43d61")),
    Option(Driver("mcd43d51"), {"albedo_white_sky": "albedo_black_sky"}),
    Option(Driver("mcd43d58"), {"albedo_white_sky": "albedo_white_sky_band7"}),
)
"""The paper names MCD43D58, which is the white-sky albedo of band 7 (2.1 um) and not broadband."""

SMAP_DOWNSCALING = Product(
    name="smap-downscaling",
    title="Daily 1 km soil moisture of the top 5 cm, downscaled from SMAP's 36 km",
    reference=f"after Rao et al., {_PAPER}",
    drivers=(
        Driver("mod11a1", to_grid="native", to_days="daily", quality="good"),
        Driver("mcd43a3", to_grid="native", to_days="daily"),
        Driver("mod15a2h", to_grid="native", to_days="linear"),
        Driver("mod09a1", to_grid="native", to_days="linear"),
        Driver("mod13a2", to_grid="native", to_days="linear"),
        Driver("terrain", to_grid="native", to_days="static"),
        Driver("soilgrids", to_grid="native", to_days="static"),
        Driver("smap_l3", to_grid="nearest"),
    ),
    choices={"albedo": ALBEDO, "soil": SOIL},
    references=(
        Driver("cci_combined", to_grid="nearest"),
        Driver("smap_sentinel", to_grid="native"),
        Driver("era5land", to_grid="bilinear"),
    ),
    features=(
        "lst_day",
        "albedo_white_sky",
        "lai",
        "ndwi",
        "lswi",
        "nsdsi3",
        "ndvi",
        "evi",
        "elevation",
        "slope",
        "aspect_sine",
        "aspect_cosine",
        "sand",
        "silt",
        "clay",
    ),
    target=Target(
        "soil_moisture",
        "m3 m-3",
        valid=(0.0, 0.7),
        rule="SMAP L3 at 6 h in a 36 km cell, beside the means of the features over its pixels",
    ),
    parameters={},
    schema=downscaled_schema("smap-downscaling", "downscaled from SMAP's 36 km"),
    downscaling=Downscaling("smap_l3.soil_moisture_am", kind="periods", ceiling="porosity"),
    no_estimate_where=int(Quality.STATIC_MISSING),
    published=(Published("mean ubRMSE of stations", "0.057 m3 m-3", _PAPER),),
)
