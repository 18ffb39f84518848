"""The four behaviours of loyalty, derived from what was done and what was answered."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.loyalty_behaviours import derive_loyalty_behaviours
from loyalty_research.retention.loyalty_profile import BEHAVIOURS, loyalty_profile

START = pd.Timestamp("2024-01-01")
CUTOFF = "2024-12-31"


def day(number: int | None) -> pd.Timestamp:
    """Return a day counted from 2024-01-01, which is day 0; the cut-off is day 365."""
    return pd.NaT if number is None else START + pd.Timedelta(days=number)


def dated(table: dict, date: str) -> pd.DataFrame:
    return pd.DataFrame(table | {date: pd.to_datetime([day(n) for n in table[date]])})


# --- deriving -------------------------------------------------------------------------------------

COHORT = pd.DataFrame({"patient_id": list("abcd"), "index_date": day(0)}).assign(
    observed_until=pd.to_datetime([day(n) for n in (None, None, None, 20)])
)
VISITS = dated(
    {
        "patient_id": ["a", "b", "b", "c", "d"],
        "visit_date": [30, 0, 10, 31, 5],
        "planned": [False, False, True, False, False],
    },
    "visit_date",
)
REFERRALS = dated(
    {"referrer_id": ["b", "b", "z"], "referral_date": [3, 9, 3], "referred_id": ["c", "d", "a"]},
    "referral_date",
)
SURVEY = dated(
    {
        "patient_id": ["a", "a", "b", "c", "c"],
        "survey_date": [0, 30, 31, 12, 12],
        "item": ["trust", "trust", "trust", "trust", "pay more"],
        "score": [5.0, 2.0, 1.0, 4.0, 1.0],
    },
    "survey_date",
)
ALL = {"visits": VISITS, "referrals": REFERRALS, "survey_responses": SURVEY}
ASKED = {"within_days": 30, "data_cutoff": CUTOFF}
ITEMS = {"trust_item": "trust", "payment_item": "pay more"}


def test_each_behaviour_of_four_patients_by_hand():
    table = derive_loyalty_behaviours(COHORT, **ALL, **ASKED, **ITEMS)
    assert list(table) == [*COHORT, *BEHAVIOURS]
    # a by choice on day 30; b on the index date and by plan only; c too late; d unseen after 20.
    assert table["repeat_choice"].fillna(-1).tolist() == [1, 0, 0, -1]
    assert table["recommendation"].fillna(-1).tolist() == [0, 1, 0, -1]
    assert table["trust"].fillna(-1).tolist() == [(5 + 2) / 2, -1, 4, -1]
    assert table["willing_to_pay"].fillna(-1).tolist() == [-1, -1, 1, -1]


def test_every_engine_derives_the_same_behaviours(engine):
    expected = derive_loyalty_behaviours(COHORT, **ALL, **ASKED, **ITEMS)
    tables = {name: engine.make(table) for name, table in ALL.items()}
    got = engine.read(derive_loyalty_behaviours(engine.make(COHORT), **tables, **ASKED, **ITEMS))
    columns = list(BEHAVIOURS)
    pd.testing.assert_frame_equal(
        got[columns].astype(float), expected[columns].astype(float), check_dtype=False
    )


def test_only_the_given_tables_give_a_column():
    table = derive_loyalty_behaviours(COHORT, referrals=REFERRALS, **ASKED)
    assert list(table) == [*COHORT, "recommendation"]


def test_a_visit_of_unknown_kind_is_no_repeat_choice():
    unknown = VISITS.assign(planned=pd.array([None] * 5, dtype="boolean"))
    table = derive_loyalty_behaviours(COHORT, visits=unknown, **ASKED)
    assert table["repeat_choice"].fillna(-1).tolist() == [0, 0, 0, -1]


def test_the_derived_columns_go_straight_into_the_profile():
    table = derive_loyalty_behaviours(COHORT, **ALL, **ASKED, **ITEMS)
    profile = loyalty_profile(table, ranges={"trust": (1, 5), "willing_to_pay": (0, 1)})
    assert profile["estimate"].tolist() == pytest.approx([1 / 3, 1 / 3, 3.75, 1])
    assert profile["n"].tolist() == [3, 3, 2, 1]
    assert profile["n_missing"].tolist() == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give at least one of visits, referrals, survey_responses"),
        (
            {"survey_responses": SURVEY},
            "needs trust_item or payment_item, a question's code; the survey's questions are "
            "'pay more', 'trust'$",
        ),
        (
            {"survey_responses": SURVEY.drop(columns="item")},
            "needs trust_item or payment_item, a question's code$",
        ),
        (
            {"survey_responses": SURVEY, "payment_item": "wtp"},
            "payment_item='wtp' is not known; the survey's questions are 'pay more', 'trust'",
        ),
        ({"visits": VISITS, "trust_item": "trust"}, "need survey_responses"),
        (
            {"survey_responses": SURVEY, "trust_item": "trusts"},
            r"trust_item='trusts' is not known; did you mean 'trust'\?; the survey's questions",
        ),
        ({"visits": VISITS, "within_days": 0}, "within_days=0 must be a whole number, at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        derive_loyalty_behaviours(COHORT, **(ASKED | given))


def test_faults_of_the_tables_are_told_at_once():
    cohort = COHORT.assign(patient_id="a", index_date=pd.NaT)
    with pytest.raises(DataError) as refusal:
        derive_loyalty_behaviours(cohort, visits=VISITS.assign(visit_date=pd.NaT), **ASKED)
    for words in (
        "visit_date is missing in 5 of 5 rows",
        "index_date is missing in 4 of 4 rows",
        "patient_id occurs more than once",
    ):
        assert words in str(refusal.value)
    with pytest.raises(DataError, match="score is missing in 5 of 5 rows"):
        derive_loyalty_behaviours(
            COHORT, survey_responses=SURVEY.assign(score=np.nan), trust_item="trust", **ASKED
        )


@pytest.mark.parametrize(
    ("table", "column"), [("visits", "planned"), ("survey_responses", "score")]
)
def test_text_where_a_number_is_due_is_refused(table, column):
    text = ALL[table].assign(**{column: "yes"})
    items = ITEMS if table == "survey_responses" else {}
    with pytest.raises(DataError, match=f"{column} is String"):
        derive_loyalty_behaviours(COHORT, **{table: text}, **ASKED, **items)


def test_other_codes_than_zero_and_one_for_a_plan_are_refused():
    with pytest.raises(DataError, match="planned is neither 0 nor 1 in 1 of 5 rows"):
        derive_loyalty_behaviours(COHORT, visits=VISITS.assign(planned=[0, 1, 2, 0, 1]), **ASKED)


def test_a_table_without_the_one_who_recommends_is_refused():
    with pytest.raises(DataError, match="column referrer_id is missing"):
        derive_loyalty_behaviours(COHORT, referrals=REFERRALS.drop(columns="referrer_id"), **ASKED)


@pytest.mark.parametrize("table", list(ALL))
def test_dates_after_the_cutoff_are_refused(table):
    items = ITEMS if table == "survey_responses" else {}
    early = ASKED | {"data_cutoff": day(2)}
    with pytest.raises(DataError, match=r"_date is after data_cutoff in \d of \d rows"):
        derive_loyalty_behaviours(COHORT, **{table: ALL[table]}, **early, **items)
