"""The last look at a finished report: a planted leak is always found."""

import json

import pytest

from loyalty_research.data.study import open_study
from loyalty_research.errors import DisclosureError
from loyalty_research.reports.harvest import Harvest
from loyalty_research.reports.scan import identifier_columns, scan


def table(name, kind, *values):
    return {"name": "t", "columns": [{"name": name, "type": kind}], "rows": [[v] for v in values]}


@pytest.fixture
def look(six_patients, tmp_path):
    folder = tmp_path / "staged"
    folder.mkdir()

    def look(files=None, tables=None, audience="internal"):
        for name, text in (files or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        with open_study(six_patients) as study:
            scan(folder, harvest=Harvest(tables=tables or {}), study=study, audience=audience)

    return look


def fault(look, **planted):
    with pytest.raises(DisclosureError) as caught:
        look(**planted)
    assert caught.value.exit_status == 4
    assert "pat-0003" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.html", "<td>pat-0003</td>"),
        ("report.html", "<p>&#39;pat-0003&#39;</p>"),
        ("report.html", '<img alt="the curve of pat-0003">'),
        ("report.ipynb", json.dumps({"text": "Index(['pat-0003'], dtype='object')"})),
        ("results.json", '{"id": "pat-0003"}'),
        ("t.csv", "a,b\n1,pat-0003\n"),
    ],
)
def test_a_pseudonym_in_any_file_holds_the_report(look, name, text):
    assert f"{name}: 1 pseudonym(s) of patients" in fault(look, files={name: text})


def test_words_that_are_no_pseudonyms_hold_nothing(look):
    look(files={"report.html": "<p>pat-9999 0012 East pat</p>", "t.csv": "n\n6\n"})


@pytest.mark.parametrize("audience", ["internal", "publish"])
def test_a_column_of_identifiers_holds_the_report_for_everyone(look, audience):
    planted = {"t": table("visit_id", "text", "x")}
    assert "the identifier column visit_id" in fault(look, tables=planted, audience=audience)


@pytest.mark.parametrize("name", ["n", "n_patients"])
def test_a_small_count_holds_a_report_for_publication_only(look, name):
    planted = {"t": table(name, "integer", 0, 7, None, 10)}
    look(tables=planted)
    assert f"shows 1 small counts in {name}" in fault(look, tables=planted, audience="publish")


def test_zero_and_eight_are_no_small_counts(look):
    look(tables={"t": table("n", "integer", 0, 8, None)}, audience="publish")


def test_what_names_a_person_is_known_from_the_contract():
    assert {"patient_id", "visit_id", "referrer_id"} <= identifier_columns()
    assert "facility_id" not in identifier_columns()
