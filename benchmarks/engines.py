"""Everything that evaluates trees, behind one call: rows of a pool in, estimates out.

ONNX Runtime and treelite are asked if they are installed; nothing else depends on them.
"""

import copy
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xgboost
from numpy.typing import NDArray

from benchmarks.workload import VARIABLES
from smcloud.cube.schema import Array
from smcloud.models.forest import Forest

Estimates = NDArray[np.floating]
Form = Literal["rows", "columns", "stored"]
OURS = "smcloud Forest"
STORED = VARIABLES[0]
"""How the features of a pool are stored: all of them alike."""


class Pool:
    """Rows to predict, in each form that an engine takes.

    Attributes
    ----------
    stored : int16 (n_features, n_rows)
        As a cube holds them.
    columns : float32 (n_features, n_rows)
        Physical values, NaN unknown.
    rows : float32 (n_rows, n_features)
        The same, row by row.
    """

    def __init__(self, stored: Array) -> None:
        self.stored = stored
        self.columns = STORED.unpack(stored)
        self.rows = np.ascontiguousarray(self.columns.T)

    @property
    def n_rows(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def head(self, form: Form, n_rows: int) -> Array:
        """Return the first rows in one form, C-contiguous."""
        if form == "rows":
            return self.rows[:n_rows]
        return np.ascontiguousarray(getattr(self, form)[:, :n_rows])


@dataclass(frozen=True)
class Engine:
    """One way to evaluate a model."""

    name: str
    predict: Callable[[Any], Estimates]
    """Estimates of rows in the form that the engine takes, (n_rows,)."""
    takes: Form = "rows"
    is_ours: bool = False
    """Ours must give the library's bits; of others the largest difference is noted."""
    note: str = ""


def library(model: Any, threads: int) -> Engine:
    """Return the predictor of the library that trained the model."""
    if isinstance(model, xgboost.Booster):
        booster = model.copy()
        booster.set_param({"nthread": threads})
        return Engine(
            "xgboost inplace_predict",
            lambda rows: booster.inplace_predict(rows, validate_features=False),
        )
    estimator = copy.copy(model)
    estimator.n_jobs = threads
    return Engine("scikit-learn predict", estimator.predict)


def ours(model: Any, threads: int) -> Iterator[Engine]:
    """Yield smcloud's evaluator: from float columns, and from stored integers through tables."""
    is_booster = isinstance(model, xgboost.Booster)
    forest = Forest.from_xgboost(model) if is_booster else Forest.from_sklearn(model)
    note = f"falls back: {forest.fallback}" if forest.fallback else ""
    yield Engine(
        OURS,
        lambda columns: forest.predict(columns, threads=threads),
        "columns",
        is_ours=True,
        note=note,
    )
    if not forest.fallback:
        tables = [forest.table(column, physical_of_bits()) for column in range(forest.n_features)]
        yield Engine(
            f"{OURS}, stored int16",
            lambda stored: _from_stored(forest, tables, stored, threads),
            "stored",
            is_ours=True,
        )


def physical_of_bits() -> NDArray[np.float32]:
    """Return the physical value of each stored integer, by its bits read as unsigned."""
    return STORED.unpack(np.arange(2**16, dtype=np.uint16).view(np.int16))


def _from_stored(
    forest: Forest, tables: list[Any], stored: NDArray[np.int16], threads: int
) -> Estimates:
    codes = np.empty(stored.shape, np.result_type(*tables))

    def encode(column: int) -> None:
        forest.encode(stored[column], column, table=tables[column], out=codes[column])

    with ThreadPoolExecutor(threads) as at_work:
        list(at_work.map(encode, range(len(tables))))
    return forest.predict_codes(codes, threads=threads)


def others(model: Any, threads: int, library: Path | None) -> Iterator[Engine]:
    """Yield the engines of others that are installed.

    Parameters
    ----------
    library
        Where the trees are compiled to as C, unless they were before; None leaves that engine out:
        300 trees of depth 8 take the compiler a minute.
    """
    if _installed("onnxruntime", "onnxmltools", "skl2onnx"):
        yield onnx_runtime(model, threads)
    if _installed("treelite"):
        yield treelite_interpreter(model, threads)
    if library is not None and _installed("treelite", "tl2cgen"):
        yield treelite_compiled(model, threads, library)


def onnx_runtime(model: Any, threads: int) -> Engine:
    """Return ONNX Runtime on the converted model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        _as_onnx(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = session.get_inputs()[0].name
    return Engine("ONNX Runtime", lambda rows: session.run(None, {given: rows})[0].reshape(-1))


def _as_onnx(model: Any) -> Any:
    if isinstance(model, xgboost.Booster):
        import onnxmltools
        from onnxmltools.convert.common.data_types import FloatTensorType

        shape = [("rows", FloatTensorType([None, len(VARIABLES)]))]
        return onnxmltools.convert_xgboost(_unnamed(model), initial_types=shape)
    from skl2onnx import to_onnx

    return to_onnx(model, np.zeros((1, len(VARIABLES)), np.float32))


def treelite_interpreter(model: Any, threads: int) -> Engine:
    """Return treelite's general inference, which needs no compiler."""
    import treelite

    trees = _as_treelite(model)
    return Engine(
        "treelite GTIL",
        lambda rows: treelite.gtil.predict(trees, rows, nthread=threads).reshape(-1),
    )


def treelite_compiled(model: Any, threads: int, library: Path) -> Engine:
    """Return treelite's model compiled as C by the machine's own compiler."""
    import tl2cgen

    if not library.exists():
        tl2cgen.export_lib(
            _as_treelite(model), toolchain="gcc", libpath=library, params={"parallel_comp": 2}
        )
    predictor = tl2cgen.Predictor(library, nthread=threads)
    return Engine(
        "treelite compiled",
        lambda rows: predictor.predict(tl2cgen.DMatrix(rows)).reshape(-1),
    )


def _as_treelite(model: Any) -> Any:
    import treelite

    if isinstance(model, xgboost.Booster):
        return treelite.frontend.from_xgboost(_unnamed(model))
    return treelite.sklearn.import_model(model)


def _unnamed(booster: xgboost.Booster) -> xgboost.Booster:
    """Return a booster whose features are called f0, f1, ...: the converters know no other."""
    unnamed = booster.copy()
    unnamed.feature_names = None
    return unnamed


def _installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)
