"""Value over time: by hand, against R, against a known world, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.fees import derive_fees
from loyalty_research.retention.patient_value import patient_value
from loyalty_research.retention.time_to_event import derive_time_to_event
from loyalty_research.retention.windows import derive_retention_times

# a pays on days 0 and 3, and dies on day 4. b pays on days 0 and 2, and is last seen on day 2.
# c pays on days 1 and 5, and is last seen on day 5.
THREE = pd.DataFrame(
    {"patient_id": ["a", "b", "c"], "time": [4, 2, 5], "event": [True, False, False]}
)
PAID = pd.DataFrame(
    {
        "patient_id": ["a", "a", "b", "b", "c", "c"],
        "day": [0, 3, 0, 2, 1, 5],
        "amount": [10.0, 20.0, 10.0, 30.0, 20.0, 40.0],
    }
)


def random_world(seed: int = 4, n: int = 60) -> tuple[pd.DataFrame, pd.DataFrame]:
    draws = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "patient_id": [f"p{i:03d}" for i in range(n)],
            "time": draws.integers(0, 40, n),
            "event": draws.random(n) < 0.4,
            "arm": draws.choice(["old", "new"], n),
        }
    )
    who = draws.integers(0, n, 4 * n)
    day = (draws.random(4 * n) * (data["time"].to_numpy()[who] + 1)).astype(int)
    amount = draws.integers(1, 100, 4 * n).astype(float)
    fees = pd.DataFrame({"patient_id": data["patient_id"].to_numpy()[who], "day": day})
    return data, fees.assign(amount=amount)


# --- by hand --------------------------------------------------------------------------------------


def test_the_value_of_three_patients_by_hand(assert_columns):
    table = patient_value(THREE, fees=PAID, times=[0, 2, 3, 4, 5])
    assert_columns(table, "curve")
    assert table["estimate"].tolist() == pytest.approx(
        [
            20 / 3,  # day 0: three at risk pay 20
            20 / 3 + 20 / 3 + 30 / 3,  # days 1 and 2: three at risk pay 20 and 30
            70 / 3 + 20 / 2,  # day 3: b is gone, two at risk pay 20
            70 / 3 + 20 / 2,
            70 / 3 + 20 / 2 + 40 / 1 / 2,  # day 5: half are still alive, the one at risk pays 40
        ]
    )
    assert table["n_at_risk"].tolist() == [3, 3, 2, 2, 1]
    assert table["n_events"].tolist() == [0, 0, 0, 1, 0]
    assert table["n_censored"].tolist() == [0, 1, 0, 0, 1]


def test_it_is_the_mean_weighted_by_the_inverse_probability_of_censoring():
    # Censored on day 2 is one of three, so 2/3 are still under observation on days 3 and 5.
    weighted = (10 + 10 + 20 + 30 + 20 / (2 / 3) + 40 / (2 / 3)) / 3
    assert patient_value(THREE, fees=PAID, times=5)["estimate"].item() == pytest.approx(weighted)


def test_payments_on_the_last_day_of_follow_up_count():
    last = PAID[PAID["day"].isin([2, 5])]
    assert patient_value(THREE, fees=last, times=2)["estimate"].item() == pytest.approx(10)


def test_without_censoring_it_is_the_plain_mean_with_its_error():
    data, fees = random_world()
    data = data.assign(event=True)
    for t in (0, 10, 39, 500):
        row = patient_value(data, fees=fees, times=t).iloc[0]
        paid = fees[fees["day"] <= t].groupby("patient_id")["amount"].sum()
        paid = paid.reindex(data["patient_id"], fill_value=0)
        assert row["estimate"] == pytest.approx(paid.mean(), rel=1e-12)
        assert row["std_error"] == pytest.approx(paid.std(ddof=0) / 60**0.5, rel=1e-10)


def test_followed_to_the_same_day_it_is_the_plain_mean_also_where_nobody_died():
    data, fees = random_world()
    data = data.assign(time=40, event=False)
    paid = fees.groupby("patient_id")["amount"].sum().reindex(data["patient_id"], fill_value=0)
    row = patient_value(data, fees=fees, times=40).iloc[0]
    assert row["estimate"] == pytest.approx(paid.mean(), rel=1e-12)
    assert row["std_error"] == pytest.approx(paid.std(ddof=0) / 60**0.5, rel=1e-10)


def test_a_later_payment_is_worth_less_by_the_rate():
    data = pd.DataFrame({"patient_id": ["a"], "time": [1461], "event": [False]})
    fees = pd.DataFrame({"patient_id": ["a", "a"], "day": [0, 1461], "amount": [100.0, 100.0]})
    # 1,461 days are four years.
    row = patient_value(data, fees=fees, times=1461, discount_rate=0.03).iloc[0]
    assert row["estimate"] == pytest.approx(100 + 100 / 1.03**4, rel=1e-12)
    assert pd.isna(row["std_error"])  # one patient


# --- against R and a plain calculation ------------------------------------------------------------


def test_estimates_and_errors_are_those_of_inverse_weighting_in_r(published):
    stored = published("patient_value")
    data, fees = pd.DataFrame(stored["data"]), pd.DataFrame(stored["fees"])
    table = patient_value(data, fees=fees, times=stored["times"])
    # The estimate is a closed form; R's error is a difference quotient with step 1e-4.
    assert table["estimate"].tolist() == pytest.approx(stored["estimate"], rel=1e-8)
    assert table["std_error"].tolist() == pytest.approx(stored["std_error"], rel=1e-6)


def value_by_loops(data: pd.DataFrame, fees: pd.DataFrame, weight: np.ndarray, t: int) -> float:
    time, died = data["time"].to_numpy(), data["event"].to_numpy()
    row_of = {patient: i for i, patient in enumerate(data["patient_id"])}
    paid = np.zeros((len(data), t + 1))
    for patient, day, amount in fees[fees["day"] <= t].itertuples(index=False):
        paid[row_of[patient], day] += amount
    total, alive = 0.0, 1.0
    for day in range(t + 1):
        at_risk = weight[time >= day].sum()
        if at_risk == 0:
            break
        total += alive * (weight @ paid[:, day]) / at_risk
        alive *= 1 - weight[(time == day) & died].sum() / at_risk
    return total


@pytest.mark.parametrize("t", [0, 12, 30, 39])
def test_the_error_is_that_of_each_patients_influence(t):
    data, fees = random_world()
    ones, step = np.ones(len(data)), 1e-5
    influence = []
    for i in range(len(data)):
        change = np.where(np.arange(len(data)) == i, step, 0)
        up = value_by_loops(data, fees, ones + change, t)
        influence.append((up - value_by_loops(data, fees, ones - change, t)) / (2 * step))
    row = patient_value(data, fees=fees, times=t).iloc[0]
    assert row["estimate"] == pytest.approx(value_by_loops(data, fees, ones, t), rel=1e-12)
    assert row["std_error"] == pytest.approx(np.sqrt(np.sum(np.square(influence))), rel=1e-6)


def simulated(seed: int, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return patients who die with chance 1/300 a day and pay 60 on one day in 20 until then."""
    draws = np.random.default_rng(seed)
    death, end = draws.geometric(1 / 300, n), draws.integers(100, 900, n)
    data = pd.DataFrame(
        {"patient_id": np.arange(n), "time": np.minimum(death, end), "event": death <= end}
    )
    visits = draws.binomial(data["time"] + 1, 1 / 20)
    who = np.repeat(np.arange(n), visits)
    day = (draws.random(len(who)) * (data["time"].to_numpy()[who] + 1)).astype(int)
    return data, pd.DataFrame({"patient_id": who, "day": day, "amount": 60.0})


