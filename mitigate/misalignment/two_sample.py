"""Kernel two-sample statistics of large samples: block estimates on all rows, a permutation test on some of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances

from mitigate.alignment import BANDWIDTHS
from mitigate.stats import PERMUTATIONS

# Rows of a side that are compared with each other at a time: two thousand rows make a matrix of 16 MiB.
BLOCK = 1000
# Fewer rows of a side say nothing about it.
FEWEST_ROWS = 10
# Permutations done at a time, by one matrix product.
_CHUNK = 512
# Sums of float32 differ in their last digits with the order of the terms: what differs by less counts as equal.
_TIE = 1e-6
# Of squared distances, as a share of the squared lengths of rows: scikit-learn computes those of float32 in float64.
_ROUNDING = 1e-12

Rows = NDArray[np.float32]
Indices = NDArray[np.int64]
# From squared distances to the values of pairs.
Kernel = Callable[[Rows], Rows]


class Contrast(NamedTuple):
    """
    Mean over the pairs within either side, minus twice that over the pairs between them.

    Attributes:
        estimate (`float`):
            Unbiased estimate.
        error (`float`):
            Its standard error.
    """

    estimate: float
    error: float


@dataclass(frozen=True)
class Stratum:
    """
    Rows to compare with each other, such as those of one label.

    Args:
        real (`np.ndarray` of shape `(n,)`, int64):
            Numbers of its real rows.
        augmented (`np.ndarray` of shape `(m,)`, int64):
            Numbers of its augmented rows.
        weight (`float`, *optional*, defaults to 1):
            Its share in a mean over strata.
    """

    real: Indices
    augmented: Indices
    weight: float = 1.0


def gaussian_kernel(scale: float) -> Kernel:
    r"""
    Mean of Gaussian kernels, \\( \exp(-\lVert x - y \rVert^2 / (c \cdot s)) \\) over `c` in 1/4, 1/2, 1, 2 and 4.

    The contrast of this kernel is the unbiased squared MMD (Gretton et al. 2012, JMLR 13, Eq. 3), the same as
    [`mitigate.alignment.mmd`] where `s` is the same.

    Args:
        scale (`float`):
            `s`, in squared feature units; see [`median_squared_distance`].

    Returns:
        `Callable`: The kernel; its values are in [0, 1].
    """

    def kernel(squared: Rows) -> Rows:
        values = np.zeros_like(squared)
        for c in BANDWIDTHS:
            values += np.exp(squared * np.float32(-1 / (c * scale)))
        return values / np.float32(len(BANDWIDTHS))

    return kernel


def distance_kernel(squared: Rows) -> Rows:
    """
    Negative distance; its contrast is the unbiased energy distance (Székely & Rizzo 2013), in feature units.

    Args:
        squared (`np.ndarray`):
            Squared distances.

    Returns:
        `np.ndarray` of the same shape: Values of at most 0.
    """
    return -np.sqrt(squared)


def median_squared_distance(real: Rows, augmented: Rows, *, seed: int = 0) -> float:
    """
    Median squared distance of the pooled rows, from at most 1,000 of either side: the usual bandwidth of a kernel.

    Args:
        real (`np.ndarray` of shape `(n, d)`):
            Real rows.
        augmented (`np.ndarray` of shape `(m, d)`):
            Augmented rows.
        seed (`int`, *optional*, defaults to 0):
            Seed of the draw.

    Returns:
        `float`: Above 0. Where more than half of the pairs are equal rows, the mean instead; 1 if all are.
    """
    rng = np.random.default_rng(seed)
    rows = np.concatenate([side[_draw(rng, np.arange(len(side)), BLOCK)] for side in (real, augmented)])
    rows = rows.astype(np.float32, copy=False)
    pairs = euclidean_distances(rows, squared=True)[np.triu_indices(len(rows), k=1)].astype(np.float64)
    # Equal rows can be a rounding error apart.
    least = _ROUNDING * float(np.square(rows, dtype=np.float64).sum(axis=1).mean())
    scales = (float(np.median(pairs)), float(pairs.mean()))
    return next((scale for scale in scales if scale > least), 1.0)


def block_contrasts(
    real: Rows, augmented: Rows, stratum: Stratum, kernels: Sequence[Kernel], *, seed: int = 0
) -> list[Contrast]:
    """
    Estimate contrasts from all rows of a stratum, in blocks of at most 1,000 rows a side that are drawn at random.

    The mean over blocks of the unbiased estimate (the B-test of Zaremba et al. 2013, NeurIPS): time and memory grow
    linearly with the rows. If all rows fit in one block, it is the full U-statistic. Where one side has too few rows
    for every block to have two, rows of the other are left out.

    The standard error is the first-order one of a U-statistic, by the infinitesimal jackknife (Efron 1982, ch. 6): the
    spread of what each row contributes. Where the sides do not differ at all it is too large by about a factor of
    √2, since the contributions are noise then.

    Args:
        real (`np.ndarray` of shape `(real rows, d)`, float):
            Features of all real rows; may be a memory map.
        augmented (`np.ndarray` of shape `(augmented rows, d)`, float):
            Likewise.
        stratum (`Stratum`):
            Rows to compare, at least two a side.
        kernels (`Sequence[Kernel]`):
            Kernels; they share the distances.
        seed (`int`, *optional*, defaults to 0):
            Seed of the blocks.

    Returns:
        `list[Contrast]`: One for each kernel.
    """
    rng = np.random.default_rng(seed)
    sizes = len(stratum.real), len(stratum.augmented)
    count = min(-(-max(sizes) // BLOCK), min(sizes) // 2)
    sides = [_draw(rng, rows, count * BLOCK) for rows in (stratum.real, stratum.augmented)]
    estimates, variances = np.zeros(len(kernels)), np.zeros(len(kernels))
    for own, other in zip(*(np.array_split(rows, count) for rows in sides), strict=True):
        squared = _squared_distances(real, augmented, own, other)
        for k, kernel in enumerate(kernels):
            estimate, variance = _contrast(_pair_values(kernel, squared), len(own))
            estimates[k] += estimate / count
            variances[k] += variance / count**2
    return [Contrast(float(e), float(v) ** 0.5) for e, v in zip(estimates, variances, strict=True)]


def permutation_p(
    real: Rows,
    augmented: Rows,
    strata: Sequence[Stratum],
    kernel: Kernel,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    r"""
    Permutation test that the sides of every stratum come from one distribution.

    Rows change sides within their stratum. The statistic is the weighted mean of the contrasts; \\( p = (1 + e) / (1 +
    P) \\), where `e` of `P` permutations are as extreme. Memory is quadratic in the rows of a stratum.

    Args:
        real (`np.ndarray` of shape `(real rows, d)`, float):
            Features of all real rows.
        augmented (`np.ndarray` of shape `(augmented rows, d)`, float):
            Likewise.
        strata (`Sequence[Stratum]`):
            Rows to compare, at least two a side in each.
        kernel (`Kernel`):
            The kernel.
        permutations (`int`, *optional*, defaults to 9999):
            `P`.
        seed (`int`, *optional*, defaults to 0):
            Seed of the permutations.

    Returns:
        `float`: In (0, 1]; NaN if the statistic is no finite number. By the chance of the permutations it is off by
        about \\( \sqrt{p (1 - p) / P} \\).
    """
    rng = np.random.default_rng(seed)
    observed, permuted = 0.0, np.zeros(permutations)
    for stratum in strata:
        squared = _squared_distances(real, augmented, stratum.real, stratum.augmented)
        values = _pair_values(kernel, squared)
        n = len(stratum.real)
        sides = np.zeros((1, len(values)), np.float32)
        sides[0, :n] = 1
        observed += stratum.weight * _contrasts_of(values, sides, n)[0]
        for start in range(0, permutations, _CHUNK):
            several = np.repeat(sides, min(_CHUNK, permutations - start), axis=0)
            part = _contrasts_of(values, rng.permuted(several, axis=1), n)
            permuted[start : start + len(several)] += stratum.weight * part
    if not math.isfinite(observed):
        return math.nan
    return float((1 + np.count_nonzero(permuted >= observed - _TIE)) / (1 + permutations))


def thin_strata(strata: Sequence[Stratum], rows: int, *, seed: int = 0) -> list[Stratum]:
    """
    Draw a subsample of about so many rows a side, from each stratum by its share of the side.

    Args:
        strata (`Sequence[Stratum]`):
            The strata, at least two rows a side in each.
        rows (`int`):
            Rows of a side; ten of each stratum are taken whatever its share.
        seed (`int`, *optional*, defaults to 0):
            Seed of the draw.

    Returns:
        `list[Stratum]`: In the same order and with the same weights.
    """
    rng = np.random.default_rng(seed)
    totals = sum(len(s.real) for s in strata), sum(len(s.augmented) for s in strata)
    thinned = []
    for stratum in strata:
        sides = [
            _draw(rng, own, max(FEWEST_ROWS, round(rows * len(own) / total)))
            for own, total in zip((stratum.real, stratum.augmented), totals, strict=True)
        ]
        thinned.append(Stratum(sides[0], sides[1], stratum.weight))
    return thinned


def label_strata(labels: tuple[Sequence[str], Sequence[str]], sizes: tuple[int, int]) -> dict[str, Stratum]:
    """
    Divide rows by label.

    Args:
        labels (`tuple[Sequence[str], Sequence[str]]`):
            Labels of the real and of the augmented rows.
        sizes (`tuple[int, int]`):
            Real and augmented rows.

    Returns:
        `dict[str, Stratum]`: The labels that have ten rows of either side, sorted, weighted by their shares of the
        real rows.

    Raises:
        ValueError: If there is not one label for each row.
    """
    if (len(labels[0]), len(labels[1])) != sizes:
        raise ValueError(
            f"`labels` must have one label for each row, got {len(labels[0])} and {len(labels[1])} for {sizes[0]} "
            f"real and {sizes[1]} augmented rows."
        )
    sides = [np.asarray(side, dtype=object) for side in labels]
    strata = {}
    for label in sorted({*labels[0]} & {*labels[1]}):
        real, augmented = (np.flatnonzero(side == label) for side in sides)
        if min(len(real), len(augmented)) >= FEWEST_ROWS:
            strata[label] = Stratum(real, augmented, len(real) / sizes[0])
    return strata


def _draw(rng: np.random.Generator, rows: Indices, count: int) -> Indices:
    """Draw without replacement, in random order; all of them if there are no more."""
    return rng.permutation(rows)[:count]


def _squared_distances(real: Rows, augmented: Rows, own: Indices, other: Indices) -> Rows:
    # A memory map is read faster in the order of the file; which row is where within a side does not matter here.
    rows = np.concatenate([real[np.sort(own)], augmented[np.sort(other)]]).astype(np.float32, copy=False)
    squared: Rows = euclidean_distances(rows, squared=True)
    return squared


def _pair_values(kernel: Kernel, squared: Rows) -> Rows:
    values = kernel(squared)
    np.fill_diagonal(values, 0)  # a row with itself is no pair
    return values


def _contrast(values: Rows, n: int) -> tuple[float, float]:
    """Return the contrast of pair values, the first `n` rows being real, and its variance."""
    m = len(values) - n
    within = [
        values[:n, :n].sum(axis=1, dtype=np.float64) / (n - 1),
        values[n:, n:].sum(axis=1, dtype=np.float64) / (m - 1),
    ]
    between = [values[:n, n:].mean(axis=1, dtype=np.float64), values[:n, n:].mean(axis=0, dtype=np.float64)]
    estimate = float(within[0].mean() + within[1].mean() - 2 * between[0].mean())
    # A row is in the pairs of its own side twice, and in those with the other side once, which count double.
    variance = sum(
        4 * float(np.var(own - other, ddof=1)) / len(own) for own, other in zip(within, between, strict=True)
    )
    return estimate, variance


def _contrasts_of(values: Rows, sides: Rows, n: int) -> NDArray[np.float64]:
    """Return the contrast for every row of `sides`, in which 1 tells the `n` real rows."""
    m = values.shape[0] - n
    sums = values.sum(axis=1, dtype=np.float64)
    real_pairs = np.einsum("ij,ij->i", sides @ values, sides, dtype=np.float64)
    real_sums = sides @ sums
    between = real_sums - real_pairs
    augmented_pairs = sums.sum() - real_sums - between
    result: NDArray[np.float64] = real_pairs / (n * (n - 1)) + augmented_pairs / (m * (m - 1)) - 2 * between / (n * m)
    return result
