"""What no design may answer silently: the same wrong inputs given to all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot

import loyalty_research.effects as fx
from loyalty_research.display.figures_effects import plot_effects
from loyalty_research.display.tables_effects import effect_sentence, effect_table, effects_table
from loyalty_research.effects.checks import Check, checks_table
from loyalty_research.effects.effect import Effect
from loyalty_research.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("error")

DIGITS = "987654"
"""Digits of a value that no message may quote."""


# --- data that every design answers ---------------------------------------------------------------


def patients(n: int = 160) -> pd.DataFrame:
    draw = np.random.default_rng(7)
    x, clinic = draw.normal(size=n).round(2), np.arange(n) % 16
    arm = (draw.random(n) < 1 / (1 + np.exp(-0.4 * x))).astype(int)
    sbp = (140 + 3 * x - 4 * arm + 8 * draw.normal(size=n)).round(1)
    time = draw.integers(1, 60, n)
    enrolled = np.where(draw.random(n) < 0.4, np.nan, draw.integers(0, 40, n).astype(float))
    seen = draw.random(n) < 0.9
    return pd.DataFrame(
        {
            "arm": arm,
            "x": x,
            "z": draw.normal(size=n).round(2),
            "came": (draw.random(n) < 0.5 + 0.15 * arm).astype(int),
            "sbp": sbp,
            "before": (142 + 5 * x + 6 * draw.normal(size=n)).round(1),
            "visits": draw.poisson(np.exp(0.8 + 0.2 * arm)),
            "years": draw.uniform(0.5, 2, n).round(2),
            "cost": (300 + 60 * arm + draw.gamma(2, 50, n)).round(0),
            "ward_number": clinic,
            "sex": np.where(draw.random(n) < 0.5, "f", "m"),
            "received": ((arm == 1) & (draw.random(n) < 0.8)).astype(int),
            "dose": draw.integers(0, 6, n),
            "mediator": draw.integers(0, 2, n),
            "time": time,
            "event": (draw.random(n) < 0.7).astype(int),
            "enrolled": np.where(enrolled > time, np.nan, enrolled),
            "seen": seen.astype(int),
            "sbp_seen": np.where(seen, sbp, np.nan),
        }
    )


def panel() -> pd.DataFrame:
    """Sixteen clinics over fourteen months; four start in month 4, four in month 9."""
    draw, rows = np.random.default_rng(2), []
    for unit in range(16):
        start, level = (np.nan, 4.0, 9.0, np.nan)[unit % 4], draw.normal()
        for month in range(1, 15):
            on = int(month >= start)
            value = round(50 + level + 0.3 * month + 2 * on + draw.normal(), 3)
            rows.append((unit, month, start, on, value, unit % 5))
    return pd.DataFrame(rows, columns=["unit", "month", "start", "on", "y", "size"])


def two_groups() -> pd.DataFrame:
    table = panel().query("start.isna() or start == 4").reset_index(drop=True)
    return table.assign(
        group=table["start"].notna().astype(int), post=(table["month"] >= 4).astype(int)
    )


def wedge() -> pd.DataFrame:
    draw, rows = np.random.default_rng(3), []
    for clinic in range(8):
        level = draw.normal()
        for month in range(5):
            on = int(month > clinic // 2)
            values = 20 + level + 0.2 * month + on + draw.normal(size=6)
            rows += [(clinic, month, on, value) for value in values.round(3)]
    return pd.DataFrame(rows, columns=["clinic", "month", "on", "y"])


def series() -> pd.DataFrame:
    draw, t = np.random.default_rng(5), np.arange(1, 61)
    season = 3 * np.sin(t / 6 * np.pi)
    y = (100 + 0.2 * t + season - 5 * (t >= 31) + draw.normal(size=60)).round(2)
    other = (90 + 0.2 * t + season + draw.normal(size=60)).round(2)
    events = (y * 10).round()
    month = (t - 1) % 12 + 1
    return pd.DataFrame(
        {"t": t, "month": month, "y": y, "other": other, "events": events, "per": 1000 + t}
    )


@dataclass(frozen=True)
class Design:
    """A call with the columns it reads: what each is for."""

    call: Callable[..., Any]
    data: pd.DataFrame
    arm: str = ""
    outcome: str = ""
    covariate: str = ""
    cluster: str = ""
    period: str = ""
    draws: str = ""
    seeded_by_rows: bool = False

    def roles(self) -> dict[str, str]:
        named = {role: getattr(self, role) for role in ("arm", "outcome", "covariate", "cluster")}
        return {role: column for role, column in named.items() if column}


PATIENTS = patients()
LOT = {"arm": "arm", "randomised": True}
CHOSE: dict[str, Any] = {"arm": "arm", "covariates": ["x", "z"]}
FEW = {"n_boot": 50, "seed": 1}
UNITS = {"outcome": "y", "unit": "unit", "period": "month", "first_treated": "start"}
LINE: dict[str, Any] = {"outcome": "y", "time": "t", "start": 31, "season": "month"}
DONORS = panel().query("start.isna() or unit == 2").reset_index(drop=True)
ONE: dict[str, Any] = {
    **{"outcome": "y", "unit": "unit", "period": "month"},
    **{"treated_unit": 2, "start": 9},
}


def of_patients(call: Callable[..., Any], outcome: str, **roles: Any) -> Design:
    return Design(call, PATIENTS, **({"arm": "arm", "outcome": outcome} | roles))


X, WARD = {"covariate": "x"}, {"cluster": "ward_number"}
BOOT = {"draws": "n_boot", "seeded_by_rows": True}
EFFECTS = {
    "risk_difference": of_patients(
        lambda d, **m: fx.risk_difference(d, outcome="came", **LOT, **m), "came"
    ),
    "risk_difference, wards": of_patients(
        lambda d, **m: fx.risk_difference(
            d, outcome="came", cluster="ward_number", covariates=["x"], **LOT, **m
        ),
        "came", **X, **WARD,
    ),
    "risk_ratio": of_patients(lambda d, **m: fx.risk_ratio(d, outcome="came", **LOT, **m), "came"),
    "risk_ratio, covariates": of_patients(
        lambda d, **m: fx.risk_ratio(d, outcome="came", covariates=["x"], **LOT, **m), "came", **X
    ),
    "mean_difference": of_patients(
        lambda d, **m: fx.mean_difference(d, outcome="sbp", covariates=["x"], **LOT, **m),
        "sbp", **X,
    ),
    "rate_ratio": of_patients(
        lambda d, **m: fx.rate_ratio(
            d, outcome="visits", exposure="years", covariates=["x"], cluster="ward_number", **LOT,
            **m,
        ),
        "visits", **X, **WARD,
    ),
    "permutation_test": of_patients(
        lambda d, **m: fx.permutation_test(
            d, outcome="sbp", **LOT, **({"n_permutations": 199, "seed": 1} | m)
        ),
        "sbp", draws="n_permutations", seeded_by_rows=True,
    ),
    "complier_effect": of_patients(
        lambda d, **m: fx.complier_effect(
            d, received="received", outcome="sbp", covariates=["x"], **LOT, **m
        ),
        "sbp", **X,
    ),
    "subgroup_effects": of_patients(
        lambda d, **m: fx.subgroup_effects(d, outcome="sbp", by="sex", **LOT, **m), "sbp"
    ),
    "before_after_change": Design(
        lambda d, **m: fx.before_after_change(d, before="before", after="sbp", **m), PATIENTS,
        outcome="sbp",
    ),
    "dose_response": Design(
        lambda d, **m: fx.dose_response(
            d, dose="dose", outcome="sbp", dose_from="assigned", covariates=["x"],
            cluster="ward_number", **m,
        ),
        PATIENTS, outcome="sbp", **X, **WARD,
    ),
    "controlled_direct_effect": of_patients(
        lambda d, **m: fx.controlled_direct_effect(
            d, arm="arm", mediator="mediator", outcome="sbp", at=0, confounders=["x", "z"], **m
        ),
        "sbp", **X,
    ),
    "propensity_weights": of_patients(
        lambda d, **m: fx.propensity_weights(d, **CHOSE).effect(outcome="came", kind="binary", **m),
        "came", **X,
    ),
    "doubly_robust_effect": of_patients(
        lambda d, **m: fx.doubly_robust_effect(
            d, outcome="came", kind="binary", cluster="ward_number", **CHOSE, **m
        ),
        "came", **X, **WARD,
    ),
    "g_computation": of_patients(
        lambda d, **m: fx.g_computation(d, outcome="sbp", **CHOSE, **m), "sbp", **X
    ),
    "targeted_effect": of_patients(
        lambda d, **m: fx.targeted_effect(d, outcome="came", kind="binary", **CHOSE, **m),
        "came", **X,
    ),
    "matched_effect": of_patients(
        lambda d, **m: fx.matched_effect(d, outcome="sbp", **CHOSE, **m), "sbp", **X
    ),
    "retention_difference": of_patients(
        lambda d, **m: fx.retention_difference(d, day=20, **LOT, **m), "event"
    ),
    "retention_difference, weighted": of_patients(
        lambda d, **m: fx.retention_difference(d, day=20, **CHOSE, **(FEW | m)),
        "event", **X, **BOOT,
    ),
    "retention_difference, wards": of_patients(
        lambda d, **m: fx.retention_difference(
            d, day=20, cluster="ward_number", **LOT, **(FEW | m)
        ),
        "event", draws="n_boot", **WARD,
    ),
    "smoothed_retention_difference": of_patients(
        lambda d, **m: fx.smoothed_retention_difference(d, day=20, **LOT, **(FEW | m)),
        "event", **BOOT,
    ),
    "restricted_mean_effect": of_patients(
        lambda d, **m: fx.restricted_mean_effect(d, horizon=20, **CHOSE, **(FEW | m)),
        "event", **X, **BOOT,
    ),
    "hazard_ratio": of_patients(lambda d, **m: fx.hazard_ratio(d, day=20, **LOT, **m), "event"),
    "landmark_trial": Design(
        lambda d, **m: fx.landmark_trial(d, landmark=10, exposed_at="enrolled")
        .retention_difference(day=20, **m),
        PATIENTS, outcome="event",
    ),
    "time_varying_hazard_ratio": Design(
        lambda d, **m: fx.time_varying_hazard_ratio(
            d, exposed_at="enrolled", covariates=["x"], **m
        ),
        PATIENTS, outcome="event", **X,
    ),
    "clone_censor_weight": Design(
        lambda d, **m: fx.clone_censor_weight(
            d, exposed_at="enrolled", grace=10, day=20, covariates=["x"], **(FEW | m)
        ),
        PATIENTS, outcome="event", **X, **BOOT,
    ),
    "censoring_weights": of_patients(
        lambda d, **m: fx.censoring_weights(d, arm="arm", observed="seen", covariates=["x"])
        .effect(outcome="sbp_seen", **m),
        "sbp_seen", **X,
    ),
    "loss_bounds": of_patients(
        lambda d, **m: fx.loss_bounds(
            d, arm="arm", outcome="sbp_seen", lowest=60, highest=260, **m
        ),
        "sbp_seen",
    ),
    "tipping_point": of_patients(
        lambda d, **m: fx.tipping_point(d, arm="arm", outcome="sbp_seen", **m), "sbp_seen"
    ),
    "incremental_cost_effectiveness": of_patients(
        lambda d, **m: fx.incremental_cost_effectiveness(
            d, cost="cost", outcome="came", covariates=["x"], **LOT, **m
        ),
        "came", **X,
    ),
    "net_benefit": of_patients(
        lambda d, **m: fx.net_benefit(
            d, cost="cost", outcome="came", willingness_to_pay=[100, 500], **LOT, **m
        ),
        "came",
    ),
    "difference_in_differences": Design(
        lambda d, **m: fx.difference_in_differences(
            d, outcome="y", treated="group", post="post", cluster="unit", unit="unit",
            period="month", **m,
        ),
        two_groups(), arm="group", outcome="y", period="month",
    ),
    "event_study": Design(
        lambda d, **m: fx.event_study(d, **UNITS, **({"seed": 1, "n_draws": 1000} | m)),
        two_groups(), outcome="y", period="month", draws="n_draws",
    ),
    "staggered_difference_in_differences": Design(
        lambda d, **m: fx.staggered_difference_in_differences(
            d, **UNITS, **({"seed": 1, "n_draws": 100} | m)
        ),
        panel(), outcome="y", period="month", draws="n_draws",
    ),
    "stepped_wedge_effect": Design(
        lambda d, **m: fx.stepped_wedge_effect(
            d, outcome="y", cluster="clinic", period="month", treated="on", randomised=True, **m
        ),
        wedge(), arm="on", outcome="y",
    ),
    "interrupted_time_series": Design(
        lambda d, **m: fx.interrupted_time_series(d, **LINE, **m), series(), outcome="y",
        period="t",
    ),
    "interrupted_time_series, rates": Design(
        lambda d, **m: fx.interrupted_time_series(
            d, outcome="events", time="t", start=31, exposure="per", scale="log", season="month",
            errors="newey-west", **m,
        ),
        series(), outcome="events", period="t",
    ),
    "synthetic_control": Design(
        lambda d, **m: fx.synthetic_control(d, **ONE), DONORS, outcome="y", period="month"
    ),
}  # fmt: skip
TABLES = {
    "propensity_weights, balance": Design(
        lambda d, **m: fx.propensity_weights(d, **CHOSE).balance(), PATIENTS, arm="arm", **X
    ),
    "weighted_retention": of_patients(
        lambda d, **m: fx.weighted_retention(d, times=[10, 20], **CHOSE, **(FEW | m)),
        "event", **X, **BOOT,
    ),
    "acceptability_curve": of_patients(
        lambda d, **m: fx.acceptability_curve(
            d, arm="arm", cost="cost", outcome="came", willingness_to_pay=[100, 500]
        ),
        "came",
    ),
    "check_measurement": of_patients(
        lambda d, **m: fx.check_measurement(d, arm="arm", measured="seen"), "seen"
    ),
    "intracluster_correlation": Design(
        lambda d, **m: fx.intracluster_correlation(d, outcome="sbp", cluster="ward_number", **m),
        PATIENTS, outcome="sbp", **WARD,
    ),
    "rosenbaum_bounds": Design(
        lambda d, **m: fx.rosenbaum_bounds(d, treated="sbp", control="before"), PATIENTS,
        outcome="sbp",
    ),
    "bacon_decomposition": Design(
        lambda d, **m: fx.bacon_decomposition(d, **UNITS), panel(), outcome="y", period="month"
    ),
    "check_pre_trends": Design(
        lambda d, **m: fx.check_pre_trends(d, **UNITS, **m), panel(), outcome="y", period="month"
    ),
    "placebo_dates": Design(
        lambda d, **m: fx.placebo_dates(d, **UNITS, **({"seed": 1, "n_draws": 100} | m)), panel(),
        outcome="y", period="month", draws="n_draws",
    ),
    "smoothness_sensitivity": Design(
        lambda d, **m: fx.smoothness_sensitivity(d, **UNITS, bounds=[0, 0.5], **m), panel(),
        outcome="y", period="month",
    ),
    "derive_first_treated": Design(
        lambda d, **m: fx.derive_first_treated(d, unit="unit", period="month", treated="on"),
        panel(), arm="on", period="month",
    ),
    "placebo_starts": Design(
        lambda d, **m: fx.placebo_starts(d, **LINE, **m), series(), outcome="y", period="t"
    ),
    "counterfactual": Design(
        lambda d, **m: fx.counterfactual(d, **LINE, **m), series(), outcome="y", period="t"
    ),
    "displacement": Design(
        lambda d, **m: fx.displacement(d, elsewhere="other", **LINE, **m), series(), outcome="y",
        period="t",
    ),
    "synthetic_path": Design(
        lambda d, **m: fx.synthetic_path(d, **ONE), DONORS, outcome="y", period="month"
    ),
}  # fmt: skip
ALL = EFFECTS | TABLES


# --- what is asked of every answer ----------------------------------------------------------------


def answer(name: str, data: Any, **more: Any) -> Any:
    """Return the design's result, or the text of its refusal, which must be a whole one."""
    try:
        return ALL[name].call(data, **more)
    except (DataError, UsageError) as refused:
        text = str(refused)
        assert DIGITS not in text
        assert "; " in text or " must be " in text, text
        return text


