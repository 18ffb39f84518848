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
from loyalty_research.retention.inverse_censoring import (
    censoring_survival,
    finite_numbers,
    summed_variance,
)
from loyalty_research.retention.rows import Rows, open_rows

WEIGHTINGS = ("harrell", "uno")
PAIRS = ["concordant", "discordant", "tied_risk", "tied_time", "tied_both"]
"""The counts of pairs, after the fixed columns of an estimate."""


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

    Pairs are counted by halving the times again and again, with the rows in the order of risk:
    n log n steps, and one addition for all rows of a halving.

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
    pair_weight = _uno_weight(rows) if weighting == "uno" else np.ones(len(rows.time))
    late = False if last is None else rows.time > last
    pair_weight = np.where((rows.event == 0) | late, 0.0, pair_weight)
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
    own = np.ones(len(net)) if rows.weight is None else rows.weight
    influence = own * (net - difference * total) / all_pairs / 2
    error = np.sqrt(summed_variance(influence, freq=rows.freq, cluster=rows.cluster))
    half = norm.ppf((1 + level) / 2) * error
    n = np.ones(len(net), np.int64) if rows.freq is None else rows.freq
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
        "n": int(n.sum()),
        "n_events": int(n[rows.event == 1].sum()),
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
    size = np.ones(len(rows.time)) if rows.weight is None else rows.weight
    return size if rows.freq is None else size * rows.freq


# --- pairs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sums:
    """For each element the sum of its partners' weights, as the earlier and as the later one.

    Attributes:
        net: Partners in a concordant pair count as they are, those in a discordant pair negative.
        total: All partners.
        tied: Partners with the same score.
    """

    net: tuple[np.ndarray, np.ndarray]
    total: tuple[np.ndarray, np.ndarray]
    tied: tuple[np.ndarray, np.ndarray]


