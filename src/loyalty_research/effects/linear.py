"""Least squares with errors that hold when variances differ and rows come in clusters.

Without clusters the variance is HC2 (MacKinnon and White, J Econometrics 1985;29:305), read with n
less the number of coefficients as degrees of freedom. With clusters it is CR2 with Satterthwaite
degrees of freedom of the contrast asked for (Bell and McCaffrey, Survey Methodology 2002;28:169;
Pustejovsky and Tipton, JBES 2018;36:672), the working model being independence with one variance.

No matrix is as wide as a cluster. With M = (X'X)^-1 = L L' and Z = X L, a cluster's adjustment
(I - Z_g Z_g')^(-1/2) is needed only as Z_g'(I - Z_g Z_g')^(-1/2) = W_g Z_g', where
W_g = (I - G_g)^(-1/2) and G_g = Z_g'Z_g has the width of the coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

_FULL = 1e-9
"""How near to 1 a cluster's leverage is taken as 1: it determines a coefficient by itself."""

_ROWS = 8192
"""Rows taken at a time."""

_APART = 1e-6
"""Smallest eigenvalue of the columns' correlations from which on their products tell R exactly."""

_ROUNDING = 1e-13
"""Part of the largest outcome below which a residual is left by rounding."""


@dataclass(frozen=True)
class LinearFit:
    """Coefficients with their robust variance.

    Attributes:
        beta: Coefficients.
        covariance: Their HC2 or CR2 covariance.
        bread: (X'X)^-1.
        n: Rows.
        n_clusters: Clusters; None where rows are independent.
        kind: "HC2" or "CR2, Satterthwaite".
        leverage: For each cluster W_g and G_g, by which degrees of freedom are found; None
            without clusters.
        root: L with L L' = (X'X)^-1.
        residuals: One a row, in the order given.
    """

    beta: np.ndarray
    covariance: np.ndarray
    bread: np.ndarray
    n: int
    n_clusters: int | None
    kind: str
    leverage: tuple[np.ndarray, np.ndarray] | None
    root: np.ndarray
    residuals: np.ndarray

    def contrast(self, weights: np.ndarray) -> tuple[float, float, float]:
        """Return a weighted sum of coefficients with its error and degrees of freedom.

        Args:
            weights: One a coefficient.

        Returns:
            Estimate, standard error, degrees of freedom.

        Examples:
            >>> x = np.column_stack([np.ones(4), [0, 0, 1, 1]])
            >>> fit = fit_linear(x, np.array([1.0, 2.0, 4.0, 5.0]))
            >>> [round(value, 4) for value in fit.contrast(np.array([0, 1]))]
            [3.0, 0.7071, 2]
        """
        weights = np.asarray(weights, float)
        error = float(np.sqrt(max(weights @ self.covariance @ weights, 0.0)))
        return float(weights @ self.beta), error, self.degrees_of_freedom(weights)

    def degrees_of_freedom(self, weights: np.ndarray) -> float:
        """Return the degrees of freedom of a contrast; without clusters n less the coefficients.

        Args:
            weights: One a coefficient.

        Returns:
            Satterthwaite's number: twice the squared mean over the variance of the variance.

        Examples:
            >>> x = np.ones((6, 1))
            >>> fit = fit_linear(x, np.arange(6.0), cluster=np.array([0, 0, 1, 1, 2, 2]))
            >>> round(fit.degrees_of_freedom(np.array([1.0])), 6)  # three equal clusters
            2.0
        """
        if self.leverage is None:
            return self.n - len(self.beta)
        adjust, gram = self.leverage
        # p_g = Z_g v_g is what the cluster's residuals are weighed with.
        v = adjust @ (self.root.T @ np.asarray(weights, float))
        q = np.einsum("gij,gj->gi", gram, v)
        own, shared = np.einsum("gi,gi->g", v, q), np.einsum("gi,gi->g", q, q)
        trace = own.sum() - shared.sum()
        squared = (own**2).sum() - 2 * (own * shared).sum() + ((q.T @ q) ** 2).sum()
        return float(trace**2 / squared) if squared > 0 else float("nan")


