"""What a change did to a series: by hand, by R, and where the truth is known."""

import json

import numpy as np
import pandas as pd
import pytest

from loyalty_research.effects.interrupted_time_series import interrupted_time_series, placebo_starts
from loyalty_research.errors import DataError, DesignError, UsageError

# Two lines of four periods: the numbers of test_ar1.py, where they are done by hand.
EIGHT = pd.DataFrame({"t": range(8), "y": [2.0, 4, 3, 5, 1, 2, 2, 3], "n": [10] * 6 + [20, 30]})
FEW = {"too few points": "a case done by hand"}
TERMS = ["level", "slope", "trend", "end", "average", "cumulative"]


def estimates(effect, column="estimate"):
    return effect.estimates.set_index("term")[column].astype(float)


def checks(effect):
    return effect.checks.set_index("check")


def by_hand(table=EIGHT, **more):
    return interrupted_time_series(
        table, outcome="y", time="t", start=4, errors="newey-west", lags=0, override=FEW, **more
    )


def test_level_slope_and_what_follows_from_them_done_by_hand(assert_columns):
    effect = by_hand(unit="minutes")
    found = estimates(effect)
    # Before: 2.3 + .8 t, so 5.5 at t = 4. After: 1.1 + .6 (t - 4).
    assert found["level"] == pytest.approx(1.1 - 5.5)
    assert found["slope"] == pytest.approx(0.6 - 0.8)
    assert found["trend"] == pytest.approx(0.8)
    # Elapsed 0, 1, 2, 3: effects -4.4, -4.6, -4.8, -5.0.
    assert found["end"] == pytest.approx(-5.0)
    assert found["average"] == pytest.approx(-4.7)
    assert found["cumulative"] == pytest.approx(-18.8)
    assert effect.facts.levels == pytest.approx({0: 5.5, 1: 1.1})
    assert effect.estimates["term"].tolist() == TERMS
    assert effect.estimates["scale"].tolist() == [
        "minutes", "minutes per period", "minutes per period", "minutes", "minutes",
        "minutes x periods",
    ]  # fmt: skip
    assert_columns(effect.estimates, "estimates")
    assert_columns(effect.checks, "checks")


def test_the_cumulative_effect_of_a_rate_counts_events():
    table = EIGHT.assign(y=EIGHT["y"] * EIGHT["n"])
    effect = by_hand(table, exposure="n")
    # The same rates; effects -4.4, -4.6, -4.8, -5.0 times 10, 10, 20, 30 exposed.
    assert estimates(effect)["level"] == pytest.approx(-4.4)
    assert estimates(effect)["cumulative"] == pytest.approx(-44 - 46 - 96 - 150)
    # 20 + 40 + 30 + 50 + 10 + 20 + 40 + 90 events.
    assert effect.facts.n_events == effect.headline["n_events"] == 300
    assert effect.facts.unit == "per n"


def test_on_the_log_scale_effects_are_ratios_and_their_sum_is_what_was_observed_less_the_rest():
    table = EIGHT.assign(y=np.exp(EIGHT["y"]))
    effect = by_hand(table, scale="log")
    ratios = np.exp([-4.4, -4.6, -4.8, -5.0])
    found = estimates(effect)
    assert found["level"] == pytest.approx(ratios[0])
    assert found["slope"] == pytest.approx(np.exp(-0.2))
    assert found["end"] == pytest.approx(ratios[3])
    assert found["average"] == pytest.approx(np.exp(-4.7))
    seen = np.exp([1.0, 2, 2, 3])
    assert found["cumulative"] == pytest.approx((seen - seen / ratios).sum())
    # The error stays on the log scale, and the interval is built there.
    plain = by_hand()
    assert estimates(effect, "std_error")["level"] == pytest.approx(
        estimates(plain, "std_error")["level"]
    )
    assert np.log(effect.headline["conf_low"]) == pytest.approx(plain.headline["conf_low"])
    assert effect.headline["scale"] == "ratio of means"


