"""What a change did to one unit, beside a mixture of others that moved as it did before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.checks import Check, checks_table, count_words
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.effects.synthetic_fit import (
    SyntheticFit,
    fit_placebos,
    fit_synthetic,
    panel_before,
)
from loyalty_research.effects.synthetic_panel import Panel, PanelColumns, open_panel, panel_columns
from loyalty_research.errors import Fault

DONORS = "too few donors"
POINTS = "too few points"
LEAST_DONORS = 5
LEAST_BEFORE = 8
WORST_FIT = 0.25
"""Gap before the change, in standard deviations of the donors' outcomes, of a poor fit."""

_BETTER = ("", "higher", "lower")
_SIGNIFICANT = 0.05
_METHOD = "synthetic control; p by rank of the ratio of gaps after to before"


def synthetic_control(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    treated_unit: Any,
    start: Any,
    covariates: Sequence[str] | str = (),
    importance: Mapping[str, float] | None = None,
    donors: Sequence[Any] | None = None,
    placebo_start: Any = None,
    outcome_unit: str = "",
    better: str = "",
    override: Mapping[str, str] | None = None,
) -> Effect:
    """Return how one unit departed from a mixture of others after a change.


    The mixture has weights that are not negative and sum to 1, chosen to follow the unit before the
    change (Abadie and Gardeazabal, Am Econ Rev 2003;93:113; Abadie, Diamond and Hainmueller, JASA
    2010;105:493): in the outcome of every period, or in `covariates`. There is no standard error.
    Each donor is put in the unit's place, the unit among its donors, and the p-value is the share
    of all units whose ratio of root mean squared gaps, after to before, is as large as the unit's:
    with J donors it cannot be below 1 / (J + 1). Donors must be without the change and untouched by
    it: no clinic that takes patients from, or gives them to, the treated one.

    Args:
        panel: One row a unit and period, every unit in every period. Any frame.
        outcome: Column of the outcome, a number.
        unit: Column that names the unit: a clinic, site or town.
        period: Column of whole numbers, or dates evenly spaced.
        treated_unit: The unit that changed.
        start: The first period of the change, as `period` has it.
        covariates: Columns whose means before the change are matched in place of the outcomes;
            a value that is missing in some periods is left out of the mean.
        importance: Covariate -> how much it counts, from 0; None to find what follows the earlier
            outcomes best.
        donors: Units that may serve; None for all others.
        placebo_start: A period before `start` for the placebo in time; None for the middle of the
            time before.
        outcome_unit: Unit of the outcome, such as "minutes".
        better: `"higher"` or `"lower"`, whichever is good for patients.
        override: Guard -> reason, for `too few donors` (fewer than 5) and `too few points` (fewer
            than 8 periods before).

    Returns:
        An effect whose rows are `average` (the mean gap from `start` on, with the p-value), `end`
        (the gap in the last period) and `cumulative` (their sum); no interval. The check `fit
        before` fails, and withholds, where the gap before exceeds 0.25 standard deviations of the
        donors' outcomes; placebos in space and time, leaving out each donor, and the weights are
        among the checks. Weights stand in `facts.more`.

    Raises:
        UsageError: Arguments that contradict each other.
        DataError: As for `open_panel`.
        DesignError: Too few donors or periods.

    Examples:
        >>> quarters = np.arange(12)
        >>> paths = {name: 30 + 5 * k + np.sin(quarters * k) for k, name in enumerate("abcde", 1)}
        >>> paths["ours"] = 0.3 * paths["a"] + 0.7 * paths["b"] - 20 * (quarters >= 9)
        >>> table = pd.concat(
        ...     pd.DataFrame({"clinic": name, "quarter": quarters, "wait": path})
        ...     for name, path in paths.items()
        ... )
        >>> effect = synthetic_control(
        ...     table, outcome="wait", unit="clinic", period="quarter", treated_unit="ours", start=9
        ... )
        >>> round(effect.headline["estimate"], 6), round(effect.headline["p_value"], 4)
        (-20.0, 0.1667)
        >>> effect.facts.more["weights"]
        'b 0.700, a 0.300'
    """
    check_choice(better, _BETTER, name="better")
    guards = open_guards([DONORS, POINTS], override=override)
    columns = panel_columns(
        outcome, unit, period, treated_unit, start, covariates, importance, donors
    )
    opened = open_panel(panel, columns)
    _refuse_few(opened, columns, guards)
    fit, placebos = _fit(opened), fit_placebos(opened)
    checks = [
        *guards.checks,
        _fit_check(opened, fit),
        _space_check(fit, placebos),
        _time_check(opened, fit, _false_start(panel, columns, opened, placebo_start)),
        _leave_one_out_check(opened, fit),
        _weights_check(fit),
        _interference_check(),
    ]
    rows = _rows(opened, fit, _p_value(fit, placebos), outcome_unit)
    facts = _facts(opened, fit, columns, outcome_unit, better, guards.used)
    return Effect(estimates_table(rows), checks_table(checks), facts)


