from __future__ import annotations

import duckdb
import narwhals.stable.v2 as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from loyalty_research.data.lending import (
    ROW,
    collect,
    column_names,
    distinct,
    give_back,
    give_new,
    hold,
    lend,
)
from loyalty_research.errors import DataError, UsageError

TABLE = pd.DataFrame(
    {
        "patient_id": pd.Categorical(["b", "a", "c"]),
        "at": pd.to_datetime(["2024-01-01 00:30"] * 3).tz_localize("Asia/Shanghai"),
        "note": ["x", None, "z"],
        "n": pd.array([1, None, 3], dtype="Int64"),
    },
    index=[30, 10, 20],
)


def test_only_the_named_columns_leave_a_frame_in_memory():
    lent = lend({"t": TABLE}, columns={"t": ["n"]})["t"]
    assert lent.collect_schema().names() == ["n", ROW]


def test_a_lazy_frame_stays_where_it_is():
    relation = duckdb.connect().sql("SELECT 1 AS n")
    assert lend({"t": relation})["t"].to_native() is relation


def test_all_that_comes_back_is_as_it_went_but_for_what_is_new():
    lent = lend({"t": TABLE})["t"].filter(nw.col("patient_id") != "a")
    back = give_back(lent.with_columns(nw.col("n") * 2), like=TABLE, new=["n"])
    expected = TABLE.loc[[30, 20]].drop(columns="n").assign(n=[2, 6])
    pd.testing.assert_frame_equal(back, expected)


@pytest.mark.parametrize("kind", [pl.from_pandas, pa.Table.from_pandas], ids=["polars", "arrow"])
def test_rows_come_back_in_their_order(kind):
    native = kind(TABLE.reset_index(drop=True).drop(columns="at"))
    lent = lend({"t": native})["t"].sort("n", descending=True)
    back = give_back(lent.with_columns(twice=nw.col("n") * 2), like=native, new=["twice"])
    assert column_names(back) == ["patient_id", "note", "n", "twice"]
    assert nw.from_native(back)["twice"].to_list() == [2, None, 6]


def test_a_new_table_keeps_the_type_of_its_key():
    lent = lend({"t": TABLE})["t"]
    new = give_new(lent.select("patient_id", m=nw.col("n")), like=TABLE, key="patient_id")
    assert new["patient_id"].dtype == TABLE["patient_id"].dtype
    assert new["patient_id"].tolist() == ["a", "b", "c"]


def test_the_clinics_wall_clock_is_kept_not_greenwich():
    lent = lend({"t": TABLE}, columns={"t": ["at"]})["t"]
    assert str(collect(lent).column("at")[0].as_py()) == "2024-01-01 00:30:00"


@pytest.mark.parametrize("host", ["duckdb", "polars"])
def test_frames_in_memory_join_those_of_another_engine(host):
    ids = pa.table({"patient_id": ["a", "b"]})
    hosts = {
        "duckdb": lambda: duckdb.connect().from_arrow(ids),
        "polars": lambda: pl.from_arrow(ids).lazy(),
    }
    lent = lend({"here": hosts[host](), "there": TABLE}, columns={"there": ["patient_id", "note"]})
    joined = lent["there"].join(lent["here"], on="patient_id", how="inner")
    assert sorted(collect(joined).column("patient_id").to_pylist()) == ["a", "b"]


def test_a_lent_table_hides_no_table_of_the_user():
    connection = duckdb.connect()
    connection.execute("CREATE TABLE there AS SELECT 'a' AS patient_id")
    lent = lend({"here": connection.table("there"), "there": TABLE}, columns={"there": ["n"]})
    assert collect(lent["here"]).num_rows == 1
    assert connection.sql("SHOW TABLES").fetchall() == [("there",)]


def test_lazy_frames_of_two_engines_are_refused():
    lazy = {"visits": duckdb.connect().sql("SELECT 1"), "cohort": pl.LazyFrame({"a": [1]})}
    with pytest.raises(UsageError, match="visits, cohort live in different engines"):
        lend(lazy)


def test_what_is_no_table_is_refused_by_its_type():
    with pytest.raises(UsageError, match=r"visits must be a table .* not dict"):
        lend({"visits": {}})


def test_values_of_more_than_one_type_are_refused_without_quoting_them():
    mixed = pd.DataFrame({"patient_id": ["a", 1], "note": [1, "secret"]})
    with pytest.raises(DataError) as refused:
        lend({"t": mixed}, columns={"t": ["patient_id", "note"]})
    assert [fault.column for fault in refused.value.faults] == ["patient_id", "note"]
    assert "secret" not in str(refused.value)
    assert lend({"t": mixed})["t"].collect_schema().names() == [ROW]


def test_what_is_held_is_not_computed_again():
    drawn = duckdb.connect().sql("SELECT random() AS n, DATE '2024-01-01' AS day")
    assert drawn.filter("true").fetchall() != drawn.filter("true").fetchall()
    held = hold(nw.from_native(drawn))
    assert collect(held).equals(collect(held))
    assert held.collect_schema()["day"] == nw.Date


def test_types_that_would_not_survive_are_not_held():
    relation = duckdb.connect().sql("SELECT uuid() AS patient_id")
    lazy = nw.from_native(relation)
    assert hold(lazy) is lazy


def test_distinct_rows_are_those_that_differ(engine):
    table = pd.DataFrame({"patient_id": ["a", "a", "b", None, None], "n": [1, 1, 1, 2, 2]})
    rows = collect(distinct(lend({"t": engine.make(table)})["t"], "patient_id", "n")).to_pylist()
    assert sorted((str(row["patient_id"]), row["n"]) for row in rows) == [
        *[("None", 2), ("a", 1), ("b", 1)]
    ]
