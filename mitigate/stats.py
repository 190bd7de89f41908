r"""
Statistics of bias inheritance: slopes over the bias ratio, their intervals and tests.

The unit is the training seed. The models of one seed share initialisation and data order and so count once, whatever
the number of bias ratios, test items or words behind a value: each seed first gives one number (a slope, a shift, a
difference), and intervals and tests are taken over these numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from mitigate.intervals import Interval

LEVEL = 0.95
PERMUTATIONS = 9999
Floats = NDArray[np.float64]


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    r"""
    Mean with Student's t interval, \\( \bar v \pm t_{n-1} s / \sqrt n \\).

    Args:
        values (`Sequence[float]` of length `n`):
            One value per seed.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.

    Returns:
        `Interval`: The bounds are NaN if `n < 2`, the mean as well if `n = 0`.

    Raises:
        ValueError: If `level` does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}.")
    n = len(values)
    if n < 2:
        return Interval(float(values[0]) if n else math.nan, math.nan, math.nan, n)
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    half = _quantile(level, n) * float(array.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def mean_p(values: Sequence[float]) -> float:
    """
    Two-sided p value of Student's t test that the mean is 0, the test that belongs to [`mean_interval`].

    Args:
        values (`Sequence[float]` of length `n`):
            One value per seed.

    Returns:
        `float`: NaN if `n < 2`. Where all values are the same, 1 if they are 0 and 0 otherwise.
    """
    if len(values) < 2:
        return math.nan
    array = np.asarray(values, dtype=float)
    if _all_same(array):
        return 1.0 if array[0] == 0 else 0.0
    t = array.mean() * math.sqrt(len(array)) / array.std(ddof=1)
    return float(2 * distributions.t.sf(abs(t), len(array) - 1))


def equivalence_p(values: Sequence[float], bound: float) -> float:
    """
    P value of two one-sided t tests (TOST, Schuirmann 1987) that the mean lies within `(-bound, bound)`.

    A small p says that the mean is too small to matter; `mean_p` that is not small says no such thing. At level 0.05
    it rejects exactly where the interval of `mean_interval(values, 0.9)` lies within the bounds. State the bound
    before the values are seen.

    Args:
        values (`Sequence[float]` of length `n`):
            One value per seed.
        bound (`float`):
            The smallest mean that would matter, above 0, in units of the values.

    Returns:
        `float`: The larger of the two p values; NaN if `n < 2`. Where all values are the same, 0 if they lie within
        the bounds and 1 otherwise.

    Raises:
        ValueError: If `bound` is not above 0.
    """
    if not bound > 0:
        raise ValueError(f"`bound` must be above 0, got {bound}: it is the smallest mean that would matter.")
    if len(values) < 2:
        return math.nan
    if _all_same(np.asarray(values, dtype=float)):
        return 0.0 if abs(values[0]) < bound else 1.0
    return float(DescrStatsW(np.asarray(values, dtype=float)).ttost_mean(-bound, bound)[0])


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
    return {seed: float(weights @ centred) for seed, weights, centred in _per_seed(ratios, values, seeds)}


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
    groups = list(_per_seed(ratios, values, seeds))
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
    for _, weights, _ in _per_seed(ratios, [0.0] * len(ratios), seeds):
        log_arrangements += math.lgamma(len(weights) + 1)
        symmetric = symmetric and bool(np.allclose(weights, -weights[::-1]))
    return min(1.0, math.exp(-log_arrangements) * (2 if symmetric else 1))


def paired_differences(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """
    Differences `first - second` of the seeds that both have, in ascending order of the seed.

    Feed them to [`mean_interval`] and [`mean_p`]: with the slopes of [`seed_slopes`] without and with a mitigation
    this tests what the mitigation takes off the slope.

    Args:
        first (`Mapping[int, float]`):
            Value by seed.
        second (`Mapping[int, float]`):
            Value by seed.

    Returns:
        `list[float]`: One difference per common seed; empty if there is none.
    """
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float], level: float = LEVEL) -> Interval:
    r"""
    Ratio of two means of paired values with its interval (Fieller 1954).

    The bounds are the roots in r of \\( (\bar x - r \bar y)^2 = t^2 \, \widehat{\mathrm{Var}}(\bar x - r \bar y) \\).
    They enclose a bounded set exactly if the interval of the denominator's mean excludes 0.

    Args:
        numerators (`Sequence[float]` of length `n`):
            x, one value per seed.
        denominators (`Sequence[float]` of length `n`):
            y, of the same seeds in the same order.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.

    Returns:
        `Interval`: All NaN if the interval of the denominator's mean includes 0 or `n < 2`: the ratio is undefined.

    Raises:
        ValueError: If the lengths differ, or if `level` does not lie between 0 and 1.
    """
    if len(numerators) != len(denominators):
        raise ValueError(f"Got {len(numerators)} numerators but {len(denominators)} denominators; they must be pairs.")
    n = len(numerators)
    if not mean_interval(denominators, level).excludes_zero:
        return Interval(math.nan, math.nan, math.nan, n)
    x, y = float(np.mean(numerators)), float(np.mean(denominators))
    covariance = np.cov(numerators, denominators) * (_quantile(level, n) ** 2 / n)
    a = y * y - covariance[1, 1]
    b = x * y - covariance[0, 1]
    c = x * x - covariance[0, 0]
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(x / y, float((b - root) / a), float((b + root) / a), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """
    Holm's step-down correction (Holm 1979); the family is the p values that are not NaN.

    Args:
        p_values (`Sequence[float]`):
            p values of the family.

    Returns:
        `list[float]`: Corrected p values in the same order; NaN stays NaN.
    """
    family = [p for p in p_values if not math.isnan(p)]
    corrected = iter(multipletests(family, method="holm")[1] if family else ())
    return [p if math.isnan(p) else float(next(corrected)) for p in p_values]


def _all_same(array: Floats) -> bool:
    # To rounding errors, by which the t statistic would be divided.
    return bool(np.ptp(array) <= 1e-12 * np.abs(array).max())


def _quantile(level: float, n: int) -> float:
    return float(distributions.t.ppf((1 + level) / 2, n - 1))


def _per_seed(
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
