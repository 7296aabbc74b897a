"""The step that fills gaps of daily fields, for whatever product needs fields without them.

Soil moisture at 0.25 degree, surface temperature, coarse moisture before it is downscaled: any
`Filler` (a baseline of `gap_baselines`, or a network) is handed the fields and its answer is taken
where a gap may be filled, and nowhere else:

```python
filler = baseline_fillers(days, latitude, longitude)["cosine smoother"]
filled = fill_gaps(values, land, filler, wanted=fillable(reason), bounds=(0.0, 1.0))
```
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from smcloud.core.errors import UserError
from smcloud.models.gap_reasons import GapReason, Reasons
from smcloud.validation.simulated_gaps import Bools, Fields, Filler

MASKED = (GapReason.FROZEN,)
"""Gaps that are left by default: frozen ground has no liquid moisture to speak of."""


@dataclass(frozen=True, eq=False)
class FilledFields:
    """Fields with gaps filled.

    Attributes
    ----------
    values : float32 (days, rows, cols)
        Known values as they were, bit for bit; estimates; NaN where there is neither.
    is_filled : (days, rows, cols)
        Where an estimate stands.
    """

    values: Fields
    is_filled: Bools


def fillable(reason: Reasons, masked: Iterable[GapReason] = MASKED) -> Bools:
    """Return which gaps are to be filled: all on land, but for some reasons."""
    left = [GapReason.OBSERVED, GapReason.NOT_LAND, *masked]
    return np.asarray(~np.isin(reason, left))


def fill_gaps(
    values: Fields,
    land: Bools,
    filler: Filler,
    *,
    wanted: Bools | None = None,
    bounds: tuple[float, float] | None = None,
) -> FilledFields:
    """Return fields with the gaps on land filled, and where.

    Parameters
    ----------
    values : float32 (days, rows, cols)
        Consecutive days; NaN unknown.
    land : (rows, cols)
        What can have a value at all.
    wanted : (days, rows, cols)
        Gaps that may be filled (`fillable`); all of them by default. The filler sees the others as
        gaps too.
    bounds : (float, float)
        Physical range, in units of the fields; estimates beyond are brought to its ends.

    Raises
    ------
    UserError
        If shapes do not fit, or the filler's do not.
    """
    if values.ndim != 3 or land.shape != values.shape[1:]:
        raise UserError(
            "gaps are filled in fields (days, rows, cols) with land (rows, cols), found "
            f"{values.shape} and {land.shape}"
        )
    if wanted is not None and wanted.shape != values.shape:
        raise UserError(f"wanted gaps must be {values.shape} as the fields, found {wanted.shape}")
    made = filler(values, land)
    if made.shape != values.shape:
        raise UserError(f"the filler made fields of {made.shape} out of {values.shape}")
    estimate = made if bounds is None else np.clip(made, *bounds)
    is_filled = np.isnan(values) & land & np.isfinite(estimate)
    if wanted is not None:
        is_filled &= wanted
    return FilledFields(np.where(is_filled, estimate, values).astype(values.dtype), is_filled)
