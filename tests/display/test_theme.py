"""All figures share one look, and labels neither touch nor leave the page."""

from itertools import pairwise

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty_research.display import theme
from loyalty_research.display.theme import (
    COLOURS,
    brightness,
    for_letters,
    house_style,
    line_look,
    new_figure,
    place_axes,
    share_colours,
    spread,
    strip_frame,
    text_width,
    wrap,
)

PLACES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_settings_hold_only_while_the_context_lasts():
    before = dict(mpl.rcParams)
    with house_style(["North"]):
        assert mpl.rcParams["font.size"] == 9.5
        assert mpl.rcParams["text.parse_math"] is False
    assert dict(mpl.rcParams) == before


def test_settings_are_given_back_after_an_error():
    before = dict(mpl.rcParams)
    with pytest.raises(ZeroDivisionError), house_style():
        1 / 0  # noqa: B018
    assert dict(mpl.rcParams) == before


def test_axes_stand_at_inches_from_the_edges():
    figure = new_figure(4)
    axes = place_axes(figure, left=1.2, right=0.6, top=0.4, bottom=1.6)
    place = axes.get_position()
    assert (place.x0 * 7.2, place.y0 * 4) == pytest.approx((1.2, 1.6))
    assert (place.width * 7.2, place.height * 4) == pytest.approx((5.4, 2.0))


def test_the_frame_keeps_only_sides_with_a_scale():
    axes = new_figure(2).add_subplot()
    strip_frame(axes, keep=["left"])
    assert [s for s, spine in axes.spines.items() if spine.get_visible()] == ["left"]


def test_forty_lines_look_different_and_the_first_five_even_in_grey():
    assert len({line_look(i) for i in range(40)}) == 40
    assert len({line_look(i)[1] for i in range(5)}) == 5


def test_no_line_vanishes_on_white():
    assert max(brightness(colour) for colour in COLOURS) < 0.72


def test_letters_of_a_light_colour_are_darkened_and_others_left():
    assert [for_letters(colour) for colour in COLOURS[:3]] == list(COLOURS[:3])
    assert max(brightness(for_letters(colour)) for colour in COLOURS) < 0.48


def test_a_larger_share_is_darker_in_grey_as_well():
    scale = share_colours()
    greys = [brightness(scale(i / 20)[:3]) for i in range(21)]
    assert greys == sorted(greys, reverse=True)
    assert greys[0] > 0.9
    assert greys[-1] > 0.05


def test_a_name_that_fits_stays_on_one_line():
    assert wrap("North", inches=2) == "North"
    assert wrap("", inches=2) == ""


def test_lines_are_of_about_equal_width():
    assert wrap("365 days without a visit", inches=1.45) == "365 days\nwithout a visit"


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_long_name_keeps_within_its_width_and_shows_that_it_was_cut(lines):
    name = "Community health centre of the northern district, eastern branch, ground floor"
    wrapped = wrap(name, inches=1.3, lines=lines)
    assert wrapped.count("\n") == lines - 1
    assert wrapped.endswith("…")
    assert text_width([wrapped]) <= 1.3


def test_one_long_word_is_broken_within():
    wrapped = wrap("Donaudampfschifffahrtskrankenhaus", inches=1.5)
    assert wrapped.replace("\n", "") == "Donaudampfschifffahrtskrankenhaus"
    assert wrapped.count("\n") == 1


def test_no_line_begins_with_a_closing_mark(monkeypatch):
    # A tenth of an inch a letter, so that no Chinese font is needed.
    monkeypatch.setattr(theme, "text_width", lambda texts, **_: 0.1 * len(texts[0]))
    for inches in (0.5, 0.6, 0.9, 1.1):
        lines = wrap("北京协和医院（东单院区）", inches=inches, lines=3).split("\n")
        assert not any(line.startswith("）") for line in lines)


def test_labels_that_have_room_stay_where_they_are():
    assert spread([0.2, 0.8], sizes=[0.1, 0.1], low=0, high=1) == [0.2, 0.8]


def test_labels_in_one_place_move_apart_around_it():
    assert spread([0.5] * 3, sizes=[0.1] * 3, low=0, high=1) == [0.4, 0.5, 0.6]


def test_labels_at_the_edge_stay_inside():
    assert spread([0.0, 0.01], sizes=[0.1, 0.1], low=0, high=1) == [0.05, 0.15]
    assert spread([1.0, 1.0], sizes=[0.1, 0.2], low=0, high=1) == [0.75, 0.9]


@given(PLACES)
def test_labels_never_touch_and_keep_their_order(places):
    sizes = [0.1] * len(places)
    placed = spread(places, sizes=sizes, low=0, high=1)
    in_order = [placed[i] for i in sorted(range(len(places)), key=lambda i: places[i])]
    gaps = [b - a for a, b in pairwise(in_order)]
    assert all(gap >= 0.1 - 1e-5 for gap in gaps)
    assert min(placed) >= 0.05 - 1e-5
    assert max(placed) <= 0.95 + 1e-5
