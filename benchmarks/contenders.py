"""Each task once with this package and once with each library people use instead.

A function prepares its input and returns what is timed; what is timed returns a few numbers of its
answer, so that the comparison can refuse answers that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import duckdb
import numpy as np
import pandas as pd
from inputs import COVARIATES

Run = Callable[[], Iterable[float]]
DAY = 365
LAPSE_DAYS = 180
VISITS_CUTOFF = pd.Timestamp("2023-12-30")


# --- Kaplan-Meier, from a file --------------------------------------------------------------------


def ours_km(path: str) -> Run:
    from loyalty_research.retention.curves import kaplan_meier

    def run() -> list[float]:
        table = duckdb.connect().sql(f"SELECT time, event FROM '{path}'")
        curve = kaplan_meier(table).set_index("time")
        return [curve.loc[DAY, "estimate"], curve.loc[DAY, "n_at_risk"]]

    return run


def lifelines_km(path: str) -> Run:
    from lifelines import KaplanMeierFitter

    def run() -> list[float]:
        table = pd.read_parquet(path, columns=["time", "event"])
        fit = KaplanMeierFitter().fit(table["time"], table["event"])
        return [fit.survival_function_.iloc[:, 0].loc[DAY], fit.event_table["at_risk"].loc[DAY]]

    return run


# --- competing risks and tests --------------------------------------------------------------------


def ours_aalen_johansen(path: str) -> Run:
    from loyalty_research.retention.cumulative_incidence import cumulative_incidence

    table = pd.read_parquet(path, columns=["time", "cause"])

    def run() -> list[float]:
        curves = cumulative_incidence(table, event="cause")
        day = curves[curves["time"] == DAY]
        return [day.loc[day["cause"] == "lapsed", "estimate"].item()]

    return run


def statsmodels_aalen_johansen(path: str) -> Run:
    from statsmodels.duration.survfunc import CumIncidenceRight

    table = pd.read_parquet(path, columns=["time", "cause"])
    time, code = table["time"].to_numpy(), table["cause"].cat.codes.to_numpy()

    def run() -> list[float]:
        fit = CumIncidenceRight(time, code)
        return [fit.cinc[1][np.searchsorted(fit.times, DAY, side="right") - 1]]

    return run


def lifelines_aalen_johansen(path: str) -> Run:
    from lifelines import AalenJohansenFitter

    table = pd.read_parquet(path, columns=["time", "cause"])
    time, code = table["time"], table["cause"].cat.codes

    def run() -> list[float]:
        fit = AalenJohansenFitter(seed=1).fit(time, code, event_of_interest=2)
        return [float(fit.predict(DAY))]

    return run


def ours_logrank(path: str) -> Run:
    from loyalty_research.retention.group_tests import logrank_test

    table = pd.read_parquet(path, columns=["time", "event", "arm"])
    return lambda: [logrank_test(table, by="arm")["statistic"].item()]


def lifelines_logrank(path: str) -> Run:
    from lifelines.statistics import multivariate_logrank_test

    table = pd.read_parquet(path, columns=["time", "event", "arm"])

    def run() -> list[float]:
        return [
            multivariate_logrank_test(table["time"], table["arm"], table["event"]).test_statistic
        ]

    return run


# --- regression -----------------------------------------------------------------------------------


def _model(path: str, *more: str) -> pd.DataFrame:
    return pd.read_parquet(path, columns=["time", "event", *COVARIATES, *more])


def ours_cox(path: str) -> Run:
    from loyalty_research.retention.cox import cox_regression

    table = _model(path)
    return lambda: cox_regression(table, covariates=COVARIATES)["estimate"]


def lifelines_cox(path: str) -> Run:
    from lifelines import CoxPHFitter

    table = _model(path)
    return lambda: CoxPHFitter().fit(table, "time", "event").params_


def ours_cox_robust(path: str) -> Run:
    from loyalty_research.retention.cox import cox_regression

    table = _model(path, "cluster")
    return lambda: cox_regression(table, covariates=COVARIATES, cluster="cluster")["std_error"]


def lifelines_cox_robust(path: str) -> Run:
    from lifelines import CoxPHFitter

    table = _model(path, "cluster")
    # Its robust error ignores ties, so that only its coefficients can be compared.
    return lambda: CoxPHFitter().fit(table, "time", "event", cluster_col="cluster").standard_errors_


def ours_cox_entry(path: str) -> Run:
    from loyalty_research.retention.cox import cox_regression

    table = _model(path, "entry")
    return lambda: cox_regression(table, covariates=COVARIATES, entry="entry")["estimate"]


def lifelines_cox_entry(path: str) -> Run:
    from lifelines import CoxPHFitter

    table = _model(path, "entry")
    return lambda: CoxPHFitter().fit(table, "time", "event", entry_col="entry").params_


def ours_proportional_hazards(path: str) -> Run:
    from loyalty_research.retention.cox import fit_cox
    from loyalty_research.retention.proportional_hazards import check_hazards_of

    # The test of a model that is fitted already, as R's is.
    model = fit_cox(_model(path), covariates=COVARIATES)
    return lambda: check_hazards_of(model)["statistic"]


def ours_fine_gray(path: str) -> Run:
    from loyalty_research.retention.fine_gray import fine_gray

    table = _model(path, "cause").drop(columns="event")
    return lambda: fine_gray(table, event="cause", cause="lapsed", covariates=COVARIATES)[
        "estimate"
    ]


def ours_concordance(path: str) -> Run:
    from loyalty_research.retention.concordance import concordance

    table = _model(path).assign(risk=lambda rows: rows[COVARIATES].sum(axis=1))
    return lambda: [concordance(table, risk="risk")["estimate"].item()]


# --- visits ---------------------------------------------------------------------------------------


def ours_spans(path: str) -> Run:
    from loyalty_research.retention import derive_lapse_dates

    def run() -> list[float]:
        visits = duckdb.connect().sql(f"SELECT * FROM '{path}'")
        lapses = derive_lapse_dates(visits, lapse_days=LAPSE_DAYS, data_cutoff=VISITS_CUTOFF)
        return lapses.aggregate("count(*), count(lapse_date)").fetchall()[0]

    return run


def pandas_spans(path: str) -> Run:
    def run() -> list[float]:
        visits = pd.read_parquet(path).sort_values(["patient_id", "visit_date"])
        visits["visit_date"] = pd.to_datetime(visits["visit_date"])
        following = visits.groupby("patient_id")["visit_date"].shift(-1).fillna(VISITS_CUTOFF)
        lapsed = (following - visits["visit_date"]).dt.days > LAPSE_DAYS
        first = visits[lapsed].groupby("patient_id")["visit_date"].min()
        spans = visits.groupby("patient_id")["visit_date"].agg(["min", "max", "size"])
        return [len(spans), len(first)]

    return run


def ours_triangle(path: str) -> Run:
    from loyalty_research.retention import retention_triangle

    def run() -> list[float]:
        visits = duckdb.connect().sql(f"SELECT * FROM '{path}'")
        triangle = retention_triangle(visits, data_cutoff=VISITS_CUTOFF)
        return [float(triangle["n_retained"].fillna(0).sum())]

    return run


def pandas_triangle(path: str) -> Run:
    def run() -> list[float]:
        visits = pd.read_parquet(path)
        date = pd.to_datetime(visits["visit_date"])
        month = date.dt.year * 12 + date.dt.month
        active = visits[["patient_id"]].assign(month=month).drop_duplicates()
        active["cohort"] = active.groupby("patient_id")["month"].transform("min")
        active["period"] = active["month"] - active["cohort"]
        # The last month is not fully observed at the cut-off; a triangle says nothing of it.
        seen = active[active["month"] < VISITS_CUTOFF.year * 12 + VISITS_CUTOFF.month]
        return [float(seen.groupby(["cohort", "period"]).size().sum())]

    return run
