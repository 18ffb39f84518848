"""The door of interrupted series: one row a period, checked once, as arrays."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import is_complex, size_fault
from loyalty_research.effects.period_numbers import PeriodNumbers, number_periods, time_faults
from loyalty_research.errors import DataError, Fault, UsageError
from loyalty_research.retention.rows import take_columns

SCALES = ("identity", "log")
_CORRECT = "correct these rows in the source"


@dataclass(frozen=True)
class Series:
    """A series in the order of time, one entry a period.

    Attributes:
        time: The periods as given.
        outcome: The outcome, as a rate where there is an exposure.
        comparison: The same of the comparison series, or None.
        exposure: What the treated series' rates are per; None where it has no rates.
        y: What is modelled: outcome, or its log, less that of the comparison.
        is_log: Whether it is the log.
        weight: Relative precision of `y`, or None.
        season: Season of each period, from 0, or None.
        n_seasons: Seasons in a cycle; 0 without.
        is_cycle: Each period has the season that follows the one before.
        start: Position of the first period after the change.
        wash_in: Periods from `start` on that are left out.
        per_year: Periods in a year; None where unknown.
        n_events: Events of both series in the periods used; None where there is no exposure.
    """

    time: pd.Series
    outcome: np.ndarray
    comparison: np.ndarray | None
    exposure: np.ndarray | None
    y: np.ndarray
    is_log: bool
    weight: np.ndarray | None
    season: np.ndarray | None
    n_seasons: int
    is_cycle: bool
    start: int
    wash_in: int
    per_year: float | None
    n_events: int | None

    @property
    def n(self) -> int:
        """Periods, those of the wash-in included."""
        return len(self.y)

    @property
    def first_after(self) -> int:
        """Position of the first period after the wash-in."""
        return self.start + self.wash_in

    @property
    def is_used(self) -> np.ndarray:
        """Whether each period enters the model: all but the wash-in."""
        at = np.arange(self.n)
        return (at < self.start) | (at >= self.first_after)

    def sides(self) -> tuple[int, int]:
        """Return the periods used before and after the change."""
        return self.start, self.n - self.first_after


@dataclass(frozen=True)
class SeriesColumns:
    """What the columns of a series mean; the arguments of `interrupted_time_series`.

    Attributes:
        outcome: Column of the outcome; events where there is an exposure.
        time: Column of whole numbers or dates, one apart.
        start: First period of the change, as `time` has it.
        season: Column of the season, or periods in a cycle.
        control: Column with the comparison's outcome; or, where every period comes twice, one that
            is 1 for the rows of the comparison.
        exposure: Column of what the events are counted per, above 0.
        scale: "identity" or "log".
        weight: Column of relative precisions, above 0.
        wash_in: Periods from `start` on to be left out.
        per_year: Periods in a year where whole numbers count them.
    """

    outcome: str
    time: str
    start: Any
    season: str | int | None = None
    control: str | None = None
    exposure: str | None = None
    scale: str = "identity"
    weight: str | None = None
    wash_in: int = 0
    per_year: float | None = None

    def names(self) -> list[str]:
        """Return the columns that are needed, after checking the arguments by themselves.

        Returns:
            Their names.

        Raises:
            UsageError: Arguments that cannot be meant.
        """
        check_choice(self.scale, SCALES, name="scale")
        check_whole(self.wash_in, name="wash_in")
        if self.season is not None and not isinstance(self.season, str):
            check_whole(self.season, name="season", minimum=2)
        told = self.per_year
        if told is not None and (isinstance(told, bool) or not told > 0):
            raise UsageError(f"per_year={told!r} must be a number above 0, such as 12 for months")
        season = self.season if isinstance(self.season, str) else None
        named = [self.outcome, self.time, season, self.control, self.exposure, self.weight]
        given = [name for name in named if name is not None]
        doubled = sorted({name for name in given if given.count(name) > 1})
        if doubled:
            raise UsageError(f"{', '.join(doubled)} stands for two things; name a column for each")
        return given


def open_series(series: Any, columns: SeriesColumns) -> Series:
    """Return a series as arrays in the order of time, or refuse with every fault.

    Args:
        series: One row a period, or two with a `control` flag. Any frame.
        columns: What its columns mean.

    Returns:
        The series.

    Raises:
        UsageError: Arguments that cannot be meant.
        DataError: Columns or values missing, no numbers, periods missing or doubled, a start
            outside the series; all faults at once.

    Examples:
        >>> table = pd.DataFrame({"month": [2, 1, 3], "wait": [38.0, 40.0, 12.0]})
        >>> series = open_series(table, SeriesColumns("wait", "month", start=3))
        >>> series.y.tolist(), series.sides()
        ([40.0, 38.0, 12.0], (2, 1))
    """
    names = columns.names()
    raise_faults(missing_columns(series, names, table="series"))
    table = take_columns(series, names)
    if len(table) == 0:
        raise DataError([Fault("series", "", 0, "the series has no rows", "check what it is of")])
    raise_faults(_column_faults(table, columns))
    periods = number_periods(table[columns.time])
    of_control = _control_rows(table, periods.number, columns.control)
    start, faults = _position(periods, columns)
    raise_faults(
        [
            *_period_faults(periods.number, of_control, columns.time),
            *_value_faults(table, columns, of_control),
            *faults,
        ]
    )
    return _arrange(table, columns, periods, of_control, start)


# --- faults ---------------------------------------------------------------------------------------


def _column_faults(table: pd.DataFrame, columns: SeriesColumns) -> list[Fault]:
    faults = [*time_faults(table[columns.time]), *number_faults(table, columns.outcome)]
    for name in (columns.exposure, columns.weight):
        faults += _above_zero_faults(table, name)
    if columns.control is not None:
        faults += number_faults(table, columns.control)
    if isinstance(columns.season, str):
        faults += missing_faults(table, columns.season) or _season_faults(table, columns.season)
    return faults


def _season_faults(table: pd.DataFrame, name: str) -> list[Fault]:
    kind = pd.api.types.infer_dtype(table[name], skipna=True)
    if not kind.startswith("mixed") and kind != "complex":
        return []
    words, repair = f"{name} is {kind}", "name every season by a number, or each by a text"
    return [Fault("series", name, len(table), words, repair)]


def missing_faults(table: pd.DataFrame, name: str, *, of: str = "series") -> list[Fault]:
    """Return the fault of a column with missing values.

    Args:
        table: The rows.
        name: The column.
        of: What the table is called.

    Returns:
        None or one.

    Examples:
        >>> missing_faults(pd.DataFrame({"y": [1.0, None]}), "y")[0].message
        'y is missing in 1 of 2 rows'
    """
    missing = int(table[name].isna().sum())
    words = f"{name} is missing in {missing:,} of {len(table):,} rows"
    repair = f"a {of} has no gaps: find the values, or begin and end it where it is complete"
    return [Fault(of, name, missing, words, repair)] if missing else []


def number_faults(table: pd.DataFrame, name: str, *, of: str = "series") -> list[Fault]:
    """Return what keeps a column from being numbers throughout.

    Args:
        table: The rows.
        name: The column.
        of: What the table is called.

    Returns:
        Faults: no number, infinite, missing.

    Examples:
        >>> number_faults(pd.DataFrame({"y": ["a"]}), "y")[0].message
        'y is text, not a number'
    """
    values, n = table[name], len(table)
    infer = pd.api.types.infer_dtype(values, skipna=True)
    if not pd.api.types.is_numeric_dtype(values) and infer not in ("boolean", "decimal"):
        kind = "text" if infer == "string" else values.dtype
        return [Fault(of, name, n, f"{name} is {kind}, not a number", "convert it first")]
    if is_complex(values):
        return [Fault(of, name, n, f"{name} is complex, not a real number", "convert it first")]
    numbers = values.to_numpy(float, na_value=np.nan)
    odd = int(np.count_nonzero(np.isinf(numbers)))
    words = f"{name} is infinite in {odd:,} of {n:,} rows"
    wrong = Fault(of, name, odd, words, _CORRECT) if odd else None
    wrong = wrong or size_fault(numbers[~np.isnan(numbers)], name, of=of)
    return [*missing_faults(table, name, of=of), *([] if wrong is None else [wrong])]


def _above_zero_faults(table: pd.DataFrame, name: str | None) -> list[Fault]:
    if name is None:
        return []
    faults = number_faults(table, name)
    if faults:
        return faults
    odd = int(np.count_nonzero(table[name].to_numpy(float) <= 0))
    words = f"{name} is not above 0 in {odd:,} of {len(table):,} rows"
    return [Fault("series", name, odd, words, _CORRECT)] if odd else []


def _control_rows(
    table: pd.DataFrame, number: np.ndarray, control: str | None
) -> np.ndarray | None:
    """Return which rows are the comparison's, where a flag says so, else None."""
    if control is None or len(np.unique(number)) == len(number):
        return None
    flag = table[control].to_numpy(float)
    return flag == 1 if np.isin(flag, [0, 1]).all() else None


