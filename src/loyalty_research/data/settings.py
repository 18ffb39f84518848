"""What a study says about itself: the settings of `study.toml`, checked before data are read."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from loyalty_research.data.arguments import suggest
from loyalty_research.data.contract import CONTRACT, ColumnType
from loyalty_research.errors import UsageError

SETTINGS_FILE = "study.toml"

Encoding = Literal["utf-8", "utf-8-sig", "gb18030"]
# GB18030 contains GBK and GB2312, the names older systems give to the same bytes.
_ENCODING_ALIASES = {
    "utf8": "utf-8",
    "utf-8-bom": "utf-8-sig",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "cp936": "gb18030",
}
# How pydantic's kinds of fault begin -> what was expected instead.
_EXPECTED = {
    "date": "is not a date; write it as 2024-12-31, without quotes",
    "bool": "is neither true nor false; write one of them, without quotes",
    "string_too": 'is not one single character; write it as "," or "\\t"',
    "string": "is not text; write it in quotes",
    "tuple": 'is neither text nor a list; write it as "..." or as ["...", "..."]',
    "dict": "is not a list of names with values; write it as { name = ... }",
    "model": "is not a section; write its settings below a line of its name in brackets",
    "invalid_key": "has a name that is not text; write it in quotes",
}
_DIRECTIVES = re.compile(r"%-?[aAbBcdfgGHIjmMnpSuUVwWxXyYzZ%]")


def _encoding(value: object) -> object:
    name = str(value).lower().replace("_", "-")
    return _ENCODING_ALIASES.get(name, name)


def _formats(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _code(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


EncodingName = Annotated[Encoding, BeforeValidator(_encoding)]
Formats = Annotated[tuple[str, ...], BeforeValidator(_formats)]
Code = Annotated[str, BeforeValidator(_code)]


class TableSettings(BaseModel):
    """Where one table is found, and how its columns and codes map to the contract.

    What is left out is taken from the study's settings, or from the table's name: without `file`,
    `visits` is looked for as `visits.parquet`, `visits.csv`, or a folder `visits`. An optional
    column whose source is named "" under `columns` is left out, whatever the source holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str | None = Field(default=None, description="file, folder of files, or DuckDB file")
    files: str | None = Field(
        default=None, description="pattern of many files, such as visits/*.csv"
    )
    table: str | None = Field(default=None, description="name of the table inside a DuckDB file")
    format: Literal["csv", "parquet", "duckdb"] | None = Field(
        default=None, description="how to read it; else the file's ending tells"
    )
    delimiter: str | None = Field(default=None, min_length=1, max_length=1, description="CSV only")
    encoding: EncodingName | None = Field(default=None, description="CSV only")
    date_format: Formats | None = Field(
        default=None, description="strptime format of dates in text"
    )
    timestamp_format: Formats | None = Field(default=None, description="the same for times")
    formats: dict[str, Formats] = Field(default={}, description="strptime format of single columns")
    columns: dict[str, str] = Field(
        default={}, description="contract column = column in the source"
    )
    codes: dict[str, dict[Code, Code]] = Field(
        default={},
        description="per column: code in the source = code of the contract; empty = missing",
    )
    extra: dict[str, ColumnType] = Field(
        default={}, description="types of columns beyond the contract"
    )

    def formats_of(self, column: str, kind: ColumnType) -> tuple[str, tuple[str, ...]]:
        """Return the setting that states the formats of a date or time column, with its formats.

        Examples:
            >>> TableSettings(date_format="%d.%m.%Y").formats_of("visit_date", "date")
            ('date_format', ('%d.%m.%Y',))
        """
        if self.formats.get(column):
            return f"formats.{column}", self.formats[column]
        if kind == "timestamp":
            return "timestamp_format", self.timestamp_format or ()
        return "date_format", self.date_format or ()


