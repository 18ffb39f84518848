"""What a run was made of, so that it can be trusted, compared and made again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

import loyalty_research
from loyalty_research.data.study import Study
from loyalty_research.display.disclosure import suppress_small_counts
from loyalty_research.reports.parameters import ReportParameters
from loyalty_research.reports.registry import Report

# What can change a number or a picture.
WATCHED = (
    "numpy",
    "scipy",
    "pandas",
    "duckdb",
    "narwhals",
    "matplotlib",
    "seaborn",
    "mistune",
    "bleach",
)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def code_digest(report: Report) -> str:
    """Return a hash over the package's source and the notebook's cells (not their outputs).

    Examples:
        >>> from loyalty_research.reports.registry import find_report
        >>> digests = {code_digest(find_report(name)) for name in ("02_retention",) * 2}
        >>> [len(digest) for digest in digests]
        [64]
    """
    package = Path(loyalty_research.__file__).parent
    sources = sorted(
        path
        for path in package.rglob("*")
        if path.suffix in {".py", ".css", ".jinja", ".j2", ".html"} and path.is_file()
    )
    cells = nbformat.read(report.notebook, as_version=4).cells
    return _digest(
        *(path.relative_to(package).as_posix() for path in sources),
        *(path.read_text(encoding="utf-8") for path in sources),
        *(cell.source for cell in cells),
    )


def environment() -> dict[str, str]:
    """Return the versions of Python and of every package that can change a result.

    Examples:
        >>> sorted(environment())[:4]
        ['bleach', 'duckdb', 'matplotlib', 'mistune']
    """
    versions = {name: importlib.metadata.version(name) for name in WATCHED}
    return {"python": platform.python_version(), **versions}


def data_facts(study: Study, *, audience: str) -> dict[str, Any]:
    """Return what the report says of its data: name, cut-off, fingerprint, rows and dates.

    Args:
        study: the data of the report.
        audience: "publish" hides small numbers of rows and rounds the others.
    """
    facts = suppress_small_counts(study.facts(), counts=["n_rows"], audience=audience)
    tables = facts.astype(object).where(facts.notna(), None).to_dict(orient="records")
    return {
        "name": study.settings.name,
        "data_cutoff": study.data_cutoff.isoformat(),
        "simulated": study.settings.simulated,
        "fingerprint": study.fingerprint,
        "tables": json.loads(json.dumps(tables, default=str)),
        "files": study.files,
    }


def made_from(
    report: Report, parameters: ReportParameters, data: Mapping[str, Any]
) -> dict[str, str]:
    """Return one hash for each thing a result depends on; equal hashes mean equal results.

    The place of the data is no part of it: the same bytes elsewhere give the same report.
    """
    typed = parameters.model_dump(mode="json", exclude={"data"})
    return {
        "code": code_digest(report),
        "parameters": _digest(json.dumps(typed, sort_keys=True)),
        "data": str(data["fingerprint"]),
        "environment": _digest(json.dumps(environment(), sort_keys=True)),
    }


def changed(now: Mapping[str, str], before: Mapping[str, str] | None) -> list[str]:
    """Return which of code, parameters, data and environment differ from an earlier run.

    Examples:
        >>> changed({"code": "a", "data": "b"}, {"code": "a", "data": "c"})
        ['data']
    """
    return [name for name in now if before is None or before.get(name) != now[name]]
