"""Which columns of a table are learned from when nobody says."""

import pandas as pd

from smcloud.models.samples import numeric_columns


def test_pixel_numbers_and_quality_bits_are_no_predictors():
    table = pd.DataFrame(
        {"station": ["a"], "row": [7], "col": [9], "quality_flag": [1], "lai": [2.0], "y": [0.3]}
    )
    assert numeric_columns(table, ("station", "y")) == ("lai",)
