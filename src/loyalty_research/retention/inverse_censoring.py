"""How much those who are still followed count for those who were censored.

With G(t) the share not yet censored by t, a patient whose state at a horizon is known counts
1 / G(T-) if the event was at T, and 1 / G(horizon) if still followed after it; whoever was
censored before counts 0. On a day with events and censorings the events come first: at risk of
being censored at t are those who are followed up to t and have no event at t. So the weights add
up to the number of patients, and weighted shares equal the Kaplan-Meier estimate (Robins and
Finkelstein, Biometrics 2000;56:779; Satten and Datta, Am Stat 2001;55:207).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.rows import Rows


@dataclass(frozen=True)
class CensoringSurvival:
    """The share not yet censored, by distinct time.

    Attributes:
        times: The distinct times of the rows, rising.
        at_risk: Who may be censored at each: followed up to it, without an event at it.
        censored: Who is.
        share: The share not yet censored after each.
    """

    times: np.ndarray
    at_risk: np.ndarray
    censored: np.ndarray
    share: np.ndarray

    def before(self, times: np.ndarray) -> np.ndarray:
        """Return the share not yet censored just before each time."""
        return np.append(1.0, self.share)[np.searchsorted(self.times, times, side="left")]

    def at(self, time: int) -> float:
        """Return the share not yet censored at the end of a day."""
        place = int(np.searchsorted(self.times, time, side="right"))
        return float(np.append(1.0, self.share)[place])

    def last_day(self) -> int:
        """Return the last day for which a state is known of somebody followed through it."""
        gone = np.flatnonzero(self.share <= 0)
        return int(self.times[gone[0]]) - 1 if len(gone) else int(self.times[-1])


@dataclass(frozen=True)
class KnownStates:
    """Who is known to have had the event by a horizon, and what each counts.

    Attributes:
        horizon: The day.
        had_event: Whether the event (of the cause asked for) was at the horizon or before.
        weight: 1 / G, 0 for whoever was censored before.
        case_weight: The weight of a patient of the row.
        size: What the row counts besides: case weight times frequency.
        time: Time of event or censoring.
        censored: Whether it was a censoring.
        known: The share not yet censored.
    """

    horizon: int
    had_event: np.ndarray
    weight: np.ndarray
    case_weight: np.ndarray
    size: np.ndarray
    time: np.ndarray
    censored: np.ndarray
    known: CensoringSurvival


def censoring_survival(
    time: np.ndarray, event: np.ndarray, size: np.ndarray | None = None
) -> CensoringSurvival:
    """Return the Kaplan-Meier estimate of the time to censoring.

    Args:
        time: Time of event or censoring, int64.
        event: Whether it was an event, of whatever cause.
        size: What each row counts; None for one each.

    Returns:
        The share not yet censored, by distinct time.

    Examples:
        >>> known = censoring_survival(np.array([1, 2, 2, 3]), np.array([True, True, False, False]))
        >>> known.at_risk.tolist(), known.share.tolist()
        ([3.0, 2.0, 1.0], [1.0, 0.5, 0.0])
    """
    times, place = np.unique(time, return_inverse=True)
    size = np.ones(len(time)) if size is None else size
    leaving = np.bincount(place, size, len(times))
    events = np.bincount(place, np.where(event, size, 0.0), len(times))
    censored = np.bincount(place, np.where(event, 0.0, size), len(times))
    at_risk = leaving[::-1].cumsum()[::-1] - events
    with np.errstate(divide="ignore", invalid="ignore"):
        stay = np.where(censored > 0, 1 - censored / at_risk, 1.0)
    return CensoringSurvival(times, at_risk, censored, np.cumprod(stay))


def risk_columns(
    risk: str | Mapping[int, str], horizon: int | Sequence[int] | None
) -> dict[int, str]:
    """Return the column with the prediction for each horizon, the horizons rising.

    Args:
        risk: One column, or columns by horizon.
        horizon: The day or days for one column.

    Returns:
        Columns by horizon.

    Raises:
        UsageError: No horizon, one that is not whole, or horizons given twice over.

    Examples:
        >>> risk_columns("risk", [365, 180])
        {180: 'risk', 365: 'risk'}
    """
    if isinstance(risk, Mapping):
        if horizon is not None:
            raise UsageError("risk names its horizons already; leave out horizon")
        pairs = dict(risk)
    elif horizon is None:
        raise UsageError("horizon is missing; give the day that the risk speaks of")
    else:
        pairs = dict.fromkeys(horizon if isinstance(horizon, Sequence) else [horizon], risk)
    if not pairs:
        raise UsageError("horizon is empty; give the day that the risk speaks of")
    whole = {check_whole(day, name="horizon"): column for day, column in pairs.items()}
    return dict(sorted(whole.items()))


def check_cause(cause: str | None, causes: Sequence[str]) -> None:
    """Refuse a cause that the event column does not name.

    Args:
        cause: What the user gave; None where there is only one.
        causes: The causes that occur.

    Raises:
        UsageError: The cause is not among them.

    Examples:
        >>> check_cause("lapsed", ("died", "lapsed"))
    """
    if cause is not None:
        check_choice(cause, causes, name="cause")


def rows_of(rows: Rows, where: np.ndarray | slice) -> Rows:
    """Return the rows of one group, in one group and stratum.

    Args:
        rows: As `open_rows` returns them.
        where: What indexes the group's rows.

    Returns:
        These rows.

    Examples:
        >>> from loyalty_research.retention.rows import open_rows
        >>> data = pd.DataFrame({"time": [1, 2], "event": [1, 0]})
        >>> rows_of(open_rows(data), np.array([1])).time.tolist()
        [2]
    """
    arrays = ("time", "event", "entry", "weight", "freq", "cluster", "group", "stratum")
    taken = {name: getattr(rows, name) for name in arrays}
    own: dict[str, Any] = {
        name: None if array is None else array[where] for name, array in taken.items()
    }
    return replace(rows, **own, more=rows.more.iloc[where])


def known_states(rows: Rows, *, horizon: int, cause: str | None = None) -> KnownStates:
    """Return the states of patients at a horizon, with their weights.

    Args:
        rows: As `open_rows` returns them, of one group.
        horizon: The day.
        cause: The cause asked for where there are several; other causes are no event.

    Returns:
        The states.

    Raises:
        DataError: A horizon after the last day with a known state, or with no event by then.

    Examples:
        >>> from loyalty_research.retention.rows import open_rows
        >>> data = pd.DataFrame({"time": [1, 2, 2, 3], "event": [1, 1, 0, 0]})
        >>> known_states(open_rows(data), horizon=2).weight.tolist()
        [1.0, 1.0, 0.0, 2.0]
    """
    states = states_at(rows, horizon=horizon, cause=cause)
    faults = _horizon_faults(states.known, horizon)
    if not faults and not states.had_event.any():
        words = f"{cause or 'the event'} does not occur by day {horizon}"
        faults = [Fault("data", "", 0, words, "ask for a later horizon")]
    raise_faults(faults)
    return states


def states_at(rows: Rows, *, horizon: int, cause: str | None = None) -> KnownStates:
    """Return the states of patients at a horizon, whether or not anything is known then.

    Args:
        rows: As `open_rows` returns them, of one group.
        horizon: The day.
        cause: The cause asked for where there are several.

    Returns:
        The states; nobody counts from the day on which all who are left are censored.

    Examples:
        >>> from loyalty_research.retention.rows import open_rows
        >>> data = pd.DataFrame({"time": [1, 2], "event": [0, 0]})
        >>> states_at(open_rows(data), horizon=2).weight.tolist()
        [0.0, 0.0]
    """
    time, event = rows.time, rows.event
    own = np.ones(len(time)) if rows.weight is None else rows.weight
    size = own if rows.freq is None else own * rows.freq
    known = censoring_survival(time, event > 0, size)
    here = time > horizon
    gone = ~here & (event > 0)
    asked = 1 if cause is None else rows.causes.index(cause) + 1
    had_event = gone & (event == asked)
    weight = np.zeros(len(time))
    weight[gone] = 1 / known.before(time[gone])
    if here.any():
        weight[here] = 1 / known.at(horizon)
    return KnownStates(horizon, had_event, weight, own, size, time, event == 0, known)


def _horizon_faults(known: CensoringSurvival, horizon: int) -> list[Fault]:
    last = known.last_day()
    if horizon <= last:
        return []
    words = f"nobody's state on day {horizon} is known"
    return [Fault("data", "", 0, words, f"ask for a horizon of at most {last}")]


def weight_influence(states: KnownStates, part: np.ndarray) -> np.ndarray:
    """Return how a patient of each row moves a weighted sum, by way of the censoring weights.

    The derivative of the sum by the row's own size, through the estimate of G: with N the
    censorings and Y those at risk of one, d log G(t) = - sum over u <= t of
    (dN_k(u) - Y_k(u) dN(u) / Y(u)) / (Y(u) - dN(u)).

    Args:
        states: As `known_states` returns them.
        part: What each row adds to the sum, its weight and size included.

    Returns:
        One value a row.

    Examples:
        >>> from loyalty_research.retention.rows import open_rows
        >>> data = pd.DataFrame({"time": [1, 2, 2, 3], "event": [1, 1, 0, 0]})
        >>> states = known_states(open_rows(data), horizon=2)
        >>> weight_influence(states, states.weight).tolist()
        [0.0, 0.0, 1.0, -1.0]
    """
    known = states.known
    place = np.searchsorted(known.times, states.time)
    sums = np.bincount(place, part, len(known.times))
    later = np.append(sums[::-1].cumsum()[::-1][1:], 0.0)
    within = (known.times <= states.horizon) & (later != 0)
    step, drift = np.zeros((2, len(known.times)))
    staying = known.at_risk[within] - known.censored[within]
    step[within] = later[within] / staying
    drift[within] = step[within] * known.censored[within] / known.at_risk[within]
    until = np.append(0.0, np.cumsum(drift))
    # Whoever has an event on a day is not at risk of being censored on it.
    return np.where(states.censored, step[place], 0.0) - until[place + states.censored]


def finite_numbers(table: pd.DataFrame, column: str, *, shares: bool = False) -> np.ndarray:
    """Return a column of predictions as floats, or refuse what is none.

    Args:
        table: The rows, none with a missing value in the column.
        column: Its name.
        shares: The values must lie within 0 and 1.

    Returns:
        The values.

    Raises:
        DataError: No numbers, infinite ones, or, of shares, outside 0 and 1.

    Examples:
        >>> finite_numbers(pd.DataFrame({"risk": [1, 2]}), "risk").tolist()
        [1.0, 2.0]
    """
    values = table[column]
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        words = f"{column} is {values.dtype}, not a number"
        raise_faults([Fault("data", column, 0, words, "convert it first")])
    numbers = values.to_numpy(float)
    odd = ~np.isfinite(numbers)
    words, repair = "is infinite", "predict a finite number for every row"
    if shares:
        odd |= (numbers < 0) | (numbers > 1)
        words, repair = "is not within 0 and 1", "give the predicted share with the event"
    count = int(odd.sum())
    if count:
        message = f"{column} {words} in {count:,} of {len(numbers):,} rows"
        raise_faults([Fault("data", column, count, message, repair)])
    return numbers


def summed_variance(
    influence: np.ndarray, *, freq: np.ndarray | None = None, cluster: np.ndarray | None = None
) -> float:
    """Return the variance of an estimate: the sum of squared influences, of rows or clusters.

    Args:
        influence: How much a patient of each row moves the estimate.
        freq: How many patients the row stands for.
        cluster: Codes from 0; the influences of a cluster are added first.

    Returns:
        The variance.

    Examples:
        >>> summed_variance(np.array([0.1, -0.1]), cluster=np.array([0, 0]))
        0.0
    """
    if cluster is not None:
        sums = np.bincount(cluster, influence if freq is None else influence * freq)
        return float(sums @ sums)
    return float(influence @ (influence if freq is None else influence * freq))
