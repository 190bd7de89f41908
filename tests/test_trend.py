import math
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate.stats import jonckheere_p, page_p, seed_trends
from tests.test_stats import design

SEEDS = [0, 0, 0, 1, 1, 1]
THREE = [0.0, 0.4, 0.8]


def page_l(blocks):
    return sum((j + 1) * rank for block in blocks for j, rank in enumerate(np.argsort(np.argsort(block)) + 1))


def test_page_by_counting_all_arrangements():
    blocks = [[0.1, 0.3, 0.2], [0.2, 0.5, 0.9]]
    everything = list(product(permutations(blocks[0]), permutations(blocks[1])))
    expected = np.mean([page_l(each) >= page_l(blocks) for each in everything])
    assert page_p(THREE * 2, [*blocks[0], *blocks[1]], SEEDS) == pytest.approx(expected)


def test_page_on_perfect_order_by_hand():
    assert page_p(THREE * 2, [1, 2, 3, 10, 11, 12], SEEDS) == pytest.approx(1 / 36)
    assert page_p(THREE * 2, [3, 2, 1, 12, 11, 10], SEEDS) == pytest.approx(1)


def test_page_averages_values_of_a_seed_and_leaves_out_incomplete_seeds():
    rows = list(zip(THREE * 2, [1, 2, 3, 10, 11, 12], SEEDS, strict=True))
    expected = page_p(*zip(*rows, strict=True))
    more = [*rows[1:], (0.0, 0.5, 0), (0.0, 1.5, 0), (0.0, 99.0, 7)]
    assert page_p(*zip(*more, strict=True)) == expected


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=12, max_size=12, unique=True), st.randoms())
def test_page_asks_for_order_only(values, random):
    rows = list(zip([0.0, 0.2, 0.5, 0.8] * 3, values, [0] * 4 + [1] * 4 + [2] * 4, strict=True))
    expected = page_p(*zip(*rows, strict=True))
    bent = [(ratio**3, math.sqrt(value) + 100 * seed, seed) for ratio, value, seed in rows]
    random.shuffle(bent)
    assert page_p(*zip(*bent, strict=True)) == pytest.approx(expected)


def test_page_needs_three_ratios_and_two_seeds():
    assert math.isnan(page_p(*design([0.1, 0.2], ratios=(0.0, 0.5))))
    assert math.isnan(page_p(*design([0.1])))
    assert math.isnan(page_p([], [], []))
    with pytest.raises(ValueError, match="2 ratios, 1 values and 2 seeds"):
        page_p([0.0, 0.5], [1.0], [0, 0])


def test_trends_of_seeds_are_pages_l_scaled():
    """L = n(n + 1)(2n + 1)/6 at most and 1·n + 2·(n - 1) + … at least: for n = 4 from 20 to 30."""
    ratios, values, seeds = design([0.1, 0.0, -0.2], noise=0.1)
    trends = seed_trends(ratios, values, seeds)
    for seed, block in enumerate(np.reshape(values, (3, 4)).tolist()):
        assert trends[seed] == pytest.approx((page_l([block]) - 25) / 5)


def test_trends_of_seeds_by_hand():
    rows = [(0.0, 5.0, 2), (0.5, 7.0, 2), (0.8, 6.0, 2), (0.5, 1.0, 1), (0.0, 1.0, 1), (0.5, 1.0, 3)]
    assert seed_trends(*zip(*rows, strict=True)) == {1: 0.0, 2: pytest.approx(0.5)}
    with pytest.raises(ValueError, match="1 ratios, 1 values and 2 seeds"):
        seed_trends([0.0], [1.0], [0, 0])


def test_rounding_is_no_trend():
    assert 0.1 + 0.2 > 0.3
    assert seed_trends([0.0, 0.5, 0.8], [0.3, 0.3, 0.1 + 0.2], [0] * 3) == {0: 0.0}
    assert seed_trends([0.0, 0.5, 0.8], [0.1 + 0.2, 0.3, 0.4], [0] * 3) == {0: pytest.approx(math.sqrt(3) / 2)}


def jonckheere_j(groups):
    pairs = [(x, y) for i, first in enumerate(groups) for second in groups[i + 1 :] for x in first for y in second]
    return sum((x < y) + (x == y) / 2 for x, y in pairs)


def test_jonckheere_by_hand():
    """J = 24 of 27 pairs; without ties E = (N² - Σn²) / 4 and Var = (N²(2N + 3) - Σn²(2n + 3)) / 72 (Hollander)."""
    groups = [[1.0, 2.0, 5.0], [3.0, 4.0, 7.0], [6.0, 8.0, 9.0]]
    assert jonckheere_j(groups) == 24
    mean, variance = (81 - 27) / 4, (81 * 21 - 3 * 9 * 9) / 72
    z = (24 - mean) / math.sqrt(variance)
    ratios = [ratio for ratio in THREE for _ in range(3)]
    assert jonckheere_p(ratios, np.ravel(groups).tolist()) == pytest.approx(math.erfc(z / math.sqrt(2)) / 2)


def test_jonckheere_with_ties_against_random_arrangements():
    rng = np.random.default_rng(0)
    values, ratios = [0, 1, 1, 2, 1, 2, 2, 3, 2, 3, 3, 1], np.repeat([0.0, 0.2, 0.5], 4)
    observed = jonckheere_j(np.reshape(values, (3, 4)).tolist())
    drawn = [jonckheere_j(rng.permutation(values).reshape(3, 4).tolist()) for _ in range(4000)]
    # Half of the ties with the observed value, as the normal approximation has no correction for continuity.
    expected = np.mean([d > observed for d in drawn]) + np.mean([d == observed for d in drawn]) / 2
    assert jonckheere_p(ratios.tolist(), values) == pytest.approx(expected, abs=0.006)


def test_jonckheere_without_variation():
    assert math.isnan(jonckheere_p([0.0, 0.0], [1.0, 2.0]))
    assert math.isnan(jonckheere_p([0.0, 0.5], [1.0, 1.0]))
    with pytest.raises(ValueError, match="2 ratios but 1 values"):
        jonckheere_p([0.0, 0.5], [1.0])
