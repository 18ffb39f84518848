"""A linear mixed model of patients within periods within clusters, by restricted likelihood.

    outcome = x'beta + cluster level + cluster-period level + patient's own deviation

with variances s_u, s_v and s_e. Patients enter only by the mean of their cluster-period and by the
sums of products about it, so that millions of them cost no more than one pass: the means scaled by
the root of their size have within a cluster the covariance s_e I + s_v D + s_u d d', where d holds
the roots of the sizes and D their squares on its diagonal, and what is within a cluster-period has
the variance s_e alone. No matrix is larger than the periods of a cluster.

Fixed effects are read with the covariance of Kenward and Roger (Biometrics 1997;53:983), which
allows for the variances' being estimated, and the degrees of freedom of the contrast asked for;
for a single contrast these are Satterthwaite's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

_STARTS = ((0.05, 0.05), (0.3, 0.3), (0.0, 0.3), (0.3, 0.0))
"""Roots of the variances relative to the patients', from which the search begins."""
_POLISH = 60
_SETTLED = 1e-11
_NOTHING = 1e-9
"""Part of the whole variance below which a search near 0 means 0."""


@dataclass(frozen=True)
class Cells:
    """Cluster-periods, padded to the same number in each cluster.

    Attributes:
        x: Clusters x periods x coefficients: means times the root of the size, 0 where no one is.
        y: Clusters x periods, likewise.
        root: Roots of the sizes, 0 where no one is.
        within: For each cluster the sums of products of coefficients and outcome (last) about the
            means of their cluster-period.
        n: Patients.
    """

    x: np.ndarray
    y: np.ndarray
    root: np.ndarray
    within: np.ndarray
    n: int

    @property
    def has_within(self) -> bool:
        """Whether a cluster-period holds more than one patient."""
        return bool((self.root > 1.5).any())


@dataclass(frozen=True)
class NestedFit:
    """A fitted model.

    Attributes:
        beta: Coefficients.
        covariance: Their covariance as if the variances were known.
        adjusted: Kenward and Roger's.
        variances: Of patients, of cluster-periods and of clusters.
        deviance: Minus twice the restricted log likelihood.
        slopes: For each variance the derivative of `covariance` by it.
        variances_covariance: Of the estimated variances.
    """

    beta: np.ndarray
    covariance: np.ndarray
    adjusted: np.ndarray
    variances: np.ndarray
    deviance: float
    slopes: np.ndarray
    variances_covariance: np.ndarray

    def contrast(self, weights: np.ndarray) -> tuple[float, float, float]:
        """Return a weighted sum of coefficients, its error and degrees of freedom.

        Args:
            weights: One a coefficient.

        Returns:
            Estimate, Kenward and Roger's standard error, degrees of freedom.
        """
        c = np.asarray(weights, float)
        known = float(c @ self.covariance @ c)
        gradient = np.einsum("i,aij,j->a", c, self.slopes, c)
        spread = float(gradient @ self.variances_covariance @ gradient)
        df = 2 * known**2 / spread if spread > 0 else float("inf")
        adjusted = float(c @ self.adjusted @ c)
        # With two clusters or so the adjustment breaks down.
        error = float(np.sqrt(adjusted if adjusted > 0 else known))
        return float(c @ self.beta), error, df


