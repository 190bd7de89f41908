"""What must hold before training starts, so that a mitigation never silently does nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from datasets import Dataset
from transformers import Trainer

from mitigate.batches import Text, layout_of, read_texts
from mitigate.callbacks.host import training_rows
from mitigate.provenance import ProvenanceError, ProvenanceSource, as_flag

# Rows that are read, evenly spread, to learn the bias ratio of a data set that has no column for it.
_SAMPLED_ROWS = 2000


def check_provenance(trainer: Trainer, source: ProvenanceSource) -> float | None:
    """
    Refuse to train on rows that do not tell, or that are all real or all augmented.

    A data set that is streamed cannot be looked through beforehand, so there nothing but the columns is checked.

    Args:
        trainer (`Trainer`):
            The trainer.
        source (`ProvenanceSource`):
            What tells augmented rows.

    Returns:
        `float` or `None`: The bias ratio of the training data set as the trainer prepared it, estimated from a sample
        of its rows where no column tells it; `None` if it cannot be known beforehand.

    Raises:
        ProvenanceError: If nothing can tell the rows apart.
        ValueError: If the rows are not tokenized before they are collated, or if no row is augmented, or none is real.
    """
    dataset = training_rows(trainer)
    columns: list[str] | None = getattr(dataset, "column_names", None)
    if columns is None:
        return None
    if layout_of(columns) is None:
        raise ValueError(
            f"Mitigations need rows that are tokenized before they are collated, as those of `Trainer` and of TRL's "
            f"SFT, DPO, KTO and reward trainers are; those of `{type(trainer).__name__}` have {', '.join(columns)}. "
            "Online trainers write their rows themselves: there, tag the prompts, with "
            "`BiasTagTokenizer.wrap(tokenizer).tag(dataset)`, and leave the callback out."
        )
    if source.marked and "input_ids" not in columns:
        raise ValueError(
            f"`{type(trainer).__name__}` has no need of hidden marks, for it keeps the column `{source.column}`: wrap "
            "the tokenizer without `hidden=True`, and give it the data set as it was before `tag`."
        )
    if source.column not in columns:
        _check_in_band(trainer, source, columns)
    if not isinstance(dataset, Dataset):
        return None
    if source.column in columns:
        flags = [as_flag(value, source.column) for value in dataset[source.column]]
        return _bias_ratio(flags, len(flags), source)
    step = max(1, len(dataset) // _SAMPLED_ROWS)
    sample = list(_texts(dataset.select(range(0, len(dataset), step)), source))
    if source.tag_ids and not source.marked:
        _look_for_cut_tags(trainer, source, sample)
    flags = _flags(sample)
    if len(set(flags)) == 1 and step > 1:
        flags = _flags(_texts(dataset, source))
    return _bias_ratio(flags, len(flags), source)


def check_groups(trainer: Trainer, column: str) -> None:
    """
    Refuse to train on rows that do not tell their groups.

    Args:
        trainer (`Trainer`):
            The trainer.
        column (`str`):
            The column that tells them.

    Raises:
        ValueError: If the training data set is known to have no such column.
    """
    columns: list[str] | None = getattr(training_rows(trainer), "column_names", None)
    if columns is not None and column not in columns:
        raise ValueError(
            f"`condition='{column}'` is not a column of the training data set once the trainer has prepared it "
            f"(columns: {', '.join(columns)}). Correct the name, or leave `condition` out; packing drops every column."
        )


def unsupported(trainer: Trainer) -> dict[str, bool]:
    """
    Tell what keeps callbacks from acting on what the model computes.

    Args:
        trainer (`Trainer`):
            The trainer.

    Returns:
        `dict[str, bool]`: Reasons, and whether each holds here.
    """
    parallelism = trainer.accelerator.parallelism_config
    split = [f"{kind}_size" for kind in ("tp", "cp", "sp") if getattr(parallelism, f"{kind}_enabled", False)]
    return {
        f"{', '.join(split)} > 1 splits a row between processes; use data parallelism (DDP, FSDP, DeepSpeed)": bool(
            split
        ),
        "`nn.DataParallel` runs several copies of the model at once; start the script with `torchrun` or `accelerate "
        "launch`, or make one GPU visible": trainer.args.n_gpu > 1,
    }


def _check_in_band(trainer: Trainer, source: ProvenanceSource, columns: list[str]) -> None:
    packing = getattr(trainer.args, "packing", False)
    if not source.marked and not source.tag_ids:
        raise ProvenanceError(
            f"Packing drops every column, `{source.column}` too, and the rows bear no mark that tells augmented ones. "
            "Wrap the tokenizer with `BiasTagTokenizer.wrap(tokenizer, hidden=True)`, and tag the data set with its "
            "`tag` method."
            if packing
            else f"`{source.column}` is not a column of the training data set (columns: {', '.join(columns)}). Add a "
            f"boolean column `{source.column}` that tells augmented rows, or name yours with `column=…`."
        )
    strategy = getattr(trainer.args, "packing_strategy", "bfd")
    if packing and not source.marked and strategy != "bfd":
        raise ProvenanceError(
            f"`packing_strategy='{strategy}'` cuts texts apart, and the pieces without a tag would pass for real. "
            "Hidden marks survive that: `BiasTagTokenizer.wrap(tokenizer, hidden=True)`; or use "
            "`packing_strategy='bfd'`."
        )


def _texts(rows: Iterable[dict[str, Any]], source: ProvenanceSource) -> Iterator[Text]:
    return (text for row in rows for text in read_texts(row, source).values())


def _look_for_cut_tags(trainer: Trainer, source: ProvenanceSource, texts: Iterable[Text]) -> None:
    """Warn where a row without a tag is so long that it may have been cut before its tag."""
    limit = getattr(trainer.args, "max_length", None)
    untagged, places = 0, set()
    for text in texts:
        for start, stop, augmented in text.segments:
            if augmented:
                places.add(next(i for i, token_id in enumerate(text.ids[start:stop]) if token_id in source.tag_ids))
            elif stop - start == limit:
                untagged += 1
    # Where every tag has the same place, no text in front of it can be longer in another row.
    if untagged and len(places) > 1:
        warnings.warn(
            f"{untagged} of the rows looked at are as long as `max_length={limit}` and bear no tag. If they were "
            "cut where it was, they pass for real. Hidden marks survive that: `BiasTagTokenizer.wrap(tokenizer, "
            "hidden=True)`; or put the tag at the start of the text, or raise `max_length`.",
            UserWarning,
            stacklevel=2,
        )


def _flags(texts: Iterable[Text]) -> list[bool]:
    return [segment.augmented for text in texts if text.opens for segment in text.segments]


def _bias_ratio(flags: list[bool], total: int, source: ProvenanceSource) -> float:
    where = f"column `{source.column}`" if not (source.marked or source.tag_ids) else "column or tags"
    augmented = sum(flags)
    if augmented == 0:
        raise ValueError(
            f"No augmented row among the {total} training rows (bias ratio 0), so there is nothing to mitigate: "
            f"check {where}, or leave the callback out."
        )
    if augmented == total:
        raise ValueError(
            f"All {total} training rows are augmented (bias ratio 1); the bias ratio must lie in [0, 1). Add "
            f"real rows, or check {where}."
        )
    return augmented / total
