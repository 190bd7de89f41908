"""Corrections for a family of tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests


def holm(p_values: Sequence[float]) -> list[float]:
    """
    Holm's step-down correction (Holm 1979); the family is the p values that are not NaN.

    Args:
        p_values (`Sequence[float]`):
            p values of the family.

    Returns:
        `list[float]`: Corrected p values in the same order; NaN stays NaN.
    """
    family = [p for p in p_values if not math.isnan(p)]
    corrected = iter(multipletests(family, method="holm")[1] if family else ())
    return [p if math.isnan(p) else float(next(corrected)) for p in p_values]
