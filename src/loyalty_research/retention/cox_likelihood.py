"""The partial likelihood from sums by event time: the numerical core of every Cox-type model.

Write r_i = w_i exp(x_i b + o_i) for the risk of row i, and at event time k

    S0 = sum of r over those at risk,  S1 = sum of r x,  E0, E1 = the same over those who leave,
    D = sum of w, d = number of those with the event.

Breslow (1974) takes D log S0 from the log-likelihood. Efron (1977) takes, for l = 0 .. d - 1, the
share D / d of log phi_l with phi_l = S0 - (l / d) E0, those with the event leaving one by one. With

    a = (D/d) sum 1/phi,    b = (D/d) sum c/phi,                     c = l / d
    A = (D/d) sum 1/phi^2,  B = (D/d) sum c/phi^2,  C = (D/d) sum c^2/phi^2

(for Breslow a = D/S0, A = D/S0^2, the others 0) the score is sum of w x over the events less that
of a S1 - b E1 over times, and the information is

    sum_i r_i x_i x_i' (a(exit) - a(entry) - b_i)
      - sum_k A S1 S1' - B (S1 E1' + E1 S1') + C E1 E1'

where a(t) is the sum of a up to t, and b_i that of the row's own event. So one product of matrices
does for all rows, and nothing is computed for pairs of rows and times. Delayed entry costs a
look-up; strata are stretches of one axis of event times.

Therneau and Grambsch, Modeling Survival Data, 2000, chapters 3 and 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MOST_STEPS = 30
"""Without a maximum the information falls by about e a step: these leave it above rounding."""
CLOSE_ENOUGH = 1e-16
"""Newton's decrement, the square of what is left in units of standard errors."""
LEAST_MOVE = 1e-6
"""The last step, in standard deviations of the covariate."""
_VANISHED = 1e-7
"""Share of the information at coefficients of 0 below which nothing is known of a direction: less
may be the rounding of risks that later entries add and take away."""
_MOST_HALVINGS = 30
_SHARE = 0.3
"""Part in the least known direction, the largest being 1, from which a covariate runs away."""
_BLOCK = 65_536


@dataclass(frozen=True)
class Axis:
    """Where each row is at risk on the axis of event times, the strata one after the other.

    Attributes:
        time: The event times; within a stratum rising.
        stratum: The stratum of each.
        first: For each row the first event time at which it is at risk.
        last: For each row one after the last event time at which it is at risk.
        own: Rows with an event, in the order of the rows.
    """

    time: np.ndarray
    stratum: np.ndarray
    first: np.ndarray
    last: np.ndarray
    own: np.ndarray

    @property
    def event_time(self) -> np.ndarray:
        """The event time of each row of `own`."""
        return self.last[self.own] - 1


@dataclass(frozen=True)
class Steps:
    """What happens at each event time, given coefficients: the letters of the module's text."""

    s1: np.ndarray
    e1: np.ndarray
    a: np.ndarray
    b: np.ndarray
    aa: np.ndarray
    bb: np.ndarray
    cc: np.ndarray
    deaths: np.ndarray


@dataclass(frozen=True)
class Likelihood:
    """The rows of a model, ready to be evaluated at any coefficients.

    Attributes:
        design: Covariates, one row a covariate, centred.
        centre: What was taken from each.
        axis: Where rows are at risk.
        size: Weight times frequency of each row.
        freq: How many patients each row stands for.
        offset: Added to the linear predictor, centred.
        offset_centre: What was taken from it.
        ties: "efron" or "breslow".
    """

    design: np.ndarray
    centre: np.ndarray
    axis: Axis
    size: np.ndarray
    freq: np.ndarray
    offset: np.ndarray
    offset_centre: float
    ties: str


