from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from loyalty_research.effects import mean_difference, risk_difference, risk_ratio
from loyalty_research.effects.linear import fit_linear
from loyalty_research.errors import DataError, DesignError, UsageError

CAME = pd.DataFrame({"arm": [0] * 80 + [1] * 70, "came": [1] * 48 + [0] * 32 + [1] * 56 + [0] * 14})
SHARE = {"arm": "arm", "outcome": "came", "randomised": True}
MEAN = {"arm": "arm", "outcome": "y", "randomised": True}
LIMITS = ["conf_low", "conf_high"]


def lottery(n=300, seed=1):
    """METHODS setting A: logit p = logit .30 - .15 + .9 x + .45 arm."""
    rng = np.random.default_rng(seed)
    arm, x = rng.permutation(np.arange(n) % 2), rng.normal(size=n)
    p = 1 / (1 + np.exp(-(math.log(0.3 / 0.7) - 0.15 + 0.9 * x + 0.45 * arm)))
    came = rng.binomial(1, p)
    return pd.DataFrame({"arm": arm, "x": x, "z": rng.normal(size=n), "came": came, "y": x + came})


def clinics(n_clusters, n_treated, rng, effect=0.3):
    """METHODS setting B: sizes gamma of mean 40 and CV .6, ICC .05, effect .3 SD."""
    size = np.maximum(np.round(rng.gamma(1 / 0.36, 40 * 0.36, n_clusters)).astype(int), 2)
    treated = np.zeros(n_clusters, int)
    treated[rng.choice(n_clusters, n_treated, replace=False)] = 1
    at = np.repeat(np.arange(n_clusters), size)
    noise = 0.05**0.5 * rng.normal(size=n_clusters)[at] + 0.95**0.5 * rng.normal(size=len(at))
    return pd.DataFrame({"arm": treated[at], "clinic": at, "y": effect * treated[at] + noise})


def term(effect, name):
    return effect.estimates.set_index("term").loc[name]


# --- by hand --------------------------------------------------------------------------------------


def test_difference_ratio_and_number_needed_by_hand(assert_columns):
    effect = risk_difference(CAME, **SHARE, better="higher")
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")
    assert effect.estimates["term"].tolist() == [
        "risk difference", "risk ratio", "number needed to treat",
    ]  # fmt: skip
    assert effect.estimates["estimate"].tolist() == pytest.approx([0.8 - 0.6, 0.8 / 0.6, 5])
    # sqrt(.8 .2 / 70 + .6 .4 / 80), and on the log scale sqrt(1/56 - 1/70 + 1/48 - 1/80).
    assert effect.headline["std_error"] == pytest.approx((0.16 / 70 + 0.24 / 80) ** 0.5)
    error = (1 / 56 - 1 / 70 + 1 / 48 - 1 / 80) ** 0.5
    assert term(effect, "risk ratio")["std_error"] == pytest.approx(error)
    # Newcombe, Stat Med 1998;17:873, method 10.
    assert effect.estimates.loc[0, LIMITS].tolist() == pytest.approx([0.0524, 0.3339], abs=5e-5)
    assert effect.facts.levels == {0: 0.6, 1: 0.8}
    assert effect.facts.more["number_needed"] == "NNTB 5 (3 to 20)"
    assert (effect.facts.n, effect.facts.n_events) == (150, 104)


def test_the_risk_ratio_leads_the_same_rows():
    effect = risk_ratio(CAME, **SHARE)
    other = risk_difference(CAME, **SHARE).estimates.iloc[[1, 0, 2]].reset_index(drop=True)
    pd.testing.assert_frame_equal(effect.estimates, other)
    assert (effect.facts.measure, effect.facts.levels) == ("risk ratio", {0: 0.6, 1: 0.8})


