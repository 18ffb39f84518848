"""The page of a report: an executed notebook as one HTML file that can be read anywhere.

The page holds everything it shows and asks for nothing: no script, no code, no file beside it, no
network. It is built from the notebook's outputs by an own template with escaping switched on.
nbconvert was tried: its templates leave out the alternative text and keep the code, it does not
escape by itself, it reads the user's own Jupyter settings, and importing it takes three seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from nbformat import NotebookNode

from loyalty_research.errors import ReportError
from loyalty_research.reports.markup import Heading, from_markdown, settle

NOTICE = "For reference only, not a basis for diagnosis."
_FINDING = "application/vnd.loyalty.finding+json"
_IMAGES = ("image/png", "image/jpeg")
_READABLE = frozenset({*_IMAGES, "text/html", "text/markdown", "text/plain"})
_OWN = re.compile(r"application/vnd\.loyalty\.[a-z]+\+json\Z")
_COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PERCENT = re.compile(r"(?<=\d) (?=%)")
# A longer list of checks is not repeated in the record.
MOST_CHECKS = 20
RECORD = Heading(2, "record-of-this-run", "Record of this run")


@dataclass(frozen=True)
class Block:
    """One thing on the page: HTML to be cleaned, a figure, a finding, or plain text."""

    kind: Literal["html", "figure", "finding", "plain"]
    text: str
    source: str = ""
    width: int | None = None


def render_page(
    notebook: NotebookNode, *, manifest: Mapping[str, Any], language: str = "en"
) -> str:
    """Return the report page of an executed notebook.

    Args:
        notebook: as the kernel left it.
        manifest: the record of the run. Read are `title`, `report`, `run_id`, `started_at`,
            `parameters`, `data`, `package` and `checks`; the last may be empty.
        language: of the page's text, as an HTML language code.

    Returns:
        One HTML document without script, code or reference to any other file.

    Raises:
        ReportError: an output cannot stand on such a page: an error, a figure without alternative
            text, a script, a drawing in SVG, a widget. Every such output is listed.
    """
    blocks = list(page_blocks(notebook))
    html, contents = settle(block.text for block in blocks if block.kind == "html")
    # The fragments were cleaned by `settle`; everything else is escaped by the template.
    cleaned = iter([Markup(fragment) for fragment in html])
    body = [(block, next(cleaned) if block.kind == "html" else "") for block in blocks]
    page = (
        template_environment()
        .get_template("page.html.j2")
        .render(
            body=[pair for pair in body if pair[0].kind != "html" or pair[1].strip()],
            contents=[*contents, RECORD],
            findings=[block.text for block in blocks if block.kind == "finding"],
            checks=summarise_checks(manifest.get("checks", ())),
            language=language,
            notice=NOTICE,
            record=RECORD,
            run=manifest,
        )
    )
    # A line must not end between a number and its percent sign.
    return _PERCENT.sub("\u00a0", page)


def template_environment() -> Environment:
    """Return the templates of the pages, with everything escaped unless it was cleaned."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(day=show_day, moment=show_moment, value=show_value, count=show_count)
    return environment


def page_blocks(notebook: NotebookNode) -> Iterator[Block]:
    """Return what a page shows of a notebook, in order: its text and its outputs.

    Args:
        notebook: an executed notebook.

    Raises:
        ReportError: an output cannot stand on a page; every one is listed.
    """
    faults: list[str] = []
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            attachments = cell.get("attachments", {})
            yield Block("html", from_markdown(cell.source, attachments=attachments))
        for output in cell.get("outputs", ()):
            fault = _fault(output)
            if fault:
                faults.append(f"cell {number} {fault}")
            else:
                yield from _output_block(output)
    if faults:
        raise ReportError("\n  ".join(["the page cannot hold every output:", *faults]))


