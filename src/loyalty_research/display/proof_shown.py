"""How often the methods held the truth of drawn worlds: in a table, a sentence and a figure."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from loyalty_research.display.fonts import fit_fonts
from loyalty_research.display.theme import (
    COLOURS,
    FAINT,
    GREY,
    SMALL,
    house_style,
    new_figure,
    place_axes,
    strip_frame,
    text_width,
    wrap,
)
from loyalty_research.display.tidy import as_pandas, require_columns
from loyalty_research.display.worded import WordedTable
from loyalty_research.display.words import (
    MISSING,
    format_count,
    format_number,
    format_percent,
    is_missing,
    plural,
)

_NEEDED = ("design", "method", "n_runs", "nominal", "coverage", "coverage_error", "verdict")
_ROW = 0.23


def method_proof_table(proof: Any) -> WordedTable:
    """Word how often each method held the truth, and what else is wrong with it.

    Args:
        proof: one row a method and world, as `read_proof` returns it.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> rows = pd.DataFrame({"design": ["clusters"], "method": ["naive"], "n_runs": [1000],
        ...     "nominal": 0.95, "coverage": [0.734], "coverage_error": [0.0069], "bias_in_errors":
        ...     [0.01], "error_ratio": [0.55], "published": [0.734], "meant_to_hold": [False],
        ...     "verdict": ["covers too seldom"]})
        >>> method_proof_table(rows).words.iloc[0, 2:5].tolist()
        ['73.4 %', '73.4 %', '0.01']
    """
    rows = _checked(proof)
    words = {
        "World": rows["design"].tolist(),
        "Method": rows["method"].tolist(),
        "Held the truth": [format_percent(share) for share in rows["coverage"]],
        "Found elsewhere": [
            MISSING if is_missing(share) else format_percent(share) for share in rows["published"]
        ],
        "Bias in standard errors": [format_number(v, digits=2) for v in rows["bias_in_errors"]],
        "Stated over real error": [format_number(v, digits=2) for v in rows["error_ratio"]],
        "Runs": [format_count(n) for n in rows["n_runs"]],
        "Verdict": rows["verdict"].tolist(),
    }
    return WordedTable(rows, pd.DataFrame(words, dtype=object))


def method_proof_sentence(proof: Any) -> str:
    """Return how many of the pairs expected to hold do, and how many of the others fail.

    Args:
        proof: as `read_proof` returns it.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> rows = pd.DataFrame({"design": ["a", "a"], "method": ["m", "n"], "n_runs": 1000,
        ...     "nominal": 0.95, "coverage": [0.95, 0.7], "coverage_error": 0.007,
        ...     "bias_in_errors": 0.0, "error_ratio": 1.0, "published": 0.9,
        ...     "meant_to_hold": [True, False], "verdict": ["holds", "covers too seldom"]})
        >>> method_proof_sentence(rows)
        '1 of 1 pair of method and world expected to hold did; of 1 not expected to, 1 did not.'
    """
    rows = _checked(proof)
    held, meant = rows["verdict"].eq("holds"), rows["meant_to_hold"].astype(bool)
    expected, others = int(meant.sum()), int((~meant).sum())
    kept, failed = int((held & meant).sum()), int((~held & ~meant).sum())
    first = f"{kept} of {plural(expected, 'pair')} of method and world expected to hold did"
    return f"{first}; of {others} not expected to, {failed} did not."


def plot_proof(proof: Any) -> Axes:
    """Draw how often each method held the truth, with the range that chance allows.

    Args:
        proof: as `read_proof` returns it.

    Returns:
        The axes.

    Raises:
        UsageError: a column is missing.

    Examples:
        >>> rows = pd.DataFrame({"design": ["a"], "method": ["m"], "n_runs": 1000, "nominal": 0.95,
        ...     "coverage": [0.95], "coverage_error": 0.007, "bias_in_errors": 0.0,
        ...     "error_ratio": 1.0, "published": 0.9, "meant_to_hold": True, "verdict": "holds"})
        >>> plot_proof(rows).get_yticklabels()[0].get_text()
        'a: m'
    """
    rows = _checked(proof).dropna(subset=["coverage"]).reset_index(drop=True)
    names = [
        wrap(f"{design}: {method}", inches=3.6)
        for design, method in zip(rows["design"], rows["method"], strict=True)
    ]
    with house_style(names):
        lines = sum(name.count("\n") + 1 for name in names)
        figure = new_figure(max(_ROW * lines, 1.0) + 1.0)
        left = text_width(names, size=SMALL) + 0.4
        axes = place_axes(figure, left=left, right=0.4, top=0.15, bottom=0.6)
        nominal, error = float(rows["nominal"].iloc[0]), float(rows["coverage_error"].max())
        axes.axvspan(nominal - 3 * error, nominal + 3 * error, color=FAINT, alpha=0.6, linewidth=0)
        axes.axvline(nominal, color=GREY, linewidth=0.8)
        for holds, meant, colour in (
            (True, True, COLOURS[0]),
            (False, True, COLOURS[1]),
            (True, False, GREY),
            (False, False, GREY),
        ):
            of = rows["verdict"].eq("holds").eq(holds) & rows["meant_to_hold"].astype(bool).eq(
                meant
            )
            part = rows[of]
            face = colour if holds else "white"
            look: dict[str, Any] = {"color": colour, "mfc": face, "markersize": 5}
            axes.plot(part["coverage"].astype(float), part.index, "o", **look)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), names, fontsize=SMALL)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(min(0.5, float(rows["coverage"].min()) - 0.02), 1.01)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set_xlabel("Intervals of 95 % that held the truth (shaded: within chance)")
        axes.grid(axis="y", color=FAINT, linewidth=0.4)
        axes.set_axisbelow(True)
        strip_frame(axes, keep=["bottom"])
        fit_fonts(figure)
    return axes


def _checked(proof: Any) -> pd.DataFrame:
    rows = as_pandas(proof)
    more = ("bias_in_errors", "error_ratio", "published", "meant_to_hold")
    require_columns(rows, [*_NEEDED, *more], what="the proof")
    return rows
