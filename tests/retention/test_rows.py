"""The one door of estimators that look at every row."""

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError
from loyalty_research.retention.concordance import concordance
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.episodes import split_at_times
from loyalty_research.retention.group_tests import logrank_test
from loyalty_research.retention.risk_sets import counts_by_group
from loyalty_research.retention.rows import group_codes, open_rows, rows_by_group

FIVE = pd.DataFrame(
    {
        "time": [5, 3, 3, 9, 1],
        "event": [True, False, True, False, True],
        "entry": [0, 1, 2, 0, 0],
        "site": ["b", "a", "b", "a", "b"],
        "w": [1.0, 0.5, 2.0, 1.5, 1.0],
        "n": [1, 2, 3, 1, 1],
    }
)


def test_rows_keep_their_order_and_groups_are_sorted():
    rows = open_rows(FIVE, entry="entry", by="site", strata="site", weight="w", freq="n")
    assert rows.time.tolist() == [5, 3, 3, 9, 1]
    assert rows.event.tolist() == [1, 0, 1, 0, 1]
    assert rows.group.tolist() == [1, 0, 1, 0, 1]
    assert rows.groups["site"].tolist() == rows.strata["site"].tolist() == ["a", "b"]
    assert rows.weight.tolist() == FIVE["w"].tolist()
    assert rows.freq.tolist() == FIVE["n"].tolist()


def test_every_engine_gives_the_same_rows(engine):
    data = engine.make(FIVE, shuffle=False)
    rows = open_rows(data, entry="entry", by="site", cluster="site", more=["w"])
    assert rows.time.tolist() == [5, 3, 3, 9, 1]
    assert rows.entry.tolist() == [0, 1, 2, 0, 0]
    assert rows.cluster.tolist() == [1, 0, 1, 0, 1]
    assert rows.more["w"].tolist() == FIVE["w"].tolist()


def test_a_category_keeps_the_order_of_its_levels():
    dose = pd.Categorical(["high", "low", "high"], categories=["low", "middle", "high"])
    codes, groups = group_codes(pd.DataFrame({"dose": dose}), ["dose"])
    assert codes.tolist() == [1, 0, 1]
    assert groups["dose"].tolist() == ["low", "high"]


@pytest.mark.parametrize("kind", ["object", "string", "category"])
def test_a_cause_is_a_text_and_nothing_means_censored(kind):
    ends = pd.Series(["moved", None, "died", "censored", "moved"], dtype=kind)
    rows = open_rows(FIVE.assign(event=ends), causes=True)
    assert rows.causes == ("died", "moved")
    assert rows.event.tolist() == [2, 0, 1, 0, 2]


def test_a_cause_given_as_a_number_is_refused():
    with pytest.raises(
        DataError, match=r"event is int64, not text \(found 0, 1 and 2\); name the cause of each"
    ):
        open_rows(FIVE.assign(event=[1, 2, 0, 1, 0]), causes=True)


