import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, ttest_1samp, ttest_ind

from mitigate.stats import (
    closure,
    difference_in_differences,
    inheritance_coefficient,
    mean_interval,
    paired_shifts,
    ratio_interval,
    standardised_shifts,
)

SHIFTS = {0: 0.05, 1: 0.07, 2: 0.04, 3: 0.06, 4: 0.05}
DATA = {0: 0.10, 1: 0.13, 2: 0.09, 3: 0.11, 4: 0.12}


def test_coefficient_over_common_seeds():
    interval = inheritance_coefficient({**SHIFTS, 9: 5.0}, {**DATA, 8: 5.0})
    assert interval.estimate == pytest.approx(0.27 / 0.55)
    assert interval.n == 5
    for bound in (interval.low, interval.high):
        residuals = [SHIFTS[seed] - bound * DATA[seed] for seed in SHIFTS]
        assert ttest_1samp(residuals, 0).pvalue == pytest.approx(0.05)


def test_coefficient_of_known_data_is_the_interval_of_the_shift_in_its_units():
    interval = inheritance_coefficient(SHIFTS, dict.fromkeys(SHIFTS, 0.2))
    plain = mean_interval(list(SHIFTS.values()))
    assert (interval.low, interval.high) == pytest.approx((plain.low / 0.2, plain.high / 0.2))


def test_coefficient_beside_a_bootstrap():
    """With many seeds Fieller and the bootstrap agree."""
    rng = np.random.default_rng(0)
    y = rng.normal(1, 0.3, 200)
    x = 0.6 * y + rng.normal(0, 0.2, 200)
    interval = inheritance_coefficient(dict(enumerate(x)), dict(enumerate(y)))
    drawn = bootstrap((x, y), lambda a, b, axis: a.mean(axis) / b.mean(axis), paired=True, rng=rng)
    assert (interval.low, interval.high) == pytest.approx(tuple(drawn.confidence_interval), abs=0.01)


def test_coefficient_is_undefined_where_the_data_may_not_have_shifted():
    interval = inheritance_coefficient(SHIFTS, {0: 0.1, 1: -0.1, 2: 0.05, 3: 0.0, 4: -0.02})
    assert math.isnan(interval.estimate) and math.isnan(interval.low)
    assert math.isnan(inheritance_coefficient(SHIFTS, dict.fromkeys(SHIFTS, 0.0)).estimate)
    assert math.isnan(inheritance_coefficient({0: 1.0}, {0: 1.0}).estimate)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_coefficient_follows_the_units(x, y):
    first = inheritance_coefficient(SHIFTS, DATA)
    second = inheritance_coefficient({k: x * v for k, v in SHIFTS.items()}, {k: y * v for k, v in DATA.items()})
    assert second.low == pytest.approx(first.low * x / y)


def test_closure_by_hand():
    start = {0: 0.1, 1: 0.2, 2: 0.1, 3: 0.2}
    end = {0: 0.30, 1: 0.36, 2: 0.28, 3: 0.34}
    interval = closure(start, end, 0.5)
    assert interval.estimate == pytest.approx((0.20 + 0.16 + 0.18 + 0.14) / (0.4 + 0.3 + 0.4 + 0.3))
    assert interval == ratio_interval([0.30 - 0.1, 0.36 - 0.2, 0.28 - 0.1, 0.34 - 0.2], [0.4, 0.3, 0.4, 0.3])
    whole = closure(start, dict.fromkeys(start, 0.5), 0.5)
    assert (whole.low, whole.high) == pytest.approx((1, 1))
    assert math.isnan(closure(start, end, 0.15).estimate)


def test_shifts():
    assert paired_shifts({3: 1.0, 1: 5.0, 7: 9.0}, {1: 2.0, 3: 4.0, 5: 0.0}) == {1: -3.0, 3: 3.0}


def test_shifts_are_standardised_by_all_seeds_of_the_start():
    start = {0: 1.0, 1: 2.0, 2: 3.0}  # standard deviation 1
    assert standardised_shifts(start, {0: 1.5, 2: 5.0, 9: 0.0}) == {0: 0.5, 2: 2.0}
    assert standardised_shifts({k: 10 * v for k, v in start.items()}, {0: 15.0}) == {0: 0.5}
    assert math.isnan(standardised_shifts({0: 1.0, 1: 1.0}, {0: 2.0})[0])
    assert math.isnan(standardised_shifts({0: 1.0}, {0: 2.0})[0])


def test_difference_in_differences_by_hand():
    related = [{0: 3.0, 1: 5.0, 2: 4.0, 7: 1.0}, {0: 1.0, 1: 1.0, 2: 2.0}]
    assert difference_in_differences(related, [{0: 1.0, 1: 2.0, 2: 0.0}]) == [1.0, 1.0, 3.0]
    with pytest.raises(ValueError, match="`control` holds no task"):
        difference_in_differences(related, [])
    with pytest.raises(ValueError, match="`related` holds no task"):
        difference_in_differences([], related)


def test_pairing_by_seed_takes_out_what_the_tasks_share():
    rng = np.random.default_rng(0)
    common = rng.normal(size=8)
    sides = [{s: shift + common[s] + 0.1 * rng.normal() for s in range(8)} for shift in (0.5, 0.0)]
    interval = mean_interval(difference_in_differences(sides[:1], sides[1:]))
    assert interval.low > 0.3
    assert ttest_ind(*(list(side.values()) for side in sides)).pvalue > 0.05
