from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from loyalty_research.errors import DataError
from loyalty_research.retention import risk_sets
from loyalty_research.retention.exits import count_exits
from loyalty_research.retention.risk_sets import (
    combine_counts,
    counts_by_group,
    counts_of_rows,
    counts_table,
)
from loyalty_research.retention.rows import open_rows

GOOD = pd.DataFrame({"time": [1, 2, 2, 3], "event": [True, True, False, False]})


def faults_of(data: object, **names: str) -> dict[tuple[str, str], int]:
    with pytest.raises(DataError) as refused:
        risk_sets(data, **names)
    return {(fault.column, fault.message): fault.count for fault in refused.value.faults}


def test_at_risk_are_those_whose_time_has_not_passed():
    table = risk_sets(GOOD)
    assert table.to_dict("list") == {
        "time": [0, 1, 2, 3],
        "n_at_risk": [4, 4, 3, 1],
        "n_events": [0, 1, 1, 0],
        "n_censored": [0, 0, 1, 1],
    }


def test_with_delayed_entry_nobody_is_at_risk_before_the_first():
    table = risk_sets(GOOD.assign(entry=[0, 0, 1, 2]), entry="entry")
    assert table["n_at_risk"].tolist() == [0, 2, 2, 1]


def test_every_row_leaves_once():
    table = risk_sets(GOOD.assign(site=["a", "b", "a", "b"]), by="site")
    assert table.groupby("site")[["n_events", "n_censored"]].sum().sum(axis=1).tolist() == [2, 2]


def test_whole_times_stored_as_floats_are_times():
    pd.testing.assert_frame_equal(risk_sets(GOOD.astype({"time": float})), risk_sets(GOOD))


def test_all_faults_are_in_one_error_without_a_value():
    data = pd.DataFrame(
        {
            "time": [1.5, -3, np.nan, 4, 77],
            "event": [0, 1, 1, 2, np.nan],
            "entry": [0.25, -9, 0, 4, np.nan],
            "site": ["a", "a", None, "b", "b"],
        }
    )
    with pytest.raises(DataError) as refused:
        risk_sets(data, entry="entry", by="site")
    assert str(refused.value).splitlines() == [
        "9 faults in the data:",
        "  data: site is missing in 1 of 5 rows; drop or repair these rows",
        "  data: time is missing in 1 of 5 rows; drop or repair these rows",
        "  data: time is not a whole number in 1 of 5 rows; "
        "convert it to whole days first, rounding down",
        "  data: time is negative in 1 of 5 rows; check which date comes first",
        "  data: event is missing in 1 of 5 rows; drop or repair these rows",
        "  data: event is neither 0 nor 1 in 1 of 5 rows; "
        "found 0, 1 and 2; code one cause as 1, all else as 0",
        "  data: entry is missing in 1 of 5 rows; drop or repair these rows",
        "  data: entry is not a whole number in 1 of 5 rows; "
        "convert it to whole days first, rounding down",
        "  data: entry is not before time in 1 of 5 rows; drop rows without time at risk",
    ]


def test_every_engine_finds_the_same_faults(engine):
    data = pd.DataFrame({"time": [1, -2, 3], "event": [0, 1, 2]})
    assert faults_of(engine.make(data)) == {
        ("time", "time is negative in 1 of 3 rows"): 1,
        ("event", "event is neither 0 nor 1 in 1 of 3 rows"): 1,
    }


def test_infinite_and_undefined_times_are_refused_not_converted():
    frame = pl.DataFrame({"time": [float("inf"), float("nan"), 1.0], "event": [1, 1, 1]})
    assert faults_of(frame) == {
        ("time", "time is missing in 1 of 3 rows"): 1,
        ("time", "time is not a whole number in 1 of 3 rows"): 1,
    }
    assert faults_of(frame.lazy()) == faults_of(frame)


def test_text_is_neither_a_time_nor_an_event():
    found = faults_of(pd.DataFrame({"time": ["1"], "event": ["churned"]}))
    assert [column for column, _ in found] == ["time", "event"]
    assert all("String" in message for _, message in found)


def test_values_of_more_than_one_type_are_refused_without_quoting_them():
    data = pd.DataFrame({"time": [1, "secret"], "event": [1, 0]})
    with pytest.raises(DataError, match="column time holds values of more than one") as refused:
        risk_sets(data)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_table_without_rows_is_refused(engine):
    with pytest.raises(DataError, match="the table has no rows"):
        risk_sets(engine.make(GOOD.head(0)))


