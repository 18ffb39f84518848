"""Fonts that can draw every character of a figure, so that no name turns into boxes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from loyalty_research.errors import SetupError

# It comes with matplotlib, so a figure has the same width of text on every machine.
BASE_FAMILY = "DejaVu Sans"
# Simplified forms first, then any font that has the characters at all.
CJK_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Microsoft YaHei",
    "Hiragino Sans GB",
    "Heiti SC",
    "STHeiti",
    "Heiti TC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "SimSun",
    "DengXian",
    "Noto Sans CJK TC",
    "Noto Sans CJK HK",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Source Han Sans",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)
_CJK_FILES = re.compile(
    r"cjk|sourcehan|notosanssc|wqy|pingfang|heiti|hiragino|msyh|simhei|simsun", re.I
)
_REPAIR = "install a Noto CJK font (Debian and Ubuntu: the package fonts-noto-cjk)"


def font_families(texts: Iterable[str]) -> list[str]:
    """Return the font families that together draw every character of the texts.

    Args:
        texts: everything that will be written in the figure.

    Returns:
        The base family, then one installed CJK family when the base cannot draw all.

    Raises:
        SetupError: no installed font draws some of the characters.

    Examples:
        >>> font_families(["Days since first visit"])
        ['DejaVu Sans']
    """
    wanted = {c for text in texts for c in text if c.isprintable() and not c.isspace()}
    beyond = {ord(c) for c in wanted} - _base_coverage()
    if not beyond:
        return [BASE_FAMILY]
    for family in CJK_FAMILIES:
        if any(beyond <= coverage(path, index) for path, index in installed_faces(family)):
            return [BASE_FAMILY, family]
    count = f"{len(beyond)} character{'s' if len(beyond) != 1 else ''}"
    raise SetupError(f"no installed font draws {count} of this figure's text; {_REPAIR}")


def fit_fonts(figure: Figure) -> None:
    """Give every text of the figure the fonts that its characters need.

    Raises:
        SetupError: no installed font draws some of the characters.

    Examples:
        >>> figure = Figure()
        >>> text = figure.text(0, 0, "clinic")
        >>> fit_fonts(figure)
        >>> text.get_fontfamily()
        ['DejaVu Sans']
    """
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    families = font_families(text.get_text() for text in texts)
    for text in texts:
        text.set_fontfamily(families)
        # A clinic called "A$B$" is a name, not a formula.
        text.set_parse_math(False)


def installed_faces(family: str) -> list[tuple[str, int]]:
    """Return the regular faces installed for a family: file, and place within a collection.

    Examples:
        >>> len(installed_faces(BASE_FAMILY)) > 0
        True
    """
    _learn_new_files()
    entries = font_manager.fontManager.ttflist
    return sorted({(e.fname, getattr(e, "index", 0)) for e in entries if e.name == family})


@cache
def coverage(path: str, index: int) -> frozenset[int]:
    """Return the code points that a font face has glyphs for.

    Args:
        path: the font file.
        index: place within a collection of fonts, 0 otherwise.

    Examples:
        >>> path, index = installed_faces(BASE_FAMILY)[0]
        >>> ord("A") in coverage(path, index)
        True
    """
    face = FT2Font(path, face_index=index) if index else FT2Font(path)
    return frozenset(face.get_charmap())


@cache
def _base_coverage() -> frozenset[int]:
    path = font_manager.findfont(BASE_FAMILY, fallback_to_default=False)
    return coverage(str(path), 0)


@cache
def _learn_new_files() -> None:
    """Tell matplotlib of CJK fonts that were installed after it last listed the machine's fonts."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known and _CJK_FILES.search(Path(path).name):
            font_manager.fontManager.addfont(path)
