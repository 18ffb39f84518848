"""BG/NBD: by hand, against published numbers, against a known world, and what is refused."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.expected_visits import (
    TERMS,
    _chance,
    _expected,
    _log_likelihood,
    _p_alive,
    check_bg_nbd,
    derive_visit_summary,
    expected_visits,
    fit_bg_nbd,
    repeat_visit_counts,
)

# Fader, Hardie and Lee (2005), section 5, to the digits that METHODS gives; alpha in weeks.
CDNOW = np.array([0.2426, 4.4136, 0.7930, 2.4260])
TRUE = {"r": 1.2, "alpha": 40.0, "a": 0.8, "b": 3.0}


def one(*values: float) -> list[np.ndarray]:
    return [np.array([float(value)]) for value in values]


def world(n: int, seed: int, *, age: int = 720, ahead: int = 360) -> pd.DataFrame:
    """Draw patients of the model; times are rounded up, so that no two visits share a day."""
    draws = np.random.default_rng(seed)
    # A clock of fine ticks: a day of the model is 1,000 of them.
    rate = draws.gamma(TRUE["r"], 1 / TRUE["alpha"], n) / 1_000
    leave = draws.beta(TRUE["a"], TRUE["b"], n)
    lives = draws.geometric(leave)  # visits until the patient leaves, that one included
    gaps = draws.exponential(1, (n, 400)) / rate[:, None]
    times = np.cumsum(np.ceil(gaps), axis=1)
    happens = np.arange(400) < lives[:, None]
    end = draws.integers(age * 500, age * 1_000, n)[:, None]
    seen = happens & (times <= end)
    later = happens & (times > end) & (times <= end + ahead * 1_000)
    return pd.DataFrame(
        {
            "frequency": seen.sum(axis=1),
            "recency": np.where(seen, times, 0).max(axis=1).astype(int),
            "age": end[:, 0],
            "after": later.sum(axis=1),
        }
    )


# --- by hand --------------------------------------------------------------------------------------


def test_frequency_recency_and_age_count_days_from_the_first_visit():
    days = ["2024-03-01", "2024-03-11", "2024-03-11", "2024-03-31", "2024-05-01", "2024-05-02"]
    visits = pd.DataFrame(
        {"patient_id": ["a", "a", "a", "a", "a", "b"], "visit_date": pd.to_datetime(days)}
    )
    kept = {"data_cutoff": "2024-04-10", "holdout_until": "2024-06-01"}
    row = derive_visit_summary(visits, **kept)
    assert row.to_numpy().tolist() == [["a", 2, 30, 40, 1]]  # b came later
    whole = derive_visit_summary(visits, data_cutoff="2024-05-02")
    assert whole.to_numpy().tolist() == [["a", 3, 61, 62], ["b", 0, 0, 0]]


def test_the_likelihood_of_who_never_came_again_by_hand():
    # (alpha / (alpha + T))^r: no visit in the age, by a rate that is gamma distributed.
    value, _ = _log_likelihood(CDNOW, *one(0, 0, 38.86))
    assert value.item() == pytest.approx(0.2426 * np.log(4.4136 / (4.4136 + 38.86)))


def test_the_likelihood_of_one_visit_by_hand():
    # Stayed after it: b / (a + b); left after it: a / (a + b); its rate integrated over gamma.
    r, alpha, a, b = CDNOW
    stayed = b / (a + b) * r * alpha**r / (alpha + 38.86) ** (r + 1)
    left = a / (a + b) * r * alpha**r / (alpha + 1.71) ** (r + 1)
    value, _ = _log_likelihood(CDNOW, *one(1, 1.71, 38.86))
    assert value.item() == pytest.approx(np.log(stayed + left))
    assert _p_alive(CDNOW, *one(1, 1.71, 38.86)).item() == pytest.approx(stayed / (stayed + left))


def test_the_derivatives_are_those_of_the_likelihood():
    rows = [np.array(v, float) for v in ([0, 1, 2, 9], [0, 2, 30, 38], [39, 39, 39, 39])]
    _, gradient = _log_likelihood(CDNOW, *rows)
    for k, step in enumerate(np.eye(4) * 1e-6):
        up, down = (_log_likelihood(CDNOW + s * step, *rows)[0] for s in (1, -1))
        np.testing.assert_allclose(gradient[k], (up - down) / 2e-6, rtol=1e-6, atol=1e-8)


def test_the_likelihood_integrates_over_rates_and_chances_of_leaving():
    # Given a rate l and a chance p: l^x (1-p)^x e^(-l T) + l^x p (1-p)^(x-1) e^(-l t_x).
    r, alpha, a, b = 1.3, 2.0, 1.5, 2.5
    x, last, whole = 3, 4.0, 6.0
    draws = np.random.default_rng(3)
    rate, leave = draws.gamma(r, 1 / alpha, 2_000_000), draws.beta(a, b, 2_000_000)
    stays = (1 - leave) ** x * np.exp(-rate * whole)
    goes = leave * (1 - leave) ** (x - 1) * np.exp(-rate * last)
    likelihood = rate**x * (stays + goes)
    value, _ = _log_likelihood(np.array([r, alpha, a, b]), *one(x, last, whole))
    error = likelihood.std() / len(rate) ** 0.5
    assert abs(np.exp(value.item()) - likelihood.mean()) < 4 * error


def test_expected_visits_are_the_integral_of_the_chance_of_being_there():
    # Eight visits a year on average, a near 1 where the published formula breaks down.
    for a in (0.4, 1.0, 1.0001, 2.5):
        p = np.array([1.5, 2.0, a, 3.0])
        few = _expected(p, *one(2, 5, 8), 1e-4).item() / 1e-4
        alive = _p_alive(p, *one(2, 5, 8)).item()
        assert few == pytest.approx(alive * (1.5 + 2) / (2.0 + 8), rel=1e-3)
        steps = [_expected(p, *one(2, 5, 8), t).item() for t in (1, 2, 3, 4)]
        assert (np.diff(steps, 2) < 0).all()  # fewer and fewer


def test_expected_visits_of_a_new_patient_by_another_way():
    # Equation 9 as an integral: rates times the chance of not having left after j visits.
    r, alpha, a, b = 1.5, 2.0, 0.8, 3.0
    draws = np.random.default_rng(5)
    rate, leave = draws.gamma(r, 1 / alpha, 1_000_000), draws.beta(a, b, 1_000_000)
    visits = -np.expm1(-rate * leave * 6) / leave
    found = _expected(np.array([r, alpha, a, b]), *one(0, 0, 0), 6.0).item()
    assert abs(found - visits.mean()) < 4 * visits.std() / 1_000


def test_the_chances_of_all_counts_add_up_to_one():
    ages = np.array([0.0, 5.0, 39.0])
    total = sum(_chance(CDNOW, count, ages) for count in range(400))
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert _chance(CDNOW, 0, ages)[0] == pytest.approx(1)
    alone = quad(lambda t: np.exp(-t), 0, 1)[0]  # who has a rate of 1 for certain
    certain = np.array([1e7, 1e7, 1e-9, 1.0])
    assert 1 - _chance(certain, 0, np.array([1.0])).item() == pytest.approx(alone, rel=1e-5)


# --- published ------------------------------------------------------------------------------------


def test_the_published_customer_is_alive_with_the_published_chance():
    # From parameters of four digits, hence to four digits.
    assert _p_alive(CDNOW, *one(2, 30.43, 38.86)).item() == pytest.approx(0.72661, abs=5e-5)
    assert _expected(CDNOW, *one(2, 30.43, 38.86), 39.0).item() == pytest.approx(1.22591, abs=5e-5)


LIFETIMES = find_spec("lifetimes")


@pytest.mark.skipif(LIFETIMES is None, reason="the CDNOW data come with the package lifetimes")
def test_cdnow_gives_the_published_parameters():
    folder = Path(str(LIFETIMES.origin)).parent / "datasets"
    weeks = pd.read_csv(folder / "cdnow_customers_summary.csv")
    days = (weeks[["recency", "T"]] * 7).round().astype(int).set_axis(["recency", "age"], axis=1)
    data = days.assign(frequency=weeks["frequency"])
    fit = fit_bg_nbd(data).set_index("term")
    found = fit["estimate"] / [1, 7, 1, 1]  # a rate by the week
    assert found.tolist() == pytest.approx([0.2426, 4.4136, 0.7930, 2.4260], abs=1e-4)
    value = fit["log_likelihood"].iloc[0] + data["frequency"].sum() * np.log(7)
    # Their weeks are rounded to hundredths, these days are whole.
    assert value == pytest.approx(-9582.4256, abs=0.01)
    assert check_bg_nbd(data, fit=fit.reset_index())["passed"].all()


# --- a known world --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known() -> pd.DataFrame:
    return world(6_000, 11)


@pytest.fixture(scope="module")
def fitted(known) -> pd.DataFrame:
    return fit_bg_nbd(known)


def test_a_known_world_is_recovered(fitted):
    truth = fitted["term"].map(TRUE | {"alpha": TRUE["alpha"] * 1_000})
    assert ((fitted["estimate"] - truth).abs() < 4 * fitted["std_error"]).all()
    assert ((fitted["conf_low"] < truth) & (truth < fitted["conf_high"])).sum() >= 3


def test_what_comes_after_is_foretold(known, fitted):
    table = expected_visits(known, fit=fitted, days=360_000)
    actual = known["after"]
    error = (actual - table["expected_visits"]).std() / len(known) ** 0.5
    assert abs(actual.mean() - table["expected_visits"].mean()) < 4 * error
    # Those with the higher chance of being alive come more often, at each level as often as said.
    for level in range(3):
        part = table["p_alive"].rank(pct=True).mul(3).sub(1e-9).astype(int) == level
        gap = (actual - table["expected_visits"])[part]
        assert abs(gap.mean()) < 4 * gap.std() / part.sum() ** 0.5


def test_the_checks_pass_in_a_world_of_the_model(known, fitted, assert_columns):
    checks = check_bg_nbd(known, fit=fitted, holdout_visits="after", holdout_days=360_000)
    assert_columns(checks, "checks")
    assert checks["check"].tolist() == ["repeat_visits", "holdout_visits", "rate_spread"]
    assert checks["passed"].all()
    counts = repeat_visit_counts(known, fit=fitted)
    assert counts["n_patients"].sum() == len(known)
    assert counts["expected"].sum() == pytest.approx(len(known))


def test_the_checks_fail_where_patients_come_by_appointment(fitted):
    data = pd.DataFrame({"frequency": 4, "recency": 120, "age": range(120, 150), "after": 9})
    fit = {"r": 1.0, "alpha": 30.0, "a": 1.0, "b": 3.0}
    checks = check_bg_nbd(data, fit=fit, holdout_visits="after", holdout_days=30)
    assert checks["passed"].tolist() == [False, False, True]
    assert "270 visits where" in checks["message"].iloc[1]


def test_patients_who_all_come_at_one_rate_are_told_so(known):
    alike = {"r": 166.0, "alpha": 166.0 * 40, "a": 0.8, "b": 3.0}
    checks = check_bg_nbd(known, fit=alike).set_index("check")
    row = checks.loc["rate_spread"]
    assert row["statistic"] == pytest.approx(1 / 166**0.5)  # 0.0776
    assert not row["passed"]
    assert row["message"] == (
        "visit rates spread by 8% of their mean between patients (r is 166): hardly any "
        "difference, so that past visits say little of later ones"
    )
    # What it means: five visits or one in the same time, nearly the same number expected.
    two = pd.DataFrame({"frequency": [1, 5], "recency": [190, 190], "age": [200, 200]})
    alike_ahead = expected_visits(two, fit=alike, days=100)
    few, many = alike_ahead["expected_visits"] / alike_ahead["p_alive"]
    assert many / few < 1.15
    apart = expected_visits(two, fit=TRUE, days=100)
    few, many = apart["expected_visits"] / apart["p_alive"]
    assert many / few > 2


def test_a_check_without_a_hold_out_says_what_was_not_tried(known, fitted):
    told = check_bg_nbd(known, fit=fitted)["message"].iloc[0]
    assert "without a hold-out it is not tried whether the model foretells" in told


# --- properties -----------------------------------------------------------------------------------


def test_shuffled_and_counted_rows_give_the_same_fit(known, fitted, assert_columns):
    assert_columns(fitted, "estimates", more=["log_likelihood"])
    assert fitted["term"].tolist() == TERMS
    counted = known.groupby(["frequency", "recency", "age"]).size().rename("n").reset_index()
    pd.testing.assert_frame_equal(fit_bg_nbd(counted, freq="n"), fitted, rtol=1e-6)
    shuffled = known.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(fit_bg_nbd(shuffled), fitted, rtol=1e-6)


def test_a_longer_unit_of_time_changes_alpha_alone(known, fitted):
    slow = known.assign(recency=known["recency"] * 3, age=known["age"] * 3)
    ratio = fit_bg_nbd(slow)["estimate"] / fitted["estimate"]
    assert ratio.tolist() == pytest.approx([1, 3, 1, 1], rel=1e-5)


def test_extreme_patients_have_finite_answers():
    data = pd.DataFrame(
        {
            "frequency": [0, 0, 900, 900, 1],
            "recency": [0, 0, 900, 4_000, 1],
            "age": [0, 9_000] * 2 + [9_000],
        }
    ).assign(age=[0, 9_000, 9_000, 4_000, 9_000])
    for fit in (
        {"r": 0.2, "alpha": 3.0, "a": 1.0, "b": 2.0},
        {"r": 5.0, "alpha": 0.5, "a": 0.3, "b": 0.7},
        {"r": 0.5, "alpha": 30.0, "a": 30.0, "b": 400.0},
    ):
        table = expected_visits(data, fit=fit, days=365)
        assert np.isfinite(table[["p_alive", "expected_visits"]]).all(axis=None)
        assert table["p_alive"].between(0, 1).all()
        assert (table["expected_visits"] >= 0).all()


def test_every_engine_gives_the_same_summary_and_fit(engine):
    draws = np.random.default_rng(7)
    visits = pd.DataFrame(
        {
            "patient_id": draws.integers(0, 150, 600),
            "visit_date": pd.Timestamp("2023-01-01")
            + pd.to_timedelta((draws.random(600) ** 2 * 500).astype(int), unit="D"),
        }
    )
    kept = {"data_cutoff": "2023-12-31", "holdout_until": "2024-12-31"}
    expected = derive_visit_summary(visits, **kept)
    native = derive_visit_summary(engine.make(visits), **kept)
    pd.testing.assert_frame_equal(engine.read(native), expected, check_dtype=False)
    fit = {"r": 1.0, "alpha": 50.0, "a": 1.0, "b": 3.0}
    table = expected_visits(native, fit=fit, days=30).sort_values("patient_id", ignore_index=True)
    pd.testing.assert_frame_equal(
        table, expected_visits(expected, fit=fit, days=30), check_dtype=False
    )


# --- refusals -------------------------------------------------------------------------------------

THREE = pd.DataFrame({"frequency": [0, 1, 2], "recency": [0, 5, 9], "age": [10, 10, 10]})
FIT = {"r": 1.0, "alpha": 30.0, "a": 1.0, "b": 3.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recency": [0, 5, 11]}, "recency is beyond age in 1 rows"),
        ({"recency": [0, 5, 1]}, "recency is below frequency in 1 rows"),
        ({"recency": [2, 5, 9]}, "recency is above 0 without a repeat visit in 1 rows"),
        ({"age": [10, None, 10]}, "age is not a whole number from 0 in 1 of 3 rows"),
        ({"age": [10, 9.5, 10]}, "age is not a whole number from 0 in 1 of 3 rows"),
        ({"frequency": [0, -1, 2]}, "frequency is not a whole number from 0 in 1 of 3 rows"),
        ({"frequency": ["a", "b", "c"]}, "not a whole number"),
        ({"frequency": [0, 0, 0], "recency": [0, 0, 0]}, "nobody came a second time"),
    ],
)
def test_summaries_that_cannot_be_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        fit_bg_nbd(THREE.assign(**change))


def test_visits_that_do_not_determine_the_model_are_refused():
    # Nobody ever leaves and all come alike: any large r and alpha, any small a would do.
    data = pd.DataFrame({"frequency": [5] * 40, "recency": [50] * 40, "age": [50] * 40})
    with pytest.raises(DataError, match="do not determine the model"):
        fit_bg_nbd(data)


def test_missing_columns_and_no_rows_are_refused():
    with pytest.raises(DataError, match="column age is missing"):
        fit_bg_nbd(THREE.drop(columns="age"))
    with pytest.raises(DataError, match="the table has no rows"):
        fit_bg_nbd(THREE.head(0))


@pytest.mark.parametrize(
    "fit", [{"r": 1.0}, FIT | {"a": 0.0}, FIT | {"b": np.nan}, pd.DataFrame({"term": ["r"]})]
)
def test_parameters_that_cannot_be_are_refused(fit):
    with pytest.raises(UsageError, match=r"^fit"):
        expected_visits(THREE, fit=fit, days=30)


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="must be a whole number"):
        expected_visits(THREE, fit=FIT, days=0.5)
    with pytest.raises(UsageError, match="belong together"):
        check_bg_nbd(THREE, fit=FIT, holdout_days=30)
    visits = pd.DataFrame({"patient_id": ["a"], "visit_date": pd.to_datetime(["2024-05-01"])})
    with pytest.raises(UsageError, match="holdout_until must be after data_cutoff"):
        derive_visit_summary(visits, data_cutoff="2024-06-01", holdout_until="2024-06-01")
    with pytest.raises(DataError, match="visit_date is after data_cutoff in 1 of 1 rows"):
        derive_visit_summary(visits, data_cutoff="2024-04-01")
