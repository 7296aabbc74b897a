"""The sample table and production agree on what can be estimated."""

import numpy as np
import pandas as pd

from smcloud.features.spec import Quality
from smcloud.production.samples_stage import estimable
from smcloud.products.glass_sm import GLASS_SM


def test_rows_that_production_refuses_are_not_learned_from():
    flags = [0, Quality.LST_UNKNOWN, Quality.REANALYSIS_MISSING, Quality.STATIC_MISSING | 1]
    rows = pd.DataFrame({"station": list("abcd"), "quality_flag": np.array(flags, np.uint8)})
    kept = estimable(rows, GLASS_SM.no_estimate_where)
    assert kept["station"].tolist() == ["a", "b"]
