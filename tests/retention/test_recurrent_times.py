from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.mean_cumulative_count import mean_cumulative_count
from loyalty_research.retention.recurrent_times import derive_recurrent_times, derive_return_times

NEVER = pd.NaT
COLUMNS = ["patient_id", "start", "stop", "event", "terminal", "number"]


def day(number: int | None) -> pd.Timestamp:
    """Return a day counted from 2023-01-01, which is day 0; the cut-off is day 364."""
    return NEVER if number is None else pd.Timestamp("2023-01-01") + pd.Timedelta(days=number)


def visits_on(**days: list[int]) -> pd.DataFrame:
    rows = [(patient, day(number)) for patient, numbers in days.items() for number in numbers]
    return pd.DataFrame(rows, columns=["patient_id", "visit_date"]).astype(
        {"visit_date": "datetime64[ns]"}
    )


def cohort_of(**index: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"patient_id": list(index), "index_date": [day(number) for number in index.values()]}
    )


def rows_of(visits: pd.DataFrame, cohort: pd.DataFrame) -> list[tuple]:
    table = derive_recurrent_times(visits, cohort=cohort, data_cutoff="2023-12-31")
    assert list(table) == COLUMNS
    return list(table.drop(columns="patient_id").itertuples(index=False, name=None))


# --- rows -----------------------------------------------------------------------------------------


def test_follow_up_is_cut_at_each_return():
    assert rows_of(visits_on(a=[10, 40]), cohort_of(a=0)) == [
        (0, 10, True, False, 1),
        (10, 40, True, False, 2),
        (40, 364, False, False, 3),
    ]


def test_a_visit_on_or_before_the_index_date_is_no_return():
    assert rows_of(visits_on(a=[2, 5, 9]), cohort_of(a=5)) == [
        (0, 4, True, False, 1),
        (4, 359, False, False, 2),
    ]


def test_several_visits_on_one_day_are_one_return():
    visits = visits_on(a=[10, 10, 10])
    visits["visit_date"] += pd.to_timedelta([8, 9, 17], unit="h")
    assert rows_of(visits, cohort_of(a=0))[0] == (0, 10, True, False, 1)
    assert len(rows_of(visits, cohort_of(a=0))) == 2


def test_a_return_on_the_last_day_needs_no_closing_row():
    assert rows_of(visits_on(a=[364]), cohort_of(a=0)) == [(0, 364, True, False, 1)]


def test_death_ends_follow_up_and_the_row_says_so():
    cohort = cohort_of(a=0).assign(death_date=day(20), moved_date=NEVER)
    assert rows_of(visits_on(a=[10, 40]), cohort) == [
        (0, 10, True, False, 1),
        (10, 20, False, True, 2),
    ]
    assert rows_of(visits_on(a=[20]), cohort) == [(0, 20, True, True, 1)]


def test_moving_and_the_end_of_observation_censor():
    moved = cohort_of(a=0).assign(death_date=day(90), moved_date=day(20))
    assert rows_of(visits_on(a=[30]), moved) == [(0, 20, False, False, 1)]
    left = cohort_of(a=0).assign(observed_until=day(15), death_date=day(16))
    assert rows_of(visits_on(a=[30]), left) == [(0, 15, False, False, 1)]


def test_who_has_no_time_under_observation_has_no_row():
    cohort = cohort_of(a=0, b=364)
    table = derive_recurrent_times(visits_on(a=[3]), cohort=cohort, data_cutoff="2023-12-31")
    assert set(table["patient_id"]) == {"a"}


def test_visits_of_others_and_patients_without_visits_are_at_home_in_it():
    assert rows_of(visits_on(z=[10]), cohort_of(a=0)) == [(0, 364, False, False, 1)]


def test_every_engine_gives_the_same_rows(engine):
    visits, cohort = visits_on(甲=[10, 10, 40], 乙=[30, 33]), cohort_of(甲=0, 乙=20, 丙=7)
    cohort = cohort.assign(death_date=[NEVER, day(33), day(60)])
    expected = derive_recurrent_times(visits, cohort=cohort, data_cutoff="2023-12-31")
    table = derive_recurrent_times(
        engine.make(visits), cohort=engine.make(cohort), data_cutoff="2023-12-31"
    )
    expected = expected.sort_values(["patient_id", "start"], ignore_index=True)
    pd.testing.assert_frame_equal(
        engine.read(table, sort=["patient_id", "start"]), expected, check_dtype=False
    )


