"""The truth that each world states is what its own draws show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import DESIGNS, simulate_design
from loyalty_research.errors import UsageError
from loyalty_research.retention.cox import cox_regression


def close(values, truth: float, *, errors: float = 4) -> bool:
    """Say whether the mean of independent values lies within so many standard errors."""
    values = np.asarray(values, float)
    return abs(values.mean() - truth) < errors * values.std(ddof=1) / len(values) ** 0.5


@pytest.mark.parametrize("name", DESIGNS)
def test_the_same_seed_gives_the_same_data(name):
    one, two = simulate_design(name, seed=3), simulate_design(name, seed=3)
    pd.testing.assert_frame_equal(one.data, two.data)
    assert one.truth == two.truth
    assert not one.data.equals(simulate_design(name, seed=4).data)


def test_an_unknown_design_is_refused():
    with pytest.raises(UsageError, match="did you mean 'staggered'"):
        simulate_design("stagered", seed=1)


def test_truths_are_those_of_the_methods():
    assert simulate_design("randomised", seed=1).truth["risk_difference"] == pytest.approx(
        0.0868, abs=5e-5
    )
    assert simulate_design("staggered", seed=1).truth["simple"] == pytest.approx(1.842, abs=5e-4)
    confounded = simulate_design("confounded", seed=1).truth
    assert [confounded[k] for k in ("ATE", "ATT", "ATO")] == pytest.approx(
        [1, 1.135, 1.047], abs=1e-3
    )
    survival = simulate_design("survival", seed=1).truth
    assert survival["retention_difference_730"] == pytest.approx(0.1231, abs=5e-4)
    assert survival["restricted_mean_difference_730"] / 365 == pytest.approx(0.1944, abs=5e-4)
    growing = simulate_design("stepped_wedge", seed=1, growing=True).truth
    assert growing["effect_of_treated"] == pytest.approx(0.45)


def test_randomised_patients_come_as_often_as_stated():
    world = simulate_design("randomised", seed=1, n=400_000)
    by_arm = world.data.groupby("arm")["came"].mean()
    assert by_arm[1] - by_arm[0] == pytest.approx(world.truth["risk_difference"], abs=0.006)
    assert by_arm[1] / by_arm[0] == pytest.approx(world.truth["risk_ratio"], abs=0.03)


def test_clusters_correlate_as_stated():
    data = simulate_design("clusters", seed=2, n_clusters=4000).data
    sizes = data.groupby("clinic").size()
    assert close(sizes, 40)
    assert sizes.std() / sizes.mean() == pytest.approx(0.6, abs=0.03)
    rest = data["score"] - 0.3 * data["arm"]
    within = rest.groupby(data["clinic"]).var().mean()
    assert within == pytest.approx(0.95, abs=0.02)
    assert rest.var() == pytest.approx(1.0, abs=0.02)


def test_counts_vary_as_stated():
    data = simulate_design("counts", seed=3, n=200_000).data
    rate = data.groupby("arm")["visits"].sum() / data.groupby("arm")["years"].sum()
    assert rate[1] / rate[0] == pytest.approx(1.25, abs=0.02)
    mean = 3 * data["years"] * np.where(data["arm"] == 1, 1.25, 1)
    assert ((data["visits"] - mean) ** 2 - mean).mean() / (mean**2).mean() == pytest.approx(
        1, abs=0.05
    )


def test_high_readings_fall_by_themselves():
    world = simulate_design("high_readings", seed=4, n=100_000)
    assert close(world.data["after"] - world.data["before"], world.truth["expected_regression"])


def test_informative_visits_hide_the_effect():
    data = simulate_design("informative_visits", seed=5, n=100_000).data
    true = data.groupby("arm")["sbp_true"].mean()
    seen = data.groupby("arm")["sbp"].mean()
    assert true[1] - true[0] == pytest.approx(-4, abs=0.3)
    assert seen[1] - seen[0] < -6


def test_costs_and_years_have_the_stated_ratio():
    means = (
        simulate_design("costs", seed=6, n=400_000).data.groupby("arm")[["cost", "years"]].mean()
    )
    gain = means.loc[1] - means.loc[0]
    assert gain["cost"] / gain["years"] == pytest.approx(120, abs=3)


def test_compliers_gain_what_is_stated():
    world = simulate_design("non_compliance", seed=7, n=400_000)
    means = world.data.groupby("arm")[["received", "score"]].mean()
    gain = means.loc[1] - means.loc[0]
    assert gain["score"] == pytest.approx(world.truth["intention_to_treat"], abs=0.02)
    assert gain["score"] / gain["received"] == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("overlap", ["good", "poor"])
def test_confounded_effects_are_those_of_their_populations(overlap):
    world = simulate_design("confounded", seed=8, n=400_000, overlap=overlap)
    effect = 1 + 0.6 * world.data["x1"]
    assert close(effect, world.truth["ATE"])
    assert close(effect[world.data["arm"] == 1], world.truth["ATT"])
    naive = world.data.groupby("arm")["score"].mean()
    assert naive[1] - naive[0] > world.truth["ATT"] + 0.3


def test_survival_without_confounding_shows_the_truth():
    world = simulate_design("survival", seed=9, n=400_000, confounding=0.0)
    # Nobody is censored before day 730, so shares are the curve.
    stay = (world.data["time"] > 730).groupby(world.data["arm"]).mean()
    assert stay[1] - stay[0] == pytest.approx(world.truth["retention_difference_730"], abs=0.006)
    mean = world.data["time"].clip(upper=730).groupby(world.data["arm"]).mean()
    difference = world.truth["restricted_mean_difference_730"]
    assert mean[1] - mean[0] == pytest.approx(difference, abs=3)
    # Cox's model of the arm alone, which a lot makes the marginal one; error about 0.004.
    found = cox_regression(world.data, covariates=["arm"])["estimate"].item()
    assert found == pytest.approx(world.truth["log_hazard_ratio_marginal"], abs=0.015)
    assert found > world.truth["log_hazard_ratio_given_x"] + 0.03


def test_immortal_time_makes_the_enrolled_look_better():
    data = simulate_design("immortal_time", seed=10, n=50_000).data
    lapsed = data["event"].groupby(data["enrolment_day"].notna()).mean()
    assert lapsed[True] < lapsed[False] - 0.2


def test_who_enrols_early_leaves_as_often_as_others_unless_the_sick_enrol():
    # All 100 days from day 30 on are of patients still there on day 30, whoever has enrolled.
    for confounding, gap in ((0.0, 0.0), (0.5, 0.03)):
        data = simulate_design("immortal_time", seed=17, n=100_000, confounding=confounding).data
        there = data[data["time"] > 30]
        left = (there["time"] <= 130) & (there["event"] == 1)
        by_arm = left.groupby(there["enrolment_day"].le(30).fillna(False)).mean()
        assert by_arm[True] - by_arm[False] == pytest.approx(gap, abs=0.015)
        assert (abs(by_arm[True] - by_arm[False]) > 0.015) == (confounding > 0)


def test_dropout_misleads_completers():
    data = simulate_design("dropout", seed=11, n=100_000).data
    means = data.groupby("arm")["score"].mean()
    assert means[1] - means[0] < 0.9


def test_the_lost_differ_by_what_is_stated():
    # The world hides the scores of the lost: drawn here by its formula, held against what it shows.
    random = np.random.default_rng(16)
    score = random.normal(0, np.sqrt(2), 400_000)
    known = random.random(len(score)) < 1 / (1 + np.exp(-1 - 0.8 * score))
    world = simulate_design("missing_not_at_random", seed=16, n=100_000)
    gap = score[~known].mean() - score[known].mean()
    assert gap == pytest.approx(world.truth["lost_less_followed"], abs=0.02)
    control = world.data[world.data["arm"] == 0]["score"]
    assert control.isna().mean() == pytest.approx(1 - known.mean(), abs=0.01)
    assert control.mean() == pytest.approx(score[known].mean(), abs=0.03)


def test_the_stepped_wedge_gains_what_is_stated():
    flat = simulate_design("stepped_wedge", seed=12, n_clinics=4000)
    assert len(flat.data) == 400_000
    last = flat.data[flat.data["period"] == 2].groupby("treated")["score"].mean()
    assert last[1] - last[0] == pytest.approx(0.3, abs=0.03)
    growing = simulate_design("stepped_wedge", seed=12, growing=True).truth
    assert growing["effect"] == pytest.approx(0.3 * (1 + 0.5 * 1.5))
    assert growing["effect_of_treated"] == pytest.approx(0.45)


def test_the_staggered_truth_is_the_mean_over_treated_cells():
    # By hand: 12, 8 and 4 treated periods that gain 1.6, 1.0, 0.5 and 0.15 more each period.
    by_hand = (12 * (1.6 + 0.15 * 5.5) + 8 * (1.0 + 0.15 * 3.5) + 4 * (0.5 + 0.15 * 1.5)) / 24
    assert simulate_design("staggered", seed=1).truth["simple"] == pytest.approx(by_hand)


def test_starts_are_drawn_alike_and_gain_as_stated():
    world = simulate_design("staggered", seed=1, n_clinics=4000)
    first = world.data.groupby("clinic")["first_treated"].first()
    assert first.value_counts(dropna=False).between(900, 1100).all()
    last = world.data[world.data["period"] == 16].groupby(world.data["first_treated"].fillna(99))
    gain = last["score"].mean() - last["score"].mean()[99]
    assert gain[[5, 9, 13]].tolist() == pytest.approx([1.6 + 1.65, 1 + 1.05, 0.5 + 0.45], abs=0.15)


def test_series_drop_by_what_is_stated():
    drops = []
    for seed in range(400):
        data = simulate_design("interrupted_series", seed=seed, n_periods=48).data
        after = data["period"] >= 24
        # Two whole years on each side: the season cancels, the trend adds 24 x 0.02.
        drops.append(data.loc[after, "score"].mean() - data.loc[~after, "score"].mean() - 0.48)
    assert close(drops, -2.0)


def test_both_series_feel_the_shock():
    drops = []
    for seed in range(400):
        data = simulate_design("controlled_series", seed=seed).data
        change = (data["score"] - data["control"]).groupby(data["period"] >= 24).mean()
        drops.append(change[True] - change[False])
    assert close(drops, -1.0)


def test_negative_controls_err_as_stated():
    data = simulate_design("negative_controls", seed=13, n=100_000).data
    assert close(data["estimate"], 0.15)
    rest = data["estimate"].var() - (data["std_error"] ** 2).mean()
    assert rest**0.5 == pytest.approx(0.12, abs=0.01)


def test_admissions_are_fewer_by_a_quarter():
    data = simulate_design("admissions", seed=14, n=20_000).data
    days = (data["stop"] - data["start"]).groupby(data["arm"]).sum()
    rate = data.groupby("arm")["event"].sum() / days
    assert rate[1] / rate[0] == pytest.approx(0.75, abs=0.03)
    assert (data.groupby("patient_id")["died"].sum() <= 1).all()


def test_waits_change_at_the_median_as_stated():
    world = simulate_design("waiting_times", seed=15, n_visits=4000)
    medians = world.data.groupby(["service", world.data["period"] >= 24])["minutes"].median()
    for service, change in world.truth.items():
        found = medians[service, True] - medians[service, False]
        # The town's drift is in all three services and differs between the halves by chance.
        assert found == pytest.approx(change, abs=1.0)