class StudySettings(BaseModel):
    """All a study states about its data; `data_cutoff` has no default because no data show it.

    Examples:
        >>> settings = parse_settings({"data_cutoff": "2024-12-31", "encoding": "gbk"})
        >>> settings.data_cutoff.isoformat(), settings.encoding
        ('2024-12-31', 'gb18030')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="study", description="the study's name, printed in every report")
    data_cutoff: date = Field(
        description="last day on which a visit would have been recorded in these data"
    )
    time_zone: str = Field(
        default="UTC", description="IANA name; times with a zone are converted to it"
    )
    simulated: bool = Field(default=False, description="true marks every report as SIMULATED")
    encoding: EncodingName = Field(default="utf-8", description="utf-8, utf-8-sig or gb18030")
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="of CSV files")
    date_format: Formats = Field(
        default=("%Y-%m-%d",), description="strptime format, or a list of them"
    )
    timestamp_format: Formats = Field(
        default=("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"),
        description="the same for times; with %z a time names its own zone",
    )
    tables: dict[str, TableSettings] = Field(default={}, description="one section a table")

    def of(self, table: str) -> TableSettings:
        """Return the settings of one table, with the study's own filled in where it has none."""
        stated = self.tables.get(table, TableSettings())
        inherited = ("encoding", "delimiter", "date_format", "timestamp_format")
        missing = {name: getattr(self, name) for name in inherited if getattr(stated, name) is None}
        return stated.model_copy(update=missing)


def read_settings(folder: str | Path, *, mapping: Mapping[str, Any] | None = None) -> StudySettings:
    """Return the settings of the study in a folder.

    Args:
        folder: folder that may hold a `study.toml`.
        mapping: settings that win over those of the file, key by key and table by table.

    Returns:
        The checked settings; the study is named after the folder unless it names itself.

    Raises:
        UsageError: There is neither a file nor a `data_cutoff` in the mapping; or the file is not
            TOML, a key is unknown or a value cannot be meant, all at once.

    Examples:
        >>> read_settings("no-such-folder", mapping={"data_cutoff": "2024-12-31"}).name
        'no-such-folder'
    """
    folder = Path(folder)
    path = folder / SETTINGS_FILE
    mapping = mapping or {}
    if not path.is_file() and "data_cutoff" not in mapping:
        command = shlex.join(["loyalty", "data", "init", str(folder)])
        raise UsageError(f'there is no {path.name} in "{folder}"; have one proposed by: {command}')
    stated = read_toml(path) if path.is_file() else {}
    named = {"name": folder.resolve().name or "study"}
    source = path.name if path.is_file() else "mapping"
    return parse_settings(merge_settings({**named, **stated}, mapping), source=source)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the content of a TOML file, also one that an editor began with a byte order mark.

    Args:
        path: the file.

    Returns:
        The file's keys and values.

    Raises:
        UsageError: The file is missing, not UTF-8 or not TOML.

    Examples:
        >>> read_toml("no-such-file.toml")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: no-such-file.toml: there is no such file
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"{path.name}: there is no such file") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path.name}: the file is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path.name}: not valid TOML: {error}") from None


