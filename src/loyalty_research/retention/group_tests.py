"""Whether groups leave at the same pace: the log-rank family of tests.

All of them compare, at each time t with an event, the events d_g of a group with those expected if
every group had the rate of all, Y_g d / Y, where Y_g are at risk. The sum over times, weighted by
w(t), has the hypergeometric variance

    V_gh = sum of w^2 d (Y - d) / (Y - 1) (Y_g / Y) (1[g = h] - Y_h / Y)

(Fleming and Harrington, Counting Processes and Survival Analysis, 1991, chapter 7). Times are
compared within a stratum, then the strata are summed. A stratum in which only one group occurs
compares nothing and adds nothing, though its rows are counted in `n`.
"""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2, norm

from loyalty_research.data.arguments import as_columns
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.exits import count_exits
from loyalty_research.retention.risk_sets import compress, open_counted_rows
from loyalty_research.retention.rows import Rows, open_rows


@dataclass(frozen=True)
class EventTimes:
    """The risk sets of all groups side by side, an entry for each stratum and time of an event.

    Attributes:
        at_risk: Rows with `entry < t <= time` by entry and group.
        events: Events by entry, group and cause.
        first: Where each stratum begins, strata without an event left out.
        n: Rows by group.
        groups: One row a group, with the grouping columns.
        causes: Names of the causes; `("event",)` where there is only one.
        stratified: Whether strata were named.
        n_strata: How many strata there are, those without an event included.
    """

    at_risk: np.ndarray
    events: np.ndarray
    first: np.ndarray
    n: np.ndarray
    groups: pd.DataFrame
    causes: tuple[str, ...]
    stratified: bool
    n_strata: int = 1


def logrank_test(
    data: Any,
    *,
    by: str | Sequence[str],
    strata: str | Sequence[str] | None = None,
    rho: float = 0,
    gamma: float = 0,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
    weight: None = None,
) -> pd.DataFrame:
    """Test whether the groups have the event at the same rate, by a weighted log-rank test.

    Mantel, Cancer Chemotherapy Reports 1966;50:163, with the weight S(t-)^rho (1 - S(t-))^gamma of
    Fleming and Harrington (1991): S is the Kaplan-Meier curve of all groups of the stratum
    together, just before t, as in R's `survdiff`. rho 0, gamma 0 weighs every event alike, rho 1
    is the Peto-Peto test for early differences, gamma 1 looks at late ones. Choose before looking
    at the curves.

    Case weights are not offered: their sums are no counts, so that the hypergeometric variance
    would not hold (multiplying every weight by 10 would change the p-value). Compare weighted arms
    by a Cox regression with its robust standard error.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        by: Column or columns that name the groups, two or more.
        strata: Column or columns within which the groups are compared.
        rho: Power of the share that has stayed, from 0.
        gamma: Power of the share that has left, from 0.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        weight: Not offered: refused, with what is to be done instead.

    Returns:
        One row: `statistic` (chi-squared), `df`, `p_value`, `n`, `n_events`, `method`. `df` is the
        number of groups less one, and less still if some are never at risk together. Without an
        event statistic and p-value are missing. `method` counts the strata that compare nothing,
        such as those of one row.

    Raises:
        UsageError: Case weights; a power below 0; a column that is asked to mean two things.
        DataError: One group only; events, but no two groups at risk together at any of them; and
            as for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 1], "arm": [0, 0, 1, 1]})
        >>> logrank_test(data, by="arm").round(4)[["statistic", "df", "p_value"]]
           statistic  df  p_value
        0     2.8824   1   0.0896
    """
    refuse_weight(weight)
    powers = _check_powers(rho, gamma)
    sets = count_event_times(
        data, by=by, strata=strata, time=time, event=event, entry=entry, freq=freq
    )
    refuse_incomparable(sets, by)
    score, variance = _score(sets, _fleming_harrington(sets, *powers))
    statistic, df = quadratic_form(score, variance, variance != 0)
    return _table(statistic, df, sets, _named(_method(*powers), sets))