def synthetic_weights(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    treated_unit: Any,
    start: Any,
    covariates: Sequence[str] | str = (),
    importance: Mapping[str, float] | None = None,
    donors: Sequence[Any] | None = None,
) -> pd.DataFrame:
    """Return how much each donor counts in the mixture.

    Args:
        panel: As for `synthetic_control`, like all that follow.
        outcome: Column of the outcome.
        unit: Column that names the unit.
        period: Column of the period.
        treated_unit: The unit that changed.
        start: The first period of the change.
        covariates: Columns that are matched.
        importance: Covariate -> how much it counts.
        donors: Units that may serve.

    Returns:
        One row a donor, the heaviest first: the unit's column, `weight`.

    Raises:
        UsageError, DataError: As for `synthetic_control`.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aaabbbccc"), "year": [1, 2, 3] * 3,
        ...     "wait": [0.5, 2, 9, 0, 2, 4, 2, 2, 6]})
        >>> synthetic_weights(
        ...     table, outcome="wait", unit="clinic", period="year", treated_unit="a", start=3
        ... ).round(6).values.tolist()
        [['b', 0.75], ['c', 0.25]]
    """
    columns = panel_columns(
        outcome, unit, period, treated_unit, start, covariates, importance, donors
    )
    opened = open_panel(panel, columns)
    table = pd.DataFrame({unit: opened.units[1:], "weight": _fit(opened).weights})
    return table.sort_values("weight", ascending=False, kind="stable", ignore_index=True)


def synthetic_path(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    treated_unit: Any,
    start: Any,
    covariates: Sequence[str] | str = (),
    importance: Mapping[str, float] | None = None,
    donors: Sequence[Any] | None = None,
) -> pd.DataFrame:
    """Return the unit's course beside that of its mixture and of the donors' plain mean.

    Args:
        panel: As for `synthetic_control`, like all that follow.
        outcome: Column of the outcome.
        unit: Column that names the unit.
        period: Column of the period.
        treated_unit: The unit that changed.
        start: The first period of the change.
        covariates: Columns that are matched.
        importance: Covariate -> how much it counts.
        donors: Units that may serve.

    Returns:
        One row a period: `time`, `phase` ("before", "after"), `observed`, `counterfactual` (the
        mixture), `donors_mean`, `effect` (the gap, also before the change), `cumulative` (missing
        before).

    Raises:
        UsageError, DataError: As for `synthetic_control`.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aaabbbccc"), "year": [1, 2, 3] * 3,
        ...     "wait": [0.5, 2, 9, 0, 2, 4, 2, 2, 6]})
        >>> path = synthetic_path(
        ...     table, outcome="wait", unit="clinic", period="year", treated_unit="a", start=3
        ... )
        >>> path.loc[[2], ["phase", "counterfactual", "effect"]].values.tolist()
        [['after', 4.5, 4.5]]
    """
    columns = panel_columns(
        outcome, unit, period, treated_unit, start, covariates, importance, donors
    )
    opened = open_panel(panel, columns)
    fit = _fit(opened)
    after = np.arange(len(fit.gaps)) >= opened.n_before
    return pd.DataFrame(
        {
            "time": opened.times.to_numpy(),
            "phase": np.where(after, "after", "before"),
            "observed": opened.outcome[0],
            "counterfactual": fit.synthetic,
            "donors_mean": opened.outcome[1:].mean(axis=0),
            "effect": fit.gaps,
            "cumulative": np.where(after, np.cumsum(np.where(after, fit.gaps, 0.0)), np.nan),
        }
    )


