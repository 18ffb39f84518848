"""The `loyalty` command: words in, exit status out; the work is done in reports/ and data/.

Results go to stdout, progress to stderr. Exit statuses: 0 done, 1 a notebook failed, 2 usage,
3 input data, 4 held for disclosure, 5 kernel or environment, 6 time-out, 130 interrupted.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
import signal
import sys
import traceback
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin

import typer
from rich.console import Console
from rich.table import Table
from typer.exceptions import TyperException

from loyalty_research import __version__
from loyalty_research.errors import LoyaltyError, UsageError

app = typer.Typer(
    help="Does a loyalty or continuing-care programme keep patients coming back?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Bring, check and make study data.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Out = Annotated[Path, typer.Option("--out", help="Folder for reports.")]
Name = Annotated[str, typer.Argument(help="The report, such as 02_retention.")]

INTERRUPTED = 130

_progress = Console(stderr=True, highlight=False, soft_wrap=True)
_results = Console(highlight=False, soft_wrap=True)


def _say(line: str) -> None:
    _progress.print(line, markup=False, style="dim")


def _tell(line: str) -> None:
    _results.print(line, markup=False)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        _tell(__version__)
        raise typer.Exit


@app.command("list")
def list_reports(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the reports and the question each answers."""
    from loyalty_research.reports.registry import REPORTS

    rows = [{"report": report.name, "question": report.question} for report in REPORTS.values()]
    if as_json:
        _tell(json.dumps(rows, ensure_ascii=False))
        return
    _print_table(rows)


@app.command()
def params(report: Name) -> None:
    """Show the parameters of a report: name, default, meaning."""
    from loyalty_research.reports.registry import find_report

    fields = find_report(report).model.model_fields
    _print_table(
        [
            {
                "parameter": name,
                "default": json.dumps(field.default),
                "meaning": f"{field.description}{_choices(field.annotation)}",
            }
            for name, field in fields.items()
        ]
    )


@app.command()
def check() -> None:
    """Check that notebooks, parameter models, dictionary and bundled study agree."""
    from loyalty_research.reports.check import check_project

    faults = check_project()
    for fault in faults:
        _tell(fault)
    if faults:
        raise UsageError(f"{len(faults)} things disagree")
    _tell("notebooks, parameters, dictionary and bundled study agree")


@app.command()
def run(
    report: Name,
    param: Annotated[
        list[str] | None, typer.Option("-p", "--param", help="NAME=VALUE, as often as needed.")
    ] = None,
    params_file: Annotated[
        Path | None, typer.Option("--params", help="TOML file of parameters.")
    ] = None,
    out: Out = Path("reports"),
    audience: Annotated[str | None, typer.Option(help="internal or publish.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run although nothing changed.")] = False,
    cell_seconds: Annotated[int, typer.Option(min=1, help="Time limit of one cell.")] = 900,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, start nothing.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page afterwards.")] = False,
) -> None:
    """Run one report and publish it."""
    from loyalty_research.reports.parameters import (
        parameters_from_text,
        parameters_from_values,
        read_parameter_file,
    )
    from loyalty_research.reports.registry import find_report
    from loyalty_research.reports.run import run_report

    model = find_report(report).model
    base = read_parameter_file(params_file) if params_file else {}
    parameters_from_values(model, base, source=str(params_file))
    given = [*(param or []), *([f"audience={audience}"] if audience else [])]
    parameters = parameters_from_text(model, given, base=base)
    if dry_run:
        _tell(f"{report} would run with {parameters.model_dump_json()}")
        return
    outcome = run_report(
        report, parameters=parameters, out=out, force=force, cell_seconds=cell_seconds, say=_say
    )
    _say(f"{outcome.slug}: {outcome.status} ({outcome.reason})")
    _tell(str(outcome.folder / "report.html"))
    if open_page:
        webbrowser.open((outcome.folder / "report.html").resolve().as_uri())


