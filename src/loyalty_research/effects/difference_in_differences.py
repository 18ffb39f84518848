"""The change with the programme less the change without: four means, or a model around them.

Errors by cluster are CR2 with Satterthwaite's degrees of freedom (Bell and McCaffrey, Surv Methodol
2002;28:169; Pustejovsky and Tipton, JBES 2018;36:672). Where an arm has a single cluster these see
no variation in it; the headline is then the t of the clusters' changes with one variance (Donald
and Lang, Review of Economics and Statistics 2007;89:221).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.data.lending import column_names
from loyalty_research.effects.adjusted import cluster_check, clusters_by_arm
from loyalty_research.effects.arms import (
    ASSIGNERS,
    MOST_GAP,
    ArmRows,
    completeness_check,
    found_codes,
    open_arms,
    refuse_unclustered,
)
from loyalty_research.effects.asked import Asked, Opened, check_asked
from loyalty_research.effects.bacon import unclean_share
from loyalty_research.effects.checks import Check, checks_table, count_words
from loyalty_research.effects.cluster_means import SEED, contrast_rows
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.effects.linear import LinearFit, fit_linear
from loyalty_research.effects.panel import open_panel, orders_time
from loyalty_research.errors import DataError, Fault
from loyalty_research.retention.rows import group_codes, take_columns

_CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))
_WHEN = ("before", "after")
_STARTS = "first_treated"
_PATIENT = "patient_id"


def difference_in_differences(
    panel: Any,
    *,
    outcome: str,
    treated: str,
    post: str,
    cluster: str | None = None,
    covariates: Sequence[str] | str | None = None,
    unit: str | None = None,
    period: str | None = None,
    first_treated: str | None = None,
    outcome_unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return by how much more the outcome changed with the programme than without.

    Args:
        panel: One row a unit and period, or a patient and period. pandas, Polars, Arrow, DuckDB
            or Spark.
        outcome: Column of the outcome, a number, or 0 and 1. Rows where it is missing are left out
            and counted.
        treated: Column that is 1 or true for those who get the programme at some time, before they
            do as well, and 0 or false for those who never do.
        post: Column that is 1 or true in periods from the start on, for both arms.
        cluster: Column that names what was assigned or is independent, such as the clinic; the
            unit if None and a unit is named.
        covariates: Columns, or a formula, whose effect may differ before and after; the change is
            compared at the covariates of the treated.
        unit: Column that names the unit followed over time; None for different patients each time.
        period: Column of the period, by which a single start is verified.
        first_treated: Column with the first treated period, by which the same is verified; a
            column of that name is read unasked.
        outcome_unit: Unit of the outcome, such as "minutes".
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Guard -> reason, for "clusters" and "adoption dates".
        conf_level: Coverage of the intervals.

    Returns:
        The effect. The headline is the row `difference in differences`. Where clusters are
        assigned whole and seen both before and after, a row `cluster-mean t` of their changes
        stands beside it, with a row `permutation test` where an arm has fewer than 4; with a
        single cluster in an arm `cluster-mean t` is the headline. The last four rows are the
        means themselves.

    Raises:
        DesignError: Units start at different times ("adoption dates"), or whole clinics are in
            one arm and nothing names them ("clusters").
        DataError: Columns or values missing or not 0 and 1, an arm without rows before or after,
            a unit that changes its arm or goes back from after to before; all faults at once.
        UsageError: An argument that cannot be meant.

    Examples:
        >>> table = pd.DataFrame({"clinic": list("aabbccdd"), "treated": [1] * 4 + [0] * 4,
        ...     "post": [0, 1] * 4, "wait": [40.0, 30, 41, 32, 41, 40, 39, 36]})
        >>> effect = difference_in_differences(table, outcome="wait", treated="treated",
        ...     post="post", cluster="clinic")
        >>> round(effect.headline["estimate"], 6)  # (31 - 40.5) - (38 - 40)
        -7.5
    """
    asked = Asked(
        treated, outcome, covariates, cluster, None, False, outcome_unit, better, arms, override,
        conf_level,
    )  # fmt: skip
    check_asked(asked)
    guards = open_guards(["clusters", "adoption dates"], override=override)
    by = cluster or unit
    places = _Places(panel, treated, post, unit, period, first_treated)
    rows = _open_rows(panel, asked, by, places)
    _refuse_dates(guards, panel, outcome, places)
    if cluster is None and unit not in ASSIGNERS:
        _refuse_patients(guards, panel, unit)
        refuse_unclustered(guards, panel, arm=treated)
    after = _truth(rows.more[post])
    opened = Opened(rows, rows.x, [], None, guards, [*guards.checks])
    table, df, seed = _table(opened, after, asked)
    opened.checks += [completeness_check(rows, outcome=outcome)]
    opened.checks += [*cluster_check(opened, df), *_one_cluster_check(rows)]
    opened.checks += _seen_check(rows, after, unit)
    means = {cell: float(rows.outcome[_in(rows, after, cell)].mean()) for cell in _CELLS}
    effect = float(table[0]["estimate"])
    facts = Facts(
        design="difference in differences", estimand=_estimand(asked), outcome=outcome,
        measure="difference in differences", variance=str(table[0]["method"]), n=rows.n,
        unit=outcome_unit, better=better, arms=(arms[0], arms[1]),
        levels={0: means[1, 1] - effect, 1: means[1, 1]}, sizes=dict(enumerate(rows.sizes())),
        n_events=_events(rows.outcome), n_clusters=rows.n_clusters,
        n_missing=dict(rows.n_missing), overrides=dict(guards.used), seed=seed,
        more={"rows_are": "rows", **{f"mean_{arms[a]}_{_WHEN[p]}": means[a, p] for a, p in _CELLS}},
    )  # fmt: skip
    return Effect(estimates_table(table), checks_table(opened.checks), facts)


