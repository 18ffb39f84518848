"""What a programme changed: one module a design, checks before estimates, one shape of result."""

from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.randomised import mean_difference, risk_difference, risk_ratio

__all__ = [  # noqa: RUF022 - the order of the flow
    "Effect",
    "Facts",
    "risk_difference",
    "risk_ratio",
    "mean_difference",
]
