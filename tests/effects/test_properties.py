"""What holds for every data set: mirrored arms, shifted and scaled outcomes, renamed clusters."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import loyalty_research.effects as fx

SEEDS = range(5)
LOT = {"arm": "arm", "randomised": True}


def drawn(seed: int) -> pd.DataFrame:
    draw, n = np.random.default_rng(seed), 120
    arm, x = draw.integers(0, 2, n), draw.normal(size=n)
    return pd.DataFrame(
        {
            "arm": arm,
            "x": x,
            "ward_number": draw.integers(0, 12, n),
            "score": 50 + 3 * x + 2 * arm + 5 * draw.normal(size=n),
            "came": (draw.random(n) < 0.4 + 0.2 * arm).astype(int),
            "visits": draw.poisson(3, n),
            "time": draw.integers(1, 40, n),
            "event": draw.integers(0, 2, n),
        }
    )


DIFFERENCES = {
    "mean_difference": lambda d: fx.mean_difference(d, outcome="score", **LOT),
    "mean_difference, wards": lambda d: fx.mean_difference(
        d, outcome="score", covariates=["x"], cluster="ward_number", **LOT
    ),
    "risk_difference": lambda d: fx.risk_difference(d, outcome="came", **LOT),
    "doubly_robust_effect": lambda d: fx.doubly_robust_effect(
        d, arm="arm", outcome="score", covariates=["x"], cluster="ward_number"
    ),
    "g_computation": lambda d: fx.g_computation(d, arm="arm", outcome="score", covariates=["x"]),
    "matched_effect": lambda d: fx.matched_effect(
        d, arm="arm", outcome="score", covariates=["x"], estimand="ATE"
    ),
    "retention_difference": lambda d: fx.retention_difference(d, day=15, **LOT),
    "restricted_mean_effect": lambda d: fx.restricted_mean_effect(d, horizon=15, **LOT),
}
RATIOS = {
    "risk_ratio": lambda d: fx.risk_ratio(d, outcome="came", **LOT),
    "rate_ratio": lambda d: fx.rate_ratio(d, outcome="visits", cluster="ward_number", **LOT),
    "hazard_ratio": lambda d: fx.hazard_ratio(d, day=15, **LOT),
}
CONTINUOUS = [name for name in DIFFERENCES if name.startswith(("mean", "doubly", "g_", "matched"))]
CLUSTERED = ["mean_difference, wards", "doubly_robust_effect", "rate_ratio"]
ALL = DIFFERENCES | RATIOS


def limits(effect: fx.Effect) -> np.ndarray:
    return np.array([effect.headline[name] for name in ("conf_low", "estimate", "conf_high")])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ALL)
def test_swapped_arms_mirror_the_effect(name, seed):
    data = drawn(seed)
    one, other = (ALL[name](d) for d in (data, data.assign(arm=1 - data["arm"])))
    mirrored = 1 / limits(other) if name in RATIOS else -limits(other)
    np.testing.assert_allclose(limits(one), mirrored[::-1], rtol=1e-6, atol=1e-9)
    assert one.headline["p_value"] == pytest.approx(other.headline["p_value"], abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_constant_added_changes_no_difference_and_a_factor_scales_it(name, seed):
    data = drawn(seed)
    plain = limits(ALL[name](data))
    moved = limits(ALL[name](data.assign(score=data["score"] + 1000)))
    wide = limits(ALL[name](data.assign(score=-2.5 * data["score"])))
    np.testing.assert_allclose(moved, plain, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(wide[::-1], -2.5 * plain, rtol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CLUSTERED)
def test_other_names_of_clusters_change_nothing(name, seed):
    data = drawn(seed)
    names = np.random.default_rng(seed).permutation(12)
    renamed = data.assign(ward_number=[f"ward {names[k]}" for k in data["ward_number"]])
    np.testing.assert_allclose(limits(ALL[name](data)), limits(ALL[name](renamed)), rtol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_come_twice_in_a_cluster_are_one_patient(seed):
    data = drawn(seed).assign(patient=range(120))
    doubled = pd.concat([data, data], ignore_index=True)
    once = fx.mean_difference(data, outcome="score", cluster="patient", **LOT)
    twice = fx.mean_difference(doubled, outcome="score", cluster="patient", **LOT)
    np.testing.assert_allclose(limits(once), limits(twice), rtol=1e-9)
    alone = fx.mean_difference(data, outcome="score", **LOT)
    assert twice.headline["std_error"] == pytest.approx(alone.headline["std_error"], rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ALL)
def test_json_gives_every_number_back(name, seed):
    effect = ALL[name](drawn(seed))
    read = json.loads(effect.to_json())
    table = pd.DataFrame(read["estimates"])
    numbers = ["estimate", "std_error", "conf_low", "conf_high", "p_value", "n"]
    expected = effect.estimates[numbers].replace([np.inf, -np.inf], np.nan)
    np.testing.assert_array_equal(table[numbers].to_numpy(float), expected.to_numpy(float))
    assert table["term"].tolist() == effect.estimates["term"].tolist()
    assert [row["check"] for row in read["checks"]] == effect.checks["check"].tolist()
    assert read["facts"]["estimand"] == effect.facts.estimand
    assert "nan" not in effect.sentence().split()
