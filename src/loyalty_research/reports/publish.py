"""The last steps of a run: stage every file, then show the whole report at once or not at all.

A run is staged on the same file system as the place where it is published, so that one rename makes
it visible. `latest.json` is replaced, also by a rename, only after the run's folder stands.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loyalty_research.errors import SetupError
from loyalty_research.reports.harvest import Harvest

# A spreadsheet takes a text that starts with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Place:
    """Where the runs of one report with one slug live under the output folder."""

    out: Path
    report: str
    slug: str

    @property
    def folder(self) -> Path:
        """The finished runs and `latest.json`."""
        return self.out / self.report / self.slug

    @property
    def failures(self) -> Path:
        """The failed runs."""
        return self.out / "_failed" / self.report / self.slug

    @property
    def staging(self) -> Path:
        """The run under way; what lies here while nobody holds the lock is of a killed run."""
        return self.out / ".staging" / self.report / self.slug

    @property
    def lock(self) -> Path:
        """The file whose lock the run under way holds."""
        return self.out / ".locks" / f"{self.report}--{self.slug}.lock"


@contextmanager
def staged(place: Place) -> Iterator[tuple[Path, bool]]:
    """Hold the place's lock and yield an empty staging folder, and whether a killed run left one.

    The folder is removed at the end whatever happens.

    Raises:
        SetupError: another run of the same report is under way, or the folder cannot be written.
    """
    with _disk_faults_named(place.out):
        place.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = place.lock.open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(
                f"another run of {place.report} for '{place.slug}' is under way in this folder; "
                "wait for it, or give this one another --out"
            ) from None
        left = place.staging.exists()
        with _disk_faults_named(place.out):
            shutil.rmtree(place.staging, ignore_errors=True)
            place.staging.mkdir(parents=True)
        try:
            with _disk_faults_named(place.out):
                yield place.staging, left
        finally:
            shutil.rmtree(place.staging, ignore_errors=True)


@contextmanager
def _disk_faults_named(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        repair = {
            errno.ENOSPC: "the disk is full; free some space",
            errno.EDQUOT: "the disk quota is used up; free some space",
            errno.EROFS: "the file system is read-only; give another --out",
            errno.EACCES: "it may not be written; give another --out or mend its permissions",
            errno.EPERM: "it may not be written; give another --out or mend its permissions",
            errno.ENOTDIR: "a file stands where a folder is needed; give another --out",
            errno.EEXIST: "a file stands where a folder is needed; give another --out",
            errno.ENAMETOOLONG: "the path is too long; give a shorter --out",
        }.get(error.errno or 0)
        if repair is None:
            raise
        raise SetupError(f"output folder {out}: {repair}; nothing published was touched") from None


def write_outputs(folder: Path, harvest: Harvest, *, page: str, notebook: str) -> None:
    """Write the report's files into the staging folder."""
    (folder / "report.html").write_text(page, encoding="utf-8")
    (folder / "report.ipynb").write_text(notebook, encoding="utf-8")
    write_json(
        folder / "results.json",
        {
            "findings": list(harvest.findings.values()),
            "tables": harvest.tables,
        },
    )
    for name, table in harvest.tables.items():
        _write_csv(folder / "tables" / f"{name}.csv", table)
    for name, image in harvest.figures.items():
        path = folder / "figures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image)


def _write_csv(path: Path, table: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    # The byte-order mark lets a spreadsheet read Chinese text as what it is.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column["name"] for column in table["columns"]])
        writer.writerows([_harmless(value) for value in row] for row in table["rows"])


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON through a temporary file, so that no reader ever sees half of it.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_json(folder / "x.json", {"区": 1})
        >>> [path.name for path in folder.iterdir()], (folder / "x.json").read_text("utf-8")
        (['x.json'], '{\\n "区": 1\\n}\\n')
    """
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    half = path.with_name(f".{path.name}.half")
    with half.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def output_hashes(folder: Path) -> list[dict[str, Any]]:
    """Return path, size and sha256 of every file of a run, in the order of their paths.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "page.html").write_text("abc")
        >>> [(file["path"], file["bytes"], file["sha256"][:8]) for file in output_hashes(folder)]
        [('page.html', 3, 'ba7816bf')]
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        {
            "path": path.relative_to(folder).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]


def publish(place: Place, staging: Path, run_id: str) -> Path:
    """Make a staged run visible: rename its folder, then point `latest.json` at it."""
    finished = place.folder / run_id
    finished.parent.mkdir(parents=True, exist_ok=True)
    staging.rename(finished)
    write_json(place.folder / "latest.json", {"run_id": run_id, "path": run_id})
    return finished


def keep_failure(place: Place, staging: Path, run_id: str, failure: Mapping[str, Any]) -> Path:
    """Keep a failed run with its cause, away from what is published."""
    kept = place.failures / run_id
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(staging / "failure.json", failure)
    staging.rename(kept)
    return kept


def latest_manifest(place: Place) -> dict[str, Any] | None:
    """Return the manifest of the newest finished run, or None where there is none to trust.

    Examples:
        >>> latest_manifest(Place(Path("there is no such folder"), "02_retention", "example"))
    """
    try:
        latest = json.loads((place.folder / "latest.json").read_text(encoding="utf-8"))
        manifest = (place.folder / latest["path"] / "manifest.json").read_text(encoding="utf-8")
        return json.loads(manifest)
    except (OSError, ValueError, KeyError):
        return None
