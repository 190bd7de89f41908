"""Group-balanced resampling, a baseline: draw rows again so that the group tells nothing of the label."""

from __future__ import annotations

import numpy as np
from datasets import Dataset

from mitigate.arms import allocate
from mitigate.mixing import check_seed
from mitigate.strata import Indices, column_values, find_strata


def balance_groups(rows: Dataset, *, seed: int, group: str = "group", label: str | None = None) -> Dataset:
    r"""
    Draw rows again, equally many, so that group and label are independent in them.

    This is uniform sampling by Kamiran and Calders (2012, Knowledge and Information Systems 33, 1-33,
    doi:10.1007/s10115-011-0463-8). With \\( n_{lg} \\) rows of label \\( l \\) and group \\( g \\) among \\( n \\),
    the cell \\( (l, g) \\) gets as many rows as it would have under independence,

    $$ m_{lg} = \frac{n_{l \cdot} \, n_{\cdot g}}{n}, $$

    so that every row weighs \\( m_{lg} / n_{lg} \\) on average. Labels and groups keep their shares. Without labels
    all \\( k \\) groups get \\( n / k \\) rows each. Counts are rounded by largest remainders: each is
    \\( m_{lg} \\), rounded up or down, and they add up to \\( n \\).

    A cell that has too many rows is drawn from without replacement; one that has too few is repeated, and the numbers
    of repeats within it differ by at most one. Real and augmented rows are not told apart: give it the whole training
    mix, for where augmented rows know no exception to the stereotype, real rows alone can make up for them.

    Args:
        rows (`Dataset`):
            The training mix.
        seed (`int`):
            Seed of the draw and of the order, at least 0.
        group (`str`, *optional*, defaults to `"group"`):
            Column of the group.
        label (`str`, *optional*):
            Column of the label. Without it groups are made equally large.

    Returns:
        `Dataset`: As many rows, all from `rows`, in random order. It is a view, as that of [`draw_mix`].

    Raises:
        ValueError: If a column is missing or has rows without a value, the seed is below 0, or a group has no row at
            all of a label.

    Example:
    ```python
    >>> from collections import Counter
    >>> from datasets import Dataset
    >>> from mitigate.resampling import balance_groups

    >>> labels, groups = ["nurse"] * 6 + ["pilot"] * 6, ["female"] * 5 + ["male"] * 6 + ["female"]
    >>> rows = Dataset.from_dict({"label": labels, "group": groups})
    >>> balanced = balance_groups(rows, label="label", seed=0)
    >>> sorted(Counter(zip(balanced["label"], balanced["group"])).items())
    [(('nurse', 'female'), 3), (('nurse', 'male'), 3), (('pilot', 'female'), 3), (('pilot', 'male'), 3)]
    ```

    Limits: it balances what the columns say, not what the texts do, and repeats the few exceptions to a stereotype
    often, where there are few. It changes the bias ratio of the mix.
    """
    check_seed(seed)
    names, codes = zip(*(_codes(rows, column) for column in (label, group)), strict=True)
    sizes = [np.bincount(code, minlength=len(name)) for name, code in zip(names, codes, strict=True)]
    if label is None:
        sizes[1] = np.full(len(names[1]), len(rows) / max(1, len(names[1])))
    cells = codes[0] * len(names[1]) + codes[1]
    rng = np.random.default_rng(seed)
    quotas = np.outer(*sizes).ravel() / max(1, len(rows))
    # In random order, for of equal remainders the first is rounded up, and it should not always be the first group's.
    shuffled = rng.permutation(len(quotas))
    wanted = np.zeros(len(quotas), np.int64)
    wanted[shuffled] = allocate(len(rows), quotas[shuffled])
    order = rng.permutation(len(rows))
    chosen = [np.zeros(0, np.int64)]
    for cell in np.flatnonzero(wanted):
        there = order[cells[order] == cell]
        if len(there) == 0:
            name = ", ".join(filter(None, (names[0][cell // len(names[1])], names[1][cell % len(names[1])])))
            raise ValueError(
                f"There is no row of {name}, and {wanted[cell]} of them are needed to make group and label "
                "independent. Add some, or leave the rows of this label out."
            )
        chosen.append(np.resize(there, wanted[cell]))
    return rows.select(rng.permutation(np.concatenate(chosen)))


def _codes(rows: Dataset, column: str | None) -> tuple[tuple[str, ...], Indices]:
    """Names of the values of a column, and their number in each row; of no column, one value."""
    if column is None:
        return ("",), np.zeros(len(rows), np.int64)
    column_values(rows, column, "mixed")  # names the rows by what they are if the column will not do
    strata = find_strata(rows, rows.select([]), [column])
    return strata.names, strata.real
