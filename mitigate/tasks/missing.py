"""Per-group means of what answers say, with bounds for those that could not be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mitigate.tasks.base import Bounds, GroupScores, Readings


def bounded_mean(values: Sequence[float | None], span: Bounds) -> tuple[float, Bounds]:
    """
    Mean of the values there are, and the means if all that are missing had the lowest or the highest value.

    Args:
        values (`Sequence[float | None]` of length `n ≥ 1`):
            The values; `None` is missing.
        span (`tuple[float, float]`):
            Lowest and highest possible value.

    Returns:
        `tuple[float, tuple[float, float]]`: The mean, NaN if all are missing, and the two bounds.
    """
    known = [value for value in values if value is not None]
    total, missing = math.fsum(known), len(values) - len(known)
    low, high = ((total + missing * edge) / len(values) for edge in span)
    return (total / len(known) if known else math.nan), (low, high)


def group_means(
    groups: Sequence[str], values: Sequence[float | None], refused: Sequence[bool], span: Bounds
) -> dict[str, GroupScores]:
    """
    Score each group by the mean of its values.

    Args:
        groups (`Sequence[str]` of length `n`):
            Group of each answer.
        values (`Sequence[float | None]` of length `n`):
            What each answer says, as a number; `None` if it could not be read.
        refused (`Sequence[bool]` of length `n`):
            Whether it refuses.
        span (`tuple[float, float]`):
            The value that counts most against the group, and most for it.

    Returns:
        `dict[str, GroupScores]`: By group, sorted.
    """
    result = {}
    for group in sorted(set(groups)):
        places = [i for i, own in enumerate(groups) if own == group]
        own = [values[i] for i in places]
        mean, bounds = bounded_mean(own, span)
        unparsed = float(np.mean([value is None for value in own]))
        result[group] = GroupScores(len(own), mean, unparsed, float(np.mean([refused[i] for i in places])), bounds)
    return result


def holding(bounds: Bounds, value: float) -> Bounds:
    """
    Widen bounds so that they hold a value.

    Where answers are compared with each other, one that could not be read takes its partners out of the comparison. So
    what the others say can lie outside of all that could have been read.

    Args:
        bounds (`tuple[float, float]`):
            Least and largest value.
        value (`float`):
            What was read says; NaN for nothing.

    Returns:
        `tuple[float, float]`: The bounds.
    """
    return bounds if math.isnan(value) else (min(bounds[0], value), max(bounds[1], value))


def parsed_share(readings: Readings[Any]) -> tuple[float, Bounds]:
    """
    Share of answers that could be read: the utility of tasks that have no right answer.

    Args:
        readings (`Readings`):
            The answers.

    Returns:
        `tuple[float, tuple[float, float]]`: The share in [0, 1], and itself twice, as it has no bounds.
    """
    share = float(np.mean([value is not None for value in readings.values]))
    return share, (share, share)