def assert_sound(found: Any) -> None:
    """An effect has a headline with an error, or a failed check that withholds it."""
    if not isinstance(found, Effect):
        return
    head = found.headline
    known = head["estimate"] == head["estimate"]
    sure = head["conf_low"] == head["conf_low"] or head["p_value"] == head["p_value"]
    assert (known and sure) or found.withheld or found.facts.more.get("in_words")
    limits = found.estimates[["conf_low", "estimate", "conf_high"]].dropna()
    near = 1e-9 * (1 + limits["estimate"].abs().replace(np.inf, 0))
    assert (limits["conf_low"] <= limits["estimate"] + near).all()
    assert (limits["estimate"] <= limits["conf_high"] + near).all()
    assert_readable(found)


def assert_readable(found: Effect) -> None:
    """No word of what readers see is a computer's word for what is not a number."""
    words = []
    for audience in ("internal", "publish"):
        words += [found.sentence(audience=audience), effect_sentence(found, audience=audience)]
        for table in (
            effect_table(found, audience=audience),
            effects_table({"One": found}, audience=audience),
        ):
            words += [*map(str, table.words.columns), *map(str, table.words.to_numpy().ravel())]
    seen = {word.strip("(),;.−+") for text in words for word in text.split()}
    assert not seen & {"nan", "inf", "None", "NaN", "<NA>"}
    assert json.loads(found.to_json())["facts"]["n"] == found.facts.n


