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

from loyalty_research.errors import UsageError
from loyalty_research.retention.cox_likelihood import Fit, Likelihood, climb

MOST_WORK = 50_000_000
"""Rows at risk times events times squared covariates, summed over the event times."""


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
    if work > MOST_WORK:
        raise UsageError("ties='exact' would take too long for so many ties; choose 'efron'")

    def value(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        predictor = at @ design + offset
        total, score = 0.0, np.zeros(len(at))
        information = np.zeros((len(at), len(at)))
        for risk, own in zip(at_risk, events, strict=True):
            log_sum, mean, spread = _choices(design[:, risk].T, predictor[risk], len(own))
            total += float(predictor[own].sum()) - log_sum
            score += design[:, own].sum(axis=1) - mean
            information += spread
        return total, score, information

    scales = np.sqrt(np.average(rows.design**2, axis=1, weights=rows.size))
    return climb(value, len(design), scales)


def _choices(x: np.ndarray, predictor: np.ndarray, d: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the log of the sum over choices of d rows, its gradient and its second derivative."""
    top = predictor.max()
    r = np.exp(predictor - top)
    # Scaled so that the sum stays near 1 whatever d is.
    scale = d / r.sum()
    r = r * scale
    n, p = x.shape
    e, g, h = np.ones(n), np.zeros((n, p)), np.zeros((n, p, p))
    for m in range(1, d + 1):
        outer = g[:, :, None] * x[:, None, :]
        pairs = x[:, :, None] * x[:, None, :]
        h = r[:, None, None] * (h + outer + outer.transpose(0, 2, 1) + e[:, None, None] * pairs)
        g = r[:, None] * (g + e[:, None] * x)
        e = r * e
        e, g, h = (np.cumsum(part, axis=0) for part in (e, g, h))
        if m < d:
            # The next row is chosen after these: what the rows before it hold.
            e, g, h = (np.concatenate([part[:1] * 0, part[:-1]]) for part in (e, g, h))
    total, mean = e[-1], g[-1] / e[-1]
    log_sum = float(np.log(total)) + d * float(top - np.log(scale))
    return log_sum, mean, h[-1] / total - np.outer(mean, mean)