def gehan_test(
    data: Any,
    *,
    by: str | Sequence[str],
    strata: str | Sequence[str] | None = None,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
    weight: None = None,
) -> pd.DataFrame:
    """Test whether the groups have the event at the same rate, early events weighing most.

    Gehan's generalised Wilcoxon test (Biometrika 1965;52:203), the log-rank test with the number
    at risk as weight. The weight depends on who is censored; where censoring differs between
    studies, the Peto-Peto test, `logrank_test(..., rho=1)`, compares more alike.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        by: Column or columns that name the groups, two or more.
        strata: Column or columns within which the groups are compared.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        weight: Not offered: refused, with what is to be done instead.

    Returns:
        As `logrank_test`.

    Raises:
        UsageError: Case weights; a column that is asked to mean two things.
        DataError: As for `logrank_test`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 1], "arm": [0, 0, 1, 1]})
        >>> gehan_test(data, by="arm").round(4)[["statistic", "df", "p_value"]]
           statistic  df  p_value
        0     2.6667   1   0.1025
    """
    refuse_weight(weight)
    sets = count_event_times(
        data, by=by, strata=strata, time=time, event=event, entry=entry, freq=freq
    )
    refuse_incomparable(sets, by)
    score, variance = _score(sets, sets.at_risk.sum(axis=1))
    statistic, df = quadratic_form(score, variance, variance != 0)
    return _table(statistic, df, sets, _named("Gehan-Wilcoxon", sets))


def logrank_expected(
    data: Any,
    *,
    by: str | Sequence[str],
    strata: str | Sequence[str] | None = None,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
    weight: None = None,
) -> pd.DataFrame:
    """Return for each group how many events it had, and how many at the rate of all groups.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        by: Column or columns that name the groups, two or more.
        strata: Column or columns within which the groups are compared.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        weight: Not offered: refused, with what is to be done instead.

    Returns:
        One row a group: the group's columns, `n`, `observed`, `expected`.

    Raises:
        UsageError: Case weights; a column that is asked to mean two things, or named as one of the
            result.
        DataError: As for `logrank_test`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 1], "arm": [0, 0, 1, 1]})
        >>> logrank_expected(data, by="arm").round(4)
           arm  n  observed  expected
        0    0  2         2    0.8333
        1    1  2         2    3.1667
    """
    refuse_weight(weight)
    sets = count_event_times(
        data, by=by, strata=strata, time=time, event=event, entry=entry, freq=freq
    )
    clash = [name for name in sets.groups if name in ("n", "observed", "expected")]
    if clash:
        raise UsageError(f"by={clash[0]!r} is also a column of the result; rename it in the data")
    all_events, all_at_risk = sets.events.sum(axis=(1, 2)), sets.at_risk.sum(axis=1)
    expected = (sets.at_risk * (all_events / all_at_risk)[:, None]).sum(axis=0)
    return sets.groups.assign(n=sets.n, observed=sets.events.sum(axis=(0, 2)), expected=expected)


def pairwise_logrank_test(
    data: Any,
    *,
    by: str | Sequence[str],
    strata: str | Sequence[str] | None = None,
    rho: float = 0,
    gamma: float = 0,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
    weight: None = None,
) -> pd.DataFrame:
    """Test each pair of groups by a log-rank test among these two, with Holm's correction.

    Holm, Scandinavian Journal of Statistics 1979;6:65: the chance to find any false difference
    among all pairs stays below the level at which `p_adjusted` is read.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        by: Column or columns that name the groups, two or more.
        strata: Column or columns within which the groups are compared.
        rho: Power of the share that has stayed, from 0; see `logrank_test`.
        gamma: Power of the share that has left, from 0.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        weight: Not offered: refused, with what is to be done instead.

    Returns:
        One row a pair: `contrast` (the two groups' names), `statistic`, `df`, `p_value`, `n`,
        `n_events`, `method`, `p_adjusted`. Where the two are never at risk together when an event
        happens, statistic and p-values are missing and `method` says so.

    Raises:
        UsageError: As for `logrank_test`.
        DataError: As for `logrank_test`.

    Examples:
        >>> data = pd.DataFrame({"time": range(1, 7), "event": [1] * 6, "arm": list("aabbcc")})
        >>> pairwise_logrank_test(data, by="arm").round(3)[["contrast", "p_value", "p_adjusted"]]
          contrast  p_value  p_adjusted
        0   a vs b     0.09       0.269
        1   a vs c     0.09       0.269
        2   b vs c     0.09       0.269
    """
    refuse_weight(weight)
    powers = _check_powers(rho, gamma)
    sets = count_event_times(
        data, by=by, strata=strata, time=time, event=event, entry=entry, freq=freq
    )
    refuse_incomparable(sets, by)
    names = [", ".join(map(str, row)) for row in sets.groups.itertuples(index=False)]
    parts = []
    for one, other in itertools.combinations(range(len(names)), 2):
        pair = _only(sets, [one, other])
        score, variance = _score(pair, _fleming_harrington(pair, *powers))
        method = _named(_method(*powers), pair)
        row = _table(*quadratic_form(score, variance, variance != 0), pair, method)
        row.insert(0, "contrast", f"{names[one]} vs {names[other]}")
        parts.append(row)
    table = pd.concat(parts, ignore_index=True)
    return table.assign(p_adjusted=_holm(table["p_value"].to_numpy()))


