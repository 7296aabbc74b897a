"""Do intervals cover what they promise? Shares of values inside them and how wide they are.

An interval is the estimate plus and minus a half width. What it covers must be said: a station is a
point, a product's pixel is a square kilometre, and an interval made for one is not one for the
other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from smcloud.core.errors import UserError

Floats = npt.NDArray[np.floating[Any]]
Codes = npt.NDArray[np.int64]
Covers = Literal["point", "pixel"]
By = Literal["all", "station", "network", "moisture"]

NOMINAL = (0.68, 0.90)
"""Levels that are reported by station, network and moisture."""
MOISTURE_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4)
"""Lower ends of the bins of estimated soil moisture, m3 m-3; the last is open."""
MEANINGS: Mapping[Covers, str] = {
    "point": "values measured at stations, their own representativeness among the errors",
    "pixel": "the mean of the pixel",
}


@dataclass(frozen=True)
class CoverageRow:
    """How often the intervals of one level held in one group of rows.

    Attributes
    ----------
    by : "all", "station", "network" or "moisture"
        What the rows are grouped by; moisture is the estimate's.
    group : str
    nominal : float
        The share that the intervals promise.
    rows, stations : int
    covered : float
        Share of the rows inside their interval.
    covered_by_station : float
        Mean over stations of each one's share: a random day of a random station, which is what the
        calibration promises.
    width : float
        Mean full width, in units of the target.
    """

    by: By
    group: str
    nominal: float
    rows: int
    stations: int
    covered: float
    covered_by_station: float
    width: float


@dataclass(frozen=True)
class Coverage:
    """What intervals promised and what they held.

    Attributes
    ----------
    covers : "point" or "pixel"
        What the reference values are.
    rows : tuple of CoverageRow
        Every level for all rows together; the reported levels by station, network and moisture.
    """

    covers: Covers
    rows: tuple[CoverageRow, ...]

    def overall(self, nominal: float) -> CoverageRow:
        """Return the row of one level over everything.

        Raises
        ------
        UserError
            If the level was not scored.
        """
        for row in self.by("all"):
            if row.nominal == nominal:
                return row
        levels = ", ".join(f"{row.nominal:g}" for row in self.by("all"))
        raise UserError(f"no coverage of the level {nominal:g}: scored are {levels}")

    def by(self, kind: By) -> tuple[CoverageRow, ...]:
        """Return the rows of one grouping."""
        return tuple(row for row in self.rows if row.by == kind)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        shown = [
            {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in asdict(row).items()}
            for row in self.rows
        ]
        return {"covers": self.covers, "meaning": MEANINGS[self.covers], "rows": shown}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Coverage:
        """Return the coverage that `to_json` wrote."""
        return cls(body["covers"], tuple(CoverageRow(**row) for row in body["rows"]))


def coverage(
    half_widths: Mapping[float, Floats],
    estimates: Floats,
    target: Floats,
    stations: npt.ArrayLike,
    *,
    networks: npt.ArrayLike | None = None,
    nominal: Sequence[float] = NOMINAL,
    covers: Covers = "point",
) -> Coverage:
    """Return how often, and how widely, intervals about estimates hold the reference.

    Rows without estimate, reference or half width are left out. Moisture is binned by the
    estimate: binned by the reference, the extreme bins would fail by selection alone.

    Parameters
    ----------
    half_widths
        Level to half widths (n,), in units of the target (`models.uncertainty.Spread.half_widths`).
    estimates, target
        (n,), same units; NaN is unknown.
    stations
        (n,) names, or numbers, of the stations; pixels where `covers` is "pixel".
    networks
        (n,) names of networks; by default what stands before the first ``/`` of a station's name,
        and no such grouping where there is none.
    nominal
        Levels reported by group; all levels are reported overall.
    covers
        Whether the reference is a station's value or the mean of a pixel.

    Raises
    ------
    UserError
        If lengths differ or nothing can be compared.
    """
    sizes = {np.asarray(one).size for one in (estimates, target, stations, *half_widths.values())}
    if len(sizes) != 1:
        raise UserError(f"coverage needs arrays of one length, found {sorted(sizes)}")
    known = np.isfinite(estimates) & np.isfinite(target)
    for widths in half_widths.values():
        known &= np.isfinite(widths)
    if not known.any():
        raise UserError(
            f"no coverage: none of {known.size} rows has an estimate, a reference and a half width"
        )
    groups = _groups(np.asarray(stations)[known], networks, known, np.asarray(estimates)[known])
    error = np.abs(np.asarray(estimates, float) - np.asarray(target, float))[known]
    rows: list[CoverageRow] = []
    for level in sorted(half_widths):
        width = np.asarray(half_widths[level], float)[known]
        chosen: list[By] = [by for by in groups if by == "all" or level in nominal]
        for by in chosen:
            rows += _rows(by, groups[by], groups["station"][0], level, error <= width, 2 * width)
    return Coverage(covers, tuple(rows))


Grouping = tuple[Codes, list[str]]


def _groups(
    stations: npt.NDArray[Any], networks: npt.ArrayLike | None, known: Any, estimates: Floats
) -> dict[By, Grouping]:
    station = _numbered(stations)
    found: dict[By, Grouping] = {
        "all": (np.zeros(stations.size, np.int64), ["all"]),
        "station": station,
    }
    if networks is not None:
        found["network"] = _numbered(np.asarray(networks)[known])
    elif all("/" in name for name in station[1]):
        numbers, names = _numbered(np.array([name.partition("/")[0] for name in station[1]]))
        found["network"] = numbers[station[0]], names
    found["moisture"] = _moisture_bins(estimates)
    return found


def _numbered(names: npt.NDArray[Any]) -> Grouping:
    found, numbers = np.unique(names.astype(str), return_inverse=True)
    return numbers.astype(np.int64), [str(name) for name in found]


def _moisture_bins(estimates: Floats) -> Grouping:
    inner = MOISTURE_EDGES[1:]
    pairs = zip(MOISTURE_EDGES, inner, strict=False)
    names = [f"{low:g} to {high:g}" for low, high in pairs] + [f"from {inner[-1]:g}"]
    numbers = np.searchsorted(np.asarray(inner), np.asarray(estimates, float), side="right")
    return numbers.astype(np.int64), names


def _rows(
    by: By,
    groups: Grouping,
    station: Codes,
    level: float,
    inside: npt.NDArray[np.bool_],
    width: npt.NDArray[np.float64],
) -> list[CoverageRow]:
    """Return one row for each group that has rows, from sums: no group is looked up twice."""
    numbers, names = groups
    count = np.bincount(numbers, minlength=len(names))
    held = np.bincount(numbers, inside, len(names))
    widths = np.bincount(numbers, width, len(names))
    pairs, of_row = np.unique(numbers * (int(station.max()) + 1) + station, return_inverse=True)
    share = np.bincount(of_row, inside) / np.bincount(of_row)
    group_of_pair = pairs // (int(station.max()) + 1)
    n_stations = np.bincount(group_of_pair, minlength=len(names))
    shares = np.bincount(group_of_pair, share, len(names))
    return [
        CoverageRow(
            by,
            names[k],
            float(level),
            int(count[k]),
            int(n_stations[k]),
            float(held[k] / count[k]),
            float(shares[k] / n_stations[k]),
            float(widths[k] / count[k]),
        )
        for k in np.flatnonzero(count)
    ]
