"""A discrepancy within groups of rows, such as those of one label."""

from __future__ import annotations

from collections.abc import Collection
from functools import reduce
from operator import add

from torch import Tensor

from mitigate.alignment.bank import Sample
from mitigate.alignment.discrepancies import Discrepancy


def conditional_discrepancy(
    discrepancy: Discrepancy, real: Sample, augmented: Sample, *, groups: Collection[int], at_least: int
) -> Tensor | None:
    """
    Average a discrepancy over the groups that have enough real and enough augmented rows.

    Aligning all rows at once can merge rows of different labels where real and augmented rows have other shares of
    them. Comparing like with like does not (cf. conditional alignment: Long et al. 2018, NeurIPS; Zhu et al. 2020,
    IEEE TNNLS, local MMD).

    Args:
        discrepancy (`Callable`):
            Takes features of real and of augmented rows.
        real (`Sample`):
            Real rows.
        augmented (`Sample`):
            Augmented rows.
        groups (`Collection[int]`):
            The groups to look at.
        at_least (`int`):
            Rows of either kind that a group needs.

    Returns:
        `torch.Tensor` or `None`: Scalar; `None` if no group has enough.
    """
    terms = [
        discrepancy(real.of_group(group), augmented.of_group(group))
        for group in sorted(groups)
        if min(real.groups.count(group), augmented.groups.count(group)) >= at_least
    ]
    return reduce(add, terms) / len(terms) if terms else None
