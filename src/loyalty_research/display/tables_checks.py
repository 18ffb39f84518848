"""The checks of an effect worded for readers, without what would tell an effect held back."""

from __future__ import annotations

import re

import pandas as pd

from loyalty_research.display.tables_cohort import checks_table, publish_checks
from loyalty_research.display.tidy import require_audience
from loyalty_research.display.worded import WordedTable
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.published import few_without, is_small

LEFT_OUT = "…"
FEW = "a withheld share"
# Their words or their numbers are the effect's own, though they gate or hold no number.
_OF_THE_EFFECT = {"quadrant": "withheld with the effect", "constant effect": None}
# What a check of these names tells in percent is a share of patients.
_OF_PATIENTS = re.compile(
    "completeness|follow_up|contamination|crossing|monotonicity|equipoise|overlap with .*"
)
# A number with its sign and its percent sign; no part of a name such as x1 or AR(1).
_NUMBER = re.compile(
    r"(?<!\w)(?<!\w\()[-+−]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?(?: %)?(?!\w)|\b(?:inf|nan)\b"
)
_PERCENT = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?) %")


def effect_checks_table(effect: Effect, *, audience: str = "internal") -> WordedTable:
    """Word the checks of an effect.

    Args:
        effect: what a design returned.
        audience: "publish" rounds the counts in messages to 5, withholds those from 1 to 7 and the
            shares that as few patients make, each in its place. Of an effect that is withheld it
            leaves out every number that a check found or held it against, those in the messages
            of checks that only inform, and whatever else tells the effect.

    Returns:
        One row a check.

    Raises:
        UsageError: an unknown audience.

    Examples:
        >>> from loyalty_research.effects import risk_difference
        >>> data = pd.DataFrame({"arm": [0] * 50 + [1] * 50, "came": [0, 1] * 25 + [1] * 40 + [0]
        ...     * 10})
        >>> found = risk_difference(data, arm="arm", outcome="came")
        >>> effect_checks_table(found, audience="publish").words.iloc[0].tolist()[:3]
        ['Assignment', 'FAILED', 'yes']
    """
    numbers = published_effect_checks(effect, audience=audience)
    words = checks_table(numbers).words
    if audience == "publish" and is_held_back(effect):
        words = words.drop(columns=["Found", "Limit"])
    return WordedTable(numbers, words)


def published_effect_checks(effect: Effect, *, audience: str) -> pd.DataFrame:
    """Return the checks of an effect as this audience may see them.

    Args:
        effect: what a design returned.
        audience: "internal" or "publish".

    Returns:
        The fixed columns of checks; published, with `suppressed`.

    Raises:
        UsageError: an unknown audience.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> found = mean_difference(data, arm="arm", outcome="score")
        >>> bool(published_effect_checks(found, audience="publish")["statistic"].isna().all())
        True
    """
    if require_audience(audience) == "internal":
        return effect.checks
    before = effect.checks["message"].astype(str)
    told = zip(effect.checks["check"], before, strict=True)
    messages = [_without_few(check, text, _fewest(effect)) for check, text in told]
    few = pd.Series([new != old for new, old in zip(messages, before, strict=True)], dtype=bool)
    shown = publish_checks(effect.checks.assign(message=messages), audience=audience)
    # A gap between two shares, of which one is of few, gives that one back.
    shown["suppressed"] += (few & shown["statistic"].notna()).astype(int)
    shown["statistic"] = shown["statistic"].mask(few)
    return _without_the_effect(shown) if is_held_back(effect) else shown


def is_held_back(effect: Effect) -> bool:
    """Say whether no published report may tell an effect.

    Args:
        effect: what a design returned.

    Returns:
        True where a gating check failed, or few patients stand behind it.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 1] * 20, "score": range(40)})
        >>> is_held_back(mean_difference(data, arm="arm", outcome="score", randomised=True))
        False
    """
    return effect.withheld or few_without(effect)


def _without_the_effect(checks: pd.DataFrame) -> pd.DataFrame:
    messages = [
        _silent(str(row.check), str(row.message), gating=bool(row.gating))
        for row in checks.itertuples()
    ]
    gone = pd.array([pd.NA] * len(checks), dtype="Float64")
    return checks.assign(statistic=gone, threshold=float("nan"), message=messages)


def _silent(check: str, message: str, *, gating: bool) -> str:
    own = _OF_THE_EFFECT.get(check)
    if own is not None:
        return own
    # What chance or a count of clinics decides may be read; what was estimated may not.
    return message if gating and check not in _OF_THE_EFFECT else _NUMBER.sub(LEFT_OUT, message)


def _fewest(effect: Effect) -> float:
    """Return the patients of the smaller arm, those without a known outcome among them."""
    facts = effect.facts
    sizes = [n + facts.n_missing.get(arm, 0) for arm, n in facts.sizes.items()]
    return min(sizes, default=facts.n)


def _without_few(check: str, text: str, n: float) -> str:
    """Withhold the shares that from 1 to 7 of n patients make, or leave."""
    if not _OF_PATIENTS.fullmatch(check):
        return text

    def told(found: re.Match[str]) -> str:
        share = float(found[1]) / 100
        return FEW if is_small(round(min(share, 1 - share) * n)) else found[0]

    return _PERCENT.sub(told, text)
