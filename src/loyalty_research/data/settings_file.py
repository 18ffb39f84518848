"""A `study.toml` written for people: every setting with its meaning, every gap as a comment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from loyalty_research.data.contract import CONTRACT, Column, Table
from loyalty_research.data.settings import StudySettings, TableSettings
from loyalty_research.errors import SetupError, UsageError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def write_settings(settings: StudySettings, path: str | Path, *, notes: Sequence[str] = ()) -> Path:
    """Write the settings of a study; a file that is there already is never touched.

    Args:
        settings: the settings; without a `data_cutoff` its line is left open as a comment.
        path: the file to write, usually `study.toml` in the study's folder.
        notes: sentences that stand as comments at the head of the file, or above the table they
            are about when they begin with its name, as in `visits: ...`.

    Returns:
        The path of the file.

    Raises:
        UsageError: The file exists.
        SetupError: The file cannot be written.
    """
    path, text = Path(path), settings_text(settings, notes=notes)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        message = f"{path.name} exists and is never overwritten; move it away or edit it"
        raise UsageError(message) from None
    except OSError as error:
        raise SetupError(f"{path.name} cannot be written: {error.strerror}") from None
    return path


def settings_text(settings: StudySettings, *, notes: Sequence[str] = ()) -> str:
    """Return the settings as commented TOML that reads back as the same settings.

    Args:
        settings: the settings.
        notes: sentences for the head of the file, or for the table they begin with.

    Returns:
        Text of a `study.toml`.

    Examples:
        >>> from loyalty_research.data.settings import parse_settings
        >>> text = settings_text(parse_settings({"data_cutoff": "2024-12-31", "name": "north"}))
        >>> print("\\n".join(line for line in text.splitlines()[:3]))
        name = "north"  # the study's name, printed in every report
        data_cutoff = 2024-12-31  # last day on which a visit would have been recorded in these data
        time_zone = "UTC"  # IANA name; times with a zone are converted to it
    """
    lines = [_comment(note) for note in notes if note.split(":")[0] not in CONTRACT]
    for name, field in StudySettings.model_fields.items():
        if name != "tables":
            lines.append(f"{_line(name, getattr(settings, name))}  # {field.description}")
    for table in CONTRACT.values():
        lines.append("")
        lines += [_comment(note) for note in notes if note.split(":")[0] == table.name]
        lines += _section(table, settings.tables.get(table.name))
    return "\n".join(lines) + "\n"


def _comment(note: str) -> str:
    # TOML allows no control character in a comment, and a column's name may hold any.
    return f"# {' '.join(''.join(c if c.isprintable() else ' ' for c in note).split())}"


def _line(name: str, value: object) -> str:
    if value is None:
        return f"# {name} = YYYY-MM-DD"
    return f"{_key(name)} = {_value(value)}"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return _value(value[0]) if len(value) == 1 else f"[{', '.join(map(_value, value))}]"
    if not isinstance(value, str):
        return str(value)
    # JSON escapes what TOML needs escaped, but for the delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _section(table: Table, settings: TableSettings | None) -> Iterator[str]:
    """Yield one table's section, commented throughout when the study has no such table."""
    off = "" if settings else "# "
    settings = settings or TableSettings(file="")
    yield f"{off}[tables.{table.name}]  # {table.grain}{_enables(table)}"
    plain = settings.model_dump(exclude_none=True)
    for name, value in plain.items():
        if not isinstance(value, dict):
            yield f"{off}{_line(name, value)}"
    yield from _columns(table, settings, off)
    for name in ("formats", "extra"):
        if plain[name]:
            yield f"[tables.{table.name}.{name}]"
            yield from (_line(column, value) for column, value in plain[name].items())
    for column, codes in settings.codes.items():
        yield f"[tables.{table.name}.codes.{column}]"
        yield from (_line(old, new) for old, new in codes.items())


def _enables(table: Table) -> str:
    return "; required" if table.required else f"; optional, for {table.enables}"


def _columns(table: Table, settings: TableSettings, off: str) -> Iterator[str]:
    """Yield the mapping of every column of the contract; those without one as comments."""
    meaning = 'contract column = column in the source; "" leaves an optional one out'
    yield f"{off}[tables.{table.name}.columns]  # {meaning}"
    for column in table.columns:
        stated = settings.columns.get(column.name)
        gap = "# " if stated is None else ""
        yield f"{gap}{_line(column.name, stated or '')}  # {_hint(column)}"


def _hint(column: Column) -> str:
    required = ", required" if column.required else ""
    choices = f": {', '.join(column.choices)}" if column.choices else ""
    return f"{column.type}{required}; {column.meaning}{choices}"