def test_rows_are_what_python_counts_patient_by_patient():
    rng = np.random.default_rng(6)
    index = {f"p{k}": int(rng.integers(0, 300)) for k in range(60)}
    seen = {who: rng.integers(0, 364, rng.integers(0, 9)).tolist() for who in index}
    death = [int(at + rng.integers(0, 200)) for at in index.values()]
    cohort = cohort_of(**index).assign(death_date=[day(number) for number in death])
    table = derive_recurrent_times(visits_on(**seen), cohort=cohort, data_cutoff="2023-12-31")
    expected = []
    for (who, at), died in zip(index.items(), death, strict=True):
        end = min(died, 364) - at
        stops = sorted({number - at for number in seen[who] if 0 < number - at <= end})
        closing = [end] if end > 0 and end not in stops else []
        start = 0
        for number, stop in enumerate([*stops, *closing], start=1):
            dies = stop == end and died <= 364
            expected.append((who, start, stop, stop in stops, dies, number))
            start = stop
    assert sorted(table.itertuples(index=False, name=None)) == sorted(expected)


def test_the_rows_are_what_the_mean_count_takes():
    cohort = cohort_of(a=0, b=0).assign(death_date=[NEVER, day(5)])
    table = derive_recurrent_times(visits_on(a=[3, 9], b=[3]), cohort=cohort, data_cutoff=day(20))
    curve = mean_cumulative_count(table, terminal="terminal")
    # Both return by 3; half of them are alive at 9.
    assert curve["estimate"].iloc[-1] == pytest.approx(1 + 1 / 2)


# --- times to a return ----------------------------------------------------------------------------


def test_the_second_return_is_the_second_day_with_a_visit():
    visits, cohort = visits_on(a=[10, 10, 40], b=[10]), cohort_of(a=0, b=0)
    cohort = cohort.assign(death_date=[NEVER, day(50)])
    table = derive_return_times(visits, cohort=cohort, number=2, data_cutoff="2023-12-31")
    assert table["time"].tolist() == [40, 50]
    assert table["event"].tolist() == [True, False]
    assert table["end_reason"].tolist() == ["return_date", "death_date"]
    first = derive_return_times(visits, cohort=cohort, number=1, data_cutoff="2023-12-31")
    assert first["time"].tolist() == [10, 10]


def test_a_visit_after_the_end_of_observation_is_not_known():
    cohort = cohort_of(a=0).assign(observed_until=day(30))
    table = derive_return_times(
        visits_on(a=[40]), cohort=cohort, number=1, data_cutoff="2023-12-31"
    )
    assert table["time"].tolist() == [30]
    assert table["event"].tolist() == [False]


def test_every_engine_gives_the_same_times(engine):
    visits, cohort = visits_on(甲=[10, 10, 40], 乙=[30, 33]), cohort_of(甲=0, 乙=20, 丙=7)
    settings = {"number": 2, "data_cutoff": "2023-12-31"}
    expected = derive_return_times(visits, cohort=cohort, **settings)
    table = derive_return_times(engine.make(visits), cohort=engine.make(cohort), **settings)
    table = engine.read(table)
    expected = expected.sort_values("patient_id", ignore_index=True)
    assert table["time"].tolist() == expected["time"].tolist()
    assert table["event"].tolist() == expected["event"].tolist()


# --- refusals -------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused():
    visits, cohort = visits_on(a=[10]), cohort_of(a=0)
    with pytest.raises(UsageError, match="number=0 must be a whole number, at least 1"):
        derive_return_times(visits, cohort=cohort, number=0, data_cutoff="2023-12-31")
    with pytest.raises(UsageError, match="data_cutoff='soon' is not a day"):
        derive_recurrent_times(visits, cohort=cohort, data_cutoff="soon")
    with pytest.raises(DataError, match="visit_date is after data_cutoff in 1 of 1 rows"):
        derive_recurrent_times(visits, cohort=cohort, data_cutoff="2023-01-05")
    with pytest.raises(DataError, match="index_date is after death_date in 1 of 1 rows"):
        derive_recurrent_times(
            visits, cohort=cohort.assign(death_date=day(-1)), data_cutoff="2023-12-31"
        )
    with pytest.raises(DataError, match="patient_id occurs more than once"):
        derive_recurrent_times(visits, cohort=pd.concat([cohort, cohort]), data_cutoff="2023-12-31")