def test_the_error_of_the_sum_on_the_log_scale_is_that_of_small_steps():
    table = EIGHT.assign(y=np.exp(EIGHT["y"]))
    at = np.arange(8)
    x = np.column_stack([np.ones(8), at, at >= 4, np.where(at >= 4, at - 4, 0)])
    beta, bread = np.linalg.lstsq(x, EIGHT["y"], rcond=None)[0], np.linalg.inv(x.T @ x)
    rest = EIGHT["y"].to_numpy() - x @ beta
    covariance = 8 / 4 * bread @ (x.T * rest**2) @ x @ bread

    def added(b):
        part = x[4:]
        return (np.exp(EIGHT["y"][4:]) * (1 - np.exp(-part[:, 2:] @ b[2:]))).sum()

    steps = np.array([(added(beta + h) - added(beta - h)) / 2e-6 for h in 1e-6 * np.eye(4)])
    expected = np.sqrt(steps @ covariance @ steps)
    found = estimates(by_hand(table, scale="log"), "std_error")["cumulative"]
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_wash_in_is_left_out_and_the_level_is_that_after_it():
    table = pd.DataFrame({"t": range(10), "y": [2.0, 4, 3, 5, 99, -99, 1, 2, 2, 3]})
    effect = interrupted_time_series(
        table, outcome="y", time="t", start=4, wash_in=2, errors="newey-west", override=FEW
    )
    # The line before reaches 2.3 + .8 * 6 = 7.1; the one after begins at 1.1.
    assert estimates(effect)["level"] == pytest.approx(1.1 - 7.1)
    assert checks(effect).loc["wash-in", "message"] == "2 periods from the start on left out"
    assert effect.facts.more["n_wash_in"] == 2
    assert effect.facts.n == 8


def seatbelts(published, **columns):
    belts = published("interrupted_series")["seatbelts"]
    table = pd.DataFrame({name: belts[name] for name in ("drivers", "front", "rear", "kms")})
    return table.assign(month=pd.date_range("1969-01-01", periods=192, freq="MS"))


@pytest.mark.parametrize(
    ("reference", "more"),
    [
        ("harmonics", {"outcome": "drivers"}),
        ("months", {"outcome": "drivers", "harmonics": None}),
        ("log_harmonics", {"outcome": "drivers", "scale": "log"}),
        ("wash_in", {"outcome": "drivers", "scale": "log", "wash_in": 3}),
        ("controlled", {"outcome": "front", "scale": "log", "control": "rear"}),
        ("newey_west", {"outcome": "drivers", "errors": "newey-west"}),
    ],
)
def test_the_seat_belt_law_of_1983_as_r_has_it(published, reference, more):
    table = seatbelts(published)
    table = table.assign(month_of_year=table["month"].dt.month)
    effect = interrupted_time_series(
        table, time="month", start="1983-02-01", season="month_of_year", **more
    )
    r = published("interrupted_series")[reference]
    numbers = estimates(effect)[["level", "slope", "trend"]]
    values = np.log(numbers) if more.get("scale") == "log" else numbers
    # R: constant, level, slope, trend.
    assert values.to_numpy() == pytest.approx(r["coefficients"][1:4], rel=1e-6)
    errors = estimates(effect, "std_error")[["level", "slope", "trend"]].to_numpy()
    assert errors == pytest.approx(r["std_error"][1:4], rel=1e-6)
    if "rho" in r:
        assert effect.facts.more["rho"] == pytest.approx(r["rho"], abs=1e-6)


def test_a_comparison_in_rows_is_the_comparison_in_a_column(published):
    table = seatbelts(published)
    rows = pd.concat(
        [
            table[["month", "kms"]].assign(killed=table["front"], rear=0),
            table[["month", "kms"]].assign(killed=table["rear"], rear=1),
        ]
    )
    settings = {"time": "month", "start": "1983-02-01", "season": 12, "scale": "log"}
    by_column = interrupted_time_series(table, outcome="front", control="rear", **settings)
    by_row = interrupted_time_series(rows, outcome="killed", control="rear", **settings)
    assert by_row.estimates.equals(by_column.estimates)
    per = interrupted_time_series(
        rows, outcome="killed", control="rear", exposure="kms", **settings
    )
    # Both drive the same kilometres, which drop out of the ratio of ratios.
    assert per.headline["estimate"] == pytest.approx(by_row.headline["estimate"])
    assert per.headline["scale"] == "rate ratio"
    assert per.facts.design == "controlled interrupted time series"


def test_shuffled_rows_of_every_engine_give_the_same(engine, published):
    table = seatbelts(published)
    settings = {"outcome": "drivers", "time": "month", "start": "1983-02-01", "season": 12}
    found = interrupted_time_series(engine.make(table), **settings)
    assert found.estimates.equals(interrupted_time_series(table, **settings).estimates)


# --- simulated truth ------------------------------------------------------------------------------


def memory(draw, n, rho):
    """Return errors of standard deviation 1 with the given correlation of neighbours."""
    shocks = draw.normal(size=n)
    e = shocks.copy()
    for t in range(1, n):
        e[t] = rho * e[t - 1] + np.sqrt(1 - rho**2) * shocks[t]
    return e


