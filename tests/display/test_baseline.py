"""The baseline table describes who is studied, arithmetic by hand."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from loyalty_research.display.baseline import baseline_table, summarise_baseline
from loyalty_research.errors import UsageError

# Arm 1: ages 40, 50, 60; arm 0: 50, 70 and one unknown.
COHORT = pd.DataFrame(
    {
        "patient_id": list("abcdef"),
        "index_date": [dt.date(2024, 1, 1)] * 6,
        "arm": [1, 1, 1, 0, 0, 0],
        "age": [40, 50, 60, 50, 70, np.nan],
        "sex": ["f", "f", "m", "m", "m", None],
        "diabetes": [True, False, False, True, True, False],
    }
)


def rows(worded):
    return worded.words.to_numpy().tolist()


def test_the_table_is_the_one_computed_by_hand():
    # Arm 0: mean 60, SD sqrt((100 + 100) / 1) = 14.14; arm 1: mean 50, SD 10.
    worded = baseline_table(COHORT, by="arm", labels={1: "Programme", 0: "Usual care"})
    assert worded.words.columns.tolist() == [
        "Characteristic",
        "Statistic",
        "Usual care",
        "Programme",
    ]
    assert rows(worded) == [
        ["Patients", "n", "3", "3"],
        ["Age", "mean (SD)", "60.0 (14.1)", "50.0 (10.0)"],
        ["", "median [quartiles]", "60.0 [55.0 to 65.0]", "50.0 [45.0 to 55.0]"],
        ["", "missing, n (%)", "1 (33.3 %)", "0 (0.0 %)"],
        ["Sex", "f, n (%)", "0 (0.0 %)", "2 (66.7 %)"],
        ["", "m, n (%)", "2 (100.0 %)", "1 (33.3 %)"],
        ["", "missing, n (%)", "1 (33.3 %)", "0 (0.0 %)"],
        ["Diabetes", "yes, n (%)", "2 (66.7 %)", "1 (33.3 %)"],
    ]


def test_identifiers_dates_and_outcomes_are_no_characteristics():
    cohort = COHORT.assign(site_id="x", time=3, event=True, end_reason="data_cutoff")
    described = summarise_baseline(cohort, by="arm")["variable"].unique().tolist()
    assert described == ["All patients", "age", "sex", "diabetes"]


def test_without_groups_everybody_stands_in_one_column():
    worded = baseline_table(COHORT, variables=["sex"])
    assert worded.words.columns.tolist() == ["Characteristic", "Statistic", "All patients"]
    # Of the five whose sex is known, two are women.
    assert rows(worded)[1] == ["Sex", "f, n (%)", "2 (40.0 %)"]


def test_polars_and_shuffled_rows_give_the_same_table():
    expected = rows(baseline_table(COHORT, by="arm"))
    assert rows(baseline_table(COHORT.sample(frac=1, random_state=1), by="arm")) == expected
    assert rows(baseline_table(pl.from_pandas(COHORT), by="arm")) == expected


def test_the_standardised_difference_is_in_pooled_standard_deviations():
    worded = baseline_table(COHORT, by="arm", variables=["age", "diabetes"], smd=True)
    # Age: (50 - 60) / sqrt((200 + 100) / 2) = -0.816.
    # Diabetes: (1/3 - 2/3) / sqrt((2/9 + 2/9) / 2) = -0.707.
    assert worded.words["Standardised difference"].tolist() == [
        "–",
        "−0.816",
        "−0.816",
        "–",
        "−0.707",
    ]


def test_a_constant_has_no_standardised_difference():
    worded = baseline_table(COHORT.assign(age=50), by="arm", variables=["age"], smd=True)
    assert worded.words["Standardised difference"].tolist()[1] == "–"


def test_a_group_that_was_not_recorded_has_its_own_column():
    cohort = COHORT.assign(arm=pd.array([1, 1, 1, 0, 0, None], dtype="Int64"))
    assert baseline_table(cohort, by="arm").words.columns.tolist()[-1] == "not recorded"


def test_a_number_of_visits_that_is_always_0_or_1_is_no_yes_or_no():
    worded = baseline_table(COHORT.assign(n_visits_before=0), variables=["n_visits_before"])
    assert rows(worded)[1] == ["Visits before", "mean (SD)", "0.0 (0.0)"]


def test_0_and_1_are_yes_and_no():
    worded = baseline_table(COHORT.assign(smoker=[0, 1, 1, 0, 0, 0]), variables=["smoker"])
    assert rows(worded)[1] == ["Smoker", "yes, n (%)", "2 (33.3 %)"]


def test_categories_keep_their_order_and_their_empty_levels():
    stage = pd.Categorical(["low"] * 5 + ["high"], categories=["low", "middle", "high"])
    worded = baseline_table(COHORT.assign(stage=stage), variables=["stage"])
    assert worded.words["Statistic"].tolist()[1:] == ["low, n (%)", "middle, n (%)", "high, n (%)"]
    assert rows(worded)[2][2] == "0 (0.0 %)"


def test_a_characteristic_nobody_has_is_all_missing():
    worded = baseline_table(COHORT.assign(sbp=np.nan), variables=["sbp"])
    assert rows(worded)[1:] == [
        ["Sbp", "mean (SD)", "–"],
        ["", "median [quartiles]", "–"],
        ["", "missing, n (%)", "6 (100.0 %)"],
    ]


def test_one_patient_has_no_standard_deviation():
    assert rows(baseline_table(COHORT.head(1), variables=["age"]))[1] == [
        "Age",
        "mean (SD)",
        "40.0 (–)",
    ]


def test_an_empty_cohort_has_no_patients():
    assert rows(baseline_table(COHORT.head(0), variables=["age"]))[0] == ["Patients", "n", "0"]


def test_published_counts_are_rounded_and_a_lone_hidden_level_takes_another_with_it():
    cohort = pd.DataFrame(
        {
            "age": np.arange(62) + 20.0,
            "sex": ["f"] * 38 + ["m"] * 21 + ["other"] * 3,
        }
    )
    worded = baseline_table(cohort, audience="publish")
    assert rows(worded)[0] == ["Patients", "n", "60"]
    # 38 of 62 becomes 40 of 60; 3 is hidden, and 21 with it.
    assert [row[2] for row in rows(worded)[-3:]] == ["40 (66.7 %)", "suppressed", "suppressed"]
    assert worded.numbers["share"].dropna().tolist()[-1] == pytest.approx(40 / 60)


def test_published_means_of_a_few_patients_are_hidden():
    worded = baseline_table(COHORT, by="arm", audience="publish")
    assert rows(worded)[0] == ["Patients", "n", "suppressed", "suppressed"]
    assert rows(worded)[1] == ["Age", "mean (SD)", "suppressed", "suppressed"]
    assert worded.numbers[["mean", "median", "q1"]].isna().all(axis=None)


def test_published_numbers_have_the_digits_that_are_shown():
    # 21258 / 397 = 53.54659949622166: the fraction gives back the exact number of patients.
    ages = [53] * 180 + [54] * 217
    cohort = pd.DataFrame({"age": ages, "arm": [0, 1] * 198 + [0]})
    worded = baseline_table(cohort, by="arm", smd=True, audience="publish")
    measured = worded.numbers[worded.numbers["statistic"] == "measured"]
    shown = measured[["mean", "sd", "median", "q1", "q3"]]
    pd.testing.assert_frame_equal(shown, shown.round(1), check_exact=True)
    assert measured["smd"].dropna().tolist() == measured["smd"].dropna().round(3).tolist()
    whole = baseline_table(cohort, audience="publish", digits=2)
    assert whole.numbers["mean"].dropna().tolist() == [53.55]
    exact = baseline_table(cohort).numbers["mean"].dropna().tolist()
    assert exact == [pytest.approx(21258 / 397, abs=1e-12)]


def test_a_text_with_too_many_values_is_refused():
    cohort = pd.DataFrame({"town": [f"town {i}" for i in range(31)]})
    with pytest.raises(UsageError, match="more than 30 values in town; group them first"):
        baseline_table(cohort)


def test_a_standardised_difference_needs_two_groups():
    with pytest.raises(UsageError, match="needs two groups, not 1"):
        baseline_table(COHORT, smd=True)


def test_a_missing_characteristic_is_named():
    with pytest.raises(UsageError, match="the cohort lacks the columns bmi, group"):
        baseline_table(COHORT, by="group", variables=["bmi"])
