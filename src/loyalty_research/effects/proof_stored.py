"""The proof that comes with the project, as `make proof` stored it."""

from __future__ import annotations

import pandas as pd

from loyalty_research.data.project import project_file

STORED = "data/proof/effects.csv"


def read_proof() -> pd.DataFrame:
    """Return how often each method held the truth of a thousand drawn worlds.

    Returns:
        One row a method and world, as `summarise_runs` makes it: `design, method, estimand, truth,
        n_runs, n_refused, nominal, coverage, coverage_error, bias, bias_in_errors, error_ratio,
        published, meant_to_hold, verdict`.

    Raises:
        SetupError: The file did not come with this installation.

    Examples:
        >>> proof = read_proof()
        >>> {"coverage", "verdict"} <= set(proof)
        True
    """
    return pd.read_csv(project_file(STORED))
