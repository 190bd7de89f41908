"""Two sweeps side by side: the slope of every arm on every task that both have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mitigate import stats
from mitigate.analysis import Arm
from mitigate.curves import curve_slopes, slopes_of, values_of
from mitigate.grid.analysis import GridAnalysis
from mitigate.intervals import Interval


@dataclass(frozen=True)
class SlopeDifference:
    """
    One arm on one task in two sweeps.

    Args:
        task (`str`):
            Name of the task.
        mitigation (`str`):
            Name of the arm.
        dose (`float`):
            β of the arm.
        first (`Interval`):
            Slope in the first sweep, per +0.10 of ρ in units of the task, over the cells that are compared.
        second (`Interval`):
            Slope in the second sweep, likewise.
        difference (`Interval`):
            Second slope minus first.
        paired (`bool`):
            Whether it is taken seed by seed, as both sweeps have the same seeds; else it is Welch's.
        ratios (`tuple[float, ...]`):
            Bias ratios that both sweeps have, ascending: the slope of a curve that is no line depends on them. Of a
            pair of seeds those that both have are taken. Of seeds that are no pairs, one that lacks any is left out.
        trimmed (`bool`):
            Whether cells of either sweep were left out for that.
        scale (`float`):
            Standard deviation of the task's bias between seeds in the first sweep; NaN if seeds do not differ.
        p (`float`):
            Two-sided t test over seeds that the difference is 0; NaN where it is not tested, as there are fewer than
            two seeds or common ratios, or the seeds do not differ.
        p_bh (`float`):
            `p` after the correction of Benjamini and Hochberg over all differences.
    """

    task: str
    mitigation: str
    dose: float
    first: Interval
    second: Interval
    difference: Interval
    paired: bool
    ratios: tuple[float, ...]
    trimmed: bool
    scale: float
    p: float
    p_bh: float = math.nan


def compare_slopes(first: GridAnalysis, second: GridAnalysis) -> tuple[SlopeDifference, ...]:
    """
    Compare the slopes of two sweeps.

    Args:
        first (`GridAnalysis`):
            A sweep.
        second (`GridAnalysis`):
            Another.

    Returns:
        `tuple[SlopeDifference, ...]`: By task and arm, for those that both have at the same dose.

    Raises:
        ValueError: If they have no arm of a task in common.
    """
    found = []
    for task in first.tasks:
        other = next((other for other in second.tasks if other.name == task.name), None)
        for arm in task.overall.arms if task.overall else ():
            twin = other.arm(arm.mitigation, arm.dose) if other else None
            if twin:
                found.append(_difference(task.name, task.scale, arm, twin))
    if not found:
        raise ValueError(
            f"The sweeps have no arm of a task at the same dose in common: one has the tasks {_names(first)}, the "
            f"other {_names(second)}."
        )
    corrected = stats.benjamini_hochberg([difference.p for difference in found])
    return tuple(replace(difference, p_bh=p) for difference, p in zip(found, corrected, strict=True))


def changed_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """
    Find what differs between two configurations.

    Args:
        first (`Mapping[str, Any]`):
            A configuration.
        second (`Mapping[str, Any]`):
            Another.

    Returns:
        `dict[str, tuple]`: Both values of each key that differs, in the order of the first; `None` where a key is not
        there.
    """
    keys = dict.fromkeys([*first, *second])
    return {key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)}


def _difference(task: str, scale: float, arm: Arm, twin: Arm) -> SlopeDifference:
    paired = curve_slopes(arm.curves["bias"]).keys() == curve_slopes(twin.curves["bias"]).keys()
    values_x, values_y = values_of(arm.curves["bias"]), values_of(twin.curves["bias"])
    ratios = {ratio for ratio, _ in values_x} & {ratio for ratio, _ in values_y}
    if paired:
        kept_x = kept_y = values_x.keys() & values_y.keys()
    else:
        kept_x, kept_y = (_complete(values, ratios) for values in (values_x, values_y))
    trimmed = kept_x != values_x.keys() or kept_y != values_y.keys()
    x, y = slopes_of({key: values_x[key] for key in kept_x}), slopes_of({key: values_y[key] for key in kept_y})
    if paired:
        values = stats.paired_differences(y, x)
        difference, p = stats.mean_interval(values), stats.mean_p(values)
    else:
        difference, p = stats.welch_interval(list(y.values()), list(x.values()))
    return SlopeDifference(
        task=task,
        mitigation=arm.mitigation,
        dose=arm.dose,
        first=stats.mean_interval([*x.values()]),
        second=stats.mean_interval([*y.values()]),
        difference=difference,
        paired=paired,
        ratios=tuple(sorted(ratios)),
        trimmed=trimmed,
        scale=scale,
        p=p,
    )


def _complete(values: Iterable[tuple[float, int]], ratios: set[float]) -> set[tuple[float, int]]:
    """Keep the cells of these ratios, of the seeds that have them all."""
    places = {place for place in values if place[0] in ratios}
    return {(ratio, seed) for ratio, seed in places if all((each, seed) in places for each in ratios)}


def _names(grid: GridAnalysis) -> str:
    return ", ".join(task.name for task in grid.tasks)
