"""Analysis of a sweep over tasks and bias types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mitigate import stats
from mitigate.analysis import ALPHA, Analysis, analyse
from mitigate.cells import Cell, arm_rank
from mitigate.grid.by_type import TypeEffect, type_effects
from mitigate.grid.effects import Effect, TaskAnalysis, grid_effects
from mitigate.grid.frontier import FrontierPoint, frontier
from mitigate.grid.hypotheses import Hypothesis, named_hypotheses
from mitigate.grid.missing import MissingAnswers, missing_answers
from mitigate.grid.projection import (
    Record,
    TaskDescription,
    bias_types_of,
    mean_records,
    task_records,
    unmeasured_cells,
)
from mitigate.grid.related import Equivalence, RelatedControl, equivalences, pooled_slope, related_against_control
from mitigate.grid.trend import Trend, related_trend


@dataclass(frozen=True)
class GridAnalysis:
    """
    What a sweep over tasks and bias types says.

    Args:
        tasks (`tuple[TaskAnalysis, ...]`):
            All tasks, in the order of the sweep.
        bias_types (`tuple[str, ...]`):
            Bias types of the sweep; `("all",)` if its augmented rows are of every type.
        dose (`float`):
            The largest dose β, which the named hypotheses are about.
        effects (`tuple[Effect, ...]`):
            All fields of the grid.
        family (`int`):
            Number of tests that `p_bh` of the effects is corrected for.
        hypotheses (`tuple[Hypothesis, ...]`):
            The named hypotheses.
        related_control (`tuple[RelatedControl, ...]`):
            Related against control tasks by arm; empty if there are not both kinds.
        equivalences (`tuple[Equivalence, ...]`):
            By control task, whether its shift without mitigation is too small to matter.
        frontier (`tuple[FrontierPoint, ...]`):
            What each arm does to bias and utility, at the dose `dose`.
        trend (`Trend`):
            Whether bias rises with ρ on the related tasks without mitigation, in a line or not.
        type_effects (`tuple[TypeEffect, ...]`):
            Every arm by bias type, pooled over the related tasks, at the dose `dose`.
        mixed (`MixedSlope` or `None`):
            Inheritance slope on tasks like the related ones, in standard deviations between seeds per +0.10 of ρ.
        missing_answers (`tuple[MissingAnswers, ...]`):
            What could not be read, by task and arm.
        cells (`int`):
            Number of cells of the sweep that have a record.
        absent (`tuple[str, ...]`):
            Cells that failed or were not run yet, each with its state.
    """

    tasks: tuple[TaskAnalysis, ...]
    bias_types: tuple[str, ...]
    dose: float
    effects: tuple[Effect, ...]
    family: int
    hypotheses: tuple[Hypothesis, ...]
    related_control: tuple[RelatedControl, ...]
    equivalences: tuple[Equivalence, ...]
    frontier: tuple[FrontierPoint, ...]
    trend: Trend
    type_effects: tuple[TypeEffect, ...]
    mixed: stats.MixedSlope | None
    missing_answers: tuple[MissingAnswers, ...]
    cells: int
    absent: tuple[str, ...]

    @property
    def hypothesis_family(self) -> int:
        """Number of tests that `p_holm` of the hypotheses is corrected for."""
        return stats.family_size([hypothesis.p for hypothesis in self.hypotheses])

    @property
    def seeds(self) -> tuple[int, ...]:
        """All training seeds of the tasks, ascending."""
        return tuple(sorted({seed for task in self.tasks if task.overall for seed in task.overall.seeds}))

    @property
    def ratios(self) -> tuple[float, ...]:
        """All bias ratios of the tasks, ascending."""
        return tuple(sorted({ratio for task in self.tasks if task.overall for ratio in task.overall.ratios}))

    @property
    def doses(self) -> tuple[float, ...]:
        """Doses of the effects, descending."""
        return tuple(sorted({effect.dose for effect in self.effects}, reverse=True))

    def detectable(self, effect: Effect) -> float:
        """
        Return the smallest true effect that such a sweep detects in a field 80 times out of 100, in its units.

        It is that of a field which is the only one to be detected; the more are, the less each needs. NaN where the
        field has no interval.
        """
        return stats.minimal_detectable_effect(effect.sd, effect.interval.n, alpha=ALPHA / max(1, self.family))

    def mitigations(self, dose: float) -> list[str]:
        """Return the arms that any task has at a dose, baselines first."""
        return sorted({e.mitigation for e in self.effects if e.dose == dose}, key=lambda name: (arm_rank(name), name))

    def task(self, name: str) -> TaskAnalysis:
        """Return the task of a name."""
        return next(task for task in self.tasks if task.name == name)

    def effect(self, task: str, mitigation: str, dose: float, bias_type: str) -> Effect | None:
        """Return a field of the grid; `None` if there is none."""
        place = (task, mitigation, dose, bias_type)
        found = (e for e in self.effects if (e.task, e.mitigation, e.dose, e.bias_type) == place)
        return next(found, None)


def analyse_grid(records: Iterable[Record], tasks: Mapping[str, TaskDescription]) -> GridAnalysis:
    """
    Analyse the records of a sweep over tasks, bias types, bias ratios, doses, mitigations and seeds.

    Each task and bias type is analysed on its own by [`mitigate.analysis.analyse`]. Over bias types, values are
    averaged within seeds, as the training seed is the unit of all tests. A task that cannot be analysed is kept with
    the reason; the others go on.

    Args:
        records (`Iterable[Mapping[str, Any]]`):
            One record per cell, as described in [`mitigate.cells.read_cells`], with `"bias_type"` in the cell if there
            are several, and with `"tasks"`, the metrics by task, instead of `"metrics"` if there are several tasks.
        tasks (`Mapping[str, TaskDescription]`):
            The tasks by name.

    Returns:
        `GridAnalysis`: What the sweep says.

    Raises:
        ValueError: If the records are malformed, or no task can be analysed.
    """
    known = list(records)
    types = bias_types_of(known)
    analysed = tuple(_analyse_task(known, name, description, types) for name, description in tasks.items())
    usable = [task.overall for task in analysed if task.overall]
    if not usable:
        raise ValueError(next(iter(task.problem for task in analysed), "Nothing to analyse: there is no task."))
    dose = max(arm.dose for analysis in usable for arm in analysis.arms)
    effects = grid_effects(analysed)
    arms = dict.fromkeys((arm.mitigation, arm.dose) for analysis in usable for arm in analysis.arms)
    contrasts = [related_against_control(analysed, *arm) for arm in arms]
    found = tuple(contrast for contrast in contrasts if contrast)
    unmitigated = next((c for c in found if (c.mitigation, c.dose) == ("none", dose)), None)
    return GridAnalysis(
        tasks=analysed,
        bias_types=types,
        dose=dose,
        effects=effects,
        family=stats.family_size([effect.p for effect in effects]),
        hypotheses=named_hypotheses(analysed, dose, unmitigated),
        related_control=found,
        equivalences=equivalences(analysed, dose),
        frontier=frontier(analysed, dose),
        trend=related_trend(analysed, dose),
        type_effects=tuple(type_effects(analysed, types, dose)),
        mixed=pooled_slope(analysed, dose),
        missing_answers=tuple(missing for name in tasks for missing in missing_answers(known, name)),
        cells=len(known),
        absent=tuple(_absent(known)),
    )


def _analyse_task(
    records: Sequence[Record], name: str, description: TaskDescription, types: Sequence[str]
) -> TaskAnalysis:
    by_type: dict[str, Analysis] = {}
    try:
        overall = analyse(mean_records(records, name, types), labels=description.labels)
    except ValueError as error:
        return TaskAnalysis(name, description, None, problem=str(error))
    for bias_type in types:
        try:
            by_type[bias_type] = analyse(task_records(records, name, bias_type), labels=description.labels)
        except ValueError:  # told by the overall analysis, of which its cells are missing
            continue
    return TaskAnalysis(name, description, overall, by_type, unmeasured=tuple(unmeasured_cells(records, name)))


def _absent(records: Iterable[Record]) -> list[str]:
    return [
        f"{Cell(**record['cell'])} ({record.get('status') or 'no status'})"
        for record in records
        if record.get("status") != "done"
    ]
