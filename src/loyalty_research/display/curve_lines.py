"""The lines of a retention figure: how far each is drawn, how it looks, where its name stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from loyalty_research.display.theme import (
    GREY,
    NORMAL,
    Dashes,
    for_letters,
    line_look,
    spread,
    text_width,
    wrap,
)
from loyalty_research.display.thinning import is_complete
from loyalty_research.display.tidy import split_groups
from loyalty_research.errors import UsageError

MOST_GROUPS = 12
# With more events, or more marks, the marks at censorings only blacken the line.
MOST_MARKED = 200
_NAME_WIDTH = 1.45
_NAME_HEIGHT = 0.165


@dataclass(frozen=True)
class CurveLine:
    """One group's curve as far as it is drawn."""

    name: str
    rows: pd.DataFrame
    is_cut: bool
    has_marks: bool
    colour: str
    dashes: Dashes

    @property
    def end(self) -> float:
        """The last time that is drawn."""
        return float(self.rows["time"].iloc[-1]) if len(self.rows) else 0.0


def curve_lines(
    curve: pd.DataFrame,
    *,
    by: Sequence[str],
    labels: Mapping[Any, str] | None,
    min_at_risk: int,
    min_share: float,
) -> list[CurveLine]:
    """Return each group's curve up to where too few patients remain, with its look.

    Args:
        curve: one row per group and time, with the columns of a curve.
        by: the grouping columns.
        labels: names for readers by group.
        min_at_risk: a line stops below so many patients.
        min_share: a line stops below this share of its largest number at risk.

    Raises:
        UsageError: more than 12 groups.

    Examples:
        >>> curve = pd.DataFrame({"time": [0, 5], "n_at_risk": [20, 4], "n_events": [16, 0],
        ...     "n_censored": [0, 4], "estimate": [0.2, 0.2]})
        >>> [line] = curve_lines(curve, by=[], labels=None, min_at_risk=10, min_share=0)
        >>> len(line.rows), line.is_cut
        (1, True)
    """
    parts = [
        (name, rows) for name, rows in split_groups(curve, list(by), labels=labels) if len(rows)
    ]
    if len(parts) > MOST_GROUPS:
        raise UsageError(
            f"{len(parts)} curves cannot be told apart; join groups until {MOST_GROUPS} are left"
        )
    ends = curve[["n_events", "n_censored"]].astype("Float64").fillna(0)
    few = ends["n_events"].sum() < MOST_MARKED and (ends["n_censored"] > 0).sum() < MOST_MARKED
    return [
        _line(i, name, rows.sort_values("time"), min_at_risk, min_share, few)
        for i, (name, rows) in enumerate(parts)
    ]


def _line(
    index: int, name: str, rows: pd.DataFrame, at_least: int, share: float, few: bool
) -> CurveLine:
    at_risk = rows["n_at_risk"].astype("Float64").fillna(0).astype(float)
    # A line cannot end in a gap: its name and the marks of quantiles stand at its end.
    enough = (at_risk >= max(at_least, share * at_risk.max())) & rows["estimate"].notna()
    drawn = rows.loc[: enough[enough].index[-1]] if enough.any() else rows.iloc[:0]
    has_marks = few and is_complete(rows)
    return CurveLine(name, drawn, len(drawn) < len(rows), has_marks, *line_look(index))


def draw_lines(axes: Axes, lines: Sequence[CurveLine]) -> None:
    """Draw each line as steps over its interval as steps, with strokes at censorings.

    Examples:
        >>> rows = pd.DataFrame({"time": [3], "n_censored": [0], "estimate": [0.5],
        ...     "conf_low": [0.3], "conf_high": [0.7]})
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().add_subplot()
        >>> draw_lines(axes, [CurveLine("", rows, False, False, "black", "solid")])
        >>> axes.lines[0].get_xydata().tolist()
        [[0.0, 1.0], [3.0, 0.5]]
    """
    # Many bands over each other would hide the lines.
    shade = 0.16 if len(lines) <= 4 else 0.07
    for line in lines:
        if not len(line.rows):
            continue
        rows = _from_the_start(line.rows)
        shaded = _up_to_the_gaps(rows)
        time = shaded["time"].to_numpy(dtype=float)
        low, high = (shaded[c].to_numpy(dtype=float) for c in ("conf_low", "conf_high"))
        band: dict[str, Any] = {"color": line.colour, "alpha": shade, "linewidth": 0}
        axes.fill_between(time, low, high, step="post", **band)
        estimate = rows["estimate"].to_numpy(dtype=float)
        look: dict[str, Any] = {"color": line.colour, "linestyle": line.dashes, "linewidth": 1.8}
        axes.plot(rows["time"], estimate, drawstyle="steps-post", label=line.name, zorder=3, **look)
        if line.has_marks:
            marked = rows[rows["n_censored"].astype(float) > 0]
            style: dict[str, Any] = {
                "marker": "|",
                "linestyle": "none",
                "markersize": 6,
                "color": line.colour,
            }
            axes.plot(marked["time"], marked["estimate"], label="_censored", zorder=3, **style)


