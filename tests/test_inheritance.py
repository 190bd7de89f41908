import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, t, ttest_1samp, ttest_ind

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
    """Standard deviation 1, and J of two degrees of freedom: Γ(1) / (1 · Γ(1/2)) = 1 / √π."""
    start, j = {0: 1.0, 1: 2.0, 2: 3.0}, 1 / math.sqrt(math.pi)
    assert standardised_shifts(start, {0: 1.5, 2: 5.0, 9: 0.0}) == {0: pytest.approx(0.5 * j), 2: pytest.approx(2 * j)}
    assert standardised_shifts({k: 10 * v for k, v in start.items()}, {0: 15.0}) == {0: pytest.approx(0.5 * j)}
    for few in ({0: 1.0, 1: 1.0, 2: 1.0}, {0: 1.0, 1: 3.0}):
        assert math.isnan(standardised_shifts(few, {0: 2.0})[0])


def test_standardised_shifts_are_right_in_the_mean():
    """A shift of 1.5 standard deviations; dividing by that of five seeds alone would give 1.88."""
    rng = np.random.default_rng(0)
    samples = [(rng.normal(size=5), rng.normal(1.5, 1, 5)) for _ in range(4000)]
    means = [
        np.mean(list(standardised_shifts(*(dict(enumerate(side)) for side in sides)).values())) for sides in samples
    ]
    assert np.mean(means) == pytest.approx(1.5, abs=0.06)


def tasks(*shifts, seeds=5, rng=0):
    """Starts and ends of tasks that shift by so many standard deviations."""
    generator = np.random.default_rng(rng)
    starts = generator.normal(size=(len(shifts), seeds))
    ends = generator.normal(np.array(shifts)[:, None], 1, starts.shape)
    return [(dict(enumerate(start)), dict(enumerate(end))) for start, end in zip(starts, ends, strict=True)]


def test_difference_in_differences_by_hand():
    """Three seeds, J = 1/√π; mean shifts 2 and 1 in standard deviations of 1 and 2, uncorrelated starts."""
    related = ({0: 1.0, 1: 2.0, 2: 3.0, 7: 0.0}, {0: 3.0, 1: 5.0, 2: 4.0})
    control = ({0: 2.0, 1: 0.0, 2: 2.0}, {0: 4.0, 1: 2.0, 2: 3.0})
    result, j, sd = difference_in_differences([related], [control]), 1 / math.sqrt(math.pi), math.sqrt(4 / 3)
    values = [j * (a - b / sd) for a, b in ((2, 2), (3, 2), (1, 1))]
    assert result.values == pytest.approx(values)
    parts = j * 2, j * (5 / 3) / sd
    error = math.sqrt(np.var(values, ddof=1) / 3 + (parts[0] ** 2 + parts[1] ** 2) / 4)
    assert result.interval.estimate == pytest.approx(np.mean(values))
    assert result.interval.half_width == pytest.approx(4.302653 * error, rel=1e-6)
    assert result.interval.n == 3
    assert result.p == pytest.approx(2 * t.sf(np.mean(values) / error, 2))


def test_difference_in_differences_covers_and_raises_no_false_alarms():
    results = [
        difference_in_differences(tasks(shift, rng=i), tasks(0.5, rng=10**6 + i))
        for shift in (0.5, 2.5)
        for i in range(600)
    ]
    assert np.mean([result.p <= 0.05 for result in results[:600]]) <= 0.075
    assert all((result.p <= 0.05) == (result.interval.low > 0 or result.interval.high < 0) for result in results)
    for truth, half in ((0.0, results[:600]), (2.0, results[600:])):
        assert 0.93 <= np.mean([r.interval.low <= truth <= r.interval.high for r in half]) <= 0.995


def test_tasks_that_all_grow_alike_raise_no_false_alarm():
    """An error of a standard deviation scales all seeds alike, which a test over seeds takes for a difference."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(300):
        starts = generator.normal(0, 1, (2, 5))
        ends = starts + 5 + generator.normal(0, 0.3, starts.shape)
        sides = [[(dict(enumerate(a)), dict(enumerate(b)))] for a, b in zip(starts, ends, strict=True)]
        found.append(difference_in_differences(*sides).p <= 0.05)
    assert np.mean(found) <= 0.075


def test_tasks_of_one_standard_deviation_share_its_uncertainty():
    """A control that starts where the related task does: if both shift alike, the standard deviation cancels."""
    ((start, end),) = tasks(3.0)
    alike = {seed: value + 0.01 * (-1) ** seed for seed, value in end.items()}
    interval = difference_in_differences([(start, end)], [(start, alike)]).interval
    assert interval.half_width < 0.05


@given(st.floats(0.01, 100), st.floats(-10, 10))
def test_difference_in_differences_ignores_unit_and_origin(scale, offset):
    related, control = tasks(1.0), tasks(0.0, 0.3, rng=1)
    moved = [tuple({k: scale * v + offset for k, v in side.items()} for side in task) for task in control]
    first, second = (difference_in_differences(related, each) for each in (control, moved))
    assert second.values == pytest.approx(first.values)
    assert second.interval.half_width == pytest.approx(first.interval.half_width)


def test_difference_in_differences_without_enough():
    with pytest.raises(ValueError, match="`control` holds no task"):
        difference_in_differences(tasks(1.0), [])
    with pytest.raises(ValueError, match="`related` holds no task"):
        difference_in_differences([], tasks(1.0))
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        difference_in_differences(tasks(1.0), tasks(0.0), 95)
    for related in (tasks(1.0, seeds=2), [({9: 1.0}, {9: 1.0})], [(dict.fromkeys(range(5), 1.0),) * 2]):
        result = difference_in_differences(related, tasks(0.0))
        assert math.isnan(result.p) and math.isnan(result.interval.estimate)


def test_pairing_by_seed_takes_out_what_the_tasks_share():
    rng = np.random.default_rng(0)
    common, starts = 3 * rng.normal(size=8), rng.normal(size=(2, 8))
    ends = [start + common + shift + 0.3 * rng.normal(size=8) for start, shift in zip(starts, (2.0, 0.0), strict=True)]
    sides = [[(dict(enumerate(start)), dict(enumerate(end)))] for start, end in zip(starts, ends, strict=True)]
    assert difference_in_differences(*sides).p < 0.05
    assert ttest_ind(*(end - start for start, end in zip(starts, ends, strict=True))).pvalue > 0.05
