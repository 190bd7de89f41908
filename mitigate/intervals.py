"""An estimate with its confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """
    An estimate with its confidence interval.

    Args:
        estimate (`float`):
            The estimate; NaN if there was nothing to estimate from.
        low (`float`):
            Lower bound; NaN if `n < 2`, or if all seeds gave the same value, from which no interval follows.
        high (`float`):
            Upper bound; likewise.
        n (`int`):
            Number of seeds behind it.
    """

    estimate: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the distance of the bounds, the `±` of a table."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether both bounds lie on the same side of 0; False where there are no bounds."""
        return self.low > 0 or self.high < 0

    @property
    def is_constant(self) -> bool:
        """Whether there are no bounds because all seeds gave the same value."""
        return self.n > 1 and math.isnan(self.low) and not math.isnan(self.estimate)

    def scaled(self, factor: float) -> Interval:
        """Return the interval in another unit, such as per +0.10 of ρ instead of per +1; `factor > 0`."""
        return Interval(self.estimate * factor, self.low * factor, self.high * factor, self.n)
