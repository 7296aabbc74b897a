"""Land surface temperature where clouds or gaps between swaths hide it.

LST(pixel, day) = clear-sky year of the pixel + anomaly of the day, where the anomaly is

    f . d(pixel, day) + [anomalies of the clear pixels of the day, less their own f . d]

d is the departure of ERA5-Land from what it is on clear days, in two parts, air temperature and
skin less air, brought to the nodes of a lattice; f are factors that the clear looks around give.
The bracket is interpolated in space by a normalised convolution, with a regression on elevation;
where the day has few clear pixels around, it fades into that of the days beside, and that into
nothing. docs/design/cloud-filling.md has the mathematics and what is assumed.

Everything here is a function of arrays. What a pixel gets depends on pixels up to `HALO_PIXELS`
away and on nothing else: any cut of a region into blocks gives equal values.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from smcloud.features.clear_sky import (
    TERMS,
    HarmonicRidge,
    Packing,
    Stored,
    drawn_to,
    harmonics,
    neighbourhoods,
    pixel_moments,
    weighted_moments,
    with_elevation,
)
from smcloud.features.filling_steps import (
    add_anomalies,
    cropped,
    fill_gaps,
    in_order,
    node_counts,
    node_sums,
    of_days_beside,
    regressed,
)
from smcloud.features.lattice import (
    NODE_PIXELS,
    SAMPLES,
    SAMPLES_ACROSS,
    Kernel,
    ToPixels,
    nodes_of,
    samples_of,
    widened,
)
from smcloud.features.spec import Days
from smcloud.grids.grid import Floats, Window

POOLING = Kernel(3, ((1.0, 1.2),))
"""Over which looks of a neighbourhood count together: 17 km."""
LEARNING = Kernel(5, ((1.0, 2.5),))
"""Over which factors are learned: 35 km."""
SPREADING = Kernel(10, ((1.0, 1.3), (0.1, 3.5)))
"""By which the day's anomalies reach pixels without a look: 18 km, and a tenth as much 48 km."""
HALO_NODES = 1 + SPREADING.reach + LEARNING.reach + 1 + POOLING.reach
"""One for interpolation to pixels at each end."""
HALO_PIXELS = HALO_NODES * NODE_PIXELS
POOLED_NODES = HALO_NODES - POOLING.reach
LEARNED_NODES = POOLED_NODES - 1
SPREAD_NODES = LEARNED_NODES - LEARNING.reach
TARGET_NODES = SPREAD_NODES - SPREADING.reach
"""Margins of nodes about the block at which each step has its result, the last of them 1."""
WEAK = np.full(TERMS, 1e-6)
CLEAR_DAYS = np.array([3.0, 8.0, 8.0, 8.0, 8.0])
"""Clear days that weigh as much as all days of the year in what the reanalysis usually has."""
Ints = NDArray[np.int64]


class LstState(IntEnum):
    """What a temperature rests on."""

    OBSERVED = 0
    CLEAR_SKY_ANOMALY = 1
    """Clear pixels of the day around it carry at least half of the day's anomaly."""
    CLOUD_DEPARTURE = 2
    """Fewer: the departure of the reanalysis carries most of it."""
    CLIMATOLOGY = 3
    """Neither is there; anomalies of the days beside may be."""
    UNKNOWN = 255


@dataclass(frozen=True)
class FillingRules:
    """How temperatures are filled.

    Attributes
    ----------
    ridge : HarmonicRidge
    factors : (float, float)
        Response to the departures of air temperature and of skin less air before a look is seen.
    factor_weight : float
        Evidence for them, clear nodes times K2.
    least_factors, greatest_factors : (float, float)
        Bounds: clear days tell little of full cloud, and less where they are few.
    background : float
        Weight, in clear nodes at no distance, of the days beside against the day itself.
    memory : float
        Weight of the days before and after in those, against nothing; each day further has this
        share of the one nearer.
    days_beside : int
    elevation_km : float
        Spread of elevation below which a day's anomaly is not regressed on it.
    uses_anomalies, uses_departure : bool
        Without them what is left is the climatology; to compare with.
    """

    ridge: HarmonicRidge = field(default_factory=HarmonicRidge)
    factors: tuple[float, float] = (1.0, 1.0)
    factor_weight: float = 200.0
    least_factors: tuple[float, float] = (0.0, -6.0)
    greatest_factors: tuple[float, float] = (2.0, 8.0)
    background: float = 0.3
    memory: float = 0.6
    days_beside: int = 4
    elevation_km: float = 0.15
    uses_anomalies: bool = True
    uses_departure: bool = True