@app.command()
def batch(
    plan: Annotated[Path, typer.Argument(help="The plan, such as reports.toml.")],
    only: Annotated[list[str] | None, typer.Option(help="An id of the plan; repeatable.")] = None,
    out: Out = Path("reports"),
    force: Annotated[bool, typer.Option("--force", help="Run although nothing changed.")] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, start nothing.")
    ] = False,
) -> None:
    """Run the reports of a plan file and write the index page."""
    from loyalty_research.reports.batch import read_plan, run_batch

    if dry_run:
        planned = read_plan(plan)
        _print_table([{"id": line.id, "report": line.report.name} for line in planned])
        return
    result = run_batch(plan, out=out, only=only or [], force=force, fail_fast=fail_fast, say=_say)
    done = sum(outcome.status == "published" for outcome in result.outcomes)
    _tell(
        f"{done} published, {len(result.outcomes) - done} up to date, {len(result.failures)} failed"
    )
    _tell(f"read {(out / 'index.html').resolve()}")
    if result.failures:
        raise typer.Exit(result.exit_status)


@app.command()
def index(out: Out = Path("reports")) -> None:
    """Write the index page of a folder of reports anew."""
    from loyalty_research.reports.index import write_index

    _tell(str(write_index(out)))


@data_app.command("init")
def data_init(
    folder: Annotated[Path, typer.Argument(help="Folder with the hospital's own files.")],
) -> None:
    """Write a first study.toml by looking at the files."""
    from loyalty_research.data import propose_settings, write_settings

    proposal = propose_settings(folder)
    path = folder / "study.toml"
    write_settings(proposal.settings, path, notes=proposal.notes)
    for note in proposal.notes:
        _say(note)
    command = shlex.join(["loyalty", "data", "validate", str(folder)])
    _tell(f"wrote {path}; read it, correct it, then run: {command}")


@data_app.command("validate")
def data_validate(
    path: Annotated[Path, typer.Argument(help="Folder or DuckDB file of the study.")],
) -> None:
    """Check a study against the data contract and report every fault at once."""
    from loyalty_research.data.study import open_study

    with open_study(path) as study:
        facts = study.facts()
        _print_table(facts.drop(columns="files").to_dict(orient="records"))
        _tell(f"no fault in {len(study.checks)} checks")


@data_app.command("simulate")
def data_simulate(
    seed: Annotated[int, typer.Option(help="The same seed gives the same study.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write; must not exist or be empty.")
    ],
    patients: Annotated[int, typer.Option("--patients", min=1, help="Number of patients.")] = 8000,
    file_format: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
) -> None:
    """Draw a simulated study whose truth is known and written beside it."""
    from loyalty_research.data.simulate import simulate_study, write_study

    _say(f"drawing {patients:,} patients")
    write_study(simulate_study(seed=seed, n_patients=patients), out, format=file_format)
    _tell(f"wrote {out}")


@data_app.command("example")
def data_example(
    name: Annotated[str, typer.Argument(help="nafld or simulated.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write; must not exist or be empty.")
    ],
) -> None:
    """Write an example study as contract tables."""
    from loyalty_research.data.examples import write_example

    write_example(name, out)
    _tell(f"wrote {out}")


def _choices(annotation: object) -> str:
    if get_origin(annotation) is not Literal:
        return ""
    return f" (one of {', '.join(map(str, get_args(annotation)))})"


def _print_table(rows: Sequence[Mapping[Any, Any]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    _results.print(table)


def _cell(value: object) -> str:
    if isinstance(value, dt.datetime):
        # A missing date differs from itself.
        return f"{value:%Y-%m-%d}" if value == value else "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the command line and exit with the documented status."""
    # A scheduler's stop is handled as Ctrl-C: the kernel is shut down, the staging folder removed.
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(_status(sys.argv[1:]))


def _status(arguments: list[str]) -> int:
    try:
        status = app(arguments, standalone_mode=False)
    except TyperException as error:
        # Without a command the help has been printed and there is nothing to add.
        if error.format_message():
            _progress.print(f"error: {error.format_message()}", markup=False, style="red")
        return 2
    except LoyaltyError as error:
        _progress.print(f"error: {error}", markup=False, style="red")
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the message of a foreign error may quote a patient
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        _progress.print(f"unexpected {type(error).__name__} in {place}", markup=False, style="red")
        return 1
    # typer turns an interrupt into this status by itself, without a word.
    if status == INTERRUPTED:
        _progress.print("interrupted; nothing half-done is left", markup=False)
    return status if isinstance(status, int) else 0
