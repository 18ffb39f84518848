"""How regularly patients come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from loyalty_research.data.arguments import as_columns, check_share, check_whole
from loyalty_research.data.frames import (
    REPAIR_DATE,
    REPAIR_ID,
    day_number,
    is_missing,
    open_tables,
    raise_faults,
    value_faults,
)
from loyalty_research.data.lending import (
    collect,
    distinct,
    give_back,
    give_new,
    group_rows,
    to_pandas,
)
from loyalty_research.errors import Fault, UsageError
from loyalty_research.retention.averages import REPAIR_GROUP, refuse_clashes, sorted_groups

NEW = ["n_visit_days", "mean_gap", "sd_gap", "coefficient_of_variation"]
"""What `derive_visit_regularity` adds to a cohort."""

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)

_DAY, _BEFORE, _GAP, _SQUARE, _N = "__day", "__before", "__gap", "__square", "__n"


def derive_visit_regularity(
    visits: Any,
    *,
    cohort: Any = None,
    minimum_visits: int = 3,
    patient: str = "patient_id",
    date: str = "visit_date",
) -> Any:
    """Return one row a patient with the mean, spread and irregularity of the gaps between visits.

    A gap is the days from one day with a visit to the next; several visits on one day count once.
    `coefficient_of_variation` = `sd_gap` / `mean_gap`: 0 for visits at equal distances, about 1
    for visits at random times, more for bursts (Cox and Lewis, The Statistical Analysis of Series
    of Events, 1966, chapter 1). The time from the last visit on is no gap.

    Args:
        visits: One row a visit. pandas, Polars, Arrow, DuckDB or Spark.
        cohort: One row a patient; all are kept, also those without a visit. Without it, every
            patient in `visits`.
        minimum_visits: The three measures are missing with fewer days with a visit; at least 3,
            because one gap has no spread.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.

    Returns:
        The cohort, same kind of frame (without one: a new frame of the visits' kind), with
        `n_visit_days`, `mean_gap`, `sd_gap` (divided by the number of gaps less one),
        `coefficient_of_variation`.

    Raises:
        UsageError: `minimum_visits` below 3.
        DataError: Missing columns, ids or dates, a patient twice in the cohort; all at once.

    Examples:
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-11", "2024-01-31"])
        >>> visits = pd.DataFrame({"patient_id": "p", "visit_date": days})
        >>> derive_visit_regularity(visits).round(3)
          patient_id  n_visit_days  mean_gap  sd_gap  coefficient_of_variation
        0          p             3      15.0   7.071                     0.471
    """
    least = check_whole(minimum_visits, name="minimum_visits", minimum=3)
    gaps, people = _open(visits, cohort, patient, date, [])
    found = _by_patient(gaps, patient, least)
    if people is None:
        return give_new(found, like=visits, key=patient)
    people = people.drop(*NEW, strict=False).join(found, on=patient, how="left")
    people = people.with_columns(nw.col("n_visit_days").fill_null(0))
    return give_back(people, like=cohort, new=NEW, held=True)


def visit_regularity(
    visits: Any,
    *,
    cohort: Any = None,
    by: str | Sequence[str] | None = None,
    q: float | Sequence[float] = SHARES,
    minimum_visits: int = 3,
    patient: str = "patient_id",
    date: str = "visit_date",
) -> pd.DataFrame:
    """Return the quantiles of the days between one visit and the next.

    Every gap counts once, so that those who come often weigh more; gaps that were still open at
    the end of the data are not among them, so that long ones are too few where follow-up is
    short. The engine counts the gaps by their length; only these counts leave it.

    Args:
        visits: One row a visit. pandas, Polars, Arrow, DuckDB or Spark.
        cohort: One row a patient; only their visits count.
        by: Column or columns of the cohort that name groups.
        q: Share or shares of gaps that are not longer; where a share is met exactly the quantile
            is midway to the next gap.
        minimum_visits: Leave out patients with fewer days with a visit; at least 2.
        patient: Name of the patient's column in both tables.
        date: Name of the date column in `visits`.

    Returns:
        One row a group and share: the group's columns, `q`, `estimate` (days), `n_gaps`,
        `n_patients`.

    Raises:
        UsageError: `minimum_visits` below 2, a share not between 0 and 1, `by` without a cohort.
        DataError: Missing columns, ids, dates or groups, no patient with enough visits.

    Examples:
        >>> days = pd.to_datetime(["2024-01-01", "2024-01-11", "2024-01-31", "2024-02-10"])
        >>> visits = pd.DataFrame({"patient_id": "p", "visit_date": days})
        >>> visit_regularity(visits, q=[0.5, 0.9])
             q  estimate  n_gaps  n_patients
        0  0.5      10.0       3           1
        1  0.9      20.0       3           1
    """
    least = check_whole(minimum_visits, name="minimum_visits", minimum=2)
    shares = [q] if isinstance(q, int | float) else list(q)
    wanted = [check_share(share, name="q") for share in shares]
    groups = as_columns(by)
    refuse_clashes(groups, ["q", "estimate", "n_gaps", "n_patients"])
    if groups and cohort is None:
        raise UsageError("by names columns of a cohort; give the cohort that has them")
    gaps, people = _open(visits, cohort, patient, date, groups)
    if people is not None:
        gaps = gaps.join(people.select(patient, *groups), on=patient, how="inner")
    counted, patients = _count_gaps(gaps, patient, groups, least)
    if counted.empty:
        words = f"no patient has visits on {least} days or more"
        raise_faults([Fault("visits", date, 0, words, "take a smaller minimum_visits")])
    return _quantiles(counted, patients, groups, wanted, cohort)


def _open(
    visits: Any, cohort: Any, patient: str, date: str, groups: list[str]
) -> tuple[nw.LazyFrame, nw.LazyFrame | None]:
    """Return each patient's days with a visit and the day before, and the cohort."""
    lent = open_tables(
        {"visits": visits, "cohort": cohort},
        ids=patient,
        dates={"visits": [date]},
        more={"cohort": groups},
    )
    events, people = lent["visits"], lent.get("cohort")
    checks = [is_missing(patient, repair=REPAIR_ID), is_missing(date, repair=REPAIR_DATE)]
    faults = value_faults(events, checks, table="visits", may_be_empty=people is not None)
    if people is not None:
        due = [is_missing(patient, repair=REPAIR_ID)]
        due += [is_missing(name, repair=REPAIR_GROUP) for name in groups]
        faults += value_faults(people, due, table="cohort", unique=patient)
    raise_faults(faults)
    days = distinct(events, nw.col(patient), day_number(nw.col(date)).alias(_DAY))
    before = nw.col(_DAY).shift(1).over(patient, order_by=_DAY)
    return days.with_columns((nw.col(_DAY) - before).alias(_GAP)), people


def _by_patient(gaps: nw.LazyFrame, patient: str, least: int) -> nw.LazyFrame:
    gap = nw.col(_GAP).cast(nw.Float64)
    sums = group_rows(gaps, patient).agg(
        nw.len().cast(nw.Int64).alias("n_visit_days"),
        gap.sum().alias(_GAP),
        (gap * gap).sum().alias(_SQUARE),
    )
    enough, n = nw.col("n_visit_days") >= least, nw.col("n_visit_days").cast(nw.Float64) - 1
    mean = nw.when(enough).then(nw.col(_GAP) / n)
    # Sums of whole days are exact, so that equal gaps have a spread of exactly 0.
    spread = (n * nw.col(_SQUARE) - nw.col(_GAP) * nw.col(_GAP)) / (n * (n - 1))
    sums = sums.with_columns(mean.alias("mean_gap"), nw.when(enough).then(spread).alias(_SQUARE))
    sums = sums.with_columns(nw.col(_SQUARE).sqrt().alias("sd_gap"))
    ratio = nw.col("sd_gap") / nw.col("mean_gap")
    return sums.with_columns(ratio.alias("coefficient_of_variation")).select(patient, *NEW)


def _count_gaps(
    gaps: nw.LazyFrame, patient: str, groups: list[str], least: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how often each gap occurs in each group, and how many patients have one."""
    gaps = gaps.with_columns(nw.len().over(patient).alias(_N)).filter(nw.col(_N) >= least)
    one = nw.lit(1).alias("__all")
    keys = groups or ["__all"]
    lengths = gaps.filter(~nw.col(_GAP).is_null()).with_columns(one)
    firsts = gaps.filter(nw.col(_GAP).is_null()).with_columns(one)
    counted = group_rows(lengths, *keys, _GAP).agg(nw.len().cast(nw.Int64).alias("n_gaps"))
    patients = group_rows(firsts, *keys).agg(nw.len().cast(nw.Int64).alias("n_patients"))
    return to_pandas(collect(counted)), to_pandas(collect(patients))


def _quantiles(
    counted: pd.DataFrame,
    patients: pd.DataFrame,
    groups: list[str],
    wanted: list[float],
    cohort: Any,
) -> pd.DataFrame:
    keys = groups or ["__all"]
    # The groups get the cohort's types back, so that categories keep their order.
    counted = sorted_groups(counted, groups=groups, like=cohort)
    patients = sorted_groups(patients, groups=groups, like=cohort)
    parts = []
    for _, part in counted.groupby(keys, observed=True, sort=True):
        part = part.sort_values(_GAP)
        reached, gap = part["n_gaps"].cumsum().to_numpy(), part[_GAP].to_numpy(float)
        found = part[keys].iloc[[0] * len(wanted)].reset_index(drop=True)
        estimate = [_quantile(gap, reached, share) for share in wanted]
        parts.append(found.assign(q=wanted, estimate=estimate, n_gaps=int(reached[-1])))
    table = pd.concat(parts, ignore_index=True).merge(patients, on=keys, how="left")
    return table[[*groups, "q", "estimate", "n_gaps", "n_patients"]]


def _quantile(gap: np.ndarray, reached: np.ndarray, share: float) -> float:
    # Tolerant of rounding, as 0.1 x 30 is a little more than 3.
    due = share * reached[-1] - 1e-9
    place = int(np.searchsorted(reached, due))
    if abs(reached[place] - share * reached[-1]) < 1e-9 and place + 1 < len(gap):
        return float(gap[place] + gap[place + 1]) / 2
    return float(gap[place])
