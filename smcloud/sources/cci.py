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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import GLOBAL025, Window
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.sources.base import Granule, Outage
from smcloud.sources.day_files import (
    Amount,
    DayFile,
    LazyAmount,
    LazyWords,
    dataset_of_day,
    days_together,
    lazy,
)
from smcloud.sources.quality import RETRIEVAL_RULES, check_rule, keep_cci

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
_STATES = {
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
    return CubeSchema(
        f"cci_{product.lower()}",
        GLOBAL025.name,
        (variable,),
        1,
        (46, 25, 25),
        (46, 200, 200),
        f"ESA CCI / C3S soil moisture, {product}, daily, 0.25 degree",
        codec="lz4",
    )


@dataclass(frozen=True)
class CciSoilMoisture:
    """Reader of one of the three products.

    Attributes
    ----------
    product : str
        ``ACTIVE``, ``PASSIVE`` or ``COMBINED``.
    """

    product: str
    schema: CubeSchema
    quality_rules: tuple[str, ...] = RETRIEVAL_RULES
    joins_granules: bool = True
    lookahead_days: int = 0

    @property
    def name(self) -> str:
        """Return the word of the command line, such as ``cci_passive``."""
        return self.schema.name

    @property
    def title(self) -> str:
        """Return one line for people."""
        return self.schema.title

    @property
    def outages(self) -> tuple[Outage, ...]:
        """Return the years before the first sensor."""
        return (_STATES[self.product],)

    def expects(self, day: date) -> bool:
        """Say whether there should be a file of a day: since the first sensor there is."""
        return day not in _STATES[self.product]

    def identify(self, name: str) -> Granule | None:
        """Return what a name says; a newer version of a day replaces an older, TCDR an ICDR."""
        found = _NAME.fullmatch(name)
        if found is None or found["product"] != self.product:
            return None
        if (found["kind"] == "SSMS") != (self.product == "ACTIVE"):
            return None
        try:
            day = date.fromisoformat(found["day"])
        except ValueError:
            return None
        version = found["version"]
        produced = f"fv{version}" if version else f"v{found['release']}-{found['record']}"
        return Granule(self.name, GLOBE, day, day, produced, name, DAILY)

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a granule may hold cells of the key: all lie on the one coarse tile."""
        return granule.tile == key.tile

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return a day: soil moisture (time, latitude, longitude) and the flag as stored.

        Soil moisture is in m3 m-3, or percent of saturation for ACTIVE; NaN where unknown, outside
        the physical range or refused by the quality rule.
        """
        rule = check_rule(quality, self.quality_rules, self.name)
        granule = self._granule(path)
        file = DayFile(path, (GLOBAL025.rows, GLOBAL025.cols))
        try:
            self._check(file)
            flag = file.layer("flag", "iu")
            values = LazyAmount(file, self._amount(), {"flag": flag}, keep_cci(rule))
        except GranuleError:
            file.close()
            raise
        dims, variable = self.schema.dims, self.schema.variables[0]
        fields = {
            variable.name: lazy(values, dims, {"units": variable.units}),
            "flag": lazy(LazyWords(file, flag), dims, {"units": "1"}),
        }
        return dataset_of_day(fields, GLOBAL025, granule.start, file, self.name)

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return the days that there are files of, dims (time, latitude, longitude)."""
        return days_together(self.schema, datasets, key, within)

    def _granule(self, path: Path) -> Granule:
        granule = self.identify(path.name)
        if granule is None:
            raise GranuleError(
                f"{path.name}: expected a name of ESA CCI or C3S {self.product} with its day"
            )
        if granule.produced.startswith("fv") and granule.produced[2:4] < _OLDEST_VERSION:
            raise GranuleError(
                f"{path.name}: expected version 3 or later, found {granule.produced[2:]}: flags "
                "have other meanings, take a newer one"
            )
        return granule

    def _amount(self) -> Amount:
        valid = self.schema.variables[0].valid
        return Amount("sm", _SATURATION if self.product == "ACTIVE" else _VOLUMETRIC, valid)

    def _check(self, file: DayFile) -> None:
        """Raise `GranuleError` unless a file is of this product and on the grid."""
        title = file.attribute("/", "title").upper()
        for other in _STATES:
            if other != self.product and other in title.split():
                raise GranuleError(
                    f"{file.path.name}: expected the product {self.product}, found {other}"
                )
        for axis, centres in (("lat", GLOBAL025.y), ("lon", GLOBAL025.x)):
            found = file.values(axis, len(centres))
            if not np.abs(found - centres).max() <= AXIS_TOLERANCE_DEGREES:
                raise GranuleError(
                    f"{file.path.name}: expected {axis} from {centres[0]:g} to {centres[-1]:g}, "
                    f"found {found[0]:g} to {found[-1]:g}"
                )


def _readers() -> Mapping[str, CciSoilMoisture]:
    return {product: CciSoilMoisture(product, _schema(product)) for product in _STATES}


CCI_ACTIVE, CCI_PASSIVE, CCI_COMBINED = _readers().values()
