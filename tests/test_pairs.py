import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from mitigate.stats import pair_permutation_p


def test_all_swaps_by_hand():
    """Differences 3, 1, 2, -1 with all 16 choices of signs: the observed sum of 5 or more, either way."""
    first, second = [4.0, 3.0, 2.0, 0.0], [1.0, 2.0, 0.0, 1.0]
    sums = [abs(np.dot(signs, [3, 1, 2, -1])) for signs in product((1, -1), repeat=4)]
    assert pair_permutation_p(first, second) == np.mean([total >= 5 for total in sums])


def test_answers_that_are_right_or_wrong_give_mcnemars_exact_test():
    """Only the 12 pairs with one right answer count: 10 to 2."""
    first, second = [1] * 10 + [0] * 2 + [1] * 30, [0] * 10 + [1] * 2 + [1] * 30
    p = pair_permutation_p(first, second, permutations=20000)
    assert p == pytest.approx(binomtest(10, 12).pvalue, abs=0.004)


def test_random_swaps_never_give_zero():
    rng = np.random.default_rng(0)
    first = rng.normal(size=40)
    assert pair_permutation_p(first + 5, first, permutations=99) == pytest.approx(1 / 100)
    assert pair_permutation_p(first[:4] + 5, first[:4]) == pytest.approx(2 / 16)


def test_a_statistic_of_ones_own():
    """The difference of variances, for which the means do not matter."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=60), 3 * rng.normal(size=60)
    variances = pair_permutation_p(first, second, statistic=lambda x, y: x.var() - y.var(), permutations=199)
    assert variances == pytest.approx(1 / 200)
    assert pair_permutation_p(first, second, permutations=199) > 0.05


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=7), st.sampled_from([-2, 0.5, 3])
)
def test_swapping_all_pairs_unit_and_level_of_a_pair_do_not_matter(pairs, scale):
    first, second = np.array(pairs, dtype=float).T
    p = pair_permutation_p(first, second)
    assert pair_permutation_p(second, first) == p
    levels = np.arange(len(pairs))
    assert pair_permutation_p(scale * first + levels, scale * second + levels) == p


def test_false_alarms_under_the_null():
    rng = np.random.default_rng(0)
    rejected = [
        pair_permutation_p(*rng.normal(size=(2, 12)), permutations=199, seed=seed) <= 0.05 for seed in range(400)
    ]
    assert 0.022 <= np.mean(rejected) <= 0.078


@pytest.mark.parametrize("pairs", [[], [1.0]])
def test_one_pair_tells_nothing(pairs):
    assert math.isnan(pair_permutation_p(pairs, pairs))


@pytest.mark.parametrize(
    ("first", "second", "permutations", "message"),
    [
        ([1.0, 2.0], [1.0], 9, r"got \(2,\) and \(1,\)"),
        ([[1.0]], [[1.0]], 9, r"got \(1, 1\)"),
        ([1.0, math.nan], [1.0, 2.0], 9, "must be finite"),
        ([1.0, 2.0], [1.0, 2.0], 0, "at least 1, got 0"),
    ],
)
def test_errors(first, second, permutations, message):
    with pytest.raises(ValueError, match=message):
        pair_permutation_p(first, second, permutations=permutations)