def _count_pairs(
    rows: Rows, score: np.ndarray, pair_weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the five counts; for each row concordant less discordant, and all comparable pairs.

    What is said of a row is the sum of its partners' weights.
    """
    n, size = len(score), _size(rows)
    early = size * pair_weight
    # The order within a day: its events, whoever is censored on it, whoever enters after it.
    moment = 3 * rows.time + np.where(rows.event == 1, 0, 1)
    sums = _pair_sums(rows.stratum, moment, score, early, size)
    parts = [_both(part, pair_weight) for part in (sums.net, sums.total, sums.tied)]
    if rows.entry is not None:
        # Who enters on the day of the event or later was not at risk of it: taken off again.
        none = np.zeros(n)
        absent = _pair_sums(
            np.tile(rows.stratum, 2),
            np.concatenate([moment, 3 * rows.entry + 2]),
            np.tile(score, 2),
            np.concatenate([early, none]),
            np.concatenate([none, size]),
        )
        for part, (first, second) in zip(
            parts, (absent.net, absent.total, absent.tied), strict=True
        ):
            part -= _both((first[:n], second[n:]), pair_weight)
    net, total, _ = parts
    # Each pair was counted at both its ends.
    balance, everything, alike = (float(size @ part) / 2 for part in parts)
    ordered = everything - alike
    same_day, both = _tied_pairs(rows, score, pair_weight)
    pairs = [(ordered + balance) / 2, (ordered - balance) / 2, alike, same_day, both]
    return np.array(pairs), net, total


def _both(part: tuple[np.ndarray, np.ndarray], pair_weight: np.ndarray) -> np.ndarray:
    return pair_weight * part[0] + part[1]


def _tied_pairs(rows: Rows, score: np.ndarray, pair_weight: np.ndarray) -> tuple[float, float]:
    """Return the weight of the pairs of events on one day, and of those with one score too."""
    events = np.flatnonzero(rows.event == 1)
    if len(events) == 0:
        return 0.0, 0.0
    order = events[np.argsort(score[events])]
    order = order[_order(rows.time[order])]
    order = order[_order(rows.stratum[order])] if rows.stratum.any() else order
    columns = [rows.stratum[order], rows.time[order], score[order]]
    size = _size(rows)[order]
    # A row that stands for several patients is tied with itself as often as they are pairs.
    squares = size if rows.weight is None else size * rows.weight[order]
    found = []
    for agreed in (columns[:2], columns):
        starts = np.flatnonzero(_changes(agreed))
        sums = np.add.reduceat(size, starts) ** 2 - np.add.reduceat(squares, starts)
        found.append(float(sums @ pair_weight[order[starts]]) / 2)
    return found[0] - found[1], found[1]


def _changes(columns: list[np.ndarray]) -> np.ndarray:
    """Return where a row differs from the row above; the first does."""
    changed = np.zeros(len(columns[0]), bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


def _pair_sums(
    stratum: np.ndarray,
    moment: np.ndarray,
    score: np.ndarray,
    early: np.ndarray,
    late: np.ndarray,
) -> _Sums:
    """Return the sums over all pairs whose first element has the earlier moment.

    The moments of a stratum are numbered, and the numbers read as bits from the highest: two
    different moments part at just one bit, where the earlier has 0. Before each bit the elements
    lie in blocks of equal higher bits, by score within a block, so that a running sum over the
    elements with 0 says for each with 1 what the earlier ones with a lower score weigh; and the
    other way round. Dividing all elements into those with 0 and those with 1 makes the next
    blocks. Elements of one score lie in the order of their moments: such pairs look discordant
    until what is tied is added back.
    """
    key, code, layer = _number_moments(stratum, moment)
    order = _by_score(stratum, score, key)
    tied = _tied_sums(stratum, score, key, early, late, order)
    totals = _KeySums(code, layer, np.bincount(key, early), np.bincount(key, late))
    parts = [code.astype(np.int32)[key[order]], early[order], late[order], order]
    parts += [np.zeros(len(key)), np.zeros(len(key))]
    for bit in reversed(range(int(code.max()).bit_length())):
        is_late = (parts[0] >> bit) & 1
        zeros, ones = np.flatnonzero(is_late == 0), np.flatnonzero(is_late)
        parts = [np.concatenate([part[zeros], part[ones]]) for part in parts]
        split = len(zeros)
        lower_late = _running(parts[2][split:])[zeros - np.arange(split)]
        lower_early = _running(parts[1][:split])[ones - np.arange(len(ones))]
        parts[4][:split] += lower_late
        parts[5][split:] += lower_early
        totals.divide(bit)
    first, second = np.empty(len(key)), np.empty(len(key))
    first[parts[3]], second[parts[3]] = parts[4], parts[5]
    before, after = totals.by_key()
    net_early = 2 * (first - before[0][key]) - after[0][key]
    net_late = after[1][key] - 2 * (second - before[1][key])
    return _Sums(
        (net_early + tied[0], net_late + tied[1]), (after[0][key], after[1][key]), tied
    )  # fmt: skip


class _KeySums:
    """What the running sums of elements begin with in each block, and the blocks' totals."""

    def __init__(self, code: np.ndarray, layer: np.ndarray, early: np.ndarray, late: np.ndarray):
        none = np.zeros((4, len(code)))
        self.table = [code, layer, early, late, np.arange(len(code)), *none]

    def divide(self, bit: int) -> None:
        """Add this bit's starts and totals, and divide the keys as the elements are."""
        code, layer, early, late, _, *sums = self.table
        starts = np.flatnonzero(_changes([layer, code >> (bit + 1)]))
        sizes = np.diff(np.append(starts, len(code)))
        is_late = ((code >> bit) & 1).astype(bool)
        for values, mine, start, total in (
            (np.where(is_late, late, 0.0), ~is_late, sums[0], sums[2]),
            (np.where(is_late, 0.0, early), is_late, sums[1], sums[3]),
        ):
            begun = _running(values)[starts]
            block = np.add.reduceat(values, starts)
            start += np.where(mine, np.repeat(begun, sizes), 0.0)
            total += np.where(mine, np.repeat(block, sizes), 0.0)
        order = np.concatenate([np.flatnonzero(~is_late), np.flatnonzero(is_late)])
        self.table = [column[order] for column in self.table]

    def by_key(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Return starts and totals, each for the earlier and the later, in the order of keys."""
        order = np.argsort(self.table[4])
        sums = [column[order] for column in self.table[5:]]
        return (sums[0], sums[1]), (sums[2], sums[3])


def _running(values: np.ndarray) -> np.ndarray:
    """Return sums of the values before each place, and at the end of all."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _number_moments(
    stratum: np.ndarray, moment: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each element's key; each key's number from 0 in its stratum, and its stratum."""
    low = int(moment.min())
    span = int(moment.max()) - low + 1
    place = stratum * span + (moment - low)
    if int(place.max()) <= 4 * len(place) + 100_000:
        occurs = np.zeros(int(place.max()) + 1, bool)
        occurs[place] = True
        places, key = np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[place]
    else:
        places, key = np.unique(place, return_inverse=True)
    layer = places // span
    starts = np.flatnonzero(_changes([layer]))
    code = np.arange(len(places)) - np.repeat(starts, np.diff(np.append(starts, len(places))))
    return key, code, layer


def _by_score(stratum: np.ndarray, score: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return the order by stratum, score and moment."""
    order = _order(key)
    order = order[np.argsort(score[order], kind="stable")]
    return order[_order(stratum[order])] if stratum.any() else order


def _order(codes: np.ndarray) -> np.ndarray:
    """Return the order of codes, rows with the same code as they are."""
    # numpy sorts integers of 16 bits in one pass.
    small = codes.astype(np.uint16) if int(codes.max()) < 2**16 else codes
    return np.argsort(small, kind="stable")


def _tied_sums(
    stratum: np.ndarray,
    score: np.ndarray,
    key: np.ndarray,
    early: np.ndarray,
    late: np.ndarray,
    order: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums over partners with the same score: later ones, earlier ones."""
    groups = _changes([stratum[order], score[order]])
    result = np.zeros(len(order)), np.zeros(len(order))
    if groups.all():
        return result
    bounds = []
    for changed in (groups, groups | _changes([key[order]])):
        starts = np.flatnonzero(changed)
        ends = np.append(starts[1:], len(order))
        bounds.append((np.repeat(starts, ends - starts), np.repeat(ends, ends - starts)))
    (group_start, group_end), (start, end) = bounds
    later, earlier = _running(late[order]), _running(early[order])
    result[0][order] = later[group_end] - later[end]
    result[1][order] = earlier[start] - earlier[group_start]
    return result