def merge_settings(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which the second mapping wins, key by key at every depth.

    Args:
        base: settings as nested mappings.
        over: settings that win.

    Returns:
        A new mapping.

    Examples:
        >>> merge_settings({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}, "b": 4})
        {'a': {'x': 1, 'y': 3}, 'b': 4}
    """
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge_settings(merged[key], value) if both else value
    return merged


def parse_settings(values: Mapping[str, Any], *, source: str = "mapping") -> StudySettings:
    """Return checked settings, or name everything that is wrong with them.

    Args:
        values: settings as nested mappings, as in `study.toml`.
        source: what the message names as their origin.

    Returns:
        The checked settings.

    Raises:
        UsageError: A key is unknown or a value cannot be meant; the message lists all of them.

    Examples:
        >>> parse_settings({"data_cutof": "2024-12-31"})
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: mapping: 2 settings cannot be used:
          data_cutoff is missing; state the last day on which a visit would have been recorded
          data_cutof is not a setting; did you mean "data_cutoff"?
    """
    settings, refused = _validated(values)
    if refused:
        # What is well formed is checked for its meaning as well, so that one run names every fault.
        kept = _without(values, [fault["loc"] for fault in refused])
        settings, _ = _validated({"data_cutoff": date.max, **kept})
    faults = [*map(_worded, refused), *(_meant_otherwise(settings) if settings else ())]
    if faults or settings is None:
        head = f"{len(faults)} setting{'s' if len(faults) != 1 else ''} cannot be used:"
        raise UsageError("\n  ".join([f"{source}: {head}", *faults]))
    return settings


def _validated(values: Mapping[str, Any]) -> tuple[StudySettings | None, list[Any]]:
    try:
        return StudySettings.model_validate(dict(values)), []
    except ValidationError as error:
        return None, list(error.errors(include_url=False, include_input=False))


def _without(values: Mapping[str, Any], places: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    """Return a copy of nested settings that lacks the named places."""
    kept = merge_settings({}, values)
    for place in places:
        inner: Any = kept
        for key in place[:-1]:
            if not isinstance(inner.get(key), Mapping):
                place = (*place[: place.index(key)], key)
                break
            inner[key] = dict(inner[key])
            inner = inner[key]
        inner.pop(place[-1], None)
    return kept


def _worded(fault: Any) -> str:
    """Return one of pydantic's faults in this project's words."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        model = TableSettings if len(fault["loc"]) > 1 else StudySettings
        return f"{where} is not a setting{suggest(str(fault['loc'][-1]), model.model_fields)}"
    if where == "data_cutoff" and fault["type"] == "missing":
        return f"{where} is missing; state the last day on which a visit would have been recorded"
    return f"{where} {_repair(fault)}"


def _repair(fault: Any) -> str:
    kind = fault["type"]
    if kind == "literal_error":
        choices = fault["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        return f"is none of {choices}"
    for start, words in _EXPECTED.items():
        if kind.startswith(start):
            return words
    return f"cannot be used: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _meant_otherwise(settings: StudySettings) -> Iterator[str]:
    """Yield what is well formed but contradicts the contract or itself."""
    if not _is_zone(settings.time_zone):
        near = suggest(settings.time_zone, available_timezones())
        yield f'time_zone "{settings.time_zone}" is not an IANA name such as Asia/Shanghai{near}'
    yield from _bad_formats("", [*settings.date_format, *settings.timestamp_format])
    for name, table in settings.tables.items():
        if name not in CONTRACT:
            yield f"tables.{name} is not a table of the contract{suggest(name, CONTRACT)}"
        else:
            yield from _table_meant_otherwise(name, table)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _table_meant_otherwise(name: str, table: TableSettings) -> Iterator[str]:
    where, contract = f"tables.{name}.", CONTRACT[name].by_name
    if table.file and table.files:
        yield f"{where}file and {where}files are both given; keep one"
    for column in [*table.columns, *table.codes]:
        if column not in contract:
            near = suggest(column, contract)
            yield f"{where}{column} is not a column of the contract{near}"
    for column, source in table.columns.items():
        if not source and column in contract and contract[column].required:
            yield f"{where}columns.{column} is empty, but required; name the source's column"
    for column in table.extra:
        if column in contract:
            yield f"{where}extra.{column} is a column of the contract; map it under columns"
    for column in table.formats:
        if column not in contract and column not in table.extra:
            near = suggest(column, [*contract, *table.extra])
            yield f"{where}formats.{column} is neither in the contract nor under extra{near}"
    yield from _bad_codes(name, table)
    single = (text for texts in table.formats.values() for text in texts)
    yield from _bad_formats(
        where, [*(table.date_format or ()), *(table.timestamp_format or ()), *single]
    )


def _bad_codes(name: str, table: TableSettings) -> Iterator[str]:
    for column, codes in table.codes.items():
        declared = CONTRACT[name].by_name.get(column)
        allowed = declared.choices if declared else ()
        for code in sorted(set(codes.values()) - {""}):
            if allowed and code not in allowed:
                near = suggest(code, allowed)
                where = f"tables.{name}.codes.{column}"
                yield f'{where}: "{code}" is none of {", ".join(allowed)}{near}'


def _bad_formats(where: str, formats: list[str]) -> Iterator[str]:
    for text in formats:
        if "%" not in text or "%" in _DIRECTIVES.sub("", text):
            yield f'{where}date format "{text}" is not a strptime format such as %Y-%m-%d'
