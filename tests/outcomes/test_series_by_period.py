"""Events as a series: numbers, means, quantiles and their errors."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.data.simulate_panels import waiting_times
from loyalty_research.effects import interrupted_time_series
from loyalty_research.errors import DataError, UsageError
from loyalty_research.outcomes.series_by_period import series_by_period

VISITS = pd.DataFrame(
    {
        "visit_date": pd.to_datetime(
            ["2024-01-31", "2024-01-01", "2024-01-15", "2024-01-15", "2024-03-02", "2024-03-03"]
        ),
        "wait": [10.0, 20.0, 20.0, 50.0, 12.0, None],
        "site": ["a", "a", "a", "b", "b", "b"],
    }
)
COLUMNS = ["time", "n", "n_missing", "mean", "mean_std_error"]
COLUMNS += ["quantile", "quantile_std_error", "n_within"]


def test_a_small_series_done_by_hand(engine):
    table = series_by_period(engine.make(VISITS), time="visit_date", value="wait", within=12)
    assert list(table) == COLUMNS
    assert table["time"].tolist() == list(
        pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01"])
    )
    assert table["n"].tolist() == [4, 0, 1]
    assert table["n_missing"].tolist() == [0, 0, 1]
    # 10, 20, 20, 50: mean 25, squares 225 + 25 + 25 + 625 = 900 on 3, error sqrt(300 / 4).
    assert table["mean"].tolist() == pytest.approx([25, np.nan, 12], nan_ok=True)
    assert table["mean_std_error"][0] == pytest.approx(np.sqrt(75))
    # Half of four lie at or below the second, so the median is the midpoint of 20 and 20.
    assert table["quantile"].tolist() == pytest.approx([20, np.nan, 12], nan_ok=True)
    assert table["n_within"].tolist() == [1, 0, 1]


def test_groups_have_periods_of_their_own(engine):
    table = series_by_period(engine.make(VISITS), time="visit_date", value="wait", by="site")
    assert table["site"].tolist() == ["a", "b", "b", "b"]
    assert table["n"].tolist() == [3, 1, 0, 1]
    assert table["quantile"].tolist() == pytest.approx([20, 50, np.nan, 12], nan_ok=True)
    assert table["n_within"].isna().all()


@pytest.mark.parametrize("q", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("n", [7, 8, 20])
def test_quantiles_average_where_they_are_not_unique(q, n):
    draw = np.random.default_rng(n)
    waits = draw.integers(0, 30, n).astype(float)
    visits = pd.DataFrame({"d": pd.Timestamp("2024-05-05"), "wait": waits})
    table = series_by_period(visits, time="d", value="wait", every="year", q=q)
    wanted = np.quantile(waits, q, method="averaged_inverted_cdf")
    assert table["quantile"].item() == pytest.approx(wanted)


def test_the_error_of_a_median_is_that_of_repeated_samples():
    draw = np.random.default_rng(1)
    waits = draw.exponential(30, size=(400, 200))
    days = pd.Timestamp("1900-01-01") + pd.to_timedelta(np.repeat(np.arange(400), 200), unit="D")
    table = series_by_period(
        pd.DataFrame({"d": days, "wait": waits.ravel()}), time="d", value="wait", every="day"
    )
    # 400 medians of 200: their spread is known to 1 / sqrt(800), some 4 %.
    spread = table["quantile"].std()
    assert table["quantile_std_error"].mean() == pytest.approx(spread, rel=0.12)
    assert table["mean_std_error"].mean() == pytest.approx(table["mean"].std(), rel=0.12)


def test_too_few_events_have_no_error_of_a_quantile():
    visits = pd.DataFrame({"d": pd.Timestamp("2024-05-05"), "wait": [1.0, 2.0, 3.0]})
    table = series_by_period(visits, time="d", value="wait", q=0.9)
    assert np.isnan(table["quantile_std_error"].item())


def test_a_series_of_medians_shows_forty_minutes_become_twelve():
    draw = np.random.default_rng(2)
    days = pd.Timestamp("2022-01-01") + pd.to_timedelta(draw.integers(0, 1095, 9000), unit="D")
    typical = np.where(days < pd.Timestamp("2023-07-01"), 40, 12)
    visits = pd.DataFrame({"d": days, "wait": typical * draw.lognormal(0, 0.4, 9000)})
    table = series_by_period(visits, time="d", value="wait")
    effect = interrupted_time_series(
        table.assign(precision=table["quantile_std_error"] ** -2.0),
        outcome="quantile", time="time", start="2023-07-01", season=12, weight="precision",
    )  # fmt: skip
    assert effect.headline["estimate"] == pytest.approx(-28, abs=4 * effect.headline["std_error"])
    assert effect.headline["conf_high"] < -24


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"value": "wiat"}, DataError, "column wiat is missing; did you mean wait"),
        ({"value": "site"}, DataError, "column site is String, not a number; convert it first"),
        ({"time": "wait"}, DataError, "column wait is .*, not a date"),
        ({"every": None}, DataError, "column visit_date is .*, not a whole number; number the per"),
        ({"every": "fortnight"}, UsageError, "every='fortnight' is not known"),
        ({"q": 1}, UsageError, "q=1 must be a number between 0 and 1"),
        ({"by": "n"}, UsageError, "by= names n, a column of the result; rename it first"),
    ],
)
def test_what_cannot_be_meant_is_refused(more, error, message):
    with pytest.raises(error, match=message):
        series_by_period(VISITS.assign(n=1), **{"time": "visit_date", "value": "wait", **more})


def test_missing_dates_and_groups_are_refused_together():
    broken = VISITS.assign(
        visit_date=VISITS["visit_date"].where(VISITS.index > 1),
        site=VISITS["site"].where(VISITS.index < 5),
    )
    with pytest.raises(DataError) as caught:
        series_by_period(broken, time="visit_date", value="wait", by="site")
    assert "visit_date is missing in 2 rows" in str(caught.value)
    assert "site is missing in 1 rows" in str(caught.value)


def test_no_event_is_refused():
    with pytest.raises(DataError, match="there are no events"):
        series_by_period(VISITS.head(0), time="visit_date", value="wait")


def test_infinite_values_are_refused():
    with pytest.raises(DataError, match="wait is infinite in 2 rows; correct these rows"):
        series_by_period(
            VISITS.assign(wait=[np.inf, -np.inf, 1, 2, 3, 4]), time="visit_date", value="wait"
        )


def test_periods_may_be_numbered_already(engine):
    visits = pd.DataFrame({"month": [7, 5, 7, 7], "wait": [1.0, 2.0, 3.0, 8.0]})
    table = series_by_period(engine.make(visits), time="month", value="wait", every=None)
    assert table["time"].tolist() == [5, 6, 7]
    assert table["n"].tolist() == [1, 0, 3]
    assert table["mean"].tolist() == pytest.approx([2, np.nan, 4], nan_ok=True)


def test_one_service_changes_one_suffers_and_one_is_left_alone():
    visits, truth = waiting_times(np.random.default_rng(3))
    table = series_by_period(visits, time="period", value="minutes", every=None, by="service")
    wide = table.pivot_table(index="time", columns="service", values="quantile").reset_index()
    asked = {"time": "time", "start": 24, "season": 12, "control": "control"}
    for service in ("changed", "neighbour"):
        found = interrupted_time_series(wide, outcome=service, **asked)
        average = found.estimates.set_index("term").loc["average"]
        assert average["estimate"] == pytest.approx(truth[service], abs=4 * average["std_error"])
        assert average["std_error"] < 2.5
