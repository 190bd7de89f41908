"""The verdict on a sweep over tasks: plain sentences whose words follow from the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mitigate.analysis import ALPHA
from mitigate.cells import is_mitigation
from mitigate.grid import Effect, GridAnalysis, Hypothesis, MissingAnswers
from mitigate.report.grid.effects import is_significant, overview_type, two_digits
from mitigate.report.grid.tables import estimate, percent
from mitigate.report.numbers import PERCENT_LEVEL, p_sentence
from mitigate.report.verdict import FEW_SEEDS, count, finding, incomplete, shortened

# Share of unreadable answers from which the verdict names a task.
_MANY_UNPARSED = 0.05
_NAMED = 4  # tasks named in full


def grid_verdict(grid: GridAnalysis) -> list[str]:
    """
    Say in plain sentences what a sweep over tasks shows and what it does not.

    An effect is called detected only if its interval excludes 0 *and* its corrected p value is at most 0.05, and
    suggested if only its interval does. What is not detected is never called absent.

    Args:
        grid (`GridAnalysis`):
            As returned by [`mitigate.grid.analyse_grid`].

    Returns:
        `list[str]`: The named hypotheses, the trend, the slope on tasks like these, control tasks, the grid, answers
        that could not be read, what weakens the evidence, and how intervals and p values were taken.
    """
    return [
        *(_hypothesis(hypothesis) for hypothesis in grid.hypotheses if not hypothesis.untested),
        *_untested(grid),
        *_trend(grid),
        *_no_control(grid),
        *_mixed(grid),
        *_equivalence(grid),
        *_inherited(grid),
        *_reduced(grid),
        *_unparsed(grid),
        *_unmeasured(grid),
        *_warnings(grid),
        _method(grid),
    ]


def _hypothesis(hypothesis: Hypothesis) -> str:
    claim = hypothesis.claim
    opening = claim if claim.startswith(hypothesis.mitigation) else claim[:1].upper() + claim[1:]
    evidence = (
        f"{estimate(hypothesis.interval)} {hypothesis.unit} ({count(hypothesis.interval.n, 'seed')}, Holm-corrected "
        f"{p_sentence(hypothesis.p_holm)})"
    )
    grade = finding(hypothesis.interval, hypothesis.p_holm)
    if hypothesis.left_out:
        evidence += (
            f", without {', '.join(hypothesis.left_out)}, where it could not be measured or seeds do not differ"
        )
    if grade == "detected" and hypothesis.interval.estimate > 0:
        return f"{opening}: {evidence}."
    if grade == "detected":
        return f"The contrary is found of the claim that {claim}: {evidence}."
    least = f"; with these seeds an effect of {two_digits(hypothesis.detectable)} is detected 80 times out of 100"
    return f"That {claim} is {grade}: {evidence}{'' if math.isnan(hypothesis.detectable) else least}."


def _trend(grid: GridAnalysis) -> Iterator[str]:
    trend = grid.trend
    if trend.interval.n > 1:
        shown = f"{estimate(trend.interval)} on the related tasks ({p_sentence(trend.p)}, not corrected)"
        same = (
            f"{two_digits(trend.interval.estimate, sign=True)} on the related tasks in all seeds, and cannot be tested"
        )
        yield (
            "The trend without mitigation (rank correlation of bias and ρ: whether bias rises, in a line or not) is "
            f"{same if trend.interval.is_constant else shown}."
        )


def _untested(grid: GridAnalysis) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for hypothesis in grid.hypotheses:
        if hypothesis.untested:
            reasons.setdefault(hypothesis.untested, []).append(hypothesis.claim)
    for reason, claims in reasons.items():
        yield f"Not tested, as {reason}: that {'; that '.join(claims)}."


def _no_control(grid: GridAnalysis) -> Iterator[str]:
    if not any(not task.description.related for task in grid.tasks):
        yield (
            "There is no control task: growth of bias may be a general cost of synthetic text, and cannot be put down "
            "to what the bias touches."
        )


def _mixed(grid: GridAnalysis) -> Iterator[str]:
    mixed = grid.mixed
    related = sum(task.description.related and task.overall is not None for task in grid.tasks)
    if mixed is None or related < 2:
        yield (
            "A slope for other tasks like these is not estimated: there are not two related tasks that differ between "
            "seeds."
        )
    elif math.isnan(mixed.interval.low):
        yield f"A slope for other tasks like these could not be estimated by the mixed model: {mixed.notes[0]}"
    else:
        yield (
            f"For other tasks like the related ones the mixed model gives a slope of {estimate(mixed.interval)} "
            f"SDs between seeds per +0.10 of ρ ({p_sentence(mixed.p)}, not corrected). "
            f"{' '.join(mixed.notes)}".rstrip()
        )


def _equivalence(grid: GridAnalysis) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for tested in grid.equivalences:
        if math.isnan(tested.p):
            alike = f"all {tested.shift.n} seeds gave the same shift, {two_digits(tested.shift.estimate)}"
            few = f"a test needs two seeds, and there is {tested.shift.n}"
            reasons.setdefault(alike if tested.shift.n > 1 else few, []).append(tested.task)
    for reason, tasks in reasons.items():
        yield f"Not tested that control tasks stay as they were ({_listed(grid, tasks)}): {reason}."
    for tested in grid.equivalences:
        shift = f"its shift up to ρ = {tested.bias_ratio:g} is {estimate(tested.shift)} (90% interval)"
        if tested.p <= ALPHA:
            yield (
                f"The control task {tested.task} stays as it was, within ±{tested.bound:g}: {shift}, TOST "
                f"{p_sentence(tested.p)}."
            )
        elif not math.isnan(tested.p):
            yield (
                f"That the control task {tested.task} stays as it was is not shown: {shift}, and ±{tested.bound:g} "
                f"would be too small to matter (TOST {p_sentence(tested.p)})."
            )


def _inherited(grid: GridAnalysis) -> Iterator[str]:
    fields = [e for e in _overview(grid) if e.mitigation == "none"]
    grown = [e.task for e in fields if is_significant(e) and e.interval.estimate > 0]
    fallen = [e.task for e in fields if is_significant(e) and e.interval.estimate < 0]
    tested = [e for e in fields if not math.isnan(e.p)]
    constant = [e.task for e in fields if e.interval.is_constant]
    if constant:
        yield (
            f"Without mitigation all seeds gave the same slope on {_listed(grid, constant)}, which cannot be tested: "
            "more seeds or more items per task tell more."
        )
    if not tested:
        yield "No single task is tested: a test needs two seeds that differ."
        return
    falls = f"; it falls on {_listed(grid, fallen)}" if fallen else ""
    where = _listed(grid, grown) if grown else "none"
    yield f"Task by task, growth of bias without mitigation is detected on {where} ({len(tested)} tested){falls}."


def _reduced(grid: GridAnalysis) -> Iterator[str]:
    fields = [e for e in _overview(grid) if is_mitigation(e.mitigation)]
    if not any(not math.isnan(e.p) for e in fields):
        return
    helped: dict[str, list[str]] = {}
    harmed: dict[str, list[str]] = {}
    for field in fields:
        if is_significant(field):
            side = helped if field.interval.estimate > 0 else harmed
            side.setdefault(field.mitigation, []).append(field.task)
    parts = [f"{name} on {_listed(grid, tasks)}" for name, tasks in helped.items()]
    yield f"Task by task, less inheritance than without mitigation is detected for {'; '.join(parts) or 'none'}."
    if harmed:
        parts = [f"{name} on {_listed(grid, tasks)}" for name, tasks in harmed.items()]
        yield f"Task by task, more inheritance than without mitigation is detected for {'; '.join(parts)}."


def _unparsed(grid: GridAnalysis) -> Iterator[str]:
    worst: dict[str, MissingAnswers] = {}
    for found in grid.missing_answers:
        known = worst.get(found.task)
        if found.unparsed >= _MANY_UNPARSED and (known is None or found.unparsed > known.unparsed):
            worst[found.task] = found
    if worst:
        largest = percent(max(found.unparsed for found in worst.values()))
        yield f"Up to {largest} of the answers could not be read on {_listed(grid, [*worst])}: look at the bounds."
    fields = {e.task: e for e in _overview(grid) if e.mitigation == "none" and e.dose == grid.dose}
    for found in grid.missing_answers:
        field = fields.get(found.task)
        low, high = found.worst_shift
        unsure = found.mitigation == "none" and found.dose == grid.dose and low <= 0 <= high and low < high
        if field and unsure and is_significant(field):
            yield (
                f"On {found.task}, answers that could not be read could undo the finding: the shift lies between "
                f"{two_digits(low)} and {two_digits(high)}."
            )


def _unmeasured(grid: GridAnalysis) -> Iterator[str]:
    done = grid.cells - len(grid.absent)
    for task in grid.tasks:
        if task.overall and task.unmeasured:
            cells = f"{len(task.unmeasured)} of {count(done, 'cell')}"
            yield (
                f"On {task.name} bias or utility could not be measured in {cells}, which are left out: "
                f"{shortened(task.unmeasured)}."
            )


def _warnings(grid: GridAnalysis) -> Iterator[str]:
    if len(grid.seeds) < FEW_SEEDS:
        yield (
            f"Few seeds: {len(grid.seeds)}, fewer than {FEW_SEEDS}; take every interval and p value as provisional."
        )
    if grid.absent:
        yield incomplete(grid.absent, grid.cells)
    for task in grid.tasks:
        if task.problem:
            yield f"{task.name} could not be analysed: {task.problem}"


def _method(grid: GridAnalysis) -> str:
    return (
        f"Brackets are {PERCENT_LEVEL} intervals over seeds if not said otherwise. p values of the "
        f"{count(grid.hypothesis_family, 'named hypothesis', 'named hypotheses')} are corrected by Holm's method, "
        f"those of the {count(grid.family, 'field')} of the grid (task × bias type × arm) by Benjamini and Hochberg's."
    )


def _overview(grid: GridAnalysis) -> list[Effect]:
    return [e for e in grid.effects if e.bias_type == overview_type(grid) and e.dose == grid.dose]


def _listed(grid: GridAnalysis, names: Sequence[str]) -> str:
    """Name a few tasks, and count many."""
    related = [task.name for task in grid.tasks if task.description.related]
    if len(names) > _NAMED and set(names) == set(related):
        return f"all {len(related)} related tasks"
    more = f" and {len(names) - _NAMED} more tasks" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
