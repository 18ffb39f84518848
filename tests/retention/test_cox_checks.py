from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.cox import cox_regression, fit_cox
from loyalty_research.retention.cox_checks import check_cox
from loyalty_research.retention.proportional_hazards import (
    check_proportional_hazards,
    check_proportional_hazards_1994,
    schoenfeld_over_time,
)

# One member leaves, then one of the others, and a member stays.
THREE_PATIENTS = pd.DataFrame({"time": [1, 2, 3], "event": [1, 1, 0], "member": [1, 0, 1]})
CHECKS = [
    "events per variable", "separation", "convergence", "collinearity", "strata", "influence",
]  # fmt: skip


def made(published, which: str = "made") -> pd.DataFrame:
    return pd.DataFrame(published("cox")["data"][which])


def checked(data: pd.DataFrame, **settings) -> pd.DataFrame:
    return check_cox(data, **settings).set_index("check")


# --- by hand --------------------------------------------------------------------------------------


def test_checks_have_the_fixed_columns(assert_columns):
    table = check_cox(THREE_PATIENTS, covariates=["member"])
    assert_columns(table, "checks")
    assert table["check"].tolist() == CHECKS
    assert table["gating"].tolist() == [False, True, True, False, False, False]
    assert table["passed"].tolist() == [False, True, True, True, True, None]
    assert table["message"].iloc[4] == "there are no strata"


def test_events_are_counted_for_each_term():
    row = checked(THREE_PATIENTS, covariates=["member"]).loc["events per variable"]
    # 2 events, 1 term
    assert row[["statistic", "threshold", "passed"]].tolist() == [2, 10, False]
    assert row["message"] == "2 events for 1 term; 10 a term are advised"
    row = checked(THREE_PATIENTS, covariates=["member"], events_per_variable=2)
    assert row.loc["events per variable", "passed"]


def test_a_text_of_three_levels_has_two_terms_and_a_frequency_so_many_events(published):
    data = made(published)
    n_events = int((data["event"] * data["freq"]).sum())
    found = checked(data, covariates=["plan"], freq="freq").loc["events per variable", "statistic"]
    assert found == n_events / 2


def test_the_variance_inflation_is_one_over_what_the_others_leave():
    # x: 0 0 1 1 and z: 0 1 1 1, twice; their products sum to 1/2, their squares to 1 and 3/4.
    # So the squared correlation is (1/4) / (3/4) = 1/3, and the inflation 1 / (1 - 1/3).
    data = pd.DataFrame(
        {
            "time": [3, 2, 1, 4, 8, 6, 7, 5], "event": 1,
            "x": [0, 0, 1, 1, 0, 0, 1, 1], "z": [0, 1, 1, 1, 0, 1, 1, 1],
        }
    )  # fmt: skip
    found = checked(data, covariates=["x", "z"]).loc["collinearity"]
    assert found["statistic"] == pytest.approx(1.5, rel=1e-10)
    assert found["threshold"] == 10
    assert found["passed"]
    alone = checked(data, covariates=["x"]).loc["collinearity", "statistic"]
    assert alone == pytest.approx(1, rel=1e-10)


def test_covariates_that_are_nearly_one_do_not_pass(published):
    data = made(published).assign(twin=lambda part: part["x"] + part["row"] % 2 / 10)
    row = checked(data, covariates=["z", "x", "twin"]).loc["collinearity"]
    assert row["statistic"] > 100
    assert not row["passed"]
    assert row["message"].startswith(("the variance of x is", "the variance of twin is"))


def test_the_columns_of_one_text_or_spline_are_not_held_against_each_other(published):
    data = made(published)
    # The columns of a spline explain each other; alone in a model they have nothing else.
    row = checked(data, covariates="bs(x, df=5)").loc["collinearity", "statistic"]
    assert row == pytest.approx(1, rel=1e-8)
    # Which level is the reference does not matter.
    order = pd.Categorical(data["plan"], ["silver", "none", "gold"])
    one, other = (
        checked(part, covariates=["plan", "x"]).loc["collinearity", "statistic"]
        for part in (data, data.assign(plan=order))
    )
    assert one == pytest.approx(other, rel=1e-10)


def test_strata_that_tell_nothing_are_counted():
    data = pd.DataFrame(
        {
            "time": [1, 2, 3, 4, 5, 6], "event": [1, 1, 0, 1, 0, 0],
            "member": [1, 0, 1, 0, 1, 0], "site": ["a", "a", "a", "b", "c", "c"],
        }
    )  # fmt: skip
    row = checked(data, covariates=["member"], strata="site").loc["strata"]
    # b has one row, c no event.
    assert row[["statistic", "threshold", "passed"]].tolist() == [2, 0, False]
    assert row["message"] == "2 of 3 strata have no event or one row, and tell nothing"


