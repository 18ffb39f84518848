"""What a notebook shows carries its numbers, and is the same bytes for the same input."""

import base64
import datetime as dt
import gc
import io
import json
import weakref

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from loyalty_research.display.figures_retention import plot_retention_curve
from loyalty_research.display.shown import (
    FINDING_MIME,
    TABLE_MIME,
    show_figure,
    show_finding,
    show_table,
    table_payload,
)
from loyalty_research.display.tables_cohort import attrition_table
from loyalty_research.errors import DisclosureError, UsageError

TABLE = pd.DataFrame({"site": ["<script>", None], "n": [6215, 0], "estimate": [1 / 3, np.nan]})


def show(table=TABLE, **options):
    return show_table(table, name="sites", caption="Patients by site.", **options)


def test_a_table_travels_at_full_precision():
    payload = show()._repr_mimebundle_()[TABLE_MIME]
    assert payload == {
        "name": "sites",
        "caption": "Patients by site.",
        "columns": [
            {"name": "site", "type": "string"},
            {"name": "n", "type": "integer"},
            {"name": "estimate", "type": "number"},
        ],
        "rows": [["<script>", 6215, 1 / 3], [None, 0, None]],
    }
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload


def test_the_mime_types_are_those_the_runner_reads():
    assert TABLE_MIME == "application/vnd.loyalty.table+json"
    assert FINDING_MIME == "application/vnd.loyalty.finding+json"
    assert list(show()._repr_mimebundle_()) == [TABLE_MIME, "text/html", "text/plain"]


def test_the_reader_sees_the_table_escaped():
    page = show()._repr_mimebundle_()["text/html"]
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "<caption>Patients by site.</caption>" in page


def test_the_plain_text_is_short_and_without_fractions():
    assert show()._repr_mimebundle_()["text/plain"] == "table sites: 2 rows, 3 columns"


def test_a_worded_table_shows_its_words_and_carries_its_numbers(attrition):
    bundle = show(attrition_table(attrition))._repr_mimebundle_()
    assert "1,200 (15.0 %)" in bundle["text/html"]
    assert bundle[TABLE_MIME]["rows"][1] == [1, "first_visit_in_study", 8000, 1200, 6800]


def test_a_long_table_shows_its_first_rows_and_carries_all():
    bundle = show(pd.DataFrame({"n": range(100, 150)}), max_rows=3)._repr_mimebundle_()
    assert bundle["text/html"].count("<tr>") == 1 + 3
    assert "and 47 more rows; tables/sites.csv holds all of them" in bundle["text/html"]
    assert len(bundle[TABLE_MIME]["rows"]) == 50
    assert "more row" not in show(max_rows=2)._repr_mimebundle_()["text/html"]


def test_jupyter_understands_what_is_shown():
    formatter = DisplayFormatter()
    table, _ = formatter.format(show())
    image, described = formatter.format(show_figure(Figure(), name="empty", alt="Nothing."))
    assert table[TABLE_MIME]["name"] == "sites"
    assert base64.b64decode(image["image/png"]).startswith(b"\x89PNG")
    assert described["image/png"]["alt"] == "Nothing."


@pytest.mark.parametrize(
    ("column", "type_", "values"),
    [
        (pd.Series([1, None], dtype="Int64"), "integer", [1, None]),
        (pd.Series([True, None], dtype="boolean"), "boolean", [True, None]),
        (pd.Series([True, None], dtype=object), "boolean", [True, None]),
        (pd.Series([1.5, np.inf]), "number", [1.5, None]),
        (pd.Series([dt.date(2024, 1, 2), None]), "date", ["2024-01-02", None]),
        (pd.to_datetime(pd.Series(["2024-01-02", None])), "date", ["2024-01-02", None]),
        (pd.Series(["2024-01-02 10:00"], dtype="datetime64[ns]"), "date", ["2024-01-02T10:00:00"]),
        (pd.Series(["a", None], dtype="category"), "string", ["a", None]),
        (pd.Series([3, 4], dtype="category"), "integer", [3, 4]),
        (pd.Series([1, 2.5], dtype=object), "number", [1.0, 2.5]),
        (pd.Series([3, "x"], dtype=object), "string", ["3", "x"]),
        (pd.Series([None, None], dtype=object), "string", [None, None]),
    ],
)
def test_every_kind_of_column_has_a_type_and_plain_values(column, type_, values):
    payload = table_payload(pd.DataFrame({"x": column}))
    assert payload["columns"] == [{"name": "x", "type": type_}]
    assert [row[0] for row in payload["rows"]] == values


