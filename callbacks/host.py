"""The trainer that a callback works in, and what a callback needs of it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from transformers import Trainer, TrainerCallback

from mitigate.collation import ProvenanceCollator, RowStep


def calling_trainer() -> Trainer:
    """
    Find the trainer that is calling the callback.

    Transformers hands callbacks everything but the trainer, which alone knows which columns its data sets keep, how
    many micro-batches the current step has, and in which order its callbacks report. Users add one callback and change
    nothing else, so it is read off the call stack.

    Returns:
        `Trainer`: The trainer.

    Raises:
        RuntimeError: If no trainer is calling.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, Trainer):
            return owner
        frame = frame.f_back
    raise RuntimeError("A mitigation callback works inside a `Trainer` only: pass it as `callbacks=[…]`.")


def keep_column(trainer: Trainer, column: str) -> None:
    """
    Keep the trainer from dropping the provenance column before its rows are collated.

    The trainer's own collator does not get to see the column, neither in training nor in evaluation.

    Args:
        trainer (`Trainer`):
            The trainer, just constructed.
        column (`str`):
            Name of the column.
    """
    # `remove_unused_columns=False` would do, but then the user's collator meets columns that it never saw before.
    trainer._set_signature_columns_if_needed()
    kept: list[str] = trainer._signature_columns or []
    if column not in kept:
        kept.append(column)
    if not isinstance(trainer.data_collator, (ProvenanceCollator, _DropColumn)):
        trainer.data_collator = _DropColumn(trainer.data_collator, column)


def require_constructor(callback: TrainerCallback, trainer: Trainer, constructed_for: Trainer | None) -> None:
    """
    Make sure that a callback was there when its trainer was constructed.

    Args:
        callback (`TrainerCallback`):
            The callback.
        trainer (`Trainer`):
            The trainer that is about to train.
        constructed_for (`Trainer`, *optional*):
            The trainer at whose construction the callback was called.

    Raises:
        RuntimeError: If that was another trainer, or none.
    """
    if constructed_for is not trainer:
        name = type(callback).__name__
        raise RuntimeError(
            f"`{name}` must be given to the trainer's constructor, as `callbacks=[{name}(…)]`: added later, it finds "
            "the data prepared without it."
        )


def act_on_rows(
    trainer: Trainer, loader: Any, *, column: str, tag_ids: Sequence[int], steps: Sequence[RowStep], emit: bool
) -> None:
    """
    Have the training rows pass through steps, and their provenance through to the model's keyword arguments.

    Args:
        trainer (`Trainer`):
            The trainer.
        loader (`torch.utils.data.DataLoader`):
            Its training data loader, changed in place.
        column (`str`):
            Name of the provenance column.
        tag_ids (`Sequence[int]`):
            Ids that mark augmented text where the column is gone.
        steps (`Sequence[RowStep]`):
            Steps to add.
        emit (`bool`):
            Whether the batch carries the provenance.
    """
    # Accelerate's loaders pass reading, but not writing, on to the one they wrap.
    loader = getattr(loader, "base_dataloader", loader)
    inner = loader.collate_fn
    if isinstance(inner, _DropColumn):
        inner = inner.collator
    if isinstance(inner, ProvenanceCollator):
        # Another of our components acts here already: one collator does the work of both.
        if inner.column != column:
            raise ValueError(
                f"Two mitigations of one trainer read different columns, `{inner.column}` and `{column}`: give both "
                "the same `column`."
            )
        steps, emit = (*inner.steps, *steps), emit or inner.emit
        tag_ids, inner = sorted({*inner.tag_ids, *tag_ids}), inner.collator
    loader.collate_fn = ProvenanceCollator(inner, column=column, tag_ids=tag_ids, steps=steps, emit=emit)


def report_first(trainer: Trainer, callback: TrainerCallback) -> None:
    """
    Move a callback before those that report to trackers, so that what it adds to the logs reaches all of them.

    Args:
        trainer (`Trainer`):
            The trainer.
        callback (`TrainerCallback`):
            One of its callbacks.
    """
    callbacks = trainer.callback_handler.callbacks
    callbacks.insert(0, callbacks.pop(callbacks.index(callback)))


class _DropColumn:
    """Collator that hides the provenance column from the one it wraps."""

    def __init__(self, collator: Any, column: str) -> None:
        self.collator = collator
        self.column = column

    def __call__(self, rows: list[Any]) -> Any:
        return self.collator([{key: value for key, value in row.items() if key != self.column} for row in rows])

    def __getattr__(self, name: str) -> Any:
        if name == "collator":  # not there yet while being unpickled
            raise AttributeError(name)
        return getattr(self.collator, name)


def training_rows(trainer: Trainer) -> Any:
    """
    Give the training data set.

    Args:
        trainer (`Trainer`):
            The trainer.

    Returns:
        `Dataset` or `IterableDataset`: The rows as the trainer prepared them.

    Raises:
        ValueError: If it has none.
    """
    if trainer.train_dataset is None:
        raise ValueError("The trainer has no `train_dataset`, so there is nothing to mitigate.")
    return trainer.train_dataset


def training_columns(trainer: Trainer) -> list[str] | None:
    """
    Name the columns of the training data set.

    Args:
        trainer (`Trainer`):
            The trainer.

    Returns:
        `list[str]` or `None`: The names, `None` where they cannot be known before the rows are read.
    """
    names: list[str] | None = getattr(training_rows(trainer), "column_names", None)
    return names


def training_flags(trainer: Trainer, column: str) -> list[bool] | None:
    """
    Read the provenance column of the training data set.

    Args:
        trainer (`Trainer`):
            The trainer.
        column (`str`):
            Name of the column.

    Returns:
        `list[bool]` or `None`: One value a row; `None` if the data set is a stream or lacks the column.
    """
    dataset = training_rows(trainer)
    if not isinstance(dataset, Dataset) or column not in dataset.column_names:
        return None
    return list(dataset[column])