def gather_cells(
    cluster: np.ndarray,
    period: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    fixed: np.ndarray | None = None,
) -> Cells:
    """Return the cluster-periods of patients.

    Args:
        cluster: Codes from 0 without gaps.
        period: Codes from 0 without gaps.
        x: A row a patient, a column a coefficient.
        y: The outcome.
        fixed: Clusters x periods x coefficients that are the same for all patients of a
            cluster-period and stand before those of x, or None.

    Returns:
        Their means and sums of products.

    Examples:
        >>> cells = gather_cells(np.array([0, 0, 1]), np.array([0, 0, 0]), np.ones((3, 1)),
        ...     np.array([1.0, 3.0, 5.0]))
        >>> cells.within[:, -1, -1].tolist()  # (1 - 2)^2 + (3 - 2)^2 in the first cluster
        [2.0, 0.0]
    """
    shape = (int(cluster.max()) + 1, int(period.max()) + 1)
    fixed = np.zeros((*shape, 0)) if fixed is None else fixed
    cell = cluster * shape[1] + period
    size = np.bincount(cell, minlength=shape[0] * shape[1])
    columns = [*x.T, y]
    sums = np.stack([np.bincount(cell, column, len(size)) for column in columns], axis=1)
    means = sums / np.maximum(size, 1)[:, None]
    n_fixed = fixed.shape[2]
    within = np.zeros((shape[0], n_fixed + len(columns), n_fixed + len(columns)))
    apart = [column - means[cell, i] for i, column in enumerate(columns)]
    for i in range(len(columns)):
        # What is the same within cluster-periods is so but for rounding, and has no product.
        if np.abs(apart[i]).max() <= 1e-9 * max(np.abs(columns[i]).max(), 1e-300):
            apart[i] = np.zeros_like(y)
        for j in range(i + 1):
            products = np.bincount(cluster, apart[i] * apart[j], shape[0])
            within[:, n_fixed + i, n_fixed + j] = within[:, n_fixed + j, n_fixed + i] = products
    root = np.sqrt(size).reshape(shape)
    scaled = np.concatenate([fixed, means.reshape(*shape, -1)], axis=2) * root[:, :, None]
    return Cells(scaled[:, :, :-1], scaled[:, :, -1], root, within, len(y))


def fit_nested(cells: Cells, *, with_periods: bool | None = None) -> NestedFit:
    """Return the model fitted by restricted maximum likelihood.

    Args:
        cells: As `gather_cells` returns them.
        with_periods: Whether a cluster's level may change from period to period; by default where
            a cluster-period holds more than one patient, so that the change can be told from a
            patient's own deviation.

    Returns:
        The fit.

    Raises:
        numpy.linalg.LinAlgError: Coefficients that the data do not hold.
    """
    free_v = cells.has_within if with_periods is None else with_periods
    theta = _search(cells, free_v)
    variances = _scale(cells, theta) * np.array([1.0, *theta])
    variances = _polish(cells, variances, free_v)
    return _finish(cells, variances, free_v)


def expected_fit(cells: Cells, variances: np.ndarray) -> NestedFit:
    """Return the errors and degrees of freedom that a study is to expect at known variances.

    Args:
        cells: Of the planned study; the outcome does not matter.
        variances: Of patients, of cluster-periods and of clusters.

    Returns:
        A fit whose covariances are those of the plan.

    Examples:
        >>> cells = gather_cells(np.repeat([0, 1, 2, 3], 2), np.zeros(8, int), np.ones((8, 1)),
        ...     np.arange(8.0))
        >>> expected_fit(cells, np.array([1.0, 0.0, 0.5])).covariance.tolist()  # (0.5 + 1 / 2) / 4
        [[0.25]]
    """
    return _finish(cells, np.asarray(variances, float), free_v=bool((cells.root > 1.0).any()))


# --- the restricted likelihood --------------------------------------------------------------------


