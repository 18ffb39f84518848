"""Who is studied, in pictures: where patients were left out, and what the records cover."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from loyalty_research.display.disclosure import suppress_small_counts
from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.tables_cohort import criterion_label, publish_attrition
from loyalty_research.display.theme import (
    COLOURS,
    FAINT,
    GREY,
    INK,
    SMALL,
    WIDTH,
    house_style,
    new_figure,
    place_axes,
    strip_frame,
    text_width,
    wrap,
)
from loyalty_research.display.tidy import as_pandas, require_columns, split_groups
from loyalty_research.display.words import format_count, format_share, is_missing
from loyalty_research.errors import UsageError

# The flow picture, in inches: those who remain at the left, those left out at the right.
_BOX_LEFT, _BOX_WIDTH, _SIDE_LEFT, _SIDE_WIDTH = 0.15, 4.35, 5.0, 2.05
_BOX_HEIGHT, _LINE_HEIGHT, _BOX_GAP, _SIDE_HEIGHT = 0.4, 0.165, 0.46, 0.3
_NAME_WIDTH = 3.2
_SMALL_COUNT = "a small count"
# Coverage, in inches: one panel a group under each other.
_PANEL, _ONLY_PANEL, _PANEL_GAP = 0.58, 2.0, 0.2


def plot_attrition(
    attrition: Any, *, labels: Mapping[Any, str] | None = None, audience: str = "internal"
) -> Axes:
    """Draw the way from all patients to those studied, with those left out beside each step.

    Args:
        attrition: one row per criterion: step, criterion, n_before, n_excluded, n_after.
        labels: names for readers by criterion.
        audience: "publish" hides small counts and rounds the others.

    Raises:
        UsageError: a column is missing, or there is no step.
        SetupError: no installed font draws a criterion's name.

    Examples:
        >>> attrition = pd.DataFrame({"step": [0, 1], "criterion": ["all", "adult"],
        ...     "n_before": [8000, 8000], "n_excluded": [0, 1200], "n_after": [8000, 6800]})
        >>> [text.get_text() for text in plot_attrition(attrition).texts]
        ['All patients', '8,000', 'Adult', '6,800', '1,200 (15.0 %) left out']
    """
    table = publish_attrition(attrition, audience=audience)
    if table.empty:
        raise UsageError("the attrition has no step; pass the result as it came")
    names = [criterion_label(name, labels=labels) for name in table["criterion"]]
    with house_style(names):
        names = [wrap(name, inches=_NAME_WIDTH, lines=3) for name in names]
        tops, heights = _stack(names)
        axes = _sheet(tops[-1] + heights[-1] + 0.1)
        for i, name in enumerate(names):
            last = i == len(names) - 1
            _box(
                axes,
                top=tops[i],
                height=heights[i],
                name=name,
                n=table["n_after"].iloc[i],
                last=last,
            )
            if i:
                _arrow_down(axes, tops[i - 1] + heights[i - 1], tops[i])
                _side_box(axes, (tops[i - 1] + heights[i - 1] + tops[i]) / 2, table.iloc[i])
        fit_fonts(axes.figure)  # type: ignore[arg-type]
    return axes


def plot_coverage(
    visits_per_period: Any,
    *,
    period: str = "month",
    n: str = "n",
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    title: str = "Visits",
) -> Figure:
    """Draw how many records there are over time, one panel a clinic or table, so that gaps show.

    Args:
        visits_per_period: one row per period (and group) with its count; a period without a row
            is drawn empty.
        period: the column with the first day of each period.
        n: the column with the count.
        by: the columns of the panels, drawn in the order of the table, each with its own scale.
        labels: names for readers by group.
        audience: "publish" hides small counts (hatched) and rounds the others.
        title: what is counted.

    Returns:
        The figure, one axes a panel.

    Raises:
        UsageError: a column is missing, there is no row, or a period is no date.
        SetupError: no installed font draws a group's name.

    Examples:
        >>> visits = pd.DataFrame({"month": pd.to_datetime(["2024-01-01", "2024-02-01"]),
        ...     "n": [120, 90]})
        >>> figure = plot_coverage(visits)
        >>> [int(bar.get_height()) for bar in figure.axes[0].patches]
        [120, 90]
    """
    table = _coverage(visits_per_period, period, n, audience)
    panels = list(split_groups(table, by, labels=labels))
    with house_style([title, *(name for name, _ in panels)]):
        names = [wrap(name, inches=1.5, size=SMALL + 0.5) for name, _ in panels]
        has_hidden = bool(table[n].isna().any())
        figure, axes = _panels(names, foot=0.18 if has_hidden else 0.0)
        starts = table["_start"].to_numpy()
        width = 0.86 * (np.diff(np.unique(starts)).min() if len(set(starts)) > 1 else 30)
        for panel, name, (_, rows) in zip(axes, names, panels, strict=True):
            _draw_panel(panel, rows, n, width)
            panel.set_xlim(_span(starts, width))
            _name_panel(panel, name)
        _date_scale(axes, table[period])
        _name_scale(figure, axes, f"{title} per {period}", has_hidden=has_hidden)
        fit_fonts(figure)
    return figure


def _span(starts: np.ndarray, width: float) -> tuple[float, float]:
    # Few bars keep the width of bars, instead of filling the page.
    spare = max(0.2 * width, (12 * width - np.ptp(starts)) / 2)
    return float(starts.min() - width / 2 - spare), float(starts.max() + width / 2 + spare)


def _stack(names: Sequence[str]) -> tuple[list[float], list[float]]:
    heights = [_BOX_HEIGHT + _LINE_HEIGHT * name.count("\n") for name in names]
    tops, top = [], 0.1
    for height in heights:
        tops.append(top)
        top += height + _BOX_GAP
    return tops, heights


def _sheet(height: float) -> Axes:
    """Return axes over the whole figure that are measured in inches from its upper left corner."""
    axes = place_axes(new_figure(height), left=0, right=0, top=0, bottom=0)
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    return axes


def _box(axes: Axes, *, top: float, height: float, name: str, n: Any, last: bool) -> None:
    colour = COLOURS[0] if last else GREY
    face = "#e6f0f8" if last else "white"
    _draw_box(axes, _BOX_LEFT, top, _BOX_WIDTH, height, colour, face)
    middle = top + height / 2
    # Centred on its letters, a name stands on one line with its number.
    on_line = "center" if "\n" in name else "center_baseline"
    axes.text(_BOX_LEFT + 0.14, middle, name, va=on_line, linespacing=1.15)
    count = format_count(n, missing=_SMALL_COUNT)
    right = _BOX_LEFT + _BOX_WIDTH - 0.14
    axes.text(right, middle, count, va="center_baseline", ha="right", weight="bold")


def _side_box(axes: Axes, middle: float, row: pd.Series) -> None:
    text = f"{_left_out(row)} left out"
    start = _BOX_LEFT + _BOX_WIDTH / 2
    _arrow(axes, (start, middle), (_SIDE_LEFT, middle))
    width = max(_SIDE_WIDTH, text_width([text], size=SMALL + 0.5) + 0.24)
    _draw_box(axes, _SIDE_LEFT, middle - _SIDE_HEIGHT / 2, width, _SIDE_HEIGHT, FAINT, "#f7f7f7")
    axes.text(_SIDE_LEFT + 0.12, middle, text, va="center", fontsize=SMALL + 0.5, color=INK)


def _left_out(row: pd.Series) -> str:
    if is_missing(row["n_excluded"]):
        return _SMALL_COUNT
    return format_share(row["n_excluded"], row["n_before"]) if row["n_excluded"] > 0 else "0"


def _draw_box(
    axes: Axes, left: float, top: float, width: float, height: float, edge: str, face: str
) -> None:
    style = "round,pad=0,rounding_size=0.05"
    axes.add_patch(
        FancyBboxPatch(
            (left, top),
            width,
            height,
            boxstyle=style,
            edgecolor=edge,
            facecolor=face,
            linewidth=1.0,
            zorder=2,
        )
    )


def _arrow_down(axes: Axes, above: float, below: float) -> None:
    x = _BOX_LEFT + _BOX_WIDTH / 2
    _arrow(axes, (x, above), (x, below))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 9,
        "color": GREY,
        "linewidth": 0.9,
    }
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, zorder=1, **style))


def _coverage(visits: Any, period: str, n: str, audience: str) -> pd.DataFrame:
    table = as_pandas(visits)
    require_columns(table, [period, n], what="the visits per period")
    if table.empty:
        raise UsageError("the visits per period have no row; there is nothing to draw")
    if not all(isinstance(day, dt.date) for day in table[period]):
        raise UsageError(f"{period} must be a date, the first day of each period")
    shown = suppress_small_counts(table, counts=[n], audience=audience)
    return shown.assign(_start=[float(date2num(day)) for day in shown[period]])


def _panels(names: Sequence[str], *, foot: float) -> tuple[Figure, list[Axes]]:
    each = _PANEL if len(names) > 1 else _ONLY_PANEL
    bottom = 0.42 + foot
    height = bottom + 0.12 + len(names) * each + (len(names) - 1) * _PANEL_GAP
    right = text_width(names, size=SMALL + 0.5) + 0.2
    figure = new_figure(height)
    return figure, [
        place_axes(
            figure,
            left=0.95,
            right=max(right, 0.2),
            top=0.12 + i * (each + _PANEL_GAP),
            bottom=height - 0.12 - i * (each + _PANEL_GAP) - each,
        )
        for i in range(len(names))
    ]


def _draw_panel(axes: Axes, rows: pd.DataFrame, n: str, width: float) -> None:
    counts = rows[n].astype("Float64")
    known = counts.notna()
    top = float(counts.max()) if known.any() else 1.0
    bars: dict[str, Any] = {"width": width, "align": "center"}
    axes.bar(rows["_start"][known], counts[known].astype(float), color=COLOURS[0], **bars)
    hidden = rows["_start"][~known]
    axes.bar(hidden, [top] * len(hidden), color="none", edgecolor=FAINT, hatch="////", **bars)
    axes.set_ylim(0, top * 1.04 or 1)
    axes.set_yticks([0, top], ["0", format_count(top)])
    strip_frame(axes)


def _name_panel(axes: Axes, name: str) -> None:
    axes.annotate(
        name,
        (1, 0.5),
        xytext=(8, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        va="center",
        fontsize=SMALL + 0.5,
        annotation_clip=False,
    )


def _name_scale(figure: Figure, axes: Sequence[Axes], title: str, *, has_hidden: bool) -> None:
    middle = (axes[0].get_position().y1 + axes[-1].get_position().y0) / 2
    figure.text(0.08 / WIDTH, middle, title, rotation=90, va="center", ha="left")
    if has_hidden:
        figure.text(0.12 / WIDTH, 0.02, "Hatched: a small count.", fontsize=SMALL - 0.5, color=GREY)


def _date_scale(axes: Sequence[Axes], days: pd.Series) -> None:
    ticks = date_ticks(min(days), max(days))
    positions = [float(date2num(day)) for day in ticks]
    yearly = all(day.month == 1 for day in ticks) and len(ticks) > 1
    names = [day.strftime("%Y" if yearly else "%Y-%m") for day in ticks]
    for panel in axes:
        panel.set_xticks(positions, names if panel is axes[-1] else [""] * len(names))


def date_ticks(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the starts of months, quarters, half years or years between two days.

    Args:
        first: the first day of the axis.
        last: the last day of the axis.

    Examples:
        >>> [str(day) for day in date_ticks(dt.date(2021, 3, 1), dt.date(2022, 2, 1))]
        ['2021-04-01', '2021-07-01', '2021-10-01', '2022-01-01']
    """
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    step = next((s for s in (1, 3, 6, 12, 24, 60) if len(months) / s <= 10), 120)
    starts = [dt.date(m // 12, m % 12 + 1, 1) for m in months if m % step == 0]
    return starts or [dt.date(first.year, first.month, 1)]