@pytest.mark.parametrize("lacking", ["time", "event"])
def test_a_missing_column_is_named(lacking):
    with pytest.raises(DataError, match=f"column {lacking} is missing"):
        risk_sets(GOOD.drop(columns=lacking))


# --- counts as arrays -----------------------------------------------------------------------------

ENDS = pd.DataFrame(
    {
        "time": [0, 2, 2, 2, 5, 7],
        "entry": [0, 0, 1, 0, 2, 2],
        "event": ["died", "moved", "died", None, "moved", "censored"],
        "site": ["a", "a", "a", "b", "b", "b"],
        "n": [1, 2, 1, 3, 1, 1],
    }
)


def test_causes_are_counted_apart(engine):
    groups, counts, causes = counts_by_group(engine.make(ENDS), causes=True)
    assert causes == ("died", "moved")
    (one,) = counts
    assert len(groups) == 1
    assert one.time.tolist() == [0, 2, 5, 7]
    assert one.at_risk.tolist() == [6, 5, 2, 1]
    assert one.events.tolist() == [[1, 0], [1, 1], [0, 1], [0, 0]]
    assert one.censored.tolist() == [0, 1, 0, 1]


def test_each_group_has_the_same_causes_though_it_lacks_one(engine):
    groups, counts, _ = counts_by_group(engine.make(ENDS), by="site", causes=True)
    assert groups["site"].tolist() == ["a", "b"]
    assert [part.events.shape[1] for part in counts] == [2, 2]
    assert counts[1].events.sum(axis=0).tolist() == [0, 1]


def test_a_frequency_counts_as_repeated_rows(engine):
    repeated = ENDS.loc[ENDS.index.repeat(ENDS["n"])]
    _, (often,), _ = counts_by_group(engine.make(ENDS), freq="n", causes=True)
    _, (once,), _ = counts_by_group(engine.make(repeated), causes=True)
    for name in ("time", "at_risk", "events", "censored"):
        np.testing.assert_array_equal(getattr(often, name), getattr(once, name))


def test_the_engine_and_the_arrays_count_alike(engine):
    late = ENDS[ENDS["time"] > 0].assign(event=lambda table: table["event"] == "died")
    groups, counts, _ = counts_by_group(
        engine.make(late), by="site", entry="entry", freq="n", times=[1, 9]
    )
    rows = open_rows(late, by="site", entry="entry", freq="n")
    expected = counts_table(rows.groups, counts_of_rows(rows, times=[1, 9]))
    pd.testing.assert_frame_equal(counts_table(groups, counts), expected)
    exits, entries = count_exits(
        engine.make(late), time="time", event="event", entry="entry", by="site", freq="n"
    )
    pd.testing.assert_frame_equal(combine_counts(exits, entries, by="site", times=[1, 9]), expected)


def test_counts_of_shards_add_up_to_those_of_the_whole():
    whole, _ = count_exits(ENDS, time="time", event="event", entry=None, by=None, causes=True)
    halves = [
        count_exits(part, time="time", event="event", entry=None, by=None, causes=True)[0]
        for part in (ENDS.head(2), ENDS.tail(4))
    ]
    merged = combine_counts(pd.concat(halves), None, by=None)
    pd.testing.assert_frame_equal(merged, combine_counts(whole, None, by=None))


def test_weights_are_summed_and_nobody_remains_after_the_last():
    weights = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    rows = open_rows(ENDS.assign(w=weights), causes=True, weight="w")
    (counts,) = counts_of_rows(rows, weighted=True)
    assert counts.at_risk == pytest.approx([2.1, 2.0, 1.1, 0.6])
    assert counts.at_risk[-1] == counts.censored[-1]


def test_far_apart_times_take_no_room_between_them():
    rows = open_rows(pd.DataFrame({"time": [3, 2**50], "event": [1, 0]}))
    (counts,) = counts_of_rows(rows)
    assert counts.time.tolist() == [0, 3, 2**50]
    assert counts.at_risk.tolist() == [2, 2, 1]


def test_an_odd_frequency_is_refused_by_the_engine(engine):
    data = engine.make(ENDS.assign(n=[0, 1, 1, -2, 1, 1]))
    with pytest.raises(DataError, match="n is not a whole number from 1 in 2 of 6 rows"):
        counts_by_group(data, freq="n", causes=True)