def _moments(cells: Cells, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Return products weighed by the inverse covariance, and its log determinant, at s_e = 1."""
    z = np.concatenate([cells.x, cells.y[:, :, None]], axis=2)
    a = 1 + theta[0] * cells.root**2
    through = np.einsum("kt,kti->ki", cells.root / a, z)
    total = (cells.root**2 / a).sum(axis=1)
    products = np.einsum("kti,ktj->ij", z / a[:, :, None], z) + cells.within.sum(axis=0)
    products -= np.einsum("k,ki,kj->ij", theta[1] / (1 + theta[1] * total), through, through)
    log_det = np.log(a).sum() + np.log1p(theta[1] * total).sum()
    return products, float(log_det)


def _solve(products: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return coefficients, residual sum of squares and the log determinant of their products."""
    p = len(products) - 1
    lower = np.linalg.cholesky(products[:p, :p])
    half = np.linalg.solve(lower, products[:p, p])
    beta = np.linalg.solve(lower.T, half)
    rss = max(float(products[p, p] - half @ half), np.finfo(float).tiny)
    return beta, rss, 2 * float(np.log(np.diag(lower)).sum())


def _deviance(cells: Cells, theta: np.ndarray) -> float:
    products, log_det = _moments(cells, theta)
    _, rss, log_x = _solve(products)
    free = cells.n - cells.x.shape[2]
    return free * (np.log(2 * np.pi * rss / free) + 1) + log_det + log_x


def _scale(cells: Cells, theta: np.ndarray) -> float:
    _, rss, _ = _solve(_moments(cells, theta)[0])
    return rss / (cells.n - cells.x.shape[2])


def _search(cells: Cells, free_v: bool) -> np.ndarray:
    """Return the relative variances of cluster-periods and clusters near the maximum."""

    def theta(s: np.ndarray) -> np.ndarray:
        return np.array([s[0] ** 2, s[1] ** 2]) if free_v else np.array([0.0, s[-1] ** 2])

    def height(s: np.ndarray) -> float:
        return _deviance(cells, theta(s))

    starts = [s if free_v else s[1:] for s in _STARTS]
    best = min((np.array(s) for s in starts), key=height)
    return theta(_descend(height, best))


def _descend(height: Callable[[np.ndarray], float], start: np.ndarray) -> np.ndarray:
    found = minimize(
        height, start, method="Nelder-Mead",
        options={"xatol": 1e-3, "fatol": 1e-4, "maxiter": 500},
    )  # fmt: skip
    return np.abs(found.x)


# --- derivatives by the variances -----------------------------------------------------------------


@dataclass(frozen=True)
class _Pieces:
    """What derivatives are made of: V^-1 G_a for each cluster, and the products with x."""

    covariance: np.ndarray
    beta: np.ndarray
    p: np.ndarray
    q: np.ndarray
    score: np.ndarray
    information: np.ndarray


def _pieces(cells: Cells, variances: np.ndarray) -> _Pieces:
    """Return first and second derivatives of the restricted likelihood by the three variances."""
    x, y, d = cells.x, cells.y, cells.root
    within = cells.within.sum(axis=0)
    k, t = d.shape
    e, v, u = variances
    diagonal = e + v * d**2
    ratio = d / diagonal
    inverse = np.eye(t) / diagonal[:, :, None]
    inverse -= (u / (1 + u * (d * ratio).sum(axis=1)))[:, None, None] * (
        ratio[:, :, None] * ratio[:, None, :]
    )
    vx = inverse @ x
    p_all = x.shape[2]
    products = np.einsum("kti,ktj->ij", x, vx) + within[:p_all, :p_all] / e
    covariance = np.linalg.inv(products)
    beta = covariance @ (np.einsum("kti,kt->i", vx, y) + within[:p_all, p_all] / e)
    residual = y - x @ beta
    vr = np.einsum("kts,ks->kt", inverse, residual)
    # G_a times what stands to its right: I, D, d d'.
    gvx = [vx, d[:, :, None] ** 2 * vx, d[:, :, None] * np.einsum("kt,kti->ki", d, vx)[:, None, :]]
    gvr = [vr, d**2 * vr, d * np.einsum("kt,kt->k", d, vr)[:, None]]
    vg = [inverse, inverse * d[:, None, :] ** 2, np.einsum("kts,ks,kr->ktr", inverse, d, d)]
    one = np.append(-beta, 1.0)
    p = np.stack([-np.einsum("kti,ktj->ij", vx, part) for part in gvx])
    p[0] -= within[:p_all, :p_all] / e**2
    trace = np.array([np.einsum("ktt->", part) for part in vg])
    trace[0] += (cells.n - k * t) / e
    square = np.array([np.einsum("kt,kt->", vr, part) for part in gvr])
    square[0] += one @ within @ one / e**2
    q = np.empty((3, 3, p_all, p_all))
    information = np.empty((3, 3))
    for a in range(3):
        for b in range(3):
            q[a, b] = np.einsum("kti,kts,ksj->ij", gvx[a], inverse, gvx[b])
            information[a, b] = np.einsum("kts,kst->", vg[a], vg[b])
    q[0, 0] += within[:p_all, :p_all] / e**3
    information[0, 0] += (cells.n - k * t) / e**2
    cp = covariance @ p
    for a in range(3):
        for b in range(3):
            information[a, b] -= 2 * np.einsum("ij,ji->", covariance, q[a, b])
            information[a, b] += np.einsum("ij,ji->", cp[a], cp[b])
    score = -0.5 * (trace + np.einsum("aii->a", cp) - square)
    return _Pieces(covariance, beta, p, q, score, information / 2)


def _polish(cells: Cells, variances: np.ndarray, free_v: bool) -> np.ndarray:
    """Return the variances after steps by score and expected information; none falls below 0."""
    current = np.where(variances < _NOTHING * variances.sum(), 0.0, variances)
    height = _height(cells, current)
    for _ in range(_POLISH):
        found = _pieces(cells, current)
        # A variance at 0 that would fall further stays there.
        free = np.array([True, free_v, True]) & ((current > 0) | (found.score > 0))
        at = np.flatnonzero(free)
        step = np.zeros(3)
        step[at] = np.linalg.lstsq(found.information[np.ix_(at, at)], found.score[at], rcond=None)[
            0
        ]
        factor = 1.0
        while factor > 1e-4:
            proposed = np.maximum(current + factor * step, [current[0] / 10, 0, 0])
            reached = _height(cells, proposed)
            if reached <= height + 1e-12 * abs(height):
                break
            factor /= 2
        else:
            return current
        moved = np.abs(proposed - current).max()
        current, height = proposed, min(height, reached)
        if moved < _SETTLED * current.sum():
            break
    return current


def _height(cells: Cells, variances: np.ndarray) -> float:
    """Return minus twice the restricted log likelihood at given variances."""
    products, log_det = _moments(cells, variances[1:] / variances[0])
    _, rss, log_x = _solve(products)
    free = cells.n - cells.x.shape[2]
    return free * np.log(2 * np.pi * variances[0]) + rss / variances[0] + log_det + log_x


def _finish(cells: Cells, variances: np.ndarray, free_v: bool) -> NestedFit:
    found = _pieces(cells, variances)
    kept = np.array([0, 1, 2] if free_v else [0, 2])
    w = np.linalg.pinv(found.information[np.ix_(kept, kept)], hermitian=True)
    middle = np.zeros_like(found.covariance)
    for i, a in enumerate(kept):
        for j, b in enumerate(kept):
            middle += w[i, j] * (found.q[a, b] - found.p[a] @ found.covariance @ found.p[b])
    adjusted = found.covariance + 2 * found.covariance @ middle @ found.covariance
    adjusted = (adjusted + adjusted.T) / 2
    slopes = np.stack([-found.covariance @ found.p[a] @ found.covariance for a in kept])
    deviance = _height(cells, variances)
    return NestedFit(
        found.beta, found.covariance, adjusted, variances, deviance, slopes, w
    )  # fmt: skip


def whitened_rows(cells: Cells, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows that are independent with variance 1, whose least squares is the model's.

    Args:
        cells: As `gather_cells` returns them.
        variances: Of patients, of cluster-periods and of clusters.

    Returns:
        Coefficients' columns, outcome and the cluster of each row. What is within a cluster-period
        becomes a few rows a cluster with the same sums of products.

    Examples:
        >>> cells = gather_cells(np.array([0, 0, 1]), np.array([0, 0, 0]), np.ones((3, 1)),
        ...     np.array([1.0, 3.0, 5.0]))
        >>> x, y, cluster = whitened_rows(cells, np.array([1.0, 0.0, 0.0]))
        >>> round(float((x[:, 0] @ y) / (x[:, 0] @ x[:, 0])), 6), cluster.tolist()
        (3.0, [0, 1])
    """
    e, v, u = variances
    t = cells.root.shape[1]
    d = cells.root
    covariance = e * np.eye(t) + v * d[:, :, None] ** 2 * np.eye(t)
    covariance += u * d[:, :, None] * d[:, None, :]
    lower = np.linalg.cholesky(covariance)
    x, y = np.linalg.solve(lower, cells.x), np.linalg.solve(lower, cells.y[:, :, None])[:, :, 0]
    codes = np.repeat(np.arange(len(d)), t).reshape(d.shape)
    kept = d > 0
    p = cells.x.shape[2]
    # A cluster's products are those of the root rows of its own matrix of products.
    values, vectors = np.linalg.eigh(cells.within[:, :p, :p] / e)
    counts = values > 1e-10 * np.maximum(values.max(axis=1, keepdims=True), 1e-300)
    root = np.sqrt(np.where(counts, values, 1.0))
    more_x = root[:, :, None] * vectors.transpose(0, 2, 1)
    more_y = np.einsum("kij,ki->kj", vectors, cells.within[:, :p, p] / e) / root
    more_codes = np.repeat(np.arange(len(d)), p).reshape(counts.shape)
    return (
        np.concatenate([x[kept], more_x[counts]]),
        np.concatenate([y[kept], more_y[counts]]),
        np.concatenate([codes[kept], more_codes[counts]]),
    )
