"""The common look of all figures: paper size, letters, colours and line styles.

Figures are made without pyplot, so nothing stays open behind them, and settings live in a context,
so that a researcher's own settings are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import Colormap, ListedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from loyalty_research.display.fonts import font_families

# Inches at 100 dots each: the width of a report's page on the screen.
WIDTH = 7.2
DPI = 100
SMALL = 8.0
NORMAL = 9.5
INK = "#222222"
GREY = "#666666"
FAINT = "#d9d9d9"

# Okabe and Ito's colours for colour-blind readers (jfly.uni-koeln.de/color, 2008), without yellow,
# which vanishes on white; dashes tell the lines apart in a grey copy.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
_BRIGHTEST_LETTERS = 0.47
Dashes: TypeAlias = str | tuple[int, tuple[float, ...]]
DASHES: tuple[Dashes, ...] = (
    "solid",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
)

_SETTINGS: dict[str, Any] = {
    "font.size": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL + 0.5,
    "ytick.labelsize": SMALL + 0.5,
    "axes.linewidth": 0.8,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "hatch.linewidth": 0.6,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "text.parse_math": False,
    "axes.unicode_minus": True,
}


@contextmanager
def house_style(texts: Iterable[str] = ()) -> Iterator[None]:
    """Draw in the look of the house while the context lasts; nothing global changes.

    Args:
        texts: what will be written, so that fonts are found for it, or refused, before drawing.

    Raises:
        SetupError: no installed font draws some of the characters.

    Examples:
        >>> before = mpl.rcParams["font.size"]
        >>> with house_style(["North"]):
        ...     mpl.rcParams["font.size"]
        9.5
        >>> mpl.rcParams["font.size"] == before
        True
    """
    families = {"font.family": font_families(texts)}
    settings: dict[Any, Any] = {**sns.axes_style("ticks"), **_SETTINGS, **families}
    with mpl.rc_context(settings):
        yield


def new_figure(height: float, *, width: float = WIDTH) -> Figure:
    """Return an empty white figure that pyplot does not know of.

    Args:
        height: in inches.
        width: in inches.

    Examples:
        >>> new_figure(3).get_size_inches().tolist()
        [7.2, 3.0]
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def place_axes(
    figure: Figure, *, left: float, right: float, top: float, bottom: float, **options: object
) -> Axes:
    """Return axes whose distances from the figure's edges are given in inches.

    Examples:
        >>> axes = place_axes(new_figure(4), left=1, right=0.2, top=1, bottom=1)
        >>> round(float(axes.get_position().height), 3)
        0.5
    """
    width, height = figure.get_size_inches()
    box = (
        left / width,
        bottom / height,
        (width - left - right) / width,
        (height - top - bottom) / height,
    )
    axes: Axes = figure.add_axes(box, **options)  # type: ignore[call-overload]
    return axes


def strip_frame(axes: Axes, *, keep: Sequence[str] = ("left", "bottom")) -> None:
    """Remove the sides of the frame that carry no scale.

    Examples:
        >>> axes = new_figure(3).add_subplot()
        >>> strip_frame(axes)
        >>> axes.spines["top"].get_visible()
        False
    """
    for side, spine in axes.spines.items():
        spine.set_visible(side in keep)


def text_width(texts: Iterable[str], *, size: float = NORMAL, bold: bool = False) -> float:
    """Return the width in inches of the widest text, line by line, in the present fonts.

    Examples:
        >>> text_width(["wide text"]) > text_width(["text"]) > text_width([]) == 0
        True
    """
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    lines = [line for text in texts for line in text.split("\n")]
    widths = [_ruler().get_text_width_height_descent(line, font, False)[0] for line in lines]
    return max(widths, default=0.0) / DPI


@cache
def _ruler() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def wrap(text: str, *, inches: float, size: float = NORMAL, lines: int = 2) -> str:
    """Return the text broken into lines of about equal width, the last shortened if need be.

    Breaks fall between words, or anywhere in a word that alone is too wide, as in Chinese.

    Args:
        text: a name of any length.
        inches: the width there is.
        size: of the letters, in points.
        lines: at most so many lines.

    Examples:
        >>> wrap("University outpatient department", inches=1.8)
        'University outpatient\\ndepartment'
        >>> wrap("Community health centre of the northern district", inches=1.6)
        'Community health\\ncentre of the northern…'
    """
    text = " ".join(text.split())
    greedy = _fill(text, inches=inches, size=size, lines=lines)
    if len(greedy) < 2 or greedy[-1].endswith("…"):
        return "\n".join(greedy)
    # The narrowest column that still needs no more lines gives lines of about equal width.
    least = text_width([text], size=size) / len(greedy)
    for part in range(6):
        column = least + (inches - least) * part / 6
        even = _fill(text, inches=column, size=size, lines=len(greedy))
        if not even[-1].endswith("…"):
            return "\n".join(even)
    return "\n".join(greedy)


