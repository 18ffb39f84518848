"""What became of the patients over time: each cause an area, all of them together everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from loyalty_research.display.curve_lines import MOST_GROUPS
from loyalty_research.display.figures_retention import nice_ticks
from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.lookup import check_curve
from loyalty_research.display.published_steps import incidence_at, publish_incidence
from loyalty_research.display.risk_table import ROW_HEIGHT
from loyalty_research.display.theme import (
    COLOURS,
    FAINT,
    GREY,
    INK,
    NORMAL,
    SMALL,
    WIDTH,
    house_style,
    new_figure,
    place_axes,
    spread,
    strip_frame,
    text_width,
    wrap,
)
from loyalty_research.display.tidy import as_list, split_groups
from loyalty_research.display.words import format_count
from loyalty_research.errors import UsageError

_PANEL = 2.1
_NAME_WIDTH = 1.35


def plot_cumulative_incidence(
    curve: Any,
    *,
    by: str | Sequence[str] | None = None,
    times: Sequence[int] | None = None,
    labels: Mapping[Any, str] | None = None,
    audience: str = "internal",
    exact_at: Sequence[int] = (),
    unit: str = "days",
    origin: str = "first visit",
    kept: str = "Still coming",
    min_at_risk: int = 10,
    min_share: float = 0.1,
) -> Axes:
    """Draw what became of all patients by each day, stacked to 100 %: each cause an area.

    Args:
        curve: one row per group, cause and distinct time, as `cumulative_incidence` returns it.
        by: the grouping columns, without the cause; each group has a panel, at most 12.
        times: the ticks, and the times of the numbers at risk; chosen when not given.
        labels: names for readers by cause and by group.
        audience: "publish" thins each cause's curve and hides small counts.
        exact_at: days that tables and sentences state.
        unit: the curve's unit of time, plural.
        origin: what the time is counted from.
        kept: the name of the area of those to whom nothing happened.
        min_at_risk: a panel stops below so many patients.
        min_share: a panel stops below this share of its largest number at risk.

    Returns:
        The axes of the first panel.

    Raises:
        UsageError: a column is missing, a time repeats, or there are more than 12 groups.
        SetupError: no installed font draws a name.

    Examples:
        >>> curve = pd.DataFrame({"cause": "died", "time": [0, 5], "n_at_risk": 60,
        ...     "n_events": [0, 30], "n_censored": [0, 30], "estimate": [0, 0.5],
        ...     "conf_low": 0.4, "conf_high": 0.6, "conf_level": 0.95})
        >>> axes = plot_cumulative_incidence(curve)
        >>> [area.get_label() for area in axes.collections]
        ['Died', 'Still coming']
    """
    groups = as_list(by)
    exact = check_curve(curve, by=[*groups, "cause"])
    limits = {"min_at_risk": min_at_risk, "min_share": min_share}
    drawn = _while_enough(exact, groups, **limits)  # type: ignore[arg-type]
    shown = publish_incidence(exact, by=groups, audience=audience, exact_at=exact_at)
    shown = _up_to(shown, drawn, groups)
    panels = list(split_groups(shown, groups, labels=labels))
    if len(panels) > MOST_GROUPS:
        raise UsageError(f"{len(panels)} panels are too many; join groups until {MOST_GROUPS} stay")
    end = float(drawn["time"].max()) if len(drawn) else 1.0
    ticks = list(times) if times is not None else nice_ticks(end, unit=unit)
    at = incidence_at(exact, times=ticks, by=groups, audience=audience, exact_at=exact_at)
    numbers = [rows.drop_duplicates("time") for _, rows in split_groups(at, groups)]
    # The largest cause lies at the bottom, where its height can be read.
    sizes = exact.groupby("cause", observed=True)["n_events"].sum().sort_values(ascending=False)
    names = {cause: _name(cause, labels) for cause in sizes.index}
    with house_style([*names.values(), *(name for name, _ in panels), kept, origin, unit]):
        places = _frame([name for name, _ in panels], names, kept, audience)
        for axes, (_, rows), counts in zip(places, panels, numbers, strict=True):
            _draw(axes, rows, names, kept)
            _scale(axes, ticks, end=max(end, 1.0))
            _at_risk(axes, ticks, counts["n_at_risk"])
        places[-1].set_xlabel(f"{unit[:1].upper()}{unit[1:]} since {origin}", labelpad=20)
        fit_fonts(places[0].figure)  # type: ignore[arg-type]
    return places[0]


def _while_enough(
    curve: pd.DataFrame, groups: list[str], *, min_at_risk: int, min_share: float
) -> pd.DataFrame:
    at_risk = curve["n_at_risk"].astype(float)
    keys = [curve[name] for name in groups] or [pd.Series(0, index=curve.index)]
    most = at_risk.groupby(keys, dropna=False).transform("max")
    return curve[at_risk >= np.maximum(min_at_risk, min_share * most)].reset_index(drop=True)


def _up_to(shown: pd.DataFrame, drawn: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """Return what may be shown, as far as enough patients of its group remain."""
    if not groups:
        return shown[shown["time"] <= drawn["time"].max()]
    ends = drawn.groupby(groups, dropna=False, observed=True)["time"].max().rename("__end")
    joined = shown.merge(ends.reset_index(), on=groups, how="left")
    return joined[joined["time"] <= joined["__end"]].drop(columns="__end")


def _name(cause: Any, labels: Mapping[Any, str] | None) -> str:
    text = str((labels or {}).get(cause, cause)).replace("_", " ")
    return text[:1].upper() + text[1:]


def _frame(panels: list[str], names: dict[Any, str], kept: str, audience: str) -> list[Axes]:
    wide = text_width([wrap(n, inches=_NAME_WIDTH) for n in (*names.values(), kept)], size=NORMAL)
    note = "Steps come late where few patients make them; counts are rounded to 5."
    foot, head = (0.55 if audience == "publish" else 0.35), (0.28 if any(panels) else 0.12)
    tall = _PANEL + head + ROW_HEIGHT + 0.42
    if len(panels) == 1:
        tall += 0.7
    figure = new_figure(tall * max(1, len(panels)) + foot - 0.12)
    height = figure.get_figheight()
    placed = []
    for i, panel in enumerate(panels or [""]):
        bottom = height - (i + 1) * tall + ROW_HEIGHT + 0.42
        axes = place_axes(figure, left=0.85, right=wide + 0.35, top=i * tall + head, bottom=bottom)
        axes.set_title(panel, loc="left", fontsize=NORMAL, weight="bold", color=INK)
        placed.append(axes)
    if audience == "publish":
        style: dict[str, Any] = {"color": GREY, "fontsize": SMALL - 0.5}
        figure.text(0.12 / WIDTH, 0.06 / height, note, va="bottom", **style)
    return placed


def _draw(axes: Axes, rows: pd.DataFrame, names: dict[Any, str], kept: str) -> None:
    """Stack the causes from the bottom; what is left above them still comes."""
    wide = rows.pivot_table(
        index="time", columns="cause", values="estimate", aggfunc="first", observed=True
    )
    # A step that may not be published comes late: the last known one holds until then.
    wide = wide.reindex(columns=[c for c in names if c in wide.columns]).ffill().fillna(0.0)
    times, below = wide.index.to_numpy(dtype=float), np.zeros(len(wide))
    areas = []
    for i, (cause, name) in enumerate((c, names[c]) for c in wide.columns):
        above = below + wide[cause].to_numpy()
        areas.append((name, COLOURS[(i + 1) % len(COLOURS)], below, above))
        below = above
    areas.append((kept, COLOURS[0], below, np.ones(len(wide))))
    for name, colour, low, high in areas:
        style: dict[str, Any] = {"color": colour, "alpha": 0.55, "linewidth": 0}
        axes.fill_between(times, low, high, step="post", label=name, **style)
        axes.plot(times, high, drawstyle="steps-post", color="white", linewidth=0.8)
    if len(times):
        _name_areas(axes, [(n, c, low[-1], high[-1]) for n, c, low, high in areas])


def _name_areas(axes: Axes, ends: list[tuple[str, str, float, float]]) -> None:
    inches = axes.get_position().height * axes.figure.get_size_inches()[1]  # type: ignore[union-attr]
    texts = [wrap(name, inches=_NAME_WIDTH) for name, *_ in ends]
    middles = [(low + high) / 2 for *_, low, high in ends]
    sizes = [0.165 * (1 + text.count("\n")) / inches for text in texts]
    width = axes.get_position().width * WIDTH
    for text, (_, colour, *_), y, place in zip(
        texts, ends, middles, spread(middles, sizes=sizes, low=0.0, high=1.0), strict=True
    ):
        axes.annotate(
            text,
            xy=(1, y),
            xytext=(1 + 0.2 / width, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=NORMAL,
            linespacing=1.0,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 2.0, "relpos": (0, 0.5)},
        )


def _scale(axes: Axes, ticks: Sequence[int], *, end: float) -> None:
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1)
    axes.set_xticks([t for t in ticks if t <= end], [f"{t:,}" for t in ticks if t <= end])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel("Patients")
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    strip_frame(axes)


def _at_risk(axes: Axes, ticks: Sequence[int], counts: pd.Series) -> None:
    """Write the numbers at risk under the ticks' own numbers."""
    place: dict[str, Any] = {"fontsize": SMALL, "va": "center", "annotation_clip": False}
    height = axes.get_position().height * axes.figure.get_size_inches()[1]  # type: ignore[union-attr]
    y = -0.34 / height
    width = axes.get_position().width * WIDTH
    head: dict[str, Any] = {"xycoords": "axes fraction", "ha": "left"}
    axes.annotate("At risk", (-0.75 / width, y), **head, **place)
    for tick, n in zip(ticks, counts, strict=True):
        if tick <= axes.get_xlim()[1]:
            under: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "ha": "center"}
            axes.annotate(format_count(n), (tick, y), gid="n_at_risk", **under, **place)
