"""The index page: every report of an output folder, what it found, and what failed since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from loyalty_research.reports.page import NOTICE, summarise_checks, template_environment

TITLE = "Loyalty Research reports"
# What reading a cut-off, edited or foreign file can raise.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Failure:
    """The newest failed attempt at a report: when, why, and the command that repeats it."""

    run_id: str
    failed_at: str
    message: str
    command: str


@dataclass(frozen=True)
class IndexEntry:
    """One report of one slug: the newest finished run, the newest failure after it, or both.

    `status` is `published`, `failed` (nothing was ever published) or `unreadable` (the files of
    the newest run are damaged). `link` is quoted and relative to the output folder.
    """

    report: str
    slug: str
    status: str
    title: str
    link: str = ""
    run_id: str = ""
    data_name: str = ""
    data_cutoff: str = ""
    simulated: bool = False
    finished_at: str = ""
    finding: str = ""
    checks: str = ""
    checks_failed: bool = False
    failure: Failure | None = None


def write_index(out: str | Path, *, title: str = TITLE) -> Path:
    """Write `index.html` of an output folder and return its path.

    Args:
        out: the output folder of `loyalty run` and `loyalty batch`.
        title: heading of the page.

    Returns:
        The path of the page. It is replaced in one step: a reader never meets half of it.
    """
    page = Path(out) / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    half = page.with_name(".index.html.half")
    half.write_text(render_index(collect_entries(out), title=title), encoding="utf-8")
    half.replace(page)
    return page


def render_index(entries: Iterable[IndexEntry], *, title: str = TITLE, language: str = "en") -> str:
    """Return the index page of the entries, grouped by report.

    Args:
        entries: one a report and slug, as `collect_entries` returns them.
        title: heading of the page.
        language: of the page's text, as an HTML language code.

    Returns:
        One HTML document without script; its only links lead to the reports.

    Examples:
        >>> entry = IndexEntry("02_retention", "north", "published", "Do they stay?", link="a.html")
        >>> "<a href=\\"a.html\\">" in render_index([entry])
        True
    """
    ordered = sorted(entries, key=lambda entry: (entry.report, entry.slug))
    groups = [(name, list(group)) for name, group in groupby(ordered, lambda entry: entry.report)]
    return (
        template_environment()
        .get_template("index.html.j2")
        .render(groups=groups, title=title, language=language, notice=NOTICE)
    )


def collect_entries(out: str | Path) -> list[IndexEntry]:
    """Return one entry for every report and slug of an output folder, by report and slug.

    Args:
        out: the output folder. It may be empty or missing.

    Returns:
        The newest finished run of each, as `latest.json` names it, and the newest failed attempt
        where it is newer than that run. A damaged run becomes an entry that says so: one bad file
        does not hide the other reports.
    """
    folder = Path(out)
    published = dict(_slugs(folder))
    failed = dict(_slugs(folder / "_failed"))
    return [
        _entry(folder, report, slug, failed_runs=failed.get((report, slug)))
        for report, slug in sorted({*published, *failed})
    ]


def _slugs(folder: Path) -> Iterator[tuple[tuple[str, str], Path]]:
    for report in _folders(folder):
        for slug in _folders(report):
            yield (report.name, slug.name), slug


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    # Names that start with a dot or a line are the runner's own: staging, locks, failures.
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    )


def _entry(out: Path, report: str, slug: str, *, failed_runs: Path | None) -> IndexEntry:
    failure = _newest_failure(failed_runs)
    try:
        entry = _published(out, report, slug)
    except _DAMAGE:
        entry = IndexEntry(report, slug, "unreadable", title=report)
    if entry is None:
        title = (failure or {}).get("title") or report
        entry = IndexEntry(report, slug, "failed" if failure else "unreadable", title=title)
    # Run identities begin with the moment the run started, in UTC: their order is that of time.
    if failure and failure["run_id"] > entry.run_id:
        kept = Failure(**{name: failure[name] for name in Failure.__dataclass_fields__})
        return replace(entry, failure=kept)
    return entry


def _published(out: Path, report: str, slug: str) -> IndexEntry | None:
    folder = out / report / slug
    if not (folder / "latest.json").exists():
        return None
    inside = PurePosixPath(_read(folder / "latest.json")["path"])
    if inside.is_absolute() or ".." in inside.parts:
        raise ValueError("latest.json points outside its folder")
    manifest = _read(folder / inside / "manifest.json")
    checks = summarise_checks(manifest.get("checks", ()))
    findings = manifest.get("findings", ())
    return IndexEntry(
        report=report,
        slug=slug,
        status="published",
        title=manifest["title"],
        link=quote(f"{report}/{slug}/{inside}/report.html"),
        run_id=manifest["run_id"],
        data_name=manifest["data"]["name"],
        data_cutoff=_iso(manifest["data"]["data_cutoff"]),
        simulated=manifest["data"]["simulated"],
        finished_at=_iso(manifest["finished_at"]),
        finding=findings[0]["sentence"] if findings else "",
        checks=checks["sentence"] if checks["rows"] else "",
        checks_failed=bool(checks["failed"]),
    )


def _newest_failure(runs: Path | None) -> Mapping[str, str] | None:
    for run in reversed(_folders(runs) if runs else []):
        try:
            failure = _read(run / "failure.json")
            known = {name: str(failure.get(name, "")) for name in ("title", "message", "command")}
            return known | {"run_id": run.name, "failed_at": _iso(failure["failed_at"])}
        except _DAMAGE:
            continue
    return None


def _iso(value: str) -> str:
    """Return the moment as it is written, once it is certain that it is one."""
    datetime.fromisoformat(value)
    return value


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