def crossing_curves_test(
    data: Any,
    *,
    by: str | Sequence[str],
    rho: float = 0,
    gamma: float = 0,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
    weight: None = None,
) -> pd.DataFrame:
    """Test whether two groups differ at any time, even if their curves cross.

    The log-rank test adds up early and late differences, so that they cancel where curves cross.
    This one takes the largest value that the sum reaches on its way, over the standard error of
    the sum at the end, and keeps its power then: Fleming, Harrington and O'Sullivan, JASA
    1987;82:312; Klein and Moeschberger, Survival Analysis, 2003, section 7.6. Under equal rates it
    is as large as a Brownian motion gets within one unit of time. Where curves do not cross, the
    log-rank test has a little more power.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        by: Column or columns that name the two groups.
        rho: Power of the share that has stayed, from 0; see `logrank_test`.
        gamma: Power of the share that has left, from 0.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the patient is under observation.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        weight: Not offered: refused, with what is to be done instead.

    Returns:
        One row: `statistic`, `df` (missing, the distribution has none), `p_value`, `n`,
        `n_events`, `method`.

    Raises:
        UsageError: Case weights; a power below 0; a column that is asked to mean two things.
        DataError: Other than two groups, and as for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 1], "arm": [0, 0, 1, 1]})
        >>> crossing_curves_test(data, by="arm").round(4)[["statistic", "p_value"]]
           statistic  p_value
        0     1.6977   0.1791
    """
    refuse_weight(weight)
    powers = _check_powers(rho, gamma)
    sets = count_event_times(data, by=by, time=time, event=event, entry=entry, freq=freq)
    if len(sets.groups) != 2:
        message = f"{', '.join(as_columns(by))} names {len(sets.groups)} groups, not 2"
        repair = "choose two, or compare all by logrank_test"
        raise_faults([Fault("data", as_columns(by)[0], len(sets.groups), message, repair)])
    refuse_incomparable(sets, by)
    steps, spread = _steps(sets, _fleming_harrington(sets, *powers))
    total = float(np.sqrt(spread.sum()))
    largest = float(np.abs(steps[:, 0].cumsum()).max(initial=0))
    statistic = largest / total if total > 0 else float("nan")
    table = _table(statistic, 1, sets, _named(f"supremum of {_method(*powers)}", sets))
    return table.assign(df=pd.array([None], dtype="Int64"), p_value=supremum_p_value(statistic))


# --- what the tests have in common ----------------------------------------------------------------


