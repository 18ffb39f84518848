from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

from loyalty_research.effects import (
    Effect,
    Facts,
    check_contamination,
    mean_difference,
    risk_difference,
)
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.estimates import estimate_row, estimates_table, ratio_row
from loyalty_research.errors import UsageError

CAME = pd.DataFrame({"arm": [0] * 10 + [1] * 10, "came": [1] * 4 + [0] * 6 + [1] * 7 + [0] * 3})
SCORE = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})


def lottery(**more) -> Effect:
    return risk_difference(CAME, arm="arm", outcome="came", randomised=True, **more)


def as_it_came() -> Effect:
    return risk_difference(CAME, arm="arm", outcome="came")


def test_both_tables_have_the_fixed_columns(assert_columns):
    effect = lottery()
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")


def test_a_gating_check_that_failed_withholds():
    effect = as_it_came()
    assert effect.withheld
    assert effect.failed == ["assignment"]
    assert not lottery().withheld


def test_the_sentence_tells_size_levels_and_number():
    assert lottery().sentence() == (
        "Risk difference in came, programme against control: 30.0 percentage points "
        "(95 % interval −11.8 to 60.1); levels 70.0 % and 40.0 %; 20 patients."
    )


def test_an_association_is_called_one_and_withheld_from_the_public():
    inside = as_it_came().sentence()
    assert inside.endswith(
        "This is an association, not an effect. Not to be relied on: a check failed (assignment)."
    )
    outside = as_it_came().sentence(audience="publish")
    assert outside == "Risk difference in came: withheld, because a check failed (assignment)."
    with pytest.raises(UsageError, match="audience='all' is not known"):
        as_it_came().sentence(audience="all")


def test_an_override_keeps_its_reason_and_changes_no_number():
    before = as_it_came()
    after = before.override("assignment", reason="a lottery decided, see the protocol")
    assert not after.withheld
    assert before.withheld
    pd.testing.assert_frame_equal(after.estimates, before.estimates)
    assert after.facts.overrides == {"assignment": "a lottery decided, see the protocol"}
    assert "overridden: a lottery decided" in after.checks["message"].iloc[0]
    assert "Overridden: assignment" in after._repr_html_()


def test_an_override_needs_a_failed_check_and_a_reason():
    with pytest.raises(UsageError, match=r"'balance' is no failed check; .*: assignment"):
        as_it_came().override("balance", reason="a reason that is long enough")
    with pytest.raises(UsageError, match="needs a reason in words"):
        as_it_came().override("assignment", reason="ok")


def test_an_effect_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        lottery().facts = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        lottery().facts.n = 3


def test_json_holds_all_and_no_number_that_json_lacks():
    table = estimates_table(
        [ratio_row("x", float("nan"), float("nan"), scale="risk ratio", method="m", n=3)]
    )
    facts = Facts("d", "e", "risk ratio", "came", "v", 3, levels={0: 0.0, 1: float("inf")})
    effect = Effect(table, checks_table([Check("n", None, "three")]), facts)
    content = json.loads(effect.to_json())
    assert content["estimates"][0]["estimate"] is None
    assert content["facts"]["levels"] == {"0": 0.0, "1": None}
    assert content["checks"][0]["passed"] is None
    # A ratio without a value is no answer.
    assert content["withheld"] is True


def test_a_row_is_flat_and_names_the_arm_at_its_end():
    row = lottery(arms=("leaflet", "card")).row()
    assert row["arms"] == "card vs leaflet"
    assert (row["level_0"], row["level_1"], row["n_missing_0"]) == (0.4, 0.7, 0)
    assert not any(isinstance(value, dict | list | tuple) for value in row.values())


def test_what_a_notebook_shows_is_escaped():
    effect = mean_difference(
        SCORE.rename(columns={"score": "<b>"}), arm="arm", outcome="<b>", randomised=True
    )
    shown = effect._repr_html_()
    assert "<b>" not in shown
    assert "&lt;b&gt;" in shown
    assert shown.count("<table") == 2
    assert repr(effect) == effect.sentence()


def test_an_interval_of_students_t_by_hand():
    # t(.975, 8) = 2.306004: 1 -+ 2.306004 * 0.5.
    row = estimate_row("x", 1.0, 0.5, scale="points", method="t", n=10, df=8)
    assert (row["conf_low"], row["conf_high"]) == pytest.approx((-0.153002, 2.153002), abs=1e-6)
    without = estimate_row("x", 1.0, 0.0, scale="points", method="t", n=10)
    assert pd.isna([without["std_error"], without["conf_low"], without["p_value"]]).all()


def test_a_ratios_interval_is_built_on_the_log_scale():
    # 2 times and over exp(1.959964 * 0.5) = 2.664408.
    row = ratio_row("x", 0.693147181, 0.5, scale="risk ratio", method="m", n=10)
    assert row["conf_low"] == pytest.approx(2 / 2.664408, rel=1e-6)
    assert row["conf_high"] == pytest.approx(2 * 2.664408, rel=1e-6)
    assert row["std_error"] == 0.5


def test_a_designs_own_columns_stand_behind_the_term(assert_columns):
    row = estimate_row("x", 1.0, 0.5, scale="s", method="m", n=10, period=3)
    assert_columns(estimates_table([row]), "estimates", groups=["period"])


def test_a_check_made_beside_an_effect_withholds_it():
    data = pd.DataFrame({"patient_id": range(8), "facility_id": list("aabbccdd"),
                         "arm": [0] * 4 + [1] * 4, "came": [0, 1, 0, 0, 1, 1, 1, 0]})  # fmt: skip
    effect = risk_difference(
        data, arm="arm", outcome="came", cluster="facility_id", randomised=True
    ).override("clusters", reason="a teaching example of four clinics")
    # Two of the four controls went to clinic c, which has the programme.
    visits = pd.DataFrame({"patient_id": [0, 1, 2, 3], "facility_id": list("ccbb")})
    joined = effect.add_checks(check_contamination(data, visits, arm="arm"))
    assert not effect.withheld
    assert joined.failed == ["contamination"]
    assert "withheld" in joined.sentence(audience="publish")
    pd.testing.assert_frame_equal(joined.estimates, effect.estimates)
    assert joined.checks["check"].tolist()[-2:] == ["contamination", "crossing"]


def test_only_a_table_of_checks_can_be_added():
    data = pd.DataFrame({"arm": [0, 0, 1, 1], "came": [0, 1, 1, 1]})
    effect = risk_difference(data, arm="arm", outcome="came", randomised=True)
    with pytest.raises(UsageError, match="checks has no column 'check'"):
        effect.add_checks(data)
