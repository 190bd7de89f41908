"""Metrics of bias and of utility."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import recall_score


def tpr_gaps(
    labels: Sequence[str], predictions: Sequence[str], groups: Sequence[str], pair: tuple[str, str]
) -> dict[str, float]:
    r"""
    True-positive-rate gap of each class: \\( \text{TPR}_{g,y} - \text{TPR}_{g',y} \\) (De-Arteaga et al. 2019, §4).

    Args:
        labels (`Sequence[str]`):
            True classes of `n` rows.
        predictions (`Sequence[str]`):
            Predicted classes.
        groups (`Sequence[str]`):
            Group of each row.
        pair (`tuple[str, str]`):
            The two groups \\( g \\) and \\( g' \\).

    Returns:
        `dict[str, float]`: Gap in [-1, 1] of each class, NaN where a group has no row of it.
    """
    true, predicted, group = np.asarray(labels), np.asarray(predictions), np.asarray(groups)
    classes = sorted(set(labels))
    first, second = (
        recall_score(true[group == g], predicted[group == g], labels=classes, average=None, zero_division=np.nan)
        if g in group
        else np.full(len(classes), np.nan)
        for g in pair
    )
    return dict(zip(classes, (first - second).tolist(), strict=True))


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
        ValueError: If a label has no stereotype, or there are not two groups.
    """
    names = sorted(set(groups))
    if len(names) != 2:
        raise ValueError(f"The TPR gap compares two groups, got {len(names)}: {', '.join(names)}.")
    unknown = sorted(set(labels) - set(stereotypes))
    if unknown:
        raise ValueError(f"No stereotyped group is named for the labels {', '.join(unknown)}.")
    gaps = tpr_gaps(labels, predictions, groups, (names[0], names[1]))
    signs = {label: 1.0 if stereotypes[label] == names[0] else -1.0 for label in gaps}
    return float(np.mean([signs[label] * gap for label, gap in gaps.items()]))


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
