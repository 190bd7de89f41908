r"""
The bias dose: how much biased content augmented rows carry, on one scale for the whole package.

Of every pair of counterfactual twins one member follows the stereotype. The *stereotyped share* \\( q \\) is the
probability that this member is kept, and the *bias dose* is \\( \beta = 2q - 1 \\):

| \\( q \\) | \\( \beta \\) | rows |
| --- | --- | --- |
| 0 | -1 | against the stereotype, all of them |
| 0.5 | 0 | balanced: group and label are independent |
| 1 | 1 | no exception to the stereotype |

Generator, prompt, length and style stay the same at any dose, since twins differ in the words of the group alone.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset


def stereotyped_share(dose: float) -> float:
    r"""
    Share of stereotyped rows at a bias dose, \\( q = (1 + \beta) / 2 \\).

    Args:
        dose (`float`):
            Bias dose \\( \beta \\) in [-1, 1].

    Returns:
        `float`: \\( q \\) in [0, 1].

    Raises:
        ValueError: If the dose is outside [-1, 1].
    """
    if not -1 <= dose <= 1:
        raise ValueError(f"`dose` must lie in [-1, 1], got {dose}: 0 is balanced, 1 shows no exception.")
    return (1 + dose) / 2


def bias_dose(share: float) -> float:
    r"""
    Bias dose of a share of stereotyped rows, \\( \beta = 2q - 1 \\).

    Args:
        share (`float`):
            \\( q \\) in [0, 1].

    Returns:
        `float`: \\( \beta \\) in [-1, 1].

    Raises:
        ValueError: If the share is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"The stereotyped share q must lie in [0, 1], got {share}: 0.5 is balanced.")
    return 2 * share - 1


def draw_dose(pairs: Dataset, share: float, seed: int, *, column: str = "stereotyped") -> Dataset:
    r"""
    Keep one member of every pair of twins, the stereotyped one in a share of exactly \\( q \\), to half a pair.

    Draws of one seed are nested: pairs whose stereotyped member is kept at some \\( q \\) keep it at every larger one.
    Doses then differ in the pairs in between alone, which takes noise out of their comparison.

    Args:
        pairs (`Dataset`):
            Twins, two rows a pair, with the columns `pair` (pair id) and `column`.
        share (`float`):
            \\( q \\) in [0, 1]: `round(q * n)` of `n` pairs keep the stereotyped member.
        seed (`int`):
            Seed of the draw.
        column (`str`, *optional*, defaults to `"stereotyped"`):
            Boolean column that is true in one member of each pair.

    Returns:
        `Dataset`: `n` rows in the order of the pairs' first rows, with the same columns.

    Raises:
        ValueError: If `share` is outside [0, 1], a column is missing, or a pair has not one stereotyped row and one
            other.
    """
    bias_dose(share)  # refuses what is no share
    members = _members(pairs, column)
    order = list(members)
    random.Random(f"dose-{seed}").shuffle(order)
    kept = set(order[: round(share * len(order))])
    return pairs.select([rows[pair in kept] for pair, rows in members.items()])


def group_label_association(groups: Sequence[str], labels: Sequence[str], stereotypes: Mapping[str, str]) -> float:
    r"""
    Measured association of group and label: the mean over labels of the share of the stereotyped group, as a dose.

    It is \\( 2 \bar q - 1 \\), with \\( \bar q \\) the mean over labels of \\( P(\text{stereotyped group} \mid
    \text{label}) \\): the manipulation check of a dose, which it must follow in a straight line of slope 1 over
    \\( \beta \\), that is 2 over \\( q \\).

    Args:
        groups (`Sequence[str]` of length `n`):
            Group of each row, as its text tells it.
        labels (`Sequence[str]` of length `n`):
            Label of each row.
        stereotypes (`Mapping[str, str]`):
            Stereotyped group of each label.

    Returns:
        `float`: In [-1, 1]; 0 is balance.

    Raises:
        ValueError: If there is no row, if the lengths differ, if a label has no stereotype, or if no row is of any of
            the groups, where the stereotypes name two or more.
    """
    if not labels or len(groups) != len(labels):
        raise ValueError(f"Got {len(groups)} groups and {len(labels)} labels; there must be one of each per row.")
    unknown = sorted(set(labels) - set(stereotypes))
    if unknown:
        raise ValueError(f"No stereotyped group is named for the labels {', '.join(unknown)}.")
    named = set(stereotypes.values())
    # Of one group, as of female nurses, there may be none: that is q = 0.
    if len(named) > 1 and named.isdisjoint(groups):
        given = ", ".join(sorted(set(groups)))
        raise ValueError(f"`stereotypes` names the groups {', '.join(sorted(named))}, the rows have {given}.")
    own: dict[str, list[bool]] = defaultdict(list)
    for group, label in zip(groups, labels, strict=True):
        own[label].append(group == stereotypes[label])
    return bias_dose(float(np.mean([np.mean(values) for values in own.values()])))


def _members(pairs: Dataset, column: str) -> dict[int | str, tuple[int, int]]:
    """Find the rows of each pair: the other one, then the stereotyped one."""
    lacking = [name for name in ("pair", column) if name not in pairs.column_names]
    if lacking:
        raise ValueError(f"The pairs lack the column `{lacking[0]}`; they have: {', '.join(pairs.column_names)}.")
    found: dict[int | str, dict[bool, int]] = {}
    counts: dict[int | str, int] = defaultdict(int)
    for place, (pair, stereotyped) in enumerate(zip(pairs["pair"], pairs[column], strict=True)):
        found.setdefault(pair, {})[bool(stereotyped)] = place
        counts[pair] += 1
    for pair, rows in found.items():
        if counts[pair] != 2 or len(rows) != 2:
            raise ValueError(
                f"Pair {pair!r} has {counts[pair]} rows, of which `{column}` must be true in one and false in the "
                "other: take out pairs that the stereotype says nothing about."
            )
    return {pair: (rows[False], rows[True]) for pair, rows in found.items()}