def test_a_mean_difference_by_hand():
    # 1, 2, 6: mean 3, s2 7; 4, 8: mean 6, s2 8. t with 5 - 2 degrees of freedom.
    data = pd.DataFrame({"arm": [0, 0, 0, 1, 1], "y": [1.0, 2, 6, 4, 8]})
    row = mean_difference(data, **MEAN, unit="points").headline
    error = (7 / 3 + 8 / 2) ** 0.5
    assert (row["estimate"], row["std_error"]) == pytest.approx((3, error))
    assert row["conf_high"] == pytest.approx(3 + 3.182446 * error, rel=1e-6)
    assert row["scale"] == "points"


def test_an_arm_without_events_has_a_limit_and_no_log_error():
    data = pd.DataFrame({"arm": [0] * 50 + [1] * 50, "came": [1] * 5 + [0] * 95})
    row = term(risk_difference(data, **SHARE), "risk ratio")
    assert (row["estimate"], row["conf_low"]) == (0, 0)
    assert 0.7 < row["conf_high"] < 0.8
    assert math.isnan(row["std_error"])
    turned = term(risk_difference(data.assign(arm=1 - data["arm"]), **SHARE), "risk ratio")
    assert (turned["estimate"], turned["conf_high"]) == (math.inf, math.inf)


def test_a_number_needed_through_infinity_has_no_limits():
    data = CAME.assign(came=[1] * 48 + [0] * 32 + [1] * 45 + [0] * 25)
    effect = risk_difference(data, **SHARE, better="higher")
    assert term(effect, "number needed to treat")[LIMITS].isna().all()
    assert effect.facts.more["number_needed"] == "NNTB 24 (NNTB 6 to infinity to NNTH 9)"
    assert "to infinity to" in term(effect, "number needed to treat")["scale"]


# --- covariates -----------------------------------------------------------------------------------


def test_adjusted_levels_are_each_arms_own_regression_at_the_mean_of_all():
    data = lottery()
    effect = risk_difference(data, **SHARE, covariates=["x", "z"])
    at = data[["x", "z"]].mean().to_numpy()
    levels = {}
    for k, part in data.groupby("arm"):
        x = np.column_stack([np.ones(len(part)), part[["x", "z"]]])
        beta = np.linalg.lstsq(x, part["came"].to_numpy(float), rcond=None)[0]
        levels[k] = float(beta @ [1, *at])
    assert effect.facts.levels == pytest.approx(levels)
    assert effect.headline["estimate"] == pytest.approx(levels[1] - levels[0])
    assert term(effect, "risk ratio")["estimate"] == pytest.approx(levels[1] / levels[0])


def test_their_error_is_statsmodels_hc2_of_the_centred_interactions():
    data = lottery()
    centred = data["x"] - data["x"].mean()
    x = np.column_stack([np.ones(300), data["arm"], centred, centred * data["arm"]])
    fit = sm.OLS(data["came"], x).fit(cov_type="HC2")
    effect = risk_difference(data, **SHARE, covariates=["x"])
    assert effect.headline["std_error"] == pytest.approx(fit.bse.iloc[1], rel=1e-9)
    # The log of (a + b) / a has the slopes 1 / (a + b) - 1 / a and 1 / (a + b).
    a, b = fit.params.iloc[:2]
    slope = np.array([1 / (a + b) - 1 / a, 1 / (a + b), 0, 0])
    error = float(np.sqrt(slope @ fit.cov_params().to_numpy() @ slope))
    assert term(effect, "risk ratio")["std_error"] == pytest.approx(error, rel=1e-9)


def test_the_strata_of_the_lottery_are_adjusted_for():
    data = lottery().assign(site=lambda d: np.where(d["x"] > 0.3, "a", "b"))
    effect = mean_difference(data, **MEAN, strata="site")
    # Post-stratification: differences within sites, weighed by all their patients.
    by_site = data.pivot_table(index="site", columns="arm", values="y")
    weight = data["site"].value_counts(normalize=True)
    expected = ((by_site[1] - by_site[0]) * weight).sum()
    assert effect.headline["estimate"] == pytest.approx(expected)


