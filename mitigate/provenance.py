"""Provenance: which tokens of a row come from a real and which from an augmented row."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

AUGMENTED_COLUMN = "augmented"

# Added to every token id of an augmented row that is marked in a hidden way: far above the ids of any vocabulary, and
# within the 32 bits that data sets may store ids in.
MARK = 1 << 24


# Bits of a token's provenance below those that tell the group of its row.
GROUP_SHIFT = 32


class ProvenanceError(ValueError):
    """Raised when nothing that is left of a row tells whether it is real or augmented."""


class Segment(NamedTuple):
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


@dataclass(frozen=True)
class ProvenanceSource:
    """
    What tells real and augmented rows apart.

    The boolean column decides where a row still has it. Otherwise hidden marks decide if the rows have them (see
    `BiasTagTokenizer.wrap(hidden=True)`), and tags if they do not. Only marks and tags survive packing, which keeps no
    column; only marks survive that texts are cut apart.

    Args:
        column (`str`, *optional*, defaults to `"augmented"`):
            Name of the boolean column.
        tag_ids (`frozenset[int]`, *optional*):
            Token ids that mark augmented text.
        marked (`bool`, *optional*, defaults to `False`):
            Whether the token ids of augmented rows bear hidden marks.
        encoder_decoder (`bool`, *optional*, defaults to `False`):
            Whether the rows are those of an encoder-decoder, whose `labels` are a text of their own.
    """

    column: str = AUGMENTED_COLUMN
    tag_ids: frozenset[int] = frozenset()
    marked: bool = False
    encoder_decoder: bool = False

    def segments(self, row: Mapping[str, Any], ids: Sequence[int]) -> list[Segment]:
        """
        Split a text of a tokenized row into its segments and tell for each whether it is augmented.

        Args:
            row (`Mapping[str, Any]`):
                The row. `seq_lengths` (list of integers that sum to `n`) tells the segments of one that TRL packed.
            ids (`Sequence[int]` of length `n`):
                Token ids, with their hidden marks if there are any.

        Returns:
            `list[Segment]`: The segments in the order of their tokens; they cover the text without gaps. In a text
            that was packed by cutting (`packing_strategy="wrapped"`), neighbours of one provenance are one segment.

        Raises:
            ProvenanceError: If the row has no such column, and there is no mark and no tag to look for.
            ValueError: If the column holds something else than a boolean (or 0 and 1).
        """
        lengths = row.get("seq_lengths")
        bounds = list(pairwise(accumulate(lengths, initial=0))) if lengths else [(0, len(ids))]
        if self.column in row:
            augmented = as_flag(row[self.column], self.column)
            return [Segment(start, stop, augmented) for start, stop in bounds]
        if self.marked:
            if "seq_lengths" in row:
                return [Segment(start, stop, ids[start] >= MARK) for start, stop in bounds]
            return _runs(ids)
        if not self.tag_ids:
            raise ProvenanceError(
                f"No column `{self.column}` in the rows (columns: {', '.join(sorted(row))}) and no tag to look for, "
                "so real and augmented rows cannot be told apart. If the trainer dropped it, set "
                f"`remove_unused_columns=False`; if there is none, add a boolean column `{self.column}` (False in "
                "every row of an evaluation set), or name yours with `column=…`."
            )
        return [Segment(start, stop, not self.tag_ids.isdisjoint(ids[start:stop])) for start, stop in bounds]


def _runs(ids: Sequence[int]) -> list[Segment]:
    runs = [(augmented, len(list(run))) for augmented, run in groupby(token_id >= MARK for token_id in ids)]
    bounds = pairwise(accumulate((length for _, length in runs), initial=0))
    return [Segment(start, stop, augmented) for (start, stop), (augmented, _) in zip(bounds, runs, strict=True)]


def group_code(row: Mapping[str, Any], column: str) -> int:
    """
    Read the group of a row, as a number that is the same in every process.

    Args:
        row (`Mapping[str, Any]`):
            The row.
        column (`str`):
            The column that tells its group.

    Returns:
        `int`: A number from 0 to 2³¹ - 1; equal groups have equal numbers, others nearly always different ones.

    Raises:
        ValueError: If the row has no such column, or if it holds no string, integer or boolean.
    """
    group = row.get(column)
    if not isinstance(group, (str, int)):
        raise ValueError(
            f"Column `{column}` must tell the group of every row, by a string, an integer or a boolean, got {group!r}."
        )
    return zlib.crc32(str(group).encode()) >> 1


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
    flag = np.asarray(value)
    # Data sets in the format of NumPy give the one value of a row as an array.
    if flag.size != 1 or flag.item() not in (0, 1):
        raise ValueError(f"Column `{column}` must hold True or False in every row, got {value!r}.")
    return bool(flag)
