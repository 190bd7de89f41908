"""The two-sample statistics of the audit, against known answers and slow implementations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mitigate.alignment import discrepancies
from mitigate.intervals import Interval
from mitigate.misalignment import two_sample
from mitigate.misalignment.covariances import coral, covariance
from mitigate.misalignment.distributions import distribution_misalignment
from mitigate.misalignment.features import Features
from mitigate.misalignment.separability import FOLDS, _area, _folds, classifier_auc, separability
from mitigate.misalignment.two_sample import (
    Stratum,
    block_contrasts,
    distance_kernel,
    gaussian_kernel,
    median_squared_distance,
    permutation_p,
    thin_strata,
)


def sample(n, shift=0.0, *, width=4, seed=0, spread=1.0):
    return (np.random.default_rng(seed).normal(size=(n, width)) * spread + shift).astype(np.float32)


def everything(real, augmented):
    return Stratum(np.arange(len(real)), np.arange(len(augmented)))


def contrasts(real, augmented, scale=2.0, seed=0):
    kernels = [gaussian_kernel(scale), distance_kernel]
    return block_contrasts(real, augmented, everything(real, augmented), kernels, seed=seed)


def slow_mmd(real, augmented, scale):
    def kernel(x, y):
        squared = float(((x - y) ** 2).sum())
        return sum(math.exp(-squared / (c * scale)) for c in (0.25, 0.5, 1, 2, 4)) / 5

    def mean(xs, ys, same):
        pairs = [kernel(x, y) for i, x in enumerate(xs) for j, y in enumerate(ys) if not (same and i == j)]
        return sum(pairs) / len(pairs)

    return mean(real, real, True) + mean(augmented, augmented, True) - 2 * mean(real, augmented, False)


class TestContrasts:
    def test_energy_by_hand(self):
        # Between: 3, 5, 1, 3, mean 3. Within: 2 and 2. So 2 · 3 - 2 - 2.
        _, energy = contrasts(np.array([[0.0], [2.0]], np.float32), np.array([[3.0], [5.0]], np.float32))
        assert energy.estimate == pytest.approx(2)

    def test_mmd_by_hand(self):
        # One point a side, twice: kernels are 1 within, and exp(-4 / (c · 4)) between.
        mmd, _ = contrasts(np.zeros((2, 1), np.float32), np.full((2, 1), 2, np.float32), scale=4.0)
        between = sum(math.exp(-1 / c) for c in (0.25, 0.5, 1, 2, 4)) / 5
        assert mmd.estimate == pytest.approx(2 - 2 * between)
        assert mmd.error == pytest.approx(0, abs=1e-7)

    def test_slow_implementation(self):
        real, augmented = sample(9), sample(7, 0.5, seed=1)
        assert contrasts(real, augmented)[0].estimate == pytest.approx(slow_mmd(real, augmented, 2.0), rel=1e-4)

    def test_same_as_the_discrepancies_of_training(self):
        real, augmented = sample(30), sample(20, 0.5, seed=1)
        mmd, energy = contrasts(real, augmented, median_squared_distance(real, augmented))
        tensors = torch.tensor(real), torch.tensor(augmented)
        assert mmd.estimate == pytest.approx(discrepancies.mmd(*tensors).item(), abs=2e-3)
        assert energy.estimate == pytest.approx(discrepancies.energy(*tensors).item(), rel=1e-3)

    def test_far_apart_mmd_is_two(self):
        real, augmented = sample(50, spread=1e-3), sample(50, 1000.0, seed=1, spread=1e-3)
        assert contrasts(real, augmented, scale=1.0)[0].estimate == pytest.approx(2, abs=1e-3)

    @pytest.mark.parametrize("shift", [0.0, 0.5])
    def test_errors_cover(self, shift):
        draws = [contrasts(sample(60, seed=2 * s), sample(60, shift, seed=2 * s + 1))[0] for s in range(200)]
        truth = 0.0 if shift == 0 else float(np.mean([draw.estimate for draw in draws]))
        covered = np.mean([abs(draw.estimate - truth) < 1.96 * draw.error for draw in draws])
        assert 0.9 <= covered <= 1.0
        assert np.mean([draw.estimate for draw in draws]) == pytest.approx(truth, abs=0.01)

    def test_blocks_estimate_the_same(self, monkeypatch):
        real, augmented = sample(300), sample(200, 0.7, seed=1)
        full = contrasts(real, augmented)[0]
        monkeypatch.setattr(two_sample, "BLOCK", 50)
        blocks = contrasts(real, augmented)[0]
        assert blocks.estimate == pytest.approx(full.estimate, abs=4 * blocks.error)
        assert blocks.error > 0 and blocks.estimate != full.estimate

    def test_few_rows_of_one_side(self, monkeypatch):
        monkeypatch.setattr(two_sample, "BLOCK", 10)
        mmd, _ = contrasts(sample(200), sample(5, 5.0, seed=1))
        assert mmd.estimate > 10 * mmd.error > 0

    @settings(deadline=None, max_examples=20)
    @given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 1000))
    def test_symmetry_and_order(self, n, m, seed):
        real, augmented = sample(n, seed=seed), sample(m, 0.5, seed=seed + 1)
        there, back = contrasts(real, augmented), contrasts(augmented, real)
        shuffled = contrasts(np.random.default_rng(seed).permutation(real), augmented[::-1])
        for one, other, third in zip(there, back, shuffled, strict=True):
            assert one.estimate == pytest.approx(other.estimate, abs=1e-5)
            assert one.estimate == pytest.approx(third.estimate, abs=1e-5)
            assert one.error == pytest.approx(third.error, abs=1e-5)

    def test_bandwidth(self):
        # Squared distances 1, 4 and 1.
        rows = np.array([[0.0], [1.0]], np.float32), np.array([[2.0]], np.float32)
        assert median_squared_distance(*rows) == 1

    def test_bandwidth_where_rows_are_equal(self):
        rows = np.zeros((3, 2), np.float32)
        assert median_squared_distance(rows, rows) == 1
        # Of fifteen pairs ten are equal rows, and the others 25 apart.
        others = np.array([[0, 0], [0, 0], [3, 4]], np.float32)
        assert median_squared_distance(rows, others) == pytest.approx(5 * 25 / 15)


class TestPermutation:
    def test_every_division_of_a_small_sample(self):
        # Of the 20 divisions of 0, 1, 2 and 10, 11, 12, the true one and its mirror image are the most extreme.
        real, augmented = (np.array([[a], [a + 1], [a + 2]], np.float32) for a in (0.0, 10.0))
        p = permutation_p(real, augmented, [everything(real, augmented)], distance_kernel, permutations=4000)
        assert p == pytest.approx(2 / 20, abs=0.02)

    def test_null_and_shift(self):
        kernel = gaussian_kernel(8.0)
        ps = []
        for seed in range(60):
            real, augmented = sample(20, seed=2 * seed), sample(20, seed=2 * seed + 1)
            ps.append(permutation_p(real, augmented, [everything(real, augmented)], kernel, permutations=199))
        assert np.mean(np.array(ps) <= 0.2) == pytest.approx(0.2, abs=0.13)
        real, augmented = sample(20), sample(20, 2.0, seed=1)
        assert permutation_p(real, augmented, [everything(real, augmented)], kernel, permutations=999) == 1 / 1000

    def test_equal_rows_are_no_evidence(self):
        rows = np.ones((8, 3), np.float32)
        assert permutation_p(rows, rows, [everything(rows, rows)], gaussian_kernel(1.0), permutations=99) == 1

    def test_a_failed_statistic_is_no_evidence(self):
        rows = np.full((12, 3), 1e30, np.float32) * sample(12, width=3)
        with np.errstate(all="ignore"):
            assert math.isnan(permutation_p(rows, rows, [everything(rows, rows)], distance_kernel, permutations=99))

    def test_labels_that_are_mixed_otherwise(self):
        # Two labels far apart: 30 and 10 rows on one side, 10 and 30 on the other, and nothing else.
        real = np.concatenate([sample(30), sample(10, 9.0, seed=1)])
        augmented = np.concatenate([sample(10, seed=2), sample(30, 9.0, seed=3)])
        strata = [Stratum(np.arange(30), np.arange(10), 0.75), Stratum(np.arange(30, 40), np.arange(10, 40), 0.25)]
        kernel = gaussian_kernel(100.0)
        assert permutation_p(real, augmented, [everything(real, augmented)], kernel, permutations=499) == 1 / 500
        assert permutation_p(real, augmented, strata, kernel, permutations=499) > 0.05

    def test_thinning_keeps_shares(self):
        strata = [
            Stratum(np.arange(900), np.arange(500), 0.9),
            Stratum(np.arange(900, 1000), np.arange(500, 1000), 0.1),
        ]
        thinned = thin_strata(strata, 200)
        assert [(len(s.real), len(s.augmented), s.weight) for s in thinned] == [(180, 100, 0.9), (20, 100, 0.1)]
        assert set(thinned[1].real) <= set(range(900, 1000))
        assert len(thin_strata(strata, 20)[1].real) == 10


class TestClassifier:
    def test_area_is_that_of_scikit_learn(self):
        rng = np.random.default_rng(0)
        scores = rng.integers(0, 8, 60).astype(float)
        truth = np.repeat([0, 1], [25, 35])
        assert _area(scores[:25], scores[25:])[0] == pytest.approx(roc_auc_score(truth, scores))

    def test_variance_by_hand(self):
        # Shares of the other side below or above: of the positives 1 and 1/2, of the negatives 1 and 1/2.
        area, variance = _area(np.array([0.0, 2.0]), np.array([3.0, 1.0]))
        assert (area, variance) == (0.75, 0.125)

    def test_identical_disjoint_and_shifted(self):
        real = sample(100)
        assert classifier_auc(real, real.copy()).estimate == pytest.approx(0.5)
        assert classifier_auc(real, sample(100, 20.0, seed=1)) == (1.0, 0.0)
        # Normal distributions that lie 1.5 standard deviations apart in each of four coordinates: Φ(3 / √2).
        assert classifier_auc(real, sample(100, 1.5, seed=1)).estimate == pytest.approx(0.983, abs=0.02)

    def test_copies_are_in_one_fold(self):
        rows = np.concatenate([sample(50), sample(50), sample(30, seed=1)])
        folds = _folds(rows, np.repeat([0, 1], [50, 80]), 0)
        assert (folds[:50] == folds[50:100]).all()
        assert set(np.bincount(folds[:50], minlength=FOLDS)) == {10}
        assert set(np.bincount(folds[100:], minlength=FOLDS)) == {6}

    def test_copies_give_nothing_away(self):
        # Each row is there five times: divided at random, a classifier that learns by heart would know them again.
        areas = []
        for seed in range(10):
            real, augmented = sample(8, width=40, seed=2 * seed), sample(8, width=40, seed=2 * seed + 1)
            areas.append(classifier_auc(real.repeat(5, axis=0), augmented.repeat(5, axis=0), seed=seed).estimate)
        assert np.mean(areas) < 0.65

    def test_one_row_again_and_again(self):
        assert math.isnan(classifier_auc(sample(20), np.ones((20, 4), np.float32)).estimate)

    def test_separability(self):
        above = separability(Interval(0.75, 0.7, 0.8, 9))
        assert (above.estimate, above.low, above.high, above.n) == pytest.approx((0.5, 0.4, 0.6, 9))
        around = separability(Interval(0.52, 0.45, 0.59, 9))
        assert (around.low, around.high) == pytest.approx((0.0, 0.18))
        below = separability(Interval(0.3, 0.2, 0.4, 9))
        assert (below.estimate, below.low, below.high) == pytest.approx((0.4, 0.2, 0.6))


class TestCoral:
    def test_by_hand(self):
        # Covariances 2 and 8 of one feature: 36 / 4.
        real, augmented = np.array([[0.0], [2.0]], np.float32), np.array([[0.0], [4.0]], np.float32)
        pair = covariance(real, np.arange(2)), covariance(augmented, np.arange(2))
        assert coral(*pair)[0] == pytest.approx(9)

    def test_same_as_the_discrepancy_of_training(self, monkeypatch):
        monkeypatch.setattr("mitigate.misalignment.covariances._CHUNK", 7)
        real, augmented = sample(40), sample(30, 5.0, seed=1, spread=2.0)
        found = coral(covariance(real, np.arange(40)), covariance(augmented, np.arange(30)))[0]
        assert found == pytest.approx(
            discrepancies.coral(torch.tensor(real), torch.tensor(augmented)).item(), rel=1e-4
        )

    def test_chance(self):
        found = []
        for seed in range(100):
            sides = sample(200, seed=2 * seed), sample(100, seed=2 * seed + 1)
            found.append(coral(*(covariance(side, np.arange(len(side))) for side in sides)))
        distances, chances = zip(*found, strict=True)
        assert np.mean(chances) == pytest.approx(np.mean(distances), rel=0.1)


class TestDistributions:
    def test_identical_and_disjoint(self):
        real = sample(100)
        same = distribution_misalignment(Features(real, real.copy(), "test")).pooled
        assert -0.05 < same.mmd.estimate <= 0 and same.p > 0.5
        assert same.separability.low == 0 and same.energy.estimate <= 0 and same.coral == 0
        apart = distribution_misalignment(Features(real, sample(100, 20.0, seed=1), "test")).pooled
        assert apart.auc.estimate == 1 and apart.separability.estimate == 1
        assert apart.p == 1 / 10_000 and apart.p_error == pytest.approx(1e-4, rel=0.01)

    @pytest.mark.parametrize("value", [1.0, 0.1, 1e-20, 1e16])
    def test_one_row_again_and_again(self, value):
        rows = np.full((40, 8), value, np.float32)
        result = distribution_misalignment(Features(rows, rows.copy(), "test")).pooled
        assert result.mmd.estimate == result.energy.estimate == result.coral == 0 and result.p == 1

    def test_within_labels(self):
        real = np.concatenate([sample(60), sample(20, 9.0, seed=1), sample(3, seed=5)])
        augmented = np.concatenate([sample(20, seed=2), sample(60, 9.0, seed=3)])
        labels = (["a"] * 60 + ["b"] * 20 + ["c"] * 3, ["a"] * 20 + ["b"] * 60)
        result = distribution_misalignment(Features(real, augmented, "test"), labels=labels)
        assert result.pooled.separability.estimate > 0.3 and result.pooled.p == 1 / 10_000
        assert result.within_label.separability.low == 0 and result.within_label.p > 0.05
        assert [(part.label, part.real, part.augmented) for part in result.labels] == [("a", 60, 20), ("b", 20, 60)]
        assert result.covered == pytest.approx(80 / 83)
        # Three to one, as real rows are.
        parts = [part.mmd.estimate for part in result.labels]
        assert result.within_label.mmd.estimate == pytest.approx(0.75 * parts[0] + 0.25 * parts[1])

    def test_same_result_of_one_seed_and_of_a_memory_map(self, tmp_path):
        np.save(tmp_path / "a.npy", sample(50))
        mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
        results = [
            distribution_misalignment(Features(real, sample(40, 0.3, seed=1), "test"), seed=3)
            for real in (sample(50), mapped, mapped)
        ]
        assert results[0] == results[1] == results[2]

    def test_refusals(self):
        with pytest.raises(ValueError, match="from 10 rows a side on, got 9 real and 20 augmented"):
            distribution_misalignment(Features(sample(9), sample(20), "test"))
        with pytest.raises(ValueError, match="one label for each row"):
            distribution_misalignment(Features(sample(10), sample(10), "test"), labels=(["a"], ["a"] * 10))
        with pytest.raises(ValueError, match="equal widths"):
            Features(sample(10), sample(10, width=3), "test")
