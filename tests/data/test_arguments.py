from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.arguments import (
    as_columns,
    check_choice,
    check_date,
    check_share,
    check_whole,
)
from loyalty_research.errors import UsageError


@pytest.mark.parametrize(
    "value",
    [
        "2024-02-29",
        dt.date(2024, 2, 29),
        dt.datetime(2024, 2, 29, 23, 59),
        pd.Timestamp("2024-02-29 12:00"),
        np.datetime64("2024-02-29"),
    ],
)
def test_a_day_may_be_given_in_any_of_the_usual_forms(value):
    assert check_date(value, name="data_cutoff") == dt.date(2024, 2, 29)


@pytest.mark.parametrize("value", [None, pd.NaT, 20240229, "29.2.2024", "2023-02-29", ""])
def test_what_is_no_day_is_refused(value):
    with pytest.raises(UsageError, match=r"data_cutoff=.* is not a day; give a date such as"):
        check_date(value, name="data_cutoff")


@pytest.mark.parametrize("value", [3, np.int64(3)])
def test_whole_numbers_of_any_kind_are_whole(value):
    assert check_whole(value, name="n", minimum=3) == 3


@pytest.mark.parametrize("value", [2, 3.0, True, "3", None, float("nan")])
def test_what_is_not_whole_or_too_small_is_refused(value):
    with pytest.raises(UsageError, match=r"n=.* must be a whole number, at least 3"):
        check_whole(value, name="n", minimum=3)


@pytest.mark.parametrize("value", [0, 1, -0.5, 95, "0.95", None, float("nan")])
def test_a_share_lies_between_zero_and_one(value):
    with pytest.raises(UsageError, match=r"conf_level=.* must be a number between 0 and 1"):
        check_share(value, name="conf_level")


def test_an_unknown_word_is_refused_with_the_nearest_or_all():
    with pytest.raises(UsageError, match="did you mean 'week'"):
        check_choice("weeks", ["week", "month"], name="period")
    with pytest.raises(UsageError, match="choose one of week, month"):
        check_choice(7, ["week", "month"], name="period")


def test_columns_are_a_list_whatever_was_given():
    assert as_columns("sex") == ["sex"]
    assert as_columns(("sex", "site")) == ["sex", "site"]
    assert as_columns(None) == []
