"""The table under a retention curve: how many are at risk, have lapsed, were censored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from loyalty_research.display.curve_lines import CurveLine
from loyalty_research.display.theme import INK, SMALL, for_letters, text_width, wrap
from loyalty_research.display.tidy import split_groups
from loyalty_research.display.words import format_count

ROW_HEIGHT = 0.18
# More groups than this, and only the numbers at risk fit under the curve.
_MOST_GROUPS_IN_FULL = 4
_NAME_WIDTH = 1.4


@dataclass(frozen=True)
class RiskRow:
    """One row under the axis: a heading, or a group's counts at the ticks."""

    name: str
    column: str
    cells: tuple[str, ...]
    colour: str

    @property
    def is_heading(self) -> bool:
        """Whether the row only names the rows below it."""
        return not self.cells


def risk_rows(
    numbers: pd.DataFrame, *, by: Sequence[str], lines: Sequence[CurveLine], lost: str
) -> list[RiskRow]:
    """Return the rows of the table, in the order in which they are read.

    Args:
        numbers: a curve read off at the ticks, as `curve_at` returns it.
        by: the grouping columns.
        lines: the groups' names and colours, in the same order.
        lost: what the event is.

    Examples:
        >>> numbers = pd.DataFrame({"time": [0], "n_at_risk": [9], "n_events_so_far": [0],
        ...     "n_censored_so_far": [0]})
        >>> line = CurveLine("", numbers, False, False, "black", "solid")
        >>> [(row.name, row.cells) for row in risk_rows(numbers, by=[], lines=[line], lost="Left")]
        [('At risk', ('9',)), ('Left', ('0',)), ('Censored', ('0',))]
    """
    columns = {"n_at_risk": "At risk", "n_events_so_far": lost, "n_censored_so_far": "Censored"}
    parts = [rows for _, rows in split_groups(numbers, list(by))]
    if len(lines) > _MOST_GROUPS_IN_FULL:
        return [
            RiskRow("At risk", "n_at_risk", (), INK),
            *(_short_row(line, part) for line, part in zip(lines, parts, strict=True)),
        ]
    rows: list[RiskRow] = []
    for line, part in zip(lines, parts, strict=True):
        if line.name:
            rows.append(RiskRow(line.name, "", (), line.colour))
        rows += [RiskRow(columns[c], c, _cells(part[c]), INK) for c in columns]
    return rows


def _short_row(line: CurveLine, part: pd.DataFrame) -> RiskRow:
    name = wrap(line.name, inches=_NAME_WIDTH, size=SMALL, lines=1)
    return RiskRow(name, "n_at_risk", _cells(part["n_at_risk"]), line.colour)


def names_width(rows: Sequence[RiskRow]) -> float:
    """Return the inches left of the axis that the names of the rows need.

    Examples:
        >>> names_width([])
        0.0
    """
    if not rows:
        return 0.0
    half_a_number = text_width((row.cells[0] for row in rows if row.cells), size=SMALL) / 2
    # A heading has the whole width of the figure, because no number stands beside it.
    names = (row.name for row in rows if not row.is_heading)
    return text_width(names, size=SMALL) + half_a_number + 0.2


def draw_risk_table(axes: Axes, rows: Sequence[RiskRow], *, ticks: Sequence[float]) -> None:
    """Write the rows under each other, each number centred under its tick.

    Args:
        axes: as wide as the curve's, with the same limits; its frame is taken away.
        rows: from `risk_rows`.
        ticks: the times of the cells.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().add_subplot()
        >>> draw_risk_table(axes, [RiskRow("At risk", "n_at_risk", ("9",), "black")], ticks=[0])
        >>> [text.get_text() for text in axes.texts]
        ['At risk', '9']
    """
    axes.axis("off")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    figure = axes.figure
    left = blended_transform_factory(axes.transAxes, axes.transData) + ScaledTranslation(
        0, 0, figure.dpi_scale_trans
    )
    start = -names_width(rows) * 1.0
    for y, row in enumerate(rows):
        weight = "bold" if row.is_heading else "normal"
        axes.text(
            start / _inches(axes),
            y,
            row.name,
            transform=left,
            ha="left",
            va="center",
            color=for_letters(row.colour),
            weight=weight,
            fontsize=SMALL,
        )
        for x, cell in zip(ticks, row.cells, strict=bool(row.cells)):
            axes.text(x, y, cell, ha="center", va="center", fontsize=SMALL, gid=row.column)


def _inches(axes: Axes) -> float:
    return float(axes.get_position().width * axes.figure.get_size_inches()[0])  # type: ignore[union-attr]


def _cells(column: pd.Series) -> tuple[str, ...]:
    return tuple(format_count(value) for value in column)