def _fill(text: str, *, inches: float, size: float, lines: int) -> list[str]:
    done: list[str] = []
    while text and len(done) < lines:
        line = _first_line(text, inches=inches, size=size, last=len(done) == lines - 1)
        done.append(line)
        text = "" if line.endswith("…") else text[len(line) :].strip()
    return done


def _first_line(text: str, *, inches: float, size: float, last: bool) -> str:
    if text_width([text], size=size) <= inches:
        return text
    tail = "…" if last else ""
    fits = _how_many_fit(text, tail, inches=inches, size=size)
    if last:
        return text[:fits].rstrip() + tail
    at_space = text.rfind(" ", 1, fits + 1)
    if at_space > 0:
        return text[:at_space]
    # No line of Chinese begins with a closing mark.
    return text[: fits - 1] if fits > 1 and text[fits] in "）】》」，。、；：" else text[:fits]


def _how_many_fit(text: str, tail: str, *, inches: float, size: float) -> int:
    """Return how many first characters fit, at least one, by halving."""
    fits, too_many = 1, len(text)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if text_width([text[:middle] + tail], size=size) <= inches:
            fits = middle
        else:
            too_many = middle
    return fits


def spread(
    positions: Sequence[float], *, sizes: Sequence[float], low: float, high: float
) -> list[float]:
    """Return positions moved as little as needed for labels of these sizes not to touch.

    Least squares under an order: each cluster of labels that touch is centred on where its
    labels would like to be (pool adjacent violators; Barlow et al. 1972).

    Args:
        positions: the middles that the labels would like to have.
        sizes: the room that each label needs.
        low: the lowest allowed edge.
        high: the highest allowed edge.

    Examples:
        >>> spread([0.5, 0.5, 0.1], sizes=[0.2, 0.2, 0.2], low=0, high=1)
        [0.4, 0.6, 0.1]
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    # Each cluster: its labels, its size, and the sum of the lower edges its labels ask for.
    clusters: list[tuple[list[int], float, float]] = []
    for i in order:
        labels, size, wish = [i], sizes[i], positions[i] - sizes[i] / 2
        while clusters and _edge(clusters[-1], low, high) + clusters[-1][1] > _edge(
            (labels, size, wish), low, high
        ):
            below, height, earlier = clusters.pop()
            labels, wish = below + labels, earlier + wish - height * len(labels)
            size += height
        clusters.append((labels, size, wish))
    placed = [0.0] * len(positions)
    for cluster in clusters:
        edge = _edge(cluster, low, high)
        for i in cluster[0]:
            placed[i] = round(edge + sizes[i] / 2, 6)
            edge += sizes[i]
    return placed


def _edge(cluster: tuple[list[int], float, float], low: float, high: float) -> float:
    labels, size, wish = cluster
    return max(low, min(wish / len(labels), high - size))


def line_look(index: int) -> tuple[str, Dashes]:
    """Return colour and dashes of the n-th line; the pairs of the first 40 differ.

    Examples:
        >>> line_look(0)
        ('#0072B2', 'solid')
    """
    return COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]


def brightness(colour: Any) -> float:
    """Return how bright a colour looks in a grey copy, from 0 to 1 (ITU-R BT.601).

    Examples:
        >>> brightness("white"), brightness("black")
        (1.0, 0.0)
    """
    red, green, blue = to_rgb(colour)
    return round(0.299 * red + 0.587 * green + 0.114 * blue, 6)


def for_letters(colour: str) -> str:
    """Return the colour, darkened where thin letters of it would fade on white.

    Examples:
        >>> for_letters("#0072B2"), for_letters("#56B4E9")
        ('#0072B2', '#4189b1')
    """
    bright = brightness(colour)
    if bright <= _BRIGHTEST_LETTERS:
        return colour
    red, green, blue = (part * _BRIGHTEST_LETTERS / bright for part in to_rgb(colour))
    return to_hex((red, green, blue))


def share_colours() -> Colormap:
    """Return the scale from light for none to dark for all, whose greys are in order as well.

    Examples:
        >>> [round(float(c), 1) for c in share_colours()(0.0)[:3]]
        [0.9, 1.0, 0.9]
    """
    # The last tenth is black, in which no frame or hatch could be seen.
    return ListedColormap(sns.color_palette("mako_r", 285)[:256])
