"""Misalignment of values: how far a generator's answers lie from those that people of a culture gave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from mitigate.intervals import Interval
from mitigate.metrics import js_distance
from mitigate.stats import LEVEL, Floats

# Surveys drawn at random from the shares of people, for the sampling floor.
DRAWS = 200
RESAMPLES = 1000


@dataclass(frozen=True)
class Answers:
    """
    How people of a culture, and the generator in their place, answered one question.

    Args:
        question (`str`):
            The question.
        culture (`str`):
            The culture.
        options (`tuple[str, ...]` of length `k`):
            The answers to choose from.
        human (`tuple[float, ...]` of length `k`):
            Shares of the people's answers; they are normalised.
        augmented (`tuple[float, ...]` of length `k`):
            Shares of the generator's answers; they are normalised.

    Raises:
        ValueError: If the lengths differ, there are fewer than two options, or the shares are no distribution.
    """

    question: str
    culture: str
    options: tuple[str, ...]
    human: tuple[float, ...]
    augmented: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("human", "augmented"):
            shares = np.asarray(getattr(self, name), dtype=float)
            if len(shares) != len(self.options) or len(shares) < 2:
                raise ValueError(
                    f"`{name}` must have one share for each of at least two options, got {len(shares)} shares and "
                    f"{len(self.options)} options (question '{self.question[:60]}')."
                )
            if not (np.isfinite(shares).all() and shares.min() >= 0 and shares.sum() > 0):
                raise ValueError(
                    f"`{name}` must hold shares of at least 0 that are not all 0 (question '{self.question[:60]}')."
                )


@dataclass(frozen=True)
class ValueMisalignment:
    """
    Distance of the answers of one culture.

    Args:
        culture (`str`):
            The culture.
        questions (`int`):
            Number of questions.
        distance (`float`):
            Mean Jensen–Shannon distance, in [0, 1].
        ordered_distance (`float`):
            Mean normalised Wasserstein distance, in [0, 1]; NaN if the answers have no order.
        floor (`float`):
            Distance M0 that the chance of the survey alone would give.
        excess (`Interval`):
            Distance above the floor, with a percentile bootstrap interval over questions; no bounds for one question.
    """

    culture: str
    questions: int
    distance: float
    ordered_distance: float
    floor: float
    excess: Interval


def ordered_distance(human: Sequence[float], augmented: Sequence[float]) -> float:
    r"""
    Wasserstein distance of two distributions over ordered answers, \\( W_1 / (K - 1) \\).

    Args:
        human (`Sequence[float]` of length `k ≥ 2`):
            Shares; they are normalised.
        augmented (`Sequence[float]` of length `k`):
            Likewise.

    Returns:
        `float`: In [0, 1]; 1 if the answers lie at the opposite ends of the scale.
    """
    places = np.arange(len(human))
    return float(wasserstein_distance(places, places, human, augmented)) / (len(human) - 1)


def sampling_floor(human: Sequence[float], respondents: int, *, seed: int = 0) -> float:
    """
    Jensen–Shannon distance that a generator which answers exactly as people do would still show.

    The shares are those of a sample of people, not of all. The floor is the mean distance of the shares from 200
    surveys of as many respondents, drawn from the multinomial distribution that has these shares.

    Args:
        human (`Sequence[float]` of length `k`):
            Shares of the people's answers; they are normalised.
        respondents (`int`):
            People asked, at least 1.
        seed (`int`, *optional*, defaults to 0):
            Seed of the draws.

    Returns:
        `float`: In [0, 1]; falls with the root of the number of respondents.

    Raises:
        ValueError: If `respondents` is less than 1.
    """
    if respondents < 1:
        raise ValueError(f"`respondents` must be at least 1, got {respondents}.")
    shares = np.asarray(human, dtype=float)
    shares = shares / shares.sum()
    draws = np.random.default_rng(seed).multinomial(respondents, shares, size=DRAWS)
    return float(np.mean([js_distance(draw.astype(float), shares) for draw in draws]))


def value_misalignment(
    answers: Sequence[Answers], *, respondents: int = 1000, ordered: bool = False, seed: int = 0
) -> list[ValueMisalignment]:
    """
    Mean distance of the answers, by culture.

    Args:
        answers (`Sequence[Answers]`):
            One entry for each question and culture.
        respondents (`int`, *optional*, defaults to 1000):
            People asked for each distribution, for the sampling floor.
        ordered (`bool`, *optional*, defaults to `False`):
            Whether the options of every question are given in their order.
        seed (`int`, *optional*, defaults to 0):
            Seed of the floor's draws and of the bootstrap.

    Returns:
        `list[ValueMisalignment]`: Sorted by culture.

    Raises:
        ValueError: If there are no answers, or `respondents` is less than 1.
    """
    if not answers:
        raise ValueError("There are no answers to compare: give at least one question of one culture.")
    results = []
    for culture in sorted({answer.culture for answer in answers}):
        own = sorted((a for a in answers if a.culture == culture), key=lambda a: (a.question, a.human, a.augmented))
        # Durmus et al. 2023, §2.3.
        distances = [js_distance(np.asarray(a.augmented, float), np.asarray(a.human, float)) for a in own]
        steps = [ordered_distance(answer.human, answer.augmented) for answer in own] if ordered else [math.nan]
        floors = [sampling_floor(answer.human, respondents, seed=seed) for answer in own]
        mean, step, floor = (float(np.mean(each)) for each in (distances, steps, floors))
        excess = _mean_interval(np.array(distances) - np.array(floors), seed)
        results.append(ValueMisalignment(culture, len(own), mean, step, floor, excess))
    return results


def _mean_interval(values: Floats, seed: int) -> Interval:
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    draws = values[np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))].mean(axis=1)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high), n)