@dataclass(frozen=True)
class Fit:
    """Where the likelihood has its maximum.

    Attributes:
        coefficients: Log hazard ratios.
        information: Minus the second derivative there.
        log_likelihood: Without covariates, and at the maximum.
        score: The score test's statistic at coefficients of 0.
        converged: Whether the maximum was reached.
        running: Per covariate, whether it still ran away when the steps were used up.
        n_steps: How many steps were taken.
        start_information: Minus the second derivative at coefficients of 0.
    """

    coefficients: np.ndarray
    information: np.ndarray
    log_likelihood: tuple[float, float]
    score: float
    converged: bool
    running: np.ndarray
    n_steps: int
    start_information: np.ndarray


def place_rows(
    time: np.ndarray, event: np.ndarray, entry: np.ndarray | None, stratum: np.ndarray | None
) -> Axis:
    """Return where each row is at risk on the axis of event times.

    Args:
        time: Time of event or censoring, int64.
        event: True where the row ends with the event.
        entry: Time from which the row is at risk, or None.
        stratum: Codes from 0, or None.

    Returns:
        The axis.

    Examples:
        >>> axis = place_rows(np.array([2, 3, 5]), np.array([True, False, True]), None, None)
        >>> axis.time.tolist(), axis.last.tolist()
        ([2, 5], [1, 1, 2])
    """
    span = int(time.max()) + 1
    layer = np.zeros(len(time), np.int64) if stratum is None else stratum.astype(np.int64)
    # Stratum and time in one number, an entry counted as the time itself.
    keys = np.unique(layer[event] * span + time[event])
    first = np.searchsorted(keys, layer * span + (-1 if entry is None else entry), side="right")
    last = np.searchsorted(keys, layer * span + time, side="right")
    return Axis(keys % span, keys // span, first, last, np.flatnonzero(event))


def prepare(
    design: np.ndarray,
    *,
    time: np.ndarray,
    event: np.ndarray,
    entry: np.ndarray | None = None,
    stratum: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    freq: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    ties: str = "efron",
) -> Likelihood:
    """Return the rows of a model, sorted, centred and placed on the axis of event times.

    Args:
        design: One row a row of the data, one column a covariate.
        time: Time of event or censoring.
        event: Whether the row ends with the event.
        entry: Time from which it is at risk.
        stratum: Codes from 0.
        weight: Case weights.
        freq: How many patients the row stands for.
        offset: Added to the linear predictor.
        ties: "efron" or "breslow".

    Returns:
        What `maximise` and `evaluate` take.

    Examples:
        >>> x, t, e = np.array([[1.0], [0.0]]), np.array([1, 2]), np.array([True, True])
        >>> prepare(x, time=t, event=e).centre.tolist()
        [0.5]
    """
    n = len(time)
    counts = np.ones(n) if freq is None else freq.astype(float)
    size = counts if weight is None else counts * weight
    centre = np.average(design, axis=0, weights=size)
    columns = np.ascontiguousarray((design - centre).T)
    axis = place_rows(time, event.astype(bool), entry, stratum)
    shift = np.zeros(n) if offset is None else offset.astype(float)
    middle = float(np.average(shift, weights=size))
    return Likelihood(columns, centre, axis, size, counts, shift - middle, middle, ties)


def maximise(rows: Likelihood) -> Fit:
    """Return the maximum of the partial likelihood, by Newton's method with halved steps.

    Args:
        rows: As `prepare` returns them.

    Returns:
        The fit; look at `converged`.

    Examples:
        >>> x, t = np.array([[1.0], [0.0], [0.0], [1.0]]), np.array([1, 2, 3, 4])
        >>> fit = maximise(prepare(x, time=t, event=np.array([True, True, True, False])))
        >>> fit.converged, fit.coefficients.shape
        (True, (1,))
    """
    return climb(lambda b: evaluate(rows, b), len(rows.design), _scales(rows))


def climb(
    value: Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]],
    n_covariates: int,
    scales: np.ndarray,
) -> Fit:
    """Return the maximum of a concave function, by Newton's method with halved steps.

    Args:
        value: Function, gradient and minus the second derivative at coefficients.
        n_covariates: How many coefficients there are.
        scales: Standard deviation of each covariate.

    Returns:
        The fit.

    Examples:
        >>> parabola = lambda b: (-((b[0] - 1) ** 2), np.array([-2 * (b[0] - 1)]), np.eye(1) * 2)
        >>> climb(parabola, 1, np.ones(1)).coefficients.tolist()
        [1.0]
    """
    at = np.zeros(n_covariates)
    here, score, information = value(at)
    start, first, known_at_first, start_information = here, 0.0, 0.0, information
    converged, n_steps = False, 0
    while n_steps < MOST_STEPS and not converged:
        # Per standard deviation, so that a covariate's unit does not matter.
        knowledge, directions = np.linalg.eigh(information / np.outer(scales, scales))
        known_at_first = known_at_first or float(knowledge[0])
        if not knowledge[0] > _VANISHED * max(known_at_first, 1e-6 * float(knowledge[-1])):
            # Where the likelihood has no maximum, the information about it dwindles to nothing.
            break
        step = directions @ (directions.T @ (score / scales) / knowledge) / scales
        left = float(score @ step)
        first = left if n_steps == 0 else first
        # Of tiny weights little is left anywhere, but the steps are long before the maximum.
        if left <= CLOSE_ENOUGH and bool((np.abs(step) * scales <= LEAST_MOVE).all()):
            at, converged = at + step, True
            break
        there, score, information = value(at + step)
        for _ in range(_MOST_HALVINGS):
            if there >= here - 1e-10 * abs(here):
                break
            step = step / 2
            there, score, information = value(at + step)
        if not np.isfinite(there):
            # So far out that no number holds the risks.
            break
        at, here, n_steps = at + step, there, n_steps + 1
    least_known = np.abs(directions[:, 0])
    running = (least_known > _SHARE * least_known.max()) & (not converged)
    return Fit(
        at, information, (start, here), first, converged, running, n_steps, start_information
    )


