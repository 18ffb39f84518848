"""What a roll-out can show: the closed form, R's matrices, by hand, simulated."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import norm

from loyalty_research.effects.roll_out import (
    DESIGNS,
    compare_roll_outs,
    detectable_by_roll_out,
    difference_in_differences_power,
    roll_out_power,
    roll_out_schedule,
)
from loyalty_research.errors import DataError, UsageError

USUAL = {"effect": 0.3, "sd": 1, "icc": 0.05, "cell_size": 20}


def error_of(schedule, **settings):
    return roll_out_power(schedule, **{**USUAL, **settings})["std_error"].iloc[0]


def hussey_hughes(x, between, noise):
    """The closed form of Hussey and Hughes 2007 for exchangeable correlation."""
    clinics, periods = x.shape
    u, w, v = x.sum(), (x.sum(axis=0) ** 2).sum(), (x.sum(axis=1) ** 2).sum()
    top = clinics * noise * (noise + periods * between)
    bottom = (clinics * u - w) * noise
    bottom += (u**2 + clinics * periods * u - periods * w - clinics * v) * between
    return math.sqrt(top / bottom)


@pytest.mark.parametrize("design", DESIGNS[:-1])
def test_the_error_is_the_closed_form_of_hussey_and_hughes(design):
    schedule = roll_out_schedule(design, n_clinics=13, n_periods=5)
    found = error_of(schedule)
    assert found == pytest.approx(hussey_hughes(schedule.to_numpy(), 0.05, 0.95 / 20))
    # With normal quantiles their power.
    power = roll_out_power(schedule, **USUAL)["estimate_normal"].iloc[0]
    assert power == pytest.approx(norm.cdf(0.3 / found - 1.959963984540054))


def test_errors_are_those_of_matrix_algebra_in_r(published):
    stored = published("planning")["roll_out"]
    wedge = roll_out_schedule("stepped wedge", n_clinics=12, n_periods=5)
    baseline = roll_out_schedule("parallel with baseline", n_clinics=10, n_periods=4)
    found = {
        "wedge_exchangeable": error_of(wedge),
        "wedge_nested": error_of(wedge, cac=0.8),
        "wedge_decay": error_of(wedge, cac=0.8, correlation="decay"),
        "wedge_nested_exposure": error_of(wedge, cac=0.8, exposure_time=True),
        "baseline_nested": error_of(baseline, icc=0.1, cac=0.7, cell_size=30),
    }
    for name, value in found.items():
        assert value == pytest.approx(stored[name], rel=1e-8), name


def test_a_parallel_design_with_one_baseline_is_ancova_of_clinic_means_by_hand():
    # A clinic's mean varies by 0.05 + 0.95/20 = 0.0975, two of its periods share 0.8 x 0.05 = 0.04,
    # so that ANCOVA leaves 0.0975 (1 - (0.04/0.0975)^2) with 5 clinics an arm.
    schedule = roll_out_schedule("parallel with baseline", n_clinics=10, n_periods=2)
    by_hand = math.sqrt(0.0975 * (1 - (0.04 / 0.0975) ** 2) * (1 / 5 + 1 / 5))
    assert error_of(schedule, cac=0.8) == pytest.approx(by_hand)


def test_a_comparison_in_one_period_is_students_t_of_clinic_means_by_hand():
    # 6 clinics an arm whose means vary by 0.0975: 10 degrees of freedom and nothing to adjust.
    found = roll_out_power([[0]] * 6 + [[1]] * 6, cac=0.8, **USUAL).iloc[0]
    by_hand = math.sqrt(0.0975 * (1 / 6 + 1 / 6))
    assert found["std_error"] == pytest.approx(by_hand)
    assert found["std_error_read"] == pytest.approx(by_hand)
    assert found["df"] == pytest.approx(10)


def test_planned_power_is_that_of_the_analysis_as_simulated():
    # 700 studies of setting C with a constant effect of 0.3, seeds 20000 to 20699, analysed by
    # stepped_wedge_effect's model: 77.1 % significant with a constant effect, 59.9 % with one free
    # at each time since crossing; three Monte Carlo errors are 4.8 and 5.6 points.
    wedge = roll_out_schedule("stepped wedge", n_clinics=12, n_periods=5)
    constant = roll_out_power(wedge, cac=0.8, **USUAL)["estimate"].iloc[0]
    free = roll_out_power(wedge, cac=0.8, exposure_time=True, **USUAL)["estimate"].iloc[0]
    assert constant == pytest.approx(0.771, abs=0.048)
    assert free == pytest.approx(0.599, abs=0.056)


def test_difference_in_differences_of_two_periods_by_hand():
    # The change of a clinic varies by 2 (0.0975 - 0.04); 4 clinics change, 6 do not.
    found = difference_in_differences_power(
        n_treated=4, n_control=6, n_before=1, n_after=1, cac=0.8, **USUAL
    )
    by_hand = math.sqrt(2 * (0.0975 - 0.04) * (1 / 4 + 1 / 6))
    assert found["std_error"].iloc[0] == pytest.approx(by_hand)
    shown = found["detectable"].iloc[0]
    again = difference_in_differences_power(
        n_treated=4, n_control=6, n_before=1, n_after=1, cac=0.8, **{**USUAL, "effect": shown}
    )
    assert again["estimate"].iloc[0] == pytest.approx(0.8)
    # ANCOVA of the same clinics is never worse.
    table = pd.DataFrame([[0, 1]] * 4 + [[0, 0]] * 6)
    assert error_of(table, cac=0.8) < by_hand


def test_difference_in_differences_equals_a_roll_out_whose_clinics_differ_without_bounds():
    # A clinic level with enormous variance leaves only what is within clinics. Here the level's
    # share that does not cancel is held at (1 - 0.8) x 0.05.
    found = difference_in_differences_power(
        n_treated=5, n_control=5, n_before=3, n_after=2, cac=0.8, **USUAL
    )["std_error"].iloc[0]
    huge = 1e6
    icc = (huge + 0.05 * 0.2) / (huge + 0.05 * 0.2 + 0.95)
    cac = huge / (huge + 0.05 * 0.2)
    table = pd.DataFrame([[0, 0, 0, 1, 1]] * 5 + [[0] * 5] * 5)
    sd = math.sqrt(huge + 0.05 * 0.2 + 0.95)
    assert error_of(table, sd=sd, icc=icc, cac=cac) == pytest.approx(found, rel=1e-4)


def test_seeing_the_same_patients_again_helps_a_wedge():
    wedge = roll_out_schedule("stepped wedge", n_clinics=12, n_periods=5)
    assert error_of(wedge, cac=0.8, iac=0.7) < error_of(wedge, cac=0.8)
    # A single patient a clinic seen again is a clinic whose level is the patient's.
    one = error_of(wedge, icc=0.4, cac=1, iac=0.5, cell_size=1)
    # Between periods they share 0.4 + 0.6 x 0.5 = 0.7 of a variance of 1.
    assert one == pytest.approx(error_of(wedge, icc=0.7, cac=1, cell_size=1))


def test_decay_to_the_neighbour_only_equals_nested_with_two_periods():
    two = roll_out_schedule("parallel with baseline", n_clinics=10, n_periods=2)
    assert error_of(two, cac=0.6, correlation="decay") == pytest.approx(error_of(two, cac=0.6))


def test_simulated_wedges_vary_as_planned():
    rng = np.random.default_rng(15)
    table = roll_out_schedule("stepped wedge", n_clinics=12, n_periods=5).to_numpy()
    k, t = table.shape
    n_sim, icc, cac, m = 4000, 0.05, 0.8, 20
    means = rng.normal(size=(n_sim, k, 1)) * math.sqrt(icc * cac)
    means = means + rng.normal(size=(n_sim, k, t)) * math.sqrt(icc * (1 - cac) + (1 - icc) / m)
    x = np.hstack([np.tile(np.eye(t), (k, 1)), table.reshape(-1, 1)])
    v = np.eye(t) * (icc * (1 - cac) + (1 - icc) / m) + icc * cac
    whole = np.kron(np.eye(k), np.linalg.inv(v))
    weights = np.linalg.solve(x.T @ whole @ x, x.T @ whole)[-1]
    spread = (means.reshape(n_sim, -1) @ weights).std()
    assert error_of(table, cac=0.8) == pytest.approx(spread, rel=3 / math.sqrt(2 * n_sim))


def test_clinics_are_shared_out_over_the_steps_as_evenly_as_they_can():
    wedge = roll_out_schedule("stepped wedge", n_clinics=10, n_periods=5)
    assert wedge.sum(axis=1).value_counts().to_dict() == {4: 3, 3: 2, 2: 3, 1: 2}
    staggered = roll_out_schedule("staggered", n_clinics=10, n_periods=5)
    assert staggered.sum(axis=1).value_counts().to_dict() == {4: 2, 3: 2, 2: 2, 1: 2, 0: 2}
    staircase = roll_out_schedule("staircase", n_clinics=4, n_periods=3)
    expected = [[0, 1, np.nan]] * 2 + [[np.nan, 0, 1]] * 2
    np.testing.assert_array_equal(staircase.to_numpy(), expected)


def test_the_detectable_effect_has_the_power_asked_for():
    wedge = roll_out_schedule("stepped wedge", n_clinics=12, n_periods=5)
    settings = {"sd": 1, "icc": 0.05, "cac": 0.8, "cell_size": 20}
    shown = detectable_by_roll_out(wedge, power=0.9, **settings)["estimate"].iloc[0]
    found = roll_out_power(wedge, effect=shown, **settings)["estimate"].iloc[0]
    assert found == pytest.approx(0.9)


def test_schedules_are_compared_with_what_each_costs():
    mine = pd.DataFrame([[0, 0, 0, 1, 1]] * 6 + [[0] * 5] * 6)
    table = compare_roll_outs(
        n_clinics=12, n_periods=5, cac=0.8, schedules={"late half": mine}, **USUAL
    )
    assert table["design"].tolist() == [*DESIGNS, "late half"]
    found = table.set_index("design")
    assert found.loc["stepped wedge", "n_measurements"] == 12 * 5 * 20
    assert found.loc["staircase", "n_measurements"] == 12 * 2 * 20
    assert found.loc["late half", "share_treated"] == pytest.approx(0.2)
    assert pd.isna(found.loc["late half", "n_clinics_needed"])
    for name in DESIGNS:
        needed = int(found.loc[name, "n_clinics_needed"])
        enough = roll_out_schedule(name, n_clinics=needed, n_periods=5)
        assert roll_out_power(enough, cac=0.8, **USUAL)["estimate"].iloc[0] >= 0.8
    # The wedge comes in rounds of its four steps; one round less does not suffice.
    fewer = int(found.loc["stepped wedge", "n_clinics_needed"]) - 4
    less = roll_out_schedule("stepped wedge", n_clinics=fewer, n_periods=5)
    assert roll_out_power(less, cac=0.8, **USUAL)["estimate"].iloc[0] < 0.8


def test_a_schedule_may_come_in_any_frame():
    table = pl.DataFrame({"may": [0, 0, 0], "june": [1, 0, 0], "july": [1, 1, 0]})
    assert error_of(table) == pytest.approx(error_of(table.to_pandas()))


def test_an_effect_that_may_change_costs_precision():
    wedge = roll_out_schedule("stepped wedge", n_clinics=12, n_periods=5)
    assert error_of(wedge, exposure_time=True) > error_of(wedge)
    # In a parallel design with one treated period there is one time since crossing.
    two = roll_out_schedule("parallel with baseline", n_clinics=10, n_periods=2)
    assert error_of(two, exposure_time=True) == pytest.approx(error_of(two))


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ([[0, 1]] * 3, "cannot tell the effect from the periods"),
        ([[0, 2], [0, 1], [0, 0]], "1 cells are neither 0 nor 1"),
        ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], "1 clinics lose the programme again"),
        ([[0, 0]] * 3, "no clinic ever has the programme"),
        ([[1, 1]] * 3, "no clinic is ever without"),
        ([], "the schedule is empty"),
        ([["a", "b"]], "the schedule holds what is no number"),
    ],
)
def test_schedules_that_tell_nothing_are_refused(schedule, words):
    with pytest.raises(DataError, match=words):
        error_of(schedule)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"icc": 1}, "leaves no chance between patients"),
        ({"cac": 1.2}, "cac=1.2 must be"),
        ({"cell_size": 0}, "cell_size=0 must be"),
        ({"correlation": "decaying"}, "correlation='decaying' is not known; did you mean 'decay'"),
        ({"sd": -1}, "sd=-1 must be"),
        ({"alpha": 5}, "alpha=5 must be"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, words):
    wedge = roll_out_schedule("stepped wedge", n_clinics=4, n_periods=3)
    with pytest.raises(UsageError, match=words):
        error_of(wedge, **settings)


def test_designs_that_need_more_clinics_are_refused():
    with pytest.raises(UsageError, match="n_clinics=3 must be a whole number, at least 4"):
        roll_out_schedule("stepped wedge", n_clinics=3, n_periods=5)
    with pytest.raises(UsageError, match="design='wedge' is not known"):
        roll_out_schedule("wedge", n_clinics=3, n_periods=5)
    with pytest.raises(DataError, match="2 clinics leave nothing to judge chance by"):
        detectable_by_roll_out([[0, 1], [0, 0]], sd=1, icc=0.05, cell_size=20)
    with pytest.raises(UsageError, match="schedules names staircase, which is a design"):
        compare_roll_outs(n_clinics=8, n_periods=3, schedules={"staircase": [[0, 1]]}, **USUAL)
