import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as distributions

from mitigate.intervals import Interval
from mitigate.stats import (
    holm,
    inheritance_slope,
    mean_interval,
    mean_p,
    paired_differences,
    ratio_interval,
    seed_slopes,
    slope_permutation_p,
)

VALUES = [0.11, 0.09, 0.14, 0.10, 0.13]
RATIOS = (0.0, 0.2, 0.5, 0.8)


def design(slopes, noise=0.0, rng=0, ratios=RATIOS):
    generator = np.random.default_rng(rng)
    rows = [
        (ratio, 0.1 * seed + slope * ratio + noise * generator.normal(), seed)
        for seed, slope in enumerate(slopes)
        for ratio in ratios
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def test_mean_interval_is_that_of_scipy():
    interval = mean_interval(VALUES, 0.9)
    expected = distributions.ttest_1samp(VALUES, 0).confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.estimate == pytest.approx(np.mean(VALUES))
    assert interval.n == 5


def test_mean_interval_by_hand():
    # mean 2, standard deviation 1, t(0.975, 2) = 4.302653
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize(("values", "estimate"), [([], math.nan), ([3.0], 3.0)])
def test_too_few_values_have_no_bounds(values, estimate):
    interval = mean_interval(values)
    assert interval.estimate == pytest.approx(estimate, nan_ok=True)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert not interval.excludes_zero
    assert math.isnan(mean_p(values))


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_level_must_be_a_share(level):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {level}"):
        mean_interval(VALUES, level)


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]
)
def test_excludes_zero(low, high, excludes):
    assert Interval((low + high) / 2, low, high, 5).excludes_zero is excludes


def test_mean_p_is_that_of_scipy_and_belongs_to_the_interval():
    shifted = [value - 0.1 for value in VALUES]
    p = mean_p(shifted)
    assert p == pytest.approx(distributions.ttest_1samp(shifted, 0).pvalue)
    assert mean_interval(shifted, 1 - p).low == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("values", [[0.1] * 4, [-0.3, -0.3], [0.1 + 0.2, 0.3], [1e6, 1e6 + 1e-7]])
def test_equal_values_cannot_be_tested(values):
    """Two seeds that agree by chance would else have p = 0, which survives every correction."""
    assert math.isnan(mean_p(values))
    interval = mean_interval(values)
    assert interval.estimate == pytest.approx(values[0])
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.is_constant
    assert not interval.excludes_zero


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, -0.0, 3e-17]])
def test_values_that_are_all_zero(values):
    """They cannot be tested either: a task that all models get wrong says nothing of how much seeds differ."""
    assert math.isnan(mean_p(values))
    assert mean_interval(values).estimate == 0
    assert mean_interval(values).is_constant


@pytest.mark.parametrize("seeds", [2, 3])
def test_false_alarms_of_shares_of_few_items(seeds):
    """Counts are often equal in all seeds, and this must not raise false alarms; ± 3 standard errors of 4,000."""
    generator = np.random.default_rng(0)
    counts = generator.binomial(12, 0.3, (4000, 2, seeds)) / 12
    alarms = [mean_p(start - end) <= 0.05 for start, end in counts]
    assert np.mean(alarms) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_seed_slopes_are_those_of_statsmodels():
    ratios, values, seeds = design([0.1, 0.2, -0.1], noise=0.05)
    slopes = seed_slopes(ratios, values, seeds)
    for seed in range(3):
        rows = [i for i, s in enumerate(seeds) if s == seed]
        fit = sm.OLS([values[i] for i in rows], sm.add_constant([ratios[i] for i in rows])).fit()
        assert slopes[seed] == pytest.approx(fit.params[1])


def test_the_seed_is_the_unit():
    """More ratios per seed must not narrow the interval when the seeds differ and the lines are exact."""
    few = inheritance_slope(*design([0.1, 0.2, 0.3]))
    many = inheritance_slope(*design([0.1, 0.2, 0.3], ratios=np.linspace(0, 0.8, 50)))
    assert few.n == many.n == 3
    assert few.half_width == pytest.approx(many.half_width)
    assert few.half_width == pytest.approx(mean_interval([0.1, 0.2, 0.3]).half_width)


def test_a_seed_with_one_ratio_has_no_slope():
    assert seed_slopes([0.0, 0.5, 0.5], [1.0, 2.0, 9.0], [0, 0, 1]) == {0: pytest.approx(2.0)}
    assert math.isnan(slope_permutation_p([0.5, 0.5], [1.0, 2.0], [0, 1]))


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 ratios, 1 values and 2 seeds"):
        inheritance_slope([0.0, 0.5], [1.0], [0, 0])


@given(intercept=st.floats(-10, 10), slope=st.floats(-10, 10), shift=st.floats(-5, 5))
def test_slope_of_a_line_is_exact(intercept, slope, shift):
    rows = [(ratio, intercept + shift * seed + slope * ratio, seed) for seed in range(3) for ratio in RATIOS]
    interval = inheritance_slope(*[list(column) for column in zip(*rows, strict=True)])
    assert interval.estimate == pytest.approx(slope, abs=1e-10)
    assert not interval.half_width > 1e-10  # NaN where all seeds have one slope that is not 0


