"""How many events patients have had by each time, on average, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.stats import norm

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.repairs import repair_codes
from loyalty_research.retention.rows import (
    Rows,
    group_codes,
    open_rows,
    rows_by_group,
    take_columns,
)

CONF_TYPES = ("log", "plain")
_COUNTS = ("time", "n_at_risk", "n_events", "n_censored")
_WEIGHTS = ("weight_at_risk", "weight_events", "weight_censored")
_RESERVED = {*_COUNTS, *_WEIGHTS, "estimate", "std_error", "conf_low", "conf_high", "conf_level"}
_HAPPENS = "__happens"
COUNT_EVENTS = "count the events of each row, 0 for none"
_MANY_ROWS = 20
_REPAIR_OVERLAP = "give each patient pieces of follow-up that follow one another"


def mean_cumulative_count(
    data: Any,
    *,
    patient: str = "patient_id",
    start: str = "start",
    stop: str = "stop",
    event: str = "event",
    terminal: str | None = None,
    by: str | Sequence[str] | None = None,
    weight: str | None = None,
    freq: str | None = None,
    cluster: str | None = None,
    times: Sequence[int] | None = None,
    conf_level: float = 0.95,
    conf_type: str = "log",
) -> pd.DataFrame:
    """Return how many events a patient has had by each time, on average.

    With `dN(s)` the events at s and `Y(s)` the patients under observation, the mean is the sum of
    `dN(s) / Y(s)` (Nelson, Technometrics 1988; Lawless and Nadeau, Technometrics 1995;37:158).
    Where death ends the events for good, `terminal` weighs each step by the share alive just
    before it, and the mean is over all patients, the dead among them (Ghosh and Lin, Biometrics
    2000;56:554). Leaving `terminal` out would treat the dead as if they could still come back.

    The variance is robust: the sum over patients (or clusters) of the squared influence, so that
    the events of one patient may depend on one another. Without `terminal` it is Lawless and
    Nadeau's, with it Ghosh and Lin's. Both are a little small where few are under observation.

    Time and memory grow with the rows, not with rows times days.

    Args:
        data: One row a piece of follow-up, `(start, stop]`, as `derive_recurrent_times` makes
            them. pandas, Polars, Arrow, DuckDB or Spark.
        patient: Column that names the patient. Pieces may leave gaps but may not overlap.
        start: Column with the time after which the piece begins: whole units, not negative.
        stop: Column with the time at which it ends.
        event: Column with the number of events at `stop`: true or false, 0 or 1, or a count.
        terminal: Column that is true or 1 on the row that ends in death, which must be the
            patient's last. Events on the day of death count.
        by: Column or columns that name groups.
        weight: Column of case weights above 0.
        freq: Column of whole numbers from 1: how many patients the row stands for.
        cluster: Column with larger units than the patient, for the variance; `check_clusters` says
            whether they are enough.
        times: Report the curve at these times only: estimate and interval are those of the last
            step at or before, the counts are those of the time itself.
        conf_level: Coverage of the pointwise interval.
        conf_type: Scale on which the interval is symmetric: `"log"` or `"plain"`. On the log
            scale there is none while the mean is 0.

    Returns:
        One row a group and time at which something happens, time 0 included: the group's
        columns, `time`, `n_at_risk` (patients), `n_events` (events, not patients), `n_censored`
        (patients whose observation ends with neither event nor death), with `weight` the same
        three weighted, `estimate`, `std_error`, `conf_low`, `conf_high`, `conf_level`.

    Raises:
        UsageError: A grouping column whose name is one of the result's, an unknown `conf_type`.
        DataError: Missing columns or values, times or counts that are negative or not whole,
            pieces that overlap or do not last, a death before the last piece, a patient whose
            frequency changes, no rows.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({
        ...     "patient_id": ["a", "a", "b"],
        ...     "start": [0, 2, 0],
        ...     "stop": [2, 5, 4],
        ...     "event": [1, 0, 1],
        ... })
        >>> mean_cumulative_count(data)[["time", "n_at_risk", "n_events", "estimate"]]
           time  n_at_risk  n_events  estimate
        0     0          2         0       0.0
        1     2          2         1       0.5
        2     4          2         1       1.0
        3     5          1         0       1.0
    """
    check_choice(conf_type, CONF_TYPES, name="conf_type")
    level = check_share(conf_level, name="conf_level")
    asked = None if times is None else [check_whole(t, name="times") for t in np.unique(times)]
    names = as_columns(by)
    pieces, groups = _open(
        data, patient, start, stop, event, terminal, names, weight, freq, cluster
    )
    curves = [_curve(part, asked or [], level, conf_type) for part in pieces]
    repeated = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    result = groups.iloc[repeated].reset_index(drop=True).join(pd.concat(curves, ignore_index=True))
    if weight is None:
        result = result.drop(columns=list(_WEIGHTS))
    return result if asked is None else result[result["time"].isin(asked)].reset_index(drop=True)


# --- the door -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pieces:
    """Pieces of follow-up, sorted by group, patient and start.

    `unit` is whose influences are added before they are squared, `copies` how many such units
    there are, `weight` what the piece counts, its frequency included.
    """

    group: np.ndarray
    unit: np.ndarray
    patient: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    count: np.ndarray
    death: np.ndarray
    freq: np.ndarray
    weight: np.ndarray
    copies: np.ndarray

    def take(self, where: np.ndarray | slice) -> _Pieces:
        return _Pieces(*(getattr(self, name)[where] for name in self.__dataclass_fields__))

    @property
    def leaves(self) -> np.ndarray:
        """Whether observation ends with the piece, for good or for a while."""
        last = self.patient[1:] != self.patient[:-1]
        return np.append(last | (self.start[1:] > self.stop[:-1]), True)


def _open(
    data: Any,
    patient: str,
    start: str,
    stop: str,
    event: str,
    terminal: str | None,
    by: Sequence[str],
    weight: str | None,
    freq: str | None,
    cluster: str | None,
) -> tuple[list[_Pieces], pd.DataFrame]:
    clash = [name for name in by if name in _RESERVED]
    if clash:
        raise UsageError(f"by={clash[0]!r} is also a column of the result; rename it in the data")
    more = [name for name in (terminal, weight, freq, cluster) if name is not None]
    columns = list(dict.fromkeys([patient, start, stop, event, *by, *more]))
    raise_faults(missing_columns(data, columns, table="data"))
    table = take_columns(data, columns)
    raise_faults([*_count_faults(table, event), *_flag_faults(table, terminal)])
    count = table[event].to_numpy(float)
    rows = open_rows(
        table.assign(**{_HAPPENS: count > 0}), time=stop, event=_HAPPENS, entry=start, by=by,
        weight=weight, freq=freq, cluster=patient, more=[] if cluster is None else [cluster],
    )  # fmt: skip
    dies = np.zeros(len(table)) if terminal is None else table[terminal].to_numpy(float)
    pieces = _pieces(rows, count, dies, None if cluster is None else table[[cluster]])
    raise_faults(_piece_faults(pieces, patient, start, terminal, freq))
    return [pieces.take(w) for w in rows_by_group(pieces.group, len(rows.groups))], rows.groups


def _pieces(
    rows: Rows, count: np.ndarray, dies: np.ndarray, cluster: pd.DataFrame | None
) -> _Pieces:
    entry, who = cast("np.ndarray", rows.entry), cast("np.ndarray", rows.cluster)
    freq = np.ones(len(count)) if rows.freq is None else rows.freq.astype(float)
    weight = freq if rows.weight is None else freq * rows.weight
    unit, copies = who, freq
    if cluster is not None:
        # Copies of a patient are patients of the same cluster.
        unit, copies = group_codes(cluster, list(map(str, cluster)))[0], np.ones(len(count))
    pieces = _Pieces(rows.group, unit, who, entry, rows.time, count, dies, freq, weight, copies)
    # A frame sorted by patient and start, as usual, needs no sorting by three keys.
    ahead = np.diff(who) * (int(entry.max()) + 1) + np.diff(entry)
    if len(rows.groups) == 1 and bool((ahead > 0).all()):
        return pieces
    return pieces.take(np.lexsort((entry, who, rows.group)))


def _count_faults(table: pd.DataFrame, event: str) -> list[Fault]:
    values = table[event]
    if not pd.api.types.is_numeric_dtype(values):
        message = f"{event} is {values.dtype}, not a number of events"
        repair = repair_codes(event, values, otherwise=COUNT_EVENTS)
        return [Fault("data", event, 0, message, repair)]
    numbers = values.to_numpy(float, na_value=np.nan)
    if len(numbers) >= _MANY_ROWS and set(np.unique(numbers)) == {1.0, 2.0}:
        # As counts they would mean that every one of many pieces holds an event, and none three.
        message = f"{event} is 1 or 2 in each of {len(values):,} rows, never 0"
        repair = repair_codes(event, [1, 2]).removeprefix("found 1 and 2; ")
        return [Fault("data", event, len(values), message, f"{repair}; else {COUNT_EVENTS}")]
    return _faults(
        event,
        [
            (np.isnan(numbers), "is missing", "drop or repair these rows"),
            (numbers < 0, "is negative", COUNT_EVENTS),
            (numbers != np.floor(numbers), "is not a whole number", "count events, not amounts"),
        ],
        values.notna().to_numpy(),
    )


def _flag_faults(table: pd.DataFrame, terminal: str | None) -> list[Fault]:
    if terminal is None:
        return []
    values = table[terminal]
    repair = "mark the row that ends in death with 1, all others with 0"
    if not pd.api.types.is_numeric_dtype(values):
        message = f"{terminal} is {values.dtype}, not true or false"
        return [
            Fault("data", terminal, 0, message, repair_codes(terminal, values, otherwise=repair))
        ]
    numbers = values.to_numpy(float, na_value=np.nan)
    return _faults(
        terminal,
        [
            (np.isnan(numbers), "is missing", repair),
            ((numbers != 0) & (numbers != 1), "is neither 0 nor 1", repair),
        ],
        values.notna().to_numpy(),
    )


def _faults(
    column: str, found: Sequence[tuple[np.ndarray, str, str]], known: np.ndarray
) -> list[Fault]:
    faults = []
    for broken, message, repair in found:
        count = int(np.count_nonzero(broken if message == "is missing" else broken & known))
        if count:
            words = f"{column} {message} in {count:,} of {len(broken):,} rows"
            faults.append(Fault("data", column, count, words, repair))
    return faults


def _piece_faults(
    pieces: _Pieces, patient: str, start: str, terminal: str | None, freq: str | None
) -> list[Fault]:
    everyone = np.ones(len(pieces.stop), bool)
    same = np.append(False, (np.diff(pieces.patient) == 0) & (np.diff(pieces.group) == 0))
    before = same & np.append(False, pieces.start[1:] < pieces.stop[:-1])
    overlap = f"is before the end of another piece of the same {patient}"
    faults = _faults(start, [(before, overlap, _REPAIR_OVERLAP)], everyone)
    after = same & np.append(False, pieces.death[:-1] > 0)
    late = "is true on a row that is not the patient's last"
    faults += _faults(str(terminal), [(after, late, "end follow-up at death")], everyone)
    changed = same & np.append(False, np.diff(pieces.freq) != 0)
    unlike = f"changes within a {patient}"
    repair = "give all rows of a patient one frequency"
    return faults + _faults(str(freq), [(changed, unlike, repair)], everyone)


# --- the curve ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Days:
    """What is known of one group at each time of its grid."""

    time: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    deaths: np.ndarray
    censored: np.ndarray


def _curve(pieces: _Pieces, asked: Sequence[int], level: float, conf_type: str) -> pd.DataFrame:
    time = _grid(pieces, asked)
    days = _tally(pieces, time, pieces.freq)
    weighted = _tally(pieces, time, pieces.weight)
    estimate, std_error = _mean(pieces, weighted)
    untouched = np.cumsum(days.events + days.deaths + days.censored) == 0
    low, high = _interval(estimate, std_error, norm.ppf((1 + level) / 2), conf_type)
    counts = [np.rint(n).astype(np.int64) for n in (days.at_risk, days.events, days.censored)]
    amounts = [weighted.at_risk, weighted.events, weighted.censored]
    return pd.DataFrame(
        {
            **dict(zip(_COUNTS, [time, *counts], strict=True)),
            **dict(zip(_WEIGHTS, amounts, strict=True)),
            "estimate": estimate,
            "std_error": std_error,
            "conf_low": np.where(untouched, 0.0, low),
            "conf_high": np.where(untouched, 0.0, high),
            "conf_level": level,
        }
    )


def _grid(pieces: _Pieces, asked: Sequence[int]) -> np.ndarray:
    """Return the times at which something happens: a piece that is cut in two adds none."""
    happens = (pieces.count > 0) | (pieces.death > 0) | pieces.leaves
    return np.unique(np.concatenate([[0], np.array(asked, np.int64), pieces.stop[happens]]))


def _tally(pieces: _Pieces, time: np.ndarray, size: np.ndarray) -> _Days:
    # A piece is at risk from the first time after its start to the last one up to its stop.
    first = np.searchsorted(time, pieces.start, side="right")
    after = np.searchsorted(time, pieces.stop, side="right")
    # Nobody can be at risk at 0, where the pieces begin: the row shows who starts there.
    first[pieces.start == 0] = 0
    length = len(time)
    at_risk = _running(first, size, length) - _running(after, size, length)
    here = np.searchsorted(time, pieces.stop)
    ends = pieces.leaves & (pieces.count == 0) & (pieces.death == 0)
    sums = [
        np.bincount(here[chosen], size[chosen] * of[chosen], length)
        for chosen, of in (
            (pieces.count > 0, pieces.count),
            (pieces.death > 0, pieces.death),
            (ends, np.ones(len(here))),
        )
    ]
    return _Days(time, at_risk, *sums)


def _running(position: np.ndarray, amount: np.ndarray, length: int) -> np.ndarray:
    """Return at each place the sum of what lies at or before it."""
    return np.bincount(position, amount, length + 1)[:length].cumsum()


def _mean(pieces: _Pieces, days: _Days) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean count and its robust standard error at each time.

    With `dR = dN / Y`, `dL = dD / Y` the hazard of death and `S` its Kaplan-Meier curve, the mean
    is m(t) = sum of S(s-) dR(s), and patient i moves it by

        sum over s <= t of S(s-) / Y (dN_i - Y_i dR) - (m(t) - m(s)) / Y (dD_i - Y_i dL).

    While nothing happens to the patient this changes with the day only, in the same way for all
    who are at risk: it is `A - n g(t) - B m(t)`, where A, B and n (at risk or not) stay until the
    patient's next start or stop. So the sum of squares over patients is a polynomial in g(t) and
    m(t) whose coefficients are sums of A A, A n, ... over those states, added up day by day.
    """
    happens = (days.events > 0) | (days.deaths > 0)
    # Where nothing happens nobody need be at risk, and the step is 0 all the same.
    share = happens / np.where(happens, days.at_risk, 1.0)
    hazard = days.deaths * share
    before = np.append(1.0, np.cumprod(1 - hazard)[:-1])
    mean = np.cumsum(before * days.events * share)
    drift_death = np.cumsum(hazard * share)
    drift = np.cumsum((before * days.events * share + mean * hazard) * share)
    moves = [before * share, mean * share, share]
    states = _states(pieces, days.time, moves, drift, drift_death)
    own, death, n = (column for column in states.columns)
    g = drift - mean * drift_death
    total = states.total
    variance = (
        total(own * own) + g**2 * total(n * n) + mean**2 * total(death * death)
        - 2 * (g * total(own * n) + mean * total(own * death) - g * mean * total(n * death))
    )  # fmt: skip
    return mean, np.sqrt(np.maximum(variance, 0.0))


