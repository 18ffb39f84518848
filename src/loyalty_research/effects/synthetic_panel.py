"""The door of synthetic controls: one row a unit and period, checked once, as arrays."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.period_numbers import number_periods, time_faults
from loyalty_research.effects.series import missing_faults, number_faults
from loyalty_research.errors import DataError, Fault, UsageError
from loyalty_research.retention.rows import take_columns

_OF = "panel"


@dataclass(frozen=True)
class PanelColumns:
    """What the columns of a panel mean; the arguments of `synthetic_control`.

    Attributes:
        outcome: Column of the outcome.
        unit: Column that names the unit.
        period: Column of whole numbers or dates.
        treated_unit: The unit that changed.
        start: Its first period of the change.
        covariates: Columns to match on in place of every earlier outcome.
        importance: Covariate -> how much it counts; None to find it.
        donors: Units that may serve; None for all others.
    """

    outcome: str
    unit: str
    period: str
    treated_unit: Any
    start: Any
    covariates: Sequence[str] = ()
    importance: Mapping[str, float] | None = None
    donors: Sequence[Any] | None = None

    def check(self) -> None:
        """Refuse arguments that contradict each other.

        Raises:
            UsageError: Importance without covariates or of others, or below 0; a donor that is
                the treated unit.
        """
        given = dict(self.importance or {})
        odd = [x for x in given.values() if isinstance(x, bool) or not isinstance(x, numbers.Real)]
        if self.importance is not None and set(given) != set(self.covariates):
            raise UsageError("importance= must give one number for each of covariates=")
        if odd or (given and (min(given.values()) < 0 or not max(given.values()) > 0)):
            raise UsageError("importance= must hold numbers of 0 and more, not all 0")
        if self.donors is not None and self.treated_unit in list(self.donors):
            raise UsageError("donors= must not hold the treated unit")
        if self.outcome in self.covariates:
            raise UsageError(
                "covariates= must not name the outcome; copy its earlier periods into a column"
            )


def panel_columns(
    outcome: str,
    unit: str,
    period: str,
    treated_unit: Any,
    start: Any,
    covariates: Sequence[str] | str,
    importance: Mapping[str, float] | None,
    donors: Sequence[Any] | str | None,
) -> PanelColumns:
    """Return the arguments with single names as lists of one.

    Args:
        outcome: Column of the outcome.
        unit: Column that names the unit.
        period: Column of the period.
        treated_unit: The unit that changed.
        start: Its first period of the change.
        covariates: Columns to match on.
        importance: Covariate -> how much it counts.
        donors: Units that may serve.

    Returns:
        The arguments.

    Examples:
        >>> panel_columns("wait", "clinic", "month", "a", 3, "beds", None, None).covariates
        ['beds']
    """
    chosen = [donors] if isinstance(donors, str) else donors
    return PanelColumns(
        outcome, unit, period, treated_unit, start, as_columns(covariates), importance, chosen
    )


@dataclass(frozen=True)
class Panel:
    """Units by periods, the treated unit first.

    Attributes:
        units: Names, the treated unit first, donors in sorted order.
        times: The periods as given, in order.
        outcome: One row a unit, one column a period.
        x: Covariates, one row a unit, in units of their standard deviation; no column without.
        covariates: Their names.
        importance: What each counts; None to find it.
        n_before: Periods before the change.
    """

    units: list[Any]
    times: pd.Series
    outcome: np.ndarray
    x: np.ndarray
    covariates: tuple[str, ...]
    importance: np.ndarray | None
    n_before: int

    @property
    def n_donors(self) -> int:
        """Units that may serve."""
        return len(self.units) - 1


def open_panel(panel: Any, columns: PanelColumns) -> Panel:
    """Return the units' series as arrays, or refuse with every fault.

    Args:
        panel: One row a unit and period. Any frame.
        columns: What its columns mean.

    Returns:
        The arrays.

    Raises:
        UsageError: Arguments that contradict each other.
        DataError: Columns or values missing, no numbers, rows doubled or missing, no such unit, a
            start outside the panel; all at once.

    Examples:
        >>> table = pd.DataFrame(
        ...     {"clinic": list("aabbcc"), "year": [1, 2] * 3, "wait": [4.0, 1, 3, 3, 5, 5]}
        ... )
        >>> panel = open_panel(table, PanelColumns("wait", "clinic", "year", "b", 2))
        >>> panel.units, panel.outcome[0].tolist(), panel.n_before
        (['b', 'a', 'c'], [3.0, 3.0], 1)
    """
    columns.check()
    names = [columns.outcome, columns.unit, columns.period, *columns.covariates]
    raise_faults(missing_columns(panel, names, table=_OF))
    table = take_columns(panel, list(dict.fromkeys(names)))
    if len(table) == 0:
        raise DataError([Fault(_OF, "", 0, "the panel has no rows", "check what it is of")])
    table, found = _chosen(table, columns)
    found += [*time_faults(table[columns.period], of=_OF)]
    found += number_faults(table, columns.outcome, of=_OF)
    for name in columns.covariates:
        # A covariate may be known in some periods only.
        found += number_faults(table[table[name].notna()], name, of=_OF)
    raise_faults(found)
    number = number_periods(table[columns.period])
    position, faults = number.number_of(columns.start, name="start"), _row_faults(table, columns)
    if position is None or not 0 < position <= number.number.max():
        words = "start is no period of the panel with one before it"
        faults.append(Fault(_OF, "start", 0, words, "give the first period of the change"))
        position = 1
    is_before = number.number < position
    faults += _covariate_faults(table[is_before], columns)
    raise_faults(faults)
    return _arrange(table, columns, number.number, is_before)


def _chosen(table: pd.DataFrame, columns: PanelColumns) -> tuple[pd.DataFrame, list[Fault]]:
    """Return the rows of the treated unit and the donors, with what is wrong with them."""
    faults, units = missing_faults(table, columns.unit, of=_OF), set(table[columns.unit].dropna())
    if columns.treated_unit not in units:
        words = f"treated_unit is none of the {len(units):,} units in {columns.unit}"
        faults.append(Fault(_OF, columns.unit, 0, words, "give its name as the panel has it"))
    if columns.donors is None:
        return table, faults
    unknown = len(set(columns.donors) - units)
    if unknown:
        words = f"{unknown:,} of {len(set(columns.donors)):,} donors are no unit in {columns.unit}"
        faults.append(Fault(_OF, columns.unit, unknown, words, "give names as the panel has them"))
    chosen = table[columns.unit].isin([columns.treated_unit, *columns.donors])
    return table[chosen].reset_index(drop=True), faults


def _row_faults(table: pd.DataFrame, columns: PanelColumns) -> list[Fault]:
    faults, pair = [], [columns.unit, columns.period]
    doubled = int(table.duplicated(pair).sum())
    if doubled:
        words = f"{doubled:,} rows repeat a {columns.unit} and {columns.period}"
        faults.append(Fault(_OF, columns.unit, doubled, words, "give one row a unit and period"))
    cells = table[columns.unit].nunique() * table[columns.period].nunique()
    gaps = cells - (len(table) - doubled)
    if gaps:
        words = f"{gaps:,} of {cells:,} pairs of {columns.unit} and {columns.period} have no row"
        repair = "drop units that are not followed throughout, by donors=, or find their rows"
        faults.append(Fault(_OF, columns.unit, gaps, words, repair))
    if table[columns.unit].nunique() < 3:
        words = "there are fewer than two donors, and one unit is no mixture"
        repair = "give more units, or interrupted_time_series with the one as control="
        faults.append(Fault(_OF, columns.unit, 0, words, repair))
    return faults


def _covariate_faults(before: pd.DataFrame, columns: PanelColumns) -> list[Fault]:
    faults = []
    for name in columns.covariates:
        means = before.groupby(columns.unit, observed=True)[name].mean()
        unknown = int(means.isna().sum())
        if unknown:
            words = f"{name} is not known before the start in {unknown:,} of {len(means):,} units"
            faults.append(Fault(_OF, name, unknown, words, "leave it or these units out"))
        elif len(means) > 1 and means.std() <= 1e-12 * max(means.abs().max(), 1e-300):
            words = f"{name} is the same in every unit"
            faults.append(Fault(_OF, name, 0, words, "leave it out"))
    return faults


def _arrange(
    table: pd.DataFrame, columns: PanelColumns, number: np.ndarray, is_before: np.ndarray
) -> Panel:
    cells = table.assign(number=number).pivot_table(
        index=columns.unit, columns="number", values=columns.outcome, aggfunc="first", observed=True
    )
    others = [name for name in cells.index if name != columns.treated_unit]
    units = [columns.treated_unit, *others]
    covariates = tuple(columns.covariates)
    x = np.empty((len(units), 0))
    if covariates:
        means = table[is_before].groupby(columns.unit, observed=True)[list(covariates)].mean()
        values = means.loc[units].to_numpy(float)
        x = values / values.std(axis=0, ddof=1)
    given = columns.importance
    importance = None if given is None else np.array([given[name] for name in covariates], float)
    times = table[columns.period].iloc[np.unique(number, return_index=True)[1]]
    n_before = len(np.unique(number[is_before]))
    return Panel(
        units, times.reset_index(drop=True), cells.loc[units].to_numpy(float), x, covariates,
        importance, n_before,
    )  # fmt: skip
