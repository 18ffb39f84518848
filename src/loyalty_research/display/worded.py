"""A table worded for readers, kept together with the numbers it words."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from loyalty_research.display.tidy import as_pandas, column_label
from loyalty_research.display.words import MISSING, format_count, format_value, is_missing

SUPPRESSED = "suppressed"
# A cell of figures: a sign, a digit, and no ISO date.
_FIGURES = re.compile(r"^[<>−-]?\d(?!\d{3}-\d\d)")


@dataclass(frozen=True)
class WordedTable:
    """What a reader sees (`words`, all text) beside the numbers behind it (`numbers`)."""

    numbers: pd.DataFrame
    words: pd.DataFrame

    def _repr_html_(self) -> str:
        return table_html(self.words)


def word_table(
    table: Any, *, labels: Mapping[Any, str] | None = None, missing: str = MISSING
) -> WordedTable:
    """Word any result table by the kind of each cell.

    Args:
        table: a result table at full precision.
        labels: names for readers by column.
        missing: what stands where there is no value; where `suppressed` says that a count of the
            row was hidden, the cell says so instead.

    Examples:
        >>> table = pd.DataFrame({"site": ["North"], "n_patients": [6214], "estimate": [None]})
        >>> word_table(table).words.values.tolist()
        [['North', '6,214', '–']]
    """
    numbers = as_pandas(table)
    gone = missing_cells(numbers, otherwise=missing)
    words = {
        column_label(name, labels=labels): [
            format_value(value, missing=nothing)
            for value, nothing in zip(numbers[name], gone, strict=True)
        ]
        for name in numbers.columns
        if name != SUPPRESSED
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def missing_cells(numbers: pd.DataFrame, *, otherwise: str = MISSING) -> list[str]:
    """Return what to write for a missing count of each row: hidden on purpose, or not there.

    Examples:
        >>> missing_cells(pd.DataFrame({"n": [None, None], "suppressed": [1, 0]}))
        ['suppressed', '–']
    """
    if SUPPRESSED not in numbers.columns:
        return [otherwise] * len(numbers)
    return [SUPPRESSED if cells > 0 else otherwise for cells in numbers[SUPPRESSED].fillna(0)]


def count_cells(counts: pd.Series, missing: Sequence[str]) -> list[str]:
    """Return counts as text, each with its own word for nothing.

    Examples:
        >>> count_cells(pd.Series([1200, None]), ["–", "suppressed"])
        ['1,200', 'suppressed']
    """
    return [format_count(n, missing=gone) for n, gone in zip(counts, missing, strict=True)]


def table_html(words: pd.DataFrame, *, caption: str = "") -> str:
    """Return a plain table in HTML with its caption, for the page as for a screen reader.

    Args:
        words: one text a cell; the first column names the row.
        caption: what the table shows.

    Examples:
        >>> print(table_html(pd.DataFrame({"Site": ["<b>"], "N": ["12"]}), caption="Visits"))
        <table class="loyalty-table">
        <caption>Visits</caption>
        <thead><tr><th scope="col" style="text-align:left">Site</th>\
<th scope="col" class="number">N</th></tr></thead>
        <tbody>
        <tr><th scope="row" style="text-align:left">&lt;b&gt;</th><td class="number">12</td></tr>
        </tbody>
        </table>
    """
    numeric = _numeric_columns(words)
    head = "".join(
        _cell("th", name, number, ' scope="col"')
        for name, number in zip(words.columns, numeric, strict=True)
    )
    rows = [_row(cells, numeric) for cells in words.itertuples(index=False, name=None)]
    empty = f'<tr><td colspan="{len(words.columns)}" class="missing">no rows</td></tr>'
    return "\n".join(
        [
            '<table class="loyalty-table">',
            *([f"<caption>{html.escape(caption)}</caption>"] if caption else []),
            f"<thead><tr>{head}</tr></thead>",
            "<tbody>",
            *(rows or [empty]),
            "</tbody>",
            "</table>",
        ]
    )


def _numeric_columns(words: pd.DataFrame) -> list[bool]:
    """Say which columns hold figures; one that says nothing stands like its neighbour."""
    numeric = [False, *(_is_numeric(words.iloc[:, i]) for i in range(1, words.shape[1]))]
    for i in range(1, len(numeric)):
        if len(words) and all(str(v) and _says_nothing(v) for v in words.iloc[:, i]):
            numeric[i] = numeric[i - 1] if i > 1 else any(numeric[2:3])
    return numeric


def _is_numeric(column: Iterable[Any]) -> bool:
    cells = [str(cell) for cell in column if not _says_nothing(cell)]
    return bool(cells) and all(_FIGURES.match(cell) for cell in cells)


def _says_nothing(cell: Any) -> bool:
    return (
        is_missing(cell) or str(cell) in {MISSING, SUPPRESSED, ""} or str(cell).startswith("not ")
    )


def _row(cells: tuple[Any, ...], numeric: list[bool]) -> str:
    first, *rest = cells
    stub = _cell("th", first, False, ' scope="row"')
    others = [_cell("td", v, number) for v, number in zip(rest, numeric[1:], strict=True)]
    return f"<tr>{stub}{''.join(others)}</tr>"


def _cell(tag: str, value: Any, number: bool, scope: str = "") -> str:
    kinds = ["number"] if number else []
    if tag == "td" and _says_nothing(value):
        kinds.append("missing")
    class_ = f' class="{" ".join(kinds)}"' if kinds else ""
    # JupyterLab aligns every cell to the right unless the cell itself says otherwise.
    style = "" if number else ' style="text-align:left"'
    return f"<{tag}{scope}{class_}{style}>{html.escape(str(value))}</{tag}>"
