"""Outcomes that are not known: weights for who was followed, bounds, and how far off they may be.

Completers alone answer for those who were lost. Weights let those answer who are alike in what was
measured; bounds need no such belief; the tipping point says how different the lost must have been
for the conclusion to fall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from loyalty_research.data.arguments import check_share
from loyalty_research.data.frames import missing_columns, raise_faults
from loyalty_research.data.lending import column_names
from loyalty_research.effects.arms import ArmRows, completeness_check, open_arms, sizes_by_arm
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect, Facts
from loyalty_research.effects.estimates import estimate_row, estimates_table, ratio_row
from loyalty_research.effects.logit import fit_logit
from loyalty_research.effects.observational import LEAST_ESS, MOST_SMD, effective_by_arm
from loyalty_research.effects.sensitivity import e_value_facts
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.design_matrix import build_design, needed_columns
from loyalty_research.retention.rows import take_columns

_REPAIR = "leave it out or join its levels; bounds (loss_bounds) need no covariates"


@dataclass(frozen=True, repr=False)
class CensoringWeights:
    """What each patient whose outcome is known counts, so that these stand for all.

    Attributes:
        rows: All patients as they came, with `observed` (0 or 1) and `weight` (0 for the lost).
        checks: What to look at before the outcome is.
        arm: Name of the arm's column.
    """

    rows: pd.DataFrame
    checks: pd.DataFrame
    arm: str
    _models: tuple[_Model, ...] = field(repr=False, default=())
    _weighed: bool = False

    def effect(
        self, *, outcome: str, kind: str = "number", unit: str = "", better: str = "",
        randomised: bool = False, conf_level: float = 0.95,
    ) -> Effect:  # fmt: skip
        """Return the effect on an outcome, those who were followed standing for all.

        Weighted means of both arms; the error is that of the stacked equations of means and
        weights (Stefanski and Boos, American Statistician 2002;56:29).

        Args:
            outcome: Column of the outcome, known wherever `observed` says so.
            kind: "number"; "binary", 0 or 1.
            unit: Of the outcome.
            better: "higher" or "lower", whichever is good.
            randomised: The arms were drawn by lot.
            conf_level: Coverage of the intervals.

        Returns:
            The weighted difference; for a binary outcome the ratio; then the completers' own.

        Raises:
            DataError: The outcome is missing where it is said to be known, or is no number.

        Examples:
            >>> data = pd.DataFrame({"arm": [0, 1] * 6, "ill": [0, 0, 0, 0, 1, 1] * 2,
            ...     "score": [5.0, 6.0, 5.0, 6.0, 1.0, None, 5.0, None, None, 6.0, None, 3.0]})
            >>> data["known"] = data["score"].notna()
            >>> weights = censoring_weights(data, arm="arm", observed="known", covariates=["ill"])
            >>> found = weights.effect(outcome="score")  # (4 * 6 + 2 * 3) / 6 - (4 * 5 + 2 * 1) / 6
            >>> found.estimates.set_index("term")["estimate"].round(4).to_dict()
            {'mean difference': 1.3333, 'completers': 1.25}
        """
        level = check_share(conf_level, name="conf_level")
        known = self.rows["observed"].to_numpy() == 1
        opened = open_arms(self.rows[known], arm=self.arm, outcome=outcome, kind=kind)
        if sum(opened.n_missing.values()):
            n = sum(opened.n_missing.values())
            words = f"{outcome} is missing in {n:,} rows that are said to be observed"
            raise_faults([Fault("data", outcome, n, words, "mark them as not observed")])
        arm = self.rows[self.arm].to_numpy().astype(int)
        y = np.zeros(len(arm))
        y[known] = opened.outcome
        means, parts = self._means(arm, y)
        covariance = parts @ parts.T
        n_events = None if kind == "number" else int(y.sum())
        method = "weights for who was followed" + (" and who joined" if self._weighed else "")
        settings: dict[str, Any] = {"n": int(known.sum()), "n_events": n_events}
        settings |= {"conf_level": level}
        name = {"number": "mean difference"}.get(kind, "risk difference")
        table = [_difference(name, means, covariance, method=f"{method}, stacked", **settings)]
        if kind == "binary" and min(means) > 0:
            table.append(_ratio(means, covariance, method=f"{method}, stacked", **settings))
        plain, spread = _plain(opened)
        table.append(_difference("completers", plain, spread, method="completers, HC2", **settings))
        table[-1]["scale"] = name
        checks = self._checks(randomised)
        more: dict[str, float] = {}
        if not randomised:
            sd = float(np.sqrt(np.mean([opened.outcome[opened.arm == k].var() for k in (0, 1)])))
            more, check = e_value_facts(table[:-1], sd=sd, control=float(means[0]))
            checks = pd.concat([checks, checks_table([check])], ignore_index=True)
        return Effect(
            estimates_table(table), checks,
            Facts(
                design=method, measure=name, outcome=outcome, unit=unit, better=better,
                estimand=f"{name} of {outcome}, arm 1 against arm 0, in all {len(arm):,} patients "
                "had nobody been lost", variance="stacked equations of weights and means",
                n=int(known.sum()), n_events=n_events, causal=randomised or self._weighed,
                levels={k: float(means[k]) for k in (0, 1)}, sizes=sizes_by_arm(arm[known]),
                effective_n=effective_by_arm(arm[known], self.rows["weight"].to_numpy()[known]),
                n_missing={k: int(((arm == k) & ~known).sum()) for k in (0, 1)}, more=more,
            ),
        )  # fmt: skip

    def _means(self, arm: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both weighted means, and what each row adds to each."""
        weight = self.rows["weight"].to_numpy()
        means, parts = [], []
        for k in (0, 1):
            own = np.where(arm == k, weight, 0.0)
            mean = float(own @ y / own.sum())
            pull = own * (y - mean) / own.sum()
            # A model moves the mean through the weights: d w = -w (1 - p) x' d beta for 1 / p.
            moved = [model.influence(pull) for model in self._models]
            means.append(mean)
            parts.append(pull + np.sum(moved, axis=0))
        return np.array(means), np.array(parts)

    def _checks(self, randomised: bool) -> pd.DataFrame:
        if randomised:
            first = Check("assignment", True, "stated: chance decided", gating=True)
        elif self._weighed:
            first = Check("assignment", None, "arms came about by choice; weighed for covariates")
        else:
            told = "arms came about by choice: an association; give treatment_covariates="
            first = Check("assignment", False, told, gating=True)
        return pd.concat([checks_table([first]), self.checks], ignore_index=True)

    def __repr__(self) -> str:
        known = self.rows["observed"] == 1
        most = self.rows.loc[known, "weight"].max()
        return f"Weights of {int(known.sum()):,} of {len(known):,} patients, the largest {most:.2f}"


