"""The effect of a programme on a share or a mean, where chance decided who takes part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from loyalty_research.effects.adjusted import ArmLevels, cluster_check, fit_levels
from loyalty_research.effects.asked import Asked, Opened, among, make_effect, open_asked
from loyalty_research.effects.cluster_means import cluster_rows
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.estimates import estimate_row, ratio_row
from loyalty_research.effects.proportions import (
    koopman_interval,
    log_ratio_error,
    newcombe_interval,
    number_needed,
    pearson_p_value,
)

_SHARE = "risk difference"
_RATIO = "risk ratio"


def risk_difference(
    data: Any,
    *,
    arm: str,
    outcome: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    strata: Sequence[str] | str | None = None,
    randomised: bool = False,
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return by how much the share with an event differs between two arms.

    Without covariates and clusters the interval is Newcombe's (Stat Med 1998;17:873, method 10),
    the p-value Pearson's and the ratio's interval Koopman's (Biometrics 1984;40:513). Covariates
    are adjusted for as Lin does (Ann Appl Stat 2013;7:295) with HC2 errors; with clusters errors
    are CR2 with Satterthwaite's degrees of freedom (Bell and McCaffrey, Surv Methodol 2002;28:169;
    Pustejovsky and Tipton, JBES 2018;36:672), and a t-test of the clusters' shares stands beside.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column that is 1 or true for the event, 0 or false for none. Rows where it is
            missing are left out and counted.
        covariates: Columns known before the arm was, or a formula such as "age + C(sex)".
        cluster: Column that names what was assigned or is independent, such as the clinic.
        strata: Column or columns within which the arms were drawn.
        randomised: True where chance decided the arm. Otherwise the check "assignment" fails and
            the result is an association.
        better: "higher" if the event is good for patients, "lower" if bad; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason why it is no mistake here; "clusters" can be overridden.
        conf_level: Coverage of the intervals.

    Returns:
        Rows `risk difference`, `risk ratio` and `number needed to treat`, whose limits are missing
        where its interval runs through infinity: the words are in `scale` and in
        `facts.more["number_needed"]`. With clusters assigned whole a row `cluster-mean t`, and,
        where an arm has fewer than 4, a row `permutation test`.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: Columns or values are missing or not 0 and 1, an arm is empty, an arm has a
            single cluster; every fault at once.

    Examples:
        >>> import pandas as pd
        >>> came = [1] * 56 + [0] * 14 + [1] * 48 + [0] * 32
        >>> data = pd.DataFrame({"arm": [1] * 70 + [0] * 80, "came": came})
        >>> effect = risk_difference(data, arm="arm", outcome="came", randomised=True)
        >>> effect.estimates[["term", "estimate", "conf_low", "conf_high"]].round(4).head(2)
                      term  estimate  conf_low  conf_high
        0  risk difference    0.2000    0.0524     0.3339
        1       risk ratio    1.3333    1.0798     1.6708
    """
    asked = Asked(
        arm, outcome, covariates, cluster, strata, randomised, "", better, arms, override,
        conf_level,
    )  # fmt: skip
    return _risks(data, asked, headline=_SHARE)


def risk_ratio(
    data: Any,
    *,
    arm: str,
    outcome: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    strata: Sequence[str] | str | None = None,
    randomised: bool = False,
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return by which factor the share with an event differs between two arms.

    Without covariates and clusters the interval is Koopman's score interval (Biometrics
    1984;40:513), which has limits where an arm has no event. Else it is the ratio of the levels
    that `risk_difference` compares, each at the covariates of all patients, with the delta method
    on the log scale.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column that is 1 or true for the event, 0 or false for none.
        covariates: Columns known before the arm was, or a formula such as "age + C(sex)".
        cluster: Column that names what was assigned or is independent, such as the clinic.
        strata: Column or columns within which the arms were drawn.
        randomised: True where chance decided the arm.
        better: "higher" if the event is good for patients, "lower" if bad; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason why it is no mistake here; "clusters" can be overridden.
        conf_level: Coverage of the intervals.

    Returns:
        The rows of `risk_difference`, the risk ratio first, its `std_error` on the log scale.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: As `risk_difference`.

    Examples:
        >>> import pandas as pd
        >>> came = [1] * 36 + [0] * 4 + [1] * 16 + [0] * 64
        >>> data = pd.DataFrame({"arm": [1] * 40 + [0] * 80, "came": came})
        >>> risk_ratio(data, arm="arm", outcome="came", randomised=True, better="higher")
        Risk ratio in came, programme against control: 4.50 (95 % interval 2.94 to 7.15); levels \
