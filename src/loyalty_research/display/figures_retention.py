"""Retention curves drawn with what they rest on: intervals, and numbers under the axis.

After KMunicate (Morris et al., BMJ Open 9 (2019) e030215): an extended table below the axis,
intervals as steps, an axis from 0, no line where few patients are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from loyalty_research.display.curve_lines import (
    CurveLine,
    curve_lines,
    draw_lines,
    mark_quantiles,
    name_lines,
    names_width,
    stop_notes,
)
from loyalty_research.display.disclosure import suppress_curve
from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.lookup import check_curve, curve_at
from loyalty_research.display.risk_table import ROW_HEIGHT, RiskRow, draw_risk_table, risk_rows
from loyalty_research.display.risk_table import names_width as row_names_width
from loyalty_research.display.sentences import stack_windows
from loyalty_research.display.theme import (
    FAINT,
    GREY,
    SMALL,
    WIDTH,
    house_style,
    new_figure,
    place_axes,
    strip_frame,
    wrap,
)
from loyalty_research.display.tidy import (
    as_list,
    as_pandas,
    group_label,
    require_columns,
)
from loyalty_research.display.words import plural

_DAYS = (1, 2, 5, 7, 14, 30, 60, 90, 180, 365, 730, 1825, 3650)
_OTHER = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600)
_MOST_TICKS = 8
_CURVE_HEIGHT = 3.2


def plot_retention_curve(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    times: Sequence[int] | None = None,
    risk_table: bool = True,
    quantiles: Any = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "days",
    origin: str = "first visit",
    kept: str = "Still coming",
    lost: str = "Lapsed",
    min_at_risk: int = 10,
    min_share: float = 0.1,
) -> Axes:
    """Draw retention over time with intervals, and under the axis how many it rests on.

    A line stops where fewer than `min_at_risk` patients or less than `min_share` of its group
    remain. Below 200 events, small strokes mark censorings.

    Args:
        curve: one row per group and distinct time, with the columns of a curve, all rows of it.
        by: the grouping columns of the curve; at most 12 groups.
        times: the ticks, and the times of the table under the axis; chosen when not given.
        risk_table: write the numbers at risk, of events so far and of censorings so far. More than
            four groups show the numbers at risk only.
        quantiles: a table of quantiles (q, estimate, and the groups) to mark on the curves.
        labels: names for readers by group.
        audience: "publish" thins the curve, hides small counts and rounds the others.
        exact_at: days that tables and sentences state; where one of them is withheld, a published
            line has a gap up to its next step.
        unit: the curve's unit of time, plural.
        origin: what the time is counted from.
        kept: what the estimate says of a patient, the title of the axis.
        lost: what the event is, for the table.
        min_at_risk: a line stops below so many patients.
        min_share: a line stops below this share of its group's largest number at risk.

    Returns:
        The axes of the curve; its figure holds the table in second axes.

    Raises:
        UsageError: a column is missing, a time repeats because `by` lacks a group, or there are
            more than 12 groups.
        SetupError: no installed font draws a group's name.

    Examples:
        >>> curve = pd.DataFrame({
        ...     "time": [0, 200, 365], "n_at_risk": [90, 90, 50], "n_events": [0, 40, 0],
        ...     "n_censored": [0, 0, 50], "estimate": [1, 0.56, 0.56], "conf_low": [1, 0.5, 0.5],
        ...     "conf_high": [1, 0.6, 0.6], "conf_level": 0.95})
        >>> axes = plot_retention_curve(curve)
        >>> axes.lines[0].get_ydata().tolist()
        [1.0, 0.56, 0.56]
    """
    groups = as_list(by)
    exact = check_curve(curve, by=groups)
    shown = suppress_curve(exact, by=groups, audience=audience, exact_at=exact_at)
    limits = {"min_at_risk": min_at_risk, "min_share": min_share}
    lines = curve_lines(shown, by=groups, labels=labels, **limits)  # type: ignore[arg-type]
    end = max([line.end for line in lines if len(line.rows)] or [_last(shown)])
    ticks = list(times) if times is not None else nice_ticks(end, unit=unit)
    numbers = curve_at(exact, times=ticks, by=groups, audience=audience)
    notes = stop_notes(lines, **limits, published=audience == "publish")  # type: ignore[arg-type]
    with house_style([*(line.name for line in lines), kept, lost, origin, unit]):
        rows = risk_rows(numbers, by=groups, lines=lines, lost=lost) if risk_table and lines else []
        axes = frame_curves(lines, rows, notes)
        draw_lines(axes, lines)
        _mark(axes, quantiles, groups, lines, labels)
        _scale(axes, ticks, end=max(end, *ticks, 1), title=(kept, f"{unit} since {origin}"))
        name_lines(axes, lines)
        if rows:
            draw_risk_table(table_axes(axes, rows), rows, ticks=ticks)
        _say_when_empty(axes, lines, min_at_risk)
        fit_fonts(axes.figure)  # type: ignore[arg-type]
    return axes


def plot_lapse_windows(
    curves: Any,
    *,
    window: str = "lapse_days",
    times: Sequence[int] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "days",
    origin: str = "first visit",
    kept: str = "Still coming",
) -> Axes:
    """Draw how retention depends on the number of days without a visit that count as a lapse.

    Args:
        curves: curves by lapse window, as `{90: curve, 180: curve}` or as one table with a column
            for the window.
        window: the column that holds the lapse window in days.
        times: the ticks; chosen when not given.
        audience: "publish" thins the curves, hides small counts and rounds the others.
        exact_at: days that tables and sentences state; where one of them is withheld, a published
            line has a gap up to its next step.
        unit: the curves' unit of time, plural.
        origin: what the time is counted from.
        kept: what the estimate says of a patient, the title of the axis.

    Returns:
        The axes of the curves.

    Raises:
        UsageError: a column is missing, or there are more than 12 windows.

    Examples:
        >>> row = {"time": [0], "n_at_risk": [20], "n_events": [0], "n_censored": [20],
        ...     "estimate": 0.9, "conf_low": [0.8], "conf_high": [1.0], "conf_level": [0.95]}
        >>> curves = {90: pd.DataFrame(row), 180: pd.DataFrame(row)}
        >>> [line.get_label() for line in plot_lapse_windows(curves).lines]
        ['90 days without a visit', '_censored', '180 days without a visit', '_censored']
    """
    stacked = stack_windows(curves, window=window)
    require_columns(stacked, [window], what="the curves")
    labels = {days: f"{plural(days, 'day')} without a visit" for days in stacked[window].unique()}
    return plot_retention_curve(
        stacked,
        by=window,
        times=times,
        labels=labels,
        audience=audience,
        exact_at=exact_at,
        unit=unit,
        origin=origin,
        kept=kept,
    )


def nice_ticks(end: float, *, unit: str = "days") -> list[int]:
    """Return round times from 0 to the end that people think in: weeks, months, years.

    Args:
        end: the last time drawn.
        unit: days are divided by weeks, months of 30 and years of 365 days.

    Examples:
        >>> nice_ticks(1095), nice_ticks(100), nice_ticks(10, unit="months")
        ([0, 180, 360, 540, 720, 900, 1080], [0, 14, 28, 42, 56, 70, 84, 98], [0, 2, 4, 6, 8, 10])
    """
    steps = _DAYS if unit.startswith("day") else _OTHER
    step = next((s for s in steps if end / s < _MOST_TICKS), steps[-1])
    return list(range(0, int(end) + 1, step))


def _last(curve: pd.DataFrame) -> float:
    return float(curve["time"].max()) if len(curve) else 0.0


def frame_curves(lines: Sequence[CurveLine], rows: Sequence[RiskRow], notes: Sequence[str]) -> Axes:
    """Return axes with room for the names at the right, the table, and the notes.

    Examples:
        >>> len(frame_curves([], [], []).get_figure().axes)
        1
    """
    left = max(0.8, row_names_width(rows) + 0.1)
    notes_text = wrap(" ".join(notes), inches=WIDTH - 0.3, size=SMALL, lines=3)
    foot = 0.16 * (notes_text.count("\n") + 1) + 0.08 if notes_text else 0.0
    bottom = 0.62 + ROW_HEIGHT * len(rows) + foot
    figure = new_figure(_CURVE_HEIGHT + bottom)
    if notes_text:
        figure.text(
            0.12 / WIDTH,
            0.06 / figure.get_figheight(),
            notes_text,
            color=GREY,
            fontsize=SMALL - 0.5,
            va="bottom",
            linespacing=1.25,
        )
    right = max(0.3, names_width(lines))
    return place_axes(figure, left=left, right=right, top=0.15, bottom=bottom)


def table_axes(axes: Axes, rows: Sequence[RiskRow]) -> Axes:
    """Return axes under others for the rows of a table, with the same scale of time.

    Examples:
        >>> len(table_axes(frame_curves([], [], []), []).get_figure().axes)
        2
    """
    figure = axes.figure
    place = axes.get_position()
    height = figure.get_size_inches()[1]  # type: ignore[union-attr]
    tall = ROW_HEIGHT * len(rows) / height
    below = figure.add_axes((place.x0, place.y0 - 0.56 / height - tall, place.width, tall))
    below.set_xlim(axes.get_xlim())
    return below


def _scale(axes: Axes, ticks: Sequence[int], *, end: float, title: tuple[str, str]) -> None:
    kept, since = title
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1.0)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel(since[:1].upper() + since[1:], labelpad=4)
    axes.set_ylabel(kept)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    # At 100 % half of a line would lie outside the frame.
    for line in axes.lines:
        line.set_clip_on(False)
    strip_frame(axes)


def _mark(
    axes: Axes,
    quantiles: Any,
    groups: list[str],
    lines: Sequence[CurveLine],
    labels: Mapping[Any, str] | None,
) -> None:
    if quantiles is None:
        return
    table = as_pandas(quantiles)
    require_columns(table, [*groups, "q", "estimate"], what="the quantiles")
    keys = table[groups].itertuples(index=False, name=None)
    names = [group_label(key, labels=labels) for key in keys] if groups else ""
    mark_quantiles(axes, table.assign(name=names), lines)


def _say_when_empty(axes: Axes, lines: Sequence[CurveLine], min_at_risk: int) -> None:
    if any(len(line.rows) for line in lines):
        return
    text = f"Fewer than {min_at_risk} patients: no line is drawn."
    axes.text(0.5, 0.6, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