def simulated(draw, *, n, rho, level=-2.0, shock=0.0):
    """Return a series with trend, season and a change half way, beside one without the change."""
    at = np.arange(n)
    shared = 0.05 * at + 1.5 * np.sin(2 * np.pi * at / 12) + shock * (at >= n // 2)
    treated = 20 + shared + level * (at >= n // 2) + 2 * memory(draw, n, rho)
    return pd.DataFrame({"t": at, "y": treated, "other": 18 + shared + 2 * memory(draw, n, rho)})


def coverage(truth, runs, seed, *, n, rho, shock=0.0, level=-2.0, **more):
    draw, hits, found = np.random.default_rng(seed), 0, []
    for _ in range(runs):
        table = simulated(draw, n=n, rho=rho, shock=shock, level=level)
        effect = interrupted_time_series(
            table, outcome="y", time="t", start=n // 2, season=12, **more
        )
        head = effect.headline
        hits += head["conf_low"] <= truth <= head["conf_high"]
        found.append(head["estimate"])
    return hits / runs, float(np.mean(found))


def test_reml_covers_better_than_newey_west_and_neither_is_nominal():
    # METHODS B1, 48 periods related by .4: .917 and .804. 150 runs: Monte-Carlo error .023, .032.
    reml, centre = coverage(-2, 150, 1, n=48, rho=0.4)
    newey, _ = coverage(-2, 150, 1, n=48, rho=0.4, errors="newey-west")
    assert reml == pytest.approx(0.917, abs=3 * 0.023)
    assert newey == pytest.approx(0.804, abs=3 * 0.032)
    # The standard deviation of the estimate is about 1.5.
    assert centre == pytest.approx(-2, abs=3 * 1.5 / np.sqrt(150))


def test_a_shock_of_the_same_month_biases_one_series_and_not_two():
    # Truth -1, a shock of -2 to both: METHODS B1 has coverage .64 alone, .91 with the control.
    _, alone = coverage(-1, 100, 2, n=120, rho=0.4, shock=-2, level=-1)
    beside, controlled = coverage(-1, 100, 2, n=120, rho=0.4, shock=-2, level=-1, control="other")
    assert alone == pytest.approx(-3, abs=0.4)
    assert controlled == pytest.approx(-1, abs=0.5)
    assert beside == pytest.approx(0.93, abs=3 * 0.026)


def test_forty_minutes_become_twelve():
    draw = np.random.default_rng(4)
    at = np.arange(36)
    wait = np.where(at < 20, 40, 12) + 1.5 * memory(draw, 36, 0.3)
    months = pd.date_range("2022-01-01", periods=36, freq="MS")
    table = pd.DataFrame({"month": months, "wait": wait})
    effect = interrupted_time_series(
        table, outcome="wait", time="month", start="2023-09-01", season=12, harmonics=1,
        unit="minutes", better="lower",
    )  # fmt: skip
    assert effect.headline["estimate"] == pytest.approx(-28, abs=4 * effect.headline["std_error"])
    assert effect.headline["conf_high"] < -20
    assert not effect.withheld
    sentence = effect.sentence()
    assert sentence.startswith(
        "Change in level in wait, after the change against the course before"
    )
    assert sentence.endswith("36 periods.")
    assert json.loads(effect.to_json())["facts"]["better"] == "lower"


# --- checks ---------------------------------------------------------------------------------------


def walk(n, seed=5, rho=0.3):
    draw = np.random.default_rng(seed)
    return pd.DataFrame({"t": range(n), "y": 10 + memory(draw, n, rho), "one": 1.0})


def looked_at(table, **more):
    return interrupted_time_series(
        table, **{"outcome": "y", "time": "t", "start": len(table) // 2, **more}
    )


def test_fewer_than_eight_periods_a_side_are_refused_and_may_be_overridden():
    told = (
        r"7 periods before the change and 13 after it, of which each side needs 8; .*"
        r"override=\{'too few points'"
    )
    with pytest.raises(DesignError, match=told) as caught:
        looked_at(walk(20), start=7)
    assert caught.value.guard == "too few points"
    effect = looked_at(walk(20), start=7, override={"too few points": "all there will ever be"})
    assert effect.facts.overrides == {"too few points": "all there will ever be"}


def test_the_wash_in_counts_for_no_side():
    with pytest.raises(DesignError, match="10 periods before the change and 7 after it"):
        looked_at(walk(20), start=10, wash_in=3)


def test_fewer_than_24_periods_withhold_the_estimate():
    assert looked_at(walk(23)).failed == ["points"]
    assert looked_at(walk(24), season=12, harmonics=1).failed == []


@pytest.mark.parametrize(
    ("more", "failed"),
    [
        ({}, ["season"]),
        ({"season": 12}, []),
        ({"per_year": 52}, []),  # 48 weeks are less than two years
        ({"per_year": 1}, []),  # years have no season
        ({"per_year": 12, "season": 4}, ["season"]),  # a quarter's cycle leaves the year's open
        ({"per_year": 4, "season": 4}, []),
    ],
)
def test_two_years_or_more_need_a_season_term(more, failed):
    assert looked_at(walk(48), **more).failed == failed


def test_dates_tell_how_long_a_year_is():
    weeks = walk(48).assign(t=pd.date_range("2024-01-01", periods=48, freq="W-MON"))
    assert looked_at(weeks, start="2024-06-17").failed == []
    days = walk(800).assign(t=pd.date_range("2022-01-01", periods=800, freq="D"))
    found = checks(looked_at(days, start="2023-02-05", season=7))
    assert not found.loc["season", "passed"]
    assert "a cycle of 7 periods is no year" in found.loc["season", "message"]


def test_the_reader_is_told_what_a_series_cannot_know():
    found = checks(looked_at(walk(48), season=12))
    assert "whatever else began in the same period" in found.loc["comparison", "message"]
    assert "no interval of a short series is fully nominal" in found.loc["interval", "message"]
    assert found.loc["interval", "passed"] is None
    newey = checks(looked_at(walk(48), season=12, errors="newey-west"))
    assert not newey.loc["interval", "passed"]
    assert newey.loc["interval", "message"].endswith('; give errors="ar1"')
    table = walk(48).assign(other=walk(48, seed=9)["y"])
    beside = checks(looked_at(table, season=12, control="other"))
    assert "the same drift is assumed to go on" in beside.loc["comparison", "message"]


def test_ljung_box_is_r_s(published):
    # R: Box.test(x, lag = 3, type = "Ljung", fitdf = 0) of these residuals, n = 8:
    # Q = 8 * 10 * sum(r_k^2 / (8 - k)).
    residuals = np.array([-0.3, 0.9, -0.9, 0.3, -0.1, 0.3, -0.3, 0.1])
    r1 = (residuals[1:] @ residuals[:-1]) / (residuals @ residuals)
    found = checks(by_hand()).loc["Ljung-Box"]
    # 8 periods give one lag.
    assert found["statistic"] == pytest.approx(8 * 10 * r1**2 / 7)


def test_a_season_that_is_left_out_shows_in_the_residuals():
    at = np.arange(120)
    y = 10 + 3 * np.sin(2 * np.pi * at / 6) + np.random.default_rng(6).normal(size=120)
    found = checks(looked_at(pd.DataFrame({"t": at, "y": y})))
    assert not found.loc["Ljung-Box", "passed"]
    assert not found.loc["Ljung-Box", "gating"]
    with_it = checks(looked_at(pd.DataFrame({"t": at, "y": y}), season=12))
    assert with_it.loc["Ljung-Box", "statistic"] < found.loc["Ljung-Box", "statistic"] / 4


def test_a_check_that_failed_without_withholding_ends_the_sentence():
    at = np.arange(120)
    y = 10 + 3 * np.sin(2 * np.pi * at / 6) + np.random.default_rng(6).normal(size=120)
    table = pd.DataFrame({"t": at, "y": y})
    effect = looked_at(table)
    assert not checks(effect).loc["Ljung-Box", "gating"]
    assert "periods; a check failed: Ljung-Box. Not to be relied on: " in effect.sentence()
    # The season is overridden, and told with its reason.
    passed = effect.override("season", reason="the wave was put in for this test")
    words = passed.sentence(audience="publish")
    assert "periods; a check failed: Ljung-Box. In spite of season (the wave" in words


def test_the_sentence_names_the_comparison_series():
    table = walk(48).assign(F03=walk(48, seed=9)["y"])
    words = looked_at(table, season=12, control="F03").sentence()
    assert ", after the change against the course before, beside F03: " in words
    assert "beside" not in looked_at(table, season=12).sentence()


def test_a_wandering_series_is_said_to_wander():
    y = np.random.default_rng(7).normal(size=120).cumsum()
    found = checks(looked_at(pd.DataFrame({"t": range(120), "y": y}), season=12))
    assert not found.loc["autocorrelation", "passed"]
    assert "such a series wanders by itself" in found.loc["autocorrelation", "message"]


def test_a_false_start_is_tried_on_the_periods_before_the_change():
    table = walk(60)
    table.loc[40:, "y"] -= 20
    quiet = checks(looked_at(table, start=40, season=12, placebo_start=20)).loc["placebo start"]
    assert quiet["passed"]
    # A step of its own half way through the time before is found.
    table.loc[20:, "y"] += 8
    loud = checks(looked_at(table, start=40, season=12, placebo_start=20)).loc["placebo start"]
    assert not loud["passed"]
    assert loud["statistic"] == pytest.approx(8, abs=2)


def test_a_false_start_too_near_the_true_one_is_refused():
    told = "placebo_start has 35 periods before it and 5 up to start; give one with 8 or more"
    with pytest.raises(DataError, match=told):
        looked_at(walk(60), start=40, placebo_start=35)


def test_every_false_start_stands_beside_the_true_one(assert_columns):
    table = walk(48)
    table.loc[30:, "y"] -= 6
    found = placebo_starts(table, outcome="y", time="t", start=30, season=12, harmonics=1)
    assert_columns(found, "estimates", groups=["start"])
    assert found["start"].tolist() == [30, *range(8, 23)]
    assert found["term"].tolist() == ["level"] + ["placebo level"] * 15
    assert found["estimate"].abs().idxmax() == 0
    # A false start sees nothing of the change.
    other = table.assign(y=table["y"].where(table["t"] < 30, 1000 + table["t"] ** 2 % 7))
    again = placebo_starts(other, outcome="y", time="t", start=30, season=12, harmonics=1)
    assert again[1:].equals(found[1:])


def test_false_starts_need_room():
    with pytest.raises(DataError, match="15 periods before the change leave no room for a false"):
        placebo_starts(walk(40), outcome="y", time="t", start=15)


# --- refusals -------------------------------------------------------------------------------------


def test_an_outcome_on_two_straight_lines_leaves_no_error():
    table = pd.DataFrame({"t": range(20), "y": [1.0] * 10 + [3.0] * 10})
    with pytest.raises(DataError, match="lies on the lines exactly, which leaves no error"):
        looked_at(table)


def test_more_seasons_than_periods_can_tell_are_refused():
    with pytest.raises(DataError, match="20 periods cannot determine 23 coefficients"):
        looked_at(walk(20), season=20, harmonics=None)
    with pytest.raises(DataError, match="24 periods are no full cycle of 52 seasons"):
        looked_at(walk(24), season=52)
    sides = walk(24).assign(year=[2023] * 12 + [2024] * 12)
    with pytest.raises(DataError, match="do not determine the change apart from the seasons"):
        looked_at(sides, season="year", harmonics=None)


def test_seasons_out_of_order_are_refused_with_harmonics_and_taken_as_indicators():
    names = ["spring", "summer", "autumn", "winter"] * 6
    table = walk(24).assign(season=names)
    with pytest.raises(DataError, match="seasons do not follow each other in their order"):
        looked_at(table, season="season")
    numbers = table.assign(season=[1, 2, 3, 4] * 6)
    by_name = looked_at(table, season="season", harmonics=None)
    by_number = looked_at(numbers, season="season", harmonics=None)
    assert by_name.headline["estimate"] == pytest.approx(by_number.headline["estimate"])
    # Two pairs of waves over four seasons say as much as indicators.
    waves = looked_at(numbers, season="season")
    assert waves.headline["estimate"] == pytest.approx(by_number.headline["estimate"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"errors": "ols"}, "errors='ols' is not known"),
        ({"harmonics": 0}, "harmonics=0 must be a whole number, at least 1"),
        ({"lags": 2}, 'lags= belongs to errors="newey-west"'),
        ({"lags": -1, "errors": "newey-west"}, "lags=-1 must be a whole number"),
        ({"better": "more"}, "better='more' is not known"),
        ({"conf_level": 95}, "conf_level=95 must be a number between 0 and 1"),
        ({"unit": "share"}, 'unit="share" is for rates between 0 and 1'),
        ({"override": {"points": "a reason of ten letters"}}, "is no guard of this design"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(more, message):
    with pytest.raises(UsageError, match=message):
        looked_at(walk(48), **more)


def test_shares_read_as_percentage_points():
    draw = np.random.default_rng(3)
    at = np.arange(48)
    missed = draw.binomial(400, np.where(at < 24, 0.2, 0.1))
    table = pd.DataFrame({"t": at, "missed": missed, "booked": 400})
    effect = interrupted_time_series(
        table, outcome="missed", exposure="booked", time="t", start=24, season=12, unit="share"
    )
    assert effect.headline["scale"] == "difference in shares"
    assert "percentage points" in effect.sentence()
    assert effect.headline["conf_low"] < -0.1 < effect.headline["conf_high"]
