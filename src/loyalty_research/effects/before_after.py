"""The change from before to after, with what of it any high value would have shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_share
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.arms import outcome_faults
from loyalty_research.effects.asked import BETTER
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.rows import take_columns

_GUARD = "regression to the mean"


def expected_regression(chosen_mean: float, *, population_mean: float, correlation: float) -> float:
    """Return by how much the mean of chosen patients changes though nothing is done.

    (1 - r) times the distance of the chosen from all, towards all (Davis, Am J Epidemiol
    1976;104:493).

    Args:
        chosen_mean: Mean of the chosen patients when they were chosen.
        population_mean: Mean of all from whom they were chosen.
        correlation: Correlation of two measurements of one patient, in all, from -1 to 1.

    Returns:
        The change, in the unit of the means.

    Raises:
        UsageError: The correlation is none.

    Examples:
        >>> round(expected_regression(160, population_mean=140, correlation=0.6), 6)
        -8.0
    """
    if not -1 <= correlation <= 1:
        raise UsageError(f"correlation={correlation!r} must lie between -1 and 1")
    return -(1 - correlation) * (chosen_mean - population_mean)


def before_after_change(
    data: Any,
    *,
    before: str,
    after: str,
    threshold: float | None = None,
    population_mean: float | None = None,
    correlation: float | None = None,
    unit: str = "",
    better: str = "",
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return the mean change of patients who all took part, which is not its effect.

    Patients chosen because a measurement was high are lower the next time even if nothing is done
    (Davis, Am J Epidemiol 1976;104:493). Where a threshold chose them the change is therefore
    refused; `mean_difference` with the value before as a covariate and a comparison group answers
    the question. A change without a comparison is never published: its check "comparison" fails.

    Args:
        data: One row a patient who took part. pandas, Polars, Arrow, DuckDB or Spark.
        before: Column of the measurement before the programme.
        after: Column of the same measurement after it. Rows where either is missing are left out.
        threshold: The value of `before` from which patients were taken in; None states that the
            choice did not look at it.
        population_mean: Mean of `before` in all from whom they were chosen.
        correlation: Correlation of two measurements of one patient in all of them.
        unit: Unit of the measurement.
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        override: {"regression to the mean": reason} shows the change all the same.
        conf_level: Coverage of the interval.

    Returns:
        A row `change`; with `population_mean` and `correlation` also `change expected without any
        effect` and `change beyond it`, the expected one taken as known.

    Raises:
        UsageError: An argument that cannot be meant, or one of mean and correlation alone.
        DesignError: A threshold chose the patients.
        DataError: Columns are missing or no numbers; fewer than 2 patients with both.

    Examples:
        >>> data = pd.DataFrame({"sbp_0": [152.0, 160.0, 171.0], "sbp_1": [150.0, 151.0, 163.0]})
        >>> before_after_change(data, before="sbp_0", after="sbp_1", unit="mmHg").withheld
        True
        >>> before_after_change(data, before="sbp_0", after="sbp_1", threshold=150,
        ...     population_mean=140, correlation=0.6)
        Traceback (most recent call last):
        ...
        loyalty_research.errors.DesignError: 1 fault in the data:
          data: patients were chosen by sbp_0 (from 150), so that it changes though nothing is \
done (-8.4 expected, -6.3 found); compare with patients who were not treated: \
mean_difference(..., covariates=['sbp_0']); if it is no mistake here, say why by \
override={'regression to the mean': ...}
    """
    check_share(conf_level, name="conf_level")
    if better not in BETTER:
        raise UsageError(f"better={better!r} must be 'higher' or 'lower', whichever is good")
    if (population_mean is None) != (correlation is None):
        raise UsageError("give both population_mean and correlation, or neither")
    guards = open_guards([_GUARD], override=override)
    first, last, lost = _open(data, before, after)
    expected = None
    if population_mean is not None and correlation is not None:
        expected = expected_regression(
            float(first.mean()), population_mean=population_mean, correlation=correlation
        )
    change = float((last - first).mean())
    _refuse_chosen(guards, before, threshold, expected, change, len(first))
    lone = "nobody was followed without the programme, so that the change is not its effect"
    checks = [*guards.checks, Check("comparison", False, f"{lone}; add a group", gating=True)]
    table = _rows(first, last, expected, unit, conf_level)
    facts = Facts(
        design="one group before and after", measure="change", outcome=after, variance="paired t",
        estimand=f"mean of {after} less {before} in the {len(first):,} patients with both",
        n=len(first), unit=unit, better=better, causal=False, arms=("before", "after"),
        levels={0: float(first.mean()), 1: float(last.mean())},
        sizes={0: len(first), 1: len(last)}, n_missing={1: lost},
        overrides=dict(guards.used),
        more={} if expected is None else {"expected_regression": expected},
    )  # fmt: skip
    return Effect(estimates_table(table), checks_table(checks), facts)


def _open(data: Any, before: str, after: str) -> tuple[np.ndarray, np.ndarray, int]:
    raise_faults(missing_columns(data, [before, after], table="data"))
    table = take_columns(data, [before, after])
    faults = [*outcome_faults(table, before, "number"), *outcome_faults(table, after, "number")]
    if table.empty:
        words, repair = "the table has no rows", "check the cohort's criteria"
        raise_faults([Fault("data", "", 0, words, repair)])
    both = (table[before].notna() & table[after].notna()).to_numpy()
    if both.sum() < 2:
        message = f"{int(both.sum()):,} of {len(table):,} rows have {before} and {after}"
        faults.append(Fault("data", after, len(table), message, "2 at least are needed"))
    raise_faults(fault for fault in faults if fault is not None)
    kept: pd.DataFrame = table[both]
    return kept[before].to_numpy(float), kept[after].to_numpy(float), int((~both).sum())


def _refuse_chosen(
    guards: Guards, before: str, threshold: float | None, expected: float | None, change: float,
    n: int,
) -> None:  # fmt: skip
    known = "" if expected is None else f" ({expected:.1f} expected, {change:.1f} found)"
    guards.refuse(
        _GUARD, broken=threshold is not None, column=before, count=n,
        message=f"patients were chosen by {before} (from {threshold}), so that it changes though "
        f"nothing is done{known}",
        repair="compare with patients who were not treated: "
        f"mean_difference(..., covariates=[{before!r}])",
    )  # fmt: skip


def _rows(
    first: np.ndarray, last: np.ndarray, expected: float | None, unit: str, conf_level: float
) -> list[dict[str, Any]]:
    n = len(first)
    change = last - first
    settings: dict[str, Any] = {
        "scale": unit or "difference in means", "n": n, "df": n - 1, "conf_level": conf_level,
    }  # fmt: skip
    error = float(change.std(ddof=1) / math.sqrt(n))
    mean = float(change.mean())
    rows = [estimate_row("change", mean, error, method="paired t", **settings)]
    if expected is None:
        return rows
    words = "(1 - correlation) times the distance from all"
    return [
        *rows,
        estimate_row("change expected without any effect", expected, math.nan, method=words,
                     **settings),
        estimate_row("change beyond it", mean - expected, error, method="paired t", **settings),
    ]  # fmt: skip
