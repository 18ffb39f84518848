"""A retention figure draws the table's own numbers, and says where it stops."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.display.figures_retention import (
    nice_ticks,
    plot_lapse_windows,
    plot_retention_curve,
)
from loyalty_research.display.lookup import curve_at
from loyalty_research.display.theme import COLOURS
from loyalty_research.errors import UsageError

LONG = "Riverside community health centre, eastern branch, second floor"


def line_of(axes, name):
    [line] = [line for line in axes.lines if line.get_label() == name]
    return line


def table_of(axes):
    """The numbers under the axis: {column: [text at each tick]}, groups one after another."""
    cells = {}
    for text in axes.figure.axes[1].texts:
        if text.get_gid():
            cells.setdefault(text.get_gid(), []).append(text.get_text())
    return cells


def draw(curve, **options):
    return plot_retention_curve(curve, **{"min_at_risk": 1, "min_share": 0, **options})


def test_the_line_is_the_table(six_patients):
    line = draw(six_patients).lines[0]
    assert line.get_xdata().tolist() == six_patients["time"].tolist()
    assert line.get_ydata().tolist() == six_patients["estimate"].tolist()
    assert line.get_drawstyle() == "steps-post"


def test_the_band_is_the_interval_in_steps(drawn_curve):
    curve = drawn_curve(100)
    [band] = draw(curve).collections
    heights = band.get_paths()[0].vertices[:, 1]
    known = curve[["conf_low", "conf_high"]].to_numpy()
    assert set(np.round(heights, 9)) <= set(np.round(known, 9).ravel())
    # Steps: each interior limit is held until the next time.
    assert len(heights) >= 4 * (len(curve) - 1)


def test_the_axis_begins_at_0_and_ends_at_100_percent(six_patients):
    axes = draw(six_patients)
    assert axes.get_ylim() == (0, 1)
    assert [t.get_text() for t in axes.get_yticklabels()][::4] == ["0 %", "100 %"]
    assert axes.get_xlabel() == "Days since first visit"
    assert axes.get_ylabel() == "Still coming"


def test_the_numbers_under_the_axis_are_those_of_the_table(drawn_curve):
    curve = drawn_curve(2500)
    axes = plot_retention_curve(curve, times=[0, 180, 360])
    at = curve_at(curve, times=[0, 180, 360])
    assert table_of(axes) == {
        "n_at_risk": [f"{n:,}" for n in at["n_at_risk"]],
        "n_events_so_far": [f"{n:,}" for n in at["n_events_so_far"]],
        "n_censored_so_far": [f"{n:,}" for n in at["n_censored_so_far"]],
    }
    assert table_of(axes)["n_at_risk"][0] == "2,500"


def test_the_numbers_stand_under_their_ticks(drawn_curve):
    axes = plot_retention_curve(drawn_curve(300), times=[0, 200, 400])
    axes.figure.canvas.draw()
    below = axes.figure.axes[1]
    ticks = [axes.transData.transform((x, 0))[0] for x in (0, 200, 400)]
    cells = [t for t in below.texts if t.get_gid() == "n_at_risk"]
    middles = [t.get_transform().transform(t.get_position())[0] for t in cells]
    assert middles == pytest.approx(ticks)


def test_the_table_can_be_left_out(drawn_curve):
    assert len(plot_retention_curve(drawn_curve(50), risk_table=False).figure.axes) == 1


def test_a_line_stops_where_fewer_than_ten_patients_or_a_tenth_remain(drawn_curve, texts_of):
    curve = drawn_curve(300)
    axes = plot_retention_curve(curve)
    last = axes.lines[0].get_xdata()[-1]
    drawn = curve.set_index("time")["n_at_risk"]
    assert drawn[last] >= 30
    assert drawn[drawn.index > last].max() < 30
    note = "Lines stop where fewer than 10 patients or 10 % of the group remain."
    assert note in texts_of(axes.figure)


def test_a_line_that_does_not_stop_early_has_no_note(curve_of, texts_of):
    axes = plot_retention_curve(curve_of([50] * 20, [False] * 20))
    assert not [text for text in texts_of(axes.figure) if "stop" in text]


def test_censorings_are_marked_below_200_events_only(drawn_curve):
    few, many = drawn_curve(150), drawn_curve(1000)
    marks = line_of(plot_retention_curve(few), "_censored")
    censored = few[(few["n_censored"] > 0) & (few["time"] <= marks.get_xdata()[-1])]
    assert marks.get_xdata().tolist() == censored["time"].tolist()
    assert marks.get_ydata().tolist() == censored["estimate"].tolist()
    assert len(plot_retention_curve(many).lines) == 1


def test_groups_are_named_beside_their_lines_in_their_colours(drawn_curve):
    both = pd.concat([drawn_curve(400, arm=1), drawn_curve(400, mean=200, arm=0, seed=2)])
    axes = plot_retention_curve(both, by="arm", labels={1: "Programme", 0: "Usual care"})
    named = {text.get_text(): text.get_color() for text in axes.texts}
    assert named == {"Programme": COLOURS[0], "Usual care": COLOURS[1]}
    assert line_of(axes, "Programme").get_color() == COLOURS[0]
    assert line_of(axes, "Programme").is_dashed() is False
    assert line_of(axes, "Usual care").is_dashed() is True
    assert axes.get_legend() is None


def test_each_of_a_few_groups_has_its_three_rows(drawn_curve):
    both = pd.concat([drawn_curve(400, arm="A"), drawn_curve(300, arm="B", seed=2)])
    axes = plot_retention_curve(both, by="arm", times=[0, 100])
    names = [t.get_text() for t in axes.figure.axes[1].texts if not t.get_gid()]
    assert names == ["A", "At risk", "Lapsed", "Censored", "B", "At risk", "Lapsed", "Censored"]
    assert table_of(axes)["n_at_risk"][::2] == ["400", "300"]


def test_many_groups_have_the_numbers_at_risk_only(drawn_curve):
    five = pd.concat([drawn_curve(100 + i, site=f"Site {i}", seed=i) for i in range(5)])
    axes = plot_retention_curve(five, by="site", times=[0, 100])
    assert list(table_of(axes)) == ["n_at_risk"]
    assert table_of(axes)["n_at_risk"][::2] == ["100", "101", "102", "103", "104"]


def test_quantiles_are_marked_where_the_table_says(drawn_curve):
    both = pd.concat([drawn_curve(400, arm=1), drawn_curve(400, arm=0, mean=9000)])
    quantiles = pd.DataFrame({"arm": [1, 0], "q": 0.5, "estimate": [330.0, np.nan]})
    axes = plot_retention_curve(both, by="arm", quantiles=quantiles)
    marked = line_of(axes, "_quantile")
    assert marked.get_xydata().tolist() == [[0, 0.5], [330, 0.5], [330, 0]]


def test_a_curve_without_events_is_a_line_at_100_percent(curve_of):
    axes = plot_retention_curve(curve_of(list(range(1, 41)), [False] * 40))
    assert set(axes.lines[0].get_ydata()) == {1.0}


def test_one_patient_is_counted_but_not_drawn(curve_of, texts_of):
    axes = plot_retention_curve(curve_of([200], [True]))
    assert [line.get_label() for line in axes.lines] == []
    assert "Fewer than 10 patients: no line is drawn." in texts_of(axes.figure)
    assert table_of(axes)["n_at_risk"][0] == "1"


def test_a_small_group_is_named_as_not_drawn(drawn_curve, texts_of):
    both = pd.concat([drawn_curve(400, site="Big"), drawn_curve(9, site="Tiny")])
    axes = plot_retention_curve(both, by="site")
    assert [text.get_text() for text in axes.texts] == ["Big"]
    assert any("fewer than 10 patients: Tiny." in text for text in texts_of(axes.figure))


def test_an_empty_curve_is_an_empty_figure(six_patients, texts_of):
    axes = plot_retention_curve(six_patients.iloc[:0])
    assert "Fewer than 10 patients: no line is drawn." in texts_of(axes.figure)


def test_a_published_figure_shows_no_small_count_and_no_single_day(drawn_curve, texts_of):
    curve = drawn_curve(150)
    axes = plot_retention_curve(curve, audience="publish", times=[0, 100, 700])
    numbers = [text.replace(",", "") for column in table_of(axes).values() for text in column]
    assert all(text == "–" or int(text) % 5 == 0 for text in numbers)
    assert not {str(n) for n in range(1, 8)} & set(numbers)
    assert len(axes.lines) == 1
    assert len(axes.lines[0].get_xdata()) < len(curve) / 4
    assert any("rounded to 5" in text for text in texts_of(axes.figure))


def test_a_published_line_has_a_gap_where_the_table_withholds(curve_of):
    curve = curve_of([10] * 10 + [20] * 3 + [30] * 6 + [50] * 60, [True] * 19 + [False] * 60)
    line = draw(curve, audience="publish", exact_at=[10, 20]).lines[0]
    assert line.get_xdata().tolist() == [0, 10, 20, 30, 50]
    shares = [1.0, 0.873, np.nan, 0.759, 0.759]
    assert line.get_ydata().tolist() == pytest.approx(shares, nan_ok=True)
    windows = plot_lapse_windows({90: curve}, audience="publish", exact_at=[10, 20])
    assert windows.lines[0].get_ydata().tolist() == pytest.approx(shares, nan_ok=True)


def test_the_band_goes_as_far_as_the_line_where_a_gap_begins(curve_of, texts_of):
    curve = curve_of([10] * 10 + [20] * 3 + [30] * 6 + [50] * 60, [True] * 19 + [False] * 60)
    axes = draw(curve, audience="publish", exact_at=[10, 20])
    ends = sorted({x for path in axes.collections[0].get_paths() for x in path.vertices[:, 0]})
    assert ends == [0, 10, 20, 30, 50]
    assert any("has a gap where too few" in text for text in texts_of(axes.figure))
    without = draw(curve, audience="publish", exact_at=[10])
    assert not any("gap" in text for text in texts_of(without.figure))


def test_a_line_does_not_end_in_a_gap(curve_of):
    curve = curve_of([10] * 10 + [20] * 3 + [50] * 60, [True] * 13 + [False] * 60)
    axes = draw(curve.iloc[:-1], audience="publish", exact_at=[10, 20])
    assert axes.lines[0].get_xdata().tolist() == [0, 10]


def test_a_curve_that_begins_late_is_drawn_from_100_percent(six_patients):
    line = draw(six_patients.iloc[1:]).lines[0]
    assert line.get_xydata()[0].tolist() == [0, 1]


def test_shuffled_rows_draw_the_same(six_patients):
    shuffled = draw(six_patients.sample(frac=1, random_state=2)).lines[0]
    assert shuffled.get_xydata().tolist() == draw(six_patients).lines[0].get_xydata().tolist()


def test_lapse_windows_stand_side_by_side_in_words(drawn_curve):
    curves = {90: drawn_curve(400, mean=200), 365: drawn_curve(400, mean=600)}
    axes = plot_lapse_windows(curves)
    names = [text.get_text().replace("\n", " ") for text in axes.texts]
    assert names == ["90 days without a visit", "365 days without a visit"]
    own = curves[90]["estimate"].tolist()
    drawn = line_of(axes, "90 days without a visit").get_ydata().tolist()
    assert drawn == own[: len(drawn)]


@pytest.mark.parametrize(
    ("end", "unit", "ticks"),
    [
        (0, "days", [0]),
        (6, "days", [0, 1, 2, 3, 4, 5, 6]),
        (400, "days", [0, 60, 120, 180, 240, 300, 360]),
        (1460, "days", [0, 365, 730, 1095, 1460]),
        (36, "months", [0, 6, 12, 18, 24, 30, 36]),
    ],
)
def test_ticks_are_weeks_months_and_years(end, unit, ticks):
    assert nice_ticks(end, unit=unit) == ticks


@pytest.mark.parametrize("names", [["One"], [LONG, "B"], [f"{LONG} {i}" for i in range(8)]])
@pytest.mark.parametrize("audience", ["internal", "publish"])
def test_nothing_is_clipped_and_nothing_overlaps(drawn_curve, clipped_texts, names, audience):
    curves = [drawn_curve(120_000 // 200, site=name, seed=i) for i, name in enumerate(names)]
    axes = plot_retention_curve(pd.concat(curves), by="site", audience=audience)
    outside, overlapping = clipped_texts(axes.figure)
    assert outside == []
    assert overlapping == []


def test_a_hundred_thousand_patients_fit_under_their_ticks(drawn_curve, clipped_texts):
    axes = plot_retention_curve(drawn_curve(120_000, last=1500))
    assert clipped_texts(axes.figure) == ([], [])


def test_more_than_twelve_curves_are_refused(drawn_curve):
    many = pd.concat([drawn_curve(20, site=i) for i in range(13)])
    with pytest.raises(UsageError, match="13 curves cannot be told apart; join groups until 12"):
        plot_retention_curve(many, by="site")


def test_a_forgotten_group_is_refused(drawn_curve):
    both = pd.concat([drawn_curve(20, arm=1), drawn_curve(20, arm=0)])
    with pytest.raises(UsageError, match="repeats a time"):
        plot_retention_curve(both)


def test_windows_without_their_column_are_refused(six_patients):
    with pytest.raises(UsageError, match="the curves lacks the columns lapse_days"):
        plot_lapse_windows(six_patients)
