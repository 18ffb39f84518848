from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from loyalty_research.errors import UsageError
from loyalty_research.retention import exact_ties
from loyalty_research.retention.cox_likelihood import maximise, prepare
from loyalty_research.retention.exact_ties import maximise_exact

ROW = np.arange(16)
TIME = 1 + (ROW * 7) % 4
EVENT = ROW % 3 != 1
ENTRY = np.where(ROW % 2 == 1, np.minimum(1, TIME - 1), 0)
OFFSET = (ROW % 5) / 10
X = np.column_stack([(ROW * 5) % 7, (ROW * ROW) % 5]).astype(float)


def by_definition(at, entry, offset) -> float:
    """The log-likelihood from all choices of so many of those at risk."""
    risk, total = np.exp(X @ at + offset), 0.0
    for t in np.unique(TIME[EVENT]):
        at_risk = np.flatnonzero((entry < t) & (t <= TIME))
        leave = np.flatnonzero(EVENT & (t == TIME))
        choices = sum(risk[list(some)].prod() for some in combinations(at_risk, len(leave)))
        total += np.log(risk[leave].prod() / choices)
    return float(total)


@pytest.mark.parametrize("settings", [{}, {"entry": ENTRY}, {"entry": ENTRY, "offset": OFFSET}])
def test_the_maximum_is_that_of_the_sum_over_all_choices(settings):
    fit = maximise_exact(prepare(X, time=TIME, event=EVENT, **settings))
    entry, offset = settings.get("entry", np.full(16, -1)), settings.get("offset", np.zeros(16))

    def value(at):
        return by_definition(at, entry, offset)

    at, h = fit.coefficients, 1e-4
    assert fit.converged
    assert fit.log_likelihood[1] == pytest.approx(value(at), rel=1e-10)
    assert fit.log_likelihood[0] == pytest.approx(value(np.zeros(2)), rel=1e-10)
    for j, step in enumerate(np.eye(2) * h):
        # Flat at the maximum, and bent there as the information says: differences, right to h^2.
        assert (value(at + step) - value(at - step)) / (2 * h) == pytest.approx(0, abs=1e-6)
        bend = (2 * value(at) - value(at + step) - value(at - step)) / h**2
        assert bend == pytest.approx(fit.information[j, j], rel=1e-4)


def test_without_ties_exact_is_breslow():
    time = 1 + (ROW * 5) % 17
    rows = prepare(X, time=time, event=EVENT, ties="breslow")
    one, other = maximise_exact(rows), maximise(rows)
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-8)
    np.testing.assert_allclose(one.information, other.information, rtol=1e-8)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-10)
    assert one.score == pytest.approx(other.score, rel=1e-10)


def test_a_day_on_which_all_leave_says_nothing():
    # There is one choice of all of them.
    more = np.concatenate([TIME, [9, 9]])
    x = np.vstack([X, [[3.0, 1.0], [0.0, 2.0]]])
    event = np.concatenate([EVENT, [True, True]])
    entry = np.concatenate([np.zeros(16, int), [8, 8]])
    one = maximise_exact(prepare(x, time=more, event=event, entry=entry))
    other = maximise_exact(prepare(X, time=TIME, event=EVENT))
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-8)


def test_so_many_ties_that_it_would_take_too_long_are_refused(monkeypatch):
    monkeypatch.setattr(exact_ties, "MOST_WORK", 100)
    with pytest.raises(UsageError, match="ties='exact' would take too long for so many ties"):
        maximise_exact(prepare(X, time=TIME, event=EVENT))


def test_so_many_choices_that_no_number_holds_them_are_refused():
    event = np.arange(2000) % 2 == 0
    x = (np.arange(2000) * 37 % 101)[:, None].astype(float)
    with pytest.raises(UsageError, match="for so many ties; choose 'efron'"):
        maximise_exact(prepare(x, time=np.where(event, 1, 2), event=event))


def test_many_ties_of_extreme_risks_stay_finite():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 1)) * 5
    chance = 1 / (1 + np.exp(-x[:, 0]))
    event = rng.random(600) < chance
    # All who leave do so on day 1: the conditional logistic likelihood of one stratum.
    rows = prepare(x, time=np.where(event, 1, 2), event=event)
    fit = maximise_exact(rows)
    error = float(np.linalg.inv(fit.information)[0, 0]) ** 0.5
    assert abs(fit.coefficients[0] - 1) < 4 * error
    assert error < 0.2
