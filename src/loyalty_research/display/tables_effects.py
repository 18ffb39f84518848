"""Effects worded for readers: one design beside another, what each says, which is withheld."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from loyalty_research.display.disclosure import round_p, suppress_small_counts
from loyalty_research.display.published_steps import (
    publish_estimates,
    round_values,
    shown_exactly,
)
from loyalty_research.display.tables_results import level_of, ratio_digits, term_label
from loyalty_research.display.tidy import as_pandas, require_audience, require_columns
from loyalty_research.display.worded import SUPPRESSED, WordedTable
from loyalty_research.display.words import (
    MISSING,
    format_count,
    format_interval,
    format_level,
    format_number,
    format_p,
    format_percent,
    is_missing,
)
from loyalty_research.effects.effect import ESTIMATES, Effect
from loyalty_research.effects.published import few_without, told_text
from loyalty_research.effects.wording import RATIOS, SHARES, overrides_words

_LIMITS = ("estimate", "conf_low", "conf_high")
_WITHHELD = "withheld"
# Columns of a design that say what a row is of.
_TIMES = ("event_time", "exposure_time", "period", "cohort", "time", "day", "level", "dose")


def effect_table(effect: Effect, *, audience: str = "internal") -> WordedTable:
    """Word all estimates of one effect.

    Args:
        effect: what a design returned.
        audience: "publish" leaves out the numbers of an effect that a check withholds, and of rows
            behind which seven patients or events or fewer stand.

    Returns:
        One row an estimate.

    Raises:
        UsageError: an unknown audience.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "sbp": [150.0, 148.0, 141.0, 139.0]})
        >>> found = mean_difference(data, arm="arm", outcome="sbp", unit="mmHg", randomised=True)
        >>> effect_table(found).words.iloc[0].tolist()[:2]
        ['Mean difference', '−9.0 (−15.1 to −2.9)']
    """
    numbers = published_effect(effect, audience=audience)
    exact = shown_exactly(effect.estimates, numbers)
    gone = _gone(effect, audience)
    words = {
        "Estimate": [term_label(term) for term in numbers["term"]],
        f"Value ({level_of(numbers)} interval)": [
            gone if is_missing(row["estimate"]) else format_effect(row)
            for _, row in exact.iterrows()
        ],
        "P value": [format_p(p) for p in exact["p_value"]],
        "Measured as": numbers["scale"].tolist(),
        "Method": numbers["method"].tolist(),
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def effects_table(effects: Mapping[str, Effect], *, audience: str = "internal") -> WordedTable:
    """Word the headlines of several effects, one design beside the other.

    Args:
        effects: name for readers -> what its design returned.
        audience: "publish" leaves out the numbers of an effect that a check withholds.

    Returns:
        One row an effect: who is compared, the levels of both arms, the effect, how many patients,
        periods or units were used, whether the checks passed.

    Raises:
        UsageError: an unknown audience.

    Examples:
        >>> from loyalty_research.effects import risk_difference
        >>> data = pd.DataFrame({"arm": [0] * 50 + [1] * 50, "came": [0, 1] * 25 + [1] * 40 + [0]
        ...     * 10})
        >>> found = risk_difference(data, arm="arm", outcome="came")
        >>> effects_table({"As they come": found}, audience="publish").words.iloc[0].tolist()
        ['As they come', 'withheld', 'withheld', 'withheld', '100 patients', 'failed: assignment']
    """
    rows = [headline_row(name, found, audience=audience) for name, found in effects.items()]
    numbers = pd.DataFrame(rows)
    numbers = numbers.astype({"n": "Int64", "n_events": "Int64"})
    levels = numbers["conf_level"].dropna().unique()
    level = format_level(levels[0]) if len(levels) == 1 else "confidence"
    gone = [_gone(found, audience) for found in effects.values()]
    told = [headline_row(name, found) for name, found in effects.items()]
    exact = shown_exactly(pd.DataFrame(told), numbers, also=("level_0", "level_1"))
    words = {
        "Compared": numbers["design"].tolist(),
        "With": _levels(exact, "level_1", gone),
        "Without": _levels(exact, "level_0", gone),
        f"Effect ({level} interval)": [
            nothing if is_missing(row["estimate"]) else format_effect(row)
            for (_, row), nothing in zip(exact.iterrows(), gone, strict=True)
        ],
        "Number": [
            f"{format_count(n)} {rows_are(found)}" if not is_missing(n) else SUPPRESSED
            for n, found in zip(numbers["n"], effects.values(), strict=True)
        ],
        "Checks": [_checked(found) for found in effects.values()],
    }
    return WordedTable(numbers, pd.DataFrame(words, dtype=object))


def headline_row(name: str, effect: Effect, *, audience: str = "internal") -> dict[str, Any]:
    """Return the headline of an effect as one row, as this audience may see it.

    Args:
        name: the design's name for readers.
        effect: what the design returned.
        audience: "internal" or "publish".

    Returns:
        `design`, `estimand`, the levels by arm, the fixed columns of the estimate, `withheld`,
        `failed_checks`, `overrides`.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> headline_row("Raw", mean_difference(data, arm="arm", outcome="score"))["level_1"]
        4.5
    """
    row = published_effect(effect, audience=audience).iloc[0]
    head = {str(column): value for column, value in row.items()}
    hidden = is_missing(head["estimate"])
    levels = {f"level_{k}": effect.facts.levels.get(k, float("nan")) for k in (0, 1)}
    if audience == "publish":
        rounded = round_values(pd.Series(levels, dtype=float))
        levels = {k: float("nan") if hidden else float(rounded[k]) for k in levels}
    return {
        "design": name,
        "estimand": told_text(effect.facts.estimand, audience=audience),
        **levels,
        **head,
        "withheld": effect.withheld,
        "failed_checks": ", ".join(effect.failed),
        "overrides": "; ".join(f"{k}: {v}" for k, v in effect.facts.overrides.items()),
    }


def published_effect(effect: Effect, *, audience: str) -> pd.DataFrame:
    """Return an effect's estimates as this audience may see them.

    Args:
        effect: what a design returned.
        audience: "publish" empties the numbers of an effect that a check withholds, those with
            seven events or fewer or as many without, with the design's own results such as bands;
            it rounds counts to 5 and values to three decimals, or to the next one where three would
            read otherwise than the exact value does in a table.

    Returns:
        The estimates.

    Raises:
        UsageError: an unknown audience.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> found = mean_difference(data, arm="arm", outcome="score")
        >>> bool(published_effect(found, audience="publish")["estimate"].isna().all())
        True
    """
    if require_audience(audience) == "internal":
        return effect.estimates
    shown = publish_estimates(effect.estimates, audience=audience)
    shown = shown.assign(**_own_numbers(effect.estimates, shown))
    few = few_without(effect)
    if effect.withheld or few:
        # A band, or a p value of several tests, tells the estimate as well as its limits do.
        empty = [*_LIMITS, "std_error", "p_value", *_own_columns(effect.estimates)]
        shown = shown.assign(**dict.fromkeys(empty, float("nan")))
    if few and not effect.withheld:
        shown = shown.assign(n_events=pd.array([pd.NA] * len(shown), dtype="Int64"))
    return shown


def _own_columns(estimates: pd.DataFrame) -> list[str]:
    """Return the design's own columns that hold results, not the times or groups they are of."""
    own = [str(name) for name in estimates if name not in (*ESTIMATES, *_TIMES)]
    return [name for name in own if pd.api.types.is_float_dtype(estimates[name])]


