from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.rate_regression import check_overdispersion, rate_regression

FOUR = pd.DataFrame({"visits": [2, 4, 3, 9], "years": [1.0, 2.0, 1.0, 2.0], "member": [0, 0, 1, 1]})
NAMES = {"events": "visits", "exposure": "years", "covariates": ["member"]}
MADE = {"events": "events", "exposure": "exposure", "covariates": ["age", "arm"]}


def made(published) -> pd.DataFrame:
    return pd.DataFrame(published("recurrent")["rate"]["data"])


# --- by hand --------------------------------------------------------------------------------------


def test_the_ratio_of_two_groups_is_that_of_events_per_time():
    row = rate_regression(FOUR, **NAMES).iloc[0]
    assert np.exp(row["estimate"]) == pytest.approx((12 / 3) / (6 / 3))


def test_the_robust_error_adds_the_squared_residuals_of_each_group():
    # Members are expected 4 and 8 and had 3 and 9: 1 + 1 over 12^2; the others had 2 and 4, as
    # expected.
    row = rate_regression(FOUR, **NAMES).iloc[0]
    assert row["std_error"] == pytest.approx((2 / 12**2) ** 0.5)


def test_pearsons_statistic_by_hand(assert_columns):
    check = check_overdispersion(FOUR, **NAMES)
    assert_columns(check, "checks")
    assert check["statistic"].item() == pytest.approx((1 / 4 + 1 / 8) / 2)
    assert check["passed"].item()
    assert check["message"].item() == "The counts vary no more than a Poisson model allows"


def test_estimates_have_the_fixed_columns(assert_columns):
    table = rate_regression(FOUR, **NAMES)
    assert_columns(table, "estimates")
    assert table["n_events"].item() == 18
    assert table["scale"].item() == "log rate ratio"


# --- published numbers ----------------------------------------------------------------------------


def test_poisson_rates_as_in_glm_with_sandwich(published):
    reference = published("recurrent")["rate"]["poisson"]
    table = rate_regression(made(published), **MADE)
    # Fitted numbers: the same to 1e-6.
    assert table["estimate"].tolist() == pytest.approx(reference["estimate"][1:], rel=1e-6)
    assert table["std_error"].tolist() == pytest.approx(reference["robust"][1:], rel=1e-6)
    by_site = rate_regression(made(published), cluster="site", **MADE)
    assert by_site["std_error"].tolist() == pytest.approx(reference["cluster"][1:], rel=1e-6)


def test_negative_binomial_rates_as_in_glm_nb_with_sandwich(published):
    reference = published("recurrent")["rate"]["negative_binomial"]
    table = rate_regression(made(published), family="negative binomial", **MADE)
    assert table["estimate"].tolist() == pytest.approx(reference["estimate"][1:], rel=1e-6)
    assert table["std_error"].tolist() == pytest.approx(reference["robust"][1:], rel=1e-6)
    assert table["method"].iloc[0] == "Negative binomial, theta 1.929, robust error"


def test_overdispersion_as_in_glm(published):
    check = check_overdispersion(made(published), **MADE)
    expected = published("recurrent")["rate"]["poisson"]["dispersion"]
    assert check["statistic"].item() == pytest.approx(expected, rel=1e-8)
    assert not check["passed"].item()


# --- a simulated truth ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["poisson", "negative binomial"])
def test_a_known_ratio_is_recovered(family):
    rng = np.random.default_rng(1)
    n, b = 3000, 0.4
    data = pd.DataFrame({"member": rng.integers(0, 2, n), "years": rng.uniform(0.2, 4, n)})
    rate = 1.5 * rng.gamma(1.5, 1 / 1.5, n) * np.exp(b * data["member"]) * data["years"]
    row = rate_regression(data.assign(visits=rng.poisson(rate)), family=family, **NAMES).iloc[0]
    assert abs(row["estimate"] - b) < 4 * row["std_error"]


# --- properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["poisson", "negative binomial"])
def test_order_and_the_unit_of_time_change_nothing(published, family):
    data = made(published)
    expected = rate_regression(data, family=family, **MADE)
    shuffled = data.sample(frac=1, random_state=4)
    years = shuffled.assign(exposure=shuffled["exposure"] / 365.25)
    table = rate_regression(years, family=family, **MADE)
    pd.testing.assert_frame_equal(table, expected, rtol=1e-6)


def test_clusters_of_one_row_are_rows(published):
    data = made(published).assign(row=range(200))
    expected = rate_regression(data, **MADE)["std_error"]
    table = rate_regression(data, cluster="row", **MADE)
    pd.testing.assert_series_equal(table["std_error"], expected)


def test_periods_of_a_patient_may_be_split_if_clustered():
    halves = pd.concat([FOUR.assign(visits=FOUR["visits"] - 1), FOUR.assign(visits=1)])
    halves = halves.assign(years=halves["years"] / 2, patient=[*range(4), *range(4)])
    table = rate_regression(halves, cluster="patient", **NAMES)
    whole = rate_regression(FOUR, **NAMES)
    for name in ("estimate", "std_error"):
        assert table[name].item() == pytest.approx(whole[name].item())


def test_every_engine_gives_the_same_estimates(engine, published):
    data = made(published).assign(arm=lambda part: part["arm"].map({0: "甲", 1: "乙"}))
    expected = rate_regression(data, **MADE)
    assert expected["term"].tolist() == ["age", "arm[甲]"]
    pd.testing.assert_frame_equal(rate_regression(engine.make(data), **MADE), expected, rtol=1e-8)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visits": 0.5}, "visits is not a whole number in 4 of 4 rows"),
        ({"visits": -1}, "visits is not a whole number in 4 of 4 rows"),
        ({"visits": 0}, "visits is 0 in every row"),
        ({"visits": "two"}, "visits is object, not a count"),
        ({"visits": None}, "visits is missing in 4 of 4 rows"),
        ({"visits": [0, 0, 3, 9]}, "member separates those with the event"),
        ({"years": 0}, "years is not above 0 in 4 of 4 rows; leave out rows without time"),
        ({"years": np.inf}, "years is not above 0"),
        ({"years": [1, 1, None, 1]}, "years is missing in 1 of 4 rows"),
        ({"member": 1}, "member is the same in every row"),
        ({"site": 1}, "site names one cluster only"),
    ],
)
def test_counts_that_cannot_be_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        rate_regression(FOUR.assign(**{"site": [1, 2, 3, 4], **change}), cluster="site", **NAMES)


def test_a_negative_binomial_without_extra_spread_is_refused():
    with pytest.raises(DataError, match="so that theta is infinite; use family='poisson'"):
        rate_regression(pd.concat([FOUR] * 10), family="negative binomial", **NAMES)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(UsageError, match="family='negbin' is not known"):
        rate_regression(FOUR, family="negbin", **NAMES)
    with pytest.raises(DataError, match="column year is missing; did you mean years"):
        rate_regression(FOUR, events="visits", exposure="year", covariates=["member"])
    with pytest.raises(DataError, match="the table has no rows"):
        rate_regression(FOUR.iloc[:0], **NAMES)
    with pytest.raises(DataError, match="no more rows than coefficients"):
        check_overdispersion(FOUR.iloc[1:3], **NAMES)
