"""The triangle's cells are the table's shares; what is not known is hatched, never zero."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PatchCollection, QuadMesh

from loyalty_research.display.figures_triangle import plot_triangle
from loyalty_research.errors import UsageError


def square(size, share=0.5, n=100):
    """A triangle of size x size cells, those beyond the last month unobserved."""
    cohorts = pd.date_range("2020-01-01", periods=size, freq="MS")
    cells = [(c, k, i + k < size) for i, c in enumerate(cohorts) for k in range(size)]
    return pd.DataFrame(
        {
            "cohort": [c for c, _, _ in cells],
            "period": [k for _, k, _ in cells],
            "n_patients": n,
            "n_retained": pd.array([int(n * share) if s else None for _, _, s in cells], "Int64"),
            "estimate": [share if seen else np.nan for _, _, seen in cells],
            "conf_level": 0.95,
        }
    )


def mesh_of(axes):
    [mesh] = [c for c in axes.collections if isinstance(c, QuadMesh)]
    return mesh


def hatched(axes):
    """Cells by hatch: {hatch: [(row, column), ...]}."""
    return {
        c.get_hatch(): sorted(
            (int(p.vertices[:, 1].min()), int(p.vertices[:, 0].min())) for p in c.get_paths()
        )
        for c in axes.collections
        if isinstance(c, PatchCollection)
    }


def numbers(axes):
    return [text.get_text() for text in axes.texts if not hasattr(text, "xyann")]


def test_the_cells_are_the_table(triangle):
    values = mesh_of(plot_triangle(triangle)).get_array().reshape(2, 3)
    assert values[0].tolist() == [1.0, 0.55, 0.1]
    assert values[1].tolist() == [1.0, 0.5, None]


def test_every_known_cell_has_its_number(triangle):
    assert numbers(plot_triangle(triangle)) == ["100", "55", "10", "100", "50"]


def test_an_unobserved_cell_is_hatched_and_said_to_be(triangle, texts_of):
    axes = plot_triangle(triangle)
    assert hatched(axes) == {"////": [(1, 2)], "xxxx": []}
    assert "Hatched: not yet observed." in texts_of(axes.figure)


def test_a_hidden_cell_is_crossed_and_said_to_be(triangle, texts_of):
    axes = plot_triangle(triangle, audience="publish")
    assert hatched(axes) == {"////": [(1, 2)], "xxxx": [(0, 2)]}
    assert "Hatched: not yet observed. Crossed: a small count." in texts_of(axes.figure)
    assert numbers(axes) == ["100", "50", "100", "50"]


def test_a_cell_without_a_row_is_unobserved(triangle):
    assert hatched(plot_triangle(triangle.iloc[:5]))["////"] == [(1, 2)]


def test_a_full_square_has_no_hatch_and_no_note(triangle, texts_of):
    axes = plot_triangle(triangle[triangle["period"] < 2])
    assert hatched(axes)["////"] == []
    assert not [text for text in texts_of(axes.figure) if "atched" in text]


def test_cohorts_stand_at_the_left_with_their_size(triangle, texts_of):
    axes = plot_triangle(triangle, unit="months", title="Share seen")
    assert [t.get_text() for t in axes.get_yticklabels()] == ["2024-01", "2024-02"]
    shown = texts_of(axes.figure)
    assert {"Patients", "40", "52", "Share seen", "0 %", "100 %"} <= set(shown)
    assert axes.get_xlabel() == "Months since first visit"


def test_the_scale_is_0_to_100_percent_in_every_report(triangle):
    assert mesh_of(plot_triangle(triangle)).get_clim() == (0, 1)


def test_the_first_cohort_stands_at_the_top(triangle):
    bottom, top = plot_triangle(triangle).get_ylim()
    assert bottom > top


def test_shuffled_rows_draw_the_same(triangle):
    shuffled = plot_triangle(triangle.sample(frac=1, random_state=4))
    same = mesh_of(shuffled).get_array() == mesh_of(plot_triangle(triangle)).get_array()
    assert same.all()


def test_numbers_are_legible_on_their_cells():
    axes = plot_triangle(square(3, share=0.9))
    assert {text.get_color() for text in axes.texts if text.get_text() == "90"} == {"white"}
    axes = plot_triangle(square(3, share=0.1))
    assert "white" not in {text.get_color() for text in axes.texts if text.get_text() == "10"}


def test_small_cells_have_no_numbers():
    assert numbers(plot_triangle(square(48))) == []
    assert len(numbers(plot_triangle(square(12)))) == 12 * 13 / 2


@pytest.mark.parametrize("size", [1, 3, 12, 24, 48])
def test_nothing_is_clipped_and_nothing_overlaps(size, clipped_texts):
    axes = plot_triangle(square(size, n=123_456))
    outside, overlapping = clipped_texts(axes.figure)
    assert outside == []
    assert overlapping == []


def test_a_published_triangle_keeps_its_notes_on_the_page(triangle, clipped_texts):
    axes = plot_triangle(
        triangle, audience="publish", title="Share of patients who were seen again"
    )
    assert clipped_texts(axes.figure) == ([], [])


def test_a_triangle_without_rows_is_refused(triangle):
    with pytest.raises(UsageError, match="the triangle has no row"):
        plot_triangle(triangle.head(0))


def test_a_cell_that_is_there_twice_is_refused(triangle):
    with pytest.raises(UsageError, match="repeats a cell; draw one group at a time"):
        plot_triangle(pd.concat([triangle, triangle]))
