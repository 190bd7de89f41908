"""Pooling, on literal batches of every layout."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mitigate.alignment import answer_tokens, last_tokens, mean_pool, number_segments, token_counts

HIDDEN = torch.tensor([[[1.0, 10], [3, 30], [5, 50], [7, 70]], [[2, 20], [4, 40], [6, 60], [8, 80]]])


def pooled(index, segments, hidden=HIDDEN):
    return mean_pool(hidden, index, segments)


def test_padding_is_left_out():
    index, augmented = number_segments(torch.tensor([[1, 1, -1, -1], [-1, 0, 0, 0]]))
    torch.testing.assert_close(index, torch.tensor([[0, 0, -1, -1], [-1, 1, 1, 1]]))
    assert augmented.tolist() == [True, False]
    torch.testing.assert_close(pooled(index, 2), torch.tensor([[2.0, 20], [6, 60]]))


def test_the_segments_of_several_packed_rows_are_counted_through():
    index, augmented = number_segments(torch.tensor([[1, 1, 2, 5], [0, 3, 3, 4]]))
    torch.testing.assert_close(index, torch.tensor([[0, 0, 1, 2], [3, 4, 4, 5]]))
    assert augmented.tolist() == [True, False, True, False, True, False]


@given(st.lists(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=4), min_size=1, max_size=4))
def test_each_token_finds_its_segment_again(rows):
    length = max(sum(count for count, _ in row) for row in rows)
    provenance = torch.full((len(rows), length), -1)
    expected = []
    for number, row in enumerate(rows):
        start = 0
        for segment, (count, flag) in enumerate(row):
            provenance[number, start : start + count] = 2 * segment + flag
            expected.append((number, start, start + count, flag))
            start += count
    index, augmented = number_segments(provenance)
    assert augmented.tolist() == [flag for *_, flag in expected]
    for segment, (row, start, stop, _) in enumerate(expected):
        assert (index[row, start:stop] == segment).all()
    assert ((index < 0) == (provenance < 0)).all()


def test_half_precision_is_averaged_in_float32():
    # Counting in bfloat16 would stop at 256.
    ones = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    mean = mean_pool(ones, torch.zeros(1, 1000, dtype=torch.long), 1)
    assert mean.dtype == torch.float32
    assert mean.item() == 1


def test_hidden_states_of_another_length_than_the_batch_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 4\) but the batch \(2, 6\).*prefix or prompt tuning"):
        mean_pool(HIDDEN, torch.zeros(2, 6, dtype=torch.long), 2)


@pytest.mark.parametrize(
    ("index", "last"),
    [
        ([[0, 0, -1, -1], [1, 1, 1, -1]], [[-1, 0, -1, -1], [-1, -1, 1, -1]]),
        ([[-1, -1, 0, 0], [-1, 1, 1, 1]], [[-1, -1, -1, 0], [-1, -1, -1, 1]]),
        ([[0, 0, 1, 1], [2, 2, 2, 3]], [[-1, 0, -1, 1], [-1, -1, 2, 3]]),
        ([[-1, -1, -1, -1], [1, 1, 1, 1]], [[-1, -1, -1, -1], [-1, -1, -1, 1]]),
    ],
    ids=["right", "left", "packed", "empty"],
)
def test_the_last_token_of_each_segment(index, last):
    torch.testing.assert_close(last_tokens(torch.tensor(index)), torch.tensor(last))


def test_the_tokens_of_the_answer():
    index = torch.tensor([[0, 0, 1, 1], [2, 2, 2, -1]])
    labels = torch.tensor([[-100, 7, 0, 7], [-100, -100, -100, -100]])
    chosen = answer_tokens(index, labels)
    torch.testing.assert_close(chosen, torch.tensor([[-1, 0, 1, 1], [-1, -1, -1, -1]]))
    assert token_counts(chosen, 3).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("labels", "found"), [(None, "none"), (torch.tensor([0, 1]), r"`labels` of shape \(2,\)")], ids=["none", "a row"]
)
def test_an_answer_needs_labels_of_tokens(labels, found):
    with pytest.raises(ValueError, match=rf"`pooling='answer'` needs .* shape \(2, 4\), .* this batch has {found}"):
        answer_tokens(torch.zeros(2, 4, dtype=torch.long), labels)
