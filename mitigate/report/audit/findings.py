"""The findings of an audit: for each factor a sentence that follows from the numbers, and what it speaks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mitigate.analysis import ALPHA
from mitigate.intervals import Interval
from mitigate.misalignment import Audit, GroupMisalignment
from mitigate.misalignment.distributions import Distances
from mitigate.report.numbers import PERCENT_LEVEL, bounds, number, p_sentence

# Of scales from 0 to 1. About what Cohen (1988) calls small: a correlation of 0.1, or means 0.2 standard deviations
# apart, which a classifier tells with M = 0.11.
THRESHOLD = 0.1
Grade = Literal["apart", "alike", "open", "not measured"]
Factor = Literal["values", "groups", "distributions"]

READING = (
    "Which mitigation a finding speaks for is our reading of what each acts on. It is not proven: train with and "
    "without it, and measure."
)
METHOD = (
    f"“Apart” means at least {THRESHOLD:g} on a scale from 0 to 1 and more than chance: p ≤ {ALPHA:g} where p is "
    f"given, and the {PERCENT_LEVEL} interval above 0 for values, association, M and MMD². “Alike” means that the "
    f"whole interval lies below {THRESHOLD:g}, and for distributions that the MMD finds nothing either. All else is "
    "“open”. The threshold is a convention of ours."
)
_ADVICE = {
    "values": "This speaks for the token-based mitigation (BiasTagTokenizer): a tag lets the model take such answers "
    "for a property of tagged text.",
    "groups": "This speaks for the mask-based mitigation (BiasMaskCollator), which hides the words that reveal a "
    "group, or for drawing the augmented rows anew to the shares of the real ones.",
    "distributions": "This speaks for the loss-based mitigation (AlignmentLossCallback), which draws the "
    "representations of both sides together.",
}


@dataclass(frozen=True)
class Finding:
    """
    What was found in one factor.

    Args:
        factor (`str`):
            `"values"`, `"groups"` or `"distributions"`.
        grade (`str`):
            `"apart"`, `"alike"`, `"open"` or `"not measured"`.
        sentence (`str`):
            The finding in words, with its numbers.
        advice (`str`):
            The mitigation that it speaks for; empty unless the grade is `"apart"`.
    """

    factor: Factor
    grade: Grade
    sentence: str
    advice: str


def findings(audit: Audit) -> tuple[Finding, ...]:
    """
    Put an audit into words.

    Args:
        audit (`Audit`):
            As returned by [`mitigate.misalignment.audit`].

    Returns:
        `tuple[Finding, ...]`: Of values, groups and distributions, in this order.
    """
    return _values(audit), _groups(audit), _distributions(audit)


def grade(distance: Interval, *, detected: bool) -> Grade:
    """
    Grade a distance on a scale from 0 to 1.

    Args:
        distance (`Interval`):
            The distance.
        detected (`bool`):
            Whether it is more than chance.

    Returns:
        `str`: `"apart"` if it is at least 0.1 and more than chance, `"alike"` if the interval lies below 0.1, else
        `"open"`.
    """
    if distance.estimate >= THRESHOLD and detected:
        return "apart"
    return "alike" if distance.high < THRESHOLD else "open"


def _finding(factor: Factor, grade: Grade, sentence: str) -> Finding:
    return Finding(factor, grade, sentence, _ADVICE[factor] if grade == "apart" else "")


def _overall(grades: Sequence[Grade]) -> Grade:
    return "apart" if "apart" in grades else "alike" if set(grades) == {"alike"} else "open"


def _values(audit: Audit) -> Finding:
    if not audit.values:
        return Finding("values", "not measured", "Values were not measured.", "")
    grades = [grade(value.excess, detected=value.excess.low > 0) for value in audit.values]
    farthest = max(audit.values, key=lambda value: value.excess.estimate)
    overall, cultures = _overall(grades), f"{len(grades)} culture{'s' * (len(grades) > 1)}"
    opening = {
        "apart": f"Values are apart in {grades.count('apart')} of {cultures}",
        "alike": f"Values are alike in {cultures}",
        "open": f"Whether values are apart is open in {grades.count('open')} of {cultures}",
    }[overall]
    return _finding(
        "values",
        overall,
        f"{opening}. Farthest is {farthest.culture}: as a mean over {farthest.questions} question(s), the "
        f"generator's answers lie {_with_bounds(farthest.excess)} farther from people's than the chance of a survey "
        f"would put them ({number(farthest.floor, 3)}).",
    )


def _groups(audit: Audit) -> Finding:
    groups = audit.groups
    if groups is None:
        return Finding("groups", "not measured", "Group data were not measured.", "")
    overall = _overall(_group_grades(groups))
    opening = {
        "apart": "Group data are apart",
        "alike": "Group data are alike",
        "open": "Whether group data are apart is open",
    }[overall]
    parts = [f"total variation of the shares {_with_bounds(groups.pooled)} ({_chance(groups.chance, groups.p)})"]
    if groups.within_label and groups.within_chance is not None and groups.within_p is not None:
        chance = _chance(groups.within_chance, groups.within_p)
        parts.append(f"within labels {_with_bounds(groups.within_label)} ({chance})")
    if groups.association is not None:
        change, direction = groups.association, "stronger"
        if change.estimate < 0:
            change, direction = Interval(-change.estimate, -change.high, -change.low, change.n), "weaker"
        parts.append(f"association of group and label (Cramér's V) {direction} by {_with_bounds(change)}")
    return _finding("groups", overall, f"{opening}: {'; '.join(parts)}.")


def _group_grades(groups: GroupMisalignment) -> list[Grade]:
    grades = [grade(groups.pooled, detected=groups.p <= ALPHA)]
    if groups.within_label and groups.within_p is not None and not math.isnan(groups.within_p):
        grades.append(grade(groups.within_label, detected=groups.within_p <= ALPHA))
    if groups.association:
        grades.append(grade(_size(groups.association), detected=groups.association.excludes_zero))
    return grades


def _size(signed: Interval) -> Interval:
    """Return the interval of the absolute value."""
    ends = sorted((abs(signed.low), abs(signed.high)))
    return Interval(abs(signed.estimate), ends[0] if signed.excludes_zero else 0.0, ends[1], signed.n)


def _distributions(audit: Audit) -> Finding:
    measured = audit.distributions
    within = measured.within_label
    # Labels can be mixed otherwise without any text being different, so where there are labels they decide.
    distances, where = (within, "within labels") if within else (measured.pooled, "over all rows")
    told = distances.separability
    overall = _distribution_grade(distances)
    opening = {
        "apart": "Distributions are apart",
        "alike": "Distributions are alike",
        "open": "Whether distributions are apart is open",
    }[overall]
    classifier = (
        "there are too few different rows to train a classifier"
        if math.isnan(told.estimate)
        else "a classifier tells augmented from real rows that it has not seen with M = "
        f"{_with_bounds(told)} (AUC {number(distances.auc.estimate, 3)}; 0 is chance, 1 without a mistake)"
    )
    sentence = f"{opening}: {where}, {classifier}; MMD² is {_with_bounds(distances.mmd)} ({p_sentence(distances.p)})."
    if _seen_by_mmd(distances) and not (told.estimate >= THRESHOLD and told.low > 0):
        sentence += (
            " The MMD finds what the linear classifier does not: it sees spread as well as means, such as augmented "
            "rows that are too much alike."
        )
    if within and _distribution_grade(measured.pooled) == "apart" != overall:
        sentence += " Over all rows they are apart, so the labels are mixed otherwise: stratify the mix by label."
    return _finding("distributions", overall, sentence)


def _distribution_grade(distances: Distances) -> Grade:
    told = distances.separability
    by_classifier = grade(told, detected=told.low > 0 and distances.p <= ALPHA)
    if not _seen_by_mmd(distances):
        return by_classifier
    if distances.mmd.estimate >= THRESHOLD:
        return "apart"
    return "open" if by_classifier == "alike" else by_classifier


def _seen_by_mmd(distances: Distances) -> bool:
    return distances.mmd.low > 0 and distances.p <= ALPHA


def _chance(chance: float, p: float) -> str:
    return f"chance {number(chance, 3)}, {p_sentence(p)}"


def _with_bounds(interval: Interval) -> str:
    estimate = number(interval.estimate, 3)
    return estimate if math.isnan(interval.low) else f"{estimate} {bounds(interval, 3)}"
