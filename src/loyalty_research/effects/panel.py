"""The door of designs on panels: units followed over periods, as a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.data.lending import column_names
from loyalty_research.effects.arms import ASSIGNERS, outcome_faults
from loyalty_research.effects.guards import Guards
from loyalty_research.errors import Fault
from loyalty_research.retention.design_matrix import Design, build_design, needed_columns
from loyalty_research.retention.rows import group_codes, take_columns

CONTROLS = ("never", "not_yet")

_DROP = "drop these rows, saying how many, or find the value"
_NUMBER = "number the periods 1, 2, 3 and so on"


@dataclass(frozen=True)
class Panel:
    """Units by periods, every unit seen in every period.

    Attributes:
        outcome: A row a unit, a column a period.
        start: Position of the unit's first treated period; the number of periods if it is not
            treated within them.
        units: A row a unit, with the column that names it.
        periods: Labels of the periods, sorted.
        cluster: Codes from 0, one a unit.
        x: Covariates as numbers, units by periods by columns; None without.
        design: How covariates were coded; None without.
        cluster_name: Column that names what is independent.
        n_late: Units whose first treated period lies after the last period seen.
    """

    outcome: np.ndarray
    start: np.ndarray
    units: pd.DataFrame
    periods: pd.Series
    cluster: np.ndarray
    x: np.ndarray | None
    design: Design | None
    cluster_name: str
    n_late: int

    @property
    def n_units(self) -> int:
        """Units."""
        return len(self.outcome)

    @property
    def n_periods(self) -> int:
        """Periods."""
        return self.outcome.shape[1]

    @property
    def n_clusters(self) -> int:
        """Independent clusters."""
        return int(self.cluster.max()) + 1

    @property
    def cohorts(self) -> np.ndarray:
        """Positions of the periods in which some unit is first treated, sorted."""
        starts = np.unique(self.start)
        return starts[starts < self.n_periods]

    @property
    def is_binary(self) -> bool:
        """Whether the outcome is 0 or 1 throughout."""
        return bool(np.isin(self.outcome, (0, 1)).all())


def open_panel(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    control: str = "never",
    may_start_treated: bool = False,
) -> Panel:
    """Return a panel as a matrix, or refuse with every fault.

    Args:
        panel: One row a unit and period. pandas, Polars, Arrow, DuckDB or Spark.
        outcome: Column of the outcome, a number.
        unit: Column that names the unit, such as a clinic.
        period: Column of the period: a whole number or a date.
        first_treated: Column with the unit's first treated period, in the same type as `period`;
            missing = never treated.
        covariates: Names of columns, or a formula such as "size + C(region)".
        cluster: Column that names what is independent, constant within a unit; the unit itself
            if None.
        control: "never" treated, or "not_yet" treated as well.
        may_start_treated: Units treated from the first period on are no fault.

    Returns:
        The panel.

    Raises:
        DataError: Columns or values missing, a unit twice in a period or absent from one, periods
            that are skipped, a first treated period that changes within a unit, units without a
            period before treatment, nobody treated or nobody to compare with; all faults at once.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "rate": [5.0, 7.0, 4.0, 5.0], "start": [2, 2, None, None]})
        >>> opened = open_panel(table, outcome="rate", unit="clinic", period="month",
        ...     first_treated="start")
        >>> opened.outcome.tolist(), opened.start.tolist()
        ([[5.0, 7.0], [4.0, 5.0]], [1, 2])
    """
    check_choice(control, CONTROLS, name="control")
    named = [] if covariates is None else needed_columns(covariates)
    keys = list(dict.fromkeys([unit, period, *([cluster] if cluster else [])]))
    table = _take(panel, [outcome, *keys, first_treated, *named])
    faults = [_panel_fault(fault) for fault in outcome_faults(table, outcome, "number")]
    faults += [_missing(table, name) for name in dict.fromkeys([outcome, *keys, *named])]
    grid, more = _open_grid(table, unit, period, first_treated)
    faults += more
    if grid is None:
        raise_faults(fault for fault in faults if fault is not None)
    assert grid is not None  # noqa: S101 - without one there was a fault
    faults += [*_grid_faults(grid, unit, period), *_constant_faults(grid, unit, cluster)]
    faults += [] if may_start_treated else _early_faults(grid.begin, first_treated)
    faults += _group_faults(grid, control)
    raise_faults(fault for fault in faults if fault is not None)
    return _fill(grid, outcome, unit, period, cluster, covariates)


def derive_first_treated(panel: Any, *, unit: str, period: str, treated: str) -> pd.DataFrame:
    """Return the panel with `first_treated` added: the first period in which the unit is treated.

    Args:
        panel: One row a unit and period. Any frame.
        unit: Column that names the unit.
        period: Column of the period.
        treated: Column that is 1 or true where the unit is treated in that period.

    Returns:
        The rows with `first_treated`, missing where the unit is never treated.

    Raises:
        DataError: Columns or values missing, codes other than 0 and 1, or a unit that is treated
            first and untreated later; all faults at once.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aabb"), "month": [1, 2, 1, 2],
        ...     "on": [0, 1, 0, 0]})
        >>> derive_first_treated(table, unit="clinic", period="month", treated="on")[
        ...     "first_treated"].tolist()
        [2.0, 2.0, nan, nan]
    """
    raise_faults(missing_columns(panel, [unit, period, treated], table="panel"))
    table = _take(panel, column_names(panel, table="panel"))
    faults = [_missing(table, name) for name in (unit, period, treated)]
    status = pd.to_numeric(table[treated].astype(object), errors="coerce")
    odd = int((~status.isin([0, 1]) & table[treated].notna()).sum())
    if odd:
        words = f"{treated} is neither 0 nor 1 in {odd:,} of {len(table):,} rows"
        faults.append(_fault(treated, odd, words, "code treated periods as 1, others as 0"))
    clock, _ = _clock(table[period])
    if not orders_time(table[period]):
        words = f"{period} is {table[period].dtype}, neither a whole number nor a date"
        faults.append(_fault(period, 0, words, _NUMBER))
        raise_faults(fault for fault in faults if fault is not None)
    code = pd.factorize(table[unit])[0]
    began = table[period].where(status.eq(1)).groupby(code).transform("min")
    at = pd.Series(clock)
    first = at.where(status.eq(1)).groupby(code).transform("min")
    back = (status.eq(0) & (at > first)).groupby(code).any()
    if back.any():
        words = f"{treated} goes back from 1 to 0 in {int(back.sum()):,} of {len(back):,} units"
        repair = "end each unit's series before its treatment ends, or compare periods by hand"
        faults.append(_fault(treated, int(back.sum()), words, repair))
    raise_faults(fault for fault in faults if fault is not None)
    return table.assign(first_treated=began)


def refuse_unclustered_units(
    guards: Guards, data: Any, *, unit: str, first_treated: str, cluster: str | None, n_units: int
) -> None:
    """Refuse patients as independent units where whole clinics were assigned.

    Args:
        guards: The guards of the call, which know "clusters".
        data: The panel.
        unit: Column that names the unit.
        first_treated: Column with the first treated period.
        cluster: What the caller named as independent, or None.
        n_units: Units in the panel.

    Raises:
        DesignError: Every level of a column such as facility_id has one first treated period, and
            that column groups units, and no cluster was named.

    Examples:
        >>> from loyalty_research.effects.guards import open_guards
        >>> guards = open_guards(["clusters"], override=None)
        >>> table = pd.DataFrame({"p": [1, 2, 3, 4], "clinic": list("aabb"), "start": [2, 2, 3, 3]})
        >>> refuse_unclustered_units(guards, table, unit="p", first_treated="start", cluster=None,
        ...     n_units=4)
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DesignError: 1 fault in the data:
          data: all units of a clinic have one start in each of 2 clusters, so that clusters were \