def _fault(output: NotebookNode) -> str:
    if output.output_type == "error":
        return "ended in an error; repair the notebook or its data"
    data = output.get("data", {})
    unknown = sorted(kind for kind in data if kind not in _READABLE and not _OWN.match(kind))
    if unknown:
        return f"shows {', '.join(unknown)}; end it with show_table, show_figure or show_finding"
    if _image(data) and not _alt(output):
        return "shows a figure without alternative text; end it with show_figure(..., alt=...)"
    return ""


def _output_block(output: NotebookNode) -> Iterator[Block]:
    if output.output_type == "stream":
        # What a library says on stderr is for whoever runs the report, not for its readers.
        if output.name == "stdout":
            yield Block("plain", _COLOUR_CODE.sub("", output.text))
        return
    data = output.data
    kind = _image(data)
    if _FINDING in data:
        yield Block("finding", data[_FINDING]["sentence"])
    elif kind:
        source = f"data:{kind};base64,{''.join(data[kind].split())}"
        yield Block("figure", _alt(output), source, _width(output))
    elif "text/html" in data:
        yield Block("html", data["text/html"])
    elif "text/markdown" in data:
        yield Block("html", from_markdown(data["text/markdown"], attachments={}))
    else:
        yield Block("plain", _COLOUR_CODE.sub("", data.get("text/plain", "")))


def _image(data: Mapping[str, Any]) -> str:
    return next((kind for kind in _IMAGES if kind in data), "")


def _alt(output: NotebookNode) -> str:
    described = output.metadata.get(_image(output.data), {})
    return str(described.get("alt", "")).strip()


def _width(output: NotebookNode) -> int | None:
    width = output.metadata.get(_image(output.data), {}).get("width")
    return width if isinstance(width, int) else None


def summarise_checks(checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many checks passed and which failed; informational ones do not count.

    Args:
        checks: rows of a CHECKS table, `passed` true, false or missing.

    Examples:
        >>> summary = summarise_checks([{"check": "keys", "passed": True, "message": ""}])
        >>> summary["sentence"], summary["failed"]
        ('1 of 1 checks passed', [])
    """
    judged = [row for row in checks if row["passed"] is not None]
    failed = [row for row in judged if not row["passed"]]
    passed = len(judged) - len(failed)
    short = f"{passed} of {len(judged)} passed" if judged else f"{len(checks)} for information"
    sentence = f"{passed} of {len(judged)} checks passed"
    # A page lists what did not pass; of a long list the rest is in the report's table of checks.
    listed = [row for row in checks if len(checks) <= MOST_CHECKS or not row["passed"]]
    return {"short": short, "sentence": sentence, "failed": failed, "rows": listed}


def show_day(value: str | date | None) -> str:
    """Return a date as read aloud.

    Examples:
        >>> show_day("2024-12-31"), show_day(None)
        ('31 December 2024', 'not known')
    """
    if not value:
        return "not known"
    day = date.fromisoformat(value[:10]) if isinstance(value, str) else value
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def show_moment(value: str | datetime | None) -> str:
    """Return a time of day with its date and zone.

    Examples:
        >>> show_moment("2025-01-05T10:12:33+00:00"), show_moment("2025-01-05T10:12:33+08:00")
        ('5 January 2025, 10:12 UTC', '5 January 2025, 10:12 UTC+08:00')
    """
    if not value:
        return "not known"
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{show_day(moment.date())}, {moment:%H:%M} {moment.tzname() or ''}".rstrip()


def show_value(value: Any) -> str:
    """Return the value of a parameter in words.

    Examples:
        >>> show_value(True), show_value(""), show_value([90, 180]), show_value({"a": 1})
        ('yes', 'not set', '90, 180', 'a = 1')
    """
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {show_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(show_value(item) for item in value)
    return str(value)


def show_count(value: int | None) -> str:
    """Return a count with its thousands set apart, or say that it is hidden.

    Examples:
        >>> show_count(400123)
        '400,123'
    """
    return "suppressed" if value is None else f"{value:,}"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
