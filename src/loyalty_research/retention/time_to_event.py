"""How long each patient was followed, with what ended it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.arguments import check_date
from loyalty_research.data.frames import (
    REPAIR_INDEX,
    Check,
    day_number,
    is_missing,
    missing_columns,
    raise_faults,
    type_faults,
    value_faults,
)
from loyalty_research.data.lending import (
    give_back,
    lend,
)
from loyalty_research.errors import UsageError

NEW = ["time", "event", "end_reason"]
"""What `derive_time_to_event` adds to a cohort."""

_INDEX, _END = "__index", "__end"


def derive_time_to_event(
    cohort: Any, *, event_date: str, censor_dates: Sequence[str], data_cutoff: Any
) -> Any:
    """Return the cohort with `time` (days from index), `event` and `end_reason` added.

    Follow-up ends on the first of the dates. On a tie the event wins, then the censoring dates in
    the order given, then `data_cutoff`. A patient whose follow-up ends on the index date has
    time 0, as an event or censored.

    Args:
        cohort: One row a patient: `index_date` and the named date columns.
        event_date: Column with the day of the event; missing = no known event.
        censor_dates: Columns with days that end follow-up without the event; missing = did not.
        data_cutoff: Last day the data cover.

    Returns:
        The cohort, same kind of frame, with `time` in whole days, `event` true or false, and
        `end_reason`: the name of the column that ended it, or `"data_cutoff"`. Columns of these
        names are replaced.

    Raises:
        UsageError: The event is also named as censoring.
        DataError: Missing columns or index dates, or a follow-up that ends before the index date;
            all faults at once.

    Examples:
        >>> import pandas as pd
        >>> cohort = pd.DataFrame({
        ...     "index_date": pd.to_datetime(["2023-01-01", "2023-01-01"]),
        ...     "lapse_date": pd.to_datetime(["2023-03-01", None]),
        ...     "followed_until": pd.to_datetime(["2023-07-04", "2023-07-04"]),
        ... })
        >>> derive_time_to_event(
        ...     cohort,
        ...     event_date="lapse_date",
        ...     censor_dates=["followed_until"],
        ...     data_cutoff="2023-12-31",
        ... )[["time", "event", "end_reason"]]
           time  event      end_reason
        0    59   True      lapse_date
        1   184  False  followed_until
    """
    ends = list(dict.fromkeys([event_date, *censor_dates]))
    if event_date in censor_dates:
        raise UsageError(f"{event_date} is the event and cannot censor; leave it out")
    cutoff = check_date(data_cutoff, name="data_cutoff").toordinal()
    people = _open(cohort, ends, cutoff)
    days = [(name, day_number(nw.col(name))) for name in ends]
    first = nw.min_horizontal(nw.lit(cutoff), *[day for _, day in days])
    people = people.with_columns(day_number(nw.col("index_date")).alias(_INDEX), first.alias(_END))
    reason = nw.lit("data_cutoff")
    for name, day in reversed(days):
        reason = nw.when(day == nw.col(_END)).then(nw.lit(name)).otherwise(reason)
    people = people.drop(*NEW, strict=False).with_columns(
        (nw.col(_END) - nw.col(_INDEX)).alias("time"), reason.alias("end_reason")
    )
    people = people.with_columns((nw.col("end_reason") == event_date).alias("event"))
    return give_back(people, like=cohort, new=NEW)


def _open(cohort: Any, ends: Sequence[str], cutoff: int) -> nw.LazyFrame:
    dates = ["index_date", *ends]
    raise_faults(missing_columns(cohort, dates, table="cohort"))
    named = {"cohort": dates}
    people = lend({"cohort": cohort}, columns=named, dates=named)["cohort"]
    raise_faults(type_faults({"cohort": people}, named))
    index = day_number(nw.col("index_date"))
    repair = (
        "leave these patients out by apply_criteria with observable_for(...), present_at_index()"
    )
    checks = [is_missing("index_date", repair=REPAIR_INDEX)]
    for column in ends:
        before = day_number(nw.col(column)) < index
        checks.append(Check(column, before, "is before index_date", repair))
    checks.append(Check("index_date", index > cutoff, "is after data_cutoff", repair))
    raise_faults(value_faults(people, checks, table="cohort"))
    return people
