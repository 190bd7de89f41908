"""Words that tell a group, found in text by the lexicons of the package."""

from __future__ import annotations

from collections import defaultdict
from functools import cache, lru_cache

from mitigate.lexicons import load_lexicon
from mitigate.words import Entry, read_entries
from mitigate.words.entries import WORD
from mitigate.words.hashes import fold

# By attribute the lexicons whose entries name its groups. Religions are left out: they hint at a culture, as a name
# does, and what a model makes of such hints is what implicit bias is about.
_LEXICONS = {"gender": ["gender"], "culture": ["nationality", "race"], "names": ["names"]}


# A passage is checked for every group, and a frame for every seed.
@lru_cache(maxsize=4096)
def find_group_words(text: str, kind: str) -> tuple[str, ...]:
    """
    Find the words of a text that tell a group.

    Args:
        text (`str`):
            The text.
        kind (`str`):
            `"gender"`, `"culture"` or `"names"` (first names, which tell the gender).

    Returns:
        `tuple[str, ...]`: The entries of the lexicons, in the order of the text; of two that begin at one word the
        longer.
    """
    entries = _entries_by_word(kind)
    found: list[str] = []
    end = 0
    for word in WORD.finditer(text):
        starting = entries.get(fold(word[0]))
        if starting is None or word.start() < end:
            continue
        hits = [(hit.end(), entry) for entry in starting if (hit := entry.regex.match(text, word.start()))]
        if hits:
            end, entry = max(hits, key=lambda hit: hit[0])
            found += [] if entry.is_exception else [entry.name]
    return tuple(found)


@cache
def _entries_by_word(kind: str) -> dict[str, list[Entry]]:
    index = defaultdict(list)
    for entry in read_entries(load_lexicon(_LEXICONS[kind]), str):
        index[entry.words[0]].append(entry)
    return dict(index)