def test_yes_and_no_are_no_causes(engine):
    answers = engine.make(FIVE.assign(event=["yes", "no", "Yes", "no", "yes"]))
    with pytest.raises(DataError, match="event is yes or no, not the name of a cause; name the"):
        counts_by_group(answers, causes=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Censored", " censored"], r"' censored' and 'Censored'"),
        (["alive"], "'alive'"), (["No event"], "'No event'"), (["在"], "'在'"),
        (["None "], "'None '"),
        ([""], "empty text"), ([" "], "empty text"), (["0", "1", "2"], "numbers as text"),
        (["10234"], "numbers as text"), (["", "active", "7"], "'active', empty text and numbers"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["died", "0x"])
def test_what_names_no_cause_is_refused_wherever_causes_are_counted(engine, words, told, name):
    data = FIVE.assign(event=(words + [name] * 5)[:5])
    with pytest.raises(DataError, match=f'event holds {told}.*missing value or "censored"'):
        counts_by_group(engine.make(data), causes=True)
    with pytest.raises(DataError, match=f"event holds {told}"):
        open_rows(data.assign(event=data["event"].astype("category")), causes=True)


def test_true_and_false_may_come_as_objects():
    mixed = FIVE.assign(event=pd.Series([True, False, True, False, True], dtype=object))
    assert open_rows(mixed).event.tolist() == [1, 0, 1, 0, 1]


def test_rows_of_a_group_come_in_their_order():
    codes = np.array([2, 0, 2, 1])
    assert [where.tolist() for where in rows_by_group(codes, 3)] == [[1], [3], [0, 2]]
    assert list(rows_by_group(np.zeros(4), 1)) == [slice(None)]


BROKEN = {
    "event is neither 0 nor 1 in 1 of 5 rows": {"event": [1, 2, 0, 1, 0]},
    "event is missing in 1 of 5 rows": {"event": [1, None, 0, 1, 0]},
    "event is object, not true or false": {"event": list("ynyny")},
    "time is missing in 2 of 5 rows": {"time": [1.0, None, None, 4.0, 5.0]},
    "time is not a whole number in 1 of 5 rows": {"time": [1.5, 4, 4, 4, 5]},
    "time is negative in 1 of 5 rows": {"time": [-1, 4, 4, 4, 5]},
    "time is bool, not a whole number": {"time": [True] * 5},
    "entry is not before time in 2 of 5 rows": {"entry": [5, 0, 0, 9, 0]},
    "w is not above 0 in 2 of 5 rows": {"w": [1, 0, -1, 1, 1]},
    "w is missing in 1 of 5 rows": {"w": [1, None, 1, 1, 1]},
    "w is object, not a number": {"w": list("abcde")},
    "n is not a whole number from 1 in 3 of 5 rows": {"n": [0, 1.5, -1, 1, 1]},
    "site is missing in 1 of 5 rows": {"site": ["a", None, "b", "a", "b"]},
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_cannot_be_used_is_refused(message):
    with pytest.raises(DataError, match=message):
        open_rows(FIVE.assign(**BROKEN[message]), entry="entry", by="site", weight="w", freq="n")


def test_an_event_of_other_codes_is_refused_with_what_was_found(engine):
    as_in_r = pd.DataFrame({"time": [3, 5, 4], "event": [1, 2, 2]})
    told = "event is neither 0 nor 1 in 2 of 3 rows; found 1 and 2; if 2 is the event"
    for estimate in (kaplan_meier, logrank_of_arm, concordance_of_time, split_at_2):
        with pytest.raises(DataError, match=told):
            estimate(engine.make(as_in_r))


def test_an_event_of_yes_and_no_is_refused_with_what_was_found(engine):
    data = pd.DataFrame({"time": [3, 5, 4], "event": ["No", "Yes", "Yes"]})
    for estimate in (kaplan_meier, logrank_of_arm, concordance_of_time):
        with pytest.raises(DataError, match="not true or false; found 'No' and 'Yes'; give event"):
            estimate(engine.make(data))


def test_an_event_that_may_be_an_identifier_is_not_repeated(engine):
    for values in ([7003, 7004, 1], ["li", "wu", "yes"], [0.25, 1, 0]):
        data = pd.DataFrame({"time": [3, 5, 4], "event": values})
        for estimate in (kaplan_meier, concordance_of_time):
            with pytest.raises(DataError, match=r"else as 0$") as refusal:
                estimate(engine.make(data))
            assert not any(word in str(refusal.value) for word in ("700", "li", "wu", "0.25"))


def logrank_of_arm(data):
    frame = nw.from_native(data)
    return logrank_test(frame.with_columns(arm=nw.col("time") > 3).to_native(), by="arm")


def concordance_of_time(data):
    return concordance(data, risk="time")


def split_at_2(data):
    return split_at_times(data, times=[2])


def test_all_faults_come_at_once():
    broken = FIVE.assign(time=[-1, 2, 3, 4, 5], event=[3, 0, 1, 0, 1], w=0)
    with pytest.raises(DataError) as refusal:
        open_rows(broken, weight="w", by="site")
    assert [fault.column for fault in refusal.value.faults] == ["time", "event", "w"]


def test_a_missing_column_is_named_with_the_nearest():
    with pytest.raises(DataError, match="column tme is missing; did you mean time"):
        open_rows(FIVE, time="tme")


def test_no_rows_is_a_fault():
    with pytest.raises(DataError, match="the table has no rows"):
        open_rows(FIVE.head(0))
