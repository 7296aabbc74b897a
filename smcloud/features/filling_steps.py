"""Steps of filling temperatures: sums of nodes, what days leave over, and the gaps themselves."""

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.features.clear_sky import TERMS, Stored
from smcloud.features.lattice import SAMPLES_ACROSS, widened
from smcloud.grids.grid import Floats, Window

Ints = NDArray[np.int64]


def regressed(
    spread: Floats, background: float, elevation_km: float
) -> tuple[Floats, Floats, Floats]:
    """Return level at sea level, slope and support (days, nodes) of anomalies left over.

    `spread` (5, days, nodes) are kernel sums of 1, elevation, its square, anomaly and anomaly
    times elevation, in clear nodes. Support is the share of what is known of the day, against
    `background` clear nodes.
    """
    count, height, squared, anomaly, product = spread
    known = count > 0
    mean_height = np.divide(height, count, out=np.zeros(count.shape), where=known)
    mean = np.divide(anomaly, count, out=np.zeros(count.shape), where=known)
    variance = np.maximum(squared - count * mean_height**2, 0.0)
    slope = (product - count * mean_height * mean) / (variance + elevation_km**2)
    return mean - slope * mean_height, slope, count / (count + background)


def of_days_beside(mean: Floats, support: Floats, memory: float, days: int) -> Floats:
    """Return what the days before and after say of an anomaly (days, nodes), drawn to 0.

    Each day counts by its support, and by `memory` to the power of its distance; nothing at all
    counts 1.
    """
    weight, total = np.ones(mean.shape), np.zeros(mean.shape)
    for lag in range(1, min(days, len(mean) - 1) + 1):
        fade = memory**lag
        for to, of in (
            (slice(lag, None), slice(None, -lag)),
            (slice(None, -lag), slice(lag, None)),
        ):
            weight[to] += fade * support[of]
            total[to] += fade * support[of] * mean[of]
    return total / weight


def in_order(values: Floats) -> Floats:
    """Return the sum over days (nodes,), day by day: numpy's own order depends on the width."""
    total = np.zeros(values.shape[1:])
    for day in values:
        total += day
    return total


def node_sums(rows: Floats) -> Floats:
    """Return sums (nodes, k) of samples (rows, cols, k) over the squares of nodes."""
    down, across, size = rows.shape
    squares = rows.reshape(
        down // SAMPLES_ACROSS, SAMPLES_ACROSS, across // SAMPLES_ACROSS, SAMPLES_ACROSS, size
    )
    return np.ascontiguousarray(squares.sum(axis=3).sum(axis=1).reshape(-1, size))


def node_counts(known: NDArray[np.bool_]) -> Floats:
    """Return how many samples (days, rows, cols) of each node are known, (days, nodes)."""
    days, down, across = known.shape
    rows = np.add.reduceat(known, range(0, down, SAMPLES_ACROSS), axis=1, dtype=np.uint8)
    squares = np.add.reduceat(rows, range(0, across, SAMPLES_ACROSS), axis=2, dtype=np.uint8)
    return squares.reshape(days, -1).astype(np.float64)


def cropped(values: Floats, nodes: Window, margin: int, wanted: int) -> Floats:
    """Return (..., nodes) with a margin of `wanted` nodes, from one with a margin of `margin`."""
    shape = widened(nodes, margin).shape
    cut = margin - wanted
    whole = values.reshape(*values.shape[:-1], *shape)
    inner = whole[..., cut : shape[0] - cut, cut : shape[1] - cut]
    return np.ascontiguousarray(inner).reshape(*values.shape[:-1], -1)


@compiled
def add_anomalies(
    samples: Stored,
    scale: float,
    offset: float,
    fill: int,
    terms: Floats,
    coefficients: Floats,
    height: Floats,
    sums: Floats,
) -> None:
    """Add 1, elevation, its square, anomaly, anomaly times elevation of clear samples to nodes.

    Samples are (days, rows, cols), sums (5, days, nodes down, nodes across).
    """
    n_days, rows, cols = samples.shape
    for day in range(n_days):
        for row in range(rows):
            for col in range(cols):
                stored = samples[day, row, col]
                pixel = row * cols + col
                if stored == fill or np.isnan(coefficients[pixel, 0]):
                    continue
                anomaly = stored * scale + offset
                for term in range(TERMS):
                    anomaly -= terms[day, term] * coefficients[pixel, term]
                down, across, z = row // SAMPLES_ACROSS, col // SAMPLES_ACROSS, height[pixel]
                sums[0, day, down, across] += 1.0
                sums[1, day, down, across] += z
                sums[2, day, down, across] += z * z
                sums[3, day, down, across] += anomaly
                sums[4, day, down, across] += anomaly * z


@compiled
def fill_gaps(
    stored: Stored,
    state: NDArray[np.uint8],
    scale_offset: tuple[float, float],
    bounds: tuple[int, int, int],
    terms: Floats,
    coefficients: Floats,
    height: Floats,
    corner: Ints,
    width: int,
    shares: Floats,
    fields: Floats,
) -> None:
    """Write estimates (days, n) where nothing is stored, and what they rest on.

    `bounds` are fill, least and greatest stored value; `fields` (4, days, nodes) are base, slope,
    support and whether the reanalysis is known.
    """
    scale, offset = scale_offset
    unknown, least, greatest = bounds
    n_days, n = stored.shape
    found = np.zeros(4)
    for day in range(n_days):
        for pixel in range(n):
            if stored[day, pixel] != unknown:
                continue
            if np.isnan(coefficients[pixel, 0]):
                state[day, pixel] = 255
                continue
            nw = corner[pixel]
            for number in range(4):
                of_day = fields[number, day]
                found[number] = (
                    shares[pixel, 0] * of_day[nw]
                    + shares[pixel, 1] * of_day[nw + 1]
                    + shares[pixel, 2] * of_day[nw + width]
                    + shares[pixel, 3] * of_day[nw + width + 1]
                )
            value = found[0] + found[1] * height[pixel]
            for term in range(TERMS):
                value += terms[day, term] * coefficients[pixel, term]
            packed = np.rint((value - offset) / scale)
            stored[day, pixel] = min(max(packed, least), greatest)
            if found[2] >= 0.5:
                state[day, pixel] = 1
            else:
                state[day, pixel] = 2 if found[3] >= 0.5 else 3