@dataclass(frozen=True)
class _Model:
    """A logistic model of which some rows carry one over the probability of what happened."""

    x: np.ndarray
    residual: np.ndarray
    bread: np.ndarray
    move: np.ndarray

    def influence(self, pull: np.ndarray) -> np.ndarray:
        """Return what each row adds to a sum of pulls because the model was estimated."""
        return np.asarray(self.x @ (self.bread @ (self.x.T @ (pull * self.move))) * self.residual)


def censoring_weights(
    data: Any,
    *,
    arm: str,
    observed: str,
    covariates: Sequence[str] | str,
    treatment_covariates: Sequence[str] | str | None = None,
) -> CensoringWeights:
    """Return weights that let patients who were followed stand for those who were not.

    One over the probability of being followed, by a logistic regression without a penalty (Robins,
    Rotnitzky and Zhao, JASA 1995;90:106). It holds if patients alike in arm and covariates were
    lost by chance. Covariates may have been measured after time zero, as long as before the loss.

    Args:
        data: One row a patient, the lost among them. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        observed: Column that is true or 1 where the outcome is known.
        covariates: Names of columns, each with an effect of its own in each arm; or a formula,
            which has to name the arm itself, as `"arm * early + age"`.
        treatment_covariates: What also makes arms alike that nobody drew by lot: the weights are
            then multiplied by one over the probability of the arm.

    Returns:
        The weights, with `effect(outcome=...)`.

    Raises:
        DataError: Columns or values missing, codes that are not 0 and 1, an arm with nobody
            observed, covariates that are constant or determined by others; nobody was lost.
        SeparationError: Covariates tell the followed from the lost.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 1] * 6, "ill": [0, 0, 0, 0, 1, 1] * 2,
        ...     "known": [1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 1]})
        >>> weights = censoring_weights(data, arm="arm", observed="known", covariates=["ill"])
        >>> weights.rows["weight"].round(4).tolist()[:5]  # 3 of 4 well, 1 of 2 ill in arm 0
        [1.3333, 1.3333, 1.3333, 1.3333, 2.0]
    """
    named = needed_columns(covariates)
    treatment = [] if treatment_covariates is None else needed_columns(treatment_covariates)
    wanted = list(dict.fromkeys([arm, observed, *named, *treatment]))
    raise_faults(missing_columns(data, wanted, table="data"))
    table = take_columns(data, column_names(data, table="data"))
    known = _known(table, observed)
    opened = open_arms(
        table.assign(__known=known), arm=arm, outcome="__known", kind="binary",
        more=[one for one in (*named, *treatment) if one != arm],
    )  # fmt: skip
    x, terms = _followed_design(table, opened.arm, covariates)
    loss, p = _one_over(x, known, terms, "those who were followed from the lost")
    weight, models = known / p, [loss]
    if treatment_covariates is not None:
        design, numbers = build_design(table[treatment], treatment_covariates)
        x_arm, own = _scaled(numbers), list(design.terms)
        model, share = _one_over(x_arm, opened.arm, own, "those in the programme from the others")
        weight = weight / np.where(opened.arm == 1, share, 1 - share)
        models.append(model)
    rows = table.assign(**{arm: opened.arm, "observed": known.astype(int), "weight": weight})
    checks = _weight_checks(opened.arm, known, weight, p, x[:, 1:], terms)
    return CensoringWeights(rows, checks, arm, tuple(models), treatment_covariates is not None)


