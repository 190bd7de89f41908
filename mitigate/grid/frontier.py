"""What each arm does to bias and to utility, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mitigate import stats
from mitigate.analysis import Arm
from mitigate.cells import arm_rank
from mitigate.curves import values_at
from mitigate.grid.effects import TaskAnalysis
from mitigate.grid.pooling import mean_by_seed, measured_tasks, pool
from mitigate.intervals import Interval


@dataclass(frozen=True)
class FrontierPoint:
    """
    An arm beside no mitigation, at the largest bias ratio above 0 that both have of each task.

    Args:
        mitigation (`str`):
            Name of the arm.
        bias (`Interval`):
            Change of bias, averaged over the related tasks in standard deviations between seeds; below 0 is better.
        utility (`Interval`):
            Change of utility, averaged over all tasks in their own units; above 0 is better.
        best (`bool`):
            Whether it is on the Pareto front: no other arm is at least as good in both and better in one. Of the
            estimates, whatever their intervals.
    """

    mitigation: str
    bias: Interval
    utility: Interval
    best: bool = False


def frontier(tasks: Sequence[TaskAnalysis], dose: float) -> tuple[FrontierPoint, ...]:
    """
    Set the changes of bias and utility of all arms side by side.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            All tasks.
        dose (`float`):
            β of the arms.

    Returns:
        `tuple[FrontierPoint, ...]`: No mitigation, at 0 and 0, and the other arms, on the tasks that have all of
        them. An arm without a bias ratio above 0 that no mitigation has too is on none. Intervals are t intervals
        over seeds.
    """
    measured = measured_tasks(tasks, dose)
    arms = {arm.mitigation for task in measured if task.overall for arm in task.overall.arms if arm.dose == dose}
    names = [name for name in arms if any(_changes(task, name, dose, "bias") for task in measured)]
    usable = [task for task in measured if all(_changes(task, name, dose, "bias") for name in names)]
    related = [task for task in usable if task.description.related]
    points = []
    for name in sorted(names, key=lambda name: (arm_rank(name), name)):
        bias = pool(related, lambda task, name=name: _changes(task, name, dose, "bias"))  # type: ignore[misc]
        utility = mean_by_seed([_changes(task, name, dose, "utility") for task in usable])
        points.append(
            FrontierPoint(name, stats.mean_interval([*bias.values()]), stats.mean_interval([*utility.values()]))
        )
    known = [point for point in points if math.isfinite(point.bias.estimate) and math.isfinite(point.utility.estimate)]
    return tuple(replace(point, best=not any(_dominates(other, point) for other in known)) for point in known)


def _changes(task: TaskAnalysis, mitigation: str, dose: float, metric: str) -> dict[int, float]:
    arm, none = task.arm(mitigation, dose), task.arm("none", dose)
    if arm is None or none is None:
        return {}
    ratio = max(_ratios(arm) & _ratios(none), default=None)
    if ratio is None:
        return {}
    return stats.paired_shifts(values_at(none.curves[metric], ratio), values_at(arm.curves[metric], ratio))


def _ratios(arm: Arm) -> set[float]:
    return {point.bias_ratio for point in arm.curves["bias"] if point.bias_ratio > 0}


def _dominates(first: FrontierPoint, second: FrontierPoint) -> bool:
    bias, utility = (getattr(first, name).estimate - getattr(second, name).estimate for name in ("bias", "utility"))
    return bool(bias <= 0 <= utility and (bias, utility) != (0, 0))
