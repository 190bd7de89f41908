"""Curves of a metric over the bias ratio, and what each seed's own curve says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mitigate import stats
from mitigate.intervals import Interval

# Slopes are reported as the change of the metric per +0.10 of the bias ratio.
SLOPE_UNIT = 0.10


@dataclass(frozen=True)
class Point:
    """
    A metric of one arm at one bias ratio.

    Args:
        bias_ratio (`float`):
            ρ, augmented rows over all rows.
        interval (`Interval`):
            Mean over seeds with its t interval.
        values (`tuple[tuple[int, float], ...]`):
            Seed and value of every model, in ascending order of the seed.
    """

    bias_ratio: float
    interval: Interval
    values: tuple[tuple[int, float], ...]


def values_of(points: Iterable[Point]) -> dict[tuple[float, int], float]:
    """
    List the values of a curve.

    Args:
        points (`Iterable[Point]`):
            The curve.

    Returns:
        `dict[tuple[float, int], float]`: Value by bias ratio and seed.
    """
    return {(point.bias_ratio, seed): value for point in points for seed, value in point.values}


def values_at(points: Iterable[Point], ratio: float) -> dict[int, float]:
    """
    List the values of a curve at one bias ratio.

    Args:
        points (`Iterable[Point]`):
            The curve.
        ratio (`float`):
            The bias ratio.

    Returns:
        `dict[int, float]`: Value by seed, ascending; empty if the curve has no such point.
    """
    return {seed: value for point in points if point.bias_ratio == ratio for seed, value in point.values}


def curve_slopes(points: Iterable[Point]) -> dict[int, float]:
    """
    Fit a line to the curve of each seed.

    Args:
        points (`Iterable[Point]`):
            The curve.

    Returns:
        `dict[int, float]`: Slope per +0.10 of ρ by seed, ascending; see [`mitigate.stats.seed_slopes`].
    """
    return slopes_of(values_of(points))


def slopes_of(values: Mapping[tuple[float, int], float]) -> dict[int, float]:
    """
    Fit a line to the values of each seed.

    Args:
        values (`Mapping[tuple[float, int], float]`):
            Value by bias ratio and seed, as [`values_of`] lists them.

    Returns:
        `dict[int, float]`: Slope per +0.10 of ρ by seed, ascending; see [`mitigate.stats.seed_slopes`].
    """
    return {seed: slope * SLOPE_UNIT for seed, slope in _by_seed(stats.seed_slopes, values).items()}


def curve_trends(points: Iterable[Point]) -> dict[int, float]:
    """
    Correlate the ranks of metric and bias ratio, for each seed.

    Args:
        points (`Iterable[Point]`):
            The curve.

    Returns:
        `dict[int, float]`: In [-1, 1] by seed, ascending; see [`mitigate.stats.seed_trends`].
    """
    return _by_seed(stats.seed_trends, values_of(points))


def trend_interval(trends: Mapping[int, float]) -> Interval:
    """
    Average the trends of seeds.

    Args:
        trends (`Mapping[int, float]`):
            As from [`curve_trends`].

    Returns:
        `Interval`: Mean with its t interval, cut to [-1, 1], which a rank correlation cannot leave.
    """
    mean = stats.mean_interval(list(trends.values()))
    if math.isnan(mean.low):
        return mean
    return Interval(mean.estimate, max(mean.low, -1.0), min(mean.high, 1.0), mean.n)


def curve_coefficient(points: Sequence[Point], of_rows: Sequence[Point]) -> Interval | None:
    """
    Set the shift of the bias from ρ = 0 to the largest ρ in relation to that of the training rows.

    Args:
        points (`Sequence[Point]`):
            Curve of the bias, ascending by ρ.
        of_rows (`Sequence[Point]`):
            Curve of the bias of the rows; empty if it is not known.

    Returns:
        `Interval` or `None`: See [`mitigate.stats.inheritance_coefficient`]; `None` where it is undefined.
    """
    largest = points[-1].bias_ratio
    shifts, shifts_of_rows = (
        stats.paired_shifts(values_at(curve, 0.0), values_at(curve, largest)) for curve in (points, of_rows)
    )
    found = stats.inheritance_coefficient(shifts, shifts_of_rows)
    return None if math.isnan(found.estimate) else found


def slope_differences(first: Iterable[Point], second: Iterable[Point]) -> dict[int, float]:
    """
    Subtract the slopes of two curves, seed by seed.

    The slopes are taken over the ratios that both curves have in a seed, so that a missing cell does not tilt them.

    Args:
        first (`Iterable[Point]`):
            A curve.
        second (`Iterable[Point]`):
            The curve whose slopes are taken off.

    Returns:
        `dict[int, float]`: Difference per +0.10 of ρ by seed, ascending.
    """
    x, y = values_of(first), values_of(second)
    common = [key for key in x if key in y]
    slopes = [slopes_of({key: values[key] for key in common}) for values in (x, y)]
    return {seed: slope - slopes[1][seed] for seed, slope in slopes[0].items()}


def _by_seed(
    statistic: Callable[[Sequence[float], Sequence[float], Sequence[int]], dict[int, float]],
    values: Mapping[tuple[float, int], float],
) -> dict[int, float]:
    return statistic([ratio for ratio, _ in values], list(values.values()), [seed for _, seed in values])
