"""How many of a patient's visits are to the team that is theirs."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw

from loyalty_research.data.arguments import check_whole
from loyalty_research.data.frames import raise_faults
from loyalty_research.data.lending import collect, give_back, group_rows, hold
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.continuity import OWN_TEAM, PROVIDER, open_provided

COUNTS = ["n_visits", "n_unknown", "n_own_team"]
NEW = [*COUNTS, OWN_TEAM]
"""What `derive_own_team_visits` adds to a cohort."""

_OWN = "__own"


def derive_own_team_visits(
    visits: Any,
    *,
    cohort: Any,
    team: str,
    start: str | None = None,
    end: str | None = None,
    minimum_visits: int = 1,
    patient: str = "patient_id",
    date: str = "visit_date",
    provider: str = "staff_id",
) -> Any:
    """Return the cohort with the share of each patient's visits that were to the own team.

    One patient, one doctor, one nurse: whoever signed up with a team is meant to be seen by it. The
    indices of `derive_continuity` do not know which team that is; this share does.

    Args:
        visits: One row a visit. pandas, Polars, Arrow, DuckDB or Spark.
        cohort: One row a patient; all are kept.
        team: Column of the cohort with the team, doctor or clinic that the patient is assigned to;
            missing = none, and no share.
        start: Date column of the cohort with the first day that counts, such as that of signing up;
            visits before it could not be to the team. None for no limit.
        end: Date column of the cohort with the last day; a missing date, or None, is no limit.
        minimum_visits: The share is missing with fewer visits to a known provider.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.
        provider: Name of the column of `visits` with who was seen, in the codes of `team`; an extra
            column, which the contract does not hold. A visit without one is counted in `n_unknown`
            and left out of the share.

    Returns:
        The cohort, same kind of frame, with `n_visits` (those in `n_unknown` included),
        `n_unknown`, `n_own_team` and `own_team`, the share; `continuity_summary` averages it.

    Raises:
        UsageError: `minimum_visits` below 1; a team's column named like one of the new ones.
        DataError: Missing columns, ids or dates, a window that ends before it starts, no visit with
            a provider, no patient with a team, or codes that never meet; all faults of a step at
            once.

    Examples:
        >>> import pandas as pd
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["p"] * 4,
        ...     "visit_date": pd.date_range("2024-01-01", periods=4),
        ...     "staff_id": ["A", "A", "B", "A"],
        ... })
        >>> cohort = pd.DataFrame({"patient_id": ["p"], "team_id": ["A"]})
        >>> derive_own_team_visits(visits, cohort=cohort, team="team_id")["own_team"].item()
        0.75
    """
    least = check_whole(minimum_visits, name="minimum_visits", minimum=1)
    if team in NEW:
        raise UsageError(f"team={team!r} is also a column of the result; rename it in the cohort")
    names = {"patient": patient, "date": date, "provider": provider}
    events, people = open_provided(
        visits, cohort=cohort, start=start, end=end, more=[team], **names
    )
    if people is None:
        raise UsageError("cohort is None; give the patients, each with the own team")
    _refuse_codes(events, people, team, provider)
    own = people.select(patient, nw.col(team).alias(_OWN))
    counted = hold(_count(events.join(own, on=patient, how="inner"), patient))
    _refuse_strangers(counted, team, provider)
    people = people.drop(*NEW, strict=False).join(counted, on=patient, how="left")
    people = people.with_columns(*[nw.col(name).fill_null(0) for name in COUNTS])
    known = nw.col("n_visits") - nw.col("n_unknown")
    enough = (known >= least) & ~nw.col(team).is_null()
    share = nw.col("n_own_team").cast(nw.Float64) / known.cast(nw.Float64)
    people = people.with_columns(nw.when(enough).then(share).alias(OWN_TEAM))
    return give_back(people, like=cohort, new=NEW, held=True)


def _count(events: nw.LazyFrame, patient: str) -> nw.LazyFrame:
    """Return for each patient the visits, those to nobody known, those to the own team."""
    unknown = nw.col(PROVIDER).is_null().cast(nw.Int64).sum()
    own = (nw.col(PROVIDER) == nw.col(_OWN)).fill_null(False).cast(nw.Int64).sum()
    counts = (nw.len(), unknown, own)
    named = [count.cast(nw.Int64).alias(name) for count, name in zip(counts, COUNTS, strict=True)]
    return group_rows(events, patient).agg(*named)


def _refuse_codes(events: nw.LazyFrame, people: nw.LazyFrame, team: str, provider: str) -> None:
    """Refuse teams that are numbers where providers are text, or none at all."""
    found = collect(people.select(nw.len().alias("n"), nw.col(team).count().alias("known")))
    n, known = (int(found.to_pydict()[name][0]) for name in ("n", "known"))
    if n and not known:
        message = f"{team} is missing in every one of {n:,} rows"
        repair = "name the column with the team that each patient is assigned to"
        raise_faults([Fault("cohort", team, n, message, repair)])
    kinds = [
        frame.collect_schema()[name].is_numeric()
        for frame, name in ((events, PROVIDER), (people, team))
    ]
    if kinds[0] != kinds[1]:
        words = ("a number", "text") if kinds[1] else ("text", "a number")
        message = f"{team} is {words[0]} but {provider} in visits is {words[1]}"
        repair = "give teams the same codes in both tables"
        raise_faults([Fault("cohort", team, 0, message, repair)])


def _refuse_strangers(counted: nw.LazyFrame, team: str, provider: str) -> None:
    """Refuse codes that never meet: more likely two ways of naming a team than no visit to any."""
    sums = collect(counted.select(*[nw.col(name).sum() for name in COUNTS])).to_pydict()
    n, unknown, own = (int(sums[name][0] or 0) for name in COUNTS)
    if n - unknown and not own:
        message = f"{team} is never the {provider} of any of {n - unknown:,} visits"
        repair = "give teams the same codes in both tables"
        raise_faults([Fault("cohort", team, n - unknown, message, repair)])
