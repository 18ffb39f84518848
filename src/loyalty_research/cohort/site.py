"""The visits of one clinic, for a report on that clinic alone."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.frames import (
    require_columns,
)


def trim_to_site(visits: Any, *, site: str) -> Any:
    """Return the visits to one facility; all of them when `site` is empty.

    Args:
        visits: one row a visit: `facility_id`. pandas, Polars, Arrow, DuckDB or Spark.
        site: the facility's code as text; "0012" is not "12".

    Returns:
        The same kind of frame, same columns. Returning then means returning to that facility.

    Raises:
        DataError: `site` is given, but the visits have no column `facility_id`.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({"patient_id": ["a", "b"], "facility_id": ["0012", "12"]})
        >>> trim_to_site(visits, site="0012")
          patient_id facility_id
        0          a        0012
    """
    if not site:
        return visits
    require_columns(visits, ["facility_id"], table="visits")
    return nw.from_native(visits).filter(nw.col("facility_id").cast(nw.String) == site).to_native()
