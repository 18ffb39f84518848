"""Weights and doubly robust effects of a million patients, beside statsmodels, as ratios.

    python benchmarks/effects_observational.py            # a million patients, 20 covariates
    python benchmarks/effects_observational.py 100000     # fewer

Each task runs in a process of its own, so that its peak of memory is its own. statsmodels fits the
same logistic regressions and, for AIPW, the same linear ones; its own weights on a raw scale give
other standard errors, so that only estimates are compared.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

COVARIATES = [f"x{k}" for k in range(20)]


def patients(n: int) -> pd.DataFrame:
    """Return patients who chose by their covariates, as the outcome depends on them."""
    random = np.random.default_rng(20)
    x = random.normal(size=(n, len(COVARIATES)))
    x[:, 10:] = x[:, 10:] > 0.5
    slopes = np.linspace(-0.3, 0.3, len(COVARIATES))
    arm = (random.random(n) < 1 / (1 + np.exp(-(x @ slopes)))).astype(int)
    score = x @ slopes[::-1] + arm * (1 + 0.3 * x[:, 0]) + random.normal(size=n)
    return pd.DataFrame(x, columns=COVARIATES).assign(arm=arm, score=score)


def ours_weights(data: pd.DataFrame) -> float:
    """Return the effect by weights with stacked errors."""
    from loyalty_research.effects import propensity_weights

    weights = propensity_weights(data, arm="arm", covariates=COVARIATES)
    return float(weights.effect(outcome="score").headline["estimate"])


def statsmodels_weights(data: pd.DataFrame) -> float:
    """Return the effect by weights, their error taken as known."""
    import statsmodels.api as sm

    x = sm.add_constant(data[COVARIATES].to_numpy())
    arm = data["arm"].to_numpy()
    e = sm.Logit(arm, x).fit(disp=0).predict()
    weight = np.where(arm == 1, 1 / e, 1 / (1 - e))
    design = sm.add_constant(arm.astype(float))
    fit = sm.WLS(data["score"].to_numpy(), design, weights=weight).fit(cov_type="HC1")
    return float(fit.params[1])


def ours_doubly_robust(data: pd.DataFrame) -> float:
    """Return the effect by AIPW with stacked errors."""
    from loyalty_research.effects import doubly_robust_effect

    effect = doubly_robust_effect(data, arm="arm", outcome="score", covariates=COVARIATES)
    return float(effect.headline["estimate"])


def statsmodels_doubly_robust(data: pd.DataFrame) -> float:
    """Return the effect by AIPW with the error of its influence function."""
    import statsmodels.api as sm

    x = sm.add_constant(data[COVARIATES].to_numpy())
    arm, score = data["arm"].to_numpy(), data["score"].to_numpy()
    e = sm.Logit(arm, x).fit(disp=0).predict()
    m1 = sm.OLS(score[arm == 1], x[arm == 1]).fit().predict(x)
    m0 = sm.OLS(score[arm == 0], x[arm == 0]).fit().predict(x)
    parts = m1 - m0 + arm * (score - m1) / e - (1 - arm) * (score - m0) / (1 - e)
    return float(parts.mean())


def ours_targeted(data: pd.DataFrame) -> float:
    """Return the effect by TMLE."""
    from loyalty_research.effects import targeted_effect

    effect = targeted_effect(data, arm="arm", outcome="score", covariates=COVARIATES)
    return float(effect.headline["estimate"])


TASKS: dict[str, Callable[[pd.DataFrame], float]] = {
    "weights, ours": ours_weights,
    "weights, statsmodels": statsmodels_weights,
    "AIPW, ours": ours_doubly_robust,
    "AIPW, statsmodels": statsmodels_doubly_robust,
    "TMLE, ours": ours_targeted,
}


def run(task: str, n: int) -> None:
    """Time one task and say seconds, peak of memory and estimate."""
    data = patients(n)
    # Imports are no part of the work.
    TASKS[task](data.head(2000))
    start, used = time.perf_counter(), time.process_time()
    estimate = TASKS[task](data)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(f"{seconds} {used} {peak} {estimate}\n")


def main() -> None:
    """Run every task and print a table."""
    if len(sys.argv) == 3:
        run(sys.argv[1], int(sys.argv[2]))
        return
    n = int(sys.argv[1]) if len(sys.argv) == 2 else 1_000_000
    found = {}
    for task in TASKS:
        done = subprocess.run(
            [sys.executable, __file__, task, str(n)], capture_output=True, text=True, check=True
        )
        found[task] = [float(one) for one in done.stdout.split()]
    # Processor time beside the clock's: a busy machine stretches the one and not the other.
    for task, (seconds, used, peak, estimate) in found.items():
        other = found.get(task.replace("ours", "statsmodels"))
        ratio = f"{other[1] / used:5.1f}x" if other and "ours" in task else "      "
        times = f"{seconds:7.1f} s {used:7.1f} s of processor {ratio}"
        sys.stdout.write(f"{task:22} {times} {peak:5.1f} GB {estimate:.6f}\n")
    for name in ("weights", "AIPW"):
        ours, theirs = found[f"{name}, ours"][3], found[f"{name}, statsmodels"][3]
        if abs(ours - theirs) > 1e-5:
            raise SystemExit(f"{name}: estimates differ, {ours} and {theirs}")


if __name__ == "__main__":
    main()
