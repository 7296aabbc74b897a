"""all-weather: the soil moisture of AMSR-E and AMSR2 at 1 km on every day, clouds or not.

The data set that it follows: Song et al., Earth System Science Data 14, 2613-2637, 2022, for
China, daily from 2003. Its equations are not public to us: what is made here is in its spirit.
Land surface temperature is filled under cloud, the sensors are brought onto one scale and the seams
between their swaths filled, and a regression around each coarse cell says how soil moisture goes
with temperature, vegetation and a shortwave-infrared index; the coarse residual is given back
smoothly.
"""

from smcloud.features.spec import Driver
from smcloud.products.base import Downscaling, FlagRule, Product, Published, Target
from smcloud.products.downscaled import LST_FILLED, SOIL, downscaled_schema

_PAPER = "ESSD 14, 2613, 2022"
_FILLED = (1, 2, 3)
"""States of `lst_filled` other than observed and unknown."""

ALL_WEATHER = Product(
    name="all-weather",
    title="Daily 1 km soil moisture of AMSR-E and AMSR2, under clouds too",
    reference=f"in the spirit of Song et al., {_PAPER}",
    drivers=(
        Driver("lst_filled", to_grid="native", to_days="daily"),
        Driver("mod13a2", to_grid="native", to_days="linear"),
        Driver("mod09a1", to_grid="native", to_days="linear"),
        Driver("soilgrids", to_grid="native", to_days="static"),
        Driver("coarse_moisture_36km", to_grid="nearest"),
    ),
    choices={"soil": SOIL},
    references=(
        Driver("cci_combined", to_grid="nearest"),
        Driver("smap_sentinel", to_grid="native"),
        Driver("era5land", to_grid="bilinear"),
    ),
    features=("lst_day", "ndvi", "nsdsi3"),
    target=Target(
        "soil_moisture",
        "m3 m-3",
        valid=(0.0, 0.7),
        rule="merged AMSR-E and AMSR2 in a coarse cell, beside the means of the features over its "
        "pixels",
    ),
    parameters={},
    schema=downscaled_schema("all-weather", "of AMSR-E and AMSR2 under all weathers"),
    downscaling=Downscaling(
        "coarse_moisture_36km.soil_moisture",
        kind="local",
        ceiling="porosity",
        filled="source_flag",
        flags=(FlagRule("lst_filled.lst_day_state", _FILLED, LST_FILLED),),
    ),
    published=(
        Published("mean ubRMSE of stations, clear to cloudy", "0.053 to 0.056 m3 m-3", _PAPER),
    ),
)
