"""Balance of matched rows: how alike real and augmented rows are, and which were dropped to get there."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

LARGEST_DIFFERENCE = 0.1
VARIANCE_RATIOS = (0.5, 2.0)
_STRATA_SHOWN = 15

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CovariateBalance:
    r"""
    How alike the two sides are in one covariate, before and after matching.

    Args:
        name (`str`):
            The covariate.
        difference_before (`float`):
            Standardised mean difference \\( (\bar x_a - \bar x_r) / \sqrt{(s_a^2 + s_r^2) / 2} \\) of all rows.
        difference_after (`float`):
            That of the matched rows. The standard deviation is still that of all rows, so that the two compare.
        variance_ratio_before (`float`):
            \\( s_a^2 / s_r^2 \\) of all rows; NaN or infinite if the real rows do not vary.
        variance_ratio_after (`float`):
            That of the matched rows; NaN also if there is only one pair.
    """

    name: str
    difference_before: float
    difference_after: float
    variance_ratio_before: float
    variance_ratio_after: float

    @property
    def balanced(self) -> bool:
        """Whether, after matching, the difference is within ±0.1 and the variance ratio in [0.5, 2]."""
        low, high = VARIANCE_RATIOS
        return abs(self.difference_after) < LARGEST_DIFFERENCE and low <= self.variance_ratio_after <= high


@dataclass(frozen=True)
class StratumDrops:
    """
    What matching kept and dropped in one stratum.

    Args:
        stratum (`str`):
            Its values, such as `"label=nurse, topic=work"`.
        real (`int`):
            Real rows before matching.
        augmented (`int`):
            Augmented rows before matching.
        pairs (`int`):
            Pairs made.
        no_real (`int`):
            Augmented rows dropped since the stratum has no real row.
        too_far (`int`):
            Augmented rows dropped since no real row of the stratum is within the caliper.
        taken (`int`):
            Augmented rows dropped since all real rows within the caliper went to others.
    """

    stratum: str
    real: int
    augmented: int
    pairs: int
    no_real: int
    too_far: int
    taken: int

    @property
    def dropped(self) -> int:
        """Augmented rows without a partner."""
        return self.no_real + self.too_far + self.taken


@dataclass(frozen=True)
class Balance:
    """
    Report of a matching. `rich.print` draws it as two tables.

    Args:
        covariates (`tuple[CovariateBalance, ...]`):
            One for each covariate.
        strata (`tuple[StratumDrops, ...]`):
            One for each stratum that has augmented rows.
        caliper (`float`):
            Largest difference within a pair, in standard deviations.
        pairs (`int`):
            Pairs made.
        real (`int`):
            Real rows before matching.
        augmented (`int`):
            Augmented rows before matching.
    """

    covariates: tuple[CovariateBalance, ...]
    strata: tuple[StratumDrops, ...]
    caliper: float
    pairs: int
    real: int
    augmented: int

    @property
    def balanced(self) -> bool:
        """Whether every covariate is balanced."""
        return all(covariate.balanced for covariate in self.covariates)

    def to_dict(self) -> dict[str, Any]:
        """
        Give the report as plain values for JSON.

        Returns:
            `dict[str, Any]`: The fields, with `balanced` and `dropped` added; what is not finite becomes `None`.
        """
        covariates = [{**_finite(asdict(covariate)), "balanced": covariate.balanced} for covariate in self.covariates]
        strata = [{**asdict(stratum), "dropped": stratum.dropped} for stratum in self.strata]
        return {**asdict(self), "covariates": covariates, "strata": strata, "balanced": self.balanced}

    def __rich__(self) -> Group:
        return Group(_covariate_table(self), _stratum_table(self))


def pooled_deviations(real: Floats, augmented: Floats) -> Floats:
    r"""
    Pooled standard deviations \\( \sqrt{(s_r^2 + s_a^2) / 2} \\).

    Args:
        real (`np.ndarray` of shape `(n, k)`):
            Covariates of the real rows, `n >= 2`.
        augmented (`np.ndarray` of shape `(m, k)`):
            Those of the augmented rows, `m >= 2`.

    Returns:
        `np.ndarray` of shape `(k,)`: In the units of the covariates.
    """
    deviations: Floats = np.sqrt((real.var(axis=0, ddof=1) + augmented.var(axis=0, ddof=1)) / 2)
    return deviations


def covariate_balance(
    name: str, before: tuple[Floats, Floats], after: tuple[Floats, Floats], deviation: float
) -> CovariateBalance:
    """
    Compare the sides in one covariate.

    Args:
        name (`str`):
            The covariate.
        before (`tuple[np.ndarray, np.ndarray]`):
            Its values in all real and all augmented rows.
        after (`tuple[np.ndarray, np.ndarray]`):
            Its values in the matched ones.
        deviation (`float`):
            Pooled standard deviation of all rows, above 0.

    Returns:
        `CovariateBalance`: The comparison.
    """
    differences = [float(augmented.mean() - real.mean()) / deviation for real, augmented in (before, after)]
    return CovariateBalance(
        name, *differences, *(_variance_ratio(real, augmented) for real, augmented in (before, after))
    )


def _variance_ratio(real: Floats, augmented: Floats) -> float:
    if len(real) < 2:
        return math.nan
    below, above = float(real.var(ddof=1)), float(augmented.var(ddof=1))
    if below == 0:
        return math.inf if above > 0 else math.nan
    return above / below


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def _covariate_table(balance: Balance) -> Table:
    share = balance.pairs / balance.augmented
    title = f"Balance of {balance.pairs:,} pairs ({share:.0%} of {balance.augmented:,} augmented rows)"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("covariate", "difference before", "after", "variance ratio before", "after", "balanced"):
        table.add_column(heading, justify="left" if heading == "covariate" else "right")
    for row in balance.covariates:
        numbers = (row.difference_before, row.difference_after, row.variance_ratio_before, row.variance_ratio_after)
        table.add_row(Text(row.name), *(_number(number) for number in numbers), "yes" if row.balanced else "NO")
    table.caption = (
        "Differences of means, augmented minus real, in standard deviations. Balanced: within "
        f"±{LARGEST_DIFFERENCE:g}, and ratio of variances from {VARIANCE_RATIOS[0]:g} to {VARIANCE_RATIOS[1]:g}."
    )
    return table


def _stratum_table(balance: Balance) -> Table:
    table = Table(title="Augmented rows dropped", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("stratum", "real", "augmented", "pairs", "no real row", "none within caliper", "all taken"):
        table.add_column(heading, justify="left" if heading == "stratum" else "right")
    by_drops = sorted(balance.strata, key=lambda row: -row.dropped)
    for row in by_drops[:_STRATA_SHOWN]:
        counts = (row.real, row.augmented, row.pairs, row.no_real, row.too_far, row.taken)
        table.add_row(Text(row.stratum), *(f"{count:,}" for count in counts))
    if len(by_drops) > _STRATA_SHOWN:
        rest = by_drops[_STRATA_SHOWN:]
        table.caption = f"{len(rest):,} more strata with {sum(row.dropped for row in rest):,} dropped rows."
    return table


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
