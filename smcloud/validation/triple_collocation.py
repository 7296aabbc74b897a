"""Errors of three data sets of one quantity, from their covariances alone; none is the truth.

Member i is taken to be ``x_i = a_i + b_i t + e_i`` with the truth t, errors e that are
independent of t and of each other, and all of them stationary. Then each covariance of two members
is ``C_ij = b_i b_j var(t)``, and three members give every unknown but the scale of t
(Stoffelen 1998; in covariance form Gruber et al. 2016, doi:10.1016/j.jag.2015.09.002)::

    signal variance   S_i = C_ij C_ik / C_jk            as member i sees it, b_i^2 var(t)
    error variance    E_i = C_ii - S_i                  in the units of member i, unscaled
    correlation       R_i = +- sqrt(S_i / C_ii)         McColl et al. 2014, doi:10.1002/2014GL061322
    SNR               10 log10(S_i / E_i)               in dB
    scaling           beta_y = C_xz / C_yz, beta_z = C_xy / C_yz       brings y and z to x

What breaks the assumptions, or too few samples, makes some of these impossible: a variance below
zero, or covariances whose signs contradict each other. Such series keep their (signed) variance,
have NaN where no number exists, and a bit of `Status`; nothing is dropped. Errors of y and z that
are correlated make C_yz too large: x then looks worse than it is, y and z better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntFlag

import numpy as np
import numpy.typing as npt
from scipy.stats import norm as normal
from scipy.stats import t as student

from smcloud.core.errors import UserError
from smcloud.validation.collocation_sums import (
    N_SUMS,
    Series,
    common_sums,
    draw_blocks,
)
from smcloud.validation.pairs import Floats

MEMBERS = 3
MINIMUM = 100
"""Fewer common samples give no result: the usual floor of triple collocation."""
FEW = 500
"""Fewer are flagged: the sampling error of a variance alone is sqrt(2/n), 6 % of it at 500."""
CELLS_PER_BLOCK = 5
"""A block of the bootstrap starts at every fifth of its length, or more often."""
PIECE_BYTES = 2**25
"""Temporary arrays of the bootstrap stay about this large, however many series there are."""
ERROR, R, BETA = range(3)
"""The order of what the bootstrap draws."""


class Status(IntFlag):
    """What stands against the result of a series; OK when nothing does."""

    OK = 0
    TOO_FEW = 1
    """Fewer common samples than the minimum: every figure is NaN."""
    FEW = 2
    CONSTANT = 4
    """A member does not vary over the common samples: every figure is NaN."""
    NEGATIVE_VARIANCE = 8
    """An error variance is below zero: its member has no error_std and no SNR, and |r| > 1."""
    NEGATIVE_CORRELATION = 16
    """Two members do not covary positively. If one alone is against the other two, its r is
    negative; if the signs contradict each other, no member has an r or an SNR."""
    ABSENT = 32
    """A member has no value at all: there are fewer than three."""


MEANINGS = {
    Status.ABSENT: "a member has no value at all",
    Status.TOO_FEW: "too few common samples",
    Status.FEW: "few common samples",
    Status.CONSTANT: "a member does not vary",
    Status.NEGATIVE_VARIANCE: "an error variance is negative",
    Status.NEGATIVE_CORRELATION: "members are not positively correlated",
}


def counted_status(status: npt.NDArray[np.uint8]) -> dict[str, int]:
    """Return how many series there are, how many are ok, and how many have each bit, in words."""
    found = {"series": status.size, "ok": int((status == Status.OK).sum())}
    for bit, words in MEANINGS.items():
        found[words] = int(((status & bit) != 0).sum())
    return found


@dataclass(frozen=True, eq=False)
class TripleCollocation:
    """Results of many series; arrays (n_series, 3), one column per member, unless said.

    NaN: the figure does not exist, and `status` says why. Ends of intervals are None where no
    bootstrap was asked for; they are cut to what can be (error_std >= 0, -1 <= r <= 1).
    """

    n: npt.NDArray[np.int64]
    """(n_series,): times at which all three members are known."""
    error_variance: Floats
    """Squared units of each member; negative where the estimate is."""
    error_std: Floats
    """Unscaled, in the units of each member; NaN where the variance is negative."""
    r: Floats
    """Correlation of each member with the truth; beyond 1 where the variance is negative."""
    r2: Floats
    """Signal variance over variance; negative where the signs of the covariances contradict."""
    snr_db: Floats
    beta: Floats
    """Factor that brings each member's variation to that of member 0; 1 for member 0."""
    status: npt.NDArray[np.uint8]
    """(n_series,): bits of `Status`."""
    r_low: Floats | None = None
    r_high: Floats | None = None
    error_std_low: Floats | None = None
    error_std_high: Floats | None = None
    beta_low: Floats | None = None
    beta_high: Floats | None = None

    @property
    def error_std_scaled(self) -> Floats:
        """Error standard deviations in the units of member 0: error_std times beta, unsigned.

        pytesmo leaves the sign of a negative beta; no standard deviation has one.
        """
        return np.asarray(self.error_std * np.abs(self.beta))

    @property
    def snr_db_low(self) -> Floats | None:
        """Lower end of the SNR, dB: it rises with r; -inf where r may be 0."""
        return None if self.r_low is None else _snr_of(self.r_low)

    @property
    def snr_db_high(self) -> Floats | None:
        """Upper end of the SNR, dB; inf where r may be 1."""
        return None if self.r_high is None else _snr_of(self.r_high)

    def absolute(self) -> TripleCollocation:
        """Return the results with absolute values where variances are negative.

        As Gruber et al. 2020 (doi:10.1016/j.rse.2020.111806, eq. 11) and pytesmo have it for the
        SNR: the root of |E| and ``-10 log10(| 1/|r2| - 1 |)``. The bits of `status` remain.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = -10 * np.log10(np.abs(1 / np.abs(self.r2) - 1))
        return replace(self, error_std=np.sqrt(np.abs(self.error_variance)), snr_db=snr)

    def counts(self) -> dict[str, int]:
        """Return how many series there are, how many are ok, and how many have each bit."""
        return counted_status(self.status)


def triple_collocation(
    values: npt.ArrayLike, *, minimum: int = MINIMUM, few: int = FEW
) -> TripleCollocation:
    """Return errors, correlations, SNR and scaling of the three members of each series.

    Parameters
    ----------
    values
        (n_series, 3, n_times), NaN unknown; each member may have units of its own. Only times
        count at which all three are known. Covariances have n - 1 below them.
    minimum
        Series of fewer common samples have the status TOO_FEW and no figures.
    few
        Series of fewer have the status FEW, and figures.

    Raises
    ------
    UserError
        When there are not three members, or `minimum` is below 3. One series that cannot be
        judged raises nothing: it has a status.
    """
    series = _checked(values, minimum)
    sums, means, is_present = common_sums(series, max(series.shape[-1], 1))
    totals = sums.sum(axis=1)  # one cell, or none where there is no time at all
    n, covariance = totals[:, 0], covariances(totals)
    status = _why_no_figures(n, means, is_present, covariance, minimum)
    covariance[status != Status.OK] = np.nan
    signal = signal_variance(covariance)
    variance = _diagonal(covariance)
    error = variance - signal
    _mark(status, (minimum <= n) & (n < few), Status.FEW)
    _mark(status, (error < 0).any(axis=-1), Status.NEGATIVE_VARIANCE)
    _mark(status, (_off_diagonal(covariance) <= 0).any(axis=-1), Status.NEGATIVE_CORRELATION)
    return TripleCollocation(
        n=n.astype(np.int64),
        error_variance=error,
        error_std=_root(error),
        r=extended_r(covariance),
        r2=_ratio(signal, variance),
        snr_db=_decibels(signal, error),
        beta=scaling(covariance),
        status=status,
    )


def bootstrap(
    values: npt.ArrayLike,
    *,
    seed: int,
    draws: int = 1000,
    block_days: int = 30,
    confidence: float = 0.95,
    minimum: int = MINIMUM,
    few: int = FEW,
) -> TripleCollocation:
    """Return `triple_collocation` with confidence intervals of r, error_std and beta.

    A circular block bootstrap in time (Politis and Romano 1992), since soil moisture and its
    errors remember: whole blocks of days are drawn with replacement, all three members together.
    The ends are percentiles of the draws, of the signed variance and of r, so that draws without
    an error_std or an r still count, an r as 0; they lie further out the fewer the blocks are
    (expanded percentiles, Hesterberg 2015, doi:10.1080/00031305.2015.1089789). Cells of time (a
    fifth of a block, or less) without a common sample are left out first. Every series sees the
    same random numbers: a result does not depend on what other series were asked for.

    Parameters
    ----------
    values
        As in `triple_collocation`; the steps of time are days.
    seed
        Seeds the draws.
    draws
        0 leaves the intervals out.
    block_days
        Length of a block: longer than the errors remember, much shorter than the series. 1 draws
        single days, as if they were independent. Default [M].
    confidence
        How often the interval should hold the truth.

    Raises
    ------
    UserError
        As `triple_collocation`, and when `draws`, `block_days` or `confidence` make no sense.
    """
    _check_draws(draws, block_days, confidence)
    found = triple_collocation(values, minimum=minimum, few=few)
    if not draws:
        return found
    series = _checked(values, minimum)
    cell = cell_days(block_days)
    length, n_cells = block_days // cell, -(-series.shape[-1] // cell)
    chances = np.random.default_rng(seed).random((draws, n_cells // length + 1))
    ends = np.full((len(series), 3, MEMBERS, 2), np.nan)
    for piece in _pieces(len(series), draws + n_cells):
        sums, *_ = common_sums(series[piece], cell)
        blocks = (sums[..., 0] > 0).sum(axis=1) / length
        ends[piece] = _ends(draw_blocks(sums, length, chances), _tails(blocks, confidence))
    ends[(found.status & (Status.TOO_FEW | Status.CONSTANT)) != 0] = np.nan
    return _with_intervals(found, ends)


def covariances(sums: Floats) -> Floats:
    """Return the covariance matrices (..., 3, 3) of sums (..., N_SUMS); NaN below two samples."""
    n = sums[..., 0]
    means = sums[..., 1:4] / np.where(n > 0, n, np.nan)[..., None]
    free = np.where(n > 1, n - 1, np.nan)
    out = np.empty((*n.shape, MEMBERS, MEMBERS))
    for which, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), start=4):
        product = (sums[..., which] - sums[..., 1 + i] * means[..., j]) / free
        out[..., i, j] = out[..., j, i] = product
    return out


def signal_variance(covariance: Floats) -> Floats:
    """Return the variance of the truth as each member sees it, (..., 3), from (..., 3, 3).

    S_i = C_ij C_ik / C_jk, in squared units of member i. Negative where the signs contradict
    each other; NaN where the other two members have no covariance at all.
    """
    xy, xz, yz = np.moveaxis(_off_diagonal(covariance), -1, 0)
    return np.stack([_ratio(xy * xz, yz), _ratio(xy * yz, xz), _ratio(xz * yz, xy)], axis=-1)


def extended_r(covariance: Floats) -> Floats:
    """Return the correlation of each member with the truth, (..., 3), from (..., 3, 3).

    The root of S_i / C_ii (McColl et al. 2014). The sign of the truth is unknowable; it is taken
    such that at least two members follow it, and a member against both others has r < 0.
    NaN where the signs of the covariances contradict each other; beyond 1 where S_i > C_ii.
    """
    root = _root(_ratio(signal_variance(covariance), _diagonal(covariance)))
    xy, xz, yz = np.moveaxis(_off_diagonal(covariance) < 0, -1, 0)
    is_against = np.stack([xy & xz, xy & yz, xz & yz], axis=-1)
    return np.asarray(np.where(is_against, -root, root))


def scaling(covariance: Floats) -> Floats:
    """Return the factors that bring each member to member 0, (..., 3), from (..., 3, 3)."""
    xy, xz, yz = np.moveaxis(_off_diagonal(covariance), -1, 0)
    beta_y, beta_z = _ratio(xz, yz), _ratio(xy, yz)
    return np.stack([np.where(np.isnan(xy), np.nan, 1.0), beta_y, beta_z], axis=-1)


def cell_days(block_days: int) -> int:
    """Return the longest cell, in days, of which a block is `CELLS_PER_BLOCK` or more, else 1."""
    cells = range(block_days // CELLS_PER_BLOCK, 0, -1)
    return next((cell for cell in cells if block_days % cell == 0), 1)


def _checked(values: npt.ArrayLike, minimum: int) -> Series:
    series = np.asarray(values)
    if series.ndim != 3 or series.shape[1] != MEMBERS:
        raise UserError(
            "triple collocation needs three members: expected values of shape "
            f"(series, 3, times), found {series.shape}"
        )
    if minimum < MEMBERS:
        raise UserError(f"expected a minimum of 3 or more common samples, found {minimum}")
    kind = np.float32 if series.dtype == np.float32 else np.float64
    return np.ascontiguousarray(series, dtype=kind)


def _check_draws(draws: int, block_days: int, confidence: float) -> None:
    if draws < 0 or block_days < 1 or not 0 < confidence < 1:
        raise UserError(
            "a bootstrap needs draws from 0, block_days from 1 and a confidence between 0 and 1, "
            f"found draws={draws}, block_days={block_days}, confidence={confidence}"
        )


def _why_no_figures(
    n: Floats,
    means: Floats,
    is_present: npt.NDArray[np.bool_],
    covariance: Floats,
    minimum: int,
) -> npt.NDArray[np.uint8]:
    """Return the bits that leave a series without any figure."""
    # The mean of a constant series is rounded: what it leaves is noise, not variance.
    noise = (np.finfo(float).eps * 8 * means) ** 2
    is_constant = (_diagonal(covariance) <= noise).any(axis=-1) & (n >= minimum)
    status = np.zeros(n.shape, np.uint8)
    _mark(status, n < minimum, Status.TOO_FEW)
    _mark(status, is_constant, Status.CONSTANT)
    _mark(status, ~is_present.all(axis=-1), Status.ABSENT)
    return status


def _mark(status: npt.NDArray[np.uint8], where: npt.ArrayLike, bit: Status) -> None:
    status[np.asarray(where)] |= np.uint8(bit)


def _diagonal(covariance: Floats) -> Floats:
    return np.asarray(np.diagonal(covariance, axis1=-2, axis2=-1))


def _off_diagonal(covariance: Floats) -> Floats:
    """Return C_xy, C_xz, C_yz along the last axis."""
    return np.asarray(covariance[..., (0, 0, 1), (1, 2, 2)])


def _ratio(above: Floats, below: Floats) -> Floats:
    out = np.full(below.shape, np.nan)
    return np.asarray(np.divide(above, below, out=out, where=below != 0))


def _root(squares: Floats) -> Floats:
    out = np.full(squares.shape, np.nan)
    return np.asarray(np.sqrt(squares, out=out, where=squares >= 0))


def _decibels(signal: Floats, error: Floats) -> Floats:
    """Return 10 log10(signal / error), NaN where either is negative, inf without any error."""
    exists = (signal >= 0) & (error >= 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(exists, 10 * np.log10(signal / error), np.nan))


def _snr_of(r: Floats) -> Floats:
    squared = np.maximum(r, 0.0) ** 2
    return _decibels(squared, 1 - squared)


def _pieces(n_series: int, rows: int) -> Iterator[slice]:
    """Yield slices of so many series that `rows` sums of each, and what is made of them, fit."""
    size = max(1, PIECE_BYTES // (8 * N_SUMS * 4 * max(rows, 1)))
    for start in range(0, n_series, size):
        yield slice(start, start + size)


def _tails(blocks: Floats, confidence: float) -> Floats:
    """Return the share of draws beyond each end: what Student's t leaves for so many blocks."""
    free = np.maximum(blocks, 2.0) - 1
    reach = np.sqrt((free + 1) / free) * student.ppf((1 + confidence) / 2, free)
    return np.asarray(normal.cdf(-reach))


