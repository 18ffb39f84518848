"""Predictions tried on patients that the model has not seen: those who entered later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_share, check_whole
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.data.lending import column_names
from loyalty_research.errors import UsageError
from loyalty_research.retention.cox import CoxModel
from loyalty_research.retention.cox_prediction import predict_retention
from loyalty_research.retention.rows import take_columns


def split_by_index_date(cohort: Any, *, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the patients who entered first, and those who entered on a later day.

    A model fitted to the first and tried on the others is judged as it would be used (temporal
    validation; Altman and Royston, Stat Med 2000;19:453). Patients of one day stay together.

    Args:
        cohort: one row a patient with `index_date`. pandas, Polars, Arrow, DuckDB or Spark.
        share: about which share of the patients the first part holds.

    Returns:
        Two pandas frames with the cohort's columns.

    Raises:
        UsageError: a part is empty, because too few index dates differ.
        DataError: the column `index_date` is missing.

    Examples:
        >>> cohort = pd.DataFrame({"index_date": pd.to_datetime(["2023-05-01", "2022-01-01"])})
        >>> earlier, later = split_by_index_date(cohort, share=0.5)
        >>> earlier["index_date"].dt.year.tolist(), later["index_date"].dt.year.tolist()
        ([2022], [2023])
    """
    part = check_share(share, name="share")
    raise_faults(missing_columns(cohort, ["index_date"], table="cohort"))
    table = take_columns(cohort, column_names(cohort, table="cohort"))
    days = np.sort(pd.to_datetime(table["index_date"]).to_numpy())
    is_first = pd.to_datetime(table["index_date"]) <= days[max(int(part * len(days)) - 1, 0)]
    if is_first.all():
        raise UsageError("no patient entered later than the first part; choose a smaller share")
    first, later = (table[rows].reset_index(drop=True) for rows in (is_first, ~is_first))
    return first, later


def derive_predicted_risk(data: Any, *, model: CoxModel, horizon: int) -> pd.DataFrame:
    """Return the rows with `risk`, the share of such patients whom the model has lapsed by a day.

    Args:
        data: rows with the model's covariates. Any frame.
        model: as `fit_cox` returns it, with Efron's or Breslow's ties.
        horizon: the day, not beyond the last that was observed when the model was fitted.

    Returns:
        The rows as pandas, with `risk`.

    Raises:
        UsageError: a horizon that is not whole.
        DataError: as `predict_retention` does.

    Examples:
        >>> from loyalty_research.retention.cox import fit_cox
        >>> data = pd.DataFrame({"time": [1, 2, 3, 4], "event": [1, 1, 1, 0], "x": [2, 0, 1, 0]})
        >>> derive_predicted_risk(data, model=fit_cox(data, covariates=["x"]), horizon=3)[
        ...     "risk"].between(0, 1).all().item()
        True
    """
    day = check_whole(horizon, name="horizon", minimum=0)
    kept = predict_retention(model, data, times=[day])["estimate"].to_numpy()
    return take_columns(data, column_names(data)).assign(risk=1 - kept)