def test_the_value_of_a_simulated_world_is_recovered_where_plain_means_are_not():
    data, fees = simulated(seed=8, n=4000)
    row = patient_value(data, fees=fees, times=700).iloc[0]
    # Alive on day 0 for sure, on day d with chance (299/300)^(d-1); 60 / 20 = 3 a day.
    truth = 3 * (1 + sum((299 / 300) ** (d - 1) for d in range(1, 701)))
    assert abs(row["estimate"] - truth) < 4 * row["std_error"]
    assert row["std_error"] < 0.02 * truth
    paid = fees[fees["day"] <= 700].groupby("patient_id")["amount"].sum()
    paid = paid.reindex(data["patient_id"], fill_value=0)
    so_far = paid.mean()
    complete = paid[(data["event"] | (data["time"] >= 700)).to_numpy()].mean()
    assert so_far < truth - 8 * row["std_error"]
    assert abs(complete - truth) > 8 * row["std_error"]


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth = 3 * (1 + sum((299 / 300) ** (d - 1) for d in range(1, 301)))
    rows = [
        patient_value(data, fees=fees, times=300).iloc[0]
        for data, fees in (simulated(seed, 300) for seed in range(40))
    ]
    covered = sum(row["conf_low"] <= truth <= row["conf_high"] for row in rows)
    assert covered >= 34  # 38 of 40 expected; below 34 has a chance of 1 in 70