def test_an_empty_table_travels_with_its_columns():
    payload = table_payload(pd.DataFrame({"n": pd.Series([], dtype=int)}))
    assert payload == {"columns": [{"name": "n", "type": "integer"}], "rows": []}


def test_small_or_exact_counts_cannot_be_shown_for_publication():
    counts = pd.DataFrame({"n": [10, 3], "n_events": [12, 0], "step": [1, 2]})
    with pytest.raises(DisclosureError, match="sites: 2 counts from 1 to 7 or not rounded to 5"):
        show(counts, audience="publish")
    assert show(counts.assign(n=10, n_events=0), audience="publish").name == "sites"


def test_the_refusal_leaves_as_a_disclosure_hold():
    assert DisclosureError.exit_status == 4


@pytest.mark.parametrize("name", ["../up", "Sites", "", "1st", "a b"])
def test_a_name_that_is_no_plain_file_name_is_refused(name):
    with pytest.raises(UsageError, match="lower-case letters, digits and underscores"):
        show_table(TABLE, name=name, caption="x")


def test_captions_alternative_texts_and_sentences_are_required():
    with pytest.raises(UsageError, match="give a caption"):
        show_table(TABLE, name="sites", caption=" ")
    with pytest.raises(UsageError, match="give an alternative text"):
        show_figure(Figure(), name="figure", alt="")
    with pytest.raises(UsageError, match="give a sentence"):
        show_finding("", name="finding", estimates=TABLE)


def test_a_finding_carries_the_estimates_behind_it():
    shown = show_finding("55.2 % stayed <on>.", name="stay", estimates=TABLE[["n", "estimate"]])
    bundle = shown._repr_mimebundle_()
    assert bundle[FINDING_MIME] == {
        "name": "stay",
        "sentence": "55.2 % stayed <on>.",
        "estimates": [{"n": 6215, "estimate": 1 / 3}, {"n": 0, "estimate": None}],
    }
    assert bundle["text/html"] == '<p class="loyalty-finding">55.2 % stayed &lt;on&gt;.</p>'
    assert bundle["text/plain"] == "55.2 % stayed <on>."


def test_a_finding_takes_plain_rows_and_refuses_small_counts_for_publication():
    assert show_finding("x", name="x", estimates=[{"n": 3}]).estimates == [{"n": 3}]
    with pytest.raises(DisclosureError, match="x: 1 count from"):
        show_finding("x", name="x", estimates=[{"n": 3}], audience="publish")


def test_a_figure_is_twice_as_dense_as_the_page(drawn_curve):
    shown = show_figure(plot_retention_curve(drawn_curve(50)), name="stay", alt="A curve.")
    image = Image.open(io.BytesIO(shown.png))
    assert shown.width == 720
    assert image.size == (2 * shown.width, 2 * shown.height)
    data, described = shown._repr_mimebundle_()
    assert data["text/plain"] == "figure stay"
    assert described["image/png"] == {
        "alt": "A curve.",
        "name": "stay",
        "width": shown.width,
        "height": shown.height,
    }


def test_the_same_drawing_is_the_same_bytes(drawn_curve):
    first, second = (
        show_figure(plot_retention_curve(drawn_curve(50)), name="stay", alt="A curve.").png
        for _ in range(2)
    )
    assert first == second
    assert b"Software" not in first
    assert b"matplotlib" not in first


def test_what_is_no_figure_is_refused():
    with pytest.raises(UsageError, match="takes a matplotlib figure or axes"):
        show_figure("a picture", name="x", alt="x")


def test_figures_leave_nothing_open_behind_them(drawn_curve):
    curve = drawn_curve(50)
    axes = plot_retention_curve(curve)
    figure = weakref.ref(axes.figure)
    show_figure(axes, name="stay", alt="A curve.")
    del axes
    gc.collect()
    assert figure() is None
    assert plt.get_fignums() == []


def test_drawing_leaves_the_researchers_own_settings_alone(drawn_curve):
    before = dict(mpl.rcParams)
    show_figure(plot_retention_curve(drawn_curve(50)), name="stay", alt="A curve.")
    assert dict(mpl.rcParams) == before
