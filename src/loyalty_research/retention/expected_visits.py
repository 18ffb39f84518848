"""How often patients will come, and whether they are still patients, from how often they came.

The BG/NBD model (Fader, Hardie and Lee, Marketing Science 2005;24:275). While a patient is alive
(still a patient) visits come at random times with a rate of their own, gamma distributed over
patients with shape r and rate alpha; after each visit the patient leaves for good with a
probability of their own, beta distributed with a and b. What is needed of a patient: x, the days
with a visit after the first (frequency); t_x, the days from the first visit to the last (recency);
T, the days from the first visit to the end of the data (age).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betaln, digamma, expit, gammaln, hyp2f1
from scipy.stats import norm

from loyalty_research.data.arguments import check_date, check_share, check_whole
from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    Check,
    day_number,
    is_missing,
    missing_columns,
    open_tables,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import column_names, distinct, give_new, group_rows
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.rows import take_columns

TERMS = ["r", "alpha", "a", "b"]
"""The parameters: shape and rate of the visit rates, the two of the beta of leaving."""

CLOSE = {"repeat_visits": 0.05, "holdout_visits": 0.1}
"""How far expected may be from actual: in shares of patients, and relatively in visits."""

LEAST_SPREAD = 0.1
"""Spread of the visit rates between patients, over their mean, below which they are as one."""

_DAY = "__day"


def derive_visit_summary(
    visits: Any,
    *,
    data_cutoff: Any,
    holdout_until: Any = None,
    patient: str = "patient_id",
    date: str = "visit_date",
) -> Any:
    """Return one row a patient with frequency, recency and age, all in days.

    Args:
        visits: One row a visit. pandas, Polars, Arrow, DuckDB or Spark.
        data_cutoff: Last day that counts; patients who first come later are left out.
        holdout_until: Last day of the visits after `data_cutoff` that are counted apart, to see
            whether a model fitted to the days before foretells them.
        patient: Name of the patient's column.
        date: Name of the date column.

    Returns:
        A new frame of the visits' kind: `patient`, `frequency` (days with a visit after the first
        one), `recency` (days from the first to the last), `age` (days from the first to
        `data_cutoff`), and with `holdout_until` also `holdout_visits`, the days with a visit after
        `data_cutoff`.

    Raises:
        UsageError: `holdout_until` is not after `data_cutoff`.
        DataError: Missing columns, ids or dates, a visit after the last day; all at once.

    Examples:
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-11", "2024-01-11", "2024-02-10"])
        >>> visits = pd.DataFrame({"patient_id": "p", "visit_date": days})
        >>> derive_visit_summary(visits, data_cutoff="2024-01-31", holdout_until="2024-03-31")
          patient_id  frequency  recency  age  holdout_visits
        0          p          1       10   30               1
    """
    cutoff = check_date(data_cutoff, name="data_cutoff").toordinal()
    name = "data_cutoff" if holdout_until is None else "holdout_until"
    last = cutoff
    if holdout_until is not None:
        last = check_date(holdout_until, name=name).toordinal()
        if last <= cutoff:
            raise UsageError("holdout_until must be after data_cutoff")
    events = open_tables({"visits": visits}, ids=patient, dates={"visits": [date]})["visits"]
    late = Check(
        date, day_number(nw.col(date)) > last, f"is after {name}", f"move {name} or correct it"
    )
    checks = [is_missing(patient, repair=REPAIR_ID), is_missing(date, repair=REPAIR_DATE), late]
    raise_faults(value_faults(events, checks, table="visits"))
    days = distinct(events, nw.col(patient), day_number(nw.col(date)).alias(_DAY))
    day = nw.col(_DAY)
    seen = nw.when(day <= cutoff).then(day)
    found = group_rows(days, patient).agg(
        (seen.count().cast(nw.Int64) - 1).alias("frequency"),
        (seen.max() - seen.min()).cast(nw.Int64).alias("recency"),
        (cutoff - seen.min()).cast(nw.Int64).alias("age"),
        (day > cutoff).cast(nw.Int64).sum().cast(nw.Int64).alias("holdout_visits"),
    )
    found = found.filter(nw.col("frequency") >= 0)
    kept = [patient, "frequency", "recency", "age"]
    kept += ["holdout_visits"] if holdout_until is not None else []
    return give_new(found.select(*kept), like=visits, key=patient)


def fit_bg_nbd(
    data: Any,
    *,
    frequency: str = "frequency",
    recency: str = "recency",
    age: str = "age",
    freq: str | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the parameters of the BG/NBD model by maximum likelihood.

    r / alpha is the mean number of visits a day while alive, a / (a + b) the mean chance of
    leaving after a visit. Standard errors come from the observed information; the intervals are
    built on the log scale.

    Args:
        data: One row a patient, as `derive_visit_summary` returns.
        frequency: Column with the days with a visit after the first.
        recency: Column with the days from the first to the last visit.
        age: Column with the days from the first visit to the end of the data.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        conf_level: Coverage of the intervals.

    Returns:
        Four rows, `term` r, alpha (days), a, b, with the columns of an estimate (`n` patients,
        `n_events` repeat visits), then `log_likelihood`.

    Raises:
        DataError: Missing columns or values, numbers that are negative or not whole, a recency
            beyond the age or below the frequency, no repeat visit, data that do not determine
            the parameters.

    Examples:
        >>> x, last = [0, 0, 0, 1, 2, 6, 4, 1], [0, 0, 0, 30, 90, 280, 130, 90]
        >>> data = pd.DataFrame({"frequency": x, "recency": last, "age": 300})
        >>> fit_bg_nbd(data.loc[data.index.repeat(50)])[["term", "estimate", "n"]].round(2)
            term  estimate    n
        0      r      0.60  400
        1  alpha     56.20  400
        2      a      2.47  400
        3      b      7.04  400
    """
    level = check_share(conf_level, name="conf_level")
    x, last, whole, size = _distinct(_open(data, frequency, recency, age, freq))
    if not (x > 0).any():
        words, repair = "nobody came a second time", "follow the patients longer"
        raise_faults([Fault("data", frequency, 0, words, repair)])
    logs, covariance, value = _maximise(x, last, whole, size)
    error, half = np.sqrt(np.diag(covariance)), norm.ppf((1 + level) / 2)
    found = {
        "term": TERMS,
        "estimate": np.exp(logs),
        "std_error": np.exp(logs) * error,
        "conf_low": np.exp(logs - half * error),
        "conf_high": np.exp(logs + half * error),
        "conf_level": level,
        "p_value": np.nan,
        "n": int(size.sum()),
        "n_events": int(size @ x),
        "scale": "parameter",
        "method": "BG/NBD, maximum likelihood",
        "log_likelihood": value,
    }
    return pd.DataFrame(found)


