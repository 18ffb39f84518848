"""Incidences, mean counts, mean times and models: what is drawn and said is what was computed."""

import numpy as np
import pandas as pd
import pytest

from loyalty_research.display.figures_causes import plot_cumulative_incidence
from loyalty_research.display.figures_counts import plot_mean_count
from loyalty_research.display.figures_models import (
    plot_adjusted_retention,
    plot_calibration,
    plot_forest,
    plot_parametric,
)
from loyalty_research.display.published_steps import (
    incidence_at,
    incidence_steps,
    mean_count_at,
    mean_count_steps,
    publish_estimates,
    publish_incidence,
    publish_mean_count,
)
from loyalty_research.display.sentences_results import (
    cumulative_incidence_sentence,
    mean_count_sentence,
    prediction_sentence,
    regression_sentence,
    restricted_mean_sentence,
)
from loyalty_research.display.shown import show_finding, show_table
from loyalty_research.display.tables_cohort import publish_checks
from loyalty_research.display.tables_results import (
    calibration_table,
    cumulative_incidence_table,
    estimates_table,
    fits_table,
    group_test_table,
    mean_count_table,
    restricted_mean_table,
)
from loyalty_research.errors import UsageError


def incidence(*, died=3, lapsed=200, n=400):
    """On each of 200 days somebody lapses; on the first `died` of them one dies as well."""
    days = np.arange(0, 201)
    lapse = (days > 0).astype(int) * (lapsed // 200)
    death = ((days > 0) & (days <= died)).astype(int)
    at_risk = n - np.concatenate([[0], np.cumsum(lapse + death)[:-1]])
    parts = []
    for cause, events in (("died", death), ("lapsed", lapse)):
        share = events.cumsum() / n
        counts = {"n_at_risk": at_risk, "n_events": events, "n_censored": 0}
        limits = {"conf_low": share * 0.9, "conf_high": np.minimum(share * 1.1, 1)}
        values = {"time": days, **counts, "estimate": share, "std_error": 0.01, **limits}
        parts.append(pd.DataFrame({"cause": cause, **values, "conf_level": 0.95}))
    table = pd.concat(parts, ignore_index=True)
    left = n - died - lapsed
    table.loc[table["time"] == 200, "n_censored"] = left
    return table


def mean_count(n=50):
    days = np.arange(0, 301)
    return pd.DataFrame(
        {
            "time": days,
            "n_at_risk": n,
            "n_events": np.where(days > 0, 1, 0),
            "n_censored": np.where(days == 300, n, 0),
            "estimate": days / n,
            "std_error": 0.1,
            "conf_low": days / n * 0.9,
            "conf_high": days / n * 1.1,
            "conf_level": 0.95,
        }
    )


def estimates(**more):
    row = {"term": ["age", "sex[male]"], "estimate": [np.log(1.5), np.log(0.98)]}
    row |= {"std_error": 0.1, "conf_low": [np.log(1.2), np.log(0.8)]}
    row |= {"conf_high": [np.log(1.9), np.log(1.2)], "conf_level": 0.95, "p_value": [1e-6, 0.8]}
    row |= {"n": 403, "n_events": 99, "scale": "log hazard ratio", "method": "Cox"}
    return pd.DataFrame({**row, **more})


def calibrated(n_events=40):
    row = {"term": ["slope", "group 1", "group 2"], "estimate": [0.9, 0.2, 0.4]}
    row |= {"conf_low": [0.7, 0.1, 0.3], "conf_high": [1.1, 0.3, 0.5], "conf_level": 0.95}
    row |= {
        "p_value": np.nan,
        "n": 103,
        "n_events": n_events,
        "predicted": [np.nan, 0.2123456, 0.4],
    }
    return pd.DataFrame(row)


def test_the_areas_of_all_causes_and_the_rest_fill_the_whole():
    axes = plot_cumulative_incidence(incidence())
    assert [area.get_label() for area in axes.collections] == ["Lapsed", "Died", "Still coming"]
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in axes.collections]
    assert tops == pytest.approx([0.5, 0.5075, 1.0])


def test_the_numbers_at_risk_stand_under_the_areas(texts_of):
    texts = texts_of(plot_cumulative_incidence(incidence(), times=[0, 100]).figure)
    assert {"At risk", "400", "298"} <= set(texts)


def test_each_group_has_a_panel_and_nothing_overlaps(clipped_texts):
    both = pd.concat([incidence().assign(sex=s) for s in ("female", "male")])
    axes = plot_cumulative_incidence(both, by="sex", audience="publish")
    titles = [a.get_title(loc="left") for a in axes.figure.axes]
    assert titles == ["female", "male"]
    assert clipped_texts(axes.figure) == ([], [])


def test_too_many_panels_are_refused():
    many = pd.concat([incidence().assign(site=i) for i in range(13)])
    with pytest.raises(UsageError, match="13 panels are too many"):
        plot_cumulative_incidence(many, by="site")