def test_the_influence_is_the_largest_score_over_the_root_of_the_information():
    # As in the hand case of the model: r = 1 / sqrt 2, means 2 - sqrt 2 and sqrt 2 - 1.
    r, p, q = 2**-0.5, 2 - 2**0.5, 2**0.5 - 1
    first, second = 1 / (2 * r + 1), 1 / (1 + r)
    scores = [
        (1 - p) - r * (1 - p) * first,
        (0 - q) - (0 - p) * first - (0 - q) * second,
        -r * ((1 - p) * first + (1 - q) * second),
    ]
    expected = max(map(abs, scores)) / (p * (1 - p) + q * (1 - q)) ** 0.5
    row = checked(THREE_PATIENTS, covariates=["member"]).loc["influence"]
    assert row["statistic"] == pytest.approx(expected, rel=1e-8)
    assert row["message"] == (
        f"without one patient member moves by {expected:.2f} standard errors at most"
    )
    assert row["passed"] is None


# --- separation -----------------------------------------------------------------------------------


def test_separation_is_reported_with_its_terms_and_nothing_else_is_known(assert_columns):
    data = pd.DataFrame(
        {"time": range(1, 9), "event": 1, "x": range(8, 0, -1), "z": [1, 0, 1, 0, 0, 1, 1, 0]}
    )
    table = check_cox(data, covariates=["x", "z"])
    assert_columns(table, "checks")
    table = table.set_index("check")
    row = table.loc["separation"]
    assert row["passed"] is False
    assert row["statistic"] >= 1
    assert "x" in row["message"].split(" without")[0].split(", ")
    others = table.drop(index="separation")
    assert others["statistic"].isna().all()
    assert others["passed"].tolist() == [None] * 5


# --- properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"weight": "weight"}, {"cluster": "family"}, {"strata": "site", "ties": "breslow"}],
)
def test_frequencies_and_the_order_of_rows_change_nothing(published, settings):
    data = made(published, "after")
    one = check_cox(data, covariates=["x", "plan"], entry="entry", freq="freq", **settings)
    repeated = data.loc[data.index.repeat(data["freq"])].sample(frac=1, random_state=2)
    other = check_cox(repeated, covariates=["x", "plan"], entry="entry", **settings)
    pd.testing.assert_frame_equal(one, other, rtol=1e-7)


def test_the_influence_is_near_what_leaving_one_patient_out_does(published):
    data = made(published, "after")
    settings = {"covariates": ["x", "z"], "entry": "entry", "ties": "breslow"}
    whole = fit_cox(data, **settings)
    error = whole.estimates["std_error"].to_numpy()
    moved = [
        np.abs(fit_cox(data.drop(row), **settings).fit.coefficients - whole.fit.coefficients)
        for row in data.index
    ]
    found = checked(data, **settings).loc["influence", "statistic"]
    # First order only: about a tenth off where one patient matters most.
    assert found == pytest.approx((np.array(moved) / error).max(), rel=0.15)


def test_a_whole_cluster_moves_the_model(published):
    data = made(published)
    row = checked(data, covariates=["x"], cluster="family").loc["influence"]
    assert row["message"].startswith("without one cluster x moves by")


def test_exact_ties_have_no_influence_but_all_other_checks(published):
    table = checked(made(published), covariates=["x", "z"], ties="exact")
    assert np.isnan(table.loc["influence", "statistic"])
    assert table.loc["influence", "message"] == "not known with exact ties"
    assert table.drop(index="influence")["statistic"].notna().all()


def test_every_engine_gives_the_same_checks(published, engine):
    data = made(published)
    settings = {"covariates": "x + C(plan)", "strata": "site"}
    one = check_cox(data, **settings)
    pd.testing.assert_frame_equal(check_cox(engine.make(data), **settings), one, rtol=1e-7)


# --- refusals -------------------------------------------------------------------------------------


def test_what_a_model_refuses_its_checks_refuse_too():
    with pytest.raises(DataError, match="member is the same in every row"):
        check_cox(THREE_PATIENTS.assign(member=1), covariates=["member"])
    with pytest.raises(UsageError, match="ties"):
        check_cox(THREE_PATIENTS, covariates=["member"], ties="none")


def test_events_per_variable_is_a_whole_number_from_one():
    with pytest.raises(UsageError, match="events_per_variable"):
        check_cox(THREE_PATIENTS, covariates=["member"], events_per_variable=0)


@pytest.mark.parametrize(
    "function",
    [
        check_cox,
        cox_regression,
        check_proportional_hazards,
        check_proportional_hazards_1994,
        schoenfeld_over_time,
    ],
    ids=lambda function: function.__name__,
)
def test_a_misspelt_setting_is_told_in_the_name_of_the_function_that_was_called(function):
    told = f"{function.__name__} has no argument 'starta'; did you mean \"strata\""
    with pytest.raises(UsageError, match=told):
        function(THREE_PATIENTS, covariates=["member"], starta="site")
    with pytest.raises(
        UsageError, match="has no argument 'q'; it takes cluster, conf_level, entry"
    ):
        function(THREE_PATIENTS, covariates=["member"], q=1)
