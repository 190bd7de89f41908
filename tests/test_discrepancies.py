"""Discrepancies against hand-made answers, slow obvious implementations, and what must hold for any samples."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import energy_distance, wasserstein_distance

from mitigate.alignment import (
    BANDWIDTHS,
    DISCREPANCIES,
    MINIMUM_ROWS,
    PROJECTIONS,
    coral,
    energy,
    get_discrepancy,
    mean_discrepancy,
    mmd,
    sliced_wasserstein,
)

ALL = pytest.mark.parametrize("discrepancy", DISCREPANCIES.values(), ids=DISCREPANCIES)
SIZES = [(2, 2), (3, 5), (7, 2), (16, 16)]


def slow_mean(real, augmented):
    distances = [(sum(r) / len(real) - sum(a) / len(augmented)) ** 2 for r, a in zip(real.T, augmented.T, strict=True)]
    return sum(distances) / real.shape[1]


def slow_coral(real, augmented):
    covariances = [
        np.cov(side, rowvar=False, ddof=1).reshape(real.shape[1], real.shape[1]) for side in (real, augmented)
    ]
    return np.linalg.norm(covariances[0] - covariances[1], "fro") ** 2 / (4 * real.shape[1] ** 2)


def slow_mmd(real, augmented):
    rows = [*real, *augmented]
    distances = [((x - y) ** 2).sum() for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
    scale = sorted(distances)[(len(distances) - 1) // 2]

    def kernel(x, y):
        return sum(math.exp(-((x - y) ** 2).sum() / (c * scale)) for c in BANDWIDTHS) / len(BANDWIDTHS)

    def mean_within(side):
        return np.mean([kernel(x, y) for i, x in enumerate(side) for j, y in enumerate(side) if i != j])

    between = np.mean([kernel(x, y) for x in real for y in augmented])
    return mean_within(real) + mean_within(augmented) - 2 * between


def slow_energy(real, augmented):
    def mean_within(side):
        return np.mean([math.dist(x, y) for i, x in enumerate(side) for j, y in enumerate(side) if i != j])

    between = np.mean([math.dist(x, y) for x in real for y in augmented])
    return 2 * between - mean_within(real) - mean_within(augmented)


def slow_sliced_wasserstein(real, augmented):
    directions = torch.randn(real.shape[1], PROJECTIONS, generator=torch.Generator().manual_seed(0)).double().numpy()
    directions /= np.linalg.norm(directions, axis=0)
    values = []
    for direction in directions.T:
        # n · m copies in all make samples of equal size, whose sorted values are matched one by one.
        one = np.sort(np.repeat(real @ direction, len(augmented)))
        other = np.sort(np.repeat(augmented @ direction, len(real)))
        values.append(np.mean((one - other) ** 2))
    return np.mean(values)


SLOW = {
    "mean": slow_mean,
    "coral": slow_coral,
    "mmd": slow_mmd,
    "energy": slow_energy,
    "sliced_wasserstein": slow_sliced_wasserstein,
}
UNBIASED = (mmd, energy)  # these fall below zero


def samples(n, m, width=4, *, shift=0.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    real = torch.randn(n, width, generator=generator, dtype=torch.float64)
    augmented = 1.5 * torch.randn(m, width, generator=generator, dtype=torch.float64) + shift
    return real.to(dtype), augmented.to(dtype)


def test_mean_discrepancy_of_a_hand_made_pair():
    # Means (1, 0) and (4, 4): a squared distance of 25 over two dimensions.
    assert mean_discrepancy(torch.tensor([[0.0, 0], [2, 0]]), torch.tensor([[4.0, 4]])).item() == 12.5


def test_coral_of_a_hand_made_pair():
    # Covariances diag(2, 0) and diag(0, 8): (4 + 64) / (4 · 2²).
    real, augmented = torch.tensor([[0.0, 0], [2, 0]]), torch.tensor([[0.0, 1], [0, 5]])
    assert coral(real, augmented).item() == 68 / 16


def test_mmd_of_a_hand_made_pair():
    # Every distance between the sides is 1 and every one within is 0, so that the median is 1.
    real, augmented = torch.zeros(2, 1), torch.ones(2, 1)
    kernel = sum(math.exp(-1 / c) for c in BANDWIDTHS) / len(BANDWIDTHS)
    assert mmd(real, augmented).item() == pytest.approx(2 - 2 * kernel)


@pytest.mark.parametrize("name", DISCREPANCIES)
@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("width", [1, 4])
def test_a_slow_and_obvious_implementation_agrees(name, n, m, width):
    real, augmented = samples(n, m, width, shift=0.3)
    fast = DISCREPANCIES[name](real, augmented).item()
    assert fast == pytest.approx(SLOW[name](real.numpy(), augmented.numpy()), rel=1e-9, abs=1e-12)


@ALL
@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 9), m=st.integers(2, 9), seed=st.integers(0, 2**31), shift=st.floats(-100, 100))
def test_it_is_symmetric_and_does_not_move_with_the_origin(discrepancy, n, m, seed, shift):
    real, augmented = samples(n, m, seed=seed, shift=1.0)
    value = discrepancy(real, augmented)
    torch.testing.assert_close(discrepancy(augmented, real), value)
    torch.testing.assert_close(discrepancy(real + shift, augmented + shift), value)


@ALL
@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 9), seed=st.integers(0, 2**31))
def test_identical_samples_are_no_distance_apart_and_have_finite_gradients(discrepancy, n, seed):
    real, _ = samples(n, n, seed=seed)
    real, augmented = real.clone().requires_grad_(), real.clone().requires_grad_()
    value = discrepancy(real, augmented)
    # Unbiased estimates leave the pairs of a row with itself out within, but not between: they fall below zero.
    assert value.item() <= 1e-12 if discrepancy in UNBIASED else abs(value.item()) < 1e-12
    value.backward()
    assert real.grad.isfinite().all()
    assert augmented.grad.isfinite().all()


@ALL
def test_a_sample_whose_rows_are_all_the_same_has_finite_gradients(discrepancy):
    real, augmented = torch.ones(3, 4, requires_grad=True), torch.ones(2, 4, requires_grad=True)
    value = discrepancy(real, augmented)
    value.backward()
    assert value.item() == 0
    assert real.grad.isfinite().all()
    assert augmented.grad.isfinite().all()


@pytest.mark.parametrize("discrepancy", [mean_discrepancy, mmd, energy, sliced_wasserstein])
def test_it_grows_with_a_shift_of_the_mean(discrepancy):
    values = [discrepancy(*samples(64, 48, shift=shift)).item() for shift in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values)
    assert values[-1] > 10 * abs(values[0])


def test_coral_is_blind_to_a_shift_of_the_mean_and_sees_one_of_the_spread():
    near, far = samples(32, 32, shift=0), samples(32, 32, shift=5)
    torch.testing.assert_close(coral(*near), coral(*far))
    assert coral(near[0], 3 * near[1]) > 2 * coral(*near)


@pytest.mark.parametrize("discrepancy", UNBIASED)
def test_an_unbiased_estimate_is_zero_on_average_and_not_clamped(discrepancy):
    draws = (samples(6, 6, seed=seed)[0] for seed in range(400))
    values = np.array([discrepancy(rows[:3], rows[3:]).item() for rows in draws])
    assert values.min() < 0
    assert abs(values.mean()) < 3 * values.std(ddof=1) / math.sqrt(len(values))


def test_mmd_does_not_depend_on_the_scale():
    real, augmented = samples(5, 7, shift=1.0)
    torch.testing.assert_close(mmd(1000 * real, 1000 * augmented), mmd(real, augmented))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 3), (40, 30)])
def test_in_one_dimension_energy_is_that_of_scipy(n, m):
    real, augmented = samples(n, m, width=1, shift=0.7)
    # Scipy counts the pairs of a row with itself: its mean within a side is (n - 1) / n of ours.
    within = [torch.cdist(side, side).sum() / (len(side) - 1) / len(side) / len(side) for side in (real, augmented)]
    expected = energy_distance(real[:, 0], augmented[:, 0]) ** 2 - sum(within).item()
    assert energy(real, augmented).item() == pytest.approx(expected, rel=1e-9)


def test_in_one_dimension_one_sample_behind_the_other_is_as_far_as_scipy_says():
    # The only direction is ±1. Between two constants the squared 2-distance is the square of scipy's 1-distance.
    real, augmented = torch.full((3, 1), 2.0), torch.full((5, 1), -1.5)
    assert wasserstein_distance(real[:, 0], augmented[:, 0]) ** 2 == 3.5**2
    assert sliced_wasserstein(real, augmented).item() == pytest.approx(3.5**2)


def test_a_shift_in_every_direction_costs_its_square_per_dimension():
    # A shift v of the whole sample costs the mean of (θ · v)², whose expectation is |v|² / d.
    real, _ = samples(6, 6, width=8)
    value = sliced_wasserstein(real, real + 2.0).item()
    assert value == pytest.approx(8 * 2.0**2 / 8, rel=0.5)


def test_the_directions_depend_on_the_seed_alone():
    sides = samples(5, 7)
    values = []
    for seed in (0, 1, 0):
        torch.manual_seed(len(values))
        values.append(sliced_wasserstein(*sides, seed=seed).item())
    drawn = torch.rand(1)
    torch.manual_seed(2)
    assert drawn == torch.rand(1)
    assert values[0] == values[2] != values[1]


def test_energy_has_a_finite_gradient_where_two_rows_nearly_coincide():
    rows = torch.ones(2, 64) + 1e-7
    real = torch.cat([rows, torch.zeros(2, 64)]).requires_grad_()
    energy(real, torch.cat([torch.ones(1, 64), -torch.ones(1, 64)])).backward()
    assert real.grad.isfinite().all()
    assert real.grad.abs().max() < 1


@ALL
def test_bfloat16_input_is_computed_in_float32(discrepancy):
    real, augmented = samples(8, 8, width=4096, shift=0.05, dtype=torch.bfloat16)
    value = discrepancy(real, augmented)
    assert value.dtype == torch.float32
    exact = discrepancy(real.double(), augmented.double())
    assert exact.dtype == torch.float64
    assert value.item() == pytest.approx(exact.item(), rel=1e-3)


def test_distances_are_exact_for_rows_far_from_the_origin():
    real, augmented = samples(8, 8, width=64, shift=1.0)
    far = mmd((real + 100).float(), (augmented + 100).float())
    assert far.item() == pytest.approx(mmd(real, augmented).item(), rel=1e-3)


@pytest.mark.parametrize("name", DISCREPANCIES)
@pytest.mark.parametrize("rows", [0, 1, 2])
@pytest.mark.parametrize("side", ["real", "augmented"])
def test_too_few_rows_are_refused_and_enough_are_finite(name, rows, side):
    discrepancy = DISCREPANCIES[name]
    sides = (rows, 4) if side == "real" else (4, rows)
    needed = MINIMUM_ROWS[discrepancy]
    if rows >= needed:
        assert discrepancy(*samples(*sides)).isfinite()
        return
    message = f"needs at least {needed} row(s) on either side, got {sides[0]} real and {sides[1]} augmented"
    with pytest.raises(ValueError, match=re.escape(message)):
        discrepancy(*samples(*sides))


@ALL
def test_different_widths_are_refused(discrepancy):
    with pytest.raises(ValueError, match="must have the same width, got 3 and 4"):
        discrepancy(torch.ones(2, 3), torch.ones(2, 4))


def test_an_unknown_name_lists_what_there_is_and_names_the_nearest():
    with pytest.raises(
        ValueError,
        match=r"called 'mdm'; available: mean, coral, mmd, energy, sliced_wasserstein\. Did you mean 'mmd'\?",
    ):
        get_discrepancy("mdm")
    with pytest.raises(ValueError, match=r"sliced_wasserstein\.$"):
        get_discrepancy("kl")
