"""Rules that no hash of inputs can see are told by a version: who changes what comes out raises it.

Years and models are made again only where a hash differs. What these rules make of a small world
stands here beside the version that made it.
"""

import numpy as np
import pytest

from benchmarks.coarse_world import coarse_world
from smcloud.features import coarse_cubes
from smcloud.grids.cells import land_pixels
from smcloud.grids.grid import EASE2_36KM, SIN1KM, Window
from smcloud.models import anchoring
from smcloud.models.anchoring import Anchors, anchor, corrected, modelled, solve
from smcloud.models.cell_sums import cell_sums, links
from smcloud.models.damping import LAG_DAYS, factors, spread_of
from smcloud.models.gwr import LocalRule, fit_days, kernel
from smcloud.models.seams import SeamState, fill_seams
from smcloud.production import local_tasks

INLAND = Window(5700, 5820, 31400, 31520)
"""At 42 N, 110 E: land without sea."""
CEILING = 0.45


def waves(days, window=INLAND):
    """Return a first guess (days, points) and what hangs it on coarse cells."""
    lon, lat = (values.reshape(-1) for values in SIN1KM.lonlat(window))
    day = np.arange(days)[:, None]
    guess = 0.2 + 0.1 * np.sin(9 * lon) * np.cos(11 * lat) + 0.05 * np.sin(40 * lon + 0.3 * day)
    return guess.astype(np.float32), links(EASE2_36KM, lon, lat)


def anchors_of(guess, where):
    """Return coarse values, of which one is unknown and one more than pixels hold, and the land."""
    days, shape = len(guess), where.window.shape
    row, col = np.mgrid[: shape[0], : shape[1]]
    target = 0.15 + 0.03 * row + 0.02 * col + 0.001 * np.arange(days)[:, None, None]
    target = target.astype(np.float32)
    target[:, shape[0] // 2, shape[1] // 2] = np.nan
    target[:, 1, 6] = 0.5
    return Anchors(target, land_pixels(EASE2_36KM, where.window))


def anchored():
    guess, where = waves(2)
    values, nodes = anchor(guess, where, anchors_of(guess, where), CEILING)
    return [*values[0, ::2399], float(nodes.state.sum())]


def modelled_where_nothing_is_known():
    guess, where = waves(1)
    damped = np.float32(0.1) * guess
    sums = cell_sums(damped, where, CEILING)
    held = modelled(sums, anchors_of(guess, where), np.array([0.1], np.float32))
    return corrected(damped, solve(sums, held), where, CEILING)[0, ::2399]


def damped():
    guess, where = waves(40, Window(5700, 5750, 31400, 31450))
    return factors(spread_of(guess, guess[: 40 - LAG_DAYS], where), np.full(40, 0.8))[::8]


def seams():
    day, cell = np.mgrid[:40, :12]
    moisture = 0.2 + 0.05 * np.sin(day / (5 + cell / 10)) + 0.02 * np.cos(day * cell)
    missed = np.random.default_rng(5).random(moisture.shape) < 0.3
    fill = fill_seams(np.where(missed, np.nan, moisture), missed)
    return fill.values[fill.state == SeamState.FILLED][::20]


def regressions():
    world = coarse_world(3, days=3, noise=0.02, varying=0.5, hidden=0.2)
    weights = kernel(world.places, world.places, 300.0)
    fit = fit_days(world.series, weights, LocalRule(300.0, ridge=1.0, days_around=1))
    return [*fit.coefficients[1, :, ::200].ravel(), float(fit.state.sum())]


MADE = {
    "anchored": (
        anchored,
        lambda: (anchoring.ANCHORING, 3),
        [0.409048, 0.32959, 0.272177, 0.389216, 0.421461, 0.384983, 0.327391, 279.0],
    ),
    "modelled": (
        modelled_where_nothing_is_known,
        lambda: (anchoring.ANCHORING, 3),
        [0.261472, 0.217405, 0.29113, 0.403008, 0.363893, 0.30892, 0.269129],
    ),
    "damped": (damped, lambda: (anchoring.ANCHORING, 3), [0.119, 0.120, 0.119, 0.121, 0.120]),
    "seams": (
        seams,
        lambda: (coarse_cubes.SEAMS_VERSION, 2),
        [0.197451, 0.225417, 0.242345, 0.221813, 0.190403, 0.161294, 0.163625, 0.208343],
    ),
    "regressions": (
        regressions,
        lambda: (local_tasks.FORMAT, 1),
        [
            *(1.10994, 0.751887, 0.987015, 1.20357),
            *(-0.00321043, -0.00199495, -0.0028175, -0.00358072),
            *(0.0917093, 0.0708914, 0.0780526, 0.0915518),
            *(0.104998, 0.0917246, 0.108461, 0.134849),
            0.0,
        ],
    ),
}
TOLERANCES = {"damped": 2e-3}
"""Factors are rounded to three decimals."""


@pytest.mark.parametrize("name", MADE)
def test_what_comes_out_is_that_of_the_version(name):
    make, version, expected = MADE[name]
    found, known = version()
    assert found == known
    np.testing.assert_allclose(make(), expected, rtol=1e-4, atol=TOLERANCES.get(name, 1e-5))
