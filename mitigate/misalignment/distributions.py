"""Misalignment of data distributions: how far augmented rows lie from real rows in the features of an encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import norm

from mitigate.intervals import Interval
from mitigate.misalignment.covariances import coral, covariance
from mitigate.misalignment.features import Features
from mitigate.misalignment.separability import classifier_auc, separability
from mitigate.misalignment.two_sample import (
    FEWEST_ROWS,
    Contrast,
    Kernel,
    Stratum,
    block_contrasts,
    distance_kernel,
    gaussian_kernel,
    label_strata,
    median_squared_distance,
    permutation_p,
    thin_strata,
)
from mitigate.stats import LEVEL, PERMUTATIONS, Floats

# Rows of a side that are permuted, and rows of a side that the classifier sees; the latter also in numbers, so that
# the memory is the same for wide features.
PERMUTED, CLASSIFIED, CLASSIFIED_NUMBERS = 1000, 10_000, 2**24


@dataclass(frozen=True)
class Distances:
    r"""
    Distances of two samples of features.

    Args:
        mmd (`Interval`):
            Squared maximum mean discrepancy, unbiased, so it falls below 0 by chance; at most 2. `n` counts the rows
            of both sides, as in all intervals here.
        p (`float`):
            p value of the permutation test of the MMD, on a subsample.
        p_error (`float`):
            Standard error of the p value by the chance of the permutations.
        auc (`Interval`):
            Area under the ROC curve of a classifier on held-out rows, in [0, 1]; 0.5 is chance.
        separability (`Interval`):
            \\( M = 2 | AUC - 0.5 | \\), in [0, 1].
        energy (`Interval`):
            Energy distance, unbiased, in feature units.
        coral (`float`):
            Distance of the covariances, in feature units to the fourth power.
        coral_chance (`float`):
            What chance alone would make of it.
    """

    mmd: Interval
    p: float
    p_error: float
    auc: Interval
    separability: Interval
    energy: Interval
    coral: float
    coral_chance: float


@dataclass(frozen=True)
class LabelDistances:
    """
    Distances within one label.

    Args:
        label (`str`):
            The label.
        real (`int`):
            Its real rows.
        augmented (`int`):
            Its augmented rows.
        mmd (`Interval`):
            Squared maximum mean discrepancy, with the bandwidths of all rows.
        separability (`Interval`):
            As of all rows.
    """

    label: str
    real: int
    augmented: int
    mmd: Interval
    separability: Interval


@dataclass(frozen=True)
class DistributionMisalignment:
    """
    Difference of two sides in their features.

    Args:
        features (`str`):
            What the features are.
        width (`int`):
            Their number.
        pooled (`Distances`):
            Of all rows.
        within_label (`Distances` or `None`):
            Mean over labels, weighted by their shares of the real rows; `None` without labels, or if no label has ten
            rows of either side.
        labels (`tuple[LabelDistances, ...]`):
            Of each of these labels.
        covered (`float`):
            Share of the real rows that are in these labels.
        permuted (`tuple[int, int]`):
            Real and augmented rows of the permutation test of all rows.
        permutations (`int`):
            Its permutations.
        classified (`tuple[int, int]`):
            Real and augmented rows that the classifier of all rows was trained and tested on.
    """

    features: str
    width: int
    pooled: Distances
    within_label: Distances | None
    labels: tuple[LabelDistances, ...]
    covered: float
    permuted: tuple[int, int]
    permutations: int
    classified: tuple[int, int]


def distribution_misalignment(
    features: Features,
    *,
    labels: tuple[Sequence[str], Sequence[str]] | None = None,
    seed: int = 0,
) -> DistributionMisalignment:
    """
    Compare the features of two sides, pooled and within labels.

    MMD, energy distance and CORAL use all rows, at a cost that is linear in them. The permutation test uses up to
    1,000 rows a side, the classifier up to 10,000.

    Args:
        features (`Features`):
            Features of both sides.
        labels (`tuple[Sequence[str], Sequence[str]]`, *optional*):
            Labels of the real and of the augmented rows.
        seed (`int`, *optional*, defaults to 0):
            Seed of blocks, folds, subsamples and permutations.

    Returns:
        `DistributionMisalignment`: The difference.

    Raises:
        ValueError: If a side has fewer than ten rows, or there is not one label for each row.

    Limits: features show what their encoder shows. Rows of one author, or twins, are no independent draws, and make
    intervals too narrow and p values too small.
    """
    sizes = len(features.real), len(features.augmented)
    if min(sizes) < FEWEST_ROWS:
        raise ValueError(
            f"Distributions are compared from {FEWEST_ROWS} rows a side on, got {sizes[0]} real and {sizes[1]} "
            "augmented."
        )
    everything = Stratum(np.arange(sizes[0]), np.arange(sizes[1]))
    by_label = label_strata(labels, sizes) if labels else {}
    kernel = gaussian_kernel(median_squared_distance(features.real, features.augmented, seed=seed))
    measure = partial(_measure, features, kernel, seed=seed)
    pooled, parts = measure([everything]), measure(list(by_label.values()))
    average = partial(_average, features, kernel, seed=seed)
    permuted = thin_strata([everything], PERMUTED, seed=seed)[0]
    return DistributionMisalignment(
        features=features.description,
        width=features.real.shape[1],
        pooled=average(pooled),
        within_label=average(parts) if parts else None,
        labels=tuple(_label_distances(label, part) for label, part in zip(by_label, parts, strict=True)),
        covered=sum(len(stratum.real) for stratum in by_label.values()) / sizes[0],
        permuted=(len(permuted.real), len(permuted.augmented)),
        permutations=PERMUTATIONS,
        classified=pooled[0].classified,
    )


@dataclass(frozen=True)
class _Part:
    """What was measured in one stratum."""

    stratum: Stratum
    mmd: Contrast
    energy: Contrast
    auc: Contrast
    coral: float
    coral_chance: float
    classified: tuple[int, int]


def _measure(features: Features, kernel: Kernel, strata: Sequence[Stratum], *, seed: int) -> list[_Part]:
    sides = features.real, features.augmented
    most = min(CLASSIFIED, CLASSIFIED_NUMBERS // sides[0].shape[1])
    parts = []
    for stratum, seen in zip(strata, thin_strata(strata, most, seed=seed), strict=True):
        mmd, energy = block_contrasts(*sides, stratum, [kernel, distance_kernel], seed=seed)
        distance, chance = coral(covariance(sides[0], stratum.real), covariance(sides[1], stratum.augmented))
        auc = classifier_auc(sides[0][np.sort(seen.real)], sides[1][np.sort(seen.augmented)], seed=seed)
        classified = len(seen.real), len(seen.augmented)
        parts.append(_Part(stratum, mmd, energy, auc, distance, chance, classified))
    return parts


def _average(features: Features, kernel: Kernel, parts: Sequence[_Part], *, seed: int) -> Distances:
    """Average what was measured in several strata, and test them together."""
    strata = [part.stratum for part in parts]
    weights = np.array([stratum.weight for stratum in strata])
    rows = sum(len(stratum.real) + len(stratum.augmented) for stratum in strata)
    auc = _auc_interval(weights, [part.auc for part in parts], rows)
    thinned = thin_strata(strata, PERMUTED, seed=seed)
    p = permutation_p(features.real, features.augmented, thinned, kernel, seed=seed)
    return Distances(
        mmd=_interval(weights, [part.mmd for part in parts], rows),
        p=p,
        p_error=math.sqrt(p * (1 - p) / PERMUTATIONS),
        auc=auc,
        separability=separability(auc),
        energy=_interval(weights, [part.energy for part in parts], rows),
        coral=float(weights @ [part.coral for part in parts] / weights.sum()),
        coral_chance=float(weights @ [part.coral_chance for part in parts] / weights.sum()),
    )


def _label_distances(label: str, part: _Part) -> LabelDistances:
    sizes = len(part.stratum.real), len(part.stratum.augmented)
    mmd, auc = _interval(np.ones(1), [part.mmd], sum(sizes)), _auc_interval(np.ones(1), [part.auc], sum(sizes))
    return LabelDistances(label, *sizes, mmd, separability(auc))


def _interval(weights: Floats, contrasts: Sequence[Contrast], rows: int) -> Interval:
    """Return the weighted mean of what could be measured, with its normal interval."""
    values = np.array(contrasts, dtype=float)
    known = ~np.isnan(values[:, 0])
    if not known.any():
        return Interval(math.nan, math.nan, math.nan, rows)
    shares = weights[known] / weights[known].sum()
    estimate = float(shares @ values[known, 0])
    half = float(norm.ppf((1 + LEVEL) / 2) * np.sqrt(np.square(shares) @ np.square(values[known, 1])))
    return Interval(estimate, estimate - half, estimate + half, rows)


def _auc_interval(weights: Floats, contrasts: Sequence[Contrast], rows: int) -> Interval:
    auc = _interval(weights, contrasts, rows)
    low, high = np.clip((auc.low, auc.high), 0, 1).tolist()
    return Interval(auc.estimate, low, high, rows)
