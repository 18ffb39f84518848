"""What became of each patient, in words that competing causes can be counted by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.frames import require_columns
from loyalty_research.data.lending import give_back, lend
from loyalty_research.errors import UsageError


def derive_causes(times: Any, *, causes: Mapping[str, str]) -> Any:
    """Return the cohort with `cause`, what ended each patient's follow-up, in words.

    Args:
        times: one row a patient with `end_reason`, as `derive_time_to_event` gives it. pandas,
            Polars, Arrow, DuckDB or Spark.
        causes: the word for each reason that counts as a cause, such as
            `{"lapse_date": "lapsed", "death_date": "died"}`; every other reason is censoring.

    Returns:
        The same kind of frame with `cause`; missing where the patient is censored.

    Raises:
        UsageError: no cause is named.
        DataError: the column `end_reason` is missing.

    Examples:
        >>> import pandas as pd
        >>> times = pd.DataFrame({"end_reason": ["lapse_date", "followed_until"]})
        >>> derive_causes(times, causes={"lapse_date": "lapsed"})["cause"].tolist()
        ['lapsed', None]
    """
    if not causes:
        raise UsageError("causes must name at least one reason, such as {'lapse_date': 'lapsed'}")
    require_columns(times, ["end_reason"], table="times")
    lent = lend({"times": times}, columns={"times": ["end_reason"]})["times"]
    cause = nw.lit(None, dtype=nw.String)
    for reason, word in causes.items():
        cause = nw.when(nw.col("end_reason") == reason).then(nw.lit(word)).otherwise(cause)
    return give_back(lent.with_columns(cause.alias("cause")), like=times, new=["cause"])
