"""What is refused before anything is estimated, and how a refusal is overridden with a reason.

A guard is a mistake that the data show and that no estimator can mend: an exposure dated after time
zero, a clinic's programme analysed as if patients had been assigned. It refuses, names the call
that would work, and lets pass only a caller who states in writing why the mistake is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loyalty_research.data.arguments import suggest
from loyalty_research.effects.checks import Check
from loyalty_research.errors import DesignError, Fault, UsageError

_SHORTEST_REASON = 10
"""Letters below which a text is no reason."""


def check_reason(guard: str, reason: object) -> str:
    """Return the reason for an override if it is one.

    Args:
        guard: What is overridden.
        reason: The words given.

    Returns:
        The words without space around them.

    Raises:
        UsageError: It is no text, or too short to say why.

    Examples:
        >>> check_reason("balance", " confounders were measured twice ")
        'confounders were measured twice'
    """
    words = reason.strip() if isinstance(reason, str) else ""
    if len(words) < _SHORTEST_REASON:
        raise UsageError(
            f"override of {guard!r} needs a reason in words that a reader of the report can judge"
        )
    return words


@dataclass
class Guards:
    """The guards of one call: which it knows, which the caller overrides, which were overridden.

    Attributes:
        known: Names of the guards that the design has.
        override: What the caller gave, guard -> reason.
        used: The overrides that were needed, guard -> reason.
        checks: A row for each guard that was looked at.

    Examples:
        >>> guards = open_guards(["clusters"], override=None)
        >>> guards.refuse("clusters", broken=False, column="arm", count=0, message="", repair="")
        >>> guards.checks[0].passed
        True
    """

    known: Sequence[str]
    override: Mapping[str, str]
    used: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def refuse(
        self, guard: str, *, broken: bool, column: str, count: int, message: str, repair: str,
        fine: str = "looked at, and nothing found",
    ) -> None:  # fmt: skip
        """Refuse if the guard is broken and not overridden; note what was found.

        Args:
            guard: Its name.
            broken: Whether the data show the mistake.
            column: The column that shows it.
            count: In how many rows.
            message: What was found, in words.
            repair: The call that would work.
            fine: What to say where it is not broken.

        Raises:
            DesignError: The guard is broken and no reason was given.
        """
        if not broken:
            self.checks.append(Check(guard, True, fine, gating=True))
            return
        if guard not in self.override:
            again = f"{repair}; if it is no mistake here, say why by override={{{guard!r}: ...}}"
            raise DesignError(guard, Fault("data", column, count, message, again))
        reason = self.override[guard]
        self.used[guard] = reason
        words = f"{message}; overridden: {reason}"
        self.checks.append(Check(guard, False, words, statistic=float(count)))


def open_guards(known: Sequence[str], *, override: Mapping[str, str] | None) -> Guards:
    """Return the guards of a call, after checking what the caller overrides.

    Args:
        known: Names of the guards that the design has.
        override: Guard -> reason, or None.

    Returns:
        The guards.

    Raises:
        UsageError: An override of an unknown guard, or without a reason.

    Examples:
        >>> open_guards(["clusters"], override={"clusters": "one doctor a patient"}).override
        {'clusters': 'one doctor a patient'}
    """
    given = dict(override or {})
    for guard in given:
        if guard not in known:
            options = ", ".join(known) or "none"
            raise UsageError(
                f"override={guard!r} is no guard of this design ({options}){suggest(guard, known)}"
            )
    return Guards(known, {guard: check_reason(guard, why) for guard, why in given.items()})
