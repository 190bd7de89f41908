"""Loss-based mitigation: representations of real and augmented rows, and the discrepancies between them."""

from mitigate.alignment.bank import FeatureBank, Sample
from mitigate.alignment.conditional import conditional_discrepancy
from mitigate.alignment.discrepancies import (
    BANDWIDTHS,
    DISCREPANCIES,
    MINIMUM_ROWS,
    PROJECTIONS,
    Discrepancy,
    coral,
    energy,
    get_discrepancy,
    mean_discrepancy,
    mmd,
    sliced_wasserstein,
)
from mitigate.alignment.pooling import (
    POOLINGS,
    Pooling,
    answer_tokens,
    last_tokens,
    mean_pool,
    number_segments,
    token_counts,
)
from mitigate.alignment.spectrum import effective_rank

__all__ = [
    "BANDWIDTHS",
    "DISCREPANCIES",
    "MINIMUM_ROWS",
    "POOLINGS",
    "PROJECTIONS",
    "Discrepancy",
    "FeatureBank",
    "Pooling",
    "Sample",
    "answer_tokens",
    "conditional_discrepancy",
    "coral",
    "effective_rank",
    "energy",
    "get_discrepancy",
    "last_tokens",
    "mean_discrepancy",
    "mean_pool",
    "mmd",
    "number_segments",
    "sliced_wasserstein",
    "token_counts",
]
