"""What correlated errors do to the selection of stations: triple collocation of made-up series.

Stations, a reanalysis and a satellite see one signal that is known, each with errors of its own.
Then two of the three are given errors in common, which is what triple collocation assumes away:
the figures show how far the TC correlation of the station moves, and which stations are kept then.
No simulated Earth and no file is involved; the real rules select.

`python -m benchmarks.selection REFERENCES TRUTH` judges the stations of a run on the simulated
Earth instead, at several thresholds: REFERENCES is, say, `work/tables/glass-sm-references`, and
TRUTH `earth/truth/stations.parquet`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.timing import taken
from smcloud.core.errors import UserError
from smcloud.core.objects import normalise_url
from smcloud.features.table import read_table
from smcloud.validation.selection import SelectionRules, select_stations
from smcloud.validation.verdicts import precision_recall

STATIONS = {"tiny": 40, "small": 400, "large": 1500}
DAYS = {"tiny": 730, "small": 1096, "large": 7305}
SIGNAL_MEMORY = 0.95
ERROR_MEMORY = 0.5
"""Lag-one autocorrelations of signal and errors, as daily soil moisture has them."""
GOOD_R, POOR_R = 0.6, 0.35
"""Correlation with the signal of representative stations, and of the other half."""
REFERENCE_R = 0.75
PAIRS = (
    ("none", None),
    ("reanalysis and satellite", (1, 2)),
    ("station and reanalysis", (0, 1)),
)
"""Which two members share errors."""
SHARED = (0.0, 0.3, 0.6)
"""Correlation of their errors."""
RULES = SelectionRules(again=(), otherwise=(), bootstrap_draws=0)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Two members whose errors correlate by `shared`; None for independent errors."""

    name: str
    pair: tuple[int, int] | None
    shared: float

    def expected_r(self, own_r: float) -> float:
        """Return the TC correlation of a station that endless series would give.

        With a signal of variance 1, errors of variance 1 / R^2 - 1 and their covariance c, the
        covariance of the two members is 1 + c in R_x^2 = S_xy S_xz / (S_xx S_yz).
        """
        if self.pair is None:
            return own_r
        errors = [np.sqrt(1 / r**2 - 1) for r in (own_r, REFERENCE_R, REFERENCE_R)]
        first, second = self.pair
        common = 1 + self.shared * errors[first] * errors[second]
        return float(own_r * np.sqrt(common if 0 in self.pair else 1 / common))


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return what is estimated and kept in each case; nothing is written to `folder`."""
    cases = [
        Case(name, pair, shared)
        for name, pair in PAIRS
        for shared in ((0.0,) if pair is None else SHARED[1:])
    ]
    rows = [_row(case, STATIONS[scale], DAYS[scale], seed) for case in cases]
    seconds = _seconds(STATIONS[scale], DAYS[scale], seed)
    return {"stations": STATIONS[scale], "days": DAYS[scale], "rows": rows, "seconds": seconds}


def _seconds(stations: int, days: int, seed: int) -> dict[str, float]:
    """Return what it takes to select, in raw and anomaly form, without and with intervals."""
    references, _ = made_up(Case("none", None, 0.0), stations, days, seed)
    return {
        name: taken(partial(select_stations, references, replace(RULES, bootstrap_draws=draws)))[
            1
        ].seconds
        for name, draws in (("without intervals", 0), ("with 200 draws", 200))
    }


def _row(case: Case, stations: int, days: int, seed: int) -> dict[str, Any]:
    references, truth = made_up(case, stations, days, seed)
    selection = select_stations(references, RULES)
    good = selection["station"].map(truth.set_index("station")["representative"]).to_numpy(bool)
    found = selection["r"].to_numpy()
    verdicts = precision_recall(selection, truth)
    return {
        "case": case.name,
        "shared": case.shared,
        "good": {"r": float(np.nanmedian(found[good])), "expected": case.expected_r(GOOD_R)},
        "poor": {"r": float(np.nanmedian(found[~good])), "expected": case.expected_r(POOR_R)},
        "kept": verdicts.kept_right + verdicts.kept_wrong,
        "precision": verdicts.precision,
        "recall": verdicts.recall,
    }


def made_up(case: Case, stations: int, days: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return references and truth: the first half of the stations is representative.

    Station moisture in m3 m-3 (mean 0.25, signal 0.05); the references have scales of their own.
    """
    rng = np.random.default_rng(seed)
    is_good = np.arange(stations) < stations // 2
    own_r = np.where(is_good, GOOD_R, POOR_R)
    signal = _red(rng, (stations, days), SIGNAL_MEMORY)
    errors = [_red(rng, (stations, days), ERROR_MEMORY) for _ in range(3)]
    if case.pair is not None:
        first, second = case.pair
        own = np.sqrt(1 - case.shared**2)
        errors[second] = case.shared * errors[first] + own * errors[second]
    scales = (own_r, np.full(stations, REFERENCE_R), np.full(stations, REFERENCE_R))
    members = [
        signal + np.sqrt(1 / r[:, None] ** 2 - 1) * error
        for r, error in zip(scales, errors, strict=True)
    ]
    names = np.array([f"NET/{number:04d}" for number in range(stations)])
    frame = pd.DataFrame(
        {
            "station": np.repeat(names, days),
            "network": "NET",
            "latitude": 45.0,
            "longitude": 10.0,
            "time": np.tile(np.datetime64("2017-01-01") + np.arange(days), stations),
            "soil_moisture": 0.25 + 0.05 * members[0].reshape(-1),
            "era5land": 0.3 + 0.03 * members[1].reshape(-1),
            "smap_l3": 0.2 + 0.06 * members[2].reshape(-1),
        }
    )
    return frame, pd.DataFrame({"station": names, "representative": is_good})


