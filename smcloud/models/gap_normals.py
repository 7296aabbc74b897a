"""What a cell usually has: where a filling goes when nothing was observed for long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

AROUND_CELLS = 6.0
"""Scale of the mean of the cells around, in cells."""
AROUND_DAYS = 2.0
"""Days of its own after which a cell counts for as much as those around it."""
_FAINT = 1e-6


@dataclass(frozen=True, eq=False)
class Normals:
    """Means of the known days of each cell, drawn to those around where there are few.

    Attributes
    ----------
    total : float64 (rows, cols)
        Sum of the known days, m3 m-3.
    count : float64 (rows, cols)
        Number of known days.
    around : float64 (rows, cols)
        Mean over the days of the cells around; that of all where none is near.
    """

    total: NDArray[np.float64]
    count: NDArray[np.float64]
    around: NDArray[np.float64]

    @classmethod
    def of(cls, moisture: Floats, land: Bools, *, circular: bool = False) -> Normals:
        """Return the normals of fields (days, rows, cols); NaN is unknown.

        Parameters
        ----------
        land : bool (rows, cols)
            Cells that count.
        circular
            Whether the last column lies beside the first one.
        """
        known = np.isfinite(moisture) & land
        count = known.sum(axis=0, dtype=np.float64)
        total = np.where(known, moisture, np.float32(0)).sum(axis=0, dtype=np.float64)
        return cls.of_sums(total, count, circular=circular)

    @classmethod
    def of_sums(
        cls, total: NDArray[np.float64], count: NDArray[np.float64], *, circular: bool = False
    ) -> Normals:
        """Return the normals of sums and numbers of known days (rows, cols), 0 off land."""
        overall = total.sum() / max(count.sum(), 1.0)
        modes = ("constant", "wrap" if circular else "constant")
        off, near = (
            gaussian_filter(field, AROUND_CELLS, mode=modes)
            for field in (total - count * overall, count)
        )
        return cls(total, count, overall + off / (near + _FAINT))

    def field(self) -> Floats:
        """Return the normals (rows, cols), m3 m-3."""
        return self._of(self.total, self.count, self.around)

    def without(self, day: Floats, place: tuple[slice, slice]) -> Floats:
        """Return the normals of a window as if one day of it (rows, cols) were not known."""
        known = np.isfinite(day)
        total = self.total[place] - np.where(known, day, 0.0)
        return self._of(total, self.count[place] - known, self.around[place])

    def _of(
        self,
        total: NDArray[np.float64],
        count: NDArray[np.float64],
        around: NDArray[np.float64],
    ) -> Floats:
        count = np.maximum(count, 0.0)
        return ((total + AROUND_DAYS * around) / (count + AROUND_DAYS)).astype(np.float32)
