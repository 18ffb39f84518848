"""Any result table can be shown, whatever its cells hold."""

import datetime as dt
from html.parser import HTMLParser

import pandas as pd

from loyalty_research.display.worded import WordedTable, table_html, word_table


class Cells(HTMLParser):
    """Collect the cells of a table with their attributes."""

    def __init__(self):
        super().__init__()
        self.cells = []

    def handle_starttag(self, tag, attrs):
        if tag in {"th", "td", "script"}:
            self.cells.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self.cells and data.strip():
            self.cells[-1][2] += data


def cells_of(words, **options):
    parser = Cells()
    parser.feed(table_html(words, **options))
    return parser.cells


def test_cells_are_worded_by_their_kind():
    table = pd.DataFrame(
        {
            "site": ["North", None],
            "n_patients": [6214, 0],
            "estimate": [0.55213, None],
            "passed": [True, False],
            "day": [dt.date(2024, 1, 31), None],
        }
    )
    assert word_table(table).words.to_numpy().tolist() == [
        ["North", "6,214", "0.552", "yes", "2024-01-31"],
        ["–", "0", "–", "no", "–"],
    ]


def test_names_of_columns_are_for_readers():
    worded = word_table(pd.DataFrame({"n_at_risk": [1]}), labels={"n_at_risk": "still seen"})
    assert worded.words.columns.tolist() == ["Still seen"]
    assert worded.numbers.columns.tolist() == ["n_at_risk"]


def test_a_hidden_cell_says_suppressed_and_the_mark_is_no_column():
    published = pd.DataFrame({"site": ["A", "B"], "n": [pd.NA, 20], "suppressed": [1, 0]})
    words = word_table(published).words
    assert words.to_numpy().tolist() == [["A", "suppressed"], ["B", "20"]]


def test_what_is_missing_can_be_told_in_words():
    words = word_table(pd.DataFrame({"n": [None]}), missing="not yet observed").words
    assert words["Number"].tolist() == ["not yet observed"]


def test_names_from_outside_cannot_become_markup():
    words = pd.DataFrame({"<i>Site": ["<script>alert(1)</script>"], "N": ['"&<']})
    page = table_html(words, caption="<b>&")
    assert "<script>" not in page
    assert "<i>" not in page
    assert "<caption>&lt;b&gt;&amp;</caption>" in page
    assert [cell[2] for cell in cells_of(words)] == [
        "<i>Site",
        "N",
        "<script>alert(1)</script>",
        '"&<',
    ]


def test_numbers_stand_at_the_right_and_names_at_the_left():
    words = pd.DataFrame(
        {"Site": ["A", "B"], "Share": ["55.2 % (54 to 56)", "–"], "Day": ["2024-01-01", "–"]}
    )
    head, body = cells_of(words)[:3], cells_of(words)[3:]
    assert [cell[1].get("scope") for cell in head] == ["col"] * 3
    assert [cell[1].get("class") for cell in head] == [None, "number", None]
    assert [cell[0] for cell in body] == ["th", "td", "td"] * 2
    assert [cell[1].get("class") for cell in body[3:]] == [None, "number missing", "missing"]
    assert body[0][1]["scope"] == "row"


def test_a_column_that_says_nothing_stands_like_its_neighbour():
    words = pd.DataFrame(
        {"Cohort": ["2024"], "0": ["suppressed"], "1": ["55 %"], "2": ["–"], "3": ["suppressed"]}
    )
    assert [cell[1].get("class") for cell in cells_of(words)[:5]] == [None] + ["number"] * 4
    named = pd.DataFrame({"Site": ["A"], "Head": ["B"], "Deputy": ["–"], "Note": [""]})
    assert [cell[1].get("class") for cell in cells_of(named)[:4]] == [None] * 4


def test_a_table_without_rows_says_so():
    page = table_html(pd.DataFrame({"Site": [], "N": []}))
    assert '<td colspan="2" class="missing">no rows</td>' in page
    assert "<caption>" not in page


def test_a_worded_table_shows_itself_in_a_notebook():
    worded = WordedTable(pd.DataFrame({"n": [1]}), pd.DataFrame({"N": ["1"]}))
    assert worded._repr_html_() == table_html(worded.words)
