"""Words of two groups that take each other's place in counterfactual twins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import NamedTuple

from mitigate.entries import WORD, read_entries
from mitigate.lexicons import Lexicon, load_lexicon
from mitigate.pronoun_roles import RoleFinder, roles_by_rule
from mitigate.swaps import in_case_of

# What stands in the place of a pronoun, by its role: (women's word, men's word).
_ROLES = {"her": {"determiner": "his", "other": "him"}, "his": {"determiner": "her", "other": "hers"}}


class Swapped(NamedTuple):
    """
    A text with the words of its groups swapped.

    Attributes:
        text (`str`):
            The new text.
        replaced (`tuple[str, ...]`):
            The words that were replaced, as they were written, in order. [`TwinWords.swap`] needs them to go back,
            where a word has several counterparts.
        groups (`tuple[str, ...]`):
            The group of each.
    """

    text: str
    replaced: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class TwinWords:
    """
    Pairs of words of two groups, and what swaps them.

    A word in lower case is found in any case, one with a capital as it is or all in capitals, as in a [`Lexicon`].
    Only whole words are found; *she's*, *Mary's* and *step-sister* have one each.

    Args:
        groups (`tuple[str, str]`):
            Names of the two groups.
        pairs (`tuple[tuple[str, str], ...]`):
            A word of the first group and its counterpart in the second. Of several counterparts the first counts.
        lexicon (`Lexicon`, *optional*):
            All words of the kind, also those that no pair holds. A text with one of those has no twin, for it would
            still tell the old group, or a third one.

    Raises:
        ValueError: If a word is of both groups or is not a single one, or if the lexicon says that two words of a pair
            cannot take each other's place.

    Example:
    ```python
    >>> from mitigate import load_lexicon
    >>> from mitigate.twin_words import TwinWords

    >>> pairs = (("Dutch", "Turkish"), ("Netherlands", "Turkey"))
    >>> words = TwinWords(("dutch", "turkish"), pairs, load_lexicon("nationality"))
    >>> words.swap("A Dutch painter from the Netherlands").text
    'A Turkish painter from the Turkey'
    ```

    Limits: articles and endings around a word stay, as the example shows.
    """

    groups: tuple[str, str]
    pairs: tuple[tuple[str, str], ...]
    lexicon: Lexicon | None = None

    def __post_init__(self) -> None:
        for word in (word for pair in self.pairs for word in pair):
            if not WORD.fullmatch(word):
                raise ValueError(f"`pairs` holds {word!r}, which is not a single word of letters.")
        both = {first for first, _ in self.pairs} & {second for _, second in self.pairs}
        if both or not self.pairs:
            raise ValueError(f"`pairs` is empty or has words of both groups: {', '.join(sorted(both)) or 'none'}.")
        entries = set(self.lexicon.words) if self.lexicon else set()
        for first, second in self.pairs:
            if self.lexicon and {first, second} <= entries and not _replace_each_other(self.lexicon, first, second):
                raise ValueError(
                    f"`pairs`: '{first}' and '{second}' cannot take each other's place by lexicon "
                    f"'{self.lexicon.name}'. Pair words of one form, such as two countries."
                )

    def swap(self, text: str, replaced: Sequence[str] = (), *, roles: RoleFinder = roles_by_rule) -> Swapped:
        """
        Put the counterpart in the place of every word of the two groups.

        Args:
            text (`str`):
                The text.
            replaced (`Sequence[str]`, *optional*):
                To go back: what the words of the text have replaced. One that is no counterpart of the word in its
                place is not looked at.
            roles (`Callable[[str], dict[int, str]]`, *optional*, defaults to `roles_by_rule`):
                Tells the role of every `her` and `his`, see [`mitigate.pronoun_roles`].

        Returns:
            `Swapped`: The new text, and what was replaced.
        """
        pieces: list[str] = []
        words: list[str] = []
        groups: list[str] = []
        end, places = 0, roles(text)
        for found in WORD.finditer(text):
            others = self._others.get(self._key(found[0]))
            if others is None:
                continue
            known = replaced[len(words)] if len(words) < len(replaced) else ""
            if self._key(known) in others.words:
                other = known
            else:
                choice = _ROLES.get(found[0].lower(), {}).get(places.get(found.start(), ""))
                other = choice if choice in others.words else others.words[0]
                other = in_case_of(found[0], found[0].lower(), other)
            pieces += [text[end : found.start()], other]
            end = found.end()
            words.append(found[0])
            groups.append(others.group)
        return Swapped("".join([*pieces, text[end:]]), tuple(words), tuple(groups))

    def unpaired(self, text: str) -> list[str]:
        """
        Find the words of the lexicon that no pair can swap.

        Args:
            text (`str`):
                The text.

        Returns:
            `list[str]`: The words as they are written, in order.
        """
        if self._unpaired is None:
            return []
        found = (hit[0] for hit in self._unpaired.finditer(text))
        return [word for word in found if not all(self._key(part) in self._others for part in WORD.findall(word))]

    def _key(self, word: str) -> str:
        """Find the spelling of a word in the pairs: its own, lower case, or that of one all in capitals."""
        if word in self._others or word.lower() in self._others:
            return word if word in self._others else word.lower()
        return self._capitals.get(word, word)

    @cached_property
    def _others(self) -> dict[str, _Others]:
        others: dict[str, _Others] = {}
        for pair in self.pairs:
            for group, word, other in zip(self.groups, pair, pair[::-1], strict=True):
                old = others.get(word, _Others(group, ()))
                others[word] = _Others(group, (*old.words, other))
        return others

    @cached_property
    def _capitals(self) -> dict[str, str]:
        return {word.upper(): word for word in self._others if word != word.lower()}

    @cached_property
    def _unpaired(self) -> re.Pattern[str] | None:
        if self.lexicon is None:
            return None
        entries = read_entries(self.lexicon, str)
        left = [
            entry for entry in entries if not all(self._key(word) in self._others for word in WORD.findall(entry.name))
        ]
        return re.compile("|".join(entry.pattern for entry in left)) if left else None


def _replace_each_other(lexicon: Lexicon, first: str, second: str) -> bool:
    return second in lexicon.alternatives(first) or first in lexicon.alternatives(second)


class _Others(NamedTuple):
    group: str
    words: tuple[str, ...]


@cache
def gender_words() -> TwinWords:
    """
    Return the English words of women and men that come with the package: pronouns, titles, nouns and first names.

    Returns:
        `TwinWords`: The pairs, of the groups `"female"` and `"male"`, with the words of the lexicons `gender` and
        `names`. Pairs of names are arbitrary but fixed.
    """
    text = resources.files("mitigate.lexicons").joinpath("gender-pairs.tsv").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    pairs = tuple((women, men) for women, men in lines)
    return TwinWords(("female", "male"), pairs, load_lexicon(["gender", "names"]))
