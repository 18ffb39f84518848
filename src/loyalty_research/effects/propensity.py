"""Weights that make patients who chose comparable; the outcome is looked at afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import check_choice, check_whole
from loyalty_research.data.lending import collect, to_pandas
from loyalty_research.effects.arms import KINDS, ArmRows, open_arms, refuse_unclustered
from loyalty_research.effects.asked import Asked, check_asked
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect
from loyalty_research.effects.guards import Guards, open_guards
from loyalty_research.effects.observational import (
    GUARDS,
    Found,
    Observed,
    effective_by_arm,
    look_at_enrolment,
    make_observed,
    mean_differences,
    pooled_sd,
    refuse_constant,
    weight_checks,
)
from loyalty_research.effects.propensity_model import (
    PropensityModel,
    fit_propensity,
)
from loyalty_research.effects.stacking import Levels, stack_levels
from loyalty_research.errors import UsageError
from loyalty_research.retention.rows import take_columns


@dataclass(frozen=True, repr=False)
class PropensityWeights:
    """Weights with what can be known of them before the outcome is.

    Attributes:
        weights: `arm, propensity, weight, trimmed`, one row a row of the data, in their order; a
            trimmed row weighs 0.
        checks: `check, statistic, threshold, passed, gating, message`.
        estimand: "ATE", "ATT" or "ATO".
        n_trimmed: Rows left out because their propensity is too near 0 or 1.
        n_truncated: Rows whose propensity was cut.
    """

    weights: pd.DataFrame
    checks: pd.DataFrame
    estimand: str
    n_trimmed: int
    n_truncated: int
    _data: Any = field(repr=False)
    _asked: Asked = field(repr=False)
    _rows: ArmRows = field(repr=False)
    _model: PropensityModel = field(repr=False)
    _guards: Guards = field(repr=False)
    _made: tuple[Check, ...] = field(repr=False)

    def balance(self) -> pd.DataFrame:
        """Return how far the arms lie apart in each covariate, before and after weighting.

        Returns:
            `term, smd_unweighted, smd_weighted`: arm 1 less arm 0 in standard deviations, both
            over the root of the mean of the arms' unweighted variances, so that weights cannot
            shrink a difference by widening a spread (Austin, Stat Med 2009;28:3083).

        Examples:
            >>> data = pd.DataFrame({"arm": [0, 0, 0, 1, 0, 1, 1, 1], "old": [0] * 4 + [1] * 4})
            >>> propensity_weights(data, arm="arm", covariates=["old"]).balance().round(2)
              term  smd_unweighted  smd_weighted
            0  old             1.0           0.0
        """
        return _balance_table(self._rows, self._model)

    def overlap(self, *, bins: int = 20) -> pd.DataFrame:
        """Return how many of each arm have which propensity, for a picture of both arms.

        Args:
            bins: Into how many pieces of equal width 0 to 1 is cut.

        Returns:
            `arm, low, high, n, share, weighted_share`: one row an arm and piece; shares are of the
            arm. Trimmed rows are left out.

        Raises:
            UsageError: bins is no whole number from 1.

        Examples:
            >>> data = pd.DataFrame({"arm": [0, 0, 0, 1, 0, 1, 1, 1], "old": [0] * 4 + [1] * 4})
            >>> weights = propensity_weights(data, arm="arm", covariates=["old"])
            >>> weights.overlap(bins=2)[["arm", "low", "n", "weighted_share"]].round(2)
               arm  low  n  weighted_share
            0    0  0.0  3             0.5
            1    0  0.5  1             0.5
            2    1  0.0  1             0.5
            3    1  0.5  3             0.5
        """
        check_whole(bins, name="bins", minimum=1)
        edges = np.linspace(0, 1, bins + 1)
        kept, parts = self.weights[~self.weights["trimmed"]], []
        for arm, own in kept.groupby("arm"):
            n = np.histogram(own["propensity"], edges)[0]
            weighted = np.histogram(own["propensity"], edges, weights=own["weight"])[0]
            parts.append(
                pd.DataFrame(
                    {"arm": arm, "low": edges[:-1], "high": edges[1:], "n": n,
                     "share": n / n.sum(), "weighted_share": weighted / weighted.sum()}
                )
            )  # fmt: skip
        return pd.concat(parts, ignore_index=True)

    def effect(
        self,
        *,
        outcome: str,
        kind: str = "number",
        unit: str = "",
        better: str = "",
        arms: tuple[str, str] = ("control", "programme"),
        conf_level: float = 0.95,
    ) -> Effect:
        """Return the contrast of the arms' weighted means of an outcome.

        The means are Hajek's (weights of an arm add up to 1). The variance is that of the stacked
        estimating equations of propensity and means (Lunceford and Davidian, Stat Med 2004;23:
        2937); weights taken as known give intervals twice as wide or too narrow.

        Args:
            outcome: Column of the outcome in the data that were weighted. Rows where it is missing
                are left out and counted; their propensity stays in the model.
            kind: "number"; "binary", 0 or 1; "count", whole and not negative.
            unit: Unit of the outcome, such as "mmHg".
            better: "higher" or "lower", whichever is good for patients; "" leaves it unsaid.
            arms: What arm 0 and arm 1 are called.
            conf_level: Coverage of the intervals.

        Returns:
            First the mean or risk difference; for a binary outcome or a count the ratio, its
            `std_error` on the log scale; last the `unadjusted` contrast, an association. The
            E-value is in `facts.more`.

        Raises:
            UsageError: An argument that cannot be meant, or data changed since.
            DataError: The outcome is missing, not of its kind, or the same in every row.

        Examples:
            >>> data = pd.DataFrame({"arm": [0, 0, 0, 1, 0, 1, 1, 1], "old": [0] * 4 + [1] * 4,
            ...     "sbp": [140, 142, 144, 135, 150, 145, 146, 147]})
            >>> weights = propensity_weights(data, arm="arm", covariates=["old"])
            >>> round(weights.effect(outcome="sbp", unit="mmHg").headline["estimate"], 6)
            -5.5
        """
        asked = Asked(
            self._asked.arm, outcome, cluster=self._asked.cluster, unit=unit, better=better,
            arms=arms, override=self._asked.override, conf_level=conf_level,
            exposed_at=self._asked.exposed_at,
        )  # fmt: skip
        check_asked(asked)
        check_choice(kind, KINDS, name="kind")
        rows = open_arms(
            self._data, arm=asked.arm, outcome=outcome, kind=kind, cluster=asked.cluster
        )
        refuse_constant(rows, outcome)
        known = take_columns(self._data, [outcome])[outcome].notna().to_numpy()
        if len(known) != self._rows.n or not np.array_equal(self._rows.arm[known], rows.arm):
            raise UsageError("the data changed since they were weighted; weigh them again")
        return _weighted_effect(self, asked, rows, known, kind)

    def __repr__(self) -> str:
        failed = self.checks["passed"].eq(False) & self.checks["gating"]
        told = ", ".join(self.checks.loc[failed, "check"]) or "none"
        return (
            f"Weights for {self.estimand} of {len(self.weights):,} patients, "
            f"{self.n_trimmed:,} trimmed, {self.n_truncated:,} truncated; failed checks: {told}"
        )

    def _repr_html_(self) -> str:
        balance = self.balance().round(3).to_html(index=False, border=0)
        return f"<p>{self!r}</p>{self.checks.to_html(index=False, border=0)}{balance}"


def propensity_weights(
    data: Any,
    *,
    arm: str,
    covariates: Sequence[str] | str,
    estimand: str = "ATE",
    trim: float | None = None,
    truncate: float | None = None,
    cluster: str | None = None,
    exposed_at: str | None = None,
    override: Mapping[str, str] | None = None,
) -> PropensityWeights:
    """Return weights under which the arms are alike in the covariates, without any outcome.

    Propensities come from a logistic regression without a penalty. With e the propensity, arm 1
    weighs 1 / e and arm 0 1 / (1 - e) (ATE); 1 and e / (1 - e) (ATT); 1 - e and e (ATO, overlap
    weights: Li, Morgan and Zaslavsky, JASA 2018;113:390).

    Args:
        data: One row a patient. pandas, Polars, Arrow, DuckDB or Spark.
        arm: Column that is 1 or true for the programme, 0 or false for the comparison.
        covariates: Columns known before the arm was, or a formula such as
            "age + I(age**2) + C(education)"; all that decides both who takes part and the outcome.
        estimand: In whom: "ATE" all patients, "ATT" those in the programme, "ATO" those who might
            have been in either arm.
        trim: Propensity from 0 to 0.5: patients below it or above 1 less it are left out and
            counted (for ATT only those above), and the propensity is fitted again.
        truncate: Propensity from 0 to 0.5: propensities are cut to lie between it and 1 less it,
            and counted.
        cluster: Column that names what is independent, such as the clinic.
        exposed_at: Column with the day of enrolment counted from time zero, missing = never: an arm
            of patients who enrolled later is refused, members from before are withheld.
        override: Refusal -> reason why it is no mistake here; "clusters", "weights" and "immortal
            time" can be.

    Returns:
        The weights, with `balance()`, `overlap()`, `checks` and then `effect(outcome=...)`. The
        checks "balance", "equipoise" and "effective_sample_size" gate: a failure withholds the
        effect.

    Raises:
        UsageError: An argument that cannot be meant.
        DesignError: Whole clinics are in one arm each and `cluster` is not given; one patient
            carries more than half of an arm's weight.
        SeparationError: A covariate tells exactly who was in the programme.
        DataError: Columns or values missing, an arm that is not 0 and 1 or is empty; every fault
            at once.

    Examples:
        >>> data = pd.DataFrame({"arm": [0, 0, 0, 1, 0, 1, 1, 1], "old": [0] * 4 + [1] * 4})
        >>> weights = propensity_weights(data, arm="arm", covariates=["old"])
        >>> weights.weights["weight"].round(4).tolist()
        [1.3333, 1.3333, 1.3333, 4.0, 4.0, 1.3333, 1.3333, 1.3333]
    """
    asked = Asked(arm, arm, covariates, cluster, override=override, exposed_at=exposed_at)
    guards = open_guards(GUARDS, override=override)
    held = _held(data)
    # The arm stands in for the outcome, which this step must not see.
    rows = open_arms(held, arm=arm, outcome=arm, covariates=covariates, cluster=cluster)
    refuse_unclustered(guards, held, arm=arm, cluster=cluster)
    look_at_enrolment(guards, held, asked)
    terms = rows.design.terms if rows.design is not None else []
    model = fit_propensity(
        rows.x, rows.arm, terms=terms, estimand=estimand, trim=trim, truncate=truncate
    )
    gaps = _balance_table(rows, model)["smd_weighted"].to_numpy()
    made = weight_checks(model, gaps, terms, all_arms=rows.arm, guards=guards)
    weight = np.zeros(rows.n)
    weight[model.kept] = model.weight
    table = pd.DataFrame(
        {"arm": rows.arm, "propensity": model.propensity, "weight": weight, "trimmed": ~model.kept}
    )
    return PropensityWeights(
        table, checks_table([*guards.checks, *made]), estimand, model.n_trimmed, model.n_truncated,
        held, asked, rows, model, guards, tuple(made),
    )  # fmt: skip


def _held(data: Any) -> Any:
    """Return the data as they are, or read once: an engine gives rows in no lasting order."""
    frame = nw.from_native(data, pass_through=True)
    return to_pandas(collect(frame)) if isinstance(frame, nw.LazyFrame) else data


def _balance_table(rows: ArmRows, model: PropensityModel) -> pd.DataFrame:
    sd = pooled_sd(rows.x, rows.arm)
    kept = rows.x if model.kept.all() else rows.x[model.kept]
    return pd.DataFrame(
        {
            "term": [] if rows.design is None else rows.design.terms,
            "smd_unweighted": mean_differences(rows.x, rows.arm, weight=None) / sd,
            "smd_weighted": mean_differences(kept, model.arm, weight=model.weight) / sd,
        }
    )


def _weighted_effect(
    weights: PropensityWeights, asked: Asked, rows: ArmRows, known: np.ndarray, kind: str
) -> Effect:
    model = weights._model
    seen = known[model.kept]
    outcome = np.zeros(len(known))
    outcome[known] = rows.outcome
    cluster = weights._rows.cluster
    levels = weighted_levels(
        model, outcome[model.kept], seen, cluster=None if cluster is None else cluster[model.kept]
    )
    used, treated = outcome[model.kept][seen], int(model.arm[seen].sum())
    found = Found(
        levels=levels, method="weighted means", estimand=weights.estimand,
        sizes=(int(seen.sum()) - treated, treated),
        variance="stacked M-estimation: the propensity's own error counts",
        design="weights for who took part", n_events=int(used.sum()) if kind != "number" else 0,
        effective_n=effective_by_arm(model.arm[seen], model.weight[seen]), checks=weights._made,
        n_trimmed=model.n_trimmed, n_truncated=model.n_truncated,
    )  # fmt: skip
    return make_observed(asked, Observed(rows, weights._guards), found, kind=kind)


def weighted_levels(
    model: PropensityModel, outcome: np.ndarray, seen: np.ndarray, *, cluster: np.ndarray | None
) -> Levels:
    """Return the weighted mean of each arm with the stacked covariance.

    Args:
        model: Propensities and weights.
        outcome: Of the rows kept; any number where it is not known.
        seen: Where it is known.
        cluster: Codes of the rows kept, or None.

    Returns:
        The levels.
    """
    values, parts = [], []
    for k in (0, 1):
        own = seen & (model.arm == k)
        weight = np.where(own, model.weight, 0.0)
        level = float(weight @ outcome / weight.sum())
        distance = outcome - level
        moved = model.influence(np.where(own, model.slope * distance, 0.0))
        values.append(level)
        parts.append((weight * distance + moved) / weight.sum())
    return stack_levels(values, parts, cluster=cluster)
