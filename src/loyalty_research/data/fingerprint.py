"""What a study was read from, as hashes that move when a single byte or value moves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb


def file_digests(paths: Sequence[Path], *, folder: Path | None) -> list[dict[str, Any]]:
    """Return name, sha256 and size of every file, each read once and never held in memory.

    Args:
        paths: the files.
        folder: names inside it are given relative to it; other files by their name alone, so that
            no result depends on where a machine keeps its data.

    Returns:
        One mapping a file: path, sha256, bytes.

    Examples:
        >>> file_digests([], folder=None)
        []
    """
    return [_digest(path, folder) for path in paths]


def _digest(path: Path, folder: Path | None) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    inside = folder is not None and path.absolute().is_relative_to(folder.absolute())
    name = path.absolute().relative_to(folder.absolute()) if folder and inside else path.name
    return {
        "path": name.as_posix() if isinstance(name, Path) else name,
        "sha256": sha256,
        "bytes": path.stat().st_size,
    }


def fingerprint(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Mapping[str, Any]],
    frames: Sequence[str],
) -> str:
    """Return one sha256 over everything a study was read from.

    Args:
        connection: where the frames are readable.
        files: digests of the input files.
        frames: SQL names of frames in hand.

    Returns:
        64 hexadecimal digits; the order of a frame's rows does not matter, that of a file's does.

    Examples:
        >>> connection = duckdb.connect()
        >>> one, two = "(VALUES (1), (2)) t(x)", "(VALUES (2), (1)) t(x)"
        >>> fingerprint(connection, [], [one]) == fingerprint(connection, [], [two])
        True
    """
    parts: list[Any] = sorted([file["path"], file["sha256"]] for file in files)
    parts += [_values(connection, frame) for frame in frames]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _values(connection: duckdb.DuckDBPyConnection, frame: str) -> list[Any]:
    """Return columns, types, and sums of row hashes: sums because rows of a frame have no order."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {frame}").fetchall()
    sums = connection.execute(
        "SELECT count(*), sum(md5_number_upper(row)), sum(md5_number_lower(row)) "
        f"FROM (SELECT CAST(to_json(t) AS VARCHAR) AS row FROM (SELECT * FROM {frame}) t)"
    ).fetchone()
    return [[row[:2] for row in described], list(map(str, sums or ()))]
