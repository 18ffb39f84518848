"""What every design of the effects room returns: estimates, checks before them, and facts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from loyalty_research.data.arguments import check_choice
from loyalty_research.effects.checks import answer_check, checks_table, passed_or_missing
from loyalty_research.effects.guards import check_reason
from loyalty_research.effects.wording import effect_html, effect_sentence
from loyalty_research.errors import UsageError

ESTIMATES = (
    "term",
    "estimate",
    "std_error",
    "conf_low",
    "conf_high",
    "conf_level",
    "p_value",
    "n",
    "n_events",
    "scale",
    "method",
)
"""The fixed columns of estimates; a design may add its own between `term` and `estimate`."""

AUDIENCES = ("internal", "publish")


@dataclass(frozen=True)
class Facts:
    """What one has to know beside the numbers.

    Attributes:
        design: How the arms came about, such as "randomised" or "weights for who enrolled".
        estimand: What is estimated, in words: the contrast, in whom, over which time.
        measure: Name of the headline, such as "risk difference".
        outcome: Column or name of the outcome.
        unit: Unit of the outcome, such as "mmHg"; empty where it is a share or has none.
        better: "higher" or "lower" where one of them is good for patients; empty where unsaid.
        causal: False where the contrast is an association and no more.
        arms: What arm 0 and arm 1 are called.
        levels: The outcome's level in each arm, by arm, on the outcome's own scale.
        n: Rows used.
        sizes: Rows of each arm, by arm; empty where arms have none of their own.
        n_events: Rows with the event, or events; None where the outcome is a number.
        n_clusters: Independent clusters; None where rows are independent.
        effective_n: Effective sample size of each arm, by arm; empty where rows count alike.
        n_missing: Rows left out because the outcome is not known, by arm.
        n_trimmed: Rows left out by trimming.
        n_truncated: Rows whose weight was cut.
        variance: How the standard error is computed.
        overrides: Refusals and failed checks that were overridden, each with its reason.
        seed: Seed of whatever was drawn; None where nothing was.
        more: Further facts of the design, each a number or a text.
    """

    design: str
    estimand: str
    measure: str
    outcome: str
    variance: str
    n: int
    unit: str = ""
    better: str = ""
    causal: bool = True
    arms: tuple[str, str] = ("control", "programme")
    levels: Mapping[int, float] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)
    n_events: int | None = None
    n_clusters: int | None = None
    effective_n: Mapping[int, float] = field(default_factory=dict)
    n_missing: Mapping[int, int] = field(default_factory=dict)
    n_trimmed: int = 0
    n_truncated: int = 0
    overrides: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Effect:
    """An effect with what it rests on.

    The estimates are always there, for those who must see them. Reports read `withheld` first: a
    gating check that failed withholds the estimate from a published report and labels it in an
    internal one.

    Attributes:
        estimates: `term`, perhaps columns of the design, `estimate, std_error, conf_low,
            conf_high, conf_level, p_value, n, n_events, scale, method`; the first row is the
            headline. Ratios are on the ratio scale, their standard errors on the log scale.
        checks: `check, statistic, threshold, passed, gating, message`. A headline that the data
            leave without a number, or without any measure of how sure it is, fails a check
            "answer", whatever the design.
        facts: What one has to know beside the numbers.

    Examples:
        >>> from loyalty_research.effects import risk_difference
        >>> data = pd.DataFrame({"arm": [0] * 10 + [1] * 10, "came": [1] * 4 + [0] * 6 + [1] * 7
        ...     + [0] * 3})
        >>> effect = risk_difference(data, arm="arm", outcome="came", randomised=True)
        >>> round(effect.headline["estimate"], 4), effect.withheld
        (0.3, False)
    """

    estimates: pd.DataFrame
    checks: pd.DataFrame
    facts: Facts

    def __post_init__(self) -> None:
        failed = answer_check(self.headline, said=bool(self.facts.more.get("in_words")))
        if failed is not None and not self.checks["check"].eq(failed.check).any():
            checks = [self.checks.astype({"passed": object}), checks_table([failed])]
            object.__setattr__(self, "checks", pd.concat(checks, ignore_index=True))

    @property
    def headline(self) -> dict[str, Any]:
        """The first row of the estimates, by column."""
        return {str(name): value for name, value in self.estimates.iloc[0].to_dict().items()}

    @property
    def failed(self) -> list[str]:
        """Names of the gating checks that failed and were not overridden."""
        broken = passed_or_missing(self.checks).eq(False).fillna(False) & self.checks["gating"]
        return self.checks.loc[broken.astype(bool), "check"].tolist()

    @property
    def withheld(self) -> bool:
        """Whether a gating check failed, so that no published report may show the estimates."""
        return bool(self.failed)

    def override(self, check: str, *, reason: str) -> Effect:
        """Return the effect with a failed check overridden, the reason kept with it.

        Args:
            check: Name of a gating check that failed.
            reason: Why the estimate may be read all the same; every report prints it.

        Returns:
            The same estimates; the check no longer gates and its message ends with the reason.

        Raises:
            UsageError: No such check failed, or no reason worth the name.

        Examples:
            >>> from loyalty_research.effects import risk_difference
            >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "came": [0, 1, 1, 1]})
            >>> found = risk_difference(data, arm="arm", outcome="came")
            >>> found.failed
            ['assignment']
            >>> found.override("assignment", reason="a lottery decided, see protocol").failed
            []
        """
        if check not in self.failed:
            listed = ", ".join(self.failed) or "none"
            raise UsageError(f"{check!r} is no failed check; failed and gating: {listed}")
        words = check_reason(check, reason)
        at = self.checks["check"].eq(check)
        message = self.checks["message"].where(
            ~at, self.checks["message"] + f"; overridden: {words}"
        )
        checks = self.checks.assign(gating=self.checks["gating"] & ~at, message=message)
        overrides = {**self.facts.overrides, check: words}
        facts = dataclasses.replace(self.facts, overrides=overrides)
        return dataclasses.replace(self, checks=checks, facts=facts)

    def add_checks(self, checks: pd.DataFrame) -> Effect:
        """Return the effect with checks that were made beside it, which gate it as its own do.

        Args:
            checks: As `check_contamination`, `check_overlap_of_programmes`, `check_measurement` or
                `check_pre_trends` return them.

        Returns:
            The same estimates, these checks after its own.

        Raises:
            UsageError: No such table.

        Examples:
            >>> from loyalty_research.effects import check_measurement, mean_difference
            >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "sbp": [150.0, 148.0, 141.0, 139.0],
            ...     "readings": [1, 1, 2, 3]})
            >>> effect = mean_difference(data, arm="arm", outcome="sbp", randomised=True)
            >>> more = check_measurement(data, arm="arm", measured="readings")
            >>> effect.withheld, effect.add_checks(more).failed
            (False, ['measurement'])
        """
        columns = list(self.checks)
        missing = [name for name in columns if name not in checks]
        if missing:
            raise UsageError(
                f"checks has no column {missing[0]!r}; give what a check_ call returns"
            )
        joined = pd.concat([self.checks, checks[columns]], ignore_index=True)
        return dataclasses.replace(self, checks=joined)

    def sentence(self, *, audience: str = "internal") -> str:
        """Return the headline in one plain sentence.

        Args:
            audience: "internal" labels a withheld estimate, "publish" leaves its numbers out.

        Returns:
            The sentence.

        Raises:
            UsageError: An unknown audience.

        Examples:
            >>> from loyalty_research.effects import mean_difference
            >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "sbp": [150.0, 148.0, 141.0, 139.0]})
            >>> print(mean_difference(data, arm="arm", outcome="sbp", unit="mmHg",
            ...     randomised=True).sentence())
            Mean difference in sbp, programme against control: −9.0 mmHg (95 % interval −15.1 to \
−2.9); levels 140 and 149 mmHg; 4 patients.
        """
        check_choice(audience, AUDIENCES, name="audience")
        return effect_sentence(self, audience=audience)

    def row(self) -> dict[str, Any]:
        """Return the headline with its facts as one flat row, for a table of many effects.

        Returns:
            Column -> value; levels and counts by arm end with the arm's number.

        Examples:
            >>> from loyalty_research.effects import mean_difference
            >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
            >>> row = mean_difference(data, arm="arm", outcome="score").row()
            >>> row["estimate"], row["level_0"], row["level_1"], row["withheld"]
            (3.0, 1.5, 4.5, True)
        """
        flat = dataclasses.asdict(self.facts)
        by_arm = {
            "levels": "level",
            "sizes": "n",
            "effective_n": "effective_n",
            "n_missing": "n_missing",
        }
        for name, stem in by_arm.items():
            flat |= {f"{stem}_{arm}": value for arm, value in flat.pop(name).items()}
        flat["arms"] = " vs ".join(reversed(self.facts.arms))
        flat["overrides"] = "; ".join(f"{k}: {v}" for k, v in flat["overrides"].items())
        flat |= flat.pop("more")
        failed = ", ".join(self.failed)
        # The facts count all rows used; a row of estimates those of its own.
        return {**flat, **self.headline, "withheld": self.withheld, "failed_checks": failed}

    def to_json(self) -> str:
        """Return estimates, checks and facts as JSON, missing numbers as null.

        Returns:
            The text.

        Examples:
            >>> from loyalty_research.effects import mean_difference
            >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
            >>> found = json.loads(mean_difference(data, arm="arm", outcome="score").to_json())
            >>> sorted(found), found["facts"]["n"]
            (['checks', 'estimates', 'facts', 'withheld'], 4)
        """
        content = {
            "estimates": self.estimates.to_dict("records"),
            "checks": self.checks.to_dict("records"),
            "facts": dataclasses.asdict(self.facts),
            "withheld": self.withheld,
        }
        return json.dumps(_plain(content), ensure_ascii=False, allow_nan=False)

    def __repr__(self) -> str:
        return effect_sentence(self, audience="internal")

    def _repr_html_(self) -> str:
        return effect_html(self)


def _plain(value: Any) -> Any:
    """Return what JSON can hold: names as text, missing and infinite numbers as null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
