"""The nearest are found with all their ties, rows that agree being one point."""

from __future__ import annotations

import numpy as np
import pytest

from loyalty_research.effects.neighbours import distinct_points, find_nearest, scaled


@pytest.mark.parametrize("least", [1, 2, 5, 40])
@pytest.mark.parametrize("grid", [2, 6])
def test_every_neighbour_is_that_of_a_plain_search(least, grid):
    random = np.random.default_rng(least + grid)
    # A coarse grid has many rows on one point and many points at one distance.
    giving, asking = random.integers(0, grid, (120, 3)) * 1.0, random.integers(0, grid, (30, 3))
    points = distinct_points(giving)
    found = find_nearest(points, asking * 1.0, least)
    for query in range(30):
        far = np.sqrt(((giving - asking[query]) ** 2).sum(axis=1))
        nearest = far <= np.sort(far)[least - 1] + 1e-9
        own = found.point[found.query == query]
        assert np.isin(points.of_row, own).tolist() == nearest.tolist()
        assert found.n_matches[query] == nearest.sum()


def test_means_are_over_rows_and_not_over_points():
    points = distinct_points(np.array([[0.0], [2.0], [2.0]]))
    found = find_nearest(points, np.array([[1.0]]), 1)
    # All three lie at distance 1: (9 + 1 + 2) / 3.
    assert found.mean(points.sums(np.array([9.0, 1.0, 2.0]))).tolist() == [4.0]


def test_mahalanobis_distances_are_those_of_the_inverse_covariance():
    x = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0], [6.0, 9.0]])
    place, inverse = scaled(x, "mahalanobis"), np.linalg.inv(np.cov(x, rowvar=False))
    gap = x[0] - x[3]
    assert ((place[0] - place[3]) ** 2).sum() == pytest.approx(gap @ inverse @ gap)
