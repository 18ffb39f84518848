"""Tasks of the effects room, each with this package and with what people use instead.

As in `contenders.py` a function prepares its input and returns what is timed, whose answer is the
estimate. statsmodels fits the same regressions: its errors take weights as known, or clusters by
CR1, so that only estimates are held beside ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from inputs import CONFOUNDERS

Run = Callable[[], Iterable[float]]


# --- weights and outcome models -------------------------------------------------------------------


def ours_weights(path: str) -> Run:
    from loyalty_research.effects import propensity_weights

    table = pd.read_parquet(path, columns=[*CONFOUNDERS, "arm", "score"])

    def run() -> list[float]:
        weights = propensity_weights(table, arm="arm", covariates=CONFOUNDERS)
        return [weights.effect(outcome="score").headline["estimate"]]

    return run


def statsmodels_weights(path: str) -> Run:
    import statsmodels.api as sm

    table = pd.read_parquet(path, columns=[*CONFOUNDERS, "arm", "score"])

    def run() -> list[float]:
        arm = table["arm"].to_numpy()
        e = sm.Logit(arm, sm.add_constant(table[CONFOUNDERS].to_numpy())).fit(disp=0).predict()
        weight = np.where(arm == 1, 1 / e, 1 / (1 - e))
        design = sm.add_constant(arm.astype(float))
        fit = sm.WLS(table["score"].to_numpy(), design, weights=weight).fit(cov_type="HC1")
        return [fit.params[1]]

    return run


def ours_doubly_robust(path: str) -> Run:
    from loyalty_research.effects import doubly_robust_effect

    table = pd.read_parquet(path, columns=[*CONFOUNDERS, "arm", "score"])

    def run() -> list[float]:
        effect = doubly_robust_effect(table, arm="arm", outcome="score", covariates=CONFOUNDERS)
        return [effect.headline["estimate"]]

    return run


def statsmodels_doubly_robust(path: str) -> Run:
    import statsmodels.api as sm

    table = pd.read_parquet(path, columns=[*CONFOUNDERS, "arm", "score"])

    def run() -> list[float]:
        x = sm.add_constant(table[CONFOUNDERS].to_numpy())
        arm, score = table["arm"].to_numpy(), table["score"].to_numpy()
        e = sm.Logit(arm, x).fit(disp=0).predict()
        m1 = sm.OLS(score[arm == 1], x[arm == 1]).fit().predict(x)
        m0 = sm.OLS(score[arm == 0], x[arm == 0]).fit().predict(x)
        parts = m1 - m0 + arm * (score - m1) / e - (1 - arm) * (score - m0) / (1 - e)
        return [parts.mean()]

    return run


def ours_targeted(path: str) -> Run:
    from loyalty_research.effects import targeted_effect

    table = pd.read_parquet(path, columns=[*CONFOUNDERS, "arm", "score"])

    def run() -> list[float]:
        effect = targeted_effect(table, arm="arm", outcome="score", covariates=CONFOUNDERS)
        return [effect.headline["estimate"]]

    return run


# --- clinics by lot -------------------------------------------------------------------------------


def ours_clusters(path: str) -> Run:
    from loyalty_research.effects import mean_difference

    table = pd.read_parquet(path, columns=[*CONFOUNDERS, "lot", "drawn", "clinic"])

    def run() -> list[float]:
        effect = mean_difference(
            table, arm="lot", outcome="drawn", covariates=CONFOUNDERS, cluster="clinic",
            randomised=True,
        )  # fmt: skip
        return [effect.headline["estimate"]]

    return run


def statsmodels_clusters(path: str) -> Run:
    import statsmodels.api as sm

    table = pd.read_parquet(path, columns=[*CONFOUNDERS, "lot", "drawn", "clinic"])

    def run() -> list[float]:
        x = table[CONFOUNDERS].to_numpy()
        x = x - x.mean(axis=0)
        design = np.column_stack([np.ones(len(x)), table["lot"].to_numpy(), x])
        groups = {"groups": table["clinic"].to_numpy()}
        fit = sm.OLS(table["drawn"].to_numpy(), design).fit(cov_type="cluster", cov_kwds=groups)
        return [fit.params[1]]

    return run


# --- a staggered roll-out -------------------------------------------------------------------------


def ours_roll_out(path: str, *covariates: str) -> Run:
    from loyalty_research.effects import staggered_difference_in_differences

    table = pd.read_parquet(path)

    def run() -> list[float]:
        # All aggregations, bands and checks are made too.
        effect = staggered_difference_in_differences(
            table, outcome="y", unit="unit", period="period", first_treated="start", seed=1,
            covariates=list(covariates) or None,
        )  # fmt: skip
        return [effect.headline["estimate"]]

    return run


def moderndid_roll_out(path: str, *covariates: str) -> Run:
    from moderndid import aggte, att_gt

    table = pd.read_parquet(path)

    def run() -> list[float]:
        cells = att_gt(
            table.assign(start=table["start"].fillna(0)), yname="y", tname="period",
            idname="unit", gname="start", base_period="universal", cband=False,
            xformla=f"~ {' + '.join(covariates)}" if covariates else None,
        )  # fmt: skip
        for kind in ("dynamic", "group", "calendar"):
            aggte(cells, type=kind, boot=False, cband=False)
        return [aggte(cells, type="simple", boot=False, cband=False).overall_att]

    return run


def diff_diff_roll_out(path: str, *covariates: str) -> Run:
    from diff_diff import CallawaySantAnna

    table = pd.read_parquet(path)

    def run() -> list[float]:
        fit = CallawaySantAnna(base_period="universal", cband=False).fit(
            table.assign(start=table["start"].fillna(0)), outcome="y", unit="unit", time="period",
            first_treat="start", covariates=list(covariates) or None,
        )  # fmt: skip
        return [fit.overall_att]

    return run
