"""What answers to a guideline's items are made of: a result in words, as its readers may see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from loyalty_research.effects.checks import passed_or_missing
from loyalty_research.effects.effect import ESTIMATES, Effect
from loyalty_research.effects.published import few_without, is_small, told_count, told_text
from loyalty_research.effects.stacking import UNADJUSTED
from loyalty_research.effects.target_trial import EmulatedTrial
from loyalty_research.effects.wording import RATIOS, SHARES, estimate_words

FILLED, OPEN, NOT_APPLICABLE = "filled", "open", "not applicable"

_MEANS = ("mean difference", "difference in means")

PRICED = "cost per retained patient"
"""The measure whose cost is an input and not data."""


@dataclass(frozen=True)
class Said:
    """What the suite says of an item.

    Attributes:
        text: The answer.
        status: "filled", "open" (it may not be told) or "not applicable".
        left: What the suite does not know of it.
    """

    text: str
    status: str = FILLED
    left: str = ""


@dataclass(frozen=True)
class Known:
    """A result, what it rests on, and who will read of it.

    Attributes:
        effect: The effect.
        attrition: `step, criterion, n_before, n_excluded, n_after`, or None.
        trial: The emulated trial, or None.
        audience: "internal" or "publish".
    """

    effect: Effect
    attrition: pd.DataFrame | None
    trial: EmulatedTrial | None
    audience: str

    def count(self, n: int, one: str, many: str | None = None) -> str:
        """Return a count in words as the audience may read it."""
        return told_count(int(n), one, many, audience=self.audience)

    def rows(self, n: int) -> str:
        """Return a count of the effect's rows in words."""
        many = str(self.effect.facts.more.get("rows_are", "patients"))
        return self.count(n, many.removesuffix("s"), many)

    def text(self, words: str) -> str:
        """Return a text of the suite as the audience may read it."""
        return told_text(words, audience=self.audience)

    def by_arm(self, words: Mapping[int, str]) -> str:
        """Return words for each arm after its name, the programme first."""
        arms = self.effect.facts.arms
        return "; ".join(f"{arms[k]}: {words[k]}" for k in (1, 0) if k in words)

    def sizes(self) -> dict[int, int]:
        """Return the rows of each arm, from the facts or else from the trial."""
        if self.effect.facts.sizes or self.trial is None:
            return dict(self.effect.facts.sizes)
        return {k: int((self.trial.rows["arm"] == k).sum()) for k in (0, 1)}

    def hidden(self) -> str:
        """Return why this audience may not read the estimates, or nothing if it may."""
        if self.audience == "internal":
            return ""
        if self.effect.withheld:
            return f"withheld, because a check failed ({', '.join(self.effect.failed)})"
        head = self.effect.headline
        few = is_small(head["n"]) or is_small(head["n_events"]) or few_without(self.effect)
        return "withheld, because too few patients stand behind it" if few else ""

    def estimate(self, row: Mapping[str, Any]) -> str:
        """Return an estimate with its interval in words."""
        if self.audience == "publish":
            if is_small(row["n"]) or is_small(row["n_events"]):
                return "withheld"
            values = {k: round(float(row[k]), 3) for k in ("estimate", "conf_low", "conf_high")}
            row = {**row, **values}
        facts, scale = self.effect.facts, str(row["scale"])
        told = estimate_words(row, facts.unit)
        # What the words say already is not said again.
        plain = (*SHARES, *RATIOS, *_MEANS, facts.unit, facts.measure)
        return told if scale in plain else f"{told}, {scale}"

    def records(self) -> list[dict[str, Any]]:
        """Return the rows of estimates, each by column."""
        rows = self.effect.estimates.to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in rows]

    def row(self, row: Mapping[str, Any]) -> str:
        """Return an estimate after what names it among the others of its term."""
        own = [name for name in row if name not in ESTIMATES and not name.startswith("p_")]
        told = [f"{name} {row[name]}" for name in own if not pd.isna(row[name])]
        label = f"{row['term']} ({', '.join(told)})" if told else str(row["term"])
        return f"{label}: {self.estimate(row)}"

    def others(self) -> list[dict[str, Any]]:
        """Return the rows of estimates after the headline, without the unadjusted one."""
        rows = self.records()[1:]
        return [row for row in rows if row["term"] != UNADJUSTED]


def by_lot(effect: Effect) -> bool:
    """Return whether chance assigned, as the call stated or an override argued.

    Args:
        effect: The effect.

    Returns:
        True where the check `assignment` passed or was overridden.
    """
    stated = effect.checks["check"].eq("assignment") & passed_or_missing(effect.checks)
    return bool(stated.fillna(False).any()) or "assignment" in effect.facts.overrides


def is_economic(effect: Effect) -> bool:
    """Return whether an effect weighs costs against outcomes.

    Args:
        effect: The effect.

    Returns:
        True for a ratio of cost to effect, a net benefit, a price of the retained.
    """
    measure = effect.facts.measure
    return measure in ("incremental cost-effectiveness ratio", PRICED) or measure.startswith(
        "net benefit"
    )
