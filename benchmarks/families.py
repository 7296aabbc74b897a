"""Five families of regression: a period's fit, search and scores, and a tile-day of estimates.

A day of coarse cells with 14 features is made up. Estimates of the stored arrays are compared with
those of the library that fitted them, on the same points in the same run; trees must be equal bit
by bit. The search of several periods is run by smcloud, and by scikit-learn's and dask-ml's grid
search over the same candidates and folds.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from dask.distributed import Client, LocalCluster
from dask_ml.model_selection import GridSearchCV as SpreadSearch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

from benchmarks.record import BenchmarkError
from benchmarks.timing import interleave, progress, taken
from smcloud.models.families import FAMILIES, TITLES, CellSamples, Family, FittedFamily
from smcloud.models.family_fits import DEFAULTS, fit_family, from_bytes, to_bytes
from smcloud.models.family_regressions import NETWORK_ROUNDS
from smcloud.models.family_search import SearchRules, search
from smcloud.models.family_trees import SHALLOW, XGB_FIXED
from smcloud.models.period_fits import PeriodRules, assess, groups_of

N_FEATURES = 14
TILE_DAY = 1200 * 1200
TOLERANCE = 2e-6
"""Of estimates in m3 m-3, for families whose sums are float32: a fiftieth of a stored step."""
GRID = {"svr__C": [0.3, 1.0, 3.0], "svr__epsilon": [0.03, 0.1]}
SEARCH = SearchRules(candidates=6, folds=3)

Predict = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    side: int
    """Rows and columns of coarse cells of which a share has a target."""
    points: int
    library_points: int
    """Of the libraries, which are slower."""
    rounds: int
    periods: int
    """Whose search is timed against grid searches."""


SIZES = {
    "tiny": Size(16, 20_000, 1_000, 1, 1),
    "small": Size(36, TILE_DAY, 100_000, 3, 6),
    "large": Size(55, TILE_DAY, 400_000, 5, 20),
}


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return one row for each family and one for each way to search; nothing is written.

    Raises
    ------
    BenchmarkError
        If estimates from stored arrays differ from the library's.
    """
    size = SIZES[scale]
    cells = day_of_cells(size.side, seed)
    fine = fine_points(cells, size.points, seed)
    with threadpool_limits(1):
        rows = [_row(family, cells, fine, size, seed) for family in FAMILIES]
        searches = _searches([day_of_cells(size.side, seed + n) for n in range(size.periods)])
    return {
        "samples": cells.size,
        "features": N_FEATURES,
        "points": size.points,
        "families": rows,
        "searches": searches,
    }


def day_of_cells(side: int, seed: int) -> CellSamples:
    """Return one day of cells: smooth features with noise, a target with a part that none shows."""
    rng = np.random.default_rng([seed, side])
    fields = gaussian_filter(rng.normal(size=(N_FEATURES + 1, side, side)), (0, 3, 3)) * 8
    fields += rng.normal(scale=0.3, size=fields.shape)
    shown = np.tanh(fields[0]) + 0.5 * fields[1] * fields[2] - 0.4 * np.abs(fields[3])
    target = 0.18 + 0.03 * shown + 0.015 * fields[-1] + rng.normal(0, 0.01, (side, side))
    row, col = np.mgrid[:side, :side]
    is_seen = (rng.random((side, side)) < 0.8).ravel()
    features = fields[:-1].reshape(N_FEATURES, -1).T.astype(np.float32)
    groups = groups_of(row.ravel(), col.ravel(), 3)
    days = np.zeros(groups.size, np.int64)
    return CellSamples(features, np.maximum(target, 0.02).ravel(), groups, days).at(is_seen)


def fine_points(cells: CellSamples, n_points: int, seed: int) -> NDArray[np.float32]:
    """Return features (n_features, n_points) around those of cells, no value unknown."""
    rng = np.random.default_rng([seed, n_points])
    columns = cells.features[rng.integers(0, cells.size, n_points)].T
    noise = rng.standard_normal(columns.shape, np.float32) * np.float32(0.2)
    return np.ascontiguousarray(columns + noise)


def _row(
    family: Family, cells: CellSamples, fine: NDArray[np.float32], size: Size, seed: int
) -> dict[str, Any]:
    progress(TITLES[family])
    model, fitted = taken(lambda: fit_family(family, cells, {}, seed))
    data = to_bytes(model)
    rules = PeriodRules(search=SEARCH)
    _, assessed = taken(lambda: assess(cells, family, rules))
    theirs = _library(family, model, cells, seed)
    few = np.ascontiguousarray(fine[:, : size.library_points])
    difference = check(family, model, few, theirs)
    ours, first = _first_points(data, fine)
    rows = np.ascontiguousarray(few.T)
    spread = interleave(
        {"smcloud": lambda: ours.predict(fine), "library": lambda: theirs(rows)}, size.rounds
    )
    return {
        "family": family,
        "fit_core_seconds": fitted.core_seconds,
        "assess_core_seconds": assessed.core_seconds,
        "stored_bytes": len(data),
        "load_seconds": first,
        "nanoseconds_a_point": 1e9 * spread["smcloud"].best / fine.shape[1],
        "tile_day_seconds": spread["smcloud"].best / fine.shape[1] * TILE_DAY,
        "library_nanoseconds_a_point": 1e9 * spread["library"].best / few.shape[1],
        "largest_difference": difference,
    }


def _first_points(data: bytes, fine: NDArray[np.float32]) -> tuple[FittedFamily, float]:
    """Return a model as production meets it, and the seconds until it can estimate a block.

    What is compiled has been compiled or loaded before.
    """
    from_bytes(data).predict(fine)
    model, spent = taken(lambda: _ready(data))
    return model, spent.seconds


