"""The log likelihood of a time under each distribution, with its derivatives.

A family has two or three predictors: the location of log time, the log of its scale, a shape. Each
function returns for every row the value, the gradient and the Hessian in these predictors, so that
a model with covariates is a few matrix products away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln, log_ndtr

FAMILIES = ("exponential", "weibull", "log-normal", "log-logistic", "generalised gamma")
"""Distributions in which covariates stretch or shrink time."""


class Terms(NamedTuple):
    """Contributions to a log likelihood, their gradient and Hessian in the predictors.

    Attributes:
        value: One number a row.
        gradient: Predictors by rows.
        hessian: Predictors by predictors by rows.
    """

    value: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray


def log_density(family: str, log_time: np.ndarray, predictors: np.ndarray) -> Terms:
    """Return the log density of the time of an event.

    With `z = (log t - location) / scale` it is `g(z) - log scale - log t`, where `g` is the log
    density of the family's error (Kalbfleisch and Prentice, The Statistical Analysis of Failure
    Time Data, 2nd edition 2002, sections 2.2 and 3.7).

    Args:
        family: One of `FAMILIES`.
        log_time: Logs of times.
        predictors: Location, log scale and, for the generalised gamma, shape: one row each.

    Returns:
        One contribution a time.

    Examples:
        >>> terms = log_density("exponential", np.log([2.0]), np.array([[0.0], [0.0]]))
        >>> terms.value.tolist()
        [-2.0]
    """
    if family == "generalised gamma":
        return _with_shape(_density_of_shape, log_time, predictors)
    return _density(_ERRORS[family], log_time, predictors)


def log_survival(family: str, log_time: np.ndarray, predictors: np.ndarray) -> Terms:
    """Return the log of the probability to stay beyond a time.

    Args:
        family: One of `FAMILIES`.
        log_time: Logs of times.
        predictors: As for `log_density`.

    Returns:
        One contribution a time.

    Examples:
        >>> terms = log_survival("exponential", np.log([2.0]), np.array([[0.0], [0.0]]))
        >>> terms.value.tolist()
        [-2.0]
    """
    if family == "generalised gamma":
        return _with_shape(_survival_of_shape, log_time, predictors)
    return _survival(_ERRORS[family], log_time, predictors)


# --- errors: log density with two derivatives, log survival ---------------------------------------

Error = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


def _extreme_value(z: np.ndarray) -> tuple[np.ndarray, ...]:
    hazard = np.exp(z)
    return z - hazard, 1 - hazard, -hazard, -hazard


def _normal(z: np.ndarray) -> tuple[np.ndarray, ...]:
    return -(z**2) / 2 - np.log(2 * np.pi) / 2, -z, np.full_like(z, -1.0), log_ndtr(-z)


def _logistic(z: np.ndarray) -> tuple[np.ndarray, ...]:
    lost = np.logaddexp(0, z)
    share = np.exp(z - lost)
    return z - 2 * lost, 1 - 2 * share, -2 * share * (1 - share), -lost


_ERRORS: dict[str, Error] = {
    "exponential": _extreme_value,  # type: ignore[dict-item]
    "weibull": _extreme_value,  # type: ignore[dict-item]
    "log-normal": _normal,  # type: ignore[dict-item]
    "log-logistic": _logistic,  # type: ignore[dict-item]
}


def _log_gamma_error(shape: float) -> Error:
    """Return the error of the generalised gamma: Prentice, Biometrika 1974;61:539.

    Shape 1 is the Weibull, shape 0 the log-normal, shape equal to the scale the gamma.
    """
    if abs(shape) < 1e-5:  # the incomplete gamma function loses its digits before that
        return _normal  # type: ignore[return-value]
    size = shape**-2.0

    def error(z: np.ndarray) -> tuple[np.ndarray, ...]:
        x = shape * z
        # e^x - 1 - x loses its digits where x is small, which a series keeps.
        series = x**2 / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7)))))
        excess = np.where(np.abs(x) < 0.02, series, np.expm1(x) - x)
        value = np.log(abs(shape)) + _stirling_rest(size) - size * excess
        beyond = gammaincc if shape > 0 else gammainc
        survival = np.log(beyond(size, size * np.exp(x)))
        return value, -np.expm1(x) / shape, -np.exp(x), survival

    return error  # type: ignore[return-value]


def _stirling_rest(size: float) -> float:
    """Return q log q - q - log gamma(q), by Stirling's series where it would lose its digits."""
    if size < 1000:
        return float(size * np.log(size) - size - gammaln(size))
    return float(np.log(size / (2 * np.pi)) / 2 - 1 / (12 * size) + 1 / (360 * size**3))


# --- contributions --------------------------------------------------------------------------------


def _density(error: Error, log_time: np.ndarray, predictors: np.ndarray) -> Terms:
    location, log_scale = predictors[:2]
    scale = np.exp(log_scale)
    z = (log_time - location) / scale
    value, slope, bend, _ = error(z)
    terms = _of_location_and_scale(z, scale, value - log_scale - log_time, slope, bend)
    terms.gradient[1] -= 1
    return terms


def _survival(error: Error, log_time: np.ndarray, predictors: np.ndarray) -> Terms:
    location, log_scale = predictors[:2]
    scale = np.exp(log_scale)
    z = (log_time - location) / scale
    density, slope, _, value = error(z)
    hazard = np.exp(density - value)
    return _of_location_and_scale(z, scale, value, -hazard, -hazard * (slope + hazard))


def _of_location_and_scale(
    z: np.ndarray, scale: np.ndarray, value: np.ndarray, slope: np.ndarray, bend: np.ndarray
) -> Terms:
    """Return the chain rule from z to location and log scale: dz = -1/scale, -z."""
    mixed = (slope + z * bend) / scale
    gradient = np.array([-slope / scale, -z * slope])
    hessian = np.array([[bend / scale**2, mixed], [mixed, z * slope + z**2 * bend]])
    return Terms(value, gradient, hessian)


def _density_of_shape(shape: float, log_time: np.ndarray, predictors: np.ndarray) -> Terms:
    return _density(_log_gamma_error(shape), log_time, predictors)


def _survival_of_shape(shape: float, log_time: np.ndarray, predictors: np.ndarray) -> Terms:
    return _survival(_log_gamma_error(shape), log_time, predictors)


_STEP = 2e-3
"""Of the five-point rule: its error, the fourth power, is below that of rounding."""


def _with_shape(
    terms: Callable[[float, np.ndarray, np.ndarray], Terms],
    log_time: np.ndarray,
    predictors: np.ndarray,
) -> Terms:
    """Return the contributions with derivatives in the shape, which has none in closed form."""
    shape = float(predictors[2].flat[0]) if predictors.shape[1] else 0.0
    here = terms(shape, log_time, predictors)
    near = [terms(shape + k * _STEP, log_time, predictors) for k in (-2, -1, 1, 2)]
    slope = _first([part.value for part in near])
    mixed = _first([part.gradient for part in near])
    bend = _second([part.value for part in near], here.value)
    gradient = np.concatenate([here.gradient, slope[None]])
    above = np.concatenate([here.hessian, mixed[:, None]], axis=1)
    below = np.concatenate([mixed, bend[None]])[None]
    return Terms(here.value, gradient, np.concatenate([above, below]))


def _first(near: list[np.ndarray]) -> np.ndarray:
    return (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * _STEP)


def _second(near: list[np.ndarray], here: np.ndarray) -> np.ndarray:
    return (-near[0] + 16 * near[1] - 30 * here + 16 * near[2] - near[3]) / (12 * _STEP**2)
