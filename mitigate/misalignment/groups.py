"""Misalignment of group data: who occurs in augmented rows, and with which label, compared with real rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mitigate.intervals import Interval
from mitigate.misalignment.association import association_difference
from mitigate.stats import LEVEL, Floats

RESAMPLES = 1000
UNKNOWN = ""


@dataclass(frozen=True)
class GroupMisalignment:
    """
    Difference of two sides in their groups. Rows of unknown group count in the unknown shares only.

    Args:
        groups (`tuple[str, ...]`):
            The groups.
        real (`tuple[float, ...]`):
            Their shares among real rows.
        augmented (`tuple[float, ...]`):
            Their shares among augmented rows.
        unknown (`tuple[float, float]`):
            Share of real and of augmented rows whose group is unknown.
        pooled (`Interval`):
            Total variation distance of the shares, in [0, 1]; `n` counts rows of known group. The same for the others.
        within_label (`Interval` or `None`):
            Total variation within each label, weighted by the label's share of the real rows that have a label of both
            sides.
        association (`Interval` or `None`):
            Cramér's V of group and label, augmented minus real, in [-1, 1].
        chance (`float`):
            Mean pooled distance after the rows were dealt to the sides at random.
        p (`float`):
            p value of this permutation test: the share of 1,000 deals that are as far apart.
        within_chance (`float` or `None`):
            As `chance`, of the distance within labels, the rows being dealt within their label.
        within_p (`float` or `None`):
            As `p`, of the distance within labels.
    """

    groups: tuple[str, ...]
    real: tuple[float, ...]
    augmented: tuple[float, ...]
    unknown: tuple[float, float]
    pooled: Interval
    within_label: Interval | None
    association: Interval | None
    chance: float
    p: float
    within_chance: float | None
    within_p: float | None


def total_variation(real: Floats, augmented: Floats) -> float:
    r"""
    Total variation distance \\( \frac{1}{2} \sum_g | \pi_a(g) - \pi_r(g) | \\).

    Args:
        real (`np.ndarray` of shape `(k,)`):
            Counts or shares of the groups; they are normalised.
        augmented (`np.ndarray` of shape `(k,)`):
            Likewise.

    Returns:
        `float`: In [0, 1]; 0 for equal shares, 1 if no group is in both.
    """
    return float(np.abs(augmented / augmented.sum() - real / real.sum()).sum() / 2)


def within_label(real: Floats, augmented: Floats) -> float:
    r"""
    Total variation within labels, \\( \sum_y p(y) \, TV(\pi_a(\cdot|y), \pi_r(\cdot|y)) \\), `p` of the real rows.

    Args:
        real (`np.ndarray` of shape `(groups, labels)`):
            Counts of real rows.
        augmented (`np.ndarray` of the same shape):
            Counts of augmented rows.

    Returns:
        `float`: In [0, 1], over the labels that both sides have; NaN if there is none.
    """
    shared = (real.sum(axis=0) > 0) & (augmented.sum(axis=0) > 0)
    if not shared.any():
        return math.nan
    real, augmented = real[:, shared], augmented[:, shared]
    each = np.abs(augmented / augmented.sum(axis=0) - real / real.sum(axis=0)).sum(axis=0) / 2
    return float(each @ real.sum(axis=0) / real.sum())


def group_misalignment(
    real: Sequence[str],
    augmented: Sequence[str],
    *,
    labels: tuple[Sequence[str], Sequence[str]] | None = None,
    seed: int = 0,
) -> GroupMisalignment:
    """
    Compare the groups of two sides, with percentile bootstrap intervals over rows for distances.

    A distance of noisy shares is never 0, so an interval of one lies above 0 even where nothing differs, and with many
    labels or groups above `chance` as well: whether anything differs is for `p` to tell.

    Args:
        real (`Sequence[str]` of length `n`):
            Group of each real row; empty if unknown.
        augmented (`Sequence[str]` of length `m`):
            Group of each augmented row.
        labels (`tuple[Sequence[str], Sequence[str]]`, *optional*):
            Labels of the real and of the augmented rows.
        seed (`int`, *optional*, defaults to 0):
            Seed of the bootstrap.

    Returns:
        `GroupMisalignment`: The difference.

    Raises:
        ValueError: If no row of a side has a known group, only one group occurs, or a row lacks its label.
    """
    sides = [np.asarray(side, dtype=object) for side in (real, augmented)]
    names = _check(sides)
    marks = labels or ([UNKNOWN] * len(real), [UNKNOWN] * len(augmented))
    if [len(each) for each in marks] != [len(side) for side in sides]:
        raise ValueError(
            f"`labels` must have one label for each row, got {len(marks[0])} and {len(marks[1])} for {len(real)} real "
            f"and {len(augmented)} augmented rows."
        )
    classes = sorted({*marks[0], *marks[1]})
    tables = [_count(side, each, names, classes) for side, each in zip(sides, marks, strict=True)]
    rng = np.random.default_rng(seed)
    draws = [_resample(table, int(table.sum()), rng) for table in tables]
    totals = [table.sum(axis=1) for table in tables]
    pooled = _interval(_pooled, tables, draws)
    chances = _chances([table.sum(axis=1, keepdims=True) for table in tables], rng)
    within = _interval(within_label, tables, draws) if labels else None
    within_chances = _chances(tables, rng) if labels else None
    return GroupMisalignment(
        groups=tuple(names),
        real=tuple((totals[0] / totals[0].sum()).tolist()),
        augmented=tuple((totals[1] / totals[1].sum()).tolist()),
        unknown=(float(np.mean(sides[0] == UNKNOWN)), float(np.mean(sides[1] == UNKNOWN))),
        pooled=pooled,
        within_label=within,
        association=association_difference(*tables) if labels else None,
        chance=float(chances.mean()),
        p=_p(pooled, chances),
        within_chance=float(within_chances.mean()) if within_chances is not None else None,
        within_p=_p(within, within_chances) if within and within_chances is not None else None,
    )


def _p(distance: Interval, chances: Floats) -> float:
    if math.isnan(distance.estimate):
        return math.nan
    # Rounding can put a tie on either side.
    return float((1 + np.count_nonzero(chances >= distance.estimate - 1e-12)) / (1 + len(chances)))


def _chances(tables: list[Floats], rng: np.random.Generator) -> Floats:
    """Distances within labels after the rows of each label were dealt to the sides at random."""
    shared = (tables[0].sum(axis=0) > 0) & (tables[1].sum(axis=0) > 0)
    if not shared.any():
        return np.array([math.nan])
    distances = np.zeros(RESAMPLES)
    sizes = [table[:, shared].sum(axis=0) for table in tables]
    for both, real, augmented in zip((tables[0] + tables[1])[:, shared].T.astype(np.int64), *sizes, strict=True):
        dealt = rng.multivariate_hypergeometric(both, int(real), size=RESAMPLES, method="marginals")
        apart = np.abs(dealt / real - (both - dealt) / augmented).sum(axis=1) / 2
        distances += apart * real / sizes[0].sum()
    return distances


def _pooled(real: Floats, augmented: Floats) -> float:
    return total_variation(real.sum(axis=1), augmented.sum(axis=1))


def _interval(statistic: Callable[[Floats, Floats], float], tables: list[Floats], draws: list[Floats]) -> Interval:
    estimate, n = statistic(*tables), int(sum(table.sum() for table in tables))
    drawn = np.array([statistic(real, augmented) for real, augmented in zip(*draws, strict=True)])
    drawn = drawn[np.isfinite(drawn)]
    if not (np.isfinite(estimate) and len(drawn)):
        return Interval(estimate, math.nan, math.nan, n)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(estimate, float(low), float(high), n)


def _check(sides: list[NDArray[np.object_]]) -> list[str]:
    for name, side in zip(("real", "augmented"), sides, strict=True):
        if not (side != UNKNOWN).any():
            raise ValueError(f"No {name} row has a known group: name another group column, or other words.")
    names = sorted({*sides[0], *sides[1]} - {UNKNOWN})
    if len(names) < 2:
        raise ValueError(f"Groups can be compared from two on, and all rows of known group are '{names[0]}'.")
    return names


def _count(groups: NDArray[np.object_], labels: Sequence[str], names: list[str], classes: list[str]) -> Floats:
    pairs = Counter(zip(groups, labels, strict=True))
    return np.array([[pairs[name, label] for label in classes] for name in names], dtype=float)


def _resample(table: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Draw rows with replacement: counts are all that the statistics need."""
    draws = rng.multinomial(size, (table / table.sum()).ravel(), size=RESAMPLES)
    return draws.reshape(RESAMPLES, *table.shape).astype(float)
