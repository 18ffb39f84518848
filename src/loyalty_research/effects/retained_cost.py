"""What each patient costs whom a programme retained."""

from __future__ import annotations

import math

import pandas as pd

from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimates_table
from loyalty_research.effects.planning_core import check_number
from loyalty_research.effects.wording import SHARES
from loyalty_research.errors import DesignError, Fault, UsageError


def cost_per_retained_patient(
    effect: Effect, *, programme_cost: float, n_patients: int, currency: str = ""
) -> Effect:
    """Return what each patient costs whom the programme retained and the comparison would not.

    The programme's cost is taken as known, as from its accounts; where every patient's cost varies
    use `incremental_cost_effectiveness`.

    Args:
        effect: A difference in shares, such as `risk_difference` of being retained.
        programme_cost: What the programme cost in all, over the same time, above 0.
        n_patients: Patients whom that cost served.
        currency: Unit of the cost, such as "CNY".

    Returns:
        Rows `cost per retained patient` and `additional retained patients`; the limits of the one
        are the cost over the limits of the other. Checks are those of the effect.

    Raises:
        UsageError: No difference in shares, or a number out of its range.
        DesignError: The effect is withheld, its interval holds no effect, or patients are lost.

    References:
        The interval is the image of the effect's under cost / (n difference), which is exact
        because the cost is known (Cook and Sackett, BMJ 1995;310:452, for its reciprocal).

    Examples:
        >>> import pandas as pd
        >>> from loyalty_research.effects import risk_difference
        >>> data = pd.DataFrame({"arm": [1] * 100 + [0] * 100,
        ...     "retained": [1] * 70 + [0] * 30 + [1] * 50 + [0] * 50})
        >>> effect = risk_difference(data, arm="arm", outcome="retained", randomised=True)
        >>> found = cost_per_retained_patient(effect, programme_cost=5000, n_patients=100)
        >>> found.estimates["estimate"].round(6).tolist()
        [250.0, 20.0]
    """
    if str(effect.headline["scale"]) not in SHARES:
        raise UsageError("the effect must be a difference in shares, such as risk_difference")
    cost = check_number(programme_cost, name="programme_cost", least=0, above=True)
    n = check_number(n_patients, name="n_patients", least=1)
    low, middle, high = _retained(effect)
    head = effect.headline
    shared = {"conf_level": head["conf_level"], "n": head["n"], "n_events": head["n_events"]}
    retained = {
        "term": "additional retained patients", "estimate": middle * n,
        "std_error": head["std_error"] * n, "conf_low": low * n, "conf_high": high * n,
        "p_value": head["p_value"], "scale": "patients",
        "method": f"{n:,.0f} patients x ({head['method']})", **shared,
    }  # fmt: skip
    price = {
        "term": "cost per retained patient", "estimate": cost / (middle * n),
        "std_error": math.nan, "conf_low": cost / (high * n), "conf_high": cost / (low * n),
        "p_value": math.nan, "scale": f"{currency} a patient".strip(),
        "method": "known cost over the retained", **shared,
    }  # fmt: skip
    facts = Facts(
        design=effect.facts.design,
        estimand=f"{cost:,g} {currency} over the patients retained because of the programme among "
        f"{n:,.0f}; {effect.facts.estimand}".replace("  ", " "),
        measure="cost per retained patient", outcome=effect.facts.outcome,
        variance=effect.facts.variance, n=effect.facts.n, unit=currency,
        causal=effect.facts.causal, arms=effect.facts.arms, n_clusters=effect.facts.n_clusters,
        n_missing=effect.facts.n_missing, overrides=effect.facts.overrides,
    )  # fmt: skip
    checks = pd.concat(
        [effect.checks, checks_table([Check("cost", None, "the cost is taken as known")])],
        ignore_index=True,
    )
    return Effect(estimates_table([price, retained]), checks, facts)


def _retained(effect: Effect) -> tuple[float, float, float]:
    """Return the share retained with its limits, good upwards, or refuse what has no price."""
    if effect.withheld:
        listed = ", ".join(effect.failed)
        raise _refusal("withheld effect", f"the effect is withheld, a check failed ({listed})",
                       "mend it, or override that check of the effect with a reason")  # fmt: skip
    numbers = [float(effect.headline[name]) for name in ("conf_low", "estimate", "conf_high")]
    if effect.facts.better == "lower":
        numbers = [-number for number in reversed(numbers)]
    low, middle, high = numbers
    span = f"{100 * low:.1f} to {100 * high:.1f} points"
    # A missing limit is no proof of an effect.
    if not low > 0 and not high < 0:
        raise _refusal(
            "no effect shown",
            f"the interval of the effect ({span}) holds no effect, so that the cost of a retained "
            "patient may be infinite",
            "show net_benefit() over what a retained patient may be worth, or plan a larger study",
        )
    if high < 0:
        raise _refusal("patients lost", f"the programme retains fewer ({span})",
                       "there is no patient retained to spread the cost over")  # fmt: skip
    return low, middle, high


def _refusal(guard: str, message: str, repair: str) -> DesignError:
    return DesignError(guard, Fault("effect", "estimate", 0, message, repair))
