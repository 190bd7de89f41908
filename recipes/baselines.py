"""Baselines of a sweep that act on the rows of the mix: group-balanced resampling and counterfactual augmentation."""

from __future__ import annotations

import numpy as np
from datasets import Dataset, concatenate_datasets

from mitigate.arms import ARMS
from mitigate.cells import Cell
from mitigate.mixing import mix
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.recipes.config import ConfigError
from mitigate.recipes.tasks import Task
from mitigate.resampling import balance_groups
from mitigate.twins import PAIR_COLUMN, UNPAIRED, TwinWords, gender_words, pair_with_twins, read_twin_words

BALANCED_COLUMN = "balanced"
ROW_BASELINES = ("balanced", "cda")
# What trains on rows of its own; all other mitigations train on those of `none`.
OWN_ROWS = ("none", *ARMS, *ROW_BASELINES)


def mix_rows(real: Dataset, augmented: Dataset, task: Task, cell: Cell, twin_pairs: str | None = None) -> Dataset:
    """
    Mix the rows that a cell trains on, and let its baseline act on them if it has one.

    Args:
        real (`Dataset`):
            Real rows.
        augmented (`Dataset`):
            Augmented rows.
        task (`Task`):
            Where they were drawn from.
        cell (`Cell`):
            The cell.
        twin_pairs (`str`, *optional*):
            File of the words that `cda` swaps where the task has none, see [`read_twin_words`]; by default those of
            gender.

    Returns:
        `Dataset`: All rows in random order, with the column `augmented`. With `balanced`, as many of them, drawn again
        by label (where there is one) and group, see [`balance_groups`], but for rows of a label that a group has no
        row of: no draw can balance them, so they stay, and the boolean column `balanced` tells them. With `cda`, half
        of the augmented rows beside their twins, with the column `pair`, see [`pair_with_twins`].

    Raises:
        ConfigError: If no row can be balanced, no augmented row has a twin, or `twin_pairs` cannot be read.
    """
    if cell.mitigation == "cda":
        augmented = _with_twins(augmented, task.twin_words or _words_of(twin_pairs), cell.seed)
        real = real.add_column(PAIR_COLUMN, np.full(len(real), UNPAIRED))
    rows = mix(real, augmented, seed=cell.seed)
    return _balanced(rows, cell.seed) if cell.mitigation == "balanced" else rows


def count_rows(rows: Dataset) -> dict[str, int]:
    """
    Count the rows of a training mix, for the record of its cell.

    Args:
        rows (`Dataset`):
            The mix.

    Returns:
        `dict[str, int]`: `real` and `augmented` rows; with `cda`, also `unpaired`, the augmented rows among them that
        have no twin beside them; with `balanced`, `unbalanced`, the rows that stay as they were.
    """
    flags = np.array(rows[AUGMENTED_COLUMN], dtype=bool)
    counts = {"real": int((~flags).sum()), "augmented": int(flags.sum())}
    if PAIR_COLUMN in rows.column_names:
        counts["unpaired"] = int((flags & (np.array(rows[PAIR_COLUMN]) == UNPAIRED)).sum())
    if BALANCED_COLUMN in rows.column_names:
        counts["unbalanced"] = len(rows) - sum(rows[BALANCED_COLUMN])
    return counts


def _balanced(rows: Dataset, seed: int) -> Dataset:
    label = _label(rows)
    labels = list(rows[label]) if label else [""] * len(rows)
    groups = list(rows["group"])
    cells, everyone = set(zip(labels, groups, strict=True)), set(groups)
    whole = {name for name in labels if all((name, group) in cells for group in everyone)}
    if not whole:
        raise ConfigError(
            f"`mitigations`: 'balanced' needs a label of which every group has a row, and of {len(set(labels))} "
            f"labels and {len(everyone)} groups in {len(rows)} rows there is none. Leave it out, or take more "
            "`training_rows`."
        )
    flags = np.array([name in whole for name in labels])
    rows = rows.add_column(BALANCED_COLUMN, flags)
    drawn = balance_groups(rows.select(np.flatnonzero(flags)), label=label, seed=seed)
    return concatenate_datasets([drawn, rows.select(np.flatnonzero(~flags))]).shuffle(seed=seed)


def _words_of(twin_pairs: str | None) -> TwinWords:
    try:
        return gender_words() if twin_pairs is None else read_twin_words(twin_pairs)
    except OSError as error:
        raise ConfigError(
            f"`twin_pairs`: {twin_pairs} cannot be read: {error.strerror}. Name a file of pairs."
        ) from error
    except ValueError as error:
        raise ConfigError(f"`twin_pairs`: {error}") from error


def _with_twins(augmented: Dataset, words: TwinWords, seed: int) -> Dataset:
    rows, report = pair_with_twins(augmented, words, label=_label(augmented), seed=seed)
    if len(augmented) and not report.accepted:
        reasons = ", ".join(f"{reason}: {number}" for reason, number in report.rejected.items())
        raise ConfigError(
            f"`mitigations`: 'cda' swaps words of the groups {' and '.join(words.groups)}, and none of the "
            f"{len(augmented)} augmented rows has a twin ({reasons}). Leave it out, or set `twin_pairs`."
        )
    return rows


def _label(rows: Dataset) -> str | None:
    return "label" if "label" in rows.column_names else None
