"""Active periods as marks in one number, beside distinct pairs of patient and period."""

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest

from loyalty_research.data.lending import collect, lend
from loyalty_research.retention.period_marks import MARKS, mark_periods, unfold_marks
from loyalty_research.retention.periods import period_of
from loyalty_research.retention.triangle import KINDS, retention_triangle

CUTOFF = "2024-12-31"


def random_visits(n_days, n=4000):
    rng = np.random.default_rng(n_days)
    first = pd.Timestamp(CUTOFF) - pd.Timedelta(days=n_days - 1)
    return pd.DataFrame(
        {
            "patient_id": rng.integers(0, 400, n),
            "visit_date": first + pd.to_timedelta(rng.integers(0, n_days, n), unit="D"),
        }
    )


def lent(visits):
    return lend({"visits": visits})["visits"]


def pairs(visits, period):
    """Return the distinct pairs of patient and period, made one by one."""
    rows = zip(visits["patient_id"], visits["visit_date"], strict=True)
    return sorted({(who, period_of(day.date(), period)) for who, day in rows})


@pytest.mark.parametrize("period", ["day", "week", "month", "quarter", "year"])
@pytest.mark.parametrize("n_days", [1, 60, 126])
def test_marks_are_the_distinct_pairs_of_patient_and_period(period, n_days):
    visits = random_visits(n_days)
    marked = mark_periods(
        lent(visits), patient="patient_id", date="visit_date", period=period, first="start"
    )
    assert marked is not None
    people, periods = marked
    table = collect(unfold_marks(people, periods, into="at")).to_pandas()
    assert sorted(zip(table["patient_id"], table["at"], strict=True)) == pairs(visits, period)
    assert (table["start"] == table.groupby("patient_id")["at"].transform("min")).all()


def test_126_periods_have_room_and_127_have_not():
    names = {"patient": "patient_id", "date": "visit_date", "period": "day", "first": "start"}
    ends = pd.to_datetime(["2024-01-01", "2024-05-05", "2024-05-06"])
    visits = pd.DataFrame({"patient_id": ["a", "a", "b"], "visit_date": ends})
    people, _ = mark_periods(lent(visits.head(2)), **names)
    assert int(collect(people.select(MARKS)).to_pylist()[0][MARKS]) == 2**125 + 1
    assert mark_periods(lent(visits), **names) is None


def test_other_engines_are_left_to_pairs():
    visits = nw.from_native(pl.from_pandas(random_visits(60)).lazy())
    names = {"patient": "patient_id", "date": "visit_date", "period": "day", "first": "start"}
    assert mark_periods(visits, **names) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("period", ["week", "month"])
def test_a_triangle_of_marks_is_that_of_pairs(kind, period):
    # Two years of weeks fit into the marks; a lazy Polars frame never uses them.
    visits = random_visits(730)
    exits = pd.DataFrame({"patient_id": range(0, 400, 3), "death_date": pd.Timestamp("2024-06-15")})
    visits = visits[(visits["visit_date"] < "2024-06-15") | (visits["patient_id"] % 3 > 0)]
    names = {"kind": kind, "period": period, "data_cutoff": CUTOFF}
    names |= {"brackets": [(0, 1), (1, 4)]} if kind == "bracket" else {}
    lazy = [pl.from_pandas(table).lazy() for table in (visits, exits)]
    pd.testing.assert_frame_equal(
        retention_triangle(visits, exits=exits, **names),
        retention_triangle(lazy[0], exits=lazy[1], **names),
    )


def test_too_many_periods_for_marks_are_counted_all_the_same():
    visits = random_visits(400)
    table = retention_triangle(visits, period="day", data_cutoff=CUTOFF)
    lazy = pl.from_pandas(visits).lazy()
    pd.testing.assert_frame_equal(table, retention_triangle(lazy, period="day", data_cutoff=CUTOFF))
    assert table["n_retained"].sum() == len(pairs(visits, "day"))


@pytest.mark.parametrize("name", ["order", 'who "is" it', "Patient No."])
def test_a_column_may_have_any_name(name):
    visits = random_visits(90)
    renamed = visits.rename(columns={"patient_id": name})
    pd.testing.assert_frame_equal(
        retention_triangle(renamed, patient=name, data_cutoff=CUTOFF),
        retention_triangle(visits, data_cutoff=CUTOFF),
    )
