"""Reporting guidelines: filled from results, open by name, no small count published."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.display import disclosure
from loyalty_research.effects import published
from loyalty_research.effects.propensity import propensity_weights
from loyalty_research.effects.randomised import mean_difference, risk_difference
from loyalty_research.effects.rates import rate_ratio
from loyalty_research.effects.reporting import (
    GUIDELINES,
    REPORTING_ITEMS,
    check_reporting,
    reporting_items,
)
from loyalty_research.effects.reporting_answers import ANSWERS
from loyalty_research.effects.retained_cost import cost_per_retained_patient
from loyalty_research.effects.subgroups import subgroup_effects
from loyalty_research.effects.target_trial import emulate_trial
from loyalty_research.effects.value import incremental_cost_effectiveness, net_benefit
from loyalty_research.errors import DataError, UsageError

CONSORT_NUMBERS = (
    "1a 1b 2a 2b 3a 3b 4a 4b 5 6a 6b 7a 7b 8a 8b 9 10 11a 11b 12a 12b 13a 13b 14a 14b 15 16 17a "
    "17b 18 19 20 21 22 23 24 25"
)
NUMBERS = {
    "CONSORT": CONSORT_NUMBERS,
    "CONSORT cluster": CONSORT_NUMBERS.replace(" 10 ", " 10a 10b 10c "),
    "STROBE": "1a 1b 2 3 4 5 6a 6b 7 8 9 10 11 12a 12b 12c 12d 12e 13a 13b 13c 14a 14b 14c 15 16a "
    "16b 16c 17 18 19 20 21 22",
    "TARGET": "1a 1b 1c 2 3 4 5 6a 6b 6c 6d 6e 6f 6g 6h 7a 7b 7c 7d 7e 7f 7g(i) 7g(ii) 7h(i) "
    "7h(ii) 8 9 10 11 12 13 14 15 16 17 18 19 20 21",
    "CHEERS": " ".join(map(str, range(1, 29))),
}
ATTRITION = pd.DataFrame(
    {
        "step": [0, 1, 2],
        "criterion": ["all", "adult", "seen twice"],
        "n_before": [303, 303, 203],
        "n_excluded": [0, 100, 3],
        "n_after": [303, 203, 200],
    }
)


def randomised(came=(36, 20), n=(50, 50), lost=(0, 0)):
    """Return patients of whom so many came and so many are not known, programme first."""
    parts = [
        pd.DataFrame(
            {
                "arm": [k] * (n[i] + lost[i]),
                "came": [1] * came[i] + [0] * (n[i] - came[i]) + [None] * lost[i],
            }
        )
        for i, k in enumerate((1, 0))
    ]
    return pd.concat(parts, ignore_index=True)


def came_effect(**settings):
    return risk_difference(randomised(**settings), arm="arm", outcome="came", randomised=True)


def answers(effect, guideline="CONSORT", **settings):
    items = reporting_items(effect, guideline=guideline, **settings)
    return items.set_index("item")


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(5)
    n = 400
    data = pd.DataFrame(
        {
            "enrolled": np.where(rng.random(n) < 0.4, 0, np.nan),
            "time": rng.integers(1, 300, n),
            "event": rng.random(n) < 0.6,
            "age": rng.normal(60, 9, n),
        }
    )
    data.loc[:4, "enrolled"] = -30
    return emulate_trial(data, exposed_at="enrolled")


@pytest.fixture(scope="module")
def trial_effect(trial):
    return trial.retention_difference(day=100, covariates=["age"], n_boot=50, seed=1)


@pytest.fixture(scope="module")
def costs():
    return simulate_design("costs", seed=1).data


# --- the guidelines -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(NUMBERS))
def test_every_guideline_has_all_its_items_once_in_order(name):
    found = [item.item for item in GUIDELINES[name].items]
    assert found == NUMBERS[name].split()
    assert len(set(found)) == len(found)


def test_the_guidelines_have_as_many_items_as_they_say():
    counts = {
        name: len({re.match(r"\d+", item.item)[0] for item in guideline.items})
        for name, guideline in GUIDELINES.items()
    }
    assert counts == {
        "CONSORT": 25, "CONSORT cluster": 25, "STROBE": 22, "TARGET": 21, "CHEERS": 28,
    }  # fmt: skip


def test_every_answer_that_a_guideline_names_exists_and_every_answer_is_used():
    used = {item.known for guideline in GUIDELINES.values() for item in guideline.items} - {""}
    assert used == set(ANSWERS)


def test_every_item_says_what_it_asks_for_in_a_few_words():
    words = [item.what for guideline in GUIDELINES.values() for item in guideline.items]
    assert all(0 < len(what) <= 100 for what in words)


def test_the_frame_says_which_version_it_follows():
    items = reporting_items(came_effect(), guideline="CONSORT")
    assert tuple(items.columns) == REPORTING_ITEMS
    assert items["guideline"].unique().tolist() == ["CONSORT 2010"]


# --- what the suite knows -------------------------------------------------------------------------


def test_a_risk_difference_fills_estimate_and_interval_with_its_own_numbers():
    # 36 of 50 less 20 of 50: 72 - 40 = 32 points; 36/20 = 1.8 times.
    effect = came_effect()
    found = answers(effect)
    low, high = (100 * effect.headline[name] for name in ("conf_low", "conf_high"))
    told = f"32.0 percentage points (95 % interval {low:.1f} to {high:.1f})"
    assert found.loc["17a", "answer"] == (
        f"risk difference in came, programme against control: {told}; levels 72.0 % and 40.0 %"
    )
    assert found.loc["17a", "status"] == "filled"
    assert found.loc["17b", "status"] == "filled"
    assert found.loc["17b", "answer"].startswith(f"risk difference: {told}; risk ratio: 1.80 (95 %")


def test_numbers_by_arm_and_those_without_an_outcome_are_the_effects():
    found = answers(came_effect(lost=(1, 2)))
    assert "programme: 50 patients; control: 50 patients" in found.loc["16", "answer"]
    assert "programme: 51 patients assigned, 50 patients analysed" in found.loc["13a", "answer"]
    assert "control: 2 patients without a known outcome" in found.loc["13b", "answer"]


def test_methods_say_estimator_seed_clusters_and_what_was_overridden():
    data = simulate_design("clusters", seed=1).data
    effect = mean_difference(data, arm="arm", outcome="score", cluster="clinic", randomised=True)
    told = answers(effect, "CONSORT cluster").loc["12a", "answer"]
    assert "CR2" in told
    assert "20 clusters" in told


def test_an_outcome_that_is_a_number_has_no_relative_effect_to_report():
    data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
    effect = mean_difference(data, arm="arm", outcome="score", randomised=True)
    found = answers(effect)
    assert found.loc["17b", "status"] == "not applicable"
    assert found.loc["17a", "answer"].endswith("levels 4.5 and 1.5")


def test_one_scale_of_an_event_leaves_the_other_open():
    data = simulate_design("counts", seed=1).data
    outcome = next(name for name in data.columns if name not in ("arm", "time", "days", "years"))
    effect = rate_ratio(data, arm="arm", outcome=outcome, exposure=None, randomised=True)
    row = answers(effect).loc["17b"]
    assert row["status"] == "open"
    assert row["answer"].endswith("Still open: the absolute effect")


def test_overrides_appear_in_methods_and_limitations_with_their_reason():
    effect = risk_difference(randomised(), arm="arm", outcome="came")
    effect = effect.override("assignment", reason="a lottery decided, see protocol")
    found = answers(effect)
    for item in ("12a", "20"):
        told = "overridden: assignment (a lottery decided, see protocol)"
        assert told in found.loc[item, "answer"]
    assert found.loc["8a", "answer"].startswith("a lottery decided, see protocol. Still open")


def test_attrition_fills_criteria_and_the_flow():
    effect = propensity_weights(
        simulate_design("confounded", seed=1).data, arm="arm", covariates=["x1", "x2", "x3"]
    ).effect(outcome="score")
    found = answers(effect, "STROBE", attrition=pl.from_pandas(ATTRITION))
    assert found.loc["6a", "answer"].startswith("adult; seen twice. Still open: how patients")
    assert found.loc["13a", "answer"].startswith(
        "303 patients at the beginning; adult: 100 patients left out, 203 patients stay; seen twice"
    )
    assert found.loc["13b", "answer"] == "not adult: 100 patients; not seen twice: 3 patients"
    assert answers(effect, "STROBE").loc["13a", "status"] == "open"


def test_a_weighted_effect_shows_the_unadjusted_one_its_checks_and_its_e_value():
    effect = propensity_weights(
        simulate_design("confounded", seed=1).data, arm="arm", covariates=["x1", "x2", "x3"]
    ).effect(outcome="score")
    found = answers(effect, "STROBE")
    rows = effect.estimates.set_index("term")["estimate"]
    assert f"unadjusted: {rows['unadjusted']:.2f}" in found.loc["16a", "answer"]
    assert "balance passed" in found.loc["9", "answer"]
    assert "prevalent members for information" in found.loc["9", "answer"]
    assert (
        f"E-value of the estimate {effect.facts.more['e_value']:.2f}"
        in (found.loc["12e", "answer"])
    )
    assert found.loc["6b", "status"] == "not applicable"


def test_subgroups_are_told_with_their_names():
    data = simulate_design("null_subgroups", seed=1).data
    group = next(name for name in data.columns if name not in ("arm", "score"))
    effect = subgroup_effects(data, arm="arm", outcome="score", by=group, randomised=True)
    found = answers(effect, "STROBE")
    assert f"by {group}" in found.loc["12b", "answer"]
    assert found.loc["17", "answer"].startswith(f"subgroup (by {group}, level ")


def test_a_long_table_of_estimates_is_counted_not_copied():
    effect = came_effect()
    many = pd.concat([effect.estimates] * 10, ignore_index=True)
    found = answers(type(effect)(many, effect.checks, effect.facts))
    n = len(many) - 1
    assert found.loc["18", "answer"].startswith(
        f"{n} further estimates stand in the effect's table"
    )


def test_the_protocol_of_a_trial_answers_targets_two_columns(trial, trial_effect):
    found = answers(trial_effect, "TARGET", trial=trial)
    protocol = trial.protocol.set_index("item")
    for item, line in {"6a": "eligibility", "6c": "assignment"}.items():
        assert found.loc[item, "answer"] == protocol.loc[line, "target_trial"]
    assert found.loc["7c", "answer"] == protocol.loc["assignment", "emulation"]
    assert found.loc["7a", "answer"].endswith(": " + protocol.loc["eligibility", "target_trial"])
    assert found.loc["8", "answer"].startswith("400 patients at the beginning; not enrolled before")
    assert found.loc["7h(i)", "answer"].endswith("Still open: what was done about missing data")


def test_follow_up_of_each_arm_is_counted_in_the_trials_own_rows(trial, trial_effect):
    told = answers(trial_effect, "TARGET", trial=trial).loc["10", "answer"]
    rows = trial.rows[trial.rows["arm"] == 1]
    events = int(rows["event"].sum())
    assert told.startswith(
        f"programme: {rows['time'].mean():.0f} days on average; ended by the event in {events} "
        f"patients, censored in {len(rows) - events} patients; control: "
    )


def test_without_its_trial_the_specification_stays_open(trial_effect):
    found = answers(trial_effect, "TARGET")
    assert (found.loc[["6a", "6b", "7a", "8", "10"], "status"] == "open").all()
    assert (found.loc[["6a", "6b", "7a", "8", "10"], "answer"] == "").all()


def test_costs_against_outcomes_fill_cheers(costs):
    effect = incremental_cost_effectiveness(
        costs, arm="arm", cost="cost", outcome="years", randomised=True
    )
    found = answers(effect, "CHEERS")
    cost = effect.estimates.set_index("term").loc["incremental cost"]
    assert f"incremental cost: {cost['estimate']:.1f}" in found.loc["23", "answer"]
    assert effect.facts.more["in_words"] in found.loc["23", "answer"]
    assert found.loc[["16", "22"], "status"].tolist() == ["not applicable"] * 2
    worth = net_benefit(
        costs, arm="arm", cost="cost", outcome="years", willingness_to_pay=200, randomised=True
    )
    assert answers(worth, "CHEERS").loc["23", "answer"].startswith("net benefit at 200 a unit")


def test_a_programmes_known_cost_is_an_input_of_the_evaluation():
    price = cost_per_retained_patient(
        risk_difference(
            randomised(), arm="arm", outcome="came", randomised=True, better="higher"
        ),
        programme_cost=1000, n_patients=500,
    )  # fmt: skip
    row = answers(price, "CHEERS").loc["22"]
    assert row["status"] == "filled"
    assert row["answer"].startswith("the programme's cost is taken as known: 1,000")


# --- what the authors tell ------------------------------------------------------------------------


def test_what_authors_tell_is_added_to_what_is_known_and_never_replaces_it():
    told = {"16": "all stayed in their arm.", "17a": "it works", "25": " the hospital paid "}
    found = answers(came_effect(), told=told)
    assert found.loc["16", "answer"] == (
        "programme: 50 patients; control: 50 patients. all stayed in their arm"
    )
    assert found.loc["17a", "answer"].startswith("risk difference in came")
    assert found.loc["17a", "answer"].endswith("40.0 %. it works")
    assert found.loc["25", "answer"] == "the hospital paid"
    assert found.loc[["16", "17a", "25"], "status"].tolist() == ["filled"] * 3


def test_authors_can_say_that_an_item_does_not_apply_and_that_one_does():
    data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
    effect = mean_difference(data, arm="arm", outcome="score", randomised=True)
    told = {"3b": "Not applicable: nothing was changed", "17b": "ratio of means 3.0"}
    found = answers(effect, told=told)
    assert found.loc["3b", "status"] == "not applicable"
    assert found.loc["17b", ["answer", "status"]].tolist() == ["ratio of means 3.0", "filled"]


def test_harms_registration_and_funding_are_never_known_to_the_suite():
    found = answers(came_effect())
    assert (found.loc[["19", "23", "24", "25"], "status"] == "open").all()
    assert (found.loc[["19", "23", "24", "25"], "answer"] == "").all()


# --- what is published ----------------------------------------------------------------------------


def test_published_counts_are_rounded_and_small_ones_withheld():
    effect = came_effect(n=(52, 51), lost=(3, 11))
    items = reporting_items(
        effect, guideline="CONSORT", attrition=ATTRITION, audience="publish"
    )  # fmt: skip
    found = items.set_index("item")["answer"]
    assert "programme: a withheld number of patients without a known outcome" in found["13b"]
    assert "control: about 10 patients without a known outcome" in found["13b"]
    assert found["16"].startswith("programme: about 50 patients; control: about 50 patients")
    assert "among about 105 patients compared" in found["2b"]
    assert "about 15 patients without a known came left out" in found["2b"]
    counts = re.findall(r"(\d[\d,]*) (?:patients?|rows?|events?)\b", " ".join(found))
    assert counts
    assert all(int(n.replace(",", "")) % 5 == 0 for n in counts)


def test_published_flow_hides_a_small_step():
    effect = propensity_weights(
        simulate_design("confounded", seed=1).data, arm="arm", covariates=["x1", "x2", "x3"]
    ).effect(outcome="score")
    found = answers(effect, "STROBE", attrition=ATTRITION, audience="publish")
    assert found.loc["13b", "answer"] == (
        "not adult: about 100 patients; not seen twice: a withheld number of patients"
    )
    assert "about 305 patients at the beginning" in found.loc["13a", "answer"]


def test_numbers_of_a_withheld_effect_are_not_published_but_labelled_inside():
    effect = risk_difference(randomised(), arm="arm", outcome="came")
    assert effect.withheld
    inside = answers(effect, "STROBE")
    assert "not to be relied on: a check failed (assignment)" in inside.loc["16a", "answer"]
    found = answers(effect, "STROBE", audience="publish")
    for item in ("15", "16a", "16c", "17", "18"):
        told = "withheld, because a check failed (assignment)"
        assert found.loc[item, ["answer", "status"]].tolist() == [told, "open"]
    number = f"{100 * effect.headline['estimate']:.1f}"
    assert number in " ".join(inside["answer"])
    assert number not in " ".join(found["answer"])
    assert "72.0" not in " ".join(found["answer"])


def test_an_effect_behind_which_few_stand_is_not_published():
    effect = came_effect(came=(47, 20))  # three of the programme's patients did not come
    found = answers(effect, audience="publish")
    told = "withheld, because too few patients stand behind it"
    assert (found.loc[["17a", "17b", "18"], "answer"] == told).all()
    assert (found.loc[["17a", "17b", "18"], "status"] == "open").all()


def test_what_authors_tell_of_a_withheld_effect_does_not_close_the_item():
    effect = came_effect(came=(47, 20))
    found = answers(effect, audience="publish", told={"17a": "see the register"})
    assert found.loc["17a", "status"] == "open"


def test_a_published_subgroup_of_few_has_no_numbers():
    effect = came_effect()
    few = effect.estimates.assign(n=[100, 5, 100])
    found = answers(type(effect)(few, effect.checks, effect.facts), audience="publish")
    assert "risk ratio: withheld" in found.loc["18", "answer"]


def test_follow_up_of_a_small_arm_is_not_published():
    data = pd.DataFrame(
        {"enrolled": [0] * 5 + [None] * 60, "time": range(1, 66), "event": [1, 0] * 32 + [1]}
    )
    trial = emulate_trial(data, exposed_at="enrolled")
    effect = trial.retention_difference(day=3, n_boot=50, seed=1)
    told = answers(effect, "TARGET", trial=trial, audience="publish").loc["10", "answer"]
    assert told.startswith("programme: withheld; control: ")


def test_the_rules_of_disclosure_are_those_of_the_display():
    assert (published.THRESHOLD, published.BASE) == (disclosure.THRESHOLD, disclosure.BASE)
    for n in (8, 12, 13, 302, 303, 1567):
        table = disclosure.suppress_small_counts(pd.DataFrame({"n": [n]}), counts=["n"])
        words = published.told_count(n, "patient", audience="publish")
        assert words == f"about {int(table['n'].iloc[0]):,} patients"


# --- how many are open ----------------------------------------------------------------------------


def test_open_items_are_listed_by_name_with_what_they_ask():
    items = reporting_items(came_effect(), guideline="CONSORT")
    checks = check_reporting(items).set_index("check")
    row = checks.loc["open items"]
    n = int(items["status"].eq("open").sum())
    assert row["statistic"] == n
    assert row["passed"] is False
    assert not row["gating"]
    assert row["message"].startswith(f"CONSORT 2010: {n} of 37 items open: 1a the title says")
    for item in items.loc[items["status"].eq("open"), "item"]:
        assert f"{item} " in row["message"]


def test_a_checklist_without_open_items_passes():
    told = {item.item: "as the report says" for item in GUIDELINES["CONSORT"].items}
    checks = check_reporting(reporting_items(came_effect(), guideline="CONSORT", told=told))
    assert checks["passed"].tolist() == [True, None]
    assert checks["message"].iloc[0] == "CONSORT 2010: 0 of 37 items open"


def test_two_guidelines_under_one_another_are_counted_apart(costs):
    effect = incremental_cost_effectiveness(
        costs, arm="arm", cost="cost", outcome="years", randomised=True
    )
    both = pd.concat([reporting_items(effect, guideline=name) for name in ("CONSORT", "CHEERS")])
    checks = check_reporting(both)
    assert checks["check"].tolist() == ["open items", "items not applicable"] * 2
    assert "16 the model, why it was used" in checks["message"].iloc[3]


# --- refusals -------------------------------------------------------------------------------------


def test_an_unknown_guideline_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="guideline='CONSRT' is not known; did you mean 'CONSORT'"):
        reporting_items(came_effect(), guideline="CONSRT")


def test_unknown_items_and_empty_texts_are_refused_together():
    told = {"17": "more", "25": " ", "24": None}
    with pytest.raises(UsageError) as caught:
        reporting_items(came_effect(), guideline="CONSORT", told=told)
    assert "told names item '17', which CONSORT 2010 does not have; did you mean" in str(
        caught.value
    )
    assert "told has no text for item '25'" in str(caught.value)
    assert "told has no text for item '24'" in str(caught.value)


def test_consort_is_refused_for_arms_that_chance_did_not_assign():
    effect = risk_difference(randomised(), arm="arm", outcome="came")
    with pytest.raises(
        UsageError, match=r"for arms that chance assigned.*use 'STROBE' or 'TARGET'"
    ):
        reporting_items(effect, guideline="CONSORT")


def test_the_extension_to_clusters_is_refused_without_clusters():
    with pytest.raises(UsageError, match=r"for clusters that were assigned whole.*use 'CONSORT'"):
        reporting_items(came_effect(), guideline="CONSORT cluster")


def test_cheers_is_refused_where_no_cost_is_weighed():
    with pytest.raises(UsageError, match="this effect is a risk difference; use incremental_cost"):
        reporting_items(came_effect(), guideline="CHEERS")


def test_a_trial_that_is_none_and_an_unknown_audience_are_refused():
    with pytest.raises(UsageError, match="trial must be what emulate_trial"):
        reporting_items(came_effect(), guideline="CONSORT", trial=ATTRITION)
    with pytest.raises(UsageError, match="audience='public' is not known; did you mean 'publish'"):
        reporting_items(came_effect(), guideline="CONSORT", audience="public")


def test_an_attrition_without_its_columns_is_refused():
    with pytest.raises(DataError, match="column n_after is missing"):
        reporting_items(
            came_effect(), guideline="CONSORT", attrition=ATTRITION.drop(columns="n_after")
        )
    with pytest.raises(DataError, match="column status is missing"):
        check_reporting(pd.DataFrame(columns=["guideline", "item", "topic", "what", "answer"]))
