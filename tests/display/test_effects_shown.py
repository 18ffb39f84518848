"""Effects: what is drawn and said was computed; what a check withholds is not published."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.display.figures_effects import (
    plot_balance,
    plot_effects,
    plot_event_study,
    plot_lines,
    plot_overlap,
    plot_roll_out,
    plot_series,
)
from loyalty_research.display.shown import show_figure, show_finding, show_table
from loyalty_research.display.tables_effects import (
    effect_sentence,
    effect_table,
    effects_table,
    format_effect,
    headline_row,
    overlap_table,
    published_effect,
)
from loyalty_research.effects import (
    acceptability_curve,
    mean_difference,
    propensity_weights,
    risk_difference,
)
from loyalty_research.errors import UsageError


@pytest.fixture(scope="module")
def trial():
    data = simulate_design("randomised", seed=1, n=3000).data
    return risk_difference(data, arm="arm", outcome="came", randomised=True)


@pytest.fixture(scope="module")
def chosen():
    data = simulate_design("randomised", seed=1, n=3000).data
    return risk_difference(data, arm="arm", outcome="came")


def few(events: int):
    data = pd.DataFrame({"arm": [0] * 400 + [1] * 60, "came": 0})
    data.loc[:200, "came"] = 1
    data.loc[400 : 400 + events - 1, "came"] = 1
    return risk_difference(data, arm="arm", outcome="came", randomised=True)


def test_a_difference_of_shares_reads_in_points_and_a_ratio_in_two_decimals():
    row = {"estimate": 0.0867, "conf_low": 0.012, "conf_high": 0.16, "scale": "risk difference"}
    assert format_effect(row) == "8.7 points (1.2 to 16.0)"
    assert format_effect(row | {"scale": "risk ratio", "estimate": 1.5}).startswith("1.50 (")


@pytest.mark.parametrize(
    ("width", "words"),
    [(200, "5 (−95 to 105)"), (2, "5.0 (4.0 to 6.0)"), (0.2, "5.00 (4.90 to 5.10)")],
)
def test_decimals_follow_the_width_of_the_interval(width, words):
    row = {"estimate": 5, "conf_low": 5 - width / 2, "conf_high": 5 + width / 2, "scale": "mmHg"}
    assert format_effect(row) == words


def test_all_estimates_of_an_effect_stand_in_its_table(trial):
    table = effect_table(trial)
    assert len(table.words) == len(trial.estimates)
    head = trial.headline
    shown = table.words.iloc[0, 1]
    assert f"{100 * head['estimate']:.1f} points" in shown
    assert table.numbers.equals(trial.estimates)


def test_designs_stand_side_by_side_with_their_checks(trial, chosen):
    table = effects_table({"By lot": trial, "As they come": chosen})
    assert table.words["Checks"].tolist() == ["passed", "failed: assignment"]
    assert table.numbers["withheld"].tolist() == [False, True]
    level = trial.facts.levels[1]
    assert table.words["With"].iloc[0] == f"{100 * level:.1f} %"


def test_a_published_table_leaves_out_what_a_check_withholds(trial, chosen):
    table = effects_table({"By lot": trial, "As they come": chosen}, audience="publish")
    assert table.words.iloc[1, 1:4].tolist() == ["withheld"] * 3
    assert table.numbers.iloc[1][["estimate", "level_0", "level_1"]].isna().all()
    assert table.numbers["n"].tolist() == [3000, 3000]
    show_table(table, name="effects", caption="Effects.", audience="publish")


def test_an_override_is_shown_and_lets_the_number_through(chosen):
    allowed = chosen.override("assignment", reason="assigned by a lottery, see the protocol")
    row = effects_table({"As they come": allowed}, audience="publish").numbers.iloc[0]
    assert row["overrides"].startswith("assignment: assigned by a lottery")
    told = effects_table({"As they come": allowed}).words["Checks"].item()
    assert told == "overridden: assignment (assigned by a lottery, see the protocol)"
    assert "In spite of assignment (assigned by a lottery" in effect_sentence(allowed)
    assert row["estimate"] == pytest.approx(chosen.headline["estimate"], abs=6e-4)


@pytest.mark.parametrize("events", [3, 57])
def test_a_share_of_few_is_not_published(events):
    # 3 of 60 came, or 3 of 60 did not: the share and the 60 together would tell.
    effect = few(events)
    assert published_effect(effect, audience="publish")["estimate"].isna().all()
    words = effect_table(effect, audience="publish").words.iloc[0, 1]
    assert words == "suppressed"
    assert "too few patients" in effect_sentence(effect, audience="publish")
    assert published_effect(effect, audience="internal")["estimate"].notna().all()


def test_a_published_sentence_rounds_the_number_of_patients():
    data = simulate_design("randomised", seed=2, n=1003).data
    effect = risk_difference(data, arm="arm", outcome="came", randomised=True)
    assert "; about 1,005 patients" in effect_sentence(effect, audience="publish")
    assert "; 1,003 patients" in effect_sentence(effect)
    found = published_effect(effect, audience="publish").head(1)
    show_finding("x", name="effect", estimates=found, audience="publish")


def test_each_design_is_drawn_where_its_estimate_lies(trial, chosen):
    axes = plot_effects({"By lot": trial, "As they come": chosen}, truth=0.0868)
    marks = [line for line in axes.lines if line.get_marker() == "s"]
    assert [m.get_xdata()[0] for m in marks] == pytest.approx(
        [100 * e.headline["estimate"] for e in (trial, chosen)]
    )
    assert marks[1].get_markerfacecolor() == "white"
    assert "* a check failed" in axes.get_xlabel()
    assert "truth" in [text.get_text() for text in axes.texts]
    show_figure(axes, name="effects", alt="Effects of two designs")


def test_a_published_figure_draws_no_withheld_effect(trial, chosen):
    axes = plot_effects({"By lot": trial, "As they come": chosen}, audience="publish")
    assert len([line for line in axes.lines if line.get_marker() == "s"]) == 1
    assert "withheld" in [text.get_text() for text in axes.texts]


def test_effects_on_two_scales_are_not_drawn_on_one():
    data = pd.DataFrame({"arm": [0, 0, 1, 1] * 9, "y": range(36)})
    means = mean_difference(data, arm="arm", outcome="y", randomised=True)
    with pytest.raises(UsageError, match="effects are on 2 scales"):
        plot_effects({"a": means, "b": few(20)})


def test_balance_is_drawn_from_the_largest_difference_down():
    rows = pd.DataFrame(
        {"term": ["age", "sex"], "smd_unweighted": [0.1, -0.4], "smd_weighted": [0.0, 0.05]}
    )
    axes = plot_balance(rows)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Sex", "Age"]
    assert axes.lines[1].get_xdata().tolist() == [-0.4, 0.1]
    with pytest.raises(UsageError, match="smd_weighted"):
        plot_balance(rows.drop(columns="smd_weighted"))


def overlap_rows():
    """Return two pieces of each arm: 3 and 9 patients without, 8 and 4 with the programme."""
    return pd.DataFrame(
        {"arm": [0, 0, 1, 1], "low": [0.0, 0.5] * 2, "high": [0.5, 1.0] * 2, "n": [3, 9, 8, 4],
         "share": [0.25, 0.75, 2 / 3, 1 / 3], "weighted_share": [0.5] * 4}
    )  # fmt: skip


def test_overlap_draws_the_programme_above_and_the_comparison_below():
    axes = plot_overlap(overlap_rows(), arms=("did not join", "joined"))
    heights = {box.get_label(): [bar.get_height() for bar in box] for box in axes.containers}
    assert heights == {"joined": [2 / 3, 1 / 3], "did not join": [-0.25, -0.75]}
    lines = [line.get_data()[0].tolist() for line in axes.patches if hasattr(line, "get_data")]
    assert lines == [[0.5, 0.5], [-0.5, -0.5]]


def test_overlap_of_few_patients_is_not_published():
    # Four pieces an arm; one of 3 patients takes the next smallest, 9, with it.
    rows = pd.DataFrame(
        {"arm": [0] * 4 + [1] * 4, "low": [0, 0.25, 0.5, 0.75] * 2,
         "high": [0.25, 0.5, 0.75, 1] * 2,
         "n": [3, 9, 31, 47, 0, 20, 52, 28], "weighted_share": [0.1, 0.2, 0.333, 0.367] * 2}
    )  # fmt: skip
    rows["share"] = rows["n"] / rows.groupby("arm")["n"].transform("sum")
    shown = overlap_table(rows, audience="publish")
    assert shown["n"].isna().tolist() == [True, True] + [False] * 6
    assert shown["n"].dropna().tolist() == [30, 45, 0, 20, 50, 30]
    assert shown["share"].dropna().tolist() == pytest.approx([0.4, 0.6, 0, 0.2, 0.5, 0.3])
    assert shown["weighted_share"].dropna().tolist() == [0.33, 0.37, 0.1, 0.2, 0.33, 0.37]
    pd.testing.assert_frame_equal(overlap_table(rows), rows)
    control = plot_overlap(shown).containers[1]
    assert np.isnan([bar.get_height() for bar in control]).tolist() == [True, True, False, False]
    with pytest.raises(UsageError, match="weighted_share"):
        plot_overlap(rows.drop(columns="weighted_share"))
    with pytest.raises(UsageError, match="audience"):
        overlap_table(rows, audience="all")


def test_the_overlap_of_real_weights_adds_up_to_each_arm():
    data = simulate_design("confounded", seed=1).data
    found = propensity_weights(data, arm="arm", covariates=["x1", "x2", "x3"]).overlap(bins=10)
    axes = plot_overlap(found)
    for box in axes.containers:
        assert abs(sum(bar.get_height() for bar in box)) == pytest.approx(1)


def test_an_event_study_separates_before_from_after():
    rows = pd.DataFrame({"since": [-1, 0, 1], "estimate": [0, 1, 2], "conf_low": 0, "conf_high": 3})
    axes = plot_event_study(rows, at="since")
    before, after = (line for line in axes.lines if line.get_marker() == "o")
    assert (before.get_xdata().tolist(), after.get_xdata().tolist()) == ([-1], [0, 1])


def test_a_series_shows_what_would_have_been_only_after_the_change():
    rows = pd.DataFrame({"m": range(6), "observed": 5.0, "fitted": 5.0, "counterfactual": 6.0})
    rows = rows.assign(conf_low=5.5, conf_high=6.5)
    axes = plot_series(rows, time="m", start=3)
    lines = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert lines["without the change"] == [3, 4, 5]
    assert lines["model"] == [0, 1, 2]


def test_a_roll_out_draws_one_cell_a_clinic_and_period():
    axes = plot_roll_out(pd.DataFrame([[0, 1], [0, 0]], index=["F01", "F02"]))
    assert len(axes.patches) == 4
    assert [label.get_text() for label in axes.get_yticklabels()] == ["F01", "F02"]


def test_lines_are_drawn_by_group():
    rows = pd.DataFrame(
        {"n": [1, 2, 1, 2], "power": [0.1, 0.2, 0.3, 0.4], "d": ["a", "a", "b", "b"]}
    )
    axes = plot_lines(rows, x="n", y="power", by="d", line=0.8, share=True)
    drawn = [line.get_ydata() for line in axes.lines if line.get_label() in ("a", "b")]
    assert np.allclose(drawn, [[0.1, 0.2], [0.3, 0.4]])


def test_a_published_estimand_tells_no_exact_number_of_patients():
    data = simulate_design("randomised", seed=1, n=3004).data
    data["came"] = data["came"].astype(float).mask(data.index < 3)
    effect = risk_difference(data, arm="arm", outcome="came", randomised=True)
    assert "all 3,001 patients" in headline_row("Trial", effect)["estimand"]
    assert "; 3 patients without" in headline_row("Trial", effect)["estimand"]
    told = headline_row("Trial", effect, audience="publish")["estimand"]
    assert "among about 3,000 patients compared" in told
    assert "; a withheld number of patients without a known came left out" in told


def test_an_acceptability_curve_is_drawn_as_shares_against_what_a_unit_is_worth():
    data = simulate_design("costs", seed=1).data
    curve = acceptability_curve(
        data, arm="arm", cost="cost", outcome="years", willingness_to_pay=range(0, 400, 50)
    )
    axes = plot_lines(
        curve, x="willingness_to_pay", y="probability", share=True, line=0.5,
        labels=("What a year is worth", "Probability that it is worth its cost"),
    )  # fmt: skip
    drawn = axes.lines[1]
    assert drawn.get_xdata().tolist() == list(range(0, 400, 50))
    assert drawn.get_ydata().tolist() == curve["probability"].tolist()
    # A programme that costs more is worth nothing if a year is, and surely if a year is worth much.
    assert curve["probability"].iloc[0] < 0.05
    assert curve["probability"].is_monotonic_increasing
    assert axes.yaxis.get_major_formatter()(0.5, 0) == "50 %"
