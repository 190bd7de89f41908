"""Discrepancies against hand-made answers, slow obvious implementations, and what must hold for any samples."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate.discrepancies import (
    BANDWIDTHS,
    DISCREPANCIES,
    MINIMUM_ROWS,
    coral,
    get_discrepancy,
    mean_discrepancy,
    mmd,
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


SLOW = {"mean": slow_mean, "coral": slow_coral, "mmd": slow_mmd}


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
    # The unbiased MMD leaves the pairs of a row with itself out within, but not between: it falls below zero.
    assert value.item() <= 1e-12 if discrepancy is mmd else abs(value.item()) < 1e-12
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


@pytest.mark.parametrize("discrepancy", [mean_discrepancy, mmd], ids=["mean", "mmd"])
def test_it_grows_with_a_shift_of_the_mean(discrepancy):
    values = [discrepancy(*samples(64, 48, shift=shift)).item() for shift in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values)
    assert values[-1] > 10 * abs(values[0])


def test_coral_is_blind_to_a_shift_of_the_mean_and_sees_one_of_the_spread():
    near, far = samples(32, 32, shift=0), samples(32, 32, shift=5)
    torch.testing.assert_close(coral(*near), coral(*far))
    assert coral(near[0], 3 * near[1]) > 2 * coral(*near)


def test_the_unbiased_mmd_is_zero_on_average_and_not_clamped():
    draws = (samples(6, 6, seed=seed)[0] for seed in range(400))
    values = np.array([mmd(rows[:3], rows[3:]).item() for rows in draws])
    assert values.min() < 0
    assert abs(values.mean()) < 3 * values.std(ddof=1) / math.sqrt(len(values))


def test_mmd_does_not_depend_on_the_scale():
    real, augmented = samples(5, 7, shift=1.0)
    torch.testing.assert_close(mmd(1000 * real, 1000 * augmented), mmd(real, augmented))


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
    with pytest.raises(ValueError, match=r"called 'mdm'; available: mean, coral, mmd\. Did you mean 'mmd'\?"):
        get_discrepancy("mdm")
    with pytest.raises(ValueError, match=r"available: mean, coral, mmd\.$"):
        get_discrepancy("wasserstein")
