"""Limits of a curve that stays between 0 and 1, on the scale where they are symmetric."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

CONF_TYPES = ("log-log", "log", "plain", "logit", "arcsin")
"""Scales on which an interval of a survival curve can be symmetric, named as in R's `survfit`."""


def add_limits(
    counts: pd.DataFrame,
    survival: np.ndarray,
    log_error: np.ndarray,
    *,
    conf_level: float,
    conf_type: str,
) -> pd.DataFrame:
    """Return the risk sets of one group with its curve and the curve's pointwise limits.

    Args:
        counts: Rows of one group with `n_events` and `n_censored`, in order of time.
        survival: The curve at the times of these rows.
        log_error: Standard error of the curve's logarithm; not finite once the curve is at 0.
        conf_level: Coverage of the pointwise interval.
        conf_type: One of `CONF_TYPES`.

    Returns:
        The counts with `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level` added.

    Examples:
        >>> counts = pd.DataFrame({"n_events": [1], "n_censored": [0]})
        >>> error = np.array([0.5])
        >>> table = add_limits(
        ...     counts, np.array([0.75]), error, conf_level=0.95, conf_type="plain"
        ... )
        >>> table["std_error"].tolist()
        [0.375]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        half = norm.ppf((1 + conf_level) / 2) * log_error
        low, high = survival_limits(survival, half, conf_type)
        std_error = survival * log_error
    if conf_type in ("log-log", "logit", "arcsin"):
        # Before the first exit there is nothing to be uncertain of, and R reports 1 to 1.
        nobody_left = (counts["n_events"] + counts["n_censored"]).cumsum().to_numpy() == 0
        low, high = np.where(nobody_left, 1.0, low), np.where(nobody_left, 1.0, high)
    return counts.assign(
        estimate=survival, std_error=std_error, conf_low=low, conf_high=high, conf_level=conf_level
    )


def survival_limits(
    survival: np.ndarray, half: np.ndarray, conf_type: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of a survival curve from their half width on the log scale.

    The half width is carried to the other scales by the derivative of each: Borgan and Liestol,
    Scandinavian Journal of Statistics 1990;17:35.

    Args:
        survival: The curve.
        half: Half the width of the interval of its logarithm.
        conf_type: One of `CONF_TYPES`.

    Returns:
        Lower and upper limits, missing where the scale has none (at 0; but for `"plain"` and
        `"log"` at 1 too).

    Examples:
        >>> low, high = survival_limits(np.array([0.5]), np.array([0.2]), "plain")
        >>> low.tolist(), high.tolist()
        ([0.4], [0.6])
    """
    inner = np.where((survival > 0) & (survival < 1), survival, np.nan)
    if conf_type == "plain":
        return np.maximum(survival * (1 - half), 0), np.minimum(survival * (1 + half), 1)
    if conf_type == "log":
        above = np.where(survival > 0, survival, np.nan)
        return above * np.exp(-half), np.minimum(above * np.exp(half), 1)
    if conf_type == "logit":
        centre, width = np.log(inner / (1 - inner)), half / (1 - inner)
        return 1 / (1 + np.exp(width - centre)), 1 / (1 + np.exp(-width - centre))
    if conf_type == "arcsin":
        centre, width = np.arcsin(np.sqrt(inner)), half / 2 * np.sqrt(inner / (1 - inner))
        low, high = np.maximum(centre - width, 0), np.minimum(centre + width, np.pi / 2)
        return np.sin(low) ** 2, np.sin(high) ** 2
    log_survival = np.log(inner)
    centre, width = np.log(-log_survival), half / log_survival
    return np.exp(-np.exp(centre - width)), np.exp(-np.exp(centre + width))
