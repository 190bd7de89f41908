r"""
Discrepancies: distances between a sample of real and a sample of augmented representations.

All are computed in float32 (float64 for float64 input) whatever the dtype of the input: expanded squared distances at
width 4096 are off by several per cent in bfloat16. None needs samples of equal size. All have finite gradients, for
identical samples too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mitigate.spelling import did_you_mean

Discrepancy = Callable[[Tensor, Tensor], Tensor]

# Multiples of the median squared distance at which the Gaussian kernels of the MMD are evaluated.
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)

# Random directions of the sliced Wasserstein distance.
PROJECTIONS = 64


def mean_discrepancy(real: Tensor, augmented: Tensor) -> Tensor:
    r"""
    Squared distance of the two means, per dimension.

    \\( \lVert \mu_r - \mu_a \rVert^2 / d \\): the biased squared MMD with a linear kernel (Gretton et al. 2012, JMLR
    13, Eq. 5), divided by the width.

    Args:
        real (`torch.Tensor` of shape `(n, d)`, float):
            Representations of real rows, `n ≥ 1`.
        augmented (`torch.Tensor` of shape `(m, d)`, same device):
            Representations of augmented rows, `m ≥ 1`.

    Returns:
        `torch.Tensor`: Scalar ≥ 0.

    Raises:
        ValueError: If the widths differ or a side is empty.
    """
    real, augmented = _check(real, augmented, at_least=1)
    return (real.mean(dim=0) - augmented.mean(dim=0)).square().mean()


def coral(real: Tensor, augmented: Tensor) -> Tensor:
    r"""
    Squared distance of the two covariance matrices (Deep CORAL, Sun & Saenko 2016, Eq. 1).

    \\( \lVert C_r - C_a \rVert_F^2 / (4 d^2) \\), covariances with denominators `n - 1` and `m - 1`. It is blind to a
    difference of the means. Of `n` rows the covariance has rank `n - 1` at most, so small batches estimate it poorly.

    Args:
        real (`torch.Tensor` of shape `(n, d)`, float):
            Representations of real rows, `n ≥ 2`.
        augmented (`torch.Tensor` of shape `(m, d)`, same device):
            Representations of augmented rows, `m ≥ 2`.

    Returns:
        `torch.Tensor`: Scalar ≥ 0, in feature units to the fourth power.

    Raises:
        ValueError: If the widths differ or a side has fewer than two rows.
    """
    real, augmented = _check(real, augmented, at_least=2)
    return (torch.cov(real.T) - torch.cov(augmented.T)).square().mean() / 4


def mmd(real: Tensor, augmented: Tensor) -> Tensor:
    r"""
    Unbiased squared maximum mean discrepancy (Gretton et al. 2012, JMLR 13, Eq. 3) with Gaussian kernels.

    The kernel is the mean of \\( \exp(-\lVert x - y \rVert^2 / (c \cdot s)) \\) over `c` in 1/4, 1/2, 1, 2 and 4,
    where `s` is the median squared distance within the pooled sample. No gradient flows through `s`. The result does
    not change when all representations are scaled by one factor.

    The estimate is unbiased, therefore it falls below zero for samples that differ less than chance. It is neither
    clamped nor rooted: both would cut or blow up the gradient.

    Args:
        real (`torch.Tensor` of shape `(n, d)`, float):
            Representations of real rows, `n ≥ 2`.
        augmented (`torch.Tensor` of shape `(m, d)`, same device):
            Representations of augmented rows, `m ≥ 2`.

    Returns:
        `torch.Tensor`: Scalar, at most 2; 0 in expectation if both samples come from one distribution.

    Raises:
        ValueError: If the widths differ or a side has fewer than two rows.
    """
    real, augmented = _check(real, augmented, at_least=2)
    squared, _ = _squared_distances_and_error(torch.cat([real, augmented]))
    off_diagonal = ~torch.eye(len(squared), dtype=torch.bool, device=squared.device)
    scale = squared.detach()[off_diagonal].median().clamp_min(torch.finfo(squared.dtype).tiny)
    kernel = torch.stack([torch.exp(-squared / (c * scale)) for c in BANDWIDTHS]).mean(dim=0)
    return _within_minus_between(kernel * off_diagonal, len(real))


def energy(real: Tensor, augmented: Tensor) -> Tensor:
    r"""
    Unbiased energy distance (Székely & Rizzo 2013, J. Stat. Plan. Inference 143, 1249–1272), as a U-statistic.

    \\( 2 \mathbb{E} \lVert x - y \rVert - \mathbb{E} \lVert x - x' \rVert - \mathbb{E} \lVert y - y' \rVert \\) over
    the pairs of different rows. It has no bandwidth, and sees any difference of the two distributions. In one
    dimension it is the square of what `scipy.stats.energy_distance` returns, but for the pairs of a row with itself.

    The estimate is unbiased, therefore it falls below zero for samples that differ less than chance. The norm has no
    gradient where two rows coincide. So where the squared distance is below the rounding error of its computation (in
    float32, a distance below about 0.2 % of that from the mean of all rows), the gradient fades to 0 in proportion, as
    that of Huber's function.

    Args:
        real (`torch.Tensor` of shape `(n, d)`, float):
            Representations of real rows, `n ≥ 2`.
        augmented (`torch.Tensor` of shape `(m, d)`, same device):
            Representations of augmented rows, `m ≥ 2`.

    Returns:
        `torch.Tensor`: Scalar, in feature units; 0 in expectation if both samples come from one distribution.

    Raises:
        ValueError: If the widths differ or a side has fewer than two rows.
    """
    real, augmented = _check(real, augmented, at_least=2)
    squared, error = _squared_distances_and_error(torch.cat([real, augmented]))
    error = error.clamp_min(torch.finfo(error.dtype).tiny)
    # The root must not see the zeros, for its infinite slope there times zero would be NaN.
    distances = torch.where(squared > error, squared.clamp_min(error).sqrt(), squared / (2 * error.sqrt()))
    return -_within_minus_between(distances.fill_diagonal_(0), len(real))


def sliced_wasserstein(real: Tensor, augmented: Tensor, *, seed: int = 0) -> Tensor:
    r"""
    Squared sliced Wasserstein-2 distance (Bonneel et al. 2015, J. Math. Imaging Vis. 51, 22–45).

    The mean, over 64 random directions, of the squared 1-Wasserstein-2 distance of the rows' projections. In one
    dimension that distance is \\( \int_0^1 (F_r^{-1}(q) - F_a^{-1}(q))^2 \, dq \\), an exact sum over the steps of the
    two quantile functions, so the samples need not be of equal size. It stays squared: the slope of a root would be
    infinite at 0. As a mean over directions it is of the size of a squared distance *per dimension*.

    Args:
        real (`torch.Tensor` of shape `(n, d)`, float):
            Representations of real rows, `n ≥ 1`.
        augmented (`torch.Tensor` of shape `(m, d)`, same device):
            Representations of augmented rows, `m ≥ 1`.
        seed (`int`, *optional*, defaults to 0):
            Seed of the directions, which do not depend on torch's global random numbers. The alignment loss gives the
            optimizer step, so that all processes and a resumed run draw the same.

    Returns:
        `torch.Tensor`: Scalar ≥ 0, in squared feature units.

    Raises:
        ValueError: If the widths differ or a side is empty.
    """
    real, augmented = _check(real, augmented, at_least=1)
    generator = torch.Generator(real.device).manual_seed(seed)
    directions = torch.randn(real.shape[1], PROJECTIONS, generator=generator, device=real.device)
    directions = torch.nn.functional.normalize(directions.to(real.dtype), dim=0)
    n, m = len(real), len(augmented)
    # Both quantile functions are constant between these levels, which are counted in steps of 1 / (n · m).
    levels = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).sort().values
    lower = torch.cat([levels.new_zeros(1), levels[:-1]])
    widths = (levels - lower).to(real) / (n * m)
    rows_real = (lower // m).clamp_max(n - 1).to(real.device)
    rows_augmented = (lower // n).clamp_max(m - 1).to(real.device)
    sorted_real = (real @ directions).sort(dim=0).values
    sorted_augmented = (augmented @ directions).sort(dim=0).values
    return (widths @ (sorted_real[rows_real] - sorted_augmented[rows_augmented]).square()).mean()


DISCREPANCIES: dict[str, Discrepancy] = {
    "mean": mean_discrepancy,
    "coral": coral,
    "mmd": mmd,
    "energy": energy,
    "sliced_wasserstein": sliced_wasserstein,
}

# Rows that a discrepancy needs on either side; a function of the user's is called from one row on.
MINIMUM_ROWS: dict[Discrepancy, int] = {
    mean_discrepancy: 1,
    coral: 2,
    mmd: 2,
    energy: 2,
    sliced_wasserstein: 1,
}


def get_discrepancy(name: str) -> Discrepancy:
    """
    Look up a discrepancy.

    Args:
        name (`str`):
            `"mean"`, `"coral"`, `"mmd"`, `"energy"` or `"sliced_wasserstein"`.

    Returns:
        `Callable`: The function.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in DISCREPANCIES:
        hint = did_you_mean(name, DISCREPANCIES)
        raise ValueError(f"No discrepancy is called '{name}'; available: {', '.join(DISCREPANCIES)}.{hint}")
    return DISCREPANCIES[name]