# --- the door -------------------------------------------------------------------------------------


class _Places:
    """Where the columns of a call stand."""

    def __init__(
        self, panel: Any, treated: str, post: str, unit: str | None, period: str | None,
        first_treated: str | None,
    ):  # fmt: skip
        names = column_names(panel, table="data")
        self.treated, self.post, self.unit, self.period = treated, post, unit, period
        self.start = first_treated or (_STARTS if _STARTS in names else None)

    @property
    def filled(self) -> list[str]:
        """Columns that must be filled, `treated` apart."""
        return [name for name in (self.post, self.unit, self.period) if name is not None]


def _open_rows(panel: Any, asked: Asked, by: str | None, places: _Places) -> ArmRows:
    """Return the rows whose outcome is known, or refuse with every fault of arms and times."""
    more = [*places.filled, *([places.start] if places.start else [])]
    faults: list[Fault] = []
    try:
        rows = open_arms(
            panel, arm=asked.arm, outcome=asked.outcome, covariates=asked.covariates, cluster=by,
            more=places.filled,
        )  # fmt: skip
    except DataError as error:
        faults += error.faults
    there = column_names(panel, table="data")
    absent = [name for name in more if name not in there]
    told = {fault.column for fault in faults}
    named = [name for name in dict.fromkeys(absent) if name not in told]
    faults += missing_columns(panel, named, table="data")
    if not absent and all(name in there for name in [asked.arm, asked.outcome]):
        table = take_columns(panel, [asked.arm, asked.outcome, *places.filled])
        faults += _time_faults(table, asked, places)
    raise_faults(faults)
    return rows


def _time_faults(table: pd.DataFrame, asked: Asked, places: _Places) -> list[Fault]:
    post = _codes(table[places.post])
    if post is None:
        words = f"{places.post} is {found_codes(table[places.post])}, not 0 or 1"
        repair = "code periods from the start on as 1, in both arms"
        return [Fault("data", places.post, len(table), words, repair)]
    treated = _codes(table[asked.arm])
    if treated is None or table.empty:
        return []
    known = table[asked.outcome].notna()
    faults = []
    for a, p in _CELLS:
        if not (known & treated.eq(a) & post.eq(p)).any():
            words = f"no row of arm {a} {_WHEN[p]} the start has a known {asked.outcome}"
            repair = f"give both arms rows before and after; {places.post} is for both arms"
            faults.append(Fault("data", places.post, 0, words, repair))
    return faults + (_unit_faults(table, treated, post, places) if places.unit else [])


def _unit_faults(
    table: pd.DataFrame, treated: pd.Series, post: pd.Series, places: _Places
) -> list[Fault]:
    unit, faults = table[str(places.unit)], []
    n_units = unit.nunique()
    by_unit = treated.groupby(unit, observed=True).agg(["min", "max"])
    moved = int((by_unit["min"] < by_unit["max"]).sum())
    if moved:
        words = f"{places.treated} changes within {moved:,} of {n_units:,} units"
        repair = "let it name who gets the programme at some time, and post say when"
        faults.append(Fault("data", places.treated, moved, words, repair))
    if places.period is None:
        return faults
    period = table[places.period]
    if not orders_time(period):
        words = f"{places.period} is {period.dtype}, neither a whole number nor a date"
        repair = "number the periods 1, 2, 3 and so on"
        return [*faults, Fault("data", places.period, len(table), words, repair)]
    twice = int(pd.DataFrame({"u": unit, "p": period}).duplicated().sum())
    if twice:
        words = f"{places.unit} and {places.period} occur more than once, in {twice:,} of "
        words += f"{len(table):,} rows too many"
        repair = "give one row a unit and period, such as its mean"
        faults.append(Fault("data", str(places.unit), twice, words, repair))
    began = period.where(post.eq(1)).groupby(unit, observed=True).transform("min")
    back = int((post.eq(0) & (period > began)).groupby(unit, observed=True).any().sum())
    if back:
        words = f"{places.post} goes back from 1 to 0 in {back:,} of {n_units:,} units"
        repair = "end these series before the programme ends"
        faults.append(Fault("data", places.post, back, words, repair))
    return faults


