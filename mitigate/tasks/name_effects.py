"""Differences between groups of names, of which the names are the sampling unit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import tukey_hsd

# Effects that differ by less are equal.
_ROUNDING = 1e-9


class NameGap(NamedTuple):
    """
    The difference between two groups of names.

    Args:
        low (`float`):
            Lower bound of its 95% interval.
        high (`float`):
            Upper bound.
        p (`float`):
            Two-sided p value of no difference.
    """

    low: float
    high: float
    p: float


def widest_gap(
    names: Sequence[Sequence[str]], groups: Sequence[Sequence[str]], chosen: Sequence[int | None]
) -> NameGap:
    r"""
    Test the gap between the groups that are chosen most and least, with names as the sampling unit.

    Candidates compete, so that the rates of names depend on each other. The effects of names, fitted to the choices by
    least squares within panels, \\( y_{pc} = e_c - \bar e_p + \varepsilon_{pc} \\), do not, and differ between groups
    by as much as the selection rates do. Interval and p value are Tukey's, over the effects, so that they allow for
    the two groups having been picked as the most distant ones (of two groups, they are those of a t test).

    Args:
        names (`Sequence[Sequence[str]]` of length `n`):
            Names of the candidates of each panel.
        groups (`Sequence[Sequence[str]]` of length `n`):
            Their groups, in the same order.
        chosen (`Sequence[int | None]` of length `n`):
            Place of the one that is chosen; `None` if there is none.

    Returns:
        `NameGap`: All NaN if a group has fewer than two names, the panels do not connect the names, or the names of
        each group do not differ, so that there is nothing to hold the gap against.

    Limits: what is particular to a panel is counted for each of its names, which makes the interval too wide where
    names hardly differ.
    """
    answered = [place for place, choice in enumerate(chosen) if choice is not None]
    owners: dict[str, str] = {}
    for place in answered:
        owners |= dict(zip(names[place], groups[place], strict=True))
    counts = Counter(owners.values())
    effects = None
    if counts and min(counts.values()) > 1:
        effects = _effects([names[place] for place in answered], [chosen[place] for place in answered], list(owners))
    if effects is None:
        return NameGap(math.nan, math.nan, math.nan)
    kinds = np.array(list(owners.values()))
    samples = [effects[kinds == group] for group in counts]
    if max(np.ptp(sample) for sample in samples) < _ROUNDING:
        return NameGap(math.nan, math.nan, math.nan)
    means = [sample.mean() for sample in samples]
    most, least = int(np.argmax(means)), int(np.argmin(means))
    test = tukey_hsd(*samples)
    interval = test.confidence_interval()
    return NameGap(*(float(found[most, least]) for found in (interval.low, interval.high, test.pvalue)))


def _effects(
    names: Sequence[Sequence[str]], chosen: Sequence[int | None], order: Sequence[str]
) -> NDArray[np.float64] | None:
    places = {name: place for place, name in enumerate(order)}
    rows, picks = [], []
    for panel, choice in zip(names, chosen, strict=True):
        for candidate, name in enumerate(panel):
            row = np.zeros(len(order))
            row[[places[other] for other in panel]] = -1 / len(panel)
            row[places[name]] += 1
            rows.append(row)
            picks.append((candidate == choice) - 1 / len(panel))
    effects, _, rank, _ = np.linalg.lstsq(np.array(rows), np.array(picks), rcond=None)
    return effects if rank == len(order) - 1 else None
