"""How often patients have come by each day, on average, drawn in steps with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from loyalty_research.display.curve_lines import (
    curve_lines,
    draw_lines,
    name_lines,
    stop_notes,
)
from loyalty_research.display.figures_retention import frame_curves, nice_ticks, table_axes
from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.lookup import check_curve
from loyalty_research.display.published_steps import mean_count_at, publish_mean_count
from loyalty_research.display.risk_table import RiskRow, draw_risk_table
from loyalty_research.display.theme import FAINT, INK, house_style, strip_frame
from loyalty_research.display.tidy import as_list, split_groups
from loyalty_research.display.words import format_count


def plot_mean_count(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    times: Sequence[int] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "days",
    origin: str = "first visit",
    counted: str = "Return visits per patient",
    min_at_risk: int = 10,
    min_share: float = 0.1,
) -> Axes:
    """Draw the mean number of events by each day, and under the axis how many were observed.

    Args:
        curve: one row per group and distinct time, as `mean_cumulative_count` returns it.
        by: the grouping columns; at most 12 groups.
        times: the ticks, and the times of the numbers at risk; chosen when not given.
        labels: names for readers by group.
        audience: "publish" thins the curve, hides small counts and rounds the others.
        exact_at: days that tables and sentences state.
        unit: the curve's unit of time, plural.
        origin: what the time is counted from.
        counted: what is counted, the title of the axis.
        min_at_risk: a line stops below so many patients.
        min_share: a line stops below this share of its group's largest number at risk.

    Returns:
        The axes of the curve; its figure holds the table in second axes.

    Raises:
        UsageError: a column is missing, a time repeats, or there are more than 12 groups.
        SetupError: no installed font draws a group's name.

    Examples:
        >>> import pandas as pd
        >>> curve = pd.DataFrame({"time": [0, 30], "n_at_risk": 60, "n_events": [0, 30],
        ...     "n_censored": [0, 60], "estimate": [0, 0.5], "conf_low": 0.4, "conf_high": 0.6,
        ...     "conf_level": 0.95})
        >>> plot_mean_count(curve).lines[0].get_ydata().tolist()
        [0.0, 0.5]
    """
    groups = as_list(by)
    exact = check_curve(curve, by=groups)
    shown = publish_mean_count(exact, by=groups, audience=audience, exact_at=exact_at)
    limits = {"min_at_risk": min_at_risk, "min_share": min_share}
    lines = curve_lines(shown, by=groups, labels=labels, **limits)  # type: ignore[arg-type]
    end = max([line.end for line in lines], default=0.0)
    ticks = list(times) if times is not None else nice_ticks(end, unit=unit)
    at = mean_count_at(exact, times=ticks, by=groups, audience=audience)
    parts = [rows["n_at_risk"] for _, rows in split_groups(at, groups)]
    notes = stop_notes(lines, **limits, published=audience == "publish")  # type: ignore[arg-type]
    with house_style([*(line.name for line in lines), counted, origin, unit]):
        rows = [RiskRow("At risk", "n_at_risk", (), INK)] if groups else []
        rows += [
            RiskRow(line.name or "At risk", "n_at_risk", tuple(map(format_count, n)), line.colour)
            for line, n in zip(lines, parts, strict=True)
        ]
        axes = frame_curves(lines, rows, notes)
        # The mean has no events to mark and no censorings: it rises, whoever leaves.
        draw_lines(axes, lines)
        _scale(axes, ticks, end=max(end, *ticks, 1), counted=counted, since=(unit, origin))
        name_lines(axes, lines)
        draw_risk_table(table_axes(axes, rows), rows, ticks=ticks)
        fit_fonts(axes.figure)  # type: ignore[arg-type]
    return axes


def _scale(
    axes: Axes, ticks: Sequence[int], *, end: float, counted: str, since: tuple[str, str]
) -> None:
    unit, origin = since
    axes.set_xlim(0, end)
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.1))
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xlabel(f"{unit[:1].upper()}{unit[1:]} since {origin}", labelpad=4)
    axes.set_ylabel(counted)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    strip_frame(axes)
