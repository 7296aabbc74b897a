"""Decision trees evaluated 512 rows at a time, as logic on bits; the results are the library's.

The usual evaluator walks each row down each tree: a chain of loads and unpredictable branches.
Here every distinct comparison of a model is made once for 512 rows and kept as 512 bits; a tree
is then a formula over those bits, without a branch. The design, its figures and what was tried
are told in `docs/design/forest.md`. Nothing here needs the rest of smcloud but its errors and the
way it caches compiled code.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ModelError, UserError
from smcloud.models.forest_kernel import (
    PIECE_ROWS,
    ROW_PLACES,
    Scratch,
    add_group,
    encode_column,
    encode_columns,
    look_up,
    put_in_order,
)
from smcloud.models.forest_layout import Layout, layout_of, scratch_for
from smcloud.models.forest_trees import Ensemble, NoFitError, sklearn_ensemble, xgboost_ensemble
from smcloud.models.forest_vectors import ROWS

log = logging.getLogger(__name__)

LIBRARY_ROWS = 32768
"""Rows that are turned over for the library at a time: their features stay in the cache."""

Array = NDArray[Any]
Floats = NDArray[np.float32]
Coder = Callable[[int, int, Scratch], tuple[Array, int]]
"""Returns codes that hold rows [first, stop), and the column where they begin."""


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees of XGBoost or scikit-learn, ready to predict; safe to share between threads.

    Made by `from_xgboost` or `from_sklearn`.

    Attributes
    ----------
    n_features : int
    dtype : float32 or float64
        Of the predictions, as the library's.
    fallback : str
        Why the library predicts instead; empty where the evaluator does.
    """

    n_features: int
    dtype: np.dtype[Any]
    fallback: str
    _library: Callable[[Array], Array] = field(repr=False)
    _layout: Layout | None = field(repr=False)
    _start: np.floating[Any] = field(repr=False)
    _divisor: np.floating[Any] = field(repr=False)
    _n_outputs: int = field(repr=False)
    _scratch: "SimpleQueue[Scratch]" = field(default_factory=SimpleQueue, repr=False)

    @classmethod
    def from_xgboost(cls, booster: Any, *, links_by_library: bool = False) -> "Forest":
        """Return the forest of an XGBoost booster; it predicts as `booster.inplace_predict`.

        Parameters
        ----------
        links_by_library
            Have the library predict a model with a link function, instead of refusing it.

        Raises
        ------
        ModelError
            If the objective has a link function, by name.
        """

        def read() -> Ensemble:
            try:
                return xgboost_ensemble(booster)
            except ModelError as err:
                if links_by_library:
                    raise NoFitError(str(err)) from err
                raise

        def library(rows: Array) -> Array:
            found: Array = booster.inplace_predict(rows, validate_features=False)
            return found

        n_features = int(booster.num_features())
        return cls._made(read, library, n_features, np.float32)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> "Forest":
        """Return the forest of a fitted random forest or extra trees of scikit-learn.

        A regressor's predictions are those of `predict`, a classifier's those of `predict_proba`;
        both in the order that one job adds the trees in.
        """
        library = getattr(estimator, "predict_proba", None) or estimator.predict
        n_features = int(estimator.n_features_in_)
        return cls._made(lambda: sklearn_ensemble(estimator), library, n_features, np.float64)

    @classmethod
    def from_layout(cls, ensemble: Ensemble, layout: Layout) -> "Forest":
        """Return the forest of trees that are kept as arrays, and laid out by `layout_of`."""

        def no_library(rows: Array) -> Array:
            raise ModelError("trees that are kept as arrays have no library behind them")

        kind = ensemble.start.dtype
        divisor, outputs = kind.type(ensemble.divisor), ensemble.n_outputs
        start = ensemble.start
        return cls(ensemble.n_features, kind, "", no_library, layout, start, divisor, outputs)

    @classmethod
    def _made(
        cls,
        read: Callable[[], Ensemble],
        library: Callable[[Array], Array],
        n_features: int,
        dtype: Any,
    ) -> "Forest":
        kind = np.dtype(dtype)
        nothing = kind.type(0)
        try:
            ensemble = read()
            layout = layout_of(ensemble)
        except NoFitError as misfit:
            log.warning("the library predicts, many times slower: %s", misfit)
            return cls(n_features, kind, str(misfit), library, None, nothing, nothing, 1)
        divisor, outputs = kind.type(ensemble.divisor), ensemble.n_outputs
        return cls(n_features, kind, "", library, layout, ensemble.start, divisor, outputs)

    def predict(self, columns: Floats, out: Array | None = None, threads: int = 1) -> Array:
        """Return the predictions of rows that are given as columns of values.

        Parameters
        ----------
        columns
            float32 (n_features, n_rows), C-contiguous; NaN is unknown.
        out
            Receives the predictions, if given: C-contiguous, of their shape and `dtype`.
        threads
            Threads that share the rows.

        Returns
        -------
        (n_rows,), or (n_rows, n_classes) of a classifier: bit for bit those of the library.

        Raises
        ------
        UserError
            If the number of features, a type or a shape is another.
        """
        self._check(columns, np.dtype(np.float32))
        if self._layout is None:
            return self._ask_library(columns, out)

        layout = self._layout_or_raise()

        def code(first: int, stop: int, scratch: Scratch) -> tuple[Array, int]:
            encode_columns(columns, first, stop, layout.cuts, scratch.cells, scratch.all_codes)
            return scratch.all_codes, 0

        return self._evaluate(columns.shape[1], code, out, threads)

    def predict_codes(self, codes: Array, out: Array | None = None, threads: int = 1) -> Array:
        """Return the predictions of rows that are given as columns of codes.

        Parameters
        ----------
        codes
            (n_features, n_rows) of `code_dtype`, C-contiguous, each row from `encode`.
        out, threads
            As for `predict`, and so are the results and the errors.

        Raises
        ------
        ModelError
            If the library predicts this model: it knows no codes.
        UserError
            Also if a feature that the trees ask for has no such code.
        """
        self._check(codes, self.code_dtype)
        self._check_codes(codes)
        return self._evaluate(codes.shape[1], lambda first, *_: (codes, first), out, threads)

    @property
    def code_dtype(self) -> np.dtype[Any]:
        """Return the type of codes: uint8 where no feature has more than 254 cuts, else uint16."""
        return np.dtype(self._layout_or_raise().code_dtype)

    def table(self, column: int, physical: Floats) -> Array:
        """Return the code of every stored integer of a feature, for `encode`.

        Parameters
        ----------
        column
            Position of the feature.
        physical
            float32 (256,) or (65536,): what each stored integer of 1 or 2 bytes means, by its
            unsigned bits; NaN where it means unknown.
        """
        return self.encode(physical, column)

    def encode(
        self, values: Array, column: int, table: Array | None = None, out: Array | None = None
    ) -> Array:
        """Return the codes of one feature: how many of its cuts lie at or below each value.

        Parameters
        ----------
        values
            (n_rows,) float32, or stored integers of 1 or 2 bytes with their `table`.
        out
            Receives the codes, if given: (n_rows,) of `code_dtype`.

        Raises
        ------
        UserError
            If there is no such column, or a type or a length is another.
        """
        layout = self._layout_or_raise()
        codes = np.empty(values.shape, self.code_dtype) if out is None else out
        self._check_column(values, column, table, codes)
        if table is not None:
            look_up(values.view(f"u{values.dtype.itemsize}"), table, codes)
            return codes
        with self._borrowed_scratch() as scratch:
            encode_column(values, column, layout.cuts, scratch.cells, codes)
        return codes

    def warm_up(self) -> None:
        """Compile, or load from the cache, everything that `predict` and codes need."""
        columns = np.full((self.n_features, 1), np.nan, np.float32)
        self.predict(columns)
        if self._layout is None:
            return
        codes = np.stack([self.encode(column, number) for number, column in enumerate(columns)])
        self.predict_codes(codes)
        for stored in (np.zeros(1, np.uint8), np.zeros(1, np.uint16)):
            self.encode(stored, 0, np.zeros(2 ** (8 * stored.itemsize), self.code_dtype))

    def _layout_or_raise(self) -> Layout:
        if self._layout is None:
            raise ModelError(f"the library predicts this model, from values only: {self.fallback}")
        return self._layout

    def _evaluate(self, n_rows: int, code: Coder, out: Array | None, threads: int) -> Array:
        """Return the predictions of all rows, piece after piece, the pieces shared by threads."""
        layout = self._layout_or_raise()
        found = self._output((n_rows, self._n_outputs)[: 1 + (self._n_outputs > 1)], out)
        table = found.reshape(n_rows, self._n_outputs)

        def work(first: int) -> None:
            size = min(PIECE_ROWS, n_rows - first)
            sums = np.full((-(-size // ROWS), self._n_outputs, ROWS), self._start)
            with self._borrowed_scratch() as scratch:
                codes, at = code(first, first + size, scratch)
                for part in layout.parts:
                    group, maps, tops = part.group, part.maps, part.tops
                    add_group(
                        codes, at, at + size, maps, group, tops, scratch, sums, layout.unrolled
                    )
            put_in_order(sums, ROW_PLACES, self._divisor, table[first : first + size])

        _share(work, range(0, n_rows, PIECE_ROWS), threads)
        return found

    def _ask_library(self, columns: Floats, out: Array | None) -> Array:
        """Return the library's own predictions; it wants rows, which are turned over in pieces."""
        n_rows = columns.shape[1]
        pieces = [
            self._library(np.ascontiguousarray(columns[:, start : start + LIBRARY_ROWS].T))
            for start in range(0, n_rows, LIBRARY_ROWS)
        ]
        found = np.concatenate(pieces) if pieces else np.empty(0, self.dtype)
        if out is None:
            return found
        self._output(found.shape, out)[...] = found
        return out

    def _output(self, shape: tuple[int, ...], out: Array | None) -> Array:
        if out is None:
            return np.empty(shape, self.dtype)
        if out.shape != shape or out.dtype != self.dtype or not out.flags.c_contiguous:
            raise UserError(
                f"predictions need a C-contiguous array {shape} of {self.dtype}, "
                f"found {out.shape} of {out.dtype}"
            )
        return out

    def _check(self, columns: Array, dtype: np.dtype[Any]) -> None:
        fits = columns.ndim == 2 and len(columns) == self.n_features and columns.dtype == dtype
        if not fits or not columns.flags.c_contiguous:
            raise UserError(
                f"a model of {self.n_features} features takes C-contiguous columns "
                f"({self.n_features}, n_rows) of {dtype}, found {columns.shape} of {columns.dtype}"
            )

    def _check_codes(self, codes: Array) -> None:
        """Refuse codes at which the compiled loops would write beyond their memory."""
        counts = self._layout_or_raise().cuts.counts
        found = codes.max(axis=1, initial=0)
        for column in np.flatnonzero((counts > 0) & (found > counts + 1)):
            raise UserError(
                f"feature {column} has codes up to {counts[column] + 1}, found {found[column]}: "
                "encode its values with this forest"
            )

    def _check_column(self, values: Array, column: int, table: Array | None, codes: Array) -> None:
        """Refuse what the compiled loops would read or write beyond its memory."""
        if not 0 <= column < self.n_features:
            raise UserError(f"a model of {self.n_features} features has no column {column}")
        if codes.shape != values.shape or codes.dtype != self.code_dtype:
            raise UserError(
                f"codes need an array {values.shape} of {self.code_dtype}, "
                f"found {codes.shape} of {codes.dtype}"
            )
        is_row = values.ndim == 1 and values.flags.c_contiguous
        if table is None:
            fits = values.dtype == np.float32
        else:
            fits = values.dtype.kind in "iu" and table.dtype == self.code_dtype
            fits = fits and table.shape == (2 ** (8 * values.dtype.itemsize),)
        if not is_row or not fits:
            raise UserError(
                "codes come from C-contiguous (n_rows,) float32, or from integers with the table "
                f"of their type, found {values.shape} of {values.dtype}"
            )

    @contextmanager
    def _borrowed_scratch(self) -> Iterator[Scratch]:
        """Lend the memory of one thread, and keep it for the next call."""
        try:
            scratch = self._scratch.get_nowait()
        except Empty:
            scratch = scratch_for(self._layout_or_raise())
        try:
            yield scratch
        finally:
            self._scratch.put(scratch)


def _share(work: Callable[[int], None], pieces: range, threads: int) -> None:
    if threads == 1 or len(pieces) < 2:
        for first in pieces:
            work(first)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, pieces))