def test_an_adjusted_level_that_is_not_above_0_has_no_ratio():
    # Nobody without the programme came: the control's level is 0.
    data = pd.DataFrame(
        {"arm": [0] * 6 + [1] * 6, "x": list(range(12)), "came": [0] * 6 + [1, 0, 1, 1, 0, 1]}
    )
    effect = risk_ratio(data, **SHARE, covariates=["x"])
    assert math.isnan(effect.headline["estimate"])
    assert effect.headline["method"] == "not known: an adjusted level is not above 0"
    assert "not known" in effect.sentence()


# --- clusters -------------------------------------------------------------------------------------


def test_clusters_of_one_size_by_hand():
    # Shares 0, .5, .5 without and .5, 1, 1 with: differences .5; s2 = 1/12 in both arms.
    came = [0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1]
    data = pd.DataFrame({"arm": [0] * 6 + [1] * 6, "clinic": np.repeat(range(6), 2), "came": came})
    effect = risk_difference(data, **SHARE, cluster="clinic")
    assert effect.headline["estimate"] == pytest.approx(0.5)
    assert effect.headline["std_error"] == pytest.approx((2 * (1 / 12) / 3) ** 0.5)
    beside = term(effect, "cluster-mean t")
    assert (beside["estimate"], beside["std_error"]) == pytest.approx((0.5, (1 / 18) ** 0.5))
    # Arms of {0, .5, .5} against {.5, 1, 1}: of 20 ways 2 times 3 are as far; a .5 may change side.
    assert term(effect, "permutation test")["p_value"] == pytest.approx(6 / 20)
    checks = effect.checks.set_index("check")
    assert checks.loc["clusters", "statistic"] == pytest.approx(4)
    assert effect.failed == ["clusters"]
    assert "3 clusters with and 3 without are worth 4.0" in checks.loc["clusters", "message"]
    assert effect.facts.n_clusters == 6


def test_many_clusters_pass_and_need_no_permutation():
    data = clinics(40, 20, np.random.default_rng(1))
    effect = mean_difference(data, **MEAN, cluster="clinic")
    assert effect.estimates["term"].tolist() == ["mean difference", "cluster-mean t"]
    assert not effect.withheld
    assert effect.facts.variance == "linear model, CR2, Satterthwaite df"


def test_patients_drawn_within_clinics_have_no_contrast_of_clinics():
    data = clinics(10, 5, np.random.default_rng(1)).assign(arm=lambda d: d.index % 2)
    effect = mean_difference(data, **MEAN, cluster="clinic")
    assert effect.estimates["term"].tolist() == ["mean difference"]


# --- published numbers ----------------------------------------------------------------------------


def test_an_incentive_to_come_back_for_a_result_thornton():
    causaldata = pytest.importorskip("causaldata")
    people = causaldata.thornton_hiv.load_pandas().data.dropna(subset=["got", "any"])
    names = {"arm": "any", "outcome": "got", "randomised": True}
    whole = risk_difference(people, **names, better="higher")
    assert whole.facts.n == 2834
    assert whole.facts.levels[0] == pytest.approx(0.3387, abs=5e-5)
    assert term(whole, "risk ratio")["estimate"] == pytest.approx(2.33, abs=5e-3)
    # 1 / (.78924 - .33868) = 2.2195.
    assert term(whole, "number needed to treat")["estimate"] == pytest.approx(2.2195, abs=1e-4)
    # The published 2,812 are those with a clear result, a known age and a known village.
    part = people[people["hiv2004"] >= 0].dropna(subset=["age", "villnum"])
    adjusted = risk_difference(part, **names, covariates=["age", "hiv2004"], cluster="villnum")
    assert (adjusted.facts.n, adjusted.facts.n_clusters) == (2812, 119)
    assert adjusted.headline["estimate"] == pytest.approx(0.4467, abs=5e-5)
    # Clustered by village .0225 with Stata's factor; CR2 is somewhat larger.
    assert adjusted.headline["std_error"] == pytest.approx(0.0225, abs=2e-4)


