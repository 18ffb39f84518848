"""Retention when a lapse is known only to lie between two days, such as two looks at the records.

Days are whole, so a lapse on the exact day t is one after t - 1 and by t, and a patient last seen
still here on day t lapses after t. Every patient is thus a stretch of days (lower, upper].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from loyalty_research.data.arguments import as_columns, check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.errors import Fault, LoyaltyError, UsageError
from loyalty_research.retention.averages import refuse_clashes
from loyalty_research.retention.rows import group_codes, rows_by_group, take_columns

_NEVER = np.iinfo(np.int64).max
_TOLERANCE = 1e-9
_MOST = 5000
_COLUMNS = [
    *["interval_start", "interval_end", "probability", "estimate"],
    *["conf_low", "conf_high", "conf_level", "n"],
]


def interval_retention(
    data: Any,
    *,
    lower: str = "lower",
    upper: str = "upper",
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    replicates: int = 0,
    seed: int | None = None,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the share still here when each lapse is known only to lie between two days.

    The nonparametric maximum likelihood estimate puts probability only on the innermost intervals,
    those from the lower end of one patient to the upper end of one with no other end between
    (Peto, Applied Statistics 1973;22:86; Turnbull, JRSS B 1976;38:290). It is found by steps of
    self-consistency and of Newton's method within the positive probabilities (Bertsekas, SIAM
    Journal on Control and Optimization 1982;20:221) until no shift of probability can raise the
    likelihood (Gentleman and Geyer, Biometrika 1994;81:618). Where within an interval the lapses
    are the data cannot say. Without interval censoring it is the Kaplan-Meier estimate.

    The estimate has no standard error in closed form. The bootstrap redraws patients and counts a
    lapse at the end of its interval. Where looks fall on very many different days it is not to be
    relied on, since the estimate then nears the truth more slowly than with one over the root of n
    (Sen and Xu, Computational Statistics and Data Analysis 2015;81:121).

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        lower: Column with the last day on which the patient was known to be still here: whole
            units, not negative.
        upper: Column with the first day on which the patient was known to have lapsed; equal to
            `lower` if the day itself is known, missing if the patient was never seen lapsed.
        by: Column or columns that name groups.
        freq: Column of whole numbers from 1: how many patients a row stands for.
        replicates: Bootstrap samples for the interval; 0 for no interval.
        seed: Starts the random numbers; needed with `replicates`.
        conf_level: Coverage of the pointwise percentile interval.

    Returns:
        One row a group and innermost interval, those after `interval_start` and by `interval_end`
        (missing for "later, if ever"): the group's columns, both ends, `probability` of a lapse
        within, `estimate` (share still here after the interval, missing for the last if nobody was
        seen to lapse in it), `conf_low`, `conf_high`, `conf_level`, `n` patients. From the end of
        one interval to the start of the next the share is constant.

    Raises:
        UsageError: `replicates` without `seed`; more than 5,000 innermost intervals.
        DataError: Missing columns, a missing `lower`, days that are negative or not whole, an
            `upper` before its `lower`, no rows; all faults at once.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"lower": [0, 1, 3], "upper": [2, 4, None]})
        >>> interval_retention(data)[["interval_start", "interval_end", "probability"]]
           interval_start  interval_end  probability
        0               1             2          0.5
        1               3             4          0.5
    """
    level = check_share(conf_level, name="conf_level")
    samples = check_whole(replicates, name="replicates")
    if samples and seed is None:
        raise UsageError(f"replicates={samples} needs a seed; give a whole number such as seed=1")
    random = np.random.default_rng(None if seed is None else check_whole(seed, name="seed"))
    names = as_columns(by)
    refuse_clashes(names, _COLUMNS)
    table, low, high, size = _open(data, lower, upper, names, freq)
    code, groups = group_codes(table, names)
    parts = []
    for group, where in enumerate(rows_by_group(code, len(groups))):
        found = _group(_stretches(low[where], high[where], size[where]), samples, random, level)
        own = groups.iloc[np.full(len(found), group)].reset_index(drop=True)
        parts.append(pd.concat([own, found], axis=1))
    return pd.concat(parts, ignore_index=True)


# --- what patients say ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stretches:
    """The distinct stretches (low, high] of days, and how many patients have each."""

    low: np.ndarray
    high: np.ndarray
    n: np.ndarray