def count_event_times(
    data: Any,
    *,
    by: str | Sequence[str],
    strata: str | Sequence[str] | None = None,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    freq: str | None = None,
    causes: bool = False,
) -> EventTimes:
    """Return how many of each group are at risk and have the event, at each time of an event.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark; an engine counts first.
        by: Column or columns that name the groups.
        strata: Column or columns within which the groups are compared.
        time: Column with the time of event or censoring.
        event: Column that is true or 1 for an event; with `causes` the cause as text.
        entry: Column with the time from which the patient is under observation.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        causes: The event names one of several causes.

    Returns:
        The counts.

    Raises:
        UsageError: A column that is asked to mean two things.
        DataError: One group only, and as for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3], "event": [1, 0, 1], "arm": list("aab")})
        >>> count_event_times(data, by="arm").at_risk.tolist()
        [[2, 1], [0, 1]]
    """
    groups, layers = as_columns(by), as_columns(strata)
    _check_roles(groups, layers, [time, event, entry, freq])
    if isinstance(data, pd.DataFrame) or entry is not None:
        rows = open_counted_rows(
            data, time=time, event=event, entry=entry, by=groups, strata=layers, freq=freq,
            causes=causes,
        )  # fmt: skip
    else:
        cells = [*groups, *layers]
        exits, _ = count_exits(
            data, time=time, event=event, entry=None, by=cells, freq=freq, causes=causes
        )
        rows = compress(open_rows(exits, by=groups, strata=layers, freq="n", causes=causes))
    if len(rows.groups) < 2:
        message = f"{', '.join(groups) or 'by'} names one group only"
        raise_faults([Fault("data", "".join(groups[:1]), 1, message, "compare two or more")])
    return _event_times(rows, stratified=bool(layers))


def refuse_weight(weight: object) -> None:
    """Refuse case weights where a test counts patients, and name what takes them.

    Args:
        weight: What the user gave.

    Raises:
        UsageError: It is not None.

    Examples:
        >>> refuse_weight(None)
    """
    if weight is not None:
        message = "this test counts patients, so that case weights would give no valid p-value"
        repair = (
            "compare weighted groups by cox_regression(covariates=[...], weight=...), or give "
            "freq= if the column says how many patients a row stands for"
        )
        raise UsageError(f"weight={weight!r}: {message}; {repair}")


def refuse_entry(entry: object) -> None:
    """Refuse delayed entry where cumulative incidences are compared, and name what takes it.

    Args:
        entry: What the user gave.

    Raises:
        UsageError: It is not None.

    Examples:
        >>> refuse_entry(None)
    """
    if entry is not None:
        message = "incidences are compared from time 0 on, so that nobody may enter late"
        repair = "compare the rate of each cause by cause_specific_regression(entry=...)"
        raise UsageError(f"entry={entry!r}: {message}; {repair}")


def refuse_incomparable(sets: EventTimes, by: str | Sequence[str]) -> None:
    """Refuse groups of which no two are at risk together at any event, so that nothing compares.

    Strata of one patient, or strata that are the groups over again, are the usual reasons. Without
    any event there is nothing to refuse: the number of events says so.

    Args:
        sets: The counts.
        by: What names the groups, for the message.

    Raises:
        DataError: There are events, and nothing to compare at any of them.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2], "event": 1, "arm": ["a", "b"], "site": [1, 2]})
        >>> refuse_incomparable(count_event_times(data, by="arm", strata="site"), "arm")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DataError: 1 fault in the data:
          data: arm cannot be compared: at none of 2 events two of its groups are at risk \
together, in none of 2 strata; choose wider strata, or none
    """
    n_events = int(sets.events.sum())
    if not n_events or _is_comparison(sets).any():
        return
    name = ", ".join(as_columns(by))
    message = f"{name} cannot be compared: at none of {n_events:,} events two of its groups "
    message += "are at risk together"
    message += f", in none of {sets.n_strata:,} strata" if sets.stratified else ""
    repair = (
        "choose wider strata, or none" if sets.stratified else "look at entry and time by group"
    )
    raise_faults([Fault("data", as_columns(by)[0], n_events, message, repair)])


def _is_comparison(sets: EventTimes) -> np.ndarray:
    """Return for each event time whether two groups are at risk and not all of them leave."""
    had, total = sets.events.sum(axis=(1, 2)), sets.at_risk.sum(axis=1)
    return np.asarray((np.count_nonzero(sets.at_risk, axis=1) > 1) & (had < total))


