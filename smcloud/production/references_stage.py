"""References at stations: the table that triple collocation chooses stations by.

One row a station and day of the sample table, with the value of each product of others in the cell
that contains the station. A tile's stations and a year are one task, which reads the coarse cubes
only; frozen days are left out, for what is measured then is not the same water.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig, SelectionConfig
from smcloud.core.errors import UserError
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import open_objects
from smcloud.features.references import REFERENCES, Places, check_references, reference_days
from smcloud.features.spec import CubeSet, Floats32, Quality
from smcloud.features.table import QUALITY, SITE_COLUMNS, TARGET, write_table
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.runner import Task, run_tasks
from smcloud.products.base import Product
from smcloud.validation.selection import SelectionRules, kept_at
from smcloud.validation.verdicts import Verdicts, by_threshold, precision_recall

WINDOW = 64
"""Tile-years of stations that are out at a time; each is small."""
SELECTION = "selection.parquet"
"""Key of the table of kept and dropped stations below a model."""
STATION_TRUTH = "stations.parquet"
"""Key of what the simulated Earth knows of its stations, below its truth."""


@dataclass(frozen=True, eq=False)
class _Group:
    """Rows of the table that one task fills.

    Attributes
    ----------
    places : Places
    rows : (n,)
        Row numbers in the table.
    day, station : (n,)
        Day of the year from 0, and place in `places`, of each row.
    """

    places: Places
    rows: NDArray[np.intp]
    day: NDArray[np.intp]
    station: NDArray[np.intp]


def references_name(model: str) -> str:
    """Return the name of the references table of a model (`Layout.table`)."""
    return f"{model}-references"


def rules_of(config: SelectionConfig, seed: int = 0) -> SelectionRules:
    """Return the rules that a run file asks for.

    Raises
    ------
    ConfigError
        As `SelectionRules`; if a product is not among those that are collocated with stations.
    """
    rules = SelectionRules(
        members=config.members,
        again=config.again,
        otherwise=config.otherwise,
        minimum_r=config.minimum_r,
        minimum_samples=config.minimum_samples,
        form=config.form,
        bootstrap_draws=config.draws,
        block_days=config.block_days,
        seed=seed,
    )
    check_references(rules.columns)
    return rules


def build_references(
    config: RunConfig,
    product: Product,
    rows: pd.DataFrame,
    client: Client | None,
    listener: Listener,
) -> pd.DataFrame:
    """Return the references table of a run and store it; it is built anew each time.

    Parameters
    ----------
    config, product
        The run; its section `selection` says which products are collocated.
    rows
        The sample table of the run (`samples_stage.build_samples`).
    client
        Cluster to run on; None runs the tasks in this process.

    Returns
    -------
    station, network, latitude, longitude, tile, row, col, time, soil_moisture (in situ, m3 m-3),
    one float32 column a reference in the units of its source (cci_active: % of saturation); NaN for
    unknown, sorted as `rows`. Days that the reanalysis calls frozen are not in it.

    Raises
    ------
    CubeError
        If a cube is damaged.
    """
    names = [name for name in REFERENCES if name in config.selection.sources]
    urls = {name: config.cube_prefix(name) for name in names}
    refuse_memory_urls(client, urls.values())
    thawed = (rows[QUALITY].to_numpy() & int(Quality.FROZEN_OR_SNOW)) == 0
    table: pd.DataFrame = rows.loc[thawed, [*SITE_COLUMNS, TARGET]].reset_index(drop=True)
    columns = _collocated(CubeSet(urls), names, table, client, listener)
    table = table.assign(**columns)
    _tell_unknown(names, table, listener)
    write_table(config.layout.table(references_name(config.model_name)), table)
    return table


def _collocated(
    cubes: CubeSet,
    names: Sequence[str],
    table: pd.DataFrame,
    client: Client | None,
    listener: Listener,
) -> dict[str, Floats32]:
    """Return each reference at each row of the table."""
    groups = {_key(group.places): group for group in _groups(table)}
    columns = {name: np.full(len(table), np.nan, np.float32) for name in names}
    listener.begin("references", len(groups), "tile-years of stations")

    def keep(task: Task[dict[str, Floats32]], found: Mapping[str, Floats32]) -> None:
        group = groups[task.key]
        for name, values in found.items():
            columns[name][group.rows] = values[group.day, group.station]
        listener.advance(1)

    tasks = [
        Task(key, reference_days, (cubes, tuple(names), group.places))
        for key, group in groups.items()
    ]
    run_tasks(client, tasks, window=WINDOW, on_done=keep, listener=listener)
    listener.end()
    return columns


def _groups(table: pd.DataFrame) -> list[_Group]:
    """Return the rows of the table by tile and year, in that order."""
    year = table["time"].dt.year
    groups = []
    for _, part in table.groupby([table["tile"], year], sort=True):
        places, first = np.unique(part["station"].to_numpy(str), return_index=True)
        which = int(part["time"].dt.year.iloc[0])
        days = part["time"].to_numpy().astype("datetime64[D]") - np.datetime64(f"{which:04d}-01-01")
        groups.append(
            _Group(
                Places(
                    str(part["tile"].iloc[0]),
                    which,
                    part["longitude"].to_numpy(np.float64)[first],
                    part["latitude"].to_numpy(np.float64)[first],
                ),
                part.index.to_numpy(np.intp),
                days.astype(np.intp),
                np.searchsorted(places, part["station"].to_numpy(str)).astype(np.intp),
            )
        )
    return groups


def _key(places: Places) -> str:
    return f"references-{places.tile}-{places.year}"


def _tell_unknown(names: Sequence[str], table: pd.DataFrame, listener: Listener) -> None:
    """Warn of a reference that no station has a value of: every station will be dropped."""
    for name in names:
        known = int(table[name].notna().sum())
        if not known:
            listener.warn(
                f"{name} has no value at any of {counted(len(table), 'station days')}: look at "
                "what was ingested of it, or name other selection.members"
            )


def write_selection(model_url: str, selection: pd.DataFrame) -> str:
    """Store the table of `select_stations` below a model; return its key."""
    open_objects(model_url).put(SELECTION, selection.to_parquet(index=False, compression="zstd"))
    return SELECTION


def read_selection(model_url: str) -> pd.DataFrame:
    """Return the table that `write_selection` stored.

    Raises
    ------
    NotFoundError
        If the model was trained without selection.
    """
    return pd.read_parquet(io.BytesIO(open_objects(model_url).get(SELECTION)))


def station_truth(config: RunConfig) -> pd.DataFrame | None:
    """Return which stations are representative; None where no simulated Earth knows."""
    if not config.store.truth:
        return None
    truth = open_objects(config.store.truth)
    if not truth.exists(STATION_TRUTH):
        return None
    return pd.read_parquet(io.BytesIO(truth.get(STATION_TRUTH)))


def verdicts_of(config: RunConfig, selection: pd.DataFrame) -> Verdicts | None:
    """Return how often a selection is right; None where no simulated Earth knows."""
    truth = station_truth(config)
    return None if truth is None else precision_recall(selection, truth)


def thresholds_of(
    config: RunConfig, selection: pd.DataFrame, listener: Listener
) -> pd.DataFrame | None:
    """Return what other thresholds would keep, as `verdicts.by_threshold`.

    None, with a warning, where the table of stations was made by other rules than the run file
    has now.
    """
    try:
        rules = rules_of(config.selection, config.train.seed)
        is_theirs = kept_at(selection, rules, rules.minimum_r) == selection["kept"].to_numpy(bool)
        if is_theirs.all():
            return by_threshold(selection, rules, station_truth(config))
        why = "other thresholds are not told: [selection] has changed since the model was trained"
    except UserError as err:
        why = f"other thresholds are not told: {err}"
    listener.warn(why)
    return None
