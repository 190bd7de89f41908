"""Bias types compared: what each leaves on the related tasks, and what arms take off it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mitigate import stats
from mitigate.cells import arm_rank
from mitigate.curves import curve_slopes, slope_differences
from mitigate.grid.effects import TaskAnalysis
from mitigate.grid.pooling import measured_tasks, pool
from mitigate.intervals import Interval


@dataclass(frozen=True)
class TypeEffect:
    """
    One arm under one bias type, on all related tasks.

    Args:
        bias_type (`str`):
            Bias type of the augmented rows.
        mitigation (`str`):
            Name of the arm.
        interval (`Interval`):
            Of the arm `"none"` its slope, of another what it takes off that; averaged over the related tasks within
            seeds, in standard deviations between seeds per +0.10 of ρ.
    """

    bias_type: str
    mitigation: str
    interval: Interval


def type_effects(tasks: Sequence[TaskAnalysis], bias_types: Sequence[str], dose: float) -> Iterator[TypeEffect]:
    """
    Pool the effects of arms over the related tasks, for each bias type.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            All tasks.
        bias_types (`Sequence[str]`):
            The bias types.
        dose (`float`):
            β of the arms.

    Yields:
        `TypeEffect`: By bias type and arm.
    """
    related = [task for task in measured_tasks(tasks, dose) if task.description.related]
    found = {arm.mitigation for task in related if task.overall for arm in task.overall.arms if arm.dose == dose}
    for bias_type in bias_types:
        for name in sorted(found, key=lambda name: (arm_rank(name), name)):
            values = pool(related, lambda task, of=(bias_type, name, dose): _values(task, *of))  # type: ignore[misc]
            yield TypeEffect(bias_type, name, stats.mean_interval(list(values.values())))


def _values(task: TaskAnalysis, bias_type: str, mitigation: str, dose: float) -> Mapping[int, float]:
    analysis = task.by_type.get(bias_type)
    arm, none = (analysis.arm(name, dose) for name in (mitigation, "none")) if analysis else (None, None)
    if arm is None or none is None:
        return {}
    if mitigation == "none":
        return curve_slopes(arm.curves["bias"])
    return slope_differences(none.curves["bias"], arm.curves["bias"])