def expected_visits(
    data: Any,
    *,
    fit: pd.DataFrame | Mapping[str, float],
    days: int,
    frequency: str = "frequency",
    recency: str = "recency",
    age: str = "age",
) -> pd.DataFrame:
    """Return the data with the chance that a patient still is one, and the visits to expect.

    Fader, Hardie and Lee (2005), equation 10, its hypergeometric function transformed by Euler's
    formula to one that stays finite for frequent visitors.

    Args:
        data: One row a patient, as `derive_visit_summary` returns.
        fit: As `fit_bg_nbd` returns, or the parameters r, alpha, a and b by name.
        days: Length of the time ahead, from the end of the data.
        frequency: Column with the days with a visit after the first.
        recency: Column with the days from the first to the last visit.
        age: Column with the days from the first visit to the end of the data.

    Returns:
        The data as pandas, with `p_alive` and `expected_visits`.

    Raises:
        UsageError: Parameters that are missing or not above 0, days that are not whole.
        DataError: As for `fit_bg_nbd`.

    Examples:
        >>> data = pd.DataFrame({"frequency": [2], "recency": [213], "age": [272]})
        >>> fit = {"r": 0.2426, "alpha": 30.895, "a": 0.7930, "b": 2.4260}
        >>> expected_visits(data, fit=fit, days=273)[["p_alive", "expected_visits"]].round(3)
           p_alive  expected_visits
        0    0.727            1.226
    """
    ahead, parameters = check_whole(days, name="days"), _parameters(fit)
    x, last, whole, _ = _open(data, frequency, recency, age, None)
    alive = _p_alive(parameters, x, last, whole)
    return take_columns(data, column_names(data)).assign(
        p_alive=alive, expected_visits=_expected(parameters, x, last, whole, float(ahead))
    )