def test_training_and_earnings_nsw():
    causaldata = pytest.importorskip("causaldata")
    data = causaldata.nsw_mixtape.load_pandas().data.drop(columns="data_id").astype(float)
    names = {"arm": "treat", "outcome": "re78", "randomised": True}
    row = mean_difference(data, **names).headline
    assert row["estimate"] == pytest.approx(1794.3, abs=0.05)
    # The published 632.9 and 638.4 take one variance for both arms; HC2 does not.
    named = ["age", "educ", "nodegree", "black", "hisp", "re74", "re75"]
    y = data["re78"].to_numpy()
    for x, estimate, error in (
        (data[["treat"]], 1794.3, 632.9),
        (data[["treat", *named]].assign(age2=data["age"] ** 2), 1672.2, 638.4),
    ):
        x = np.column_stack([np.ones(len(x)), x])
        fit = fit_linear(x, y)
        variance = (fit.residuals**2).sum() / (len(y) - x.shape[1]) * fit.bread[1, 1]
        assert fit.beta[1] == pytest.approx(estimate, abs=0.05)
        assert variance**0.5 == pytest.approx(error, abs=0.05)
    assert row["std_error"] == pytest.approx(671.0, abs=0.05)
    # Published with age squared and no interactions; ours differs by a small part of the error.
    adjusted = mean_difference(data, **names, covariates=named)
    assert adjusted.headline["estimate"] == pytest.approx(1672.2, abs=60)


# --- simulated truths -----------------------------------------------------------------------------


def test_intervals_of_a_share_cover_and_adjusting_makes_them_shorter():
    # The true difference is .0868 (4 million draws: .08683), the ratio 1.2909.
    found = []
    for seed in range(100):
        data = lottery(seed=seed)
        plain = risk_difference(data, **SHARE).estimates
        lin = risk_difference(data, **SHARE, covariates=["x"]).estimates
        rows = [plain.iloc[0], lin.iloc[0], plain.iloc[1], lin.iloc[1]]
        truth = [0.0868, 0.0868, 1.2909, 1.2909]
        pairs = zip(rows, truth, strict=True)
        covers = [row["conf_low"] <= t <= row["conf_high"] for row, t in pairs]
        found.append([*covers, lin["std_error"][0] / plain["std_error"][0]])
    found = np.array(found, float).mean(axis=0)
    # Three Monte-Carlo errors of .95 with 100 repetitions.
    assert found[:4] == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 100) ** 0.5)
    assert 0.9 < found[4] < 0.96


@pytest.mark.parametrize(("n", "treated"), [(6, 3), (20, 3)])
def test_intervals_by_cluster_cover_with_few_clusters(n, treated):
    rng, found = np.random.default_rng(8), []
    for _ in range(100):
        table = mean_difference(clinics(n, treated, rng), **MEAN, cluster="clinic").estimates
        found.append(((table["conf_low"] <= 0.3) & (table["conf_high"] >= 0.3)).tolist())
    cover = np.mean(found, axis=0)
    # CR2 is cautious with 3 of 20: METHODS found .975. The permutation test of 6 excludes nothing.
    assert (cover >= 0.95 - 3 * (0.95 * 0.05 / 100) ** 0.5).all()
    assert cover[1] <= 0.95 + 3 * (0.95 * 0.05 / 100) ** 0.5


# --- properties and refusals ----------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"covariates": ["x"]}, {"cluster": "clinic"}])
def test_every_engine_and_order_of_rows_gives_the_same(engine, more):
    data = lottery(60).assign(
        clinic=np.arange(60) % 12, arm=lambda d: (d["clinic"] < 6).astype(int)
    )
    override = {"override": {"clusters": "a test of the arithmetic alone"}}
    names = SHARE | more | ({} if "cluster" in more else override)
    expected = risk_difference(data, **names).estimates
    pd.testing.assert_frame_equal(risk_difference(engine.make(data), **names).estimates, expected)


