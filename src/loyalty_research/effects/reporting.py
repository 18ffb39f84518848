"""The items of a reporting guideline, filled from results or left open by name.

A checklist filled by hand drifts from the numbers it speaks of. Here what the suite knows comes
from the result itself; what only the authors know is left open until they tell it, and is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from loyalty_research.data.arguments import check_choice, suggest
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import AUDIENCES, Effect
from loyalty_research.effects.reporting_answers import ANSWERS
from loyalty_research.effects.reporting_cheers import CHEERS
from loyalty_research.effects.reporting_consort import CONSORT, CONSORT_CLUSTER
from loyalty_research.effects.reporting_guideline import Guideline, Item
from loyalty_research.effects.reporting_known import (
    FILLED,
    NOT_APPLICABLE,
    OPEN,
    Known,
    Said,
    by_lot,
    is_economic,
)
from loyalty_research.effects.reporting_strobe import STROBE
from loyalty_research.effects.reporting_target import TARGET
from loyalty_research.effects.target_trial import EmulatedTrial
from loyalty_research.errors import UsageError
from loyalty_research.retention.rows import take_columns

GUIDELINES = {one.name: one for one in (CONSORT, CONSORT_CLUSTER, STROBE, TARGET, CHEERS)}
"""Every guideline by the name that `reporting_items` takes."""

REPORTING_ITEMS = ("guideline", "item", "topic", "what", "answer", "status")
"""The columns of reporting items."""

_ATTRITION = ("step", "criterion", "n_before", "n_excluded", "n_after")


def reporting_items(
    effect: Effect,
    *,
    guideline: str,
    attrition: Any = None,
    trial: EmulatedTrial | None = None,
    told: Mapping[str, str] | None = None,
    audience: str = "internal",
) -> pd.DataFrame:
    """Return the items of a reporting guideline with what is known of each.

    Args:
        effect: What a design returned.
        guideline: "CONSORT" (2010, patients randomised), "CONSORT cluster" (its extension of 2012),
            "STROBE" (2007, cohort studies), "TARGET" (2025, emulated trials) or "CHEERS" (2022,
            economic evaluations).
        attrition: One row a criterion: `step`, `criterion`, `n_before`, `n_excluded`, `n_after`, as
            `apply_criteria` returns; by default the trial's own. pandas, Polars, Arrow, DuckDB or
            Spark.
        trial: The emulated trial that the effect comes from; its protocol answers TARGET's items.
        told: Item -> what only the authors know. It is added to what the suite knows and does not
            replace it; "not applicable: why" says that an item does not apply.
        audience: "publish" rounds counts to 5, withholds those from 1 to 7, and leaves out the
            numbers of an effect that a check withholds. `told` stands as it was written.

    Returns:
        One row an item in the guideline's order: `guideline`, `item` (its number), `topic`, `what`
        (what is asked, in short), `answer`, `status` ("filled", "open", "not applicable"). An item
        of which only a part is known is open, and its answer says what is still missing.

    Raises:
        UsageError: An unknown guideline, item or audience, a text that is none, or an effect that
            the guideline is not for.
        DataError: Columns of the attrition are missing.

    References:
        Schulz et al., BMJ 2010;340:c332; Campbell et al., BMJ 2012;345:e5661; von Elm et al.,
        Lancet 2007;370:1453; Cashin et al., JAMA 2025;334:1084; Husereau et al., BMJ
        2022;376:e067975.

    Examples:
        >>> from loyalty_research.effects import risk_difference
        >>> came = [1] * 36 + [0] * 14 + [1] * 16 + [0] * 34
        >>> data = pd.DataFrame({"arm": [1] * 50 + [0] * 50, "came": came})
        >>> found = risk_difference(data, arm="arm", outcome="came", randomised=True)
        >>> items = reporting_items(found, guideline="CONSORT", told={"25": "the hospital paid"})
        >>> items = items.set_index("item")
        >>> print(items.loc["17a", "answer"])
        risk difference in came, programme against control: 40.0 percentage points (95 % interval \
20.6 to 55.4); levels 72.0 % and 32.0 %
        >>> items.loc[["17a", "19", "25"], "status"].tolist()
        ['filled', 'open', 'filled']
    """
    check_choice(audience, AUDIENCES, name="audience")
    asked = GUIDELINES[check_choice(guideline, GUIDELINES, name="guideline")]
    _check_fit(effect, asked)
    authors = _check_told(told, asked)
    if trial is not None and not isinstance(trial, EmulatedTrial):
        raise UsageError("trial must be what emulate_trial or its kin return")
    known = Known(effect, _open_attrition(attrition, trial), trial, audience)
    rows = [_row(item, asked, known, authors.get(item.item, "")) for item in asked.items]
    return pd.DataFrame(rows, columns=list(REPORTING_ITEMS))


def check_reporting(items: pd.DataFrame) -> pd.DataFrame:
    """Return how many items of a reporting guideline are open, and which.

    Args:
        items: As `reporting_items` returns, of one guideline or several under one another.

    Returns:
        `check, statistic, threshold, passed, gating, message`; a row `open items` and a row `items
        not applicable` for each guideline. Open items do not withhold an estimate.

    Raises:
        DataError: Columns are missing.

    Examples:
        >>> from loyalty_research.effects import mean_difference
        >>> data = pd.DataFrame({"arm": [0, 0, 1, 1], "score": [1.0, 2.0, 4.0, 5.0]})
        >>> found = mean_difference(data, arm="arm", outcome="score", randomised=True)
        >>> checks = check_reporting(reporting_items(found, guideline="CONSORT"))
        >>> checks[["check", "passed"]].values.tolist()
        [['open items', False], ['items not applicable', None]]
    """
    raise_faults(missing_columns(items, REPORTING_ITEMS, table="items"))
    found: list[Check] = []
    for version, rows in items.groupby("guideline", sort=False):
        left, out = (rows[rows["status"] == status] for status in (OPEN, NOT_APPLICABLE))
        told = f"{version}: {len(left)} of {len(rows)} items open"
        named = "; ".join(f"{one.item} {one.what}" for one in left.itertuples())
        words = f"{told}: {named}; tell them by told=" if named else told
        found.append(Check("open items", left.empty, words, float(len(left)), 0.0))
        named = "; ".join(f"{one.item} {one.what} ({one.answer})" for one in out.itertuples())
        words = f"{version}: {named}" if named else f"{version}: every item applies"
        found.append(Check("items not applicable", None, words, float(len(out))))
    return checks_table(found)


# --- the door -------------------------------------------------------------------------------------


def _check_fit(effect: Effect, asked: Guideline) -> None:
    """Refuse a guideline that is not for this kind of result."""
    if asked in (CONSORT, CONSORT_CLUSTER) and not by_lot(effect):
        raise UsageError(
            f"guideline={asked.name!r} is for arms that chance assigned, and this effect's are "
            f"{effect.facts.design!r}; use 'STROBE' or 'TARGET', or say randomised=True to the "
            "design if a lottery decided"
        )
    if asked is CONSORT_CLUSTER and effect.facts.n_clusters is None:
        raise UsageError(
            "guideline='CONSORT cluster' is for clusters that were assigned whole, and this effect "
            "has none; use 'CONSORT', or give cluster= to the design"
        )
    if asked is CHEERS and not is_economic(effect):
        raise UsageError(
            f"guideline='CHEERS' is for costs against outcomes, and this effect is a "
            f"{effect.facts.measure}; use incremental_cost_effectiveness, net_benefit or "
            "cost_per_retained_patient"
        )


def _check_told(told: Mapping[str, str] | None, asked: Guideline) -> dict[str, str]:
    """Return the authors' texts by item, every unknown item and empty text refused at once."""
    known = [item.item for item in asked.items]
    faults = []
    for item, text in (told or {}).items():
        if item not in known:
            faults.append(f"told names item {item!r}, which {asked.version} does not have"
                          f"{suggest(str(item), known)}")  # fmt: skip
        elif not isinstance(text, str) or not text.strip():
            faults.append(f"told has no text for item {item!r}; write it or leave the item out")
    if faults:
        raise UsageError("; ".join(faults))
    return {item: text.strip().rstrip(".") for item, text in (told or {}).items()}


