"""What a study holds, and who was left out, is worded with its numbers beside it."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from loyalty_research.display.tables_cohort import attrition_table, checks_table, facts_table
from loyalty_research.errors import UsageError


def rows(worded):
    return worded.words.to_numpy().tolist()


def test_each_step_says_how_many_were_left_out(attrition):
    assert rows(attrition_table(attrition)) == [
        ["All patients", "–", "8,000"],
        ["First visit in study", "1,200 (15.0 %)", "6,800"],
        ["Known sex", "3 (<0.1 %)", "6,797"],
        ["Adult", "0 (0.0 %)", "6,797"],
    ]


def test_for_publication_a_small_number_left_out_is_hidden(attrition):
    published = attrition_table(attrition, audience="publish", labels={"adult": "18 or older"})
    assert rows(published)[2:] == [
        ["Known sex", "suppressed", "6,795"],
        ["18 or older", "0 (0.0 %)", "6,795"],
    ]


def test_a_narrow_screen_needs_no_number_of_the_step(attrition):
    worded = attrition_table(attrition)
    assert worded.words.columns.tolist() == ["Criterion", "Left out", "Remaining"]
    assert worded.numbers["step"].tolist() == [0, 1, 2, 3]


def test_attrition_keeps_its_numbers(attrition):
    pd.testing.assert_frame_equal(attrition_table(attrition).numbers, attrition)


def test_facts_have_thousands_and_iso_dates():
    facts = pd.DataFrame(
        {
            "table": ["patients", "visits"],
            "n_rows": [8000, 93211],
            "first_date": [None, dt.date(2021, 1, 4)],
            "last_date": [None, dt.date(2024, 12, 31)],
            "files": [1, 2],
        }
    )
    assert facts_table(facts).words.columns.tolist() == [
        "Table",
        "Rows",
        "First date",
        "Last date",
        "Files",
    ]
    assert rows(facts_table(facts)) == [
        ["patients", "8,000", "–", "–", "1"],
        ["visits", "93,211", "2021-01-04", "2024-12-31", "2"],
    ]


def test_checks_are_passed_failed_or_for_information():
    checks = pd.DataFrame(
        {
            "check": ["visits_known", "balance", "coverage"],
            "statistic": [0.0, 0.31, 12.0],
            "threshold": [0.0, 0.1, np.nan],
            "passed": pd.array([True, False, None], dtype="boolean"),
            "gating": [True, True, False],
            "message": ["Every visit has a patient.", "Ages differ.", None],
        }
    )
    assert rows(checks_table(checks)) == [
        ["Visits known", "passed", "0", "0", "yes", "Every visit has a patient."],
        ["Balance", "FAILED", "0.31", "0.1", "yes", "Ages differ."],
        ["Coverage", "for information", "12", "–", "no", ""],
    ]


def checks_of(**columns):
    plain = {"threshold": 0.1, "passed": True, "gating": False, "message": ""}
    return pd.DataFrame({**plain, **columns})


def test_the_rules_of_the_data_contract_keep_their_names():
    names = ["patients.birth_year: whole", "patients: has rows", "seen_again"]
    words = checks_table(checks_of(check=names, statistic=0)).words
    assert words["Check"].tolist() == [*names[:2], "Seen again"]


def test_without_messages_there_is_no_column_for_them():
    words = checks_table(checks_of(check=["a"], statistic=0, message=[None])).words
    assert words.columns.tolist() == ["Check", "Result", "Found", "Limit", "Estimates wait for it"]


def test_a_published_check_gives_no_exact_share_and_no_small_count():
    checks = checks_of(
        check=["seen_again_90", "seen_again_365", "visits_known"],
        statistic=[12 / 62, 3 / 62, 0.0],
        n=pd.array([62, 62, None], dtype="Int64"),
        n_events=pd.array([12, 3, None], dtype="Int64"),
        passed=[False, True, True],
    )
    worded = checks_table(checks, audience="publish")
    # 10 / 60 = 0.167
    assert worded.words[["Found", "Events", "Number"]].to_numpy().tolist() == [
        ["0.167", "10", "60"],
        ["suppressed", "suppressed", "60"],
        ["0", "–", "–"],
    ]
    assert worded.words["Result"].tolist() == ["FAILED", "passed", "passed"]
    assert worded.numbers["statistic"].dropna().tolist() == [10 / 60, 0.0]
    assert rows(checks_table(checks))[0][2:5] == ["0.194", "12", "62"]


def test_a_published_count_of_faults_stays():
    checks = checks_of(check=["patients: has rows"], statistic=0)
    assert checks_table(checks, audience="publish").words["Found"].tolist() == ["0"]


@pytest.mark.parametrize(
    ("word", "what"),
    [
        (attrition_table, "the attrition lacks the columns step"),
        (facts_table, "the facts lacks the columns table"),
        (checks_table, "the checks lacks the columns check"),
    ],
)
def test_a_table_of_another_kind_is_refused(word, what):
    with pytest.raises(UsageError, match=what):
        word(pd.DataFrame({"x": [1]}))


def test_published_facts_are_rounded():
    facts = pd.DataFrame({"table": ["patients", "rollout"], "n_rows": [8003, 4]})
    assert rows(facts_table(facts, audience="publish")) == [
        ["patients", "8,005"],
        ["rollout", "suppressed"],
    ]
