"""Two straight lines that meet at no point: a course before the change, another from it on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from loyalty_research.effects.ar1 import SeriesFit, fit_ar1
from loyalty_research.effects.newey_west import fit_newey_west
from loyalty_research.effects.series import Series
from loyalty_research.errors import DataError, Fault

ERRORS = ("ar1", "newey-west")

_TREND, _LEVEL, _SLOPE = 1, 2, 3
_EXACT = 1e-10


@dataclass(frozen=True)
class SegmentedModel:
    """A fitted series.

    Attributes:
        series: What was fitted.
        x: One row a period, those of the wash-in included: constant, trend, level, slope, season.
        fit: The coefficients.
        errors: "ar1" or "newey-west".
        is_log: What was modelled is a logarithm.
    """

    series: Series
    x: np.ndarray
    fit: SeriesFit
    errors: str
    is_log: bool

    def weights(self, *, trend: float = 0, level: float = 0, slope: float = 0) -> np.ndarray:
        """Return the weights of a sum of coefficients.

        Args:
            trend: Weight of the trend before the change.
            level: Weight of the change in level.
            slope: Weight of the change in slope.

        Returns:
            One weight a coefficient.
        """
        found = np.zeros(self.x.shape[1])
        found[[_TREND, _LEVEL, _SLOPE]] = trend, level, slope
        return found

    def effect_rows(self) -> np.ndarray:
        """Return for each period the weights of its effect, level + slope x elapsed.

        Returns:
            One row a period; zeros before the change and in the wash-in.
        """
        rows = np.zeros_like(self.x)
        rows[:, [_LEVEL, _SLOPE]] = self.x[:, [_LEVEL, _SLOPE]]
        return rows

    def before_rows(self) -> np.ndarray:
        """Return the rows of `x` as if nothing had changed.

        Returns:
            One row a period.
        """
        return self.x - self.effect_rows()

    def cumulative(self, *, until: int | None = None) -> tuple[float, float]:
        """Return the effect added up over the periods after the wash-in, with its error.

        Differences are multiplied by the exposure, where there is one, and added. On the log scale
        a period of n events at a ratio r would have had n / r: the sum of n - n / r, the observed n
        taken as given, its error by the delta method.

        Args:
            until: Position of the last period that counts; None for the last of all.

        Returns:
            Estimate and standard error.
        """
        part = slice(self.series.first_after, None if until is None else until + 1)
        rows = self.effect_rows()[part]
        per = np.ones(self.series.n) if self.series.exposure is None else self.series.exposure
        if not self.is_log:
            return self.fit.contrast(per[part] @ rows)
        without = (per * self.series.outcome)[part] * np.exp(-rows @ self.fit.beta)
        with_it = float((per * self.series.outcome)[part].sum())
        return with_it - float(without.sum()), self.fit.contrast(without @ rows)[1]

    def on_outcome(self, values: np.ndarray) -> np.ndarray:
        """Return values of `y` as outcomes of the treated series.

        Args:
            values: One a period.

        Returns:
            The same with the comparison added and the log undone.
        """
        beside = self.series.comparison
        if self.is_log:
            return np.exp(values) * (1.0 if beside is None else beside)
        return values + (0.0 if beside is None else beside)


def fit_segmented(
    series: Series, *, errors: str, harmonics: int | None, lags: int | None
) -> SegmentedModel:
    """Return the fitted series.

    y_t = a + trend t + level D_t + slope (t - t1) D_t + season, where D_t is 1 from the first
    period after the wash-in, t1, so that `level` is the difference in that very period (Wagner et
    al., J Clin Pharm Ther 2002;27:299).

    Args:
        series: As `open_series` returns it.
        errors: "ar1" or "newey-west".
        harmonics: Pairs of sine and cosine; None for an indicator a season.
        lags: Of Newey and West; None for the usual number.

    Returns:
        The model.

    Raises:
        DataError: The periods do not determine the coefficients, or leave no error to estimate;
            seasons that are no cycle with harmonics.
    """
    x = _columns(series, harmonics)
    used, y = series.is_used, series.y
    _refuse_undetermined(x[used], series)
    at = np.arange(series.n)[used]
    weight = None if series.weight is None else series.weight[used]
    _refuse_exact(x[used], y[used])
    if errors == "ar1":
        fit = fit_ar1(x[used], y[used], at, weight=weight)
    else:
        fit = fit_newey_west(x[used], y[used], at, weight=weight, lags=lags)
    return SegmentedModel(series, x, fit, errors, series.is_log)


def series_before(series: Series, *, start: int) -> Series:
    """Return the part of a series before its change, with a change that never was.

    Args:
        series: The series.
        start: Position of the false start, before the true one.

    Returns:
        The shorter series, without a wash-in.
    """
    kept = slice(0, series.start)

    def cut(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[kept]

    return replace(
        series, time=series.time[kept], outcome=series.outcome[kept], y=series.y[kept],
        comparison=cut(series.comparison), exposure=cut(series.exposure),
        weight=cut(series.weight), season=cut(series.season), start=start, wash_in=0, n_events=None,
    )  # fmt: skip


# --- columns --------------------------------------------------------------------------------------


def _columns(series: Series, harmonics: int | None) -> np.ndarray:
    at = np.arange(series.n, dtype=float)
    after = at >= series.first_after
    elapsed = np.where(after, at - series.first_after, 0.0)
    return np.column_stack(
        [np.ones(series.n), at, after, elapsed, _season_columns(series, harmonics)]
    )


def _season_columns(series: Series, harmonics: int | None) -> np.ndarray:
    if series.season is None:
        return np.empty((series.n, 0))
    if series.n_seasons > series.n:
        words = f"{series.n:,} periods are no full cycle of {series.n_seasons:,} seasons"
        repair = "give a longer series, or season=None"
        raise DataError([Fault("series", "season", series.n, words, repair)])
    if harmonics is None:
        return (series.season[:, None] == np.arange(1, series.n_seasons)).astype(float)
    if not series.is_cycle:
        words = "seasons do not follow each other in their order, one a period"
        repair = "number them in their order, such as 1 to 12, or give harmonics=None"
        raise DataError([Fault("series", "season", 0, words, repair)])
    angle = 2 * np.pi * series.season / series.n_seasons
    waves = []
    for k in range(1, min(harmonics, series.n_seasons // 2) + 1):
        # The fastest wave has a cosine only: its sine is 0 in every season.
        has_sine = 2 * k < series.n_seasons
        waves += [np.sin(k * angle), np.cos(k * angle)] if has_sine else [np.cos(k * angle)]
    return np.column_stack(waves)


# --- refusals -------------------------------------------------------------------------------------


def _refuse_undetermined(x: np.ndarray, series: Series) -> None:
    n, p = x.shape
    scaled = x / np.maximum(np.abs(x).max(axis=0), 1)
    if n <= p:
        words = f"{n} periods cannot determine {p} coefficients and an error"
        repair = "give more periods, or fewer harmonics"
        raise DataError([Fault("series", "", n, words, repair)])
    if np.linalg.matrix_rank(scaled) < p:
        words = "the periods do not determine the change: two lines need two periods each"
        repair = "give more periods"
        if series.n_seasons:
            words = "the periods do not determine the change apart from the seasons"
            repair = "give a full cycle and more, or fewer harmonics"
        raise DataError([Fault("series", "", n, words, repair)])


def _refuse_exact(x: np.ndarray, y: np.ndarray) -> None:
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    if np.abs(rest).max() <= _EXACT * max(np.abs(y).max(), 1e-300):
        words = "the outcome lies on the lines exactly, which leaves no error to estimate"
        repair = "check that it was measured and not filled in"
        raise DataError([Fault("series", "outcome", len(y), words, repair)])
