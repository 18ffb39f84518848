from __future__ import annotations

import math

import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from loyalty_research.effects.proportions import (
    koopman_interval,
    log_ratio_error,
    newcombe_interval,
    number_needed,
    pearson_p_value,
    wilson_interval,
)

# Newcombe, Stat Med 1998;17:873, table II, method 10: the eight contrasts of that paper.
NEWCOMBE = [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
    ((0, 10), (0, 20), -0.1611, 0.2775),
    ((0, 10), (0, 10), -0.2775, 0.2775),
    ((10, 10), (0, 20), 0.6791, 1.0000),
    ((10, 10), (0, 10), 0.6075, 1.0000),
]


@pytest.mark.parametrize(("one", "zero", "low", "high"), NEWCOMBE)
def test_newcombes_published_intervals(one, zero, low, high):
    found = newcombe_interval((zero[0], one[0]), (zero[1], one[1]))
    assert found == pytest.approx((low, high), abs=6e-5)


def test_wilsons_interval_by_hand():
    # 1 of 4, z = 1.959964, z2 = 3.841459: middle .25 + .480182 = .730182,
    # half 1.959964 sqrt(.1875 / 4 + 3.841459 / 64) = .640821, total 1 + .960365.
    low, high = wilson_interval(1, 4)
    assert low == pytest.approx((0.730182 - 0.640821) / 1.960365, abs=1e-5)
    assert high == pytest.approx((0.730182 + 0.640821) / 1.960365, abs=1e-5)


def test_the_score_interval_never_leaves_the_unit_interval():
    assert wilson_interval(0, 7)[0] == 0
    assert wilson_interval(7, 7)[1] == 1


def test_koopmans_published_interval():
    # Koopman, Biometrics 1984;40:513: 36 of 40 against 16 of 80, 2.94 to 7.15.
    assert koopman_interval((16, 36), (80, 40)) == pytest.approx((2.94, 7.15), abs=5e-3)


@pytest.mark.parametrize(
    ("events", "n"), [((16, 36), (80, 40)), ((5, 0), (50, 50)), ((19, 29), (20, 30))]
)
def test_the_ratios_score_interval_as_in_statsmodels(events, n):
    expected = confint_proportions_2indep(
        events[1], n[1], events[0], n[0], compare="ratio", method="score", correction=False
    )
    assert koopman_interval(events, n) == pytest.approx(tuple(expected), rel=1e-6)


def test_a_ratio_turned_over_turns_its_interval_over():
    low, high = koopman_interval((3, 9), (20, 31))
    turned = koopman_interval((9, 3), (31, 20))
    assert (1 / high, 1 / low) == pytest.approx(turned, rel=1e-9)
    assert koopman_interval((0, 4), (20, 20))[1] == math.inf
    assert koopman_interval((0, 0), (20, 20)) == (0, math.inf)


def test_pearsons_p_value_and_the_error_of_a_log_ratio_by_hand():
    # Pooled 3 of 8: gap .25, variance .375 * .625 * .5 = .1171875, z = .730297; 2 sf = .46521.
    assert pearson_p_value((1, 2), (4, 4)) == pytest.approx(0.46521, abs=1e-5)
    assert pearson_p_value((0, 0), (4, 4)) == 1
    assert log_ratio_error((1, 2), (4, 4)) == pytest.approx((1 - 1 / 4 + 1 / 2 - 1 / 4) ** 0.5)
    assert math.isnan(log_ratio_error((0, 2), (4, 4)))


def test_a_number_needed_is_rounded_up_in_words_only():
    found = number_needed(-0.3, -0.4, -0.15, better="lower")
    assert found["words"] == "NNTB 4 (3 to 7)"
    assert (found["estimate"], found["conf_low"], found["conf_high"]) == pytest.approx(
        (1 / 0.3, 2.5, 1 / 0.15)
    )
    assert found["scale"] == "patients, NNTB"


@pytest.mark.parametrize(
    ("better", "words"),
    [
        ("higher", "NNTH 10 (NNTH 4 to infinity to NNTB 20)"),
        ("lower", "NNTB 10 (NNTB 4 to infinity to NNTH 20)"),
        ("", "10 for one fewer (4 for one fewer to infinity to 20 for one more)"),
    ],
)
def test_an_interval_through_infinity_is_told_in_words_and_has_no_limits(better, words):
    # Altman, BMJ 1998;317:1309: a difference of -10 % (-25 % to 5 %).
    found = number_needed(-0.1, -0.25, 0.05, better=better)
    assert found["words"] == words
    assert math.isnan(found["conf_low"])
    assert math.isnan(found["conf_high"])
    assert "to infinity to" in found["scale"]


def test_no_difference_needs_infinitely_many():
    assert number_needed(0.0, -0.1, 0.1, better="higher")["estimate"] == math.inf
    without = number_needed(0.2, math.nan, math.nan, better="higher")
    assert without["words"] == "NNTB 5 (no interval)"
