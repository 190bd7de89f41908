"""Mix real and augmented rows at a bias ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, concatenate_datasets

from mitigate.provenance import AUGMENTED_COLUMN


def check_bias_ratio(bias_ratio: float) -> None:
    r"""
    Refuse a bias ratio that is none.

    Args:
        bias_ratio (`float`):
            Bias ratio \\( \rho \\).

    Raises:
        ValueError: If it is no number in [0, 1).
    """
    if not (isinstance(bias_ratio, int | float | np.integer | np.floating) and 0 <= bias_ratio < 1):
        raise ValueError(
            f"The bias ratio must lie in [0, 1), got {bias_ratio!r}: it is the share of augmented rows, and a mix "
            "needs real rows as well."
        )


def check_seed(seed: int) -> None:
    """
    Refuse a seed that numpy or scikit-learn cannot take.

    Args:
        seed (`int`):
            The seed.

    Raises:
        ValueError: If it is no whole number in [0, 2**32).
    """
    if not (isinstance(seed, int | np.integer) and 0 <= seed < 2**32):
        raise ValueError(f"`seed` must be a whole number in [0, 2**32), got {seed!r}.")


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
    check_bias_ratio(bias_ratio)
    augmented = round(rows * bias_ratio)
    return rows - augmented, augmented


def join(real: Dataset, augmented: Dataset, column: str = AUGMENTED_COLUMN) -> Dataset:
    """
    Put augmented rows after real ones, with a column that tells them apart.

    Args:
        real (`Dataset`):
            Real rows.
        augmented (`Dataset`):
            Augmented rows, with the same columns; none, if there are none to add.
        column (`str`, *optional*, defaults to `"augmented"`):
            Name of the boolean column to add.

    Returns:
        `Dataset`: All rows of both.

    Raises:
        ValueError: If the columns differ, or `column` is one of them.
    """
    for name, rows in (("real", real), ("augmented", augmented)):
        if not isinstance(rows, Dataset):
            raise ValueError(f"`{name}` must be a `Dataset`, such as one split of a `DatasetDict`, got {type(rows)}.")
    check_new_column(real.features, column)
    marked = real.add_column(column, np.full(len(real), False))
    if len(augmented) == 0:
        return marked
    check_same_columns(real.features, augmented.features)
    return concatenate_datasets([marked, augmented.add_column(column, np.full(len(augmented), True))])


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
        ValueError: If the columns differ, `column` is one of them, or a side is no `Dataset` or the seed out of range.
    """
    check_seed(seed)
    return join(real, augmented, column).shuffle(seed=seed)


def check_same_columns(real: Features, augmented: Features) -> None:
    """
    Refuse real and augmented rows that cannot be joined without filling or converting.

    Args:
        real (`Features`):
            Columns and types of the real rows.
        augmented (`Features`):
            Those of the augmented rows.

    Raises:
        ValueError: If a name or a type differs; the order may.
    """
    if set(real) != set(augmented):
        raise ValueError(
            f"Real and augmented rows must have the same columns, got {sorted(real)} and {sorted(augmented)}. Take "
            "out with `remove_columns` what only one side has, or rename it."
        )
    for name in real:
        check_same_type(name, real[name], augmented[name])


def check_same_type(column: str, real: Any, augmented: Any) -> None:
    """
    Refuse a column whose values mean something else on the other side.

    Args:
        column (`str`):
            Its name.
        real (a feature of `datasets`):
            Its type in the real rows.
        augmented (a feature of `datasets`):
            Its type in the augmented rows.

    Raises:
        ValueError: If the types differ, or number their classes otherwise.
    """
    if real == augmented:
        return
    if isinstance(real, ClassLabel) and isinstance(augmented, ClassLabel):
        raise ValueError(
            f"`{column}` has the classes {real.names} in real and {augmented.names} in augmented rows, so that one "
            "number means two things. Number them alike with `align_labels_with_mapping`."
        )
    raise ValueError(
        f"`{column}` must be of one type, but is {real} in real and {augmented} in augmented rows. Convert one, as "
        f"with `augmented.cast_column('{column}', real.features['{column}'])`."
    )


def check_new_column(features: Features, column: str) -> None:
    """
    Refuse to write over a column.

    Args:
        features (`Features`):
            Columns of the rows.
        column (`str`):
            The column to add.

    Raises:
        ValueError: If there is one of this name.
    """
    if column in features:
        raise ValueError(
            f"`{column}` is a column of the rows already. Rename it, or take it out with `remove_columns('{column}')`."
        )