def test_a_cause_of_seven_patients_or_fewer_is_published_nowhere():
    curve = incidence(died=7)
    shown = publish_incidence(curve, audience="publish", exact_at=[100])
    assert not (shown.loc[shown["cause"] == "died", "estimate"] > 0).any()
    at = incidence_at(curve, times=[100], audience="publish").set_index("cause")
    assert np.isnan(at.loc["died", "estimate"])
    assert at.loc["lapsed", "estimate"] == 0.25
    said = cumulative_incidence_sentence(curve, time=100, audience="publish")
    assert "unstated share died" in said
    assert "still coming" not in said


def test_no_published_step_of_a_cause_rests_on_a_single_patient():
    curve = incidence(died=60)
    shown = publish_incidence(curve, audience="publish")
    exact = curve.set_index(["cause", "time"])["estimate"]
    for cause, rows in shown.groupby("cause"):
        steps = exact[cause].loc[rows["time"]].to_numpy()
        assert (np.diff(steps) * 400 > 7 - 1e-9).all()


def test_the_sentence_says_what_the_table_holds():
    curve = incidence(died=100)
    said = cumulative_incidence_sentence(curve, time=200)
    assert said == (
        "Within 200 days 25.0 % died (95 % interval 22.5 to 27.5) and 50.0 % lapsed (95 % interval "
        "45.0 to 55.0); the other 25.0 % were still coming."
    )
    words = cumulative_incidence_table(curve, times=[200]).words
    assert words["So far"].tolist() == ["100", "200"]
    assert incidence_steps(curve).query("cause == 'died'")["time"].tolist() == [*range(101), 200]


def test_the_mean_count_is_drawn_in_steps_over_its_own_scale():
    axes = plot_mean_count(mean_count(), times=[0, 100])
    assert axes.lines[0].get_drawstyle() == "steps-post"
    assert axes.lines[0].get_ydata()[-1] == 6.0
    assert axes.get_ylim()[1] > 6


def test_a_published_mean_count_moves_at_most_monthly_or_on_an_asked_day():
    shown = publish_mean_count(mean_count(), audience="publish", exact_at=[100])
    assert (np.diff(shown["time"]) >= 30).all()
    assert 100 in shown["time"].tolist()
    assert shown["std_error"].isna().all()
    at_risk = mean_count(n=7)
    assert publish_mean_count(at_risk, audience="publish")["time"].tolist() == [0]
    assert mean_count_at(at_risk, times=[100], audience="publish")["estimate"].isna().all()
    near = mean_count_at(mean_count(), times=[100, 104], audience="publish")
    assert near["estimate"].isna().tolist() == [False, True]


def test_the_mean_count_is_said_and_tabulated():
    assert mean_count_sentence(mean_count(), time=100) == (
        "Within 100 days a patient made 2.00 return visits on average (95 % interval 1.80 to 2.20)."
    )
    words = mean_count_table(mean_count(), times=[100]).words.T[0].tolist()
    assert words == ["100", "2.00 (1.80 to 2.20)", "50", "100"]
    assert mean_count_steps(mean_count())["time"].tolist()[:3] == [0, 30, 60]
    assert "cannot be stated" in mean_count_sentence(mean_count(), time=400)


def test_a_difference_is_said_with_its_interval_before_its_p_value():
    row = {
        "contrast": ["difference, male - female", "ratio, male / female"],
        "estimate": [2.9, 1.01],
    }
    row |= {"conf_low": [-4.0, 0.98], "conf_high": [9.8, 1.04], "conf_level": 0.95}
    means = pd.DataFrame({**row, "p_value": [0.4071, 0.406], "n": 403, "n_events": 99})
    assert restricted_mean_sentence(means, horizon=365) == (
        "Over the first 365 days the difference in mean time, male - female, is 2.9 days "
        "(95 % interval −4.0 to 9.8); p = 0.407."
    )
    words = restricted_mean_table(means, audience="publish").words
    assert words["Patients"].tolist() == ["405", "405"]
    few = restricted_mean_sentence(means.assign(n=6), horizon=365, audience="publish")
    assert "cannot be stated" in few


def test_ratios_are_exponentiated_for_readers_and_stay_logarithms_in_the_numbers():
    worded = estimates_table(estimates())
    assert worded.words.iloc[0].tolist() == ["Age", "1.50 (1.20 to 1.90)", "<0.001"]
    assert worded.numbers["estimate"].tolist() == estimates()["estimate"].tolist()
    axes = plot_forest(estimates())
    assert axes.lines[0].get_xdata().tolist() == pytest.approx([1.5, 0.98])
    assert axes.get_xscale() == "log"


def test_a_published_estimate_has_three_decimals_no_error_and_enough_patients():
    shown = publish_estimates(estimates(), audience="publish")
    assert shown["estimate"].tolist() == [0.405, -0.02]
    assert shown["n"].tolist() == [405, 405]
    assert shown["std_error"].isna().all()
    hidden = publish_estimates(estimates(n_events=5), audience="publish")
    assert hidden["estimate"].isna().all()
    show_table(
        estimates_table(estimates(), audience="publish"), name="m", caption="M", audience="publish"
    )
    show_finding("S", name="m", estimates=shown, audience="publish")