assigned, not units; give cluster='clinic'; if it is no mistake here, say why by \
override={'clusters': ...}
    """
    found, n_levels = "", 0
    there = column_names(data, table="panel") if cluster is None else []
    for name in ASSIGNERS:
        if name not in there or name in (unit, first_treated):
            continue
        table = take_columns(data, [name, first_treated])
        starts = table.groupby(name, observed=True)[first_treated].nunique(dropna=False)
        if 2 <= len(starts) <= n_units / 2 and (starts == 1).all():
            found, n_levels = name, len(starts)
            break
    message = f"all units of a {found} have one start in each of {n_levels:,} clusters, "
    message += "so that clusters were assigned, not units"
    guards.refuse(
        "clusters", broken=bool(found), column=found, count=n_levels, message=message,
        repair=f"give cluster={found!r}",
        fine="units of a clinic or the like did not all start together",
    )  # fmt: skip


# --- the grid -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Grid:
    """Where rows stand: their unit and period as codes, and their first treated period."""

    table: pd.DataFrame
    first_treated: str
    is_date: bool
    code: np.ndarray
    units: pd.DataFrame
    at: np.ndarray
    labels: np.ndarray
    start: np.ndarray

    @property
    def n_units(self) -> int:
        return len(self.units)

    @property
    def first(self) -> np.ndarray:
        """A row of each unit."""
        return _first_rows(self.code, self.n_units)

    @property
    def begin(self) -> np.ndarray:
        """Position of each unit's first treated period; the number of periods if it has none."""
        return np.searchsorted(self.labels, self.start[self.first], side="left")