def synthetic_placebos(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    treated_unit: Any,
    start: Any,
    covariates: Sequence[str] | str = (),
    importance: Mapping[str, float] | None = None,
    donors: Sequence[Any] | None = None,
) -> pd.DataFrame:
    """Return every unit as if it had been the one that changed.

    Args:
        panel: As for `synthetic_control`, like all that follow.
        outcome: Column of the outcome.
        unit: Column that names the unit.
        period: Column of the period.
        treated_unit: The unit that changed.
        start: The first period of the change.
        covariates: Columns that are matched.
        importance: Covariate -> how much it counts.
        donors: Units that may serve.

    Returns:
        One row a unit, the largest ratio first: the unit's column, `is_treated`, `average` (mean
        gap from the start on), `rmspe_before`, `rmspe_after`, `ratio`, `rank` (1 is the largest
        ratio; ties share the worse rank, as the p-value counts them).

    Raises:
        UsageError, DataError: As for `synthetic_control`.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aaabbbccc"), "year": [1, 2, 3] * 3,
        ...     "wait": [0.5, 2, 9, 0, 2, 4, 2, 3, 6]})
        >>> found = synthetic_placebos(
        ...     table, outcome="wait", unit="clinic", period="year", treated_unit="a", start=3
        ... )
        >>> found[["clinic", "is_treated", "rank"]].values.tolist()
        [['a', True, 1], ['b', False, 2], ['c', False, 3]]
    """
    columns = panel_columns(
        outcome, unit, period, treated_unit, start, covariates, importance, donors
    )
    opened = open_panel(panel, columns)
    fits = [_fit(opened), *fit_placebos(opened)]
    table = pd.DataFrame(
        {
            unit: opened.units,
            "is_treated": [fit.target == 0 for fit in fits],
            "average": [fit.average for fit in fits],
            "rmspe_before": [fit.rmspe_before for fit in fits],
            "rmspe_after": [fit.rmspe_after for fit in fits],
            "ratio": [fit.ratio for fit in fits],
        }
    )
    rank = table["ratio"].rank(ascending=False, method="max").astype("int64")
    ranked = table.assign(rank=rank)
    return ranked.sort_values(["rank", "is_treated"], ascending=[True, False], ignore_index=True)


# --- the estimate ---------------------------------------------------------------------------------


def _fit(panel: Panel, *, without: int | None = None) -> SyntheticFit:
    pool = np.arange(1, len(panel.units))
    return fit_synthetic(panel, 0, pool[pool != without])


def _p_value(fit: SyntheticFit, placebos: Sequence[SyntheticFit]) -> float:
    as_large = sum(placebo.ratio >= fit.ratio for placebo in placebos)
    return (1 + as_large) / (1 + len(placebos))


def _rows(panel: Panel, fit: SyntheticFit, p_value: float, unit: str) -> list[dict[str, Any]]:
    gaps, name = fit.gaps[panel.n_before :], unit or "outcome"
    values = {
        "average": (fit.average, unit or "difference", p_value),
        "end": (float(gaps[-1]), unit or "difference", math.nan),
        "cumulative": (float(gaps.sum()), f"{name} x periods", math.nan),
    }
    settings: dict[str, Any] = {"method": _METHOD, "n": panel.outcome.size, "conf_level": math.nan}
    return [
        estimate_row(term, value, math.nan, scale=scale, **settings) | {"p_value": p}
        for term, (value, scale, p) in values.items()
    ]


def _facts(
    panel: Panel,
    fit: SyntheticFit,
    columns: PanelColumns,
    unit: str,
    better: str,
    overrides: Mapping[str, str],
) -> Facts:
    order = np.argsort(-fit.weights, kind="stable")
    named = [
        f"{panel.units[1 + at]} {fit.weights[at]:.3f}" for at in order if fit.weights[at] >= 0.0005
    ]
    counted = dict(zip(panel.covariates, fit.importance.tolist(), strict=True))
    after = slice(panel.n_before, None)
    return Facts(
        design="synthetic control",
        estimand=f"mean difference in {columns.outcome} from the start on between the unit that "
        "changed and what it would have been without the change",
        measure="average gap",
        outcome=columns.outcome,
        variance="none; placebos in space",
        n=panel.outcome.size,
        unit=unit,
        better=better,
        arms=("its mixture of donors", "the unit that changed"),
        levels={
            0: float(fit.synthetic[after].mean()), 1: float(panel.outcome[0, after].mean())
        },
        overrides=dict(overrides),
        more={
            "rows_are": "unit-periods", "n_donors": panel.n_donors, "n_before": panel.n_before,
            "n_after": panel.outcome.shape[1] - panel.n_before, "rmspe_before": fit.rmspe_before,
            "rmspe_after": fit.rmspe_after, "rmspe_ratio": fit.ratio,
            "weights": ", ".join(named),
            **{f"importance of {name}": value for name, value in counted.items()},
        },
    )  # fmt: skip


# --- checks ---------------------------------------------------------------------------------------


