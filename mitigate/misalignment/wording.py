"""Tell the group of a row by its words, where no column does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mitigate.lexicons import Lexicon
from mitigate.words import read_entries

# Pronouns and titles: the words of the lexicon `gender` that tell of the person rather than of those around.
PRONOUNS: dict[str, tuple[str, ...]] = {
    "man": ("he", "him", "his", "himself", "mr"),
    "woman": ("she", "her", "hers", "herself", "mrs", "Ms"),
}


def groups_by_words(texts: Iterable[str], words: Mapping[str, Sequence[str] | Lexicon] = PRONOUNS) -> list[str]:
    """
    Give each text the group of which it has most words.

    Args:
        texts (`Iterable[str]`):
            The texts.
        words (`Mapping[str, Sequence[str] | Lexicon]`, *optional*, defaults to English pronouns and titles):
            Words of each group, spelled as in a [`~mitigate.Lexicon`].

    Returns:
        `list[str]`: The group of each text, empty where no word or as many of two groups occur.

    Limits: a pronoun may tell of another person of the text, and two groups of pronouns are not all people.
    """
    patterns = {group: _pattern(group, entries) for group, entries in words.items()}
    result = []
    for text in texts:
        found = Counter({group: _count(pattern, text) for group, pattern in patterns.items()}).most_common(2)
        decided = found[0][1] > (found[1][1] if len(found) > 1 else 0)
        result.append(found[0][0] if decided else "")
    return result


def _pattern(group: str, words: Sequence[str] | Lexicon) -> re.Pattern[str]:
    lexicon = words if isinstance(words, Lexicon) else Lexicon(group, tuple(words))
    patterns = (entry.pattern + "()" * entry.is_exception for entry in read_entries(lexicon, str))
    return re.compile("|".join(patterns))


def _count(pattern: re.Pattern[str], text: str) -> int:
    """Count the matches that are no exceptions, which have a group."""
    return sum(match.lastindex is None for match in pattern.finditer(text))