@pytest.mark.parametrize("name", EFFECTS)
def test_what_is_right_is_answered_in_numbers(name):
    found = answer(name, ALL[name].data)
    assert isinstance(found, Effect), found
    assert np.isfinite(found.headline["estimate"])
    assert_sound(found)


@pytest.mark.parametrize("name", TABLES)
def test_what_is_right_gives_a_table(name):
    assert len(answer(name, ALL[name].data)) > 0


# --- wrong columns --------------------------------------------------------------------------------


def first(value: Any) -> Callable[[pd.Series], Any]:
    return lambda column: [value, *column.tolist()[1:]]


ODD_ARMS: dict[str, Callable[[pd.Series], Any]] = {
    "coded 1 and 2": lambda c: c + 1,
    "yes and no": lambda c: c.map({1: "yes", 0: "no"}),
    "missing once": first(None),
    "missing throughout": lambda c: None,
    "a third code": first(float(DIGITS)),
    "infinite": first(np.inf),
}


@pytest.mark.parametrize("kind", ODD_ARMS)
@pytest.mark.parametrize("name", [name for name, design in ALL.items() if design.arm])
def test_an_arm_that_is_neither_0_nor_1_is_refused(name, kind):
    design = ALL[name]
    odd = design.data.assign(**{design.arm: ODD_ARMS[kind](design.data[design.arm])})
    with pytest.raises(DataError, match=f"{design.arm} is "):
        design.call(odd)
    answer(name, odd)


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("name", [n for n, d in ALL.items() if d.arm and d.data is PATIENTS])
def test_an_arm_without_patients_is_refused(name, constant):
    with pytest.raises(DataError, match=f"arm {1 - constant}, the "):
        ALL[name].call(ALL[name].data.assign(arm=constant))


