"""How far two products agree once the slow course of the year is taken out of both.

Two products may agree on summer and winter and on nothing else. Their short-term anomalies tell
whether they see the same rain.
"""

import numpy as np

from smcloud.cube.schema import Days
from smcloud.grids.grid import Floats
from smcloud.validation.collocation import Floats32
from smcloud.validation.pairs import PairStats
from smcloud.validation.triple_collocation import anomalies

WINDOW_DAYS = 35


def anomaly_pairs(
    estimate: Floats32 | Floats,
    reference: Floats32 | Floats,
    days: Days,
    window_days: int = WINDOW_DAYS,
) -> PairStats:
    """Return the sums over pairs of anomalies, departures from the moving mean of each series.

    Only days known to both enter either mean: a gap of one must not look like a departure.

    Parameters
    ----------
    estimate, reference : (..., days)
        Daily values, NaN unknown; units may differ.
    days : (days,)
    window_days
        Days of the moving mean; at the ends of the series it is cut.
    """
    both = np.isfinite(estimate) & np.isfinite(reference)
    x, y = (
        anomalies(np.where(both, values, np.nan), days, window_days=window_days, climatology=False)
        for values in (estimate, reference)
    )
    return PairStats.along(x, y, axis=-1)
