"""A lazy table computed once, for the cells that come back to it."""

from __future__ import annotations

import uuid
from typing import Any

import duckdb
import narwhals.stable.v2 as nw


def hold(table: Any) -> Any:
    """Return the table with its rows computed, so that nothing behind it runs again.

    A DuckDB relation is a question, asked anew each time it is used. Held, its rows lie in the
    engine, which spills to disk what does not fit into memory.

    Args:
        table: pandas, Polars, Arrow or a DuckDB relation.

    Returns:
        The same kind of frame; one that is in memory already is returned as it is.

    Examples:
        >>> relation = duckdb.sql("SELECT 1 AS patient_id")
        >>> hold(relation).fetchall()
        [(1,)]
    """
    if isinstance(table, duckdb.DuckDBPyRelation):
        name = f"held_{uuid.uuid4().hex}"
        table.create(name)
        return table.query("_", f'SELECT * FROM "{name}"')
    wrapped = nw.from_native(table)
    return wrapped.collect().lazy().to_native() if isinstance(wrapped, nw.LazyFrame) else table