@dataclass(frozen=True)
class _States:
    """Spells of days during which what moves a unit's influence stays as it is."""

    columns: tuple[np.ndarray, ...]
    first: np.ndarray
    until: np.ndarray
    copies: np.ndarray
    length: int

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return at each time the sum over the units of what they hold then."""
        amount = values * self.copies
        arriving = np.bincount(self.first, amount, self.length + 1)
        return (arriving - np.bincount(self.until, amount, self.length + 1))[: self.length].cumsum()


def _states(
    pieces: _Pieces,
    time: np.ndarray,
    moves: Sequence[np.ndarray],
    drift: np.ndarray,
    drift_death: np.ndarray,
) -> _States:
    """Return what moves each unit's influence, from each start and stop to the next.

    `moves` is what an event adds to A, what a death adds to A, and what it adds to B.
    """
    length = len(time)
    began = np.searchsorted(time, pieces.start, side="right") - 1
    # A piece that is cut in two may end between two times: it gives up there what the next takes.
    ended = np.searchsorted(time, pieces.stop, side="right") - 1
    after = np.where(time[ended] == pieces.stop, ended, ended + 1)
    per_event, death_own, death = (move[ended] for move in moves)
    stop_own = pieces.count * per_event + pieces.death * death_own - drift[ended]
    stop_death = pieces.death * death - drift_death[ended]
    w = pieces.weight / pieces.copies
    unit = np.concatenate([pieces.unit, pieces.unit])
    position = np.concatenate([began + 1, after])
    changes = [
        np.concatenate([w * drift[began], w * stop_own]),
        np.concatenate([w * drift_death[began], w * stop_death]),
        np.concatenate([w, -w]),
    ]
    order = np.argsort(unit * (length + 1) + position, kind="stable")
    unit, position = unit[order], position[order]
    # Sums over all units in one go: those of each unit end near 0, so nothing is lost.
    held = [np.cumsum(change[order]) for change in changes]
    ends = np.append(unit[1:] != unit[:-1], True)
    before_unit = np.append(0, np.flatnonzero(ends)[:-1] + 1)
    number = np.cumsum(np.append(False, ends[:-1]))
    offsets = [np.append(0.0, column)[before_unit] for column in held]
    columns = tuple(c - o[number] for c, o in zip(held, offsets, strict=True))
    until = np.where(ends, length, np.append(position[1:], length))
    copies = np.concatenate([pieces.copies, pieces.copies])[order]
    return _States(columns, position, until, copies, length)


def _interval(
    estimate: np.ndarray, std_error: np.ndarray, z: float, conf_type: str
) -> tuple[np.ndarray, np.ndarray]:
    if conf_type == "plain":
        return np.maximum(estimate - z * std_error, 0.0), estimate + z * std_error
    centre = np.where(estimate > 0, estimate, np.nan)
    ratio = np.exp(z * std_error / centre)
    return centre / ratio, centre * ratio
