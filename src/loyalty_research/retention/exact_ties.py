"""The partial likelihood of truly discrete time, where ties are no accident of rounding.

Given that d of those at risk have the event at a time, the chance that it is these and no other d
is the product of their r over the sum of such products over all choices of d of them (Cox, JRSS B
1972;34:187). That sum comes from the recursion of Gail, Lubin and Rubinstein
(Biometrika 1981;68:703)

    e_m(first j rows) = e_m(first j - 1) + r_j e_{m-1}(first j - 1)

which for all rows at once is a cumulative sum for each m; its derivatives follow the same way.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from loyalty_research.errors import UsageError
from loyalty_research.retention.cox_likelihood import Fit, Likelihood, climb

MOST_WORK = 50_000_000
"""Rows at risk times events times squared covariates, summed over the event times."""
MOST_CHOICES = 1e280
"""Ways to choose the events of one time, whose reciprocal must still be a number."""


def maximise_exact(rows: Likelihood) -> Fit:
    """Return the maximum of the exact partial likelihood.

    Args:
        rows: As `prepare` returns them; a frequency counts as so many rows.

    Returns:
        The fit.

    Raises:
        UsageError: So many ties that it would take too long.

    Examples:
        >>> from loyalty_research.retention.cox_likelihood import prepare
        >>> x, t = np.array([[1.0], [0.0], [0.0], [1.0]]), np.array([1, 1, 3, 4])
        >>> fit = maximise_exact(prepare(x, time=t, event=np.array([True, True, True, False])))
        >>> fit.converged
        True
    """
    repeats = np.rint(rows.freq).astype(int)
    design = np.repeat(rows.design, repeats, axis=1)
    first, last = np.repeat(rows.axis.first, repeats), np.repeat(rows.axis.last, repeats)
    is_event = np.zeros(len(rows.freq), bool)
    is_event[rows.axis.own] = True
    event, offset = np.repeat(is_event, repeats), np.repeat(rows.offset, repeats)
    at_risk = [np.flatnonzero((first <= k) & (k < last)) for k in range(len(rows.axis.time))]
    events = [risk[event[risk] & (last[risk] == k + 1)] for k, risk in enumerate(at_risk)]
    work = sum(len(r) * len(e) for r, e in zip(at_risk, events, strict=True)) * len(design) ** 2
    choices = max(_log_choices(len(r), len(e)) for r, e in zip(at_risk, events, strict=True))
    if work > MOST_WORK or choices > np.log(MOST_CHOICES):
        raise UsageError("ties='exact' would take too long for so many ties; choose 'efron'")

    def value(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        predictor = at @ design + offset
        total, score = 0.0, np.zeros(len(at))
        information = np.zeros((len(at), len(at)))
        for risk, own in zip(at_risk, events, strict=True):
            with np.errstate(divide="ignore", invalid="ignore"):
                log_sum, mean, spread = _choices(design[:, risk].T, predictor[risk], len(own))
            total += float(predictor[own].sum()) - log_sum
            score += design[:, own].sum(axis=1) - mean
            information += spread
        if not np.isfinite(total):
            return -np.inf, np.zeros(len(at)), np.eye(len(at))
        return total, score, information

    scales = np.sqrt(np.average(rows.design**2, axis=1, weights=rows.size))
    return climb(value, len(design), scales)


def _log_choices(n: int, d: int) -> float:
    """Return the log of the most ways to choose up to d of n rows."""
    d = min(d, n // 2)
    return float(gammaln(n + 1) - gammaln(d + 1) - gammaln(n - d + 1))


def _choices(x: np.ndarray, predictor: np.ndarray, d: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the log of the sum over choices of d rows, its gradient and its second derivative."""
    # From the highest risk down: what the first rows hold is then a share of the whole that is no
    # less than one by the number of choices.
    order = np.argsort(-predictor, kind="stable")
    x, top = x[order], float(predictor[order[0]])
    r = np.exp(predictor[order] - top)
    n, p = x.shape
    e, g, h = np.ones(n), np.zeros((n, p)), np.zeros((n, p, p))
    pairs = x[:, :, None] * x[:, None, :]
    log_sum = d * top
    for m in range(1, d + 1):
        outer = g[:, :, None] * x[:, None, :]
        h = r[:, None, None] * (h + outer + outer.transpose(0, 2, 1) + e[:, None, None] * pairs)
        g = r[:, None] * (g + e[:, None] * x)
        e = r * e
        e, g, h = (np.cumsum(part, axis=0) for part in (e, g, h))
        # Scaled so that the sum over all rows is 1 whatever m is.
        whole = e[-1]
        log_sum += float(np.log(whole))
        e, g, h = e / whole, g / whole, h / whole
        if m < d:
            # The next row is chosen after these: what the rows before it hold.
            e, g, h = (np.concatenate([part[:1] * 0, part[:-1]]) for part in (e, g, h))
    return log_sum, g[-1], h[-1] - np.outer(g[-1], g[-1])
