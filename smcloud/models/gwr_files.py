"""Local regressions of many days as files: a card, and the coefficients of each year.

A prefix ``models/<name>/`` holds ``<sha256>.local.npz`` for each year (days, coefficients on a
window of a coarse grid, how each was found, known cells of each day) and ``card.json``, which names
these hashes and is written last. A year is read once a process, when one of its days is asked for.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from smcloud.core.errors import ModelError
from smcloud.core.objects import Objects, open_objects
from smcloud.cube.schema import Days
from smcloud.grids.grid import Floats, Grid, Window, grid_named
from smcloud.grids.regrid import FloatArray, Weights, bilinear
from smcloud.models.base import (
    CARD,
    Parameter,
    Score,
    card_bytes,
    checked_bytes,
    content_hash,
    parsed_card,
)
from smcloud.models.downscaler import CoarseCard
from smcloud.models.gwr import LocalFit, State, States, evaluate

YEARS_HELD = 2
"""Years of one model that a process keeps: a task works on one, its neighbour on the next."""


class YearNote(BaseModel):
    """What a card says of the coefficients of one year."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    days: int
    """Days with at least one row in the table."""
    modelled: int
    """Days with enough known cells."""


class LocalCard(CoarseCard):
    """The card of local regressions; its scores are the RMSE of each bandwidth that was tried."""

    kind: Literal["local"] = "local"
    grid: str
    window: tuple[int, int, int, int]
    """Rows [row0, row1) and columns [col0, col1) of the nodes on that grid."""
    bandwidth_km: float
    params: dict[str, Parameter]
    """Everything else that shaped the coefficients."""
    years: dict[str, YearNote]
    inner_slope: Score = math.nan
    """Slope of true on estimated departures from block means, of cells left out."""

    @property
    def whole_sha256(self) -> str:
        """Return one hash of everything that estimates come from."""
        text = "".join(f"{year} {self.years[year].sha256}\n" for year in sorted(self.years))
        head = f"{self.grid} {self.window} {self.columns} {self.inner_slope!r}"
        return content_hash(f"{head}\n{text}".encode())


