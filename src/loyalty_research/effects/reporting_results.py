"""What the suite can say of the results that a reporting guideline asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from loyalty_research.effects.reporting_known import NOT_APPLICABLE, OPEN, PRICED, Known, Said
from loyalty_research.effects.stacking import UNADJUSTED
from loyalty_research.effects.wording import RATIOS, SHARES, levels_words

_MOST_ROWS = 12
"""Rows of estimates that an answer can hold; more are counted."""


def _results(known: Known) -> Said:
    """Return the headline with the levels of both arms."""
    hidden = known.hidden()
    if hidden:
        return Said(hidden, OPEN)
    facts, head = known.effect.facts, known.effect.headline
    said = facts.more.get("in_words") or known.estimate(head)
    told = f"{facts.measure} in {facts.outcome}, {facts.arms[1]} against {facts.arms[0]}: {said}"
    parts = [told, levels_words(known.effect)]
    if known.effect.withheld:
        parts.append(f"not to be relied on: a check failed ({', '.join(known.effect.failed)})")
    return Said("; ".join(part for part in parts if part))


def _results_clustered(known: Known) -> Said:
    found, icc = _results(known), known.effect.facts.more.get("icc")
    if found.status == OPEN:
        return found
    if icc is None:
        return Said(found.text, left="the intracluster correlation of the outcome")
    return Said(f"{found.text}; intracluster correlation {icc:.3f}")


def _both_scales(known: Known) -> Said:
    if known.effect.facts.n_events is None:
        return Said("the outcome is a number, not an event", NOT_APPLICABLE)
    if known.hidden():
        return Said(known.hidden(), OPEN)
    first, lacking = _of_scales(known)
    told = [known.row(row) for row in first]
    return Said("; ".join(told) or _results(known).text, left=lacking)


def _of_scales(known: Known) -> tuple[list[dict[str, Any]], str]:
    """Return the first row on an absolute and on a relative scale, and which of them is not."""
    rows = known.records()
    kinds = {"the absolute effect": SHARES, "the relative effect": RATIOS}
    first = {
        kind: next((row for row in rows if row["scale"] in scales), None)
        for kind, scales in kinds.items()
    }
    lacking = " and ".join(kind for kind, row in first.items() if row is None)
    return [row for row in first.values() if row is not None], lacking


def _all_scales(known: Known) -> Said:
    """Return the headline; on both scales where the outcome is an event."""
    found = _results(known)
    if found.status == OPEN or known.effect.facts.n_events is None:
        return found
    first, lacking = _of_scales(known)
    head = known.effect.headline["term"]
    told = [known.row(row) for row in first if row["term"] != head]
    return Said("; ".join([found.text, *told]), left=lacking)


def _other_results(known: Known) -> Said | None:
    rows = known.others()
    if known.hidden():
        return Said(known.hidden(), OPEN)
    if not rows:
        return None
    if len(rows) > _MOST_ROWS:
        counts = pd.Series([str(row["term"]) for row in rows]).value_counts(sort=False)
        listed = ", ".join(f"{term} ({n})" for term, n in counts.items())
        return Said(f"{len(rows)} further estimates stand in the effect's table: {listed}")
    return Said("; ".join(known.row(row) for row in rows))


def _unadjusted(known: Known) -> Said:
    found = _results(known)
    rows = known.records()
    row = next((one for one in rows if one["term"] == UNADJUSTED), None)
    if found.status == OPEN:
        return found
    if row is None:
        return Said(found.text, left="the unadjusted estimate")
    return Said(f"{found.text}; {known.row(row)}")


def _absolute(known: Known) -> Said | None:
    rows = [known.effect.headline, *known.others()]
    if not any(row["scale"] in RATIOS for row in rows):
        return Said("no relative risk is reported", NOT_APPLICABLE)
    if known.hidden():
        return Said(known.hidden(), OPEN)
    row = next((one for one in rows if one["scale"] in SHARES), None)
    told = known.row(row) if row is not None else levels_words(known.effect)
    return Said(told) if told else None


def _events(known: Known) -> Said | None:
    facts = known.effect.facts
    if known.hidden():
        return Said(known.hidden(), OPEN)
    levels = levels_words(known.effect)
    told = [f"{levels} ({facts.arms[1]}, {facts.arms[0]})"] if levels else []
    if facts.n_events is not None:
        told.insert(0, f"{known.count(facts.n_events, 'event')} in both arms")
    return Said("; ".join(told)) if told else None


def _economic_results(known: Known) -> Said:
    found = _results(known)
    if found.status == OPEN:
        return found
    rows = [known.row(row) for row in known.others()[:_MOST_ROWS]]
    cost = "" if known.effect.facts.measure == PRICED else "the mean cost of each arm, by category"
    return Said("; ".join([found.text, *rows]), left=cost)


RESULTS: dict[str, Callable[[Known], Said | None]] = {
    "results": _results,
    "key_result": _results,
    "results_clustered": _results_clustered,
    "both_scales": _both_scales,
    "all_scales": _all_scales,
    "other_results": _other_results,
    "unadjusted": _unadjusted,
    "absolute": _absolute,
    "events": _events,
    "economic_results": _economic_results,
}
"""Name of an answer in a guideline -> what gives it."""