def test_only_what_is_clear_is_said_and_never_as_an_effect():
    said = regression_sentence(estimates())
    assert "multiplied by 1.50 for each unit of age" in said
    assert "male" not in said
    assert "not the effect" in said
    assert "no proof" in regression_sentence(estimates()[1:])


def test_a_failed_gating_check_withholds_the_sentence_and_is_named():
    checks = pd.DataFrame(
        {"check": ["events_per_variable", "age"], "passed": [False, False], "gating": [True, False]}
    )
    said = regression_sentence(estimates(), checks=checks)
    assert said == "The model's result is withheld: the check “events per variable” failed."
    assert "1.50" in regression_sentence(estimates(), checks=checks[1:])


def test_a_p_value_is_never_written_as_0():
    tests = pd.DataFrame({"statistic": [88.4], "df": [1], "p_value": [0.0], "n": [403]})
    worded = group_test_table(tests.assign(n_events=99, method="log-rank"), audience="publish")
    assert worded.words.iloc[0].tolist() == ["Log-rank", "88.4", "1", "<0.001", "405", "100"]
    few = group_test_table(tests.assign(n_events=3, method="log-rank"), audience="publish")
    assert few.words["P value"].tolist() == ["–"]


def test_calibration_is_drawn_and_worded_from_the_same_rows():
    assert plot_calibration(calibrated()).lines[-1].get_ydata().tolist() == [0.2, 0.4]
    published = calibration_table(calibrated(), audience="publish")
    assert published.numbers["predicted"].tolist()[1:] == [0.212, 0.4]
    assert published.words["Patients"].tolist() == ["105"] * 3
    hidden = calibration_table(calibrated(n_events=4), audience="publish")
    assert set(hidden.words.iloc[:, 2]) == {"suppressed"}
    assert (
        len(plot_calibration(calibrated(n_events=4), audience="publish").lines[-1].get_ydata()) == 0
    )


def test_prediction_is_said_with_what_chance_gives():
    said = prediction_sentence(estimates()[:1].assign(estimate=0.6, conf_low=0.55, conf_high=0.65))
    assert "60.0 % of pairs (95 % interval 55.0 to 65.0; 50 % is chance)" in said


def test_a_models_curve_is_published_month_by_month():
    days = np.arange(0, 100)
    curve = pd.DataFrame({"time": days, "estimate": 1 - days / 1000.7})
    curve = curve.assign(conf_low=curve["estimate"] - 0.1, conf_high=curve["estimate"])
    exact, shown = (plot_adjusted_retention(curve, audience=a) for a in ("internal", "publish"))
    assert len(exact.lines[0].get_xdata()) == 100
    assert shown.lines[0].get_xdata().tolist() == [0, 30, 60, 90]


def test_what_lies_beyond_the_data_is_dashed_shaded_and_named(drawn_curve, texts_of):
    models = pd.DataFrame({"distribution": "weibull", "time": [0, 1200, 1500, 2000]})
    models = models.assign(estimate=[1, 0.3, 0.2, 0.1], extrapolated=[False, False, True, True])
    axes = plot_parametric(drawn_curve(300), models=models)
    dashed = [line for line in axes.lines if line.get_label() == "_extrapolated"]
    assert dashed[0].is_dashed()
    assert dashed[0].get_xdata().tolist() == [1200, 1500, 2000]
    assert "extrapolated" in texts_of(axes.figure)
    inside = models[~models["extrapolated"]]
    assert "extrapolated" not in texts_of(plot_parametric(drawn_curve(300), models=inside).figure)


def test_fits_can_be_published():
    fits = pd.DataFrame({"distribution": ["weibull"], "n_parameters": [2], "aic": [812.123]})
    fits = fits.assign(delta_aic=0.0, max_distance=0.0213, n=403, n_events=99)
    worded = fits_table(fits, audience="publish")
    assert "aic" not in worded.numbers.columns
    show_table(worded, name="fits", caption="Fits", audience="publish")


def test_a_number_of_patients_told_by_a_check_is_not_published():
    checks = pd.DataFrame({"check": ["plateau"] * 2, "statistic": [3.0, 64.0], "threshold": 20.0})
    checks["message"] = ["3 patients were seen", "64 patients were seen"]
    shown = publish_checks(checks, audience="publish")
    assert shown["message"].tolist() == [
        "a withheld number of patients were seen",
        "about 65 patients were seen",
    ]
    assert shown["statistic"].tolist() == [pd.NA, 65.0]


def test_a_ratio_is_withheld_where_few_patients_stand_behind_its_level():
    table = pd.DataFrame(
        {
            "term": ["plan[b]", "plan[c]", "age"],
            "estimate": [0.1, 0.2, 0.3],
            "n": 400,
            "n_events": 200,
            "n_level": [60, 5, 400],
            "n_level_events": [30, 5, 200],
        }
    )
    shown = publish_estimates(table, audience="publish")
    assert shown["estimate"].isna().tolist() == [False, True, False]
    assert not {"n_level", "n_level_events"} & set(shown)
    assert publish_estimates(table, audience="internal")["n_level"].tolist() == [60, 5, 400]
