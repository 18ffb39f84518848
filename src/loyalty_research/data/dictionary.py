"""The data dictionary, written from the contract so that the two cannot disagree.

`python -m loyalty_research.data.dictionary` writes `data/README.md` anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from loyalty_research.data.casting import FALSE_WORDS, TRUE_WORDS
from loyalty_research.data.contract import CONTRACT, Column, Table
from loyalty_research.data.rules import EARLIEST
from loyalty_research.data.settings import StudySettings, TableSettings

_INTRODUCTION = f"""# Data dictionary

Written by `python -m loyalty_research.data.dictionary`; edit `contract.py` instead.

A study is a folder of CSV or Parquet files, a DuckDB file, or frames in hand. `loyalty data init`
looks at a folder and writes a first `study.toml` into it; `loyalty data validate` lists everything
that breaks the contract below: with table, column, number of rows and repair, never with a value.

## How values are read

- **Missing**: an empty field of a CSV file, NULL, and NaN in a column of floats. Blanks count as
  missing as well, except in identifiers (a fault) and in texts.
- **id**: text, so `0012` stays `0012`; whole numbers stay numbers when every table that shares the
  identifier holds whole numbers. Must be a pseudonym.
- **text**: any text. **category**: one of the listed codes, upper or lower case; other codes are
  mapped under `codes`.
- **date**: `date_format` in text, whole numbers such as 20240131 included; a time is cut to its
  day, after conversion to the study's `time_zone` when it carries a zone. None lies before
  {EARLIEST}, and none after `data_cutoff` unless the column says so.
- **timestamp**: as a date, by `timestamp_format`, on the clock of the study's `time_zone`.
- **integer**: a whole number; a fraction is refused, never rounded. **number**: finite.
- **boolean**: {", ".join(TRUE_WORDS)} or {", ".join(FALSE_WORDS)}, upper or lower case.
- A column that refers to another table is looked up there when the study has that table.
- Columns beyond the contract are kept under their own names, to be used as covariates; in the type
  of the source, which is text for CSV unless `extra` states another.
"""


def data_dictionary() -> str:
    """Return the data dictionary as Markdown.

    Returns:
        Text of `data/README.md`.

    Examples:
        >>> data_dictionary().splitlines()[0]
        '# Data dictionary'
    """
    parts = [_INTRODUCTION, "## Tables\n", *_overview(), ""]
    for table in CONTRACT.values():
        parts += [*_section(table), ""]
    parts += ["## Settings of a study: `study.toml`\n", *_settings(StudySettings), ""]
    parts += ["### Settings of one table: `[tables.NAME]`\n", *_settings(TableSettings), ""]
    return "\n".join(parts)


def write_dictionary(path: str | Path) -> None:
    """Write the data dictionary to a file.

    Args:
        path: the file; what it held is replaced.
    """
    Path(path).write_text(data_dictionary(), encoding="utf-8")


def _overview() -> Iterator[str]:
    yield "| table | grain | key | needed for |"
    yield "|---|---|---|---|"
    for table in CONTRACT.values():
        needed = "everything: required" if table.required else table.enables
        link = f"[`{table.name}`](#{table.name})"
        yield f"| {link} | {table.grain} | {_names(table.key)} | {needed} |"


def _section(table: Table) -> Iterator[str]:
    required = "Required" if table.required else f"Optional; enables {table.enables}"
    yield f"### {table.name}\n"
    yield f"{table.grain[0].upper()}{table.grain[1:]}. {required}. Key: {_names(table.key)}.\n"
    yield "| column | type | present | missing values | meaning | what is held against it |"
    yield "|---|---|---|---|---|---|"
    for column in table.columns:
        present = "required" if column.required else "optional"
        missing = "allowed" if column.nullable else "refused"
        cells = [f"`{column.name}`", column.type, present, missing, column.meaning]
        yield f"| {' | '.join(cells)} | {'; '.join(_held_against(column))} |"


def _held_against(column: Column) -> Iterator[str]:
    if column.choices:
        yield f"one of {_names(column.choices)}"
    if column.unit:
        yield f"unit: {column.unit}"
    if column.minimum is not None:
        yield f"at least {column.minimum:g}"
    if column.maximum is not None:
        yield f"at most {column.maximum:g}"
    for earlier in column.not_before:
        yield f"not before `{earlier}`"
    if column.may_be_future:
        yield "may lie after `data_cutoff`"
    if column.references:
        yield f"is in `{column.references}`"
    if column.identifier:
        yield "identifier, never published"


def _settings(model: type[BaseModel]) -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for name, setting in model.model_fields.items():
        default = "none, required" if setting.is_required() else _default(setting.default)
        yield f"| `{name}` | {default} | {setting.description} |"


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return " or ".join(f"`{part}`" for part in value)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value else ""


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    write_dictionary(sys.argv[1] if len(sys.argv) > 1 else "data/README.md")
