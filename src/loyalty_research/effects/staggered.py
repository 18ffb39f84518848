"""Difference in differences for a programme that starts at different times in different units.

Callaway and Sant'Anna, J Econometrics 2021;225:200. A two-way fixed effects regression compares
units just treated with units treated earlier, and takes a growing effect of these for a trend;
here controls are never, or not yet, treated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_whole
from loyalty_research.effects.aggregation import KINDS, Part, aggregate, by_cluster, cell_parts
from loyalty_research.effects.asked import Asked, check_asked
from loyalty_research.effects.checks import Check, checks_table, count_words
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table
from loyalty_research.effects.event_times import event_times
from loyalty_research.effects.group_time import Cells, group_time_cells
from loyalty_research.effects.guards import open_guards
from loyalty_research.effects.panel import CONTROLS, Panel, open_panel, refuse_unclustered_units
from loyalty_research.effects.pre_trends import pre_trend_checks
from loyalty_research.effects.simultaneous import multiplier_factor

FEWEST = 2
"""Clusters of a cohort, or of controls, below which their variation cannot be seen."""

_FEW = 5


def staggered_difference_in_differences(
    panel: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    covariates: Sequence[str] | str | None = None,
    control: str = "never",
    cluster: str | None = None,
    seed: int,
    n_draws: int = 1000,
    outcome_unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return what a programme changed that started at different times in different units.

    Args:
        panel: One row a unit and period, every unit in every period. pandas, Polars, Arrow,
            DuckDB or Spark.
        outcome: Column of the outcome, a number, or 0 and 1.
        unit: Column that names the unit, such as a clinic.
        period: Column of the period: a whole number or a date.
        first_treated: Column with the unit's first treated period, in the same type as `period`;
            missing = never treated.
        covariates: Names of columns, or a formula such as "size + C(region)", taken from the last
            period before a cohort's treatment; the effect is then doubly robust.
        control: "never" treated, or "not_yet" treated as well.
        cluster: Column that names what is independent, such as a region; the unit if None.
        seed: Of the multiplier bootstrap, which makes the simultaneous bands.
        n_draws: Its draws.
        outcome_unit: Unit of the outcome, such as "minutes"; empty where it has none.
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What controls and treated units are called.
        override: Guard -> reason, for the guard "clusters".
        conf_level: Coverage of intervals and bands.

    Returns:
        The effect. Estimates: `term, cohort, period, event_time, estimate, std_error, conf_low,
        conf_high, conf_level, p_value, n, n_events, scale, method, band_low, band_high`. One
        overall row each for `simple` (every treated unit and period alike, the headline),
        `dynamic` (mean over periods since the start), `group` (mean over cohorts) and `calendar`
        (mean over periods); then their details, and every cohort in every period as
        `group_time`. The band holds for all details of a term at once. `n` counts units.

    Raises:
        DataError: A panel that is not complete, nobody treated or nobody to compare with, no
            period before treatment, too few controls; all faults of the panel at once.
        SeparationError: Covariates tell a cohort from its controls.
        DesignError: Whole clinics were assigned and no `cluster` is named.
        UsageError: An argument that cannot be meant.

    Examples:
        >>> table = pd.DataFrame([(u, t) for u in range(6) for t in range(4)],
        ...     columns=["clinic", "month"])
        >>> table["start"] = table["clinic"].map({0: 2, 1: 2, 2: 3, 3: 3})
        >>> table["rate"] = table["clinic"] % 2 + (table["month"] >= table["start"])
        >>> effect = staggered_difference_in_differences(table, outcome="rate", unit="clinic",
        ...     period="month", first_treated="start", seed=1)
        >>> effect.estimates.loc[:3, ["term", "estimate"]].to_dict("list")
        {'term': ['simple', 'dynamic', 'group', 'calendar'], 'estimate': [1.0, 1.0, 1.0, 1.0]}
    """
    check_choice(control, CONTROLS, name="control")
    asked = Asked(
        first_treated, outcome, covariates, cluster, None, False, outcome_unit, better, arms,
        override, conf_level,
    )  # fmt: skip
    check_asked(asked)
    seed, n_draws = (
        check_whole(seed, name="seed"),
        check_whole(n_draws, name="n_draws", minimum=100),
    )
    guards = open_guards(["clusters"], override=override)
    opened = open_panel(
        panel, outcome=outcome, unit=unit, period=period, first_treated=first_treated,
        covariates=covariates, cluster=cluster, control=control,
    )  # fmt: skip
    refuse_unclustered_units(
        guards, panel, unit=unit, first_treated=first_treated, cluster=cluster,
        n_units=opened.n_units,
    )  # fmt: skip
    cells = group_time_cells(opened, control=control)
    parts = {kind: aggregate(opened, cells, kind) for kind in KINDS}
    how = _method(control, opened)
    rows = _Rows(opened, conf_level, how, seed, n_draws)
    overall = [rows.of(parts[kind][:1])[0] for kind in KINDS]
    details = [row for kind in KINDS[1:] for row in rows.of(parts[kind][1:])]
    table = _typed([*overall, *details, *rows.of(cell_parts(cells), cells.influence)], opened)
    checks = [*guards.checks, *_checks(opened, cells, covariates is not None)]
    checks += pre_trend_checks(event_times(opened, parts["dynamic"]), conf_level=conf_level)
    level = _treated_level(opened, cells)
    facts = Facts(
        design="staggered difference in differences", estimand=_estimand(control, covariates),
        measure="average effect on the treated", outcome=outcome,
        variance=f"influence functions, clustered by {opened.cluster_name}", n=opened.n_units,
        unit=outcome_unit, better=better, arms=(arms[0], arms[1]), sizes=_sizes(opened),
        levels={0: level - parts["simple"][0].estimate, 1: level},
        n_events=int(opened.outcome.sum()) if opened.is_binary else None,
        n_clusters=None if cluster is None else opened.n_clusters,
        n_trimmed=cells.n_trimmed, overrides=guards.used, seed=seed,
        more={"rows_are": "units", "n_periods": opened.n_periods, "control": control,
              "n_cohorts": len(opened.cohorts),
              "n_never_treated": int((opened.start == opened.n_periods).sum())},
    )  # fmt: skip
    return Effect(table, checks_table(checks), facts)


