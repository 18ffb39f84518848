"""What no estimator may answer silently: the same wrong inputs given to all of them."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest

import loyalty_research as lr
from loyalty_research.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("error")

N = 60
GOOD = pd.DataFrame(
    {
        "time": [1 + (7 * i) % 23 for i in range(N)],
        "event": [i % 3 != 0 for i in range(N)],
        "cause": [("censored", "lapsed", "died")[i % 3] for i in range(N)],
        "entry": [0] * N,
        "arm": [i % 2 for i in range(N)],
        "x": [(5 * i) % 11 for i in range(N)],
        "share": [(1 + (3 * i) % 17) / 20 for i in range(N)],
        "case_weight": [1.0 + (i % 4) / 2 for i in range(N)],
        "patients_in_row": [1 + i % 3 for i in range(N)],
        "patient_id": range(N),
    }
)

ONE_CAUSE = {
    "kaplan_meier": lambda d, **m: lr.kaplan_meier(d, **m),
    "nelson_aalen": lambda d, **m: lr.nelson_aalen(d, **m),
    "quantile_time": lambda d, **m: lr.quantile_time(d, **m),
    "conditional_retention": lambda d, **m: lr.conditional_retention(d, given=2, times=[9], **m),
    "retention_band": lambda d, **m: lr.retention_band(d, **m),
    "restricted_mean_time": lambda d, **m: lr.restricted_mean_time(d, horizon=9, **m),
    "restricted_mean_difference": lambda d, **m: lr.restricted_mean_difference(
        d, arm="arm", horizon=9, **m
    ),
    "logrank_test": lambda d, **m: lr.logrank_test(d, by="arm", **m),
    "gehan_test": lambda d, **m: lr.gehan_test(d, by="arm", **m),
    "pairwise_logrank_test": lambda d, **m: lr.pairwise_logrank_test(d, by="arm", **m),
    "crossing_curves_test": lambda d, **m: lr.crossing_curves_test(d, by="arm", **m),
    "cox_regression": lambda d, **m: lr.cox_regression(d, covariates=["x"], **m),
    "check_proportional_hazards": lambda d, **m: lr.check_proportional_hazards(
        d, covariates=["x"], **m
    ),
    "check_cox": lambda d, **m: lr.check_cox(d, covariates=["x"], **m),
    "fit_parametric": lambda d, **m: lr.fit_parametric(d, distribution="weibull", **m).estimates,
    "concordance": lambda d, **m: lr.concordance(d, risk="x", **m),
    "time_dependent_auc": lambda d, **m: lr.time_dependent_auc(d, risk="x", horizon=9, **m),
    "brier_score": lambda d, **m: lr.brier_score(d, risk="share", horizon=9, **m),
    "calibration": lambda d, **m: lr.calibration(d, risk="share", horizon=9, groups=2, **m),
    "person_time_rates": lambda d, **m: lr.person_time_rates(d, by="arm", **m),
}
CAUSES = {
    "cumulative_incidence": lambda d, **m: lr.cumulative_incidence(d, event="cause", **m),
    "gray_test": lambda d, **m: lr.gray_test(d, event="cause", by="arm", **m),
    "fine_gray": lambda d, **m: lr.fine_gray(
        d, event="cause", cause="lapsed", covariates=["x"], **m
    ),
}
ALL = ONE_CAUSE | CAUSES

ODD_TIMES = {
    "negative": [-987654.0, *GOOD["time"][1:]],
    "missing": [np.nan, *GOOD["time"][1:]],
    "fractional": [987654.5, *GOOD["time"][1:]],
    "text": [str(day) for day in GOOD["time"]],
}
ODD_EVENTS = {
    "coded 1 and 2": GOOD["event"] + 1,
    "yes and no": GOOD["event"].map({True: "yes", False: "no"}),
    "missing": GOOD["event"].astype("boolean").mask(GOOD.index == 3),
}
ODD_WEIGHTS = {
    "zero": [0.0, *GOOD["case_weight"][1:]],
    "negative": [-987654.0, *GOOD["case_weight"][1:]],
    "missing": [np.nan, *GOOD["case_weight"][1:]],
    "infinite": [np.inf, *GOOD["case_weight"][1:]],
}
ODD_NUMBERS = {
    "zero": [0, *GOOD["patients_in_row"][1:]],
    "fractional": [1.5, *GOOD["patients_in_row"][1:]],
    "missing": [np.nan, *GOOD["patients_in_row"][1:]],
}


def offering(argument: str) -> list[str]:
    """Return the estimators that have an argument, by name or among their further settings.

    An argument that may be None only is there to be refused with the alternative.
    """
    found = []
    for name in ALL:
        parameters = inspect.signature(getattr(lr, name)).parameters
        is_offered = argument in parameters and parameters[argument].annotation != "None"
        if is_offered or "settings" in parameters:
            found.append(name)
    return found


def assert_refused(name: str, data: pd.DataFrame, column: str, **more: str) -> None:
    with pytest.raises(DataError) as refused:
        ALL[name](data, **more)
    first, *faults = str(refused.value).splitlines()
    assert first.endswith("in the data:")
    assert any(f"data: {column} " in fault or f"column {column} " in fault for fault in faults)
    assert all("; " in fault for fault in faults)
    assert "987654" not in "".join(faults)


@pytest.mark.parametrize("name", ALL)
def test_what_is_right_is_answered(name):
    assert len(ALL[name](GOOD)) > 0


@pytest.mark.parametrize("kind", ODD_TIMES)
@pytest.mark.parametrize("name", ALL)
def test_a_time_that_is_no_day_is_refused(name, kind):
    assert_refused(name, GOOD.assign(time=ODD_TIMES[kind]), "time")


@pytest.mark.parametrize("kind", ODD_EVENTS)
@pytest.mark.parametrize("name", ONE_CAUSE)
def test_an_event_that_is_neither_true_nor_false_is_refused(name, kind):
    assert_refused(name, GOOD.assign(event=ODD_EVENTS[kind]), "event")


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_that_is_no_text_is_refused(name):
    assert_refused(name, GOOD.assign(cause=GOOD["time"] % 3), "cause")


@pytest.mark.parametrize("name", ALL)
def test_a_table_without_rows_is_refused(name):
    with pytest.raises((DataError, UsageError), match="no rows"):
        ALL[name](GOOD.head(0))


@pytest.mark.parametrize("name", ALL)
def test_a_column_that_is_not_there_is_named(name):
    assert_refused(name, GOOD.drop(columns="time"), "time")


@pytest.mark.parametrize("name", offering("entry"))
def test_an_entry_after_the_exit_is_refused(name):
    late = GOOD.assign(entry=[99, *GOOD["entry"][1:]])
    assert_refused(name, late, "entry", entry="entry")


@pytest.mark.parametrize("kind", ODD_WEIGHTS)
@pytest.mark.parametrize("name", offering("weight"))
def test_a_weight_that_is_none_is_refused(name, kind):
    assert_refused(
        name, GOOD.assign(case_weight=ODD_WEIGHTS[kind]), "case_weight", weight="case_weight"
    )


TESTS_OF_COUNTS = (
    *("logrank_test", "gehan_test", "logrank_expected", "pairwise_logrank_test"),
    *("crossing_curves_test", "gray_test"),
)


@pytest.mark.parametrize("name", TESTS_OF_COUNTS)
def test_a_test_that_counts_patients_names_what_takes_weights(name):
    told = r"weight='case_weight': .*; compare weighted groups by cox_regression\(.*, or give freq="
    event = "cause" if name == "gray_test" else "event"
    with pytest.raises(UsageError, match=told):
        getattr(lr, name)(GOOD, by="arm", event=event, weight="case_weight")


@pytest.mark.parametrize("name", ["gray_test", "fine_gray", "fit_fine_gray"])
def test_what_compares_incidences_names_what_takes_late_entry(name):
    more = {"by": "arm"} if name == "gray_test" else {"cause": "died", "covariates": ["x"]}
    told = "entry='entry': .*; compare the rate of each cause by cause_specific_regression"
    with pytest.raises(UsageError, match=told):
        getattr(lr, name)(GOOD, event="cause", entry="entry", **more)


@pytest.mark.parametrize("name", CAUSES)
def test_causes_coded_in_numbers_are_refused_with_the_codes(name):
    coded = GOOD.assign(cause=GOOD["cause"].map({"censored": 0, "lapsed": 1, "died": 2}))
    with pytest.raises(DataError, match=r"cause is int64|cause is Int64") as refused:
        CAUSES[name](coded)
    assert "not text (found 0, 1 and 2); name the cause" in str(refused.value)


@pytest.mark.parametrize("kind", ODD_NUMBERS)
@pytest.mark.parametrize("name", offering("freq"))
def test_a_frequency_that_is_no_count_is_refused(name, kind):
    assert_refused(
        name,
        GOOD.assign(patients_in_row=ODD_NUMBERS[kind]),
        "patients_in_row",
        freq="patients_in_row",
    )


def answer(name: str, data: pd.DataFrame) -> pd.DataFrame | str:
    """Return the estimator's table, or the text of its refusal."""
    try:
        return ALL[name](data)
    except (DataError, UsageError) as refused:
        return str(refused)