def _codes(values: pd.Series) -> pd.Series | None:
    """Return a column of 0 and 1 as numbers, or None if it is none."""
    numbers = pd.to_numeric(values.astype(object), errors="coerce").astype(float)
    odd = (numbers.isna() & values.notna()) | ~(numbers.isin([0, 1]) | numbers.isna())
    return None if odd.any() else numbers


def _truth(values: pd.Series) -> np.ndarray:
    return values.astype(float).to_numpy() == 1


# --- guards ---------------------------------------------------------------------------------------


def _refuse_dates(guards: Guards, panel: Any, outcome: str, places: _Places) -> None:
    """Refuse one before and after where units start at different times."""
    n_dates, column = _dates(panel, places)
    words = (
        f"units start in {n_dates:,} different periods, so that there is no one before and after"
    )
    if n_dates > 1:
        words += _unclean_words(panel, outcome, places)
    guards.refuse(
        "adoption dates", broken=n_dates > 1, column=column, count=n_dates, message=words,
        repair="call staggered_difference_in_differences(..., first_treated=...)",
        fine="all who are treated start together, as far as the columns tell",
    )  # fmt: skip


def _dates(panel: Any, places: _Places) -> tuple[int, str]:
    """Return how many different starts the treated have, as far as the columns tell."""
    if places.start is not None:
        table = take_columns(panel, [places.treated, places.start])
        treated = _codes(table[places.treated])
        starts = table.loc[np.asarray(treated) == 1, places.start].dropna()
        return int(starts.nunique()), places.start
    if places.period is None:
        return 1, places.post
    table = take_columns(panel, [places.treated, places.post, places.period])
    at = table[places.period].to_numpy()
    post = _truth(table[places.post])
    # With one start no period is before for some and after for others.
    mixed = pd.Series(post).groupby(at).nunique().gt(1).sum()
    return int(mixed) + 1, places.post


def _unclean_words(panel: Any, outcome: str, places: _Places) -> str:
    """Return what a two-way regression would do with such data, where it can be computed."""
    if places.start is None or places.unit is None or places.period is None:
        return ""
    try:
        opened = open_panel(
            panel, outcome=outcome, unit=places.unit, period=places.period,
            first_treated=places.start, control="not_yet", may_start_treated=True,
        )  # fmt: skip
    except DataError:
        return ""
    share = 100 * unclean_share(opened)
    return (
        f"; a two-way regression would give {share:.0f} % of its weight to comparisons with units "
        "treated already (bacon_decomposition() lists them)"
    )


def _refuse_patients(guards: Guards, panel: Any, unit: str | None) -> None:
    """Refuse rows of one patient at several times as independent."""
    n = 0
    if unit is None and _PATIENT in column_names(panel, table="data"):
        n = int(take_columns(panel, [_PATIENT]).duplicated().sum())
    if n:
        guards.refuse(
            "clusters", broken=True, column=_PATIENT, count=n,
            message=f"{_PATIENT} occurs more than once, in {n:,} rows too many, which are taken "
            "for independent",
            repair=f"give unit={_PATIENT!r}",
        )  # fmt: skip


# --- estimates ------------------------------------------------------------------------------------


def _table(
    opened: Opened, after: np.ndarray, asked: Asked
) -> tuple[list[dict[str, Any]], float, int | None]:
    """Return the rows of estimates, the headline's degrees of freedom, and the seed if one."""
    rows = opened.rows
    scale = "risk difference" if _events(rows.outcome) is not None else "mean difference"
    events = _events(rows.outcome)
    settings: dict[str, Any] = {
        "scale": scale,
        "n": rows.n,
        "n_events": events,
        "conf_level": asked.conf_level,
    }
    cells = np.column_stack([np.ones(rows.n), rows.arm, after, rows.arm * after])
    plain = fit_linear(cells, rows.outcome, cluster=rows.cluster)
    fit = plain if rows.x.shape[1] == 0 else _fit_covariates(cells, rows, after)
    contrast = np.eye(len(fit.beta))[3]
    estimate, error, df = fit.contrast(contrast)
    method = f"linear model, {fit.kind}" + ("" if fit is plain else ", covariates by period")
    head = estimate_row(
        "difference in differences", estimate, error, df=df, method=method, **settings
    )
    beside, seed = _changes(opened, after, settings)
    whole = clusters_by_arm(rows.arm, rows.cluster)
    if whole is not None and min(whole) < 2 and beside:
        # CR2 sees no variation where one cluster is all of an arm: no error is better than that.
        head |= dict.fromkeys(("std_error", "conf_low", "conf_high", "p_value"), float("nan"))
        head["method"] = "linear model; a single cluster has no error of its own"
        return (
            [beside[0], head, *beside[1:], *_means(plain, opened, after, settings)],
            (sum(whole) - 2),
            seed,
        )
    return [head, *beside, *_means(plain, opened, after, settings)], df, seed