def evaluate(rows: Likelihood, at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return log-likelihood, score and information at coefficients.

    Args:
        rows: As `prepare` returns them.
        at: Coefficients.

    Returns:
        A number, a vector and a matrix.

    Examples:
        >>> x, t, e = np.array([[1.0], [0.0]]), np.array([1, 2]), np.array([True, True])
        >>> value, _, _ = evaluate(prepare(x, time=t, event=e), np.zeros(1))
        >>> round(value, 6)  # log of 1/2
        -0.693147
    """
    predictor, risk = _risk(rows, at)
    own = rows.axis.own
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        steps, taken = steps_at(rows, risk)
        value = float(rows.size[own] @ predictor[own]) - taken
        if not np.isfinite(value):
            return -np.inf, np.zeros(len(at)), np.eye(len(at))
        score = rows.design[:, own] @ rows.size[own] - (steps.s1.T @ steps.a - steps.e1.T @ steps.b)
        information = information_of(rows, risk, steps)
        if not np.isfinite(information).all():
            return -np.inf, np.zeros(len(at)), np.eye(len(at))
        return value, score, information


def information_of(
    rows: Likelihood, risk: np.ndarray, steps: Steps, by_time: np.ndarray | None = None
) -> np.ndarray:
    """Return the information, each event time counted as often as `by_time` says.

    Args:
        rows: As `prepare` returns them.
        risk: r of each row.
        steps: As `steps_at` returns them.
        by_time: A factor for each event time; 1 if None.

    Returns:
        A matrix.

    Examples:
        >>> x, t, e = np.array([[1.0], [0.0]]), np.array([1, 2]), np.array([True, True])
        >>> rows = prepare(x, time=t, event=e)
        >>> steps, _ = steps_at(rows, np.ones(2))
        >>> information_of(rows, np.ones(2), steps).tolist()
        [[0.25]]
    """
    g = np.ones(len(steps.a)) if by_time is None else by_time
    exposure = risk * exposures(rows, steps.a * g, steps.b * g)
    first = np.zeros((len(rows.design), len(rows.design)))
    for start in range(0, rows.design.shape[1], _BLOCK):
        block = rows.design[:, start : start + _BLOCK]
        first += (block * exposure[start : start + _BLOCK]) @ block.T
    s1, e1 = steps.s1, steps.e1
    mixed = s1.T @ (e1 * (steps.bb * g)[:, None])
    second = s1.T @ (s1 * (steps.aa * g)[:, None]) + e1.T @ (e1 * (steps.cc * g)[:, None])
    return first - (second - mixed - mixed.T)


def exposures(rows: Likelihood, by_time: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Return for each row the sum over the times it is at risk, less what is taken at its event.

    Args:
        rows: As `prepare` returns them.
        by_time: A number for each event time, or a row of numbers.
        own: What is taken from a row with an event at that time, or None.

    Returns:
        A number (or a row of them) for each row.

    Examples:
        >>> x, t, e = np.array([[1.0], [0.0]]), np.array([1, 2]), np.array([True, True])
        >>> exposures(prepare(x, time=t, event=e), np.array([0.5, 1.0])).tolist()
        [0.5, 1.5]
    """
    total = np.concatenate([np.zeros_like(by_time[:1]), np.cumsum(by_time, axis=0)])
    exposed = total[rows.axis.last] - total[rows.axis.first]
    if own is not None:
        exposed[rows.axis.own] -= own[rows.axis.event_time]
    return exposed


def steps_at(rows: Likelihood, risk: np.ndarray) -> tuple[Steps, float]:
    """Return what happens at each event time, and what the times take from the log-likelihood.

    Args:
        rows: As `prepare` returns them.
        risk: r of each row.

    Returns:
        The letters of the module's text for each event time; a number.

    Examples:
        >>> x, t, e = np.array([[1.0], [0.0]]), np.array([1, 2]), np.array([True, True])
        >>> steps, _ = steps_at(prepare(x, time=t, event=e), np.ones(2))
        >>> steps.a.tolist()
        [0.5, 1.0]
    """
    axis, n = rows.axis, len(rows.axis.time)
    at, own = axis.event_time, axis.own
    sums = _at_risk(axis, n)
    e0 = np.bincount(at, risk[own], n)
    # Whoever has the event is at risk, whatever rounding leaves of a long sum.
    s0 = np.maximum(sums(risk), e0)
    s1 = np.stack([sums(risk * column) for column in rows.design], axis=1, dtype=float)
    e1 = np.stack([np.bincount(at, (risk * c)[own], n) for c in rows.design], axis=1, dtype=float)
    deaths = np.bincount(at, rows.size[own], n)
    if rows.ties == "breslow":
        zero = np.zeros(n)
        steps = Steps(s1, e1, deaths / s0, zero, deaths / s0**2, zero, zero, deaths)
        return steps, float(deaths @ np.log(s0))
    d = np.rint(np.bincount(at, rows.freq[own], n)).astype(np.int64)
    k = np.repeat(np.arange(n), d)
    share = (np.arange(len(k)) - np.repeat(np.cumsum(d) - d, d)) / d[k]
    phi = s0[k] - share * e0[k]
    mean = deaths / d
    a, b = (mean * np.bincount(k, c / phi, n) for c in (np.ones(len(k)), share))
    aa, bb, cc = (mean * np.bincount(k, share**q / phi**2, n) for q in (0, 1, 2))
    return Steps(s1, e1, a, b, aa, bb, cc, deaths), float(mean @ np.bincount(k, np.log(phi), n))


def linear_predictor(rows: Likelihood, at: np.ndarray) -> np.ndarray:
    """Return the centred linear predictor of each row, its offset included.

    Args:
        rows: As `prepare` returns them.
        at: Coefficients.

    Returns:
        A number for each row.

    Examples:
        >>> x, t, e = np.array([[1.0], [0.0]]), np.array([1, 2]), np.array([True, True])
        >>> linear_predictor(prepare(x, time=t, event=e), np.array([2.0])).tolist()
        [1.0, -1.0]
    """
    return at @ rows.design + rows.offset


def score_residuals(rows: Likelihood, at: np.ndarray) -> np.ndarray:
    """Return what each row contributes to the score, its weight left out.

    With M = (a S1 - b E1) / D, G = A S1 - B E1 and H = B S1 - C E1 it is, for a row with the event
    (without it the first and the last term vanish)

        x - M - exp(x b + o) [x (a(exit) - a(entry)) - (G(exit) - G(entry)) - (x b_i - H_i)]

    Args:
        rows: As `prepare` returns them.
        at: Coefficients.

    Returns:
        One row a row of the data, one column a covariate.

    Examples:
        >>> x, t, e = np.array([[1.0], [0.0]]), np.array([1, 2]), np.array([True, True])
        >>> score_residuals(prepare(x, time=t, event=e), np.zeros(1)).sum()
        np.float64(0.5)
    """
    _, risk = _risk(rows, at)
    steps, _ = steps_at(rows, risk)
    g = steps.aa[:, None] * steps.s1 - steps.bb[:, None] * steps.e1
    h = steps.bb[:, None] * steps.s1 - steps.cc[:, None] * steps.e1
    relative = risk / rows.size
    x = rows.design.T
    hazard = relative * exposures(rows, steps.a, steps.b)
    residuals = relative[:, None] * exposures(rows, g, h) - x * hazard[:, None]
    residuals[rows.axis.own] += x[rows.axis.own] - mean_covariates(steps)[rows.axis.event_time]
    return residuals


def mean_covariates(steps: Steps) -> np.ndarray:
    """Return the mean of the covariates over those at risk at each event time.

    Args:
        steps: As `steps_at` returns them.

    Returns:
        One row an event time; with Efron's ties the mean over those who leave one by one.

    Examples:
        >>> x, t, e = np.array([[1.0], [0.0]]), np.array([1, 2]), np.array([True, True])
        >>> steps, _ = steps_at(prepare(x, time=t, event=e), np.ones(2))
        >>> mean_covariates(steps).tolist()  # centred
        [[0.0], [-0.5]]
    """
    total = steps.a[:, None] * steps.s1 - steps.b[:, None] * steps.e1
    return total / steps.deaths[:, None]


def robust_variance(
    rows: Likelihood, fit: Fit, cluster: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the model's variance, and the sandwich of it around the rows' contributions.

    Lin and Wei, JASA 1989;84:1074.

    Args:
        rows: As `prepare` returns them.
        fit: As `maximise` returns it.
        cluster: Codes from 0 within which contributions are summed; None for each patient alone.

    Returns:
        The inverse of the information; the robust variance.

    Examples:
        >>> x, t = np.array([[1.0], [0.0], [0.0], [1.0]]), np.array([1, 2, 3, 4])
        >>> rows = prepare(x, time=t, event=np.array([True, True, True, False]))
        >>> naive, robust = robust_variance(rows, maximise(rows), None)
        >>> naive.shape, robust.shape
        ((1, 1), (1, 1))
    """
    inverse = np.linalg.inv(fit.information)
    influence = score_residuals(rows, fit.coefficients) @ inverse
    if cluster is None:
        # Each of the patients that a row stands for contributes on their own.
        influence *= (rows.size / np.sqrt(rows.freq))[:, None]
        return inverse, influence.T @ influence
    influence *= rows.size[:, None]
    n = int(cluster.max()) + 1
    summed = np.stack([np.bincount(cluster, column, n) for column in influence.T], axis=1)
    return inverse, summed.T @ summed


def _risk(rows: Likelihood, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predictor = linear_predictor(rows, at)
    with np.errstate(over="ignore"):
        return predictor, rows.size * np.exp(predictor)


def _at_risk(axis: Axis, n: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what sums a column over those at risk at each event time."""
    late = axis.first > 0

    def sums(column: np.ndarray) -> np.ndarray:
        leaving = np.bincount(axis.last, column, n + 1)[1:]
        at_risk = leaving[::-1].cumsum()[::-1]
        if late.any():
            coming = np.bincount(axis.first[late], column[late], n + 1)[1:]
            at_risk = at_risk - coming[::-1].cumsum()[::-1]
        return at_risk

    return sums


def _scales(rows: Likelihood) -> np.ndarray:
    return np.sqrt(np.average(rows.design**2, axis=1, weights=rows.size))