def _red(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> Floats:
    """Return red noise of variance 1 along the last axis."""
    steps = rng.standard_normal(shape) * np.sqrt(1 - memory**2)
    steps[:, 0] /= np.sqrt(1 - memory**2)
    filtered: Floats = lfilter([1.0], [1.0, -memory], steps, axis=1)
    return filtered


def show(found: Mapping[str, Any]) -> str:
    """Return the figures as a table."""
    head = (
        f"{found['stations']} stations x {found['days']} days; half follow the signal with R "
        f"{GOOD_R}, half with R {POOR_R}; kept from R {RULES.minimum_r}"
    )
    title = (
        f"{'errors in common':<26}{'their R':>8}{'R of good':>11}{'(theory)':>10}"
        f"{'R of poor':>11}{'(theory)':>10}{'kept':>6}{'precision':>11}{'recall':>8}"
    )
    lines = [
        f"{row['case']:<26}{row['shared']:>8.1f}{row['good']['r']:>11.2f}"
        f"{row['good']['expected']:>10.2f}{row['poor']['r']:>11.2f}{row['poor']['expected']:>10.2f}"
        f"{row['kept']:>6}{row['precision']:>11.2f}{row['recall']:>8.2f}"
        for row in found["rows"]
    ]
    told = ", ".join(f"{value:.1f} s {name}" for name, value in found["seconds"].items())
    return "\n".join([head, title, *lines, f"selecting all stations once: {told}"])


def judged(references: pd.DataFrame, truth: pd.DataFrame) -> str:
    """Return what each threshold keeps of the stations of a simulated Earth, as a table."""
    rules = SelectionRules(bootstrap_draws=0, minimum_r=0.0)
    table = select_stations(references, rules)
    everything = precision_recall(table, truth)
    stations = truth["station"].isin(references["station"]).sum()
    known = table["station"].map(truth.set_index("station")["representative"])
    medians = [float(table["r"][known == is_good].median()) for is_good in (True, False)]
    head = (
        f"{stations} stations, {everything.representative_share:.0%} of them representative; "
        f"median TC correlation {medians[0]:.2f}, of the others {medians[1]:.2f}"
    )
    title = f"{'form':<9}{'otherwise':<11}{'from R':>7}{'kept':>6}{'precision':>20}{'recall':>20}"
    lines = [
        _judged_line(references, truth, replace(rules, form=form, otherwise=otherwise, minimum_r=r))
        for form in ("raw", "anomaly")
        for otherwise in ((), rules.otherwise)
        for r in THRESHOLDS
    ]
    return "\n".join([head, title, *lines])


def _judged_line(references: pd.DataFrame, truth: pd.DataFrame, rules: SelectionRules) -> str:
    other = "cci_active" if rules.otherwise else "dropped"
    start = f"{rules.form:<9}{other:<11}{rules.minimum_r:>7.1f}"
    try:
        found = precision_recall(select_stations(references, rules), truth)
    except UserError:
        return f"{start}{0:>6}"
    precision, recall = (
        f"{share:.2f} ({low:.2f} to {high:.2f})"
        for share, (low, high) in (
            (found.precision, found.precision_interval),
            (found.recall, found.recall_interval),
        )
    )
    kept = found.kept_right + found.kept_wrong
    return f"{start}{kept:>6}{precision:>20}{recall:>20}"


if __name__ == "__main__":
    print(judged(read_table(normalise_url(sys.argv[1])), pd.read_parquet(sys.argv[2])))