class _Rows:
    """Makes rows of estimates of one panel, with the settings of one call."""

    def __init__(self, panel: Panel, conf_level: float, method: str, seed: int, n_draws: int):
        self.panel, self.conf_level, self.method = panel, conf_level, method
        self.seed, self.n_draws = seed, n_draws
        self.scale = "risk difference" if panel.is_binary else "mean difference"

    def of(
        self, parts: Sequence[Part], influence: np.ndarray | None = None
    ) -> list[dict[str, Any]]:
        """Return one row a part, with a band that holds for all of them."""
        if influence is None:
            influence = np.column_stack([part.influence for part in parts])
        influence = by_cluster(self.panel, influence)
        errors = np.sqrt((influence**2).sum(axis=0))
        factor = multiplier_factor(
            influence, conf_level=self.conf_level, n_draws=self.n_draws, seed=self.seed
        )
        rows = [self._row(*pair, factor) for pair in zip(parts, errors, strict=True)]
        if parts[0].event_time is None or parts[0].cohort is not None:
            return rows
        # The period to which all others are compared belongs into the line.
        zero = Part("dynamic", 0.0, np.zeros(0), max(part.n for part in parts), event_time=-1)
        rows.append(self._row(zero, 0.0, math.nan))
        return sorted(rows, key=lambda row: row["event_time"])

    def _row(self, part: Part, error: float, factor: float) -> dict[str, Any]:
        row = estimate_row(
            part.term, part.estimate, float(error), scale=self.scale, method=self.method, n=part.n,
            conf_level=self.conf_level, cohort=part.cohort, period=part.period,
            event_time=part.event_time,
        )  # fmt: skip
        half = math.nan if part.is_overall else factor * row["std_error"]
        return row | {"band_low": part.estimate - half, "band_high": part.estimate + half}


def _typed(rows: Sequence[dict[str, Any]], panel: Panel) -> pd.DataFrame:
    """Return the rows as a table, positions of cohorts and periods as the caller's own labels."""
    table = estimates_table(rows)
    labels = panel.periods.convert_dtypes()
    found = {
        name: labels.reindex(table[name].astype("Int64").fillna(-1)).reset_index(drop=True)
        for name in ("cohort", "period")
    }
    return table.assign(**found, event_time=table["event_time"].astype("Int64"))


def _method(control: str, panel: Panel) -> str:
    how = "difference of mean changes" if panel.x is None else "doubly robust"
    return f"Callaway-Sant'Anna, {how}, controls {control.replace('_', ' ')} treated"


def _estimand(control: str, covariates: Sequence[str] | str | None) -> str:
    like = "" if covariates is None else " and with the same covariates"
    return (
        "mean effect of the programme on treated units in the periods since their start, if "
        f"without it their outcome had moved like that of units {control.replace('_', ' ')} "
        f"treated{like}"
    )


def _sizes(panel: Panel) -> dict[int, int]:
    treated = int((panel.start < panel.n_periods).sum())
    return {0: panel.n_units - treated, 1: treated}


def _treated_level(panel: Panel, cells: Cells) -> float:
    """Return the mean outcome of treated units over the cells of the headline."""
    after = cells.event_time >= 0
    share = np.bincount(panel.start, minlength=panel.n_periods + 1)[cells.cohort[after]]
    return float(share @ cells.treated_mean[after] / share.sum())


# --- checks ---------------------------------------------------------------------------------------


def _checks(panel: Panel, cells: Cells, has_covariates: bool) -> list[Check]:
    never = int((panel.start == panel.n_periods).sum())
    words = f"{count_words(never, 'unit')} not treated within the {panel.n_periods:,} periods"
    if panel.n_late:
        words += f", {panel.n_late:,} of them treated later"
    checks = [_clusters_check(panel), Check("controls", None, words, float(never))]
    if cells.n_without:
        told = (
            f"{count_words(cells.n_without, 'effect')} of a cohort in a period left out, because "
        )
        told += "no unit was left untreated by then"
        checks.append(Check("periods_without_controls", None, told, float(cells.n_without)))
    if has_covariates:
        told = f"{count_words(cells.n_trimmed, 'control')} left out, almost sure to be treated"
        checks.append(Check("overlap", None, told, float(cells.n_trimmed)))
    return checks


def _clusters_check(panel: Panel) -> Check:
    """Return whether each cohort, and the controls, have clusters whose variation can be seen."""
    pairs = np.unique(np.column_stack([panel.start, panel.cluster]), axis=0)
    sizes = np.bincount(pairs[:, 0])
    fewest = int(sizes[sizes > 0].min())
    noun = panel.cluster_name
    words = f"the smallest cohort, or the controls, has {count_words(fewest, 'cluster')} ({noun})"
    if fewest < FEWEST:
        words += ": its variation cannot be seen; join cohorts, or use a synthetic control"
    elif fewest < _FEW:
        words += "; so few make intervals too narrow"
    return Check("cohort_size", fewest >= FEWEST, words, fewest, FEWEST, gating=True)