def _own_numbers(estimates: pd.DataFrame, shown: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the design's own results rounded like the estimates they stand beside."""
    hidden = (estimates["estimate"].notna() & shown["estimate"].isna()).to_numpy()
    own = {name: shown[name].astype(float) for name in _own_columns(estimates)}
    rounded = {
        name: round_p(values) if name.startswith("p_") else round_values(values)
        for name, values in own.items()
    }
    # Degrees of freedom are often the number of patients less a few.
    gone = {name: hidden | (name == "df") for name in own}
    return {name: values.mask(gone[name]) for name, values in rounded.items()}


def rows_are(effect: Effect) -> str:
    """Return what the rows of an effect are, in the plural.

    Args:
        effect: what a design returned.

    Returns:
        "patients" unless the design says otherwise, such as "periods" or "patient-trials".

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> rows_are(mean_difference(data, arm="arm", outcome="score"))
        'patients'
    """
    return str(effect.facts.more.get("rows_are", "patients"))


def effect_sentence(effect: Effect, *, audience: str = "internal") -> str:
    """Return the headline of an effect in one plain sentence, as this audience may read it.

    Args:
        effect: what a design returned.
        audience: "publish" leaves out the numbers of an effect that a check or a small count
            withholds, and rounds the number of patients to 5.

    Returns:
        The sentence.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> found = mean_difference(data, arm="arm", outcome="score", randomised=True)
        >>> effect_sentence(found, audience="publish")
        'Mean difference in score: withheld, because too few patients stand behind it.'
    """
    if require_audience(audience) == "internal" or effect.withheld:
        return effect.sentence(audience=audience)
    row = published_effect(effect, audience=audience).iloc[0]
    if is_missing(row["estimate"]):
        facts = effect.facts
        what = f"{facts.measure[:1].upper()}{facts.measure[1:]} in {facts.outcome}"
        return f"{what}: withheld, because too few patients stand behind it."
    exact, rounded = f"{effect.facts.n:,}", f"{int(row['n']):,}"
    return effect.sentence(audience=audience).replace(f"; {exact} ", f"; about {rounded} ")


def format_effect(row: Any) -> str:
    """Return an estimate with its interval in the words of its scale.

    Args:
        row: a row of estimates.

    Returns:
        Percentage points for differences of shares, two decimals for ratios, else as many as the
        interval's width asks for.

    Examples:
        >>> row = {"estimate": 0.108, "conf_low": 0.084, "conf_high": 0.132,
        ...     "scale": "risk difference"}
        >>> format_effect(row)
        '10.8 points (8.4 to 13.2)'
    """
    values = [float(row[name]) for name in _LIMITS]
    scale = str(row["scale"])
    if scale in SHARES:
        points = [100 * value for value in values]
        words = format_interval(*points, percent=False, digits=1)
        head, _, rest = words.partition(" (")
        return f"{head} points ({rest}" if rest else f"{head} points"
    if scale in RATIOS:
        return format_interval(*values, percent=False, digits=ratio_digits(*values[1:]))
    return format_interval(*values, percent=False, digits=_decimals(values))


def overlap_table(overlap: Any, *, audience: str = "internal") -> pd.DataFrame:
    """Return how many of each arm have which probability of the programme, as it may be shown.

    Args:
        overlap: `arm, low, high, n, share, weighted_share`, as `weights.overlap()` returns it.
        audience: "publish" hides pieces of 1 to 7 patients, and the next smallest where one of an
            arm is hidden alone; shares are then those of the rounded counts.

    Returns:
        The same columns.

    Raises:
        UsageError: a column is missing, or an unknown audience.

    Examples:
        >>> rows = pd.DataFrame({"arm": 0, "low": [0.0, 0.25, 0.5], "high": [0.25, 0.5, 0.75],
        ...     "n": [3, 9, 41], "share": [3 / 53, 9 / 53, 41 / 53], "weighted_share": 0.3})
        >>> overlap_table(rows, audience="publish")[["n", "share"]].round(2).values.tolist()
        [[<NA>, <NA>], [<NA>, <NA>], [40, 1.0]]
    """
    named = ["arm", "low", "high", "n", "share", "weighted_share"]
    rows = as_pandas(overlap)
    require_columns(rows, named, what="the overlap")
    if require_audience(audience) == "internal":
        return rows
    shown = suppress_small_counts(rows, counts=["n"], by="arm")
    # A share at full precision, times the patients of its arm, would tell the hidden count.
    total = shown.groupby("arm")["n"].transform("sum")
    weighted = shown["weighted_share"].astype("Float64").round(2).mask(shown["n"].isna())
    return shown.assign(share=shown["n"] / total, weighted_share=weighted)


def _decimals(values: list[float]) -> int:
    width = abs(values[2] - values[1]) if not any(map(is_missing, values)) else abs(values[0])
    return 0 if width >= 100 else 1 if width >= 2 else 2 if width >= 0.05 else 3


def _levels(numbers: pd.DataFrame, column: str, gone: list[str]) -> list[str]:
    cells = []
    for value, scale, nothing, hidden in zip(
        numbers[column], numbers["scale"], gone, numbers["estimate"].isna(), strict=True
    ):
        if is_missing(value):
            cells.append(nothing if hidden else MISSING)
        else:
            is_share = scale in SHARES or scale == "risk ratio"
            digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
            number = format_number(value, digits=digits)
            cells.append(format_percent(value) if is_share else number)
    return cells


def _checked(effect: Effect) -> str:
    failed = f"failed: {', '.join(effect.failed)}" if effect.failed else ""
    overridden = overrides_words(effect)
    words = [failed, f"overridden: {overridden}" if overridden else ""]
    return "; ".join(filter(None, words)) or "passed"


def _gone(effect: Effect, audience: str) -> str:
    """Return the word for a number that is not shown."""
    if audience == "internal":
        return MISSING
    return _WITHHELD if effect.withheld else SUPPRESSED
