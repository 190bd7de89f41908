"""Pooling, on literal batches of every layout."""

import pytest
import torch

from mitigate.pooling import mean_pool, segment_index

HIDDEN = torch.tensor([[[1.0, 10], [3, 30], [5, 50], [7, 70]], [[2, 20], [4, 40], [6, 60], [8, 80]]])


def pooled(index, segments, hidden=HIDDEN):
    return mean_pool(hidden, index, segments)


def test_padding_on_the_right_is_left_out():
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]])
    index = segment_index((2, 4), 2, attention_mask=mask)
    torch.testing.assert_close(index, torch.tensor([[0, 0, -1, -1], [1, 1, 1, -1]]))
    torch.testing.assert_close(pooled(index, 2), torch.tensor([[2.0, 20], [4, 40]]))


def test_padding_on_the_left_is_left_out():
    mask = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1]])
    index = segment_index((2, 4), 2, attention_mask=mask)
    torch.testing.assert_close(index, torch.tensor([[-1, -1, 0, 0], [-1, 1, 1, 1]]))
    torch.testing.assert_close(pooled(index, 2), torch.tensor([[6.0, 60], [6, 60]]))


def test_without_a_mask_every_token_counts():
    index = segment_index((2, 4), 2)
    torch.testing.assert_close(index, torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]]))
    torch.testing.assert_close(pooled(index, 2), torch.tensor([[4.0, 40], [5, 50]]))


def test_a_padding_free_batch_is_split_where_positions_start_again():
    positions = torch.tensor([[0, 0, 1, 2, 0, 1, 2, 3]])
    index = segment_index((1, 8), 3, position_ids=positions)
    torch.testing.assert_close(index, torch.tensor([[0, 1, 1, 1, 2, 2, 2, 2]]))
    torch.testing.assert_close(pooled(index, 3, HIDDEN.view(1, 8, 2)), torch.tensor([[1.0, 10], [5, 50], [5, 50]]))


def test_several_packed_rows_are_counted_through():
    positions = torch.tensor([[0, 1, 0, 1], [0, 1, 2, 0]])
    index = segment_index((2, 4), 4, position_ids=positions)
    torch.testing.assert_close(index, torch.tensor([[0, 0, 1, 1], [2, 2, 2, 3]]))
    torch.testing.assert_close(pooled(index, 4), torch.tensor([[2.0, 20], [6, 60], [4, 40], [8, 80]]))


def test_a_row_without_tokens_pools_to_zero():
    index = segment_index((2, 4), 2, attention_mask=torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]]))
    torch.testing.assert_close(pooled(index, 2), torch.tensor([[0.0, 0], [5, 50]]))


def test_half_precision_is_averaged_in_float32():
    # Counting in bfloat16 would stop at 256.
    ones = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    mean = mean_pool(ones, torch.zeros(1, 1000, dtype=torch.long), 1)
    assert mean.dtype == torch.float32
    assert mean.item() == 1


@pytest.mark.parametrize(
    ("segments", "arguments"),
    [
        (3, {}),
        (3, {"position_ids": torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]])}),
        (1, {"attention_mask": torch.ones(2, 4)}),
    ],
    ids=["nothing to split by", "other positions", "fewer rows than sequences"],
)
def test_a_batch_that_cannot_be_split_into_its_rows_is_refused(segments, arguments):
    with pytest.raises(ValueError, match=rf"A batch of 2 sequence\(s\) was said to hold {segments} rows"):
        segment_index((2, 4), segments, **arguments)


def test_hidden_states_of_another_length_than_the_batch_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 6\) but the batch \(2, 4\).*prefix or prompt tuning"):
        segment_index((2, 6), 2, attention_mask=torch.ones(2, 4))
