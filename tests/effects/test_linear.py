from __future__ import annotations

import numpy as np
import pytest

from loyalty_research.effects import linear
from loyalty_research.effects.linear import fit_linear, triangle_of


def dense_cr2(x, y, cluster, contrast):
    """CR2 and Satterthwaite's degrees of freedom with every matrix as wide as the data."""
    bread = np.linalg.inv(x.T @ x)
    maker = np.eye(len(y)) - x @ bread @ x.T
    residuals, meat, columns = maker @ y, 0.0, []
    for k in np.unique(cluster):
        at = np.flatnonzero(cluster == k)
        values, vectors = np.linalg.eigh(maker[np.ix_(at, at)])
        power = np.where(values > 1e-9, np.maximum(values, 1e-9) ** -0.5, 0.0)
        adjust = vectors @ np.diag(power) @ vectors.T
        score = x[at].T @ adjust @ residuals[at]
        meat = meat + np.outer(score, score)
        # c'beta's variance is a sum of squares of these columns' products with the errors.
        columns.append(maker[:, at] @ adjust @ x[at] @ bread @ contrast)
    inner = np.stack(columns, axis=1).T @ np.stack(columns, axis=1)
    return bread @ meat @ bread, np.trace(inner) ** 2 / (inner**2).sum()


def made(published):
    data = {name: np.array(values, float) for name, values in published("linear")["data"].items()}
    return np.column_stack([np.ones(60), data["a"], data["x"]]), data


# --- by hand --------------------------------------------------------------------------------------


def test_hc2_of_two_means_adds_the_variances_of_each():
    # Group 0: 1, 2, 6, mean 3, squares 4 + 1 + 9 = 14, s2 = 14 / 2 = 7; group 1: 4, 8, s2 = 8.
    x = np.column_stack([np.ones(5), [0, 0, 0, 1, 1]])
    estimate, error, df = fit_linear(x, np.array([1.0, 2, 6, 4, 8])).contrast(np.array([0, 1]))
    assert estimate == pytest.approx(3)
    assert error == pytest.approx((7 / 3 + 8 / 2) ** 0.5)
    assert df == 3


def test_cr2_of_two_groups_of_equal_clusters_is_welchs_error_of_their_means():
    # Clusters of 2; means 1.5, 3.5, 4 without and 6, 9 with: s2 = 1.75 and 4.5.
    y = np.array([1.0, 2, 3, 4, 4, 4, 5, 7, 9, 9])
    cluster = np.repeat(np.arange(5), 2)
    x = np.column_stack([np.ones(10), cluster >= 3])
    estimate, error, df = fit_linear(x, y, cluster=cluster).contrast(np.array([0, 1]))
    assert estimate == pytest.approx(7.5 - 3)
    assert error == pytest.approx((1.75 / 3 + 4.5 / 2) ** 0.5)
    # Satterthwaite with one variance: (1/3 + 1/2)^2 / ((1/3)^2 / 2 + (1/2)^2 / 1).
    assert df == pytest.approx((5 / 6) ** 2 / (1 / 18 + 1 / 4))


# --- references -----------------------------------------------------------------------------------


def test_hc2_and_cr2_as_in_sandwich(published):
    x, data = made(published)
    reference = published("linear")["plain"]
    fit = fit_linear(x, data["y"])
    assert fit.beta == pytest.approx(reference["beta"], rel=1e-10)
    assert fit.covariance.ravel() == pytest.approx(reference["hc2"], rel=1e-9)
    by_cluster = fit_linear(x, data["y"], cluster=data["cluster"].astype(int))
    assert by_cluster.covariance.ravel() == pytest.approx(reference["cr2"], rel=1e-9)


def test_weighted_hc2_as_in_sandwich(published):
    x, data = made(published)
    fit = fit_linear(x, data["y"], weight=data["w"])
    reference = published("linear")["weighted"]
    assert fit.beta == pytest.approx(reference["beta"], rel=1e-10)
    assert fit.covariance.ravel() == pytest.approx(reference["hc2"], rel=1e-9)
    assert fit.residuals == pytest.approx(data["y"] - x @ fit.beta)


@pytest.mark.parametrize("contrast", [[0.0, 1, 0], [0.0, 0, 1], [1.0, 0.5, -2]])
def test_cr2_and_its_degrees_of_freedom_as_computed_with_dense_matrices(published, contrast):
    x, data = made(published)
    cluster = data["cluster"].astype(int)
    covariance, df = dense_cr2(x, data["y"], cluster, np.array(contrast))
    fit = fit_linear(x, data["y"], cluster=cluster)
    assert fit.covariance == pytest.approx(covariance, rel=1e-9)
    assert fit.degrees_of_freedom(np.array(contrast)) == pytest.approx(df, rel=1e-9)
    assert fit.n_clusters == 7


