"""The sequences of a batch: what edits of their texts mean for loss, attention and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mitigate.placement import Place
from mitigate.texts import Edit, Layout, Row, Text

# The texts of a row by their fields, each with the edits that were made in it.
EditedRow = Mapping[str, tuple[Text, list[Edit]]]

# TRL's KTO trainer estimates a divergence from prompts with the answers of other rows.
_MISMATCHED = "KL_"

# What of a batch tells which tokens count in the loss, and the value for those that do not.
_OUT_OF_LOSS = {"labels": -100, "completion_mask": 0}


@dataclass(frozen=True)
class EditedSequence:
    """
    A sequence of the batch.

    Args:
        texts (`list[Text]`):
            The texts that it is put together from.
        edits (`list[list[Edit]]`):
            The edits that were made in each.
    """

    texts: list[Text]
    edits: list[list[Edit]]

    def __len__(self) -> int:
        return sum(len(text.ids) for text in self.texts)


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
    return [_joined([row[field] for field in fields]) for fields in layout for row in rows]


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
    return [_joined([row["prompt_ids"], answer]) for row, answer in zip(rows, answers, strict=True)]


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


def _joined(texts: Sequence[tuple[Text, list[Edit]]]) -> EditedSequence:
    return EditedSequence([text for text, _ in texts], [edits for _, edits in texts])


def provenance_of(batch: Mapping[str, Any], sequences: list[EditedSequence], places: list[Place]) -> torch.Tensor:
    """
    Tell for each token of a batch where it comes from.

    Args:
        batch (`Mapping[str, Any]`):
            The batch.
        sequences (`list[EditedSequence]`):
            Its sequences.
        places (`list[Place]`):
            Where they are.

    Returns:
        `torch.Tensor` of shape `(rows, length)`, int64: -1 for padding, else `2 * segment + augmented`.
    """
    tensor = torch.full(batch["input_ids"].shape, -1)
    numbers = [0] * len(tensor)
    for sequence, place in zip(sequences, places, strict=True):
        offset, in_first = place.offset, len(sequence.texts[0].ids)
        for segment in sequence.texts[0].segments:
            # The answer of a preference row belongs to the segment of its prompt.
            stop = len(sequence) if segment.stop == in_first else segment.stop
            span = slice(max(offset + segment.start, place.start), min(offset + stop, place.stop))
            tensor[place.row, span] = 2 * numbers[place.row] + segment.augmented
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
    shape = batch["input_ids"].shape
    for sequence, place in zip(sequences, places, strict=True):
        offset = place.offset
        for text, edits in zip(sequence.texts, sequence.edits, strict=True):
            for edit in edits:
                span = slice(max(offset + edit.start, place.start), min(offset + edit.stop, place.stop))
                for field, value in _OUT_OF_LOSS.items():
                    tensor: Any = batch.get(field)
                    a_token = tensor is not None and not tensor.is_floating_point() and tensor.shape == shape
                    if a_token and not edit.in_loss:
                        tensor[place.row, span] = value
                if not edit.attended:
                    _hide(batch, place.row, span)
            offset += len(text.ids)


def _hide(batch: Mapping[str, Any], row: int, span: slice) -> None:
    if "attention_mask" not in batch:
        raise ValueError(
            "Masking by `mode='attention'` needs batches with an `attention_mask`, and padding-free ones (as packing "
            "makes them) have none: choose another mode, such as 'placeholder'."
        )
    batch["attention_mask"][row, span] = 0
