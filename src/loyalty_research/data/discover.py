"""A first `study.toml` for a folder of files that nobody has described yet.

Everything here is a guess to be confirmed: tables by file name or columns, columns by name or
synonym, encoding, delimiter, date formats, and a `data_cutoff`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from loyalty_research.data.contract import CONTRACT, Table
from loyalty_research.data.csv_files import csv_suffix, open_bytes
from loyalty_research.data.opening import open_tables
from loyalty_research.data.settings import SETTINGS_FILE, StudySettings, parse_settings
from loyalty_research.data.synonyms import (
    CODE_WORDS,
    COLUMN_WORDS,
    DATE_FORMATS,
    TABLE_WORDS,
    TIME_FORMATS,
)
from loyalty_research.errors import UsageError

_LOOKED_AT_BYTES = 1 << 22
_LOOKED_AT_ROWS = 1_000
_DELIMITERS = (",", "\t", ";", "|")
_PARQUET_ENDINGS = (".parquet", ".pq")


class Proposal(NamedTuple):
    """Guessed settings, with sentences about what a person has to confirm or to add."""

    settings: StudySettings
    notes: list[str]


@dataclass(frozen=True)
class Looked:
    """What a look at the beginning of a file, or of several alike, showed."""

    pattern: str
    files: tuple[Path, ...]
    columns: tuple[str, ...]
    values: Mapping[str, Sequence[str]]
    settings: Mapping[str, str]


def propose_settings(folder: str | Path) -> Proposal:
    """Return settings guessed from the files of a folder, with notes on what has to be confirmed.

    Args:
        folder: folder with CSV or Parquet files, also in folders below it.

    Returns:
        The settings (`data_cutoff` is missing when no visit date was found), and sentences about
        every guess and every file or required column without a place. No value is quoted but the
        proposed day.

    Raises:
        UsageError: There is no such folder, nothing in it that could be a table, or a `study.toml`
            in it already.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UsageError(f'there is no folder "{folder}"')
    if (folder / SETTINGS_FILE).exists():
        raise UsageError(
            f"{SETTINGS_FILE} exists and is never overwritten; move it away or edit it"
        )
    looked, notes = _look(folder)
    if not looked:
        raise UsageError(f'"{folder.name}" holds no CSV or Parquet file; put the tables there')
    placed, unplaced = _place(looked)
    notes += [f'"{file.pattern}" is none of the tables of the contract' for file in unplaced]
    tables: dict[str, Any] = {}
    for name in (name for name in CONTRACT if name in placed):
        tables[name], remarks = _table_settings(CONTRACT[name], placed[name])
        notes += remarks
    notes += [
        f"{t.name} was not found" for t in CONTRACT.values() if t.required and t.name not in tables
    ]
    return _with_cutoff(folder, {"name": folder.resolve().name, "tables": tables}, notes)


def _look(folder: Path) -> tuple[list[Looked], list[str]]:
    """Look at every file once; files that differ in the digits of their name only are one table."""
    looked: dict[tuple[str, tuple[str, ...]], Looked] = {}
    notes = []
    for path in _visible_files(folder):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in _PARQUET_ENDINGS or csv_suffix(path):
            found = _look_at(path, name)
            if found is None:
                notes.append(f'"{name}" cannot be read as UTF-8, GB18030 or Parquet')
                continue
            key = (re.sub(r"\d+", "*", name), found.columns)
            siblings = looked[key].files if key in looked else ()
            pattern = key[0] if siblings else name
            looked[key] = Looked(
                pattern, (*siblings, path), found.columns, found.values, found.settings
            )
        elif path.suffix.lower() in (".duckdb", ".xlsx", ".xls"):
            notes.append(f'"{name}" was not looked into; export its tables, or map them by hand')
    return list(looked.values()), notes


