"""Numbers as text: as many decimals as the intervals warrant, the same in the terminal, the page and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mitigate.analysis import Analysis
from mitigate.intervals import Interval
from mitigate.stats import LEVEL

ABSENT = "–"
# Written after an estimate that has no interval and no test, as all seeds gave the same value.
SAME = "="
PERCENT_LEVEL = f"{LEVEL * 100:g}%"


@dataclass(frozen=True)
class Decimals:
    """
    Decimals of each kind of number of an analysis, chosen so that most half widths show a significant digit.

    Args:
        bias (`int`):
            Of bias values.
        utility (`int`):
            Of utility values and differences.
        slope (`int`):
            Of slopes per +0.10 of ρ and their contrasts.
    """

    bias: int
    utility: int
    slope: int


def decimals(analysis: Analysis) -> Decimals:
    """Return the decimals that fit an analysis."""
    curves = {
        name: [point.interval for arm in analysis.arms for point in arm.curves[name]] for name in ("bias", "utility")
    }
    differences = [arm.comparison.utility for arm in analysis.arms if arm.comparison]
    return Decimals(
        bias=_places(curves["bias"]),
        utility=_places([*curves["utility"], *differences]),
        slope=_places(arm.slope for arm in analysis.arms),
    )


def _places(intervals: Iterable[Interval]) -> int:
    widths = sorted(i.half_width for i in intervals if math.isfinite(i.half_width) and i.half_width > 0)
    if not widths:
        return 3
    # Half of the width, so that a leading 1 is followed by a second digit: ±0.012, but ±0.03.
    return min(6, max(0, -math.floor(math.log10(widths[len(widths) // 4] / 2))))


def number(value: float, places: int, *, sign: bool = False) -> str:
    """Format a number with a true minus sign; never a negative zero, and a dash for NaN."""
    if math.isnan(value):
        return ABSENT
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def plus_minus(interval: Interval, places: int) -> str:
    """Format a mean as `0.080 ± 0.012`, or alone where there is no interval."""
    if math.isnan(interval.low):
        return number(interval.estimate, places)
    return f"{number(interval.estimate, places)} ± {number(interval.half_width, places)}"


def bounds(interval: Interval, places: int) -> str:
    """Format the bounds as `[0.068, 0.092]`, or a dash where there are none."""
    if math.isnan(interval.low):
        return ABSENT
    return f"[{number(interval.low, places)}, {number(interval.high, places)}]"


def with_bounds(interval: Interval, places: int) -> str:
    """Format a signed estimate with its bounds, as `+0.010 [0.008, 0.012]`, or with a mark if seeds do not differ."""
    estimate = number(interval.estimate, places, sign=True)
    if math.isnan(interval.low):
        return estimate + mark_constant(interval)
    return f"{estimate} {bounds(interval, places)}"


def mark_constant(interval: Interval) -> str:
    """Mark an estimate that cannot be tested, as all seeds gave the same value; else nothing."""
    return f" {SAME}" if interval.is_constant else ""


def share(interval: Interval | None) -> str:
    """Format a share in per cent with its bounds, as `83% [70%, 95%]`; a dash where it is undefined."""
    if interval is None:
        return ABSENT
    low, estimate, high = (
        f"{value * 100:.0f}%".replace("-", "−") for value in (interval.low, interval.estimate, interval.high)
    )
    return f"{estimate} [{low}, {high}]"


def p_value(p: float) -> str:
    """Format a p value: `0.012`, `<0.001`, or a dash for NaN."""
    if math.isnan(p):
        return ABSENT
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_sentence(p: float) -> str:
    """Format a p value for a sentence: `p = 0.012` or `p < 0.001`."""
    text = p_value(p)
    return f"p {text[0]} {text[1:]}" if text.startswith("<") else f"p = {text}"
