"""Covariances of rows that need not fit into memory, and the CORAL distance between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mitigate.misalignment.two_sample import Indices, Rows
from mitigate.stats import Floats

# Rows read at a time.
_CHUNK = 8192


@dataclass(frozen=True)
class Covariance:
    """
    Covariance matrix of a sample, and what chance moves it by.

    Args:
        matrix (`np.ndarray` of shape `(d, d)`, float64):
            The covariance, with the denominator `n - 1`.
        noise (`float`):
            Expected squared Frobenius distance of the matrix from that of the population.
    """

    matrix: Floats
    noise: float


def covariance(rows: Rows, chosen: Indices) -> Covariance:
    r"""
    Compute the covariance of some rows, a chunk at a time.

    The noise is \\( (\overline{\lVert x - \bar x \rVert^4} - \lVert C \rVert_F^2) / (n - 1) \\), the variance of a
    mean of outer products.

    Args:
        rows (`np.ndarray` of shape `(all rows, d)`, float):
            Features; may be a memory map.
        chosen (`np.ndarray` of shape `(n,)`, int64):
            Numbers of the rows, `n ≥ 2`.

    Returns:
        `Covariance`: The matrix and its noise.
    """
    chosen = np.sort(chosen)
    chunks = [chosen[start : start + _CHUNK] for start in range(0, len(chosen), _CHUNK)]
    mean = sum(rows[chunk].sum(axis=0, dtype=np.float64) for chunk in chunks) / len(chosen)
    products, fourth = np.zeros((rows.shape[1],) * 2), 0.0
    for chunk in chunks:
        centred = (rows[chunk] - mean).astype(np.float32)
        products += centred.T @ centred
        fourth += float(np.square(np.einsum("ij,ij->i", centred, centred, dtype=np.float64)).sum())
    matrix = products / (len(chosen) - 1)
    noise = (fourth / len(chosen) - float(np.square(matrix).sum())) / (len(chosen) - 1)
    return Covariance(matrix, max(0.0, noise))


def coral(real: Covariance, augmented: Covariance) -> tuple[float, float]:
    r"""
    Squared distance of two covariances (Deep CORAL, Sun & Saenko 2016, Eq. 1), and what chance alone gives.

    \\( \lVert C_r - C_a \rVert_F^2 / (4 d^2) \\), the same as [`mitigate.alignment.coral`].

    Args:
        real (`Covariance`):
            Of the real rows.
        augmented (`Covariance`):
            Of the augmented rows.

    Returns:
        `tuple[float, float]`: The distance, at least 0 and in feature units to the fourth power, and its expectation
        for two samples of these sizes from populations of equal covariance.
    """
    scale = 4 * len(real.matrix) ** 2
    distance = float(np.square(real.matrix - augmented.matrix).sum())
    return distance / scale, (real.noise + augmented.noise) / scale