def _visible_files(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(p for p in paths if not re.search(r"(^|/)\.", p.relative_to(folder).as_posix()))


def _look_at(path: Path, name: str) -> Looked | None:
    if path.suffix.lower() in _PARQUET_ENDINGS:
        return _look_at_parquet(path, name)
    with open_bytes(path) as file:
        head = file.read(_LOOKED_AT_BYTES)
    # A character, or a line, may be cut in two where looking ended.
    head = head[: head.rfind(b"\n") + 1] or head
    decoded = _decoded(head)
    if decoded is None:
        return None
    text, encoding = decoded
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    rows = list(_rows(text, delimiter))
    columns = tuple(cell.strip() for cell in rows[0]) if rows else ()
    values = {column: [r[i] for r in rows[1:] if i < len(r)] for i, column in enumerate(columns)}
    stated = {"encoding": encoding, "delimiter": delimiter}
    usual = {"encoding": "utf-8", "delimiter": ","}
    return Looked(
        name, (path,), columns, values, {k: v for k, v in stated.items() if v != usual[k]}
    )


def _decoded(head: bytes) -> tuple[str, str] | None:
    if head.startswith(b"\xef\xbb\xbf"):
        return head.decode("utf-8-sig", errors="replace"), "utf-8-sig"
    for encoding in ("utf-8", "gb18030"):
        try:
            return head.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return None


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the first rows; a line the reader refuses ends the look, as validation will name it."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for number, row in enumerate(reader):
            if number > _LOOKED_AT_ROWS:
                return
            yield row
    except csv.Error:
        return


def _look_at_parquet(path: Path, name: str) -> Looked | None:
    try:
        with pq.ParquetFile(path) as file:
            batch: Any = next(file.iter_batches(_LOOKED_AT_ROWS), None)
            schema = file.schema_arrow
    except (pa.ArrowException, OSError):
        return None
    texts = [field.name for field in schema if pa.types.is_string(field.type)] if batch else []
    values = {name: [value for value in batch[name].to_pylist() if value] for name in texts}
    return Looked(name, (path,), tuple(schema.names), values, {})


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "", word.casefold())


def _matched(table: Table, columns: Iterable[str]) -> dict[str, str]:
    """Return contract column -> column of the file, by name first, else by synonym."""
    plain = {_plain(column): column for column in columns}
    matched: dict[str, str] = {}
    for column in table.columns:
        words = [_plain(word) for word in (column.name, *COLUMN_WORDS.get(column.name, ()))]
        found = next((plain[word] for word in words if word in plain), None)
        if found is not None and found not in matched.values():
            matched[column.name] = found
    return matched


def _score(table: Table, file: Looked) -> float:
    """Return how much speaks for a file being a table; 0 when too little does."""
    matched = _matched(table, file.columns)
    required = {column.name for column in table.columns if column.required}
    stem = _plain(re.sub(r"\d+", "", Path(file.pattern).name.split(".")[0]))
    folder = _plain(Path(file.pattern).parent.name)
    words = {_plain(word) for word in (table.name, *TABLE_WORDS.get(table.name, ()))}
    named = bool(words & {stem, folder})
    own = required - {"patient_id", "facility_id"}
    found = len(required & matched.keys())
    enough = found >= len(required) - 1 and (own & matched.keys() or not own)
    if not named and not (enough and found):
        return 0
    return 10 * named + found / len(required) + len(matched) / 100


def _place(looked: Sequence[Looked]) -> tuple[dict[str, Looked], list[Looked]]:
    """Return each table's file, the best match first, and the files left over."""
    ranked = sorted(
        (
            (_score(table, file), name, i)
            for i, file in enumerate(looked)
            for name, table in CONTRACT.items()
        ),
        key=lambda match: (-match[0], match[2]),
    )
    placed: dict[str, Looked] = {}
    used: set[int] = set()
    for score, name, i in ranked:
        if score and name not in placed and i not in used:
            placed[name] = looked[i]
            used.add(i)
    return placed, [file for i, file in enumerate(looked) if i not in used]


def _table_settings(table: Table, file: Looked) -> tuple[dict[str, Any], list[str]]:
    matched = _matched(table, file.columns)
    key = "files" if len(file.files) > 1 else "file"
    notes = [
        f"{table.name}: no column for {column.name}, which is required"
        for column in table.columns
        if column.required and column.name not in matched
    ]
    notes += _unplaced_columns(table, matched, file)
    formats, ambiguous = _formats(table, matched, file)
    notes += ambiguous
    codes, unknown = _codes(table, matched, file)
    notes += unknown
    found = {key: file.pattern, **file.settings, "columns": matched}
    return {**found, "formats": formats, "codes": codes}, notes