# --- groups, engines, properties ------------------------------------------------------------------


def test_each_group_is_as_if_alone(assert_columns):
    data, fees = random_world()
    table = patient_value(data, fees=fees, times=[5, 30], by="arm")
    assert_columns(table, "curve", groups=["arm"])
    assert table["arm"].tolist() == ["new", "new", "old", "old"]
    for arm in ("new", "old"):
        alone = patient_value(data[data["arm"] == arm], fees=fees, times=[5, 30])
        part = table[table["arm"] == arm].drop(columns="arm").reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone)


def test_a_category_keeps_its_order():
    data, fees = random_world()
    order = pd.CategoricalDtype(["old", "new"], ordered=True)
    table = patient_value(data.astype({"arm": order}), fees=fees, times=[5, 30], by="arm")
    assert table["arm"].tolist() == ["old", "old", "new", "new"]
    assert table["arm"].dtype == order


def test_two_columns_name_groups():
    data, fees = random_world()
    data = data.assign(ward=np.arange(60) % 2)
    table = patient_value(data, fees=fees, times=3, by=["arm", "ward"])
    assert table[["arm", "ward"]].to_numpy().tolist() == [
        ["new", 0],
        ["new", 1],
        ["old", 0],
        ["old", 1],
    ]


def test_every_engine_gives_the_same_value(engine):
    data, fees = random_world()
    expected = patient_value(data, fees=fees, times=[0, 7, 30], by="arm", discount_rate=0.05)
    got = patient_value(
        engine.make(data), fees=engine.make(fees), times=[30, 0, 7], by="arm", discount_rate=0.05
    )
    pd.testing.assert_frame_equal(got, expected, check_dtype=False, rtol=1e-10)


def test_a_payment_in_two_parts_is_one_payment():
    data, fees = random_world()
    halves = pd.concat([fees.assign(amount=fees["amount"] / 2)] * 2)
    whole = patient_value(data, fees=fees, times=[7, 30])
    pd.testing.assert_frame_equal(patient_value(data, fees=halves, times=[7, 30]), whole)


def test_doubling_the_patients_keeps_the_value_and_shrinks_the_error_by_root_two():
    data, fees = random_world()
    twins = pd.concat([data, data.assign(patient_id=data["patient_id"] + "'")])
    both = pd.concat([fees, fees.assign(patient_id=fees["patient_id"] + "'")])
    one = patient_value(data, fees=fees, times=[7, 30])
    two = patient_value(twins, fees=both, times=[7, 30])
    assert two["estimate"].tolist() == pytest.approx(one["estimate"].tolist(), rel=1e-12)
    assert (two["std_error"] * 2**0.5).tolist() == pytest.approx(one["std_error"].tolist())


def test_patients_who_paid_nothing_have_the_value_nothing():
    table = patient_value(THREE, fees=PAID[:0], times=[0, 5])
    assert table["estimate"].tolist() == [0, 0]
    assert table["std_error"].tolist() == [0, 0]


def test_after_everybody_died_the_value_stays():
    table = patient_value(THREE.assign(event=True), fees=PAID, times=[5, 5000])
    assert table["estimate"].iloc[0] == table["estimate"].iloc[1]
    assert table["n_at_risk"].tolist() == [1, 0]


def test_payments_of_strangers_are_not_used():
    stranger = pd.DataFrame({"patient_id": ["z"], "day": [99], "amount": [1e6]})
    with_stranger = patient_value(THREE, fees=pd.concat([PAID, stranger]), times=5)
    pd.testing.assert_frame_equal(with_stranger, patient_value(THREE, fees=PAID, times=5))


# --- bad input ------------------------------------------------------------------------------------


def test_a_day_beyond_observation_is_refused():
    with pytest.raises(DataError, match="times=6 is beyond the last day observed; ask for"):
        patient_value(THREE, fees=PAID, times=[3, 6])
    arms = THREE.assign(arm=["x", "x", "y"])
    with pytest.raises(DataError, match="times=5 is beyond the last day observed in 1 of 2 groups"):
        patient_value(arms.assign(event=False), fees=PAID, times=5, by="arm")


def test_a_payment_after_follow_up_is_refused():
    late = PAID.assign(day=PAID["day"] + 1)
    with pytest.raises(DataError, match=r"day is after the patient's follow-up in 2 of 6 rows"):
        patient_value(THREE, fees=late, times=2)


@pytest.mark.parametrize("rate", [-0.1, 1, 3, "3 %"])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(UsageError, match=r"such as 0.03 for 3 %"):
        patient_value(THREE, fees=PAID, times=2, discount_rate=rate)


