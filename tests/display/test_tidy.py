"""Tables of any kind are read alike, and what they lack is said at once."""

import duckdb
import pandas as pd
import polars as pl
import pytest

from loyalty_research.display.tidy import (
    as_list,
    as_pandas,
    column_label,
    group_label,
    require_audience,
    require_columns,
    split_groups,
)
from loyalty_research.errors import UsageError

TABLE = pd.DataFrame({"site": ["B", None, "A"], "n": [1, 2, 3]})


@pytest.mark.parametrize(
    "convert",
    [
        lambda table: table,
        pl.from_pandas,
        lambda table: pl.from_pandas(table).lazy(),
        lambda table: pl.from_pandas(table).to_arrow(),
        lambda table: duckdb.connect().from_df(table),
    ],
    ids=["pandas", "polars", "lazy", "arrow", "duckdb"],
)
def test_every_kind_of_frame_becomes_the_same_pandas(convert):
    assert as_pandas(convert(TABLE))["n"].tolist() == [1, 2, 3]


def test_the_argument_is_not_changed():
    table = TABLE.copy()
    changed = as_pandas(table)
    changed["n"] += 1
    pd.testing.assert_frame_equal(table, TABLE)


def test_what_is_no_table_is_refused():
    with pytest.raises(UsageError, match="expected a table, got list"):
        as_pandas([1, 2])


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(UsageError, match="named twice: n; rename"):
        as_pandas(pd.DataFrame([[1, 2]], columns=["n", "n"]))


def test_all_missing_columns_are_named_at_once():
    with pytest.raises(UsageError, match="the curve lacks the columns time, estimate; pass"):
        require_columns(TABLE, ["time", "n", "estimate"], what="the curve")


def test_an_unknown_audience_is_refused():
    with pytest.raises(UsageError, match="one of internal, publish"):
        require_audience("public")


def test_groups_come_in_the_order_of_the_table_with_names_for_readers():
    groups = [(name, rows["n"].tolist()) for name, rows in split_groups(TABLE, "site")]
    assert groups == [("B", [1]), ("not recorded", [2]), ("A", [3])]


def test_without_groups_everything_is_one_part_without_a_name():
    [(name, rows)] = split_groups(TABLE, None)
    assert (name, len(rows)) == ("", 3)


def test_a_year_is_a_name_without_thousands():
    assert group_label(2024) == "2024"
    assert group_label((2024, True)) == "2024, True"


def test_labels_replace_raw_values():
    assert group_label(1, labels={1: "In the programme"}) == "In the programme"
    assert column_label("n_at_risk", labels={"n_at_risk": "still seen"}) == "Still seen"


def test_a_count_is_named_by_what_it_counts():
    names = ["n", "n_patients", "n_visits_before", "p_value", "sbp"]
    assert [column_label(name) for name in names] == [
        "Number",
        "Patients",
        "Visits before",
        "P value",
        "Sbp",
    ]


def test_by_is_a_column_or_several():
    assert [as_list(v) for v in (None, "a", ("a", "b"))] == [[], ["a"], ["a", "b"]]


def test_columns_that_readers_meet_are_named_in_words():
    names = ["smd_unweighted", "smd_weighted", "is_clean", "n_clusters_t", "event_time"]
    assert [column_label(name) for name in names] == [
        "Difference before weighting (SD)",
        "Difference after weighting (SD)",
        "Clean comparison",
        "Clinics (few-clinics rule)",
        "Periods since the start",
    ]