def _refuse_few(panel: Panel, columns: PanelColumns, guards: Guards) -> None:
    guards.refuse(
        DONORS,
        broken=panel.n_donors < LEAST_DONORS,
        column=columns.unit,
        count=panel.n_donors,
        message=f"{count_words(panel.n_donors, 'donor')}, fewer than {LEAST_DONORS}: no placebo "
        f"could give a p-value below 1 / {panel.n_donors + 1}",
        repair="give more units without the change, or interrupted_time_series with control=",
        fine=count_words(panel.n_donors, "donor"),
    )
    guards.refuse(
        POINTS,
        broken=panel.n_before < LEAST_BEFORE,
        column=columns.period,
        count=panel.n_before,
        message=f"{count_words(panel.n_before, 'period')} before the change, fewer than "
        f"{LEAST_BEFORE}: a mixture would follow noise",
        repair="give earlier or shorter periods, or compare by difference_in_differences",
        fine=f"{count_words(panel.n_before, 'period')} before the change",
    )


def _fit_check(panel: Panel, fit: SyntheticFit) -> Check:
    spread = float(panel.outcome[1:, : panel.n_before].std())
    share = fit.rmspe_before / spread if spread > 0 else math.inf
    words = (
        f"before the change the mixture misses the unit by {fit.rmspe_before:.3g} "
        f"(root mean square), {share:.2f} standard deviations of the donors' outcomes"
    )
    good = share <= WORST_FIT
    if not good:
        words += (
            "; the donors cannot make up this unit: give others, or compare changes by "
            "difference_in_differences"
        )
    return Check("fit before", good, words, share, WORST_FIT, gating=True)


def _space_check(fit: SyntheticFit, placebos: Sequence[SyntheticFit]) -> Check:
    p_value, n = _p_value(fit, placebos), 1 + len(placebos)
    rank = round(p_value * n)
    words = (
        f"the unit's ratio of gaps after to before, {fit.ratio:.3g}, ranks {rank} of {n} units: "
        f"p {p_value:.3f}"
    )
    if 1 / n > _SIGNIFICANT:
        words += f"; with {n - 1} donors it cannot be below {1 / n:.3f}"
    return Check("placebo in space", None, words, p_value, 1 / n)


def _time_check(panel: Panel, fit: SyntheticFit, n_before: int) -> Check:
    """Return whether a change that never was, in the time before, shows a gap of its own."""
    if n_before < 2:
        return Check("placebo in time", None, "too few periods before the change to try one")
    false = _fit(panel_before(panel, n_before=n_before))
    small = abs(false.average) < abs(fit.average) / 2
    words = (
        f"a false start after {count_words(n_before, 'period')} shows {false.average:.3g} on "
        f"average, the true one {fit.average:.3g}"
    )
    return Check("placebo in time", small, words, false.average, abs(fit.average) / 2)


def _false_start(panel: Any, columns: PanelColumns, opened: Panel, placebo_start: Any) -> int:
    if placebo_start is None:
        return opened.n_before // 2
    false = replace(columns, start=placebo_start, covariates=(), importance=None)
    before = open_panel(panel, false).n_before
    if before >= opened.n_before:
        words = "placebo_start is not before start"
        raise_faults([Fault("panel", columns.period, 0, words, "give an earlier period")])
    return before


def _leave_one_out_check(panel: Panel, fit: SyntheticFit) -> Check:
    """Return how far the average hangs on a single donor."""
    used = [int(fit.pool[at]) for at in np.flatnonzero(fit.weights > 0)]
    if panel.n_donors < 3:
        return Check("leave one donor out", None, "too few donors to leave one out")
    averages = [_fit(panel, without=unit).average for unit in used]
    low, high = min(averages), max(averages)
    same_sign = bool(low * fit.average > 0 and high * fit.average > 0)
    furthest = max(averages, key=lambda average: abs(average - fit.average))
    words = f"without one donor at a time the average lies between {low:.3g} and {high:.3g}"
    if not same_sign:
        words += "; it hangs on a single donor"
    return Check("leave one donor out", same_sign, words, furthest)


def _weights_check(fit: SyntheticFit) -> Check:
    used = int(np.count_nonzero(fit.weights))
    words = (
        f"{count_words(used, 'donor')} of {len(fit.weights)} in the mixture, the heaviest "
        f"{fit.weights.max():.2f}"
    )
    if len(fit.weights) > fit.n_before and fit.is_perfect:
        words += "; other mixtures fit as well"
    return Check("weights", None, words, float(fit.weights.max()))


def _interference_check() -> Check:
    words = (
        "donors must be untouched by the change: a clinic that takes or loses patients because of "
        "it is none; leave it out by donors="
    )
    return Check("interference", None, words)
