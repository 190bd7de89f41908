"""Permutation tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import permutation_test

from mitigate.stats.means import Floats
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
    Smyth 2010, Eq. 2).

    **It asks more than that the mean slope is 0**: the values of a seed must be exchangeable. They are not where
    slopes differ by seed and average to 0, nor where models of neighbouring ratios share training rows and thus
    resemble each other, as in a sweep; then it rejects far more often than the level says (`benchmarks/validity.py`).
    For the mean slope take [`mean_p`] of the [`seed_slopes`].

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


def pair_permutation_p(
    first: ArrayLike,
    second: ArrayLike,
    *,
    statistic: Callable[[Floats, Floats], float] = lambda x, y: float((x - y).mean()),
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    r"""
    Two-sided permutation test that a group makes no difference within matched pairs, such as counterfactual twins.

    Under the null hypothesis the two members of a pair could as well be swapped; random swaps give the distribution of
    the statistic, and \\( p = (1 + \#\text{extreme}) / (1 + P) \\) (Phipson & Smyth 2010, Eq. 2). Where there are no
    more than P arrangements, all are tried, and p is the share of the extreme ones, the observed one included.
    The unit is the pair, so the claim is about the items and these models, not about training: average the values of
    several training seeds first.

    Args:
        first (array-like of shape `(n,)`):
            Value of one member of each pair, such as 1 for a right answer and 0 for a wrong one.
        second (array-like of shape `(n,)`):
            Value of the other, in the same order.
        statistic (`Callable[[Floats, Floats], float]`, *optional*):
            Statistic of the two sides that is 0 where they are alike and changes its sign when they are swapped; by
            default the mean difference.
        permutations (`int`, *optional*, defaults to 9999):
            Number of random permutations P, at least 1.
        seed (`int`, *optional*, defaults to 0):
            Seed of the permutations.

    Returns:
        `float`: p value, at least \\( 2^{1-n} \\) if all arrangements were tried; NaN with fewer than two pairs.

    Raises:
        ValueError: If the two are not pairs of finite numbers, or `permutations` is less than 1.
    """
    sides = [np.asarray(side, dtype=float) for side in (first, second)]
    if sides[0].ndim != 1 or sides[0].shape != sides[1].shape:
        raise ValueError(
            f"`first` and `second` must be of one shape (n,) since they are pairs, got {sides[0].shape} and "
            f"{sides[1].shape}."
        )
    if not np.isfinite(sides).all():
        raise ValueError("`first` and `second` must be finite: leave out the pairs of which a member has no value.")
    if permutations < 1:
        raise ValueError(f"`permutations` must be at least 1, got {permutations}.")
    if len(sides[0]) < 2:
        return math.nan
    result = permutation_test(
        sides,
        lambda x, y: abs(statistic(x, y)),
        permutation_type="samples",
        vectorized=False,
        n_resamples=permutations,
        alternative="greater",
        batch=1000,  # bounds the memory
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)
