"""What must hold before training starts, so that a mitigation never silently does nothing."""

from __future__ import annotations

from collections.abc import Collection

from transformers import Trainer

from mitigate.callbacks.host import training_columns, training_flags, training_rows
from mitigate.provenance import ProvenanceError, row_segments


def check_provenance(trainer: Trainer, column: str, tag_ids: Collection[int]) -> None:
    """
    Refuse to train on rows that do not tell, or that are all real or all augmented.

    A data set that is streamed cannot be looked through beforehand; there the callbacks watch the batches.

    Args:
        trainer (`Trainer`):
            The trainer.
        column (`str`):
            Name of the provenance column.
        tag_ids (`Collection[int]`):
            Ids that mark augmented text where the column is gone.

    Raises:
        ProvenanceError: If neither the column nor a tag can tell the rows apart.
        ValueError: If no row is augmented, or none is real.
    """
    columns = training_columns(trainer)
    if columns is None:
        return
    flags = training_flags(trainer, column)
    if flags is None and column not in columns and tag_ids:
        flags = _tagged(trainer, tag_ids)
    elif flags is None and column not in columns:
        raise ProvenanceError(
            f"`{column}` is not a column of the training data set once the trainer has prepared it (columns: "
            f"{', '.join(columns)}), and no tag marks augmented text, so real and augmented rows cannot be told "
            f"apart. Add a boolean column `{column}`, or name yours with `column=…`. Packing drops every column: "
            "there, wrap the tokenizer with `BiasTagTokenizer.wrap` and tag the data set with its `tag` method."
        )
    if flags is None:
        return
    augmented = sum(bool(flag) for flag in flags)
    if augmented == 0:
        raise ValueError(
            f"No augmented row among the {len(flags)} training rows (bias ratio 0), so there is nothing to mitigate: "
            f"check column `{column}`, or leave the callback out."
        )
    if augmented == len(flags):
        raise ValueError(
            f"All {len(flags)} training rows are augmented (bias ratio 1); the bias ratio must lie in [0, 1). Add "
            f"real rows, or check column `{column}`."
        )


def _tagged(trainer: Trainer, tag_ids: Collection[int]) -> list[bool]:
    flags: list[bool] = []
    for row in training_rows(trainer):
        flags += [segment.augmented for segment in row_segments(row, tag_ids=tag_ids)]
        if True in flags and False in flags:  # enough is known, and reading on takes minutes for millions of rows
            break
    return flags
