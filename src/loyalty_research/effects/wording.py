"""An effect in words: one plain sentence, and what a notebook shows of it."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from loyalty_research.effects.checks import passed_or_missing

if TYPE_CHECKING:
    from loyalty_research.effects.effect import Effect

SHARES = ("risk difference", "share", "probability", "difference in shares")
"""Scales that read as percentage points."""

NO_LIMIT = "no limit"
"""What stands for a limit that is infinite."""

INFINITE = "infinite"
"""What stands for a ratio to none."""

RATIOS = ("risk ratio", "rate ratio", "odds ratio", "hazard ratio", "ratio of means")


def effect_sentence(effect: Effect, *, audience: str) -> str:
    """Return the headline in one plain sentence.

    Args:
        effect: The effect.
        audience: "internal" labels a withheld estimate, "publish" leaves its numbers out.

    Returns:
        The sentence.

    Examples:
        >>> from loyalty_research.effects import risk_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "came": [0, 1, 1, 1]})
        >>> effect_sentence(risk_difference(data, arm="arm", outcome="came"), audience="publish")
        'Risk difference in came: withheld, because a check failed (assignment).'
    """
    facts, head = effect.facts, effect.headline
    what = f"{facts.measure[:1].upper()}{facts.measure[1:]} in {facts.outcome}"
    if effect.withheld and audience == "publish":
        return f"{what}: withheld, because a check failed ({', '.join(effect.failed)})."
    # Some results are no number: a design may say its headline in its own words.
    said = facts.more.get("in_words") or estimate_words(head, facts.unit)
    start = f"{what}, {facts.arms[1]} against {facts.arms[0]}: {said}"
    parts = [start, levels_words(effect), _size(effect)]
    sentence = "; ".join(part for part in parts if part) + "."
    if broken := informing_failures(effect):
        are = "a check" if len(broken) == 1 else "checks"
        sentence = f"{sentence[:-1]}; {are} failed: {', '.join(broken)}."
    if not facts.causal:
        sentence += " This is an association, not an effect."
    if facts.overrides:
        sentence += f" In spite of {overrides_words(effect)}."
    if effect.withheld:
        sentence += f" Not to be relied on: a check failed ({', '.join(effect.failed)})."
    return sentence


def informing_failures(effect: Effect) -> list[str]:
    """Return the names of checks that failed and withhold nothing, overridden ones left out.

    Args:
        effect: The effect.

    Returns:
        The names, each once, in the order of the checks.

    Examples:
        >>> from loyalty_research.effects import interrupted_time_series
        >>> table = pd.DataFrame({"month": range(24), "wait": [40, 20, 41, 21] * 6})
        >>> informing_failures(interrupted_time_series(table, outcome="wait", time="month",
        ...     start=12, season=12, harmonics=1))
        ['Ljung-Box']
    """
    checks = effect.checks
    failed = passed_or_missing(checks).eq(False).fillna(False).astype(bool) & ~checks["gating"]
    names = dict.fromkeys(checks.loc[failed, "check"])
    return [name for name in names if name not in effect.facts.overrides]


def overrides_words(effect: Effect) -> str:
    """Return which refusals and failed checks were overridden, each with its reason.

    Args:
        effect: The effect.

    Returns:
        The words, nothing where none was.

    Examples:
        >>> from loyalty_research.effects import risk_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "came": [0, 1, 1, 1]})
        >>> found = risk_difference(data, arm="arm", outcome="came")
        >>> overrides_words(found.override("assignment", reason="a lottery decided, see protocol"))
        'assignment (a lottery decided, see protocol)'
    """
    return "; ".join(f"{name} ({reason})" for name, reason in effect.facts.overrides.items())


def effect_html(effect: Effect) -> str:
    """Return what a notebook shows: the sentence, the estimates, the checks, the estimand.

    Args:
        effect: The effect.

    Returns:
        HTML; every text of the data is escaped.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> "<table" in effect_html(mean_difference(data, arm="arm", outcome="score"))
        True
    """
    numbers = effect.estimates.map(_cell)
    marks = {True: "passed", False: "failed", None: "for information"}
    checks = effect.checks.assign(
        passed=[marks[None if pd.isna(one) else bool(one)] for one in effect.checks["passed"]],
        gating=effect.checks["gating"].map({True: "withholds", False: ""}),
    ).map(_cell)
    facts = effect.facts
    told = [("Estimand", facts.estimand), ("Design", facts.design), ("Variance", facts.variance)]
    told += [(f"Overridden: {name}", reason) for name, reason in facts.overrides.items()]
    lines = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in told)
    sentence = html.escape(effect_sentence(effect, audience="internal"))
    return (
        f"<p><strong>{sentence}</strong></p>{numbers.to_html(index=False, border=0)}"
        f"<p>Checks before the estimate</p>{checks.to_html(index=False, border=0)}<dl>{lines}</dl>"
    )


def estimate_words(head: Mapping[str, Any], unit: str = "") -> str:
    """Return one estimate with its interval in words.

    Args:
        head: A row of estimates, by column.
        unit: Unit of the outcome; empty where it has none.

    Returns:
        The words, with as many decimals as the interval is wide.

    Examples:
        >>> row = {"estimate": 0.108, "conf_low": 0.084, "conf_high": 0.132, "conf_level": 0.95}
        >>> estimate_words(row | {"scale": "risk difference"})
        '10.8 percentage points (95 % interval 8.4 to 13.2)'
    """
    scale = str(head["scale"])
    if scale in SHARES:
        numbers = [100 * float(head[name]) for name in ("estimate", "conf_low", "conf_high")]
        suffix, texts = " percentage points", _alike(numbers)
    else:
        numbers = [float(head[name]) for name in ("estimate", "conf_low", "conf_high")]
        suffix = "" if scale in RATIOS or not unit else f" {unit}"
        texts = [f"{number:.2f}" for number in numbers] if scale in RATIOS else _alike(numbers)
    if math.isnan(numbers[0]):
        return "not known"
    # A minus sign, as tables and figures have it, and not a hyphen.
    texts = [text.replace("-", "−") for text in texts]
    level = f"{100 * float(head['conf_level']):g} % interval"
    inside = "no interval"
    if not math.isnan(numbers[1]):
        inside = f"{level} {limits_words(numbers[1], numbers[2], texts[1], texts[2])}"
    estimate = f"{texts[0]}{suffix}" if math.isfinite(numbers[0]) else INFINITE
    return f"{estimate} ({inside})"


def limits_words(low: float, high: float, low_text: str, high_text: str) -> str:
    """Return an interval in words, which has a limit on either side or not.

    Args:
        low: The lower limit.
        high: The upper limit.
        low_text: The lower limit as it reads.
        high_text: The upper limit as it reads.

    Returns:
        The words.

    Examples:
        >>> limits_words(1.0, 2.0, "1.0", "2.0"), limits_words(1.0, math.inf, "1.0", "inf")
        ('1.0 to 2.0', '1.0 to no limit')
        >>> limits_words(-math.inf, math.inf, "", "")
        'without limits'
    """
    if math.isinf(low) and math.isinf(high):
        return "without limits"
    ends = [NO_LIMIT if math.isinf(x) else t for x, t in ((low, low_text), (high, high_text))]
    return " to ".join(ends)


def _alike(numbers: list[float]) -> list[str]:
    """Return numbers with as many decimals as show the interval's width to two digits or so."""
    finite = [abs(number) for number in numbers if math.isfinite(number)]
    known = [number for number in numbers if math.isfinite(number)]
    spread = max(finite) - min(known) if finite else 0.0
    if not math.isfinite(spread) or spread <= 0:
        spread = max(finite, default=1.0) or 1.0
    digits = min(max(2 - math.ceil(math.log10(spread)), 0), 6)
    digits = max(digits, 1) if spread < 100 else digits
    return [f"{number:.{digits}f}" for number in numbers]


def levels_words(effect: Effect) -> str:
    """Return the outcome's level in both arms in words, or nothing where they are not known.

    Args:
        effect: The effect.

    Returns:
        The words, the programme's level first.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> levels_words(mean_difference(data, arm="arm", outcome="score"))
        'levels 4.5 and 1.5'
    """
    facts = effect.facts
    if set(facts.levels) != {0, 1}:
        return ""
    treated, control = facts.levels[1], facts.levels[0]
    if not (math.isfinite(treated) and math.isfinite(control)):
        return ""
    if facts.n_events is not None and max(abs(treated), abs(control)) <= 1 and not facts.unit:
        return f"levels {100 * treated:.1f} % and {100 * control:.1f} %"
    unit = f" {facts.unit}" if facts.unit else ""
    texts = [f"{level:.3g}".replace("-", "−") for level in (treated, control)]
    return f"levels {texts[0]} and {texts[1]}{unit}"


def _size(effect: Effect) -> str:
    n = effect.facts.n
    words = f"{n:,} {effect.facts.more.get('rows_are', 'patients')}"
    clusters = effect.facts.n_clusters
    return words if clusters is None else f"{words} in {clusters:,} clusters"


def _cell(value: Any) -> str:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else ("∞" if value > 0 else "−∞")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
