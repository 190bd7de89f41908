"""Permutation tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mitigate.stats.slopes import per_seed

PERMUTATIONS = 9999


def slope_permutation_p(
    ratios: Sequence[float],
    values: Sequence[float],
    seeds: Sequence[int],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    r"""
    Two-sided permutation test that the values of no seed depend on the bias ratio.

    The statistic is the mean slope of [`inheritance_slope`]; values are permuted over the ratios within each seed,
    which keeps the differences between seeds. \\( p = (1 + \#\text{extreme}) / (1 + P) \\) never is 0 (Phipson &
    Smyth 2010, Eq. 2). The null hypothesis is the sharp one: slopes that differ by seed but average to 0 violate it,
    and are rejected far more often than the level says. For a claim on the mean slope ask [`inheritance_slope`] too.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each model.
        values (`Sequence[float]` of length `n`):
            Metric of each model.
        seeds (`Sequence[int]` of length `n`):
            Training seed of each model.
        permutations (`int`, *optional*, defaults to 9999):
            Number of random permutations P, at least 1.
        seed (`int`, *optional*, defaults to 0):
            Seed of the permutations.

    Returns:
        `float`: p value; NaN if no seed has two different ratios.

    Raises:
        ValueError: If `permutations` is less than 1, or if the lengths differ.
    """
    if permutations < 1:
        raise ValueError(f"`permutations` must be at least 1, got {permutations}.")
    groups = list(per_seed(ratios, values, seeds))
    if not groups:
        return math.nan
    rng = np.random.default_rng(seed)
    observed, scale = 0.0, 0.0
    drawn = np.zeros(permutations)
    for _, weights, centred in groups:
        observed += float(weights @ centred)
        scale += float(np.abs(weights) @ np.abs(centred))
        drawn += rng.permuted(np.tile(centred, (permutations, 1)), axis=1) @ weights
    # An arrangement that ties with the observed one must count as extreme even if rounding puts it just below.
    extreme = int(np.count_nonzero(np.abs(drawn) >= abs(observed) - 1e-10 * scale))
    return (1 + extreme) / (1 + permutations)


def permutation_floor(ratios: Sequence[float], seeds: Sequence[int]) -> float:
    """
    Smallest p value that [`slope_permutation_p`] can reach with unlimited permutations.

    A small design cannot give a small p value however large the effect: two ratios and five seeds stop at 2/32.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each model.
        seeds (`Sequence[int]` of length `n`):
            Training seed of each model.

    Returns:
        `float`: The reciprocal of the number of arrangements, doubled where the ratios are symmetric, so that the
        opposite order has the same absolute slope.

    Raises:
        ValueError: If the lengths differ.
    """
    log_arrangements, symmetric = 0.0, True
    for _, weights, _ in per_seed(ratios, [0.0] * len(ratios), seeds):
        log_arrangements += math.lgamma(len(weights) + 1)
        symmetric = symmetric and bool(np.allclose(weights, -weights[::-1]))
    return min(1.0, math.exp(-log_arrangements) * (2 if symmetric else 1))
