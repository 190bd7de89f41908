"""Words that tell a group, found in text by the lexicons of the package."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

from mitigate.entries import WORD, Entry, read_entries
from mitigate.lexicons import load_lexicon
from mitigate.word_hashes import fold

# By attribute the lexicons whose entries name its groups. Religions are left out: they hint at a culture, as a name
# does, and what a model makes of such hints is what implicit bias is about.
_LEXICONS = {"gender": ["gender"], "culture": ["nationality", "race"], "names": ["names"]}


def find_group_words(text: str, *kinds: str) -> list[str]:
    """
    Find the words of a text that tell a group.

    Args:
        text (`str`):
            The text.
        kinds (`str`):
            `"gender"`, `"culture"` or `"names"` (first names, which tell the gender).

    Returns:
        `list[str]`: The entries of the lexicons, in the order of the text; of two that begin at one word the longer.
    """
    found = []
    entries = [_entries_by_word(kind) for kind in kinds]
    end = 0
    for word in WORD.finditer(text):
        if word.start() < end:
            continue
        starting = (entry for index in entries for entry in index.get(fold(word[0]), ()))
        hits = [(hit.end(), entry.name) for entry in starting if (hit := entry.regex.match(text, word.start()))]
        if hits:
            end, name = max(hits)
            found.append(name)
    return found


@cache
def _entries_by_word(kind: str) -> dict[str, list[Entry]]:
    index = defaultdict(list)
    for entry in read_entries(load_lexicon(_LEXICONS[kind]), str):
        index[entry.words[0]].append(entry)
    return dict(index)
