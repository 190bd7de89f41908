r"""
The controlled testbed: a small generative world in which the truth about bias is known.

A row is a sentence about a person whose occupation must be told. Cue words point to it, with noise. Names and pronouns
reveal the person's group, which says nothing about the occupation, for real rows have group and occupation
independent. Augmented rows differ from them in two ways that can be set apart:

- style, always: other filler words, and more of them;
- bias, by the dose \\( \beta \\): the stereotyped group has probability \\( q = (1 + \beta) / 2 \\) given the
  occupation, so that \\( \beta = 0 \\) is balanced and \\( \beta = 1 \\) shows no exception to the stereotype.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

GROUPS = ("female", "male")

_NAMES = {
    "female": ["mary", "anna", "lucy", "emma", "sofia", "clara", "nora", "ida", "rosa", "jane"],
    "male": ["john", "paul", "lars", "emil", "hugo", "carl", "noah", "ivan", "otto", "james"],
}
_PRONOUNS = {"female": ("she", "her"), "male": ("he", "his")}

# Occupation: (stereotyped group, its cue words).
_OCCUPATIONS = {
    "nurse": ("female", ["ward", "bandage", "patient", "shift"]),
    "teacher": ("female", ["school", "chalk", "pupil", "lesson"]),
    "librarian": ("female", ["shelf", "novel", "archive", "catalogue"]),
    "engineer": ("male", ["bridge", "motor", "blueprint", "steel"]),
    "surgeon": ("male", ["scalpel", "theatre", "suture", "anaesthetic"]),
    "pilot": ("male", ["cockpit", "runway", "altitude", "propeller"]),
}

_REAL_FILLERS = ["often", "likes", "tea", "and", "walks", "by", "the", "river", "with", "an", "old", "friend"]
_AUGMENTED_FILLERS = [
    "truly",
    "passionate",
    "renowned",
    "for",
    "unwavering",
    "dedication",
    "to",
    "excellence",
    "throughout",
    "vibrant",
    "journey",
]


@dataclass(frozen=True)
class World:
    """
    Parameters of the world, and samples from it.

    Args:
        cues (`int`, *optional*, defaults to 3):
            Cue words in a row.
        cue_reliability (`float`, *optional*, defaults to 0.6):
            Probability, in [0, 1], that a cue belongs to the person's occupation; else it is any occupation's.
        real_fillers (`int`, *optional*, defaults to 4):
            Filler words in a real row.
        augmented_fillers (`int`, *optional*, defaults to 8):
            Filler words in an augmented row.

    Example:
    ```python
    >>> from mitigate.world import World

    >>> World().augmented_rows(1, dose=1.0, seed=0)[0]["label"]
    'librarian'
    ```
    """

    cues: int = 3
    cue_reliability: float = 0.6
    real_fillers: int = 4
    augmented_fillers: int = 8

    @property
    def stereotypes(self) -> dict[str, str]:
        """`dict[str, str]`: For every occupation, the group that the stereotype ties to it."""
        return {occupation: group for occupation, (group, _) in _OCCUPATIONS.items()}

    @property
    def sensitive_words(self) -> list[str]:
        """`list[str]`: The words that reveal the group: names and pronouns."""
        return [word for group in GROUPS for word in (*_NAMES[group], *_PRONOUNS[group])]

    @property
    def vocabulary(self) -> list[str]:
        """`list[str]`: Every word of the world, sorted."""
        words = {*self.sensitive_words, *_OCCUPATIONS, *_REAL_FILLERS, *_AUGMENTED_FILLERS, "works", "as"}
        return sorted(words.union(*(cues for _, cues in _OCCUPATIONS.values())))

    def real_rows(self, count: int, *, seed: int) -> Dataset:
        """
        Draw real rows: group and occupation are independent.

        Args:
            count (`int`):
                Number of rows.
            seed (`int`):
                Seed of the draw.

        Returns:
            `Dataset`: Columns `prompt`, `completion`, `label` (the occupation) and `group`.
        """
        draw = random.Random(f"real-{seed}")
        rows = []
        for _ in range(count):
            occupation, group = draw.choice(list(_OCCUPATIONS)), draw.choice(GROUPS)
            rows.append(self._row(draw, occupation, group, _REAL_FILLERS, self.real_fillers))
        return Dataset.from_list(rows)

    def augmented_rows(self, count: int, *, dose: float, seed: int) -> Dataset:
        r"""
        Draw augmented rows: the group follows the stereotype of the occupation.

        Args:
            count (`int`):
                Number of rows.
            dose (`float`):
                Bias dose \\( \beta \\) in [0, 1].
            seed (`int`):
                Seed of the draw. Rows of one seed differ between doses in their groups alone.

        Returns:
            `Dataset`: Columns as of the real rows.

        Raises:
            ValueError: If `dose` is outside [0, 1].
        """
        if not 0 <= dose <= 1:
            raise ValueError(f"`dose` must lie in [0, 1], got {dose}.")
        draw = random.Random(f"augmented-{seed}")
        rows = []
        for _ in range(count):
            occupation = draw.choice(list(_OCCUPATIONS))
            stereotyped = _OCCUPATIONS[occupation][0]
            group = stereotyped if draw.random() < (1 + dose) / 2 else _other(stereotyped)
            rows.append(self._row(draw, occupation, group, _AUGMENTED_FILLERS, self.augmented_fillers))
        return Dataset.from_list(rows)

    def test_pairs(self, count: int, *, seed: int) -> Dataset:
        """
        Draw counterfactual twins: pairs of real rows that differ in the group alone.

        Args:
            count (`int`):
                Number of pairs.
            seed (`int`):
                Seed of the draw.

        Returns:
            `Dataset`: `2 * count` rows with the columns of the real rows and `pair`.
        """
        rows = []
        for pair in range(count):
            for group in GROUPS:
                # Twins repeat the same draws, of which the group takes none.
                draw = random.Random(f"test-{seed}-{pair}")
                row = self._row(draw, draw.choice(list(_OCCUPATIONS)), group, _REAL_FILLERS, self.real_fillers)
                rows.append({**row, "pair": pair})
        return Dataset.from_list(rows)

    def _row(self, draw: random.Random, occupation: str, group: str, fillers: list[str], count: int) -> dict[str, Any]:
        name = draw.choice(_NAMES[group])
        middle = [self._cue(draw, occupation) for _ in range(self.cues)] + draw.choices(fillers, k=count)
        draw.shuffle(middle)
        half = len(middle) // 2
        words = [name, *middle[:half], _PRONOUNS[group][0], *middle[half:], _PRONOUNS[group][1], "works", "as"]
        return {"prompt": " ".join(words), "completion": f" {occupation}", "label": occupation, "group": group}

    def _cue(self, draw: random.Random, occupation: str) -> str:
        if draw.random() >= self.cue_reliability:
            occupation = draw.choice(list(_OCCUPATIONS))
        return draw.choice(_OCCUPATIONS[occupation][1])


def _other(group: str) -> str:
    return GROUPS[1 - GROUPS.index(group)]
