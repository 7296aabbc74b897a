"""The compiled sums against the same sums in double precision, at every ragged size."""

import numpy as np
import pytest

from smcloud.models.family_kernels import POINTS, kernel_sums, weighted_sums

SIZES = [(1, 1), (3, 7), (4, POINTS - 1), (5, POINTS), (9, POINTS + 1), (14, 2 * POINTS + 13)]


@pytest.mark.parametrize(("n_features", "n_points"), SIZES)
def test_weighted_sums(n_features: int, n_points: int) -> None:
    rng = np.random.default_rng(n_points)
    weights = rng.normal(size=(3, n_features)).astype(np.float32)
    columns = rng.normal(size=(n_features, n_points)).astype(np.float32)
    starts, out = np.array([0.5, -1, 0], np.float32), np.full((3, n_points), np.nan, np.float32)
    weighted_sums(weights, columns, starts, out)
    expected = weights.astype(float) @ columns + starts[:, None]
    np.testing.assert_allclose(out, expected, atol=5e-6)


@pytest.mark.parametrize(("n_features", "n_points"), SIZES)
@pytest.mark.parametrize("n_vectors", [0, 1, 50])
def test_kernel_sums(n_features: int, n_points: int, n_vectors: int) -> None:
    rng = np.random.default_rng(n_points)
    vectors = rng.normal(size=(n_vectors, n_features)).astype(np.float32)
    weights = rng.normal(size=n_vectors).astype(np.float32)
    columns = rng.normal(size=(n_features, n_points)).astype(np.float32)
    out = np.full(n_points, np.nan, np.float32)
    kernel_sums(vectors, weights, columns, 0.2, out)
    away = vectors.astype(float)[:, :, None] - columns[None]
    expected = 0.2 + weights @ 2.0 ** -np.square(away).sum(axis=1)
    np.testing.assert_allclose(out, expected, atol=3e-6)


def test_points_far_from_every_vector_have_the_start() -> None:
    columns = np.array([[0.0, 30.0, 1e9, 3e38]], np.float32)
    out = np.empty(4, np.float32)
    kernel_sums(np.zeros((1, 1), np.float32), np.ones(1, np.float32), columns, 0.25, out)
    np.testing.assert_array_equal(out, np.float32([1.25, 0.25, 0.25, 0.25]))
