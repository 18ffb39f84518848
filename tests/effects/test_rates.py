from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.datasets import randhie

from loyalty_research.effects.count_model import fit_counts, fit_overdispersed
from loyalty_research.effects.rates import rate_ratio
from loyalty_research.errors import DataError, DesignError
from loyalty_research.retention.design_matrix import SeparationError

FOUR = pd.DataFrame({"arm": [0, 0, 1, 1], "visits": [2, 4, 3, 9], "years": [1.0, 2, 1, 2]})
NAMES = {"arm": "arm", "outcome": "visits", "randomised": True}


def visits(rng, n=400, ratio=1.25):
    """METHODS setting I: negative binomial with alpha 1, risk ratio 1.25, here of mean 3."""
    arm = rng.permutation(np.arange(n) % 2)
    return pd.DataFrame({"arm": arm, "visits": rng.poisson(3 * ratio**arm * rng.gamma(1, 1, n))})


# --- by hand --------------------------------------------------------------------------------------


def test_ratio_and_difference_of_rates_by_hand(assert_columns):
    # 6 visits in 3 years against 12 in 3. Expected 2, 4, 4, 8; residuals 0, 0, -1, 1: the log rate
    # of arm 1 has the variance 2 / 12^2, times n / (n - k) = 4 / 2.
    effect = rate_ratio(FOUR, **NAMES, exposure="years", better="higher")
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")
    ratio, difference = effect.estimates.iloc[0], effect.estimates.iloc[1]
    assert ratio["estimate"] == pytest.approx(2)
    assert ratio["std_error"] == pytest.approx((2 * 2 / 144) ** 0.5)
    # t(.975, 2) = 4.302653.
    assert ratio["conf_high"] == pytest.approx(2 * math.exp(4.302653 / 6), rel=1e-6)
    assert difference["estimate"] == pytest.approx(2)
    assert difference["std_error"] == pytest.approx(4 / 6)
    assert difference["scale"] == "visits per years"
    assert effect.facts.levels == pytest.approx({0: 2, 1: 4})
    assert "levels 4 and 2 visits per years; 4 patients" in effect.sentence()
    # Pearson's statistic (1 / 4 + 1 / 8) / 2.
    check = effect.checks.set_index("check").loc["dispersion"]
    assert (check["statistic"], check["passed"]) == (pytest.approx(3 / 16), True)


def test_clusters_of_equal_exposure_by_hand():
    # Rates 2, 4 without and 6, 10 with, each clinic with one patient-year in two rows.
    data = pd.DataFrame(
        {"arm": [0] * 4 + [1] * 4, "clinic": np.repeat(range(4), 2),
         "visits": [1, 1, 1, 3, 2, 4, 6, 4], "years": 0.5}
    )  # fmt: skip
    effect = rate_ratio(data, **NAMES, exposure="years", cluster="clinic")
    table = effect.estimates.set_index("term")
    assert table.loc["rate ratio", "estimate"] == pytest.approx(16 / 6)
    # On the log scale of an arm of mean 3 the two clinics differ from it by -1/3 and 1/3 and the
    # CR2 variance of a mean of two is their sample variance over 2; arm 1: -1/4 and 1/4.
    error = (2 / 9 / 2 + 2 / 16 / 2) ** 0.5
    assert table.loc["rate ratio", "std_error"] == pytest.approx(error)
    logs = [math.log(v) for v in (2, 4, 6, 10)]
    expected = math.exp((logs[2] + logs[3] - logs[0] - logs[1]) / 2)
    assert table.loc["cluster-mean t", "estimate"] == pytest.approx(expected)
    assert table.loc["permutation test", "p_value"] == pytest.approx(2 / 6)
    assert effect.failed == ["clusters"]


# --- published numbers and references -------------------------------------------------------------


def test_visits_under_cost_sharing_rand_experiment():
    people = randhie.load_pandas().data
    part = people[people["lncoins"].round(2).isin([0, 4.56])]
    part = part.assign(arm=(part["lncoins"] > 4).astype(int))
    effect = rate_ratio(part, arm="arm", outcome="mdvis", randomised=True)
    found = effect.estimates.loc[0, ["estimate", "conf_low", "conf_high"]].tolist()
    assert found == pytest.approx([0.676, 0.625, 0.731], abs=5e-4)
    assert effect.estimates["term"].tolist()[2] == "rate ratio, negative binomial"
    assert effect.checks.set_index("check").loc["dispersion", "statistic"] > 5


def test_a_poisson_model_of_all_their_covariates():
    people = randhie.load_pandas().data.astype(float)
    x = np.column_stack([np.ones(len(people)), people.drop(columns="mdvis")])
    fit = fit_counts(x, people["mdvis"].to_numpy(), offset=np.zeros(len(people)))
    assert fit.beta[1] == pytest.approx(-0.0525, abs=5e-5)
    assert fit.working.bread[1, 1] ** 0.5 == pytest.approx(0.0029, abs=5e-5)
    assert fit.covariance[1, 1] ** 0.5 == pytest.approx(0.0072, abs=5e-5)


