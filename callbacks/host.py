"""The trainer that a callback works in, and what a callback needs of it."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from transformers import Trainer, TrainerCallback

from mitigate.batches import ProvenanceCollator, TextStep, is_encoder_decoder
from mitigate.provenance import MARK, ProvenanceError, ProvenanceSource
from mitigate.tags import BiasTagTokenizer, RemoveTags, SilenceTags, WriteTags


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


def trainer_variable(name: str) -> Any:
    """
    Read a variable of the trainer's loop, from within one of its events.

    A trainer hands its callbacks neither the batches of the step that begins, nor the checkpoint from which it
    resumes, nor the trial of a search. Like the trainer itself, they are read off the call stack.

    Args:
        name (`str`):
            Name of the variable.

    Returns:
        Its value.

    Raises:
        RuntimeError: If no method of a trainer that is calling has such a variable.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), Trainer) and name in frame.f_locals:
            return frame.f_locals[name]
        frame = frame.f_back
    raise RuntimeError(f"No `Trainer` with a `{name}` is calling: is this one of its events?")


def keep_column(trainer: Trainer, column: str) -> None:
    """
    Keep the trainer from dropping a column, such as that of the provenance, before its rows are collated.

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
    collator = trainer.data_collator
    dropped: tuple[str, ...] = ()
    if isinstance(collator, _DropColumns):
        collator, dropped = collator.collator, collator.columns
    if isinstance(collator, ProvenanceCollator) and collator.source.column == column:
        return  # it reads the column, and drops it itself
    trainer.data_collator = _DropColumns(collator, (*dropped, column))


def keep_groups(trainer: Trainer, column: str) -> None:
    """
    Keep the trainer from dropping the column that tells the groups of rows.

    Args:
        trainer (`Trainer`):
            The trainer, just constructed.
        column (`str`):
            Name of the column.

    Raises:
        ValueError: If the model takes that column.
    """
    trainer._set_signature_columns_if_needed()
    if column in (trainer._signature_columns or []):
        raise ValueError(
            f"`condition='{column}'` names a column that the model is given, which cannot be taken out of the batch: "
            "say 'labels' for the labels of a sequence classifier, or copy the column under another name."
        )
    keep_column(trainer, column)


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


def provenance_source(trainer: Trainer, column: str, tag_ids: Collection[int] = ()) -> ProvenanceSource:
    """
    Tell where the rows of a trainer say whether they are augmented.

    Args:
        trainer (`Trainer`):
            The trainer. If its tokenizer is a [`BiasTagTokenizer`], its tags or hidden marks count as well.
        column (`str`):
            Name of the boolean column, which decides where the rows still have it.
        tag_ids (`Collection[int]`, *optional*):
            Further ids that mark augmented text.

    Returns:
        `ProvenanceSource`: Column, tags and marks.
    """
    tokenizer: object = trainer.processing_class
    source = ProvenanceSource(column, frozenset(tag_ids), encoder_decoder=is_encoder_decoder(trainer.model))
    if not isinstance(tokenizer, BiasTagTokenizer):
        return source
    return replace(source, tag_ids=source.tag_ids.union(tokenizer.augmented_tag_ids), marked=tokenizer.hidden)


def act_on_rows(
    trainer: Trainer,
    loader: Any,
    source: ProvenanceSource,
    *,
    steps: Sequence[TextStep] = (),
    emit: bool = False,
    group_column: str | None = None,
) -> None:
    """
    Have the training rows pass through steps, and their provenance through to the model's keyword arguments.

    Args:
        trainer (`Trainer`):
            The trainer.
        loader (`torch.utils.data.DataLoader`):
            Its training data loader, changed in place.
        source (`ProvenanceSource`):
            What tells augmented rows.
        steps (`Sequence[TextStep]`, *optional*):
            Steps to add.
        emit (`bool`, *optional*, defaults to `False`):
            Whether the batch carries the provenance.
        group_column (`str`, *optional*):
            Column that tells the group of each row.
    """
    # Accelerate's loaders pass reading, but not writing, on to the one they wrap.
    loader = getattr(loader, "base_dataloader", loader)
    inner = loader.collate_fn
    if isinstance(inner, _DropColumns):
        inner = inner.collator
    if isinstance(inner, ProvenanceCollator):
        # Another of our components acts here already: one collator does the work of both.
        source = replace(source, tag_ids=source.tag_ids | inner.source.tag_ids)
        steps, emit, group_column = (*inner.steps, *steps), emit or inner.emit, group_column or inner.group_column
        inner = inner.collator
    steps = _with_tag_step(trainer, steps)
    loader.collate_fn = ProvenanceCollator(inner, source, steps=steps, emit=emit, group_column=group_column)


def acting_collator(loader: Any) -> ProvenanceCollator:
    """
    Give the collator that [`act_on_rows`] put into a loader.

    Args:
        loader (`torch.utils.data.DataLoader`):
            The training data loader.

    Returns:
        `ProvenanceCollator`: Its collator.
    """
    collator: ProvenanceCollator = getattr(loader, "base_dataloader", loader).collate_fn
    return collator


def _with_tag_step(trainer: Trainer, steps: Sequence[TextStep]) -> list[TextStep]:
    """Have the tags that the rows carry taken out of the texts if they are hidden, else out of the loss."""
    kept = [step for step in steps if not isinstance(step, (RemoveTags, SilenceTags))]
    tokenizer: object = trainer.processing_class
    if isinstance(tokenizer, BiasTagTokenizer) and not any(isinstance(step, WriteTags) for step in kept):
        kept.append((RemoveTags if tokenizer.hidden else SilenceTags)(tokenizer.tag_ids))
    return kept


def report_first(trainer: Trainer, callback: TrainerCallback, place: int = 0) -> None:
    """
    Move a callback before those that report to trackers, so that what it adds to the logs reaches all of them.

    Args:
        trainer (`Trainer`):
            The trainer.
        callback (`TrainerCallback`):
            One of its callbacks.
        place (`int`, *optional*, defaults to 0):
            Its new place among them.
    """
    callbacks = trainer.callback_handler.callbacks
    callbacks.insert(place, callbacks.pop(callbacks.index(callback)))


class _DropColumns:
    """Collator that hides columns from the one it wraps."""

    def __init__(self, collator: Any, columns: tuple[str, ...]) -> None:
        self.collator = collator
        self.columns = columns

    def __call__(self, rows: list[Any]) -> Any:
        if any(token_id >= MARK for row in rows for token_id in row.get("input_ids", ())[:1]):
            raise ProvenanceError(
                "Rows that are collated without the callback (for evaluation?) bear hidden marks, which no model can "
                "read: tag the training data set only."
            )
        return self.collator([{key: value for key, value in row.items() if key not in self.columns} for row in rows])

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
