"""Every source by the word of the command line. A new source is one file and one line here."""

from collections.abc import Mapping

from smcloud.sources.amsr import (
    AMSR2_LPRM,
    AMSR2_LPRM_DAY,
    AMSRE_LPRM,
    AMSRE_LPRM_DAY,
    WINDSAT_LPRM,
    WINDSAT_LPRM_DAY,
)
from smcloud.sources.base import Source
from smcloud.sources.cci import CCI_ACTIVE, CCI_COMBINED, CCI_PASSIVE
from smcloud.sources.china_soil import CHINA_SOIL
from smcloud.sources.era5_land import ERA5_LAND
from smcloud.sources.glass import GLASS_ALBEDO, GLASS_LAI, GLASS_LST
from smcloud.sources.gldas import GLDAS
from smcloud.sources.gpm_l1c import AMSR2_TB, AMSRE_TB
from smcloud.sources.imerg import IMERG_025
from smcloud.sources.mcd43d import MCD43D51, MCD43D58, MCD43D61
from smcloud.sources.modis import MCD43A3, MOD09A1, MOD11A1, MOD13A2, MOD15A2H
from smcloud.sources.mwri import MWRI_TB
from smcloud.sources.nnsm import AMSR_NNSM, MWRI_NNSM
from smcloud.sources.smap import SMAP_L3, SMAP_L3E
from smcloud.sources.smap_ft import SMAP_FT, SMAP_FT_E
from smcloud.sources.smap_sentinel import SMAP_SENTINEL
from smcloud.sources.smos_ft import SMOS_FT
from smcloud.sources.soilgrids import SOILGRIDS
from smcloud.sources.terrain import TERRAIN

SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        MOD11A1,
        MOD13A2,
        MOD15A2H,
        MOD09A1,
        MCD43A3,
        MCD43D51,
        MCD43D58,
        MCD43D61,
        GLASS_LAI,
        GLASS_ALBEDO,
        GLASS_LST,
        ERA5_LAND,
        TERRAIN,
        SOILGRIDS,
        CHINA_SOIL,
        CCI_ACTIVE,
        CCI_PASSIVE,
        CCI_COMBINED,
        SMAP_L3,
        SMAP_L3E,
        SMAP_SENTINEL,
        AMSRE_LPRM,
        AMSRE_LPRM_DAY,
        AMSR2_LPRM,
        AMSR2_LPRM_DAY,
        WINDSAT_LPRM,
        WINDSAT_LPRM_DAY,
        AMSR_NNSM,
        MWRI_NNSM,
        AMSRE_TB,
        AMSR2_TB,
        MWRI_TB,
        GLDAS,
        SMOS_FT,
        SMAP_FT,
        SMAP_FT_E,
        IMERG_025,
    )
}
