"""Four arms of a training mix, which tell the effect of augmented rows from that of having fewer real ones."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from mitigate.mixing import bias_counts, check_seed, join
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.strata import Indices, Strata, find_strata

Arm = Literal["replace", "add", "drop", "repeat"]
ARMS: tuple[Arm, ...] = get_args(Arm)


class ArmCounts(NamedTuple):
    """
    Rows of an arm.

    Args:
        real (`int`):
            Different real rows.
        augmented (`int`):
            Augmented rows.
        rows (`int`):
            Rows of the mix, repeats counted.
    """

    real: int
    augmented: int
    rows: int


def arm_counts(rows: int, bias_ratio: float, arm: Arm = "replace") -> ArmCounts:
    r"""
    Count the rows of an arm, as [`draw_mix`] draws them.

    Args:
        rows (`int`):
            \\( N \\), the rows of the mix at a bias ratio of 0.
        bias_ratio (`float`):
            Bias ratio \\( \rho \\) in [0, 1).
        arm (`str`, *optional*, defaults to `"replace"`):
            One of the four arms.

    Returns:
        `ArmCounts`: Real, augmented and all rows.

    Raises:
        ValueError: If the bias ratio is outside [0, 1).

    Example:
    ```python
    >>> from mitigate.arms import arm_counts

    >>> arm_counts(80, 0.25, "repeat")
    ArmCounts(real=60, augmented=0, rows=80)
    ```
    """
    real, augmented = bias_counts(rows, bias_ratio)
    if arm == "add":
        added = round(rows * bias_ratio / (1 - bias_ratio))
        return ArmCounts(rows, added, rows + added)
    if arm == "replace":
        return ArmCounts(real, augmented, rows)
    return ArmCounts(real, 0, rows if arm == "repeat" else real)


def draw_mix(
    real: Dataset,
    augmented: Dataset,
    *,
    rows: int,
    bias_ratio: float,
    seed: int,
    arm: Arm = "replace",
    label: str | None = None,
    column: str = AUGMENTED_COLUMN,
) -> Dataset:
    r"""
    Draw the rows of one arm, without replacement.

    With \\( N \\) = `rows` and the bias ratio \\( \rho \\):

    - `"replace"`: \\( (1 - \rho) N \\) real and \\( \rho N \\) augmented rows;
    - `"add"`: \\( N \\) real and \\( N \rho / (1 - \rho) \\) augmented rows;
    - `"drop"`: the real rows of `"replace"`, alone;
    - `"repeat"`: the real rows of `"replace"`, repeated to \\( N \\) rows; within a label, the numbers of repeats
      differ by at most one.

    At a bias ratio of 0 all arms are the same. The effect of the augmented rows is `"replace"` minus `"drop"` at
    one bias ratio, trained with equally many steps ([`equal_steps`]). Of one seed, the real rows of these arms are
    the same.

    Counts are those of largest remainders, so they add up exactly and miss their share by less than a row: first the
    labels, which have the shares of the real rows, and then the augmented rows of each.

    Args:
        real (`Dataset`):
            Real rows to draw from.
        augmented (`Dataset`):
            Augmented rows to draw from, with the same columns; the last two arms ignore it.
        rows (`int`):
            \\( N \\), the rows of the mix at a bias ratio of 0; at least 1.
        bias_ratio (`float`):
            Bias ratio \\( \rho \\) in [0, 1).
        seed (`int`):
            Seed of the draw and of the order, at least 0.
        arm (`str`, *optional*, defaults to `"replace"`):
            One of the four arms.
        label (`str`, *optional*):
            Column of the label. Every label then has the bias ratio, to one row. Without it the augmented rows are
            drawn whatever their labels.
        column (`str`, *optional*, defaults to `"augmented"`):
            Name of the boolean column to add.

    Returns:
        `Dataset`: The rows in random order. It is a view of the rows it was drawn from: call `flatten_indices()`
        on it to have a copy that is read in sequence.

    Raises:
        ValueError: If an argument is out of range, the columns differ, a label is missing on one side, or there are
            not enough rows.

    Example:
    ```python
    >>> from datasets import Dataset
    >>> from mitigate.arms import draw_mix

    >>> real = Dataset.from_dict({"text": ["r"] * 80, "label": [0, 1] * 40})
    >>> augmented = Dataset.from_dict({"text": ["a"] * 50, "label": [0, 1] * 25})
    >>> rows = draw_mix(real, augmented, rows=80, bias_ratio=0.25, seed=0, label="label")
    >>> len(rows), sum(rows["augmented"])
    (80, 20)
    ```
    """
    _check_request(arm, rows, bias_ratio, seed, len(real))
    with_augmented = arm in ("replace", "add") and bias_ratio > 0
    if with_augmented and len(augmented) == 0:
        raise ValueError("There are no augmented rows to draw from.")
    pool = augmented if with_augmented else real.select([])
    joined = join(real, pool, column)
    strata = find_strata(real, pool, [label] if label else [])
    if with_augmented:
        _check_both_sides(strata)
    everything, augmented_counts = _counts(arm, rows, bias_ratio, strata.sizes()[0])
    real_counts = everything - augmented_counts
    _check_real_supply(strata, real_counts, rows)
    if with_augmented:
        _check_augmented_supply(strata, real_counts, augmented_counts, arm, rows, bias_ratio)
    # One generator a purpose, so that the real rows do not depend on how many augmented rows there are.
    chosen = _draw(strata.real, real_counts, np.random.default_rng([seed, 0]))
    if arm == "repeat":
        chosen = [
            _repeat(part, count, name) for part, count, name in zip(chosen, everything, strata.names, strict=True)
        ]
    if with_augmented:
        drawn = _draw(strata.augmented, augmented_counts, np.random.default_rng([seed, 1]))
        chosen += [len(real) + part for part in drawn]
    return joined.select(np.random.default_rng([seed, 2]).permutation(np.concatenate(chosen)))


def equal_steps(rows: int, *, rows_per_step: int, epochs: float = 1.0) -> int:
    r"""
    Optimizer steps to train every arm with, whatever its size: \\( \lceil E \lceil N / b \rceil \rceil \\).

    It is what a `Trainer` does by itself on `rows` rows, so the arms `replace` and `repeat` train as they would
    anyway. Give it as `max_steps`: the trainer then goes through a smaller arm more often, and through a larger one
    less often, and the learning rate follows the same schedule in all.

    Args:
        rows (`int`):
            Rows of the mix at a bias ratio of 0, as given to [`draw_mix`].
        rows_per_step (`int`):
            Rows of one optimizer step: batch size per device × devices × gradient accumulation steps.
        epochs (`float`, *optional*, defaults to 1.0):
            Passes over `rows` rows.

    Returns:
        `int`: The steps, for `TrainingArguments(max_steps=…)`.

    Raises:
        ValueError: If an argument is not above 0.

    Example:
    ```python
    >>> from mitigate.arms import equal_steps

    >>> equal_steps(1000, rows_per_step=32, epochs=3)
    96
    ```
    """
    for name, value in (("rows", rows), ("rows_per_step", rows_per_step), ("epochs", epochs)):
        if not value > 0:
            raise ValueError(f"`{name}` must be above 0, got {value}.")
    return math.ceil(epochs * math.ceil(rows / rows_per_step))


def allocate(total: int, quotas: NDArray[np.floating[Any]]) -> Indices:
    """
    Round quotas to integers of a given sum by largest remainders.

    Args:
        total (`int`):
            The sum; the sum of the quotas, rounded up or down.
        quotas (`np.ndarray` of shape `(k,)`):
            Quotas of at least 0.

    Returns:
        `np.ndarray` of shape `(k,)`, int64: Each is its quota, rounded up or down. Of equal remainders the first is
        rounded up.
    """
    counts: Indices = np.floor(quotas).astype(np.int64)
    by_remainder = np.argsort(counts - quotas, kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    return counts


def _check_request(arm: Arm, rows: int, bias_ratio: float, seed: int, real_rows: int) -> None:
    if arm not in ARMS:
        raise ValueError(f"`arm` must be one of {', '.join(ARMS)}, got '{arm}'.")
    if not (isinstance(rows, int | np.integer) and rows >= 1):
        raise ValueError(f"`rows` must be a whole number of at least 1, got {rows!r}.")
    check_seed(seed)
    if real_rows == 0:
        raise ValueError("There are no real rows to draw from.")
    if arm_counts(rows, bias_ratio, arm).real == 0:
        raise ValueError(
            f"A bias ratio of {bias_ratio:g} leaves no real row of `rows={rows}`. Take more rows or a lower ratio."
        )


def _check_both_sides(strata: Strata) -> None:
    for name, real, augmented in zip(strata.names, *strata.sizes(), strict=True):
        if (real == 0) != (augmented == 0):
            missing, there = ("real", "augmented") if real == 0 else ("augmented", "real")
            raise ValueError(
                f"There is no {missing} row of {name}, but {max(real, augmented)} {there} ones, so they cannot be "
                f"mixed at one bias ratio. Leave these rows out, add {missing} ones, or do not give `label`."
            )


def _counts(arm: Arm, rows: int, bias_ratio: float, sizes: Indices) -> tuple[Indices, Indices]:
    """All rows and augmented rows of each stratum; the latter also where the arm leaves them out."""
    labels = allocate(rows, rows * sizes / sizes.sum())
    if arm == "add":
        augmented = allocate(arm_counts(rows, bias_ratio, arm).augmented, labels * bias_ratio / (1 - bias_ratio))
        return labels + augmented, augmented
    return labels, allocate(bias_counts(rows, bias_ratio)[1], labels * bias_ratio)


def _check_real_supply(strata: Strata, wanted: Indices, rows: int) -> None:
    for name, needed, there in zip(strata.names, wanted, strata.sizes()[0], strict=True):
        if needed > there:
            raise ValueError(
                f"`rows={rows}` needs {needed} real rows of {name}, and there are {there}. Lower `rows`; nothing but "
                "the arm `repeat` takes a row twice."
            )


def _check_augmented_supply(
    strata: Strata, real: Indices, augmented: Indices, arm: str, rows: int, bias_ratio: float
) -> None:
    there = strata.sizes()[1]
    short = np.flatnonzero(augmented > there)
    if len(short) == 0:
        return
    mixed = there + real if arm == "add" else real + augmented
    used = mixed > 0
    # In whole ten-thousandths, rounded down: a ratio that is named must do.
    largest = int((there[used] * 10_000 // mixed[used]).min()) / 10_000
    first = short[0]
    raise ValueError(
        f"A bias ratio of {bias_ratio:g} with `rows={rows}` needs {augmented[first]} augmented rows of "
        f"{strata.names[first]}, and there are {there[first]}. The largest bias ratio possible is {largest:g}; a "
        "higher one needs fewer `rows` or more augmented rows."
    )


def _draw(stratum: Indices, counts: Indices, rng: np.random.Generator) -> list[Indices]:
    """Draw so many rows of each stratum; of one generator, fewer are the first of more."""
    order = rng.permutation(len(stratum))
    by_stratum = order[np.argsort(stratum[order], kind="stable")]
    starts = np.cumsum(np.bincount(stratum, minlength=len(counts))) - np.bincount(stratum, minlength=len(counts))
    return [by_stratum[start : start + count] for start, count in zip(starts, counts, strict=True)]


def _repeat(rows: Indices, count: int, name: str) -> Indices:
    if len(rows) == 0 < count:
        raise ValueError(
            f"At this bias ratio and size no real row of {name} is left to repeat. Take more `rows`, or leave this "
            "label out."
        )
    return np.resize(rows, count)
