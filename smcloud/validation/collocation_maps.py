"""Triple collocation of every cell of a grid: block by block, wherever the blocks are.

A cell's figures come from its own series alone, and are added up in a fixed order: maps that
are computed in one piece, in any chunks, by threads or on a cluster have the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from smcloud.core.errors import UserError
from smcloud.cube.schema import Days
from smcloud.validation.anomalies import WINDOW_DAYS, anomalies
from smcloud.validation.collocation_sums import Series
from smcloud.validation.pairs import Floats
from smcloud.validation.triple_collocation import (
    FEW,
    MEMBERS,
    MINIMUM,
    Status,
    TripleCollocation,
    bootstrap,
)

TIME = "time"
FIGURES = {
    "error_variance": "error variance of each member, in its own squared units",
    "error_std": "error standard deviation of each member, in its own units",
    "r": "correlation of each member with the unknown truth",
    "r2": "squared correlation of each member with the unknown truth",
    "snr_db": "signal to noise ratio of each member, dB",
    "beta": "factor that brings each member to the first",
}
"""What a map shows for each member."""
ENDS = {
    f"{figure}_{end}": f"{side} end of the interval of the {words}"
    for figure, words in (("r", "correlation"), ("error_std", "error"), ("beta", "factor"))
    for end, side in (("low", "lower"), ("high", "upper"))
}
"""What it shows beside that when intervals are asked for."""


@dataclass(frozen=True)
class MapRules:
    """How the cells of a map are judged."""

    minimum: int = MINIMUM
    few: int = FEW
    is_anomaly: bool = False
    """Whether the climatology of each series is removed first."""
    window_days: int = WINDOW_DAYS
    """Window of the climatology."""
    draws: int = 0
    """Draws of the bootstrap; 0 makes no intervals."""
    block_days: int = 30
    confidence: float = 0.95
    seed: int = 0

    @property
    def figures(self) -> dict[str, str]:
        """What is shown for each member, with words for it."""
        return {**FIGURES, **ENDS} if self.draws else FIGURES


def collocation_maps(
    x: xr.DataArray,
    y: xr.DataArray,
    z: xr.DataArray,
    *,
    names: Sequence[str] = ("x", "y", "z"),
    rules: MapRules | None = None,
) -> xr.Dataset:
    """Return the figures of `TripleCollocation` for every cell, lazily if the members are lazy.

    Parameters
    ----------
    x, y, z
        Members on one grid, dims ("time", ...), NaN unknown, each in units of its own; `time` has
        the days. The first lazy member's chunks are the blocks if they hold whole series; else
        blocks of at most ``array.chunk-size`` of Dask's configuration are cut. A task holds one
        block of each member, and beside it one row of cells at a time.
    names
        Of the members, for the coordinate ``member``.

    Returns
    -------
    xr.Dataset
        ``n`` and ``status`` with the dims of a cell; the figures with ``member`` before them.
        NaN as in `TripleCollocation`.

    Raises
    ------
    UserError
        When the members have not the same dims, cells and times, or are not three.
    """
    rules = rules or MapRules()
    members = _blocks_of_whole_series(_on_one_grid([x, y, z], names))
    days = _days_of(members[0], rules)
    layers = xr.apply_ufunc(
        partial(_collocate, days=days, rules=rules),
        *members,
        input_core_dims=[[TIME]] * MEMBERS,
        output_core_dims=[["layer"]],
        keep_attrs=False,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"layer": 2 + MEMBERS * len(rules.figures)}},
    )
    return _named(layers, names, rules)


def _collocate(x: Series, y: Series, z: Series, *, days: Days, rules: MapRules) -> Floats:
    """Return (..., layers) of three members (..., times): n, status, and each figure thrice."""
    times = x.shape[-1]
    rows = [member.reshape(-1, *member.shape[-2:]) for member in (x, y, z)]
    out = [
        _layers(_judge(np.stack(row, axis=-2).reshape(-1, MEMBERS, times), days, rules), rules)
        for row in zip(*rows, strict=True)
    ]
    n_layers = 2 + MEMBERS * len(rules.figures)
    return np.array(out, dtype=np.float64).reshape(*x.shape[:-1], n_layers)


def _judge(values: Series, days: Days, rules: MapRules) -> TripleCollocation:
    if rules.is_anomaly:
        values = anomalies(values, days, window_days=rules.window_days)
    return bootstrap(
        values,
        seed=rules.seed,
        draws=rules.draws,
        block_days=rules.block_days,
        confidence=rules.confidence,
        minimum=rules.minimum,
        few=rules.few,
    )


def _layers(found: TripleCollocation, rules: MapRules) -> Floats:
    columns = [found.n[:, None], found.status[:, None]]
    return np.concatenate([*columns, *(getattr(found, name) for name in rules.figures)], axis=1)


def _named(layers: xr.DataArray, names: Sequence[str], rules: MapRules) -> xr.Dataset:
    """Return each layer under its name."""
    n = layers.isel(layer=0).astype(np.int32)
    status = layers.isel(layer=1).astype(np.uint8)
    bits = [bit for bit in Status if bit]
    maps = {
        "n": n.assign_attrs(long_name="common samples of the three members", units="1"),
        "status": status.assign_attrs(
            long_name="what stands against the result",
            flag_masks=np.array(bits, np.uint8),
            flag_meanings=" ".join(str(bit.name).lower() for bit in bits),
        ),
    }
    for place, (figure, words) in enumerate(rules.figures.items()):
        first = 2 + MEMBERS * place
        part = layers.isel(layer=slice(first, first + MEMBERS)).rename(layer="member")
        part = part.assign_coords(member=list(names)).transpose("member", ...)
        maps[figure] = part.assign_attrs(long_name=words)
    return xr.Dataset(maps)


def _days_of(member: xr.DataArray, rules: MapRules) -> Days:
    days = member[TIME].to_numpy()
    if rules.is_anomaly and not np.issubdtype(days.dtype, np.datetime64):
        raise UserError(
            f"a climatology needs days: expected datetime64 in {TIME!r}, found {days.dtype}"
        )
    return np.asarray(days.astype("datetime64[D]"))


def _on_one_grid(members: list[xr.DataArray], names: Sequence[str]) -> list[xr.DataArray]:
    if len(set(names)) != MEMBERS:
        raise UserError(f"triple collocation needs three members of different names, found {names}")
    for member, name in zip(members, names, strict=True):
        if TIME not in member.dims or member.ndim < 2:
            raise UserError(
                f"{name}: expected dims (time, ...) with cells beside time, found {member.dims}"
            )
    try:
        aligned = xr.align(*members, join="exact", copy=False)
    except ValueError as err:
        raise UserError(
            f"{', '.join(names)} are not on one grid with the same times: "
            f"bring them to one first ({str(err).splitlines()[0]})"
        ) from err
    found = {frozenset(member.sizes.items()) for member in aligned}
    if len(found) != 1:
        shapes = ", ".join(str(dict(member.sizes)) for member in aligned)
        raise UserError(f"expected three members of one shape, found {shapes}")
    return list(aligned)


def _blocks_of_whole_series(members: list[xr.DataArray]) -> list[xr.DataArray]:
    """Return members on Dask in chunks of whole series, all alike; others as they are."""
    lazy = next((member for member in members if member.chunks is not None), None)
    if lazy is None:
        return members
    if len(lazy.chunksizes[TIME]) > 1:
        lazy = lazy.chunk({TIME: -1} | {dim: "auto" for dim in lazy.dims if dim != TIME})
    return [member.chunk(lazy.chunksizes) for member in members]
