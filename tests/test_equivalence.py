import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as distributions

from mitigate.stats import equivalence_p, mean_interval

VALUES = [0.1, -0.2, 0.3, 0.0, 0.05]


def test_it_is_the_larger_of_two_one_sided_t_tests():
    above = distributions.ttest_1samp(VALUES, -0.4, alternative="greater").pvalue
    below = distributions.ttest_1samp(VALUES, 0.4, alternative="less").pvalue
    assert equivalence_p(VALUES, 0.4) == pytest.approx(max(above, below))


def test_it_is_what_one_computes_by_hand():
    # Mean 1, s = 1, n = 3, bound 2: t = (2 - 1) / (1 / √3) = √3 with two degrees of freedom.
    t = math.sqrt(3)
    assert equivalence_p([0, 1, 2], 2) == pytest.approx(0.5 * (1 - t / math.sqrt(2 + t * t)))


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=8).filter(lambda v: max(v) - min(v) > 0.01), st.floats(0.05, 3))
def test_it_rejects_where_the_interval_of_90_percent_lies_within_the_bounds(values, bound):
    interval = mean_interval(values, 0.9)
    if min(abs(interval.low + bound), abs(interval.high - bound)) > 1e-9:
        assert (equivalence_p(values, bound) < 0.05) == (-bound < interval.low and interval.high < bound)


def test_few_or_equal_values():
    assert math.isnan(equivalence_p([0.1], 1))
    for values in ([0.5, 0.5], [0.1 + 0.2, 0.3], [0.0, 0.0, 0.0]):
        assert math.isnan(equivalence_p(values, 1))


def test_a_bound_of_nothing_is_refused():
    with pytest.raises(ValueError, match="must be above 0"):
        equivalence_p(VALUES, 0)
