"""Word lists of the tasks, and how they are found in text."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

_SENTENCE = re.compile(r"(?<=[.!?。！？])[\"'”’)]*\s+|\n+")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


class Trait(NamedTuple):
    """
    What an adjective says of a person.

    Args:
        dimension (`str`):
            `"agency"`, `"beliefs"` or `"communion"`.
        sign (`int`):
            1 for the high pole, -1 for the low one.
    """

    dimension: str
    sign: int


class StemList(NamedTuple):
    """
    Words that begin alike.

    Args:
        stems (`tuple[str, ...]`):
            Beginnings of words, in lower case.
        excluded (`frozenset[str]`):
            Words that begin so by chance.
    """

    stems: tuple[str, ...]
    excluded: frozenset[str]

    def holds(self, word: str) -> bool:
        """
        Tell whether a word belongs to the list.

        Args:
            word (`str`):
                A whole word, in any case.

        Returns:
            `bool`: Whether it begins with a stem and is not left out.
        """
        lower = word.lower()
        return lower.startswith(self.stems) and lower not in self.excluded


@cache
def abc_adjectives() -> dict[str, Trait]:
    """
    Load the adjectives of the ABC model.

    Returns:
        `dict[str, Trait]`: By adjective. One in lower case stands for any case, one with a capital for itself.
    """
    traits: dict[str, Trait] = {}
    for dimension, low, high in _read("abc.tsv"):
        traits |= {adjective: Trait(dimension, -1) for adjective in low.split(", ")}
        traits |= {adjective: Trait(dimension, 1) for adjective in high.split(", ")}
    return traits


@cache
def letter_stems() -> dict[str, StemList]:
    """
    Load the stems of reference letters.

    Returns:
        `dict[str, StemList]`: By name of the list.
    """
    return {
        name: StemList(tuple(stems.split(", ")), frozenset(excluded.split(", ")))
        for name, stems, excluded in _read("letter_stems.tsv")
    }


def sentences(text: str) -> list[str]:
    """
    Split a text after the marks that end sentences, and at line breaks.

    Args:
        text (`str`):
            The text.

    Returns:
        `list[str]`: The sentences that have a word.
    """
    return [part for part in _SENTENCE.split(text) if _WORD.search(part)]


def words(text: str) -> list[str]:
    """
    Find the words of a text.

    Args:
        text (`str`):
            The text.

    Returns:
        `list[str]`: Runs of letters, with hyphens and apostrophes inside them.
    """
    return _WORD.findall(text)


def _read(file: str) -> list[list[str]]:
    text = (resources.files("mitigate.tasks") / "data" / file).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
