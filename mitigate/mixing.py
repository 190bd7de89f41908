"""Mix real and augmented rows at a bias ratio."""

from __future__ import annotations

from datasets import Dataset, concatenate_datasets

from mitigate.provenance import AUGMENTED_COLUMN


def bias_counts(rows: int, bias_ratio: float) -> tuple[int, int]:
    r"""
    Divide the rows of a training mix into real and augmented ones.

    The size of the mix stays the same at every bias ratio, so that models trained with one batch size see equally many
    optimizer steps.

    Args:
        rows (`int`):
            Rows of the mix.
        bias_ratio (`float`):
            Bias ratio \\( \rho \\) in [0, 1).

    Returns:
        `tuple[int, int]`: Real and augmented rows; the latter are \\( \rho \cdot \text{rows} \\) to half a row.

    Raises:
        ValueError: If the bias ratio is outside [0, 1).
    """
    if not 0 <= bias_ratio < 1:
        raise ValueError(
            f"The bias ratio must lie in [0, 1), got {bias_ratio}: it is the share of augmented rows, and a mix needs "
            "real rows as well."
        )
    augmented = round(rows * bias_ratio)
    return rows - augmented, augmented


def mix(real: Dataset, augmented: Dataset, *, seed: int, column: str = AUGMENTED_COLUMN) -> Dataset:
    """
    Join real and augmented rows in random order, with a column that tells them apart.

    Args:
        real (`Dataset`):
            Real rows.
        augmented (`Dataset`):
            Augmented rows, with the same columns; may be empty.
        seed (`int`):
            Seed of the order.
        column (`str`, *optional*, defaults to `"augmented"`):
            Name of the boolean column to add.

    Returns:
        `Dataset`: All rows of both.

    Raises:
        ValueError: If the columns differ.
    """
    if len(augmented) and set(real.column_names) != set(augmented.column_names):
        raise ValueError(
            f"Real and augmented rows must have the same columns, got {sorted(real.column_names)} and "
            f"{sorted(augmented.column_names)}."
        )
    parts = [real.add_column(column, [False] * len(real))]
    if len(augmented):
        parts.append(augmented.add_column(column, [True] * len(augmented)))
    return concatenate_datasets(parts).shuffle(seed=seed)
