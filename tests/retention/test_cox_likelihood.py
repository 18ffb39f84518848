from __future__ import annotations

import numpy as np
import pytest

from loyalty_research.retention.cox_likelihood import (
    climb,
    evaluate,
    maximise,
    place_rows,
    prepare,
    robust_variance,
    score_residuals,
)

# Forty rows with heavy ties, entries at the times of events, three strata, by whole numbers.
ROW = np.arange(40)
TIME = 1 + (ROW * ROW * 7 + ROW) % 7
EVENT = (ROW * 11 + ROW // 7) % 3 > 0
ENTRY = np.minimum(ROW % 4, TIME - 1)
STRATUM = (ROW * 5 + ROW // 9) % 3
WEIGHT = 1 + (ROW % 4) / 2
FREQ = 1 + ROW % 3
OFFSET = (ROW * 3 % 5) / 10
X = np.column_stack([(ROW * 5 + ROW // 4) % 9, (ROW * ROW * 3 + ROW // 5) % 7]).astype(float)

KINDS = [
    {},
    {"entry": ENTRY},
    {"entry": ENTRY, "stratum": STRATUM},
    {"weight": WEIGHT, "offset": OFFSET},
    {"freq": FREQ},
    {"entry": ENTRY, "stratum": STRATUM, "weight": WEIGHT, "freq": FREQ, "offset": OFFSET},
]


def by_definition(at, ties, entry=None, stratum=None, weight=None, freq=None, offset=None) -> float:
    """The log-likelihood with one loop over the event times and one over those who leave."""
    entry = np.full(40, -1) if entry is None else entry
    stratum = np.zeros(40) if stratum is None else stratum
    weight = np.ones(40) if weight is None else weight
    freq = np.ones(40, int) if freq is None else freq
    predictor = X @ at + (0 if offset is None else offset)
    risk, total = weight * freq * np.exp(predictor), 0.0
    for layer in np.unique(stratum):
        for t in np.unique(TIME[EVENT & (stratum == layer)]):
            here = stratum == layer
            at_risk = here & (entry < t) & (t <= TIME)
            leave = here & EVENT & (t == TIME)
            d = freq[leave].sum()
            mean = (weight * freq)[leave].sum() / d
            total += ((weight * freq * predictor)[leave]).sum()
            for k in range(d):
                gone = k / d * risk[leave].sum() if ties == "efron" else 0
                total -= mean * np.log(risk[at_risk].sum() - gone)
    return total


def rows(ties="efron", **settings):
    return prepare(X, time=TIME, event=EVENT, ties=ties, **settings)


AT = np.array([0.2, -0.1])


def test_rows_are_at_risk_after_their_entry_until_their_time():
    axis = place_rows(
        np.array([2, 5, 4, 6]), np.array([True, True, True, False]), np.array([0, 2, 0, 1]), None
    )
    # Event times 2, 4, 5: the second row enters at 2 and is at risk at the second and third.
    assert axis.time.tolist() == [2, 4, 5]
    assert axis.first.tolist() == [0, 1, 0, 0]
    assert axis.last.tolist() == [1, 3, 2, 3]
    assert axis.own.tolist() == [0, 1, 2]


def test_without_entries_an_event_at_time_zero_has_all_at_risk():
    axis = place_rows(np.array([0, 3]), np.array([True, True]), None, None)
    assert axis.first.tolist() == [0, 0]


def test_strata_are_stretches_of_one_axis():
    axis = place_rows(
        np.array([3, 3, 1, 0]), np.array([True, True, True, False]), None, np.array([1, 0, 1, 0])
    )
    assert axis.stratum.tolist() == [0, 1, 1]
    assert axis.time.tolist() == [3, 1, 3]
    assert axis.first.tolist() == [1, 0, 1, 0]
    assert axis.last.tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("settings", KINDS)
def test_the_log_likelihood_is_that_of_the_definition(settings, ties):
    # Centring moves both parts by the same; a closed form, so equal but for rounding.
    value, _, _ = evaluate(rows(ties, **settings), AT)
    assert value == pytest.approx(by_definition(AT, ties, **settings), rel=1e-10)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("settings", KINDS)
def test_score_and_information_are_the_derivatives_of_the_log_likelihood(settings, ties):
    kept, h = rows(ties, **settings), 1e-5
    _, score, information = evaluate(kept, AT)
    for j, step in enumerate(np.eye(2) * h):
        up, down = evaluate(kept, AT + step), evaluate(kept, AT - step)
        # Central differences: right to h squared.
        assert (up[0] - down[0]) / (2 * h) == pytest.approx(score[j], rel=1e-6, abs=1e-6)
        slope = (down[1] - up[1]) / (2 * h)
        assert slope.tolist() == pytest.approx(information[j].tolist(), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("settings", KINDS)
def test_score_residuals_times_their_weights_add_up_to_the_score(settings, ties):
    kept = rows(ties, **settings)
    _, score, _ = evaluate(kept, AT)
    total = kept.size @ score_residuals(kept, AT)
    assert total.tolist() == pytest.approx(score.tolist(), rel=1e-9)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("settings", KINDS)
def test_the_score_is_zero_at_the_maximum(settings, ties):
    kept = rows(ties, **settings)
    fit = maximise(kept)
    _, score, information = evaluate(kept, fit.coefficients)
    assert fit.converged
    assert not fit.running.any()
    assert np.abs(score).max() < 1e-7
    np.testing.assert_allclose(fit.information, information, rtol=1e-6)


def test_without_ties_all_kinds_of_ties_are_one():
    time = 1 + (ROW * 37) % 41
    efron, breslow = (
        maximise(prepare(X, time=time, event=EVENT, ties=ties)) for ties in ("efron", "breslow")
    )
    np.testing.assert_allclose(efron.coefficients, breslow.coefficients, rtol=1e-12)


def test_the_influence_of_a_row_is_what_leaving_it_out_changes_nearly():
    # The infinitesimal jackknife: the change of the estimate with a row's weight.
    base, h = np.ones(40), 1e-4
    fit = maximise(rows(weight=base))
    influence = score_residuals(rows(weight=base), fit.coefficients) @ np.linalg.inv(
        fit.information
    )
    # A row with no event: under Efron's ties the weights of events share a mean by convention.
    row = int(np.flatnonzero(~EVENT)[3])
    up, down = (
        maximise(rows(weight=base + sign * h * (row == ROW))).coefficients for sign in (1, -1)
    )
    assert ((up - down) / (2 * h)).tolist() == pytest.approx(influence[row].tolist(), rel=1e-5)


def test_clusters_of_one_row_are_no_clusters():
    kept = rows(weight=WEIGHT)
    fit = maximise(kept)
    alone = robust_variance(kept, fit, None)[1]
    np.testing.assert_allclose(robust_variance(kept, fit, ROW)[1], alone, rtol=1e-10)
    # Which number a cluster has does not matter.
    np.testing.assert_allclose(robust_variance(kept, fit, ROW[::-1])[1], alone, rtol=1e-10)


def test_the_climb_halves_a_step_that_goes_too_far():
    # From 0 Newton's step on sqrt(1 + (b - 3)^2) is 30, and the next would be farther still.
    def well(b):
        u = b[0] - 3
        root = np.sqrt(1 + u**2)
        return -root, np.array([-u / root]), np.array([[1 / root**3]])

    fit = climb(well, 1, np.ones(1))
    assert fit.converged
    assert fit.coefficients[0] == pytest.approx(3, abs=1e-8)


def test_a_slope_without_end_has_no_maximum():
    def slope(b):
        r = np.exp(-b[0])
        return -np.log1p(r), np.array([r / (1 + r)]), np.array([[r / (1 + r) ** 2]])

    fit = climb(slope, 1, np.ones(1))
    assert not fit.converged
    assert fit.running.tolist() == [True]


def test_a_function_that_is_no_number_a_step_away_is_no_maximum():
    def edge(b):
        value = -np.inf if b[0] > 0 else 0.0
        return value, np.array([1.0 if b[0] <= 0 else 0.0]), np.eye(1)

    fit = climb(edge, 1, np.ones(1))
    assert not fit.converged
    assert fit.running.tolist() == [True]
