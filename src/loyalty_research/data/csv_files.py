"""CSV files as text: their header, their encoding, and the SQL that reads them."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from loyalty_research.data.settings import TableSettings
from loyalty_research.data.sql import text
from loyalty_research.errors import DataError, Fault, SetupError

_ENDINGS = (".csv", ".tsv", ".txt")
_CHUNK = 1 << 22
# Four or more Chinese characters in UTF-8. Text that is GB18030 looks like this by chance in fewer
# than one of 10**10 such runs, so one run is proof enough once its whole line is UTF-8.
_UTF8_CHINESE = re.compile(rb"(?:[\xe4-\xe9][\x80-\xbf]{2}){4}")


def csv_suffix(path: Path) -> bool:
    """Tell whether a file's name says that it is delimited text, compressed or not.

    Args:
        path: the file.

    Returns:
        True for .csv, .tsv and .txt, also followed by .gz.

    Examples:
        >>> csv_suffix(Path("a.csv.gz")), csv_suffix(Path("a.parquet"))
        (True, False)
    """
    return path.name.lower().removesuffix(".gz").endswith(_ENDINGS)


def csv_reader(
    table: str, files: tuple[Path, ...], settings: TableSettings, *, scratch: Path
) -> tuple[str, list[str], tuple[Path, ...]]:
    """Return the SQL that reads the files as text, with the names in their header.

    Every column is read as text: an identifier `0012` stays `0012`, and a date is read by the
    format the study states, never by a guess. In the SQL the columns are called c0, c1, ...

    Args:
        table: name of the table in the contract.
        files: the files, at least one, all with the same header.
        settings: the table's settings with the study's filled in.
        scratch: private folder for copies in UTF-8.

    Returns:
        What follows FROM, its last bracket left open for more options; the header's names; the
        paths that are read, which for GB18030 are those of the copies.

    Raises:
        DataError: A file is empty, has another header, or is not in the stated encoding.
    """
    names = _common_header(table, files, settings)
    if settings.encoding == "gb18030":
        files = tuple(_transcoded(table, path, scratch) for path in files)
    # DuckDB takes *, ? and [ in a path for wildcards; in brackets they stand for themselves.
    paths = ", ".join(text(re.sub(r"([*?\[])", r"[\1]", str(f.absolute()))) for f in files)
    columns = ", ".join(f"c{i}: 'VARCHAR'" for i in range(len(names)))
    delimiter = text(settings.delimiter or ",")
    reader = (
        f"read_csv([{paths}], header=true, auto_detect=false, delim={delimiter}"
        f""", quote='"', escape='"', columns={{{columns}}}"""
    )
    return reader, names, files


def _common_header(table: str, files: tuple[Path, ...], settings: TableSettings) -> list[str]:
    headers = [read_header(table, path, settings) for path in files]
    others = sum(header != headers[0] for header in headers)
    if others:
        message = f"{others:,} of {len(files):,} files have another header than the first"
        repair = "give every file the same columns in the same order"
        raise DataError([Fault(table, "", others, message, repair)])
    folded = [name.casefold() for name in headers[0]]
    twice = len(folded) - len(set(folded))
    if twice:
        message = f'{twice} column names appear twice in the header of "{files[0].name}"'
        raise DataError([Fault(table, "", twice, message, "rename them in the source")])
    return headers[0]


def read_header(table: str, path: Path, settings: TableSettings) -> list[str]:
    """Return the column names of a CSV file; a column without a name is called by its number.

    Args:
        table: which table a fault is reported for.
        path: the file.
        settings: delimiter and encoding of the file.

    Returns:
        Names in the order of the file, without surrounding blanks.

    Raises:
        DataError: The file is empty, or its first line is not in the stated encoding.
    """
    encoding = "gb18030" if settings.encoding == "gb18030" else "utf-8-sig"
    # Python decodes ahead of the line it gives, so foreign bytes of later lines must not stop it.
    with (
        open_bytes(path) as raw,
        io.TextIOWrapper(raw, encoding, errors="surrogateescape", newline="") as lines,
    ):
        try:
            header = next(csv.reader(lines, delimiter=settings.delimiter or ","), [])
        except csv.Error:
            header = []
    if any("\udc80" <= character <= "\udcff" for name in header for character in name):
        raise DataError([encoding_fault(table, path, settings.encoding, 1, 1)])
    if not header:
        fault = Fault(table, "", 1, f'"{path.name}" has no header line', "export it again")
        raise DataError([fault])
    return [name.strip() or f"column_{i}" for i, name in enumerate(header, 1)]


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading bytes, through gzip when its name ends in .gz.

    Args:
        path: the file.

    Returns:
        The open file.
    """
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.GzipFile(path, "rb"))
    return path.open("rb")


def encoding_fault(
    table: str, path: Path, encoding: str | None, count: int, first_line: int
) -> Fault:
    """Return the fault of a file that is not, or not throughout, in the stated encoding.

    Args:
        table: name of the table.
        path: the file.
        encoding: the encoding stated in the settings.
        count: lines in another encoding.
        first_line: number of the first of them, the header being line 1.

    Returns:
        The fault.
    """
    many = f"{count:,} lines are" if count > 1 else "a line is"
    message = f'"{path.name}" is not {encoding} throughout: {many} in another encoding'
    repair = "state the encoding in study.toml, or save the file in one encoding (UTF-8)"
    return Fault(table, "", count, f"{message}, first at line {first_line:,}", repair)


def _transcoded(table: str, path: Path, scratch: Path) -> Path:
    """Write a UTF-8 copy of a GB18030 file, because DuckDB reads UTF-8; stream, never load."""
    # mkstemp makes the copy readable to its owner only.
    handle, name = tempfile.mkstemp(suffix=".csv", prefix=f"{table}-", dir=scratch)
    decoder = codecs.getincrementaldecoder("gb18030")("strict")
    with open_bytes(path) as source, os.fdopen(handle, "wb") as copy:
        for chunk in _whole_lines(source):
            try:
                decoded = decoder.decode(chunk)
            except UnicodeDecodeError:
                decoded = ""
            if not decoded or _holds_utf8(chunk):
                raise DataError([_mixed(table, path)]) from None
            try:
                copy.write(decoded.encode("utf-8"))
            except OSError as error:
                message = f"the temporary folder cannot hold a copy of {table}: {error.strerror}"
                raise SetupError(f"{message}; set TMPDIR to a larger disk") from None
    return Path(name)


def _whole_lines(source: IO[bytes]) -> Iterator[bytes]:
    """Yield large pieces of a file that end where a line ends."""
    while chunk := source.read(_CHUNK):
        yield chunk + source.readline()


def _holds_utf8(chunk: bytes) -> bool:
    """Tell whether a piece of a GB18030 file has a line that is Chinese text in UTF-8."""
    for match in _UTF8_CHINESE.finditer(chunk):
        start, end = chunk.rfind(b"\n", 0, match.start()) + 1, chunk.find(b"\n", match.end())
        if _decodes(chunk[start : end if end >= 0 else None], "utf-8"):
            return True
    return False


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _mixed(table: str, path: Path) -> Fault:
    """Count the foreign lines of a file that is known to have some."""
    count, first = 0, 0
    with open_bytes(path) as lines:
        for number, line in enumerate(lines, 1):
            if not _decodes(line, "gb18030") or _holds_utf8(line):
                count, first = count + 1, first or number
    return encoding_fault(table, path, "gb18030", count, first)