ODD_OUTCOMES: dict[str, Callable[[pd.Series], Any]] = {
    "text": lambda c: [f"about {i}" for i in range(len(c))],
    "numbers as text": lambda c: c.astype(str),
    "missing throughout": lambda c: None,
    "infinite": first(np.inf),
    "huge": first(float(DIGITS) * 1e295),
}


@pytest.mark.parametrize("kind", ODD_OUTCOMES)
@pytest.mark.parametrize("name", [name for name, design in ALL.items() if design.outcome])
def test_an_outcome_that_is_no_number_is_refused(name, kind):
    design = ALL[name]
    odd = design.data.assign(**{design.outcome: ODD_OUTCOMES[kind](design.data[design.outcome])})
    with pytest.raises(DataError, match=design.outcome):
        design.call(odd)
    answer(name, odd)


ODD_COVARIATES: dict[str, Callable[[pd.DataFrame, str], Any]] = {
    "missing": lambda d, c: first(None)(d[c]),
    "infinite": lambda d, c: first(np.inf)(d[c]),
    "constant": lambda d, c: 3.0,
    "identifiers": lambda d, c: [f"patient {i}" for i in range(len(d))],
    "huge": lambda d, c: first(float(DIGITS) * 1e295)(d[c]),
}


@pytest.mark.parametrize("kind", ODD_COVARIATES)
@pytest.mark.parametrize("name", [name for name, design in ALL.items() if design.covariate])
def test_a_covariate_that_says_nothing_is_refused(name, kind):
    design = ALL[name]
    odd = design.data.assign(
        **{design.covariate: ODD_COVARIATES[kind](design.data, design.covariate)}
    )
    with pytest.raises(DataError, match=design.covariate):
        design.call(odd)
    answer(name, odd)


