import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate import Lexicon, load_lexicon
from mitigate.misalignment import Answers, group_misalignment, groups_by_words, value_misalignment
from mitigate.misalignment.groups import total_variation, within_label
from mitigate.misalignment.values import ordered_distance, sampling_floor
from mitigate.misalignment.wording import PRONOUNS

COUNTS = st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(sum).map(lambda counts: np.array(counts, float))


def answers(human, augmented, culture="A", question="q"):
    return Answers(question, culture, tuple("abc")[: len(human)], tuple(human), tuple(augmented))


class TestValues:
    def test_known_distances(self):
        equal, disjoint = answers([1, 1], [2, 2]), answers([1, 0], [0, 1], question="r")
        (result,) = value_misalignment([equal, disjoint], ordered=True)
        assert (result.questions, result.distance, result.ordered_distance) == (2, 0.5, 0.5)

    def test_distance_by_hand(self):
        # The middle of (1, 0) and (1/2, 1/2) is (3/4, 1/4); base 2.
        divergence = (math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5 * math.log2(2)) / 2
        (result,) = value_misalignment([answers([1, 0], [0.5, 0.5])])
        assert result.distance == pytest.approx(math.sqrt(divergence))
        assert math.isnan(result.ordered_distance)

    def test_order_matters_to_the_ordered_distance_alone(self):
        near, far = answers([1, 0, 0], [0, 1, 0]), answers([1, 0, 0], [0, 0, 1], culture="B")
        first, second = value_misalignment([far, near], ordered=True)
        assert (first.culture, first.distance, second.distance) == ("A", 1.0, 1.0)
        assert (first.ordered_distance, second.ordered_distance) == (0.5, 1.0)

    def test_floor(self):
        # To first order the distance is |X/n - 1/2| / sqrt(2 ln 2), and E|X/n - 1/2| = 1 / sqrt(2πn).
        expected = 1 / math.sqrt(2 * math.pi * 1000) / math.sqrt(2 * math.log(2))
        assert sampling_floor([3, 3], 1000) == pytest.approx(expected, rel=0.2)
        assert sampling_floor([1, 0], 10) == 0
        assert sampling_floor([1, 1], 100) > 2 * sampling_floor([1, 1], 10_000)

    @settings(deadline=None)
    @given(st.lists(st.integers(1, 10**6), min_size=2, max_size=13), st.floats(0.1, 10))
    def test_equal_answers_up_to_rounding(self, shares, factor):
        options = tuple(map(str, range(len(shares))))
        same = Answers("q", "A", options, tuple(map(float, shares)), tuple(share * factor for share in shares))
        (result,) = value_misalignment([same], respondents=10**6)
        assert 0 <= result.distance < 1e-6 and 0 <= result.floor < 0.02

    @settings(deadline=None)
    @given(COUNTS, COUNTS)
    def test_ranges_and_symmetry(self, human, augmented):
        there = value_misalignment([answers(human, augmented)], respondents=10, ordered=True)[0]
        back = value_misalignment([answers(augmented, human)], respondents=10, ordered=True)[0]
        assert 0 <= there.distance <= 1 + 1e-12 and 0 <= there.ordered_distance <= 1 + 1e-12
        assert there.distance == pytest.approx(back.distance)
        assert ordered_distance(human, augmented) == pytest.approx(back.ordered_distance)

    def test_refusals(self):
        with pytest.raises(ValueError, match="one share for each"):
            answers([1, 0, 0], [1, 0])
        with pytest.raises(ValueError, match="at least 0"):
            answers([1, 0], [0, 0])
        with pytest.raises(ValueError, match="no answers"):
            value_misalignment([])
        with pytest.raises(ValueError, match="`respondents`"):
            value_misalignment([answers([1, 0], [1, 0])], respondents=0)


class TestGroups:
    def test_total_variation(self):
        assert total_variation(np.array([1.0, 1.0]), np.array([3.0, 1.0])) == 0.25
        assert total_variation(np.array([5.0, 0.0]), np.array([0.0, 2.0])) == 1

    def test_within_label_sees_what_the_pool_hides(self):
        real = np.array([[10.0, 10.0], [10.0, 10.0]])
        augmented = np.array([[8.0, 0.0], [0.0, 8.0]])
        assert total_variation(real.sum(axis=1), augmented.sum(axis=1)) == 0
        assert within_label(real, augmented) == 0.5
        assert math.isnan(within_label(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])))

    def test_group_misalignment(self):
        labels = (["x", "y"] * 200, ["x"] * 200 + ["y"] * 200)
        result = group_misalignment(["a"] * 200 + ["b"] * 200, ["a"] * 200 + ["b"] * 160 + [""] * 40, labels=labels)
        assert result.groups == ("a", "b") and result.real == (0.5, 0.5)
        assert result.augmented == pytest.approx((200 / 360, 160 / 360))
        assert result.unknown == (0.0, 0.1)
        assert result.pooled.estimate == pytest.approx(20 / 360) and result.pooled.n == 760
        assert result.within_label.estimate == pytest.approx(0.5)
        assert result.association.estimate == pytest.approx(1) and result.association.excludes_zero
        assert result.pooled.low < result.pooled.estimate < result.pooled.high

    def test_equal_sides_stay_near_chance(self):
        rng = np.random.default_rng(0)
        result = group_misalignment(list(rng.choice(["a", "b"], 500)), list(rng.choice(["a", "b"], 500)))
        assert result.pooled.estimate < 4 * result.chance
        # The absolute difference of two shares of a half: E|N(0, 2/(4·500))|.
        assert result.chance == pytest.approx(math.sqrt(2 / math.pi / 1000), rel=0.1)
        assert result.within_label is None and result.association is None

    @settings(max_examples=10, deadline=None)
    @given(st.permutations(["a"] * 6 + ["b"] * 4 + [""]))
    def test_row_order_does_not_matter(self, real):
        assert group_misalignment(real, ["a", "b"]) == group_misalignment(sorted(real), ["b", "a"])

    def test_refusals(self):
        with pytest.raises(ValueError, match="No augmented row"):
            group_misalignment(["a", "b"], [""])
        with pytest.raises(ValueError, match="all rows of known group are 'a'"):
            group_misalignment(["a", ""], ["a"])
        with pytest.raises(ValueError, match="one label for each row"):
            group_misalignment(["a"], ["b"], labels=(["x"], []))


class TestGroupsByWords:
    def test_majority(self):
        texts = ["She met him, and he met her; herself.", "MR Smith", "The shell", "he and she", "500 ms"]
        assert groups_by_words(texts) == ["woman", "man", "", "", ""]

    def test_own_words(self):
        assert groups_by_words(["A Dane.", "a dane"], {"Denmark": ["Dane"], "Spain": ["Spaniard"]}) == ["Denmark", ""]

    def test_exceptions_tell_no_group(self):
        words = {"king": Lexicon("king", ("king",), exceptions=("king crab", "Burger King")), "crab": ["crab"]}
        assert groups_by_words(["A king.", "A king crab!", "Burger King, king"], words) == ["king", "crab", "king"]

    def test_people_of_a_lexicon_are_groups(self):
        lexicon = load_lexicon(["gender", "names"])
        words = {people: lexicon.words_of(people) for people in ("female", "male")}
        assert groups_by_words(["Keiko sings, and she dances.", "King Omar"], words) == ["female", "male"]

    def test_pronouns_are_words_of_the_lexicon(self):
        assert {word for words in PRONOUNS.values() for word in words} <= set(load_lexicon("gender").words)
