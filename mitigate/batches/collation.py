"""A collator around the trainer's own that acts on augmented rows before they are batched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from mitigate.batches.edits import Edit, apply_edits, merge_edits
from mitigate.batches.placement import Place, place_sequences
from mitigate.batches.sequences import (
    EditedRow,
    EditedSequence,
    edited_sequences,
    mismatch,
    mismatched_part,
    provenance_of,
    settle,
    token_count,
)
from mitigate.batches.tally import Tally
from mitigate.batches.texts import Row, Text, layout_of, read_texts, write_texts
from mitigate.provenance import ProvenanceSource, group_code

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
            padding, else `2³² * group + 2 * segment + augmented`, with the segments of each row numbered from 0 on.
            A model does not accept it: who asks for it must take it out again.
        group_column (`str`, *optional*):
            Column that tells the group of each row, see [`~mitigate.provenance.group_code`]; it is taken out as well.
            Without it all are of group 0.

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
        group_column: str | None = None,
    ) -> None:
        self.collator = collator
        self.source = source
        self.steps = tuple(steps)
        self.emit = emit
        self.group_column = group_column
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
            ValueError: If a row does not tell its group, or the inner collator lays the batch out in a way that is not
                understood.
        """
        groups = [0] * len(rows)
        if self.group_column is not None:
            groups = [group_code(row, self.group_column) for row in rows]
            rows = [{key: value for key, value in row.items() if key != self.group_column} for row in rows]
        prepared, edited = self._prepare(rows)
        sequences = edited_sequences(layout_of(rows[0]) or (), edited)
        self._count(sequences[: len(rows)])
        edited_any = any(edits for row in edited for _, edits in row.values())
        mismatched = mismatch(prepared, edited) if edited_any else []
        batch = self.collator(prepared)
        if edited_any or self.emit:
            places = self._places(batch, sequences)
            # Those of an encoder-decoder are a text of their own, which is settled already.
            apart = ("labels",) if self.source.encoder_decoder else ()
            settle({key: value for key, value in batch.items() if key not in apart}, sequences, places)
            if self.emit:
                batch[self.source.column] = provenance_of(batch, sequences, places, groups)
        if mismatched:
            part = mismatched_part(batch)
            settle(part, mismatched, self._places(part, mismatched))
        return batch

    def _prepare(self, rows: list[Row]) -> tuple[list[Row], list[EditedRow]]:
        """Edit the rows; return them as the inner collator gets them, and their texts with the edits."""
        read = [read_texts(row, self.source) for row in rows]
        texts = [text for of_row in read for text in of_row.values()]
        changed = iter([apply_edits(text, edits) for text, edits in zip(texts, self._edits(texts), strict=True)])
        edited: list[EditedRow] = [{field: next(changed) for field in of_row} for of_row in read]
        prepared = [
            write_texts(row, [text for text, _ in of_row.values()], self.source.column)
            for row, of_row in zip(rows, edited, strict=True)
        ]
        return prepared, edited

    def _places(self, batch: Mapping[str, Any], sequences: list[EditedSequence]) -> list[Place]:
        truncation = getattr(self.collator, "truncation_mode", "keep_start")
        return place_sequences(batch, list(map(token_count, sequences)), truncation)

    def _edits(self, texts: list[Text]) -> list[list[Edit]]:
        made = [step.edits(texts, self.epoch) for step in self.steps]
        for step, of_step in zip(self.steps, made, strict=True):
            self.tally.add(**{step.name: sum(map(len, of_step))})
        return [merge_edits(of_text) for of_text in zip(*made, strict=True)] or [[] for _ in texts]

    def _count(self, sequences: list[EditedSequence]) -> None:
        rows, tokens = [0, 0], [0, 0]
        for sequence in sequences:
            for text, _ in sequence:
                for start, stop, augmented in text.segments:
                    rows[augmented] += text.opens
                    tokens[augmented] += stop - start
        self.tally.add(**dict(zip(_COUNTED, [*rows, *tokens], strict=True)))