@pytest.mark.parametrize("name", [n for n, d in ALL.items() if d.covariate and d.call and d.arm])
def test_a_covariate_that_tells_the_arms_apart_is_refused_or_adjusted_for(name):
    told = PATIENTS["arm"] + 0.1 * np.sin(np.arange(len(PATIENTS)))
    assert_sound(answer(name, PATIENTS.assign(x=told)))
    copied = answer(name, PATIENTS.assign(x=PATIENTS["arm"]))
    assert isinstance(copied, str) or copied.withheld


@pytest.mark.parametrize("name", [name for name, design in ALL.items() if design.cluster])
def test_clusters_that_are_none_are_refused_or_withheld(name):
    design = ALL[name]
    with pytest.raises(DataError, match=f"{design.cluster} is missing in 1"):
        design.call(design.data.assign(**{design.cluster: first(None)(design.data["sex"])}))
    for constant in (design.data.assign(**{design.cluster: 1}),):
        found = answer(name, constant)
        assert isinstance(found, str) or found.withheld


@pytest.mark.parametrize("name", ALL)
def test_every_column_that_is_not_there_is_named(name):
    design = ALL[name]
    for column in design.roles().values():
        with pytest.raises(DataError, match=f"column {column} is missing"):
            design.call(design.data.drop(columns=column))
    with pytest.raises(DataError, match=r"faults? in the data"):
        design.call(pd.DataFrame())