def _unplaced_columns(table: Table, matched: Mapping[str, str], file: Looked) -> Iterator[str]:
    """Yield one note on the columns of a file that serve no column of the contract."""
    unplaced = [name for name in file.columns if name and name not in matched.values()]
    if not matched:
        # Without a header the first line holds a patient's values, which no note may quote.
        count = f"none of {len(unplaced)} columns was placed"
        yield f"{table.name}: {count}; is the first line a header?"
    elif unplaced:
        names = ", ".join(unplaced)
        yield (
            f"{table.name}: columns not placed: {names} "
            "(kept as extra columns; map them or leave them)"
        )


def _formats(
    table: Table, matched: Mapping[str, str], file: Looked
) -> tuple[dict[str, str], list[str]]:
    usual = {"date": "%Y-%m-%d", "timestamp": "%Y-%m-%d %H:%M:%S"}
    formats, notes = {}, []
    for name, source in matched.items():
        kind = table.by_name[name].type
        values = [value.strip() for value in file.values.get(source, ()) if value.strip()]
        if kind not in usual or not values:
            continue
        fitting = list(_fitting(values))
        if not fitting:
            notes.append(f"{table.name}: no known date format fits {name}; state it under formats")
        elif fitting[0] != usual[kind]:
            formats[name] = fitting[0]
        if len(fitting) > 1:
            other = ", ".join(fitting[1:])
            notes.append(f"{table.name}: {name} is read as {fitting[0]}, but {other} fits as well")
    return formats, notes


def _fitting(values: Sequence[str]) -> Iterator[str]:
    times = [f"{day}{gap}{time}" for day in DATE_FORMATS for time in TIME_FORMATS for gap in " T"]
    for text in (*DATE_FORMATS, *times):
        if all(_fits(value, text) for value in values):
            yield text


def _fits(value: str, text: str) -> bool:
    try:
        # A two-digit year fits %Y nowhere: strptime wants four digits.
        datetime.strptime(value, text)
    except ValueError:
        return False
    return True


def _codes(
    table: Table, matched: Mapping[str, str], file: Looked
) -> tuple[dict[str, dict[str, str]], list[str]]:
    codes, notes = {}, []
    for name, source in matched.items():
        column, words = table.by_name[name], CODE_WORDS.get(name, {})
        seen = {value.strip() for value in file.values.get(source, ()) if value.strip()}
        foreign = {value for value in seen if value.lower() not in column.choices}
        known = {value: words[value.lower()] for value in sorted(foreign) if value.lower() in words}
        if known:
            codes[name] = known
        unknown = len(foreign - known.keys())
        if column.choices and unknown:
            notes.append(f"{table.name}: {unknown} codes of {name} have to be mapped under codes")
    return codes, notes


def _with_cutoff(folder: Path, values: dict[str, Any], notes: list[str]) -> Proposal:
    """Add the last day with a visit, which is at best a lower bound of the true cut-off."""
    # The bound of dates in the engine, so that no visit is cut off while looking for the last.
    settings = parse_settings({**values, "data_cutoff": date.max})
    last = _last_visit(folder, settings)
    if last is None:
        notes = [*notes, "data_cutoff could not be guessed; state it"]
        # Only a person can state it; the file is written with an open line in its place.
        return Proposal(settings.model_copy(update={"data_cutoff": None}), notes)
    guess = f"data_cutoff = {last} is the last visit found, a guess: state the day of the export"
    return Proposal(settings.model_copy(update={"data_cutoff": last}), [guess, *notes])


def _last_visit(folder: Path, settings: StudySettings) -> date | None:
    opened = open_tables(folder, settings.model_dump())
    visits = opened.tables.get("visits")
    if visits is None or "visit_date" not in visits.casts:
        return None
    source = visits.source.sql_with("ignore_errors=true")
    query = f"SELECT max({visits.casts['visit_date'].typed}) FROM {source}"
    try:
        return opened.connection.execute(query).fetchall()[0][0]
    except duckdb.Error:
        return None
    finally:
        opened.connection.close()
