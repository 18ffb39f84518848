"""The retention triangle as a heat-map: who came back how long after they first came."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, QuadMesh
from matplotlib.patches import Rectangle

from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.tables import cohort_labels, cohort_sizes, publish_triangle
from loyalty_research.display.theme import (
    GREY,
    INK,
    SMALL,
    WIDTH,
    brightness,
    house_style,
    new_figure,
    place_axes,
    share_colours,
    strip_frame,
    text_width,
)
from loyalty_research.display.words import format_count, format_percent, is_missing
from loyalty_research.errors import UsageError

_TOP, _BOTTOM, _RIGHT = 0.62, 0.55, 0.15
# A cell at least so large, in inches, has room for its number.
_NUMBER_WIDTH, _NUMBER_HEIGHT = 0.21, 0.17


def plot_triangle(
    triangle: Any,
    *,
    audience: str = "internal",
    unit: str = "months",
    origin: str = "first visit",
    title: str = "Share who came back",
) -> Axes:
    """Draw a retention triangle as a heat-map whose unobserved cells are hatched, never zero.

    Args:
        triangle: one row per cohort and period: cohort, period, n_patients, n_retained, estimate.
        audience: "publish" hides small counts (crosses) and makes the shares from rounded ones.
        unit: what a period is, plural.
        origin: what the periods are counted from.
        title: what the share is.

    Returns:
        The axes of the heat-map; its figure holds the colour scale in second axes.

    Raises:
        UsageError: a column is missing, there is no row, or a cell is there twice.
        SetupError: no installed font draws the texts.

    Examples:
        >>> triangle = pd.DataFrame({"cohort": pd.to_datetime(["2024-01-01"] * 2 + ["2024-02-01"]),
        ...     "period": [0, 1, 0], "n_patients": [40, 40, 50], "n_retained": [40, 10, 50],
        ...     "estimate": [1, 0.25, 1]})
        >>> [text.get_text() for text in plot_triangle(triangle).texts][:3]
        ['100', '25', '100']
    """
    table = publish_triangle(triangle, audience=audience)
    if table.empty:
        raise UsageError("the triangle has no row; there is nothing to draw")
    if table.duplicated(["cohort", "period"]).any():
        raise UsageError("the triangle repeats a cell; draw one group at a time")
    shares = table.pivot_table(
        index="cohort", columns="period", values="estimate", dropna=False, aggfunc="first"
    )
    hidden = _hidden(table, shares)
    names = cohort_labels(shares.index)
    with house_style([*names, unit, origin, title]):
        sizes = [format_count(n) for n in cohort_sizes(table)]
        axes = _frame(shares.shape, names, sizes)
        mesh = _draw_cells(axes, shares)
        _hatch(axes, shares.isna() & ~hidden, "////")
        _hatch(axes, hidden, "xxxx")
        _write_shares(axes, shares, mesh)
        _write_sizes(axes, shares, names, sizes)
        _scale(axes, shares, f"{unit[:1].upper()}{unit[1:]} since {origin}")
        _colour_scale(axes, mesh, title, shares.isna() & ~hidden, hidden)
        fit_fonts(axes.figure)  # type: ignore[arg-type]
    return axes


def _hidden(table: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    if "suppressed" not in table.columns:
        return pd.DataFrame(False, index=shares.index, columns=shares.columns)
    cells = table[table["suppressed"] > 0].set_index(["cohort", "period"]).index
    marks = [[(cohort, k) in cells for k in shares.columns] for cohort in shares.index]
    return pd.DataFrame(marks, index=shares.index, columns=shares.columns) & shares.isna()


def _frame(shape: tuple[int, int], names: list[str], sizes: list[str]) -> Axes:
    left = text_width(names, size=SMALL) + _sizes_width(sizes) + 0.25
    room = WIDTH - left - _RIGHT
    width = min(room, 0.62 * shape[1])
    height = shape[0] * max(0.115, min(0.3, 6.0 / shape[0]))
    figure = new_figure(height + _TOP + _BOTTOM)
    return place_axes(figure, left=left, right=WIDTH - left - width, top=_TOP, bottom=_BOTTOM)


def _draw_cells(axes: Axes, shares: pd.DataFrame) -> QuadMesh:
    values = np.ma.masked_invalid(shares.to_numpy(dtype=float))
    line = 0.5 if max(shares.shape) <= 30 else 0.2
    mesh = axes.pcolormesh(
        values, cmap=share_colours(), vmin=0, vmax=1, edgecolors="white", linewidth=line
    )
    axes.set(xlim=(0, shares.shape[1]), ylim=(shares.shape[0], 0))
    return mesh


def _hatch(axes: Axes, cells: pd.DataFrame, hatch: str) -> None:
    places = np.argwhere(cells.to_numpy())
    squares = [Rectangle((float(x), float(y)), 1, 1) for y, x in places]
    axes.add_collection(
        PatchCollection(squares, facecolor="none", edgecolor="#c9c9c9", hatch=hatch, linewidth=0)
    )


def _write_shares(axes: Axes, shares: pd.DataFrame, mesh: QuadMesh) -> None:
    width, height = _cell_size(axes, shares)
    if width < _NUMBER_WIDTH or height < _NUMBER_HEIGHT:
        return
    size = SMALL if width > 0.3 else SMALL - 1.5
    for y, row in enumerate(shares.to_numpy(dtype=float)):
        for x, share in enumerate(row):
            if not is_missing(share):
                text = format_percent(share, digits=0, sign=False)
                colour = INK if brightness(mesh.cmap(mesh.norm(share))) > 0.55 else "white"
                axes.text(
                    x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=size, color=colour
                )


def _cell_size(axes: Axes, shares: pd.DataFrame) -> tuple[float, float]:
    place = axes.get_position()
    wide, tall = axes.figure.get_size_inches()  # type: ignore[union-attr]
    return place.width * wide / shares.shape[1], place.height * tall / shares.shape[0]


def _every(count: int, *, each: float, needed: float) -> int:
    """Return the step between labels so that each has the room it needs."""
    least = math.ceil(needed / each)
    return next((step for step in (1, 2, 3, 4, 6, 12, 24) if step >= least), count)


def _sizes_width(sizes: list[str]) -> float:
    return text_width(["Patients", *sizes], size=SMALL) + 0.2


def _write_sizes(axes: Axes, shares: pd.DataFrame, names: list[str], sizes: list[str]) -> None:
    step = _every(len(names), each=_cell_size(axes, shares)[1], needed=0.16)
    axes.set_yticks([i + 0.5 for i in range(0, len(names), step)], names[::step])
    axes.tick_params(axis="y", length=0, pad=72 * _sizes_width(sizes) + 4, labelsize=SMALL)
    style: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "ha": "right",
        "va": "center_baseline",
        "fontsize": SMALL,
        "annotation_clip": False,
    }
    for i in range(0, len(names), step):
        axes.annotate(sizes[i], (0, i + 0.5), xytext=(-8, 0), **style)
    axes.annotate("Patients", (0, 0), xytext=(-8, 8), **{**style, "color": GREY})


def _scale(axes: Axes, shares: pd.DataFrame, title: str) -> None:
    periods = list(shares.columns)
    step = _every(len(periods), each=_cell_size(axes, shares)[0], needed=0.26)
    axes.set_xticks(
        [i + 0.5 for i in range(0, len(periods), step)], [str(k) for k in periods[::step]]
    )
    axes.tick_params(axis="x", length=0, labelsize=SMALL)
    axes.set_xlabel(title)
    strip_frame(axes, keep=())


def _colour_scale(
    axes: Axes, mesh: QuadMesh, title: str, unobserved: pd.DataFrame, hidden: pd.DataFrame
) -> None:
    figure = axes.figure
    place = axes.get_position()
    wide, tall = figure.get_size_inches()  # type: ignore[union-attr]
    bar = figure.add_axes((place.x0, 1 - 0.2 / tall, 1.9 / wide, 0.1 / tall))
    scale = figure.colorbar(mesh, cax=bar, orientation="horizontal")
    scale.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
    scale.outline.set_visible(False)
    bar.tick_params(length=0, labelsize=SMALL - 0.5, pad=2)
    notes = [
        "Hatched: not yet observed." if unobserved.to_numpy().any() else "",
        "Crossed: a small count." if hidden.to_numpy().any() else "",
    ]
    beside: dict[str, Any] = {"transform": bar.transAxes, "va": "center", "fontsize": SMALL}
    bar.text(1.16, 0.5, title, **beside)
    bar.text(1.16, -1.1, " ".join(notes).strip(), color=GREY, **beside)
