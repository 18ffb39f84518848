"""Four patients, three months to see: January a, b, c; February d; cut-off 2024-04-10.

| patient | Jan | Feb | Mar | Apr (to the 10th) |
|---------|-----|-----|-----|-------------------|
| a       | x   | x   | x   |                   |
| b       | x   |     | x   | x                 |
| c       | x   |     |     |                   |
| d       |     | x   |     | x                 |
"""

from __future__ import annotations

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.data.lending import collect
from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention import retention_triangle
from loyalty_research.retention.periods import PERIODS, period_number, period_of, period_start

CUTOFF = "2024-04-10"
SEEN = {
    "a": ["2024-01-05", "2024-01-06", "2024-02-29", "2024-03-01"],
    "b": ["2024-01-31", "2024-03-31", "2024-04-01"],
    "c": ["2024-01-01"],
    "d": ["2024-02-01", "2024-04-10"],
}
VISITS = pd.DataFrame(
    [(patient, pd.Timestamp(day)) for patient, days in SEEN.items() for day in days],
    columns=["patient_id", "visit_date"],
)


def cells(visits=VISITS, column="n_retained", **more) -> dict[str, list]:
    """Return a column of the triangle as one list for each cohort, None for missing."""
    table = retention_triangle(visits, **{"data_cutoff": CUTOFF, **more})
    values = table[column].astype(object).where(table[column].notna(), None)
    return {f"{cohort:%Y-%m-%d}": part.tolist() for cohort, part in values.groupby(table["cohort"])}


def days(*pairs: tuple[str, str]) -> pd.DataFrame:
    table = pd.DataFrame(pairs, columns=["patient_id", "visit_date"])
    return table.assign(visit_date=pd.to_datetime(table["visit_date"]))


# --- kinds ----------------------------------------------------------------------------------------


def test_exact_counts_visits_in_the_period_itself():
    assert cells() == {"2024-01-01": [3, 1, 2, None], "2024-02-01": [1, 0, None, None]}


def test_on_or_after_counts_visits_then_or_later_as_seen_by_the_cutoff():
    # b and d came in April, which is not over: their earlier periods count, April's cells do not.
    expected = {"2024-01-01": [3, 2, 2, None], "2024-02-01": [1, 1, None, None]}
    assert cells(kind="on_or_after") == expected


def test_continuous_counts_those_who_left_no_period_out():
    expected = {"2024-01-01": [3, 1, 1, None], "2024-02-01": [1, 0, None, None]}
    assert cells(kind="continuous") == expected


def test_a_bracket_counts_visits_in_any_of_its_periods():
    table = retention_triangle(
        VISITS, kind="bracket", brackets=[(1, 3), (0, 1), (2, 4)], data_cutoff=CUTOFF
    )
    assert table["period"].tolist() == [1, 0, 2, 1, 0, 2]
    assert table["period_end"].tolist() == [3, 1, 4, 3, 1, 4]
    assert table["n_retained"].astype(object).where(table["n_retained"].notna(), None).tolist() == [
        *[2, 3, None],
        *[None, 1, None],
    ]


def test_the_rolling_clock_counts_from_each_patients_own_first_visit():
    # Periods of 30 days: a has days 0, 1 | 55, 56; b 0 | 60 61; c 0; d 0 | 69.
    # Cohort January is over for b, its last member, on day 30 after 01-31: 03-01, 03-31, 04-30.
    expected = {"2024-01-01": [3, 1, None, None], "2024-02-01": [1, 0, None, None]}
    assert cells(clock="rolling") == expected


def test_weeks_start_on_monday():
    visits = days(("a", "2024-01-07"), ("a", "2024-01-08"), ("b", "2024-01-08"))
    triangle = cells(visits, period="week", data_cutoff="2024-01-14")
    assert triangle == {"2024-01-01": [1, 1], "2024-01-08": [1, None]}


