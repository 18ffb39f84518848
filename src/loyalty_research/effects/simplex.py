"""The point nearest to a target among all mixtures of given points."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

_NOTHING = 1e-9


def convex_weights(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return weights, not negative and of sum 1, whose mixture comes nearest to the target.

    With D the points less the target, a mixture w lies |D w| away. Over u >= 0 the sum
    |D u|^2 + (1'u - 1)^2 is, at u = s w and the best s, q / (1 + q) with q = |D w|^2, so that its
    least u, by Lawson and Hanson's exact method for u >= 0 (Solving Least Squares Problems, 1974,
    chapter 23), is the best w but for its sum. Nothing is approximated.

    Args:
        points: One column a point.
        target: As long as a column.

    Returns:
        One weight a point; where several mixtures are equally near, one of them.

    Examples:
        >>> points = np.array([[0.0, 10.0, 5.0], [0.0, 0.0, 40.0]])
        >>> convex_weights(points, np.array([7.0, 0.0])).round(6).tolist()
        [0.3, 0.7, 0.0]
    """
    away = points - target[:, None]
    size = np.linalg.norm(away, axis=0).min()
    # In units of the nearest point both parts of the sum weigh alike.
    away = away / size if size > 0 else away
    rows = np.vstack([away, np.ones(points.shape[1])])
    aim = np.append(np.zeros(len(target)), 1.0)
    found, _ = nnls(rows, aim, maxiter=100 * points.shape[1])
    weights = found / found.sum()
    weights[weights < _NOTHING] = 0.0
    return weights / weights.sum()
