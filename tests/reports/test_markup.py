"""The allow-list that everything on a page passes through."""

import pytest

from loyalty_research.errors import ReportError
from loyalty_research.reports.markup import anchor_of, clean, from_markdown, settle

PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    ("hostile", "left"),
    [
        ("<script>alert(1)</script>", ""),
        ("<style>body{display:none}</style>text", "text"),
        ("<svg onload=alert(1)><a href='javascript:x()'>t</a></svg>", ""),
        ('<p onmouseover="alert(1)" style="position:fixed">text</p>', "<p>text</p>"),
        ('<iframe src="https://example.org"></iframe>', ""),
        ('<form action="https://example.org"><input name="a"></form>', ""),
        ('<link rel="stylesheet" href="https://example.org/a.css">', ""),
        ('<meta http-equiv="refresh" content="0;url=https://example.org">', ""),
        ('<base href="https://example.org">', ""),
        ('<img src="https://example.org/a.png" alt="a">', '<img alt="a">'),
        ('<img src="data:image/svg+xml;base64,PHN2Zz4=" alt="a">', '<img alt="a">'),
        ('<img src="x" onerror="alert(1)" alt="a">', '<img alt="a">'),
        ('<a href="javascript:alert(1)">text</a>', "<a>text</a>"),
        ('<a href="java\nscript:alert(1)">text</a>', "<a>text</a>"),
        ('<a href="da\tta:text/html,x">text</a>', "<a>text</a>"),
        ('<a href="file:///etc/passwd">text</a>', "<a>text</a>"),
        ("<table background='https://example.org/a.png'></table>", "<table></table>"),
        ("<!-- kept secret -->text", "text"),
        ("<blink>text</blink>", "text"),
    ],
)
def test_what_could_run_load_submit_or_restyle_is_gone(hostile, left):
    assert clean(hostile) == left


def test_escaped_text_stays_escaped():
    name = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Sons"
    assert clean(f"<p>{name}</p>") == f"<p>{name}</p>"


def test_an_embedded_picture_and_a_link_to_a_source_stay():
    picture = f'<img alt="a dot" src="{PIXEL}">'
    link = '<a href="https://doi.org/10.1000/182">source</a>'
    assert clean(picture) == picture
    assert clean(link) == link


def test_cleaning_twice_changes_nothing_more():
    html = "<p>a < b & c</p><table><tr><th scope='row'>谁</th></tr></table>"
    assert clean(clean(html)) == clean(html)


def test_a_pasted_picture_of_a_markdown_cell_is_embedded():
    attachments = {"dot.png": {"image/png": "iVBORw0KGgo="}}
    html = from_markdown("![a dot](attachment:dot.png)", attachments=attachments)
    assert clean(html).strip() == f'<p><img alt="a dot" src="{PIXEL}"></p>'


def test_the_opening_title_is_dropped_because_the_page_has_its_own():
    html, contents = settle(["<h1>Do they stay?</h1><p>Yes.</p>", "<h2>Who</h2><h1>Also</h1>"])
    assert html == ["<p>Yes.</p>", '<h2 id="who">Who</h2><h2 id="also">Also</h2>']
    assert [heading.text for heading in contents] == ["Who", "Also"]


def test_equal_headings_get_different_anchors():
    html, contents = settle(["<h2>Result</h2><h2>Result</h2>"])
    assert [heading.anchor for heading in contents] == ["result", "result-2"]
    assert html == ['<h2 id="result">Result</h2><h2 id="result-2">Result</h2>']


def test_an_anchor_a_suffix_would_repeat_is_not_given_twice():
    _, contents = settle(["<h2>Result</h2><h2>Result</h2><h2>Result 2</h2>"])
    anchors = [heading.anchor for heading in contents]
    assert len(set(anchors)) == 3


def test_a_heading_never_takes_an_anchor_of_the_page_itself():
    _, contents = settle(["<h2>Checks</h2><h2>Main</h2>"])
    assert [heading.anchor for heading in contents] == ["checks-2", "main-2"]


def test_links_inside_the_page_are_matched_to_its_headings():
    # JupyterLab writes the anchor of a heading as its text with dashes for spaces.
    html, _ = settle(['<h2>How sure?</h2><a href="#How-sure%3F">see</a>'])
    assert html == ['<h2 id="how-sure">How sure?</h2><a href="#how-sure">see</a>']


def test_links_to_what_is_not_there_become_text():
    html, _ = settle(['<a href="02_retention.ipynb">next</a> <a href="#nowhere">there</a>'])
    assert html == ["next there"]


def test_a_picture_that_lies_elsewhere_becomes_its_description():
    html, _ = settle(['<img src="https://example.org/a.png" alt="a map">'])
    assert html == ["a map"]


def test_a_picture_without_description_is_refused():
    with pytest.raises(ReportError, match="has no description"):
        settle([f'<img src="{PIXEL}">'])


def test_every_table_gets_a_box_to_scroll_in_that_a_keyboard_reaches():
    html, _ = settle(["<table><caption>Visits by clinic</caption></table>"])
    box = html[0].partition("<table>")[0]
    for attribute in ('class="table-box"', 'tabindex="0"', 'aria-label="Visits by clinic"'):
        assert attribute in box


@pytest.mark.parametrize(
    ("columns", "breadth"),
    [
        (8, "table-box"),
        (9, "table-box wide"),
        (16, "table-box wide wider"),
        (23, "table-box wide wider widest"),
    ],
)
def test_a_broad_table_is_marked_for_smaller_print(columns, breadth):
    html, _ = settle([f"<table><tr>{'<td>1</td>' * columns}</tr></table>"])
    assert f'class="{breadth}"' in html[0]


def test_an_anchor_of_signs_alone_is_still_an_anchor():
    assert anchor_of("???") == "section"
