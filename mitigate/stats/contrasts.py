"""Contrasts of effects: tasks that the bias touches against control tasks that it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions
from scipy.special import gammaln

from mitigate.intervals import Interval
from mitigate.stats.inheritance import paired_shifts
from mitigate.stats.means import LEVEL, Floats, all_same, mean_interval, mean_p

Task = tuple[Mapping[int, float], Mapping[int, float]]


@dataclass(frozen=True)
class DifferenceInDifferences:
    """
    Mean shift of the related tasks minus mean shift of the control tasks.

    Args:
        interval (`Interval`):
            In standard deviations of the tasks between seeds; `n` counts the seeds that all tasks have.
        p (`float`):
            Two-sided t test that it is 0, with the standard error of the interval.
        error (`float`):
            That standard error; NaN where there is none, as where all seeds have the same difference.
        values (`tuple[float, ...]`):
            The difference of every seed, in ascending order of the seed.
    """

    interval: Interval
    p: float
    error: float
    values: tuple[float, ...]


def standardised_shifts(start: Mapping[int, float], end: Mapping[int, float]) -> dict[int, float]:
    r"""
    Inherited shift in standard deviations of the metric between seeds, \\( J_{n-1} (B(\rho) - B(0)) / s_{B(0)} \\).

    It puts metrics of different units on one scale. The standard deviation is itself uncertain, by about a third with
    five seeds, which scales all seeds of a task alike. \\( J_m = \Gamma(m/2) / (\sqrt{m/2}\,\Gamma((m-1)/2)) \\), 0.8
    for five seeds, takes out the bias that comes from dividing by it (Hedges 1981).

    Args:
        start (`Mapping[int, float]`):
            \\( B(0) \\) by training seed; all of them count for the standard deviation.
        end (`Mapping[int, float]`):
            \\( B(\rho) \\) by training seed.

    Returns:
        `dict[int, float]`: Shift in standard deviations of the seeds that both have, ascending; NaN if there are fewer
        than three seeds at the start, or all are the same there.
    """
    values = np.array(list(start.values()))
    freedom = len(values) - 1
    scale = math.nan
    if freedom > 1 and not all_same(values):
        log_correction = gammaln(freedom / 2) - gammaln((freedom - 1) / 2) - math.log(freedom / 2) / 2
        scale = math.exp(log_correction) / float(values.std(ddof=1))
    return {seed: shift * scale for seed, shift in paired_shifts(start, end).items()}


def difference_in_differences(
    related: Sequence[Task], control: Sequence[Task], level: float = LEVEL
) -> DifferenceInDifferences:
    r"""
    Compare the standardised shifts of tasks that the bias touches with those of tasks that it does not.

    "Augmented rows harm what their bias touches" is the claim that the difference is above 0. That the shift of one
    task is significant and that of another is not says nothing about their difference. The tasks are taken as they
    are: the claim is about these tasks, not about others like them (for that see [`mixed_slope`]).

    The squared standard error of the interval is \\( s_v^2/n + \sum_{tu} w_t d_t w_u d_u r_{tu}^2 / (2(n-1)) \\),
    where v are the differences by seed, d the mean standardised shifts of the tasks with their weights w (one over the
    number of related tasks, minus one over that of the control tasks), and r the correlations of the tasks over seeds
    at the start. The second term is the large-sample variance of the standard deviations, as for other standardised
    effects (Hedges & Olkin 1985, ch. 5). Without it the interval covers too rarely where there is a difference, and
    the test alarms too often where related and control tasks grow alike: an error in a standard deviation is the same
    in all seeds, which looks like a difference (`benchmarks/validity.py`).

    Args:
        related (`Sequence[tuple[Mapping[int, float], Mapping[int, float]]]`):
            For each related task \\( B(0) \\) and \\( B(\rho) \\) by training seed, larger for more harm.
        control (`Sequence[tuple[Mapping[int, float], Mapping[int, float]]]`):
            Likewise for each control task.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level of the t interval, between 0 and 1.

    Returns:
        `DifferenceInDifferences`: NaN with fewer than three seeds in common, or if a task does not vary over seeds at
        the start. Bounds and p are NaN where all seeds have the same difference, other than 0.

    Raises:
        ValueError: If there is no related or no control task, or `level` does not lie between 0 and 1.
    """
    for name, tasks in (("related", related), ("control", control)):
        if not tasks:
            raise ValueError(f"`{name}` holds no task; a difference in differences needs one task of each kind.")
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}.")
    seeds = sorted(set.intersection(*(start.keys() & end.keys() for start, end in (*related, *control))))
    starts = [{seed: start[seed] for seed in seeds} for start, _ in (*related, *control)]
    ends = [end for _, end in (*related, *control)]
    weights = np.array([1 / len(related)] * len(related) + [-1 / len(control)] * len(control))
    shifts = np.array([list(standardised_shifts(*task).values()) for task in zip(starts, ends, strict=True)])
    values = weights @ shifts
    n = len(seeds)
    if not n or not np.isfinite(values).all():
        nothing = Interval(math.nan, math.nan, math.nan, n)
        return DifferenceInDifferences(nothing, math.nan, math.nan, tuple(values.tolist()))
    mean = float(values.mean())
    if all_same(values):
        same = values.tolist()
        return DifferenceInDifferences(mean_interval(same, level), mean_p(same), math.nan, tuple(same))
    error = math.sqrt(values.var(ddof=1) / n + _scale_variance(weights * shifts.mean(axis=1), starts))
    half = float(distributions.t.ppf((1 + level) / 2, n - 1)) * error
    p = 2 * float(distributions.t.sf(abs(mean) / error, n - 1))
    return DifferenceInDifferences(Interval(mean, mean - half, mean + half, n), p, error, tuple(values.tolist()))


def _scale_variance(parts: Floats, starts: Sequence[Mapping[int, float]]) -> float:
    """Variance that the standard deviations of the tasks add to the sum of the tasks' parts."""
    levels = np.array([list(start.values()) for start in starts])
    return float(parts @ np.corrcoef(levels) ** 2 @ parts / (2 * (levels.shape[1] - 1)))
