"""The page of a report, read back as a browser would."""

import re

import nbformat.v4 as v4
import pytest
from bs4 import BeautifulSoup

from loyalty_research.errors import ReportError
from loyalty_research.reports.page import NOTICE, page_blocks, render_page, show_value

FINDING = "application/vnd.loyalty.finding+json"
TABLE = "application/vnd.loyalty.table+json"
HOSTILE = "<script>alert(1)</script>"


def _shown(data, **metadata):
    return v4.new_output("display_data", data=data, metadata=metadata)


def _figure(alt="A falling curve.", **size):
    described = {"image/png": {"alt": alt, "name": "curve", **size}}
    return _shown({"image/png": "iVBORw0KGgo=\n", "text/plain": "<Figure>"}, **described)


def _finding(sentence, name="retention"):
    return _shown({FINDING: {"name": name, "sentence": sentence}, "text/plain": sentence})


def _notebook(*outputs, text="# A question?\n\nThe lead.\n\n## Result"):
    code = v4.new_code_cell("hidden_call(42)", outputs=list(outputs), execution_count=1)
    return v4.new_notebook(cells=[v4.new_markdown_cell(text), code])


def _manifest(**changes):
    data = {
        "name": "Example study",
        "data_cutoff": "2024-12-31",
        "simulated": False,
        "fingerprint": "ab" * 32,
        "tables": [
            {
                "table": "visits",
                "n_rows": 400123,
                "first_date": "2021-01-02",
                "last_date": "2024-12-30",
            }
        ],
    }
    return {
        "report": "02_retention",
        "title": "How long do patients keep coming back?",
        "run_id": "20250105T101233Z-a1b2c3",
        "started_at": "2025-01-05T10:12:33+00:00",
        "parameters": {"lapse_days": 180, "site": "", "windows": [90, 365]},
        "data": data | changes.pop("data", {}),
        "package": {"version": "0.1.0"},
        "checks": [],
    } | changes


def _page(*outputs, text="# A question?\n\nThe lead.\n\n## Result", **changes):
    html = render_page(_notebook(*outputs, text=text), manifest=_manifest(**changes))
    return BeautifulSoup(html, "html.parser")


def test_the_first_screen_answers_the_question():
    page = _page(_finding("58 of 100 stay."), _finding("Few lapse.", name="windows"))
    head = page.header.get_text(" ", strip=True)
    assert page.h1.text == "How long do patients keep coming back?"
    assert page.select_one(".headline").text == "58 of 100 stay."
    assert page.select_one(".answer li").text == "Few lapse."
    for fact in ("31 December 2024", "400,123", "5 January 2025, 10:12 UTC", NOTICE):
        assert fact in head


def test_the_page_holds_no_code_no_script_and_asks_for_nothing():
    html = render_page(_notebook(_figure(), _finding("Yes.")), manifest=_manifest())
    page = BeautifulSoup(html, "html.parser")
    assert "hidden_call" not in html
    assert not page.find_all(["script", "iframe", "object", "embed", "form", "base"])
    assert [link["href"] for link in page.find_all("link")] == ["data:,"]
    assert all(image["src"].startswith("data:image/") for image in page.find_all("img"))
    assert not re.search(r"url\(|@import|https?://", html)
    assert "default-src 'none'" in page.find("meta", attrs={"http-equiv": True})["content"]


def test_what_stderr_said_is_not_shown_and_what_was_printed_is():
    page = _page(
        v4.new_output("stream", name="stderr", text="/tmp/ipykernel_4242: a warning"),
        v4.new_output("stream", name="stdout", text="\x1b[31mprinted\x1b[0m <b>"),
    )
    assert "4242" not in str(page)
    assert page.main.pre.text == "printed <b>"


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_data_are_marked_at_the_top_in_the_title_and_at_the_end(simulated):
    page = _page(data={"simulated": simulated})
    marks = (
        page.select_one(".simulated") is not None,
        "simulated" in page.title.text,
        "simulated" in page.footer.text,
    )
    assert marks == (simulated,) * 3


def test_a_hostile_name_is_text_wherever_it_stands():
    page = _page(
        _shown({"text/html": "<table><td>&lt;script&gt;alert(1)&lt;/script&gt;</td></table>"}),
        _shown({"text/plain": HOSTILE}),
        _finding(HOSTILE),
        _figure(alt=f'"{HOSTILE}'),
        title=HOSTILE,
        report=HOSTILE,
        run_id=HOSTILE,
        parameters={HOSTILE: HOSTILE},
        package={"version": HOSTILE},
        data={"name": HOSTILE, "fingerprint": HOSTILE},
        checks=[{"check": HOSTILE, "passed": False, "message": HOSTILE}],
    )
    assert page.find_all("script") == []
    # title, kicker, h1, headline, failed check, table, plain text, finding, and in the record
    # report, run, version, fingerprint, parameter's name and value, check and its message.
    assert page.get_text().count("alert(1)") == 16
    assert page.figure.img["alt"] == f'"{HOSTILE}'


def test_no_line_ends_between_a_number_and_its_percent_sign():
    outputs = [_finding("It was 5.1 % (95 % interval 4 to 6)."), _shown({"text/plain": "8 %"})]
    html = str(_page(*outputs, text="Of 10 patients 20 % stayed."))
    assert not re.search(r"\d %", html)
    for told in ("5.1\u00a0% (95\u00a0% interval", "8\u00a0%", "patients 20\u00a0% stayed"):
        assert told in html