@pytest.mark.parametrize(
    ("period", "cohort"),
    [
        ("day", "2024-05-15"),
        ("week", "2024-05-13"),
        ("month", "2024-05-01"),
        ("quarter", "2024-04-01"),
        ("year", "2024-01-01"),
    ],
)
def test_a_cohort_is_named_by_the_first_day_of_its_period(period, cohort):
    triangle = cells(days(("a", "2024-05-15")), period=period, data_cutoff="2024-12-31")
    assert list(triangle) == [cohort]
    assert triangle[cohort][0] == 1


# --- what can be seen -----------------------------------------------------------------------------


def test_a_period_that_ends_on_the_cutoff_is_observed_and_one_day_less_is_not():
    assert cells(data_cutoff="2024-04-30")["2024-01-01"] == [3, 1, 2, 1]
    assert cells(data_cutoff="2024-04-29")["2024-01-01"] == [3, 1, 2, None]


def test_a_cell_that_is_not_observed_has_no_estimate_but_a_cohort_size():
    last = retention_triangle(VISITS, data_cutoff=CUTOFF).iloc[-1]
    assert last["n_patients"] == 1
    assert last[["n_retained", "estimate", "conf_low", "conf_high"]].isna().all()


def test_a_rolling_period_is_observed_once_it_is_over_for_the_last_member():
    visits = days(("a", "2024-01-01"), ("b", "2024-01-11"))
    # Period 0 of b is 2024-01-11 to 2024-02-09.
    assert cells(visits, clock="rolling", data_cutoff="2024-02-09")["2024-01-01"] == [2, None]
    assert cells(visits, clock="rolling", data_cutoff="2024-02-08")["2024-01-01"] == [None, None]


def test_cells_may_rise_again():
    retained = cells()["2024-01-01"]
    assert retained[2] > retained[1]


# --- exits ----------------------------------------------------------------------------------------


def exits(**dates: str | None) -> pd.DataFrame:
    columns = {name: pd.to_datetime([day]) for name, day in dates.items()}
    return pd.DataFrame({"patient_id": ["c"], **columns})


@pytest.mark.parametrize("cause", ["death_date", "moved_date"])
def test_who_left_before_a_period_is_not_in_its_denominator(cause):
    sizes = cells(column="n_patients", exits=exits(**{cause: "2024-02-10"}))
    assert sizes["2024-01-01"] == [3, 3, 2, 2]


def test_who_left_on_the_first_day_of_a_period_is_still_in_its_denominator():
    sizes = cells(column="n_patients", exits=exits(death_date="2024-02-01"))
    assert sizes["2024-01-01"] == [3, 3, 2, 2]
    sizes = cells(column="n_patients", exits=exits(death_date="2024-01-31"))
    assert sizes["2024-01-01"] == [3, 2, 2, 2]


def test_who_was_not_observed_to_the_end_of_a_period_is_not_in_its_denominator():
    sizes = cells(column="n_patients", exits=exits(observed_until="2024-02-28"))
    assert sizes["2024-01-01"] == [3, 2, 2, 2]
    sizes = cells(column="n_patients", exits=exits(observed_until="2024-02-29"))
    assert sizes["2024-01-01"] == [3, 3, 2, 2]


@pytest.mark.parametrize(
    ("kind", "clock"),
    [("exact", "rolling"), ("on_or_after", "calendar"), ("continuous", "rolling")],
)
def test_nobody_is_retained_outside_the_denominator(kind, clock):
    gone = pd.DataFrame({"patient_id": list("abd"), "death_date": pd.Timestamp("2024-01-31")})
    table = retention_triangle(
        VISITS, kind=kind, clock=clock, exits=gone, data_cutoff="2024-12-31"
    ).dropna()
    assert (table["n_retained"] <= table["n_patients"]).all()
    assert table["estimate"].between(0, 1).all()


