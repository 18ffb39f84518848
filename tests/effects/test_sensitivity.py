"""How strong an unmeasured confounder must be, by published numbers and by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from loyalty_research.effects.dose import dose_response
from loyalty_research.effects.randomised import mean_difference, risk_difference
from loyalty_research.effects.sensitivity import e_value, robustness_value
from loyalty_research.errors import UsageError


def values(table):
    return table.set_index("term")["e_value"].to_dict()


def test_the_published_e_value_is_found():
    # VanderWeele and Ding, Ann Intern Med 2017;167:268: RR 3.9 (1.8, 8.7) has 7.26 and 3.0.
    found = values(e_value(3.9, low=1.8, high=8.7))
    assert found["estimate"] == pytest.approx(7.26, abs=0.005)
    assert found["limit"] == pytest.approx(3.0, abs=0.005)


def test_an_e_value_by_hand():
    # 2 + sqrt(2 (2 - 1))
    assert values(e_value(2.0)) == {"estimate": pytest.approx(2 + math.sqrt(2))}


def test_a_protective_ratio_counts_as_its_inverse():
    found = values(e_value(0.5, low=0.25, high=0.8))
    assert found["estimate"] == pytest.approx(2 + math.sqrt(2))
    # 1 / 0.8 = 1.25: 1.25 + sqrt(1.25 0.25)
    assert found["limit"] == pytest.approx(1.25 + math.sqrt(1.25 * 0.25))


@pytest.mark.parametrize(("low", "high"), [(0.9, 4.0), (1.0, 4.0)])
def test_an_interval_that_holds_no_effect_needs_no_confounder(low, high):
    assert values(e_value(2.0, low=low, high=high))["limit"] == 1


@pytest.mark.parametrize(
    ("settings", "ratio"),
    [
        ({"measure": "odds ratio"}, math.sqrt(2)),
        ({"measure": "odds ratio", "rare": True}, 2.0),
        ({"measure": "hazard ratio", "rare": True}, 2.0),
        ({"measure": "hazard ratio"}, (1 - 0.5 ** math.sqrt(2)) / (1 - 0.5 ** math.sqrt(0.5))),
        ({"measure": "rate ratio"}, 2.0),
        ({"measure": "mean difference", "sd": 4.0}, math.exp(0.91 * 0.5)),
    ],
)
def test_other_measures_become_risk_ratios(settings, ratio):
    assert e_value(2.0, **settings)["risk_ratio"].item() == pytest.approx(ratio)


def test_a_risk_difference_is_the_ratio_it_makes():
    table = e_value(0.1, low=-0.02, high=0.22, measure="risk difference", control=0.2)
    # 0.3 / 0.2
    assert table["risk_ratio"].tolist() == pytest.approx([1.5, 0.9])
    assert table["e_value"].tolist() == pytest.approx([1.5 + math.sqrt(0.75), 1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"estimate": 0.0}, "a risk ratio is above 0, and so are its limits"),
        ({"estimate": 2.0, "low": 2.5}, "low, estimate and high must be numbers in this order"),
        ({"estimate": 2.0, "measure": "risk rato"}, "did you mean 'risk ratio'"),
        ({"estimate": 2.0, "measure": "mean difference"}, "a mean difference needs sd"),
        ({"estimate": 0.1, "measure": "risk difference"}, "a risk difference needs control"),
    ],
)
def test_what_has_no_e_value_is_refused(arguments, words):
    estimate = arguments.pop("estimate")
    with pytest.raises(UsageError, match=words):
        e_value(estimate, **arguments)


def test_the_published_robustness_values_are_found():
    # Cinelli and Hazlett, JRSS B 2020;82:39, table 1: Darfur, exposure to violence on attitudes,
    # estimate 0.097, standard error 0.023, 783 degrees of freedom: 2.2 %, 13.9 %, 7.6 %.
    found = robustness_value(0.09731582, 0.02325654, df=783).set_index("term")["value"]
    assert found["partial R2"] == pytest.approx(0.022, abs=0.0005)
    assert found["robustness value"] == pytest.approx(0.139, abs=0.0005)
    assert found["robustness value, interval"] == pytest.approx(0.076, abs=0.0005)


def test_a_confounder_as_strong_as_the_robustness_value_undoes_the_estimate():
    # The bias of a confounder with partial R2 r of both is se sqrt(df) r / sqrt(1 - r).
    r = robustness_value(0.3, 0.1, df=100).set_index("term")["value"]["robustness value"]
    assert 0.1 * 10 * r / math.sqrt(1 - r) == pytest.approx(0.3)
    half = robustness_value(0.3, 0.1, df=100, q=0.5).set_index("term")["value"]
    r = half["robustness value"]
    assert 0.1 * 10 * r / math.sqrt(1 - r) == pytest.approx(0.15)


def test_an_interval_that_holds_no_effect_needs_nothing():
    found = robustness_value(0.1, 0.1, df=50).set_index("term")["value"]
    assert found["robustness value, interval"] == 0
    assert found["robustness value"] > 0


def test_beyond_some_strength_the_interval_is_undone_by_the_outcome_alone():
    # q f > sqrt(df - 1) / t*: with f = 10 and t*/sqrt(99) = 0.1994, (100 - 0.03977) / 101.
    found = robustness_value(10.0, 0.1, df=100).set_index("term")["value"]
    assert found["robustness value, interval"] == pytest.approx((100 - 0.039769) / 101, abs=1e-6)


@pytest.mark.parametrize(
    "arguments", [{"std_error": 0.0}, {"df": 1}, {"q": 0}, {"estimate": math.nan}]
)
def test_what_has_no_robustness_value_is_refused(arguments):
    given = {"estimate": 1.0, "std_error": 0.5, "df": 20} | arguments
    with pytest.raises(UsageError, match="std_error and q must be above 0, df above 1"):
        robustness_value(given.pop("estimate"), given.pop("std_error"), **given)


# --- attached to associations ---------------------------------------------------------------------


def test_an_unweighted_contrast_of_patients_who_chose_has_the_e_value_of_its_ratio():
    data = pd.DataFrame(
        {"arm": [0] * 20 + [1] * 20, "came": [1] * 5 + [0] * 15 + [1] * 10 + [0] * 10}
    )
    effect = risk_difference(data, arm="arm", outcome="came")
    # 10 of 20 against 5 of 20: a ratio of 2, and 2 + sqrt(2).
    assert effect.facts.more["e_value"] == pytest.approx(2 + math.sqrt(2))
    assert "e_value" not in risk_difference(
        data, arm="arm", outcome="came", randomised=True
    ).facts.more  # fmt: skip


def test_a_mean_has_the_e_value_of_its_difference_in_standard_deviations():
    data = pd.DataFrame(
        {"arm": [0] * 4 + [1] * 4, "sbp": [140.0, 144, 140, 144, 136, 140, 136, 140]}
    )
    effect = mean_difference(data, arm="arm", outcome="sbp", unit="mmHg")
    # Means 142 and 138, deviation 2 in each arm: exp(0.91 * 2) as a ratio.
    ratio = math.exp(0.91 * 2)
    assert effect.facts.more["e_value"] == pytest.approx(ratio + math.sqrt(ratio * (ratio - 1)))


def test_without_an_event_in_an_arm_there_is_no_e_value_and_nothing_breaks():
    data = pd.DataFrame({"arm": [0] * 5 + [1] * 5, "came": [1, 1, 1, 0, 0] + [0] * 5})
    checks = risk_difference(data, arm="arm", outcome="came").checks.set_index("check")
    assert "no E-value" in checks.loc["e_value", "message"]


def test_a_slope_by_dose_has_the_e_value_of_one_step():
    data = pd.DataFrame({"calls": [0.0, 1, 2, 3], "score": [1.0, 2, 2, 3]})
    effect = dose_response(data, dose="calls", outcome="score", dose_from="assigned")
    # The line 1.1 + 0.6 calls leaves -0.1, 0.3, -0.3, 0.1: a deviation of sqrt(0.05).
    ratio = math.exp(0.91 * 0.6 / math.sqrt(0.05))
    assert effect.facts.more["e_value"] == pytest.approx(ratio + math.sqrt(ratio * (ratio - 1)))
