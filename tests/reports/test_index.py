"""The index page, made from folders as the runner leaves them."""

import json
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup

from loyalty_research.reports.index import (
    IndexEntry,
    collect_entries,
    render_index,
    write_index,
)

EARLY, LATE = "20250105T101233Z-a1b2c3", "20250206T101233Z-d4e5f6"


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def _publish(out, *, report="02_retention", slug="north", run_id=EARLY, **changes):
    manifest = {
        "report": report,
        "title": "How long do patients keep coming back?",
        "slug": slug,
        "run_id": run_id,
        "status": "published",
        "started_at": "2025-01-05T10:12:33+00:00",
        "finished_at": "2025-01-05T10:13:00+00:00",
        "parameters": {"lapse_days": 180},
        "data": {"name": "Example study", "data_cutoff": "2024-12-31", "simulated": True},
        "package": {"version": "0.1.0"},
        "checks": [
            {"check": "keys", "passed": True, "message": ""},
            {"check": "dates", "passed": True, "message": ""},
        ],
        "findings": [{"name": "retention", "sentence": "58 of 100 stay a year."}],
    } | changes
    folder = out / report / slug
    _write(folder / run_id / "manifest.json", manifest)
    _write(folder / run_id / "report.html", "<!DOCTYPE html>")
    _write(folder / "latest.json", {"run_id": run_id, "path": run_id})


def _fail(out, *, report="02_retention", slug="north", run_id=LATE):
    failure = {
        "title": "How long do patients keep coming back?",
        "run_id": run_id,
        "failed_at": "2025-02-06T10:12:40+00:00",
        "message": "visits: 12 rows have no date",
        "command": "loyalty run 02_retention --force",
    }
    _write(out / "_failed" / report / slug / run_id / "failure.json", failure)


def _page(out):
    return BeautifulSoup(render_index(collect_entries(out)), "html.parser")


def test_an_entry_tells_what_was_found_on_which_data_and_when(tmp_path):
    _publish(tmp_path)
    assert collect_entries(tmp_path) == [
        IndexEntry(
            report="02_retention",
            slug="north",
            status="published",
            title="How long do patients keep coming back?",
            link=f"02_retention/north/{EARLY}/report.html",
            run_id=EARLY,
            data_name="Example study",
            data_cutoff="2024-12-31",
            simulated=True,
            finished_at="2025-01-05T10:13:00+00:00",
            finding="58 of 100 stay a year.",
            checks="2 of 2 checks passed",
            checks_failed=False,
            failure=None,
        )
    ]
    text = _page(tmp_path).main.get_text(" ", strip=True)
    for part in ("58 of 100 stay a year.", "31 December 2024", "5 January 2025, 10:13 UTC"):
        assert part in text
    assert "SIMULATED" in text


@pytest.mark.parametrize("slug", ["北京 朝阳", "100% north", "a#b?c", "O'Hara & <Sons>"])
def test_links_work_whatever_the_slug_is_called(tmp_path, slug):
    _publish(tmp_path, slug=slug)
    link = _page(tmp_path).select_one(".entry a")
    assert link.text == slug
    assert "#" not in link["href"]
    assert (tmp_path / unquote(link["href"])).is_file()


def test_a_newer_failure_is_told_and_the_older_report_stays_linked(tmp_path):
    _publish(tmp_path, run_id=EARLY)
    _fail(tmp_path, run_id=LATE)
    entry = _page(tmp_path).select_one(".entry")
    assert entry.a["href"].endswith(f"{EARLY}/report.html")
    text = entry.get_text(" ", strip=True)
    assert "Last attempt failed" in text
    assert "visits: 12 rows have no date" in text
    assert "loyalty run 02_retention --force" in text


def test_a_failure_older_than_the_report_is_history(tmp_path):
    _fail(tmp_path, run_id=EARLY)
    _publish(tmp_path, run_id=LATE)
    (entry,) = collect_entries(tmp_path)
    assert entry.failure is None


