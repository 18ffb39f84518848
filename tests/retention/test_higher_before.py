"""Sums over the elements before that have a higher code, beside a comparison of every pair."""

import numpy as np
import pytest

from loyalty_research.retention import higher_before
from loyalty_research.retention.higher_before import sum_higher_before

WEIGHTS = {
    "one each": lambda rng, n: np.ones(n, np.int8),
    "0 or 1": lambda rng, n: rng.integers(0, 2, n),
    "true or false": lambda rng, n: rng.random(n) < 0.5,
    "any": lambda rng, n: rng.exponential(size=n),
    "none": lambda rng, n: np.zeros(n),
}


def slow(code, weight):
    is_before = np.tri(len(code), k=-1, dtype=bool)
    return ((code[None, :] > code[:, None]) & is_before) @ weight.astype(float)


def test_four_elements_by_hand():
    # Before the last 0 lie 2 and 1, which are higher, and a 0, which is not.
    assert sum_higher_before(np.array([2, 0, 1, 0]), np.array([1, 1, 1, 1])).tolist() == [
        0,
        1,
        1,
        2,
    ]


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("n", [1, 255, 256, 257, 1500])
@pytest.mark.parametrize("n_codes", [1, 3, 700, 40_000])
def test_every_pair_is_counted(weight, n, n_codes):
    rng = np.random.default_rng(n + n_codes)
    code, weights = rng.integers(0, n_codes, n), WEIGHTS[weight](rng, n)
    np.testing.assert_allclose(sum_higher_before(code, weights), slow(code, weights), rtol=1e-12)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("n_codes", [1, 3, 700])
def test_many_codes_are_counted_as_few_are(weight, n_codes, monkeypatch):
    rng = np.random.default_rng(n_codes)
    code, weights = rng.integers(0, n_codes, 1500), WEIGHTS[weight](rng, 1500)
    few = sum_higher_before(code, weights)
    monkeypatch.setattr(higher_before, "_FEW_CODES", 0)
    np.testing.assert_allclose(sum_higher_before(code, weights), few, rtol=1e-12)


def test_more_elements_than_are_compared_at_once():
    # Falling codes: every element before is higher.
    n = 256 * 256 + 1000
    falling = np.arange(n)[::-1] // 100
    expected = np.arange(n) - _own_before(falling)
    assert (sum_higher_before(falling, np.ones(n)) == expected).all()


def _own_before(code):
    """Return how many elements before have the same code, where codes come in runs."""
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    return np.arange(len(code)) - np.repeat(starts, np.diff(np.append(starts, len(code))))
