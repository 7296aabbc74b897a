"""One fold of one split: its training, with or without selected stations, and its test sums.

Folds, inner folds of the search and models without a group of features all go through `fit_fold`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from distributed import Client

from smcloud.core.errors import UserError
from smcloud.core.listener import Listener
from smcloud.models.checkpoints import Trained
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Index
from smcloud.models.samples import TrainingTable
from smcloud.models.training import Route, train_boosting
from smcloud.validation.nested_splits import check_selection_leakage
from smcloud.validation.selection import SelectionRules, kept_stations, select_stations
from smcloud.validation.splits import Split

Variant = Literal["all", "selected"]
VARIANTS: tuple[Variant, ...] = ("all", "selected")


@dataclass(frozen=True, eq=False)
class StationSelection:
    """What decides which stations are representative.

    Attributes
    ----------
    references : DataFrame
        Collocated series, as `validation.selection.select_stations` takes them: station, time,
        soil_moisture and one column per reference.
    rules : SelectionRules
    """

    references: pd.DataFrame
    rules: SelectionRules


@dataclass(frozen=True, eq=False)
class FoldFit:
    """A model and what it was made of.

    Attributes
    ----------
    split : Split
        Fit and stop hold the rows that were used: with selection, those of the kept stations.
    trained : Trained
    selection : DataFrame or None
        What was found at each station of fit and stop; None where all were used.
    """

    split: Split
    trained: Trained
    selection: pd.DataFrame | None


def fit_fold(
    table: TrainingTable,
    split: Split,
    params: BoostingParams,
    selection: StationSelection | None = None,
    *,
    client: Client | None = None,
    route: Route = "local",
    checkpoints: str | None = None,
    listener: Listener | None = None,
) -> FoldFit:
    """Return the model of one fold, fitted on all stations of `split.fit` or on selected ones.

    Parameters
    ----------
    table, split
        The rows, and which of them fit, stop, calibrate and test.
    params
        How trees are grown.
    selection
        Where given, it sees fit and stop rows alone, and only stations that it keeps are used.
    client, route, checkpoints, listener
        As `train_boosting`.

    Raises
    ------
    UserError
        If no station is kept to fit or to stop on, or the target is constant.
    ModelError
        If selection saw a row that it must not.
    """
    found: pd.DataFrame | None = None
    if selection is not None:
        split, found = with_selected(table, split, selection)
    trained = train_boosting(
        table.rows(split.fit),
        table.rows(split.stop),
        params,
        client=client,
        route=route,
        checkpoints=checkpoints,
        listener=listener,
    )
    return FoldFit(split, trained, found)


def with_selected(
    table: TrainingTable, split: Split, selection: StationSelection
) -> tuple[Split, pd.DataFrame]:
    """Return the split with fit and stop rows of kept stations only, and why each was kept.

    Calibrate and test rows stay whole: a model is calibrated and scored on stations that nobody
    chose.
    """
    seen = np.sort(np.concatenate([split.fit, split.stop]))
    references, rows = references_at(table, seen, selection.references)
    check_selection_leakage(split, rows)
    if references.empty:
        raise UserError(
            "no station to fit has a day on which references are known: ingest the references of "
            "[selection] for these years, or leave [selection] out"
        )
    found = select_stations(references, selection.rules)
    is_kept = table.is_at(kept_stations(found))
    fit, stop = split.fit[is_kept[split.fit]], split.stop[is_kept[split.stop]]
    for name, left in (("fit", fit), ("stop", stop)):
        if not left.size:
            raise UserError(
                f"split {split.kind!r}: triple collocation keeps {int(found['kept'].sum())} of "
                f"{len(found)} stations and none of them is in {name}: lower "
                "selection.minimum_r or selection.minimum_samples, or leave [selection] out"
            )
    return replace(split, fit=fit, stop=stop), found


def references_at(
    table: TrainingTable, rows: Index, references: pd.DataFrame
) -> tuple[pd.DataFrame, Index]:
    """Return the references at the station days of some rows, and which rows these are."""
    keys = table.frame(rows).set_axis(["station", "time"], axis="columns")
    keys = keys.assign(table_row=rows).drop_duplicates(["station", "time"])
    days = references["time"].to_numpy().astype("datetime64[D]").astype("datetime64[s]")
    at_days = references.assign(station=references["station"].astype(str), time=days)
    found = at_days.merge(keys, on=["station", "time"], how="inner", validate="many_to_one")
    return found.drop(columns="table_row"), found["table_row"].to_numpy(np.int64)
