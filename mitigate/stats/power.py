"""What a design can detect."""

from __future__ import annotations

import math
import warnings
from functools import cache
from typing import Literal

from scipy.optimize import brentq
from scipy.stats import f, ncf


def minimal_detectable_effect(
    sd: float, seeds: int, *, arms: Literal[1, 2] = 1, alpha: float = 0.05, power: float = 0.8
) -> float:
    r"""
    Smallest true effect that a two-sided t test over seeds detects with the given power.

    The root d of \\( P(F'_{1,\nu}(d^2 k) > F_{1,\nu;1-\alpha}) = \text{power} \\) with the noncentral F distribution
    (the square of the noncentral t), in standard deviations: for one arm \\( k = n, \nu = n - 1 \\), for two
    \\( k = n/2, \nu = 2n - 2 \\). With many seeds and the defaults it tends to \\( 2.8\, s / \sqrt n \\) and
    \\( 2.8 \sqrt 2\, s / \sqrt n \\); with five seeds it is a third larger. With a corrected test, take α divided by
    the size of the family.

    Args:
        sd (`float`):
            Standard deviation between seeds of what is tested, at least 0: of the slopes, or of the paired
            differences; for two arms that of a single arm.
        seeds (`int`):
            Seeds, or seeds of each arm.
        arms (`int`, *optional*, defaults to 1):
            1 for a mean over seeds or for differences paired by seed, 2 for two arms that share no seed.
        alpha (`float`, *optional*, defaults to 0.05):
            Level of the test, between 0 and 1.
        power (`float`, *optional*, defaults to 0.8):
            Probability to detect, above `alpha` and below 1.

    Returns:
        `float`: In units of `sd`; NaN with fewer than two seeds or if `sd` is NaN.

    Raises:
        ValueError: If an argument is out of range.
    """
    if sd < 0 or arms not in (1, 2):
        raise ValueError(f"`sd` must be at least 0 and `arms` 1 or 2, got {sd} and {arms}.")
    if not 0 < alpha < power < 1:
        raise ValueError(f"`alpha` and `power` must satisfy 0 < alpha < power < 1, got {alpha} and {power}.")
    if seeds < 2 or math.isnan(sd):
        return math.nan
    freedom, weight = (seeds - 1, seeds) if arms == 1 else (2 * seeds - 2, seeds / 2)
    return sd * _noncentrality(freedom, alpha, power) / math.sqrt(weight)


@cache  # a sweep over tasks asks for the same a thousand times
def _noncentrality(freedom: int, alpha: float, power: float) -> float:
    # Not statsmodels' solve_power: the noncentral t below it gives NaN in a far tail, and then its answer is wrong
    # (four seeds, alpha = 0.005: an effect of power 0.52 for 0.8). The noncentral F has no such tail.
    threshold = f.isf(alpha, 1, freedom)

    def excess(noncentrality: float) -> float:
        return float(ncf.sf(threshold, 1, freedom, noncentrality**2)) - power

    upper = 4.0
    with warnings.catch_warnings():
        # With two seeds and a family of thousands the series ends early, at a value that is good to five digits.
        warnings.filterwarnings("ignore", message=".*Series did not converge", category=RuntimeWarning)
        while excess(upper) < 0:
            upper *= 2
        return float(brentq(excess, 0, upper))
