"""The few hypotheses of a sweep over tasks that are named beforehand, with Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mitigate import stats
from mitigate.analysis import ALPHA, Arm
from mitigate.cells import is_mitigation
from mitigate.curves import curve_slopes, slope_differences
from mitigate.grid.effects import TaskAnalysis
from mitigate.grid.pooling import pool
from mitigate.grid.related import RelatedControl
from mitigate.intervals import Interval

# The baseline that mitigations should beat: resampling to equal groups, which needs no mitigation.
BASELINE = "balanced"
SLOPES = "SDs between seeds per +0.10 of ρ"
SHIFTS = "SDs of B(0) between seeds"


@dataclass(frozen=True)
class Hypothesis:
    """
    A named hypothesis and its test.

    Args:
        claim (`str`):
            What is true if the effect is above 0, such as `"bias is inherited on related tasks"`.
        mitigation (`str`):
            Name of the arm that it is about.
        interval (`Interval`):
            The effect.
        unit (`str`):
            Its unit.
        p (`float`):
            Two-sided t test over seeds that the effect is 0; NaN where it is not tested.
        sd (`float`):
            Standard error of what is tested times the root of the number of seeds, in `unit`: the standard deviation
            between seeds, and for a difference in differences with what its scales add. NaN where it is not tested.
        p_holm (`float`):
            `p` after Holm's correction over all named hypotheses that are tested.
        detectable (`float`):
            The smallest true effect that such a sweep detects 80 times out of 100, at the first step of Holm's
            correction, in `unit`; NaN where it is not tested.
        untested (`str`, *optional*, defaults to `""`):
            Why it is not tested; empty if it is.
        left_out (`tuple[str, ...]`, *optional*):
            Tasks on which its arms could not be measured, or whose seeds do not differ, so that there is no scale.
    """

    claim: str
    mitigation: str
    interval: Interval
    unit: str
    p: float
    sd: float
    p_holm: float = math.nan
    detectable: float = math.nan
    untested: str = ""
    left_out: tuple[str, ...] = ()


def named_hypotheses(
    tasks: Sequence[TaskAnalysis], dose: float, difference: RelatedControl | None
) -> tuple[Hypothesis, ...]:
    """
    Test what a sweep is run for: that bias is inherited, more so on related tasks, and that mitigations help.

    Slopes are pooled over the related tasks within each seed, each task in standard deviations between seeds, and
    tested over seeds.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            All tasks.
        dose (`float`):
            β of the arms.
        difference (`RelatedControl`, *optional*):
            Related against control tasks without mitigation; `None` if there are not both kinds.

    Returns:
        `tuple[Hypothesis, ...]`: Inheritance; related against control tasks, if there are both; and for each
        mitigation whether it inherits less than no mitigation and, if that was run, than group-balanced resampling.
    """
    related = [task for task in tasks if task.description.related and task.overall]
    found = [
        _pooled("bias is inherited on related tasks", "none", related, lambda task: _slopes(task.arm("none", dose)))
    ]
    if difference is not None:
        result = difference.result
        found.append(
            Hypothesis(
                "related tasks inherit more than control tasks",
                "none",
                result.interval,
                SHIFTS,
                result.p,
                result.error * math.sqrt(result.interval.n),
                untested=difference.untested,
                left_out=difference.left_out,
            )
        )
    for mitigation in _mitigations(related, dose):
        found += _against(mitigation, related, dose)
    corrected = stats.holm([hypothesis.p for hypothesis in found])
    alpha = ALPHA / max(1, stats.family_size(corrected))
    return tuple(
        replace(each, p_holm=p, detectable=stats.minimal_detectable_effect(each.sd, each.interval.n, alpha=alpha))
        for each, p in zip(found, corrected, strict=True)
    )


def _mitigations(tasks: Sequence[TaskAnalysis], dose: float) -> list[str]:
    arms = [arm for task in tasks if task.overall for arm in task.overall.arms if arm.dose == dose]
    return list(dict.fromkeys(arm.mitigation for arm in arms if is_mitigation(arm.mitigation)))


def _against(mitigation: str, related: Sequence[TaskAnalysis], dose: float) -> Iterator[Hypothesis]:
    for other, name in (("none", "no mitigation"), (BASELINE, "group-balanced resampling")):
        if any(task.arm(other, dose) for task in related):
            yield _pooled(
                f"{mitigation} inherits less than {name} on related tasks",
                mitigation,
                related,
                lambda task, other=other: _difference(task.arm(other, dose), task.arm(mitigation, dose)),  # type: ignore[misc]
            )


def _slopes(arm: Arm | None) -> dict[int, float]:
    return curve_slopes(arm.curves["bias"]) if arm else {}


def _difference(first: Arm | None, second: Arm | None) -> dict[int, float]:
    return slope_differences(first.curves["bias"], second.curves["bias"]) if first and second else {}


def _pooled(
    claim: str,
    mitigation: str,
    related: Sequence[TaskAnalysis],
    values: Callable[[TaskAnalysis], Mapping[int, float]],
) -> Hypothesis:
    pooled = list(pool(related, values).values())
    p = stats.mean_p(pooled)
    return Hypothesis(
        claim,
        mitigation,
        stats.mean_interval(pooled),
        SLOPES,
        p,
        stats.seed_sd(pooled),
        untested=_why(related, pooled) if math.isnan(p) else "",
        left_out=tuple(task.name for task in related if not values(task) or not math.isfinite(task.scale)),
    )


def _why(related: Sequence[TaskAnalysis], pooled: Sequence[float]) -> str:
    if len(pooled) > 1:
        return f"all {len(pooled)} seeds gave the same value"
    if not related:
        return "no related task could be analysed"
    if max(len(task.overall.seeds) for task in related if task.overall) < 2:
        return "there is 1 seed, and a test needs two"
    if not any(math.isfinite(task.scale) for task in related):
        return "no related task differs between seeds, so that there is no scale"
    return f"{len(pooled)} {'seed has' if len(pooled) == 1 else 'seeds have'} all related tasks, and a test needs two"