def loss_bounds(
    data: Any,
    *,
    arm: str,
    outcome: str,
    lowest: float,
    highest: float,
    unit: str = "",
    better: str = "",
    conf_level: float = 0.95,
) -> Effect:
    """Return the least and the greatest effect that any values of the lost could give.

    - worst and best case: all the lost of one arm at `lowest`, those of the other at `highest`
      (Manski, American Economic Review 1990;80(2):319); nothing is assumed.
    - trimmed (Lee, Review of Economic Studies 2009;76:1071): among those who would be followed in
      either arm, if no patient is followed only in the arm that loses more.

    Args:
        data: One row a patient, the outcome missing for the lost.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of the outcome: a number, or 0 and 1.
        lowest: The least value the outcome can have.
        highest: The greatest.
        unit: Of the outcome.
        better: "higher" or "lower", whichever is good.
        conf_level: Coverage of the intervals.

    Returns:
        The completers' difference, then two rows for each pair of bounds. Both rows of a pair have
        the same interval, which holds the effect, wherever it lies between the bounds, as often as
        stated (Imbens and Manski, Econometrica 2004;72:1845).

    Raises:
        UsageError: `lowest` is not below `highest`.
        DataError: As for `mean_difference`; outcomes outside the limits.

    Examples:
        >>> data = pd.DataFrame({"arm": [0] * 4 + [1] * 4, "came": [0, 1, 0, None, 1, 1, 0, 1]})
        >>> found = loss_bounds(data, arm="arm", outcome="came", lowest=0, highest=1)
        >>> found.estimates.set_index("term")["estimate"].round(4).to_dict()
        {'completers': 0.4167, 'worst case': 0.25, 'best case': 0.5, 'trimmed, lower': 0.3333, \
'trimmed, upper': 0.6667}
    """
    level = check_share(conf_level, name="conf_level")
    if not lowest < highest:
        raise UsageError(f"lowest={lowest!r} must be below highest={highest!r}")
    rows = open_arms(data, arm=arm, outcome=outcome)
    _refuse_outside(rows, outcome, lowest, highest)
    plain, spread = _plain(rows)
    settings: dict[str, Any] = {"n": rows.n, "n_events": None, "conf_level": level}
    scale = {"scale": "mean difference"}
    table = [_difference("completers", plain, spread, method="completers, HC2", **settings) | scale]
    worst = _filled(rows, {1: lowest, 0: highest})
    best = _filled(rows, {1: highest, 0: lowest})
    everybody = settings | {"n": rows.n + sum(rows.n_missing.values())}
    table += _pair(("worst case", "best case"), worst, best, "all values possible", everybody)
    table += _pair(("trimmed, lower", "trimmed, upper"), _trimmed(rows, upper=False),
                   _trimmed(rows, upper=True), "trimmed, nobody followed only in the arm that "
                   "loses more", settings)  # fmt: skip
    facts = Facts(
        design="bounds for the lost", measure="mean difference", outcome=outcome, unit=unit,
        better=better, estimand="mean difference among completers, with what the lost could make "
        "of it", variance="HC2; Imbens and Manski's interval for bounds", n=rows.n, causal=False,
        levels={k: float(plain[k]) for k in (0, 1)}, sizes=dict(enumerate(rows.sizes())),
        n_missing=dict(rows.n_missing),
    )  # fmt: skip
    checks = [completeness_check(rows, outcome=outcome)]
    return Effect(estimates_table(table), checks_table(checks), facts)