def _take(panel: Any, columns: Sequence[str]) -> pd.DataFrame:
    names = list(dict.fromkeys(columns))
    raise_faults(missing_columns(panel, names, table="panel"))
    table = take_columns(panel, names)
    if table.empty:
        raise_faults([_fault("", 0, "the table has no rows", "check the source")])
    return table


def _open_grid(
    table: pd.DataFrame, unit: str, period: str, first_treated: str
) -> tuple[_Grid | None, list[Fault | None]]:
    """Return where rows stand, of those whose unit and period are known; None if none can be."""
    clock, kind = _clock(table[period])
    start, other = _clock(table[first_treated])
    faults = _time_faults(table, period, kind, first_treated, other)
    known = table[[unit, period]].notna().all(axis=1).to_numpy()
    if faults or not known.any():
        return None, faults
    if kind == "number":
        faults.append(_fraction(clock, period))
    kept = table[known].reset_index(drop=True)
    code, units = group_codes(kept, [unit])
    labels, at = np.unique(clock[known], return_inverse=True)
    is_date = kind == "date"
    return _Grid(kept, first_treated, is_date, code, units, at, labels, start[known]), faults


def _fill(
    grid: _Grid,
    outcome: str,
    unit: str,
    period: str,
    cluster: str | None,
    covariates: Sequence[str] | str | None,
) -> Panel:
    """Return the panel of a grid without faults."""
    order = np.empty(len(grid.table), np.int64)
    order[grid.code * len(grid.labels) + grid.at] = np.arange(len(grid.table))
    shape = (grid.n_units, len(grid.labels))
    design, x = None, None
    if covariates is not None:
        design, numbers = build_design(grid.table, covariates)
        x = numbers[order].reshape(*shape, -1)
    named = grid.table.loc[grid.first, [cluster or unit]].reset_index(drop=True)
    own = grid.start[grid.first]
    return Panel(
        grid.table[outcome].to_numpy(float)[order].reshape(shape), grid.begin, grid.units,
        grid.table.loc[_first_rows(grid.at, shape[1]), period].reset_index(drop=True),
        group_codes(named, [cluster or unit])[0], x, design, cluster or unit,
        int(np.count_nonzero((grid.begin == shape[1]) & np.isfinite(own))),
    )  # fmt: skip


def _clock(values: pd.Series) -> tuple[np.ndarray, str]:
    """Return times as comparable numbers, missing ones as NaN, and of what kind they are."""
    if values.isna().all():
        return np.full(len(values), math.nan), "none"
    if pd.api.types.is_bool_dtype(values):
        return np.full(len(values), math.nan), "truth"
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(float, na_value=math.nan), "number"
    if pd.api.types.infer_dtype(values, skipna=True) in ("date", "datetime", "datetime64"):
        days = pd.to_datetime(values).astype("datetime64[s]")
        return np.where(days.isna(), math.nan, days.astype("int64").to_numpy(float)), "date"
    return np.full(len(values), math.nan), "text"


def orders_time(values: pd.Series) -> bool:
    """Return whether a column can tell what came first: numbers or dates, or nothing at all.

    Args:
        values: The column.

    Returns:
        True if it can.

    Examples:
        >>> orders_time(pd.Series([1, 2])), orders_time(pd.Series(["March", "May"]))
        (True, False)
    """
    return _clock(values)[1] in ("number", "date", "none")


def _first_rows(code: np.ndarray, n: int) -> np.ndarray:
    first = np.zeros(n, np.int64)
    first[code[::-1]] = np.arange(len(code))[::-1]
    return first


# --- refusals -------------------------------------------------------------------------------------


def _fault(column: str, count: int, message: str, repair: str) -> Fault:
    return Fault("panel", column, count, message, repair)


def _panel_fault(fault: Fault | None) -> Fault | None:
    return None if fault is None else replace(fault, table="panel")


def _missing(table: pd.DataFrame, name: str) -> Fault | None:
    count = int(table[name].isna().sum())
    words = f"{name} is missing in {count:,} of {len(table):,} rows"
    return _fault(name, count, words, _DROP) if count else None


def _time_faults(
    table: pd.DataFrame, period: str, kind: str, first_treated: str, other: str
) -> list[Fault | None]:
    faults: list[Fault | None] = []
    if kind not in ("number", "date", "none"):
        words = f"{period} is {table[period].dtype}, neither a whole number nor a date"
        faults.append(_fault(period, 0, words, _NUMBER))
    if other not in ("none", kind):
        words = f"{first_treated} is {table[first_treated].dtype}, not of the type of {period}"
        faults.append(_fault(first_treated, 0, words, f"give it as one of the values of {period}"))
    return faults