@pytest.mark.parametrize("name", ALL)
def test_a_table_without_rows_is_refused(name):
    with pytest.raises(DataError, match=r"no rows?|fewer|known") as refused:
        ALL[name].call(ALL[name].data.head(0))
    assert refused.value.faults


@pytest.mark.parametrize("column", ["arm", "sbp", "x", "ward_number"])
@pytest.mark.parametrize("kind", ["lists", "complex"])
def test_a_column_without_single_values_is_refused(column, kind):
    made = {"lists": [[1]] * len(PATIENTS), "complex": PATIENTS[column].astype(complex)}
    with pytest.raises(DataError, match=rf"{column} is .*, not of single values; convert it"):
        fx.mean_difference(
            PATIENTS.assign(**{column: made[kind]}), arm="arm", outcome="sbp", covariates=["x"],
            cluster="ward_number",
        )  # fmt: skip


def test_all_faults_are_told_at_once():
    odd = PATIENTS.assign(arm=PATIENTS["arm"] + 1, sbp="high", ward_number=None)
    with pytest.raises(DataError, match="3 faults") as refused:
        fx.mean_difference(odd, arm="arm", outcome="sbp", cluster="ward_number")
    assert {fault.column for fault in refused.value.faults} == {"arm", "sbp", "ward_number"}


# --- wrong periods --------------------------------------------------------------------------------


PANELS = [name for name, design in ALL.items() if design.period]


@pytest.mark.parametrize("name", PANELS)
def test_a_period_that_has_no_order_is_refused(name):
    design = ALL[name]
    with pytest.raises(DataError, match=rf"{design.period} is .*whole number"):
        design.call(design.data.assign(**{design.period: design.data[design.period].astype(str)}))


@pytest.mark.parametrize("name", [name for name in PANELS if name != "derive_first_treated"])
def test_a_doubled_period_is_refused(name):
    data = ALL[name].data
    doubled = pd.concat([data, data.iloc[[5]]], ignore_index=True)
    with pytest.raises(DataError, match=r"more than once|repeat|twice"):
        ALL[name].call(doubled)


BALANCED = [n for n in PANELS if n not in ("derive_first_treated", "difference_in_differences")]


@pytest.mark.parametrize("name", BALANCED)
def test_a_gap_is_refused(name):
    data = ALL[name].data
    with pytest.raises(DataError, match=r"lack|have no row|has no row|without a row"):
        ALL[name].call(data.drop(index=data.index[5]))


def test_a_unit_treated_and_then_untreated_is_refused():
    data = panel()
    back = data.assign(on=data["on"].mask((data["unit"] == 1) & (data["month"] == 12), 0))
    with pytest.raises(DataError, match="goes back from 1 to 0 in 1 of 16 units"):
        fx.derive_first_treated(back, unit="unit", period="month", treated="on")


@pytest.mark.parametrize("start", [1, 61, 0, -3, 30.5, "March", None])
def test_a_start_outside_the_series_is_refused(start):
    with pytest.raises((DataError, UsageError), match="start"):
        fx.interrupted_time_series(series(), **(LINE | {"start": start}))


