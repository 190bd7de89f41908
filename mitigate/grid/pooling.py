"""Means over tasks within each seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from mitigate.grid.effects import TaskAnalysis


def pool(tasks: Sequence[TaskAnalysis], values: Callable[[TaskAnalysis], Mapping[int, float]]) -> dict[int, float]:
    """
    Average a value over tasks within each seed, each task in standard deviations between seeds.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            The tasks; those whose seeds do not differ have no scale and are left out, as are those without any value.
        values (`Callable[[TaskAnalysis], Mapping[int, float]]`):
            Gives the value of a task by seed.

    Returns:
        `dict[int, float]`: Mean by seed, ascending, for the seeds that all these tasks have.
    """
    found = [(task.scale, values(task)) for task in tasks if math.isfinite(task.scale)]
    return mean_by_seed([{seed: value / scale for seed, value in own.items()} for scale, own in found if own])


def mean_by_seed(values: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """
    Average values within each seed.

    Args:
        values (`Sequence[Mapping[int, float]]`):
            Values by seed.

    Returns:
        `dict[int, float]`: Mean by seed, ascending, for the seeds that all have; empty if there are no values.
    """
    common = sorted(set.intersection(*(set(own) for own in values))) if values else []
    return {seed: math.fsum(own[seed] for own in values) / len(values) for seed in common}


def measured_tasks(tasks: Sequence[TaskAnalysis], dose: float) -> list[TaskAnalysis]:
    """
    Choose the tasks on which all arms were measured, so that arms are compared on the same tasks.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            The tasks.
        dose (`float`):
            β of the arms.

    Returns:
        `list[TaskAnalysis]`: Those that have every arm which any task has.
    """
    arms = [
        {arm.mitigation for arm in task.overall.arms if arm.dose == dose} if task.overall else set() for task in tasks
    ]
    every: set[str] = set().union(*arms)
    return [task for task, own in zip(tasks, arms, strict=True) if own == every and own]