def _check(real: Tensor, augmented: Tensor, *, at_least: int) -> tuple[Tensor, Tensor]:
    if real.shape[-1] != augmented.shape[-1]:
        raise ValueError(
            f"`real` and `augmented` must have the same width, got {real.shape[-1]} and {augmented.shape[-1]}."
        )
    if min(len(real), len(augmented)) < at_least:
        raise ValueError(
            f"This discrepancy needs at least {at_least} row(s) on either side, got {len(real)} real and "
            f"{len(augmented)} augmented."
        )
    dtype = torch.promote_types(torch.promote_types(real.dtype, augmented.dtype), torch.float32)
    return real.to(dtype), augmented.to(dtype)


def _within_minus_between(pairs: Tensor, real_rows: int) -> Tensor:
    """Contrast the mean over pairs of one side with that over pairs of both; the diagonal must be 0."""
    n, m = real_rows, len(pairs) - real_rows
    within_real = pairs[:n, :n].sum() / (n * (n - 1))
    within_augmented = pairs[n:, n:].sum() / (m * (m - 1))
    return within_real + within_augmented - 2 * pairs[:n, n:].mean()


def _squared_distances_and_error(rows: Tensor) -> tuple[Tensor, Tensor]:
    # Distances do not move with the origin, and the expanded form below loses digits when the rows lie far from it.
    rows = rows - rows.mean(dim=0).detach()
    norms = rows.square().sum(dim=1)
    sums = norms[:, None] + norms[None, :]
    # Rounding of the products, which grows slowly with the width.
    return (sums - 2 * rows @ rows.T).clamp_min(0), 16 * torch.finfo(rows.dtype).eps * sums.detach()
