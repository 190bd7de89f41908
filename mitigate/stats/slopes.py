"""Slopes over the bias ratio, one for each seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mitigate.intervals import Interval
from mitigate.stats.means import LEVEL, Floats, mean_interval


def seed_slopes(ratios: Sequence[float], values: Sequence[float], seeds: Sequence[int]) -> dict[int, float]:
    """
    Least-squares slope of the values over the bias ratio, for each seed on its own.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each model.
        values (`Sequence[float]` of length `n`):
            Metric of each model.
        seeds (`Sequence[int]` of length `n`):
            Training seed of each model.

    Returns:
        `dict[int, float]`: Slope in units of the metric per unit of ρ, by seed in ascending order. A seed with fewer
        than two different ratios has none.

    Raises:
        ValueError: If the lengths differ.
    """
    return {seed: float(weights @ centred) for seed, weights, centred in per_seed(ratios, values, seeds)}


def inheritance_slope(
    ratios: Sequence[float], values: Sequence[float], seeds: Sequence[int], level: float = LEVEL
) -> Interval:
    r"""
    Inheritance slope \\( dB/d\rho \\): the mean over seeds of the slopes of the single seeds.

    The unit is the seed, not the model: pooling all models into one regression would count the ratios of one seed as
    independent and report too narrow an interval. A seed's own slope is an ordinary least-squares fit with intercept.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each model.
        values (`Sequence[float]` of length `n`):
            Bias of each model; larger is worse.
        seeds (`Sequence[int]` of length `n`):
            Training seed of each model.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level of the t interval over seeds, between 0 and 1.

    Returns:
        `Interval`: In units of the metric per unit of ρ; `n` counts the seeds with at least two ratios.

    Raises:
        ValueError: If the lengths differ, or if `level` does not lie between 0 and 1.
    """
    return mean_interval(list(seed_slopes(ratios, values, seeds).values()), level)


def per_seed(
    ratios: Sequence[float], values: Sequence[float], seeds: Sequence[int]
) -> Iterator[tuple[int, Floats, Floats]]:
    """Yield seed, least-squares weights and centred values; sorted, so that the order of the rows is no matter."""
    if not len(ratios) == len(values) == len(seeds):
        raise ValueError(
            f"Got {len(ratios)} ratios, {len(values)} values and {len(seeds)} seeds; every model needs one of each."
        )
    x, y, group = np.asarray(ratios, dtype=float), np.asarray(values, dtype=float), np.asarray(seeds)
    for seed in sorted(set(seeds)):
        rows = np.flatnonzero(group == seed)
        rows = rows[np.lexsort((y[rows], x[rows]))]
        offsets = x[rows] - x[rows].mean()
        if np.ptp(x[rows]) > 0:
            yield seed, offsets / (offsets @ offsets), y[rows] - y[rows].mean()
