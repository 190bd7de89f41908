"""Metrics against answers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitigate.gaps import TprGaps
from mitigate.metrics import js_distance, stereotype_gap

# Nurses: two of three women and one of two men are recognised. Pilots: none of one woman and both men.
LABELS = ["nurse"] * 5 + ["pilot"] * 3
GROUPS = ["f", "f", "f", "m", "m", "f", "m", "m"]
PREDICTED = ["nurse", "nurse", "pilot", "nurse", "pilot", "nurse", "pilot", "pilot"]
STEREOTYPES = {"nurse": "f", "pilot": "m"}


def tpr_gaps(*rows):
    gaps = TprGaps.from_rows(*rows)
    return dict(zip(gaps.classes, gaps.gaps.tolist(), strict=True))


def slow_gaps(labels, predictions, groups, pair):
    def rate(label, group):
        hits = [p == y for y, p, g in zip(labels, predictions, groups, strict=True) if (y, g) == (label, group)]
        return sum(hits) / len(hits) if hits else math.nan

    return {label: rate(label, pair[0]) - rate(label, pair[1]) for label in sorted(set(labels))}


def test_gaps_of_a_hand_made_table():
    gaps = tpr_gaps(LABELS, PREDICTED, GROUPS, ("f", "m"))
    assert gaps == pytest.approx({"nurse": 2 / 3 - 1 / 2, "pilot": -1.0})
    assert tpr_gaps(LABELS, PREDICTED, GROUPS, ("m", "f")) == pytest.approx({k: -v for k, v in gaps.items()})


def test_a_group_without_a_row_of_a_class_has_no_gap_there():
    gaps = tpr_gaps(["a", "a", "b"], ["a", "a", "b"], ["f", "m", "f"], ("f", "m"))
    assert gaps["a"] == 0
    assert math.isnan(gaps["b"])


@given(st.lists(st.tuples(*[st.sampled_from("xyz")] * 2, st.sampled_from("fm")), min_size=1, max_size=40))
def test_gaps_agree_with_counting(table):
    labels, predicted, groups = map(list, zip(*table, strict=True))
    gaps = tpr_gaps(labels, predicted, groups, ("f", "m"))
    assert gaps == pytest.approx(slow_gaps(labels, predicted, groups, ("f", "m")), nan_ok=True)


def test_the_stereotype_gap_counts_an_advantage_of_the_stereotyped_group_as_positive():
    gap = stereotype_gap(LABELS, PREDICTED, GROUPS, STEREOTYPES)
    assert gap == pytest.approx((1 / 6 + 1) / 2)
    assert stereotype_gap(LABELS, PREDICTED, GROUPS, {"nurse": "m", "pilot": "f"}) == pytest.approx(-gap)


def test_a_perfect_classifier_has_no_stereotype_gap_and_the_stereotype_itself_the_largest():
    assert stereotype_gap(LABELS, LABELS, GROUPS, STEREOTYPES) == 0
    by_group = ["nurse" if group == "f" else "pilot" for group in GROUPS]
    assert stereotype_gap(LABELS, by_group, GROUPS, STEREOTYPES) == 1


def test_labels_without_a_stereotype_and_other_than_two_groups_are_refused():
    with pytest.raises(ValueError, match="No stereotyped group is named for the labels pilot"):
        stereotype_gap(LABELS, PREDICTED, GROUPS, {"nurse": "f"})
    with pytest.raises(ValueError, match="`stereotypes`: female is none of the groups f, m"):
        stereotype_gap(LABELS, PREDICTED, GROUPS, {**STEREOTYPES, "nurse": "female"})
    with pytest.raises(ValueError, match="compares two groups, got 3: f, m, x"):
        stereotype_gap(LABELS, PREDICTED, ["x", *GROUPS[1:]], STEREOTYPES)


def test_jensen_shannon_distance_by_hand():
    # Against the mean (3/4, 1/4): ½·log2(4/3) + ½·[½·log2(2/3) + ½·log2(2)].
    divergence = 0.5 * math.log2(4 / 3) + 0.5 * (0.5 * math.log2(2 / 3) + 0.5)
    assert js_distance(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(math.sqrt(divergence))


def test_jensen_shannon_distance_of_equal_and_of_disjoint_distributions():
    assert js_distance(np.array([0.2, 0.8]), np.array([0.2, 0.8])) == 0
    assert js_distance(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(1)
    assert js_distance(np.array([1.0, 4.0]), np.array([0.2, 0.8])) == pytest.approx(0)  # sums do not matter


def test_jensen_shannon_distance_of_what_rounding_sets_apart():
    shares = np.array([0.41704817, 0.10587803, 0.13696413, 0.34010967])
    distances = [js_distance(shares, shares * scale) for scale in np.linspace(0.1, 9, 500)]
    assert max(distances) < 1e-7  # never NaN, for which no comparison holds
    assert not any(map(math.isnan, distances))
    assert math.isnan(js_distance(np.zeros(2), np.array([0.5, 0.5])))