@dataclass(frozen=True, eq=False)
class Scene:
    """One overpass over one block in a year, and what lies around it.

    Attributes
    ----------
    window : Window
        The block: whole nodes, in global pixels.
    days : (days,) datetime64[D]
    packing : Packing
    looks : uint16 (days, n)
        Stored temperatures of the block's pixels, row by row.
    elevation_km : (n,)
        NaN unknown.
    sampled_looks : uint16 (days, m)
        Of the sampled pixels of all nodes within `HALO_NODES`, row by row.
    sampled_elevation_km : (m,)
    reanalysis : (2, days, nodes)
        Air temperature and skin less air (K) at the nodes of `departure_nodes(window)`; NaN
        unknown.
    """

    window: Window
    days: Days
    packing: Packing
    looks: Stored
    elevation_km: Floats
    sampled_looks: Stored
    sampled_elevation_km: Floats
    reanalysis: Floats


@dataclass(frozen=True, eq=False)
class Filled:
    """Temperatures without gaps.

    Attributes
    ----------
    stored : uint16 (days, n)
        As the looks are stored; looks are left as they are, and fill is left where nothing is
        known of a pixel's neighbourhood in the whole year.
    state : uint8 (days, n)
        `LstState` of each.
    """

    stored: Stored
    state: NDArray[np.uint8]


def departure_nodes(window: Window) -> Window:
    """Return the nodes at which a block needs the reanalysis."""
    return widened(nodes_of(window), POOLED_NODES)


def filled(scene: Scene, rules: FillingRules | None = None) -> Filled:
    """Return the temperatures of a block with every gap filled that its surroundings allow."""
    rules = rules or FillingRules()
    return _Filling(scene, rules).run()


@dataclass(frozen=True, eq=False)
class _DayFields:
    """What each day adds to the clear-sky year, at the nodes about the block; (days, nodes).

    Attributes
    ----------
    base, slope : anomaly at sea level (K), and its change with elevation (K km-1)
    support : share of the day's own clear pixels in it
    is_known : 1 where the reanalysis was there, else 0
    """

    base: Floats
    slope: Floats
    support: Floats
    is_known: Floats


