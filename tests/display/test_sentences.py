"""Sentences are right for one patient, for none, and for what cannot be said."""

import pandas as pd
import pytest

from loyalty_research.display.sentences import (
    attrition_sentence,
    group_sizes,
    lapse_window_sentence,
    retention_sentence,
    stack_windows,
)
from loyalty_research.errors import UsageError


def test_the_share_still_coming_is_stated_with_its_interval(six_patients):
    assert retention_sentence(six_patients, time=6) == (
        "Of 6 patients, 62.5 % (95 % interval 20.7 to 100.0) were still coming 6 days after their "
        "first visit."
    )


def test_the_words_can_be_those_of_another_question(six_patients):
    sentence = retention_sentence(
        six_patients, time=1, unit="month", kept="enrolled", origin="joining"
    )
    assert sentence.endswith("were enrolled 1 month after joining.")


def test_each_group_has_its_sentence(curve_of):
    both = pd.concat([curve_of([1, 2], [True, False], arm=1), curve_of([9, 9], [False] * 2, arm=0)])
    sentence = retention_sentence(both, time=1, by="arm", labels={1: "Programme", 0: "Usual care"})
    assert sentence == (
        "Programme: of 2 patients, 50.0 % (95 % interval 0.0 to 100.0) were still coming 1 day "
        "after their first visit. Usual care: of 2 patients, 100.0 % (no interval) were "
        "still coming 1 day after their first visit."
    )


def test_one_patient_is_no_percentage(curve_of):
    there, gone = curve_of([30], [False]), curve_of([30], [True])
    assert retention_sentence(there, time=30) == (
        "The one patient was still coming 30 days after their first visit."
    )
    assert retention_sentence(gone, time=30) == (
        "The one patient had lapsed by 30 days after their first visit."
    )
    assert retention_sentence(gone, time=30, lost="moved").startswith("The one patient had moved")


def test_a_criterion_is_named_as_it_was_given(attrition):
    labels = {"first_visit_in_study": "First visit in Aarhus"}
    assert "criterion “First visit in Aarhus” left" in attrition_sentence(attrition, labels=labels)


def test_beyond_the_follow_up_nothing_is_stated(curve_of):
    assert retention_sentence(curve_of([30, 40], [False, False]), time=365) == (
        "The share still coming 365 days after their first visit cannot be stated: nobody was "
        "observed that long."
    )


def test_without_patients_nothing_is_stated(six_patients):
    assert retention_sentence(six_patients.iloc[:0], time=30).endswith("there are no patients.")


def test_a_missing_interval_is_admitted(six_patients):
    sentence = retention_sentence(six_patients.assign(conf_low=float("nan")), time=1)
    assert sentence.startswith("Of 6 patients, 83.3 % (no interval) were still coming")


def test_a_published_sentence_is_rounded_or_silent(drawn_curve, six_patients):
    published = retention_sentence(drawn_curve(302), time=100, audience="publish")
    assert published.startswith("Of 300 patients, ")
    silent = retention_sentence(six_patients, time=1, audience="publish")
    assert silent.endswith("cannot be stated: there are too few patients.")


def test_everybody_leaves_a_curve_once_and_so_is_counted(six_patients):
    assert group_sizes(six_patients)["n"].tolist() == [6]
    late = six_patients.assign(n_at_risk=[0, 2, 3, 4, 3, 2, 1])
    assert group_sizes(late)["n"].tolist() == [6]


def test_the_attrition_is_told_with_its_largest_loss(attrition):
    assert attrition_sentence(attrition) == (
        "Of 8,000 patients, 6,797 (85.0 %) entered the study; the criterion “first visit in study” "
        "left out the most, 1,200."
    )


def test_where_nobody_was_left_out_no_loss_is_told(attrition):
    assert attrition_sentence(attrition.head(1)) == (
        "Of 8,000 patients, 8,000 (100.0 %) entered the study."
    )


def test_one_patient_is_singular(attrition):
    one = attrition.head(1).assign(n_before=1, n_after=1)
    assert attrition_sentence(one) == "The one patient entered the study."
    assert attrition_sentence(one.assign(n_after=0)) == "The one patient did not enter the study."


def test_too_few_patients_are_not_told_for_publication(attrition):
    few = attrition.head(1).assign(n_before=3, n_after=3)
    assert attrition_sentence(few, audience="publish").endswith("there are too few patients.")


def test_an_attrition_without_steps_cannot_be_told(attrition):
    assert attrition_sentence(attrition.head(0)).endswith("no criterion was recorded.")


def test_lapse_windows_are_compared_in_percentage_points(curve_of):
    curves = {
        180: curve_of([10, 20], [True, False]),
        90: curve_of([10, 10, 20, 20], [True, True, True, False]),
    }
    # After 20 days: 90-day window 0.5 x 0.5 = 25 %, 180-day window 50 %.
    assert lapse_window_sentence(curves, time=20) == (
        "After 20 days 25.0 % were still coming if 90 days without a visit count as a lapse, "
        "50.0 % with 180 days: the window moves the answer by 25.0 percentage points."
    )


def test_a_withheld_share_is_told_from_an_unknown_one(curve_of):
    curve = curve_of([10] * 5 + [20] * 60, [True] * 5 + [False] * 60)
    assert retention_sentence(curve, time=10, audience="publish") == (
        "The share still coming 10 days after their first visit cannot be stated: too few patients "
        "had gone, or too few remained, to publish it."
    )


def test_a_withheld_window_is_named_and_left_out_of_the_span(curve_of):
    curves = {
        90: curve_of([10] * 20 + [20] * 60, [True] * 20 + [False] * 60),
        180: curve_of([10] * 12 + [20] * 68, [True] * 12 + [False] * 68),
        365: curve_of([10] * 3 + [20] * 77, [True] * 3 + [False] * 77),
    }
    assert lapse_window_sentence(curves, time=10, audience="publish") == (
        "After 10 days 75.0 % were still coming if 90 days without a visit count as a lapse, "
        "85.0 % with 180 days, not stated with 365 days: the windows stated move the answer by "
        "10.0 percentage points."
    )


def test_a_window_without_an_answer_is_named(curve_of):
    curves = {90: curve_of([10, 20], [True, False]), 365: curve_of([5, 5], [False, False])}
    assert lapse_window_sentence(curves, time=20) == (
        "After 20 days 50.0 % were still coming if 90 days without a visit count as a lapse, "
        "not stated with 365 days."
    )
    assert lapse_window_sentence({365: curves[365]}, time=20) == (
        "Retention after 20 days cannot be stated for any lapse window."
    )


def test_stacked_curves_are_taken_as_well(curve_of):
    curves = {90: curve_of([10, 20], [True, False]), 180: curve_of([10], [False])}
    stacked = stack_windows(curves)
    assert stacked["lapse_days"].tolist() == [90, 90, 90, 180, 180]
    assert lapse_window_sentence(stacked, time=5) == lapse_window_sentence(curves, time=5)


def test_a_table_without_the_window_is_refused(six_patients):
    with pytest.raises(UsageError, match="the curve lacks the columns lapse_days"):
        lapse_window_sentence(six_patients, time=5)
