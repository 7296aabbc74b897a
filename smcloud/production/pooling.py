"""Fold scores made into an assessment: pooled, broken down by kind of test station, and listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from smcloud.core.errors import UserError
from smcloud.models.fold_jobs import TrainingData
from smcloud.models.folds import Variant, references_at
from smcloud.models.scoring import (
    MIN_TEST_ROWS,
    POINT,
    SUMS,
    TRUTH,
    FoldScores,
    SplitScores,
    merged,
    pooled,
    summary,
)
from smcloud.production.assessment import Against, StrategyScores
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats
from smcloud.validation.selection import kept_stations, select_stations
from smcloud.validation.splits import SplitKind

SITE_COLUMNS = ("network", "latitude", "longitude", "land_cover", "climate")


@dataclass(frozen=True, eq=False)
class KnownStations:
    """What is known of the stations that models are tested on.

    Attributes
    ----------
    sites : DataFrame
        One row per station: station, and of `SITE_COLUMNS` those that are known.
    passing : frozenset of str or None
        Stations that pass the rule of selection themselves; None without a selection.
    """

    sites: pd.DataFrame
    passing: frozenset[str] | None


def stations_of(data: TrainingData, sites: pd.DataFrame | None) -> KnownStations:
    """Return what is known of every station of a table.

    Whether a station passes the rule is judged on all its days. It says what the scores of a model
    are broken down by, and decides nothing that a model learns from.
    """
    names = pd.DataFrame({"station": data.table.names.astype(str)})
    known = names if sites is None else names.merge(sites, on="station", how="left")
    if data.selection is None:
        return KnownStations(known, None)
    everywhere = np.arange(data.table.order.size)
    references, _ = references_at(data.table, everywhere, data.selection.references)
    try:
        passing = kept_stations(select_stations(references, data.selection.rules))
    except UserError:
        passing = frozenset()
    return KnownStations(known, passing)


def split_scores(
    found: Sequence[FoldScores], variant: Variant, seed: int, order: Sequence[SplitKind]
) -> dict[SplitKind, SplitScores]:
    """Return the pooled scores of one variant by split."""
    by_kind = {
        kind: [fold for fold in found if (fold.kind, fold.variant) == (kind, variant)]
        for kind in order
    }
    return {kind: pooled(folds, seed) for kind, folds in by_kind.items() if folds}


def strategies(
    found: Sequence[FoldScores], stations: KnownStations, seed: int
) -> tuple[StrategyScores, ...]:
    """Return the scores of every split and variant against every kind of test stations.

    Those of the split "network" come once more for each network of its test stations.
    """
    scores: list[StrategyScores] = []
    keys = dict.fromkeys((fold.kind, fold.variant) for fold in found)
    for kind, variant in keys:
        folds = [fold for fold in found if (fold.kind, fold.variant) == (kind, variant)]
        parts = [fold.stations for fold in folds if fold.possible]
        if not parts:
            scores.append(_impossible(kind, variant, folds[0].why_not))
            continue
        wanted: list[tuple[Against, str]] = [(one, "") for one in _against(parts, stations)]
        if kind == "network":
            wanted += [("all", network) for network in _networks(parts, stations)]
        scores += [
            _scored(kind, variant, against, network, parts, stations, seed)
            for against, network in wanted
        ]
    return tuple(scores)


def station_rows(found: Sequence[FoldScores], stations: KnownStations) -> pd.DataFrame:
    """Return one row per split, fold, variant and test station: scores and what is known of it.

    Returns
    -------
    split, fold, variant, station, n, R, RMSE, ubRMSE, bias, is_selected (missing without a
    selection), R_truth, ubRMSE_truth (NaN without a truth), the columns of the sites, block, and
    the sums behind the scores (fields of `PairStats` after ``point_`` and ``truth_``).
    """
    parts = []
    for fold in found:
        if not fold.possible:
            continue
        rows = fold.stations
        point = all_scores(_sums(rows, POINT))
        columns: dict[str, Any] = {
            "split": fold.kind,
            "fold": fold.fold,
            "variant": fold.variant,
            "station": rows["station"].astype(str),
            "n": rows["point_n"].astype(np.int64),
            **{name: point[name] for name in ("R", "RMSE", "ubRMSE", "bias")},
            "is_selected": _passes(rows["station"], stations),
        }
        truth = all_scores(_sums(rows, TRUTH)) if _has_truth(rows) else {}
        for name in ("R", "ubRMSE"):
            columns[f"{name}_truth"] = truth.get(name, np.full(len(rows), np.nan))
        sums = [name for name in rows if str(name).startswith((f"{POINT}_", f"{TRUTH}_"))]
        listed = pd.DataFrame(columns).merge(stations.sites, on="station", how="left")
        parts.append(pd.concat([listed, rows[["block", *sums]]], axis=1))
    return pd.concat(parts, ignore_index=True)


def _passes(names: pd.Series, stations: KnownStations) -> pd.Series:
    """Return whether each station passes the rule itself; missing without a selection."""
    if stations.passing is None:
        return pd.Series(pd.NA, index=names.index, dtype="boolean")
    return names.isin(stations.passing).astype("boolean")


def _impossible(kind: SplitKind, variant: Variant, why_not: str) -> StrategyScores:
    return StrategyScores(kind, variant, "all", "", 0, 0, 0, {}, {}, why_not)


def _against(parts: Sequence[pd.DataFrame], stations: KnownStations) -> list[Against]:
    found: list[Against] = ["all"]
    if stations.passing is not None:
        found.append("selected")
    if all(_has_truth(part) for part in parts):
        found.append("truth")
    return found


def _scored(
    kind: SplitKind,
    variant: Variant,
    against: Against,
    network: str,
    parts: Sequence[pd.DataFrame],
    stations: KnownStations,
    seed: int,
) -> StrategyScores:
    if against == "selected":
        passing = stations.passing or frozenset()
        parts = [part[part["station"].isin(passing)] for part in parts]
    if network:
        sites = stations.sites
        there = set(sites.loc[sites["network"] == network, "station"])
        parts = [part[part["station"].isin(there)] for part in parts]
    parts = [part.reset_index(drop=True) for part in parts if len(part)]
    if not parts:
        why = "no test station passes the rule of selection itself"
        return StrategyScores(kind, variant, against, network, 0, 0, 0, {}, {}, why)
    _, blocks, sums = merged(parts, TRUTH if against == "truth" else POINT)
    overall, median = summary(sums, blocks, seed)
    tested = sums.n >= MIN_TEST_ROWS
    return StrategyScores(
        kind,
        variant,
        against,
        network,
        len(parts),
        int(tested.sum()),
        int(sums.n[tested].sum()),
        overall,
        median,
    )


def _networks(parts: Sequence[pd.DataFrame], stations: KnownStations) -> list[str]:
    if "network" not in stations.sites:
        return []
    tested = set(pd.concat(parts)["station"])
    sites = stations.sites[stations.sites["station"].isin(tested)]
    return sorted(set(sites["network"].dropna().astype(str)))


def _has_truth(rows: pd.DataFrame) -> bool:
    return f"{TRUTH}_n" in rows


def _sums(rows: pd.DataFrame, against: str) -> PairStats:
    return PairStats(*(rows[f"{against}_{name}"].to_numpy(np.float64) for name in SUMS))


def coverages(
    found: Sequence[FoldScores], shipped: Variant, stored: Mapping[SplitKind, Any]
) -> dict[SplitKind, Any]:
    """Return what was found of the coverage, by test set; that of the stored model first."""
    figures: dict[SplitKind, Any] = dict(stored)
    for fold in found:
        if fold.variant == shipped and fold.figures and fold.kind not in figures:
            figures[fold.kind] = fold.figures["coverage"]
    return figures
