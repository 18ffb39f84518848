"""Many reports from one file, one after the other, with one summary and one exit status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loyalty_research.data.arguments import suggest
from loyalty_research.errors import LoyaltyError, UsageError
from loyalty_research.reports.parameters import (
    PlainName,
    ReportParameters,
    parameters_from_values,
    read_parameter_file,
)
from loyalty_research.reports.registry import Report, find_report
from loyalty_research.reports.run import Outcome, run_report


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: PlainName = Field(min_length=1)
    report: str
    parameters: dict[str, Any] = {}


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    defaults: dict[str, Any] = {}
    report: list[_Entry] = Field(min_length=1)


@dataclass(frozen=True)
class Planned:
    """One line of the plan: its id, its report, its parameters."""

    id: str
    report: Report
    parameters: ReportParameters


@dataclass(frozen=True)
class BatchResult:
    """What became of each planned report; `failures` holds id and error."""

    outcomes: list[Outcome]
    failures: list[tuple[str, LoyaltyError]]

    @property
    def exit_status(self) -> int:
        """The status of the first failure, or 0."""
        return self.failures[0][1].exit_status if self.failures else 0


def read_plan(path: Path) -> list[Planned]:
    """Return the reports that a plan file asks for, all of them checked before any is run.

    `[defaults]` holds parameters for every report that knows them; a `[[report]]` entry has an
    `id`, a `report` and `parameters`.

    Raises:
        UsageError: every fault of the file: unknown keys, reports, parameters, repeated ids.
    """
    try:
        plan = _Plan.model_validate(read_parameter_file(path))
    except ValidationError as error:
        lines = [f"{_where(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise UsageError("\n  ".join([f"{path.name}:", *lines])) from None
    planned, faults = [], _repeated([entry.id for entry in plan.report])
    faults += _unused_defaults(plan)
    for entry in plan.report:
        try:
            planned.append(_planned(entry, plan.defaults))
        except UsageError as error:
            told = str(error)
            named = told if told.startswith(f"report '{entry.id}'") else f"'{entry.id}': {told}"
            faults.append(named)
    if faults:
        raise UsageError("\n  ".join([f"{path.name}:", *faults]))
    return planned


def _where(place: Sequence[object]) -> str:
    return ".".join(map(str, place)) or "the file"


def _repeated(ids: Sequence[str]) -> list[str]:
    return [f"id '{name}' is used twice" for name in sorted({i for i in ids if ids.count(i) > 1})]


def _known(report_name: str) -> set[str]:
    try:
        return set(find_report(report_name).model.model_fields)
    except UsageError:
        return set()


def _unused_defaults(plan: _Plan) -> list[str]:
    known = set().union(*(_known(entry.report) for entry in plan.report))
    return [
        f"defaults: {name} is a parameter of none of the reports{suggest(name, sorted(known))}"
        for name in plan.defaults
        if known and name not in known
    ]


def _planned(entry: _Entry, defaults: dict[str, Any]) -> Planned:
    report = find_report(entry.report)
    known = report.model.model_fields
    values = {name: value for name, value in defaults.items() if name in known} | entry.parameters
    return Planned(
        entry.id,
        report,
        parameters_from_values(report.model, values, source=f"report '{entry.id}'"),
    )


def run_batch(
    path: str | Path,
    *,
    out: str | Path = "reports",
    only: Sequence[str] = (),
    force: bool = False,
    fail_fast: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> BatchResult:
    """Run the reports of a plan file in its order; a failure does not stop the others.

    Args:
        path: the plan, such as `reports.toml`; a relative `data` in it starts from its folder.
        out: the output folder.
        only: ids to run; all when empty.
        force: run although nothing changed.
        fail_fast: stop at the first failure.
        say: takes lines of progress.

    Raises:
        UsageError: the plan has a fault, or `only` names an id it has not; nothing was started.

    Examples:
        >>> run_batch("there is none.toml")
        Traceback (most recent call last):
        ...
        loyalty_research.errors.UsageError: there is none.toml: there is no such file
    """
    path = Path(path)
    planned = read_plan(path)
    unknown = sorted(set(only) - {line.id for line in planned})
    if unknown:
        ids = [line.id for line in planned]
        raise UsageError("; ".join(f'no report has the id "{i}"{suggest(i, ids)}' for i in unknown))
    result = BatchResult([], [])
    for line in planned:
        if only and line.id not in only:
            continue
        try:
            result.outcomes.append(
                run_report(
                    line.report.name,
                    parameters=line.parameters,
                    out=out,
                    slug=line.id,
                    base=path.parent,
                    force=force,
                    say=say,
                )
            )
            say(_told(result.outcomes[-1]))
        except LoyaltyError as error:
            result.failures.append((line.id, error))
            say(f"{line.id}: failed: {error}")
            if fail_fast:
                break
    return result


def _told(outcome: Outcome) -> str:
    return f"{outcome.slug}: {outcome.status} ({outcome.reason})"
