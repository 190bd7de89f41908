"""Whether bias rises with the bias ratio on related tasks, in a line or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mitigate import stats
from mitigate.curves import curve_trends, trend_interval
from mitigate.grid.effects import TaskAnalysis
from mitigate.grid.pooling import mean_by_seed
from mitigate.intervals import Interval


@dataclass(frozen=True)
class Trend:
    """
    Rank correlation of bias and bias ratio without mitigation.

    Args:
        interval (`Interval`):
            Mean over seeds, in [-1, 1], of what is averaged over the related tasks within each seed.
        p (`float`):
            Two-sided t test over seeds that it is 0, not corrected; NaN with fewer than two seeds, or if all gave the
            same value.
    """

    interval: Interval
    p: float


def related_trend(tasks: Sequence[TaskAnalysis], dose: float) -> Trend:
    """
    Average the rank correlations of the related tasks within seeds, and test them over seeds.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            All tasks.
        dose (`float`):
            β of the unmitigated arm.

    Returns:
        `Trend`: Over the seeds that all these tasks have; see [`mitigate.stats.seed_trends`].
    """
    # Those that slopes are pooled over: a task that does not differ between seeds would pull the mean to 0.
    pooled = [task for task in tasks if task.description.related and math.isfinite(task.scale)]
    arms = [task.arm("none", dose) for task in pooled]
    found = [curve_trends(arm.curves["bias"]) for arm in arms if arm]
    trends = mean_by_seed([own for own in found if own])
    return Trend(trend_interval(trends), stats.mean_p(list(trends.values())))
