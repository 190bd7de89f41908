"""A collator around the trainer's own that acts on augmented rows before they are batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from mitigate.placement import Place, place_sequences
from mitigate.provenance import ProvenanceSource
from mitigate.tally import Tally
from mitigate.texts import Edit, Layout, Row, Text, apply_edits, layout_of, merge_edits, read_texts, write_texts

Collator = Callable[[list[Row]], Any]

_COUNTED = ("real_rows", "augmented_rows", "real_tokens", "augmented_tokens")


class TextStep(Protocol):
    """
    A maker of edits, such as one that masks sensitive words.

    Attributes:
        name (`str`):
            What its edits are counted as.
    """

    name: str

    def edits(self, texts: Sequence[Text], epoch: int) -> list[list[Edit]]:
        """Return the edits of each text; those of one epoch are always the same."""
        ...


@dataclass(frozen=True)
class _Sequence:
    """A sequence of the batch: its texts, and the edits that were made in each."""

    texts: list[Text]
    edits: list[list[Edit]]

    def __len__(self) -> int:
        return sum(len(text.ids) for text in self.texts)


class ProvenanceCollator:
    """
    Apply steps to the rows of a batch, hand them to another collator, and record which were augmented.

    The provenance column is taken out of the rows before the inner collator sees them, so any collator works: those of
    transformers, of TRL, or your own.

    Args:
        collator (`Callable`):
            The collator that makes the batch.
        source (`ProvenanceSource`):
            What tells augmented rows.
        steps (`Sequence[TextStep]`, *optional*):
            Makers of edits. Where two edit the same token, the first of them has it.
        emit (`bool`, *optional*, defaults to `False`):
            Whether the batch carries `batch[source.column]`, an int64 tensor of shape `(rows, length)`: -1 for
            padding, else `2 * segment + augmented`, with the segments of each row numbered from 0 on. A model does not
            accept it: who asks for it must take it out again.

    Attributes:
        epoch (`int`):
            The epoch that random steps draw for; set it when one begins.
        tally (`Tally`):
            How many rows and tokens of either kind came by (`real_rows`, `augmented_rows`, `real_tokens`,
            `augmented_tokens`), and the edits of each step, by its name.
    """

    def __init__(
        self,
        collator: Collator,
        source: ProvenanceSource,
        *,
        steps: Sequence[TextStep] = (),
        emit: bool = False,
    ) -> None:
        self.collator = collator
        self.source = source
        self.steps = tuple(steps)
        self.emit = emit
        self.tally = Tally((*_COUNTED, *dict.fromkeys(step.name for step in steps)))
        # In shared memory, for persistent workers of a data loader keep their copy of the collator.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        """`int`: The epoch that random steps draw for."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch[0] = epoch

    def __call__(self, rows: list[Row]) -> Any:
        """
        Collate rows.

        Args:
            rows (`list[dict]`):
                Tokenized rows as `Trainer`, or the trainer of supervised, preference or reward modelling of TRL, have
                them.

        Returns:
            The batch of the inner collator. What steps wrote does not count in the loss, unless the step says so.

        Raises:
            ProvenanceError: If nothing tells real and augmented rows apart.
            ValueError: If the inner collator lays the batch out in a way that is not understood.
        """
        layout = layout_of(rows[0])
        texts = [read_texts(row, self.source) for row in rows]
        edits = self._edits(texts)
        prepared: list[Row] = []
        edited: list[dict[str, tuple[Text, list[Edit]]]] = []
        for row, of_row, edits_of_row in zip(rows, texts, edits, strict=True):
            changed = {field: apply_edits(text, edits_of_row[field]) for field, text in of_row.items()}
            prepared.append(
                write_texts(row, {field: text for field, (text, _) in changed.items()}, self.source.column)
            )
            edited.append(changed)
        sequences = _sequences(layout or (), edited)
        self._count(sequences[: len(rows)])
        batch = self.collator(prepared)
        edited_any = any(any(of_text) for sequence in sequences for of_text in sequence.edits)
        if edited_any or self.emit:
            places = place_sequences(batch, list(map(len, sequences)), self._truncation)
            provenance = _provenance(batch, sequences, places)
            _settle(batch, sequences, places)
            if self.emit:
                batch[self.source.column] = provenance
        return batch

    @property
    def _truncation(self) -> str:
        return getattr(self.collator, "truncation_mode", "keep_start")

    def _edits(self, rows: list[dict[str, Text]]) -> list[dict[str, list[Edit]]]:
        texts = [text for row in rows for text in row.values()]
        made = [step.edits(texts, self.epoch) for step in self.steps]
        for step, of_step in zip(self.steps, made, strict=True):
            self.tally.add(**{step.name: sum(map(len, of_step))})
        merged = iter([merge_edits(of_text) for of_text in zip(*made, strict=True)] or [[] for _ in texts])
        return [{field: next(merged) for field in row} for row in rows]

    def _count(self, sequences: list[_Sequence]) -> None:
        counts = dict.fromkeys(_COUNTED, 0)
        for sequence in sequences:
            for text in sequence.texts:
                for segment in text.segments:
                    kind = "augmented" if segment.augmented else "real"
                    counts[f"{kind}_rows"] += text.opens
                    counts[f"{kind}_tokens"] += segment.stop - segment.start
        self.tally.add(**counts)


def _sequences(layout: Layout, rows: list[dict[str, tuple[Text, list[Edit]]]]) -> list[_Sequence]:
    return [
        _Sequence([row[field][0] for field in fields], [row[field][1] for field in fields])
        for fields in layout
        for row in rows
    ]


def _provenance(batch: Any, sequences: list[_Sequence], places: list[Place]) -> torch.Tensor:
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


def _settle(batch: Any, sequences: list[_Sequence], places: list[Place]) -> None:
    """Carry over into the batch what edits say of loss and attention: the inner collator may have made these anew."""
    shape = batch["input_ids"].shape
    for sequence, place in zip(sequences, places, strict=True):
        offset = place.offset
        for text, edits in zip(sequence.texts, sequence.edits, strict=True):
            for edit in edits:
                span = slice(max(offset + edit.start, place.start), min(offset + edit.stop, place.stop))
                for field, value in (("labels", -100), ("completion_mask", 0)):
                    tensor = batch.get(field)
                    a_token = tensor is not None and not tensor.is_floating_point() and tensor.shape == shape
                    if a_token and not edit.in_loss:
                        tensor[place.row, span] = value
                if not edit.attended:
                    _hide(batch, place.row, span)
            offset += len(text.ids)


def _hide(batch: Any, row: int, span: slice) -> None:
    if "attention_mask" not in batch:
        raise ValueError(
            "Masking by `mode='attention'` needs batches with an `attention_mask`, and padding-free ones (as packing "
            "makes them) have none: choose another mode, such as 'placeholder'."
        )
    batch["attention_mask"][row, span] = 0
