"""Pooling of token representations to one vector a row, in padded, packed and padding-free batches."""

from __future__ import annotations

import torch
from torch import Tensor


def segment_index(
    shape: tuple[int, int], segments: int, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
) -> Tensor:
    """
    Tell for every token of a batch to which segment it belongs.

    Args:
        shape (`tuple[int, int]`):
            Batch size and length of the hidden states.
        segments (`int`):
            Number of segments (rows of the training mix) that the batch holds.
        attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
            1 for tokens, 0 for padding.
        position_ids (`torch.Tensor` of shape `(batch, length)`, *optional*):
            Positions that start again from 0 with every segment of a packed row.

    Returns:
        `torch.Tensor` of shape `(batch, length)`, int64: Index of the segment, -1 for padding.

    Raises:
        ValueError: If the batch cannot be split into that many segments.
    """
    batch, length = shape
    mask = attention_mask if attention_mask is not None else position_ids
    if mask is not None and tuple(mask.shape) != (batch, length):
        raise ValueError(
            f"The hidden states have shape {shape} but the batch {tuple(mask.shape)}: something changes the length of "
            "the sequences inside the model (prefix or prompt tuning?), so rows cannot be told apart."
        )
    if segments == batch:
        rows = torch.arange(batch, device=None if mask is None else mask.device)
        index = rows[:, None].expand(batch, length)
        return index if attention_mask is None else index.masked_fill(attention_mask == 0, -1)
    if position_ids is not None and attention_mask is None:
        index = (position_ids.flatten() == 0).cumsum(0).view(batch, length) - 1
        if int(index.max()) + 1 == segments:
            return index
    raise ValueError(
        f"A batch of {batch} sequence(s) was said to hold {segments} rows, with which neither its size nor its "
        "`position_ids` agrees. The collator or the trainer merges rows in a way that is not supported; with "
        "padding-free batches, leave out `pad_to_multiple_of`."
    )


def mean_pool(hidden: Tensor, index: Tensor, segments: int) -> Tensor:
    """
    Average the representations of every segment's tokens, in float32 at least.

    Args:
        hidden (`torch.Tensor` of shape `(batch, length, d)`, float):
            Hidden states.
        index (`torch.Tensor` of shape `(batch, length)`, int64):
            Segment of each token, -1 for none.
        segments (`int`):
            Number of segments.

    Returns:
        `torch.Tensor` of shape `(segments, d)`, float32 or float64.
    """
    index = index.to(hidden.device).flatten()
    # One row more takes the padding, and is cut off again.
    index = torch.where(index < 0, segments, index)
    tokens = hidden.flatten(0, 1).to(torch.promote_types(hidden.dtype, torch.float32))
    sums = tokens.new_zeros(segments + 1, tokens.shape[1]).index_add(0, index, tokens)
    counts = tokens.new_zeros(segments + 1).index_add(0, index, torch.ones_like(index, dtype=tokens.dtype))
    return (sums / counts.clamp_min(1)[:, None])[:segments]
