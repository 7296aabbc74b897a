"""glass-sm: global daily 1 km soil moisture from one model on stations, after GLASS SM.

The data set that it follows: Zhang et al., Earth System Science Data 15, 2055-2079, 2023. Its
inputs are GLASS albedo, land surface temperature and LAI, ERA5-Land soil moisture, terrain and soil
texture; its target are ISMN stations. The exact feature list and parameters are not published: the
list below is a default that a run file may replace.
"""

from smcloud.cube.schema import YEAR_STEPS, CubeSchema, Variable
from smcloud.features.spec import Driver, Quality
from smcloud.products.base import QUALITY_FLAGS, Product, Published, Target

_PAPER = "ESSD 15, 2055, 2023"
SOIL_MOISTURE = Variable(
    "soil_moisture",
    "int16",
    "m3 m-3",
    "volumetric soil moisture of the top 5 cm",
    valid=(0.0, 0.7),
    scale=0.0001,
    fill=-9999,
    standard_name="volume_fraction_of_condensed_water_in_soil",
    attrs={
        "cell_methods": "time: mean area: mean",
        "ancillary_variables": "quality_flag",
        "depth_bounds_m": [0.0, 0.05],
        "comment": "mean of the UTC day from 00:00 to 24:00",
    },
)
QUALITY_FLAG = Variable(
    "quality_flag",
    "uint16",
    "1",
    "quality of soil_moisture",
    valid=(0.0, 65535.0),
    standard_name="quality_flag",
    attrs={"flag_masks": list(QUALITY_FLAGS), "flag_meanings": " ".join(QUALITY_FLAGS.values())},
)
UNCERTAINTY = Variable(
    "soil_moisture_uncertainty",
    "int16",
    "m3 m-3",
    "half width of the 68 % prediction interval of soil_moisture at a station",
    valid=(0.0, 1.0),
    scale=0.0001,
    fill=-9999,
    attrs={
        "coverage_probability": 0.68,
        "comment": "soil_moisture plus and minus this value holds what a station in the pixel "
        "measures with a probability of 68 %, the difference between a point and the pixel "
        "included; calibrated by station, so that it holds at stations that the model never saw",
    },
)

GLASS_SM = Product(
    name="glass-sm",
    title="Daily 1 km soil moisture of the top 5 cm, XGBoost on ISMN stations",
    reference=f"after GLASS SM, Zhang et al., {_PAPER}",
    drivers=(
        Driver("mod11a1", to_grid="native", to_days="daily"),
        Driver("glass_lai", to_grid="native", to_days="linear"),
        Driver("glass_albedo", to_grid="native", to_days="linear"),
        Driver("mod13a2", to_grid="native", to_days="linear"),
        Driver("mod09a1", to_grid="native", to_days="linear"),
        Driver("era5land", to_grid="bilinear", to_days="daily"),
        Driver("terrain", to_grid="native", to_days="static"),
        Driver("soilgrids", to_grid="native", to_days="static"),
    ),
    references=(
        Driver("smap_l3", to_grid="nearest"),
        Driver("cci_active", to_grid="nearest"),
        Driver("cci_passive", to_grid="nearest"),
        Driver("cci_combined", to_grid="nearest"),
        Driver("smap_sentinel", to_grid="native"),
    ),
    features=(
        "lst_day",
        "lst_night",
        "lst_mean",
        "lst_range",
        "lai",
        "albedo_white_sky",
        "albedo_black_sky",
        "ndvi",
        "evi",
        "ndwi",
        "lswi",
        "nsdsi3",
        "era5land_soil_moisture",
        "era5land_soil_temperature",
        "antecedent_precipitation",
        "elevation",
        "slope",
        "aspect_sine",
        "aspect_cosine",
        "sand",
        "silt",
        "clay",
        "day_of_year_sine",
        "day_of_year_cosine",
    ),
    target=Target(
        "soil_moisture",
        "m3 m-3",
        valid=(0.0, 0.7),
        rule="mean of the accepted hourly values of the UTC day, sensors within 0 to 5 cm",
    ),
    parameters={
        "objective": "reg:squarederror",
        "max_depth": 8,
        "eta": 0.05,
        "subsample": 0.7,
        "colsample_bytree": 0.7,
        "min_child_weight": 15.0,
        "lambda": 2.0,
        "max_bin": 256,
    },
    schema=CubeSchema(
        "glass-sm",
        "sin1km",
        (SOIL_MOISTURE, QUALITY_FLAG),
        step_days=1,
        chunks=(46, 150, 150),
        shards=(YEAR_STEPS, 150, 150),
        title="smcloud glass-sm: daily 1 km soil moisture of the top 5 cm",
        version=2,
    ),
    uncertainty=UNCERTAINTY,
    no_estimate_where=int(Quality.REANALYSIS_MISSING | Quality.STATIC_MISSING),
    published=(
        Published("R, random split", "0.941", f"{_PAPER}; its abstract calls it overfitting"),
        Published("RMSE, random split", "0.038 m3 m-3", f"{_PAPER}; overfitting, as above"),
        Published("median station R, selected stations", "0.74 (0.64 without)", _PAPER),
        Published("median station ubRMSE", "0.052 m3 m-3 (0.055 without)", _PAPER),
        Published("R, four independent networks", "0.69 to 0.89", _PAPER),
        Published("ubRMSE, four independent networks", "0.033 to 0.048 m3 m-3", _PAPER),
    ),
)
