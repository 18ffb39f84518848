from __future__ import annotations

import pandas as pd
import pytest

from loyalty_research.cohort import (
    aged_between,
    apply_criteria,
    col,
    entered_between,
    known,
    looked_back_for,
    observable_for,
    present_at_index,
)
from loyalty_research.errors import DataError, UsageError

COHORT = pd.DataFrame(
    {
        "patient_id": list("abcde"),
        "age": [70, 15, 40, 64, 65],
        "consented": [True, True, False, True, True],
        "index_date": pd.to_datetime(
            ["2023-01-01", "2023-01-02", "2023-06-01", "2023-12-31", "2024-01-01"]
        ),
    }
)


def day(text: str | None) -> pd.Timestamp:
    return pd.NaT if text is None else pd.Timestamp(text)


def kept(rule, cohort: pd.DataFrame = COHORT) -> str:
    return "".join(apply_criteria(cohort, criteria={"rule": rule})[0]["patient_id"])


def with_dates(**dates: list[str | None]) -> pd.DataFrame:
    columns = {name: [day(text) for text in texts] for name, texts in dates.items()}
    return pd.DataFrame({"patient_id": list("abcde")[: len(next(iter(columns.values())))]}).assign(
        **columns
    )


# --- attrition ------------------------------------------------------------------------------------


def test_each_criterion_is_asked_of_those_the_earlier_ones_left():
    criteria = {"adult": col("age") >= 18, "consented": "consented", "below 65": col("age") < 65}
    cohort, attrition = apply_criteria(COHORT, criteria=criteria)
    assert cohort["patient_id"].tolist() == ["d"]
    assert attrition.to_dict("list") == {
        "step": [0, 1, 2, 3],
        "criterion": ["all", "adult", "consented", "below 65"],
        "n_before": [5, 5, 4, 3],
        "n_excluded": [0, 1, 1, 2],
        "n_after": [5, 4, 3, 1],
    }


def test_without_criteria_everyone_stays(assert_columns):
    cohort, attrition = apply_criteria(COHORT, criteria={})
    pd.testing.assert_frame_equal(cohort, COHORT)
    assert_columns(attrition, "attrition")
    assert attrition.to_numpy().tolist() == [[0, "all", 5, 0, 5]]


def test_the_rows_that_stay_are_untouched():
    cohort = COHORT.assign(region=pd.Categorical(list("xyxyx")), note=[1, "two", None, 4.0, ()])
    left, _ = apply_criteria(cohort, criteria={"adult": col("age") >= 18})
    pd.testing.assert_frame_equal(left, cohort[cohort["age"] >= 18])


def test_every_engine_gives_the_same_cohort_and_attrition(engine):
    cohort = COHORT.rename(columns={"age": "年龄"}).assign(birth_year=2023 - COHORT["age"])
    criteria = {
        "成年": col("年龄") >= 18,
        "入组": entered_between("2023-01-01", "2023-12-31"),
        "consented": "consented",
        "seen": observable_for(30, data_cutoff="2023-12-31"),
        "known back": looked_back_for(0, data_start="2023-01-01"),
        "old": aged_between(60, 99),
        "there": present_at_index(),
        "known": known("birth_year", "年龄"),
    }
    left, attrition = apply_criteria(engine.make(cohort), criteria=criteria)
    assert engine.read(left)["patient_id"].tolist() == ["a"]
    assert attrition["n_after"].tolist() == [5, 4, 3, 2, 1, 1, 1, 1, 1]


# --- rules ----------------------------------------------------------------------------------------


def test_both_ends_of_an_entry_period_belong_to_it():
    assert kept(entered_between("2023-01-02", "2023-12-31")) == "bcd"


def test_follow_up_must_fit_between_index_and_cutoff():
    assert kept(observable_for(30, data_cutoff="2024-01-30")) == "abcd"
    assert kept(observable_for(30, data_cutoff="2024-01-31")) == "abcde"


def test_a_patients_own_end_of_observation_shortens_follow_up():
    cohort = with_dates(
        index_date=["2023-01-01"] * 3, observed_until=["2023-01-30", "2023-01-31", None]
    )
    assert kept(observable_for(30, data_cutoff="2024-01-01"), cohort) == "bc"


def test_an_entry_period_may_be_open_at_either_end():
    assert kept(entered_between(end="2023-01-02")) == "ab"
    assert kept(entered_between("2024-01-01", "")) == "e"