def repeat_visit_counts(
    data: Any,
    *,
    fit: pd.DataFrame | Mapping[str, float],
    most: int = 7,
    age: str = "age",
    frequency: str = "frequency",
    recency: str = "recency",
    freq: str | None = None,
) -> pd.DataFrame:
    """Return how many patients came again 0, 1, 2 ... times, beside what the model expects.

    Fader, Hardie and Lee (2005), equation 8, summed over patients of each age.

    Args:
        data: One row a patient, as `derive_visit_summary` returns.
        fit: As `fit_bg_nbd` returns, or the parameters by name.
        most: The last row stands for this number of repeat visits or more.
        age: Column with the days from the first visit to the end of the data.
        frequency: Column with the days with a visit after the first.
        recency: Column with the days from the first to the last visit.
        freq: Column of whole numbers from 1: how many patients the row stands for.

    Returns:
        `frequency`, `n_patients`, `expected`.

    Raises:
        UsageError: Parameters that are missing or not above 0.
        DataError: As for `fit_bg_nbd`.

    Examples:
        >>> data = pd.DataFrame({"frequency": [0, 2], "recency": [0, 100], "age": [300, 300]})
        >>> fit = {"r": 0.24, "alpha": 30.9, "a": 0.79, "b": 2.43}
        >>> repeat_visit_counts(data, fit=fit, most=2).round(3)
           frequency  n_patients  expected
        0          0           1     1.132
        1          1           0     0.399
        2          2           1     0.469
    """
    last_row, parameters = check_whole(most, name="most", minimum=1), _parameters(fit)
    x, _, whole, size = _open(data, frequency, recency, age, freq)
    ages, place = np.unique(whole, return_inverse=True)
    patients = np.bincount(place, size)
    expected = [patients @ _chance(parameters, k, ages) for k in range(last_row)]
    expected.append(patients.sum() - sum(expected))
    counted = np.bincount(np.minimum(x, last_row).astype(int), size, last_row + 1)
    table = {"frequency": range(last_row + 1), "n_patients": counted.astype(np.int64)}
    return pd.DataFrame(table | {"expected": expected})


def check_bg_nbd(
    data: Any,
    *,
    fit: pd.DataFrame | Mapping[str, float],
    holdout_visits: str | None = None,
    holdout_days: int | None = None,
    frequency: str = "frequency",
    recency: str = "recency",
    age: str = "age",
) -> pd.DataFrame:
    """Return whether the model counts patients by repeat visits, and foretells visits, closely.

    `repeat_visits`: the largest difference between the actual and the expected share of patients
    with 0, 1, ... 6, 7 or more repeat visits. `holdout_visits`: the difference between all visits
    after the end of the data and their expectation, relative to the expectation. `rate_spread`: the
    coefficient of variation of the patients' visit rates, 1 / sqrt(r), by the gamma distribution of
    shape r. Near 0 all patients come at one rate: how often somebody has come then says next to
    nothing of how often they will, `expected_visits` is nearly the same for all who are still
    patients, and r and alpha are known only by their ratio. Without a hold-out nothing shows
    whether the model foretells.

    Args:
        data: One row a patient, as `derive_visit_summary` returns.
        fit: As `fit_bg_nbd` returns, or the parameters by name.
        holdout_visits: Column with the days with a visit after the end of the data.
        holdout_days: How many days after the end of the data that column covers.
        frequency: Column with the days with a visit after the first.
        recency: Column with the days from the first to the last visit.
        age: Column with the days from the first visit to the end of the data.

    Returns:
        One row a check: `check`, `statistic`, `threshold` (at most 0.05, at most 0.1, at least
        0.1), `passed`, `gating` (false), `message`.

    Raises:
        UsageError: A column of the hold-out without its days or the other way round.
        DataError: As for `fit_bg_nbd`; hold-out visits that are missing, negative or not whole.

    Examples:
        >>> x, last = [0, 0, 0, 1, 2, 6, 4, 1], [0, 0, 0, 30, 90, 280, 130, 90]
        >>> data = pd.DataFrame({"frequency": x, "recency": last, "age": 300})
        >>> data = data.loc[data.index.repeat(50)]
        >>> check_bg_nbd(data, fit=fit_bg_nbd(data))[["check", "threshold", "passed"]]
                   check  threshold  passed
        0  repeat_visits       0.05   False
        1    rate_spread       0.10    True
    """
    if (holdout_visits is None) != (holdout_days is None):
        raise UsageError("holdout_visits and holdout_days belong together; give both or none")
    names: dict[str, Any] = {"frequency": frequency, "recency": recency, "age": age}
    counts = repeat_visit_counts(data, fit=fit, **names)
    gap = (counts["n_patients"] - counts["expected"]).abs() / counts["n_patients"].sum()
    most = int(counts["frequency"].to_numpy()[gap.to_numpy().argmax()])
    words = f"largest difference at {most} repeat visits"
    if holdout_visits is None:
        words += "; without a hold-out it is not tried whether the model foretells"
    found = [_check("repeat_visits", float(gap.max()), words)]
    if holdout_visits is not None and holdout_days is not None:
        table = take_columns(data, [holdout_visits])
        actual = _whole(table, holdout_visits).sum()
        expected = expected_visits(data, fit=fit, days=holdout_days, **names)
        total = expected["expected_visits"].sum()
        words = f"{actual:,.0f} visits where {total:,.0f} were expected"
        found.append(_check("holdout_visits", float(abs(actual - total) / total), words))
    return pd.DataFrame([*found, _spread_check(float(_parameters(fit)[0]))])


