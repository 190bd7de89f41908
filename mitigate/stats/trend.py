"""Tests that bias grows with the bias ratio, in a line or not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau, page_trend_test, rankdata

from mitigate.stats.means import ROUNDING, Floats


def seed_trends(ratios: Sequence[float], values: Sequence[float], seeds: Sequence[int]) -> dict[int, float]:
    r"""
    Rank correlation of value and bias ratio (Spearman's), for each seed on its own.

    It is Page's L of the seed, scaled to [-1, 1]. Feed the trends to [`mean_interval`] and [`mean_p`]: with the seed
    as the unit this asks whether the values rise, in a line or not, and unlike [`page_p`] it does not take the models
    of one seed to be exchangeable.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each model.
        values (`Sequence[float]` of length `n`):
            Metric of each model.
        seeds (`Sequence[int]` of length `n`):
            Training seed of each model.

    Returns:
        `dict[int, float]`: In [-1, 1] by seed in ascending order; 1 where the values rise with every step, 0 where all
        are the same. A seed with fewer than two different ratios has none. Values that differ by rounding errors alone
        are ties.

    Raises:
        ValueError: If the lengths differ.
    """
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for ratio, value, seed in zip(*_checked(ratios, values, seeds), strict=True):
        found[seed].append((ratio, value))
    trends = {}
    for seed in sorted(found):
        own, metric = zip(*found[seed], strict=True)
        if len(set(own)) > 1:
            # As scipy's spearmanr does, without the p value, which takes most of its time.
            levels = _levels(np.array(metric))
            ranks = rankdata([own, levels], axis=1)
            trends[seed] = float(np.corrcoef(ranks)[0, 1]) if levels.any() else 0.0
    return trends


def _levels(values: Floats) -> Floats:
    """Number the different values from 0, ascending."""
    order = np.argsort(values)
    steps = np.diff(values[order]) > ROUNDING * max(1.0, np.abs(values).max())
    levels = np.empty(len(values))
    levels[order] = np.concatenate([[0], np.cumsum(steps)])
    return levels


def page_p(ratios: Sequence[float], values: Sequence[float], seeds: Sequence[int]) -> float:
    r"""
    One-sided test that the values grow with the bias ratio within seeds, by Page's L (Page 1963).

    \\( L = \sum_j j R_j \\), where \\( R_j \\) is the sum over seeds of the rank that the j-th smallest ratio has
    within the seed. It asks for order only, not for a line. For a fall hand over the negated values. As with
    [`slope_permutation_p`], the null hypothesis is that the values of a seed are exchangeable, which models that share
    rows are not: in the testbed it raises too many false alarms (`benchmarks/validity.py`). [`seed_trends`] does not.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each model.
        values (`Sequence[float]` of length `n`):
            Metric of each model. Those of one seed and ratio are averaged.
        seeds (`Sequence[int]` of length `n`):
            Training seed of each model. A seed that lacks a ratio is left out.

    Returns:
        `float`: p value, exact for small designs without ties; NaN with fewer than three ratios or two complete seeds.

    Raises:
        ValueError: If the lengths differ.
    """
    found: dict[int, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for ratio, value, seed in zip(*_checked(ratios, values, seeds), strict=True):
        found[seed][ratio].append(value)
    columns = sorted(set(ratios))
    blocks = [[np.mean(row[ratio]) for ratio in columns] for row in found.values() if len(row) == len(columns)]
    if len(columns) < 3 or len(blocks) < 2:
        return math.nan
    return float(page_trend_test(blocks).pvalue)


def jonckheere_p(ratios: Sequence[float], values: Sequence[float]) -> float:
    r"""
    One-sided test that the values grow with the bias ratio, of models that share no seed (Jonckheere 1954).

    The statistic \\( J = \sum_{i<j} U_{ij} \\) adds Mann–Whitney counts over all pairs of ratios. It is a linear
    function of Kendall's count of concordant minus discordant pairs of ratio and value, so the p value is that of
    Kendall's test, with its corrections for ties and the normal approximation. Where models of different ratios share
    a seed, [`page_p`] is the test.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each model.
        values (`Sequence[float]` of length `n`):
            Metric of each model.

    Returns:
        `float`: p value; NaN if all ratios or all values are the same.

    Raises:
        ValueError: If the lengths differ.
    """
    if len(ratios) != len(values):
        raise ValueError(f"Got {len(ratios)} ratios but {len(values)} values; every model needs one of each.")
    if len(set(ratios)) < 2 or len(set(values)) < 2:
        return math.nan
    return float(kendalltau(ratios, values, method="asymptotic", alternative="greater").pvalue)


def _checked(
    ratios: Sequence[float], values: Sequence[float], seeds: Sequence[int]
) -> tuple[Sequence[float], Sequence[float], Sequence[int]]:
    if not len(ratios) == len(values) == len(seeds):
        raise ValueError(
            f"Got {len(ratios)} ratios, {len(values)} values and {len(seeds)} seeds; every model needs one of each."
        )
    return ratios, values, seeds
