"""No name of a clinic turns into boxes."""

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from loyalty_research.display import fonts
from loyalty_research.display.figures_retention import plot_retention_curve
from loyalty_research.display.shown import show_figure
from loyalty_research.errors import SetupError

CHINESE = "北京协和医院（东单院区）"


@pytest.fixture
def no_cjk_font(monkeypatch):
    left = [e for e in font_manager.fontManager.ttflist if e.name == fonts.BASE_FAMILY]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", left)
    monkeypatch.setattr(fonts, "_learn_new_files", lambda: None)


def has_chinese_font():
    return any(fonts.installed_faces(family) for family in fonts.CJK_FAMILIES)


def test_latin_greek_and_signs_need_the_base_font_only():
    assert fonts.font_families(["Days since first visit – β ≤ 5 %\n"]) == ["DejaVu Sans"]


@pytest.mark.usefixtures("no_cjk_font")
def test_without_a_font_for_it_chinese_is_refused_with_the_repair():
    with pytest.raises(SetupError, match=r"draws 11 characters .* fonts-noto-cjk"):
        fonts.font_families([CHINESE])


@pytest.mark.usefixtures("no_cjk_font")
def test_the_refusal_does_not_quote_the_text():
    with pytest.raises(SetupError) as refusal:
        fonts.font_families([CHINESE])
    assert not set(CHINESE) & set(str(refusal.value))


@pytest.mark.usefixtures("no_cjk_font")
def test_a_figure_with_chinese_names_is_refused_before_it_is_drawn(drawn_curve):
    with pytest.raises(SetupError, match="fonts-noto-cjk"):
        plot_retention_curve(drawn_curve(50, site=CHINESE), by="site")


@pytest.mark.usefixtures("no_cjk_font")
def test_a_researchers_own_figure_is_refused_as_well():
    figure = Figure()
    figure.text(0.5, 0.5, CHINESE)
    with pytest.raises(SetupError, match="fonts-noto-cjk"):
        show_figure(figure, name="own", alt="A name.")


def test_a_font_without_the_characters_does_not_count(monkeypatch):
    # Every installed "CJK" font is the base font, which has no Chinese.
    base = fonts.installed_faces(fonts.BASE_FAMILY)
    monkeypatch.setattr(fonts, "installed_faces", lambda _: base)
    with pytest.raises(SetupError, match="no installed font draws"):
        fonts.font_families([CHINESE])


def test_the_chosen_font_has_a_glyph_for_every_character():
    # On a machine without any, the refusal above is what happens instead.
    families = fonts.font_families([CHINESE]) if has_chinese_font() else [fonts.BASE_FAMILY] * 2
    faces = [face for family in families for face in fonts.installed_faces(family)]
    drawn = frozenset().union(*(fonts.coverage(*face) for face in faces))
    assert families[0] == "DejaVu Sans"
    assert not has_chinese_font() or {ord(c) for c in CHINESE} <= drawn


def test_chinese_is_drawn_without_a_missing_glyph(drawn_curve, recwarn):
    name = CHINESE if has_chinese_font() else "Beijing"
    axes = plot_retention_curve(drawn_curve(50, site=name), by="site")
    show_figure(axes, name="chinese", alt="One curve.")
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_a_name_with_dollars_is_no_formula(texts_of, drawn_curve):
    axes = plot_retention_curve(drawn_curve(50, site="A$x^2$B"), by="site")
    show_figure(axes, name="dollars", alt="One curve.")
    assert "A$x^2$B" in texts_of(axes.figure)
    assert not any(text.get_parse_math() for text in axes.texts)


def test_fonts_installed_after_the_last_listing_are_found(monkeypatch):
    added = []
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["/f/NotoSansCJK.ttc", "/f/A.ttf"])
    monkeypatch.setattr(font_manager.fontManager, "addfont", added.append)
    fonts._learn_new_files.__wrapped__()
    assert added == ["/f/NotoSansCJK.ttc"]
