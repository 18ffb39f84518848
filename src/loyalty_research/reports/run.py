"""One report, from its parameters to a published folder or to a named failure."""

from __future__ import annotations

import datetime as dt
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from duckdb import ColumnExpression, ConstantExpression
from nbformat import NotebookNode

from loyalty_research import __version__, errors
from loyalty_research.data.arguments import suggest
from loyalty_research.data.study import Study, open_study
from loyalty_research.errors import DisclosureError, LoyaltyError, UsageError
from loyalty_research.reports.harvest import Harvest, code_cells, harvest
from loyalty_research.reports.index import write_index
from loyalty_research.reports.kernel import execute
from loyalty_research.reports.manifest import changed, data_facts, environment, made_from
from loyalty_research.reports.page import render_page
from loyalty_research.reports.parameters import (
    ReportParameters,
    parameters_from_values,
)
from loyalty_research.reports.publish import (
    Place,
    keep_failure,
    latest_manifest,
    output_hashes,
    publish,
    staged,
    write_json,
    write_outputs,
)
from loyalty_research.reports.registry import Report, find_report
from loyalty_research.reports.scan import scan

CELL_SECONDS = 900
WITHHELD = "(message withheld: it may quote data; run the notebook in JupyterLab to read it)"


@dataclass(frozen=True)
class Outcome:
    """What became of a run: `published` or `up to date`, where it lies, and why it ran."""

    report: str
    slug: str
    status: str
    folder: Path
    reason: str


@dataclass(frozen=True)
class _Job:
    """A run that is certain to be meant: all that can be refused has been."""

    report: Report
    parameters: ReportParameters
    place: Place
    run_id: str
    started_at: str
    data: Mapping[str, Any]
    made_from: Mapping[str, str]
    data_path: Path
    say: Callable[[str], None]
    sections: list[str] = field(default_factory=list)

    @property
    def shown_parameters(self) -> dict[str, Any]:
        """The parameters as a reader may see them: of the data's place only the last name."""
        return self.parameters.model_dump(mode="json") | {"data": self.data_path.name}