def _open(
    data: Any, lower: str, upper: str, by: list[str], freq: str | None
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    columns = list(dict.fromkeys([lower, upper, *([freq] if freq else []), *by]))
    raise_faults(missing_columns(data, columns, table="data"))
    table = take_columns(data, columns)
    if len(table) == 0:
        repair = "check the cohort's criteria"
        raise_faults([Fault("data", "", 0, "the table has no rows", repair)])
    faults: list[Fault] = []
    low, seen = _days(table, lower, faults)
    repair = f"give 0 where only {upper} is known"
    _note(faults, lower, table[lower].isna().to_numpy(), "is missing", repair)
    high, lapsed = _days(table, upper, faults)
    backward = seen & lapsed & (high < low)
    _note(faults, upper, backward, f"is before {lower}", "check which day is which")
    size = np.ones(len(table), np.int64) if freq is None else _sizes(table, freq, faults)
    for name in by:
        missing = table[name].isna().to_numpy()
        _note(faults, name, missing, "is missing", "drop or repair these rows")
    raise_faults(faults)
    # The day t itself is the stretch of one day that ends with it.
    return table, low - (lapsed & (high == low)), np.where(lapsed, high, _NEVER), size


def _days(table: pd.DataFrame, column: str, faults: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
    """Return whole days with 0 for those that are missing or broken, and which are neither."""
    values = table[column]
    known = values.notna().to_numpy()
    if not known.any():
        return np.zeros(len(table), np.int64), known
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        words = f"{column} is {values.dtype}, not a whole number"
        faults.append(Fault("data", column, 0, words, "convert it to whole days first"))
        return np.zeros(len(table), np.int64), np.zeros(len(table), bool)
    floats = values.to_numpy(float, na_value=0.0)
    floats = np.where(known, floats, 0.0)
    odd = ~np.isfinite(floats) | (floats != np.floor(floats)) | (np.abs(floats) >= 2.0**53)
    repair = "convert it to whole days first, rounding down"
    _note(faults, column, odd, "is not a whole number", repair)
    days = np.where(odd, 0, floats).astype(np.int64)
    _note(faults, column, days < 0, "is negative", "check which date comes first")
    return days, known & ~odd & (days >= 0)


def _sizes(table: pd.DataFrame, column: str, faults: list[Fault]) -> np.ndarray:
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(float, na_value=np.nan)
    odd = ~((values >= 1) & (values == np.floor(values)) & (values < 2.0**53))
    _note(faults, column, odd, "is not a whole number from 1", "count the patients of each row")
    return np.where(odd, 1, values).astype(np.int64)


def _note(faults: list[Fault], column: str, broken: np.ndarray, message: str, repair: str) -> None:
    count = int(np.count_nonzero(broken))
    if count:
        words = f"{column} {message} in {count:,} of {len(broken):,} rows"
        faults.append(Fault("data", column, count, words, repair))


def _stretches(low: np.ndarray, high: np.ndarray, size: np.ndarray) -> _Stretches:
    pairs = pd.DataFrame({"low": low, "high": high, "n": size})
    sums = pairs.groupby(["low", "high"], as_index=False)["n"].sum()
    return _Stretches(*(sums[name].to_numpy() for name in ("low", "high", "n")))


def _innermost(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the intervals from a lower end to an upper end with no other end between."""
    starts, ends = np.unique(low), np.unique(high)
    # Of each lower end the next upper end; it is innermost if no lower end comes before that.
    following = ends[np.searchsorted(ends, starts, side="right")]
    inner = np.append(starts[1:], _NEVER) >= following
    return starts[inner], following[inner]


# --- the estimate of one group --------------------------------------------------------------------


def _group(
    stretches: _Stretches, replicates: int, random: np.random.Generator, level: float
) -> pd.DataFrame:
    start, end, chance = _estimate(stretches)
    share = np.where(end < _NEVER, _after(chance), np.nan)
    low = high = np.full(len(end), np.nan)
    if replicates:
        drawn = [_redrawn(stretches, end, random) for _ in range(replicates)]
        tails = [(1 - level) / 2, (1 + level) / 2]
        low, high = (
            np.where(end < _NEVER, part, np.nan) for part in np.quantile(drawn, tails, axis=0)
        )
    return pd.DataFrame(
        {
            "interval_start": start,
            "interval_end": pd.array(np.where(end < _NEVER, end, 0), "Int64"),
            "probability": chance,
            "estimate": share,
            "conf_low": low,
            "conf_high": high,
            "conf_level": level,
            "n": int(stretches.n.sum()),
        }
    ).assign(interval_end=lambda rows: rows["interval_end"].where(end < _NEVER))


def _redrawn(stretches: _Stretches, days: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the share still here after the days in a sample drawn from the patients."""
    total = int(stretches.n.sum())
    n = random.multinomial(total, stretches.n / total)
    kept = n > 0
    drawn = _Stretches(stretches.low[kept], stretches.high[kept], n[kept])
    _, end, chance = _estimate(drawn)
    # Probability counts as lapsed at the end of its interval, as in the estimate itself.
    share = np.append(1.0, _after(chance))
    return share[np.searchsorted(end, days, side="right")]


def _after(chance: np.ndarray) -> np.ndarray:
    # From the end, so that nobody is left after the last, and nothing but rounding before.
    return np.append(chance[:0:-1].cumsum()[::-1], 0.0)


def _estimate(stretches: _Stretches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    start, end = _innermost(stretches.low, stretches.high)
    first = np.searchsorted(start, stretches.low)
    last = np.searchsorted(end, stretches.high, side="right")
    return start, end, _maximise(first, last, stretches.n.astype(float), len(start))


def _maximise(first: np.ndarray, last: np.ndarray, n: np.ndarray, size: int) -> np.ndarray:
    """Return the probabilities of `size` intervals; patient i is in those from first to last - 1.

    With P_i the probability of patient i's intervals and d_j the sum of n_i / P_i over the patients
    of interval j, sum n_i log P_i - n sum p_j has its maximum where d_j <= n for all j, with
    equality where p_j > 0 (the conditions of Kuhn and Tucker).
    """
    if size > _MOST:
        raise UsageError(
            f"{size:,} innermost intervals are more than {_MOST:,}; "
            "count time in longer units, such as weeks"
        )
    total = n.sum()
    chance = np.full(size, 1 / size)
    for _ in range(1000):
        # Self-consistency always raises the likelihood, Newton's step quickly near its maximum.
        chance = chance * _pull(chance, first, last, n) / total
        chance = _newton(chance, first, last, n)
        pull = _pull(chance, first, last, n)
        excess = np.where(chance > 0, np.abs(pull / total - 1), pull / total - 1).max()
        if excess <= _TOLERANCE:
            return chance / chance.sum()
    raise LoyaltyError("interval_retention found no maximum in 1,000 steps; widen the intervals")


def _inside(chance: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    sums = np.append(0.0, np.cumsum(chance))
    return sums[last] - sums[first]


def _over(value: np.ndarray, first: np.ndarray, last: np.ndarray, size: int) -> np.ndarray:
    """Return for each interval the sum of the values of the patients it may hold."""
    came = np.bincount(first, weights=value, minlength=size + 1)
    went = np.bincount(last, weights=value, minlength=size + 1)
    return np.cumsum(came - went)[:-1]


def _pull(chance: np.ndarray, first: np.ndarray, last: np.ndarray, n: np.ndarray) -> np.ndarray:
    return _over(n / _inside(chance, first, last), first, last, len(chance))


def _objective(chance: np.ndarray, first: np.ndarray, last: np.ndarray, n: np.ndarray) -> float:
    inside = _inside(chance, first, last)
    if (inside <= 0).any():
        return -np.inf
    return float(n @ np.log(inside) - n.sum() * chance.sum())


def _newton(chance: np.ndarray, first: np.ndarray, last: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the probabilities after one step of Newton's method that keeps them from 0 on."""
    inside = _inside(chance, first, last)
    slope = _over(n / inside, first, last, len(chance)) - n.sum()
    free = (chance > 1e-12) | (slope > 0)
    step = np.where(free, 0.0, -chance)
    curvature = _curvature(n / inside**2, first, last, len(chance))[np.ix_(free, free)]
    # A touch of ridge, as only sums of some probabilities may be determined.
    curvature[np.diag_indices_from(curvature)] *= 1 + 1e-12
    try:
        step[free] = cho_solve(cho_factor(curvature), slope[free])
    except LinAlgError:
        return chance  # Self-consistency goes on alone.
    before, length = _objective(chance, first, last, n), 1.0
    # Near the maximum the gain is lost in the rounding of the likelihood itself.
    before -= 1e-13 * abs(before)
    while length > 1e-8:
        moved = np.maximum(chance + length * step, 0.0)
        if _objective(moved, first, last, n) >= before + 1e-4 * slope @ (moved - chance):
            return moved
        length /= 2
    return chance


def _curvature(value: np.ndarray, first: np.ndarray, last: np.ndarray, size: int) -> np.ndarray:
    """Return for each pair of intervals the sum of the values of the patients who hold both."""
    corner = np.bincount(first * size + last - 1, weights=value, minlength=size * size)
    sums = corner.reshape(size, size).cumsum(axis=0)[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.triu(sums) + np.triu(sums, 1).T