def test_permutation_p_against_all_arrangements():
    """Three ratios and two seeds have 36 arrangements; the random p value must come close to the full count."""
    from itertools import permutations, product

    ratios, values = [0.0, 0.3, 0.8], [[0.1, 0.2, 0.25], [0.05, 0.3, 0.2]]

    def statistic(arrangement):
        return abs(sum(np.polyfit(ratios, row, 1)[0] for row in arrangement))

    observed = statistic(values)
    everything = list(product(*(list(permutations(row)) for row in values)))
    exact = np.mean([statistic(arrangement) >= observed - 1e-12 for arrangement in everything])
    p = slope_permutation_p(ratios * 2, [*values[0], *values[1]], [0, 0, 0, 1, 1, 1], permutations=20000)
    assert p == pytest.approx(exact, abs=0.015)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.integers(-50, 50), min_size=12, max_size=12),
    scale=st.sampled_from([-3.0, -0.5, 0.1, 7.0]),
    offset=st.floats(-5, 5),
)
def test_permutation_p_ignores_unit_and_origin(values, scale, offset):
    ratios, _, seeds = design([0, 0, 0])
    p = slope_permutation_p(ratios, values, seeds, permutations=199)
    assert slope_permutation_p(ratios, [scale * v + offset for v in values], seeds, permutations=199) == p


@given(st.randoms())
@settings(max_examples=10, deadline=None)
def test_permutation_p_ignores_the_order_of_rows(random):
    rows = list(zip(*design([0.1, 0.0, 0.2], noise=0.1), strict=True))
    expected = slope_permutation_p(*zip(*rows, strict=True), permutations=199)
    random.shuffle(rows)
    assert slope_permutation_p(*zip(*rows, strict=True), permutations=199) == expected


def test_permutation_p_ignores_differences_between_seeds():
    ratios, values, seeds = design([0.2, 0.2, 0.2], noise=0.02)
    moved = [value + 100 * seed for value, seed in zip(values, seeds, strict=True)]
    assert slope_permutation_p(ratios, moved, seeds) == slope_permutation_p(ratios, values, seeds)


def test_permutation_p_of_constant_values_is_one():
    ratios, _, seeds = design([0, 0])
    assert slope_permutation_p(ratios, [0.1] * len(ratios), seeds, permutations=99) == 1.0


def test_permutation_p_is_never_zero():
    assert slope_permutation_p(*design([1.0] * 5), permutations=99) == pytest.approx(1 / 100)


def test_permutations_must_be_positive():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        slope_permutation_p(*design([1.0]), permutations=0)


def test_false_alarms_under_the_null():
    """With exchangeable values 5 % of 400 data sets are rejected at 0.05 (± 2.5 standard errors)."""
    rejected = np.mean(
        [
            slope_permutation_p(*design([0.0] * 5, noise=1.0, rng=i), permutations=199, seed=i) <= 0.05
            for i in range(400)
        ]
    )
    assert 0.022 <= rejected <= 0.078


def test_slopes_that_average_to_zero_need_the_interval():
    """Seeds of differing slopes break the sharp null of the permutation test; the t interval over seeds holds."""
    generator = np.random.default_rng(0)
    data = [design(generator.normal(size=5), noise=0.15, rng=i) for i in range(300)]
    assert np.mean([slope_permutation_p(*rows, permutations=199) <= 0.05 for rows in data]) > 0.15
    assert np.mean([inheritance_slope(*rows).excludes_zero for rows in data]) < 0.09


def test_paired_differences_use_common_seeds():
    assert paired_differences({3: 1.0, 1: 5.0, 7: 9.0}, {1: 2.0, 3: 4.0, 5: 0.0}) == [3.0, -3.0]


def test_ratio_bounds_solve_fiellers_equation():
    x, y = [0.02, 0.05, 0.03, 0.04], [0.10, 0.12, 0.08, 0.11]
    interval = ratio_interval(x, y)
    assert interval.estimate == pytest.approx(np.mean(x) / np.mean(y))
    for bound in (interval.low, interval.high):
        residuals = [a - bound * b for a, b in zip(x, y, strict=True)]
        assert distributions.ttest_1samp(residuals, 0).pvalue == pytest.approx(0.05)


def test_ratio_is_undefined_where_the_denominator_may_be_zero():
    assert math.isnan(ratio_interval([0.1, 0.2, 0.3], [-0.1, 0.2, 0.1]).estimate)
    assert math.isnan(ratio_interval([0.1], [0.1]).estimate)


def test_ratio_of_a_known_denominator():
    """All models of a dose were trained on the same rows: the shift of the data is one number."""
    numerators = [0.02, 0.05, 0.03, 0.04]
    interval, mean = ratio_interval(numerators, [0.1] * 4), mean_interval(numerators)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx(
        (mean.estimate / 0.1, mean.low / 0.1, mean.high / 0.1)
    )
    assert ratio_interval([0.02] * 4, [0.1] * 4).is_constant
    assert math.isnan(ratio_interval(numerators, [0.0] * 4).estimate)


def test_ratio_needs_pairs():
    with pytest.raises(ValueError, match="2 numerators but 1 denominators"):
        ratio_interval([1.0, 2.0], [1.0])


def test_ratio_interval_covers():
    generator = np.random.default_rng(0)
    hits = [
        interval.low <= 0.4 <= interval.high
        for interval in (
            ratio_interval(0.4 + 0.3 * noise[0], 1 + 0.3 * noise[1]) for noise in generator.normal(size=(500, 2, 5))
        )
        if not math.isnan(interval.low)
    ]
    assert len(hits) > 400
    assert np.mean(hits) > 0.92


def test_holm_by_hand():
    # 0.01·3, max(0.03, 0.02·2), max(0.04, 0.30·1)
    assert holm([0.30, 0.01, math.nan, 0.02])[:2] == pytest.approx([0.30, 0.03])
    assert holm([0.30, 0.01, math.nan, 0.02])[3] == pytest.approx(0.04)
    assert math.isnan(holm([0.30, 0.01, math.nan, 0.02])[2])
    assert holm([]) == []
