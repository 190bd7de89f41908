"""Metrics of bias and of utility."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from mitigate.gaps import TprGaps


def stereotype_gap(
    labels: Sequence[str],
    predictions: Sequence[str],
    groups: Sequence[str],
    stereotypes: Mapping[str, str],
) -> float:
    r"""
    Stereotype-signed TPR gap: the mean over classes of the gap in favour of the group tied to each by the stereotype.

    Positive values say that a class is recognised better in members of its stereotyped group. Unlike the root mean
    square of the gaps, it is not pushed upwards by noise.

    Args:
        labels (`Sequence[str]`):
            True classes of `n` rows.
        predictions (`Sequence[str]`):
            Predicted classes.
        groups (`Sequence[str]`):
            Group of each row; there are two.
        stereotypes (`Mapping[str, str]`):
            Stereotyped group of each class.

    Returns:
        `float`: In [-1, 1]; 0 is parity, larger is worse.

    Raises:
        ValueError: If a label has no stereotype, or one that is none of the groups, or there are not two groups.
    """
    names = sorted(set(groups))
    if len(names) != 2:
        raise ValueError(f"The TPR gap compares two groups, got {len(names)}: {', '.join(names)}.")
    unknown = sorted(set(labels) - set(stereotypes))
    if unknown:
        raise ValueError(f"No stereotyped group is named for the labels {', '.join(unknown)}.")
    strange = sorted({stereotypes[label] for label in labels} - set(names))
    if strange:
        raise ValueError(f"`stereotypes`: {', '.join(strange)} is none of the groups {', '.join(names)}.")
    gaps = TprGaps.from_rows(labels, predictions, groups, (names[0], names[1]))
    signs = [1.0 if stereotypes[label] == names[0] else -1.0 for label in gaps.classes]
    return float(np.mean(gaps.gaps * signs))


def js_distance(predicted: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """
    Jensen–Shannon distance with base-2 logarithms, the square root of the divergence (Durmus et al. 2023, §2.3).

    Args:
        predicted (`np.ndarray` of shape `(k,)`):
            Distribution over `k` answers.
        target (`np.ndarray` of shape `(k,)`):
            Distribution to compare with; both are normalised to sum to 1.

    Returns:
        `float`: In [0, 1]; 0 for equal, 1 for disjoint distributions.
    """
    with np.errstate(invalid="ignore"):
        distance = float(jensenshannon(predicted, target, base=2))
    # Rounding can put the divergence of nearly equal distributions below 0, and its root is then NaN. What is no
    # distribution still gives NaN.
    usable = all(np.isfinite(shares).all() and np.sum(shares) > 0 for shares in (predicted, target))
    return 0.0 if usable and np.isnan(distance) else distance
