"""Words in texts and in token ids: lists of entries, and who finds them."""

from mitigate.words.entries import Entry, read_entries
from mitigate.words.finders import Finder, LexiconFinder, Occurrence, SpacyFinder, TextFinder
from mitigate.words.matching import WordMatcher

__all__ = [
    "Entry",
    "Finder",
    "LexiconFinder",
    "Occurrence",
    "SpacyFinder",
    "TextFinder",
    "WordMatcher",
    "read_entries",
]
