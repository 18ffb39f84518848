"""The change of treated units beside that of controls, with each unit's influence on it.

Without covariates it is the difference of mean changes. With covariates it is doubly robust: right
if either the chances of treatment or the changes of controls are modelled rightly (Sant'Anna and
Zhao, J Econometrics 2020;219:101, the estimator that R's `did` takes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.logit import fit_logit
from loyalty_research.errors import Fault

MOST_PROBABLE = 0.995
"""Controls with a higher estimated chance of treatment are left out, as in R's DRDiD."""


@dataclass(frozen=True)
class Change:
    """Differences between changes.

    Attributes:
        estimate: One a column of changes.
        influence: A row a unit, a column a change; their mean square over the units is the
            variance of the estimate.
        n_trimmed: Controls left out because they are almost sure to be treated.
    """

    estimate: np.ndarray
    influence: np.ndarray
    n_trimmed: int = 0


def mean_change(change: np.ndarray, treated: np.ndarray) -> Change:
    """Return the mean change of treated units less that of controls.

    Args:
        change: A row a unit, a column a change of the outcome.
        treated: Whether the unit is treated.

    Returns:
        Estimates and influences.

    Examples:
        >>> found = mean_change(np.array([[3.0], [5.0], [1.0]]), np.array([True, True, False]))
        >>> found.estimate.tolist(), found.influence.tolist()
        ([3.0], [[-1.5], [1.5], [-0.0]])
    """
    n, n_treated = len(treated), int(treated.sum())
    influence = np.empty_like(change, dtype=float)
    means = []
    for group, sign, size in ((treated, 1, n_treated), (~treated, -1, n - n_treated)):
        mean = change[group].mean(axis=0)
        influence[group] = sign * n / size * (change[group] - mean)
        means.append(mean)
    return Change(means[0] - means[1], influence)


def doubly_robust_change(
    change: np.ndarray,
    treated: np.ndarray,
    x: np.ndarray,
    *,
    terms: Sequence[str],
    cohort: str = "the treated",
) -> Change:
    """Return the change of treated units less that of controls like them.

    Args:
        change: A row a unit, a column a change of the outcome.
        treated: Whether the unit is treated.
        x: Covariates before treatment, a row a unit, without the intercept.
        terms: The name of each covariate.
        cohort: Who is treated, for the message.

    Returns:
        Estimates and influences, the estimation of both models included.

    Raises:
        DataError: Too few controls for so many covariates.
        SeparationError: Covariates tell treated units from controls.

    Examples:
        >>> x = np.array([[0.0], [1.0], [0.0], [1.0], [2.0]])
        >>> change = 1 + 2 * x + np.array([[3.0], [3.0], [0.0], [0.0], [0.0]])
        >>> treated = np.array([True, True, False, False, False])
        >>> doubly_robust_change(change, treated, x, terms=["size"]).estimate.round(6).tolist()
        [3.0]
    """
    # In units of its spread a covariate says the same, and steps towards a maximum can be judged.
    spread = x.std(axis=0)
    x = np.column_stack([np.ones(len(x)), (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)])
    _refuse_few(x, treated, cohort)
    n, one = len(x), treated.astype(float)
    fit = fit_logit(
        x, one, terms=["", *terms], separates=f"{cohort} from their controls",
        repair="leave it out or join its levels",
    )  # fmt: skip
    chance = fit.fitted
    kept = treated | (chance < MOST_PROBABLE)
    weight = np.where(kept, chance * (1 - one) / np.where(kept, 1 - chance, 1), 0.0)
    # The change of controls, by least squares among them.
    gram = np.linalg.inv(x[~treated].T @ x[~treated] / n)
    slope = gram @ (x[~treated].T @ change[~treated] / n)
    rest = change - x @ slope
    score = ((one - chance)[:, None] * x) @ fit.bread * n
    gain, loss = rest[treated].mean(axis=0), weight @ rest / weight.sum()
    from_line = x[treated].mean(axis=0) - weight @ x / weight.sum()
    away = weight[:, None] * (rest - loss)
    from_score = score @ (x.T @ away / n)
    influence = (one[:, None] * (rest - gain)) / one.mean()
    influence -= (away + from_score) / weight.mean()
    influence -= rest * ((1 - one) * (x @ gram @ from_line))[:, None]
    return Change(gain - loss, influence, int((~kept).sum()))


def _refuse_few(x: np.ndarray, treated: np.ndarray, cohort: str) -> None:
    n_controls, n_terms = int((~treated).sum()), x.shape[1]
    faults = []
    if n_controls <= n_terms:
        words = f"{n_controls:,} controls are too few for {n_terms:,} coefficients ({cohort})"
        faults.append(Fault("panel", "", n_controls, words, "name fewer covariates"))
    elif np.linalg.matrix_rank(x[~treated]) < n_terms:
        words = f"covariates determine one another among {n_controls:,} controls ({cohort})"
        faults.append(Fault("panel", "", n_controls, words, "leave one out or join its levels"))
    raise_faults(faults)