def quadratic_form(
    score: np.ndarray, variance: np.ndarray, linked: np.ndarray
) -> tuple[float, int]:
    """Return a score's chi-squared statistic with its degrees of freedom.

    Groups that are never at risk together cannot be compared. Each set of groups that are linked,
    directly or through others, loses one degree of freedom, because its scores add up to 0.

    Args:
        score: A sum by group.
        variance: Its covariance, singular.
        linked: Whether two groups were at risk together.

    Returns:
        Statistic and degrees of freedom; missing and 0 where nothing is linked.

    Examples:
        >>> variance = np.array([[2.0, -2.0], [-2.0, 2.0]])
        >>> statistic, df = quadratic_form(np.array([2.0, -2.0]), variance, variance != 0)
        >>> round(statistic, 9), df
        (2.0, 1)
    """
    count, part = connected_components(linked, directed=False)
    rest = np.delete(np.arange(len(score)), np.unique(part, return_index=True)[1])
    df = len(score) - count
    if df == 0:
        return float("nan"), 0
    inverse = np.linalg.pinv(variance[np.ix_(rest, rest)], hermitian=True)
    return float(score[rest] @ inverse @ score[rest]), int(df)


def supremum_p_value(statistic: float) -> float:
    """Return how often a Brownian motion leaves the band from -statistic to statistic by time 1.

    Args:
        statistic: The largest absolute value.

    Returns:
        The probability; Billingsley, Convergence of Probability Measures, 1968, section 11.

    Examples:
        >>> round(supremum_p_value(2.2414), 3)
        0.05
    """
    if np.isnan(statistic) or statistic <= 0:
        return float("nan") if np.isnan(statistic) else 1.0
    k = np.arange(20)
    odd, sign = 2 * k + 1, (-1.0) ** k
    if statistic < 1:
        # Both series are exact; each converges in a few terms where the other does not.
        series = sign / odd * np.exp(-((np.pi * odd / statistic) ** 2) / 8)
        return float(1 - 4 / np.pi * series.sum())
    return float(min(4 * (sign * norm.sf(odd * statistic)).sum(), 1.0))


def _check_powers(rho: float, gamma: float) -> tuple[float, float]:
    for name, power in (("rho", rho), ("gamma", gamma)):
        if not isinstance(power, numbers.Real) or not 0 <= float(power) < float("inf"):
            raise UsageError(f"{name}={power!r} must be a number from 0 on, such as 1")
    return float(rho), float(gamma)


def _check_roles(groups: list[str], layers: list[str], others: list[str | None]) -> None:
    named = [*groups, *layers, *(name for name in others if name is not None)]
    twice = [name for name in dict.fromkeys(named) if named.count(name) > 1]
    if twice:
        raise UsageError(
            f"the column {twice[0]!r} is asked to mean two things; name a column for each argument"
        )


def _method(rho: float, gamma: float) -> str:
    if rho == gamma == 0:
        return "log-rank"
    return f"Fleming-Harrington (rho {rho:g}, gamma {gamma:g})"


def _named(method: str, sets: EventTimes) -> str:
    if not sets.events.any():
        return f"{method}, no event"
    compares = np.logical_or.reduceat(_is_comparison(sets), sets.first)
    if not sets.stratified:
        return method if compares.any() else f"{method}, never at risk together"
    silent = sets.n_strata - int(compares.sum())
    told = f" ({silent:,} of {sets.n_strata:,} strata compare nothing)" if silent else ""
    return f"{method}, stratified{told}"