def _ready(data: bytes) -> FittedFamily:
    model = from_bytes(data)
    # A forest is laid out when it is first asked for many points.
    getattr(model.estimator, "layout", None)
    return model


def check(
    family: Family, model: FittedFamily, columns: NDArray[np.float32], theirs: Predict
) -> float:
    """Return the largest difference from the library's estimates, both within the bounds."""
    found = model.predict(columns).astype(np.float64)
    expected = np.clip(theirs(np.ascontiguousarray(columns.T)), *model.bounds)
    difference = float(np.abs(found - expected.astype(np.float32)).max())
    if difference > (0.0 if family in ("rf", "xgb") else TOLERANCE):
        raise BenchmarkError(f"{TITLES[family]}: differs from its library by {difference:.2g}")
    return difference


def _library(family: Family, model: FittedFamily, cells: CellSamples, seed: int) -> Predict:
    """Return the prediction of rows (n_points, n_features) by the library that fits the family."""
    parameters = DEFAULTS[family]
    ready = model.preparation.of_samples(cells.features)
    if family == "rf":
        forest = RandomForestRegressor(
            parameters["trees"],
            max_depth=SHALLOW,
            min_samples_leaf=parameters["min_samples_leaf"],
            max_features=parameters["max_features"],
            random_state=seed,
        )
        return forest.fit(ready, cells.target).predict
    if family == "xgb":
        own = {name: value for name, value in parameters.items() if name != "trees"}
        matrix = xgboost.DMatrix(ready, cells.target.astype(np.float32), nthread=1)
        booster = xgboost.train({**XGB_FIXED, **own, "seed": seed}, matrix, parameters["trees"])
        return booster.inplace_predict
    return _scaled(_regressor(family, seed), ready, model, cells)


def _regressor(family: Family, seed: int) -> Any:
    parameters = DEFAULTS[family]
    if family == "mlr":
        return LinearRegression()
    if family == "svr":
        gamma = parameters["gamma"] / N_FEATURES
        return SVR(C=parameters["C"], epsilon=parameters["epsilon"], gamma=gamma)
    return MLPRegressor(
        hidden_layer_sizes=[int(parameters["hidden"])],
        activation="tanh",
        solver="lbfgs",
        alpha=parameters["alpha"],
        max_iter=NETWORK_ROUNDS,
        random_state=seed,
    )


def _scaled(
    regressor: Any, ready: NDArray[np.float32], model: FittedFamily, cells: CellSamples
) -> Predict:
    """Return the prediction of a regressor of scaled features and a scaled target."""
    mean, deviation = cells.target.mean(), cells.target.std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regressor.fit(ready.astype(np.float64), (cells.target - mean) / deviation)
    prepared = model.preparation

    def predict(rows: NDArray[Any]) -> NDArray[Any]:
        within = np.clip(rows, prepared.lows, prepared.highs)
        scaled = ((within - prepared.means) / prepared.scales).astype(np.float64)
        return regressor.predict(scaled) * deviation + mean

    return predict


def _searches(periods: list[CellSamples]) -> list[dict[str, Any]]:
    """Return the seconds that the search of all periods takes, in each way; one process each."""
    progress("search")
    cut = GroupKFold(SEARCH.folds, shuffle=True, random_state=SEARCH.seed)

    def pipeline() -> Any:
        return make_pipeline(StandardScaler(), SVR(gamma=1 / N_FEATURES))

    def grid(kind: Any, **options: Any) -> None:
        for cells in periods:
            folds = list(cut.split(cells.features, groups=cells.groups))
            deviation = cells.target.std()
            found = kind(pipeline(), GRID, cv=folds, refit=False, **options)
            found.fit(
                cells.features.astype(float), (cells.target - cells.target.mean()) / deviation
            )

    def ours() -> None:
        for cells in periods:
            search("svr", cells, SEARCH)

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with Client(cluster) as client:
            works = {
                "smcloud, one process": ours,
                "scikit-learn, one process": lambda: grid(GridSearchCV),
                "dask-ml, two workers": lambda: grid(SpreadSearch, scheduler=client),
            }
            spread = interleave(works, 2)
    return [
        {"search": name, "periods": len(periods), "seconds": one.best}
        for name, one in spread.items()
    ]


def show(found: Mapping[str, Any]) -> str:
    """Return the table of the families and of the searches."""
    lines = [
        f"{found['samples']} samples of a day, {found['features']} features, "
        f"{found['points']:,} points, one thread; core-seconds of fits, best of the rounds else",
        f"{'family':<30}{'fit s':>8}{'search and':>12}{'ready s':>9}{'stored':>9}"
        f"{'ns a point':>12}{'tile-day s':>12}{'library ns':>12}{'difference':>12}",
        f"{'':<30}{'':>8}{'scores s':>12}",
    ]
    lines += [
        f"{TITLES[row['family']]:<30}{row['fit_core_seconds']:>8.3f}{row['assess_core_seconds']:>12.2f}"
        f"{row['load_seconds']:>9.3f}{row['stored_bytes'] / 1000:>7.0f}kB"
        f"{row['nanoseconds_a_point']:>12.0f}{row['tile_day_seconds']:>12.2f}"
        f"{row['library_nanoseconds_a_point']:>12.0f}{row['largest_difference']:>12.1g}"
        for row in found["families"]
    ]
    lines += [
        f"search of {row['periods']} periods (SVR, 6 candidates, 3 folds): {row['search']} "
        f"{row['seconds']:.2f} s"
        for row in found["searches"]
    ]
    return "\n".join(lines)
