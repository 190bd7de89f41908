r"""
Statistics of bias inheritance: slopes over the bias ratio, their intervals and tests.

The unit is the training seed. The models of one seed share initialisation and data order and so count once, whatever
the number of bias ratios, test items or words behind a value: each seed first gives one number (a slope, a shift, a
difference), and intervals and tests are taken over these numbers.
"""

from mitigate.stats.bootstrap import hierarchical_bootstrap
from mitigate.stats.contrasts import DifferenceInDifferences, difference_in_differences, standardised_shifts
from mitigate.stats.equivalence import equivalence_p
from mitigate.stats.inheritance import closure, inheritance_coefficient, paired_shifts
from mitigate.stats.means import (
    LEVEL,
    Floats,
    mean_interval,
    mean_p,
    paired_differences,
    ratio_interval,
    seed_sd,
    welch_interval,
)
from mitigate.stats.mixed import MixedSlope, mixed_slope
from mitigate.stats.multiplicity import benjamini_hochberg, benjamini_yekutieli, family_size, holm
from mitigate.stats.permutation import PERMUTATIONS, pair_permutation_p, slope_permutation_p
from mitigate.stats.power import minimal_detectable_effect
from mitigate.stats.slopes import inheritance_slope, seed_slopes, task_slopes
from mitigate.stats.trend import jonckheere_p, page_p, seed_trends

__all__ = [
    "LEVEL",
    "PERMUTATIONS",
    "DifferenceInDifferences",
    "Floats",
    "MixedSlope",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "closure",
    "difference_in_differences",
    "equivalence_p",
    "family_size",
    "hierarchical_bootstrap",
    "holm",
    "inheritance_coefficient",
    "inheritance_slope",
    "jonckheere_p",
    "mean_interval",
    "mean_p",
    "minimal_detectable_effect",
    "mixed_slope",
    "page_p",
    "pair_permutation_p",
    "paired_differences",
    "paired_shifts",
    "ratio_interval",
    "seed_sd",
    "seed_slopes",
    "seed_trends",
    "slope_permutation_p",
    "standardised_shifts",
    "task_slopes",
    "welch_interval",
]