EXTREMES = {
    "one row": GOOD.head(1),
    "two rows": GOOD.iloc[1:3],
    "all censored": GOOD.assign(event=False, cause="censored"),
    "all events": GOOD.assign(event=True, cause="lapsed"),
    "all on one day": GOOD.assign(time=3),
    "all on day 0": GOOD.assign(time=0, event=True, cause="died"),
    "a group without events": GOOD.assign(
        event=GOOD["event"] & (GOOD["arm"] == 0),
        cause=GOOD["cause"].where(GOOD["arm"] == 0, "censored"),
    ),
    "every row twice": pd.concat([GOOD, GOOD], ignore_index=True),
}


@pytest.mark.parametrize("kind", EXTREMES)
@pytest.mark.parametrize("name", ALL)
def test_what_is_extreme_is_answered_with_numbers_or_refused(name, kind):
    table = answer(name, EXTREMES[kind])
    if isinstance(table, str):
        assert "; " in table
        return
    numbers = table.select_dtypes("float").to_numpy()
    assert not np.isinf(numbers).any()
    if "estimate" in table:
        limits = table[["conf_low", "estimate", "conf_high"]].dropna()
        assert (limits["conf_low"] <= limits["estimate"] + 1e-12).all()
        assert (limits["estimate"] <= limits["conf_high"] + 1e-12).all()
