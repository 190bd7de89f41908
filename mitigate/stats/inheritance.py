"""Inheritance in proportion: to the bias of the training text, and to that of the generator."""

from __future__ import annotations

from collections.abc import Mapping

from mitigate.intervals import Interval
from mitigate.stats.means import LEVEL, ratio_interval


def inheritance_coefficient(
    shifts: Mapping[int, float], data_shifts: Mapping[int, float], level: float = LEVEL
) -> Interval:
    r"""
    Inherited shift of the model in units of the shift of its training text, with Fieller's interval.

    \\( IC = \dfrac{B(\rho) - B(0)}{B_\text{data}(\rho) - B_\text{data}(0)} \\), where \\( B_\text{data} \\) is the
    same metric taken on the training text with matched prompts. 0 is none, below 1 attenuated, 1 faithful, above 1
    amplified. Without matched prompts, most of an amplification can come from the difference of prompt and training
    text (Seshadri et al. 2024).

    Args:
        shifts (`Mapping[int, float]`):
            \\( B(\rho) - B(0) \\) of the models, by training seed; [`paired_shifts`] makes it.
        data_shifts (`Mapping[int, float]`):
            \\( B_\text{data}(\rho) - B_\text{data}(0) \\) of the rows drawn with that seed; the same number for every
            seed if all were trained on the same rows.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.

    Returns:
        `Interval`: Over the seeds that both have. All NaN if the interval of the mean data shift includes 0 or fewer
        than two seeds are common: the coefficient is undefined.

    Raises:
        ValueError: If `level` does not lie between 0 and 1.
    """
    seeds = sorted(shifts.keys() & data_shifts.keys())
    return ratio_interval([shifts[seed] for seed in seeds], [data_shifts[seed] for seed in seeds], level)


def closure(start: Mapping[int, float], end: Mapping[int, float], generator: float, level: float = LEVEL) -> Interval:
    r"""
    Share of the way from a model without augmented rows to their generator, with Fieller's interval.

    \\( \dfrac{B(1) - B(0)}{B_\text{gen} - B(0)} \\): 0 if the model stays where it was, 1 if it becomes as biased as
    the generator. \\( B(0) \\) is in both parts, so its chance is too; the interval takes that into account.

    Args:
        start (`Mapping[int, float]`):
            \\( B(0) \\) by training seed.
        end (`Mapping[int, float]`):
            \\( B(1) \\), of models trained on augmented rows alone, by training seed.
        generator (`float`):
            \\( B_\text{gen} \\), the generator's own value on the same prompts. It is taken as known: its own
            uncertainty is not in the interval.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.

    Returns:
        `Interval`: Over the seeds that both have. All NaN if the interval of the mean distance to the generator
        includes 0 or fewer than two seeds are common: the share is undefined.

    Raises:
        ValueError: If `level` does not lie between 0 and 1.
    """
    distances = {seed: generator - value for seed, value in start.items()}
    return inheritance_coefficient(paired_shifts(start, end), distances, level)


def paired_shifts(start: Mapping[int, float], end: Mapping[int, float]) -> dict[int, float]:
    """
    Shift `end - start` of every seed that both have.

    Args:
        start (`Mapping[int, float]`):
            Value at a bias ratio of 0, by training seed.
        end (`Mapping[int, float]`):
            Value at another bias ratio.

    Returns:
        `dict[int, float]`: Shift by seed, in ascending order of the seed.
    """
    return {seed: end[seed] - start[seed] for seed in sorted(start.keys() & end.keys())}