def test_a_bracket_needs_presence_at_its_start_and_observation_to_its_end():
    def size(**dates: str) -> int:
        table = retention_triangle(
            VISITS,
            kind="bracket",
            brackets=[(1, 3)],
            exits=exits(**dates),
            data_cutoff="2024-12-31",
        )
        return table["n_patients"].iloc[0]

    assert size(death_date="2024-02-10") == 3
    assert size(death_date="2024-01-10") == 2
    assert size(observed_until="2024-03-31") == 3
    assert size(observed_until="2024-03-30") == 2


def test_a_cell_without_anybody_left_is_missing():
    visits = days(("c", "2024-01-01"))
    table = retention_triangle(visits, exits=exits(death_date="2024-01-02"), data_cutoff=CUTOFF)
    assert table["n_patients"].tolist() == [1, 0, 0, 0]
    assert table["estimate"].isna().tolist() == [False, True, True, True]


# --- form -----------------------------------------------------------------------------------------


def test_a_triangle_has_the_fixed_columns_and_wilsons_interval(assert_columns):
    table = retention_triangle(VISITS, data_cutoff=CUTOFF, conf_level=0.9)
    assert_columns(table, "triangle")
    # 1 of 3 at 90 %, by Wilson's formula with z = 1.6449.
    z2, p, n = 1.6448536269514722**2, 1 / 3, 3
    centre, half = p + z2 / (2 * n), (z2 * (p * (1 - p) + z2 / (4 * n)) / n) ** 0.5
    row = table.iloc[1]
    assert row["conf_low"] == pytest.approx((centre - half) / (1 + z2 / n))
    assert row["conf_high"] == pytest.approx((centre + half) / (1 + z2 / n))
    assert set(table["conf_level"]) == {0.9}


@pytest.mark.parametrize(
    ("kind", "clock"),
    [
        ("exact", "calendar"),
        ("on_or_after", "rolling"),
        ("continuous", "calendar"),
        ("bracket", "rolling"),
    ],
)
def test_every_engine_gives_the_same_triangle(engine, kind, clock):
    names = {"patient": "病人", "date": "就诊日期"}
    gone = exits(death_date="2024-03-10", observed_until=None)
    asked = {
        "kind": kind,
        "clock": clock,
        "brackets": [(0, 2), (1, 3)] if kind == "bracket" else None,
        "data_cutoff": CUTOFF,
    }
    expected = retention_triangle(VISITS, exits=gone, **asked)
    renamed = VISITS.rename(columns={"patient_id": "病人", "visit_date": "就诊日期"})
    table = retention_triangle(
        engine.make(renamed),
        exits=engine.make(gone.rename(columns={"patient_id": "病人"})),
        **names,
        **asked,
    )
    pd.testing.assert_frame_equal(table, expected)


def test_integer_ids_give_the_same_triangle():
    numbered = VISITS.assign(patient_id=VISITS["patient_id"].map(ord))
    assert cells(numbered) == cells()


def test_an_engine_numbers_periods_as_python_does(engine):
    if engine.kind not in ("polars_lazy", "duckdb"):
        return  # these are lent to DuckDB before any period is numbered
    dates = [*pd.date_range("2019-12-25", "2020-01-10"), *pd.date_range("2023-12-25", "2024-03-02")]
    table = nw.from_native(engine.make(pd.DataFrame({"visit_date": dates})))
    numbers = [period_number(nw.col("visit_date"), period).alias(period) for period in PERIODS]
    for row in collect(table.with_columns(*numbers)).to_pylist():
        day = row["visit_date"].date()
        for period in PERIODS:
            assert row[period] == period_of(day, period)
            start, after = period_start(np.array([row[period], row[period] + 1]), period)
            assert start <= day.toordinal() < after


# --- properties -----------------------------------------------------------------------------------

some_visits = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 500)), min_size=1, max_size=25)


