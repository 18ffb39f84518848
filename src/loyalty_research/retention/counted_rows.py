"""Rows counted by what their columns hold, before anything else looks at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array

N_ROWS = "__n_rows"
"""How many rows hold the same; no column of a table is likely to have this name."""

_BLOCK = 2**17
"""Rows that are counted at a time, so that what is made of them stays in the processor's cache."""


def count_rows(data: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame | None:
    """Return the distinct combinations of values, with the number of rows that hold each.

    It reads each column once as it is stored, however narrow, and makes no copy of it: a matrix
    with a 1 for each row, in the line of its first value and the column of the others, adds up
    what falls in one place when it is written out.

    Args:
        data: A frame.
        columns: Names of columns it has.

    Returns:
        The columns, a category with its levels, and `N_ROWS`, sorted by the columns; None if a
        column is neither whole numbers, true or false, nor a category, or if there might be more
        combinations than half the rows.

    Examples:
        >>> data = pd.DataFrame({"time": [1] * 18 + [2], "event": [True] * 19})
        >>> count_rows(data, ["time", "event"])
           time  event  __n_rows
        0     1   True        18
        1     2   True         1
    """
    if len(data) == 0:
        return None
    spans = [span for name in columns if (span := _span(data[name])) is not None]
    sizes = [span.size for span in spans]
    if len(spans) < len(columns) or 2 * math.prod(sizes) > len(data):
        return None
    counts = _count(spans, sizes, len(data))
    cells = np.flatnonzero(counts)
    places = np.unravel_index(cells, sizes)
    table = {
        name: _values(data[name], place + span.low)
        for name, place, span in zip(columns, places, spans, strict=True)
    }
    return pd.DataFrame({**table, N_ROWS: counts[cells]}, copy=False)


@dataclass(frozen=True)
class _Span:
    """A column as whole numbers that lie between two limits."""

    values: np.ndarray
    low: int
    size: int

    def places(self, where: slice) -> np.ndarray:
        values = self.values[where]
        # Widened first, because the distance of two narrow numbers may be wider than they are.
        return values.astype(np.int64) - self.low if self.low else values


def _span(column: pd.Series) -> _Span | None:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        values = column.array.codes
    elif isinstance(dtype, np.dtype) and dtype.kind in "iub" and dtype != np.uint64:
        values = column.to_numpy()
        values = values.view(np.int8) if dtype.kind == "b" else values
    else:
        return None
    # From 0 if that is near, which saves a subtraction in every row.
    low, high = int(values.min()), int(values.max())
    low = 0 if 0 <= low <= (high - low) else low
    return _Span(values, low, high - low + 1)


def _count(spans: Sequence[_Span], sizes: Sequence[int], n_rows: int) -> np.ndarray:
    matrix = coo_array((sizes[0], math.prod(sizes[1:])), dtype=np.int32)
    counts = np.zeros(matrix.shape, np.int64)
    step = max(_BLOCK, 4 * math.prod(sizes))
    ones = np.ones(min(step, n_rows), np.int32)
    for start in range(0, n_rows, step):
        where = slice(start, min(start + step, n_rows))
        line, *others = (span.places(where) for span in spans)
        place = others[0].astype(np.int32) if others else np.zeros(len(line), np.int32)
        for other, size in zip(others[1:], sizes[2:], strict=True):
            place *= size
            place += other
        # Set, not given to a new matrix, which would look for the limits again that `_span` found.
        matrix.data, matrix.coords = ones[: len(line)], (np.asarray(line, np.int32), place)
        counts += matrix.toarray()
    return counts.ravel()


def _values(column: pd.Series, number: np.ndarray) -> Any:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical.from_codes(number, dtype=column.dtype)
    return number.astype(column.to_numpy().dtype)
