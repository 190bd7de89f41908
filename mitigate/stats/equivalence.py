"""Tests that an effect is too small to matter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from statsmodels.stats.weightstats import DescrStatsW

from mitigate.stats.means import all_same


def equivalence_p(values: Sequence[float], bound: float) -> float:
    """
    P value of two one-sided t tests (TOST, Schuirmann 1987) that the mean lies within `(-bound, bound)`.

    A small p says that the mean is too small to matter; `mean_p` that is not small says no such thing. At level 0.05
    it rejects exactly where the interval of `mean_interval(values, 0.9)` lies within the bounds. State the bound
    before the values are seen.

    Args:
        values (`Sequence[float]` of length `n`):
            One value per seed.
        bound (`float`):
            The smallest mean that would matter, above 0, in units of the values.

    Returns:
        `float`: The larger of the two p values; NaN if `n < 2`, or where all values are the same, be it 0: a metric
        that cannot move, such as that of a task which every model gets wrong, would else be called unmoved.

    Raises:
        ValueError: If `bound` is not above 0.
    """
    if not bound > 0:
        raise ValueError(f"`bound` must be above 0, got {bound}: it is the smallest mean that would matter.")
    array = np.asarray(values, dtype=float)
    if len(array) < 2 or all_same(array):
        return math.nan
    return float(DescrStatsW(array).ttost_mean(-bound, bound)[0])
