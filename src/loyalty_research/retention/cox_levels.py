"""How many patients stand behind each hazard ratio."""

from __future__ import annotations

import numpy as np
import pandas as pd

from loyalty_research.retention.cox import CoxModel
from loyalty_research.retention.design_matrix import apply_design


def count_levels(model: CoxModel) -> pd.DataFrame:
    """Return the estimates of a model with the patients of each level beside them.

    A ratio compares two kinds of patients; where one kind is a few people, the ratio tells about
    them, however many the model has in all. What is published is withheld by these counts.

    Args:
        model: As `fit_cox` returns it.

    Returns:
        The estimates with `n_level` and `n_level_events`: of the level or of its reference,
        whichever is smaller; of all patients for a covariate that is a measure.

    Examples:
        >>> from loyalty_research.retention.cox import fit_cox
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4, 5], "event": [1, 1, 0, 1, 1],
        ...     "sex": ["m", "f", "m", "m", "f"]})
        >>> count_levels(fit_cox(data, covariates=["sex"]))[["n_level", "n_level_events"]]
           n_level  n_level_events
        0        2               2
    """
    numbers = apply_design(model.design, model.rows.more)
    size = np.ones(len(numbers), np.int64) if model.rows.freq is None else model.rows.freq
    happened = np.where(model.rows.event > 0, size, 0)
    n = np.full(len(model.design.terms), int(size.sum()))
    n_events = np.full(len(n), int(happened.sum()))
    for columns in model.design.parts.values():
        part = numbers[:, columns]
        if not np.isin(part, (0, 1)).all():
            continue
        reference = ~part.any(axis=1)
        for column, is_level in zip(columns, part.T.astype(bool), strict=True):
            n[column] = min(int(size[is_level].sum()), int(size[reference].sum()))
            n_events[column] = min(int(happened[is_level].sum()), int(happened[reference].sum()))
    return model.estimates.assign(n_level=n, n_level_events=n_events)
