"""The stage `train`: samples to a stored model, its card and its scores on unseen stations.

The stored model is the first fold of the station-independent split: its test stations stay unseen,
so that `validate` may compare the product with them. All other folds, the search for parameters,
importance and ablation are jobs of the cluster, made for what they say of the model alone.
"""

from __future__ import annotations

import io
import logging
from dataclasses import replace

import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.layout import Layout
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.grids.tiles import TileYear
from smcloud.ingest.stations import STATIONS
from smcloud.models.fold_jobs import TrainingData
from smcloud.models.folds import StationSelection
from smcloud.models.samples import TrainingTable, training_table
from smcloud.models.table_oddities import oddities
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.ledger import Ledger, Record
from smcloud.production.model_files import (
    TrainSummary,
    data_stamp,
    finished,
    input_hash_of,
    years_of,
)
from smcloud.production.model_files import read_scores as read_scores
from smcloud.production.references_stage import (
    build_references,
    read_selection,
    rules_of,
    thresholds_of,
    verdicts_of,
)
from smcloud.production.samples_stage import build_samples, training_keys
from smcloud.production.train_model import ModelTraining
from smcloud.production.train_request import SHIPPED as SHIPPED
from smcloud.production.train_request import TRUTH, TrainRequest, request_of
from smcloud.products.registry import product_of

log = logging.getLogger(__name__)

TRUTH_KEY = "station_days.parquet"
"""Key of the simulated truth at stations, below the truth of a run."""
DAY = "datetime64[s]"
PLACE = ("network", "latitude", "longitude")
STATIC = {"land_cover": "static_land_cover", "climate": "static_climate"}
"""What is known of a station beside its place, and how the columns that hold it begin."""


def run(config: RunConfig, client: Client | None, listener: Listener) -> TrainSummary:
    """Build the sample table of a run, train and score its model, and note it in the ledger.

    Raises
    ------
    NotFoundError
        If stations or cubes were not ingested.
    UserError
        If there are too few stations for a split.
    """
    product = product_of(config)
    rows = build_samples(config, product, client, listener)
    keys = training_keys(product, rows)
    rows, has_truth = with_truth(rows, config.store.truth)
    request = request_of(config, product, has_truth=has_truth)
    references = None
    if config.selection.use:
        references = build_references(config, product, rows, client, listener)
        rules = rules_of(config.selection, config.train.seed)
        request = replace(request, selection=rules, ship=config.selection.ship)
    summary = train_table(
        rows,
        request,
        client,
        listener,
        training_keys=tuple(map(str, keys)),
        references=references,
        sites=sites_of(rows, _sensors_of(config.layout)),
    )
    _note_in_ledger(config, summary, keys)
    if summary.assessment is None or summary.assessment.selection is None:
        return summary
    selection = read_selection(config.layout.model(config.model_name))
    return replace(
        summary,
        verdicts=verdicts_of(config, selection),
        thresholds=thresholds_of(config, selection, listener),
    )


def train_table(
    source: pd.DataFrame,
    request: TrainRequest,
    client: Client | None,
    listener: Listener,
    *,
    training_keys: tuple[str, ...] | None = None,
    references: pd.DataFrame | None = None,
    sites: pd.DataFrame | None = None,
) -> TrainSummary:
    """Train the model of a table, score it by every split, and store model, card and scores.

    Parameters
    ----------
    source
        One row per station and day, as `TableColumns` names them.
    client
        Cluster for the trainings of the other folds (and of the model, if it is distributed).
    training_keys
        TileYears of the rows; their years by default.
    references
        Collocated series by which stations are selected, where the request has a selection.
    sites
        One row per station: station and what is known of it (network, latitude, land_cover ...).

    Raises
    ------
    UserError
        If a column is missing, the target is constant, or stations are too few for a split.
    """
    refuse_memory_urls(client, [request.root])
    table = training_table(source, request.columns)
    data = _data_of(table, request, references, sites)
    stamp = data_stamp(data, request)
    input_hash = input_hash_of(stamp, request)
    done = finished(request, input_hash, table.dropped)
    if done is not None:
        listener.note(f"model {request.name} is up to date with its table: nothing to train")
        return done
    for line in oddities(table, request.target_units):
        listener.note(line)
    keys = training_keys if training_keys is not None else years_of(table)
    training = ModelTraining(request, data, sites, stamp, client, listener)
    return training.run(keys, input_hash)


