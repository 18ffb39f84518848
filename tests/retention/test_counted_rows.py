"""Rows that are counted before the door looks at them."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError
from loyalty_research.retention.counted_rows import N_ROWS, count_rows
from loyalty_research.retention.cumulative_incidence import cumulative_incidence
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.group_tests import logrank_test
from loyalty_research.retention.risk_sets import compress, open_counted_rows
from loyalty_research.retention.rows import open_rows

N = 3000


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(3)
    cause = rng.choice(["moved", "censored", "died"], N)
    return pd.DataFrame(
        {
            "time": rng.integers(0, 100, N),
            "event": rng.random(N) < 0.4,
            "cause": pd.Categorical(cause, categories=["moved", "unused", "censored", "died"]),
            "arm": rng.integers(3, 5, N),
        }
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_whole_numbers_of_any_width_are_counted_as_pandas_counts_them(patients, dtype):
    data = patients.astype({"time": dtype, "arm": dtype})
    counted = count_rows(data, ["time", "arm", "event"])
    expected = data.groupby(["time", "arm", "event"]).size().reset_index(name=N_ROWS)
    pd.testing.assert_frame_equal(counted, expected)


def test_numbers_over_the_whole_width_of_a_byte_keep_their_distance():
    values = np.repeat(np.arange(-128, 128), 10).astype(np.int8)
    counted = count_rows(pd.DataFrame({"time": values}), ["time"])
    assert counted["time"].tolist() == list(range(-128, 128))
    assert (counted[N_ROWS] == 10).all()


def test_large_numbers_that_lie_close_together_are_counted_exactly():
    values = 2**62 + np.repeat([0, 1, 3], [5, 10, 15])
    counted = count_rows(pd.DataFrame({"time": values}), ["time"])
    assert counted["time"].tolist() == [2**62, 2**62 + 1, 2**62 + 3]
    assert counted[N_ROWS].tolist() == [5, 10, 15]


def test_a_category_is_counted_by_its_codes_and_keeps_its_levels(patients):
    counted = count_rows(patients, ["cause"])
    assert counted["cause"].dtype == patients["cause"].dtype
    assert counted["cause"].tolist() == ["moved", "censored", "died"]
    assert counted[N_ROWS].tolist() == [
        (patients["cause"] == cause).sum() for cause in ("moved", "censored", "died")
    ]


def test_a_missing_category_is_counted_too():
    level = pd.Categorical(["a"] * 10 + [None] * 20, categories=["b", "a"])
    counted = count_rows(pd.DataFrame({"level": level}), ["level"])
    assert counted["level"].isna().tolist() == [True, False]
    assert counted[N_ROWS].tolist() == [20, 10]


def test_rows_of_several_blocks_add_up():
    time = np.arange(400_000) % 7
    counted = count_rows(pd.DataFrame({"time": time, "event": time > 3}), ["time", "event"])
    assert counted[N_ROWS].tolist() == np.bincount(time).tolist()


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(np.arange(N) * 1000, id="sparse"),
        pytest.param(np.array([0, 2**62] * (N // 2)), id="far apart"),
        pytest.param(np.ones(N), id="floats"),
        pytest.param(np.ones(N, np.uint64), id="beyond int64"),
        pytest.param(pd.array([1] * N, dtype="Int64"), id="nullable"),
        pytest.param(["a"] * N, id="text"),
        pytest.param(pd.date_range("2024-01-01", periods=N), id="dates"),
    ],
)
def test_what_is_not_narrow_is_left_to_be_looked_at_by_row(column):
    assert count_rows(pd.DataFrame({"time": column}), ["time"]) is None


def test_no_rows_are_not_counted():
    assert count_rows(pd.DataFrame({"time": np.zeros(0, int)}), ["time"]) is None


@pytest.mark.parametrize("arm", ["int64", "category", "bool", "float64"])
def test_counting_first_gives_the_same_cells_as_counting_rows(patients, arm):
    data = patients.assign(arm=(patients["arm"] - 3).astype(arm))
    names = {"time": "time", "event": "cause", "by": ["arm"], "causes": True}
    counted, rows = open_counted_rows(data, **names), compress(open_rows(data, **names))
    assert counted.causes == rows.causes == ("died", "moved")
    pd.testing.assert_frame_equal(counted.groups, rows.groups)
    cells = [
        pd.DataFrame({"g": r.group, "t": r.time, "e": r.event, "n": r.freq})
        .sort_values(["g", "t", "e"], ignore_index=True)
        for r in (counted, rows)
    ]  # fmt: skip
    pd.testing.assert_frame_equal(*cells)


def test_estimates_do_not_depend_on_how_narrow_the_columns_are(patients):
    wide = patients.astype({"time": float, "event": float, "arm": float, "cause": object})
    narrow = patients.astype({"time": "uint8", "arm": "int8"})
    pd.testing.assert_frame_equal(
        cumulative_incidence(narrow, event="cause"), cumulative_incidence(wide, event="cause")
    )
    pd.testing.assert_frame_equal(logrank_test(narrow, by="arm"), logrank_test(wide, by="arm"))
    pd.testing.assert_frame_equal(kaplan_meier(narrow), kaplan_meier(wide))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("time", -1, "time is negative in 7 of 3,000 rows"),
        ("event", 2, "event is neither 0 nor 1 in 7 of 3,000 rows"),
    ],
)
def test_a_fault_is_said_of_rows_not_of_cells(patients, column, value, message):
    data = patients.astype({"event": "int8", "time": "int8"})
    data.loc[data.index[:7], column] = value
    with pytest.raises(DataError, match=message):
        open_counted_rows(data, time="time", event="event")


def test_a_missing_group_is_said_of_rows_not_of_cells(patients):
    data = patients.assign(arm=patients["arm"].astype("category"))
    data.loc[data.index[:7], "arm"] = None
    with pytest.raises(DataError, match="arm is missing in 7 of 3,000 rows"):
        open_counted_rows(data, time="time", event="event", by=["arm"])


def test_a_column_may_have_any_name(patients):
    data = patients.rename(columns={"arm": "n"})
    assert logrank_test(data, by="n")["n"].item() == N
