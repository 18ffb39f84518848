"""Retention differences, restricted means and hazard ratios, as they came and weighted."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.follow_up import log_hazard_ratio, open_follow_up, sums_of
from loyalty_research.effects.survival_effects import (
    hazard_ratio,
    restricted_mean_effect,
    retention_difference,
    smoothed_retention_difference,
    weighted_retention,
)
from loyalty_research.errors import DataError, DesignError, UsageError
from loyalty_research.retention.cox import cox_regression
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.design_matrix import SeparationError

EIGHT = pd.DataFrame(
    {
        "arm": [0, 0, 0, 0, 1, 1, 1, 1],
        "time": [1, 2, 3, 5, 2, 4, 5, 5],
        "event": [1, 1, 1, 0, 1, 0, 1, 0],
        "old": [1, 1, 0, 0, 1, 0, 0, 0],
    }
)


def setting_e(seed, n=600, randomised=False):
    """Return setting E: survival, confounded by x unless arms are drawn by lot."""
    confounding = 0.0 if randomised else 0.7
    return simulate_design("survival", seed=seed, n=n, confounding=confounding).data


def numbers(effect, *columns):
    return effect.estimates.set_index("term")[list(columns)]


# --- by hand --------------------------------------------------------------------------------------


def test_shares_and_their_difference_are_those_computed_by_hand():
    effect = retention_difference(EIGHT, arm="arm", day=3, randomised=True)
    # Arm 0: 3/4 * 2/3 * 1/2 = 1/4 after three events; arm 1: 3/4 after one of four.
    assert effect.facts.levels == pytest.approx({0: 1 / 4, 1: 3 / 4})
    assert effect.headline["estimate"] == pytest.approx(1 / 2)
    # Greenwood: S^2 sum d / (Y (Y - d)).
    arm0 = (1 / 4) ** 2 * (1 / (4 * 3) + 1 / (3 * 2) + 1 / (2 * 1))
    arm1 = (3 / 4) ** 2 * (1 / (4 * 3))
    assert effect.headline["std_error"] == pytest.approx(np.sqrt(arm0 + arm1))
    lost = numbers(effect, "estimate", "std_error").loc["ratio of patients lost"]
    assert lost["estimate"] == pytest.approx((1 / 4) / (3 / 4))
    assert lost["std_error"] == pytest.approx(np.sqrt(arm0 / (3 / 4) ** 2 + arm1 / (1 / 4) ** 2))
    assert effect.headline["n_events"] == 4


def test_weights_are_one_over_the_share_of_the_arm_in_each_stratum():
    # Of three old patients 1 is in arm 1, of five young ones 3: weights 3/1, 3/2, 5/3, 5/2.
    curve = weighted_retention(
        EIGHT, arm="arm", covariates=["old"], times=[1, 2], seed=1, n_boot=50
    )
    one = curve[curve["arm"] == 1].set_index("time")["estimate"]
    # Arm 1 on day 2: the old one leaves, 3 of a weight of 3 + 3 * 5/3.
    assert one[2] == pytest.approx(1 - 3 / (3 + 3 * 5 / 3))
    zero = curve[curve["arm"] == 0].set_index("time")["estimate"]
    # Arm 0: two old of weight 3/2 and two young of 5/2; an old one leaves on day 1, then the other.
    assert zero[1] == pytest.approx(1 - 1.5 / 8)
    assert zero[2] == pytest.approx((1 - 1.5 / 8) * (1 - 1.5 / 6.5))


def test_the_restricted_mean_is_the_area_computed_by_hand():
    effect = restricted_mean_effect(EIGHT, arm="arm", horizon=4, randomised=True)
    # Arm 0: 1 + 3/4 + 2/4 + 1/4; arm 1: 2 + 2 * 3/4.
    assert effect.facts.levels == pytest.approx({0: 2.5, 1: 3.5})
    assert effect.headline["estimate"] == pytest.approx(1.0)
    assert effect.headline["scale"] == "days"


def test_the_smooth_curve_with_a_cell_for_each_coefficient_is_kaplan_meier():
    two = EIGHT.assign(time=EIGHT["time"].clip(upper=2))
    two["event"] = [1, 1, 0, 0, 1, 1, 1, 0]
    two.loc[4, "time"] = 1
    smooth = smoothed_retention_difference(two, arm="arm", day=2, degree=1, seed=1, n_boot=50)
    plain = retention_difference(two, arm="arm", day=2)
    assert smooth.facts.levels == pytest.approx(plain.facts.levels, rel=1e-8)


# --- against the retention room, which is held to R -----------------------------------------------


def test_weighted_curves_are_those_of_kaplan_meier_with_the_same_weights():
    data = setting_e(1, 300)
    rows = open_follow_up(data, arm="arm", time="time", event="event", covariates=["x"])
    data["w"] = rows.weights()[0]
    curve = weighted_retention(data, arm="arm", covariates=["x"], seed=1, n_boot=50)
    other = kaplan_meier(data, by="arm", weight="w")
    assert curve["estimate"].to_numpy() == pytest.approx(other["estimate"].to_numpy(), rel=1e-10)
    counts = ["n_at_risk", "n_events", "n_censored"]
    assert curve[counts].to_numpy() == pytest.approx(other[counts].to_numpy())


def test_the_hazard_ratio_is_that_of_a_weighted_cox_model_with_tied_events():
    data = setting_e(2, 300)
    data["time"] = data["time"] // 90 + 1
    data["w"] = np.random.default_rng(1).uniform(0.2, 3, 300)
    rows = open_follow_up(data, arm="arm", time="time", event="event", weight="w")
    other = cox_regression(data, covariates=["arm"], weight="w")["estimate"].item()
    assert log_hazard_ratio(sums_of(rows, rows.base)) == pytest.approx(other, rel=1e-9)
    plain = hazard_ratio(data, arm="arm", day=8, randomised=True)
    cox = cox_regression(data, covariates=["arm"]).iloc[0]
    assert np.log(plain.headline["estimate"]) == pytest.approx(cox["estimate"], rel=1e-9)
    assert plain.headline["std_error"] == pytest.approx(cox["std_error"], rel=1e-9)


def test_rows_drawn_twice_are_rows_that_stand_twice():
    data = setting_e(3, 120).assign(time=lambda d: d["time"] // 90 + 1)
    drawn = np.random.default_rng(1).integers(0, 3, 120)
    rows = open_follow_up(data, arm="arm", time="time", event="event")
    twice = data.loc[np.repeat(data.index, drawn)]
    other = open_follow_up(twice, arm="arm", time="time", event="event")
    once = sums_of(rows, drawn.astype(float), drawn.astype(float))
    assert log_hazard_ratio(once) == pytest.approx(
        log_hazard_ratio(sums_of(other, other.base)), rel=1e-9
    )


# --- published ------------------------------------------------------------------------------------

# The covariates of Hernan and Robins, Causal Inference: What If, 2020, program 17.4.
SMOKERS = (
    "sex + race + age + I(age**2) + C(education) + smokeintensity + I(smokeintensity**2) "
    "+ smokeyrs + I(smokeyrs**2) + C(exercise) + C(active) + wt71 + I(wt71**2)"
)


@pytest.fixture(scope="module")
def nhefs():
    causaldata = pytest.importorskip("causaldata")
    data = causaldata.nhefs.load_pandas().data
    months = np.where(data["death"] == 1, (data["yrdth"] - 83) * 12 + data["modth"], 120)
    numbers = ["age", "smokeintensity", "smokeyrs", "wt71"]
    # Stored as int8, whose squares would overflow.
    data = data.astype(dict.fromkeys(numbers, float))
    return data.assign(time=months.astype(int), event=data["death"].astype(int))


def test_deaths_of_smokers_unweighted_are_those_of_the_book(nhefs):
    effect = retention_difference(nhefs, arm="qsmk", day=120)
    # Section 17.1: 76.2 % among quitters and 82.0 % among others survived; section 17.3: 1.39.
    assert effect.facts.levels == pytest.approx({0: 0.820, 1: 0.762}, abs=5e-4)
    ratio = hazard_ratio(nhefs, arm="qsmk", day=120).headline["estimate"]
    assert ratio == pytest.approx(1.39, abs=5e-3)


def test_deaths_of_smokers_weighted_are_those_of_the_book(nhefs):
    settings = {"arm": "qsmk", "day": 120, "covariates": SMOKERS, "seed": 1, "n_boot": 150}
    smooth = smoothed_retention_difference(nhefs, **settings)
    # Section 17.4: 80.7 % and 80.5 %, difference 0.2 % (-4.1 to 3.7), by a bootstrap of its own.
    assert smooth.facts.levels == pytest.approx({0: 0.805, 1: 0.807}, abs=5e-4)
    assert smooth.headline["estimate"] == pytest.approx(0.002, abs=5e-4)
    assert smooth.headline["conf_low"] == pytest.approx(-0.041, abs=6e-3)
    assert smooth.headline["conf_high"] == pytest.approx(0.037, abs=8e-3)
    why = {"time zero": "who had quit by the second visit, from which on deaths are counted"}
    steps = retention_difference(nhefs, override=why, **settings)
    assert steps.facts.levels == pytest.approx(smooth.facts.levels, abs=5e-3)
    assert not steps.withheld


# --- simulated truth ------------------------------------------------------------------------------


def test_weighting_finds_the_truth_of_setting_e_and_no_weighting_does_not():
    world = simulate_design("survival", seed=1).truth
    truth = {
        "share": world["retention_difference_730"],
        "mean": world["restricted_mean_difference_730"],
    }
    assert truth["share"] == pytest.approx(0.123, abs=1e-3)
    assert truth["mean"] / 365 == pytest.approx(0.194, abs=1e-3)
    settings = {"covariates": ["x"], "seed": 1, "n_boot": 60}
    found, naive = [], []
    for seed in range(40):
        data = setting_e(seed)
        share = retention_difference(data, arm="arm", day=730, **settings).headline
        mean = restricted_mean_effect(data, arm="arm", horizon=730, **settings).headline
        found.append([share["estimate"], share["std_error"], mean["estimate"], mean["std_error"]])
        naive.append(retention_difference(data, arm="arm", day=730).headline["estimate"])
    found = np.array(found)
    spread = found[:, [0, 2]].std(axis=0, ddof=1)
    error = spread / np.sqrt(40)
    assert np.abs(found[:, 0].mean() - truth["share"]) < 3 * error[0]
    assert np.abs(found[:, 2].mean() - truth["mean"]) < 3 * error[1]
    # Of 40 studies the spread is known to 11 %: three times that.
    assert found[:, [1, 3]].mean(axis=0) / spread == pytest.approx([1, 1], abs=0.34)
    assert abs(np.mean(naive) - truth["share"]) > 6 * error[0]


def test_with_arms_drawn_by_lot_formula_and_bootstrap_give_one_error():
    data = setting_e(5, randomised=True)
    for measure, more in (
        (retention_difference, {"day": 730}),
        (restricted_mean_effect, {"horizon": 730}),
        (hazard_ratio, {"day": 730}),
    ):
        plain = measure(data, arm="arm", randomised=True, **more)
        drawn = measure(data.assign(w=1.0), arm="arm", weight="w", seed=1, randomised=True, **more)
        assert drawn.headline["estimate"] == pytest.approx(plain.headline["estimate"])
        # 500 samples know an error to 3 %.
        assert drawn.headline["std_error"] == pytest.approx(plain.headline["std_error"], rel=0.1)
        assert not plain.withheld


# --- what stands around the numbers ---------------------------------------------------------------


def test_a_contrast_of_those_who_chose_is_withheld_unless_weighted():
    data = setting_e(6)
    plain = retention_difference(data, arm="arm", day=730)
    assert plain.failed == ["assignment", "time zero"]
    assert not plain.facts.causal
    settings = {"covariates": ["x"], "seed": 1, "n_boot": 50, "exposed_at": "joined"}
    data["joined"] = data["arm"].map({0: None, 1: 0})
    weighed = retention_difference(data, arm="arm", day=730, **settings)
    assert weighed.facts.causal
    assert not weighed.withheld
    assert weighed.checks["check"].tolist() == [
        "assignment", "clusters", "time zero", "immortal time", "weights", "balance", "equipoise",
        "effective_sample_size",
        "follow_up", "bootstrap", "e_value",
    ]  # fmt: skip
    assert weighed.facts.more["e_value"] > 1
    assert weighed.facts.effective_n[1] < (data["arm"] == 1).sum()


def test_the_sentence_tells_the_difference_in_points_and_the_mean_in_days():
    data = setting_e(7, randomised=True)
    words = retention_difference(data, arm="arm", day=365, randomised=True).sentence()
    assert words.startswith("Difference in retention on day 365, programme against control: ")
    assert "percentage points" in words
    mean = restricted_mean_effect(data, arm="arm", horizon=365, randomised=True).sentence()
    assert "mean time there within 365 days" in mean
    assert " days (95 % interval" in mean


def test_the_same_seed_gives_the_same_numbers_and_rows_may_come_in_any_order():
    data = setting_e(8, 200)
    settings = {"arm": "arm", "day": 365, "covariates": ["x"], "n_boot": 50}
    first = retention_difference(data, seed=3, **settings).estimates
    pd.testing.assert_frame_equal(first, retention_difference(data, seed=3, **settings).estimates)
    other = retention_difference(data, seed=4, **settings).estimates
    assert other["std_error"].iloc[0] != first["std_error"].iloc[0]
    shuffled = retention_difference(data.sample(frac=1, random_state=1), seed=3, **settings)
    assert shuffled.headline["estimate"] == pytest.approx(first["estimate"].iloc[0])


def test_patients_with_several_rows_are_drawn_with_all_of_them():
    data = setting_e(9, 300, randomised=True).assign(patient=np.arange(300))
    twice = pd.concat([data, data])
    one = retention_difference(data, arm="arm", day=365, randomised=True).headline["std_error"]
    settings = {"arm": "arm", "day": 365, "seed": 1, "randomised": True}
    both = retention_difference(twice, cluster="patient", **settings)
    assert both.headline["std_error"] == pytest.approx(one, rel=0.12)
    assert both.facts.n_clusters == 300
    assert both.facts.n == 600


# --- refusals -------------------------------------------------------------------------------------


def test_a_bootstrap_without_a_seed_is_refused():
    with pytest.raises(UsageError, match="needs a seed"):
        retention_difference(EIGHT, arm="arm", day=2, covariates=["old"])


def test_a_day_beyond_follow_up_is_refused():
    with pytest.raises(UsageError, match="day=9 is after the last observation of an arm; give"):
        retention_difference(EIGHT, arm="arm", day=9)
    with pytest.raises(UsageError, match="horizon=9 is after"):
        restricted_mean_effect(EIGHT, arm="arm", horizon=9)


def test_every_fault_of_the_table_is_told_at_once():
    broken = EIGHT.assign(time=-1, arm="a")
    with pytest.raises(DataError, match="2 faults") as caught:
        retention_difference(broken, arm="arm", day=1)
    assert "time is negative" in str(caught.value)
    assert "not 0 or 1" in str(caught.value)


def test_an_arm_without_patients_is_refused():
    with pytest.raises(DataError, match="no row of arm 1, the programme"):
        hazard_ratio(EIGHT[EIGHT["arm"] == 0], arm="arm", day=2)


def test_a_covariate_that_tells_the_arms_apart_is_refused():
    data = setting_e(1, 100).assign(member=lambda d: d["arm"])
    with pytest.raises(SeparationError, match="member separates those in the programme"):
        retention_difference(data, arm="arm", day=100, covariates=["x", "member"], seed=1)


def test_an_arm_without_events_has_no_hazard_ratio():
    data = EIGHT.assign(event=EIGHT["event"].where(EIGHT["arm"] == 0, 0))
    with pytest.raises(SeparationError, match="no event while both arms are followed"):
        hazard_ratio(data, arm="arm", day=2)


def test_an_unknown_estimand_is_refused():
    with pytest.raises(UsageError, match="estimand"):
        retention_difference(EIGHT, arm="arm", day=2, covariates=["old"], estimand="LATE", seed=1)


def test_arms_that_weights_cannot_make_alike_are_withheld():
    rng = np.random.default_rng(1)
    data = setting_e(2, 400)
    data["arm"] = (rng.random(400) < 1 / (1 + np.exp(-5 * data["x"]))).astype(int)
    effect = retention_difference(
        data, arm="arm", day=365, covariates=["x"], seed=1, n_boot=50
    )  # fmt: skip
    assert "equipoise" in effect.failed


def test_an_arm_decided_after_day_0_is_refused_wherever_the_day_of_enrolment_is_given():
    data = EIGHT.assign(enrolled=[None] * 4 + [0, 0, 2, 0])
    for measure, more in (
        (retention_difference, {"day": 3}),
        (restricted_mean_effect, {"horizon": 3}),
        (hazard_ratio, {"day": 3}),
    ):
        with pytest.raises(DesignError, match="arm is 1 of 1 of 8 patients who enrolled after"):
            measure(data, arm="arm", exposed_at="enrolled", **more)
        why = {"immortal time": "day 2 is when the record was typed"}
        effect = measure(data, arm="arm", exposed_at="enrolled", override=why, **more)
        assert effect.facts.overrides == why
    aligned = data.assign(enrolled=data["enrolled"].clip(upper=0))
    effect = retention_difference(aligned, arm="arm", day=3, exposed_at="enrolled")
    assert "immortal time" not in effect.failed


OVER_TIME = (
    (retention_difference, {"day": 3}),
    (restricted_mean_effect, {"horizon": 3}),
    (hazard_ratio, {"day": 3}),
    (smoothed_retention_difference, {"day": 3, "degree": 1, "n_boot": 50, "seed": 1}),
)


@pytest.mark.parametrize(("measure", "more"), OVER_TIME)
def test_arms_of_choice_are_withheld_unless_it_is_shown_that_they_began_on_day_0(measure, more):
    data = EIGHT.assign(enrolled=[None] * 4 + [0] * 4)
    silent = measure(data, arm="arm", **more)
    assert "time zero" in silent.failed
    told = silent.checks.set_index("check").loc["time zero", "message"]
    assert told.startswith("not stated when patients joined: give exposed_at=")
    stated = measure(data, arm="arm", exposed_at="enrolled", **more)
    assert "time zero" not in stated.failed
    assert stated.checks.set_index("check").loc["time zero", "passed"]
    drawn = measure(data, arm="arm", randomised=True, **more)
    assert "time zero" not in drawn.checks["check"].tolist()
    why = {"time zero": "all signed the form at their first visit"}
    passed = measure(data, arm="arm", override=why, **more)
    assert "time zero" not in passed.failed
    assert passed.facts.overrides == why
    later = silent.override("time zero", reason=why["time zero"])
    assert (later.failed, later.facts.overrides) == (passed.failed, why)


def test_clinics_that_were_given_the_programme_whole_are_refused_without_a_cluster():
    data = setting_e(10, 200).assign(home_facility_id=lambda d: d["arm"] * 10 + np.arange(200) % 5)
    settings = {"arm": "arm", "day": 365, "randomised": True}
    with pytest.raises(DesignError, match="give cluster='home_facility_id'"):
        retention_difference(data, **settings)
    reason = {"clusters": "the clinic was named after the arm, on one form"}
    passed = retention_difference(data, override=reason, **settings)
    assert passed.facts.overrides == reason


def test_few_clusters_withhold_a_contrast_over_time():
    data = setting_e(11, 200).assign(clinic=lambda d: d["arm"] * 10 + np.arange(200) % 5)
    settings = {"day": 365, "randomised": True, "cluster": "clinic", "seed": 1, "n_boot": 50}
    found = retention_difference(data, arm="arm", **settings)
    assert found.failed == ["clusters"]
    # Five clinics an arm, of 10 that a drawn error needs.
    check = found.checks.set_index("check").loc["clusters"]
    assert (check["statistic"], check["threshold"]) == (5, 10)


def test_one_patient_with_half_an_arms_weight_is_refused():
    rng = np.random.default_rng(3)
    # The mean of arm 1 lies five deviations off, but for one of its patients.
    arm = np.repeat([0, 1], 200)
    data = pd.DataFrame({"arm": arm, "x": rng.normal(5.0 * arm, 1.0)})
    data.loc[399, "x"] = -1.0
    data["time"], data["event"] = rng.integers(1, 50, 400), 1
    settings = {"arm": "arm", "day": 20, "covariates": ["x"], "seed": 1, "n_boot": 50}
    with pytest.raises(DesignError, match=r"one patient carries 9\d % of the weight of arm 1"):
        retention_difference(data, **settings)


def test_arms_that_were_not_followed_alike_are_told_with_their_shares():
    # Of arm 0 three of four leave or are seen on day 5, of arm 1 all four.
    data = pd.DataFrame({"arm": [0] * 4 + [1] * 4, "time": [2, 3, 6, 4, 2, 3, 6, 6],
                         "event": [1, 0, 0, 1, 1, 1, 0, 0]})  # fmt: skip
    settings = {"arm": "arm", "randomised": True}
    by_day = retention_difference(data, day=5, **settings)
    check = by_day.checks.set_index("check").loc["follow_up"]
    assert (check["statistic"], check["threshold"], check["passed"]) == (0.25, 0.05, False)
    assert "100.0 % with and 75.0 % without" in check["message"]
    assert not by_day.withheld
    early = restricted_mean_effect(data, horizon=2, **settings).checks.set_index("check")
    assert early.loc["follow_up", "passed"]
