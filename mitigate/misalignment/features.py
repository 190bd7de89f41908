"""Features of texts to compare distributions in: given ones, or words where there is no encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from mitigate.misalignment.two_sample import Rows

# Dimensions that words are reduced to, as is usual for latent semantic analysis, and the words that are kept.
DIMENSIONS, VOCABULARY = 100, 50_000
# Rows of a side on a map.
MAPPED = 400
_CHUNK = 8192
# Largest number of an embedding: squared distances of rows of 10,000 stay below the largest number of float32, 3e38.
LARGEST = 1e16


@dataclass(frozen=True)
class Features:
    """
    Features of the rows of two sides.

    Args:
        real (`np.ndarray` of shape `(n, d)`, float):
            Of the real rows; may be a memory map.
        augmented (`np.ndarray` of shape `(m, d)`, float):
            Of the augmented rows.
        description (`str`):
            What they are; it is shown wherever a result is.

    Raises:
        ValueError: If they are not two matrices of equal width.
    """

    real: Rows
    augmented: Rows
    description: str

    def __post_init__(self) -> None:
        shapes = self.real.shape, self.augmented.shape
        if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
            raise ValueError(
                f"Features must be two matrices of rows × width with equal widths, got the shapes {shapes[0]} and "
                f"{shapes[1]}."
            )


@dataclass(frozen=True)
class FeatureMap:
    """
    Rows in two dimensions.

    Args:
        real (`tuple[tuple[float, float], ...]`):
            Places of some real rows.
        augmented (`tuple[tuple[float, float], ...]`):
            Places of as many augmented rows.
        explained (`tuple[float, float]`):
            Share of the variance that each axis shows.
    """

    real: tuple[tuple[float, float], ...]
    augmented: tuple[tuple[float, float], ...]
    explained: tuple[float, float]


def word_features(real: Sequence[str], augmented: Sequence[str], *, seed: int = 0) -> Features:
    """
    Latent semantic analysis: TF-IDF of the words of both sides, reduced to 100 dimensions by a truncated SVD.

    It needs no model and no download. Neither step knows which side a text is on. Word order and meaning are lost, and
    texts without spaces between words are cut badly.

    Args:
        real (`Sequence[str]` of length `n`):
            Real texts.
        augmented (`Sequence[str]` of length `m`):
            Augmented texts.
        seed (`int`, *optional*, defaults to 0):
            Seed of the decomposition.

    Returns:
        `Features`: Rows of length 1, or 0 for a text without words, float32.

    Raises:
        ValueError: If there are fewer than two different words.
    """
    vectorizer = TfidfVectorizer(
        token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, max_features=VOCABULARY, dtype=np.float32
    )
    weights = vectorizer.fit_transform([*real, *augmented])
    dimensions = min(DIMENSIONS, weights.shape[1])
    if dimensions < 2:
        raise ValueError("The texts have fewer than two different words, so there is nothing to compare them by.")
    reduced = TruncatedSVD(dimensions, random_state=seed).fit_transform(weights)
    rows = normalize(reduced).astype(np.float32)
    return Features(
        rows[: len(real)],
        rows[len(real) :],
        f"words (TF-IDF, reduced to {dimensions} dimensions, fitted on both sides), as no encoder was named",
    )


def read_features(real: str | Path, augmented: str | Path, rows: tuple[int, int]) -> Features:
    """
    Read embeddings that were computed before.

    Args:
        real (`str` or `Path`):
            NumPy file (`.npy`) of the real rows' embeddings, of shape `(n, d)`, float. It is mapped into memory, not
            read.
        augmented (`str` or `Path`):
            Likewise of the augmented rows, of shape `(m, d)`.
        rows (`tuple[int, int]`):
            `n` and `m`, as the tables have them.

    Returns:
        `Features`: The embeddings.

    Raises:
        ValueError: If a file is missing or no such array, has another number of rows, holds what is no finite number
            or a number beyond ±1e16, or if the widths differ.
    """
    sides = [_read(path, count) for path, count in zip((real, augmented), rows, strict=True)]
    return Features(sides[0], sides[1], f"given embeddings of width {sides[0].shape[1]}")


def map_features(features: Features, *, seed: int = 0) -> FeatureMap:
    """
    Place up to 400 rows of either side, as many of each, in two dimensions by principal components.

    Args:
        features (`Features`):
            The features.
        seed (`int`, *optional*, defaults to 0):
            Seed of the draw.

    Returns:
        `FeatureMap`: The places. What lies apart on it is apart; what overlaps may still be apart elsewhere.
    """
    rng = np.random.default_rng(seed)
    count = min(MAPPED, len(features.real), len(features.augmented))
    sides = [side[np.sort(rng.permutation(len(side))[:count])] for side in (features.real, features.augmented)]
    rows = np.concatenate(sides).astype(np.float64)
    model = PCA(n_components=min(2, *rows.shape), random_state=seed)
    places = np.zeros((2 * count, 2))
    found = model.fit_transform(rows)
    places[:, : found.shape[1]] = found
    explained = [*np.nan_to_num(model.explained_variance_ratio_).tolist(), 0.0]
    real, augmented = ([(float(x), float(y)) for x, y in part] for part in np.split(places, 2))
    return FeatureMap(tuple(real), tuple(augmented), (explained[0], explained[1]))


def _read(path: str | Path, count: int) -> Rows:
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as a NumPy array (`numpy.save`): {error}") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating):
        kind = f"shape {rows.shape} and type {rows.dtype}" if isinstance(rows, np.ndarray) else "several arrays"
        raise ValueError(f"{path} must hold one matrix of floating-point numbers, rows × width, got {kind}.")
    if len(rows) != count:
        raise ValueError(f"{path} has {len(rows)} rows, and the table that it belongs to has {count}.")
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        strange = ~np.isfinite(chunk).all(axis=1)
        if strange.any():
            raise ValueError(f"{path} holds what is no finite number in row {start + int(strange.argmax()) + 1}.")
        largest = np.abs(chunk).max(axis=1, initial=0)
        if largest.max() > LARGEST:
            raise ValueError(
                f"{path} holds a number of size {largest.max():.2g} in row {start + int(largest.argmax()) + 1}, and "
                f"distances can be computed up to {LARGEST:g}: divide the embeddings of both files by one factor."
            )
    return rows