def test_seasons_of_two_kinds_are_refused():
    mixed = series().assign(month=[1 if i % 2 else "March" for i in range(60)])
    with pytest.raises(DataError, match="month is mixed-integer; name every season by a number"):
        fx.interrupted_time_series(mixed, **LINE)


# --- wrong settings -------------------------------------------------------------------------------

LEVELLED = [n for n in EFFECTS if n != "synthetic_control"]


@pytest.mark.parametrize("level", [0, 1, 95, np.nan, None])
@pytest.mark.parametrize("name", LEVELLED)
def test_a_level_outside_0_and_1_is_refused(name, level):
    with pytest.raises(UsageError, match=r"conf_level=.* must be a number between 0 and 1"):
        ALL[name].call(ALL[name].data, conf_level=level)


@pytest.mark.parametrize("name", [name for name, design in ALL.items() if design.draws])
def test_draws_that_are_none_are_refused(name):
    design = ALL[name]
    for seed in (-1, 1.5, "a"):
        with pytest.raises(UsageError, match=r"seed=.* must be a whole number"):
            design.call(design.data, seed=seed)
    for n in (0, -5, 1.5):
        with pytest.raises(UsageError, match=rf"{design.draws}=.* must be a whole number"):
            design.call(design.data, **{design.draws: n})


# --- extremes -------------------------------------------------------------------------------------


def extremes(design: Design) -> dict[str, pd.DataFrame]:
    data, n = design.data, len(design.data)
    found = {
        "one row": data.head(1),
        "two rows": data.iloc[[0, n - 1]],
        "six rows": data.head(6),
        "twelve rows": data.head(12),
    }
    if design.outcome:
        column = data[design.outcome]
        found |= {
            "constant 0": data.assign(**{design.outcome: 0}),
            "constant 1": data.assign(**{design.outcome: 1}),
            "tiny": data.assign(**{design.outcome: column * 1e-300}),
            "large": data.assign(**{design.outcome: column * 1e12}),
            "small": data.assign(**{design.outcome: column * 1e-12}),
            "one byte": data.assign(
                **{design.outcome: column.fillna(0).clip(-99, 99).astype("i1")}
            ),
        }
    if design.arm:
        at = data[design.arm].eq(1)
        found["one treated"] = data[~at | at.cumsum().eq(1)]
    if design.arm and design.outcome:
        found["perfect"] = data.assign(**{design.outcome: data[design.arm]})
    return found


@pytest.mark.parametrize("name", ALL)
def test_what_is_extreme_is_answered_withheld_or_refused(name):
    for data in extremes(ALL[name]).values():
        assert_sound(answer(name, data))


# --- kinds of frames and columns ------------------------------------------------------------------


EXPECTED: dict[str, Any] = {}