def fit_linear(
    x: np.ndarray,
    y: np.ndarray,
    *,
    cluster: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> LinearFit:
    """Return least-squares coefficients with HC2, or by cluster CR2, covariance.

    Args:
        x: One row a row of data, a column a coefficient, of full rank.
        y: The outcome.
        cluster: Codes from 0 without gaps, or None.
        weight: Above 0, or None. The working variance of a row is one over its weight.

    Returns:
        The fit.

    Raises:
        numpy.linalg.LinAlgError: The columns of x are dependent; doors refuse that before.

    Examples:
        >>> x = np.column_stack([np.ones(4), [0, 0, 1, 1]])
        >>> fit_linear(x, np.array([1.0, 2.0, 4.0, 5.0])).beta.round(6).tolist()
        [1.5, 3.0]
    """
    scale = None if weight is None else np.sqrt(weight)
    xs, ys = (x, y) if scale is None else (x * scale[:, None], y * scale)
    # X'X = R'R, so that L = R^-1; by QR the columns are not squared.
    triangle = triangle_of(xs)
    root = solve_triangular(triangle, np.eye(len(triangle)))
    z = xs @ root
    beta = root @ (z.T @ ys)
    residuals = ys - xs @ beta
    # What is left by rounding is no residual: an outcome that never varies has no error.
    residuals[np.abs(residuals) <= _ROUNDING * np.abs(ys).max(initial=0.0)] = 0.0
    if cluster is None:
        meat, leverage, n_clusters = _by_row(z, residuals), None, None
    else:
        meat, leverage, n_clusters = _by_cluster(z, residuals, cluster)
    return LinearFit(
        beta, root @ meat @ root.T, root @ root.T, len(y), n_clusters,
        "HC2" if cluster is None else "CR2, Satterthwaite", leverage, root,
        residuals if scale is None else residuals / scale,
    )  # fmt: skip


def weighted_products(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return x' diag(weight) x, some thousand rows at a time.

    Args:
        x: One row a row of data.
        weight: One number a row.

    Returns:
        Sums of products of the columns.

    Examples:
        >>> weighted_products(np.array([[1.0], [2.0]]), np.array([3.0, 1.0])).tolist()
        [[7.0]]
    """
    total = np.zeros((x.shape[1], x.shape[1]))
    for i in range(0, len(x), _ROWS):
        part = x[i : i + _ROWS]
        total += (part * weight[i : i + _ROWS, None]).T @ part
    return total


def triangle_of(x: np.ndarray) -> np.ndarray:
    """Return R of x = QR.

    Of many rows by Cholesky's factor of the columns' products, taken twice (CholeskyQR2; Yamamoto
    et al., Electronic Transactions on Numerical Analysis 2015;44:306), which is as exact as QR
    where columns are far from dependent, and many times as quick; else by QR, some thousand rows
    at a time so that they stay near the processor.

    Args:
        x: One row a row of data.

    Returns:
        R; the signs of its rows are arbitrary.

    Examples:
        >>> abs(triangle_of(np.array([[3.0], [4.0]]))).tolist()
        [[5.0]]
    """
    if len(x) <= 2 * _ROWS:
        return np.asarray(np.linalg.qr(x, mode="r"))
    quick = _triangle_of_products(x)
    if quick is not None:
        return quick
    parts = [np.linalg.qr(x[i : i + _ROWS], mode="r") for i in range(0, len(x), _ROWS)]
    return np.asarray(np.linalg.qr(np.concatenate(parts), mode="r"))


def _triangle_of_products(x: np.ndarray) -> np.ndarray | None:
    """Return R by products of columns, None where they are too near to dependence for it."""
    whole = _products(x, np.eye(x.shape[1]))
    length = np.sqrt(np.diag(whole))
    if not (np.isfinite(length) & (length > 0)).all():
        return None
    alike = whole / np.outer(length, length)
    if np.linalg.eigvalsh(alike)[0] < _APART:
        return None
    # The first factor makes columns orthogonal to a few digits, the second to the last.
    first = np.linalg.cholesky(alike).T * length
    inverse = solve_triangular(first, np.eye(len(first)))
    return np.asarray(np.linalg.cholesky(_products(x, inverse)).T @ first)


def _products(x: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return Z'Z of Z = x turn, some thousand rows at a time."""
    total = np.zeros_like(turn)
    for i in range(0, len(x), _ROWS):
        part = x[i : i + _ROWS] @ turn
        total += part.T @ part
    return total


def _by_row(z: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Return the HC2 middle: a row that determines a coefficient has no residual and adds none."""
    free = 1 - np.einsum("ij,ij->i", z, z)
    full = free < _FULL
    scaled = np.where(full, 0.0, residuals**2 / np.where(full, 1.0, free))
    return weighted_products(z, scaled)


def _by_cluster(
    z: np.ndarray, residuals: np.ndarray, cluster: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], int]:
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    # A column after the other in memory: sums run along them.
    columns, residuals = np.ascontiguousarray(z[order].T), residuals[order]
    k = len(columns)
    gram = np.empty((len(starts), k, k))
    for i in range(k):
        for j in range(i, k):
            gram[:, i, j] = gram[:, j, i] = np.add.reduceat(columns[i] * columns[j], starts)
    score = np.stack([np.add.reduceat(part * residuals, starts) for part in columns], axis=1)
    adjust = np.empty_like(gram)
    for i in range(0, len(gram), _ROWS):
        adjust[i : i + _ROWS] = _root_of_free(gram[i : i + _ROWS])
    adjusted = np.einsum("gij,gj->gi", adjust, score)
    return adjusted.T @ adjusted, (adjust, gram), len(starts)


def _root_of_free(gram: np.ndarray) -> np.ndarray:
    """Return (I - G)^(-1/2) of each cluster, 0 where the cluster determines a direction by itself.

    This is the generalised inverse: what a cluster determines leaves no residual.
    """
    values, vectors = np.linalg.eigh(gram)
    free = 1 - values
    power = np.where(free < _FULL, 0.0, np.maximum(free, _FULL) ** -0.5)
    return np.asarray((vectors * power[:, None, :]) @ vectors.transpose(0, 2, 1))
