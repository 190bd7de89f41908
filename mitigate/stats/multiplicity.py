"""Corrections for a family of tests: Holm for a few named hypotheses, Benjamini–Hochberg for a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests


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
    return _corrected(p_values, "holm")


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
    return _corrected(p_values, "fdr_bh")


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
    return _corrected(p_values, "fdr_by")


def _corrected(p_values: Sequence[float], method: str) -> list[float]:
    family = [p for p in p_values if not math.isnan(p)]
    corrected = iter(multipletests(family, method=method)[1] if family else ())
    return [p if math.isnan(p) else float(next(corrected)) for p in p_values]
