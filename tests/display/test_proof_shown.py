"""The proof is shown as it is stored, and what does not hold is seen."""

import pandas as pd
import pytest

from loyalty_research.display.proof_shown import (
    method_proof_sentence,
    method_proof_table,
    plot_proof,
)
from loyalty_research.errors import UsageError

PROOF = pd.DataFrame({
    "design": ["clusters", "clusters", "counts"],
    "method": ["CR2", "as if independent", "Poisson, HC1"],
    "n_runs": 1000, "nominal": 0.95, "coverage": [0.951, 0.734, 0.9],
    "coverage_error": 0.0069, "bias_in_errors": [0.01, 0.02, 0.3], "error_ratio": [1, 0.5, 0.97],
    "published": [0.947, 0.734, None], "meant_to_hold": [True, False, True],
    "verdict": ["holds", "covers too seldom", "covers too seldom, biased"],
})  # fmt: skip


def test_the_sentence_counts_both_kinds():
    assert method_proof_sentence(PROOF) == (
        "1 of 2 pairs of method and world expected to hold did; of 1 not expected to, 1 did not."
    )


def test_the_table_names_what_is_wrong():
    table = method_proof_table(PROOF)
    assert table.words["Verdict"].tolist() == PROOF["verdict"].tolist()
    assert table.words["Found elsewhere"].tolist() == ["94.7 %", "73.4 %", "–"]
    assert table.numbers["coverage"].tolist() == [0.951, 0.734, 0.9]


def test_a_method_that_fails_is_drawn_hollow_and_the_worst_is_on_the_page():
    axes = plot_proof(PROOF)
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert sorted(x for line in hollow for x in line.get_xdata()) == [0.734, 0.9]
    assert axes.get_xlim()[0] <= 0.5


def test_another_table_is_refused():
    with pytest.raises(UsageError, match="the proof lacks the columns design"):
        method_proof_table(pd.DataFrame({"method": ["x"]}))
