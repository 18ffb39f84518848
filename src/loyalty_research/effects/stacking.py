"""The level of each arm with what every row adds to it, and the contrasts of both levels.

Each level solves a sum of the rows' parts, as do the coefficients of the models that it rests on.
Stacked, these are one M-estimator: a row's influence on a level is its own part, plus its part in
each model times how the level moves with that model (Stefanski and Boos, Am Stat 2002;56:29;
Lunceford and Davidian, Stat Med 2004;23:2937). Taking weights as known instead makes intervals too
wide or too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loyalty_research.effects.arms import ArmRows
from loyalty_research.effects.estimates import estimate_row, ratio_row

MEASURES = {"number": "mean difference", "binary": "risk difference", "count": "mean difference"}
RATIO_MEASURES = {"binary": "risk ratio", "count": "ratio of means"}
UNADJUSTED = "unadjusted"
"""Term of the contrast that nothing was done about: an association."""


@dataclass(frozen=True)
class Levels:
    """The outcome's level in both arms.

    Attributes:
        value: Level of arm 0 and of arm 1.
        covariance: Of the two.
        df: Degrees of freedom: clusters less one, infinite without clusters.
    """

    value: tuple[float, float]
    covariance: np.ndarray
    df: float

    def difference(self) -> tuple[float, float]:
        """Return arm 1 less arm 0, with its standard error."""
        c = self.covariance
        return self.value[1] - self.value[0], math.sqrt(max(c[0, 0] + c[1, 1] - 2 * c[0, 1], 0.0))

    def log_ratio(self) -> tuple[float, float]:
        """Return the log of arm 1 over arm 0 with its error; missing unless both are above 0."""
        if min(self.value) <= 0:
            return math.nan, math.nan
        slope = np.array([-1 / self.value[0], 1 / self.value[1]])
        error = math.sqrt(max(float(slope @ self.covariance @ slope), 0.0))
        return math.log(self.value[1] / self.value[0]), error


def stack_levels(
    values: Sequence[float], influence: Sequence[np.ndarray], *, cluster: np.ndarray | None = None
) -> Levels:
    """Return levels with the covariance that the rows' influence gives.

    Args:
        values: Level of arm 0 and of arm 1.
        influence: What each row adds to each level, on the scale of the level.
        cluster: Codes from 0, rows of which are summed first; the sum of squares is then times
            G / (G - 1).

    Returns:
        The levels.

    Examples:
        >>> parts = [np.array([-0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, -1.0, 1.0])]
        >>> stack_levels([1.5, 4.0], parts).difference()
        (2.5, 1.5811388300841898)
    """
    parts = np.stack(influence)
    if cluster is None:
        return Levels((float(values[0]), float(values[1])), parts @ parts.T, math.inf)
    summed = np.stack([np.bincount(cluster, weights=part) for part in parts])
    n = int(np.unique(cluster).size)
    covariance = summed @ summed.T * n / (n - 1) if n > 1 else np.full((2, 2), math.nan)
    return Levels((float(values[0]), float(values[1])), covariance, n - 1)


def naive_levels(rows: ArmRows) -> Levels:
    """Return the plain means of both arms, each with its own variance.

    Args:
        rows: The opened rows.

    Returns:
        The levels; without clusters the variance of a mean is s^2 / n (Welch's).

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects.arms import open_arms
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> naive_levels(open_arms(data, arm="arm", outcome="score")).difference()
        (3.0, 0.7071067811865476)
    """
    means, parts = rows.means(), []
    for k in (0, 1):
        inside = rows.arm == k
        n = int(inside.sum())
        # n / (n - 1) once, as the variance of a sample has it; clusters have their own factor.
        scale = 1.0 if rows.cluster is not None or n < 2 else math.sqrt(n / (n - 1))
        parts.append(np.where(inside, (rows.outcome - means[k]) * scale / n, 0.0))
    return stack_levels([means[0], means[1]], parts, cluster=rows.cluster)


def contrast_rows(
    levels: Levels,
    rows: ArmRows,
    *,
    kind: str,
    method: str,
    conf_level: float,
    n: int,
    n_events: int,
    with_ratio: bool = True,
) -> list[dict[str, Any]]:
    """Return the difference of both arms, their ratio where it has a meaning, and the naive one.

    Args:
        levels: As stacked.
        rows: All rows whose outcome is known, which the naive contrast is of.
        kind: "number", "binary" or "count".
        method: In words.
        conf_level: Coverage of the intervals.
        n: Rows that the levels rest on.
        n_events: Events among them; unused where the outcome is a number.
        with_ratio: Whether the levels' covariance gives the ratio's error too.

    Returns:
        Rows of estimates: the headline, perhaps the ratio, and the unadjusted contrast, whose
        method says that it is an association.
    """
    is_number = kind == "number"
    measure, naive = MEASURES[kind], naive_levels(rows)
    adjusted: dict[str, Any] = {
        "n": n, "n_events": None if is_number else n_events, "conf_level": conf_level,
        "df": levels.df, "method": method,
    }  # fmt: skip
    found = [estimate_row(measure, *levels.difference(), scale=measure, **adjusted)]
    if with_ratio and kind in RATIO_MEASURES and min(levels.value) > 0:
        ratio = RATIO_MEASURES[kind]
        found.append(ratio_row(ratio, *levels.log_ratio(), scale=ratio, **adjusted))
    plain = adjusted | {
        "n": rows.n, "n_events": None if is_number else int(rows.outcome.sum()),
        "df": naive.df, "method": "difference of means: an association",
    }  # fmt: skip
    return [*found, estimate_row(UNADJUSTED, *naive.difference(), scale=measure, **plain)]
