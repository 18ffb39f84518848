"""What a published report tells of an effect: nothing where it is withheld, else what is inside."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

import loyalty_research as lr
from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.display.published_steps import publish_estimates, round_values
from loyalty_research.display.tables_checks import effect_checks_table
from loyalty_research.display.tables_effects import (
    effect_table,
    effects_table,
    headline_row,
    published_effect,
)
from loyalty_research.errors import UsageError

PANEL = {"unit": "clinic", "period": "period", "outcome": "score", "seed": 1}
WEDGE = {"outcome": "score", "cluster": "clinic", "period": "period", "treated": "treated"}


def staggered(*, clinics):
    """Return the effect of a roll-out whose cohorts have so many clinics each."""
    panel = simulate_design("staggered", seed=1).data
    first = panel.groupby("clinic", as_index=False)["first_treated"].first()
    kept = first.groupby("first_treated", dropna=False)["clinic"].head(clinics)
    panel = panel[panel["clinic"].isin(kept)]
    return lr.staggered_difference_in_differences(panel, first_treated="first_treated", **PANEL)


@pytest.fixture(scope="module")
def held():
    found = staggered(clinics=1)
    assert found.failed == ["cohort_size"]
    return found


@pytest.fixture(scope="module")
def sound():
    found = staggered(clinics=30)
    assert not found.withheld
    return found


def test_no_column_of_a_withheld_effect_tells_it(held):
    shown = published_effect(held, audience="publish")
    results = shown.select_dtypes("float").drop(columns="conf_level")
    assert {"band_low", "band_high", "estimate"} <= set(results)
    assert results.isna().all(axis=None)
    times = ["term", "cohort", "period", "event_time"]
    pd.testing.assert_frame_equal(shown[times], held.estimates[times])


def test_the_course_of_a_withheld_effect_is_not_drawn(held):
    shown = published_effect(held, audience="publish")
    axes = lr.plot_event_study(shown[shown["term"] == "dynamic"], at="event_time")
    ends = [line.vertices[:, 1] for part in axes.collections for line in part.get_paths()]
    assert all(np.isnan(heights).all() for heights in ends)
    marks = [line.get_ydata() for line in axes.lines if line.get_marker() == "o"]
    assert len(marks) == 2
    assert all(np.isnan(heights).all() for heights in marks)


def test_the_bands_of_a_sound_effect_are_rounded(sound):
    shown = published_effect(sound, audience="publish")
    for name in ("band_low", "band_high"):
        given = sound.estimates[name].notna()
        assert shown[name].notna().tolist() == given.tolist()
        assert (shown[name] - sound.estimates[name])[given].abs().max() <= 0.0005 + 1e-9
        assert (shown[name] != sound.estimates[name])[given].any()


def test_degrees_of_freedom_which_give_back_the_patients_are_left_out():
    data = simulate_design("randomised", seed=1).data
    parts = [data.assign(came=np.roll(data["came"], k)) for k in range(3)]
    found = lr.pool_imputations(
        [lr.risk_difference(one, arm="arm", outcome="came", randomised=True) for one in parts]
    )
    shown = published_effect(found, audience="publish")
    assert shown["df"].isna().all()
    assert shown["fraction_missing"].notna().all()


def quadrant():
    data = pd.DataFrame(
        {"arm": [0] * 20 + [1] * 20, "cost": [*range(20), *range(30, 50)], "came": [0, 1] * 20}
    )
    return lr.incremental_cost_effectiveness(data, arm="arm", cost="cost", outcome="came")


def wedge():
    rows = simulate_design("stepped_wedge", seed=1, growing=True).data
    crossed = rows["period"].where(rows["treated"] == 1).groupby(rows["clinic"]).transform("min")
    rows["score"] += 10 * (rows["period"] - crossed).clip(lower=0).fillna(0)
    found = lr.stepped_wedge_effect(rows, randomised=True, exposure_time=False, **WEDGE)
    assert found.failed == ["constant effect"]
    return found


def compared():
    data = simulate_design("non_compliance", seed=1).data
    return lr.complier_effect(data, arm="arm", outcome="score", received="received")


HELD = {"quadrant": quadrant, "wedge": wedge, "compliers": compared}


@pytest.mark.parametrize("design", ["staggered", *HELD])
def test_the_checks_of_a_withheld_effect_do_not_tell_it(design, request):
    found = request.getfixturevalue("held") if design == "staggered" else HELD[design]()
    assert found.withheld
    worded = effect_checks_table(found, audience="publish")
    assert worded.words.columns.tolist() == ["Check", "Result", "Estimates wait for it", "Meaning"]
    assert worded.numbers[["statistic", "threshold"]].isna().all(axis=None)
    assert worded.numbers["check"].tolist() == found.checks["check"].tolist()
    assert worded.numbers["gating"].tolist() == found.checks["gating"].tolist()
    inside = found.checks.set_index("check")["message"]
    assert inside[~found.checks["gating"].to_numpy()].str.contains(r"\d|quadrant|costs").any()
    for row in worded.numbers.itertuples():
        if not row.gating or row.check == "constant effect":
            assert not re.search(r"(?<![\w(])\d", row.message)
    failed = worded.words.loc[worded.words["Result"] == "FAILED", "Meaning"]
    assert failed.str.len().gt(20).all()
    lr.show_table(worded, name="checks", caption="Checks.", audience="publish")


def test_leads_and_biases_of_a_withheld_effect_have_no_numbers(held):
    told = effect_checks_table(held, audience="publish").numbers.set_index("check")["message"]
    inside = held.checks.set_index("check")["message"]
    assert re.search(r"start, -?\d", inside["bias_of_detectable_slope"])
    assert told["bias_of_detectable_slope"] == (
        "a difference in trends as large would move the average effect after the start, …, by …"
    )
    assert told["largest_lead"] == (
        "largest difference before the start: … (… to …) at event time …"
    )
    assert told["cohort_size"].startswith("the smallest cohort, or the controls, has a withheld")


def test_the_words_that_name_the_quadrant_are_withheld_with_the_effect():
    told = effect_checks_table(quadrant(), audience="publish").numbers.set_index("check")["message"]
    assert told["quadrant"] == "withheld with the effect"


def test_the_checks_of_a_sound_effect_keep_their_numbers(sound):
    shown = effect_checks_table(sound, audience="publish").numbers
    given = sound.checks["statistic"].notna() & ~sound.checks["statistic"].mod(1).eq(0)
    assert given.any()
    exact = sound.checks["statistic"][given]
    assert (shown["statistic"][given] - exact).abs().max() <= 0.0005 + 1e-9
    assert "Found" in effect_checks_table(sound, audience="publish").words
    pd.testing.assert_frame_equal(effect_checks_table(sound).numbers, sound.checks)
    with pytest.raises(UsageError, match="audience"):
        effect_checks_table(sound, audience="all")


def came_of_all_but(missing, *, n=60):
    data = pd.DataFrame({"arm": [0] * n + [1] * n, "came": [0.0, 1.0] * n})
    data.loc[: missing - 1, "came"] = np.nan
    return lr.risk_difference(data, arm="arm", outcome="came", randomised=True)


def test_a_share_that_few_patients_leave_is_withheld_in_its_place():
    # 57 of 60 are 95.0 %, and 5 % of 60 are 3.
    shown = effect_checks_table(came_of_all_but(3), audience="publish").numbers.set_index("check")
    row = shown.loc["completeness"]
    assert row["message"] == "came is known of 100.0 % with and a withheld share without"
    assert pd.isna(row["statistic"])
    assert row["suppressed"] == 1


def test_a_share_that_many_patients_leave_stays():
    found = came_of_all_but(12)
    shown = effect_checks_table(found, audience="publish").numbers.set_index("check")
    assert shown.loc["completeness", "message"].startswith(
        "came is known of 100.0 % with and 80.0 % without"
    )


# --- rounded once ---------------------------------------------------------------------------------


def with_headline(effect, **values):
    rows = effect.estimates.copy()
    for name, value in values.items():
        rows.loc[rows.index[0], name] = value
    return dataclasses.replace(effect, estimates=rows)


@pytest.fixture(scope="module")
def mean():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"arm": [0, 1] * 200, "score": rng.normal(size=400)})
    return lr.mean_difference(data, arm="arm", outcome="score", randomised=True)


def test_a_published_table_reads_like_the_internal_one(mean):
    # 5.1454961 is 5.15; by way of 5.145 it would read 5.14.
    found = with_headline(mean, estimate=5.1454961, conf_low=4.9, conf_high=5.4, p_value=2e-12)
    inside, outside = (effect_table(found, audience=a) for a in ("internal", "publish"))
    assert outside.words.equals(inside.words)
    assert outside.words.iloc[0, 1:3].tolist() == ["5.15 (4.90 to 5.40)", "<0.001"]
    head = outside.numbers.iloc[0]
    assert (head["estimate"], head["p_value"]) == (5.1455, 0.001)
    beside = effects_table({"A": found}, audience="publish").words.iloc[0]
    assert beside["Effect (95 % interval)"] == "5.15 (4.90 to 5.40)"


def test_published_values_read_like_exact_ones_whatever_their_decimals():
    values = pd.Series(np.random.default_rng(1).normal(scale=3, size=20_000))
    rounded = round_values(values)
    assert (rounded - values).abs().max() <= 0.0005 + 1e-9
    for digits in (0, 1, 2):
        assert [f"{v:.{digits}f}" for v in rounded] == [f"{v:.{digits}f}" for v in values]
    assert (rounded == values.round(3)).mean() > 0.9
    assert round_values(pd.Series([np.nan, np.inf, -np.inf])).tolist()[1:] == [np.inf, -np.inf]


def test_a_published_p_value_is_never_0_nor_1():
    table = pd.DataFrame({"estimate": 0.5, "p_value": [0.0, 0.0312, 1.0], "n": 100})
    shown = publish_estimates(table, audience="publish")
    assert shown["p_value"].tolist() == [0.001, 0.031, 0.999]


def test_levels_are_worded_from_the_exact_value(mean):
    facts = dataclasses.replace(mean.facts, levels={0: 2.3449999, 1: 5.1454961})
    found = dataclasses.replace(mean, facts=facts)
    words = effects_table({"A": found}, audience="publish").words.iloc[0]
    assert words[["With", "Without"]].tolist() == ["5.15", "2.34"]
    assert headline_row("A", found, audience="publish")["level_1"] == 5.1455


# --- what is counted ------------------------------------------------------------------------------


def test_what_is_counted_is_named(mean):
    series = lr.interrupted_time_series(
        simulate_design("interrupted_series", seed=1).data, outcome="score", time="period",
        start=24, season="month",
    )  # fmt: skip
    joined = simulate_design("immortal_time", seed=1).data
    trials = lr.sequential_trials(joined, every=30, last=60, exposed_at="enrolment_day")
    repeated = trials.retention_difference(day=100, n_boot=50, seed=1)
    told = effects_table({"A": mean, "B": series, "C": repeated}).words["Number"].tolist()
    assert told[:2] == ["400 patients", "48 periods"]
    assert re.fullmatch(r"\d,\d{3} patient-trials", told[2])
    hidden = effects_table({"B": series}, audience="publish").words["Number"].item()
    assert hidden == "50 periods"