90.0 % and 20.0 %; 120 patients.
    """
    asked = Asked(
        arm, outcome, covariates, cluster, strata, randomised, "", better, arms, override,
        conf_level,
    )  # fmt: skip
    return _risks(data, asked, headline=_RATIO)


def mean_difference(
    data: Any,
    *,
    arm: str,
    outcome: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | None = None,
    strata: Sequence[str] | str | None = None,
    randomised: bool = False,
    unit: str = "",
    better: str = "",
    arms: tuple[str, str] = ("control", "programme"),
    override: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> Effect:
    """Return by how much the mean of an outcome differs between two arms.

    Errors are HC2 (MacKinnon and White, J Econometrics 1985;29:305). With the outcome's own value
    before the programme among the covariates this is the analysis of covariance, each covariate
    centred and by arm (Lin, Ann Appl Stat 2013;7:295); it compares patients who began alike, which
    a change from before to after does not. With clusters errors are CR2 with Satterthwaite's
    degrees of freedom, and a t-test of the clusters' means stands beside.

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of numbers. Rows where it is missing are left out and counted.
        covariates: Columns known before the arm was, or a formula such as "age + C(sex)".
        cluster: Column that names what was assigned or is independent, such as the clinic.
        strata: Column or columns within which the arms were drawn.
        randomised: True where chance decided the arm.
        unit: Unit of the outcome, such as "mmHg".
        better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
        arms: What arm 0 and arm 1 are called.
        override: Refusal -> reason why it is no mistake here; "clusters" can be overridden.
        conf_level: Coverage of the intervals.

    Returns:
        A row `mean difference`; with clusters assigned whole a row `cluster-mean t`, and, where an
        arm has fewer than 4, a row `permutation test`.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given.
        DataError: As `risk_difference`; an arm of one row, of which no spread is known.

    Examples:
        >>> import pandas as pd
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> effect = mean_difference(data, arm="arm", outcome="score", randomised=True)
        >>> effect.estimates[["term", "estimate", "std_error", "method"]].round(4)
                      term  estimate  std_error      method
        0  mean difference       3.0     0.7071  means, HC2
    """
    asked = Asked(
        arm, outcome, covariates, cluster, strata, randomised, unit, better, arms, override,
        conf_level,
    )  # fmt: skip
    opened = open_asked(data, asked, kind="number")
    levels = fit_levels(opened)
    table, seed = _difference_rows(
        opened, levels, asked, term="mean difference", scale=unit or "difference in means"
    )
    return make_effect(
        asked, opened, table, measure="mean difference",
        estimand=f"difference in mean {outcome}, {among(asked, opened)}",
        variance=levels.method(), levels=levels.by_arm, n_events=None, seed=seed,
    )  # fmt: skip


# --- rows -----------------------------------------------------------------------------------------


def _risks(data: Any, asked: Asked, *, headline: str) -> Effect:
    opened = open_asked(data, asked, kind="binary")
    simple = asked.cluster is None and not opened.terms
    if simple:
        table, levels, variance, seed = *_score_rows(opened, asked), None
    else:
        table, levels, variance, seed = _model_rows(opened, asked)
    more, needed = _needed_row(table[0], asked)
    table.insert(2, needed)
    if headline == _RATIO:
        table[0], table[1] = table[1], table[0]
    what = {_SHARE: "difference in", _RATIO: "ratio of"}[headline]
    return make_effect(
        asked, opened, table, measure=headline,
        estimand=f"{what} the share with {asked.outcome}, {among(asked, opened)}",
        variance=variance, levels=levels, n_events=int(opened.rows.outcome.sum()), seed=seed,
        more=more,
    )  # fmt: skip


def _score_rows(opened: Opened, asked: Asked) -> tuple[list[dict[str, Any]], dict[int, float], str]:
    """Return difference and ratio of two independent shares by score intervals."""
    rows, n = opened.rows, opened.rows.sizes()
    total = int(rows.outcome.sum())
    treated = int(rows.outcome[rows.arm == 1].sum())
    events = (total - treated, treated)
    share = rows.means()
    error = math.sqrt(sum(share[k] * (1 - share[k]) / n[k] for k in (0, 1)))
    settings: dict[str, Any] = {"n": rows.n, "n_events": total, "conf_level": asked.conf_level}
    p_value = {"p_value": pearson_p_value(events, n)}
    low, high = newcombe_interval(events, n, conf_level=asked.conf_level)
    first = estimate_row(
        _SHARE, share[1] - share[0], error, scale=_SHARE, method="Newcombe score interval",
        **settings,
    )  # fmt: skip
    first |= {"conf_low": low, "conf_high": high} | p_value
    low, high = koopman_interval(events, n, conf_level=asked.conf_level)
    # Without events in the comparison the ratio is infinite, or 0 over 0.
    ratio = share[1] / share[0] if share[0] > 0 else (math.inf if treated else math.nan)
    second = first | {
        "term": _RATIO, "estimate": ratio, "std_error": log_ratio_error(events, n),
        "conf_low": low, "conf_high": high, "scale": _RATIO, "method": "Koopman score interval",
    }  # fmt: skip
    variance = "Newcombe's hybrid of score intervals (method 10); ratio: Koopman's score interval"
    return [first, second], share, variance


def _model_rows(
    opened: Opened, asked: Asked
) -> tuple[list[dict[str, Any]], dict[int, float], str, int | None]:
    levels = fit_levels(opened)
    rows, seed = _difference_rows(opened, levels, asked, term=_SHARE, scale=_SHARE)
    log_ratio, error, df = levels.log_ratio()
    method = f"ratio of levels, delta; {levels.method()}"
    if math.isnan(log_ratio):
        method = "not known: an adjusted level is not above 0"
    ratio = ratio_row(
        _RATIO, log_ratio, error, scale=_RATIO, method=method, n=opened.rows.n, df=df,
        n_events=rows[0]["n_events"], conf_level=asked.conf_level,
    )  # fmt: skip
    rows.insert(1, ratio)
    return rows, levels.by_arm, levels.method(), seed


def _difference_rows(
    opened: Opened, levels: ArmLevels, asked: Asked, *, term: str, scale: str
) -> tuple[list[dict[str, Any]], int | None]:
    """Return the difference of levels and, with clusters, what stands beside it."""
    estimate, error, df = levels.difference()
    n_events = int(opened.rows.outcome.sum()) if term == _SHARE else None
    settings: dict[str, Any] = {
        "scale": scale, "n": opened.rows.n, "n_events": n_events, "conf_level": asked.conf_level,
    }  # fmt: skip
    first = estimate_row(term, estimate, error, df=df, method=levels.method(), **settings)
    opened.checks += cluster_check(opened, df)
    beside, seed = cluster_rows(opened, **settings)
    return [first, *beside], seed


def _needed_row(difference: dict[str, Any], asked: Asked) -> tuple[dict[str, str], dict[str, Any]]:
    limits = (difference["conf_low"], difference["conf_high"])
    needed = number_needed(difference["estimate"], *limits, better=asked.better)
    words = str(needed.pop("words"))
    row = difference | needed
    row |= {"term": "number needed to treat", "std_error": math.nan, "p_value": math.nan}
    row |= {"method": "one over the risk difference"}
    return {"number_needed": words}, row
