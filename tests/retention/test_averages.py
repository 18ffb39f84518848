"""Means and shares by group, as every summary of one row a patient makes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import ttest_1samp

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.averages import (
    mean_estimates,
    moments,
    open_rows_by_group,
    refuse_clashes,
    share_estimates,
)

DATA = pd.DataFrame(
    {"arm": ["x", "x", "x", "y", "y"], "score": [1.0, 2.0, 6.0, None, 4.0], "yes": [1, 0, 1, 0, 0]}
)


def moments_of(data, column="score", groups=("arm",)):
    rows = open_rows_by_group(data, groups=list(groups), columns=[column])
    return moments(rows, columns=[column], groups=list(groups), like=data)[column]


def test_counts_means_and_spreads_by_hand():
    table = moments_of(DATA)
    assert table["n_rows"].tolist() == [3, 2]
    assert table["n"].tolist() == [3, 1]
    assert table["mean"].tolist() == [3, 4]
    assert table["sd"].iloc[0] == pytest.approx(((4 + 1 + 9) / 2) ** 0.5)
    assert pd.isna(table["sd"].iloc[1])


def test_every_engine_gives_the_same_moments(engine):
    for column in ("score", "yes"):
        got = moments_of(engine.make(DATA), column)
        pd.testing.assert_frame_equal(got, moments_of(DATA, column), check_dtype=False)


def test_what_is_not_a_number_is_missing():
    data = pl.DataFrame({"score": [1.0, float("nan"), None, 3.0]})
    table = moments_of(data, groups=())
    assert table[["n_rows", "n", "mean"]].to_numpy().tolist() == [[4, 2, 2]]


def test_the_interval_of_a_mean_is_that_of_the_t_test():
    draws = np.random.default_rng(1).normal(5, 2, 40)
    counted = moments_of(pd.DataFrame({"score": draws}), groups=())
    row = mean_estimates(counted, groups=[], term="t", scale="s", conf_level=0.9).iloc[0]
    expected = ttest_1samp(draws, 0).confidence_interval(0.9)
    assert (row["conf_low"], row["conf_high"]) == pytest.approx(tuple(expected), rel=1e-10)


def test_a_share_of_a_million_is_counted_exactly():
    counted = pd.DataFrame({"n_rows": [3_000_000], "n": [3_000_000], "mean": [1 / 3], "sd": [0.5]})
    row = share_estimates(counted, groups=[], term="t", conf_level=0.95).iloc[0]
    assert row["n_events"] == 1_000_000


def test_a_grouping_column_named_twice_is_refused():
    with pytest.raises(UsageError, match="by names a column twice"):
        refuse_clashes(["sex", "sex"], [])


def test_text_and_missing_columns_are_refused():
    with pytest.raises(DataError, match="score is String, not a number"):
        moments_of(DATA.assign(score="x"))
    with pytest.raises(DataError, match="column arm is missing"):
        moments_of(DATA.drop(columns="arm"))