def _spread_check(r: float) -> dict[str, Any]:
    spread = 1 / math.sqrt(r)
    words = f"visit rates spread by {spread:.0%} of their mean between patients (r is {r:.3g})"
    if spread < LEAST_SPREAD:
        words += ": hardly any difference, so that past visits say little of later ones"
    found = {"check": "rate_spread", "statistic": spread, "threshold": LEAST_SPREAD}
    return {**found, "passed": spread >= LEAST_SPREAD, "gating": False, "message": words}


def _check(check: str, statistic: float, message: str) -> dict[str, Any]:
    passed = {"passed": bool(statistic <= CLOSE[check]), "gating": False, "message": message}
    return {"check": check, "statistic": statistic, "threshold": CLOSE[check]} | passed


# --- the door -------------------------------------------------------------------------------------


def _open(
    data: Any, frequency: str, recency: str, age: str, freq: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return frequency, recency, age and the patients of each row, as floats."""
    columns = [frequency, recency, age, *([freq] if freq else [])]
    raise_faults(missing_columns(data, columns, table="data"))
    table = take_columns(data, columns)
    if table.empty:
        raise_faults([Fault("data", "", 0, "the table has no rows", "check the cohort's criteria")])
    raise_faults(fault for name in columns for fault in _whole_faults(table, name))
    x, last, whole = (table[name].to_numpy(float) for name in (frequency, recency, age))
    size = table[freq].to_numpy(float) if freq else np.ones(len(x))
    conditions = [
        (recency, last > whole, f"is beyond {age}", "end the data after the last visit"),
        (recency, last < x, f"is below {frequency}", "count several visits on one day once"),
        (recency, (x == 0) & (last > 0), "is above 0 without a repeat visit", "correct it"),
        (str(freq), size < 1, "is below 1", "leave the row out"),
    ]
    raise_faults(
        Fault("data", name, int(odd.sum()), f"{name} {words} in {odd.sum():,} rows", repair)
        for name, odd, words, repair in conditions
        if odd.any()
    )
    return x, last, whole, size


def _whole(table: pd.DataFrame, name: str) -> np.ndarray:
    raise_faults(_whole_faults(table, name))
    return table[name].to_numpy(float)


def _whole_faults(table: pd.DataFrame, name: str) -> list[Fault]:
    values = table[name]
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        words = f"{name} is {values.dtype}, not a whole number"
        return [Fault("data", name, 0, words, "derive it by derive_visit_summary")]
    floats = values.to_numpy(float, na_value=np.nan)
    # A missing value differs from itself, so that it is found here too.
    odd = ~(floats >= 0) | (floats != np.floor(floats))
    if not odd.any():
        return []
    words = f"{name} is not a whole number from 0 in {odd.sum():,} of {len(odd):,} rows"
    return [Fault("data", name, int(odd.sum()), words, "give whole days, counted from 0")]


def _parameters(fit: pd.DataFrame | Mapping[str, float]) -> np.ndarray:
    given: dict[Any, Any] = dict(fit)
    if isinstance(fit, pd.DataFrame):
        if not {"term", "estimate"} <= set(fit):
            raise UsageError("fit must be what fit_bg_nbd returns, or r, alpha, a and b by name")
        given = dict(zip(fit["term"], fit["estimate"].astype(float), strict=True))
    if not set(TERMS) <= set(given):
        raise UsageError("fit must be what fit_bg_nbd returns, or r, alpha, a and b by name")
    values = np.array([float(given[term]) for term in TERMS])
    if not (np.isfinite(values) & (values > 0)).all():
        raise UsageError("fit: r, alpha, a and b must be above 0")
    return values


def _distinct(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct combinations, with how many patients have each."""
    names = ["x", "last", "whole"]
    table = pd.DataFrame(dict(zip([*names, "size"], rows, strict=True)))
    counted = table.groupby(names)["size"].sum().reset_index()
    x, last, whole, size = (counted[name].to_numpy(float) for name in (*names, "size"))
    return x, last, whole, size


# --- the model ------------------------------------------------------------------------------------


def _maximise(
    x: np.ndarray, last: np.ndarray, whole: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the logs of the parameters, their covariance, and the log likelihood."""
    n = size.sum()

    def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _log_likelihood(np.exp(logs), x, last, whole)
        return -float(size @ value) / n, -(gradient @ size) * np.exp(logs) / n

    # The rate as if everybody was alive throughout, in days; one half of those leave in the end.
    days = max(float(size @ whole) / max(float(size @ x), 1.0), 1.0)
    start = np.log([1.0, days, 1.0, 1.0])
    logs = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-7}).x
    for _ in range(5):
        information = _information(loss, logs)
        if not np.isfinite(information).all() or np.linalg.eigvalsh(information)[0] < 1e-9:
            break
        step = np.linalg.solve(information, loss(logs)[1])
        logs = logs - step
        if np.abs(step).max() < 1e-9:
            return logs, np.linalg.inv(information * n), -loss(logs)[0] * n
    words = "these visits do not determine the model"
    repair = "look at more patients or longer, or at whether anybody ever leaves"
    raise_faults([Fault("data", "", 0, words, repair)])
    raise AssertionError


def _information(loss: Any, logs: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the second derivatives, by differences of the exact first ones."""
    rows = []
    for move in np.eye(len(logs)) * step:
        rows.append((loss(logs + move)[1] - loss(logs - move)[1]) / (2 * step))
    found = np.array(rows)
    return (found + found.T) / 2


def _log_likelihood(
    parameters: np.ndarray, x: np.ndarray, last: np.ndarray, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log likelihood of each row (equation 6), and its four derivatives."""
    r, alpha, a, b = parameters
    again = x > 0
    # For those who came once the chance of having left is 0, and this number is not used.
    before = np.where(again, b + x - 1, 1.0)
    stayed = -(r + x) * np.log(alpha + whole)
    left = np.where(again, np.log(a / before) - (r + x) * np.log(alpha + last), -np.inf)
    either = np.logaddexp(stayed, left)
    gone = np.exp(left - either)
    here = 1 - gone
    value = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    leaving = digamma(a + b) - digamma(a + b + x)
    gradient = [
        digamma(r + x) - digamma(r) + np.log(alpha)
        - here * np.log(alpha + whole) - gone * np.log(alpha + last),
        r / alpha - (r + x) * (here / (alpha + whole) + gone / (alpha + last)),
        leaving + gone / a,
        leaving + digamma(b + x) - digamma(b) - gone / before,
    ]  # fmt: skip
    return value + either, np.array(gradient)


def _p_alive(
    parameters: np.ndarray, x: np.ndarray, last: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Return the chance of not having left after the last visit."""
    r, alpha, a, b = parameters
    before = np.where(x > 0, b + x - 1, 1.0)
    odds = (r + x) * np.log((alpha + whole) / (alpha + last)) + np.log(a / before)
    return np.where(x > 0, expit(-odds), 1.0)


def _expected(
    parameters: np.ndarray, x: np.ndarray, last: np.ndarray, whole: np.ndarray, days: float
) -> np.ndarray:
    r, alpha, a, b = parameters
    # At a = 1, and at a + b = 1 for x = 0, the limit is finite but the formula is not.
    a = a + 1e-7 if abs(a - 1) < 1e-7 else a
    b = b + 1e-7 if abs(a + b - 1) < 1e-7 else b
    c = a + b + x - 1
    rest = (alpha + whole) / (alpha + whole + days)
    series = hyp2f1(a + b - 1 - r, a - 1, c, 1 - rest)
    ahead = c / (a - 1) * (1 - rest ** (a - 1) * series)
    return ahead * _p_alive(parameters, x, last, whole)


def _chance(parameters: np.ndarray, count: int, ages: np.ndarray) -> np.ndarray:
    """Return the chance of just so many repeat visits by each age."""
    r, alpha, a, b = parameters
    share = ages / (alpha + ages)
    stays = r * np.log(alpha / (alpha + ages)) - gammaln(r)
    # The negative binomial chances of 0, 1, ... visits of somebody who never leaves.
    ever = [np.exp(stays + gammaln(r + j) - gammaln(j + 1)) * share**j for j in range(count + 1)]
    of_count = np.exp(betaln(a, b + count) - betaln(a, b)) * ever[count]
    if count == 0:
        return of_count
    left = np.exp(betaln(a + 1, b + count - 1) - betaln(a, b))
    return of_count + left * (1 - np.sum(ever[:count], axis=0))
