"""Surface of texts, apart from what they say: length, words, variety, and repeated templates."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import ks_2samp
from sklearn.feature_extraction.text import CountVectorizer
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from mitigate.intervals import Interval
from mitigate.metrics import js_distance
from mitigate.misalignment.taggers import FrequentWordTagger, Tagger, Texts
from mitigate.misalignment.two_sample import label_strata, thin_strata
from mitigate.stats import LEVEL, Floats

# Texts of a side that are read, and tokens of a side of which sequences are counted.
TEXTS, TOKENS = 20_000, 200_000
# Lengths of the sequences of which the share of different ones is taken.
SEQUENCES = (1, 2, 3)
# A template is a sequence of so many tags; the most frequent ones of a side are counted.
TEMPLATE_LENGTH, TEMPLATES = 6, 100
# Divisions at random that tell what chance makes of the distance of words.
_DIVISIONS = 50
_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class Pair(NamedTuple):
    """
    One number of either side.

    Attributes:
        real (`float`):
            Of the real texts.
        augmented (`float`):
            Of the augmented texts.
    """

    real: float
    augmented: float


@dataclass(frozen=True)
class SurfaceMisalignment:
    """
    Difference of two sides in the surface of their texts. A token is a word or a punctuation mark.

    Args:
        texts (`tuple[int, int]`):
            Real and augmented texts that were read.
        length (`Pair`):
            Mean length, in tokens.
        length_difference (`Interval`):
            Augmented minus real, in tokens (Welch's t interval).
        length_ks (`float`):
            Largest difference of the distributions of lengths (Kolmogorov–Smirnov), in [0, 1].
        length_p (`float`):
            p value of its test; NaN for a mean over labels, as nothing is tested there.
        words (`float`):
            Jensen–Shannon distance, base 2, of the frequencies of lower-cased tokens, in [0, 1].
        words_chance (`float`):
            Mean of that distance over random divisions of the same texts.
        tokens (`int`):
            Tokens of either side in the following, equally many, since these shares fall with the length of what is
            read.
        distinct (`tuple[Pair, ...]`):
            Share of different sequences among all of 1, 2 and 3 lower-cased tokens (distinct-n, Li et al. 2016).
        templates (`Pair`):
            Share of the sequences of 6 tags that are among the 100 most frequent ones of their side, after Shaib et
            al. (2024), who count texts; sequences do not depend on the length of texts.
        tags (`str`):
            What the tags are.
    """

    texts: tuple[int, int]
    length: Pair
    length_difference: Interval
    length_ks: float
    length_p: float
    words: float
    words_chance: float
    tokens: int
    distinct: tuple[Pair, ...]
    templates: Pair
    tags: str


def tokenize(text: str) -> list[str]:
    """
    Cut a text into words and punctuation marks.

    Args:
        text (`str`):
            The text.

    Returns:
        `list[str]`: The tokens; `don't` is one, a letter of a script without spaces is none by itself.
    """
    return _TOKEN.findall(text)


def surface_misalignment(
    real: Sequence[str], augmented: Sequence[str], *, tagger: Tagger | None = None, seed: int = 0
) -> SurfaceMisalignment:
    """
    Compare the surface of the texts of two sides, from up to 20,000 texts of each.

    Args:
        real (`Sequence[str]`):
            Real texts.
        augmented (`Sequence[str]`):
            Augmented texts.
        tagger (`Tagger`, *optional*):
            Gives the part of speech of each token, such as [`~mitigate.misalignment.taggers.SpacyTagger`]. Without
            one, templates are made of the most frequent words themselves, and of the shape of all others.
        seed (`int`, *optional*, defaults to 0):
            Seed of the subsample and of the divisions.

    Returns:
        `SurfaceMisalignment`: The difference.

    Raises:
        ValueError: If a side has fewer than two texts, or no token.
    """
    rng = np.random.default_rng(seed)
    sides = [[side[number] for number in rng.permutation(len(side))[:TEXTS]] for side in (real, augmented)]
    return _compare([[tokenize(text) for text in side] for side in sides], tagger, TOKENS, rng)


def surface_within_labels(
    real: Sequence[str],
    augmented: Sequence[str],
    labels: tuple[Sequence[str], Sequence[str]],
    *,
    tagger: Tagger | None = None,
    seed: int = 0,
) -> SurfaceMisalignment | None:
    """
    Compare the surface of the texts of each label, and average by the labels' shares of the real rows.

    All labels together have as many texts and tokens as [`surface_misalignment`] reads. Shares of different sequences
    fall with the tokens of a label, so they are compared between sides only.

    Args:
        real (`Sequence[str]` of length `n`):
            Real texts.
        augmented (`Sequence[str]` of length `m`):
            Augmented texts.
        labels (`tuple[Sequence[str], Sequence[str]]`):
            Labels of the real and of the augmented texts.
        tagger (`Tagger`, *optional*):
            As of [`surface_misalignment`].
        seed (`int`, *optional*, defaults to 0):
            Seed of the subsample and of the divisions.

    Returns:
        `SurfaceMisalignment` or `None`: The means; `None` if no label has ten texts of either side.

    Raises:
        ValueError: If there is not one label for each text, or the texts of a label have no token.
    """
    strata = list(label_strata(labels, (len(real), len(augmented))).values())
    if not strata:
        return None
    rng, parts = np.random.default_rng(seed), []
    weights = np.array([stratum.weight for stratum in strata])
    weights /= weights.sum()
    for weight, stratum in zip(weights, thin_strata(strata, TEXTS, seed=seed), strict=True):
        rows = (real, stratum.real), (augmented, stratum.augmented)
        tokens = [[tokenize(side[number]) for number in numbers] for side, numbers in rows]
        parts.append(_compare(tokens, tagger, math.ceil(TOKENS * weight), rng))
    return _average(parts, weights)


def _average(parts: Sequence[SurfaceMisalignment], weights: Floats) -> SurfaceMisalignment:
    def mean(values: Iterable[float]) -> float:
        each = np.array(list(values))
        known = np.isfinite(each)
        return float(weights[known] @ each[known] / weights[known].sum()) if known.any() else math.nan

    def pair(pairs: Iterable[Pair]) -> Pair:
        return Pair(*map(mean, zip(*pairs, strict=True)))

    differences = [part.length_difference for part in parts]
    estimate = mean(each.estimate for each in differences)
    half = float(np.sqrt(np.square(weights * [each.half_width for each in differences]).sum()))
    return SurfaceMisalignment(
        texts=(sum(part.texts[0] for part in parts), sum(part.texts[1] for part in parts)),
        length=pair(part.length for part in parts),
        length_difference=Interval(estimate, estimate - half, estimate + half, sum(each.n for each in differences)),
        length_ks=mean(part.length_ks for part in parts),
        length_p=math.nan,
        words=mean(part.words for part in parts),
        words_chance=mean(part.words_chance for part in parts),
        tokens=sum(part.tokens for part in parts),
        distinct=tuple(pair(part.distinct[n] for part in parts) for n in range(len(SEQUENCES))),
        templates=pair(part.templates for part in parts),
        tags=parts[0].tags,
    )


def _compare(
    tokens: Sequence[list[list[str]]], tagger: Tagger | None, most_tokens: int, rng: np.random.Generator
) -> SurfaceMisalignment:
    lengths = [np.array([len(text) for text in side], dtype=float) for side in tokens]
    _check(lengths)
    test = ks_2samp(*lengths, method="asymp")
    words, chance = _word_distance(tokens, rng)
    count = min(most_tokens, *(int(side.sum()) for side in lengths))
    read = [_first_tokens(side, count) for side in tokens]
    tagger = tagger or FrequentWordTagger([*read[0], *read[1]])
    lowered = [[[token.lower() for token in text] for text in side] for side in read]
    return SurfaceMisalignment(
        texts=(len(tokens[0]), len(tokens[1])),
        length=Pair(*(float(side.mean()) for side in lengths)),
        length_difference=_difference(lengths[0], lengths[1]),
        length_ks=float(test.statistic),
        length_p=float(test.pvalue),
        words=words,
        words_chance=chance,
        tokens=count,
        distinct=tuple(Pair(*(_distinct(side, n) for side in lowered)) for n in SEQUENCES),
        templates=Pair(*(_template_share(tagger(side)) for side in read)),
        tags=tagger.description,
    )


def _check(lengths: Sequence[Floats]) -> None:
    for name, side in zip(("real", "augmented"), lengths, strict=True):
        if len(side) < 2 or not side.any():
            raise ValueError(
                f"The surface of texts is compared from two texts a side on, with a word in one of them; the {name} "
                f"side has {len(side)} text(s) and {int(side.sum())} word(s)."
            )


def _difference(real: Floats, augmented: Floats) -> Interval:
    """Return the mean of augmented minus that of real values, with Welch's interval."""
    estimate = low = high = float(augmented.mean() - real.mean())
    if np.ptp(real) > 0 or np.ptp(augmented) > 0:  # else there is no error to divide by
        compared = CompareMeans(DescrStatsW(augmented), DescrStatsW(real))
        low, high = map(float, compared.tconfint_diff(1 - LEVEL, usevar="unequal"))
    return Interval(estimate, low, high, len(real) + len(augmented))


def _word_distance(tokens: Sequence[Texts], rng: np.random.Generator) -> tuple[float, float]:
    counts = CountVectorizer(analyzer=lambda text: [token.lower() for token in text]).fit_transform(
        [*tokens[0], *tokens[1]]
    )
    total = np.asarray(counts.sum(axis=0), dtype=float).ravel()
    is_real = np.repeat([1.0, 0.0], [len(tokens[0]), len(tokens[1])])
    distances = []
    for side in [is_real, *(rng.permutation(is_real) for _ in range(_DIVISIONS))]:
        real = counts.T @ side
        distances.append(js_distance(total - real, real))
    return distances[0], float(np.nanmean(distances[1:]))


def _first_tokens(texts: Iterable[Sequence[str]], count: int) -> Texts:
    read = []
    for text in texts:
        if count <= 0:
            break
        read.append(text[:count])
        count -= len(text)
    return read


def _sequences(texts: Texts, n: int) -> Iterator[tuple[str, ...]]:
    for text in texts:
        yield from zip(*(text[start:] for start in range(n)), strict=False)


def _distinct(texts: Texts, n: int) -> float:
    counts = Counter(_sequences(texts, n))
    return len(counts) / counts.total() if counts else math.nan


def _template_share(tags: Texts) -> float:
    counts = Counter(_sequences(tags, TEMPLATE_LENGTH))
    return sum(count for _, count in counts.most_common(TEMPLATES)) / counts.total() if counts else math.nan