def same(name: str, data: Any) -> None:
    found = answer(name, data)
    if name not in EXPECTED:
        EXPECTED[name] = answer(name, ALL[name].data)
    expected = EXPECTED[name]
    assert not isinstance(found, str), found
    if isinstance(found, Effect):
        found, expected = found.estimates, expected.estimates
    numbers = ["estimate"] if ALL[name].seeded_by_rows else list(expected.select_dtypes("float"))
    if not set(numbers) <= set(expected):
        return
    for column in numbers:
        np.testing.assert_allclose(
            found[column].to_numpy(float), expected[column].to_numpy(float), rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize("name", EFFECTS)
def test_shuffled_rows_give_the_same_answer(name):
    same(name, ALL[name].data.sample(frac=1, random_state=3))


@pytest.mark.parametrize("name", [n for n, d in EFFECTS.items() if d.seeded_by_rows])
def test_one_seed_repeats_the_interval_of_one_order_of_rows(name):
    once, again = (EFFECTS[name].call(EFFECTS[name].data).estimates for _ in range(2))
    pd.testing.assert_frame_equal(once, again)


@pytest.mark.parametrize("name", EFFECTS)
def test_the_kind_of_frame_changes_nothing(name):
    data = ALL[name].data
    at = np.arange(len(data))
    same(name, data.set_index(pd.MultiIndex.from_arrays([at % 3, at])))
    same(name, data.set_index(np.zeros(len(data), int)))
    same(name, pl.from_pandas(data))
    connection = duckdb.connect()
    connection.register("given", data)
    same(name, connection.table("given"))


@pytest.mark.parametrize("name", EFFECTS)
def test_nullable_columns_change_nothing(name):
    same(name, ALL[name].data.convert_dtypes())
    same(name, ALL[name].data.astype(object).infer_objects())


@pytest.mark.parametrize("name", [n for n, d in EFFECTS.items() if d.arm])
def test_an_arm_may_be_true_or_false(name):
    design = ALL[name]
    for kind in (bool, "boolean", "int8", "float"):
        same(name, design.data.assign(**{design.arm: design.data[design.arm].astype(kind)}))


def test_columns_named_like_those_of_results_are_no_trouble():
    names = {"arm": "term", "sbp": "estimate", "x": "conf_low", "ward_number": "n"}
    found = fx.mean_difference(
        PATIENTS.rename(columns=names), arm="term", outcome="estimate", covariates=["conf_low"],
        cluster="n", randomised=True,
    )  # fmt: skip
    plain = fx.mean_difference(
        PATIENTS, arm="arm", outcome="sbp", covariates=["x"], cluster="ward_number",
        randomised=True,
    )  # fmt: skip
    assert found.headline["estimate"] == plain.headline["estimate"]
    names = {"arm": "event", "event": "n_events", "time": "arm", "x": "time"}
    swapped = {"arm": "event", "event": "n_events", "time": "arm", "covariates": ["time"]}
    again = fx.retention_difference(PATIENTS.rename(columns=names), day=20, **swapped, **FEW)
    usual = fx.retention_difference(PATIENTS, arm="arm", covariates=["x"], day=20, **FEW)
    assert again.headline["estimate"] == usual.headline["estimate"]


# --- shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_is_drawn(name):
    found = EFFECTS[name].call(EFFECTS[name].data)
    for audience in ("internal", "publish"):
        axes = plot_effects({"One": found}, audience=audience)
        axes.figure.canvas.draw()
        pyplot.close("all")
        drawn = " ".join(text.get_text() for text in axes.texts)
        assert not {"nan", "inf"} & set(drawn.replace("(", " ").replace(")", " ").split())


def test_a_ratio_to_none_is_infinite_in_words():
    none = PATIENTS.assign(came=PATIENTS["arm"])
    found = fx.risk_ratio(none, arm="arm", outcome="came", randomised=True)
    assert "infinite (95 % interval 23.91 to no limit)" in found.sentence()
    assert effect_table(found).words.iloc[0, 1] == "infinite (23.91 to no limit)"
    plot_effects({"One": found}).figure.canvas.draw()
    pyplot.close("all")


SHARES = [
    name
    for name, design in EFFECTS.items()
    if design.arm == "arm" and design.outcome in ("came", "event") and "cost" not in name
    # Of three who leave no smooth curve has finite coefficients: a refusal publishes nothing.
    and name not in ("net_benefit", "restricted_mean_effect", "smoothed_retention_difference")
]  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_a_share_that_rests_on_three_patients_is_not_published(name):
    # Three of the programme came, or left by day 20; with the arms' sizes a share gives that back.
    treated = PATIENTS["arm"].eq(1).to_numpy()
    few = treated & (treated.cumsum() <= 3)
    data = PATIENTS.assign(
        came=PATIENTS["came"].mask(treated, few.astype(int)),
        event=PATIENTS["event"].mask(treated, few.astype(int)),
        time=PATIENTS["time"].mask(treated, np.where(few, 5, 50)),
    )
    found = EFFECTS[name].call(data)
    assert found.facts.sizes == {0: int((~treated).sum()), 1: int(treated.sum())}
    shown = effects_table({"One": found}, audience="publish")
    assert shown.numbers[["level_0", "level_1", "estimate"]].isna().all().all()
    assert "withheld" in effect_sentence(found, audience="publish")


@pytest.mark.parametrize("name", EFFECTS)
def test_a_withheld_effect_tells_no_digit_of_its_estimate(name):
    found = EFFECTS[name].call(EFFECTS[name].data)
    checks = pd.concat([found.checks, checks_table([Check("told", False, "no", gating=True)])])
    held = Effect(found.estimates, checks.reset_index(drop=True), found.facts)
    words = held.sentence(audience="publish").partition(": withheld")[2]
    assert words
    assert not any(figure in words for figure in "123456789")
