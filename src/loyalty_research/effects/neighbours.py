"""Who is nearest: for each patient the rows of another group at the least distance, ties and all.

Rows that agree in every covariate are one point with a count, and points stand in a tree, so that
no matrix is as wide as the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial import cKDTree

DISTANCES = ("mahalanobis", "inverse_variance")
_TIE = 1e-9
"""Relative difference of distances below which they are one."""


@dataclass(frozen=True)
class Nearest:
    """For each query which points are nearest, as one long list of pairs.

    Attributes:
        query: Which query a pair is of.
        point: Which point it is matched to.
        n_matches: Rows that each query is matched to: the counts of its points.
    """

    query: np.ndarray
    point: np.ndarray
    n_matches: np.ndarray

    def mean(self, total: np.ndarray) -> np.ndarray:
        """Return for each query the mean of its matches.

        Args:
            total: The sum of what is to be averaged over the rows of each point.

        Returns:
            One number a query.
        """
        n = len(self.n_matches)
        return np.bincount(self.query, weights=total[self.point], minlength=n) / self.n_matches


@dataclass(frozen=True)
class Points:
    """Distinct rows of a group.

    Attributes:
        place: Their coordinates.
        of_row: The point of each row.
        count: Rows of each point.
    """

    place: np.ndarray
    of_row: np.ndarray
    count: np.ndarray

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of a value over the rows of each point.

        Args:
            values: One a row.

        Returns:
            One number a point.
        """
        return np.bincount(self.of_row, weights=values, minlength=len(self.count))


def scaled(x: np.ndarray, distance: str) -> np.ndarray:
    """Return covariates in coordinates whose straight distance is the one asked for.

    Args:
        x: A column a covariate, none determined by others.
        distance: "mahalanobis": the inverse of their covariance over all rows; or
            "inverse_variance": each by its own variance.

    Returns:
        As many columns.

    Examples:
        >>> scaled(np.array([[0.0], [2.0], [4.0]]), "inverse_variance").ravel().tolist()
        [0.0, 1.0, 2.0]
    """
    if distance == "inverse_variance":
        return np.asarray(x / x.std(axis=0, ddof=1))
    root = cholesky(np.atleast_2d(np.cov(x, rowvar=False)), lower=True)
    return np.asarray(solve_triangular(root, x.T, lower=True).T)


def distinct_points(place: np.ndarray) -> Points:
    """Return the distinct rows of a matrix with their counts.

    Args:
        place: One row a row.

    Returns:
        The points.

    Examples:
        >>> distinct_points(np.array([[1.0], [0.0], [1.0]])).count.tolist()
        [1, 2]
    """
    points, of_row, count = np.unique(place, axis=0, return_inverse=True, return_counts=True)
    return Points(points, of_row.ravel(), count)


def find_nearest(points: Points, queries: np.ndarray, least: int) -> Nearest:
    """Return the nearest points of each query that hold at least so many rows, with all ties.

    Args:
        points: Among whom to look.
        queries: Whose neighbours are asked for.
        least: Rows that a query is to be matched to; at most as many as there are.

    Returns:
        The pairs.

    Examples:
        >>> points = distinct_points(np.array([[0.0], [2.0], [2.0], [5.0]]))
        >>> found = find_nearest(points, np.array([[1.0], [4.0]]), 1)
        >>> found.query.tolist(), found.point.tolist(), found.n_matches.tolist()
        ([0, 0, 1], [0, 1, 2], [3.0, 1.0])
    """
    tree = cKDTree(points.place)
    k = min(least, len(points.count))
    far, which = tree.query(queries, k=k)
    far, which = far.reshape(len(queries), k), which.reshape(len(queries), k)
    enough = np.argmax(np.cumsum(points.count[which], axis=1) >= least, axis=1)
    radius = far[np.arange(len(queries)), enough]
    found = tree.query_ball_point(queries, radius * (1 + _TIE) + _TIE)
    sizes = np.array([len(one) for one in found], np.int64)
    query = np.repeat(np.arange(len(queries)), sizes)
    point = np.concatenate([np.sort(np.asarray(one, np.int64)) for one in found])
    n_matches = np.bincount(query, weights=points.count[point], minlength=len(queries))
    return Nearest(query, point, n_matches)
