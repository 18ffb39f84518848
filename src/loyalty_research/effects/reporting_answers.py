"""What the suite can say of design, methods and patients, and what gives each answer by name.

Each answer is a sentence without its full stop, or None where the suite does not know. An answer
that a published report may not give is left open and says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from loyalty_research.effects.checks import passed_or_missing
from loyalty_research.effects.published import is_small
from loyalty_research.effects.reporting_known import NOT_APPLICABLE, OPEN, PRICED, Known, Said
from loyalty_research.effects.reporting_results import RESULTS

# --- methods --------------------------------------------------------------------------------------


def _objective(known: Known) -> Said:
    return Said(known.text(known.effect.facts.estimand))


def _design(known: Known) -> Said:
    facts = known.effect.facts
    return Said(f"{facts.design}; {facts.arms[1]} against {facts.arms[0]}")


def _allocation(known: Known) -> Said:
    sizes = known.sizes()
    told = {k: f"{known.rows(n)} analysed" for k, n in sizes.items()}
    return Said("; ".join(part for part in (known.effect.facts.design, known.by_arm(told)) if part))


def _arms(known: Known) -> Said:
    return Said(f"{known.effect.facts.arms[1]} against {known.effect.facts.arms[0]}")


def _outcome(known: Known) -> Said:
    facts = known.effect.facts
    better = f"{facts.better} is better" if facts.better else ""
    return Said(", ".join(part for part in (facts.outcome, facts.unit, better) if part))


def _variables(known: Known) -> Said:
    return Said(f"outcome: {_outcome(known).text}; exposure: {_arms(known).text}")


def _chance(known: Known) -> Said:
    override = known.effect.facts.overrides.get("assignment")
    return Said(known.text(override) if override else _message(known, "assignment"))


def _assumptions(known: Known) -> Said | None:
    told = _message(known, "assignment")
    return Said(told) if told else None


def _methods(known: Known) -> Said:
    facts, head = known.effect.facts, known.effect.headline
    parts = [str(head["method"]), facts.variance, f"{_level(head)} intervals"]
    if facts.n_clusters is not None:
        parts.append(f"{facts.n_clusters:,} clusters, within which rows may be alike")
    missing = _missing(known)
    parts += [missing.text] if missing else []
    for n, what in ((facts.n_trimmed, "trimmed"), (facts.n_truncated, "cut in their weight")):
        parts += [f"{known.rows(n)} {what}"] if n else []
    parts += [f"seed {facts.seed}"] if facts.seed is not None else []
    return Said("; ".join(dict.fromkeys([*parts, *_overrides(known)])))


def _analysis(known: Known) -> Said:
    return Said(
        _methods(known).text, left="" if _missing(known) else "what was done about missing data"
    )


def _other_methods(known: Known) -> Said | None:
    found = {f"{row['term']}: {row['method']}": None for row in known.others()}
    return Said(known.text("; ".join(found))) if found else None


def _subgroups(known: Known) -> Said | None:
    rows = [row for row in known.others() if row["term"] == "interaction"]
    told = [f"by {row['by']}: {row['method']}" if "by" in row else row["method"] for row in rows]
    return Said(f"interactions tested {'; '.join(map(str, told))}") if told else None


def _missing(known: Known) -> Said | None:
    facts = known.effect.facts
    if "n_imputations" in facts.more:
        n = int(facts.more["n_imputations"])
        return Said(f"imputed {n} times, pooled by Rubin's rules")
    counted = _missing_by_arm(known)
    if counted is None or not any(facts.n_missing.values()):
        return counted
    return Said(f"rows without a known outcome are left out ({counted.text})")


def _missing_by_arm(known: Known) -> Said | None:
    counts = known.effect.facts.n_missing
    if counts and not any(counts.values()):
        return Said("the outcome is known of every row given")
    told = {k: f"{known.rows(n)} without a known outcome" for k, n in counts.items()}
    return Said(known.by_arm(told)) if told else None


def _bias(known: Known) -> Said:
    marks = {True: "passed", False: "failed", None: "for information"}
    answers = [
        None if pd.isna(one) else bool(one) for one in passed_or_missing(known.effect.checks)
    ]
    names = known.effect.checks["check"]
    told = [f"{name} {marks[one]}" for name, one in zip(names, answers, strict=True)]
    return Said(f"checks before the estimate: {', '.join(told)}")


def _sensitivity(known: Known) -> Said | None:
    value, limit = (known.effect.facts.more.get(name) for name in ("e_value", "e_value_limit"))
    if known.hidden():
        return Said(known.hidden(), OPEN)
    if value is None or not math.isfinite(value):
        return None
    ends = f", of its interval {limit:.2f}" if limit is not None and math.isfinite(limit) else ""
    return Said(f"E-value of the estimate {value:.2f}{ends}")


def _matched(known: Known) -> Said:
    if "matched" not in known.effect.facts.design:
        return Said("patients are not matched", NOT_APPLICABLE)
    return Said(known.by_arm({k: known.rows(n) for k, n in known.sizes().items()}))


def _limits(known: Known) -> Said:
    failed = known.effect.failed
    told = [f"failed: {', '.join(failed)}" if failed else "no gating check failed"]
    if not known.effect.facts.causal:
        told.append("an association, not an effect")
    return Said("; ".join([*told, *_overrides(known)]))


def _uncertainty(known: Known) -> Said:
    head = known.effect.headline
    return Said(f"{_level(head)} interval: {head['method']}")


def _no_model(known: Known) -> Said:
    return Said("no decision model: costs and outcomes are those of the patients", NOT_APPLICABLE)


def _inputs(known: Known) -> Said:
    if known.effect.facts.measure != PRICED:
        return _no_model(known)
    return Said(f"the programme's cost is taken as known: {_objective(known).text}")


# --- patients -------------------------------------------------------------------------------------


def _criteria(known: Known) -> Said | None:
    if known.attrition is not None:
        kept = known.attrition.loc[known.attrition["step"] != 0, "criterion"].astype(str)
        return Said("; ".join(kept) or "all patients given")
    return _protocol("eligibility", "target_trial")(known)


def _flow(known: Known) -> Said | None:
    if known.attrition is None:
        return None
    steps = known.attrition.to_dict("records")
    told = [f"{known.count(steps[0]['n_before'], 'patient')} at the beginning"] if steps else []
    for step in steps:
        if step["step"] != 0:
            out, left = (known.count(step[name], "patient") for name in ("n_excluded", "n_after"))
            told.append(f"{step['criterion']}: {out} left out, {left} stay")
    return Said("; ".join([*told, f"analysed: {_analysed(known).text}"]))


def _flow_reasons(known: Known) -> Said | None:
    if known.attrition is None:
        return None
    steps = known.attrition[known.attrition["step"] != 0].to_dict("records")
    told = [f"not {one['criterion']}: {known.count(one['n_excluded'], 'patient')}" for one in steps]
    return Said("; ".join(told) or "none was left out")


def _flow_arms(known: Known) -> Said:
    missing = known.effect.facts.n_missing
    told = {
        k: f"{known.rows(n + missing.get(k, 0))} assigned, {known.rows(n)} analysed"
        for k, n in known.sizes().items()
    }
    return Said(known.by_arm(told) + _clusters(known) if told else _analysed(known).text)


def _lost(known: Known) -> Said | None:
    counted = _missing_by_arm(known)
    trimmed = known.effect.facts.n_trimmed
    if counted is None or not trimmed:
        return counted
    return Said(f"{counted.text}; {known.rows(trimmed)} trimmed")


def _analysed(known: Known) -> Said:
    told = {k: known.rows(n) for k, n in known.sizes().items()}
    words = known.by_arm(told) or f"{known.rows(known.effect.facts.n)} in both arms"
    return Said(words + _clusters(known))


def _follow_up(known: Known) -> Said | None:
    if known.trial is None:
        return None
    told = {int(str(k)): _followed(known, rows) for k, rows in known.trial.rows.groupby("arm")}
    return Said(known.by_arm(told))


def _followed(known: Known, rows: pd.DataFrame) -> str:
    if known.audience == "publish" and is_small(len(rows)):
        return "withheld"
    events = int(rows["event"].astype(bool).sum())
    ends = f"the event in {known.rows(events)}, censored in {known.rows(len(rows) - events)}"
    return f"{rows['time'].mean():.0f} days on average; ended by {ends}"


# --- the protocol ---------------------------------------------------------------------------------


def _protocol(items: str | Iterable[str], column: str) -> Callable[[Known], Said | None]:
    """Return what answers by lines of a trial's protocol."""
    names = [items] if isinstance(items, str) else list(items)

    def answer(known: Known) -> Said | None:
        if known.trial is None:
            return None
        lines = known.trial.protocol.set_index("item").to_dict("index")
        return Said("; ".join(known.text(_line(lines[name], column)) for name in names))

    return answer


