"""Cramér's V and the interval of the difference of two."""

import math

import numpy as np
import pytest

from mitigate.misalignment.association import (
    _slopes,
    _squared_contingency,
    association_difference,
    cramers_v,
    cramers_v_bounds,
)


def stereotyped(share, labels, groups=2):
    """Shares of a population in which each label goes with one group, so often."""
    own = np.eye(groups)[:, np.arange(labels) % groups]
    return (share * own + (1 - share) / (groups - 1) * (1 - own)) / labels


EVEN = 1 / 2
RARE = np.array([[0.85, 0.05], [0.02, 0.05], [0.01, 0.01], [0.009, 0.001]])


class TestCramersV:
    def test_cramers_v_by_hand(self):
        # chi² = 20 at n = 100: φ̃² = 0.2 - 1/99, and r̃ - 1 = c̃ - 1 = 1 - 1/99.
        strength = 50 * math.sqrt(0.2) / 2
        table = np.array([[25 + strength, 25 - strength], [25 - strength, 25 + strength]])
        assert cramers_v(table) == pytest.approx(math.sqrt((0.2 - 1 / 99) / (1 - 1 / 99)))

    def test_cramers_v_at_the_ends(self):
        assert cramers_v(np.array([[50.0, 0.0], [0.0, 50.0]])) == pytest.approx(1)
        assert cramers_v(np.full((2, 3), 10.0)) == 0
        assert cramers_v(np.array([[5.0, 7.0], [0.0, 0.0]])) == 0

    def test_slopes_are_the_derivative(self):
        shares = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(3, 4)
        for cell in np.ndindex(3, 4):
            step = np.zeros((3, 4))
            step[cell] = 1e-6
            # A function of unnormalised shares: its value is the sum of the parts, less one.
            rise = sum(sign * _unnormalised(shares + sign * step) for sign in (1, -1))
            assert _slopes(shares)[cell] == pytest.approx(rise / 2e-6, rel=1e-5)


def _unnormalised(shares):
    return float((shares**2 / np.outer(shares.sum(axis=1), shares.sum(axis=0))).sum())


class TestDifference:
    @pytest.mark.parametrize(
        ("real", "augmented", "rows"),
        [
            (stereotyped(EVEN, 6), stereotyped(0.9, 6), 300),
            (stereotyped(EVEN, 12), stereotyped(0.9, 12), 300),
            (stereotyped(EVEN, 12), stereotyped(0.9, 12), 1000),
            (stereotyped(EVEN, 20), stereotyped(0.8, 20), 300),
            (stereotyped(EVEN, 6), stereotyped(EVEN, 6), 300),
            (stereotyped(EVEN, 20), stereotyped(EVEN, 20), 300),
            (stereotyped(EVEN, 12), stereotyped(1.0, 12), 300),
            (stereotyped(0.9, 12), stereotyped(0.9, 12), 300),
            (stereotyped(0.9, 6), stereotyped(0.97, 6), 500),
            (stereotyped(0.25, 8, 4), stereotyped(0.7, 8, 4), 300),
            (stereotyped(0.3, 6, 6), stereotyped(0.5, 6, 6), 200),
            (stereotyped(EVEN, 4), stereotyped(0.8, 4), 40),
            (np.full((4, 2), 1 / 8), RARE / RARE.sum(), 500),
        ],
    )
    def test_covers(self, real, augmented, rows):
        rng, covered, samples = np.random.default_rng(0), 0, 1000
        truth = _of_population(augmented) - _of_population(real)
        for _ in range(samples):
            tables = (
                rng.multinomial(rows, each.ravel()).reshape(each.shape).astype(float) for each in (real, augmented)
            )
            found = association_difference(*tables)
            assert found.low <= found.estimate <= found.high
            covered += found.low - 1e-9 <= truth <= found.high + 1e-9
        print(
            f"true difference {truth:.2f}, {rows} rows a side, {real.shape} groups and labels: {covered / samples:.1%}"
        )
        # Less two standard errors of such a share.
        assert covered / samples >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / samples)

    def test_large_samples_are_exact(self):
        tables = [200_000 * stereotyped(share, 6) for share in (0.6, 0.65)]
        found = association_difference(*tables)
        assert found.estimate == pytest.approx(0.1, abs=1e-3) and found.n == 400_000
        assert found.half_width < 0.01

    def test_one_group_or_label_tells_nothing(self):
        assert cramers_v_bounds(np.array([[5.0, 7.0], [0.0, 0.0]])) == (0, 1)
        found = association_difference(np.array([[5.0], [7.0]]), np.array([[5.0], [7.0]]))
        assert (found.estimate, found.low, found.high) == (0, -1, 1)


def _of_population(shares):
    return math.sqrt(max(0, _squared_contingency(shares)) / (min(shares.shape) - 1))
