"""Result tables are rounded and worded, and keep their numbers beside the words."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from loyalty_research.display.tables import (
    cohort_labels,
    quantile_table,
    retention_table,
    triangle_table,
)
from loyalty_research.errors import UsageError


def rows(worded):
    return worded.words.to_numpy().tolist()


def test_retention_is_worded_with_interval_and_number_at_risk(six_patients):
    worded = retention_table(six_patients, times=[1, 6])
    assert worded.words.columns.tolist() == [
        "Day",
        "Still coming (95 % interval)",
        "At risk",
        "Lapsed so far",
        "Censored so far",
    ]
    # Greenwood at day 1: 5/6 sqrt(1/(6 x 5)) = 0.1521; 0.8333 - 1.96 x 0.1521 = 0.5351.
    assert rows(worded)[0] == ["1", "83.3 % (53.5 to 100.0)", "6", "1", "0"]
    # Day 6: 0.625 sqrt(1/30 + 1/12) = 0.2135; 0.625 -+ 0.4184.
    assert rows(worded)[1] == ["6", "62.5 % (20.7 to 100.0)", "4", "2", "1"]
    assert worded.numbers["estimate"].tolist() == pytest.approx([5 / 6, 0.625])


def test_retention_by_group_names_the_groups_for_readers(curve_of):
    both = pd.concat([curve_of([1, 2], [True, False], arm=1), curve_of([9], [False], arm=0)])
    labels = {"arm": "group", 1: "In the programme", 0: "Not in it"}
    worded = retention_table(both, times=[1, 30], by="arm", labels=labels, unit="week")
    assert worded.words["Group"].tolist() == ["In the programme"] * 2 + ["Not in it"] * 2
    assert worded.words["Week"].tolist() == ["1", "30"] * 2
    # Nobody is followed for 30 weeks.
    assert worded.words.iloc[:, 2].tolist()[1::2] == ["–", "–"]


def test_published_retention_hides_small_numbers_at_risk(drawn_curve):
    worded = retention_table(drawn_curve(300), times=[0, 1100], audience="publish")
    at_risk = worded.words["At risk"].tolist()
    assert at_risk == ["300", "suppressed"]


def test_published_retention_tells_withheld_from_unknown(curve_of):
    curve = curve_of([10] * 5 + [20] * 60, [True] * 5 + [False] * 60)
    worded = retention_table(curve, times=[5, 10, 30], audience="publish")
    assert worded.words.iloc[:, 1].tolist() == ["100.0 % (no interval)", "suppressed", "–"]


def test_the_triangle_is_wide_with_unobserved_cells_blank(triangle):
    worded = triangle_table(triangle)
    assert worded.words.columns.tolist() == ["Cohort", "Patients", "0", "1", "2"]
    assert rows(worded) == [
        ["2024-01", "40", "100 %", "55 %", "10 %"],
        ["2024-02", "52", "100 %", "50 %", "–"],
    ]
    assert len(worded.numbers) == 6


def test_unobserved_can_be_told_in_words(triangle):
    worded = triangle_table(triangle, unobserved="not yet observed", digits=1)
    assert rows(worded)[1] == ["2024-02", "52", "100.0 %", "50.0 %", "not yet observed"]


def test_a_published_triangle_tells_hidden_from_unobserved(triangle):
    assert rows(triangle_table(triangle, audience="publish")) == [
        ["2024-01", "40", "100 %", "50 %", "suppressed"],
        ["2024-02", "50", "100 %", "50 %", "–"],
    ]


def test_a_cell_without_a_row_is_unobserved(triangle):
    assert rows(triangle_table(triangle.iloc[:5]))[1][-1] == "–"


def test_an_empty_triangle_is_an_empty_table(triangle):
    assert triangle_table(triangle.iloc[:0]).words.empty


def test_weekly_cohorts_are_named_by_their_monday():
    assert cohort_labels([dt.date(2024, 1, 1), dt.date(2024, 1, 8)])[1] == "2024-01-08"
    assert cohort_labels(["first", "second"]) == ["first", "second"]


def test_quarters_and_years_are_told_from_months_by_three_cohorts():
    quarters = [dt.date(2024, month, 1) for month in (1, 4, 7, 10)]
    assert cohort_labels(quarters) == ["2024 Q1", "2024 Q2", "2024 Q3", "2024 Q4"]
    assert cohort_labels(quarters[:2]) == ["2024-01", "2024-04"]
    assert cohort_labels([dt.date(y, 1, 1) for y in (2022, 2023, 2024)])[0] == "2022"


def test_quantiles_say_what_was_not_reached():
    quantiles = pd.DataFrame(
        {
            "site": ["A", "A", "B"],
            "q": [0.5, 0.25, 0.5],
            "estimate": [412.5, 100.0, np.nan],
            "conf_low": [398.0, 90.0, 700.0],
            "conf_high": [np.nan, 110.0, np.nan],
            "conf_level": 0.95,
            "n": [100, 100, 3],
            "n_events": [60, 60, 1],
        }
    )
    assert rows(quantile_table(quantiles, by="site")) == [
        ["A", "Half (the median)", "412.5 (398.0 to not reached)", "100", "60"],
        ["A", "25 %", "100 (90 to 110)", "100", "60"],
        ["B", "Half (the median)", "not reached", "3", "1"],
    ]
    published = quantile_table(quantiles, by="site", audience="publish")
    assert rows(published)[2] == ["B", "Half (the median)", "suppressed"] + ["suppressed"] * 2


@pytest.mark.parametrize(
    ("word", "what"),
    [
        (triangle_table, "the triangle lacks the columns cohort"),
        (quantile_table, "the quantiles lacks the columns q"),
    ],
)
def test_a_table_of_another_kind_is_refused(word, what):
    with pytest.raises(UsageError, match=what):
        word(pd.DataFrame({"x": [1]}))


def test_a_hidden_cohort_size_is_not_taken_from_a_later_period():
    # Three patients at first, none of them left in the second period: the three are hidden.
    triangle = pd.DataFrame(
        {
            "cohort": [dt.date(2024, 1, 1)] * 2,
            "period": [0, 1],
            "n_patients": [3, 0],
            "n_retained": [3, 0],
            "estimate": [1.0, np.nan],
        }
    )
    words = triangle_table(triangle, audience="publish").words
    assert words["Patients"].tolist() == ["suppressed"]