def _from_the_start(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows, preceded by a whole group at time 0 where the curve begins later."""
    if rows["time"].iloc[0] <= 0:
        return rows
    start = rows.iloc[[0]].assign(time=0, n_censored=0, estimate=1.0, conf_low=1.0, conf_high=1.0)
    return pd.concat([start, rows], ignore_index=True)


def _up_to_the_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the last known one repeated where a gap begins: the band ends there."""
    gone = rows["estimate"].isna()
    begins = gone & ~gone.shift(fill_value=True)
    if not begins.any():
        return rows
    known = rows.shift()[begins].assign(time=rows["time"][begins])
    both = pd.concat([known, rows])
    return both.sort_values("time", kind="stable").reset_index(drop=True)


def names_width(lines: Sequence[CurveLine]) -> float:
    """Return the inches that the names to the right of the curves need.

    Examples:
        >>> names_width([])
        0.0
    """
    wide = text_width((wrap(line.name, inches=_NAME_WIDTH) for line in lines), size=NORMAL)
    return wide + 0.3 if wide else 0.0


def name_lines(axes: Axes, lines: Sequence[CurveLine]) -> None:
    """Write each group's name at the right of its line, moved apart where two would touch.

    Args:
        axes: with the lines drawn and the limits set.
        lines: those without a name stay without one.

    Examples:
        >>> rows = pd.DataFrame({"time": [9], "estimate": [0.5]})
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().add_subplot()
        >>> name_lines(axes, [CurveLine("North", rows, False, False, "black", "solid")])
        >>> [text.get_text() for text in axes.texts]
        ['North']
    """
    named = [line for line in lines if line.name and len(line.rows)]
    if not named:
        return
    inches = axes.get_position().height * axes.figure.get_size_inches()[1]  # type: ignore[union-attr]
    texts = [wrap(line.name, inches=_NAME_WIDTH) for line in named]
    heights = [_NAME_HEIGHT * (1 + text.count("\n")) / inches for text in texts]
    last = [float(line.rows["estimate"].iloc[-1]) for line in named]
    # Places are shares of the axis, whatever its scale.
    wished = [y / axes.get_ylim()[1] for y in last]
    for line, text, y, place in zip(
        named, texts, last, spread(wished, sizes=heights, low=0.0, high=1.03), strict=True
    ):
        axes.annotate(
            text,
            xy=(line.end, y),
            xytext=(1 + 0.2 / _width(axes), place),
            textcoords="axes fraction",
            va="center",
            color=for_letters(line.colour),
            fontsize=NORMAL,
            linespacing=1.0,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": line.colour,
                "linewidth": 0.5,
                "shrinkA": 1,
                "shrinkB": 0,
                "alpha": 0.7,
                "relpos": (0, 0.5),
            },
        )


def _width(axes: Axes) -> float:
    return float(axes.get_position().width * axes.figure.get_size_inches()[0])  # type: ignore[union-attr]


def stop_notes(
    lines: Sequence[CurveLine], *, min_at_risk: int, min_share: float, published: bool
) -> list[str]:
    """Return what the reader must know about lines that stop early or are not there.

    Examples:
        >>> stop_notes([], min_at_risk=10, min_share=0.1, published=False)
        []
    """
    notes = []
    unseen = [line.name for line in lines if not len(line.rows)]
    if any(line.is_cut and len(line.rows) for line in lines):
        share = f" or {100 * min_share:.0f} % of the group" if min_share > 0 else ""
        notes.append(f"Lines stop where fewer than {min_at_risk} patients{share} remain.")
    if unseen:
        who = f": {', '.join(unseen)}" if any(unseen) else ""
        notes.append(f"Not drawn, fewer than {min_at_risk} patients{who}.")
    if published:
        notes.append("Counts are rounded to 5; – stands for a small count.")
    if any(line.rows["estimate"].isna().any() for line in lines):
        notes.append("A line has a gap where too few patients make its next step.")
    return notes


def mark_quantiles(axes: Axes, quantiles: pd.DataFrame, lines: Sequence[CurveLine]) -> None:
    """Draw lines from the axis to the curve, and down, at each quantile that was reached.

    Args:
        axes: with the curves.
        quantiles: name (of the group), q and estimate.
        lines: as drawn; a quantile beyond the end of its line is left out.

    Examples:
        >>> line = CurveLine("", pd.DataFrame({"time": [9]}), False, False, "black", "solid")
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().add_subplot()
        >>> mark_quantiles(axes, pd.DataFrame({"name": [""], "q": [0.5], "estimate": [4]}), [line])
        >>> axes.lines[0].get_xydata().tolist()
        [[0.0, 0.5], [4.0, 0.5], [4.0, 0.0]]
    """
    for line in lines:
        for _, row in quantiles[quantiles["name"] == line.name].iterrows():
            time, height = row["estimate"], 1 - row["q"]
            if np.isfinite(time) and time <= line.end:
                style: dict[str, Any] = {
                    "color": GREY,
                    "linewidth": 0.8,
                    "linestyle": (0, (3, 2)),
                    "zorder": 1,
                }
                axes.plot([0, time, time], [height, height, 0], label="_quantile", **style)
