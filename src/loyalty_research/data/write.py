"""A study in hand, written as a folder that `open_study` opens."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from loyalty_research.data.contract import CONTRACT
from loyalty_research.errors import SetupError, UsageError

FORMATS = ("parquet", "csv")
_TYPES = {
    "text": pa.string(),
    "id": pa.string(),
    "category": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("s"),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}


class TablesInHand(Protocol):
    """What can be written: tables in contract form, settings, and a truth that may be empty."""

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Frames by table name, in the contract's columns."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Top-level settings of `study.toml`."""

    @property
    def truth(self) -> Mapping[str, Any]:
        """What `truth.json` holds; empty = no such file."""


def write_study(study: TablesInHand, out: str | Path, *, format: str = "parquet") -> Path:
    """Write a study's tables, `study.toml` and, when there is one, `truth.json`.

    The folder appears whole or not at all: it is filled under another name beside its place and
    renamed at the end.

    Args:
        study: What `simulate_study` returns, or anything with tables, settings and truth.
        out: The folder to make; it may exist when it is empty.
        format: `parquet` (zstd) or `csv` (UTF-8, ISO dates).

    Returns:
        The folder.

    Raises:
        UsageError: The format is unknown, or the folder exists and holds something.
        SetupError: The folder cannot be written (read-only, full).

    Examples:
        >>> import tempfile
        >>> from loyalty_research.data.simulate import simulate_study
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = write_study(simulate_study(seed=1, n_patients=5), f"{folder}/study")
        ...     len(list(out.glob("*.parquet"))), (out / "study.toml").read_text()[:15]
        (11, 'name = "Simulat')
    """
    out = Path(out)
    if format not in FORMATS:
        raise UsageError(f'format "{format}" is not one of {", ".join(FORMATS)}')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder; name a new one")
    try:
        _write_beside_and_rename(study, out, format)
    except OSError as error:
        raise SetupError(f"{out} cannot be written: {error.strerror or error}") from None
    return out


def content_hash(tables: Mapping[str, pd.DataFrame | pa.Table]) -> str:
    """Return the sha256 of a study's values, whatever files or library versions hold them.

    Hashed are, in the contract's order, each table's name and each column's name and values: dates
    as days and times as seconds since 1970, numbers times a million, truths as 0 or 1, all as
    64-bit little-endian integers; texts as UTF-8 with separators.

    Args:
        tables: Frames or Arrow tables by table name, in the contract's columns.

    Returns:
        64 hexadecimal digits.

    Examples:
        >>> visits = pd.DataFrame({"visit_id": ["a"], "patient_id": ["p"], "fee": [1.0]})
        >>> content_hash({"visits": visits}) == content_hash({"visits": visits.assign(fee=1)})
        True
    """
    digest = hashlib.sha256()
    for name in CONTRACT:
        if name not in tables:
            continue
        table = to_arrow(name, tables[name])
        for column in table.column_names:
            digest.update(f"\x1d{name}\x1e{column}\x1e".encode())
            digest.update(_bytes(table[column].combine_chunks()))
    return digest.hexdigest()


def to_arrow(name: str, table: pd.DataFrame | pa.Table) -> pa.Table:
    """Return a table of the contract as Arrow, in the contract's types.

    Args:
        name: The table's name.
        table: Its rows; columns beyond the contract keep their type.

    Returns:
        The same rows; dates as 32-bit days.

    Examples:
        >>> frame = pd.DataFrame({"visit_date": [pd.Timestamp("2024-01-31")]})
        >>> to_arrow("visits", frame).schema.field("visit_date").type
        DataType(date32[day])
    """
    columns = CONTRACT[name].by_name
    arrow = table if isinstance(table, pa.Table) else None
    names = list(table.column_names if arrow is not None else table.columns)
    values = [
        (table[column].combine_chunks() if arrow is not None else pa.array(table[column]))
        for column in names
    ]
    known = {column: _TYPES[columns[column].type] for column in names if column in columns}
    return pa.table(
        [
            value.cast(known.get(column, value.type))
            for column, value in zip(names, values, strict=True)
        ],
        names=names,
    )


def _bytes(values: pa.Array) -> bytes:
    if pa.types.is_string(values.type):
        return "\x1f".join("\x00" if text is None else text for text in values.to_pylist()).encode()
    if pa.types.is_floating(values.type):
        values = pc.round(pc.multiply(values, 1e6))
    if pa.types.is_date(values.type):
        values = values.cast(pa.int32())
    whole = pc.fill_null(values.cast(pa.int64()), np.iinfo(np.int64).min)
    return whole.to_numpy(zero_copy_only=False).astype("<i8").tobytes()


def _write_beside_and_rename(study: TablesInHand, out: Path, format: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        tables = {name: to_arrow(name, table) for name, table in study.tables.items()}
        for name, table in tables.items():
            _write_table(table, staging / f"{name}.{format}")
        settings = _settings_text(study, tables, format)
        (staging / "study.toml").write_text(settings, encoding="utf-8")
        if study.truth:
            stated = {**study.truth, "content_sha256": content_hash(tables)}
            text = json.dumps(stated, indent=1, ensure_ascii=False)
            (staging / "truth.json").write_text(text + "\n", encoding="utf-8")
        # mkdtemp makes private folders; a study is as readable as its neighbours.
        staging.chmod(0o777 & ~_umask())
        if out.exists():
            out.rmdir()
        staging.replace(out)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _write_table(table: pa.Table, path: Path) -> None:
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
        return
    key = table.column_names[0]
    # Row keys never repeat, so a dictionary of them only costs space; their differences are small.
    plain = {key: "DELTA_BYTE_ARRAY"} if pa.types.is_string(table[key].type) else {}
    pyarrow.parquet.write_table(
        table,
        path,
        compression="zstd",
        compression_level=9,
        use_dictionary=[name for name in table.column_names if name not in plain],
        column_encoding=plain,
    )


def _settings_text(study: TablesInHand, tables: Mapping[str, pa.Table], format: str) -> str:
    lines = [f"{name} = {_toml(value)}" for name, value in study.settings.items()]
    for name, table in tables.items():
        lines += ["", f"[tables.{name}]", f'file = "{name}.{format}"']
        extra = [column for column in table.column_names if column not in CONTRACT[name].by_name]
        # A CSV file does not tell types, so columns beyond the contract state theirs.
        lines += [f'extra.{column} = "{_kind(table[column].type)}"' for column in extra]
    return "\n".join(lines) + "\n"


def _kind(type_: pa.DataType) -> str:
    kinds = {kind: name for name, kind in reversed(_TYPES.items())}
    return kinds[type_]


def _toml(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    # JSON's strings and booleans are TOML's too.
    return json.dumps(value, ensure_ascii=False)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
