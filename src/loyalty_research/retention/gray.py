"""Whether a cause carries off the same share of each group by each day, others competing.

The log-rank test of one cause compares rates among those still there. Gray's test compares the
cumulative incidence itself, the share to whom it has happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.group_tests import (
    count_event_times,
    quadratic_form,
    refuse_entry,
    refuse_incomparable,
    refuse_weight,
)


def gray_test(
    data: Any,
    *,
    by: str | Sequence[str],
    strata: str | Sequence[str] | None = None,
    rho: float = 0,
    time: str = "time",
    event: str = "event",
    freq: str | None = None,
    weight: None = None,
    entry: None = None,
) -> pd.DataFrame:
    """Test for each cause whether its cumulative incidence is the same in all groups.

    Gray, Annals of Statistics 1988;16:1141, with the variance for tied times of R's
    `cmprsk::cuminc`, whose numbers it gives. Delayed entry is not offered: the weight
    (1 - F_g) / S_g, which keeps in the risk set those whom another cause has taken, assumes that
    each group was seen from time 0. Case weights are not offered either, as in `logrank_test`.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        by: Column or columns that name the groups, two or more.
        strata: Column or columns within which the groups are compared.
        rho: Power of the share to whom the cause has not yet happened, from 0; 0 weighs every
            time alike, 1 the early ones more.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column with the cause as text; missing or "censored" is censored. `derive_causes`
            writes it as "cause".
        freq: Column of whole numbers from 1: how many patients a row stands for.
        weight: Not offered: refused, with what is to be done instead.
        entry: Not offered: refused, with what is to be done instead.

    Returns:
        One row a cause: `cause`, `statistic` (chi-squared), `df`, `p_value`, `n`, `n_events` (of
        the cause), `method`. Where no two groups are at risk together when a cause happens, its
        `df` is 0 and its statistic and p-value are missing.

    Raises:
        UsageError: Case weights; a `rho` below 0; a column that is asked to mean two things.
        DataError: One group only, no cause named in any row, no two groups at risk together at any
            event, and as for `risk_sets`.

    Examples:
        >>> data = pd.DataFrame(
        ...     {
        ...         "time": [1, 2, 3, 4, 5, 6],
        ...         "event": ["moved", "moved", "died", "moved", "died", None],
        ...         "arm": ["a", "a", "a", "b", "b", "b"],
        ...     }
        ... )
        >>> gray_test(data, by="arm")[["cause", "df", "n_events"]]
           cause  df  n_events
        0   died   1         2
        1  moved   1         3
    """
    refuse_entry(entry)
    refuse_weight(weight)
    if not isinstance(rho, int | float) or not 0 <= rho < float("inf"):
        raise UsageError(f"rho={rho!r} must be a number from 0 on, such as 1")
    sets = count_event_times(
        data, by=by, strata=strata, time=time, event=event, freq=freq, causes=True
    )
    if not sets.causes:
        message = f"{event} names no cause in any row"
        raise_faults([Fault("data", event, int(sets.n.sum()), message, "there is nothing to test")])
    refuse_incomparable(sets, by)
    method = "Gray" + (f" (rho {rho:g})" if rho else "") + (", stratified" if strata else "")
    parts = [slice(*ends) for ends in zip(sets.first, [*sets.first[1:], None], strict=True)]
    rows = []
    for k, cause in enumerate(sets.causes):
        pieces = [_pieces(sets.at_risk[part], sets.events[part], k, float(rho)) for part in parts]
        score = np.sum([_score(piece) for piece in pieces], axis=0)
        variance = np.sum([_variance(piece) for piece in pieces], axis=0)
        linked = np.sum(
            [piece.weight.T @ (piece.mine.sum(axis=1)[:, None] * piece.weight) for piece in pieces],
            axis=0,
        )
        statistic, df = quadratic_form(score, variance, linked > 0)
        rows.append(
            {
                "cause": cause,
                "statistic": statistic,
                "df": df,
                "p_value": float(chi2.sf(statistic, df)) if df else float("nan"),
                "n": int(sets.n.sum()),
                "n_events": int(sets.events[:, :, k].sum()),
                "method": method,
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Pieces:
    """What score and variance are made of, an entry for each time and group of a stratum."""

    at_risk: np.ndarray  # 1 where nobody is, so that it may divide
    mine: np.ndarray  # events of the cause
    others: np.ndarray  # events of all other causes
    stayed: np.ndarray  # share without any event just before the time
    staying: np.ndarray  # and after it
    incidence: np.ndarray  # of the cause, just before the time
    weight: np.ndarray  # at risk over stayed; 0 where nobody is at risk
    pooled: np.ndarray  # incidence of all groups together, after the time
    power: np.ndarray  # (1 - pooled incidence just before) ** rho
    before: np.ndarray  # pooled incidence just before


def _pieces(at_risk: np.ndarray, events: np.ndarray, k: int, rho: float) -> _Pieces:
    risk = np.maximum(at_risk, 1).astype(float)
    mine = events[:, :, k].astype(float)
    others = events.sum(axis=2) - mine
    staying = np.cumprod(1 - (mine + others) / risk, axis=0)
    stayed = np.vstack([np.ones(risk.shape[1]), staying[:-1]])
    after = np.cumsum(stayed * mine / risk, axis=0)
    incidence = np.vstack([np.zeros(risk.shape[1]), after[:-1]])
    here = at_risk > 0
    # Whom another cause has taken stays in the risk set of the incidence: Y / S instead of Y.
    weight = np.where(here, risk / np.where(here, stayed, 1), 0)
    pooled = np.cumsum(mine.sum(axis=1) / weight.sum(axis=1))
    before = np.append(0.0, pooled[:-1])
    power = np.maximum(1 - before, 0) ** rho
    return _Pieces(
        risk, mine, others, stayed, staying, incidence, weight, pooled, power, before
    )  # fmt: skip


def _score(p: _Pieces) -> np.ndarray:
    exposed = p.weight * (1 - p.incidence)
    share = exposed / exposed.sum(axis=1, keepdims=True)
    return (p.power[:, None] * (p.mine - share * p.mine.sum(axis=1, keepdims=True))).sum(axis=0)


def _linked(p: _Pieces) -> np.ndarray:
    """Return what is above 0 where two groups were at risk together when the cause happened."""
    return p.weight.T @ (p.weight * p.mine.sum(axis=1, keepdims=True))


def _variance(p: _Pieces) -> np.ndarray:
    """Return the covariance of the scores: by group, what an event of its own would change.

    An event of the cause in group k changes the scores by the row of k in `jump` at once, and by
    `ahead` through the later incidence of k; an event of another cause by `ahead` alone.
    """
    total, happened = p.weight.sum(axis=1), p.mine.sum(axis=1)
    open_ = np.maximum(1 - p.before, np.finfo(float).tiny)
    rate = happened / (total * open_)
    result = np.zeros((p.weight.shape[1],) * 2)
    for k in range(p.weight.shape[1]):
        jump = -p.weight * (p.weight[:, k] / total)[:, None]
        jump[:, k] += p.weight[:, k]
        jump *= p.power[:, None]
        path = np.cumsum(jump * rate[:, None], axis=0)
        ahead = path[-1] - path
        left = np.where(p.staying[:, k] > 0, p.staying[:, k], np.inf)
        taken = (1 - p.pooled) / left
        by_cause = jump + (1 - taken)[:, None] * ahead
        by_others = np.where(np.isfinite(left), taken, 0)[:, None] * ahead
        result += (by_cause * _spread_of_cause(p, k)[:, None]).T @ by_cause
        result += (by_others * _spread_of_others(p, k)[:, None]).T @ by_others
    return result


def _spread_of_cause(p: _Pieces, k: int) -> np.ndarray:
    """Return the variance of the cause's rate in group k, at the pooled rate, tied events apart."""
    total, happened = p.weight.sum(axis=1), p.mine.sum(axis=1)
    sized = total * p.stayed[:, k]  # the size of the study if all were as those of group k
    apart = np.where(happened > 1, (happened - 1) / np.where(happened > 1, sized - 1, 1), 0)
    spread = (1 - apart) * p.stayed[:, k] * happened / (total * p.at_risk[:, k])
    return np.where(p.weight[:, k] > 0, spread, 0)


def _spread_of_others(p: _Pieces, k: int) -> np.ndarray:
    """Return the variance of the other causes' share in group k, tied events apart."""
    taken, risk = p.others[:, k], p.at_risk[:, k]
    apart = np.where(taken > 1, (taken - 1) / np.maximum(risk - 1, 1), 0)
    return (1 - apart) * p.stayed[:, k] ** 2 * taken / risk**2
