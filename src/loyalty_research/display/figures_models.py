"""Models drawn: ratios with intervals, predicted beside observed, curves beyond the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from loyalty_research.display.curve_lines import CurveLine, name_lines, names_width
from loyalty_research.display.disclosure import suppress_curve
from loyalty_research.display.figures_retention import nice_ticks
from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.lookup import check_curve
from loyalty_research.display.published_steps import publish_estimates, shown_exactly
from loyalty_research.display.tables_results import (
    as_ratios,
    level_of,
    ratio_digits,
    shown_estimates,
    term_label,
)
from loyalty_research.display.theme import (
    COLOURS,
    FAINT,
    GREY,
    INK,
    NORMAL,
    SMALL,
    house_style,
    line_look,
    new_figure,
    place_axes,
    strip_frame,
    text_width,
    wrap,
)
from loyalty_research.display.tidy import (
    as_list,
    as_pandas,
    require_audience,
    require_columns,
    split_groups,
)
from loyalty_research.display.words import format_interval

_ROW = 0.3


def plot_forest(
    estimates: Any,
    *,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    ratio: str = "Hazard ratio",
) -> Axes:
    """Draw each term's ratio with its interval, on a scale where half and twice are as far from 1.

    Args:
        estimates: one row per term of a regression, log ratios.
        labels: names for readers by term.
        audience: "publish" leaves out what seven patients or events or fewer stand behind.
        ratio: the title of the axis.

    Raises:
        UsageError: a column is missing.
        SetupError: no installed font draws a name.

    Examples:
        >>> estimates = pd.DataFrame({"term": ["age"], "estimate": [0.0], "conf_low": [-0.1],
        ...     "conf_high": [0.1], "conf_level": 0.95, "p_value": [0.9], "n": [90],
        ...     "n_events": [40], "scale": ["log hazard ratio"]})
        >>> plot_forest(estimates).get_yticklabels()[0].get_text()
        'Age'
    """
    shown = shown_estimates(estimates, audience=audience)
    rows = as_ratios(shown_exactly(as_pandas(estimates), shown))
    rows = rows.dropna(subset=["estimate", "conf_low", "conf_high"]).reset_index(drop=True)
    names = [wrap(term_label(term, labels), inches=1.9) for term in rows["term"]]
    told = [
        format_interval(*row, percent=False, digits=ratio_digits(*row[1:]))
        for row in rows[["estimate", "conf_low", "conf_high"]].itertuples(index=False)
    ]
    with house_style([*names, ratio]):
        left, right = text_width(names, size=NORMAL) + 0.35, text_width(told, size=SMALL) + 0.4
        figure = new_figure(_ROW * max(1, len(rows)) + 0.75)
        axes = place_axes(figure, left=left, right=right, top=0.12, bottom=0.62)
        places = np.arange(len(rows))
        axes.hlines(places, rows["conf_low"], rows["conf_high"], color=COLOURS[0], linewidth=1.8)
        axes.plot(rows["estimate"], places, "s", color=COLOURS[0], markersize=5)
        axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)))
        _ratio_scale(axes, rows)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{ratio} ({level_of(rows)} interval)")
        for y, text in zip(places, told, strict=True):
            where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
            axes.annotate(text, (1.03, y), fontsize=SMALL, annotation_clip=False, **where)
        strip_frame(axes, keep=["bottom"])
        fit_fonts(figure)
    return axes


def plot_calibration(calibration: Any, *, audience: str = "internal") -> Axes:
    """Draw what happened against what was predicted, group by group of predicted risk.

    Args:
        calibration: what `calibration` returned.
        audience: "publish" leaves out groups of which seven or fewer had the event.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> rows = pd.DataFrame({"term": ["slope", "group 1"], "estimate": [1.1, 0.2],
        ...     "conf_low": [0.9, 0.1], "conf_high": [1.3, 0.3], "conf_level": 0.95,
        ...     "p_value": np.nan, "n": 50, "n_events": 10, "predicted": [np.nan, 0.21]})
        >>> plot_calibration(rows).lines[-1].get_xydata().tolist()
        [[0.21, 0.2]]
    """
    table = as_pandas(calibration)
    require_columns(table, ["term", "predicted", "conf_low", "conf_high"], what="the calibration")
    rows = publish_estimates(table, audience=audience)
    rows = rows[rows["term"].astype(str).str.startswith("group")].dropna(subset=["estimate"])
    predicted = rows["predicted"].astype(float).round(3 if audience == "publish" else 12)
    # A little room, so that no point lies on the edge and is cut in half.
    top = min(1.0, 1.05 * float(np.nanmax([0.1, *predicted, *rows["conf_high"].astype(float)])))
    with house_style():
        figure = new_figure(3.9)
        axes = place_axes(figure, left=1.6, right=1.6, top=0.15, bottom=0.6)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (3, 2)))
        style: dict[str, Any] = {"color": COLOURS[0], "linewidth": 1.5}
        axes.vlines(predicted, rows["conf_low"], rows["conf_high"], **style)
        axes.plot(predicted, rows["estimate"], "o", color=COLOURS[0], markersize=5)
        axes.text(0.2 * top, 0.14 * top, "as predicted", color=GREY, fontsize=SMALL)
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set_xlabel("Predicted share with the event")
        axes.set_ylabel("Observed share")
        axes.grid(color=FAINT, linewidth=0.6)
        strip_frame(axes)
        fit_fonts(figure)
    return axes


def plot_adjusted_retention(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    unit: str = "days",
    origin: str = "first visit",
    kept: str = "Still coming",
) -> Axes:
    """Draw the retention that a model gives each group if all had the same other characteristics.

    A model's curve holds no count of its own, so nothing stands under the axis; published, it has a
    step at most every 30 days, to three decimals.

    Args:
        curve: groups, time, estimate, conf_low, conf_high.
        by: the grouping columns; at most 12 groups.
        labels: names for readers by group.
        audience: "publish" thins the curve.
        unit: the curve's unit of time, plural.
        origin: what the time is counted from.
        kept: what the estimate says of a patient.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> curve = pd.DataFrame({"time": [0, 30], "estimate": [1, 0.5], "conf_low": [1, 0.4],
        ...     "conf_high": [1, 0.6]})
        >>> plot_adjusted_retention(curve).lines[0].get_ydata().tolist()
        [1.0, 0.5]
    """
    groups = as_list(by)
    shown = _modelled(curve, groups, audience)
    lines = [
        CurveLine(name, rows.sort_values("time"), False, False, *line_look(i))
        for i, (name, rows) in enumerate(split_groups(shown, groups, labels=labels))
    ]
    end = max([line.end for line in lines], default=1.0)
    with house_style([*(line.name for line in lines), kept, unit, origin]):
        axes = _sheet(names_width(lines))
        for line in lines:
            _draw_line(axes, line, step="post")
        _share_scale(axes, end=end, title=(kept, f"{unit} since {origin}"))
        name_lines(axes, lines)
        fit_fonts(axes.figure)  # type: ignore[arg-type]
    return axes


def plot_parametric(
    curve: Any,
    *,
    models: Any,
    by: str = "distribution",
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    unit: str = "days",
    origin: str = "first visit",
    kept: str = "Still coming",
) -> Axes:
    """Draw fitted distributions over the observed curve; beyond the data dashed and shaded.

    Args:
        curve: the Kaplan-Meier curve of the same patients.
        models: one row per distribution and time: estimate, and `extrapolated`, true beyond the
            last observed time. Rows named "kaplan-meier" are left out: `curve` holds them.
        by: the column that names the distribution.
        labels: names for readers by distribution.
        audience: "publish" thins the observed curve; models get three decimals.
        unit: the unit of time, plural.
        origin: what the time is counted from.
        kept: what the estimate says of a patient.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> curve = pd.DataFrame({"time": [0, 5], "n_at_risk": 60, "n_events": [0, 30],
        ...     "n_censored": [0, 30], "estimate": [1, 0.5], "conf_low": 0.4, "conf_high": 0.6,
        ...     "conf_level": 0.95})
        >>> models = pd.DataFrame({"distribution": "weibull", "time": [0, 5, 9],
        ...     "estimate": [1, 0.6, 0.4], "extrapolated": [False, False, True]})
        >>> axes = plot_parametric(curve, models=models)
        >>> [text.get_text() for text in axes.texts if text.get_text()][0]
        'extrapolated'
    """
    table = as_pandas(models)
    require_columns(table, [by, "time", "estimate", "extrapolated"], what="the models")
    observed = suppress_curve(check_curve(curve, by=[]), audience=audience).dropna(
        subset=["estimate"]
    )
    table = table[table[by].astype(str) != "kaplan-meier"]
    if require_audience(audience) == "publish":
        table = table.assign(estimate=table["estimate"].round(3))
    parts = list(split_groups(table, by, labels=labels))
    lines = [
        CurveLine(name, rows.sort_values("time"), False, False, COLOURS[i % len(COLOURS)], "solid")
        for i, (name, rows) in enumerate(parts)
    ]
    seen = table.loc[~table["extrapolated"].astype(bool), "time"]
    last = float(max(curve_end(observed), seen.max() if len(seen) else 0.0))
    end = max([last, *(line.end for line in lines)])
    with house_style([*(line.name for line in lines), kept, unit, origin]):
        axes = _sheet(names_width(lines))
        look: dict[str, Any] = {"color": INK, "linewidth": 1.6, "drawstyle": "steps-post"}
        axes.plot(observed["time"], observed["estimate"], label="Observed", zorder=3, **look)
        for line in lines:
            _draw_model(axes, line)
        _shade_beyond(axes, last, end)
        _share_scale(axes, end=end, title=(kept, f"{unit} since {origin} (black: observed)"))
        name_lines(axes, lines)
        fit_fonts(axes.figure)  # type: ignore[arg-type]
    return axes


def curve_end(curve: pd.DataFrame) -> float:
    """Return the last time of a curve, 0 where it has none.

    Examples:
        >>> curve_end(pd.DataFrame({"time": [0, 7]}))
        7.0
    """
    return float(curve["time"].max()) if len(curve) else 0.0


def _modelled(curve: Any, groups: list[str], audience: str) -> pd.DataFrame:
    table = as_pandas(curve)
    require_columns(table, [*groups, "time", "estimate", "conf_low", "conf_high"], what="the curve")
    if "n_at_risk" in table.columns:
        # As the observed curves do: nothing is drawn where few of a group remain.
        at_risk = table["n_at_risk"].astype(float)
        most = (
            at_risk.groupby([table[name] for name in groups], dropna=False).transform("max")
            if groups
            else at_risk.max()
        )
        table = table[at_risk >= np.maximum(10, 0.1 * most)]
    if require_audience(audience) == "internal":
        return table
    # Every event moves a model's curve, so its steps could tell a day.
    keys = [*groups, table["time"] // 30]
    months = table.sort_values("time").groupby(keys, sort=False, dropna=False).head(1)
    rounded = {name: months[name].round(3) for name in ("estimate", "conf_low", "conf_high")}
    return months.assign(time=months["time"] // 30 * 30, **rounded)


def _sheet(right: float) -> Axes:
    return place_axes(new_figure(3.9), left=0.85, right=max(0.3, right), top=0.15, bottom=0.62)


def _draw_line(axes: Axes, line: CurveLine, *, step: str) -> None:
    time = line.rows["time"].to_numpy(dtype=float)
    low, high = (line.rows[c].to_numpy(dtype=float) for c in ("conf_low", "conf_high"))
    band: dict[str, Any] = {"color": line.colour, "alpha": 0.14, "linewidth": 0, "step": step}
    axes.fill_between(time, low, high, **band)
    look: dict[str, Any] = {"color": line.colour, "linestyle": line.dashes, "linewidth": 1.8}
    estimate = line.rows["estimate"].to_numpy(dtype=float)
    axes.plot(time, estimate, drawstyle=f"steps-{step}", label=line.name, **look)


def _draw_model(axes: Axes, line: CurveLine) -> None:
    """Draw the part within the data solid, and from its end on dashed."""
    beyond = line.rows["extrapolated"].astype(bool).to_numpy()
    time, share = (line.rows[c].to_numpy(dtype=float) for c in ("time", "estimate"))
    first = int(beyond.argmax()) if beyond.any() else len(time)
    look: dict[str, Any] = {"color": line.colour, "linewidth": 1.5}
    axes.plot(time[:first], share[:first], label=line.name, **look)
    start = max(first - 1, 0)
    axes.plot(time[start:], share[start:], linestyle=(0, (4, 2)), label="_extrapolated", **look)


def _shade_beyond(axes: Axes, last: float, end: float) -> None:
    if end <= last:
        return
    axes.axvspan(last, end, color=FAINT, alpha=0.45, linewidth=0, zorder=0)
    axes.text((last + end) / 2, 0.96, "extrapolated", color=GREY, ha="center", va="top")


def _share_scale(axes: Axes, *, end: float, title: tuple[str, str]) -> None:
    kept, since = title
    ticks = nice_ticks(end, unit=since)
    axes.set_xlim(0, max(end, 1.0))
    axes.set_ylim(0, 1)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel(since[:1].upper() + since[1:], labelpad=4)
    axes.set_ylabel(kept)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    strip_frame(axes)


def _ratio_scale(axes: Axes, rows: pd.DataFrame) -> None:
    low, high = min([0.8, *rows["conf_low"]]), max([1.25, *rows["conf_high"]])
    marks = (0.1, 0.2, 0.25, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 10)
    shown = [mark for mark in marks if low / 1.05 <= mark <= high * 1.05]
    axes.set_xscale("log")
    axes.set_xlim(low / 1.05, high * 1.05)
    axes.set_xticks(shown, [f"{mark:g}" for mark in shown])
    axes.set_xticks([], minor=True)
