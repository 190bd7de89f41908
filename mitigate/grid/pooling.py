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
            The tasks; those whose seeds do not differ have no scale and are left out.
        values (`Callable[[TaskAnalysis], Mapping[int, float]]`):
            Gives the value of a task by seed.

    Returns:
        `dict[int, float]`: Mean by seed, ascending, for the seeds that all these tasks have.
    """
    scaled = [
        {seed: value / task.scale for seed, value in values(task).items()}
        for task in tasks
        if math.isfinite(task.scale)
    ]
    common = sorted(set.intersection(*(set(found) for found in scaled))) if scaled else []
    return {seed: math.fsum(found[seed] for found in scaled) / len(scaled) for seed in common}