def test_a_cluster_that_determines_a_coefficient_adds_nothing():
    # The third column is 1 in cluster 2 alone, whose mean residual is therefore 0.
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(6), 3)
    x = np.column_stack([np.ones(18), cluster % 2, cluster == 2])
    y = rng.normal(size=18)
    covariance, df = dense_cr2(x, y, cluster, np.array([0.0, 1, 0]))
    fit = fit_linear(x, y, cluster=cluster)
    assert fit.covariance == pytest.approx(covariance, rel=1e-8)
    assert fit.degrees_of_freedom(np.array([0.0, 1, 0])) == pytest.approx(df, rel=1e-8)


# --- properties -----------------------------------------------------------------------------------


def test_order_of_rows_and_the_scale_of_weights_change_nothing(published):
    x, data = made(published)
    order = np.random.default_rng(2).permutation(60)
    cluster = data["cluster"].astype(int)
    first = fit_linear(x, data["y"], cluster=cluster, weight=data["w"])
    second = fit_linear(
        x[order], data["y"][order], cluster=cluster[order], weight=7 * data["w"][order]
    )
    assert second.covariance == pytest.approx(first.covariance, rel=1e-9)
    contrast = np.array([0.0, 1, 0])
    assert second.contrast(contrast) == pytest.approx(first.contrast(contrast), rel=1e-9)


def test_an_outcome_that_never_varies_has_no_error():
    x = np.column_stack([np.ones(30), np.arange(30) % 2, np.linspace(0, 1, 30)])
    fit = fit_linear(x, np.full(30, 0.1))
    assert fit.contrast(np.array([0, 1, 0]))[1] == 0


def test_every_row_its_own_cluster_is_hc2():
    rng = np.random.default_rng(3)
    x, y = np.column_stack([np.ones(20), rng.normal(size=20)]), rng.normal(size=20)
    by_row = fit_linear(x, y)
    assert fit_linear(x, y, cluster=np.arange(20)).covariance == pytest.approx(by_row.covariance)


def test_many_rows_taken_in_parts_are_taken_together():
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(20_000), rng.normal(size=(20_000, 2))])
    y = rng.normal(size=20_000) * (1 + abs(x[:, 1]))
    fit = fit_linear(x, y)
    bread = np.linalg.inv(x.T @ x)
    free = 1 - np.einsum("ij,jk,ik->i", x, bread, x)
    beta = bread @ x.T @ y
    meat = (x * ((y - x @ beta) ** 2 / free)[:, None]).T @ x
    assert fit.beta == pytest.approx(beta, rel=1e-9)
    assert fit.covariance == pytest.approx(bread @ meat @ bread, rel=1e-9)


def many_rows(near=1.0):
    """Return columns of unlike scales, the last of which leaves the third by `near`."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(20_000, 5)) * [1, 1e-4, 1, 1e6, 1]
    x[:, 0] = 1
    x[:, 4] = x[:, 2] + near * x[:, 4]
    return x


def test_the_triangle_of_many_rows_is_that_of_qr_to_the_last_digits():
    x = many_rows(near=0.01)
    assert linear._triangle_of_products(x) is not None
    expected = np.abs(np.linalg.qr(x, mode="r"))
    length = np.sqrt((x**2).sum(axis=0))
    assert np.abs(np.abs(triangle_of(x)) - expected) / length == pytest.approx(0, abs=1e-13)
    assert np.abs(np.diag(triangle_of(x))) == pytest.approx(np.diag(expected), rel=1e-11)


@pytest.mark.parametrize("near", [1e-7, 0.0])
def test_columns_near_dependence_go_through_qr_itself(near):
    x = many_rows(near=near)
    assert linear._triangle_of_products(x) is None
    expected = np.abs(np.linalg.qr(x, mode="r"))
    assert np.abs(np.diag(triangle_of(x)))[:4] == pytest.approx(np.diag(expected)[:4], rel=1e-11)
    # What is left of the last column: 1e-7 of 20,000 numbers of spread 1, or nothing.
    left = abs(triangle_of(x)[4, 4]) / 20_000**0.5
    assert left == pytest.approx(near, rel=0.02, abs=1e-12)


def test_errors_of_many_rows_by_cluster_are_the_same_by_either_way(monkeypatch):
    x, rng = many_rows(near=0.3), np.random.default_rng(6)
    cluster = np.arange(len(x)) % 40
    y = x @ [1, 1e4, 2, 1e-6, 0.5] + rng.normal(size=40)[cluster] + rng.normal(size=len(x))
    quick = fit_linear(x, y, cluster=cluster)
    monkeypatch.setattr(linear, "_triangle_of_products", lambda x: None)
    slow = fit_linear(x, y, cluster=cluster)
    for contrast in np.eye(5):
        assert quick.contrast(contrast) == pytest.approx(slow.contrast(contrast), rel=1e-9)