def test_who_has_no_index_date_is_left_out_and_counted():
    cohort = with_dates(index_date=["2023-01-01", None, "2023-01-02"])
    left, attrition = apply_criteria(cohort, criteria={"came": known("index_date")})
    assert left["patient_id"].tolist() == ["a", "c"]
    assert attrition["n_excluded"].tolist() == [0, 1]


def test_death_does_not_make_a_patient_unobservable():
    cohort = with_dates(index_date=["2023-01-01"], death_date=["2023-01-02"])
    assert kept(observable_for(365, data_cutoff="2024-12-31"), cohort) == "a"


def test_look_back_starts_with_the_data_or_the_patients_observation():
    cohort = with_dates(
        index_date=["2023-03-02"] * 3, observed_from=["2023-01-31", "2023-02-01", None]
    )
    assert kept(looked_back_for(30, data_start="2022-01-01"), cohort) == "ac"
    with pytest.raises(DataError, match="excluded the last"):
        kept(looked_back_for(30, data_start="2023-02-01"), cohort)


def test_age_counts_years_from_the_year_of_birth():
    cohort = with_dates(index_date=["2023-05-01"] * 3).assign(birth_year=[2005, 2006, 1903])
    assert kept(aged_between(18, 120), cohort) == "ac"


def test_present_are_those_neither_dead_nor_gone_nor_out_of_sight():
    cohort = with_dates(
        index_date=["2023-05-02"] * 5,
        death_date=["2023-05-01", "2023-05-02", None, None, None],
        moved_date=[None, None, "2023-05-01", None, None],
        observed_from=[None, None, None, "2023-05-03", "2023-05-02"],
        observed_until=[None, None, None, None, "2023-05-02"],
    )
    assert kept(present_at_index(), cohort) == "be"


def test_known_needs_every_column():
    cohort = pd.DataFrame({"patient_id": list("abc"), "x": [1, None, 3], "y": [1, 2, None]})
    assert kept(known("x", "y"), cohort) == "a"


# --- refusals -------------------------------------------------------------------------------------


def test_a_criterion_that_excludes_the_last_patient_is_named():
    criteria = {"adult": col("age") >= 18, "very old": col("age") > 99, "any": col("age") > 0}
    with pytest.raises(DataError, match="criterion 'very old' excluded the last 4 patients"):
        apply_criteria(COHORT, criteria=criteria)


def test_an_empty_cohort_is_refused(engine):
    with pytest.raises(DataError, match="cohort: the table has no rows"):
        apply_criteria(engine.make(COHORT.head(0)), criteria={"adult": col("age") >= 18})


def test_every_criterion_that_is_unknown_for_somebody_is_named_with_the_count(engine):
    cohort = COHORT.assign(age=[70, None, 40, 64, None], birth_year=[1950, 1, 2, 3, None])
    criteria = {"adult": col("age") >= 18, "born": col("birth_year") > 0}
    with pytest.raises(DataError) as refused:
        apply_criteria(engine.make(cohort), criteria=criteria)
    assert [fault.message for fault in refused.value.faults] == [
        "criterion 'adult' is neither true nor false for 2 of 5 patients"
    ]
    assert refused.value.faults[0].repair == "put known(...) of its columns before it"


def test_known_before_a_criterion_makes_it_answerable(engine):
    cohort = COHORT.assign(age=[70, None, 40, 64, None])
    criteria = {"age known": known("age"), "adult": col("age") >= 18}
    _, attrition = apply_criteria(engine.make(cohort), criteria=criteria)
    assert attrition["n_after"].tolist() == [5, 3, 3]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (col("agee") >= 18, "criterion 'rule' cannot be asked of the columns patient_id, age"),
        ("agee", "criterion 'rule' cannot be asked of the columns patient_id, age"),
        (col("age") + 1, "criterion 'rule' is Int64, not true or false"),
        (42, "criterion 'rule' must be an expression in col"),
    ],
)
def test_a_criterion_that_is_no_condition_is_refused(rule, message):
    with pytest.raises(UsageError, match=message):
        apply_criteria(COHORT, criteria={"rule": rule})


def test_a_criterion_of_another_type_is_refused_without_quoting_a_value(engine):
    with pytest.raises(UsageError, match="cannot be asked of the columns") as refused:
        apply_criteria(engine.make(COHORT), criteria={"rule": col("patient_id") > 5})
    assert refused.value.__cause__ is None


def test_periods_and_ranges_turned_round_are_refused():
    with pytest.raises(UsageError, match="end=2023-01-01 is before start=2023-12-31; swap them"):
        entered_between("2023-12-31", "2023-01-01")
    with pytest.raises(UsageError, match="high=18 is below low=65; swap them"):
        aged_between(65, 18)