def _line(line: Mapping[Any, Any], column: str) -> str:
    words = str(line[column])
    # "The same" alone would send the reader back to the trial's own item.
    alike = column == "emulation" and words.startswith("the same")
    return f"{words}: {line['target_trial']}" if alike else words


def _contrast(column: str) -> Callable[[Known], Said | None]:
    def answer(known: Known) -> Said | None:
        found = _protocol("causal contrast", column)(known)
        return found and Said(f"{found.text}; measure: {known.effect.facts.measure}")

    return answer


# --- words ----------------------------------------------------------------------------------------


def _message(known: Known, check: str) -> str:
    found = known.effect.checks.loc[known.effect.checks["check"] == check, "message"]
    return known.text(str(found.iloc[0])) if len(found) else ""


def _overrides(known: Known) -> list[str]:
    used = known.effect.facts.overrides
    return [known.text(f"overridden: {name} ({why})") for name, why in used.items()]


def _clusters(known: Known) -> str:
    n = known.effect.facts.n_clusters
    return "" if n is None else f"; {n:,} clusters in all"


def _level(row: Mapping[str, Any]) -> str:
    return f"{100 * float(row['conf_level']):g} %"


ANSWERS: dict[str, Callable[[Known], Said | None]] = {
    "objective": _objective, "design": _design, "allocation": _allocation, "arms": _arms,
    "outcome": _outcome, "variables": _variables, "chance": _chance, "assumptions": _assumptions,
    "methods": _methods, "analysis": _analysis, "other_methods": _other_methods,
    "subgroups": _subgroups,
    "missing": _missing, "missing_by_arm": _missing_by_arm, "bias": _bias,
    "sensitivity": _sensitivity, "matched": _matched, "limits": _limits,
    "uncertainty": _uncertainty, "no_model": _no_model, "inputs": _inputs,
    "criteria": _criteria, "flow": _flow, "flow_reasons": _flow_reasons, "flow_arms": _flow_arms,
    "lost": _lost, "analysed": _analysed, "follow_up": _follow_up,
    **RESULTS,
    "trial_eligibility": _protocol("eligibility", "target_trial"),
    "trial_strategies": _protocol("treatment strategies", "target_trial"),
    "trial_assignment": _protocol("assignment", "target_trial"),
    "trial_follow_up": _protocol(("time zero", "follow-up"), "target_trial"),
    "trial_outcome": _protocol("outcome", "target_trial"),
    "trial_contrast": _contrast("target_trial"),
    "trial_analysis": _protocol("analysis", "target_trial"),
    "emulated_eligibility": _protocol("eligibility", "emulation"),
    "emulated_strategies": _protocol("treatment strategies", "emulation"),
    "emulated_assignment": _protocol("assignment", "emulation"),
    "emulated_follow_up": _protocol(("time zero", "follow-up"), "emulation"),
    "emulated_outcome": _protocol("outcome", "emulation"),
    "emulated_contrast": _contrast("emulation"),
}  # fmt: skip
"""Name of an answer in a guideline -> what gives it."""