def _period_faults(number: np.ndarray, of_control: np.ndarray | None, time: str) -> list[Fault]:
    """Return periods that are doubled or missing, in each series by itself."""
    faults, last = [], int(number.max())
    parts = {"": np.ones(len(number), bool)}
    if of_control is not None:
        parts = {" of the treated series": ~of_control, " of the comparison": of_control}
    for whose, rows in parts.items():
        found = np.unique(number[rows])
        doubled, gaps = int(rows.sum()) - len(found), last + 1 - len(found)
        if doubled:
            words = f"{doubled:,} rows{whose} repeat a period of {time}"
            repair = "give one row a period; two with control= naming a column of 0 and 1"
            faults.append(Fault("series", time, doubled, words, repair))
        if gaps:
            words = f"{gaps:,} of {last + 1:,} periods{whose} have no row"
            repair = "give every period from the first to the last a row, 0 where nothing happened"
            faults.append(Fault("series", time, gaps, words, repair))
    return faults


def _value_faults(
    table: pd.DataFrame, columns: SeriesColumns, of_control: np.ndarray | None
) -> list[Fault]:
    """Return outcomes that a scale or a rate does not allow."""
    faults = []
    exposure, wide = columns.exposure, columns.control if of_control is None else None
    if exposure is not None and wide is not None:
        words = f"{exposure} is the exposure of one series, and {wide} a second series"
        repair = "give two rows a period, each with its exposure, and control= a column of 0 and 1"
        faults.append(Fault("series", exposure, 0, words, repair))
    for name in [columns.outcome, *([] if wide is None else [wide])]:
        values = table[name].to_numpy(float)
        below, none = int(np.count_nonzero(values < 0)), int(np.count_nonzero(values <= 0))
        if exposure is not None and below:
            words = f"{name} is below 0 in {below:,} of {len(table):,} rows"
            faults.append(Fault("series", name, below, words, "give events, not differences"))
        if columns.scale == "log" and none:
            words = f"{name} is not above 0 in {none:,} of {len(table):,} rows, so has no logarithm"
            repair = 'give scale="identity", or longer periods'
            faults.append(Fault("series", name, none, words, repair))
    return faults


