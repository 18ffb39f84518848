"""The door of interrupted series: what it lets in, and all that it refuses at once."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.series import SeriesColumns, open_series
from loyalty_research.errors import DataError, UsageError

MONTHS = pd.date_range("2023-01-01", periods=6, freq="MS")
WAITS = pd.DataFrame({"month": MONTHS, "wait": [40.0, 42.0, 41.0, 12.0, 13.0, 11.0]})


def test_every_engine_gives_the_series_in_the_order_of_time(engine):
    series = open_series(engine.make(WAITS), SeriesColumns("wait", "month", "2023-04-01"))
    assert series.y.tolist() == WAITS["wait"].tolist()
    assert (series.start, series.per_year, series.sides()) == (3, 12, (3, 3))


def test_the_wash_in_is_left_out_and_the_rest_counted():
    series = open_series(WAITS, SeriesColumns("wait", "month", "2023-03-01", wash_in=2))
    assert series.is_used.tolist() == [True, True, False, False, True, True]
    assert (series.first_after, series.sides()) == (4, (2, 2))


def test_a_comparison_in_a_column_is_taken_away():
    table = WAITS.assign(other=[30.0, 31, 32, 33, 34, 35])
    series = open_series(table, SeriesColumns("wait", "month", "2023-04-01", control="other"))
    assert series.y.tolist() == [10, 11, 9, -21, -21, -24]


def test_a_comparison_in_rows_of_its_own_is_the_same(engine):
    other = WAITS.assign(wait=[30.0, 31, 32, 33, 34, 35], compared=1)
    table = pd.concat([WAITS.assign(compared=0), other], ignore_index=True)
    columns = SeriesColumns("wait", "month", "2023-04-01", control="compared")
    assert open_series(engine.make(table), columns).y.tolist() == [10, 11, 9, -21, -21, -24]


def test_a_column_of_zeros_and_ones_is_a_comparison_where_periods_come_once():
    table = WAITS.assign(closed=[0, 1, 0, 0, 0, 1])
    series = open_series(table, SeriesColumns("wait", "month", "2023-04-01", control="closed"))
    assert series.y.tolist() == [40, 41, 41, 12, 13, 10]


def test_events_are_counted_per_exposure_and_variances_of_a_difference_add_up():
    table = pd.DataFrame(
        {
            "t": [0, 1, 2, 0, 1, 2],
            "late": [10, 20, 30, 5, 5, 5],
            "booked": [100, 100, 100, 50, 50, 50],
            "w": [1.0, 2.0, 2.0, 1.0, 2.0, 6.0],
            "other": [False] * 3 + [True] * 3,
        }
    )
    columns = SeriesColumns(
        "late", "t", 1, control="other", exposure="booked", weight="w", scale="log"
    )
    series = open_series(table, columns)
    # .1, .2, .3 against .1 each; 1 / (1/1 + 1/1), 1 / (1/2 + 1/2), 1 / (1/2 + 1/6).
    assert np.exp(series.y) == pytest.approx([1, 2, 3])
    assert series.weight == pytest.approx([0.5, 1, 1.5])
    assert series.n_events == 75


def test_seasons_are_counted_from_a_column_or_from_the_length_of_a_cycle():
    table = WAITS.assign(quarter=[1, 2, 3, 4, 1, 2])
    by_column = open_series(table, SeriesColumns("wait", "month", "2023-04-01", season="quarter"))
    by_number = open_series(table, SeriesColumns("wait", "month", "2023-04-01", season=4))
    assert by_column.season.tolist() == by_number.season.tolist() == [0, 1, 2, 3, 0, 1]
    assert by_column.is_cycle
    mixed = table.assign(quarter=pd.Categorical(["d", "a", "b", "c", "d", "a"], list("dabc")))
    named = open_series(mixed, SeriesColumns("wait", "month", "2023-04-01", season="quarter"))
    assert named.season.tolist() == [0, 1, 2, 3, 0, 1]


BROKEN = pd.DataFrame(
    {"t": [0, 1, 2, 3], "y": [1.0, None, 2.0, 3.0], "text": list("abcd"), "zero": [1, 0, 2, -1.0]}
)


def refusal(table, columns):
    with pytest.raises(DataError) as caught:
        open_series(table, columns)
    return str(caught.value)


def test_columns_that_are_not_there_are_all_named():
    told = refusal(WAITS, SeriesColumns("wiat", "month", 1, season="quarter", control="other"))
    assert "3 faults" in told
    assert "column wiat is missing; did you mean wait?" in told
    assert "column quarter is missing" in told
    assert "column other is missing" in told


def test_values_that_cannot_be_are_all_named():
    told = refusal(
        BROKEN.assign(month=[1, 2, None, 4]),
        SeriesColumns("y", "t", 2, season="month", control="text", exposure="zero"),
    )
    assert "4 faults" in told
    assert "series: y is missing in 1 of 4 rows; a series has no gaps" in told
    assert "text is text, not a number; convert it first" in told
    assert "zero is not above 0 in 2 of 4 rows; correct these rows in the source" in told
    assert "month is missing in 1 of 4 rows" in told


def test_infinite_outcomes_and_weights_that_weigh_nothing_are_refused():
    table = pd.DataFrame({"t": [0, 1, 2], "y": [1, np.inf, 2], "w": [1.0, 0.0, np.nan]})
    told = refusal(table, SeriesColumns("y", "t", 1, weight="w"))
    assert "y is infinite in 1 of 3 rows" in told
    assert "w is missing in 1 of 3 rows" in told


def test_gaps_doubled_periods_and_a_start_outside_are_named_together():
    table = pd.DataFrame({"t": [0, 1, 1, 3, 4], "y": [1.0, 2, 3, 4, 5]})
    told = refusal(table, SeriesColumns("y", "t", 9))
    assert "3 faults" in told
    assert "1 rows repeat a period of t; give one row a period; two with control=" in told
    assert "1 of 5 periods have no row; give every period from the first to the last a row" in told
    assert "start leaves no period from it on; give a period inside the series" in told


def test_a_gap_in_the_comparison_alone_is_named_as_its_own():
    table = pd.DataFrame({"t": [0, 1, 2, 0, 2], "y": [1.0] * 5, "c": [0, 0, 0, 1, 1]})
    told = refusal(table, SeriesColumns("y", "t", 1, control="c"))
    assert "1 of 3 periods of the comparison have no row" in told


@pytest.mark.parametrize(
    ("start", "wash_in", "message"),
    [
        ("2023-01-01", 0, "start leaves no period before it"),
        ("2022-01-01", 0, "start leaves no period before it"),
        ("2023-03-15", 0, "start is no period of the series; give the first period with the"),
        ("2023-05-01", 2, "a wash_in of 2 leaves no period after the change; shorten it"),
    ],
)
def test_a_start_must_lie_in_the_series(start, wash_in, message):
    assert message in refusal(WAITS, SeriesColumns("wait", "month", start, wash_in=wash_in))


def test_an_outcome_that_a_scale_or_rate_does_not_allow_is_refused():
    table = pd.DataFrame({"t": [0, 1, 2], "y": [1, 0, -2], "n": [5, 5, 5], "c": [1.0, 2, 3]})
    told = refusal(table, SeriesColumns("y", "t", 1, exposure="n", control="c", scale="log"))
    assert "n is the exposure of one series, and c a second series; give two rows a period" in told
    assert "y is below 0 in 1 of 3 rows; give events, not differences" in told
    assert "y is not above 0 in 2 of 3 rows, so has no logarithm" in told


def test_no_row_is_no_series():
    assert "the series has no rows" in refusal(WAITS.head(0), SeriesColumns("wait", "month", 1))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"scale": "root"}, "scale='root' is not known"),
        ({"wash_in": -1}, "wash_in=-1 must be a whole number, at least 0"),
        ({"season": 1}, "season=1 must be a whole number, at least 2"),
        ({"season": 4.0}, "season=4.0 must be a whole number"),
        ({"per_year": 0}, "per_year=0 must be a number above 0"),
        ({"weight": "wait"}, "wait stands for two things; name a column for each"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(more, message):
    with pytest.raises(UsageError, match=message):
        open_series(WAITS, SeriesColumns("wait", "month", "2023-04-01", **more))
