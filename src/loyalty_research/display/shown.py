"""What a notebook cell ends with: a table, a figure or a finding that carries its own numbers.

A notebook writes no file. The numbers at full precision travel in the cell's output, from which the
runner takes results, tables and figures.
"""

from __future__ import annotations

import base64
import html
import io
import math
import re
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from loyalty_research.display.disclosure import BASE, THRESHOLD
from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.tidy import as_pandas, require_audience
from loyalty_research.display.worded import WordedTable, table_html, word_table
from loyalty_research.display.words import format_date, is_missing, plural
from loyalty_research.errors import DisclosureError, UsageError

TABLE_MIME = "application/vnd.loyalty.table+json"
FINDING_MIME = "application/vnd.loyalty.finding+json"
# Twice the pixels of the page, so that text stays sharp on paper and on dense screens.
_PIXEL_RATIO = 2
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class ShownTable:
    """A table at the end of a cell: HTML for the reader, full precision for the runner."""

    name: str
    caption: str
    table: WordedTable = field(repr=False)
    max_rows: int | None = None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        numbers = self.table.numbers
        size = f"{plural(len(numbers), 'row')}, {plural(numbers.shape[1], 'column')}"
        return {
            TABLE_MIME: {"name": self.name, "caption": self.caption, **table_payload(numbers)},
            "text/html": self._html(),
            "text/plain": f"table {self.name}: {size}",
        }

    def _html(self) -> str:
        words = self.table.words
        left_out = 0 if self.max_rows is None else max(0, len(words) - self.max_rows)
        page = table_html(words.head(len(words) - left_out), caption=self.caption)
        more = f"and {plural(left_out, 'more row')}; tables/{self.name}.csv holds all of them"
        return f"{page}\n<p>{more}</p>" if left_out else page


@dataclass(frozen=True)
class ShownFigure:
    """A figure at the end of a cell: one image with its name, and its content in words."""

    name: str
    alt: str
    png: bytes = field(repr=False)
    width: int
    height: int

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        image = base64.b64encode(self.png).decode("ascii")
        size = {"width": self.width, "height": self.height}
        return (
            {"image/png": image, "text/plain": f"figure {self.name}"},
            {"image/png": {"alt": self.alt, "name": self.name, **size}},
        )


@dataclass(frozen=True)
class ShownFinding:
    """A sentence at the end of a cell, with the estimates that it states."""

    name: str
    sentence: str
    estimates: list[dict[str, Any]] = field(repr=False)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        finding = {"name": self.name, "sentence": self.sentence, "estimates": self.estimates}
        page = f'<p class="loyalty-finding">{html.escape(self.sentence)}</p>'
        return {FINDING_MIME: finding, "text/html": page, "text/plain": self.sentence}


def show_table(
    table: Any,
    *,
    name: str,
    caption: str,
    audience: str = "internal",
    max_rows: int | None = None,
) -> ShownTable:
    """Show a table to the reader and hand its numbers to the runner.

    Args:
        table: a result table at full precision, or one that a `..._table` function worded.
        name: short name for files and results: lower-case letters, digits, underscores.
        caption: one sentence saying what the table shows.
        audience: "publish" refuses a table whose counts (`n`, `n_...`) are small or not rounded.
        max_rows: the first rows that the page shows of a long table; the file holds all.

    Raises:
        UsageError: no caption, or a name that is none.
        DisclosureError: the audience is "publish" and a count could point at a patient.

    Examples:
        >>> shown = show_table(pd.DataFrame({"n": [12]}), name="visits", caption="Visits.")
        >>> shown._repr_mimebundle_()["text/plain"]
        'table visits: 1 row, 1 column'
    """
    worded = table if isinstance(table, WordedTable) else word_table(table)
    if require_audience(audience) == "publish":
        _refuse_small_counts(worded.numbers, name)
    return ShownTable(_checked_name(name), _checked_text(caption, "a caption"), worded, max_rows)


def show_figure(figure: Axes | Figure, *, name: str, alt: str) -> ShownFigure:
    """Show a figure at twice the page's resolution, the same bytes for the same drawing.

    Args:
        figure: a figure, or any axes of it.
        name: short name for files: lower-case letters, digits, underscores.
        alt: what the figure says, for those who cannot see it.

    Raises:
        UsageError: no alternative text, or a name that is none.
        SetupError: no installed font draws its text.

    Examples:
        >>> show_figure(Figure(), name="empty", alt="An empty figure.").width
        640
    """
    whole = figure.get_figure(root=True) if isinstance(figure, Axes) else figure
    if not isinstance(whole, Figure):
        raise UsageError("show_figure takes a matplotlib figure or axes")
    name, alt = _checked_name(name), _checked_text(alt, "an alternative text (alt)")
    fit_fonts(whole)
    width, height = (round(inches * whole.dpi) for inches in whole.get_size_inches())
    return ShownFigure(name, alt, _png(whole), width, height)