def test_html_of_an_output_is_cleaned():
    page = _page(_shown({"text/html": f"<p onclick='x()'>8 of 10{HOSTILE}</p>"}))
    assert str(page.select(".text")[-1].p) == "<p>8 of 10</p>"


def test_contents_lead_to_every_section_and_to_the_record():
    page = _page(text="# Q?\n\n## Who?\n\n### By clinic\n\n## 结果\n\n#### Detail")
    links = page.select("nav a")
    assert [link.text for link in links] == ["Who?", "By clinic", "结果", "Record of this run"]
    anchors = {tag["id"] for tag in page.find_all(id=True)}
    assert all(link["href"][1:] in anchors for link in page.find_all("a", href=True))
    assert len(anchors) == len(page.find_all(id=True))


def test_the_page_has_one_title_and_the_landmarks_of_a_document():
    page = _page()
    assert page.html["lang"] == "en"
    assert len(page.find_all("h1")) == 1
    assert page.body.find(True)["href"] == f"#{page.main['id']}"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.find_all(landmark)) == 1
    assert page.main.p.text == "The lead."


def test_the_language_of_the_page_can_be_named():
    html = render_page(_notebook(), manifest=_manifest(), language="zh-CN")
    assert '<html lang="zh-CN">' in html


def test_a_figure_keeps_its_drawn_size_and_its_description():
    image = _page(_figure("Members stay longer.", width=720, height=400)).figure.img
    assert (image["width"], image["alt"]) == ("720", "Members stay longer.")
    assert image["src"] == "data:image/png;base64,iVBORw0KGgo="


def test_a_figure_whose_size_is_not_said_has_its_natural_one():
    assert not _page(_figure()).figure.img.has_attr("width")


def test_a_finding_stands_where_it_was_found_and_at_the_top():
    page = _page(_finding("58 of 100 stay."))
    assert page.main.select_one(".finding").text == "58 of 100 stay."
    assert page.header.select_one(".headline").text == "58 of 100 stay."


def test_a_report_without_findings_still_has_its_facts():
    page = _page()
    assert page.select_one(".headline") is None
    assert "31 December 2024" in page.header.text


def test_the_richest_form_of_an_output_is_shown():
    table = {"name": "t", "columns": [], "rows": []}
    page = _page(_shown({TABLE: table, "text/html": "<p>rich</p>", "text/plain": "poor"}))
    assert "rich" in page.main.text
    assert "poor" not in page.main.text


def test_markdown_made_by_a_cell_is_read_as_markdown():
    page = _page(_shown({"text/markdown": "a **strong** word", "text/plain": "x"}))
    assert page.main.strong.text == "strong"


def test_failed_checks_are_told_before_anything_else():
    page = _page(
        checks=[
            {"check": "overlap", "passed": False, "message": "too few in one arm"},
            {"check": "keys", "passed": True, "message": "keys are unique"},
            {"check": "coverage", "passed": None, "message": "48 months"},
        ]
    )
    assert "1 check failed" in page.header.text
    assert "too few in one arm" in page.header.text
    assert "1 of 2 passed" in page.header.text
    assert [cell.text for cell in page.select("#checks td:nth-of-type(1)")] == [
        "FAILED",
        "passed",
        "for information",
    ]


def test_the_record_says_how_to_make_the_same_report_again():
    record = _page().footer.get_text(" ", strip=True)
    for part in ("20250105T101233Z-a1b2c3", "0.1.0", "ab" * 32, "lapse_days 180", "90, 365"):
        assert part in record
    assert "site not set" in record
    assert "visits 400,123 2 January 2021 30 December 2024" in record


def test_equal_runs_give_equal_pages():
    notebook = _notebook(_figure(), _finding("Yes."))
    assert render_page(notebook, manifest=_manifest()) == render_page(
        notebook, manifest=_manifest()
    )


@pytest.mark.parametrize("kind", ["image/svg+xml", "application/javascript", "text/latex"])
def test_an_output_that_no_page_can_hold_is_refused(kind):
    with pytest.raises(ReportError, match=re.escape(f"cell 2 shows {kind}; end it with show_")):
        _page(_shown({kind: "x", "text/plain": "x"}))


def test_a_figure_without_alternative_text_is_refused():
    with pytest.raises(ReportError, match="cell 2 shows a figure without alternative text"):
        _page(_figure(alt=" "))


def test_an_error_in_the_notebook_is_refused_and_not_quoted():
    error = v4.new_output("error", ename="KeyError", evalue="P0001", traceback=["P0001"])
    with pytest.raises(ReportError, match="cell 2 ended in an error") as caught:
        _page(error)
    assert "P0001" not in str(caught.value)


def test_every_output_that_cannot_be_held_is_named_at_once():
    with pytest.raises(ReportError) as caught:
        list(page_blocks(_notebook(_figure(alt=""), _shown({"image/svg+xml": "<svg/>"}))))
    assert str(caught.value).count("cell 2") == 2


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (False, "no"), (0.5, "0.5"), ([], ""), ("北京", "北京")]
)
def test_parameters_are_shown_as_they_are(value, words):
    assert show_value(value) == words