@pytest.mark.parametrize("times", [[], -1, 2.5, [3, "x"]])
def test_days_that_cannot_be_meant_are_refused(times):
    with pytest.raises(UsageError, match="times"):
        patient_value(THREE, fees=PAID, times=times)


@pytest.mark.parametrize("event", [True, False])
def test_follow_up_that_ends_at_a_lapse_is_refused_as_an_event_and_as_censoring(engine, event):
    reasons = ["followed_until", "lapse_date", "moved_date"]
    data = THREE.assign(event=[False, event, True], end_reason=reasons)
    words = "end_reason says that follow-up ended at a lapse in 1 of 3 rows; end follow-up at death"
    with pytest.raises(DataError, match=words):
        patient_value(engine.make(data), fees=engine.make(PAID), times=2)


def test_follow_up_that_ends_at_an_exit_is_valued_with_its_reasons_beside_it():
    told = THREE.assign(end_reason=["death_date", "observed_until", None])
    pd.testing.assert_frame_equal(
        patient_value(told, fees=PAID, times=5), patient_value(THREE, fees=PAID, times=5)
    )


def test_times_until_the_lapse_have_to_be_derived_again_until_the_exit():
    visits = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b"],
            "visit_date": pd.to_datetime(["2022-01-01", "2022-02-01", "2022-01-01"]),
            "fee": [10.0, 20.0, 30.0],
        }
    )
    cohort = pd.DataFrame({"patient_id": ["a", "b"], "index_date": pd.Timestamp("2022-01-01")})
    until_lapse = derive_retention_times(
        visits, cohort=cohort, lapse_days=180, data_cutoff="2023-12-31"
    )
    fees = derive_fees(visits, cohort=until_lapse)
    with pytest.raises(DataError, match="ended at a lapse in 2 of 2 rows"):
        patient_value(until_lapse, fees=fees, times=31)
    exits = until_lapse.assign(death_date=pd.NaT)
    until_exit = derive_time_to_event(
        exits, event_date="death_date", censor_dates=[], data_cutoff="2023-12-31"
    )
    fees = derive_fees(visits, cohort=until_exit)
    assert patient_value(until_exit, fees=fees, times=31)["estimate"].item() == (10 + 20 + 30) / 2


def test_all_faults_of_the_patients_are_told_at_once():
    data = pd.DataFrame(
        {
            "patient_id": ["a", "a", None],
            "time": [-1.0, 2.5, None],
            "event": [1, 2, None],
            "arm": ["x", None, "y"],
        }
    )
    with pytest.raises(DataError) as refusal:
        patient_value(data, fees=PAID, times=2, by="arm")
    told = str(refusal.value)
    for words in (
        "patient_id is missing in 1 of 3 rows",
        "patient_id occurs more than once",
        "arm is missing in 1 of 3 rows",
        "time is missing in 1 of 3 rows",
        "time is negative in 1 of 3 rows",
        "time is not a whole number in 1 of 3 rows",
        "event is missing in 1 of 3 rows",
        "event is neither 0 nor 1 in 1 of 3 rows; found 1 and 2; if 2 is the event",
    ):
        assert words in told


def test_all_faults_of_the_payments_are_told_at_once():
    fees = PAID.assign(day=[-1, 0.5, None, 0, 0, 0], amount=[np.inf, None, 1, 1, 1, 1])
    with pytest.raises(DataError) as refusal:
        patient_value(THREE, fees=fees, times=2)
    told = str(refusal.value)
    for words in ("day is negative", "day is missing", "day is not a whole number"):
        assert words in told
    assert "amount is missing in 1 of 6 rows; give a visit that cost nothing" in told
    assert "amount is not finite in 1 of 6 rows" in told


def test_text_for_time_or_amount_is_refused():
    with pytest.raises(DataError, match="time is String, not a number"):
        patient_value(THREE.assign(time="4"), fees=PAID, times=2)
    with pytest.raises(DataError, match="amount is String, not a number"):
        patient_value(THREE, fees=PAID.assign(amount="4"), times=2)


def test_a_missing_column_is_named_with_the_nearest():
    with pytest.raises(DataError, match="column amount is missing; did you mean amounts"):
        patient_value(THREE, fees=PAID.rename(columns={"amount": "amounts"}), times=2)


def test_a_group_called_like_a_column_of_the_result_is_refused():
    with pytest.raises(UsageError, match="by='time' is also a column of the result"):
        patient_value(THREE, fees=PAID, times=2, by="time")
