r"""
Statistics of bias inheritance: slopes over the bias ratio, their intervals and tests.

The unit is the training seed. The models of one seed share initialisation and data order and so count once, whatever
the number of bias ratios, test items or words behind a value: each seed first gives one number (a slope, a shift, a
difference), and intervals and tests are taken over these numbers.
"""

from mitigate.stats.equivalence import equivalence_p
from mitigate.stats.means import LEVEL, Floats, mean_interval, mean_p, paired_differences, ratio_interval
from mitigate.stats.multiplicity import holm
from mitigate.stats.permutation import PERMUTATIONS, permutation_floor, slope_permutation_p
from mitigate.stats.slopes import inheritance_slope, seed_slopes

__all__ = [
    "LEVEL",
    "PERMUTATIONS",
    "Floats",
    "equivalence_p",
    "holm",
    "inheritance_slope",
    "mean_interval",
    "mean_p",
    "paired_differences",
    "permutation_floor",
    "ratio_interval",
    "seed_slopes",
    "slope_permutation_p",
]
