"""Logistic regression climbs to its maximum, or says which column has none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from loyalty_research.effects.logit import fit_logit
from loyalty_research.retention.design_matrix import SeparationError

WORDS = {"separates": "joiners from others", "repair": "leave it out"}


def test_two_groups_have_the_log_odds_of_their_shares():
    # 1 of 4 and 3 of 4: log odds -log 3 and log 3, so that the slope is 2 log 3.
    x = np.column_stack([np.ones(8), np.repeat([0.0, 1.0], 4)])
    y = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    fit = fit_logit(x, y, terms=["", "old"], **WORDS)
    assert fit.beta == pytest.approx([-np.log(3), 2 * np.log(3)], abs=1e-12)
    assert fit.fitted == pytest.approx(np.repeat([0.25, 0.75], 4), abs=1e-12)
    # The information of a group of 4 is 4 p (1 - p) = 3/4: variances 4/3 and 8/3.
    assert np.diag(fit.bread) == pytest.approx([4 / 3, 8 / 3], rel=1e-10)


def test_weights_count_rows_and_an_offset_is_added():
    x = np.ones((3, 1))
    fit = fit_logit(x, np.array([1, 0, 0]), terms=[""], weight=np.array([6.0, 1.0, 1.0]), **WORDS)
    assert fit.fitted[0] == pytest.approx(0.75, abs=1e-12)
    moved = fit_logit(x, np.array([1, 0, 0]), terms=[""], offset=np.full(3, 5.0), **WORDS)
    assert moved.beta == pytest.approx([np.log(1 / 2) - 5], abs=1e-10)


def test_the_score_is_nil_at_the_maximum_even_far_from_the_start():
    random = np.random.default_rng(3)
    x = np.column_stack([np.ones(5000), random.normal(size=(5000, 3))])
    y = (random.random(5000) < expit(x @ np.array([-6.0, 4.0, -3.0, 2.0]))).astype(float)
    fit = fit_logit(x, y, terms=["", "a", "b", "c"], **WORDS)
    assert np.abs(x.T @ (y - fit.fitted)).max() < 1e-9


@pytest.mark.parametrize("n", [20, 2000])
def test_a_column_that_separates_is_named_and_no_other(n):
    random = np.random.default_rng(n)
    y = np.arange(n) % 2
    # Everyone with the mark joined: its coefficient runs away, the other's does not.
    mark = ((random.random(n) < 0.3) & (y == 1)).astype(float)
    x = np.column_stack([np.ones(n), random.normal(size=n), mark])
    words = "mark separates joiners from others, so that no estimate is finite; leave it out"
    with pytest.raises(SeparationError, match=words) as caught:
        fit_logit(x, y, terms=["", "age", "mark"], **WORDS)
    assert [fault.column for fault in caught.value.faults] == ["mark"]


def test_columns_that_separate_together_are_named_together():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, 300))
    y = (a + b > 0).astype(int)
    with pytest.raises(SeparationError, match="2 faults") as caught:
        fit_logit(np.column_stack([np.ones(300), a, b]), y, terms=["", "a", "b"], **WORDS)
    assert [fault.column for fault in caught.value.faults] == ["a", "b"]