def _fraction(clock: np.ndarray, period: str) -> Fault | None:
    odd = int(np.count_nonzero(np.isfinite(clock) & (clock != np.floor(clock))))
    words = f"{period} is not a whole number in {odd:,} of {len(clock):,} rows"
    return _fault(period, odd, words, _NUMBER) if odd else None


def _grid_faults(grid: _Grid, unit: str, period: str) -> list[Fault | None]:
    """Return what keeps rows from filling the grid of units and periods once each."""
    faults: list[Fault | None] = []
    n, n_units, n_periods = len(grid.at), grid.n_units, len(grid.labels)
    seen = np.bincount(grid.code * n_periods + grid.at, minlength=n_units * n_periods)
    twice = int((seen - 1).clip(min=0).sum())
    if twice:
        words = f"{unit} and {period} occur more than once, in {twice:,} of {n:,} rows too many"
        repair = "give one row a unit and period, such as its mean"
        faults.append(_fault(unit, twice, words, repair))
    short = int((seen.reshape(n_units, -1) == 0).any(axis=1).sum())
    if short:
        words = f"{short:,} of {n_units:,} units lack one of the {n_periods:,} periods"
        repair = "choose periods in which every unit is seen, or leave these units out, counted"
        faults.append(_fault(unit, short, words, repair))
    if n_periods < 2:
        words = f"{period} has one value only"
        faults.append(_fault(period, 1, words, "give periods before and after the start"))
    return [*faults, _skipped(grid, period)]


def _skipped(grid: _Grid, period: str) -> Fault | None:
    """Return the fault of numbers that do not come in equal steps; the months of dates do not."""
    steps = np.diff(grid.labels)
    if grid.is_date or len(steps) < 2 or (steps == steps[0]).all():
        return None
    n = int((steps > steps.min()).sum())
    words, repair = f"{period} skips values {n:,} times", f"{_NUMBER}, and fill what is absent"
    return _fault(period, n, words, repair)


def _constant_faults(grid: _Grid, unit: str, cluster: str | None) -> list[Fault | None]:
    """Return the faults of what must be the same in all rows of a unit."""
    faults: list[Fault | None] = []
    # Only whether it is the same counts here: a missing one is the same as a missing one.
    moving = _n_changing(grid, np.where(np.isnan(grid.start), -math.inf, grid.start))
    if moving:
        words = f"{grid.first_treated} changes within {moving:,} of {grid.n_units:,} units"
        repair = (
            f"give each {unit} one first period, missing if never treated; of a column that is 1 "
            "while treated, derive_first_treated() makes it"
        )
        faults.append(_fault(grid.first_treated, moving, words, repair))
    if cluster is not None and grid.table[cluster].notna().all():
        spread = _n_changing(grid, group_codes(grid.table, [cluster])[0])
        if spread:
            words = f"{cluster} changes within {spread:,} of {grid.n_units:,} units"
            repair = "name a cluster that holds whole units, such as the clinic of assignment"
            faults.append(_fault(cluster, spread, words, repair))
    return faults


def _n_changing(grid: _Grid, value: np.ndarray) -> int:
    return len(np.unique(grid.code[value != value[grid.first][grid.code]]))


def _early_faults(begin: np.ndarray, first_treated: str) -> list[Fault | None]:
    early = int((begin == 0).sum())
    if not early:
        return []
    words = f"{first_treated} leaves {early:,} of {len(begin):,} units no period before treatment"
    repair = "leave these units out, or add earlier periods; "
    repair += f"a unit that is never treated has a missing {first_treated}, not 0"
    return [_fault(first_treated, early, words, repair)]


def _group_faults(grid: _Grid, control: str) -> list[Fault | None]:
    """Return the faults of a panel with nobody treated, or nobody to compare them with."""
    begin, last, name = grid.begin, len(grid.labels), grid.first_treated
    dates, never = np.unique(begin[begin < last]), int((begin == last).sum())
    if len(dates) == 0:
        words = f"no unit is treated: {name} is missing or lies after the last period"
        return [_fault(name, 0, words, "check the first treated periods")]
    if never or (control == "not_yet" and len(dates) > 1):
        return []
    words = f"no unit is without treatment: {name} is filled in all {len(begin):,} units"
    repair = 'choose control="not_yet"' if len(dates) > 1 else "add units that are not treated"
    return [_fault(name, len(begin), words, repair)]
