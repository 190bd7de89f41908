"""Where the sequences of rows ended up in a batch that someone else's collator made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Place(NamedTuple):
    """
    Where a sequence lies in a batch.

    Args:
        row (`int`):
            Row of the batch.
        offset (`int`):
            Position of the sequence's first token; negative if the collator cut off the beginning.
        start (`int`):
            First position of what is left of it.
        stop (`int`):
            Position after what is left of it.
    """

    row: int
    offset: int
    start: int
    stop: int


def place_sequences(batch: Mapping[str, Any], lengths: Sequence[int], truncation: str = "keep_start") -> list[Place]:
    """
    Find sequences in a batch.

    Args:
        batch (`Mapping[str, Any]`):
            A batch with `input_ids`, a tensor of shape `(rows, length)`: one sequence a row, padded at either end, or
            all in one row, without padding between them. Where the rows are padded, there is an `attention_mask`.
        lengths (`Sequence[int]`):
            Lengths of the sequences that the collator was given, in the order of the batch.
        truncation (`str`, *optional*, defaults to `"keep_start"`):
            Which end the collator keeps of a sequence that it cuts; `"keep_start"` or `"keep_end"`.

    Returns:
        `list[Place]`: One for each sequence.

    Raises:
        ValueError: If the batch is laid out in another way.
    """
    rows, width = batch["input_ids"].shape
    mask = batch.get("attention_mask")
    if rows == len(lengths) and isinstance(mask, Tensor) and mask.shape == (rows, width):
        present = mask.ne(0).cpu().numpy()
        first = present.argmax(axis=1).tolist()
        after = (width - present[:, ::-1].argmax(axis=1)).tolist()
        if any(stop - start > length for start, stop, length in zip(first, after, lengths, strict=True)):
            raise ValueError(
                "The collator made a row longer than the one that it was given: it must keep the order of the rows, "
                "and mark what it adds to them as padding in the `attention_mask`."
            )
        return [
            Place(row, stop - length if truncation == "keep_end" else start, start, stop)
            for row, (start, stop, length) in enumerate(zip(first, after, lengths, strict=True))
        ]
    if rows == 1 and sum(lengths) <= width:
        stops = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        starts = [0, *stops[:-1]]
        return [Place(0, start, start, stop) for start, stop in zip(starts, stops, strict=True)]
    raise ValueError(
        f"The collator made a batch of shape {(rows, width)} from {len(lengths)} sequences with {sum(lengths)} tokens "
        "in such a way that they cannot be told apart: it must pad them and tell so in an `attention_mask`, or put "
        "them one after the other into one row."
    )
