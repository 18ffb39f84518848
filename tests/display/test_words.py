"""A number reads the same in a table, a sentence and a figure."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from loyalty_research.display.words import (
    format_count,
    format_interval,
    format_level,
    format_number,
    format_p,
    format_percent,
    format_share,
    format_value,
    is_missing,
    plural,
)


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT])
def test_every_kind_of_nothing_is_an_en_dash(nothing):
    assert is_missing(nothing)
    words = [format_count(nothing), format_percent(nothing), format_number(nothing)]
    assert {*words, format_p(nothing), format_value(nothing)} == {"–"}


def test_thousands_are_separated():
    assert format_count(1_234_567) == "1,234,567"
    assert format_number(1234.56) == "1,234.6"


def test_a_weighted_count_keeps_its_decimal():
    assert format_count(2.4) == "2.4"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (0.0004, "<0.1 %"),
        (0.9996, ">99.9 %"),
        (0.5521, "55.2 %"),
        (0.0006, "0.1 %"),
    ],
)
def test_a_percentage_never_rounds_to_a_false_0_or_100(share, text):
    assert format_percent(share) == text


def test_whole_percentages_have_no_decimal():
    assert format_percent(0.552, digits=0) == "55 %"
    assert format_percent(0.997, digits=0) == ">99 %"


def test_a_count_stands_with_its_share():
    # 1,204 / 8,000 = 15.05 %
    assert format_share(1204, 8000) == "1,204 (15.0 %)"


def test_a_share_of_nobody_is_left_out():
    assert format_share(0, 0) == "0"
    assert format_share(3, None) == "3"


def test_an_interval_is_written_in_words():
    assert format_interval(0.552, 0.54, 0.564) == "55.2 % (54.0 to 56.4)"
    assert format_interval(-1.25, -2.5, 0.0, percent=False) == "−1.2 (−2.5 to 0.0)"


def test_an_interval_without_limits_says_so():
    assert format_interval(1.0, np.nan, np.nan) == "100.0 % (no interval)"
    assert format_interval(0.9, 0.8, np.nan) == "90.0 % (80.0 to –)"
    assert format_interval(np.nan, 0.8, 0.9) == "–"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "<0.001"), (1e-12, "<0.001"), (0.0499, "0.050"), (1.0, ">0.999")]
)
def test_a_p_value_is_never_0_and_never_1(p, text):
    assert format_p(p) == text


def test_a_level_has_no_idle_decimals():
    assert [format_level(v) for v in (0.95, 0.9, 0.999)] == ["95 %", "90 %", "99.9 %"]


def test_a_negative_zero_is_zero():
    assert format_number(-0.04) == "0.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (np.False_, "no"),
        (12, "12"),
        (12.0, "12"),
        (-3, "−3"),
        (0.000123456, "0.000123"),
        (123.456, "123"),
        (np.inf, "∞"),
        (-np.inf, "−∞"),
        (dt.date(2024, 3, 1), "2024-03-01"),
        (pd.Timestamp("2024-03-01"), "2024-03-01"),
        (pd.Timestamp("2024-03-01 08:30"), "2024-03-01T08:30:00"),
        ("<b>", "<b>"),
    ],
)
def test_a_cell_is_worded_by_its_kind(value, text):
    assert format_value(value) == text


def test_one_is_singular_and_everything_else_plural():
    assert plural(1, "patient") == "1 patient"
    assert plural(0, "patient") == "0 patients"
    assert plural(2, "study", "studies") == "2 studies"


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.05, "0.05"), (0.8, "0.8"), (0.0007, "0.0007"), (0.9996, "1.000"), (12.02, "12.0"),
     (-0.25, "−0.25"), (1234.5, "1,234"), (0.12345, "0.123")],
)  # fmt: skip
def test_a_plain_number_has_three_figures_and_no_idle_zeros(value, told):
    assert format_value(value) == told