def _ends(drawn: Floats, tails: Floats) -> Floats:
    """Return the ends (n_series, drawn, 3, 2) of what is made of sums (n_series, draws, N_SUMS)."""
    covariance = covariances(drawn)
    signal = signal_variance(covariance)
    r = extended_r(covariance)
    r[signal < 0] = 0.0  # there is no such r: a draw that says so counts as no correlation
    made = (_diagonal(covariance) - signal, r, scaling(covariance))  # ERROR, R, BETA
    levels = np.stack([tails, 1 - tails], axis=-1)[:, None, None]
    return _percentiles(np.moveaxis(np.stack(made, axis=1), 2, -1), levels)


def _percentiles(drawn: Floats, levels: Floats) -> Floats:
    """Return percentiles along the last axis, linear between draws; NaN draws take no part."""
    ordered = np.sort(drawn, axis=-1)  # NaN come last
    last = np.isfinite(ordered).sum(axis=-1, keepdims=True) - 1
    place = levels * last
    below = np.clip(np.floor(place).astype(np.int64), 0, None)
    above = np.minimum(below + 1, np.maximum(last, 0))
    lower = np.take_along_axis(ordered, below, axis=-1)
    upper = np.take_along_axis(ordered, above, axis=-1)
    return np.asarray(lower + (upper - lower) * (place - below))


def _with_intervals(found: TripleCollocation, ends: Floats) -> TripleCollocation:
    low, high = ends[..., 0], ends[..., 1]
    error_low = np.where(high[:, ERROR] < 0, np.nan, np.maximum(low[:, ERROR], 0.0))
    return replace(
        found,
        error_std_low=np.sqrt(error_low),
        error_std_high=_root(high[:, ERROR]),
        r_low=np.clip(low[:, R], -1.0, 1.0),
        r_high=np.clip(high[:, R], -1.0, 1.0),
        beta_low=low[:, BETA],
        beta_high=high[:, BETA],
    )