def _position(periods: PeriodNumbers, columns: SeriesColumns) -> tuple[int, list[Fault]]:
    """Return where the change begins, or why it begins nowhere in the series."""
    position, last = periods.number_of(columns.start, name="start"), int(periods.number.max())
    if position is None:
        words = "start is no period of the series"
        repair = "give the first period with the change; a period changed in part is a wash_in"
        return 0, [Fault("series", "start", 0, words, repair)]
    if not 0 < position <= last:
        side = "before it" if position <= 0 else "from it on"
        words, repair = f"start leaves no period {side}", "give a period inside the series"
        return 0, [Fault("series", "start", 0, words, repair)]
    if position + columns.wash_in > last:
        words = f"a wash_in of {columns.wash_in} leaves no period after the change"
        return 0, [Fault("series", "wash_in", 0, words, "shorten it, or wait for more periods")]
    return position, []


# --- arrays ---------------------------------------------------------------------------------------


def _arrange(
    table: pd.DataFrame,
    columns: SeriesColumns,
    periods: PeriodNumbers,
    of_control: np.ndarray | None,
    start: int,
) -> Series:
    """Return the columns in the order of time, the comparison's beside the treated series'."""
    treated, other = _split(table, columns, periods.number, of_control)
    value = _rates(treated, columns.outcome, columns.exposure)
    name = columns.outcome if of_control is not None else str(columns.control)
    beside = None if other is None else _rates(other, name, columns.exposure)
    bend = np.log if columns.scale == "log" else np.asarray
    season, n_seasons = _seasons(treated, columns.season)
    exposure = None if columns.exposure is None else treated[columns.exposure].to_numpy(float)
    found = Series(
        time=treated[columns.time],
        outcome=value,
        comparison=beside,
        exposure=exposure,
        y=bend(value) if beside is None else bend(value) - bend(beside),
        is_log=columns.scale == "log",
        weight=_precision(treated, other if of_control is not None else None, columns.weight),
        season=season,
        n_seasons=n_seasons,
        is_cycle=season is not None and bool((np.diff(season) % n_seasons == 1).all()),
        start=start,
        wash_in=columns.wash_in,
        per_year=periods.per_year if columns.per_year is None else float(columns.per_year),
        n_events=None,
    )
    if exposure is None:
        return found
    both = [treated] if other is None else [treated, other]
    events = sum(float(one[columns.outcome].to_numpy(float)[found.is_used].sum()) for one in both)
    return dataclasses.replace(found, n_events=round(events))


def _split(
    table: pd.DataFrame, columns: SeriesColumns, number: np.ndarray, of_control: np.ndarray | None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the treated series and the comparison, each in the order of time."""

    def sorted_rows(rows: np.ndarray) -> pd.DataFrame:
        return table[rows].iloc[np.argsort(number[rows])].reset_index(drop=True)

    if of_control is not None:
        return sorted_rows(~of_control), sorted_rows(of_control)
    treated = sorted_rows(np.ones(len(table), bool))
    return treated, treated if columns.control is not None else None


def _rates(table: pd.DataFrame, outcome: str, exposure: str | None) -> np.ndarray:
    values = table[outcome].to_numpy(float)
    return values if exposure is None else values / table[exposure].to_numpy(float)


def _precision(
    treated: pd.DataFrame, other: pd.DataFrame | None, weight: str | None
) -> np.ndarray | None:
    """Return the precision of what is modelled: variances of a difference add up."""
    if weight is None:
        return None
    own = treated[weight].to_numpy(float)
    return own if other is None else 1 / (1 / own + 1 / other[weight].to_numpy(float))


def _seasons(table: pd.DataFrame, season: str | int | None) -> tuple[np.ndarray | None, int]:
    """Return the season of each period from 0, and how many there are."""
    if season is None:
        return None, 0
    if not isinstance(season, str):
        return np.arange(len(table)) % season, int(season)
    values = table[season]
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.cat.remove_unused_categories().cat.codes
    names, codes = np.unique(values.to_numpy(), return_inverse=True)
    return codes, len(names)
