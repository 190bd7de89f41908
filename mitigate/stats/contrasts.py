"""Contrasts of effects: tasks that the bias touches against control tasks that it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mitigate.stats.inheritance import paired_shifts
from mitigate.stats.means import all_same


def standardised_shifts(start: Mapping[int, float], end: Mapping[int, float]) -> dict[int, float]:
    r"""
    Inherited shift in standard deviations of the metric between seeds, \\( (B(\rho) - B(0)) / s_{B(0)} \\).

    It puts metrics of different units on one scale. With few seeds the standard deviation is itself uncertain, by
    about a third with five, which scales all seeds of a task alike.

    Args:
        start (`Mapping[int, float]`):
            \\( B(0) \\) by training seed; all of them count for the standard deviation, with `n - 1`.
        end (`Mapping[int, float]`):
            \\( B(\rho) \\) by training seed.

    Returns:
        `dict[int, float]`: Shift in standard deviations of the seeds that both have, ascending; NaN if there are fewer
        than two seeds at the start, or all are the same there.
    """
    values = np.array(list(start.values()))
    spread = math.nan if len(values) < 2 or all_same(values) else float(values.std(ddof=1))
    return {seed: shift / spread for seed, shift in paired_shifts(start, end).items()}


def difference_in_differences(
    related: Sequence[Mapping[int, float]], control: Sequence[Mapping[int, float]]
) -> list[float]:
    r"""
    Mean shift of the related tasks minus mean shift of the control tasks, one number for each seed.

    "Augmented rows harm what their bias touches" is the claim that this is above 0. That the shift of one task is
    significant and that of another is not says nothing about their difference. Feed the result to [`mean_interval`]
    and [`mean_p`]. The tasks are taken as they are: the claim is about these tasks, not about others like them (for
    that see [`mixed_slope`]).

    Args:
        related (`Sequence[Mapping[int, float]]`):
            For each related task the shift by seed, as of [`standardised_shifts`], larger for more harm.
        control (`Sequence[Mapping[int, float]]`):
            Likewise for each control task.

    Returns:
        `list[float]`: One difference for each seed that all tasks have, in ascending order of the seed.

    Raises:
        ValueError: If there is no related or no control task.
    """
    for name, tasks in (("related", related), ("control", control)):
        if not tasks:
            raise ValueError(f"`{name}` holds no task; a difference in differences needs one task of each kind.")
    seeds = sorted(set.intersection(*(set(task) for task in (*related, *control))))
    sides = [np.array([[task[seed] for seed in seeds] for task in side]) for side in (related, control)]
    return [float(difference) for difference in sides[0].mean(axis=0) - sides[1].mean(axis=0)]
