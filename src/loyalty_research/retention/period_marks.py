"""Each patient's active periods as marks in one number, in one pass over the visits.

Patients are a tenth of their visits. Grouped by patient alone, with a bit for each period, visits
take a third of the time and half the memory that distinct pairs of patient and period take.
"""

from __future__ import annotations

import narwhals.stable.v2 as nw

from loyalty_research.data.lending import collect
from loyalty_research.retention.periods import period_number

MARKS, _LOW, _LAST = "__marks", "__low", "__last"
_MOST = 126
"""Periods that a number of 128 bits has room for, beside its sign."""


def mark_periods(
    visits: nw.LazyFrame, *, patient: str, date: str, period: str, first: str
) -> tuple[nw.LazyFrame, range] | None:
    """Return one row a patient: the first active period, and a mark for each.

    Args:
        visits: One row a visit, at least one.
        patient: Name of the patient's column.
        date: Name of the date column.
        period: As for `period_number`.
        first: Name to give to the first active period.

    Returns:
        The patient, `first` and `MARKS`, with the periods the marks stand for; None where the
        engine has no such numbers or there are too many periods.

    Examples:
        >>> import duckdb
        >>> visits = duckdb.sql(
        ...     "SELECT 'a' AS id, unnest([DATE '2024-01-05', DATE '2024-03-01']) AS day"
        ... )
        >>> people, periods = mark_periods(
        ...     nw.from_native(visits), patient="id", date="day", period="year", first="at"
        ... )
        >>> collect(people).to_pylist(), periods
        ([{'id': 'a', 'at': 2024, '__marks': Decimal('1')}], range(2024, 2025))
    """
    if visits.implementation is not nw.Implementation.DUCKDB:
        return None
    ends = visits.select(nw.col(date).min().alias(_LOW), nw.col(date).max().alias(_LAST))
    numbers = [period_number(nw.col(name), period).alias(name) for name in (_LOW, _LAST)]
    ends = collect(ends.select(*numbers)).to_pylist()[0]
    low, last = ends[_LOW], ends[_LAST]
    if last - low >= _MOST:
        return None
    at = (period_number(nw.col(date), period) - low).cast(nw.Int8)
    numbered = visits.select(patient, at.alias(first)).to_native()
    who, start = _quoted(patient), _quoted(first)
    marks = f"bit_or(1::HUGEINT << {start}) AS {MARKS}"
    people = numbered.aggregate(f"{who}, min({start})::BIGINT + {low} AS {start}, {marks}", who)
    return nw.from_native(people), range(low, last + 1)


def unfold_marks(people: nw.LazyFrame, periods: range, *, into: str) -> nw.LazyFrame:
    """Return one row a patient and active period.

    Args:
        people: One row a patient, with `MARKS`.
        periods: What the marks stand for, as `mark_periods` returns it.
        into: Name to give to the period.

    Returns:
        The other columns, and the period.

    Examples:
        >>> import duckdb
        >>> people = nw.from_native(duckdb.sql("SELECT 'a' AS id, 5::HUGEINT AS __marks"))
        >>> collect(unfold_marks(people, range(24, 27), into="at").sort("at")).to_pylist()
        [{'id': 'a', 'at': 24}, {'id': 'a', 'at': 26}]
    """
    marked = people.to_native().query(
        "loyalty_people",
        f"""
        SELECT loyalty_people.* EXCLUDE ({MARKS}), k + {periods.start} AS {_quoted(into)}
        FROM loyalty_people,
            (SELECT k, 1::HUGEINT << k::INTEGER AS mark FROM range({len(periods)}) AS r(k))
        WHERE {MARKS} & mark != 0
        """,
    )
    return nw.from_native(marked)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