@settings(max_examples=5, deadline=None)
@given(some_visits, st.sampled_from(["calendar", "rolling"]))
def test_the_kinds_are_ordered_and_all_start_with_everyone(rows, clock):
    start = dt.date(2021, 11, 3)
    visits = pd.DataFrame(
        [(patient, pd.Timestamp(start) + pd.Timedelta(days=day)) for patient, day in rows],
        columns=["patient_id", "visit_date"],
    )
    kinds = {
        kind: retention_triangle(visits, kind=kind, clock=clock, data_cutoff="2024-12-31")
        for kind in ("continuous", "exact", "on_or_after")
    }
    observed = kinds["exact"]["n_retained"].notna()
    low, middle, high = (table.loc[observed, "n_retained"] for table in kinds.values())
    assert (low <= middle).all()
    assert (middle <= high).all()
    first = kinds["continuous"].query("period == 0")
    assert (first["n_retained"] == first["n_patients"]).all()
    assert first["n_patients"].sum() == visits["patient_id"].nunique()


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"period": "months"}, "period='months' is not known; did you mean 'month'"),
        ({"kind": "exactly"}, "kind='exactly' is not known; did you mean 'exact'"),
        ({"clock": "calender"}, "clock='calender' is not known; did you mean 'calendar'"),
        ({"kind": "bracket"}, "brackets and kind='bracket' go together"),
        ({"brackets": [(0, 1)]}, "brackets and kind='bracket' go together"),
        ({"kind": "bracket", "brackets": []}, "brackets is empty"),
        ({"kind": "bracket", "brackets": [(2, 2)]}, "bracket end=2 must be .* at least 3"),
        ({"kind": "bracket", "brackets": [3]}, "bracket 3 must be a pair"),
        ({"conf_level": 1}, "conf_level=1 must be a number between 0 and 1"),
        ({"data_cutoff": pd.NaT}, "data_cutoff=NaT is not a day"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting, message):
    with pytest.raises(UsageError, match=message):
        cells(**setting)


def test_all_faults_of_visits_and_exits_are_in_one_error(engine):
    visits = days(("a", "2024-04-11"), ("a", None), (None, "2024-01-01"))
    gone = pd.DataFrame({"patient_id": ["a", "a"], "sex": ["female", "male"]})
    with pytest.raises(DataError) as refused:
        retention_triangle(engine.make(visits), exits=engine.make(gone), data_cutoff=CUTOFF)
    assert [fault.message for fault in refused.value.faults] == [
        "patient_id is missing in 1 of 3 rows",
        "visit_date is missing in 1 of 3 rows",
        "visit_date is after data_cutoff in 1 of 3 rows",
        "patient_id occurs more than once, in 1 of 2 rows too many",
    ]


def test_patients_whose_exits_are_not_recorded_stay_in_every_denominator(engine):
    visits = days(("a", "2024-01-01"), ("b", "2024-01-02"), ("a", "2024-02-01"))
    people = engine.make(pd.DataFrame({"patient_id": ["a", "b"], "sex": ["female", "male"]}))
    with_people = retention_triangle(engine.make(visits), exits=people, data_cutoff=CUTOFF)
    pd.testing.assert_frame_equal(with_people, retention_triangle(visits, data_cutoff=CUTOFF))


@pytest.mark.parametrize("clock", ["calendar", "rolling"])
def test_nobody_is_lost_from_the_period_of_the_first_visit(clock):
    # a dies and b moves out of sight within the month of the first visit; c stays.
    visits = days(("a", "2024-01-05"), ("b", "2024-01-05"), ("c", "2024-01-05"))
    gone = pd.DataFrame(
        {
            "patient_id": ["a", "b", "c"],
            "death_date": pd.to_datetime(["2024-01-06", None, None]),
            "observed_until": pd.to_datetime([None, "2024-01-10", None]),
        }
    )
    table = retention_triangle(visits, exits=gone, clock=clock, data_cutoff="2024-03-31")
    assert table.loc[table["period"].isin([0, 1]), "n_patients"].tolist() == [3, 1]
    assert table.loc[table["period"] == 0, "n_retained"].tolist() == [3]


def test_no_visits_are_refused():
    with pytest.raises(DataError, match="visits: the table has no rows"):
        cells(VISITS.head(0))
