"""The pictures of the cohort show the table's own numbers, and gaps as gaps."""

import datetime as dt
from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from loyalty_research.display.figures_cohort import date_ticks, plot_attrition, plot_coverage
from loyalty_research.errors import UsageError

MONTHS = pd.date_range("2023-01-01", "2024-12-01", freq="MS")
LONG = (
    "First visit with no visit in the 365 days before it, in a clinic that took part in the "
    "programme from its beginning until the data cut-off"
)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def coverage(**columns):
    return pd.DataFrame({"month": MONTHS, "n": range(100, 124), **columns})


def attrition_of(names):
    n = [9000 - 700 * i for i in range(len(names) + 1)]
    return pd.DataFrame(
        {
            "step": range(len(n)),
            "criterion": ["all", *names],
            "n_before": [n[0], *n[:-1]],
            "n_excluded": [0] + [700] * len(names),
            "n_after": n,
        }
    )


def test_every_step_has_its_box_and_every_loss_its_box_beside(attrition):
    axes = plot_attrition(attrition)
    assert texts(axes) == [
        "All patients",
        "8,000",
        "First visit in study",
        "6,800",
        "1,200 (15.0 %) left out",
        "Known sex",
        "6,797",
        "3 (<0.1 %) left out",
        "Adult",
        "6,797",
        "0 left out",
    ]
    assert sum(isinstance(p, FancyBboxPatch) for p in axes.patches) == 4 + 3
    assert sum(isinstance(p, FancyArrowPatch) for p in axes.patches) == 3 + 3


def test_criteria_have_names_for_readers(attrition):
    axes = plot_attrition(attrition, labels={"all": "In the records", "adult": "18 or older"})
    assert texts(axes)[0] == "In the records"
    assert "18 or older" in texts(axes)


def test_a_published_flow_says_small_count(attrition):
    axes = plot_attrition(attrition, audience="publish")
    assert "a small count left out" in texts(axes)
    assert "6,795" in texts(axes)


@pytest.mark.parametrize("names", [[], ["adult"], [LONG] * 12, ["长" * 80] * 2])
def test_no_box_is_too_small_for_its_text(names, clipped_texts):
    names = ["Long" * 20 if name.startswith("长") else name for name in names]
    axes = plot_attrition(attrition_of(names))
    assert clipped_texts(axes.figure) == ([], [])
    renderer = axes.figure.canvas.get_renderer()
    boxes = [p.get_window_extent(renderer) for p in axes.patches if isinstance(p, FancyBboxPatch)]
    for text in axes.texts:
        own = text.get_window_extent(renderer)
        assert any(
            box.x0 <= own.x0 and own.x1 <= box.x1 and box.y0 <= own.y0 and own.y1 <= box.y1
            for box in boxes
        )


def test_an_attrition_without_steps_is_refused(attrition):
    with pytest.raises(UsageError, match="the attrition has no step"):
        plot_attrition(attrition.head(0))


def test_every_bar_is_a_row():
    [axes] = plot_coverage(coverage()).axes
    assert [bar.get_height() for bar in axes.patches] == list(range(100, 124))
    assert axes.get_ylim()[0] == 0


def test_a_month_without_a_row_stays_empty():
    holed = coverage().drop(index=[5, 6])
    [axes] = plot_coverage(holed).axes
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert len(middles) == 22
    assert max(b - a for a, b in pairwise(middles)) == 92


def test_each_group_has_a_panel_with_its_own_scale(texts_of):
    both = pd.concat([coverage(site="North"), coverage(site=None).assign(n=3000)])
    figure = plot_coverage(both, by="site", title="Calls")
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["North", "not recorded"]
    assert [axes.get_yticklabels()[1].get_text() for axes in figure.axes] == ["123", "3,000"]
    assert "Calls per month" in texts_of(figure)


def test_a_hidden_month_is_hatched_and_said_to_be(texts_of):
    few = coverage().assign(n=[3] * 4 + [50] * 20)
    figure = plot_coverage(few, audience="publish")
    bars = figure.axes[0].patches
    assert [bool(bar.get_hatch()) for bar in bars] == [False] * 20 + [True] * 4
    assert "Hatched: a small count." in texts_of(figure)
    assert "Hatched: a small count." not in texts_of(plot_coverage(coverage()))


def test_where_every_month_is_hidden_something_is_drawn():
    figure = plot_coverage(coverage().assign(n=2), audience="publish")
    assert all(bar.get_hatch() for bar in figure.axes[0].patches)


@pytest.mark.parametrize("rows", [1, 2, 24])
def test_few_months_keep_the_width_of_bars(rows, clipped_texts):
    figure = plot_coverage(coverage().head(rows))
    [axes] = figure.axes
    low, high = axes.get_xlim()
    assert axes.patches[0].get_width() < (high - low) / 10
    assert clipped_texts(figure) == ([], [])


def test_long_names_of_panels_stay_on_the_page(clipped_texts):
    many = pd.concat([coverage(site=f"{LONG} {i}").assign(n=10**i) for i in range(8)])
    assert clipped_texts(plot_coverage(many, by="site")) == ([], [])


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        ("2024-01-01", "2024-06-01", 6),
        ("2021-01-01", "2024-12-01", 8),
        ("2005-02-01", "2024-12-01", 10),
    ],
)
def test_ticks_stand_on_starts_of_months_quarters_or_years(first, last, count):
    ticks = date_ticks(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    assert len(ticks) == count
    assert all(day.day == 1 for day in ticks)


def test_a_coverage_without_rows_or_dates_is_refused():
    with pytest.raises(UsageError, match="have no row"):
        plot_coverage(coverage().head(0))
    with pytest.raises(UsageError, match="month must be a date"):
        plot_coverage(coverage().assign(month="2024-01"))
    with pytest.raises(UsageError, match="lacks the columns week"):
        plot_coverage(coverage(), period="week")
