"""A unit as a mixture of others, found on the time before the change."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from loyalty_research.effects.simplex import convex_weights
from loyalty_research.effects.synthetic_panel import Panel

_ROUNDING = 1e-9
_SEARCH = {"xatol": 1e-6, "fatol": 1e-10, "maxfev": 2000}


@dataclass(frozen=True)
class SyntheticFit:
    """One unit beside its mixture.

    Attributes:
        target: Row of the unit in the panel.
        pool: Rows of the units it is mixed from.
        weights: One a unit of the pool.
        synthetic: The mixture's outcome in each period.
        gaps: Outcome less that of the mixture, in each period.
        n_before: Periods before the change.
        importance: What each covariate counted, of sum 1; none without covariates.
    """

    target: int
    pool: np.ndarray
    weights: np.ndarray
    synthetic: np.ndarray
    gaps: np.ndarray
    n_before: int
    importance: np.ndarray

    @property
    def rmspe_before(self) -> float:
        """Root mean squared gap before the change."""
        return float(np.sqrt(np.mean(self.gaps[: self.n_before] ** 2)))

    @property
    def rmspe_after(self) -> float:
        """Root mean squared gap from the change on."""
        return float(np.sqrt(np.mean(self.gaps[self.n_before :] ** 2)))

    @property
    def is_perfect(self) -> bool:
        """Whether the gap before the change is no more than rounding."""
        return self.rmspe_before <= _ROUNDING * float(np.abs(self.synthetic).max())

    @property
    def ratio(self) -> float:
        """Gap after over gap before; infinite after a perfect fit that ends, 1 if it goes on."""
        if not self.is_perfect:
            return self.rmspe_after / self.rmspe_before
        goes_on = self.rmspe_after <= _ROUNDING * float(np.abs(self.synthetic).max())
        return 1.0 if goes_on else math.inf

    @property
    def average(self) -> float:
        """Mean gap from the change on."""
        return float(self.gaps[self.n_before :].mean())


def fit_synthetic(panel: Panel, target: int, pool: np.ndarray) -> SyntheticFit:
    """Return the mixture of other units that is nearest to a unit before the change.

    Nearest in the outcomes of every period before; with covariates nearest in these, each counting
    by its importance, which, where it is not given, is the one whose mixture follows the earlier
    outcomes best (Abadie, Diamond and Hainmueller, JASA 2010;105:493). That search, by Nelder and
    Mead from equal importance, may end at a local best.

    Args:
        panel: The units.
        target: Row of the unit.
        pool: Rows of the units that may serve.

    Returns:
        The fit.

    Examples:
        >>> import pandas as pd
        >>> rows = np.array([[1.0, 2.0, 9.0], [0.0, 2.0, 4.0], [2.0, 2.0, 6.0]])
        >>> panel = Panel(["a", "b", "c"], pd.Series(range(3)), rows, np.empty((3, 0)), (), None, 2)
        >>> fit = fit_synthetic(panel, 0, np.array([1, 2]))
        >>> fit.weights.round(6).tolist(), round(fit.average, 6)
        ([0.5, 0.5], 4.0)
    """
    before = panel.outcome[:, : panel.n_before]
    importance = np.empty(0)
    if panel.covariates:
        importance = (
            panel.importance if panel.importance is not None else _search(panel, target, pool)
        )
        importance = importance / importance.sum()
        weights = _weights_by(panel, target, pool, importance)
    else:
        weights = convex_weights(before[pool].T, before[target])
    synthetic = weights @ panel.outcome[pool]
    gaps = panel.outcome[target] - synthetic
    return SyntheticFit(target, pool, weights, synthetic, gaps, panel.n_before, importance)


def fit_placebos(panel: Panel) -> list[SyntheticFit]:
    """Return every donor in the place of the treated unit, which joins the donors.

    Were the change without effect and its unit drawn by lot, each unit's ratio would be as likely
    to be the largest.

    Args:
        panel: The units.

    Returns:
        One fit a donor.
    """
    everyone = np.arange(len(panel.units))
    return [fit_synthetic(panel, unit, everyone[everyone != unit]) for unit in everyone[1:]]


def panel_before(panel: Panel, *, n_before: int) -> Panel:
    """Return the panel before its change, with a change that never was.

    Args:
        panel: The units.
        n_before: Periods before the false change.

    Returns:
        The shorter panel; covariates stay those of the whole time before.
    """
    kept = panel.n_before
    return replace(
        panel, times=panel.times[:kept], outcome=panel.outcome[:, :kept], n_before=n_before
    )


def _weights_by(panel: Panel, target: int, pool: np.ndarray, importance: np.ndarray) -> np.ndarray:
    root = np.sqrt(importance)[:, None]
    return convex_weights(root * panel.x[pool].T, root[:, 0] * panel.x[target])


def _search(panel: Panel, target: int, pool: np.ndarray) -> np.ndarray:
    """Return the importance whose mixture follows the earlier outcomes best."""
    before = panel.outcome[:, : panel.n_before]
    spread = max(float(before.var()), 1e-300)

    def importance_of(logs: np.ndarray) -> np.ndarray:
        # The last covariate counts 1 before all are brought to a sum of 1.
        counts = np.exp(np.clip(np.append(logs, 0.0), -20, 20))
        return counts / counts.sum()

    def loss(logs: np.ndarray) -> float:
        weights = _weights_by(panel, target, pool, importance_of(logs))
        return float(np.mean((before[target] - weights @ before[pool]) ** 2)) / spread

    k = len(panel.covariates)
    if k == 1:
        return np.ones(1)
    start = np.zeros(k - 1)
    corners = np.vstack([start, 2.0 * np.eye(k - 1)])
    found = minimize(
        loss, start, method="Nelder-Mead", options={**_SEARCH, "initial_simplex": corners}
    )
    return importance_of(found.x)