def _event_times(rows: Rows, *, stratified: bool) -> EventTimes:
    """Return the counts of rows; nothing here is as long as rows times times."""
    n_groups, n_causes = len(rows.groups), max(len(rows.causes), 1)
    width = int(rows.time.max()) + 1
    key = rows.stratum * width + rows.time
    grid, place = _grid_of_events(key, rows.event > 0, width * len(rows.strata))
    # A row is at risk at the grid's entries from `start` to `stop`, all of its own stratum.
    stop = place(key)
    before = rows.stratum * width + (-1 if rows.entry is None else np.maximum(rows.entry, -1))
    size, length = rows.freq, (len(grid) + 1) * n_groups
    coming = _count(place(before) * n_groups + rows.group, size, length)
    leaving = _count(stop * n_groups + rows.group, size, length)
    at_risk = (coming - leaving).reshape(-1, n_groups).cumsum(axis=0)[:-1]
    had = rows.event > 0
    cell = ((stop[had] - 1) * n_groups + rows.group[had]) * n_causes + rows.event[had] - 1
    events = _count(cell, None if size is None else size[had], len(grid) * n_groups * n_causes)
    first = np.flatnonzero(np.diff(grid // width, prepend=-1))
    n = _count(rows.group, size, n_groups)
    return EventTimes(
        at_risk, events.reshape(len(grid), n_groups, n_causes), first, n, rows.groups,
        rows.causes, stratified, len(rows.strata),
    )  # fmt: skip


def _grid_of_events(key: np.ndarray, had: np.ndarray, length: int) -> tuple[np.ndarray, Any]:
    """Return the distinct keys with an event, and what counts those at or below a key."""
    if length > 4 * len(key) + 100_000:
        grid = np.unique(key[had])
        return grid, lambda keys: np.searchsorted(grid, keys, side="right")
    occurs = np.zeros(length + 1, bool)
    occurs[key[had] + 1] = True
    # One step on, so that the key -1, before the first, finds a 0.
    upto = occurs.cumsum()
    return np.flatnonzero(occurs) - 1, lambda keys: upto[keys + 1]


def _count(cell: np.ndarray, size: np.ndarray | None, length: int) -> np.ndarray:
    return np.rint(np.bincount(cell, weights=size, minlength=length)).astype(np.int64)


def _fleming_harrington(sets: EventTimes, rho: float, gamma: float) -> np.ndarray:
    if rho == gamma == 0:
        return np.ones(len(sets.at_risk))
    step = 1 - sets.events.sum(axis=(1, 2)) / sets.at_risk.sum(axis=1)
    before = np.concatenate([[1.0], step[:-1]])
    before[sets.first] = 1.0
    parts = np.split(before, sets.first[1:])
    survival = np.concatenate([np.cumprod(part) for part in parts])
    return survival**rho * (1 - survival) ** gamma


def _steps(sets: EventTimes, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each time's observed less expected events by group, and two groups' variance of it."""
    events = sets.events.sum(axis=2)
    share, spread = _share_and_spread(sets, weight)
    steps = weight[:, None] * (events - share * events.sum(axis=1)[:, None])
    return steps, spread * share[:, 0] * (1 - share[:, 0])


def _share_and_spread(sets: EventTimes, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Floats, because the product of two counts of a hundred million overflows no float.
    total = sets.at_risk.sum(axis=1).astype(float)
    had = sets.events.sum(axis=(1, 2))
    spread = weight**2 * had * (total - had) / np.maximum(total - 1, 1)
    return sets.at_risk / total[:, None], spread


def _score(sets: EventTimes, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    steps, _ = _steps(sets, weight)
    share, spread = _share_and_spread(sets, weight)
    variance = -(share * spread[:, None]).T @ share
    own = (share * (1 - share) * spread[:, None]).sum(axis=0)
    np.fill_diagonal(variance, own)
    return steps.sum(axis=0), variance


def _only(sets: EventTimes, chosen: list[int]) -> EventTimes:
    """Return the counts of some groups alone, at the times at which one of them has an event."""
    events = sets.events[:, chosen]
    kept = np.asarray(events.sum(axis=(1, 2)) > 0)
    stratum = np.zeros(len(kept), np.int64)
    stratum[sets.first] = 1
    first = np.flatnonzero(np.diff(stratum.cumsum()[kept], prepend=0))
    return EventTimes(
        sets.at_risk[kept][:, chosen], events[kept], first, sets.n[chosen],
        sets.groups.iloc[chosen], sets.causes, sets.stratified, sets.n_strata,
    )  # fmt: skip


def _holm(p_value: np.ndarray) -> np.ndarray:
    adjusted = np.full(len(p_value), np.nan)
    order = np.argsort(p_value)[: np.count_nonzero(~np.isnan(p_value))]
    raised = p_value[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return adjusted


def _table(statistic: float, df: int, sets: EventTimes, method: str) -> pd.DataFrame:
    p_value = float(chi2.sf(statistic, df)) if df else float("nan")
    return pd.DataFrame(
        {
            "statistic": [statistic],
            "df": [df],
            "p_value": [p_value],
            "n": [int(sets.n.sum())],
            "n_events": [int(sets.events.sum())],
            "method": [method],
        }
    )
