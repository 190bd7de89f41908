"""The memory of past rows, comparisons within groups, and the effective rank."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate.alignment import FeatureBank, Sample, conditional_discrepancy, effective_rank, mean_discrepancy


def sample(*values, groups=None):
    features = torch.tensor(values, dtype=torch.float32)[:, None].expand(-1, 2).clone()
    return Sample(features, (0,) * len(values) if groups is None else groups)


def values(sample):
    return sample.features[:, 0].tolist()


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(0, 6),
    batches=st.lists(st.tuples(st.sampled_from(["real", "augmented"]), st.integers(0, 4)), max_size=8),
)
def test_it_holds_the_newest_rows_of_each_side(size, batches):
    bank, oracle, count = FeatureBank(size), {"real": [], "augmented": []}, 0
    for side, rows in batches:
        current = list(range(count, count + rows))
        count += rows
        given_back = bank.extend(side, sample(*current, groups=tuple(current)))
        assert values(given_back) == list(given_back.groups) == current + oracle[side]
        bank.push(side, sample(*current, groups=tuple(current)))
        oracle[side] = (current + oracle[side])[:size]


def test_gradients_flow_into_the_current_rows_alone():
    bank = FeatureBank(4)
    past, current = torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    bank.push("real", Sample(past, (0, 0)))
    bank.extend("real", Sample(current, (0, 0))).features.sum().backward()
    assert past.grad is None
    assert current.grad.tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize(("size", "kept"), [(3, [1, 2, 3]), (2, [1, 2]), (9, [1, 2, 3])])
def test_it_goes_on_from_what_was_saved(tmp_path, size, kept):
    bank = FeatureBank(3)
    bank.push("real", sample(1, 2, 3, 4, groups=(5, 6, 7, 8)))
    torch.save(bank.state(), tmp_path / "bank.pt")
    restored = FeatureBank(size)
    restored.load({**torch.load(tmp_path / "bank.pt", weights_only=True), "other": torch.zeros(1)})
    rows = restored.extend("real", sample())
    assert values(rows) == kept
    assert rows.groups == (5, 6, 7)[: len(kept)]
    assert len(restored.extend("augmented", sample())) == 0


def test_groups_are_compared_one_by_one():
    real, augmented = sample(0, 10, 4, 99, groups=(0, 1, 0, 3)), sample(1, 13, 5, groups=(0, 1, 2))
    term = conditional_discrepancy(mean_discrepancy, real, augmented, groups={0, 1, 2}, at_least=1)
    assert term.item() == ((2 - 1) ** 2 + (10 - 13) ** 2) / 2
    only = conditional_discrepancy(mean_discrepancy, real, augmented, groups={1, 3}, at_least=1)
    assert only.item() == 9
    assert conditional_discrepancy(mean_discrepancy, real, augmented, groups={0, 1}, at_least=2) is None


@settings(max_examples=50, deadline=None)
@given(rank=st.integers(1, 5), seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_equal_directions_count_fully(rank, seed, scale, shift):
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64)).Q[:rank]
    rows = scale * torch.cat([directions, -directions]) + shift
    assert effective_rank(rows) == pytest.approx(rank)


def test_a_weak_direction_counts_less():
    rows = torch.tensor([[1.0, 0], [-1, 0], [0, 0.1], [0, -0.1]])
    assert 1 < effective_rank(rows) < effective_rank(rows * torch.tensor([1.0, 10])) == pytest.approx(2)


@pytest.mark.parametrize("row", [torch.zeros(64), 100 * torch.randn(64, generator=torch.Generator().manual_seed(0))])
def test_identical_rows_have_none(row):
    assert effective_rank(row.expand(7, 64) * (1 + 1e-8)) == 0
