"""Pooling of token representations to one vector a row, in padded, packed and padding-free batches."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

# Which tokens of a row are averaged: all, the last one, or those that count in the loss.
Pooling = Literal["mean", "last", "answer"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


def number_segments(provenance: Tensor) -> tuple[Tensor, Tensor]:
    """
    Number the segments of a whole batch.

    Args:
        provenance (`torch.Tensor` of shape `(batch, length)`, int64):
            -1 for tokens of no segment, else `2 * segment + augmented`, with the segments of each row numbered from 0
            on.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: The segment of each token in the batch, of shape `(batch, length)`, int64,
        -1 for none; and whether each segment is augmented, of shape `(segments,)`, bool.
    """
    rows = torch.arange(len(provenance), device=provenance.device)[:, None]
    stride = provenance.max().clamp_min(1) + 1
    keys = torch.where(provenance < 0, -1, rows * (stride + stride % 2) + provenance)
    found, index = torch.unique(keys, return_inverse=True)
    padded = int((found < 0).any())
    return index - padded, found[padded:] % 2 == 1


def last_tokens(index: Tensor) -> Tensor:
    """
    Leave each segment its last token only.

    Args:
        index (`torch.Tensor` of shape `(batch, length)`, int64):
            Segment of each token, -1 for none.

    Returns:
        `torch.Tensor` of shape `(batch, length)`, int64: The same, with -1 for all other tokens.
    """
    flat = index.flatten()
    # A segment's tokens stand in one row, in order, so the last is the one after which no other of it comes.
    positions = torch.arange(len(flat), device=flat.device)
    last = torch.full_like(flat, -1).scatter_reduce(0, flat.clamp_min(0), positions.where(flat >= 0, -1), "amax")
    return flat.where(positions == last[flat.clamp_min(0)], -1).view_as(index)


def answer_tokens(index: Tensor, labels: Tensor | None) -> Tensor:
    """
    Leave each segment the tokens that count in the loss, the others aside.

    Args:
        index (`torch.Tensor` of shape `(batch, length)`, int64):
            Segment of each token, -1 for none.
        labels (`torch.Tensor` of shape `(batch, length)`, int64, *optional*):
            The labels of the batch, -100 where a token does not count.

    Returns:
        `torch.Tensor` of shape `(batch, length)`, int64: The same, with -1 for tokens that do not count.

    Raises:
        ValueError: If the batch has no labels of tokens.
    """
    if labels is None or labels.shape != index.shape:
        found = "none" if labels is None else f"`labels` of shape {tuple(labels.shape)}"
        raise ValueError(
            f"`pooling='answer'` needs a batch with one label a token, shape {tuple(index.shape)}, that is -100 where "
            f"a token is not part of the answer; this batch has {found}. Use `pooling='mean'` or `pooling='last'`."
        )
    return index.to(labels.device).masked_fill(labels == -100, -1)


def token_counts(index: Tensor, segments: int) -> Tensor:
    """
    Count the tokens of every segment.

    Args:
        index (`torch.Tensor` of shape `(batch, length)`, int64):
            Segment of each token, -1 for none.
        segments (`int`):
            Number of segments.

    Returns:
        `torch.Tensor` of shape `(segments,)`, int64.
    """
    flat = index.flatten()
    return flat.new_zeros(segments).index_add(0, flat.clamp_min(0), (flat >= 0).to(flat))


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

    Raises:
        ValueError: If there are not as many hidden states as tokens.
    """
    _check_length(tuple(hidden.shape[:2]), index)
    index = index.to(hidden.device).flatten()
    # One row more takes the padding, and is cut off again.
    index = torch.where(index < 0, segments, index)
    tokens = hidden.flatten(0, 1).to(torch.promote_types(hidden.dtype, torch.float32))
    sums = tokens.new_zeros(segments + 1, tokens.shape[1]).index_add(0, index, tokens)
    counts = tokens.new_zeros(segments + 1).index_add(0, index, torch.ones_like(index, dtype=tokens.dtype))
    return (sums / counts.clamp_min(1)[:, None])[:segments]


def _check_length(shape: tuple[int, ...], tokens: Tensor) -> None:
    if tuple(tokens.shape) != shape:
        raise ValueError(
            f"The hidden states have shape {shape} but the batch {tuple(tokens.shape)}: something changes the length "
            "of the sequences inside the model (prefix or prompt tuning?), so rows cannot be told apart."
        )