def test_exchanging_the_arms_changes_the_sign_alone():
    data = lottery()
    one = mean_difference(data, **MEAN, covariates=["x"]).headline
    two = mean_difference(data.assign(arm=1 - data["arm"]), **MEAN, covariates=["x"]).headline
    assert two["estimate"] == pytest.approx(-one["estimate"])
    assert (two["conf_low"], two["std_error"]) == pytest.approx(
        (-one["conf_high"], one["std_error"])
    )


def test_missing_outcomes_are_counted_and_a_gap_between_the_arms_withholds():
    data = lottery()
    data.loc[data["arm"].eq(1) & (data["x"] > 1), "came"] = np.nan
    effect = risk_difference(data, **SHARE)
    assert effect.failed == ["completeness"]
    assert effect.facts.n_missing[0] == 0
    assert effect.facts.n == 300 - effect.facts.n_missing[1]
    assert "without a known came left out" in effect.facts.estimand


def test_without_a_lottery_it_is_an_association():
    effect = mean_difference(lottery(), arm="arm", outcome="y")
    assert effect.failed == ["assignment"]
    assert not effect.facts.causal
    assert "propensity_weights" in effect.checks["message"].iloc[0]
    assert effect.sentence().count("association") == 1


def test_clinics_assigned_whole_are_refused_without_cluster_unless_overridden():
    data = clinics(12, 6, np.random.default_rng(3))
    with pytest.raises(DesignError, match=r"each of 12 clusters.*cluster='clinic'"):
        mean_difference(data, **MEAN)
    effect = mean_difference(data, **MEAN, override={"clusters": "clinics were made up afterwards"})
    assert effect.facts.overrides == {"clusters": "clinics were made up afterwards"}


@pytest.mark.parametrize(
    ("changed", "more", "match"),
    [
        ({"arm": [1] + [0] * 59}, {}, "arm 1 has 1 row; 2 are needed"),
        ({"arm": [1, 1] + [0] * 58}, {"covariates": ["x"]}, "arm 1 has 2 rows; 3 are needed"),
        ({"arm": 0}, {}, "no row of arm 1, the programme"),
        ({"v": [0.0, 1] * 30}, {"covariates": ["v"]}, "v is constant or determined .* in arm 0"),
        (
            {"v": [0.0, 1] * 30, "c": range(60)},
            {"covariates": ["v"], "cluster": "c"},
            "v is constant or determined by others once the arm is known",
        ),
        ({"c": [0, 1] * 30}, {"cluster": "c"}, "an arm has a single cluster"),
        ({"s": 1}, {"strata": "s"}, "s makes 1 stratum"),
        ({"s": [1] * 57 + [2] * 3}, {"strata": "s"}, "s: 1 of 2 strata have fewer than 2"),
    ],
)
def test_what_cannot_be_estimated_is_refused(changed, more, match):
    base = pd.DataFrame({"arm": [0, 1] * 30, "x": np.linspace(0, 1, 60), "y": np.arange(60.0) % 7})
    with pytest.raises(DataError, match=match):
        mean_difference(base.assign(**changed), **MEAN, **more)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"randomised": "yes"}, "randomised must be True or False"),
        ({"better": "more"}, "better='more' must be 'higher' or 'lower'"),
        ({"arms": "ab"}, "arms must be two names"),
        ({"conf_level": 95}, "conf_level=95 must be a number between 0 and 1"),
        ({"override": {"balance": "a reason of some length"}}, "'balance' is no guard"),
        ({"covariates": []}, "covariates is empty"),
        ({"covariates": ["came"]}, "covariates names came, which is the outcome"),
        ({"covariates": "C(arm)"}, "covariates names arm, which is the arm"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(more, match):
    with pytest.raises(UsageError, match=match):
        risk_difference(CAME, **(SHARE | more))
