"""ESA CCI and C3S soil moisture: daily global netCDF files of merged satellites at 0.25 degree.

Both are one algorithm of two makers: the climate data record of ESA's Climate Change Initiative and
its continuation by the Copernicus Climate Change Service. ACTIVE merges scatterometers and is in
percent of saturation; PASSIVE (radiometers) and COMBINED are volumetric. COMBINED is scaled to a
land surface model (GLDAS): its errors are not independent of one. A day reaches from 12 UTC of the
day before to 12 UTC (`time_coverage_start` of the files), not from midnight to midnight.

Values that real files have and others would lose: passive reaches 0.98 m3 m-3. Bits of `flag`:
`quality.CCI_FLAG`. Versions read: ESA CCI 3 to 9, C3S from v201706. In versions 1 and 2 flags were
coded in another way (product specification document, 1.9): they are refused.
"""

import re
from datetime import date

import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import GLOBAL025
from smcloud.grids.tiles import GLOBE
from smcloud.sources.base import Granule, Outage, day_of
from smcloud.sources.coarse_files import check_axis, daily_schema
from smcloud.sources.day_files import Amount, DayFile, LazyAmount, LazyWords, lazy
from smcloud.sources.global_days import GlobalDays
from smcloud.sources.quality import keep_cci

DAILY = "daily"
AXIS_TOLERANCE_DEGREES = 0.001
_NAME = re.compile(
    r"(?:ESACCI|C3S)-SOILMOISTURE-L3S-(?P<kind>SSM[VS])-(?P<product>ACTIVE|PASSIVE|COMBINED)-"
    r"(?:DAILY-)?(?P<day>\d{8})\d{6}-"
    r"(?:fv(?P<version>\d\d\.\d)|(?P<record>[TI]CDR)-v(?P<release>[\d.]+))\.nc"
)
_OLDEST_VERSION = "03"
_VOLUMETRIC = ("m3 m-3", "m^3 m^-3", "m3/m3", "m3.m-3")
_SATURATION = ("percent", "%", "percentage (%)")
_BEFORE = {
    "ACTIVE": Outage(date(1970, 1, 1), date(1991, 8, 4), "the first scatterometer is ERS-1"),
    "PASSIVE": Outage(date(1970, 1, 1), date(1978, 10, 31), "the first radiometer is SMMR"),
    "COMBINED": Outage(date(1970, 1, 1), date(1978, 10, 31), "the first radiometer is SMMR"),
}


def _schema(product: str) -> CubeSchema:
    """Return the cube of one product."""
    is_active = product == "ACTIVE"
    variable = Variable(
        "soil_moisture",
        "int16",
        "%" if is_active else "m3 m-3",
        "degree of saturation of the soil surface"
        if is_active
        else "volumetric soil moisture of the soil surface",
        (0.0, 100.0) if is_active else (0.0, 1.0),
        scale=0.01 if is_active else 0.0001,
        fill=-9999,
        standard_name="" if is_active else "volume_fraction_of_condensed_water_in_soil",
        attrs={"comment": "observed from 12 UTC of the day before to 12 UTC of the day"},
    )
    title = f"ESA CCI / C3S soil moisture, {product}, daily, 0.25 degree"
    return daily_schema(f"cci_{product.lower()}", GLOBAL025, (variable,), (25, 200), title)


class CciSoilMoisture(GlobalDays):
    """Reader of one of the three products: ``ACTIVE``, ``PASSIVE`` or ``COMBINED``."""

    def identify(self, name: str) -> Granule | None:
        """Return what a name says; a newer version of a day replaces an older, TCDR an ICDR."""
        found = _NAME.fullmatch(name)
        if found is None or found["product"] != self.product:
            return None
        if (found["kind"] == "SSMS") != (self.product == "ACTIVE"):
            return None
        day = day_of(found["day"])
        if day is None:
            return None
        version = found["version"]
        produced = f"fv{version}" if version else f"v{found['release']}-{found['record']}"
        return Granule(self.name, GLOBE, day, day, produced, name, DAILY)

    def _fields(self, file: DayFile, granule: Granule, rule: str) -> dict[str, xr.Variable]:
        """Return soil moisture, in m3 m-3 or for ACTIVE in percent of saturation, and the flag."""
        self._check(file, granule)
        flag = file.layer("flag", "iu")
        variable = self.schema.variables[0]
        units = _SATURATION if self.product == "ACTIVE" else _VOLUMETRIC
        amount = Amount("sm", units, variable.valid)
        values = LazyAmount(file, amount, {"flag": flag}, keep_cci(rule))
        return {
            variable.name: lazy(values, self.schema.dims, {"units": variable.units}),
            "flag": lazy(LazyWords(file, flag), self.schema.dims, {"units": "1"}),
        }

    def _check(self, file: DayFile, granule: Granule) -> None:
        """Raise `GranuleError` unless a file is of this product, on the grid and not too old."""
        if granule.produced.startswith("fv") and granule.produced[2:4] < _OLDEST_VERSION:
            raise GranuleError(
                f"{file.path.name}: expected version 3 or later, found {granule.produced[2:]}: "
                "flags have other meanings, take a newer one"
            )
        title = file.attribute("/", "title").upper()
        for other in _BEFORE:
            if other != self.product and other in title.split():
                raise GranuleError(
                    f"{file.path.name}: expected the product {self.product}, found {other}"
                )
        for axis, centres in (("lat", GLOBAL025.y), ("lon", GLOBAL025.x)):
            check_axis(file, axis, centres, AXIS_TOLERANCE_DEGREES)


CCI_ACTIVE, CCI_PASSIVE, CCI_COMBINED = (
    CciSoilMoisture(product, _schema(product), (before,)) for product, before in _BEFORE.items()
)
