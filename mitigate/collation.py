"""A collator around the trainer's own that acts on augmented rows before they are batched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import torch

from mitigate.provenance import AUGMENTED_COLUMN, Segment, as_lists, row_segments

Row = dict[str, Any]
Collator = Callable[[list[Row]], Any]


class RowStep(Protocol):
    """
    A change of one tokenized row, such as masking its sensitive words.

    Attributes:
        ignored_ids (`frozenset[int]`):
            Ids that the step writes and that must never count in the loss.
    """

    ignored_ids: frozenset[int]

    def __call__(self, row: Row, segments: list[Segment]) -> tuple[Row, list[Segment]]:
        """Return the changed row, a new object, and its segments."""
        ...


class ProvenanceCollator:
    """
    Apply steps to the rows of a batch, hand them to another collator, and record which were augmented.

    The provenance column is taken out of the rows before the inner collator sees them, so any collator works: those of
    transformers, of TRL, or your own.

    Args:
        collator (`Callable`):
            The collator that makes the batch.
        column (`str`, *optional*, defaults to `"augmented"`):
            Boolean column that tells augmented rows.
        tag_ids (`Collection[int]`, *optional*):
            Token ids that mark augmented text where the column is gone.
        steps (`Sequence[RowStep]`, *optional*):
            Changes to make, in this order.
        emit (`bool`, *optional*, defaults to `False`):
            Whether the batch carries `batch[column]`, a boolean tensor of shape `(number of segments,)` in the order
            of the rows. A model does not accept it: who asks for it must take it out again.
    """

    def __init__(
        self,
        collator: Collator,
        *,
        column: str = AUGMENTED_COLUMN,
        tag_ids: Collection[int] = (),
        steps: Sequence[RowStep] = (),
        emit: bool = False,
    ) -> None:
        self.collator = collator
        self.column = column
        self.tag_ids = frozenset(tag_ids)
        self.steps = tuple(steps)
        self.emit = emit

    def __call__(self, rows: list[Row]) -> Any:
        """
        Collate rows.

        Args:
            rows (`list[dict]`):
                Tokenized rows with `input_ids` and the provenance column or a tag.

        Returns:
            The batch of the inner collator. Where it has token-level `labels`, positions that hold an id written by a
            step, or a tag, are set to -100.

        Raises:
            ProvenanceError: If nothing tells real and augmented rows apart.
        """
        augmented: list[bool] = []
        prepared: list[Row] = []
        for row in (as_lists(row, self.column) for row in rows):
            segments = row_segments(row, column=self.column, tag_ids=self.tag_ids)
            row = {key: value for key, value in row.items() if key != self.column}
            for step in self.steps:
                row, segments = step(row, segments)
            prepared.append(row)
            augmented += [segment.augmented for segment in segments]
        batch = self.collator(prepared)
        self._ignore_in_loss(batch)
        if self.emit:
            batch[self.column] = torch.tensor(augmented)
        return batch

    def _ignore_in_loss(self, batch: Any) -> None:
        ignored = self.tag_ids.union(*(step.ignored_ids for step in self.steps))
        labels = batch.get("labels")
        if labels is None or labels.is_floating_point() or labels.shape != batch["input_ids"].shape:
            return  # none, or one a row
        if ignored:
            written = torch.isin(batch["input_ids"], torch.tensor(sorted(ignored)))
            batch["labels"] = labels.masked_fill(written, -100)