@dataclass(frozen=True, eq=False)
class LocalYear:
    """Coefficients of the days of one year at the nodes of a window.

    Attributes
    ----------
    days : (days,) datetime64[D]
        Increasing.
    coefficients : float32 (days, 1 + features, rows, cols)
    state : uint8 (days, rows, cols)
    cells : int32 (days,)
    """

    days: Days
    coefficients: FloatArray
    state: States
    cells: NDArray[np.int32]

    @classmethod
    def of(cls, fits: list[LocalFit], shape: tuple[int, int]) -> LocalYear:
        """Return the fits of a year's days, in any order, at nodes of (rows, cols)."""
        days = np.concatenate([fit.days for fit in fits])
        order = np.argsort(days, kind="stable")
        parts = [fit.coefficients.astype(np.float32, copy=False) for fit in fits]
        coefficients = np.concatenate(parts)
        state = np.concatenate([fit.state for fit in fits])
        return cls(
            days[order].astype("datetime64[D]"),
            coefficients[order].reshape(*coefficients.shape[:2], *shape),
            state[order].reshape(len(days), *shape),
            np.concatenate([fit.cells for fit in fits])[order],
        )

    @property
    def modelled(self) -> int:
        """Return how many days have coefficients."""
        return int((self.state != State.NONE).any(axis=(1, 2)).sum())

    def place(self, day: np.datetime64) -> int | None:
        """Return the position of a day, or None where it has none."""
        at = int(np.searchsorted(self.days, day.astype("datetime64[D]")))
        return at if at < len(self.days) and self.days[at] == day else None

    def to_bytes(self) -> bytes:
        """Return the arrays as one npz without pickled objects."""
        file = io.BytesIO()
        np.savez(
            file,
            days=self.days.astype(np.int32),
            coefficients=self.coefficients,
            state=self.state,
            cells=self.cells,
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> LocalYear:
        """Return what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            days = found["days"].astype("datetime64[D]")
            return cls(days, found["coefficients"], found["state"], found["cells"])


class LocalRegression:
    """Coefficients of all days of a model, applied at points; a `Downscaler`."""

    def __init__(self, objects: Objects, name: str, card: LocalCard) -> None:
        self.card = card
        self._objects = objects
        self._name = name
        self._year = lru_cache(maxsize=YEARS_HELD)(self._read)
        self._last: tuple[Floats, Weights] | None = None

    def __reduce__(self) -> tuple[Callable[[str, str], LocalRegression], tuple[str, str]]:
        """Travel as a URL and a name."""
        return _opened, (self._objects.url, self._name)

    @cached_property
    def grid(self) -> Grid:
        """Return the grid of the nodes."""
        return grid_named(self.card.grid)

    def is_modelled(self, day: np.datetime64) -> bool:
        """Return whether there are coefficients for the day."""
        return not self.why_not(day)

    def why_not(self, day: np.datetime64) -> str:
        """Return why there is no model for the day, in words; empty where there is one."""
        year = self._of(day)
        at = None if year is None else year.place(day)
        if year is None or at is None:
            return "no coarse cell is known with all predictors"
        if (year.state[at] != State.NONE).any():
            return ""
        least = self.card.params.get("minimum_cells", "?")
        return f"{year.cells[at]} coarse cells are known with all predictors, {least} are needed"

    def slope(self, day: np.datetime64) -> float:
        """Return the slope of the target on the estimates within blocks; see `Downscaler`."""
        return self.card.inner_slope if self.is_modelled(day) else math.nan

    def estimate(self, day: np.datetime64, columns: FloatArray, lonlat: Floats) -> FloatArray:
        """Return the estimates (n,) of one day from columns (features, n) at lonlat (2, n).

        NaN where a predictor is unknown, far from every node, and on days without coefficients.
        The weights of the last points are kept, as long as the same array is passed.
        """
        year = self._of(day)
        at = None if year is None else year.place(day)
        if year is None or at is None:
            return np.full(columns.shape[1], np.nan, np.float32)
        weights = self._weights(lonlat)
        return evaluate(self._around(year.coefficients[at], weights), weights, columns)

    def state(self, day: np.datetime64) -> States:
        """Return how the coefficients of the nodes were found, uint8 (rows, cols)."""
        year = self._of(day)
        at = None if year is None else year.place(day)
        if year is None or at is None:
            return np.full(Window(*self.card.window).shape, State.NONE, np.uint8)
        return np.asarray(year.state[at])

    def _weights(self, lonlat: Floats) -> Weights:
        last = self._last  # once: another thread may put its own points there
        if last is None or last[0] is not lonlat:
            self._last = last = lonlat, bilinear(self.grid, lonlat[0], lonlat[1])
        return last[1]

    def _around(self, coefficients: FloatArray, weights: Weights) -> FloatArray:
        """Return the coefficients on the weights' window, NaN where there is no node."""
        nodes = Window(*self.card.window)
        rows = np.arange(weights.window.row0, weights.window.row1) - nodes.row0
        # A window of nodes that crosses the seam of longitude has columns past the last one.
        cols = (weights.columns - nodes.col0) % self.grid.cols
        has_row = (rows >= 0) & (rows < nodes.shape[0])
        has_col = cols < nodes.shape[1]
        found = np.full((len(coefficients), rows.size, cols.size), np.nan, np.float32)
        there = coefficients[:, rows[has_row][:, None], cols[has_col][None]]
        found[:, np.flatnonzero(has_row)[:, None], np.flatnonzero(has_col)[None]] = there
        return found

    def _of(self, day: np.datetime64) -> LocalYear | None:
        year = str(day.astype("datetime64[Y]"))
        return self._year(year) if year in self.card.years else None

    def _read(self, year: str) -> LocalYear:
        """Return the coefficients of one year, checked against the card."""
        sha256 = self.card.years[year].sha256
        return LocalYear.from_bytes(checked_bytes(self._objects, self._name, sha256, "local.npz"))


def save_year(objects: Objects, name: str, year: LocalYear) -> YearNote:
    """Store the coefficients of a year and return what the card says of them."""
    data = year.to_bytes()
    sha256 = content_hash(data)
    objects.put(f"{name}/{sha256}.local.npz", data)
    return YearNote(sha256=sha256, days=len(year.days), modelled=year.modelled)


def save_card(objects: Objects, name: str, card: LocalCard) -> None:
    """Store the card, last: a model without a card does not exist.

    Raises
    ------
    ModelError
        If a year that it names is not there.
    """
    for year, note in card.years.items():
        if not objects.exists(f"{name}/{note.sha256}.local.npz"):
            raise ModelError(
                f"the coefficients of {year} of model {name!r} are not below {objects.url}: "
                "train the model again"
            )
    objects.put(f"{name}/{CARD}", card.to_json())


def load_local(objects: Objects, name: str) -> LocalRegression:
    """Return the local regressions of this name; years are read when they are asked for.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelError
        If its card is of another kind or version.
    """
    return LocalRegression(objects, name, parsed_card(LocalCard, *card_bytes(objects, name)))


def _opened(url: str, name: str) -> LocalRegression:
    return load_local(open_objects(url), name)
