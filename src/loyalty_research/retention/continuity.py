"""How steadily a patient sees the same provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from loyalty_research.data.arguments import as_columns, check_choice, check_share, check_whole
from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    Check,
    day_number,
    is_missing,
    open_tables,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import collect, give_back, give_new, group_rows
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.averages import (
    ESTIMATES,
    mean_estimates,
    moments,
    open_rows_by_group,
    refuse_clashes,
    share_estimates,
)

INDICES = ("upc", "coc", "secon", "mmci")
"""The indices of continuity: density, dispersion, sequence, and visits against providers."""

OWN_TEAM = "own_team"
"""The share of visits with the own team, which is summarised like an index."""

NEW = ["n_visits", "n_unknown", "n_providers", *INDICES]
"""What `derive_continuity` adds to a cohort."""

PROVIDER = "__provider"
"""Who was seen, in the visits that `open_provided` returns."""

_BEFORE = "__before"
_START, _END = "__start", "__end"
_N, _TOP, _SQUARES, _SAME = "__n", "__top", "__squares", "__same"


def derive_continuity(
    visits: Any,
    *,
    cohort: Any = None,
    start: str | None = None,
    end: str | None = None,
    minimum_visits: int = 3,
    patient: str = "patient_id",
    date: str = "visit_date",
    provider: str = "staff_id",
) -> Any:
    """Return one row a patient with four indices of the continuity of care.

    With N visits, n_j of them to provider j, and M providers:
    `upc` = max n_j / N, the usual provider's share (Breslau and Reeb, J Med Educ 1975;50:965);
    `coc` = (sum n_j^2 - N) / (N (N - 1)), the chance that two visits drawn without replacement are
    to one provider (Bice and Boxerman, Med Care 1977;15:347);
    `secon` = the share of the N - 1 successive pairs of visits that are to one provider
    (Steinwachs, Med Care 1979;17:551);
    `mmci` = (1 - M / (N + 0.1)) / (1 - 1 / (N + 0.1)) (Magill and Senf, J Fam Pract 1987;24:165).

    Each row of `visits` is a visit, also where a patient has several on one day. The order of
    visits with the same date is not known: they are taken in the order of the provider's code, so
    that shuffled rows give the same `secon`; give a timestamp where the time of day is known.

    Args:
        visits: One row a visit. pandas, Polars, Arrow, DuckDB or Spark.
        cohort: One row a patient; all are kept, also those without a visit. Without it, every
            patient in `visits`.
        start: Date column of the cohort with the first day of the patient's window; None for no
            limit.
        end: Date column of the cohort with the last day; a missing date, or None, is no limit.
        minimum_visits: The indices are missing with fewer visits to a known provider, because
            they take few values then; at least 2.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.
        provider: Name of the column with the doctor, nurse, team or clinic. It is an extra column,
            which the contract does not hold; with `"facility_id"` continuity is that of the
            clinic. A visit without one (missing or blank) is counted in `n_unknown` and left out
            of the indices.

    Returns:
        The cohort, same kind of frame (without one: a new frame of the visits' kind), with
        `n_visits` (those in `n_unknown` included), `n_unknown`, `n_providers`, `upc`, `coc`,
        `secon`, `mmci`.

    Raises:
        UsageError: `minimum_visits` below 2, a window without a cohort.
        DataError: Missing columns, ids or dates, a window that ends before it starts, no visit
            with a provider; all faults at once.

    Examples:
        >>> visits = pd.DataFrame({
        ...     "patient_id": ["p"] * 4,
        ...     "visit_date": pd.date_range("2024-01-01", periods=4),
        ...     "staff_id": ["A", "A", "A", "B"],
        ... })
        >>> derive_continuity(visits)[["n_visits", "n_providers", "upc", "coc", "secon"]].round(3)
           n_visits  n_providers   upc  coc  secon
        0         4            2  0.75  0.5  0.667
    """
    least = check_whole(minimum_visits, name="minimum_visits", minimum=2)
    if cohort is None and (start is not None or end is not None):
        raise UsageError("start and end are columns of a cohort; give the cohort that has them")
    events, people = open_provided(
        visits, cohort=cohort, start=start, end=end, patient=patient, date=date, provider=provider
    )
    counted = _with_indices(_count(events, patient, date), least)
    if people is None:
        return give_new(counted.select(patient, *NEW), like=visits, key=patient)
    people = people.drop(*NEW, strict=False).join(
        counted.select(patient, *NEW), on=patient, how="left"
    )
    counts = [nw.col(name).fill_null(0) for name in ("n_visits", "n_unknown", "n_providers")]
    return give_back(people.with_columns(*counts), like=cohort, new=NEW, held=True)


# --- the door -------------------------------------------------------------------------------------


def open_provided(
    visits: Any,
    *,
    cohort: Any,
    start: str | None,
    end: str | None,
    patient: str,
    date: str,
    provider: str,
    more: Sequence[str] = (),
) -> tuple[nw.LazyFrame, nw.LazyFrame | None]:
    """Return each patient's visits within the window with who was seen, and the patients.

    Args:
        visits: One row a visit.
        cohort: One row a patient, or None for everybody's visits without a window.
        start: Date column of the cohort with the first day, or None.
        end: Date column of the cohort with the last day, or None.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.
        provider: Name of the column with who was seen; a blank text is nobody.
        more: Further columns of the cohort.

    Returns:
        `patient`, `date` and `PROVIDER` of the visits; the patients, or None without a cohort.

    Raises:
        DataError: Missing columns, ids or dates, a window that ends before it starts, no visit
            with a provider; all faults at once.

    Examples:
        >>> visits = pd.DataFrame(
        ...     {"patient_id": ["p"], "visit_date": pd.to_datetime(["2024-01-01"]), "seen": ["A"]}
        ... )
        >>> names = {"patient": "patient_id", "date": "visit_date", "provider": "seen"}
        >>> events, _ = open_provided(visits, cohort=None, start=None, end=None, **names)
        >>> collect(events.select(PROVIDER)).to_pydict()[PROVIDER]
        ['A']
    """
    window = [column for column in (start, end) if column is not None]
    lent = open_tables(
        {"visits": visits, "cohort": cohort},
        ids=patient,
        dates={"visits": [date], "cohort": window},
        more={"visits": [provider], "cohort": more},
    )
    events, people = lent["visits"], lent.get("cohort")
    events = events.select(patient, date, _known(events, provider).alias(PROVIDER))
    checks = [is_missing(patient, repair=REPAIR_ID), is_missing(date, repair=REPAIR_DATE)]
    faults = value_faults(events, checks, table="visits") + _provider_faults(events, provider)
    if people is None:
        raise_faults(faults)
        return events, None
    whose = _window_checks(patient, start, end)
    raise_faults([*faults, *value_faults(people, whose, table="cohort", unique=patient)])
    return _within(events, people, start, end, patient, date), people


def _known(events: nw.LazyFrame, provider: str) -> nw.Expr:
    value = nw.col(provider)
    if not isinstance(events.collect_schema()[provider], nw.String):
        return value
    return nw.when(value.str.strip_chars() != "").then(value)


def _provider_faults(events: nw.LazyFrame, provider: str) -> list[Fault]:
    counts = events.select(nw.len().alias("rows"), nw.col(PROVIDER).count().alias("known"))
    row = collect(counts).to_pylist()[0]
    if row["known"] or not row["rows"]:
        return []
    message = f"{provider} is missing in every one of {row['rows']:,} rows"
    return [
        Fault("visits", provider, row["rows"], message, "name the column that says who was seen")
    ]


def _window_checks(patient: str, start: str | None, end: str | None) -> list[Check]:
    checks = [is_missing(patient, repair=REPAIR_ID)]
    if start is not None:
        repair = f'leave these patients out by the criterion known("{start}")'
        checks.append(is_missing(start, repair=repair))
    if start is not None and end is not None:
        backward = day_number(nw.col(end)) < day_number(nw.col(start))
        checks.append(Check(end, backward, f"is before {start}", "correct the window's dates"))
    return checks


# --- the counts -----------------------------------------------------------------------------------


def _within(
    events: nw.LazyFrame,
    people: nw.LazyFrame,
    start: str | None,
    end: str | None,
    patient: str,
    date: str,
) -> nw.LazyFrame:
    limits = [
        day_number(nw.col(column)).alias(name)
        for column, name in ((start, _START), (end, _END))
        if column is not None
    ]
    events = events.join(people.select(patient, *limits), on=patient, how="inner")
    day = day_number(nw.col(date))
    if start is not None:
        events = events.filter(day >= nw.col(_START))
    if end is not None:
        events = events.filter(nw.col(_END).is_null() | (day <= nw.col(_END)))
    return events.select(patient, date, PROVIDER)


def _count(events: nw.LazyFrame, patient: str, date: str) -> nw.LazyFrame:
    """Return for each patient the visits, their providers, and the successive pairs alike."""
    unknown = nw.col(PROVIDER).is_null().cast(nw.Int64)
    everyone = group_rows(events, patient).agg(
        nw.len().cast(nw.Int64).alias("n_visits"),
        unknown.sum().cast(nw.Int64).alias("n_unknown"),
    )
    known = events.filter(~nw.col(PROVIDER).is_null())
    n = nw.col(_N)
    spread = group_rows(known, patient, PROVIDER).agg(nw.len().cast(nw.Float64).alias(_N))
    spread = group_rows(spread, patient).agg(
        nw.len().cast(nw.Int64).alias("n_providers"),
        n.max().alias(_TOP),
        (n * n).sum().alias(_SQUARES),
        n.sum().alias(_N),
    )
    before = nw.col(PROVIDER).shift(1).over(patient, order_by=[date, PROVIDER])
    pairs = known.with_columns(before.alias(_BEFORE))
    same = (nw.col(PROVIDER) == nw.col(_BEFORE)).fill_null(False).cast(nw.Int64)
    pairs = group_rows(pairs, patient).agg(same.sum().cast(nw.Float64).alias(_SAME))
    counted = everyone.join(spread, on=patient, how="left")
    return counted.join(pairs, on=patient, how="left")


def _with_indices(counted: nw.LazyFrame, least: int) -> nw.LazyFrame:
    n, providers = nw.col(_N), nw.col("n_providers").cast(nw.Float64)
    enough = n >= least
    # Ratios rather than one minus a share: a patient with one provider gets exactly 1.
    indices = {
        "upc": nw.col(_TOP) / n,
        "coc": (nw.col(_SQUARES) - n) / (n * (n - 1)),
        "secon": nw.col(_SAME) / (n - 1),
        "mmci": (n + 0.1 - providers) / (n + 0.1 - 1),
    }
    return counted.with_columns(
        nw.col("n_providers").fill_null(0),
        *[nw.when(enough).then(value).alias(name) for name, value in indices.items()],
    )


# --- the summary ----------------------------------------------------------------------------------


def continuity_summary(
    data: Any,
    *,
    by: str | Sequence[str] | None = None,
    indices: str | Sequence[str] = INDICES,
    threshold: float = 0.75,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the mean of each index of continuity with the share of patients at a threshold.

    Patients below the minimum of visits have no index: they are left out, and counted in
    `n_missing`, because an index over few visits would say more of their number than of loyalty.

    Args:
        data: One row a patient, as `derive_continuity` returns.
        by: Column or columns that name groups.
        indices: Which of `"upc"`, `"coc"`, `"secon"`, `"mmci"`; and `"own_team"`, as
            `derive_own_team_visits` returns it.
        threshold: Count the patients whose index is at or above it; strictly between 0 and 1.
        conf_level: Coverage of the intervals.

    Returns:
        For each index and group the mean (`term` is the index, Student's t interval) and the
        share (`term` is such as `"upc >= 0.75"`, Wilson's interval): `term`, group..., `estimate`,
        `std_error`, `conf_low`, `conf_high`, `conf_level`, `p_value` (missing: nothing is
        tested), `n` patients with an index, `n_events` of them at the threshold (missing for a
        mean), `scale`, `method`, `n_missing`.

    Raises:
        UsageError: An unknown index, a threshold not between 0 and 1, a clash of names.
        DataError: Missing columns or groups, an index outside 0 to 1; all faults at once.

    Examples:
        >>> data = pd.DataFrame({"upc": [1.0, 0.5, 0.75, None]})
        >>> table = continuity_summary(data, indices="upc")
        >>> table[["term", "estimate", "n", "n_missing"]].round(3).values.tolist()
        [['upc', 0.75, 3, 1], ['upc >= 0.75', 0.667, 3, 1]]
    """
    chosen = [
        check_choice(name, (*INDICES, OWN_TEAM), name="indices") for name in as_columns(indices)
    ]
    limit = check_share(threshold, name="threshold")
    level = check_share(conf_level, name="conf_level")
    groups = as_columns(by)
    refuse_clashes(groups, ["term", "n_missing", *ESTIMATES, *chosen])
    outside = [
        Check(
            name,
            (nw.col(name) < 0) | (nw.col(name) > 1),
            "is not between 0 and 1",
            f"compute it by derive_{'own_team_visits' if name == OWN_TEAM else 'continuity'}",
        )
        for name in chosen
    ]
    rows = open_rows_by_group(data, groups=groups, columns=chosen, checks=outside)
    high = {name: f"{name} >= {limit:g}" for name in chosen}
    rows = rows.with_columns(
        *[(nw.col(n) >= limit).cast(nw.Int64).cast(nw.Float64).alias(high[n]) for n in chosen]
    )
    found = moments(rows, columns=[*chosen, *high.values()], groups=groups, like=data)
    parts = []
    for name in chosen:
        parts.append(
            mean_estimates(
                found[name], groups=groups, term=name, scale="index 0 to 1", conf_level=level
            )
        )
        share = found[high[name]]
        parts.append(share_estimates(share, groups=groups, term=high[name], conf_level=level))
    return pd.concat(parts, ignore_index=True)
