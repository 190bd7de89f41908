"""The verdict: plain sentences whose words follow from the numbers of an analysis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from mitigate.analysis import ALPHA, Analysis, Arm, Comparison, Contrast
from mitigate.intervals import Interval
from mitigate.report.numbers import (
    PERCENT_LEVEL,
    Decimals,
    bounds,
    decimals,
    number,
    p_sentence,
    share,
    with_bounds,
)

FEW_SEEDS = 5
NAMED = 5  # cells named in full in the sentence on what is absent
Finding = Literal["detected", "suggested but not established", "not detected", "not testable"]


def verdict(analysis: Analysis) -> list[str]:
    """
    Say in plain sentences what an analysis shows and what it does not.

    A slope or a difference of slopes is called detected only if its interval excludes 0 *and* its Holm-corrected p
    value is at most 0.05, and suggested if only its interval does. What is not detected is never called absent.

    Args:
        analysis (`Analysis`):
            As returned by [`mitigate.analysis.analyse`].

    Returns:
        `list[str]`: Inheritance without mitigation, the null arm, each mitigation, what weakens the evidence, and how
        intervals and p values were taken.
    """
    places = decimals(analysis)
    treated = [arm for arm in analysis.arms if not arm.is_null]
    sentences = [_inheritance(analysis, arm, places) for arm in treated if arm.mitigation == "none"]
    sentences += [_null(analysis, places)]
    sentences += [_content(arm, places) for arm in treated if arm.content]
    mitigated = [arm for arm in treated if arm.mitigation != "none" and not arm.is_control]
    sentences += [_mitigation(analysis, arm, places) for arm in mitigated]
    return [*sentences, *_warnings(analysis), _method(analysis)]


def arm_name(arm: Arm) -> str:
    """Name an arm for people: mask (β = 1), no mitigation (β = 1) or null arm (β = 0)."""
    if arm.mitigation == "none" and arm.is_null:
        return "null arm (β = 0)"
    return f"{'no mitigation' if arm.mitigation == 'none' else arm.mitigation} (β = {arm.dose:g})"


def finding(interval: Interval, p_holm: float) -> Finding:
    """Grade an effect by its interval and its corrected p value."""
    if math.isnan(interval.low):
        return "not testable"
    if not interval.excludes_zero:
        return "not detected"
    return "detected" if p_holm <= ALPHA else "suggested but not established"


def count(n: int, noun: str, plural: str = "") -> str:
    """Write a number of things."""
    return f"{n} {noun}" if n == 1 else f"{n} {plural or noun + 's'}"


def incomplete(absent: Sequence[str], cells: int) -> str:
    """Say of which cells a sweep has no usable result."""
    return f"Incomplete sweep: {len(absent)} of {count(cells, 'cell')} left out of the analysis: {shortened(absent)}."


def shortened(cells: Sequence[str]) -> str:
    """Name a few cells, and count the others."""
    return "; ".join(cells[:NAMED]) + (f"; and {len(cells) - NAMED} more" if len(cells) > NAMED else "")


def _size(interval: Interval, places: Decimals) -> str:
    return f"{number(abs(interval.estimate), places.slope)} per +0.10 of bias ratio"


def _signed(interval: Interval, places: Decimals) -> str:
    return f"{number(interval.estimate, places.slope, sign=True)} per +0.10 of bias ratio"


def _constant(interval: Interval, places: Decimals) -> str:
    return f", {_signed(interval, places)}" if interval.is_constant else ""


def _full_evidence(arm: Arm, places: Decimals) -> str:
    return (
        f"({PERCENT_LEVEL} interval {bounds(arm.slope, places.slope)}, {count(arm.slope.n, 'seed')}, "
        f"Holm-corrected {p_sentence(arm.p_holm)})"
    )


def why_untested(interval: Interval, what: str = "value") -> str:
    """Say why there is no interval."""
    if interval.is_constant:
        return f"all {interval.n} seeds gave the same {what}"
    return f"{count(interval.n, 'seed')} gave a {what}, and an interval needs two"


def _contrast_evidence(contrast: Contrast, places: Decimals) -> str:
    if contrast.interval.is_constant:
        return f"({why_untested(contrast.interval)})"
    return f"({bounds(contrast.interval, places.slope)}, {p_sentence(contrast.p_holm)})"


def _inheritance(analysis: Analysis, arm: Arm, places: Decimals) -> str:
    gap, slope = analysis.label("bias"), arm.slope
    if math.isnan(slope.low):
        return (
            f"Inheritance at β = {arm.dose:g} is not tested: without mitigation {why_untested(slope, 'slope')}"
            f"{_constant(slope, places)}."
        )
    grade = finding(slope, arm.p_holm)
    if grade == "detected":
        what, moves = ("Bias is inherited", "grows") if slope.estimate > 0 else ("Bias falls", "shrinks")
        return (
            f"{what} at β = {arm.dose:g}: without mitigation the {gap} {moves} by {_size(slope, places)} "
            f"{_full_evidence(arm, places)}."
        )
    least, tail = analysis.detectable(arm), ""
    if not math.isnan(least):
        least_slope = f"{number(least, places.slope)} per +0.10 of bias ratio"
        tail = f"; with these seeds, a slope of {least_slope} is detected 80 times out of 100"
    tail += "" if slope.excludes_zero else ", and every slope inside the interval remains possible"
    what = "A fall of bias" if slope.high < 0 else "Inheritance"
    return (
        f"{what} at β = {arm.dose:g} is {grade}: without mitigation the slope of the {gap} is "
        f"{_signed(slope, places)} {_full_evidence(arm, places)}{_trend(arm)}{tail}."
    )


def _trend(arm: Arm) -> str:
    tested = "the same in all seeds" if math.isnan(arm.trend_p) else f"{p_sentence(arm.trend_p)}, not corrected"
    return (
        f"; the trend (rank correlation of bias and ρ: whether bias rises, in a line or not) is "
        f"{with_bounds(arm.trend, 2)} ({tested})"
    )


def _null(analysis: Analysis, places: Decimals) -> str:
    null = analysis.arm("none", 0.0)
    if null is None:
        return (
            "There is no null arm (β = 0, no mitigation): growth over the bias ratio may come from synthetic text as "
            "such and cannot be put down to its biased content."
        )
    if math.isnan(null.slope.low):
        return (
            f"The null arm (β = 0) is not tested: {why_untested(null.slope, 'slope')}{_constant(null.slope, places)}."
        )
    slope = (
        f"the slope of the {analysis.label('bias')} is {_signed(null.slope, places)} {_full_evidence(null, places)}"
    )
    grade, said = finding(null.slope, null.p_holm), f"with augmented rows without bias (β = 0) {slope}"
    if grade != "detected":
        return f"In the null arm a slope is {grade}: {said}."
    if null.slope.estimate < 0:
        return f"The null arm falls: {said}, so biased content adds more than the slope without mitigation shows."
    return (
        f"The null arm is not flat: {said}, so growth over the bias ratio cannot be put down to biased content alone."
    )


def _content(arm: Arm, places: Decimals) -> str:
    contrast = arm.content
    if contrast is None or contrast.interval.n < 2:
        return f"The slope at β = {arm.dose:g} cannot be compared with the null arm's: too few common seeds."
    grade, evidence = finding(contrast.interval, contrast.p_holm), _contrast_evidence(contrast, places)
    towards = "above" if contrast.interval.estimate > 0 else "below"
    return (
        f"An effect of the biased content itself is {grade}: the slope at β = {arm.dose:g} lies "
        f"{_size(contrast.interval, places)} {towards} the null arm's {evidence}."
    )


def _mitigation(analysis: Analysis, arm: Arm, places: Decimals) -> str:
    comparison, name = arm.comparison, arm_name(arm)
    if comparison is None:
        return f"What {name} changes cannot be told: there is no unmitigated model of its dose at its bias ratios."
    if comparison.identical:
        return (
            f"{name} changed nothing: every model has exactly the {analysis.label('bias')} and "
            f"{analysis.label('utility')} of its unmitigated partner. Check that the mitigation acted."
        )
    if comparison.slope.interval.n < 2:
        return f"What {name} changes is not tested: {count(comparison.slope.interval.n, 'seed')} shared with none."
    clauses = [_effect(analysis, name, comparison, places), _own_slope(arm, places)]
    clauses += [_utility(analysis, comparison, places), *_control(arm, places)]
    return "; ".join(clauses) + "."


def _effect(analysis: Analysis, name: str, comparison: Comparison, places: Decimals) -> str:
    contrast, gap, at = comparison.slope, analysis.label("bias"), f"at ρ = {comparison.bias_ratio:g}"
    grade = finding(contrast.interval, contrast.p_holm)
    less = contrast.interval.estimate > 0
    change = (
        f"its slope lies {_size(contrast.interval, places)} {'below' if less else 'above'} that of no mitigation "
        f"{_contrast_evidence(contrast, places)}"
    )
    if grade != "detected":
        return f"An effect of {name} on inheritance is {grade}: {change}"
    if not less:
        return f"{name} does harm: {change}"
    if comparison.removed is None:
        return f"{name} reduces inheritance: {change}; the share removed is undefined, as no growth is detected {at}"
    overshoot = ", ending below the level of real rows alone" if comparison.removed.low > 1 else ""
    return (
        f"{name} reduces inheritance: {change}, which removes {share(comparison.removed)} of the inherited {gap} "
        f"{at}{overshoot}"
    )


def _control(arm: Arm, places: Decimals) -> Iterator[str]:
    contrast = arm.control
    if contrast is None or contrast.interval.n < 2:
        return
    grade, evidence = finding(contrast.interval, contrast.p_holm), _contrast_evidence(contrast, places)
    below = "below" if contrast.interval.estimate > 0 else "above"
    yield (
        f"that its effect comes from acting on augmented rows is {grade}: its slope lies "
        f"{_size(contrast.interval, places)} {below} that of its control, which acts on rows drawn at random "
        f"{evidence}"
    )


def _own_slope(arm: Arm, places: Decimals) -> str:
    slope, grade = with_bounds(arm.slope, places.slope), finding(arm.slope, arm.p_holm)
    if grade == "detected":
        return f"bias {'is still inherited' if arm.slope.estimate > 0 else 'falls'} under it, slope {slope}"
    why = f" ({why_untested(arm.slope)})" if grade == "not testable" else ""
    return f"its own slope, {slope}, is {grade}{why}"


def _utility(analysis: Analysis, comparison: Comparison, places: Decimals) -> str:
    difference, name = comparison.utility, analysis.label("utility")
    at = f"at ρ = {comparison.bias_ratio:g}"
    if math.isnan(difference.low):
        return f"the change of {name} {at} is not tested ({why_untested(difference)})"
    size = number(abs(difference.estimate), places.utility)
    interval = bounds(difference, places.utility)
    if not difference.excludes_zero:
        return f"a change of {name} {at} is not detected {interval}"
    return f"it {'costs' if difference.estimate < 0 else 'gains'} {size} {name} {at} {interval}"


def _warnings(analysis: Analysis) -> list[str]:
    warnings = []
    seeds = min(point.interval.n for arm in analysis.arms for point in arm.curves["bias"])
    if seeds < FEW_SEEDS:
        warnings.append(
            f"Few seeds: some points rest on {count(seeds, 'seed')}, fewer than {FEW_SEEDS}; take every interval and "
            "p value as provisional."
        )
    absent = [*analysis.excluded, *(f"{cell} (missing)" for cell in analysis.missing)]
    if absent:
        warnings.append(incomplete(absent, analysis.records + len(absent)))
    return warnings


def _method(analysis: Analysis) -> str:
    return (
        f"Brackets are {PERCENT_LEVEL} intervals over seeds. p values are corrected by Holm's method: t tests of "
        f"{count(analysis.slope_family, 'slope')}, paired t tests of "
        f"{count(analysis.contrast_family, 'difference')} of slopes."
    )