def tipping_point(
    data: Any,
    *,
    arm: str,
    outcome: str,
    deltas: Sequence[float] | None = None,
    lost_of: str = "programme",
    unit: str = "",
    better: str = "",
    conf_level: float = 0.95,
) -> Effect:
    """Return how different from those followed the lost must be for the conclusion to change.

    The lost of an arm are taken to average the followed of that arm plus `delta` (delta
    adjustment; National Research Council, The Prevention and Treatment of Missing Data in Clinical
    Trials, 2010, chapter 5). With q the share followed, the arm's mean moves by (1 - q) delta, and
    its variance is s^2 / m + delta^2 q (1 - q) / n.

    Args:
        data: One row a patient, the outcome missing for the lost.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        outcome: Column of the outcome: a number, or 0 and 1.
        deltas: To be shown; five steps to either side of 0, up to two standard deviations, unless
            told.
        lost_of: Whose lost differ: "programme", "comparison", or "both" by the same delta.
        unit: Of the outcome.
        better: "higher" or "lower", whichever is good.
        conf_level: Coverage of the intervals.

    Returns:
        A row for each `delta`, that of 0 first; `facts.more` holds `tipping_delta`, the nearest
        to 0 at which the interval begins or ceases to hold no effect, and `null_delta`, at which
        the estimate is 0; missing where there is none.

    Raises:
        UsageError: `lost_of` is none of the three.
        DataError: As for `mean_difference`; nobody was lost there.

    Examples:
        >>> data = pd.DataFrame({"arm": [0] * 5 + [1] * 6, "score": [1.0, 2, 3, 2, 2, 4, 5, 6, 5,
        ...     None, None]})
        >>> found = tipping_point(data, arm="arm", outcome="score", deltas=[-3])
        >>> found.estimates["estimate"].tolist(), round(found.facts.more["null_delta"], 4)
        ([3.0, 2.0], -9.0)
    """
    level = check_share(conf_level, name="conf_level")
    if lost_of not in ("programme", "comparison", "both"):
        raise UsageError(f"lost_of={lost_of!r} must be 'programme', 'comparison' or 'both'")
    rows = open_arms(data, arm=arm, outcome=outcome)
    arms = {"programme": (1,), "comparison": (0,), "both": (0, 1)}[lost_of]
    shift = _shifts(rows, arms)
    if not any(slope for slope, _ in shift.values()):
        words = f"no {outcome} is missing there, so that nothing can tip"
        raise_faults([Fault("data", outcome, 0, words, "report the difference as it is")])
    plain, spread = _plain(rows)
    slope = sum((1 if k else -1) * shift[k][0] for k in shift)
    more = sum(shift[k][1] for k in shift)
    gap, variance = float(plain[1] - plain[0]), float(np.trace(spread))
    steps = _steps(rows, deltas)
    table = [
        estimate_row(
            f"delta {delta:g}", gap + slope * delta, math.sqrt(variance + more * delta**2),
            delta=float(delta), scale="mean difference", method="delta adjustment", n=rows.n,
            conf_level=level,
        )
        for delta in steps
    ]  # fmt: skip
    tip = _nearest_root(gap, slope, variance, more, float(norm.ppf((1 + level) / 2)))
    null = -gap / slope if slope else math.nan
    facts = Facts(
        design="delta adjustment", measure="mean difference", outcome=outcome, unit=unit,
        better=better, estimand="mean difference, the lost differing from the followed by delta",
        variance="HC2 with the share followed estimated", n=rows.n, causal=False,
        levels={k: float(plain[k]) for k in (0, 1)}, sizes=dict(enumerate(rows.sizes())),
        n_missing=dict(rows.n_missing),
        more={"tipping_delta": tip, "null_delta": null, "lost_of": lost_of},
    )  # fmt: skip
    checks = [completeness_check(rows, outcome=outcome)]
    return Effect(estimates_table(table), checks_table(checks), facts)


