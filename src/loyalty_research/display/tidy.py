"""What every table and figure asks of a result table before it shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from loyalty_research.display.words import format_value, is_missing
from loyalty_research.errors import UsageError

NOT_RECORDED = "not recorded"
AUDIENCES = ("internal", "publish")
_COLUMN_NAMES = {
    "n": "number",
    "std_error": "standard error",
    "conf_low": "lower limit",
    "conf_high": "upper limit",
    "conf_level": "confidence level",
    "p_value": "p value",
    "smd_unweighted": "difference before weighting (SD)",
    "smd_weighted": "difference after weighting (SD)",
    "is_clean": "clean comparison",
    "n_clusters_t": "clinics (few-clinics rule)",
    "event_time": "periods since the start",
}


def as_pandas(table: Any) -> pd.DataFrame:
    """Return any small frame as pandas with a plain row number.

    Args:
        table: pandas, Polars, Arrow or DuckDB; results are small, so all of it is read.

    Raises:
        UsageError: it is no frame, or two columns share a name.

    Examples:
        >>> as_pandas(pd.DataFrame({"n": [1]}, index=[7])).index.tolist()
        [0]
    """
    # Only pandas allows two columns of one name.
    names = [str(name) for name in table.columns] if isinstance(table, pd.DataFrame) else []
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"columns named twice: {', '.join(twice)}; rename them")
    try:
        frame = nw.from_native(table)
    except TypeError:
        raise UsageError(f"expected a table, got {type(table).__name__}; pass a frame") from None
    collected = frame.collect(backend="pandas") if isinstance(frame, nw.LazyFrame) else frame
    return collected.to_pandas().reset_index(drop=True)


def require_columns(table: pd.DataFrame, columns: Iterable[str], *, what: str) -> None:
    """Refuse a table that lacks columns, and name all that it lacks.

    Args:
        table: the table to be shown.
        columns: the columns it must have.
        what: what kind of table it should be, for the message.

    Raises:
        UsageError: at least one column is missing.

    Examples:
        >>> require_columns(pd.DataFrame({"n": [1]}), ["n"], what="attrition")
    """
    lacking = [name for name in columns if name not in table.columns]
    if lacking:
        raise UsageError(
            f"{what} lacks the columns {', '.join(lacking)}; pass the result as it came"
        )


def require_audience(audience: str) -> str:
    """Return the audience, once it is certain that it is one.

    Raises:
        UsageError: neither "internal" nor "publish".

    Examples:
        >>> require_audience("publish")
        'publish'
    """
    if audience not in AUDIENCES:
        raise UsageError(f"audience must be one of {', '.join(AUDIENCES)}")
    return audience


def as_list(by: str | Sequence[str] | None) -> list[str]:
    """Return the grouping columns as a list, empty when there are none.

    Examples:
        >>> as_list(None), as_list("arm"), as_list(["site", "arm"])
        ([], ['arm'], ['site', 'arm'])
    """
    if by is None:
        return []
    return [by] if isinstance(by, str) else list(by)


def split_groups(
    table: pd.DataFrame, by: str | Sequence[str] | None, *, labels: Mapping[Any, str] | None = None
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name for readers and the rows of each group, in the order of the table.

    Args:
        table: a result table.
        by: grouping columns; without them there is one group without a name.
        labels: names for readers by value, such as `{1: "In the programme"}`.

    Examples:
        >>> table = pd.DataFrame({"arm": [1, 0], "n": [3, 4]})
        >>> [(name, len(rows)) for name, rows in split_groups(table, "arm", labels={1: "In"})]
        [('In', 1), ('0', 1)]
    """
    columns = as_list(by)
    if not columns:
        yield "", table
        return
    for key, rows in table.groupby(columns, sort=False, dropna=False, observed=True):
        yield group_label(key, labels=labels), rows


def group_label(key: Any, *, labels: Mapping[Any, str] | None = None) -> str:
    """Return a group's name for readers.

    Args:
        key: the group's value, or a tuple of values.
        labels: names for readers by value.

    Examples:
        >>> group_label(("North", None)), group_label(1, labels={1: "In the programme"})
        ('North, not recorded', 'In the programme')
    """
    values = key if isinstance(key, tuple) else (key,)
    return ", ".join(_value_label(value, labels or {}) for value in values)


def _value_label(value: Any, labels: Mapping[Any, str]) -> str:
    if is_missing(value):
        return NOT_RECORDED
    # A year or a code is a name here, so it gets no thousands separator.
    plain = str(value) if isinstance(value, int) else format_value(value)
    return str(labels.get(value, plain))


def column_label(name: str, *, labels: Mapping[Any, str] | None = None) -> str:
    """Return a column's name for readers: what is counted, without underscores.

    Args:
        name: the column.
        labels: names for readers by column.

    Examples:
        >>> column_label("n_at_risk"), column_label("conf_low"), column_label("BMI")
        ('At risk', 'Lower limit', 'BMI')
    """
    named = {**_COLUMN_NAMES, **(labels or {})}
    text = str(named.get(name, name.removeprefix("n_"))).replace("_", " ")
    return text[:1].upper() + text[1:]
