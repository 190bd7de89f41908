"""The entries of a lexicon by the hashes of their words, and the search for them in hashed text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable
from itertools import accumulate, compress
from typing import NamedTuple

import numpy as np

from mitigate.words.entries import WORD, Entry
from mitigate.words.hashes import IDEOGRAPH, Flags, Hashes, Integers, Units, find_words, fold, powers, text_units
from mitigate.words.text_sources import Source

_PAIR = np.uint64(0xD6E8FEB86659FD93)
# Places in the filter per entry: few words that are none get through, and the filter stays in the cache.
_FILTER_SPACE = 32


class Found(NamedTuple):
    """
    Entries that were found, as columns of one length, in the order of the text.

    Attributes:
        rows (int64): The row of each.
        starts (int64): Its first unit, counted over all rows.
        stops (int64): The unit after its last.
        words (int64): Its first word, counted over all rows.
        next_words (int64): The word after its last.
        entries (`list[str]`): The entry, as the lexicon writes it.
    """

    rows: Integers
    starts: Integers
    stops: Integers
    words: Integers
    next_words: Integers
    entries: list[str]

    def where(self, keep: Flags) -> Found:
        """Return those to keep."""
        return Found(
            self.rows[keep],
            self.starts[keep],
            self.stops[keep],
            self.words[keep],
            self.next_words[keep],
            list(compress(self.entries, keep.tolist())),
        )


class _Candidates(NamedTuple):
    """Words that may start an entry, the place of each in the keys, and in the pairs or -1."""

    places: Integers
    keys: Integers
    pairs: Integers


class EntryTable:
    """
    The entries of a lexicon, to be found in units of text.

    Args:
        entries (`list[Entry]`):
            The entries, longer ones first.

    Attributes:
        powers (`Hashes`):
            What hashes of text must be made with to be looked up here.
        has_strays (`bool`):
            Whether there are entries that start with no letter or digit.
    """

    def __init__(self, entries: list[Entry]) -> None:
        self.powers = powers(max((len(word) for entry in entries for word in entry.words), default=1))
        self._strays = [entry for entry in entries if not entry.starts_with_word]
        self._stray_regex = _any_place(self._strays)
        self.has_strays = bool(self._strays)
        # An entry of several words by the first two, so that hardly any text but its own is compared with it.
        self._longer: defaultdict[tuple[str, ...], list[Entry]] = defaultdict(list)
        self._single: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.is_word:
                self._single[entry.words[0]].append(entry)
            elif entry.starts_with_word:
                self._longer[entry.words[:2]].append(entry)
        self._entry_of: dict[Hashable, str] = {}
        self._most_words = max((len(entry.words) for group in self._longer.values() for entry in group), default=1)
        self._fill_hashes()

    def _fill_hashes(self) -> None:
        first = list(dict.fromkeys([*self._single, *(words[0] for words in self._longer)]))
        hashes = self._hash(first)
        order = np.argsort(hashes)
        self._keys = hashes[order]
        self._is_single = np.array([word in self._single for word in first], bool)[order]
        # Entries of one word and punctuation, by the place of the word in the keys; those of several, by their pair.
        self._marked = [self._longer.get((first[place],), []) for place in order.tolist()]
        self._is_marked = np.array([bool(entries) for entries in self._marked], bool)
        pairs = [words for words in self._longer if len(words) == 2]
        hashes = _pair(self._hash([a for a, _ in pairs]), self._hash([b for _, b in pairs]))
        order = np.argsort(hashes)
        self._pairs = hashes[order]
        self._paired = [self._longer[pairs[place]] for place in order.tolist()]
        bits = (_FILTER_SPACE * len(first) + 1).bit_length()
        self._shift = np.uint64(64 - bits)
        self._filter = np.zeros(1 << bits, bool)
        self._filter[self._keys >> self._shift] = True

    def _hash(self, words: list[str]) -> Hashes:
        return text_units(words, self.powers).hashes

    def find(self, units: Units, bounds: Integers, source: Source) -> Found:
        """
        Find the entries that start with a letter or digit.

        Args:
            units (`Units` of length `n`):
                The units of all rows, one row after the other.
            bounds (`int64` array of one more than there are rows):
                Where each row starts, and `n`.
            source (`Source`):
                Their text.

        Returns:
            `Found`: For each word the longest entry that starts there. They may overlap.
        """
        words = find_words(units, bounds[:-1], self.powers)
        candidates = self._candidates(words.hashes)
        places = candidates.places
        starts, stops = words.first[places], words.stop[places]
        rows = np.searchsorted(bounds, starts, side="right") - 1
        found = Found(rows, starts, stops, places, places + 1, self._find_single(starts, stops, source))
        self._find_longer(found, candidates, words.stop, bounds, source)
        return found.where(np.array(list(map(bool, found.entries)))) if "" in found.entries else found

    def find_strays(self, text: str) -> list[tuple[int, int, str]]:
        """
        Find the entries that start with no letter or digit.

        Args:
            text (`str`):
                A whole row.

        Returns:
            `list[tuple[int, int, str]]`: Start and stop of each in characters, and the entry. They may overlap.
        """
        if not self.has_strays:
            return []
        groups = ((match, match.lastindex or 0) for match in self._stray_regex.finditer(text))
        return [(*match.span(group), self._strays[group - 1].name) for match, group in groups]

    def _candidates(self, hashes: Hashes) -> _Candidates:
        places = np.flatnonzero(self._filter[hashes >> self._shift])
        keys = _look_up(self._keys, hashes[places])
        places, keys = places[keys >= 0], keys[keys >= 0]
        # Of the last word and one in the next row the text will tell.
        following = hashes.take(places + 1, mode="clip")
        pairs = _look_up(self._pairs, _pair(hashes[places], following))
        keep = (pairs >= 0) | self._is_marked[keys] | self._is_single[keys]
        return _Candidates(places[keep], keys[keep], pairs[keep])

    def _find_single(self, starts: Integers, stops: Integers, source: Source) -> list[str]:
        """Return the entry that is the one word in each span, or nothing; it is kept for the next time."""
        keys = source.keys(starts, stops)
        names = [self._entry_of.get(key) for key in keys]
        if None in names:
            new = [i for i, name in enumerate(names) if name is None]
            for i, text in zip(new, source.read(starts[new], stops[new]), strict=True):
                word = "".join(WORD.findall(text))
                # Of a token that holds ideographs as well, only what is none of them was looked up.
                word = IDEOGRAPH.sub("", word) or word
                entries = (entry.name for entry in self._single.get(fold(word), ()) if entry.is_written(word))
                names[i] = self._entry_of[keys[i]] = next(entries, "")
        return names  # type: ignore[return-value]

    def _find_longer(
        self, found: Found, candidates: _Candidates, word_stops: Integers, bounds: Integers, source: Source
    ) -> None:
        """Put entries of more than a word in the place of what was found, where there are any."""
        longer = np.flatnonzero((candidates.pairs >= 0) | self._is_marked[candidates.keys])
        if not len(longer):
            return
        keys, pairs = candidates.keys[longer].tolist(), candidates.pairs[longer].tolist()
        # How far an entry of several words may reach, and the word that follows it.
        beyond = np.append(word_stops, np.full(self._most_words, bounds[-1]))[found.words[longer] + self._most_words]
        ends = np.minimum(beyond, bounds[found.rows[longer] + 1])
        texts = source.read(found.starts[longer], ends)
        for i, key, pair, end, text in zip(longer.tolist(), keys, pairs, ends.tolist(), texts, strict=True):
            match = self._match_longer(text, key, pair)
            if match is not None:
                entry, length = match
                found.entries[i] = entry.name
                found.next_words[i] += len(entry.words) - 1
                found.stops[i] = word_stops[found.next_words[i] - 1]
                if not entry.form[-1].isalnum():  # it reaches beyond its last word
                    found.stops[i] = _stop_of_length(source, int(found.starts[i]), end, length)

    def _match_longer(self, text: str, key: int, pair: int) -> tuple[Entry, int] | None:
        """Return the entry of more than a word that the first word of a text starts, and where it ends."""
        first = WORD.search(text)
        for entry in [*(self._paired[pair] if pair >= 0 else ()), *self._marked[key]]:
            match = entry.regex.match(text, first.start() if first else 0)
            if match:
                return entry, match.end()
        return None


def _stop_of_length(source: Source, start: int, end: int, length: int) -> int:
    """Return the unit after the one with which the text from `start` on has so many characters."""
    units = np.arange(start, end)
    return start + bisect_left(list(accumulate(map(len, source.read(units, units + 1)))), length) + 1


def _look_up(keys: Hashes, hashes: Hashes) -> Integers:
    """Return the place of each hash in sorted keys, or -1."""
    if not len(keys):
        return np.full(len(hashes), -1)
    places = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
    return np.where(keys[places] == hashes, places, -1)


def _pair(first: Hashes, second: Hashes) -> Hashes:
    return first * _PAIR + second


def _any_place(entries: list[Entry]) -> re.Pattern[str]:
    """Write entries as one pattern, with a group for each, that finds them where they overlap as well."""
    # The first look spares most places; `’` is there since `'` stands for it.
    initials = "".join(sorted({re.escape(entry.form[0]) for entry in entries}))
    return re.compile(f"(?=[{initials}’])(?=(?:{'|'.join(f'({entry.pattern})' for entry in entries)}))")
