"""Groups to compare, in which patients without a recorded value are a group of their own."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.frames import require_columns
from loyalty_research.data.lending import give_back, lend

NOT_RECORDED = "not recorded"


def derive_groups(cohort: Any, *, by: str) -> Any:
    """Return the cohort with a column as text, its missing and blank values named.

    A patient whose value is missing is not left out of a comparison; what is not known is shown
    beside what is.

    Args:
        cohort: one row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        by: the column that names the groups.

    Returns:
        The same kind of frame, the column replaced: text, `"not recorded"` where it was missing.

    Raises:
        DataError: the column is missing.

    Examples:
        >>> import pandas as pd
        >>> cohort = pd.DataFrame({"patient_id": ["a", "b"], "sex": ["female", None]})
        >>> derive_groups(cohort, by="sex")["sex"].tolist()
        ['female', 'not recorded']
    """
    require_columns(cohort, [by], table="cohort")
    lent = lend({"cohort": cohort}, columns={"cohort": [by]})["cohort"]
    text = nw.col(by).cast(nw.String)
    known = ~text.is_null() & (text.str.strip_chars() != "")
    named = nw.when(known).then(text).otherwise(nw.lit(NOT_RECORDED)).alias(by)
    return give_back(lent.with_columns(named), like=cohort, new=[by])
