"""Means over seeds with intervals and tests, and ratios of such means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions

from mitigate.intervals import Interval

LEVEL = 0.95
# Values closer than this, or than this share of the largest, differ by rounding: metrics are shares and their like.
ROUNDING = 1e-12
Floats = NDArray[np.float64]


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    r"""
    Mean with Student's t interval, \\( \bar v \pm t_{n-1} s / \sqrt n \\).

    Args:
        values (`Sequence[float]` of length `n`):
            One value per seed.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.

    Returns:
        `Interval`: The bounds are NaN if `n < 2`, the mean as well if `n = 0`. They are NaN too where all values are
        the same (see [`mean_p`]).

    Raises:
        ValueError: If `level` does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}.")
    n = len(values)
    if n < 2:
        return Interval(float(values[0]) if n else math.nan, math.nan, math.nan, n)
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if all_same(array):
        return Interval(0.0 if all_zero(array) else mean, math.nan, math.nan, n)
    half = t_quantile(level, n) * float(array.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def mean_p(values: Sequence[float]) -> float:
    """
    Two-sided p value of Student's t test that the mean is 0, the test that belongs to [`mean_interval`].

    Values that are the same cannot be tested, be they 0: they do not say how much seeds differ. They are no sign of
    certainty, since a share of few items takes few values, and two seeds often give the same by chance.

    Args:
        values (`Sequence[float]` of length `n`):
            One value per seed. Differences of up to 1e-12, or 1e-12 of the largest value, count as rounding.

    Returns:
        `float`: NaN if `n < 2`, or if all values are the same.
    """
    if len(values) < 2:
        return math.nan
    array = np.asarray(values, dtype=float)
    if all_same(array):
        return math.nan
    t = array.mean() * math.sqrt(len(array)) / array.std(ddof=1)
    return float(2 * distributions.t.sf(abs(t), len(array) - 1))


def seed_sd(values: Sequence[float]) -> float:
    """
    Standard deviation between seeds, from which [`minimal_detectable_effect`] tells what could have been detected.

    Args:
        values (`Sequence[float]` of length `n`):
            One value per seed.

    Returns:
        `float`: With n - 1 in the denominator; NaN if `n < 2` or all values are the same, be it 0.
    """
    array = np.asarray(values, dtype=float)
    return math.nan if len(array) < 2 or all_same(array) else float(array.std(ddof=1))


def welch_interval(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> tuple[Interval, float]:
    """
    Difference of the means of two samples that share no seed, with its interval and test (Welch 1947).

    Args:
        first (`Sequence[float]` of length `m`):
            One value per seed.
        second (`Sequence[float]` of length `n`):
            One value per seed of the other sample, whose mean is taken off.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.

    Returns:
        `tuple[Interval, float]`: The difference, with the number of seeds of the smaller sample, and the two-sided p
        value that it is 0. Bounds and p are NaN if a sample has fewer than two values, or neither varies; the
        difference as well if one has none.
    """
    n = min(len(first), len(second))
    difference = float(np.mean(first) - np.mean(second)) if n else math.nan
    if n < 2 or (all_same(np.asarray(first)) and all_same(np.asarray(second))):
        return Interval(difference, math.nan, math.nan, n), math.nan
    result: Any = distributions.ttest_ind(first, second, equal_var=False)
    low, high = result.confidence_interval(level)
    return Interval(difference, float(low), float(high), n), float(result.pvalue)


def paired_differences(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """
    Differences `first - second` of the seeds that both have, in ascending order of the seed.

    Feed them to [`mean_interval`] and [`mean_p`]: with the slopes of [`seed_slopes`] without and with a mitigation
    this tests what the mitigation takes off the slope.

    Args:
        first (`Mapping[int, float]`):
            Value by seed.
        second (`Mapping[int, float]`):
            Value by seed.

    Returns:
        `list[float]`: One difference per common seed; empty if there is none.
    """
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float], level: float = LEVEL) -> Interval:
    r"""
    Ratio of two means of paired values with its interval (Fieller 1954).

    The bounds are the roots in r of \\( (\bar x - r \bar y)^2 = t^2 \, \widehat{\mathrm{Var}}(\bar x - r \bar y) \\).
    They enclose a bounded set exactly if the interval of the denominator's mean excludes 0.

    Args:
        numerators (`Sequence[float]` of length `n`):
            x, one value per seed.
        denominators (`Sequence[float]` of length `n`):
            y, of the same seeds in the same order.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.

    Returns:
        `Interval`: All NaN if the interval of the denominator's mean includes 0 or `n < 2`: the ratio is undefined.
        Denominators that are all the same are taken as known; the bounds are NaN if the numerators are so as well.

    Raises:
        ValueError: If the lengths differ, or if `level` does not lie between 0 and 1.
    """
    if len(numerators) != len(denominators):
        raise ValueError(f"Got {len(numerators)} numerators but {len(denominators)} denominators; they must be pairs.")
    n = len(numerators)
    known = n > 1 and all_same(np.asarray(denominators, dtype=float))
    excludes_zero = mean_interval(denominators, level).excludes_zero
    if not (excludes_zero or (known and not all_zero(np.asarray(denominators, dtype=float)))):
        return Interval(math.nan, math.nan, math.nan, n)
    x, y = float(np.mean(numerators)), float(np.mean(denominators))
    if known and all_same(np.asarray(numerators, dtype=float)):
        return Interval(x / y, math.nan, math.nan, n)
    covariance = np.cov(numerators, denominators) * (t_quantile(level, n) ** 2 / n)
    a = y * y - covariance[1, 1]
    b = x * y - covariance[0, 1]
    c = x * x - covariance[0, 0]
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(x / y, float((b - root) / a), float((b + root) / a), n)


def all_same(array: Floats) -> bool:
    """Tell whether all values are one, to the rounding errors by which a t statistic would be divided."""
    return bool(np.ptp(array) <= ROUNDING * max(1.0, np.abs(array).max()))


def all_zero(array: Floats) -> bool:
    """Tell whether all values are 0, to rounding errors."""
    return bool(np.abs(array).max() <= ROUNDING)


@cache  # a sweep over tasks asks for a few of them many thousand times
def t_quantile(level: float, n: int) -> float:
    """Give the half width of an interval of the mean of `n` values, in standard errors."""
    return float(distributions.t.ppf((1 + level) / 2, n - 1))