def _open_attrition(attrition: Any, trial: EmulatedTrial | None) -> pd.DataFrame | None:
    if attrition is None:
        return None if trial is None else trial.attrition
    raise_faults(missing_columns(attrition, _ATTRITION, table="attrition"))
    return take_columns(attrition, _ATTRITION)


# --- one item -------------------------------------------------------------------------------------


def _row(item: Item, asked: Guideline, known: Known, authors: str) -> tuple[str, ...]:
    said = ANSWERS[item.known](known) if item.known else None
    answer, status = _answer(said, item, authors)
    return asked.version, item.item, item.topic, item.what, answer, status


def _answer(said: Said | None, item: Item, authors: str) -> tuple[str, str]:
    """Return what is known of an item, the suite's words before the authors'."""
    if said is None or not said.text or (said.status == NOT_APPLICABLE and authors):
        away = authors.lower().startswith(NOT_APPLICABLE)
        return authors, NOT_APPLICABLE if away else FILLED if authors else OPEN
    if said.status != FILLED:
        return ". ".join(part for part in (said.text, authors) if part), said.status
    left = ", ".join(part for part in (said.left, item.left) if part)
    if left and not authors:
        return f"{said.text}. Still open: {left}", OPEN
    return ". ".join(part for part in (said.text, authors) if part), FILLED
