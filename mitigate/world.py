r"""
The controlled testbed: a small generative world in which the truth about bias is known.

A row is a sentence about a person whose occupation must be told. Cue words point to it, with noise. Half of them are
in the corpus that the model is first trained on; the others come up in fine-tuning only, so that there is something to
learn from its rows, augmented ones included: a mitigation that just keeps the model from learning shows as a loss of
accuracy. Names and pronouns reveal the person's group, which says nothing about the occupation, for real rows have
group and occupation independent. Augmented rows differ from them in two ways that can be set apart:

- style, always: other filler words, and more of them;
- bias, by the dose \\( \beta \\): the stereotyped group has probability \\( q = (1 + \beta) / 2 \\) given the
  occupation, so that \\( \beta = 0 \\) is balanced, \\( \beta = 1 \\) shows no exception to the stereotype, and
  \\( \beta = -1 \\) nothing but exceptions. [`mitigate.dose`] has the scale.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from mitigate.dose import stereotyped_share
from mitigate.twins import TwinWords

GROUPS = ("female", "male")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_NAMES = {
    "female": _words("mary anna lucy emma sofia clara nora ida rosa jane"),
    "male": _words("john paul lars emil hugo carl noah ivan otto james"),
}
_PRONOUNS = {"female": ("she", "her"), "male": ("he", "his")}

# Cue words of each occupation: those of the corpus, then those that only fine-tuning can teach.
_CUES = {
    "nurse": ("ward bandage patient shift", "thermometer infusion pulse triage"),
    "teacher": ("school chalk pupil lesson", "blackboard homework syllabus recess"),
    "librarian": ("shelf novel archive catalogue", "bookmark lending reading periodical"),
    "engineer": ("bridge motor blueprint steel", "turbine welding circuit girder"),
    "surgeon": ("scalpel theatre suture anaesthetic", "incision transplant forceps graft"),
    "pilot": ("cockpit runway altitude propeller", "takeoff radar hangar landing"),
}
_STEREOTYPES = {
    "nurse": "female",
    "teacher": "female",
    "librarian": "female",
    "engineer": "male",
    "surgeon": "male",
    "pilot": "male",
}
_OCCUPATIONS = tuple(_CUES)

_REAL_FILLERS = _words("often likes tea and walks by the river with an old friend")
_AUGMENTED_FILLERS = _words(
    "truly passionate renowned for unwavering dedication to excellence throughout vibrant journey"
)


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
    'nurse'
    ```
    """

    cues: int = 3
    cue_reliability: float = 0.6
    real_fillers: int = 4
    augmented_fillers: int = 8

    @property
    def stereotypes(self) -> dict[str, str]:
        """`dict[str, str]`: For every occupation, the group that the stereotype ties to it."""
        return dict(_STEREOTYPES)

    @property
    def sensitive_words(self) -> list[str]:
        """`list[str]`: The words that reveal the group: names and pronouns."""
        return [word for group in GROUPS for word in (*_NAMES[group], *_PRONOUNS[group])]

    @property
    def twin_words(self) -> TwinWords:
        """`TwinWords`: Names and pronouns of one group and their counterparts of the other."""
        words = [(*_NAMES[group], *_PRONOUNS[group]) for group in GROUPS]
        return TwinWords(GROUPS, tuple(zip(*words, strict=True)))

    @property
    def vocabulary(self) -> list[str]:
        """`list[str]`: Every word of the world, sorted."""
        words = {*self.sensitive_words, *_OCCUPATIONS, *_REAL_FILLERS, *_AUGMENTED_FILLERS, "works", "as"}
        return sorted(words.union(*(text.split() for texts in _CUES.values() for text in texts)))

    def group_of(self, text: str) -> str:
        """
        Read the group of a person from the words of a row.

        Args:
            text (`str`):
                The `prompt` of a row.

        Returns:
            `str`: The group.

        Raises:
            ValueError: If the text has words of no group, or of both.
        """
        words = set(text.split())
        told = [group for group in GROUPS if words & {*_NAMES[group], *_PRONOUNS[group]}]
        if len(told) != 1:
            raise ValueError(f"The row must tell one group by names and pronouns, it tells {len(told)}: {text!r}.")
        return told[0]

    def corpus(self, count: int, *, seed: int) -> Dataset:
        """
        Draw real rows that lack the cues that are left to fine-tuning.

        Args:
            count (`int`):
                Number of rows.
            seed (`int`):
                Seed of the draw.

        Returns:
            `Dataset`: Columns as of the real rows.
        """
        return self._real(random.Random(f"corpus-{seed}"), count, new_cues=False)

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
        return self._real(random.Random(f"real-{seed}"), count)

    def augmented_rows(self, count: int, *, dose: float, seed: int) -> Dataset:
        r"""
        Draw augmented rows: the group follows the stereotype of the occupation.

        Args:
            count (`int`):
                Number of rows.
            dose (`float`):
                Bias dose \\( \beta \\) in [-1, 1]; below 0 the rows go against the stereotype.
            seed (`int`):
                Seed of the draw. Rows of one seed differ between doses in their groups alone.

        Returns:
            `Dataset`: Columns as of the real rows.

        Raises:
            ValueError: If `dose` is outside [-1, 1].
        """
        draw = random.Random(f"augmented-{seed}")
        share = stereotyped_share(dose)
        rows = []
        for _ in range(count):
            occupation = draw.choice(_OCCUPATIONS)
            stereotyped = _STEREOTYPES[occupation]
            group = stereotyped if draw.random() < share else _other(stereotyped)
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
                row = self._row(draw, draw.choice(_OCCUPATIONS), group, _REAL_FILLERS, self.real_fillers)
                rows.append({**row, "pair": pair})
        return Dataset.from_list(rows)

    def _real(self, draw: random.Random, count: int, *, new_cues: bool = True) -> Dataset:
        rows = []
        for _ in range(count):
            occupation, group = draw.choice(_OCCUPATIONS), draw.choice(GROUPS)
            rows.append(self._row(draw, occupation, group, _REAL_FILLERS, self.real_fillers, new_cues))
        return Dataset.from_list(rows)

    def _row(
        self,
        draw: random.Random,
        occupation: str,
        group: str,
        fillers: tuple[str, ...],
        count: int,
        new_cues: bool = True,
    ) -> dict[str, Any]:
        name = draw.choice(_NAMES[group])
        middle = [self._cue(draw, occupation, new_cues) for _ in range(self.cues)] + draw.choices(fillers, k=count)
        draw.shuffle(middle)
        half = len(middle) // 2
        words = [name, *middle[:half], _PRONOUNS[group][0], *middle[half:], _PRONOUNS[group][1], "works", "as"]
        return {"prompt": " ".join(words), "completion": f" {occupation}", "label": occupation, "group": group}

    def _cue(self, draw: random.Random, occupation: str, new: bool) -> str:
        if draw.random() >= self.cue_reliability:
            occupation = draw.choice(_OCCUPATIONS)
        known, unknown = _CUES[occupation]
        return draw.choice(f"{known} {unknown}".split() if new else known.split())


def _other(group: str) -> str:
    return GROUPS[1 - GROUPS.index(group)]
