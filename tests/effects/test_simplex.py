"""The nearest mixture of points."""

import numpy as np
import pytest
from scipy.optimize import minimize

from loyalty_research.effects.simplex import convex_weights


def test_a_target_between_two_points_is_their_mixture():
    points = np.array([[0.0, 10.0], [20.0, 0.0]])
    assert convex_weights(points, np.array([3.0, 14.0])) == pytest.approx([0.7, 0.3])


def test_a_target_beyond_a_corner_is_that_corner():
    points = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert convex_weights(points, np.array([5.0, -1.0])).tolist() == [0, 1, 0]


def test_a_target_off_an_edge_falls_on_its_foot_done_by_hand():
    # The edge from (0, 0) to (4, 2): the foot of (3, -1) is at t = (3 * 4 - 1 * 2) / 20 = .5.
    points = np.array([[0.0, 4.0, 0.0], [0.0, 2.0, 9.0]])
    assert convex_weights(points, np.array([3.0, -1.0])) == pytest.approx([0.5, 0.5, 0])


def test_a_target_that_is_a_point_has_all_the_weight_there():
    points = np.array([[1e6, 2e6, 5e6], [1.0, 2.0, 3.0]])
    assert convex_weights(points, np.array([2e6, 2.0])) == pytest.approx([0, 1, 0])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
def test_no_mixture_is_nearer_whatever_the_unit(scale):
    draw = np.random.default_rng(1)
    for k in range(30):
        points = scale * (100 + draw.normal(size=(12, 6)))
        target = scale * (100 + (3 if k % 2 else 0.3) * draw.normal(size=12))
        weights = convex_weights(points, target)
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()
        residual = (points @ weights - target) / scale
        # Karush, Kuhn, Tucker: no point lies further towards the target than the mixture.
        slope = (points / scale).T @ residual
        assert slope.min() >= weights @ slope - 1e-7 * np.abs(slope).max()


def test_another_solver_finds_the_same():
    draw = np.random.default_rng(2)
    points, target = draw.normal(size=(9, 4)), draw.normal(size=9)

    def loss(w):
        return ((points @ w - target) ** 2).sum()

    found = minimize(
        loss, np.full(4, 0.25), method="SLSQP", bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-14},
    )  # fmt: skip
    assert convex_weights(points, target) == pytest.approx(found.x, abs=1e-5)
