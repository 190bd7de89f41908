"""Effects of a grid of tasks, bias types and arms, with their tests corrected over the whole grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mitigate import stats
from mitigate.analysis import Analysis, Arm, Contrast
from mitigate.grid.projection import TaskDescription
from mitigate.intervals import Interval

MEAN_TYPE = "mean of bias types"


@dataclass(frozen=True)
class TaskAnalysis:
    """
    One task of a sweep.

    Args:
        name (`str`):
            Name of the task.
        description (`TaskDescription`):
            What is known of it.
        overall (`Analysis` or `None`):
            The task, averaged over bias types within seeds; `None` if it cannot be analysed.
        by_type (`Mapping[str, Analysis]`, *optional*):
            The task by bias type, as far as each can be analysed.
        problem (`str`, *optional*, defaults to `""`):
            Why there is no analysis.
        unmeasured (`tuple[str, ...]`, *optional*):
            Cells that were run to the end and have no usable result of the task, each with its reason.
    """

    name: str
    description: TaskDescription
    overall: Analysis | None
    by_type: Mapping[str, Analysis] = field(default_factory=dict)
    problem: str = ""
    unmeasured: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """Standard deviation of the bias between seeds; see [`seed_deviation`]."""
        return seed_deviation(self.overall) if self.overall else math.nan

    def arm(self, mitigation: str, dose: float) -> Arm | None:
        """Return an arm of the task, averaged over bias types; `None` if it has none."""
        return self.overall.arm(mitigation, dose) if self.overall else None


@dataclass(frozen=True)
class Effect:
    """
    One field of the grid.

    Args:
        task (`str`):
            Name of the task.
        bias_type (`str`):
            Bias type of the augmented rows, or `"mean of bias types"`.
        mitigation (`str`):
            Name of the arm.
        dose (`float`):
            β, above 0.
        interval (`Interval`):
            Of the arm `"none"` its slope: what is inherited. Of another arm, the slope without mitigation minus its
            own: what it takes off. In units of the task's bias, per +0.10 of ρ.
        scale (`float`):
            Standard deviation of the task's bias between seeds; NaN if seeds do not differ.
        p (`float`):
            Two-sided t test over seeds that the effect is 0; NaN with fewer than two seeds, or if all gave the same
            value.
        sd (`float`):
            Standard deviation of the effect between seeds, in its units; NaN with fewer than two seeds, or if all gave
            the same value.
        p_bh (`float`):
            `p` after the correction of Benjamini and Hochberg over all fields of the grid.
    """

    task: str
    bias_type: str
    mitigation: str
    dose: float
    interval: Interval
    scale: float
    p: float
    sd: float
    p_bh: float = math.nan

    @property
    def standardised(self) -> float:
        """The effect in standard deviations between seeds, per +0.10 of ρ; NaN without a scale."""
        return self.interval.estimate / self.scale


def seed_deviation(analysis: Analysis) -> float:
    r"""
    Standard deviation of the bias between seeds, pooled over all models of a task.

    \\( s = \sqrt{\sum_i \sum_k (B_{ik} - \bar B_i)^2 / \sum_i (n_i - 1)} \\) over arms and bias ratios i and seeds k.
    It puts tasks of different units on one scale. Unlike the standard deviation at ρ = 0 alone, it can be told from
    two seeds.

    Args:
        analysis (`Analysis`):
            The task.

    Returns:
        `float`: In units of the bias; NaN if no point has two seeds, or none of them differ.
    """
    squares, freedom = 0.0, 0
    for number, arm in enumerate(analysis.arms):
        for point in arm.curves["bias"]:
            if point.bias_ratio > 0 or number == 0:  # the models of ρ = 0 are those of every arm
                mean = point.interval.estimate
                squares += math.fsum((value - mean) ** 2 for _, value in point.values)
                freedom += len(point.values) - 1
    # What is left of rounding when all seeds agree is no scale.
    largest = max(abs(point.interval.estimate) for arm in analysis.arms for point in arm.curves["bias"])
    deviation = math.sqrt(squares / freedom) if freedom > 0 else 0.0
    return deviation if deviation > 1e-12 * largest else math.nan


def grid_effects(tasks: Sequence[TaskAnalysis]) -> tuple[Effect, ...]:
    """
    List the effects of all arms, on each task and bias type, and correct their tests over the whole grid.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            The tasks.

    Returns:
        `tuple[Effect, ...]`: By task, bias type (their mean first) and arm. All that are tested are one family.
    """
    effects = [effect for task in tasks for effect in _effects_of(task)]
    corrected = stats.benjamini_hochberg([effect.p for effect in effects])
    return tuple(replace(effect, p_bh=p) for effect, p in zip(effects, corrected, strict=True))


def _effects_of(task: TaskAnalysis) -> Iterator[Effect]:
    if task.overall is None:
        return
    several = len(task.by_type) > 1
    parts = {MEAN_TYPE: task.overall, **task.by_type} if several else task.by_type
    for bias_type, analysis in parts.items():
        for arm in analysis.arms:
            contrast = _contrast(arm)
            if contrast and not arm.is_null:
                interval, p, sd = contrast.interval, contrast.p, contrast.sd
                yield Effect(task.name, bias_type, arm.mitigation, arm.dose, interval, task.scale, p, sd)


def _contrast(arm: Arm) -> Contrast | None:
    if arm.mitigation == "none":
        return Contrast(arm.slope, arm.p, arm.slope_sd)
    return arm.comparison.slope if arm.comparison else None
