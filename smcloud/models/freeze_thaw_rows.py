"""Rows of frozen ground cut from a table of cells and days, and how they travel to workers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from smcloud.core.errors import UserError
from smcloud.models.freeze_thaw import (
    STATE_WORDS,
    UNKNOWN_CLASS,
    Partly,
    classes_of,
    frozen_by_temperature,
)
from smcloud.models.freeze_thaw_scores import LabelledRows
from smcloud.validation.frost_strata import (
    Stratum,
    by_elevation,
    by_season,
    by_state,
    by_transition,
)
from smcloud.validation.splits import Samples, locate

CELL_DIGITS = 100_000
"""More than any grid of 25 km has columns."""


@dataclass(frozen=True)
class TableColumns:
    """Names of the columns of a table that are no features.

    Attributes
    ----------
    row, col, time, latitude, longitude
        Cell, UTC day and place (degrees).
    overpass : str
        Tells rows of one cell and day apart; empty where there is one row each.
    label : str
        State as SMOS codes it.
    elevation : str
        m; empty for no scores by elevation.
    soil_temperature : str
        K, for the plain rule; empty for none.
    """

    row: str = "row"
    col: str = "col"
    time: str = "time"
    latitude: str = "latitude"
    longitude: str = "longitude"
    overpass: str = "overpass"
    label: str = "label"
    elevation: str = ""
    soil_temperature: str = ""

    @property
    def key(self) -> list[str]:
        """Return the columns that tell rows apart, in the order of sorting."""
        return [name for name in (self.time, self.row, self.col, self.overpass) if name]

    @property
    def all(self) -> list[str]:
        """Return every column, each once."""
        names = [*self.key, self.latitude, self.longitude, self.label]
        return [*names, *filter(None, (self.elevation, self.soil_temperature))]


def labelled_rows(
    table: pd.DataFrame,
    features: Sequence[str],
    columns: TableColumns,
    partly: Partly,
    *,
    block_degrees: float,
) -> LabelledRows:
    """Return the rows that have a class, sorted by day and cell.

    Raises
    ------
    UserError
        If a column is missing, a row stands there twice, a label is no state, or no row has one.
    """
    wanted = list(dict.fromkeys([*columns.all, *features]))
    missing = [name for name in wanted if name not in table.columns]
    if missing or not features:
        raise UserError(
            f"the table of frozen ground lacks {', '.join(missing) or 'features'}: expected "
            f"{', '.join(wanted)}"
        )
    days = table[columns.time].to_numpy().astype("datetime64[D]").astype("datetime64[s]")
    found = table[wanted].assign(**{columns.time: days})
    twice = int(found.duplicated(columns.key).sum())
    if twice:
        raise UserError(
            f"the table of frozen ground has {twice} rows whose cell, day and overpass stand there "
            "already: leave each in once"
        )
    classes = classes_of(found[columns.label].to_numpy(np.uint8), partly)
    if not (classes != UNKNOWN_CLASS).any():
        raise UserError(
            f"none of the {len(found)} rows of frozen ground has a state to learn from: see "
            "whether the labels were ingested for these days and cells"
        )
    kept = found[classes != UNKNOWN_CLASS].sort_values(columns.key, ignore_index=True)
    return _rows(kept, tuple(features), columns, partly, block_degrees)


def _rows(
    kept: pd.DataFrame,
    features: tuple[str, ...],
    columns: TableColumns,
    partly: Partly,
    block_degrees: float,
) -> LabelledRows:
    labels = kept[columns.label].to_numpy(np.uint8)
    days = kept[columns.time].to_numpy().astype("datetime64[D]")
    latitude, longitude = (
        kept[name].to_numpy(np.float64) for name in (columns.latitude, columns.longitude)
    )
    cells = kept[columns.row].to_numpy(np.int64) * CELL_DIGITS + kept[columns.col].to_numpy(
        np.int64
    )
    codes, known = pd.factorize(cells, sort=True)
    names = pd.Categorical.from_codes(codes, pd.Index([f"{cell:012d}" for cell in known.tolist()]))
    samples = locate(names, days, latitude, longitude, block_degrees=block_degrees)
    strata = [
        by_season(days, latitude),
        by_state(labels, tuple(STATE_WORDS.values())),
        by_transition(classes_of(labels, "frozen") == 1, days, codes.astype(np.int64)),
    ]
    if columns.elevation:
        strata.append(by_elevation(kept[columns.elevation].to_numpy(np.float64)))
    rule = np.full(labels.size, UNKNOWN_CLASS, np.int8)
    if columns.soil_temperature:
        kelvin = kept[columns.soil_temperature].to_numpy(np.float64)
        rule = frozen_by_temperature(kelvin, partly)
    matrix = kept[list(features)].to_numpy(np.float32)
    return LabelledRows(features, matrix, labels, samples, tuple(strata), rule)


def rows_to_bytes(rows: LabelledRows) -> bytes:
    """Return rows as an archive of plain arrays; equal rows are equal bytes."""
    of = rows.samples
    arrays: dict[str, Any] = {
        "columns": np.array(rows.columns),
        "features": rows.features,
        "labels": rows.labels,
        "rule": rows.rule,
        "stations": of.stations,
        "pixels": of.pixels,
        "blocks": of.blocks,
        "days": of.days.astype(np.int32),
    }
    for number, one in enumerate(rows.strata):
        arrays[f"stratum{number}_name"] = np.array([one.name])
        arrays[f"stratum{number}_classes"] = np.array(one.classes)
        arrays[f"stratum{number}_codes"] = one.codes.astype(np.int8)
    buffer = io.BytesIO()
    np.savez(buffer, **dict(sorted(arrays.items())))
    return buffer.getvalue()


def rows_from_bytes(data: bytes) -> LabelledRows:
    """Return what `rows_to_bytes` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    samples = Samples(
        found["stations"],
        found["pixels"],
        found["blocks"],
        found["days"].astype("datetime64[D]"),
    )
    n_strata = sum(name.endswith("_codes") for name in found)
    strata = tuple(
        Stratum(
            str(found[f"stratum{number}_name"][0]),
            tuple(str(word) for word in found[f"stratum{number}_classes"]),
            found[f"stratum{number}_codes"].astype(np.int64),
        )
        for number in range(n_strata)
    )
    columns = tuple(str(name) for name in found["columns"])
    return LabelledRows(columns, found["features"], found["labels"], samples, strata, found["rule"])
