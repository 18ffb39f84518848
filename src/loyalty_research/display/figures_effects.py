"""Effects drawn: one design beside another, balance before and after, overlap, series, plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.published_steps import shown_exactly
from loyalty_research.display.tables_effects import format_effect, published_effect
from loyalty_research.display.tables_results import level_of, term_label
from loyalty_research.display.theme import (
    COLOURS,
    DASHES,
    FAINT,
    GREY,
    INK,
    NORMAL,
    SMALL,
    house_style,
    new_figure,
    place_axes,
    strip_frame,
    text_width,
    wrap,
)
from loyalty_research.display.tidy import as_pandas, column_label, require_columns
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.wording import RATIOS, SHARES
from loyalty_research.errors import UsageError

_ROW = 0.34
_BALANCED = 0.1
_LIMITS = ["estimate", "conf_low", "conf_high"]
_DASHED = (0, (3, 2))


def plot_effects(
    effects: Mapping[str, Effect],
    *,
    audience: str = "internal",
    truth: float | None = None,
    title: str = "",
) -> Axes:
    """Draw the headline of several designs on one scale, hollow where a check failed.

    Args:
        effects: name for readers -> what its design returned; all on the same scale.
        audience: "publish" draws no value where a check withholds it.
        truth: the true value, where a simulated study knows it.
        title: the title of the axis; by default the scale.

    Returns:
        The axes.

    Raises:
        UsageError: effects on several scales.
        SetupError: no installed font draws a name.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> found = mean_difference(data, arm="arm", outcome="score", randomised=True)
        >>> plot_effects({"By lot": found}).get_yticklabels()[0].get_text()
        'By lot'
    """
    rows = pd.DataFrame([published_effect(e, audience=audience).iloc[0] for e in effects.values()])
    scales = sorted(set(rows["scale"]))
    if len(scales) > 1:
        raise UsageError(f"effects are on {len(scales)} scales ({', '.join(scales)}); draw each")
    rows = rows.reset_index(drop=True)
    factor = 100.0 if scales[0] in SHARES else 1.0
    names = [wrap(name, inches=2.1) for name in effects]
    exact = shown_exactly(pd.DataFrame([e.headline for e in effects.values()]), rows)
    told = [
        _told(row, found)
        for (_, row), found in zip(exact.iterrows(), effects.values(), strict=True)
    ]
    values = rows[_LIMITS].astype(float) * factor
    label = title or ("Percentage points" if factor > 1 else column_label(scales[0]))
    with house_style([*names, label, "withheld: "]):
        left, right = text_width(names, size=NORMAL) + 0.35, text_width(told, size=SMALL) + 0.4
        figure = new_figure(_ROW * max(1, len(rows)) + 0.95)
        axes = place_axes(figure, left=left, right=right, top=0.3, bottom=0.65)
        for y, (limits, found) in enumerate(
            zip(values.itertuples(index=False), effects.values(), strict=True)
        ):
            _draw_effect(axes, y, limits, held=found.withheld)
        is_ratio = scales[0] in RATIOS
        axes.axvline(1.0 if is_ratio else 0.0, color=GREY, linewidth=0.8, linestyle=_DASHED)
        if is_ratio:
            axes.set_xscale("log")
        if truth is not None:
            axes.axvline(truth * factor, color=COLOURS[2], linewidth=1.2)
            where: dict[str, Any] = {
                "xycoords": ("data", "axes fraction"),
                "ha": "center",
                "va": "bottom",
            }
            axes.annotate("truth", (truth * factor, 1.0), color=COLOURS[2], fontsize=SMALL, **where)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), names)
        axes.tick_params(axis="y", length=0)
        held = "; * a check failed" if any(told_one.endswith("*") for told_one in told) else ""
        axes.set_xlabel(f"{label} ({level_of(rows)} interval){held}")
        _beside(axes, told)
        strip_frame(axes, keep=["bottom"])
        fit_fonts(figure)
    return axes


def plot_balance(balance: Any, *, labels: Mapping[Any, str] | None = None) -> Axes:
    """Draw how far apart the arms were on each characteristic, before weighting and after.

    Args:
        balance: `term, smd_unweighted, smd_weighted`, as `weights.balance()` returns it.
        labels: names for readers by term.

    Returns:
        The axes.

    Raises:
        UsageError: a column is missing.
        SetupError: no installed font draws a name.

    Examples:
        >>> rows = pd.DataFrame({"term": ["age"], "smd_unweighted": [0.4], "smd_weighted": [0.02]})
        >>> plot_balance(rows).get_yticklabels()[0].get_text()
        'Age'
    """
    rows = as_pandas(balance)
    require_columns(rows, ["term", "smd_unweighted", "smd_weighted"], what="the balance")
    rows = rows.sort_values("smd_unweighted", key=abs, ascending=False).reset_index(drop=True)
    names = [wrap(term_label(term, labels), inches=2.1) for term in rows["term"]]
    with house_style(names):
        figure = new_figure(0.26 * max(3, len(rows)) + 1.0)
        left = text_width(names, size=NORMAL) + 0.35
        axes = place_axes(figure, left=left, right=0.3, top=0.35, bottom=0.62)
        places = np.arange(len(rows))
        axes.axvspan(-_BALANCED, _BALANCED, color=FAINT, alpha=0.5, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.8)
        before, after = (rows[f"smd_{kind}"].astype(float) for kind in ("unweighted", "weighted"))
        axes.hlines(places, before, after, color=FAINT, linewidth=1.2)
        look: dict[str, Any] = {"markersize": 6, "linestyle": "none"}
        axes.plot(before, places, "o", mfc="white", color=COLOURS[1], label="before", **look)
        axes.plot(after, places, "o", color=COLOURS[0], label="after weighting", **look)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("Standardised difference of means (shaded: within 0.1)")
        _legend(axes, columns=2)
        strip_frame(axes, keep=["bottom"])
        fit_fonts(figure)
    return axes


def plot_overlap(
    overlap: Any,
    *,
    arms: tuple[str, str] = ("control", "programme"),
) -> Axes:
    """Draw which probability of the programme the patients of each arm had, weighted and not.

    Where one arm has nobody, nothing is known of patients like the other's.

    Args:
        overlap: `arm, low, high, share, weighted_share`, as `weights.overlap()` returns it, or for
            readers outside `overlap_table()`; a missing share is not drawn.
        arms: what arm 0 and arm 1 are called.

    Returns:
        The axes: the programme above, the comparison below; bars unweighted, lines weighted.

    Raises:
        UsageError: a column is missing.
        SetupError: no installed font draws a name.

    Examples:
        >>> rows = pd.DataFrame({"arm": [0, 1], "low": 0.0, "high": 1.0, "share": 1.0,
        ...     "weighted_share": 1.0})
        >>> plot_overlap(rows).get_xlabel()
        'Probability of the programme, by its model'
    """
    rows = as_pandas(overlap)
    require_columns(rows, ["arm", "low", "high", "share", "weighted_share"], what="the overlap")
    rows = rows.astype({"share": float, "weighted_share": float})
    with house_style(list(arms)):
        figure = new_figure(3.3)
        axes = place_axes(figure, left=0.9, right=0.3, top=0.4, bottom=0.62)
        axes.axhline(0, color=GREY, linewidth=0.8)
        for arm, side, colour in ((1, 1, COLOURS[0]), (0, -1, COLOURS[1])):
            part = rows[rows["arm"] == arm].sort_values("low")
            box: dict[str, Any] = {"width": part["high"] - part["low"], "align": "edge"}
            axes.bar(
                part["low"], side * part["share"], color=colour, alpha=0.45, label=arms[arm], **box
            )
            edges = np.append(part["low"], part["high"].iloc[-1:])
            after = (side * part["weighted_share"]).fillna(0.0)
            name = "after weighting" if arm else "_after"
            axes.stairs(after, edges, color=INK, linewidth=1.2, label=name)
        axes.set_xlim(0, 1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * abs(value):.0f} %")
        axes.set_xlabel("Probability of the programme, by its model")
        axes.set_ylabel("Share of the arm")
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        _legend(axes, columns=3)
        strip_frame(axes)
        fit_fonts(figure)
    return axes


def plot_event_study(
    estimates: Any,
    *,
    at: str,
    time: str = "Periods since the start",
    outcome: str = "Effect",
) -> Axes:
    """Draw the effect at each time since the start; the times before it try the design.

    Args:
        estimates: one row a time since the start: `at`, `estimate, conf_low, conf_high`; with
            `band_low, band_high` a band that holds all of them at once.
        at: the column of the time since the start; before it negative.
        time: the title of the horizontal axis.
        outcome: the title of the vertical axis.

    Returns:
        The axes.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> rows = pd.DataFrame({"since": [-1, 0], "estimate": [0.0, 1.0], "conf_low": [-1, 0],
        ...     "conf_high": [1, 2]})
        >>> plot_event_study(rows, at="since").get_xlabel()
        'Periods since the start'
    """
    rows = as_pandas(estimates)
    require_columns(rows, [at, *_LIMITS], what="the event study")
    rows = rows.dropna(subset=[at]).sort_values(at).astype({at: float})
    with house_style([time, outcome]):
        figure = new_figure(3.3)
        axes = place_axes(figure, left=0.9, right=0.3, top=0.35, bottom=0.62)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.axvline(-0.5, color=GREY, linewidth=0.8, linestyle=_DASHED)
        if {"band_low", "band_high"} <= set(rows):
            low, high = rows["band_low"].astype(float), rows["band_high"].astype(float)
            axes.vlines(rows[at], low, high, color=FAINT, linewidth=5, label="all at once")
        for name, part, colour in (
            ("before", rows[rows[at] < 0], GREY),
            ("after", rows[rows[at] >= 0], COLOURS[0]),
        ):
            limits = part["conf_low"].astype(float), part["conf_high"].astype(float)
            axes.vlines(part[at], *limits, color=colour, linewidth=1.6)
            axes.plot(part[at], part["estimate"].astype(float), "o", color=colour, label=name)
        axes.set_xlabel(time)
        axes.set_ylabel(outcome)
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        _legend(axes, columns=3)
        strip_frame(axes)
        fit_fonts(figure)
    return axes


def plot_series(
    counterfactual: Any,
    *,
    start: Any,
    time: str = "time",
    outcome: str = "Outcome",
    period: str = "Period",
) -> Axes:
    """Draw a series with its model and with what it would have been without the change.

    Args:
        counterfactual: one row a period: `observed`, `fitted`, `counterfactual`, `conf_low`,
            `conf_high`, as the function of that name returns it.
        start: the first period of the change.
        time: the column of the period.
        outcome: the title of the vertical axis.
        period: the title of the horizontal axis.

    Returns:
        The axes.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> rows = pd.DataFrame({"month": [1, 2], "observed": [5, 3], "fitted": [5, 3.2],
        ...     "counterfactual": [5, 5], "conf_low": 4, "conf_high": 6})
        >>> plot_series(rows, time="month", start=2).get_xlabel()
        'Period'
    """
    rows = as_pandas(counterfactual)
    named = ["observed", "fitted", "counterfactual", "conf_low", "conf_high"]
    require_columns(rows, [time, *named], what="the series")
    after = rows[rows[time] >= start]
    with house_style([outcome, period]):
        figure = new_figure(3.5)
        axes = place_axes(figure, left=0.9, right=0.3, top=0.4, bottom=0.62)
        axes.axvline(_before(rows[time], start), color=GREY, linewidth=0.8, linestyle=_DASHED)
        low, high = (after[f"conf_{k}"].astype(float) for k in ("low", "high"))
        axes.fill_between(after[time], low, high, color=COLOURS[1], alpha=0.15, linewidth=0)
        without: dict[str, Any] = {"color": COLOURS[1], "linestyle": DASHES[1]}
        axes.plot(after[time], after["counterfactual"], label="without the change", **without)
        # The model jumps between two periods; a line from one to the other would show a slope.
        for part, name in ((rows[rows[time] < start], "model"), (after, "_after")):
            axes.plot(part[time], part["fitted"], color=COLOURS[0], linewidth=1.6, label=name)
        axes.plot(rows[time], rows["observed"], ".", color=INK, markersize=5, label="observed")
        axes.set_ylim(*_room(rows[named].to_numpy(float)))
        axes.set_xlabel(period)
        axes.set_ylabel(outcome)
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        _legend(axes, columns=3)
        strip_frame(axes)
        fit_fonts(figure)
    return axes


def plot_roll_out(schedule: Any, *, clinic: str = "Clinic", period: str = "Period") -> Axes:
    """Draw which clinic has the programme in which period.

    Args:
        schedule: one row a clinic, one column a period, 1 where the programme runs.
        clinic: the title of the vertical axis.
        period: the title of the horizontal axis.

    Returns:
        The axes.

    Examples:
        >>> plot_roll_out(pd.DataFrame([[0, 1], [0, 0]])).get_ylabel()
        'Clinic'
    """
    table = schedule if isinstance(schedule, pd.DataFrame) else as_pandas(schedule)
    cells = table.to_numpy(float)
    names = [str(name) for name in table.index]
    with house_style([*names, clinic, period]):
        figure = new_figure(min(0.24 * len(table) + 1.0, 6.0))
        left = text_width(names, size=NORMAL) + 0.6
        axes = place_axes(figure, left=left, right=0.3, top=0.35, bottom=0.55)
        for state, colour, label in ((0, FAINT, "as before"), (1, COLOURS[0], "programme")):
            row, column = np.nonzero(cells == state)
            box: dict[str, Any] = {"width": 0.94, "height": 0.86, "left": column - 0.47}
            axes.barh(row, color=colour, label=label, **box)
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set_xlim(-0.55, cells.shape[1] - 0.45)
        axes.set_yticks(range(len(table)), names)
        axes.set_xticks(range(cells.shape[1]), [str(name) for name in table.columns])
        axes.tick_params(length=0)
        axes.set_xlabel(period)
        axes.set_ylabel(clinic)
        _legend(axes, columns=2)
        strip_frame(axes, keep=[])
        fit_fonts(figure)
    return axes


def plot_lines(
    table: Any,
    *,
    x: str,
    y: str,
    by: str | None = None,
    low: str | None = None,
    high: str | None = None,
    labels: Sequence[str] = ("", ""),
    line: float | None = None,
    share: bool = False,
) -> Axes:
    """Draw a number against a setting, such as power against size.

    Args:
        table: one row a point.
        x: the setting.
        y: the number.
        by: a column whose values are lines of their own.
        low: lower limit of the number.
        high: upper limit of it.
        labels: titles of the two axes.
        line: a level to compare with, such as a power of 0.8.
        share: the number is a share and reads as a percentage.

    Returns:
        The axes.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> plot_lines(pd.DataFrame({"n": [10, 20], "power": [0.4, 0.7]}), x="n", y="power",
        ...     labels=("Patients", "Power"), share=True).get_ylabel()
        'Power'
    """
    rows = as_pandas(table)
    require_columns(rows, [c for c in (x, y, by, low, high) if c is not None], what="the table")
    groups = [("", rows)] if by is None else list(rows.groupby(by, sort=False, observed=True))
    names = [str(name) for name, _ in groups]
    with house_style([*names, *labels]):
        figure = new_figure(3.3)
        axes = place_axes(figure, left=0.9, right=0.3, top=0.4, bottom=0.62)
        if line is not None:
            axes.axhline(line, color=GREY, linewidth=0.8, linestyle=_DASHED)
        for k, (name, part) in enumerate(groups):
            colour, dashes = COLOURS[k % len(COLOURS)], DASHES[k % len(DASHES)]
            if low is not None and high is not None:
                limits = part[low].astype(float), part[high].astype(float)
                axes.fill_between(part[x], *limits, color=colour, alpha=0.14, linewidth=0)
            axes.plot(part[x], part[y], color=colour, linestyle=dashes, label=str(name))
        if share:
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set_xlabel(labels[0] or x)
        axes.set_ylabel(labels[1] or y)
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        if by is not None:
            _legend(axes, columns=min(len(groups), 4))
        strip_frame(axes)
        fit_fonts(figure)
    return axes


# --- parts ----------------------------------------------------------------------------------------


def _told(row: pd.Series, effect: Effect) -> str:
    if pd.isna(row["estimate"]):
        return "withheld" if effect.withheld else "suppressed"
    return format_effect(row) + (" *" if effect.withheld else "")


def _draw_effect(axes: Axes, y: float, limits: Any, *, held: bool) -> None:
    estimate, low, high = limits
    if not np.isfinite(estimate):
        return
    # A limit that is infinite is told beside the line, which ends at the estimate.
    low, high = (limit if np.isfinite(limit) else estimate for limit in (low, high))
    colour = GREY if held else COLOURS[0]
    axes.hlines(y, low, high, color=colour, linewidth=1.8, linestyle=DASHES[2] if held else "solid")
    axes.plot(estimate, y, "s", color=colour, mfc="white" if held else colour, markersize=5.5)


def _beside(axes: Axes, texts: Sequence[str]) -> None:
    for y, text in enumerate(texts):
        where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
        axes.annotate(text, (1.03, y), fontsize=SMALL, annotation_clip=False, **where)


def _legend(axes: Axes, *, columns: int) -> None:
    look: dict[str, Any] = {"frameon": False, "fontsize": SMALL, "handlelength": 1.8}
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    axes.legend(ncols=columns, **look, **place)


def _before(times: pd.Series, start: Any) -> Any:
    """Return the place half-way between the last period before the start and the start."""
    earlier = times[times < start]
    return start if earlier.empty else earlier.max() + (start - earlier.max()) / 2


def _room(values: np.ndarray) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    # From 0, as a change that is small beside the level should look small, unless 0 is far away.
    bottom = 0.0 if 0 <= low < 0.6 * high else low - 0.08 * (high - low or 1.0)
    return bottom, high + 0.08 * (high - bottom or 1.0)
