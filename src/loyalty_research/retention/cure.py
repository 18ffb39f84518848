"""The share of patients who never lapse, where follow-up is long enough to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_choice, check_share
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import DataError
from loyalty_research.retention.families import Terms, log_density, log_survival
from loyalty_research.retention.likelihood import (
    covariate_faults,
    estimates_table,
    maximise,
    read_covariates,
    refuse,
    standardise,
    sum_terms,
)
from loyalty_research.retention.parametric import time_faults
from loyalty_research.retention.rows import open_rows

LATENCIES = ("exponential", "weibull", "log-normal", "log-logistic")
"""Distributions of the time of those who lapse at all."""

_LEAST_ON_PLATEAU = 20
_MOST_ALPHA = 0.05
_MOST_LATE = 0.05


@dataclass(frozen=True)
class CureModel:
    """A fitted mixture of patients who never lapse and patients who do.

    Attributes:
        distribution: That of the time of those who lapse.
        estimates: First row the share never lapsing (with covariates, the average over the
            patients), then the coefficients.
        checks: As `check_cure` returns; an estimate whose gating check failed is not to be shown.
        log_likelihood: At the maximum.
        aic: Akaike's criterion.
        bic: Schwarz's criterion, its n the number of patients.
        n: Patients.
        n_events: Events.
        covariance: Of the coefficients, in the order of the rows after the first.
    """

    distribution: str
    estimates: pd.DataFrame
    checks: pd.DataFrame
    log_likelihood: float
    aic: float
    bic: float
    n: int
    n_events: int
    covariance: np.ndarray


def fit_mixture_cure(
    data: Any,
    *,
    distribution: str = "weibull",
    covariates: str | Sequence[str] | None = None,
    time_covariates: str | Sequence[str] | None = None,
    time: str = "time",
    event: str = "event",
    freq: str | None = None,
    conf_level: float = 0.95,
) -> CureModel:
    """Return the share of patients who never lapse, by a mixture cure model.

    The share still here is `p + (1 - p) S(t)`: p never lapse, the others by the distribution S
    (Boag, JRSS B 1949;11:15; Farewell, Biometrics 1982;38:1041). It rests on a plateau that the
    follow-up must be long enough to show; read `.checks` first.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        distribution: Of the time of those who lapse: `"exponential"`, `"weibull"`,
            `"log-normal"`, `"log-logistic"`.
        covariates: Columns on which the log odds of never lapsing depend.
        time_covariates: Columns on which the log time of those who lapse depends.
        time: Column with the time of event or censoring: whole units, above 0.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        conf_level: Coverage of the intervals; that of the share is symmetric in its log odds.

    Returns:
        The model, with its checks.

    Raises:
        UsageError: An unknown distribution.
        DataError: As for `fit_parametric`; a share that is not above 0, or that the data do not
            determine.

    Examples:
        >>> early = pd.DataFrame({"time": [1, 2, 2, 3, 4, 5] * 5, "event": 1})
        >>> stayed = pd.DataFrame({"time": [40] * 30, "event": 0})
        >>> model = fit_mixture_cure(pd.concat([early, stayed]))
        >>> model.estimates["estimate"].round(3).iloc[0].item()
        0.5
    """
    check_choice(distribution, LATENCIES, name="distribution")
    level = check_share(conf_level, name="conf_level")
    odds, clock = as_columns(covariates), as_columns(time_covariates)
    both = list(dict.fromkeys([*odds, *clock]))
    rows = open_rows(data, time=time, event=event, freq=freq, more=both)
    coded = [read_covariates(rows.more[names]) for names in (odds, clock)]
    faults = [fault for coding in coded for fault in covariate_faults(rows.more, coding)]
    raise_faults([*time_faults(rows, time), *faults])
    weight = np.ones(len(rows.time)) if rows.freq is None else rows.freq.astype(float)
    matrices = [coding.matrix(rows.more) for coding in coded]
    case = _Case(np.log(rows.time), rows.event == 1, weight, *matrices)
    at, covariance, value = _fit(case, distribution)
    terms = [f"never lapsing: {x}" for x in ("(intercept)", *coded[0].terms)]
    terms += [f"time: {x}" for x in ("(intercept)", *coded[1].terms)]
    table = _estimates(case, at, covariance, terms, distribution, level)
    checks = check_cure(data, time=time, event=event, freq=freq)
    n, deviance = int(weight.sum()), -2 * value
    criteria = deviance + 2 * len(at), deviance + np.log(n) * len(at)
    n_events = int(weight @ rows.event)
    return CureModel(distribution, table, checks, value, *criteria, n, n_events, covariance)


def check_cure(
    data: Any, *, time: str = "time", event: str = "event", freq: str | None = None
) -> pd.DataFrame:
    """Return whether follow-up is long enough to speak of patients who never lapse.

    - `at_risk_on_plateau`: patients seen without the event beyond the last event.
    - `sufficient_follow_up`: Maller and Zhou's statistic (Biometrika 1992;79:731; JASA
      1994;89:1499): with t the last time, t* the last event and q the share of patients with an
      event in (2t* - t, t*], it is (1 - q)^n, the probability to see no event in such a stretch
      if events went on; small values speak for sufficient follow-up.
    - `events_in_last_quarter`: share of the events in the last quarter of the time observed.
    - `plateau_length`: the part of the time observed that lies beyond the last event.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        time: Column with the time of event or censoring: whole units.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        freq: Column of whole numbers from 1: how many patients the row stands for.

    Returns:
        One row a check; the first two are gating.

    Raises:
        DataError: As for `open_rows`.

    Examples:
        >>> data = pd.DataFrame({"time": [10, 20, 30], "event": [1, 1, 1]})
        >>> check_cure(data)[["check", "statistic", "passed"]]
                            check  statistic passed
        0      at_risk_on_plateau   0.000000  False
        1    sufficient_follow_up   1.000000  False
        2  events_in_last_quarter   0.333333  False
        3          plateau_length   0.000000   None
    """
    rows = open_rows(data, time=time, event=event, freq=freq)
    weight = np.ones(len(rows.time), np.int64) if rows.freq is None else rows.freq
    happened, last = rows.event == 1, int(rows.time.max())
    last_event = int(rows.time[happened].max()) if happened.any() else 0
    beyond = int(weight[rows.time > last_event].sum())
    n, n_events = int(weight.sum()), int(weight[happened].sum())
    recent = happened & (rows.time > 2 * last_event - last)
    alpha = (1 - int(weight[recent].sum()) / n) ** n
    late = int(weight[happened & (4 * rows.time > 3 * last)].sum()) / max(n_events, 1)
    length = (last - last_event) / max(last, 1)
    found = [
        ("at_risk_on_plateau", float(beyond), float(_LEAST_ON_PLATEAU),
         beyond >= _LEAST_ON_PLATEAU, True,
         f"{beyond:,} patients were seen without the event beyond the last event"),
        ("sufficient_follow_up", alpha, _MOST_ALPHA, n_events > 0 and alpha < _MOST_ALPHA, True,
         "Maller and Zhou's statistic; small when events had come to an end long before the last"
         " observation"),
        ("events_in_last_quarter", late, _MOST_LATE, late <= _MOST_LATE, False,
         f"{100 * late:.1f} % of the events came in the last quarter of the time observed"),
        ("plateau_length", length, np.nan, None, False,
         f"{100 * length:.1f} % of the time observed lies beyond the last event"),
    ]  # fmt: skip
    names = ["check", "statistic", "threshold", "passed", "gating", "message"]
    return pd.DataFrame(found, columns=names).astype({"passed": object})


# --- the likelihood -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Case:
    log_time: np.ndarray
    event: np.ndarray
    weight: np.ndarray
    odds: np.ndarray
    clock: np.ndarray


def _fit(case: _Case, family: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Return coefficients, covariance and log likelihood: log odds, log time, log scale."""
    ones = np.ones((len(case.weight), 1))
    made = [standardise(x) if x.shape[1] else (ones, np.eye(1)) for x in (case.odds, case.clock)]
    designs = [made[0][0], made[1][0], ones][: 2 if family == "exponential" else 3]

    def objective(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        return sum_terms(_mixture(case, family, designs, at), designs, case.weight)

    size = made[0][1].shape[0]
    found = _from_several_starts(case, objective, size, sum(x.shape[1] for x in designs))
    at, value, covariance = found
    if np.max(expit(designs[0] @ at[:size])) < 1e-4:
        raise _no_cure()
    back = np.eye(len(at))
    back[:size, :size] = made[0][1]
    end = size + made[1][1].shape[0]
    back[size:end, size:end] = made[1][1]
    return back @ at, back @ covariance @ back.T, value


def _from_several_starts(
    case: _Case, objective: Any, size: int, total: int
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the highest maximum: a mixture may have several."""
    share = 1 - float(case.weight @ case.event) / float(case.weight.sum())
    own = case.weight * case.event
    found = []
    for part in (0.9, 0.5, 0.1):
        start = np.zeros(total)
        never = np.clip(part * share, 0.02, 0.98)
        start[0] = np.log(never / (1 - never))
        start[size] = float(own @ case.log_time / own.sum()) + 0.5
        try:
            found.append(maximise(objective, start))
        except DataError:
            # A start that leads nowhere is no verdict while another arrives.
            continue
    if not found:
        raise _no_cure()
    return max(found, key=lambda result: result[1])


def _no_cure() -> DataError:
    return refuse(
        "the share never lapsing cannot be told from 0, or from a long time to lapse",
        "look at check_cure and the end of the Kaplan-Meier curve; report fit_parametric instead",
    )


def _mixture(case: _Case, family: str, designs: Sequence[np.ndarray], at: np.ndarray) -> Terms:
    """Return the contributions in three predictors: log odds of never lapsing, location, scale."""
    ends = np.cumsum([design.shape[1] for design in designs])[:-1]
    parts = zip(designs, np.split(at, ends), strict=True)
    odds, *rest = (design @ part for design, part in parts)
    latency = np.array(rest if len(rest) > 1 else [rest[0], np.zeros(len(odds))])
    n = len(odds)
    whole = Terms(np.zeros(n), np.zeros((3, n)), np.zeros((3, 3, n)))
    for where, contribution in ((case.event, _lapsed), (~case.event, _still_here)):
        if where.any():
            part = contribution(family, case.log_time[where], odds[where], latency[:, where])
            for column, added in zip(whole, part, strict=True):
                column[..., where] = added
    return whole


def _lapsed(family: str, clock: np.ndarray, odds: np.ndarray, latency: np.ndarray) -> Terms:
    """Return log(1 - p) + log f(t)."""
    return _with_odds(log_density(family, clock, latency), odds)


def _with_odds(terms: Terms, odds: np.ndarray) -> Terms:
    share = expit(odds)
    n = len(odds)
    hessian = np.zeros((3, 3, n))
    hessian[0, 0], hessian[1:, 1:] = -share * (1 - share), terms.hessian
    gradient = np.concatenate([-share[None], terms.gradient])
    return Terms(log_expit(-odds) + terms.value, gradient, hessian)


def _still_here(family: str, clock: np.ndarray, odds: np.ndarray, latency: np.ndarray) -> Terms:
    """Return log(p + (1 - p) S(t)), a weighted mean of its two parts' derivatives."""
    lapse = _with_odds(log_survival(family, clock, latency), odds)
    never = log_expit(odds)
    value = np.logaddexp(never, lapse.value)
    weight = np.exp(lapse.value - value)
    share = expit(odds)
    stay = np.zeros_like(lapse.gradient)
    stay[0] = 1 - share
    gap = lapse.gradient - stay
    gradient = stay + weight * gap
    bend = np.zeros_like(lapse.hessian)
    bend[0, 0] = -share * (1 - share)
    hessian = bend + weight * (lapse.hessian - bend)
    hessian += weight * (1 - weight) * gap[:, None] * gap[None]
    return Terms(value, gradient, hessian)


# --- the table ------------------------------------------------------------------------------------


def _estimates(
    case: _Case,
    at: np.ndarray,
    covariance: np.ndarray,
    terms: Sequence[str],
    family: str,
    level: float,
) -> pd.DataFrame:
    size, end = case.odds.shape[1] + 1, case.odds.shape[1] + case.clock.shape[1] + 2
    scales = ["log odds", *["log odds ratio"] * (size - 1)]
    scales += ["log time", *["log time ratio"] * (end - size - 1), *["log"] * (len(at) - end)]
    names = [*terms, *["time: log(scale)"] * (len(at) - end)]
    n, n_events = int(case.weight.sum()), int(case.weight @ case.event)
    method = f"mixture cure, {family}, maximum likelihood"
    tested = [scale.endswith("ratio") for scale in scales]
    facts: dict[str, Any] = {"conf_level": level, "n": n, "n_events": n_events, "method": method}
    table = estimates_table(names, scales, at, covariance, tested=tested, **facts)
    share, error = _average_share(case, at[:size], covariance[:size, :size])
    first = estimates_table(
        ["share never lapsing"], ["share"], np.array([share]), np.array([[error**2]]),
        tested=[False], **facts,
    )  # fmt: skip
    # Symmetric in the log odds, so that the limits stay between 0 and 1.
    half = norm.ppf((1 + level) / 2) * error / (share * (1 - share))
    centre = np.log(share / (1 - share))
    first["conf_low"], first["conf_high"] = expit(centre - half), expit(centre + half)
    return pd.concat([first, table], ignore_index=True)


def _average_share(
    case: _Case, coefficients: np.ndarray, covariance: np.ndarray
) -> tuple[float, float]:
    design = np.column_stack([np.ones(len(case.weight)), case.odds])
    share = expit(design @ coefficients)
    weight = case.weight / case.weight.sum()
    gradient = design.T @ (weight * share * (1 - share))
    return float(weight @ share), float(np.sqrt(gradient @ covariance @ gradient))
