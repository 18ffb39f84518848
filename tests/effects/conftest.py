"""What tests of observational designs share: patients small enough to do by hand, and real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import causaldata
import pandas as pd
import pytest


@dataclass(frozen=True)
class Published:
    """Data of a published analysis with the arguments that repeat it."""

    data: pd.DataFrame
    arguments: dict[str, Any]


@pytest.fixture
def eight() -> pd.DataFrame:
    """Three of four young patients did not join, three of four old ones did.

    Propensities are 1/4 and 3/4. Mean pressures: young 142 without and 135 with the programme, old
    150 and 146.
    """
    return pd.DataFrame(
        {
            "arm": [0, 0, 0, 1, 0, 1, 1, 1],
            "old": [0, 0, 0, 0, 1, 1, 1, 1],
            "sbp": [140.0, 142.0, 144.0, 135.0, 150.0, 145.0, 146.0, 147.0],
            "came": [0, 1, 1, 1, 1, 0, 1, 1],
        }
    )


@pytest.fixture(scope="session")
def nhefs() -> Published:
    """The 1,566 smokers of NHEFS whose weight is known at both visits.

    Covariates of Hernan and Robins, Causal Inference: What If, chapters 12 and 13.
    """
    table = causaldata.nhefs.load_pandas().data
    table = table[table["wt82_71"].notna()].reset_index(drop=True)
    covariates = (
        "sex + race + age + I(age**2) + C(education) + smokeintensity + I(smokeintensity**2) "
        "+ smokeyrs + I(smokeyrs**2) + C(exercise) + C(active) + wt71 + I(wt71**2)"
    )
    return Published(table, {"arm": "qsmk", "covariates": covariates})


@pytest.fixture(scope="session")
def lalonde() -> Published:
    """The trained of the NSW trial with the CPS sample in place of its controls.

    Covariates of Cunningham, Causal Inference: The Mixtape, chapter 5.
    """
    trial = causaldata.nsw_mixtape.load_pandas().data
    survey = causaldata.cps_mixtape.load_pandas().data
    table = pd.concat([trial[trial["treat"] == 1], survey], ignore_index=True)
    table = table.assign(u74=table["re74"].eq(0).astype(int), u75=table["re75"].eq(0).astype(int))
    covariates = (
        "age + I(age**2) + I(age**3) + educ + I(educ**2) + marr + nodegree + black + hisp "
        "+ re74 + re75 + u74 + u75 + educ:re74"
    )
    return Published(table, {"arm": "treat", "covariates": covariates})


@pytest.fixture
def births(published: Callable[[str], Any]) -> Published:
    """The 189 births of R's MASS::birthwt, as R was given them."""
    table = pd.DataFrame(published("observational")["data"])
    return Published(table, {"arm": "smoke", "covariates": "age + lwt + C(race) + ht"})


@pytest.fixture
def found() -> Callable[..., list[float]]:
    """Return estimate and limits of the headline, rounded as they were published."""

    def rounded(effect: Any, digits: int = 3) -> list[float]:
        head = effect.headline
        return [round(head[name], digits) for name in ("estimate", "conf_low", "conf_high")]

    return rounded


@pytest.fixture
def assert_reference() -> Callable[[Any, dict[str, float]], None]:
    """Hold levels, difference and both errors of an effect to a reference."""

    def check(effect: Any, expected: dict[str, float]) -> None:
        table = effect.estimates.set_index("term")
        assert effect.facts.levels[0] == pytest.approx(expected["level_0"], rel=1e-7)
        assert effect.facts.levels[1] == pytest.approx(expected["level_1"], rel=1e-7)
        assert table["estimate"].iloc[0] == pytest.approx(expected["difference"], rel=1e-7)
        # The reference takes its derivatives numerically.
        assert table["std_error"].iloc[0] == pytest.approx(expected["std_error"], rel=1e-6)
        if "risk ratio" in table.index:
            error = table.loc["risk ratio", "std_error"]
            assert error == pytest.approx(expected["log_ratio_error"], rel=1e-6)

    return check
