"""Hierarchical bootstrap: training seeds, then test items."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap

from mitigate.intervals import Interval
from mitigate.stats.means import LEVEL

RESAMPLES = 9999
# Share of resamples that may have no value before there is no interval.
UNDEFINED = 0.05
Indices = NDArray[np.intp]


def hierarchical_bootstrap(
    statistic: Callable[..., float],
    *systems: ArrayLike,
    same_items: bool,
    method: Literal["percentile", "bca"] = "percentile",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    r"""
    Bootstrap interval of a statistic of one system or of several, over training seeds and test items.

    Each resample draws seeds with replacement and then items with replacement, the same for all systems, which are
    thereby compared in pairs. Where all seeds share a test set, its items are drawn once for all of them (Owen 2007);
    where each seed has its own, anew for each drawn seed (Davison & Hinkley 1997, §3.8). With a single seed the
    interval is about the items alone: it says nothing of what another training run would give.

    **Few seeds.** A bootstrap of n seeds has a variance too small by \\( (n - 1) / n \\) and normal tails: with five
    seeds, where seeds differ more than items do, it covers clearly less than it says (`benchmarks/validity.py`). For a
    mean over few seeds take [`mean_interval`].

    Args:
        statistic (`Callable[..., float]`):
            Takes one array for each system, with the axes of `systems` but other lengths.
        systems (array-like of shape `(seeds, items, ...)`):
            What the statistic needs of every seed and item, such as a score; all with the same seeds and items.
        same_items (`bool`):
            Whether a column is the same test item in every seed.
        method (`str`, *optional*, defaults to `"percentile"`):
            `"bca"` corrects for bias and skewness (Efron 1987), with the jackknife over seeds, or over items if there
            is one seed.
        resamples (`int`, *optional*, defaults to 9999):
            Number of resamples, at least 1.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.
        seed (`int`, *optional*, defaults to 0):
            Seed of the resampling.

    Returns:
        `Interval`: `n` counts the training seeds. Resamples on which the statistic is not finite are left out; if more
        than 5% are, or there is neither a second seed nor a second item, the bounds are NaN. So are those of BCa where
        all resamples agree.

    Raises:
        ValueError: If the systems differ in shape or have fewer than two axes, or an argument is out of range.

    Example:
    ```python
    >>> import numpy as np
    >>> from mitigate.stats import hierarchical_bootstrap

    >>> first, second = np.random.default_rng(0).normal(size=(2, 5, 100))
    >>> hierarchical_bootstrap(lambda a, b: (a - b).mean(), first, second, same_items=True).excludes_zero
    False
    ```
    """
    arrays = [np.asarray(system) for system in systems]
    seeds, items = _check(arrays, resamples, level)
    estimate = float(statistic(*arrays))
    if max(seeds, items) < 2:
        return Interval(estimate, math.nan, math.nan, seeds)
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(*_resample(arrays, same_items, rng)) for _ in range(resamples)], dtype=float)
    finite = drawn[np.isfinite(drawn)]
    if len(finite) < (1 - UNDEFINED) * resamples:
        return Interval(estimate, math.nan, math.nan, seeds)

    def of_units(units: Indices) -> float:
        return statistic(*(array[units] if seeds > 1 else array[:, units] for array in arrays))

    # scipy resamples one axis only, but takes a distribution that was drawn elsewhere: its part is the interval.
    result: Any = bootstrap(
        (np.arange(seeds if seeds > 1 else items),),
        of_units,
        vectorized=False,
        method=method,
        confidence_level=level,
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=finite),
    )
    low, high = result.confidence_interval
    return Interval(estimate, float(low), float(high), seeds)


def _check(arrays: list[NDArray[Any]], resamples: int, level: float) -> tuple[int, int]:
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}.")
    if resamples < 1:
        raise ValueError(f"`resamples` must be at least 1, got {resamples}.")
    shapes = [array.shape for array in arrays]
    if not arrays or min(array.ndim for array in arrays) < 2 or len({shape[:2] for shape in shapes}) > 1:
        raise ValueError(
            f"`systems` must be arrays of one shape (seeds, items, ...), got the shapes {shapes}; a single seed is "
            "an array with one row."
        )
    return shapes[0][0], shapes[0][1]


def _resample(arrays: list[NDArray[Any]], same_items: bool, rng: np.random.Generator) -> list[NDArray[Any]]:
    seeds, items = arrays[0].shape[:2]
    rows = rng.integers(seeds, size=(seeds, 1))
    columns = rng.integers(items, size=(1 if same_items else seeds, items))
    return [array[rows, columns] for array in arrays]
