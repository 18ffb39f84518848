"""Which steps of a curve may be published: those that enough patients make.

Days that a reader asks about come first; between them steps are kept as they gather patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

CURVE_COUNTS = ("n_at_risk", "n_events", "n_censored")
WITHHELD = "withheld"
_SHARES = ("estimate", "conf_low", "conf_high")


@dataclass(frozen=True)
class _Day:
    """One day of one group: what has happened up to its evening."""

    time: float
    events: float
    censored: float
    remaining: float
    is_asked: bool
    is_withheld: bool = False


def thin_group(rows: pd.DataFrame, *, exact_at: Sequence[int] = (), threshold: int) -> pd.DataFrame:
    """Return one group's rows that may be published, beginning at time 0 where all are there.

    Args:
        rows: one group's curve, one row per distinct time.
        exact_at: days whose value is either exact or withheld, earlier ones first.
        threshold: the largest number of patients that is too small to show.

    Returns:
        The kept rows with exact values and with the counts since the last kept row, and `withheld`:
        true where an asked day has none of them.

    Examples:
        >>> rows = pd.DataFrame({"time": [0, 5, 9], "n_at_risk": [60, 60, 57],
        ...     "n_events": [0, 3, 9], "n_censored": 0, "estimate": [1, 0.95, 0.8]})
        >>> columns = ["time", "n_events", "estimate", "withheld"]
        >>> thin_group(rows, exact_at=[5, 9], threshold=7)[columns].values.tolist()
        [[0, 0.0, 1.0, False], [5, nan, nan, True], [9, 12.0, 0.8, False]]
    """
    if rows.empty:
        return rows.assign(**{WITHHELD: False})
    rows = rows.sort_values("time").reset_index(drop=True)
    return _table(rows, _published(list(_days(rows, exact_at)), threshold))


def is_complete(rows: pd.DataFrame) -> bool:
    """Say whether one group's counts add up: who is at risk, less who leaves, is the next at risk.

    A curve with late entries or thinned steps does not add up.

    Examples:
        >>> is_complete(pd.DataFrame({"n_at_risk": [3, 1], "n_events": [2, 0],
        ...     "n_censored": [0, 1]}))
        True
    """
    counts = rows[list(CURVE_COUNTS)].astype("Float64").astype(float).to_numpy()
    left = counts[:, 0] - counts[:, 1] - counts[:, 2]
    return bool(np.allclose(left, [*counts[1:, 0], 0.0]))


def _days(rows: pd.DataFrame, exact_at: Sequence[int]) -> Iterator[_Day]:
    """Yield the curve's own days, and those asked about as far as anybody was seen."""
    own = rows["time"].to_numpy()
    # After the end of a curve that has come down to 0 its last day stands for every later one.
    last = own[-1] if rows["estimate"].iloc[-1] == 0 else None
    asked = {day if day <= own[-1] else last for day in exact_at if day >= 0} - {None}
    at_risk, events, censored = (rows[name].to_numpy(dtype=float) for name in CURVE_COUNTS)
    # Sums of weights carry rounding errors, which are no events.
    so_far = [np.concatenate([[0.0], column.cumsum().round(9)]) for column in (events, censored)]
    remaining = np.concatenate([[at_risk[0]], at_risk - events])
    for day in sorted({*own.tolist(), *asked}):
        i = int(np.searchsorted(own, day, side="right"))
        yield _Day(day, so_far[0][i], so_far[1][i], remaining[i], day in asked)


def _published(days: list[_Day], threshold: int) -> list[_Day]:
    """Return the kept days in order, each followed by the asked days that it cannot support."""
    # Nothing can be taken back before the origin, as before a day asked about.
    kept, withheld = [_Day(0, 0, 0, days[0].remaining, is_asked=True)], []
    if days[-1].events + days[-1].censored <= threshold:
        return [replace(day, is_withheld=True) for day in (*kept, *days) if day.is_asked]
    for day in days:
        if not day.is_asked:
            if _gathers_enough(kept[-1], day, threshold):
                kept.append(day)
        elif (base := _base(kept, day, threshold)) is not None:
            del kept[base + 1 :]
            kept.append(day)
        else:
            withheld.append(replace(day, is_withheld=True))
    return sorted([*kept, *withheld], key=lambda day: day.time)


def _gathers_enough(last: _Day, day: _Day, threshold: int) -> bool:
    events, censored = day.events - last.events, day.censored - last.censored
    enough = events > threshold or (events == 0 and censored > threshold)
    return enough and _leaves_enough(day, threshold)


def _leaves_enough(day: _Day, threshold: int) -> bool:
    return day.remaining == 0 or day.remaining > threshold


def _base(kept: list[_Day], day: _Day, threshold: int) -> int | None:
    """Return the last kept day that an asked day may follow, if there is one."""
    if day.events == kept[-1].events:
        return len(kept) - 1
    if not _leaves_enough(day, threshold):
        return None
    for i in reversed(range(len(kept))):
        if day.events - kept[i].events > threshold:
            return i
        if kept[i].is_asked:
            return None
    return None


def _table(rows: pd.DataFrame, days: list[_Day]) -> pd.DataFrame:
    own, times = rows["time"].to_numpy(), np.array([day.time for day in days])
    row = np.searchsorted(own, times, side="right") - 1
    table = rows.iloc[np.clip(row, 0, None)].reset_index(drop=True)
    whole = np.issubdtype(own.dtype, np.integer) and (times % 1 == 0).all()
    table["time"] = times.astype(own.dtype) if whole else times
    table["n_at_risk"] = _at_risk(rows, times)
    table[["n_events", "n_censored"]] = _since_the_last(days)
    shares = [name for name in _SHARES if name in table.columns]
    table[shares] = table[shares].astype(float)
    table[WITHHELD] = [day.is_withheld for day in days]
    # The origin is the moment before the first event, even one on day 0.
    table.loc[(row < 0) | (table.index == 0), shares] = 1.0
    table.loc[table[WITHHELD], shares] = np.nan
    # A day 0 of its own replaces the origin.
    return table[~table["time"].duplicated(keep="last")].reset_index(drop=True)


def _at_risk(rows: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    own = rows["time"].to_numpy()
    at_risk = np.append(rows["n_at_risk"].to_numpy(dtype=float), 0.0)
    known = np.isin(times, own) | (times < own[0]) | is_complete(rows)
    return np.where(known, at_risk[np.searchsorted(own, times)], np.nan)


def _since_the_last(days: list[_Day]) -> np.ndarray:
    counts, last = [], days[0]
    for day in days:
        if day.is_withheld:
            counts.append((np.nan, np.nan))
            continue
        counts.append((day.events - last.events, day.censored - last.censored))
        last = day
    return np.array(counts)
