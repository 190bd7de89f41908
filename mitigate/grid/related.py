"""Related against control tasks: difference in differences, equivalence, and a slope for tasks like these."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from mitigate import stats
from mitigate.curves import SLOPE_UNIT, values_at, values_of
from mitigate.grid.effects import TaskAnalysis
from mitigate.intervals import Interval
from mitigate.stats.contrasts import Task

# Smallest shift of a control task that would matter: one point of an accuracy, F1 or distance in [0, 1].
EQUIVALENCE_BOUND = 0.01
# Below it, standard deviations of B(0) are too uncertain for any interval.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class RelatedControl:
    """
    How much more an arm shifts the bias of related tasks than that of control tasks.

    Args:
        mitigation (`str`):
            Name of the arm.
        dose (`float`):
            β of the arm.
        result (`DifferenceInDifferences`):
            The difference of the mean standardised shifts from ρ = 0 to the largest ratio of every task.
        left_out (`tuple[str, ...]`):
            Tasks that do not have the arm, or whose bias at ρ = 0 is the same in all seeds, so that their shift has no
            scale.
        untested (`str`):
            Why there is no interval; empty if there is one.
    """

    mitigation: str
    dose: float
    result: stats.DifferenceInDifferences
    left_out: tuple[str, ...]
    untested: str


@dataclass(frozen=True)
class Equivalence:
    """
    Whether the shift of a control task without mitigation is too small to matter.

    Args:
        task (`str`):
            Name of the task.
        bias_ratio (`float`):
            Largest ρ of the task.
        shift (`Interval`):
            B(ρ) - B(0) in units of the task, with its 90% interval, to which the test belongs.
        bound (`float`):
            The smallest shift that would matter, fixed beforehand.
        p (`float`):
            Two one-sided t tests that the shift lies within the bounds; NaN with fewer than two seeds, or if all
            gave the same shift.
    """

    task: str
    bias_ratio: float
    shift: Interval
    bound: float
    p: float


def related_against_control(tasks: Sequence[TaskAnalysis], mitigation: str, dose: float) -> RelatedControl | None:
    """
    Compare the shifts of related tasks with those of control tasks, under one arm.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            All tasks.
        mitigation (`str`):
            Name of the arm.
        dose (`float`):
            β of the arm.

    Returns:
        `RelatedControl` or `None`: See [`mitigate.stats.difference_in_differences`]; `None` if the arm does not have
        tasks of both kinds.
    """
    sides: dict[bool, list[Task]] = {True: [], False: []}
    left_out = []
    for task in tasks:
        ends = _ends(task, mitigation, dose)
        if ends is None:
            left_out.append(task.name)
            continue
        shifts = stats.standardised_shifts(ends[0], ends[1]).values()
        if len(ends[0]) >= FEWEST_SEEDS and any(math.isnan(shift) for shift in shifts):
            left_out.append(task.name)
        else:
            sides[task.description.related].append(ends[:2])
    kinds = {task.description.related for task in tasks if _ends(task, mitigation, dose)}
    if len(kinds) < 2:
        return None
    for related, name in ((True, "related"), (False, "control")):
        if not sides[related]:
            nothing = stats.DifferenceInDifferences(Interval(math.nan, math.nan, math.nan, 0), math.nan, math.nan, ())
            why = f"no {name} task differs between the seeds at ρ = 0"
            return RelatedControl(mitigation, dose, nothing, tuple(left_out), why)
    result = stats.difference_in_differences(sides[True], sides[False])
    return RelatedControl(mitigation, dose, result, tuple(left_out), _why(result))


def equivalences(tasks: Sequence[TaskAnalysis], dose: float) -> tuple[Equivalence, ...]:
    """
    Test for each control task that its shift without mitigation is too small to matter.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            All tasks.
        dose (`float`):
            β of the unmitigated arm.

    Returns:
        `tuple[Equivalence, ...]`: By control task.
    """
    found = []
    for task in tasks:
        ends = _ends(task, "none", dose)
        if not task.description.related and ends is not None:
            shifts = list(stats.paired_shifts(*ends[:2]).values())
            interval, p = stats.mean_interval(shifts, 0.9), stats.equivalence_p(shifts, EQUIVALENCE_BOUND)
            found.append(Equivalence(task.name, ends[2], interval, EQUIVALENCE_BOUND, p))
    return tuple(found)


def pooled_slope(tasks: Sequence[TaskAnalysis], dose: float) -> stats.MixedSlope | None:
    """
    Estimate the inheritance slope on tasks like the related ones, by the mixed model.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            All tasks.
        dose (`float`):
            β of the unmitigated arm.

    Returns:
        `MixedSlope` or `None`: In standard deviations between seeds per +0.10 of ρ; see
        [`mitigate.stats.mixed_slope`]. `None` if no related task has the arm and a scale.
    """
    rows = [
        (ratio / SLOPE_UNIT, value / task.scale, seed, task.name)
        for task in tasks
        for arm in [task.arm("none", dose)]
        if task.description.related and arm and math.isfinite(task.scale)
        for (ratio, seed), value in values_of(arm.curves["bias"]).items()
    ]
    if not rows:
        return None
    ratios, values, seeds, names = zip(*rows, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the notes of the result say the same
        return stats.mixed_slope(ratios, values, seeds, tasks=names if len(set(names)) > 1 else None)


def _ends(task: TaskAnalysis, mitigation: str, dose: float) -> tuple[dict[int, float], dict[int, float], float] | None:
    """Give B(0) and B(ρ) of the largest ρ by seed, and that ρ."""
    arm = task.arm(mitigation, dose)
    if arm is None:
        return None
    points = arm.curves["bias"]
    return values_at(points, 0.0), values_at(points, points[-1].bias_ratio), points[-1].bias_ratio


def _why(result: stats.DifferenceInDifferences) -> str:
    if not math.isnan(result.p):
        return ""
    n = result.interval.n
    if n < FEWEST_SEEDS:
        has = "no seed has" if n == 0 else "1 seed has" if n == 1 else f"{n} seeds have"
        return f"{has} all tasks, and standardised shifts need {FEWEST_SEEDS}"
    if result.interval.is_constant:
        return f"all {n} seeds gave the same value"
    return "a task does not differ between the seeds at ρ = 0 that all tasks have"
