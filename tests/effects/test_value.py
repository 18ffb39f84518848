"""Cost-effectiveness, net benefit and the cost of a retained patient: by hand and simulated."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from loyalty_research.effects.fieller import fieller_set
from loyalty_research.effects.linear import fit_linear
from loyalty_research.effects.randomised import mean_difference, risk_difference
from loyalty_research.effects.retained_cost import cost_per_retained_patient
from loyalty_research.effects.value import (
    acceptability_curve,
    incremental_cost_effectiveness,
    net_benefit,
)
from loyalty_research.errors import DataError, DesignError, UsageError

COLUMNS = {"arm": "arm", "cost": "cost", "outcome": "years"}


def patients(seed=1, n=150, effect=1.0, cost=120.0):
    """Costs are gamma and rise with the outcome; a unit of it costs `cost` / `effect`."""
    rng = np.random.default_rng(seed)
    arm = np.repeat([0, 1], n)
    years = rng.normal(4 + effect * arm, 2)
    price = rng.gamma(2, 250, 2 * n) + 20 * (years - 4 - effect * arm) + cost * arm
    return pd.DataFrame({"arm": arm, "cost": price, "years": years})


def ratio_of(data, **settings):
    return incremental_cost_effectiveness(data, **COLUMNS, randomised=True, **settings)


# --- Fieller --------------------------------------------------------------------------------------


def test_fiellers_interval_by_hand():
    # (10 - 5 r)^2 = 4 (1 + 0.25 r^2): 24 r^2 - 100 r + 96 = 0, r = (50 +- 14) / 24.
    found = fieller_set(10, 5, var_top=1, var_bottom=0.25, covariance=0, critical=2)
    assert (found.kind, found.low, found.high) == (
        "interval",
        pytest.approx(1.5),
        pytest.approx(64 / 24),
    )


def test_a_set_outside_two_numbers_by_hand():
    # (3 - r)^2 <= 4 (1 + r^2) is 3 r^2 + 6 r - 5 >= 0: beyond the roots -1 -+ sqrt(8/3).
    found = fieller_set(3, 1, var_top=1, var_bottom=1, covariance=0, critical=2)
    assert found.kind == "outside"
    assert found.low == pytest.approx(-1 - math.sqrt(8 / 3))
    assert found.high == pytest.approx(-1 + math.sqrt(8 / 3))


def test_a_set_that_is_everything_has_no_numbers():
    found = fieller_set(0.5, 0.5, var_top=1, var_bottom=1, covariance=0, critical=2)
    assert found.kind == "everything"
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_without_chance_the_set_is_the_ratio():
    found = fieller_set(10, 4, var_top=0, var_bottom=0, covariance=0, critical=2)
    assert (found.kind, found.low, found.high) == ("interval", 2.5, 2.5)


@pytest.mark.parametrize("seed", range(20))
def test_the_set_is_that_of_the_tests_it_inverts(seed):
    rng = np.random.default_rng(seed)
    top, bottom = rng.normal(0, 3, 2)
    root = rng.normal(size=(2, 2))
    v = root @ root.T
    found = fieller_set(
        top, bottom, var_top=v[0, 0], var_bottom=v[1, 1], covariance=v[0, 1], critical=1.96
    )
    for r in np.tan(np.linspace(-1.5, 1.5, 401)):
        kept = abs(top - r * bottom) <= 1.96 * math.sqrt(v[0, 0] - 2 * r * v[0, 1] + r**2 * v[1, 1])
        inside = found.low <= r <= found.high
        told = {"interval": inside, "outside": not found.low < r < found.high, "everything": True}
        assert told[found.kind] == kept


# --- the ratio ------------------------------------------------------------------------------------


def test_the_ratio_by_hand():
    data = pd.DataFrame(
        {
            "arm": [0, 0, 0, 1, 1, 1],
            "cost": [100.0, 110, 120, 200, 220, 240],
            "years": [1.0, 2, 3, 6, 7, 8],
        }
    )
    # Costs 110 and 220: 110 more, variance (100 + 400) / 3; years 2 and 7: 5 more, (1 + 1) / 3;
    # covariance of cost and years (10 + 20) / 3.
    found = ratio_of(data)
    assert found.estimates["term"].tolist() == [
        "incremental cost-effectiveness ratio", "incremental cost", "incremental benefit",
    ]  # fmt: skip
    assert found.estimates["estimate"].tolist() == pytest.approx([22, 110, 5])
    assert found.estimates["std_error"].iloc[1:].tolist() == pytest.approx(
        [math.sqrt(500 / 3), math.sqrt(2 / 3)]
    )
    # At 22 a unit the variances of 22 years - cost are 484 + 100 - 440 and 484 + 400 - 880.
    low, high = (484 + 100 - 440) / 3, (484 + 400 - 880) / 3
    df = (low + high) ** 2 / (low**2 / 2 + high**2 / 2)
    critical = stats.t.ppf(0.975, df)
    by_hand = fieller_set(
        110, 5, var_top=500 / 3, var_bottom=2 / 3, covariance=10, critical=critical
    )
    head = found.headline
    assert (head["conf_low"], head["conf_high"]) == pytest.approx((by_hand.low, by_hand.high))
    assert math.isnan(head["p_value"])
    assert found.facts.more["quadrant"] == "costs more and does better"
    assert "Fieller" in head["method"]


@pytest.mark.parametrize(
    ("effect", "cost", "words"),
    [
        (3, 400, "costs more and does better"),
        (3, -400, "costs less and does better"),
        (-3, 400, "costs more and does worse"),
        (-3, -400, "costs less and does worse"),
    ],
)
def test_each_quadrant_has_its_words_and_no_negative_ratio_is_given(effect, cost, words):
    found = ratio_of(patients(effect=effect, cost=cost))
    assert found.facts.more["quadrant"] == words
    assert math.isnan(found.headline["estimate"]) == (effect * cost < 0)
    assert math.isnan(found.headline["conf_low"]) == (effect * cost < 0)
    assert words in found.sentence()


def test_a_price_that_is_the_same_for_all_is_spread_over_the_limits_of_the_outcome():
    data = patients(effect=2.0).assign(cost=lambda table: 400.0 * table["arm"])
    found = ratio_of(data).headline
    years = [data.loc[data["arm"] == k, "years"] for k in (1, 0)]
    limits = stats.ttest_ind(*years, equal_var=False).confidence_interval(0.95)
    assert found["estimate"] == pytest.approx(400 / (years[0].mean() - years[1].mean()))
    assert (found["conf_low"], found["conf_high"]) == pytest.approx(
        (400 / limits.high, 400 / limits.low)
    )


def test_a_programme_that_costs_the_same_has_a_ratio_of_nothing():
    data = patients(effect=2.0).assign(cost=lambda table: np.arange(len(table)) % 150.0)
    found = ratio_of(data)
    assert found.facts.more["quadrant"] == "costs the same and does better"
    assert found.headline["estimate"] == pytest.approx(0, abs=1e-9)
    assert "below 0 it would save" in found.sentence()


def test_a_set_without_an_end_is_said_in_words_and_withheld():
    found = ratio_of(patients(effect=0.01))
    assert found.withheld
    assert found.failed == ["ratio"]
    assert found.facts.more["set"] in ("outside", "everything")
    assert math.isnan(found.headline["conf_low"])
    assert math.isnan(found.headline["conf_high"])
    assert "ruled out" in found.sentence()
    assert "withheld" in found.sentence(audience="publish")


def test_an_outcome_of_which_less_is_better_counts_what_is_averted():
    data = patients().assign(years=lambda table: -table["years"])
    averted = ratio_of(data, better="lower")
    gained = ratio_of(patients())
    columns = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(averted.estimates[columns], gained.estimates[columns])
    assert "per unit less of years" in averted.headline["scale"]


def test_the_order_of_rows_and_the_frame_do_not_matter(engine):
    data = patients()
    found = ratio_of(engine.make(data)).estimates
    pd.testing.assert_frame_equal(found, ratio_of(data).estimates)


def test_estimates_have_the_fixed_columns(assert_columns):
    data = patients()
    numbers = {"estimates": ratio_of(data).estimates.fillna({"n_events": 0})}
    assert_columns(numbers["estimates"].astype({"n_events": "int64"}), "estimates")
    found = net_benefit(data, **COLUMNS, willingness_to_pay=[100, 200])
    table = found.estimates.fillna({"n_events": 0}).astype({"n_events": "int64"})
    assert_columns(table, "estimates", groups=["willingness_to_pay"])


# --- net benefit ----------------------------------------------------------------------------------


def test_net_benefit_is_welchs_t_of_each_patients_own():
    data = patients()
    worth = 150 * data["years"] - data["cost"]
    told = stats.ttest_ind(worth[data["arm"] == 1], worth[data["arm"] == 0], equal_var=False)
    interval = told.confidence_interval(0.95)
    head = net_benefit(data, **COLUMNS, willingness_to_pay=150).headline
    assert head["p_value"] == pytest.approx(told.pvalue)
    assert (head["conf_low"], head["conf_high"]) == pytest.approx((interval.low, interval.high))


def test_the_ratio_is_where_net_benefit_is_nothing_and_its_limits_where_it_is_just_significant():
    data = patients(effect=2.0)
    found = ratio_of(data).headline
    points = [found["estimate"], found["conf_low"], found["conf_high"]]
    rows = net_benefit(data, **COLUMNS, willingness_to_pay=points).estimates
    assert rows["estimate"].iloc[0] == pytest.approx(0, abs=1e-9)
    # Welch's degrees of freedom move a little along the way.
    assert rows["p_value"].iloc[1:].tolist() == pytest.approx([0.05, 0.05], rel=1e-2)


def test_net_benefit_by_cluster_is_cr2_of_each_patients_own():
    rng = np.random.default_rng(3)
    data = patients().assign(clinic=lambda table: table["arm"] * 8 + rng.integers(0, 8, len(table)))
    worth = (150 * data["years"] - data["cost"]).to_numpy()
    x = np.column_stack([np.ones(len(data)), data["arm"]])
    estimate, error, _ = fit_linear(x, worth, cluster=data["clinic"].to_numpy()).contrast(
        np.array([0, 1])
    )
    found = net_benefit(data, **COLUMNS, willingness_to_pay=150, cluster="clinic")
    assert found.headline["estimate"] == pytest.approx(estimate)
    assert found.headline["std_error"] == pytest.approx(error)
    assert "CR2" in found.headline["method"]
    assert found.facts.n_clusters == 16


def test_covariates_sharpen_net_benefit():
    rng = np.random.default_rng(4)
    data = patients().assign(before=lambda t: t["years"] - t["arm"] + rng.normal(0, 1, len(t)))
    alone = net_benefit(data, **COLUMNS, willingness_to_pay=1000).headline
    adjusted = net_benefit(data, **COLUMNS, willingness_to_pay=1000, covariates=["before"]).headline
    assert adjusted["std_error"] < 0.7 * alone["std_error"]


def test_acceptability_is_one_less_the_one_sided_p_value():
    data = patients()
    curve = acceptability_curve(data, **COLUMNS, willingness_to_pay=[0, 120, 500])
    rows = net_benefit(data, **COLUMNS, willingness_to_pay=[0, 120, 500]).estimates
    for chance, row in zip(curve["probability"], rows.to_dict("records"), strict=True):
        half = row["p_value"] / 2
        assert chance == pytest.approx(1 - half if row["estimate"] > 0 else half)
    assert curve["probability"].is_monotonic_increasing
    assert curve["willingness_to_pay"].tolist() == [0, 120, 500]


def test_simulated_trials_are_covered_by_fieller_and_by_net_benefit():
    # Setting O: gamma costs, truth 120; outcomes differ for sure, so that every set is an interval.
    # 120 trials: three Monte Carlo errors are 0.06.
    inside = np.zeros((120, 2), bool)
    for seed in range(120):
        data = patients(seed=1000 + seed, n=120, effect=2.0, cost=240.0)
        head = ratio_of(data).headline
        at_truth = net_benefit(data, **COLUMNS, willingness_to_pay=120).headline
        inside[seed] = (
            head["conf_low"] <= 120 <= head["conf_high"],
            at_truth["conf_low"] <= 0 <= at_truth["conf_high"],
        )
    assert inside.mean(axis=0) == pytest.approx([0.95, 0.95], abs=0.06)


# --- cost of a retained patient -------------------------------------------------------------------


def retained(control, treated, n=100):
    came = [1] * treated + [0] * (n - treated) + [1] * control + [0] * (n - control)
    return pd.DataFrame({"arm": [1] * n + [0] * n, "retained": came})


def share(data, **settings):
    return risk_difference(data, arm="arm", outcome="retained", randomised=True, **settings)


def test_the_cost_of_a_retained_patient_by_hand():
    effect = share(retained(50, 70))
    found = cost_per_retained_patient(
        effect, programme_cost=50_000, n_patients=1000, currency="CNY"
    )
    # 20 points of 1,000 patients are 200 retained: 250 each.
    head = found.headline
    assert head["estimate"] == pytest.approx(250)
    assert head["conf_low"] == pytest.approx(50 / effect.headline["conf_high"])
    assert head["conf_high"] == pytest.approx(50 / effect.headline["conf_low"])
    assert head["scale"] == "CNY a patient"
    assert found.estimates["estimate"].iloc[1] == pytest.approx(200)
    assert "250 CNY" in found.sentence()


def test_fewer_lapses_are_patients_retained():
    data = retained(50, 70).assign(retained=lambda table: 1 - table["retained"])
    found = cost_per_retained_patient(
        share(data, better="lower"), programme_cost=50_000, n_patients=1000
    )
    assert found.headline["estimate"] == pytest.approx(250)


@pytest.mark.parametrize(
    ("control", "treated", "guard", "words"),
    [
        (50, 55, "no effect shown", "show net_benefit"),
        (70, 50, "patients lost", "retains fewer"),
    ],
)
def test_no_price_is_put_on_patients_who_were_not_retained(control, treated, guard, words):
    with pytest.raises(DesignError, match=words) as caught:
        cost_per_retained_patient(
            share(retained(control, treated)), programme_cost=1, n_patients=100
        )
    assert caught.value.guard == guard


def test_no_price_is_put_on_a_withheld_effect():
    effect = risk_difference(retained(50, 70), arm="arm", outcome="retained")
    with pytest.raises(DesignError, match=r"a check failed \(assignment\)"):
        cost_per_retained_patient(effect, programme_cost=1, n_patients=100)
    told = effect.override("assignment", reason="a lottery decided, see protocol")
    found = cost_per_retained_patient(told, programme_cost=1, n_patients=100)
    assert found.facts.overrides == {"assignment": "a lottery decided, see protocol"}


def test_only_a_difference_in_shares_has_patients_retained():
    effect = mean_difference(patients(), arm="arm", outcome="years", randomised=True)
    with pytest.raises(UsageError, match="difference in shares"):
        cost_per_retained_patient(effect, programme_cost=1, n_patients=100)
    with pytest.raises(UsageError, match="programme_cost=0 must be a number, above 0"):
        cost_per_retained_patient(share(retained(50, 70)), programme_cost=0, n_patients=100)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[], [-1], [1, 1], ["a"], [math.inf]])
def test_a_willingness_that_is_no_number_is_refused(values):
    with pytest.raises(UsageError, match="willingness_to_pay must be"):
        net_benefit(patients(), **COLUMNS, willingness_to_pay=values)


def test_arguments_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="cost and outcome are both 'cost'"):
        incremental_cost_effectiveness(patients(), arm="arm", cost="cost", outcome="cost")
    with pytest.raises(UsageError, match="better='' is not known"):
        ratio_of(patients(), better="")


def test_costs_that_are_missing_or_no_numbers_are_refused():
    data = patients()
    with pytest.raises(DataError, match="column price is missing"):
        incremental_cost_effectiveness(data, arm="arm", cost="price", outcome="years")
    with pytest.raises(DataError, match=r"cost is .* not a number"):
        ratio_of(data.assign(cost="much"))
    holes = data.assign(cost=data["cost"].where(data.index > 2))
    with pytest.raises(DataError, match="cost is missing in 3 of 300 rows"):
        ratio_of(holes)


def test_clinics_that_were_assigned_need_their_cluster():
    data = patients().assign(clinic=lambda table: table["arm"] * 4 + np.arange(len(table)) % 4)
    with pytest.raises(DesignError, match="give cluster='clinic'"):
        net_benefit(data, **COLUMNS, willingness_to_pay=100)