def run_report(
    name: str,
    *,
    parameters: ReportParameters | Mapping[str, Any] | None = None,
    out: str | Path = "reports",
    slug: str = "",
    base: str | Path = ".",
    force: bool = False,
    cell_seconds: int = CELL_SECONDS,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Run one report and publish it, unless the newest run was made from the same things.

    Args:
        name: the report, such as `02_retention`.
        parameters: the report's parameters, or typed values for them.
        out: the output folder.
        slug: the name of this series of runs; by default made from the study's folder, the site
            and the parameters that differ from their defaults.
        base: the folder that a relative `data` path starts from.
        force: run although nothing changed.
        cell_seconds: how long one cell may take.
        say: takes lines of progress.

    Returns:
        What became of it, and where the report lies.

    Raises:
        UsageError: no such report or parameter, or no such site; nothing was started.
        DataError: the study breaks its contract; nothing was started.
        ReportError, ReportTimeoutError, SetupError, DisclosureError: the run failed, the failed
            run is kept under `_failed/`, and everything published before is untouched.

    Examples:
        >>> run_report("02_retention", parameters={"lapse_day": 90})
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: 02_retention:
          lapse_day is not a parameter; did you mean "lapse_days"?
    """
    report = find_report(name)
    if not isinstance(parameters, ReportParameters):
        parameters = parameters_from_values(report.model, parameters or {}, source=name)
    data_path = _data_path(report, parameters, Path(base))
    say(f"{name}: reading {data_path.name}")
    with open_study(data_path) as study:
        _refuse_unknown_site(study, parameters.site)
        _refuse_unknown_segment(study, getattr(parameters, "segment", None))
        data = data_facts(study, audience=parameters.audience)
        place = Place(Path(out), name, slug or _slug(data_path, parameters))
        job = _Job(
            report=report,
            parameters=parameters,
            place=place,
            run_id=_run_id(),
            started_at=_now(),
            data=data,
            made_from=made_from(report, parameters, data),
            data_path=data_path,
            say=say,
        )
        return _run_if_needed(job, study, force=force, cell_seconds=cell_seconds)


def _data_path(report: Report, parameters: ReportParameters, base: Path) -> Path:
    # The default is the bundled study, told from the notebook's folder as JupyterLab sees it.
    is_default = parameters.data == type(parameters).model_fields["data"].default
    return ((report.notebook.parent if is_default else base) / parameters.data).resolve()


def _slug(data_path: Path, parameters: ReportParameters) -> str:
    typed = parameters.model_dump(exclude_defaults=True, exclude={"data", "site"})
    parts = [data_path.stem or "study", parameters.site]
    parts += [f"{name}-{_in_a_path(value)}" for name, value in sorted(typed.items())]
    return "--".join(part for part in parts if part)[:150].rstrip(". ")


def _in_a_path(value: object) -> str:
    text = "-".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in text)


def _run_id() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _refuse_unknown_site(study: Study, site: str) -> None:
    if not site:
        return
    if not study.has("visits", "facility_id"):
        raise UsageError("site: the study's visits name no facility_id")
    at_site = ColumnExpression("facility_id").cast("VARCHAR") == ConstantExpression(site)
    if not study.visits.filter(at_site).limit(1).fetchall():
        raise UsageError(f"site: no visit of the study is at facility '{site}'")


def _refuse_unknown_segment(study: Study, segment: str | None) -> None:
    columns = study.table("patients", filled=True).columns
    if segment and segment not in columns:
        near = suggest(segment, columns)
        raise UsageError(f'segment: the table patients has no column "{segment}"{near}')


def _run_if_needed(job: _Job, study: Study, *, force: bool, cell_seconds: int) -> Outcome:
    with staged(job.place) as (staging, left):
        if left:
            job.say(f"{job.report.name}: removed what a killed run had left")
        before = latest_manifest(job.place)
        reasons = changed(job.made_from, (before or {}).get("made_from"))
        if before and not reasons and not force:
            folder = job.place.folder / before["run_id"]
            return Outcome(job.report.name, job.place.slug, "up to date", folder, "nothing changed")
        reason = _reason(before, reasons)
        try:
            _stage(job, study, staging, before=before, reasons=reasons, cell_seconds=cell_seconds)
        except LoyaltyError as error:
            _fail(job, staging, error)
            raise
        folder = publish(job.place, staging, job.run_id)
    write_index(job.place.out)
    return Outcome(job.report.name, job.place.slug, "published", folder, reason)


def _reason(before: Mapping[str, Any] | None, reasons: list[str]) -> str:
    if before is None:
        return "first run"
    return f"{' and '.join(reasons)} changed" if reasons else "forced"


def _stage(
    job: _Job,
    study: Study,
    staging: Path,
    *,
    before: Mapping[str, Any] | None,
    reasons: list[str],
    cell_seconds: int,
) -> None:
    executed = execute(
        job.report.notebook,
        parameters=job.parameters.model_dump() | {"data": str(job.data_path)},
        output=staging / "report.ipynb",
        cell_seconds=cell_seconds,
        on_cell=_progress(job),
    )
    found = harvest(executed, report=job.report)
    seconds = _seconds(executed)
    manifest = _manifest(job, found) | {
        "previous": before and {"run_id": before["run_id"], "changed_since": reasons},
        "seconds": seconds,
    }
    notebook = nbformat.writes(_without_traces(executed, job))
    page = render_page(executed, manifest=manifest)
    write_outputs(staging, found, page=page, notebook=notebook)
    scan(staging, harvest=found, study=study, audience=job.parameters.audience)
    write_json(staging / "manifest.json", manifest | {"outputs": output_hashes(staging)})


def _manifest(job: _Job, found: Harvest) -> dict[str, Any]:
    checks = found.tables.get("checks", {"columns": [], "rows": []})
    names = [column["name"] for column in checks["columns"]]
    return {
        "report": job.report.name,
        "title": job.report.question,
        "slug": job.place.slug,
        "run_id": job.run_id,
        "status": "published",
        "started_at": job.started_at,
        "finished_at": _now(),
        "parameters": job.shown_parameters,
        "made_from": dict(job.made_from),
        "data": dict(job.data),
        "package": {"name": "loyalty-research", "version": __version__},
        "environment": environment(),
        "checks": [dict(zip(names, row, strict=True)) for row in checks["rows"]],
        "findings": [
            {"name": name, "sentence": finding["sentence"]}
            for name, finding in found.findings.items()
        ],
    }


def _sections(cells: Iterable[NotebookNode]) -> list[str]:
    """Return, for each cell, the heading it stands under."""
    sections, heading = [], ""
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            heading = cell.source.splitlines()[0].lstrip("# ")
        sections.append(heading)
    return sections


def _progress(job: _Job) -> Callable[[int], None]:
    cells = nbformat.read(job.report.notebook, as_version=4).cells
    sections = _sections(cells)

    def on_cell(index: int) -> None:
        # papermill adds one cell, for the parameters, near the top.
        section = sections[min(max(index - 1, 0), len(sections) - 1)]
        if section not in job.sections:
            job.sections.append(section)
            job.say(f"{job.report.name}: {section}")

    return on_cell


def _seconds(executed: NotebookNode) -> dict[str, float]:
    total: dict[str, float] = {}
    for cell, section in zip(executed.cells, _sections(executed.cells), strict=True):
        duration = cell.metadata.get("papermill", {}).get("duration") or 0.0
        total[section] = round(total.get(section, 0.0) + duration, 3)
    return {section: seconds for section, seconds in total.items() if seconds}


def _without_traces(executed: NotebookNode, job: _Job) -> NotebookNode:
    """Return the notebook without this machine's paths and clock, and without foreign messages."""
    executed.metadata.pop("papermill", None)
    for cell in executed.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace(str(job.data_path), job.data_path.name)
    for cell in code_cells(executed):
        cell.outputs = [_safe_output(output) for output in cell.outputs if not _is_stderr(output)]
    return executed


def _without_outputs(executed: NotebookNode) -> NotebookNode:
    for cell in code_cells(executed):
        cell.outputs = []
    return executed


def _is_stderr(output: NotebookNode) -> bool:
    return output.output_type == "stream" and output.name == "stderr"


def _safe_output(output: NotebookNode) -> NotebookNode:
    if output.output_type == "error":
        message = output.evalue if hasattr(errors, output.ename) else WITHHELD
        return nbformat.v4.new_output(
            "error", ename=output.ename, evalue=message, traceback=[f"{output.ename}: {message}"]
        )
    return output


def _fail(job: _Job, staging: Path, error: LoyaltyError) -> None:
    """Keep what a failed run left, its cause, and the command that makes it again."""
    attempt = staging / "report.ipynb"
    executed = _read_attempt(attempt)
    shutil.rmtree(staging)
    staging.mkdir()
    if executed is not None:
        if isinstance(error, DisclosureError):
            # What was held back must not lie beside what is published.
            executed = _without_outputs(executed)
        attempt.write_text(nbformat.writes(_without_traces(executed, job)), encoding="utf-8")
    failure = {
        "report": job.report.name,
        "title": job.report.question,
        "slug": job.place.slug,
        "run_id": job.run_id,
        "status": "failed",
        "error": type(error).__name__,
        "message": str(error),
        "exit_status": error.exit_status,
        "section": job.sections[-1] if job.sections else "",
        "started_at": job.started_at,
        "failed_at": _now(),
        "parameters": job.parameters.model_dump(mode="json"),
        "command": _command(job),
    }
    keep_failure(job.place, staging, job.run_id, failure)
    write_index(job.place.out)


def _read_attempt(attempt: Path) -> NotebookNode | None:
    try:
        return nbformat.read(attempt, as_version=4)
    except (FileNotFoundError, ValueError):
        # A run that failed early leaves no notebook, or only the start of one.
        return None


def _command(job: _Job) -> str:
    given = job.parameters.model_dump(exclude_defaults=True)
    words = ["loyalty", "run", job.report.name]
    for name, value in given.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        words += ["-p", f"{name}={text}"]
    return shlex.join([*words, "--force"])
