from __future__ import annotations

import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import derive_time_to_event

NEVER = pd.NaT
CUTOFF = "2023-12-31"


def day(number: int | None) -> pd.Timestamp:
    """Return a day counted from 2023-01-01, which is day 0; the cut-off is day 364."""
    return NEVER if number is None else pd.Timestamp("2023-01-01") + pd.Timedelta(days=number)


def ended(index: int = 0, **dates: int | None) -> dict:
    """Return what ended the follow-up of one patient with these dates; death goes before move."""
    cohort = pd.DataFrame({"index_date": [day(index)]}).assign(
        **{f"{name}_date": [day(number)] for name, number in dates.items()}
    )
    censor_dates = [name for name in ("death_date", "move_date") if name in cohort]
    table = derive_time_to_event(
        cohort, event_date="lapse_date", censor_dates=censor_dates, data_cutoff=CUTOFF
    )
    return table[["time", "event", "end_reason"]].to_dict("records")[0]


def test_the_event_ends_follow_up_if_it_comes_first():
    assert ended(5, lapse=40, death=41) == {"time": 35, "event": True, "end_reason": "lapse_date"}


def test_censoring_ends_follow_up_if_it_comes_first():
    assert ended(lapse=40, death=39) == {"time": 39, "event": False, "end_reason": "death_date"}


def test_the_event_wins_a_tie():
    assert ended(lapse=40, death=40)["end_reason"] == "lapse_date"


def test_censoring_dates_win_ties_in_the_order_given():
    assert ended(lapse=None, death=40, move=40)["end_reason"] == "death_date"


def test_without_any_date_follow_up_ends_at_the_cutoff():
    assert ended(lapse=None) == {"time": 364, "event": False, "end_reason": "data_cutoff"}


def test_a_date_on_the_cutoff_wins_over_it():
    assert ended(lapse=None, death=364)["end_reason"] == "death_date"


def test_a_date_after_the_cutoff_is_not_known_yet():
    assert ended(lapse=400) == {"time": 364, "event": False, "end_reason": "data_cutoff"}


def test_follow_up_that_ends_on_the_index_date_has_time_zero():
    assert ended(7, lapse=7)["time"] == 0


def test_every_engine_gives_the_same_times(engine):
    cohort = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c"],
            "index_date": [day(0), day(10), day(20)],
            "流失日期": [day(30), NEVER, NEVER],
            "death_date": [day(30), day(15), NEVER],
            "moved_date": [NEVER, NEVER, NEVER],
        }
    )
    table = derive_time_to_event(
        engine.make(cohort),
        event_date="流失日期",
        censor_dates=["death_date", "moved_date"],
        data_cutoff=CUTOFF,
    )
    table = engine.read(table)
    assert list(table) == [*cohort, "time", "event", "end_reason"]
    assert table["time"].tolist() == [30, 5, 344]
    assert table["event"].tolist() == [True, False, False]
    assert table["end_reason"].tolist() == ["流失日期", "death_date", "data_cutoff"]
    pd.testing.assert_frame_equal(table[list(cohort)[:3]], cohort[list(cohort)[:3]])


def test_rows_keep_their_order_and_label():
    cohort = pd.DataFrame(
        {"index_date": [day(9), day(3)], "lapse_date": [day(10), day(5)]}, index=["x", "w"]
    )
    table = derive_time_to_event(
        cohort, event_date="lapse_date", censor_dates=[], data_cutoff=CUTOFF
    )
    assert table["time"].to_dict() == {"x": 1, "w": 2}


def test_times_derived_before_are_replaced():
    cohort = pd.DataFrame({"index_date": [day(0)], "lapse_date": [day(1)], "time": [99]})
    table = derive_time_to_event(
        cohort, event_date="lapse_date", censor_dates=[], data_cutoff=CUTOFF
    )
    assert list(table) == ["index_date", "lapse_date", "time", "event", "end_reason"]
    assert table["time"].item() == 1


def test_follow_up_that_ends_before_it_starts_is_refused_with_the_repair(engine):
    cohort = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c", "d"],
            "index_date": [day(10), day(10), NEVER, day(400)],
            "lapse_date": [day(9), NEVER, NEVER, NEVER],
            "followed_until": [day(9), day(8), NEVER, NEVER],
        }
    )
    with pytest.raises(DataError, match="observable_for") as refused:
        derive_time_to_event(
            engine.make(cohort),
            event_date="lapse_date",
            censor_dates=["followed_until"],
            data_cutoff=CUTOFF,
        )
    assert [fault.message for fault in refused.value.faults] == [
        "index_date is missing in 1 of 4 rows",
        "lapse_date is before index_date in 1 of 4 rows",
        "followed_until is before index_date in 2 of 4 rows",
        "index_date is after data_cutoff in 1 of 4 rows",
    ]


def test_the_event_cannot_also_censor():
    with pytest.raises(UsageError, match="lapse_date is the event and cannot censor"):
        derive_time_to_event(
            pd.DataFrame(), event_date="lapse_date", censor_dates=["lapse_date"], data_cutoff=CUTOFF
        )


def test_missing_columns_are_all_named():
    with pytest.raises(DataError) as refused:
        derive_time_to_event(
            pd.DataFrame({"index_date": [day(0)]}),
            event_date="lapse_date",
            censor_dates=["death_date"],
            data_cutoff=CUTOFF,
        )
    assert [fault.column for fault in refused.value.faults] == ["lapse_date", "death_date"]


def test_an_empty_cohort_is_refused():
    cohort = pd.DataFrame({"index_date": [day(0)], "lapse_date": [day(1)]}).head(0)
    with pytest.raises(DataError, match="cohort: the table has no rows"):
        derive_time_to_event(cohort, event_date="lapse_date", censor_dates=[], data_cutoff=CUTOFF)
