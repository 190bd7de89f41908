"""Provenance: which tokens of a row come from a real and which from an augmented row."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

AUGMENTED_COLUMN = "augmented"

# Fields of a tokenized row that have one value a token.
TOKEN_FIELDS = frozenset(
    {
        "input_ids",
        "labels",
        "attention_mask",
        "token_type_ids",
        "position_ids",
        "special_tokens_mask",
        "completion_mask",
        "assistant_masks",
    }
)


class ProvenanceError(ValueError):
    """Raised when nothing that is left of a row tells whether it is real or augmented."""


@dataclass(frozen=True)
class Segment:
    """
    One row of the training mix inside one row of the trainer's data set.

    Without packing the two are the same; a packed row holds several segments.

    Args:
        start (`int`):
            Position of the first token.
        stop (`int`):
            Position after the last token.
        augmented (`bool`):
            Whether the segment was written by an LLM.
    """

    start: int
    stop: int
    augmented: bool


def row_segments(
    row: Mapping[str, Any], *, column: str = AUGMENTED_COLUMN, tag_ids: Collection[int] = ()
) -> list[Segment]:
    """
    Split a tokenized row into its segments and tell for each whether it is augmented.

    The boolean column decides where the row still has it. Otherwise the tag does: a segment with one of `tag_ids` in
    it is augmented. Only the tag survives packing, which keeps no other column.

    Args:
        row (`Mapping[str, Any]`):
            A row with `input_ids` (list of `n` integers) and, if packed by TRL, `seq_lengths` (list of integers that
            sum to `n`).
        column (`str`, *optional*, defaults to `"augmented"`):
            Name of the boolean column.
        tag_ids (`Collection[int]`, *optional*):
            Token ids that mark augmented text.

    Returns:
        `list[Segment]`: The segments in the order of their tokens; they cover the row without gaps.

    Raises:
        ProvenanceError: If the row has no such column and there is no tag to look for.
        ValueError: If the column holds something else than a boolean (or 0 and 1).
    """
    lengths = row.get("seq_lengths") or [len(row["input_ids"])]
    stops = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    bounds = list(zip([0, *stops[:-1]], stops, strict=True))
    if column in row:
        augmented = as_flag(row[column], column)
        return [Segment(start, stop, augmented) for start, stop in bounds]
    if not tag_ids:
        raise ProvenanceError(
            f"No column `{column}` in the training rows (columns: {', '.join(sorted(row))}) and no tag to look for, "
            f"so real and augmented rows cannot be told apart. Add a boolean column `{column}` to the data set, name "
            "yours with `column=…` (False in every row of an evaluation set), and keep the trainer from dropping it: "
            "give the callback to its constructor or, for a collator of your own, set `remove_unused_columns=False`. "
            "With packing, where every column is dropped, tag the rows with `BiasTagTokenizer.tag`."
        )
    tags = set(tag_ids)
    ids = row["input_ids"]
    return [Segment(start, stop, not tags.isdisjoint(ids[start:stop])) for start, stop in bounds]


def as_flag(value: Any, column: str) -> bool:
    """
    Read a value of the provenance column.

    Args:
        value:
            The value.
        column (`str`):
            Name of the column, for the message.

    Returns:
        `bool`: Whether the row is augmented.

    Raises:
        ValueError: If the value is neither a boolean nor 0 or 1.
    """
    if value not in (0, 1):
        raise ValueError(f"Column `{column}` must hold True or False in every row, got {value!r}.")
    return bool(value)


def as_lists(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    """
    Turn the tensors or arrays of a formatted data set into plain lists and numbers.

    Args:
        row (`Mapping[str, Any]`):
            A tokenized row.
        column (`str`):
            Name of the provenance column.

    Returns:
        `dict`: The row, its token fields and provenance without a framework's types.
    """
    fields = {*TOKEN_FIELDS, column, "seq_lengths"}
    return {key: value.tolist() if key in fields and hasattr(value, "tolist") else value for key, value in row.items()}