# --- weights --------------------------------------------------------------------------------------


def _known(table: pd.DataFrame, observed: str) -> np.ndarray:
    values = table[observed]
    if table.empty:
        words = "the table has no rows"
        raise_faults([Fault("data", "", 0, words, "check the cohort's criteria")])
    if not values.isin([0, 1]).all():
        words = (
            f"{observed} is neither true nor false in {int((~values.isin([0, 1])).sum()):,} rows"
        )
        repair = "say of each patient whether the outcome is known"
        raise_faults([Fault("data", observed, len(values), words, repair)])
    known = values.to_numpy().astype(float)
    if known.all():
        words = f"{observed} is true in every row, so that nobody was lost"
        raise_faults([Fault("data", observed, len(known), words, "compare the arms as they are")])
    return known


def _scaled(numbers: np.ndarray) -> np.ndarray:
    scaled = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    return np.column_stack([np.ones(len(numbers)), scaled])


def _followed_design(
    table: pd.DataFrame, arm: np.ndarray, covariates: Sequence[str] | str
) -> tuple[np.ndarray, list[str]]:
    if isinstance(covariates, str):
        design, numbers = build_design(table[needed_columns(covariates)], covariates)
        return _scaled(numbers), list(design.terms)
    design, numbers = build_design(table[list(covariates)], covariates)
    both = _scaled(numbers)
    x = np.column_stack([both, both * arm[:, None]])
    # First the constant, then covariates, the arm, and the arm with each covariate.
    return x, [*design.terms, "the arm", *(f"{term} in arm 1" for term in design.terms)]


def _one_over(
    x: np.ndarray, happened: np.ndarray, terms: Sequence[str], separates: str
) -> tuple[_Model, np.ndarray]:
    """Return a logistic model, and how one over the probability of what happened moves."""
    fit = fit_logit(x, happened, terms=["", *terms], separates=separates, repair=_REPAIR)
    p = fit.fitted
    # Of 1 / p the logarithm moves by p - 1, of 1 / (1 - p) by p.
    return _Model(x, happened - p, fit.bread, np.where(happened == 1, p - 1, p)), p


