"""Noise is standard normal, smooth, seamless, and the same for any subset of points."""

import numpy as np

from smcloud.simulate.noise import (
    fractal,
    mix,
    normal_of,
    pixel_hash,
    pixel_keys,
    sphere,
    stream,
    uniform_of,
)


def globe(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return sphere(rng.uniform(-180, 180, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n))))


def test_noise_is_standard_normal_everywhere_in_the_cell():
    values = fractal(stream(3, "a"), globe(200_000), 90.0, 2)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert 2.5 < np.mean((values / values.std()) ** 4) < 3.5


def test_noise_in_time_keeps_its_variance_between_lattice_days():
    points = globe(50_000)
    for day in (0.0, 0.3, 1.5, 17000.5):
        assert abs(fractal(stream(3, "t"), points, 300.0, time=day, lifetime=3.0).std() - 1) < 0.03


def test_noise_is_continuous_across_the_dateline_and_the_pole():
    key, eps = stream(3, "a"), 1e-9
    lat = np.linspace(-89, 89, 300)
    west = fractal(key, sphere(np.full(300, -180 + eps), lat), 200.0, 5)
    east = fractal(key, sphere(np.full(300, 180 - eps), lat), 200.0, 5)
    np.testing.assert_allclose(west, east, atol=1e-4)
    lon = np.linspace(-180, 180, 50)
    assert np.ptp(fractal(key, sphere(lon, np.full(50, 90.0)), 200.0, 5)) < 1e-4


def test_neighbours_are_alike_and_distant_points_are_not():
    lon, lat = np.random.default_rng(1).uniform(-60, 60, (2, 4000))
    key = stream(3, "a")
    here = fractal(key, sphere(lon, lat), 100.0)
    near = fractal(key, sphere(lon + 0.02, lat), 100.0)
    far = fractal(key, sphere(lon + 5, lat), 100.0)
    assert np.corrcoef(here, near)[0, 1] > 0.98
    assert abs(np.corrcoef(here, far)[0, 1]) < 0.06


def test_any_subset_of_points_has_the_same_bits():
    points, key = globe(20_001), stream(3, "a")
    whole = fractal(key, points, 50.0, 3, time=17001.4, lifetime=2.0)
    for pick in (slice(0, 1), slice(5, 8), slice(8190, 8195), slice(None, None, 37)):
        part = fractal(
            key, np.ascontiguousarray(points[:, pick]), 50.0, 3, time=17001.4, lifetime=2.0
        )
        assert (part == whole[pick]).all()


def test_streams_of_other_names_and_seeds_are_unrelated():
    points = globe(20_000)
    series = [fractal(stream(s, n), points, 60.0) for s, n in ((3, "a"), (3, "b"), (4, "a"))]
    correlation = np.corrcoef(series)
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.06


def test_pixel_hashes_are_uniform_and_differ_by_day():
    keys = pixel_keys(*np.random.default_rng(2).uniform(-80, 80, (2, 50_000)))
    today, tomorrow = (pixel_hash(keys, stream(1, "x"), day) for day in (17000, 17001))
    assert abs(uniform_of(today).mean() - 0.5) < 0.01
    assert abs(normal_of(today).std() - 1) < 0.02
    assert abs(np.corrcoef(uniform_of(today), uniform_of(tomorrow))[0, 1]) < 0.02


def test_mixing_leaves_its_argument_alone():
    values = np.arange(5, dtype=np.uint32)
    mix(values)
    assert (values == np.arange(5)).all()
