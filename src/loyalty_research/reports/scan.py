"""The last look at a finished report: does it show what it must not?

Two rules hold for everyone: no table has a column that the contract calls an identifier, and no
patient's pseudonym stands anywhere in the finished files. `publish` reports moreover show no count
from 1 to 7.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from loyalty_research.data.contract import CONTRACT
from loyalty_research.data.study import Study
from loyalty_research.display.disclosure import THRESHOLD
from loyalty_research.errors import DisclosureError
from loyalty_research.reports.harvest import Harvest

TEXT_FILES = {".html", ".ipynb", ".json", ".csv"}
WORD = re.compile(r"[^\s\"'<>,;:()\[\]{}=\\]+")
# A short run of digits cannot be told from a count, a day or a year.
SHORTEST_NUMBER = 7


def identifier_columns() -> set[str]:
    """Return the name of every column that the contract calls an identifier.

    Examples:
        >>> "patient_id" in identifier_columns(), "facility_id" in identifier_columns()
        (True, False)
    """
    return {
        column.name for table in CONTRACT.values() for column in table.columns if column.identifier
    }


def scan(folder: Path, *, harvest: Harvest, study: Study, audience: str) -> None:
    """Hold a finished report that shows an identifier or, when published, a small count.

    Args:
        folder: the staged report.
        harvest: its tables.
        study: holds the pseudonyms to look for.
        audience: "internal" or "publish".

    Raises:
        DisclosureError: what was found, by file or table and number; never the value itself.
    """
    faults = [
        *_named_identifiers(harvest),
        *_shown_pseudonyms(folder, study),
        *(_small_counts(harvest) if audience == "publish" else ()),
    ]
    if faults:
        raise DisclosureError("\n  ".join(["the report is held back:", *faults]))


def _named_identifiers(harvest: Harvest) -> Iterator[str]:
    identifiers = identifier_columns()
    for name, table in harvest.tables.items():
        for column in table["columns"]:
            if column["name"] in identifiers:
                yield f"table '{name}' has the identifier column {column['name']}"


def _shown_pseudonyms(folder: Path, study: Study) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in TEXT_FILES:
            text = path.read_text(encoding="utf-8")
            found = WORD.findall(html.unescape(text) if path.suffix == ".html" else text)
            shown = _count_pseudonyms({word for word in found if _tellable(word)}, study)
            if shown:
                yield f"{path.relative_to(folder).as_posix()}: {shown} pseudonym(s) of patients"


def _tellable(word: str) -> bool:
    return len(word) >= SHORTEST_NUMBER if word.isdigit() else len(word) > 1


def _count_pseudonyms(words: set[str], study: Study) -> int:
    if not words:
        return 0
    shown = pa.table({"word": pa.array(sorted(words), pa.string())})
    patients = study.patients.select("CAST(patient_id AS VARCHAR) AS word")
    ids = study.connection.from_arrow(shown).set_alias("shown")
    return len(ids.join(patients.set_alias("patients"), "word", how="semi").fetchall())


def _small_counts(harvest: Harvest) -> Iterator[str]:
    for name, table in harvest.tables.items():
        for position, column in enumerate(table["columns"]):
            if _is_count(column):
                small = sum(
                    row[position] is not None and 0 < row[position] <= THRESHOLD
                    for row in table["rows"]
                )
                if small:
                    yield f"table '{name}' shows {small} small counts in {column['name']}"


def _is_count(column: Mapping[str, Any]) -> bool:
    return column["type"] == "integer" and (
        column["name"] == "n" or column["name"].startswith("n_")
    )
