from __future__ import annotations

import pytest

from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.guards import open_guards
from loyalty_research.errors import DataError, DesignError, UsageError

FOUND = {"column": "points", "count": 3, "message": "points come later", "repair": "use another"}


def test_a_broken_guard_refuses_with_the_call_that_works_and_how_to_override():
    guards = open_guards(["dose"], override=None)
    expected = r"data: points come later; use another; if .* override=\{'dose': \.\.\.\}"
    with pytest.raises(DesignError, match=expected) as caught:
        guards.refuse("dose", broken=True, **FOUND)
    assert caught.value.guard == "dose"
    assert [fault.count for fault in caught.value.faults] == [3]


def test_a_design_that_cannot_answer_is_an_error_in_the_data_for_the_command_line():
    assert issubclass(DesignError, DataError)
    assert DesignError.exit_status == 3


def test_an_overridden_guard_is_a_check_that_failed_and_does_not_gate(assert_columns):
    guards = open_guards(["dose"], override={"dose": "points were fixed at entry"})
    guards.refuse("dose", broken=True, **FOUND)
    table = checks_table(guards.checks)
    assert_columns(table, "checks")
    assert table[["passed", "gating"]].iloc[0].tolist() == [False, False]
    assert table["message"].item() == "points come later; overridden: points were fixed at entry"
    assert guards.used == {"dose": "points were fixed at entry"}


def test_a_guard_that_holds_is_a_check_that_passed_and_needs_no_override():
    guards = open_guards(["dose"], override={"dose": "points were fixed at entry"})
    guards.refuse("dose", broken=False, **FOUND)
    assert guards.checks == [Check("dose", True, "looked at, and nothing found", gating=True)]
    guards.refuse("dose", broken=False, fine="points were fixed at entry", **FOUND)
    assert guards.checks[1].message == "points were fixed at entry"
    assert guards.used == {}


def test_an_override_of_an_unknown_guard_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"'doze' is no guard of this design \(dose\).*\"dose\""):
        open_guards(["dose"], override={"doze": "points were fixed at entry"})


@pytest.mark.parametrize("reason", ["", "  ok  ", None, 12345678901])
def test_an_override_without_a_reason_is_refused(reason):
    with pytest.raises(UsageError, match="override of 'dose' needs a reason in words"):
        open_guards(["dose"], override={"dose": reason})