def _fit_covariates(cells: np.ndarray, rows: ArmRows, after: np.ndarray) -> LinearFit:
    """Return the model in which covariates may matter otherwise before than after."""
    # Centred where the treated are, so that the change is compared among patients like them.
    x = rows.x - rows.x[rows.arm == 1].mean(axis=0)
    design = np.column_stack([cells, x, x * after[:, None]])
    spread = design.std(axis=0)
    if np.linalg.matrix_rank(design / np.where(spread > 0, spread, 1)) < design.shape[1]:
        words = "covariates are determined by arm and time, or by one another before or after"
        repair = "leave out the covariate that is the same within an arm or a period"
        raise_faults([Fault("data", "", rows.n, words, repair)])
    return fit_linear(design, rows.outcome, cluster=rows.cluster)


def _changes(
    opened: Opened, after: np.ndarray, settings: dict[str, Any]
) -> tuple[list[dict[str, Any]], int | None]:
    """Return the contrast of the clusters' own changes, where all are seen before and after."""
    rows = opened.rows
    if clusters_by_arm(rows.arm, rows.cluster) is None or rows.cluster is None:
        return [], None
    n = int(rows.cluster.max()) + 1
    size = [np.bincount(rows.cluster[after == p], minlength=n) for p in (0, 1)]
    if min(size[0].min(), size[1].min()) == 0 or n < 3:
        return [], None
    total = [np.bincount(rows.cluster[after == p], rows.outcome[after == p], n) for p in (0, 1)]
    change = total[1] / size[1] - total[0] / size[0]
    return contrast_rows(opened, change, what="changes", seed=SEED, **settings)


def _means(
    fit: LinearFit, opened: Opened, after: np.ndarray, settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the four means that the difference is made of."""
    table = []
    whole = clusters_by_arm(opened.rows.arm, opened.rows.cluster)
    for a, p in _CELLS:
        chosen = _in(opened.rows, after, (a, p))
        mean, error, df = fit.contrast(np.array([1, a, p, a * p], float))
        error = float("nan") if whole is not None and whole[a] < 2 else error
        own = {"n": int(chosen.sum()), "n_events": _events(opened.rows.outcome, chosen)}
        row = estimate_row(
            f"mean of arm {a} {_WHEN[p]}", mean, error, df=df, method=f"mean, {fit.kind}",
            **(settings | own | {"scale": "mean"}),
        )  # fmt: skip
        # Whether a level is 0 is no question.
        table.append(row | {"p_value": float("nan")})
    return table


def _in(rows: ArmRows, after: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    return (rows.arm == cell[0]) & (after == cell[1])


def _events(outcome: np.ndarray, chosen: np.ndarray | None = None) -> int | None:
    if not np.isin(outcome, (0, 1)).all():
        return None
    return int(outcome.sum() if chosen is None else outcome[chosen].sum())


def _estimand(asked: Asked) -> str:
    like = "" if asked.covariates is None else " with the covariates of the treated"
    return (
        f"mean effect on {asked.arms[1]} in the periods after the start, if without it the outcome "
        f"had moved like that of {asked.arms[0]}{like}"
    )


# --- checks ---------------------------------------------------------------------------------------


def _one_cluster_check(rows: ArmRows) -> list[Check]:
    whole = clusters_by_arm(rows.arm, rows.cluster)
    if whole is None or min(whole) > 1:
        return []
    words = (
        "one arm is a single cluster, whose own ups and downs cannot be told from the effect: the "
        "interval takes them to be as large as those of the others; compare synthetic_control"
    )
    return [Check("single_cluster", None, words, float(min(whole)))]


def _seen_check(rows: ArmRows, after: np.ndarray, unit: str | None) -> list[Check]:
    """Return whether the units seen before are those seen after."""
    if unit is None:
        return []
    code = group_codes(rows.more, [unit])[0]
    n = int(code.max()) + 1
    both = np.bincount(code[after], minlength=n) * np.bincount(code[~after], minlength=n) > 0
    share = float(1 - both.mean())
    words = f"{count_words(n - int(both.sum()), 'unit')} of {n:,} not seen both before and after"
    return [Check("seen_before_and_after", share <= MOST_GAP, words, share, MOST_GAP, gating=True)]