class _Filling:
    """The steps for one scene; node fields are (..., nodes) over the block's nodes and a margin."""

    def __init__(self, scene: Scene, rules: FillingRules) -> None:
        self.scene, self.rules = scene, rules
        self.nodes = nodes_of(scene.window)
        self.terms = harmonics(scene.days)
        across = [(size + 2 * HALO_NODES) * SAMPLES_ACROSS for size in self.nodes.shape]
        self.samples = scene.sampled_looks.reshape(len(scene.days), *across)
        self.sampled_km = scene.sampled_elevation_km.reshape(across).astype(np.float64)

    def run(self) -> Filled:
        """Return the filled block."""
        around = self._neighbourhoods()
        sums = self._anomalies(around)
        departures, is_known = self._departures()
        factors = self._factors(sums, departures)
        return self._at_pixels(around, self._spread(sums, departures, factors, is_known))

    def _neighbourhoods(self) -> Floats:
        """Return the pooled clear-sky years (7, nodes) at `POOLED_NODES`."""
        looks = self.samples.reshape(len(self.scene.days), -1)
        moments = pixel_moments(looks, self.scene.packing, self.terms)
        rows = with_elevation(moments, self.sampled_km.ravel())
        summed = node_sums(rows.reshape(*self.sampled_km.shape, -1))
        matrix = POOLING.matrix(widened(self.nodes, POOLED_NODES))
        of_one = (matrix @ summed) / (SAMPLES * matrix.sum(axis=1).A1[:, None])
        return neighbourhoods(of_one, self._usual_skin(), self.rules.ridge).fields

    def _usual_skin(self) -> Floats:
        """Return the year of the skin temperature of the reanalysis (nodes, 5) at `POOLED_NODES`.

        Terms are 0 where it is unknown.
        """
        skin = self.scene.reanalysis.astype(np.float64).sum(axis=0)
        moments = weighted_moments(skin, np.ones(skin.shape), self.terms)
        return drawn_to(moments, np.zeros((len(moments), TERMS)), WEAK)

    def _years(
        self, around: Floats, places: tuple[Ints, Ints], looks: Stored, elevation_km: Floats
    ) -> tuple[Floats, Floats]:
        """Return coefficients (n, 5) and elevations (n,) of pixels in a product of rows and cols.

        Unknown elevations are those of the neighbourhood.
        """
        to_pixels = ToPixels.of(*places, widened(self.nodes, POOLED_NODES))
        prior = to_pixels.apply(around)
        height = np.where(np.isnan(elevation_km), prior[TERMS + 1], elevation_km)
        prior[0] += prior[TERMS] * height
        moments = pixel_moments(looks, self.scene.packing, self.terms)
        ridge = self.rules.ridge.of_pixel
        return drawn_to(moments, np.ascontiguousarray(prior[:TERMS].T), ridge), height

    def _anomalies(self, around: Floats) -> Floats:
        """Return sums over the clear samples of each node (5, days, nodes) at `LEARNED_NODES`.

        Of 1, elevation, its square, anomaly, and anomaly times elevation.
        """
        margin = (HALO_NODES - LEARNED_NODES) * SAMPLES_ACROSS
        rows, cols = (slice(margin, size - margin) for size in self.sampled_km.shape)
        inner = np.ascontiguousarray(self.samples[:, rows, cols])
        nodes = widened(self.nodes, LEARNED_NODES)
        coefficients, height = self._years(
            around,
            samples_of(nodes),
            inner.reshape(len(inner), -1),
            self.sampled_km[rows, cols].ravel(),
        )
        sums = np.zeros((5, len(inner), *nodes.shape))
        packing = self.scene.packing
        add_anomalies(
            inner,
            packing.scale,
            packing.offset,
            packing.fill,
            self.terms,
            coefficients,
            height,
            sums,
        )
        return sums.reshape(5, len(inner), -1)

    def _departures(self) -> tuple[Floats, Floats]:
        """Return how far the reanalysis is from its clear days (2, days, nodes) at `LEARNED_NODES`.

        0 where it is unknown, and (days, nodes) whether it is known. A day counts as clear by the
        share of clear samples around the node; where few are, all days of the year stand in.
        """
        whole = self.scene.reanalysis.astype(np.float64)
        fields = cropped(whole, self.nodes, POOLED_NODES, LEARNED_NODES)
        is_known = np.isfinite(fields).all(axis=0) & self.rules.uses_departure
        known = node_counts(self.samples != self.scene.packing.fill) / SAMPLES
        matrix = POOLING.matrix(widened(self.nodes, LEARNED_NODES))
        wide = cropped(known, self.nodes, HALO_NODES, LEARNED_NODES + POOLING.reach)
        clear = (matrix @ wide.T).T / matrix.sum(axis=1).A1
        found = np.zeros(fields.shape)
        for number, field_ in enumerate(fields):
            values = np.where(is_known, field_, np.nan)
            usual = weighted_moments(values, np.ones(values.shape), self.terms)
            year = drawn_to(usual, np.zeros((len(usual), TERMS)), WEAK)
            expected = drawn_to(weighted_moments(values, clear, self.terms), year, CLEAR_DAYS)
            found[number] = np.where(is_known, values - self.terms @ expected.T, 0.0)
        return found, np.asarray(is_known, np.float64)

    def _factors(self, sums: Floats, departures: Floats) -> Floats:
        """Return the response of clear looks to the departures (2, nodes) at `SPREAD_NODES`.

        A ridge regression over the clear nodes and days around, drawn to the factors of the rules.
        """
        count = sums[0]
        mean = np.divide(sums[3], count, out=np.zeros(count.shape), where=count > 0)
        weight = count / SAMPLES
        air, excess = departures
        products = (air * air, air * excess, excess * excess, air * mean, excess * mean)
        rows = np.stack([in_order(weight * product) for product in products], axis=1)
        pooled = LEARNING.matrix(widened(self.nodes, SPREAD_NODES)) @ rows
        ridge, (first, second) = self.rules.factor_weight, self.rules.factors
        a, b, c = pooled[:, 0] + ridge, pooled[:, 1], pooled[:, 2] + ridge
        p, q = pooled[:, 3] + ridge * first, pooled[:, 4] + ridge * second
        found = np.stack([c * p - b * q, a * q - b * p]) / (a * c - b * b)
        bounds = self.rules.least_factors, self.rules.greatest_factors
        low, high = (np.array(bound)[:, None] for bound in bounds)
        return np.asarray(np.clip(found, low, high))

    def _spread(
        self, sums: Floats, departures: Floats, factors: Floats, is_known: Floats
    ) -> _DayFields:
        """Return what the days add at `TARGET_NODES`."""
        near = cropped(sums, self.nodes, LEARNED_NODES, SPREAD_NODES)
        d = cropped(departures, self.nodes, LEARNED_NODES, SPREAD_NODES)
        explained = factors[0] * d[0] + factors[1] * d[1]
        near = near.copy()
        near[3] -= explained * near[0]
        near[4] -= explained * near[1]
        matrix = SPREADING.matrix(widened(self.nodes, TARGET_NODES))
        spread = np.stack([(matrix @ one.T).T for one in near]) / SAMPLES
        level, slope, support = self._left_over(spread)
        return _DayFields(
            level + cropped(explained, self.nodes, SPREAD_NODES, TARGET_NODES),
            slope,
            support,
            cropped(is_known, self.nodes, LEARNED_NODES, TARGET_NODES),
        )

    def _left_over(self, spread: Floats) -> tuple[Floats, Floats, Floats]:
        """Return level, slope and support of what the departures leave of the anomalies."""
        rules = self.rules
        if not rules.uses_anomalies:
            return np.zeros(spread[0].shape), np.zeros(spread[0].shape), np.zeros(spread[0].shape)
        level, slope, support = regressed(spread, rules.background, rules.elevation_km)
        mean = np.divide(spread[3], spread[0], out=np.zeros(level.shape), where=spread[0] > 0)
        beside = of_days_beside(mean, support, rules.memory, rules.days_beside)
        return support * level + (1 - support) * beside, support * slope, support

    def _at_pixels(self, around: Floats, day: _DayFields) -> Filled:
        """Return the block: its looks, and between them clear-sky year plus anomaly."""
        scene, packing = self.scene, self.scene.packing
        window = scene.window
        places = np.arange(window.row0, window.row1), np.arange(window.col0, window.col1)
        height = scene.elevation_km.astype(np.float64)
        coefficients, height = self._years(around, places, scene.looks, height)
        to_pixels = ToPixels.of(*places, widened(self.nodes, TARGET_NODES))
        stored = scene.looks.copy()
        state = np.zeros(stored.shape, np.uint8)
        fill_gaps(
            stored,
            state,
            (packing.scale, packing.offset),
            (packing.fill, packing.least, packing.greatest),
            self.terms,
            coefficients,
            height,
            to_pixels.corner,
            to_pixels.width,
            to_pixels.shares,
            np.stack([day.base, day.slope, day.support, day.is_known]),
        )
        return Filled(stored, state)
