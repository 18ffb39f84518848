"""Groups to compare, in which patients without a recorded value are a group of their own."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.frames import require_columns
from loyalty_research.data.lending import give_back, lend

NOT_RECORDED = "not recorded"
EVERYBODY = "all patients"


def derive_groups(cohort: Any, *, by: str) -> Any:
    """Return the cohort with `group`, the value of a column as text.

    A patient whose value is missing is not left out of a comparison; what is not known is shown
    beside what is.

    Args:
        cohort: one row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        by: the column that names the groups; empty to put everybody into one group.

    Returns:
        The same kind of frame with `group`: `"not recorded"` where the value is missing or blank,
        `"all patients"` where no column is named.

    Raises:
        DataError: the column is missing.

    Examples:
        >>> import pandas as pd
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b"], "sex": ["female", None]})
        >>> derive_groups(cohort, by="sex")["group"].tolist()
        ['female', 'not recorded']
        >>> derive_groups(cohort, by="")["group"].tolist()
        ['all patients', 'all patients']
    """
    columns = [by] if by else []
    require_columns(cohort, columns, table="cohort")
    lent = lend({"cohort": cohort}, columns={"cohort": columns})["cohort"]
    group = _named(nw.col(by)) if by else nw.lit(EVERYBODY)
    return give_back(lent.with_columns(group.alias("group")), like=cohort, new=["group"])


def _named(value: nw.Expr) -> nw.Expr:
    text = value.cast(nw.String)
    known = ~text.is_null() & (text.str.strip_chars() != "")
    return nw.when(known).then(text).otherwise(nw.lit(NOT_RECORDED))
