"""Make did.json: difference in differences as two other implementations give it.

    python -m venv DIR && DIR/bin/pip install moderndid==0.2.0 diff-diff==3.13.0 cvxpy causaldata
    DIR/bin/python tests/published/did.py > tests/published/did.json

The data are facts that both packages ship: county teen employment of Callaway and Sant'Anna
(mpdta, in moderndid, MIT licence), whose logarithms are those of whole numbers and are stored as
such, and sign-up rates of organ donors by state and quarter (Kessler and Roth, in causaldata, MIT).
"""

import json
from importlib.metadata import version

OUTCOME = {"yname": "lemp", "tname": "year", "idname": "countyreal", "gname": "first.treat"}
KINDS = ("simple", "dynamic", "group", "calendar")


def main():
    """Print everything as JSON."""
    import causaldata
    import moderndid
    import numpy as np

    mpdta = moderndid.load_mpdta()
    mpdta = mpdta if hasattr(mpdta, "iloc") else mpdta.to_pandas()
    organs = causaldata.organ_donations.load_pandas().data
    found = {
        "source": "moderndid (port of R's did, DRDiD, HonestDiD) and diff-diff; see did.py",
        "command": "python tests/published/did.py > tests/published/did.json",
        "versions": {name: version(name) for name in ("moderndid", "diff-diff", "causaldata")},
        "mpdta": compact(mpdta, np),
        "organs": {name: organs[name].tolist() for name in ("State", "Quarter_Num", "Rate")},
        "cases": {
            "never": aggregates(mpdta),
            "not_yet": aggregates(mpdta, control_group="notyettreated"),
            "never_lpop": aggregates(mpdta, xformla="~ lpop"),
            "not_yet_lpop": aggregates(mpdta, control_group="notyettreated", xformla="~ lpop"),
        },
        "bacon": bacon(mpdta),
        "honest": honest(mpdta, np),
        "pre_trends": pre_trends(mpdta, np),
    }
    print(json.dumps(found, indent=None))  # noqa: T201


def compact(mpdta, np):
    """Return one row a county: first treated, population in thousands x 1000, employment a year."""
    wide = mpdta.pivot_table(index="countyreal", columns="year", values="lemp")
    first = mpdta.groupby("countyreal")[["first.treat", "lpop"]].first()
    return {
        "years": [int(year) for year in wide.columns],
        "first_treated": first["first.treat"].astype(int).tolist(),
        "population": np.exp(first["lpop"]).mul(1000).round().astype(int).tolist(),
        "employment": np.exp(wide).round().astype(int).to_numpy().tolist(),
    }


def aggregates(mpdta, **settings):
    """Return the group-time effects and their four aggregations."""
    import moderndid

    cells = moderndid.att_gt(mpdta, **OUTCOME, cband=False, base_period="universal", **settings)
    found = {
        "cells": {
            "cohort": [int(x) for x in cells.groups],
            "period": [int(x) for x in cells.times],
            "estimate": [float(x) for x in cells.att_gt],
            "std_error": [float(x) for x in cells.se_gt],
        }
    }
    for kind in KINDS:
        part = moderndid.aggte(cells, type=kind, boot=False, cband=False)
        found[kind] = {"estimate": float(part.overall_att), "std_error": float(part.overall_se)}
        if part.event_times is not None:
            found[kind] |= {
                "at": [int(x) for x in part.event_times],
                "estimates": [float(x) for x in part.att_by_event],
                "std_errors": [float(x) for x in part.se_by_event],
            }
    return found


def bacon(mpdta):
    """Return the parts of the two-way fixed effects coefficient."""
    import diff_diff

    parts = diff_diff.BaconDecomposition().fit(
        mpdta, outcome="lemp", unit="countyreal", time="year", first_treat="first.treat"
    )
    table = json.loads(parts.to_dataframe().to_json(orient="records", double_precision=15))
    return {"twfe": float(parts.twfe_estimate), "parts": table}


def event_times(mpdta, np):
    """Return event times without the reference, their estimates and covariance."""
    import moderndid

    cells = moderndid.att_gt(mpdta, **OUTCOME, cband=False, base_period="universal")
    part = moderndid.aggte(cells, type="dynamic", boot=False, cband=False)
    kept = np.asarray(part.event_times) != -1
    influence = np.asarray(part.influence_func)[:, kept]
    covariance = influence.T @ influence / len(influence) ** 2
    return np.asarray(part.event_times)[kept], np.asarray(part.att_by_event)[kept], covariance


def honest(mpdta, np):
    """Return fixed-length intervals under bounds on second differences."""
    from moderndid.didhonest.fixed_length_ci import compute_flci

    times, beta, covariance = event_times(mpdta, np)
    before, after = int((times < 0).sum()), int((times >= 0).sum())
    weights = {"first": np.eye(after)[0], "average": np.full(after, 1 / after)}
    rows = []
    for target, post in weights.items():
        for bound in (0.0, 0.005, 0.01, 0.02, 0.05):
            part = compute_flci(beta, covariance, bound, before, after, post, num_points=1000)
            low, high = (float(x) for x in part.flci)
            rows.append({"target": target, "bound": bound, "conf_low": low, "conf_high": high})
    return rows


def pre_trends(mpdta, np):
    """Return the slope that some lead would show at 5 % with 80 % power."""
    from scipy.optimize import brentq
    from scipy.stats import multivariate_normal

    times, _, covariance = event_times(mpdta, np)
    lead = times < 0
    inner, at = covariance[np.ix_(lead, lead)], times[lead] + 1
    limit = 1.959963984540054 * np.sqrt(np.diag(inner))

    def missed(slope):
        law = multivariate_normal(slope * at, inner, maxpts=10**6, abseps=1e-7, releps=1e-7, seed=1)
        return law.cdf(limit, lower_limit=-limit) - 0.2

    return {"slope": float(brentq(missed, 0, 1, xtol=1e-7))}


if __name__ == "__main__":
    main()
