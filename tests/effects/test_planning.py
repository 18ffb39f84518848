"""Sizes and powers of two arms: by hand, as R has them, and as simulated studies succeed."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from loyalty_research.effects.planning import detectable_share, power, sample_size
from loyalty_research.effects.planning_core import cluster_design_effect
from loyalty_research.effects.planning_means import (
    detectable_mean_difference,
    power_means,
    repeated_measures_factor,
    sample_size_means,
)
from loyalty_research.effects.planning_rates import (
    detectable_rate_ratio,
    power_rates,
    sample_size_rates,
)
from loyalty_research.effects.planning_survival import (
    detectable_hazard_ratio,
    power_survival,
    sample_size_survival,
    share_with_event,
)
from loyalty_research.errors import UsageError

Z = 1.959963984540054
ZB = 0.8416212335729143
"""The normal quantiles of 0.975 and 0.8."""


def only(table):
    return table["estimate"].iloc[0]


# --- shares ---------------------------------------------------------------------------------------


def test_two_shares_by_hand():
    # 0.3 against 0.4: common share 0.35, so 2 x 0.35 x 0.65 = 0.455 without an effect;
    # 0.3 x 0.7 + 0.4 x 0.6 = 0.45 with it.
    by_hand = (Z * math.sqrt(0.455) + ZB * math.sqrt(0.45)) ** 2 / 0.1**2
    table = sample_size(control=0.3, treated=0.4)
    assert table["arm"].tolist() == ["control", "treated"]
    assert table["estimate"].tolist() == pytest.approx([by_hand] * 2)
    assert table["n"].tolist() == [356, 356]
    assert table["n_clusters"].tolist() == [356, 356]


def test_twice_as_many_treated_by_hand():
    # Common share (0.3 + 2 x 0.4) / 3; the treated arm's variance counts half.
    common = 1.1 / 3
    null, effect = common * (1 - common) * 1.5, 0.21 + 0.24 / 2
    by_hand = (Z * math.sqrt(null) + ZB * math.sqrt(effect)) ** 2 / 0.1**2
    table = sample_size(control=0.3, treated=0.4, ratio=2)
    assert table["estimate"].tolist() == pytest.approx([by_hand, 2 * by_hand])


def test_sizes_and_powers_of_shares_are_those_of_r(published):
    stored = published("planning")["proportions"]
    asked = [(0.3, 0.4, 0.8, 0.05), (0.5, 0.75, 0.9, 0.05), (0.05, 0.03, 0.9, 0.01)]
    found = [only(sample_size(control=a, treated=b, power=p, alpha=s)) for a, b, p, s in asked]
    # R's root finder stops at about six digits.
    assert found == pytest.approx(stored["sizes"], rel=1e-5)
    powers = [
        only(power(control=a, treated=b, n=n)) for a, b, n in [(0.5, 0.75, 50), (0.1, 0.15, 400)]
    ]
    assert powers == pytest.approx(stored["powers"], rel=1e-9)


def test_clusters_multiply_patients_by_the_design_effect():
    alone = only(sample_size(control=0.3, treated=0.4))
    table = sample_size(control=0.3, treated=0.4, cluster_size=21, icc=0.05)
    # 1 + 20 x 0.05 = 2.
    assert only(table) == pytest.approx(2 * alone)
    assert table["n_clusters"].tolist() == [math.ceil(2 * alone / 21)] * 2
    # Sizes that vary by half their mean: 1 + (1.25 x 21 - 1) x 0.05.
    assert cluster_design_effect(cluster_size=21, icc=0.05, cluster_cv=0.5) == pytest.approx(2.2625)


def test_patients_who_are_clusters_of_their_own_need_no_more_for_an_icc():
    assert cluster_design_effect(cluster_size=1, icc=0.05) == 1


def test_few_clusters_need_more_than_the_normal_says():
    few = sample_size(control=0.3, treated=0.6, cluster_size=100, icc=0.1)
    assert few["n_clusters_t"].iloc[0] > few["n_clusters"].iloc[0]
    k = int(few["n_clusters_t"].iloc[0])
    reached = power(control=0.3, treated=0.6, n=k * 100, cluster_size=100, icc=0.1)
    short = power(control=0.3, treated=0.6, n=(k - 1) * 100, cluster_size=100, icc=0.1)
    assert reached["estimate_t"].iloc[0] >= 0.8 > short["estimate_t"].iloc[0]


def test_students_t_never_asks_for_fewer_clusters():
    many = sample_size(control=0.3, treated=0.35, cluster_size=500, icc=1)
    assert many["n_clusters_t"].tolist() == many["n_clusters"].tolist()


def test_size_power_and_detectable_share_agree_with_each_other():
    n = only(sample_size(control=0.3, treated=0.4, ratio=1.5, cluster_size=10, icc=0.02))
    settings = {"ratio": 1.5, "cluster_size": 10, "icc": 0.02}
    assert only(power(control=0.3, treated=0.4, n=n, **settings)) == pytest.approx(0.8)
    assert detectable_share(control=0.3, n=n, **settings)["treated"].iloc[0] == pytest.approx(0.4)


def test_a_share_that_cannot_be_shown_is_missing():
    # Of 10 patients an arm with a share of 2 % no lower share is ever shown.
    found = detectable_share(control=0.02, n=10).set_index("direction")["estimate"]
    assert math.isnan(found["lower"])
    assert 0 < found["higher"] < 1


def test_simulated_clinics_succeed_as_often_as_planned():
    # 24 clinics an arm of 30 patients; a clinic's share is beta with the ICC asked for.
    rng = np.random.default_rng(11)
    n_sim, k, m, icc = 2000, 24, 30, 0.04
    successes = 0
    means = np.empty((2, n_sim, k))
    for arm, share in enumerate((0.3, 0.42)):
        a = (1 / icc - 1) * share
        clinics = rng.beta(a, (1 / icc - 1) - a, size=(n_sim, k))
        means[arm] = rng.binomial(m, clinics) / m
    error = np.sqrt(means.var(axis=2, ddof=1).sum(axis=0) / k)
    z = np.abs(means[1].mean(axis=1) - means[0].mean(axis=1)) / error
    successes = np.mean(z > student.ppf(0.975, 2 * k - 2))
    planned = power(control=0.3, treated=0.42, n=k * m, cluster_size=m, icc=icc)
    monte_carlo = math.sqrt(successes * (1 - successes) / n_sim)
    assert planned["estimate_t"].iloc[0] == pytest.approx(successes, abs=3 * monte_carlo)


# --- means ----------------------------------------------------------------------------------------


def test_sizes_and_powers_of_means_are_those_of_r(published):
    stored = published("planning")["means"]
    asked = [(1, 1, 0.9), (5, 15, 0.8), (2, 1, 0.8)]
    found = [only(sample_size_means(difference=d, sd=s, power=p)) for d, s, p in asked]
    assert found == pytest.approx(stored["sizes"], rel=1e-6)
    asked = [(1, 1, 20), (5, 15, 100), (1, 1, 4)]
    found = [only(power_means(difference=d, sd=s, n=n)) for d, s, n in asked]
    assert found == pytest.approx(stored["powers"], rel=1e-8)


def test_a_baseline_saves_its_squared_correlation_by_hand():
    # ANCOVA leaves 1 - r^2; two measurements after, none before: (1 + r) / 2;
    # two before and one after: 1 - 2 r^2 / (1 + r).
    assert repeated_measures_factor(correlation=0.6, n_before=1) == pytest.approx(1 - 0.36)
    assert repeated_measures_factor(correlation=0.6, n_after=2) == pytest.approx(0.8)
    assert repeated_measures_factor(correlation=0.6, n_before=2) == pytest.approx(1 - 0.72 / 1.6)
    whole = only(power_means(difference=5, sd=15, n=100))
    assert only(power_means(difference=5, sd=12, n=100)) == pytest.approx(
        only(power_means(difference=5, sd=15, n=100, factor=0.64))
    )
    assert whole < only(power_means(difference=5, sd=15, n=100, factor=0.64))


def test_the_factor_is_the_variance_that_regression_on_the_baseline_leaves():
    # Two before, three after, all correlated 0.5: residual variance of the mean after given both.
    r = 0.5
    v = np.full((5, 5), r) + (1 - r) * np.eye(5)
    mean_after = np.array([0, 0, 1, 1, 1]) / 3
    before = np.eye(5)[:2]
    cross = before @ v @ mean_after
    left = mean_after @ v @ mean_after - cross @ np.linalg.solve(before @ v @ before.T, cross)
    found = repeated_measures_factor(correlation=r, n_before=2, n_after=3)
    assert found == pytest.approx(left)


def test_size_power_and_detectable_mean_agree_with_each_other():
    settings = {"sd": 15, "ratio": 0.5, "cluster_size": 12, "icc": 0.03, "cluster_cv": 0.4}
    n = only(sample_size_means(difference=5, **settings))
    assert only(power_means(difference=5, n=n, **settings)) == pytest.approx(0.8)
    assert only(detectable_mean_difference(n=n, **settings)) == pytest.approx(5)


# --- rates ----------------------------------------------------------------------------------------


def test_two_rates_by_hand():
    # 0.8 and 0.68 events a year over 0.75 years, dispersion 0.4: a log mean varies by
    # 1/0.6 + 0.4 and 1/0.51 + 0.4 (Zhu and Lakkis 2014, second variance).
    by_hand = (Z + ZB) ** 2 * (1 / 0.6 + 1 / 0.51 + 0.8) / math.log(0.85) ** 2
    table = sample_size_rates(control=0.8, treated=0.68, exposure=0.75, dispersion=0.4)
    assert table["estimate"].tolist() == pytest.approx([by_hand] * 2)
    assert table["n"].tolist() == [1316, 1316]


def test_size_power_and_detectable_rate_agree_with_each_other():
    settings = {"control": 0.8, "exposure": 0.75, "dispersion": 0.4, "ratio": 2}
    n = only(sample_size_rates(treated=0.68, **settings))
    assert only(power_rates(treated=0.68, n=n, **settings)) == pytest.approx(0.8)
    found = detectable_rate_ratio(n=n, **settings).set_index("direction")
    assert found.loc["lower", "treated"] == pytest.approx(0.68)
    assert found.loc["lower", "estimate"] == pytest.approx(0.85)
    assert found.loc["higher", "estimate"] > 1


def test_simulated_counts_succeed_as_often_as_planned():
    # Gamma-Poisson counts; a Wald test of log means with the true dispersion.
    rng = np.random.default_rng(12)
    n, n_sim, k = 300, 4000, 0.5
    counts = [rng.negative_binomial(1 / k, 1 / (1 + k * mean), (n_sim, n)).mean(axis=1)
              for mean in (2.0, 2.5)]  # fmt: skip
    error = np.sqrt((1 / counts[0] + 1 / counts[1] + 2 * k) / n)
    successes = np.mean(np.abs(np.log(counts[1] / counts[0])) / error > Z)
    planned = only(power_rates(control=2.0, treated=2.5, n=n, dispersion=k))
    monte_carlo = math.sqrt(successes * (1 - successes) / n_sim)
    assert planned == pytest.approx(successes, abs=3 * monte_carlo)


# --- survival -------------------------------------------------------------------------------------


def test_events_and_patients_of_a_hazard_ratio_by_hand():
    # Schoenfeld: 4 (1.96 + 0.84)^2 / log(0.5)^2 = 65.3 events. Of control patients 40 % have one,
    # of treated 1 - sqrt(0.6) = 22.5 %: 65.3 / (0.4 + 0.2254) patients an arm.
    events = 4 * (Z + ZB) ** 2 / math.log(2) ** 2
    treated = 1 - math.sqrt(0.6)
    table = sample_size_survival(hazard_ratio=0.5, control=0.4)
    assert table["n_events_total"].tolist() == pytest.approx([events] * 2)
    assert table["estimate"].tolist() == pytest.approx([events / (0.4 + treated)] * 2)
    assert table["n_events"].sum() == pytest.approx(events)
    assert table["n"].tolist() == [105, 105]


def test_size_power_and_detectable_hazard_ratio_agree_with_each_other():
    n = only(sample_size_survival(hazard_ratio=0.7, control=0.3, ratio=1.5))
    assert only(power_survival(hazard_ratio=0.7, control=0.3, n=n, ratio=1.5)) == pytest.approx(0.8)
    found = detectable_hazard_ratio(control=0.3, n=n, ratio=1.5).set_index("direction")
    assert found.loc["lower", "estimate"] == pytest.approx(0.7)


def test_the_share_with_an_event_is_the_integral_over_entry():
    # Patients enter evenly over 1.5 years, are followed 2 to 3.5 years, leave at 0.2 a year.
    follow = 2 + (np.arange(200_000) + 0.5) / 200_000 * 1.5
    seen = 0.5 / 0.7 * (1 - np.exp(-0.7 * follow))
    found = share_with_event(rate=0.5, follow_up=2, accrual=1.5, loss_rate=0.2)
    assert found == pytest.approx(seen.mean(), rel=1e-9)


def test_simulated_survival_succeeds_as_often_as_planned():
    # Exponential times, all followed one year: the log hazard ratio is that of events over time.
    rng = np.random.default_rng(13)
    n, n_sim, rate, ratio = 150, 4000, 0.8, 0.65
    logs, varies = [], []
    for hazard in (rate, rate * ratio):
        time = rng.exponential(1 / hazard, (n_sim, n))
        events = (time < 1).sum(axis=1)
        logs.append(np.log(events / np.minimum(time, 1).sum(axis=1)))
        varies.append(1 / events)
    successes = np.mean(np.abs(logs[1] - logs[0]) / np.sqrt(sum(varies)) > norm.ppf(0.975))
    control = share_with_event(rate=rate, follow_up=1)
    planned = only(power_survival(hazard_ratio=ratio, control=control, n=n))
    # Schoenfeld's number takes events as split like patients; it errs by about a point here.
    assert planned == pytest.approx(successes, abs=0.03)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sample_size(control=0.3, treated=0.3), "do not differ"),
        (lambda: sample_size(control=30, treated=0.4), "control=30 must be a number between 0 and"),
        (lambda: sample_size(control=0.3, treated=0), "treated=0 must be a number between 0 and 1"),
        (lambda: sample_size(control=0.3, treated=0.4, power=1), "power=1 must be"),
        (lambda: sample_size(control=0.3, treated=0.4, power=0.02), "comes by chance"),
        (lambda: sample_size(control=0.3, treated=0.4, ratio=0), "ratio=0 must be a number, above"),
        (lambda: sample_size(control=0.3, treated=0.4, icc=2), "icc=2 must be .* at most 1"),
        (lambda: sample_size(control=0.3, treated=0.4, cluster_size=0.5), "cluster_size=0.5 must"),
        (lambda: sample_size(control=0.3, treated=0.4, cluster_cv=-1), "cluster_cv=-1 must be"),
        (lambda: sample_size(control=0.3, treated=0.4, icc=0.05), "icc=0.05 needs cluster_size="),
        (
            lambda: sample_size(control=0.3, treated=0.4, cluster_cv=0.5),
            "cluster_cv=0.5 needs cluster_size=",
        ),
        (lambda: power(control=0.3, treated=0.4, n=90, icc=0.05), "icc=0.05 needs cluster_size="),
        (lambda: sample_size_means(difference=5, sd=9, icc=0.1), "icc=0.1 needs cluster_size="),
        (lambda: sample_size_rates(control=1, treated=2, icc=0.1), "icc=0.1 needs cluster_size="),
        (lambda: power(control=0.3, treated=0.4, n=0), "n=0 must be a number, above 0"),
        (lambda: power(control=0.3, treated=0.4, n="9"), "n='9' must be a number"),
        (
            lambda: power(control=0.3, treated=0.4, n=100, cluster_size=100, icc=0.1),
            "leave nothing to judge chance by",
        ),
        (lambda: sample_size_means(difference=0, sd=1), "do not differ"),
        (lambda: sample_size_means(difference=1, sd=0), "sd=0 must be a number, above 0"),
        (lambda: sample_size_means(difference=1e-9, sd=1), "no study is large enough"),
        (lambda: repeated_measures_factor(correlation=1), "leaves nothing"),
        (lambda: repeated_measures_factor(correlation=0.5, n_after=0), "n_after=0 must be a whole"),
        (lambda: sample_size_rates(control=0, treated=1), "control=0 must be a number, above 0"),
        (lambda: sample_size_rates(control=1, treated=2, dispersion=-1), "dispersion=-1 must be"),
        (lambda: sample_size_survival(hazard_ratio=1, control=0.4), "do not differ"),
        (lambda: sample_size_survival(hazard_ratio=-1, control=0.4), "hazard_ratio=-1 must be"),
        (lambda: share_with_event(rate=0.1, follow_up=0), "follow_up=0 must be a number, above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call()
