"""The proof in small: what is meant to hold holds, and what is known to fail fails.

The whole proof, a thousand worlds a case, is `make proof`; here are as many as a minute allows.
"""

import math

import pytest

from loyalty_research.data.simulate_designs import DESIGNS, simulate_design
from loyalty_research.effects.proof import MOST_BIAS, NOMINAL, run_case, summarise_runs
from loyalty_research.effects.proof_cases import CASES

RUNS = 40
FAIL_RUNS = 100
"""Of cases known to fail, which must be told from chance."""
SLOW_PART = 40
"""Of cases that the proof itself runs less often, one in so many of those runs."""
FAILS = 0.85
"""Published coverage below which a method must be seen to fail in so few runs."""


@pytest.mark.parametrize("name", list(DESIGNS))
def test_every_world_is_used(name):
    assert any(case.design == name for case in CASES)


def test_names_tell_cases_apart():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_truth_of_a_case_is_one_of_its_world(case):
    assert case.truth in simulate_design(case.design, seed=0, **case.settings).truth


def found(case, n):
    return summarise_runs(
        case, run_case(case, first=0, last=case.runs // SLOW_PART if case.runs else n)
    )


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.nominal], ids=lambda case: case.name
)
def test_what_is_meant_to_hold_holds(case):
    one = found(case, RUNS)
    assert one["n_refused"] == 0
    n, slack = one["n_runs"], 3 * one["coverage_error"]
    assert one["coverage"] >= NOMINAL - slack
    assert one["coverage"] <= NOMINAL + slack or case.bounds
    if not math.isnan(one["bias_in_errors"]):
        # The mean of n runs is known to 1 / sqrt(n) of an error.
        assert abs(one["bias_in_errors"]) < MOST_BIAS + 3 / math.sqrt(n)


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if not case.nominal and case.published is not None and case.published < FAILS
    ],
    ids=lambda case: case.name,
)
def test_what_is_known_to_fail_fails(case):
    assert found(case, FAIL_RUNS)["verdict"] != "holds"