def test_of_several_failures_the_newest_is_told(tmp_path):
    _fail(tmp_path, run_id=EARLY)
    _fail(tmp_path, run_id=LATE)
    (entry,) = collect_entries(tmp_path)
    assert entry.failure.run_id == LATE


def test_a_report_that_never_finished_is_listed_without_a_link(tmp_path):
    _fail(tmp_path)
    (entry,) = collect_entries(tmp_path)
    assert (entry.status, entry.link) == ("failed", "")
    page = _page(tmp_path)
    assert page.select_one(".entry a") is None
    assert "Never finished" in page.text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("latest.json", "{half"),
        ("latest.json", "[]"),
        ("latest.json", {"path": "../../elsewhere"}),
        ("latest.json", {"path": "/etc"}),
        ("latest.json", {"path": "no-such-run"}),
        (f"{EARLY}/manifest.json", "{half"),
        (f"{EARLY}/manifest.json", {"title": "t"}),
        (f"{EARLY}/manifest.json", {"title": "t", "data": {}, "findings": [1]}),
    ],
)
def test_one_damaged_run_does_not_hide_the_others(tmp_path, file, content):
    _publish(tmp_path, slug="north")
    _publish(tmp_path, slug="south")
    _write(tmp_path / "02_retention" / "north" / file, content)
    states = {entry.slug: entry.status for entry in collect_entries(tmp_path)}
    assert states == {"north": "unreadable", "south": "published"}
    assert "missing or damaged" in _page(tmp_path).text


def test_a_moment_that_is_none_makes_a_run_unreadable_not_the_page(tmp_path):
    _publish(tmp_path, finished_at="yesterday")
    (entry,) = collect_entries(tmp_path)
    assert entry.status == "unreadable"
    assert "Unreadable" in _page(tmp_path).text


def test_a_damaged_failure_is_passed_over(tmp_path):
    _publish(tmp_path, run_id=EARLY)
    _write(tmp_path / "_failed" / "02_retention" / "north" / LATE / "failure.json", "{half")
    (entry,) = collect_entries(tmp_path)
    assert (entry.status, entry.failure) == ("published", None)


def test_the_runners_own_folders_are_no_reports(tmp_path):
    _publish(tmp_path)
    for own in (".staging", ".locks", "_failed"):
        (tmp_path / own / "02_retention" / "north").mkdir(parents=True)
    assert len(collect_entries(tmp_path)) == 1


def test_reports_are_grouped_and_ordered_by_name_and_slug(tmp_path):
    for report, slug in (("02_retention", "b"), ("01_data", "x"), ("02_retention", "a")):
        _publish(tmp_path, report=report, slug=slug, title=f"Title of {report}")
    page = _page(tmp_path)
    assert [heading.text for heading in page.find_all("h2")] == [
        "Title of 01_data",
        "Title of 02_retention",
    ]
    assert [link.text for link in page.select(".entry a")] == ["x", "a", "b"]


def test_hostile_text_stays_text_and_the_page_runs_nothing(tmp_path):
    hostile = "<script>alert(1)</script>"
    _publish(tmp_path, title=hostile, findings=[{"name": "x", "sentence": hostile}])
    page = _page(tmp_path)
    assert page.find_all("script") == []
    assert page.text.count(hostile) == 2


def test_failed_checks_stand_out(tmp_path):
    _publish(tmp_path, checks=[{"check": "overlap", "passed": False, "message": "too few"}])
    assert _page(tmp_path).select_one(".failed").text == "0 of 1 checks passed."


@pytest.mark.parametrize("made", [True, False])
def test_an_empty_or_missing_folder_gives_a_page_that_says_so(tmp_path, made):
    out = tmp_path / "reports"
    if made:
        out.mkdir()
    assert collect_entries(out) == []
    assert "There is no report here yet." in _page(out).text


def test_the_page_is_written_in_one_step_and_leaves_nothing_else(tmp_path):
    out = tmp_path / "报告 reports"
    page = write_index(out)
    assert page == out / "index.html"
    assert [path.name for path in out.iterdir()] == ["index.html"]
    assert write_index(out).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