def _weight_checks(
    arm: np.ndarray, known: np.ndarray, weight: np.ndarray, p: np.ndarray, x: np.ndarray,
    terms: Sequence[str],
) -> pd.DataFrame:  # fmt: skip
    share = {k: float(known[arm == k].mean()) for k in (0, 1)}
    told = f"followed were {100 * share[1]:.1f} % with and {100 * share[0]:.1f} % without"
    # What the lost made uneven the weights have to make even again: each column's mean in all.
    gap = np.abs(np.average(x, axis=0, weights=known / p) - x.mean(axis=0)) / x.std(axis=0)
    worst = int(np.argmax(gap))
    words = f"the weighted followed differ from all most in {terms[worst]}, by {gap[worst]:.3f} "
    used = known == 1
    sizes = effective_by_arm(arm[used], weight[used])
    kept = min(sizes[k] / np.count_nonzero(used & (arm == k)) for k in (0, 1))
    return checks_table([
        Check("completeness", None, told, abs(share[1] - share[0])),
        Check("balance", bool(gap[worst] <= MOST_SMD), words + "standard deviations",
              float(gap[worst]), MOST_SMD, gating=True),
        Check("effective_sample_size", bool(kept >= LEAST_ESS),
              f"weights leave {100 * kept:.0f} % of an arm's followed patients", kept, LEAST_ESS),
        Check("largest_weight", None, f"the largest weight is {weight.max():.1f}",
              float(weight.max())),
    ])  # fmt: skip


# --- differences ----------------------------------------------------------------------------------


def _plain(rows: ArmRows) -> tuple[np.ndarray, np.ndarray]:
    """Return both means of those followed, with the variance of each."""
    parts = [rows.outcome[rows.arm == k] for k in (0, 1)]
    spread = [part.var(ddof=1) / len(part) if len(part) > 1 else np.nan for part in parts]
    return np.array([part.mean() for part in parts]), np.diag(spread)


def _difference(
    term: str, means: np.ndarray, covariance: np.ndarray, **settings: Any
) -> dict[str, Any]:
    error = math.sqrt(max(float(np.array([-1, 1]) @ covariance @ np.array([-1, 1])), 0.0))
    return estimate_row(term, float(means[1] - means[0]), error, scale=term, **settings)


def _ratio(means: np.ndarray, covariance: np.ndarray, **settings: Any) -> dict[str, Any]:
    slope = np.array([-1 / means[0], 1 / means[1]])
    error = math.sqrt(max(float(slope @ covariance @ slope), 0.0))
    return ratio_row(
        "risk ratio", math.log(means[1] / means[0]), error, scale="risk ratio", **settings
    )


# --- bounds ---------------------------------------------------------------------------------------


def _refuse_outside(rows: ArmRows, outcome: str, lowest: float, highest: float) -> None:
    odd = int(np.count_nonzero((rows.outcome < lowest) | (rows.outcome > highest)))
    if odd:
        words = f"{outcome} lies outside {lowest:g} to {highest:g} in {odd:,} of {rows.n:,} rows"
        raise_faults([Fault("data", outcome, odd, words, "give the limits the outcome has")])


def _filled(rows: ArmRows, value: dict[int, float]) -> tuple[float, float]:
    """Return the difference with its error when the lost of each arm have one value."""
    means, variance = [], 0.0
    for k in (0, 1):
        known = rows.outcome[rows.arm == k]
        everybody = np.append(known, np.full(rows.n_missing[k], value[k]))
        means.append(float(everybody.mean()))
        variance += float(everybody.var(ddof=1)) / len(everybody) if len(everybody) > 1 else np.nan
    return means[1] - means[0], math.sqrt(variance)


