"""Corrections for a family of tests: Holm for a few named hypotheses, Benjamini–Hochberg for a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.stats import false_discovery_control

from mitigate.stats.means import Floats


def family_size(p_values: Sequence[float]) -> int:
    """
    Number of tests in a family, to be stated beside every corrected p value.

    Args:
        p_values (`Sequence[float]`):
            p values of the family; NaN stands for what could not be tested.

    Returns:
        `int`: Number of p values that are not NaN.
    """
    return sum(not math.isnan(p) for p in p_values)


def holm(p_values: Sequence[float]) -> list[float]:
    """
    Holm's step-down correction (Holm 1979); the family is the p values that are not NaN.

    Rejecting where the corrected value is at most α, the chance of *any* false rejection is at most α, whatever the
    dependence of the tests. It is for the few hypotheses that were named beforehand.

    Args:
        p_values (`Sequence[float]`):
            p values of the family.

    Returns:
        `list[float]`: Corrected p values in the same order; NaN stays NaN.
    """
    return _corrected(p_values, _holm)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    r"""
    Step-up correction of the false discovery rate (Benjamini & Hochberg 1995), \\( \min_{j \geq i} m p_{(j)} / j \\).

    Rejecting where the corrected value is at most q, the expected share of false rejections among all is at most q if
    the tests are independent or positively dependent. It is for a grid, such as task × bias type × bias ratio, of
    which the interesting places are to be found.

    Args:
        p_values (`Sequence[float]`):
            p values of the family; those that are NaN do not belong to it.

    Returns:
        `list[float]`: Corrected p values in the same order; NaN stays NaN.
    """
    return _corrected(p_values, partial(false_discovery_control, method="bh"))


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    r"""
    The correction of [`benjamini_hochberg`] for any dependence of the tests (Benjamini & Yekutieli 2001, Thm. 1.3).

    It is larger by the factor \\( \sum_{i=1}^m 1/i \\).

    Args:
        p_values (`Sequence[float]`):
            p values of the family; those that are NaN do not belong to it.

    Returns:
        `list[float]`: Corrected p values in the same order; NaN stays NaN.
    """
    return _corrected(p_values, partial(false_discovery_control, method="by"))


def _holm(family: Floats) -> Floats:
    # Not statsmodels' multipletests: it collects garbage in every call, which took half a second of each analysis.
    order = np.argsort(family)
    steps = np.maximum.accumulate(family[order] * np.arange(len(family), 0, -1))
    corrected = np.empty_like(family)
    corrected[order] = np.minimum(steps, 1)
    return corrected


def _corrected(p_values: Sequence[float], correct: Callable[[Floats], Floats]) -> list[float]:
    corrected = np.array(p_values, dtype=float)
    tested = ~np.isnan(corrected)
    if tested.any():
        corrected[tested] = correct(corrected[tested])
    return [float(p) for p in corrected]
