"""How often the patient with the higher predicted risk has the event first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.higher_before import sum_higher_before
from loyalty_research.retention.inverse_censoring import (
    censoring_survival,
    finite_numbers,
    summed_variance,
)
from loyalty_research.retention.rows import Rows, open_rows

WEIGHTINGS = ("harrell", "uno")
PAIRS = ["concordant", "discordant", "tied_risk", "tied_time", "tied_both"]
"""The counts of pairs, after the fixed columns of an estimate."""

_AT_ONCE = 2**16
"""Rows whose sums are put together at once, so that they stay in the processor's cache."""


def concordance(
    data: Any,
    *,
    risk: str,
    time: str = "time",
    event: str = "event",
    entry: str | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    strata: str | Sequence[str] | None = None,
    weighting: str = "harrell",
    horizon: int | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the share of comparable pairs in which the higher risk has the event first.

    A pair is comparable if one of the two has the event while the other is still at risk after
    it; whoever is censored on the day of an event is at risk after it. Pairs with one and the same
    risk count one half. Pairs whose events fall on one day are not compared: `tied_time` with
    different risks, `tied_both` with the same. Harrell, Califf, Pryor, Lee and Rosati, JAMA
    1982;247:2543. The standard error is the infinitesimal jackknife (Therneau and Watson, Mayo
    Clinic technical report 85, 2015), as in R's `survival::concordance`.

    `weighting="uno"` gives the pairs of an event at t the weight 1 / G(t-)^2, G the share not yet
    censored (Uno, Cai, Pencina, D'Agostino and Wei, Stat Med 2011;30:1105), so that the estimate
    does not depend on when patients were censored; give a `horizon` with it, because late weights
    are large. Its standard error takes G as known, as R does.

    Pairs are counted with the rows in the order of risk, by running counts of the days: a step for
    each of n / 256 blocks of rows, and comparisons within the blocks only.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        risk: Column with the predicted risk, any number: HIGHER means an EARLIER event. A
            predicted time or a share that stays must be turned round first.
        time: Column with the time of event or censoring: whole units, not negative.
        event: Column that is true or 1 for an event, false or 0 for censoring.
        entry: Column with the time from which the row is under observation; at risk at t are
            those with `entry < t`. Not with `weighting="uno"`.
        weight: Column of case weights above 0; a pair has the product of its weights.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column that names the cluster; the influences are summed by cluster.
        strata: Column or columns; only pairs within a stratum are compared.
        weighting: `"harrell"`, each pair alike, or `"uno"`.
        horizon: Compare only pairs whose event is at this time or before.
        conf_level: Coverage of the interval, normal and cut off at 0 and 1.

    Returns:
        One row: `term` ("concordance"), the columns of an estimate (`p_value` against 0.5, no
        better than chance), then the pairs: `concordant`, `discordant`, `tied_risk`,
        `tied_time`, `tied_both`.

    Raises:
        UsageError: An unknown weighting, entry with Uno's, a horizon that is not whole.
        DataError: As for `open_rows`; a risk that is missing, infinite or no number; no pair that
            can be compared; all faults at once.

    Examples:
        >>> data = pd.DataFrame({"time": [1, 2, 3], "event": [1, 1, 0], "risk": [0.9, 0.2, 0.4]})
        >>> concordance(data, risk="risk")[["estimate", "concordant", "discordant"]].round(4)
           estimate  concordant  discordant
        0    0.6667         2.0         1.0
    """
    check_choice(weighting, WEIGHTINGS, name="weighting")
    level = check_share(conf_level, name="conf_level")
    last = None if horizon is None else check_whole(horizon, name="horizon")
    if weighting == "uno" and entry is not None:
        raise UsageError('weighting="uno" has no theory for delayed entry; leave out entry')
    names: dict[str, Any] = {"entry": entry, "weight": weight, "freq": freq, "cluster": cluster}
    rows = open_rows(data, time=time, event=event, strata=as_columns(strata), more=[risk], **names)
    score = finite_numbers(rows.more, risk)
    is_first = rows.event == 1 if last is None else (rows.event == 1) & (rows.time <= last)
    # A byte a row where it is 0 or 1.
    pair_weight = is_first.view(np.int8)
    if weighting == "uno":
        pair_weight = np.where(is_first, _uno_weight(rows), 0.0)
    pairs, net, total = _count_pairs(rows, score, pair_weight)
    if not pairs[:3].sum() > 0:
        repair = "follow the patients longer, or look at more of them"
        raise_faults([Fault("data", event, 0, "no two rows can be compared", repair)])
    return _estimate(rows, pairs, net, total, weighting, level)


def _estimate(
    rows: Rows, pairs: np.ndarray, net: np.ndarray, total: np.ndarray, weighting: str, level: float
) -> pd.DataFrame:
    all_pairs = pairs[:3].sum()
    difference = (pairs[0] - pairs[1]) / all_pairs
    estimate = (difference + 1) / 2
    influence = (net - difference * total) / all_pairs / 2
    if rows.weight is not None:
        influence *= rows.weight
    error = np.sqrt(summed_variance(influence, freq=rows.freq, cluster=rows.cluster))
    half = norm.ppf((1 + level) / 2) * error
    n, n_events = len(net), int(np.count_nonzero(rows.event == 1))
    if rows.freq is not None:
        n, n_events = int(rows.freq.sum()), int(rows.freq[rows.event == 1].sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * norm.sf(abs(estimate - 0.5) / error)
    row = {
        "term": "concordance",
        "estimate": estimate,
        "std_error": error,
        "conf_low": max(estimate - half, 0.0),
        "conf_high": min(estimate + half, 1.0),
        "conf_level": level,
        "p_value": p_value,
        "n": n,
        "n_events": n_events,
        "scale": "share of pairs",
        "method": "Uno's concordance" if weighting == "uno" else "Harrell's concordance",
    }
    return pd.DataFrame([row | dict(zip(PAIRS, pairs.tolist(), strict=True))])


def _uno_weight(rows: Rows) -> np.ndarray:
    """Return 1 / G(t-)^2 at each event, G by stratum; with a single event it is left at 1."""
    result = np.ones(len(rows.time))
    for stratum in range(len(rows.strata)):
        own = np.flatnonzero(rows.stratum == stratum)
        events = own[rows.event[own] == 1]
        if len(events) > 1:
            size = _size(rows)[own]
            known = censoring_survival(rows.time[own], rows.event[own] > 0, size)
            result[events] = known.before(rows.time[events]) ** -2.0
    return result


def _size(rows: Rows) -> np.ndarray:
    """Return what each row counts: its weight as often as it stands for a patient."""
    size = np.ones(len(rows.time), np.int8) if rows.weight is None else rows.weight
    return size if rows.freq is None else size * rows.freq


# --- pairs ----------------------------------------------------------------------------------------


def _count_pairs(
    rows: Rows, score: np.ndarray, pair_weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the five counts; for each row concordant less discordant, and all comparable pairs.

    What is said of a row is the sum of its partners' weights.
    """
    n, size = len(score), _size(rows)
    # The order within a day: its events, whoever is censored on it, whoever enters after it.
    has_event = rows.event == 1
    moment = 3 * rows.time + ~has_event
    ranking = _rank(rows.stratum, moment, score, has_event)
    sums = _pair_sums(ranking, size * pair_weight, size, pair_weight, np.ones(n, np.int8))
    if rows.entry is not None:
        # Who enters on the day of the event or later was not at risk of it: taken off again.
        none, one = np.zeros(n, np.int8), np.ones(n, np.int8)
        moment = np.concatenate([moment, 3 * rows.entry + 2])
        absent = _pair_sums(
            _rank(
                np.tile(rows.stratum, 2),
                moment,
                np.tile(score, 2),
                np.concatenate([has_event, np.zeros(n, bool)]),
            ),
            np.concatenate([size * pair_weight, none]),
            np.concatenate([none, size]),
            np.concatenate([pair_weight, none]),
            np.concatenate([none, one]),
        )
        sums -= absent[:, :n] + absent[:, n:]
    # Each pair was counted at both its ends.
    balance, everything, alike = sums @ size / 2
    ordered = everything - alike
    same_day, both = _tied_pairs(rows, ranking, pair_weight)
    pairs = [(ordered + balance) / 2, (ordered - balance) / 2, alike, same_day, both]
    return np.array(pairs), sums[0], sums[1]


def _tied_pairs(rows: Rows, ranking: _Ranking, pair_weight: np.ndarray) -> tuple[float, float]:
    """Return the weight of the pairs of events on one day, and of those with one score too."""
    events = np.flatnonzero((rows.event == 1)[ranking.order])
    row = ranking.order[events]
    size, moment, group = _size(rows)[row], ranking.moment[events], ranking.group[events]
    # A row that stands for several patients is tied with itself as often as they are pairs.
    squares = size if rows.weight is None else size * rows.weight[row]
    # Within a score the moments are in order, so that events alike in both are neighbours.
    alike = np.cumsum(_changes([group, moment]))
    found = []
    for cell in (moment, alike):
        weight = np.zeros(int(cell.max(initial=-1)) + 1)
        weight[cell] = pair_weight[row]
        sums = np.bincount(cell, size) ** 2 - np.bincount(cell, squares)
        found.append(float(sums @ weight) / 2)
    return found[0] - found[1], found[1]


def _changes(columns: list[np.ndarray]) -> np.ndarray:
    """Return where a row differs from the row above; the first does."""
    changed = np.zeros(len(columns[0]), bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


@dataclass(frozen=True)
class _Ranking:
    """Elements by stratum, score and moment.

    Attributes:
        order: The elements in this order; all else is in it too.
        moment: Number of the moment, rising with it; a later stratum's are higher.
        group: Number of the score, rising with it; a later stratum's are higher.
        layer: The stratum of each number of a moment.
    """

    order: np.ndarray
    moment: np.ndarray
    group: np.ndarray
    layer: np.ndarray


def _rank(
    stratum: np.ndarray, moment: np.ndarray, score: np.ndarray, is_early: np.ndarray
) -> _Ranking:
    number, layer = _number_moments(stratum, moment, is_early)
    order = np.argsort(score)
    if layer[-1] > 0:
        order = order[np.argsort(stratum[order], kind="stable")]
    columns = [score[order], stratum[order]] if layer[-1] > 0 else [score[order]]
    group = np.cumsum(_changes(columns))
    order, number = _by_moment_within(group, number, order)
    return _Ranking(order, number, group, layer)


def _by_moment_within(
    group: np.ndarray, number: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the order sorted by moment within each group, and the moments in this order."""
    own, bits = number[order], [int(part.max()).bit_length() for part in (group, number, order)]
    if sum(bits) > 63:
        within = np.lexsort((own, group))
        return order[within], own[within]
    # All three in one number: sorting numbers is many times faster than sorting what they order.
    packed = (group << bits[1] | own) << bits[2] | order
    packed.sort()
    number = packed >> bits[2] & ((1 << bits[1]) - 1)
    return packed & ((1 << bits[2]) - 1), number


def _number_moments(
    stratum: np.ndarray, moment: np.ndarray, is_early: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each element's moment, and the stratum of each number.

    The number says how many moments lie before that an earlier partner may have, all strata below
    included: no other moments part the two of a pair.
    """
    low = int(moment.min()) - 1
    span = int(moment.max()) - low + 1
    place = stratum * span + (moment - low)
    # Each stratum begins with a moment of its own.
    begin = np.arange(int(stratum.max()) + 1) * span
    if int(place.max()) > 4 * len(place) + 100_000:
        places = np.unique(np.concatenate([begin, place[is_early]]))
        return np.searchsorted(places, place) - 1, places // span
    occurs = np.zeros(int(place.max()) + 1, bool)
    occurs[begin], occurs[place[is_early]] = True, True
    number = (occurs.cumsum() - occurs - 1)[place]
    return number, np.flatnonzero(occurs) // span


def _pair_sums(
    ranking: _Ranking, early: np.ndarray, late: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Return sums over the partners of each element, in pairs whose first has the earlier moment.

    In the order of the score, the later elements with a lower score are those before with a higher
    moment; the earlier ones with a lower score those before with a lower moment. The higher scores
    are the rest of all that are later or earlier. Elements of one score lie in the order of their
    moments: such pairs look discordant until what is tied is added back.

    Args:
        ranking: The elements.
        early: What an element weighs as the earlier partner.
        late: What it weighs as the later one.
        first: How the sum of its later partners counts.
        second: How the sum of its earlier partners counts.

    Returns:
        Three lines: concordant less discordant, all, and those with one score.
    """
    order, moment = ranking.order, ranking.moment
    early, late, first, second = (part[order] for part in (early, late, first, second))
    after, before, elsewhere = _by_moment(ranking, early, late)
    lower_late = sum_higher_before(moment, late)
    lower_early = sum_higher_before(len(ranking.layer) - 1 - moment, early)
    tied = _tied_sums(ranking, early, late)
    result = np.empty((3, len(order)))
    for start in range(0, len(order), _AT_ONCE):
        own = slice(start, start + _AT_ONCE)
        at = moment[own]
        later, earlier = after[at], before[at]
        net = 2 * lower_late[own] - later + tied[0][own]
        net_earlier = earlier - 2 * (lower_early[own] - elsewhere[at]) + tied[1][own]
        parts = (net, net_earlier), (later, earlier), (tied[0][own], tied[1][own])
        for line, (as_first, as_second) in zip(result, parts, strict=True):
            line[order[own]] = first[own] * as_first + second[own] * as_second
    return result


def _by_moment(
    ranking: _Ranking, early: np.ndarray, late: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return by moment what is later, what is earlier, and what is early in the strata below."""
    layer, length = ranking.layer, len(ranking.layer)
    starts = np.flatnonzero(_changes([layer]))
    sizes = np.diff(np.append(starts, length))
    running_early = _running(np.bincount(ranking.moment, early, length))
    running_late = _running(np.bincount(ranking.moment, late, length))
    elsewhere = np.repeat(running_early[starts], sizes)
    after = np.repeat(running_late[starts + sizes], sizes) - running_late[1:]
    return after, running_early[:-1] - elsewhere, elsewhere


def _running(values: np.ndarray) -> np.ndarray:
    """Return sums of the values before each place, and at the end of all."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _tied_sums(
    ranking: _Ranking, early: np.ndarray, late: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums over partners with the same score: later ones, earlier ones."""
    n = len(early)
    groups = _changes([ranking.group])
    if groups.all():
        return np.zeros(n), np.zeros(n)
    starts = np.flatnonzero(groups | _changes([ranking.moment]))
    ends = np.append(starts[1:], n)
    # What is alike in score and moment has the same partners.
    first_of = np.flatnonzero(groups[starts])
    n_alike = np.diff(np.append(first_of, len(starts)))
    later, earlier = _running(late), _running(early)
    sums_later = np.repeat(later[ends[first_of + n_alike - 1]], n_alike) - later[ends]
    sums_earlier = earlier[starts] - np.repeat(earlier[starts[first_of]], n_alike)
    return np.repeat(sums_later, ends - starts), np.repeat(sums_earlier, ends - starts)
