"""The few errors a user can meet, each with the exit status of the command that met it.

Messages name table, column, count, expectation and repair. They never quote a value of a patient,
because executed notebooks keep tracebacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LoyaltyError(Exception):
    """Any refusal of this package; `exit_status` is what the command line returns."""

    exit_status = 1


class ReportError(LoyaltyError):
    """A report notebook failed, or did not produce what it declares."""

    exit_status = 1


class UsageError(LoyaltyError):
    """A setting, parameter or argument that cannot be meant; nothing was started."""

    exit_status = 2


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the data: where, how often, what was expected, and the repair."""

    table: str
    column: str
    count: int
    message: str
    repair: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}; {self.repair}"


class DataError(LoyaltyError):
    """The input data break the contract; `faults` lists every fault that was found.

    Examples:
        >>> f = Fault("visits", "visit_date", 12, "visit_date is missing in 12 rows", "date it")
        >>> print(DataError([f]))
        1 fault in the data:
          visits: visit_date is missing in 12 rows; date it
    """

    exit_status = 3

    def __init__(self, faults: Sequence[Fault]):
        self.faults = list(faults)
        head = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''} in the data:"
        super().__init__("\n  ".join([head, *map(str, self.faults)]))

    @classmethod
    def from_text(cls, text: str) -> DataError:
        """Return the error that another process raised and described in `text`."""
        error = cls([])
        error.args = (text,)
        return error


class DesignError(DataError):
    """The data cannot answer the question in the way it was asked; `guard` names the reason.

    Every such refusal says which call would work. It may be overridden, with a reason that every
    result then carries: `override={error.guard: "reason"}`.

    Examples:
        >>> fault = Fault("data", "arm", 3, "arm is set after time zero", "use a landmark")
        >>> DesignError("immortal time", fault).guard
        'immortal time'
    """

    def __init__(self, guard: str, fault: Fault):
        super().__init__([fault])
        self.guard = guard


class DisclosureError(LoyaltyError):
    """A finished report shows an identifier or a small count and is held back."""

    exit_status = 4


class SetupError(LoyaltyError):
    """The kernel, the disk or the installation failed, not the report."""

    exit_status = 5


class ReportTimeoutError(LoyaltyError):
    """A report ran longer than it may."""

    exit_status = 6
