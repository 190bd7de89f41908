"""Summaries of true-positive-rate gaps over classes, with what chance adds to them taken away."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 2000


@dataclass(frozen=True)
class TprGaps:
    r"""
    True-positive-rate gaps of two groups over classes, \\( \text{TPR}_{g,y} - \text{TPR}_{g',y} \\).

    Args:
        classes (`tuple[str, ...]` of length `k`):
            The classes.
        hits (`np.ndarray` of shape `(k, 2)`):
            Rows recognised, of each class and of the groups \\( g \\) and \\( g' \\).
        counts (`np.ndarray` of shape `(k, 2)`):
            Rows there are.
    """

    classes: tuple[str, ...]
    hits: NDArray[np.int_]
    counts: NDArray[np.int_]

    @classmethod
    def from_rows(
        cls, labels: Sequence[str], predictions: Sequence[str], groups: Sequence[str], pair: tuple[str, str]
    ) -> TprGaps:
        """
        Count rows.

        Args:
            labels (`Sequence[str]` of length `n`):
                True classes.
            predictions (`Sequence[str]` of length `n`):
                Predicted classes; what is no class counts as not recognised.
            groups (`Sequence[str]` of length `n`):
                Group of each row.
            pair (`tuple[str, str]`):
                The two groups.

        Returns:
            `TprGaps`: The counts.
        """
        true, predicted, group = (np.asarray(each, dtype=str) for each in (labels, predictions, groups))
        classes = tuple(sorted(set(labels)))
        members = [[(true == name) & (group == each) for each in pair] for name in classes]
        counts = np.array([[int(own.sum()) for own in row] for row in members])
        hits = np.array([[int((own & (predicted == true)).sum()) for own in row] for row in members])
        return cls(classes, hits, counts)

    @property
    def rates(self) -> NDArray[np.float64]:
        """`np.ndarray` of shape `(k, 2)`: True-positive rates, NaN where there is no row."""
        return _ratio(self.hits, self.counts)

    @property
    def gaps(self) -> NDArray[np.float64]:
        """`np.ndarray` of shape `(k,)`: Gaps in [-1, 1], NaN where a group has no row."""
        gaps: NDArray[np.float64] = self.rates[:, 0] - self.rates[:, 1]
        return gaps

    @property
    def _usable(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Hits and counts of the classes with two rows of both groups, of which a standard error can be told."""
        usable = (self.counts >= 2).all(axis=-1)
        return self.hits[usable], self.counts[usable]

    def rms(self) -> float:
        r"""
        Root mean square of the gaps, \\( \sqrt{\frac{1}{|Y|} \sum_y \text{Gap}_y^2} \\) (Romanov et al. 2019).

        Returns:
            `float`: In [0, 1]; NaN if no class has rows of both groups. Noise pushes it upwards.
        """
        return _root_mean(self.gaps**2)

    def corrected_rms(self) -> float:
        r"""
        Root mean square of the gaps without what sampling adds, \\( \sqrt{\max(0, \overline{\text{Gap}^2} -
        \overline{\text{SE}^2})} \\).

        The squared standard error of a gap is the sum of \\( p (1 - p) / (n - 1) \\) over the two groups, which does
        not underestimate it in small cells.

        Returns:
            `float`: In [0, 1]; NaN if no class has two rows of both groups.
        """
        hits, counts = self._usable
        return math.sqrt(max(0.0, float(_excess(hits, counts).mean()))) if len(counts) else math.nan

    def corrected_rms_interval(self, seed: int = 0) -> tuple[float, float]:
        r"""
        95% interval of the corrected root mean square, from a bootstrap over the rows of each class and group.

        Rows drawn from the sample scatter around its gaps, which chance has already widened. So \\(
        \overline{\text{SE}^2} \\) of the sample is taken off every draw beside that of the draw itself. The interval
        is somewhat too wide where the gaps are small.

        Args:
            seed (`int`, *optional*, defaults to 0):
                Seed of the 2,000 draws.

        Returns:
            `tuple[float, float]`: The percentiles 2.5 and 97.5; NaN if no class has two rows of both groups.
        """
        hits, counts = self._usable
        if not len(counts):
            return math.nan, math.nan
        # The hits among n rows drawn with replacement are binomial.
        drawn = np.random.default_rng(seed).binomial(counts, hits / counts, size=(_DRAWS, *counts.shape))
        excess = _excess(drawn, counts).mean(axis=-1) - _squared_errors(hits, counts).mean()
        low, high = np.quantile(np.sqrt(np.maximum(0, excess)), [0.025, 0.975])
        return float(low), float(high)

    def corrected_rms_bounds(self, missing: NDArray[np.int_]) -> tuple[float, float]:
        """
        Least and largest corrected root mean square that rows without a readable prediction allow.

        Args:
            missing (`np.ndarray` of shape `(k, 2)`):
                Rows that have none, of each class and group. They are among `counts` and not among `hits`, and each
                may have been recognised or not.

        Returns:
            `tuple[float, float]`: Both reached by some outcome of these rows; NaN if no class has two rows of both
            groups.
        """
        hits, counts = self._usable
        if not len(counts):
            return math.nan, math.nan
        cells = zip(hits, counts, missing[(self.counts >= 2).all(axis=-1)], strict=True)
        ranges = [_excess_range(*cell) for cell in cells]
        low, high = (math.sqrt(max(0.0, float(edge))) for edge in np.mean(ranges, axis=0))
        return low, high

    def compounding(self, shares: Mapping[str, float]) -> dict[str, float]:
        r"""
        How much the first group's share among those recognised departs from its share in the world.

        \\( \frac{\pi_y \text{TPR}_{g,y}}{\pi_y \text{TPR}_{g,y} + (1 - \pi_y) \text{TPR}_{g',y}} - \pi_y \\). Where a
        group is already the smaller one, a negative value says that the classifier makes it smaller still
        (De-Arteaga et al. 2019, §4).

        Args:
            shares (`Mapping[str, float]`):
                External share \\( \pi_y \\) in [0, 1] of the first group in each class. The shares of a sample that
                was balanced by design say nothing.

        Returns:
            `dict[str, float]`: In [-1, 1], for each class that has a share; NaN where nobody is recognised.

        Raises:
            ValueError: If a share lies outside [0, 1].
        """
        wrong = {name: share for name, share in shares.items() if not 0 <= share <= 1}
        if wrong:
            name, share = next(iter(wrong.items()))
            raise ValueError(f"`shares`: the share of '{name}' must lie in [0, 1], got {share}.")
        result = {}
        for name, (own, other) in zip(self.classes, self.rates.tolist(), strict=True):
            if name in shares:
                first, second = shares[name] * own, (1 - shares[name]) * other
                result[name] = first / (first + second) - shares[name] if first + second > 0 else math.nan
        return result


def _ratio(hits: NDArray[np.int_], counts: NDArray[np.int_]) -> NDArray[np.float64]:
    rates: NDArray[np.float64] = np.divide(hits, counts, out=np.full(hits.shape, np.nan), where=counts > 0)
    return rates


def _excess(hits: NDArray[np.int_], counts: NDArray[np.int_]) -> NDArray[np.float64]:
    """Squared gap less its squared standard error."""
    rates = hits / counts
    excess: NDArray[np.float64] = (rates[..., 0] - rates[..., 1]) ** 2 - _squared_errors(hits, counts)
    return excess


def _squared_errors(hits: NDArray[np.int_], counts: NDArray[np.int_]) -> NDArray[np.float64]:
    rates = hits / counts
    errors: NDArray[np.float64] = (rates * (1 - rates) / (counts - 1)).sum(axis=-1)
    return errors


def _excess_range(
    hits: NDArray[np.int_], counts: NDArray[np.int_], missing: NDArray[np.int_]
) -> tuple[np.float64, np.float64]:
    first = np.arange(hits[0], hits[0] + missing[0] + 1)
    # In the hits of the second group the excess is a parabola that opens upwards: largest at an end, least beside its
    # vertex.
    vertex = np.floor((counts[1] - 1) * first / counts[0] + 0.5).astype(int)
    ends = np.broadcast_to(hits[1], first.shape), np.broadcast_to(hits[1] + missing[1], first.shape)
    second = np.clip([*ends, vertex, vertex + 1], hits[1], hits[1] + missing[1])
    excess = _excess(np.stack([np.broadcast_to(first, second.shape), second], axis=-1), counts)
    return excess.min(), excess.max()


def _root_mean(squares: NDArray[np.float64]) -> float:
    known = squares[~np.isnan(squares)]
    return math.sqrt(known.mean()) if len(known) else math.nan