def show_finding(
    sentence: str, *, name: str, estimates: Any, audience: str = "internal"
) -> ShownFinding:
    """Show the sentence that answers the question, with the estimates it was made from.

    Args:
        sentence: generated from the numbers, never typed.
        name: short name for results: lower-case letters, digits, underscores.
        estimates: the rows behind the sentence, a table or a list of mappings.
        audience: "publish" refuses estimates whose counts (`n`, `n_...`) are small or not rounded.

    Raises:
        UsageError: no sentence, or a name that is none.
        DisclosureError: the audience is "publish" and a count could point at a patient.

    Examples:
        >>> rows = pd.DataFrame({"time": [365], "estimate": [0.552]})
        >>> show_finding("55.2 % stayed.", name="stay", estimates=rows).estimates
        [{'time': 365, 'estimate': 0.552}]
    """
    rows = pd.DataFrame(estimates) if isinstance(estimates, (list, tuple)) else as_pandas(estimates)
    if require_audience(audience) == "publish":
        _refuse_small_counts(rows, name)
    payload = table_payload(rows)
    names = [column["name"] for column in payload["columns"]]
    records = [dict(zip(names, row, strict=True)) for row in payload["rows"]]
    return ShownFinding(_checked_name(name), _checked_text(sentence, "a sentence"), records)


def table_payload(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as JSON: column names with types, and rows at full precision.

    Args:
        table: any result table; dates become ISO text, what is missing or infinite becomes null.

    Examples:
        >>> payload = table_payload(pd.DataFrame({"n": [1, None]}, dtype="Int64"))
        >>> payload
        {'columns': [{'name': 'n', 'type': 'integer'}], 'rows': [[1], [None]]}
    """
    columns = [{"name": str(name), "type": _json_type(table[name])} for name in table.columns]
    values = [
        [_json_value(v, column["type"]) for v in table[name]]
        for name, column in zip(table.columns, columns, strict=True)
    ]
    return {"columns": columns, "rows": [list(row) for row in zip(*values, strict=True)]}


def _json_type(column: pd.Series) -> str:
    kinds = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _json_type(column.astype(column.cat.categories.dtype))
    if kinds.is_bool_dtype(column):
        return "boolean"
    if kinds.is_integer_dtype(column):
        return "integer"
    if kinds.is_float_dtype(column):
        return "number"
    if kinds.is_datetime64_any_dtype(column):
        return "date"
    inferred = kinds.infer_dtype(column, skipna=True)
    return {
        "boolean": "boolean",
        "integer": "integer",
        "floating": "number",
        "mixed-integer-float": "number",
        "decimal": "number",
        "date": "date",
        "datetime": "date",
    }.get(inferred, "string")


def _json_value(value: Any, type_: str) -> Any:
    if is_missing(value):
        return None
    if type_ == "number":
        return float(value) if math.isfinite(value) else None
    if type_ == "date":
        return format_date(value) if hasattr(value, "hour") else value.isoformat()
    return {"boolean": bool, "integer": int}.get(type_, str)(value)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(
        buffer,
        format="png",
        dpi=_PIXEL_RATIO * figure.dpi,
        # The version of the drawing library would change the bytes of an unchanged figure.
        metadata={"Software": None},
    )
    # 256 colours are enough for lines and cells, and make a figure a third of the size.
    drawn = Image.open(buffer).convert("RGB")
    small = io.BytesIO()
    palette = drawn.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(small, format="PNG", optimize=True)
    return small.getvalue()


def _refuse_small_counts(table: pd.DataFrame, name: str) -> None:
    counts = [c for c in table.columns if str(c) == "n" or str(c).startswith("n_")]
    values = table[counts].apply(pd.to_numeric).astype("Float64")
    unsafe = int((((values > 0) & (values <= THRESHOLD)) | (values % BASE != 0)).sum().sum())
    if unsafe:
        raise DisclosureError(
            f"{name}: {plural(unsafe, 'count')} from 1 to {THRESHOLD} or not rounded to {BASE}; "
            "pass the table through suppress_small_counts before it is shown for publication"
        )


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError("a name has lower-case letters, digits and underscores only")
    return name


def _checked_text(text: str, what: str) -> str:
    if not text.strip():
        raise UsageError(f"give {what} that says what is shown")
    return text