def test_both_models_as_in_glm_and_glm_nb(published):
    reference = published("recurrent")["rate"]
    data = pd.DataFrame(reference["data"])
    second = sorted(set(data["arm"]))[1]
    x = np.column_stack([np.ones(len(data)), data["age"], data["arm"] == second])
    y, offset = data["events"].to_numpy(float), np.log(data["exposure"].to_numpy(float))
    # R's sandwich is HC0; ours is n / (n - 3) times it.
    factor = (len(y) / (len(y) - 3)) ** 0.5
    for fit, name in (
        (fit_counts(x, y, offset=offset), "poisson"),
        (fit_overdispersed(x, y, offset=offset), "negative_binomial"),
    ):
        assert fit.beta.tolist() == pytest.approx(reference[name]["estimate"], rel=1e-6)
        error = np.sqrt(np.diag(fit.covariance))
        expected = [factor * value for value in reference[name]["robust"]]
        assert error.tolist() == pytest.approx(expected, rel=1e-6)
    assert fit.theta == pytest.approx(1.929, abs=5e-4)


def test_cr2_of_counts_as_computed_with_dense_matrices():
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(8), [2, 3, 4, 5, 3, 4, 2, 6])
    x = np.column_stack([np.ones(29), cluster % 2, rng.normal(size=29)])
    y = rng.poisson(np.exp(0.5 + 0.3 * x[:, 1])).astype(float)
    fit = fit_counts(x, y, offset=np.zeros(29), cluster=cluster)
    mean = np.exp(x @ fit.beta)
    root, pearson = np.sqrt(mean), (y - mean) / np.sqrt(mean)
    xw = x * root[:, None]
    bread = np.linalg.inv(xw.T @ xw)
    hat, meat = xw @ bread @ xw.T, 0.0
    for k in range(8):
        at = np.flatnonzero(cluster == k)
        values, vectors = np.linalg.eigh(np.eye(len(at)) - hat[np.ix_(at, at)])
        score = xw[at].T @ (vectors @ np.diag(values**-0.5) @ vectors.T) @ pearson[at]
        meat = meat + np.outer(score, score)
    assert fit.covariance == pytest.approx(bread @ meat @ bread, rel=1e-6)


def test_counts_that_vary_too_little_have_an_infinite_theta():
    x = np.ones((6, 1))
    fit = fit_overdispersed(x, np.array([2.0, 2, 3, 2, 2, 3]), offset=np.zeros(6))
    assert math.isinf(fit.theta)


# --- simulated truths -----------------------------------------------------------------------------


def test_the_robust_error_holds_where_poissons_does_not():
    rng, found = np.random.default_rng(7), []
    for _ in range(150):
        table = rate_ratio(visits(rng), **NAMES).estimates
        inside = (table["conf_low"] <= 1.25) & (table["conf_high"] >= 1.25)
        found.append([inside[0], math.log(table["estimate"][0]), table["std_error"][0]])
    cover, log_ratio, error = np.array(found, float).T
    # METHODS found .934 with 400 patients; three Monte-Carlo errors of .95.
    assert cover.mean() == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 150) ** 0.5)
    assert error.mean() / log_ratio.std() == pytest.approx(1, abs=0.15)
    assert log_ratio.mean() == pytest.approx(math.log(1.25), abs=4 * log_ratio.std() / 150**0.5)


def test_theta_is_recovered():
    data = visits(np.random.default_rng(8), n=20_000)
    x = np.column_stack([np.ones(20_000), data["arm"]])
    fit = fit_overdispersed(x, data["visits"].to_numpy(float), offset=np.zeros(20_000))
    assert fit.theta == pytest.approx(1, abs=0.05)


# --- properties and refusals ----------------------------------------------------------------------


def test_order_and_the_unit_of_time_change_no_ratio(engine):
    rng = np.random.default_rng(9)
    data = visits(rng).assign(years=rng.uniform(0.5, 2, 400), age=rng.normal(60, 9, 400))
    names = NAMES | {"exposure": "years", "covariates": ["age"]}
    expected = rate_ratio(data, **names).estimates.iloc[0]
    days = engine.make(data.assign(years=data["years"] * 365.25))
    found = rate_ratio(days, **names).estimates.iloc[0]
    assert found[1:7].astype(float).tolist() == pytest.approx(expected[1:7].tolist(), rel=1e-8)


@pytest.mark.parametrize(
    ("changed", "more", "match"),
    [
        ({"visits": [0, 0, 1, 2]}, {}, "arm 0 has no event, so that the ratio is 0 or infinite"),
        ({"visits": [0.5, 1, 1, 1]}, {}, "visits is no count in 1 of 4 rows"),
        ({"years": [0.0, 1, 1, 1]}, {"exposure": "years"}, "years is not above 0 in 1 of 4"),
        ({"age": [1.0, 2, 3, 5]}, {"covariates": ["age"]}, "arm 0 has 2 rows; 3 are needed"),
    ],
)
def test_counts_that_cannot_be_compared_are_refused(changed, more, match):
    with pytest.raises(DataError, match=match):
        rate_ratio(FOUR.assign(**changed), **NAMES, **more)


def test_a_level_without_events_is_refused_by_name():
    data = pd.DataFrame({"arm": [0, 1] * 20, "visits": [1, 2, 0, 0] * 10, "old": [0, 0, 1, 1] * 10})
    with pytest.raises(SeparationError, match="old separates"):
        rate_ratio(data, **NAMES, covariates=["old"])


def test_clinics_assigned_whole_are_refused():
    data = pd.DataFrame({"arm": [0, 0, 1, 1], "visits": [1, 2, 3, 4], "clinic": list("aabb")})
    with pytest.raises(DesignError, match="cluster='clinic'"):
        rate_ratio(data, **NAMES)