def _trimmed(rows: ArmRows, *, upper: bool) -> tuple[float, float]:
    """Return Lee's lower or upper bound with its error.

    The arm that was followed better is trimmed by the share p of its followed by which it exceeds
    the other, from the top for a low mean of that arm. With m its mean after trimming, v the
    variance left and y the value trimmed at, its variance is the sum of v, (y - m)^2 p, and
    (y - m)^2 / (1 - p)^2 times the variance of p (Lee 2009, proposition 3).
    """
    size = {k: int(np.count_nonzero(rows.arm == k)) for k in (0, 1)}
    whole = {k: size[k] + rows.n_missing[k] for k in (0, 1)}
    share = {k: size[k] / whole[k] for k in (0, 1)}
    more = 1 if share[1] >= share[0] else 0
    p = 1 - share[1 - more] / share[more]
    y = np.sort(rows.outcome[rows.arm == more])
    from_top = upper != (more == 1)
    mean, variance, edge = _cut(y if from_top else -y[::-1], p)
    mean, edge = (mean, edge) if from_top else (-mean, -edge)
    other = rows.outcome[rows.arm != more]
    of_p = (1 - p) ** 2 * sum((1 - share[k]) / (share[k] * whole[k]) for k in (0, 1))
    kept = size[more] * (1 - p)
    square = (variance + (edge - mean) ** 2 * p) / kept + ((edge - mean) / (1 - p)) ** 2 * of_p
    square += float(other.var(ddof=1)) / len(other) if len(other) > 1 else np.nan
    gap = mean - float(other.mean())
    return (gap if more == 1 else -gap), math.sqrt(square)


def _cut(y: np.ndarray, p: float) -> tuple[float, float, float]:
    """Return mean and variance of rising values without their top share, and the value cut at."""
    keep = np.clip(len(y) * (1 - p) - np.arange(len(y)), 0, 1)
    mean = float(keep @ y / keep.sum())
    edge = float(y[np.flatnonzero(keep > 0)[-1]])
    return mean, float(keep @ (y - mean) ** 2 / keep.sum()), edge


def _pair(
    terms: tuple[str, str], low: tuple[float, float], high: tuple[float, float], method: str,
    settings: dict[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """Return both bounds with the interval of Imbens and Manski, without a p-value."""
    level = settings["conf_level"]
    width, worst = max(high[0] - low[0], 0.0), max(low[1], high[1])
    c = math.nan
    if worst > 0 and np.isfinite(worst):
        # One normal tail where the bounds lie apart, two where they are one.
        c = brentq(lambda q: norm.cdf(q + width / worst) - norm.cdf(-q) - level, 0, 10)
    limits = {"conf_low": low[0] - c * low[1], "conf_high": high[0] + c * high[1]}
    return [
        estimate_row(term, value, error, scale="mean difference", method=method, **settings)
        | limits
        | {"p_value": math.nan}
        for term, (value, error) in zip(terms, (low, high), strict=True)
    ]


# --- the tipping point ----------------------------------------------------------------------------


def _shifts(rows: ArmRows, arms: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Return of each arm by how much its mean moves with delta, and its variance with delta^2."""
    found = {}
    for k in arms:
        n = int(np.count_nonzero(rows.arm == k)) + rows.n_missing[k]
        lost = rows.n_missing[k] / n
        found[k] = (lost, lost * (1 - lost) / n)
    return found


def _steps(rows: ArmRows, deltas: Sequence[float] | None) -> list[float]:
    if deltas is not None:
        return [0.0, *(float(delta) for delta in deltas if delta != 0)]
    spread = math.sqrt(np.mean([rows.outcome[rows.arm == k].var() for k in (0, 1)]))
    return [0.0, *(float(step * spread) for step in np.linspace(-2, 2, 11) if step != 0)]


def _nearest_root(gap: float, slope: float, variance: float, more: float, z: float) -> float:
    """Return the delta nearest to 0 at which a limit of the interval is 0, missing if none is.

    (gap + slope d)^2 = z^2 (variance + more d^2) is a square equation in d.
    """
    roots = np.roots([slope**2 - z**2 * more, 2 * slope * gap, gap**2 - z**2 * variance])
    real = roots[np.abs(roots.imag) < 1e-9].real
    return float(real[np.argmin(np.abs(real))]) if len(real) else math.nan
