"""Batches: the whole plan is checked first, and one failure stops no other report."""

import pytest

from loyalty_research.errors import UsageError
from loyalty_research.reports.batch import read_plan, run_batch

pytestmark = pytest.mark.usefixtures("tiny_reports")


@pytest.fixture
def plan(tmp_path, six_patients):
    def plan(text):
        path = tmp_path / "reports.toml"
        path.write_text(f'defaults = {{ data = "{six_patients.name}" }}\n{text}', encoding="utf-8")
        return path

    return plan


def entry(name, report="tiny", more=""):
    return f'[[report]]\nid = "{name}"\nreport = "{report}"\n{more}\n'


def test_the_reports_run_in_order_and_a_second_batch_skips_them(plan, tmp_path):
    path = plan(entry("b") + entry("a", more='parameters = { site = "0012" }'))
    first = run_batch(path, out=tmp_path / "out")
    assert [outcome.slug for outcome in first.outcomes] == ["b", "a"]
    assert first.exit_status == 0
    second = run_batch(path, out=tmp_path / "out")
    assert {outcome.status for outcome in second.outcomes} == {"up to date"}


def test_a_failure_stops_no_other_report_and_gives_its_status(plan, tmp_path):
    path = plan(entry("bad", "killed") + entry("good"))
    result = run_batch(path, out=tmp_path / "out")
    assert [outcome.slug for outcome in result.outcomes] == ["good"]
    assert [name for name, _ in result.failures] == ["bad"]
    assert result.exit_status == 5


def test_fail_fast_stops_at_the_first_failure(plan, tmp_path):
    path = plan(entry("bad", "broken") + entry("good"))
    result = run_batch(path, out=tmp_path / "out", fail_fast=True)
    assert result.outcomes == []
    assert result.exit_status == 1


def test_only_the_chosen_ids_run(plan, tmp_path):
    result = run_batch(plan(entry("a") + entry("b")), out=tmp_path / "out", only=["b"])
    assert [outcome.slug for outcome in result.outcomes] == ["b"]


def test_an_unknown_id_is_refused_with_the_one_that_was_meant(plan, tmp_path):
    with pytest.raises(UsageError, match='no report has the id "clinicB"; did you mean "clinic-b"'):
        run_batch(plan(entry("clinic-b")), out=tmp_path / "out", only=["clinicB"])


def test_every_fault_of_the_plan_is_told_at_once(plan):
    path = plan(
        entry("a", "tinny")
        + entry("a", more="parameters = { sight = 'x' }")
        + entry("c", more="parameters = { conf_level = 'high' }")
    )
    with pytest.raises(UsageError) as caught:
        read_plan(path)
    message = str(caught.value)
    assert "id 'a' is used twice" in message
    assert 'there is no report "tinny"; did you mean "tiny"?' in message
    assert 'sight is not a parameter; did you mean "site"?' in message
    assert "conf_level" in message


def test_a_default_that_no_report_knows_is_a_fault(tmp_path):
    path = tmp_path / "reports.toml"
    path.write_text('[defaults]\nsight = "x"\n' + entry("a"))
    with pytest.raises(UsageError, match="sight is a parameter of none of the reports; did you"):
        read_plan(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[report]]\nid = 'a'\nreport = 'tiny'\nwhen = 'daily'", "report.0.when"),
        ("[[report]]\nreport = 'tiny'", "report.0.id"),
        ("[[report]]\nid = '../x'\nreport = 'tiny'", "report.0.id"),
        ("", "report"),
        ("[[report]]\nid = 0012", "texts need quotes"),
    ],
)
def test_a_malformed_plan_is_refused(tmp_path, text, words):
    path = tmp_path / "reports.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_plan(path)