def with_truth(rows: pd.DataFrame, truth: str) -> tuple[pd.DataFrame, bool]:
    """Return the rows with the truth of their pixels, where a simulated Earth knows it.

    Parameters
    ----------
    rows
        The sample table: station, time and others.
    truth
        URL of the truth; empty where there is none.

    Returns
    -------
    rows, has_truth
        With a column of NaN where the truth of a day is unknown; unchanged without a truth.
    """
    if not truth:
        return rows, False
    try:
        data = open_objects(truth).get(TRUTH_KEY)
    except NotFoundError:
        return rows, False
    known = pd.read_parquet(io.BytesIO(data))[["station", "time", TRUTH]]
    days = rows[["station", "time"]].astype({"station": str, "time": DAY})
    known = known.astype({"station": str, "time": DAY}).drop_duplicates(["station", "time"])
    found = days.merge(known, on=["station", "time"], how="left")[TRUTH]
    return rows.assign(**{TRUTH: found.to_numpy("float32")}), bool(found.notna().any())


def sites_of(rows: pd.DataFrame, sensors: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row per station of a sample table: network, place, land cover and climate.

    Parameters
    ----------
    rows
        station, and of network, latitude and longitude those that are known.
    sensors
        The table of `smcloud ingest ismn`, whose ``static_*`` columns hold land cover and climate;
        None leaves both out. Of several years of land cover the last counts.
    """
    first = rows.drop_duplicates("station").astype({"station": str})
    kept = [name for name in ("station", *PLACE) if name in first]
    sites = first[kept].reset_index(drop=True)
    if sensors is None:
        return sites
    facts = pd.DataFrame({"station": sensors["network"] + "/" + sensors["station"]})
    for name, prefix in STATIC.items():
        columns = sorted(name for name in map(str, sensors) if name.startswith(prefix))
        if columns:
            known = sensors[columns[-1]]
            facts[name] = known.astype(str).where(known.notna())
    return sites.merge(facts.drop_duplicates("station"), on="station", how="left")


def _sensors_of(layout: Layout) -> pd.DataFrame | None:
    try:
        data = open_objects(layout.stations).get(STATIONS)
    except NotFoundError:
        return None
    return pd.read_parquet(io.BytesIO(data))


def _data_of(
    table: TrainingTable,
    request: TrainRequest,
    references: pd.DataFrame | None,
    sites: pd.DataFrame | None,
) -> TrainingData:
    """Return what jobs read; raises UserError for a network that the table does not have."""
    networks: dict[str, str] = {}
    if sites is not None and "network" in sites:
        known = sites.dropna(subset="network")
        networks = dict(
            zip(known["station"].astype(str), known["network"].astype(str), strict=True)
        )
    for name in request.held_out_networks:
        if name not in networks.values():
            there = ", ".join(sorted(set(networks.values()))) or "none: name their column"
            raise UserError(f"no station is of the held-out network {name!r}; there are {there}")
    selection = None
    if request.selection is not None:
        if references is None:
            raise UserError("a selection of stations needs references: none were given")
        # Intervals decide nothing: the folds do without them.
        rules = replace(request.selection, bootstrap_draws=0)
        selection = StationSelection(references, rules)
    held = {name for name, network in networks.items() if network in request.held_out_networks}
    return TrainingData(
        table, request.rules, selection, frozenset(held), networks, request.most_rows
    )


def _note_in_ledger(config: RunConfig, summary: TrainSummary, keys: tuple[TileYear, ...]) -> None:
    """Record the model at each tile-year that taught it, unless that is known already."""
    card = summary.card
    ledger = Ledger(config.store.root, f"train/{card.name}")
    for key in keys:
        known = ledger.records(key.year).get(key)
        shards = {f"{card.sha256}.ubj": card.sha256}
        if known is None or known.shards != shards or known.input_hash != card.input_hash:
            figures = {"rounds": float(card.rounds), "rows": float(card.sets["fit"]["rows"])}
            ledger.write(
                Record(f"train/{card.name}", key, card.input_hash, shards, figures=figures)
            )
