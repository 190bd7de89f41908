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


def task_slopes(
    ratios: Sequence[float], values: Sequence[float], seeds: Sequence[int], tasks: Sequence[str]
) -> Floats:
    """
    Least-squares slope of the values over the bias ratio, for each seed and task on its own.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each value.
        values (`Sequence[float]` of length `n`):
            Metric of each model on each task, on a scale that the tasks share.
        seeds (`Sequence[int]` of length `n`):
            Training seed of each value.
        tasks (`Sequence[str]` of length `n`):
            Task of each value.

    Returns:
        `np.ndarray` of shape `(seeds, tasks)`: Slopes per unit of ρ, float64, both axes in ascending order; NaN where
        a seed has fewer than two different ratios of a task.

    Raises:
        ValueError: If the lengths differ.

    Example: a bootstrap over the seeds and the tasks, for a claim about tasks like these.
    ```python
    >>> import numpy as np
    >>> from mitigate.stats import hierarchical_bootstrap, task_slopes

    >>> columns = zip(*[(r, r * (s + t), s, f"task {t}") for r in (0, 0.5) for s in (1, 2, 3) for t in (0, 1)])
    >>> hierarchical_bootstrap(np.nanmean, task_slopes(*columns), same_items=True).estimate
    2.5
    ```
    """
    if len(tasks) != len(seeds):
        raise ValueError(f"Got {len(seeds)} seeds but {len(tasks)} tasks; every value needs one of each.")
    columns, rows = sorted(set(tasks)), sorted(set(seeds))
    slopes = np.full((len(rows), len(columns)), np.nan)
    for column, task in enumerate(columns):
        own = [i for i, name in enumerate(tasks) if name == task]
        found = seed_slopes([ratios[i] for i in own], [values[i] for i in own], [seeds[i] for i in own])
        for seed, slope in found.items():
            slopes[rows.index(seed), column] = slope
    return slopes


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
