"""What must hold before training starts, so that a mitigation never silently does nothing."""

from __future__ import annotations

from collections.abc import Collection

from transformers import Trainer

from mitigate.callbacks.host import training_columns, training_flags, training_rows
from mitigate.provenance import ProvenanceError, as_flag, as_lists, row_segments


def check_provenance(trainer: Trainer, column: str, tag_ids: Collection[int]) -> None:
    """
    Refuse to train on rows that do not tell, or that are all real or all augmented.

    A data set that is streamed cannot be looked through beforehand, so there nothing but the columns is checked.

    Args:
        trainer (`Trainer`):
            The trainer.
        column (`str`):
            Name of the provenance column.
        tag_ids (`Collection[int]`):
            Ids that mark augmented text where the column is gone.

    Raises:
        ProvenanceError: If neither the column nor a tag can tell the rows apart.
        ValueError: If the rows are not those of `Trainer` or `SFTTrainer`, or if no row is augmented, or none is real.
    """
    columns = training_columns(trainer)
    if columns is None:
        return
    if "input_ids" not in columns:
        raise ValueError(
            f"Mitigations need rows with `input_ids`, as `Trainer` and `SFTTrainer` have them; those of "
            f"`{type(trainer).__name__}` have {', '.join(columns)}. Preference and online trainers are not supported."
        )
    strategy = getattr(trainer.args, "packing_strategy", "bfd")
    if getattr(trainer.args, "packing", False) and column not in columns and strategy != "bfd":
        raise ProvenanceError(
            f"`packing_strategy='{strategy}'` cuts texts apart, and the pieces without a tag would pass for real. Use "
            "`packing_strategy='bfd'`."
        )
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
    augmented = sum(as_flag(flag, column) for flag in flags)
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
        flags += [segment.augmented for segment in row_segments(as_lists(row, ""), tag_ids=tag_ids)]
        if True in flags and False in flags:  # enough is known, and reading on takes minutes for millions of rows
            break
    return flags
