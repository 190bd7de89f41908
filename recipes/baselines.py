"""Baselines of a sweep that act on the rows of the mix: group-balanced resampling and counterfactual augmentation."""

from __future__ import annotations

import numpy as np
from datasets import Dataset

from mitigate.arms import ARMS
from mitigate.cells import Cell
from mitigate.counterfactuals import PAIR_COLUMN, UNPAIRED, pair_with_twins
from mitigate.mixing import mix
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.recipes.config import ConfigError
from mitigate.recipes.tasks import Task, WorldTask
from mitigate.resampling import balance_groups

ROW_BASELINES = ("balanced", "cda")
# What trains on rows of its own; all other mitigations train on those of `none`.
OWN_ROWS = ("none", *ARMS, *ROW_BASELINES)


def mix_rows(real: Dataset, augmented: Dataset, task: Task, cell: Cell) -> Dataset:
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

    Returns:
        `Dataset`: All rows in random order, with the column `augmented`. With `balanced`, as many of them, drawn again
        by label (where there is one) and group; with `cda`, half of the augmented rows beside their twins, with the
        column `pair`, see [`pair_with_twins`].

    Raises:
        ConfigError: If rows have no group, a group has no row of a label, or no augmented row has a twin.
    """
    if cell.mitigation == "cda":
        augmented = _with_twins(augmented, task, cell.seed)
        real = real.add_column(PAIR_COLUMN, np.full(len(real), UNPAIRED))
    rows = mix(real, augmented, seed=cell.seed)
    if cell.mitigation == "balanced":
        try:
            return balance_groups(rows, label=_label(rows), seed=cell.seed)
        except ValueError as error:
            raise ConfigError(
                f"`mitigations`: 'balanced' cannot be run at a bias ratio of {cell.bias_ratio:g}: {error}"
            ) from error
    return rows


def count_rows(rows: Dataset) -> dict[str, int]:
    """
    Count the rows of a training mix, for the record of its cell.

    Args:
        rows (`Dataset`):
            The mix.

    Returns:
        `dict[str, int]`: `real` and `augmented` rows; with `cda`, also `unpaired`, the augmented rows among them that
        have no twin beside them.
    """
    flags = np.array(rows[AUGMENTED_COLUMN], dtype=bool)
    counts = {"real": int((~flags).sum()), "augmented": int(flags.sum())}
    if PAIR_COLUMN in rows.column_names:
        counts["unpaired"] = int((flags & (np.array(rows[PAIR_COLUMN]) == UNPAIRED)).sum())
    return counts


def _with_twins(augmented: Dataset, task: Task, seed: int) -> Dataset:
    words = task.world.twin_words if isinstance(task, WorldTask) else "gender"
    rows, report = pair_with_twins(augmented, words, label=_label(augmented), seed=seed)
    if len(augmented) and not report.accepted:
        reasons = ", ".join(f"{reason}: {number}" for reason, number in report.rejected.items())
        raise ConfigError(
            f"`mitigations`: 'cda' swaps the English words of women and men, and none of the {len(augmented)} "
            f"augmented rows has a twin ({reasons}). Leave it out."
        )
    return rows


def _label(rows: Dataset) -> str | None:
    return "label" if "label" in rows.column_names else None
