"""Tables of a sweep over tasks: rows of text, and CSV files with every digit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mitigate.grid import Effect, GridAnalysis
from mitigate.intervals import Interval
from mitigate.report.grid.effects import STAR, is_significant, overview_type, task_title, two_digits
from mitigate.report.numbers import ABSENT, PERCENT_LEVEL, SAME, mark_constant, p_value
from mitigate.report.tables import ESTIMATE, Table, digits_of

_PER = "per +0.10 of ρ"
_SDS = "in SDs between seeds"
NOT_TESTABLE = f"{SAME} is not testable: all seeds gave the same value"


def hypothesis_table(grid: GridAnalysis) -> Table:
    """Tabulate the named hypotheses with their corrected tests."""
    rows = [
        (h.claim, estimate(h.interval), h.unit, p_value(h.p), p_value(h.p_holm), two_digits(h.detectable))
        for h in grid.hypotheses
    ]
    return Table(
        f"Named hypotheses: effect with {PERCENT_LEVEL} interval over seeds; p by Holm's method over "
        f"{grid.hypothesis_family} tests; a true effect of the size detectable is found 80 times out of 100; "
        f"{NOT_TESTABLE}",
        ("claim", "effect", "unit", "p", "p (Holm)", "detectable"),
        tuple(rows),
        name="hypotheses",
        columns=("claim", "mitigation", *ESTIMATE, "unit", "p", "p_holm", "detectable", "untested", "left_out"),
        digits=tuple(
            (
                *(h.claim, h.mitigation, *digits_of(h.interval), h.unit),
                *(h.p, h.p_holm, h.detectable, h.untested, " ".join(h.left_out)),
            )
            for h in grid.hypotheses
        ),
    )


def effect_table(grid: GridAnalysis, dose: float, bias_type: str | None = None) -> Table:
    """Tabulate the grid of one bias type, by default of their mean: a row per task, a column per arm."""
    kind = bias_type or overview_type(grid)
    arms = grid.mitigations(dose)
    rows = [
        (task_title(task), *(_field(grid.effect(task.name, arm, dose, kind)) for arm in arms)) for task in grid.tasks
    ]
    what = "" if kind == "all" else f", {kind}"
    return Table(
        f"Slope without mitigation, and what each arm takes off it, {_PER} at β = {dose:g}{what}; {STAR} is p ≤ 0.05 "
        f"by Benjamini and Hochberg over all {grid.family} tests of the grid, {NOT_TESTABLE}",
        ("task", *("none: slope" if arm == "none" else f"none − {arm}" for arm in arms)),
        tuple(rows),
        name=f"effects-{dose:g}-{kind}",
        columns=_EFFECT_COLUMNS,
        digits=tuple(_effect_digits(grid, e) for e in grid.effects if e.dose == dose and e.bias_type == kind),
    )


def grid_table(grid: GridAnalysis) -> Table:
    """Tabulate all fields of the grid, for the CSV file alone."""
    return Table(
        "All fields of the grid", (), (), "grid", _EFFECT_COLUMNS, tuple(_effect_digits(grid, e) for e in grid.effects)
    )


def type_table(grid: GridAnalysis) -> Table:
    """Tabulate what is inherited without mitigation: a row per task, a column per bias type."""
    chosen = {(e.task, e.bias_type): e for e in grid.effects if e.mitigation == "none" and e.dose == grid.dose}
    rows = [(task_title(task), *(_field(chosen.get((task.name, t))) for t in grid.bias_types)) for task in grid.tasks]
    return Table(
        f"Slope without mitigation {_PER} at β = {grid.dose:g}, by bias type; {STAR} and {SAME} as above",
        ("task", *grid.bias_types),
        tuple(rows),
        name="types",
        columns=_EFFECT_COLUMNS,
        digits=tuple(_effect_digits(grid, e) for e in chosen.values() if e.bias_type in grid.bias_types),
    )


def type_effect_table(grid: GridAnalysis) -> Table:
    """Tabulate the arms by bias type, pooled over the related tasks."""
    found = {(e.mitigation, e.bias_type): e.interval for e in grid.type_effects}
    arms = list(dict.fromkeys(e.mitigation for e in grid.type_effects))
    rows = [
        (_contrast(arm), *(estimate(found[arm, t]) if (arm, t) in found else ABSENT for t in grid.bias_types))
        for arm in arms
    ]
    return Table(
        f"Related tasks pooled, {_SDS} {_PER} at β = {grid.dose:g}, with {PERCENT_LEVEL} intervals over seeds, not "
        "corrected",
        ("arm", *grid.bias_types),
        tuple(rows),
        name="types-pooled",
        columns=("bias_type", "mitigation", *ESTIMATE),
        digits=tuple((e.bias_type, e.mitigation, *digits_of(e.interval)) for e in grid.type_effects),
    )


def frontier_table(grid: GridAnalysis) -> Table:
    """Tabulate the changes of bias and utility by arm."""
    rows = [
        (_arm(p.mitigation), estimate(p.bias), estimate(p.utility), "yes" if p.best else "no") for p in grid.frontier
    ]
    return Table(
        f"Arm − no mitigation at the largest ρ: bias of the related tasks {_SDS}, utility of all tasks",
        ("arm", "bias", "utility", "Pareto front"),
        tuple(rows),
        name="frontier",
        columns=("mitigation", "metric", *ESTIMATE, "pareto_front"),
        digits=tuple(
            (p.mitigation, metric, *digits_of(interval), p.best)
            for p in grid.frontier
            for metric, interval in (("bias", p.bias), ("utility", p.utility))
        ),
    )


def task_slope_table(grid: GridAnalysis) -> Table:
    """Tabulate the slope of every task without mitigation, in its own unit and standardised."""
    found = [(task, arm) for task in grid.tasks for arm in [task.arm("none", grid.dose)] if arm]
    fields = {task: grid.effect(task, "none", grid.dose, overview_type(grid)) for task in (t.name for t, _ in found)}
    least = {task: grid.detectable(field) if field else math.nan for task, field in fields.items()}
    rows = [
        (
            task_title(task),
            task.description.relation,
            task.overall.label("bias") if task.overall else "",
            estimate(arm.slope),
            two_digits(least[task.name]),
            two_digits(task.scale),
            estimate(arm.slope.scaled(1 / task.scale)),
            estimate(arm.trend),
            p_value(arm.trend_p),
        )
        for task, arm in found
    ]
    return Table(
        f"Slope without mitigation {_PER} at β = {grid.dose:g}, and trend (rank correlation of bias and ρ), with "
        f"{PERCENT_LEVEL} intervals over seeds; a true slope of the size detectable is found 80 times out of 100 "
        f"among {grid.family} tests; p is that of the trend, not corrected",
        ("task", "relation", "bias", "slope", "detectable", "SD between seeds", f"slope {_SDS}", "trend", "p (trend)"),
        tuple(rows),
        name="tasks",
        columns=("task", "related", "relation", *ESTIMATE, "detectable", "seed_sd", *_TREND_COLUMNS),
        digits=tuple(
            (
                *(task.name, task.description.related, task.description.relation, *digits_of(arm.slope)),
                *(least[task.name], task.scale, *digits_of(arm.trend), arm.trend_p),
            )
            for task, arm in found
        ),
    )


def related_table(grid: GridAnalysis) -> Table:
    """Tabulate the difference in differences by arm."""
    rows = [
        (
            f"{_arm(c.mitigation)} (β = {c.dose:g})",
            estimate(c.result.interval),
            p_value(c.result.p),
            c.untested or "tested",
            ", ".join(c.left_out) or ABSENT,
        )
        for c in grid.related_control
    ]
    return Table(
        "Difference in differences, related − control tasks: shifts from ρ = 0 to the largest ρ, in SDs of B(0) "
        f"between seeds, with {PERCENT_LEVEL} intervals. p is not corrected here; that of no mitigation is a named "
        "hypothesis",
        ("arm", "related − control", "p", "state", "tasks left out"),
        tuple(rows),
        name="related-control",
        columns=("mitigation", "dose", *ESTIMATE, "p", "untested", "left_out"),
        digits=tuple(
            (c.mitigation, c.dose, *digits_of(c.result.interval), c.result.p, c.untested, " ".join(c.left_out))
            for c in grid.related_control
        ),
    )


def equivalence_table(grid: GridAnalysis) -> Table:
    """Tabulate the equivalence tests of the control tasks."""
    rows = [
        (e.task, f"{e.bias_ratio:g}", estimate(e.shift), f"±{e.bound:g}", p_value(e.p), _equivalent(e.p))
        for e in grid.equivalences
    ]
    return Table(
        "Control tasks without mitigation: shift B(ρ) − B(0) with its 90% interval, and two one-sided t tests that it "
        "lies within the bounds, which were fixed beforehand",
        ("task", "ρ", "shift", "bounds", "p (TOST)", "too small to matter"),
        tuple(rows),
        name="equivalence",
        columns=("task", "bias_ratio", *ESTIMATE, "bound", "p"),
        digits=tuple((e.task, e.bias_ratio, *digits_of(e.shift), e.bound, e.p) for e in grid.equivalences),
    )


def missing_table(grid: GridAnalysis) -> Table:
    """Tabulate answers that could not be read, and the worst that they could hide."""
    rows = [
        (
            f"{m.task}, {_arm(m.mitigation)}, ρ = {m.bias_ratio:g}",
            percent(m.unparsed),
            percent(m.refused),
            f"{m.worst_group} {percent(m.worst_unparsed)}",
            two_digits(m.bias),
            _span(m.bounds),
            _span(m.worst_shift) if m.bias_ratio else ABSENT,
        )
        for m in grid.missing_answers
    ]
    return Table(
        "Answers that could not be read: shares of all answers, refusals among them; bias if they had been the best "
        "and the worst for it, and the shift from ρ = 0 that this leaves possible",
        ("task and arm", "unparsed", "refused", "worst group", "bias", "bounds", "possible shift"),
        tuple(rows),
        name="unparsed",
        columns=(
            *("task", "mitigation", "dose", "bias_ratio", "models", "unparsed", "refused", "worst_group"),
            *("worst_unparsed", "bias", "bias_low", "bias_high", "shift_low", "shift_high"),
        ),
        digits=tuple(
            (
                *(m.task, m.mitigation, m.dose, m.bias_ratio, m.models, m.unparsed, m.refused, m.worst_group),
                *(m.worst_unparsed, m.bias, *m.bounds, *m.worst_shift),
            )
            for m in grid.missing_answers
        ),
    )


def estimate(interval: Interval) -> str:
    """Write an estimate with its bounds, as `+0.010 [0.008, 0.012]`; without, marked if that is as seeds are alike."""
    shown = two_digits(interval.estimate, sign=True)
    if interval.low != interval.low:  # NaN
        return shown + mark_constant(interval)
    return f"{shown} [{two_digits(interval.low)}, {two_digits(interval.high)}]"


def percent(share: float) -> str:
    """Write a share in per cent."""
    return ABSENT if share != share else f"{share * 100:.1f}%"


_TREND_COLUMNS = (*(f"trend_{name}" for name in ESTIMATE), "trend_p")
_EFFECT_COLUMNS = ("task", "bias_type", "mitigation", "dose", *ESTIMATE, "seed_sd", "p", "p_bh", "detectable")


def _effect_digits(grid: GridAnalysis, e: Effect) -> tuple[Any, ...]:
    place = (e.task, e.bias_type, e.mitigation, e.dose)
    return (*place, *digits_of(e.interval), e.scale, e.p, e.p_bh, grid.detectable(e))


def _field(effect: Effect | None) -> str:
    return ABSENT if effect is None else estimate(effect.interval) + (STAR if is_significant(effect) else "")


def _arm(mitigation: str) -> str:
    return "no mitigation" if mitigation == "none" else mitigation


def _contrast(mitigation: str) -> str:
    return "none: slope" if mitigation == "none" else f"none − {mitigation}"


def _equivalent(p: float) -> str:
    if p != p:
        return "not tested"
    return "yes" if p <= 0.05 else "not shown"


def _span(bounds: Sequence[float]) -> str:
    return f"[{two_digits(bounds[0])}, {two_digits(bounds[1])}]"
