"""The sequences of a batch: what edits of their texts mean for loss, attention and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch

from mitigate.batches.edits import Edit
from mitigate.batches.placement import Place
from mitigate.batches.texts import Layout, Row, Text
from mitigate.provenance import GROUP_SHIFT
from mitigate.words.hashes import Flags, Integers

# The texts of a row by their fields, each with the edits that were made in it.
EditedRow = Mapping[str, tuple[Text, list[Edit]]]

# TRL's KTO trainer estimates a divergence from prompts with the answers of other rows.
_MISMATCHED = "KL_"

# What of a batch tells which tokens count in the loss, and the value for those that do not.
_OUT_OF_LOSS = {"labels": -100, "completion_mask": 0}


# A sequence of the batch: the texts that it is put together from, each with the edits that were made in it.
EditedSequence = list[tuple[Text, list[Edit]]]


def edited_sequences(layout: Layout, rows: Sequence[EditedRow]) -> list[EditedSequence]:
    """
    Put texts together.

    Args:
        layout (`Layout`):
            The fields of each sequence of a row.
        rows (`Sequence[EditedRow]`):
            The rows.

    Returns:
        `list[EditedSequence]`: In the order of the batch: the first sequence of each row, then the second ones.
    """
    return [[row[field] for field in fields] for fields in layout for row in rows]


def token_count(sequence: EditedSequence) -> int:
    """
    Count the tokens of a sequence.

    Args:
        sequence (`EditedSequence`):
            The sequence.

    Returns:
        `int`: Tokens of all its texts.
    """
    return sum(len(text.ids) for text, _ in sequence)


def mismatch(prepared: list[Row], rows: Sequence[EditedRow]) -> list[EditedSequence]:
    """
    Pair prompts with the answers of other rows anew, as the answers now are.

    TRL's KTO trainer did so when it prepared the data, each answer going to the next row of the batch; it wants the
    mismatched answers of a batch to be the matched ones, only moved.

    Args:
        prepared (`list[dict]`):
            The rows of a batch, changed in place if they have mismatched answers.
        rows (`Sequence[EditedRow]`):
            Their texts.

    Returns:
        `list[EditedSequence]`: The mismatched sequences; empty if the rows have none.
    """
    field = f"{_MISMATCHED}completion_ids"
    if field not in prepared[0]:
        return []
    answers = [row["completion_ids"] for row in rows]
    answers = [*answers[-1:], *answers[:-1]]
    for row, (answer, _) in zip(prepared, answers, strict=True):
        row[field] = answer.ids
    return [[row["prompt_ids"], answer] for row, answer in zip(rows, answers, strict=True)]


def mismatched_part(batch: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give the part of a batch that holds the mismatched sequences.

    Args:
        batch (`Mapping[str, Any]`):
            The batch.

    Returns:
        `dict[str, Any]`: Its own tensors, by the names that they have elsewhere.
    """
    return {key.removeprefix(_MISMATCHED): value for key, value in batch.items() if key.startswith(_MISMATCHED)}


def provenance_of(
    batch: Mapping[str, Any], sequences: list[EditedSequence], places: list[Place], groups: Sequence[int]
) -> torch.Tensor:
    """
    Tell for each token of a batch where it comes from.

    Args:
        batch (`Mapping[str, Any]`):
            The batch.
        sequences (`list[EditedSequence]`):
            Its sequences.
        places (`list[Place]`):
            Where they are.
        groups (`Sequence[int]`):
            The group of each row, 0 to 2³¹ - 1. The sequences are those of the rows, once or several times over.

    Returns:
        `torch.Tensor` of shape `(rows, length)`, int64: -1 for padding, else `2³² * group + 2 * segment + augmented`.
    """
    tensor = torch.full(batch["input_ids"].shape, -1)
    numbers = [0] * len(tensor)
    for sequence, place, group in zip(sequences, places, cycle(groups), strict=False):
        offset, opening = place.offset, sequence[0][0]
        for segment in opening.segments:
            # The answer of a preference row belongs to the segment of its prompt.
            stop = token_count(sequence) if segment.stop == len(opening.ids) else segment.stop
            span = slice(max(offset + segment.start, place.start), min(offset + stop, place.stop))
            tensor[place.row, span] = (group << GROUP_SHIFT) + 2 * numbers[place.row] + segment.augmented
            numbers[place.row] += 1
    return tensor


def settle(batch: Mapping[str, Any], sequences: list[EditedSequence], places: list[Place]) -> None:
    """
    Carry over into a batch what edits say of loss and attention: its collator may have made these anew.

    Args:
        batch (`Mapping[str, Any]`):
            The batch, its tensors changed in place.
        sequences (`list[EditedSequence]`):
            Its sequences.
        places (`list[Place]`):
            Where they are.
    """
    edits = [edit for sequence in sequences for _, of_text in sequence for edit in of_text]
    if not edits:
        return
    texts = _edited_texts(sequences, places)
    starts, stops, _, in_loss, attended = zip(*edits, strict=True)
    spans = np.array([starts, stops])
    shape = batch["input_ids"].shape
    silenced = _tokens(spans, texts, ~np.array(in_loss))
    for field, value in _OUT_OF_LOSS.items():
        tensor: Any = batch.get(field)
        if tensor is not None and not tensor.is_floating_point() and tensor.shape == shape:
            tensor[silenced] = value
    if not all(attended):
        if "attention_mask" not in batch:
            raise ValueError(
                "Masking by `mode='attention'` needs batches with an `attention_mask`, and padding-free ones (as "
                "packing makes them) have none: choose another mode, such as 'placeholder'."
            )
        batch["attention_mask"][_tokens(spans, texts, ~np.array(attended))] = 0


def _edited_texts(sequences: list[EditedSequence], places: list[Place]) -> Integers:
    """Return for each edit the row of its text, where in the row it starts, and where what is left of it lies."""
    texts, counts = [], []
    for sequence, (row, offset, start, stop) in zip(sequences, places, strict=True):
        for text, edits in sequence:
            texts.append((row, offset, start, stop))
            counts.append(len(edits))
            offset += len(text.ids)
    return np.repeat(np.array(texts), counts, axis=0).T


def _tokens(spans: Integers, texts: Integers, chosen: Flags) -> tuple[torch.Tensor, torch.Tensor]:
    """Return row and position of each token in the batch that chosen edits wrote."""
    rows, offsets, first, end = texts[:, chosen]
    starts, stops = spans[:, chosen] + offsets
    starts, stops = np.maximum(starts, first), np.minimum(stops, end)
    lengths = np.maximum(stops - starts, 0)
    before = np.cumsum(lengths) - lengths
    positions = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    return torch.from_numpy(np.repeat(rows, lengths)), torch.from_numpy(positions)
