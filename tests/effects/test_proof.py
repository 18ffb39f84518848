"""The proof counts what it says it counts, and its verdicts can fail."""

import math

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_designs import simulate_design
from loyalty_research.effects.proof import (
    RUNS,
    Case,
    chunks,
    proof_table,
    run_case,
    summarise_runs,
    verdict,
)
from loyalty_research.errors import DataError, Fault

GOOD = {"coverage": 0.95, "coverage_error": 0.01, "bias": 0.0, "bias_in_errors": 0.0}


def answer(world):
    groups = world.data.groupby("arm")["score"]
    estimate = groups.mean().diff().iloc[-1]
    error = math.sqrt((groups.var() / groups.size()).sum())
    return estimate, error, estimate - 1.96 * error, estimate + 1.96 * error


def refusing(world):
    if world.data["score"].iloc[0] > 0:
        raise DataError([Fault("data", "score", 1, "no", "none")])
    return answer(world)


SUBGROUPS = Case("null_subgroups", "Welch", "mean_difference", answer, {"n": 200})


def runs_of(estimates, *, half, error):
    rows = [[k, e, error, e - half, e + half, False] for k, e in enumerate(estimates)]
    return pd.DataFrame(rows, columns=list(RUNS))


def test_coverage_bias_and_error_are_those_counted_by_hand():
    # Truth 0: intervals of half-width 1 around -2, 0, 0.5, 2 hold it twice in four.
    found = summarise_runs(SUBGROUPS, runs_of([-2, 0, 0.5, 2], half=1, error=1.0))
    assert found["coverage"] == 0.5
    assert found["bias"] == pytest.approx(0.5 / 4)
    spread = np.std([-2, 0, 0.5, 2], ddof=1)
    assert found["error_ratio"] == pytest.approx(1 / spread)
    assert found["coverage_error"] == pytest.approx((0.95 * 0.05 / 4) ** 0.5)


def test_a_refusal_is_counted_and_not_taken_for_an_answer():
    case = Case("null_subgroups", "refuses", "mean_difference", refusing)
    runs = run_case(case, first=0, last=20)
    refused = runs["refused"].sum()
    by_hand = sum(
        simulate_design("null_subgroups", seed=k).data["score"].iloc[0] > 0 for k in range(20)
    )
    assert 0 < refused == by_hand
    assert summarise_runs(case, runs)["n_refused"] == refused


def test_runs_do_not_depend_on_how_they_are_cut():
    whole = run_case(SUBGROUPS, first=0, last=6)
    cut = pd.concat([run_case(SUBGROUPS, first=a, last=b) for a, b in ((0, 2), (2, 6))])
    pd.testing.assert_frame_equal(whole, cut.reset_index(drop=True))
    assert list(chunks(6, done=2, size=3)) == [(2, 5), (5, 6)]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "holds"),
        ({"coverage": 0.91}, "covers too seldom"),
        ({"coverage": 0.99}, "covers too often"),
        ({"bias_in_errors": 0.3}, "biased"),
        ({"error_ratio": 0.7}, "errors too small"),
        ({"error_ratio": 1.4}, "errors too large"),
        ({"coverage": math.nan}, "no answer"),
    ],
)
def test_each_fault_has_its_verdict(changed, words):
    assert verdict(**{**GOOD, "error_ratio": 1.0, "n": 1000, **changed}) == words


def test_the_table_holds_the_cases_that_were_run_in_their_order():
    other = Case("clusters", "Welch", "mean_difference", answer, {"n_clusters": 6}, published=0.73)
    runs = {SUBGROUPS.name: run_case(SUBGROUPS, first=0, last=30)}
    assert proof_table([other, SUBGROUPS], runs)["method"].tolist() == ["Welch"]
    assert other.name == "clusters_n_clusters_6_welch"


def test_bounds_may_hold_the_truth_more_often_and_not_more_seldom():
    often, seldom = (runs_of([inside] * 200, half=1, error=math.nan) for inside in (0, 2))
    bounds = Case("null_subgroups", "bounds", "mean_difference", answer, {"n": 200}, bounds=True)
    assert summarise_runs(bounds, often)["coverage"] == 1.0
    assert summarise_runs(bounds, often)["verdict"] == "holds"
    assert "covers too often" in summarise_runs(SUBGROUPS, often)["verdict"]
    assert "covers too seldom" in summarise_runs(bounds, seldom)["verdict"]


def test_a_slow_case_has_no_more_runs_than_are_enough_for_it():
    slow = Case("null_subgroups", "slow", "mean_difference", answer, runs=400)
    assert [slow.n_runs(asked) for asked in (100, 1000)] == [100, 400]
    assert SUBGROUPS.n_runs(1000) == 1000


def test_a_method_that_ignores_clusters_is_found_out():
    naive = Case("clusters", "as if independent", "mean_difference", answer, {"n_clusters": 6})
    found = summarise_runs(naive, run_case(naive, first=0, last=120))
    assert "covers too seldom" in found["verdict"]
