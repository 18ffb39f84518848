"""One answer from several completed data sets: Rubin's rules.

What is missing is filled in several times, each completed data set is analysed as if nothing had
been missing, and the answers are averaged; their spread is what not knowing costs. Filling in is
done elsewhere (statsmodels' MICE, by chained equations), and rests on the belief that patients
alike in what is known miss values by chance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from loyalty_research.data.arguments import check_share
from loyalty_research.data.frames import raise_faults
from loyalty_research.effects.checks import Check, checks_table, passed_or_missing
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.estimates import estimates_table
from loyalty_research.effects.wording import RATIOS
from loyalty_research.errors import Fault, UsageError

_LEAST = 2


def pool_imputations(
    effects: Sequence[Effect], *, df_complete: float | None = None, conf_level: float = 0.95
) -> Effect:
    """Return the effect that several completed data sets give together.

    Rubin, Multiple Imputation for Nonresponse in Surveys, 1987, with the degrees of freedom of
    Barnard and Rubin, Biometrika 1999;86:948. With m estimates of mean variance U and variance B
    between them, the variance is T = U + (1 + 1/m) B. Ratios are pooled on the log scale.

    Args:
        effects: What the same call gave on each completed data set; two or more.
        df_complete: Degrees of freedom had nothing been missing: patients (or clusters) less the
            coefficients; by default less 2, the two arms.
        conf_level: Coverage of the intervals.

    Returns:
        The pooled effect. Each row of estimates has also `df`, `fraction_missing` (the share of
        information that is missing) and `relative_increase` of the variance. A check passes if it
        passes in all data sets.

    Raises:
        UsageError: Fewer than two effects, something else among them, degrees of freedom not above
            0.
        DataError: Effects with different rows of estimates, or one without a standard error.

    Examples:
        >>> from loyalty_research.effects.randomised import mean_difference
        >>> data = pd.DataFrame({"arm": [0] * 4 + [1] * 4, "score": [1.0, 2, 2, 3, 3, 4, 4, 0]})
        >>> filled = [data.replace({"score": {0: value}}) for value in (3, 4, 5)]
        >>> effects = [mean_difference(one, arm="arm", outcome="score", randomised=True)
        ...     for one in filled]
        >>> round(pool_imputations(effects).headline["estimate"], 6)
        1.75
    """
    check_share(conf_level, name="conf_level")
    given = list(effects)
    if len(given) < _LEAST or not all(isinstance(one, Effect) for one in given):
        raise UsageError("effects must be two or more results of one design, one a data set")
    facts = given[0].facts
    df = df_complete
    if df is None:
        df = (facts.n if facts.n_clusters is None else facts.n_clusters) - 2
    table = pool_estimates(
        [one.estimates for one in given], df_complete=df, conf_level=conf_level
    )  # fmt: skip
    levels = {k: float(np.mean([one.facts.levels[k] for one in given])) for k in facts.levels}
    worst = float(table["fraction_missing"].max())
    events = {one.facts.n_events for one in given}
    pooled = dataclasses.replace(
        facts, levels=levels,
        variance=f"{facts.variance}; Rubin's rules over {len(given)} data sets",
        n_events=events.pop() if len(events) == 1 else None,
        more={**facts.more, "n_imputations": len(given), "fraction_missing": worst},
    )  # fmt: skip
    told = _enough(len(given), worst)
    checks = pd.concat([_worst_checks(given), checks_table([told])], ignore_index=True)
    return Effect(table, checks, pooled)


def pool_estimates(
    tables: Sequence[pd.DataFrame], *, df_complete: float = math.inf, conf_level: float = 0.95
) -> pd.DataFrame:
    """Return one table of estimates from those of several completed data sets.

    Args:
        tables: Tables of estimates with the same terms, one a data set: `term`, `estimate`,
            `std_error` (of ratios on the log scale), `scale`, `method`, `n`, `n_events`.
        df_complete: Degrees of freedom had nothing been missing; infinite unless told.
        conf_level: Coverage of the intervals.

    Returns:
        The table with `df`, `fraction_missing`, `relative_increase` behind `term`; rows
        that have no standard error in any data set are left out.

    Raises:
        UsageError: Fewer than two tables, or degrees of freedom not above 0.
        DataError: Tables with different terms, or an estimate without a standard error.

    Examples:
        >>> columns = {"scale": "mean difference", "method": "HC2", "n": 20, "n_events": None}
        >>> one = pd.DataFrame({"term": ["x"], "estimate": [1.0], "std_error": [1.0], **columns})
        >>> pooled = pool_estimates([one, one.assign(estimate=3.0)])
        >>> pooled[["estimate", "std_error", "df"]].round(4).values.tolist()  # T = 1 + 1.5 * 2
        [[2.0, 2.0, 1.7778]]
    """
    level = check_share(conf_level, name="conf_level")
    if len(tables) < _LEAST:
        raise UsageError("tables must be two or more, one a completed data set")
    if not df_complete > 0:
        raise UsageError(f"df_complete={df_complete!r} must be above 0")
    first = tables[0].reset_index(drop=True)
    if any(list(one["term"]) != list(first["term"]) for one in tables):
        words = "the data sets do not have the same terms"
        raise_faults(
            [Fault("estimates", "term", 0, words, "give results of one and the same call")]
        )
    q = np.array([one["estimate"].to_numpy(float) for one in tables])
    u = np.array([one["std_error"].to_numpy(float) for one in tables]) ** 2
    # What never has an error follows from other rows, as a number needed to treat does.
    kept = np.isfinite(u).any(axis=0)
    kept[0] = True
    first, q, u = first[kept].reset_index(drop=True), q[:, kept], u[:, kept]
    tables = [one.reset_index(drop=True)[kept].reset_index(drop=True) for one in tables]
    is_ratio = first["scale"].isin(RATIOS).to_numpy()
    q = np.where(is_ratio, np.log(np.where(is_ratio, q, 1.0)), q)
    bad = int((~np.isfinite(q + u)).sum())
    if bad:
        words = f"{bad:,} of {q.size:,} estimates have no standard error"
        raise_faults([Fault("estimates", "std_error", bad, words, "use a design that gives one")])
    rules = _rubin(q, u, df_complete)
    return _table(tables, first, rules, is_ratio, level, len(tables))


def _rubin(q: np.ndarray, u: np.ndarray, df_complete: float) -> pd.DataFrame:
    """Return pooled value, error, degrees of freedom and shares of each column.

    With r = (1 + 1/m) B / U and f = (1 + 1/m) B / T: (m - 1) / f^2 degrees of freedom by Rubin,
    joined with (d + 1) / (d + 3) d (1 - f) of complete data by Barnard and Rubin; the share of
    information missing is (r + 2 / (df + 3)) / (r + 1).
    """
    m = len(q)
    within, between = u.mean(axis=0), q.var(axis=0, ddof=1) * (1 + 1 / m)
    total = within + between
    share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = (m - 1) / share**2
        seen = np.full_like(own, np.inf)
        if math.isfinite(df_complete):
            seen = (df_complete + 1) / (df_complete + 3) * df_complete * (1 - share)
        df = 1 / (1 / own + 1 / seen)
        increase = between / within
        missing = np.where(
            np.isfinite(increase), (increase + 2 / (df + 3)) / (increase + 1), 1.0
        )  # fmt: skip
    # Where all data sets agree nothing is missing, however few the degrees of freedom.
    missing = np.where(between > 0, missing, 0.0)
    return pd.DataFrame(
        {"value": q.mean(axis=0), "error": np.sqrt(total), "df": df, "fraction_missing": missing,
         "relative_increase": increase}
    )  # fmt: skip


def _table(
    tables: Sequence[pd.DataFrame], first: pd.DataFrame, rules: pd.DataFrame, is_ratio: np.ndarray,
    level: float, m: int,
) -> pd.DataFrame:  # fmt: skip
    had_p = first["p_value"].notna().to_numpy() if "p_value" in first else np.ones(len(first), bool)
    rows: list[dict[str, Any]] = []
    for i, (one, rule) in enumerate(
        zip(first.to_dict("records"), rules.to_dict("records"), strict=True)
    ):
        law: Any = norm if math.isinf(rule["df"]) else student(rule["df"])
        half = float(law.ppf((1 + level) / 2)) * rule["error"]
        numbers = [rule["value"], rule["value"] - half, rule["value"] + half]
        if is_ratio[i]:
            numbers = [math.exp(number) for number in numbers]
        events = {
            table["n_events"].iloc[i] for table in tables if pd.notna(table["n_events"].iloc[i])
        }
        p_value = 2 * float(law.sf(abs(rule["value"]) / rule["error"])) if had_p[i] else math.nan
        rows.append(
            {str(name): value for name, value in one.items() if name not in rule}
            | {"df": rule["df"], "fraction_missing": rule["fraction_missing"],
               "relative_increase": rule["relative_increase"], "estimate": numbers[0],
               "std_error": rule["error"], "conf_low": numbers[1], "conf_high": numbers[2],
               "conf_level": level, "p_value": p_value,
               "n_events": events.pop() if len(events) == 1 else None,
               "method": f"{one['method']}; {m} imputations, Rubin's rules"}
        )  # fmt: skip
    return estimates_table(rows)


def _worst_checks(effects: Sequence[Effect]) -> pd.DataFrame:
    """Return each check from the first data set in which it fails, else from the first."""
    checks = [one.checks for one in effects]
    rows = []
    for i in range(len(checks[0])):
        name = checks[0]["check"].iloc[i]
        same = [one[one["check"] == name] for one in checks]
        failed = [one for one in same if passed_or_missing(one).eq(False).fillna(False).any()]
        row = (failed or same)[0].iloc[[0]]
        if failed:
            told = (
                f"{row['message'].item()} (in {len(failed)} of {len(checks)} completed data sets)"
            )
            row = row.assign(message=told)
        rows.append(row)
    return pd.concat(rows, ignore_index=True)


def _enough(m: int, missing: float) -> Check:
    """Return whether there are as many data sets as per cent of information missing.

    White, Royston and Wood, Statistics in Medicine 2011;30:377, section 7.
    """
    wanted = 100 * missing
    told = f"{m} completed data sets, {wanted:.0f} % of the information missing"
    if m < wanted:
        told += f"; draw {math.ceil(wanted)} or more, so that another draw gives the same answer"
    return Check("imputations", m >= wanted, told, float(m), wanted)
