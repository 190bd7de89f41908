"""Find sensitive words in token ids, whatever the tokenizer cuts them into."""

from __future__ import annotations

import struct
from collections.abc import Sequence, Sized
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from mitigate.lexicons import Lexicon
from mitigate.words.entries import read_entries
from mitigate.words.entry_table import EntryTable
from mitigate.words.hashes import (
    IDEOGRAPH,
    IS_NONE,
    Flags,
    Integers,
    Units,
    character_units,
    code_points,
    is_split,
    text_units,
)
from mitigate.words.spans import BatchSpans, RowSpans, rows_of
from mitigate.words.text_sources import CharacterSource, TokenSource
from mitigate.words.token_texts import BOUNDARY, normalizer_of, token_texts


class Match(NamedTuple):
    """
    Tokens that hold a sensitive word.

    Attributes:
        start (`int`):
            The first token.
        stop (`int`):
            The token after the last.
        entry (`str`):
            The entry of the lexicon that was found, as the lexicon writes it; of several that share a token, the
            first.
    """

    start: int
    stop: int
    entry: str


class WordMatcher:
    """
    Find the words of a lexicon in token ids.

    Every token is put down as the text that it stands for, the texts are joined, and the words are searched in the
    result, so a word is found however it is cut into tokens. The rules:

    - Whole words only: *she* is not found in *shell*. A word ends at anything that is no letter or digit: *she's*,
      *she-wolf* and *_she_* hold *she*. Each Chinese character is a word: 美国 is found in 去美国人家.
    - An entry in lower case is found in any case; one with a capital only as it is written or all in capitals; one of
      the lexicon's `exact` only as it is written.
    - An entry of several words is found across any white space, and with or without white space around the punctuation
      in it. `'` stands for `’` as well.
    - Where entries overlap, the one that starts first is found, and of these the longest (*Papua New Guinea*, not
      *Guinea*). The lexicon's `exceptions` take part in this, and are left alone: 他 is not found in 其他.
    - A special token ends a word and is never part of one.
    - Entries go through the tokenizer's own normalizer first. If that puts text in lower case, an entry with a capital
      is found in any case; those all in capitals (*US*) and exact ones are left out: *us* has the same tokens.

    Words are looked up by a hash that is put together from those of their tokens, for the whole batch at once; what
    has the hash of an entry is then compared as text. So the time hardly depends on the length of the lexicon.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A fast tokenizer: byte-level or SentencePiece-like (`▁`), with or without byte fallback; WordPiece; or
            WordLevel. A token that is added to it later ends a word.
        lexicon (`Lexicon`):
            The words.

    Raises:
        ValueError: If the tokenizer is not a fast one, if it is of another kind, or if no entry is left after its
            normalizer.

    Example:
    ```python
    >>> from mitigate.lexicons import load_lexicon
    >>> from mitigate.words.matching import WordMatcher

    >>> matcher = WordMatcher(tokenizer, load_lexicon("gender"))
    >>> ids = tokenizer("in the shell she sits").input_ids
    >>> [(tokenizer.decode(ids[start:stop]), entry) for start, stop, entry in matcher.find(ids)]
    [(' she', 'she')]
    ```

    Limits: a token that stands for an unknown word is a special token here, so what it hides is not found. WordPiece
    does not tell 其 他 from 其他, as it puts a space on both sides of each Chinese character. Other scripts that
    write no space between words (kana, Thai) have no whole words in this sense, and hardly anything is found in them.
    Rows with a token that holds a part of a character, or several words, as most of those in Chinese, take several
    times as long; so do all rows where an entry starts with anything but a letter or digit.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, lexicon: Lexicon) -> None:
        self.tokenizer = tokenizer
        self.lexicon = lexicon
        self._entries = EntryTable(read_entries(lexicon, normalizer_of(tokenizer)))
        # The last is for ids that the tokenizer does not know.
        self._texts = [*token_texts(tokenizer), BOUNDARY]
        self._sizes = np.array([len(_encode(text)) for text in self._texts])
        texts = self._texts
        if not any(IDEOGRAPH.search(word) for word in (*lexicon.words, *lexicon.exceptions)):
            # Then it does not matter which ideographs a token holds, only that other words end there.
            texts = [IDEOGRAPH.sub(" ", text) for text in texts]
        self._units = text_units(texts, self._entries.powers)
        self._exceptions = frozenset(lexicon.exceptions)

    def find(self, ids: Sequence[int]) -> list[Match]:
        """
        Find the sensitive words in one sequence.

        Args:
            ids (`Sequence[int]` of length `n`):
                Token ids. An id that the tokenizer does not know ends a word.

        Returns:
            `list[Match]`: Spans `[start, stop)` of tokens, ascending and disjoint. A token that holds a part of a word
            is in the span whole, with what else it holds; words that share a token share a span.
        """
        return self.find_all([ids])[0]

    def find_all(self, rows: Sequence[Sequence[int]]) -> list[list[Match]]:
        """
        Find the sensitive words in a batch, which is much faster than one row after the other.

        Args:
            rows (`Sequence[Sequence[int]]` of length `n`):
                Token ids of each row. No word reaches from one row into the next.

        Returns:
            `list[list[Match]]` of length `n`: For each row what [`find`] gives.
        """
        found = self.find_spans(rows)
        matches = list(map(Match, found.starts, found.stops, found.entries))
        return [matches[a:b] for a, b in pairwise(found.splits)]

    def find_spans(self, rows: Sequence[Sequence[int]]) -> RowSpans:
        """
        Find the sensitive words in a batch, as columns: [`find_all`] without an object a word.

        Args:
            rows (`Sequence[Sequence[int]]` of length `n`):
                Token ids of each row.

        Returns:
            `RowSpans`: The words of all rows.
        """
        bounds = _bounds(rows)
        # Twice as fast as `np.fromiter`.
        ids = np.frombuffer(b"".join([struct.pack(f"{len(row)}q", *row) for row in rows]), np.int64)
        # Without a sign, a negative id is beyond the vocabulary too.
        ids = np.minimum(ids.view(np.uint64), np.uint64(len(self._texts) - 1)).view(np.int64)
        units = self._units.take(ids)
        apart = self._rows_apart(units, bounds)
        if len(apart) == len(rows):
            return self._find_in_characters(ids, bounds).by_row(bounds)
        found = self._find_in_tokens(ids, units, bounds)
        if len(apart):
            found = found.where(~np.isin(rows_of(found.starts, bounds), apart))
            chosen = [ids[bounds[row] : bounds[row + 1]] for row in apart.tolist()]
            their_bounds = _bounds(chosen)
            others = self._find_in_characters(np.concatenate(chosen), their_bounds)
            shift = (bounds[apart] - their_bounds[:-1])[rows_of(others.starts, their_bounds)]
            found = found.merged(BatchSpans(others.starts + shift, others.stops + shift, others.entries))
        return found.by_row(bounds)

    def _rows_apart(self, units: Units, bounds: Integers) -> Integers:
        """Return the rows that must be searched character by character."""
        if self._entries.has_strays:
            return np.arange(len(bounds) - 1)
        return np.unique(rows_of(np.flatnonzero(units.marks & IS_NONE), bounds))

    def _find_in_tokens(self, ids: Integers, units: Units, bounds: Integers) -> BatchSpans:
        found = self._entries.find(units, bounds, TokenSource(ids, self._texts))
        if (found.starts[1:] < found.stops[:-1]).any():
            found = found.where(_first_of_overlapping(found.words, found.next_words))
        if self._exceptions:
            found = found.where(np.array([entry not in self._exceptions for entry in found.entries], bool))
        return BatchSpans(found.starts, found.stops, found.entries)

    def _find_in_characters(self, ids: Integers, bounds: Integers) -> BatchSpans:
        tokens = [self._texts[i] for i in ids.tolist()]
        # A token may hold a part of a character, so the bytes are put together before they are read.
        rows = ["".join(tokens[a:b]) for a, b in pairwise(bounds.tolist())]
        rows = [_decode(_encode(row)) for row in rows]
        text = "".join(rows)
        points = code_points(text)
        starts, stops, entries = self._hits(points, text, _bounds(rows))
        # Where each character and each token starts, in bytes.
        of_characters = np.cumsum(np.append(0, _widths(points)))
        of_tokens = np.cumsum(np.append(0, self._sizes[ids]))
        first = np.searchsorted(of_tokens, of_characters[starts], side="right") - 1
        stop = np.searchsorted(of_tokens, of_characters[stops])
        return BatchSpans(first, stop, entries).joined()

    def _hits(
        self, points: npt.NDArray[np.uint32], text: str, bounds: Integers
    ) -> tuple[Integers, Integers, list[str]]:
        """Return start and stop of each entry that is found, in characters, and the entries."""
        found = self._entries.find(character_units(points), bounds, CharacterSource(text))
        hits = list(zip(found.starts.tolist(), found.stops.tolist(), found.entries, strict=True))
        if self._entries.has_strays:
            for row_start, row_stop in pairwise(bounds.tolist()):
                strays = self._entries.find_strays(text[row_start:row_stop])
                hits += [(row_start + start, row_start + stop, entry) for start, stop, entry in strays]
        hits.sort()
        starts, stops = (np.array([hit[i] for hit in hits], np.int64) for i in (0, 1))
        keep = _first_of_overlapping(starts, stops)
        keep &= np.array([hit[2] not in self._exceptions for hit in hits], bool)
        return starts[keep], stops[keep], [hit[2] for hit, kept in zip(hits, keep.tolist(), strict=True) if kept]


def _bounds(rows: Sequence[Sized]) -> Integers:
    """Return where each row starts, and where the last stops."""
    return np.cumsum([0, *map(len, rows)])


def _first_of_overlapping(starts: Integers, stops: Integers) -> Flags:
    """Tell which spans start where the last of those before them that is kept has stopped."""
    end = 0
    keep = np.zeros(len(starts), bool)
    for i, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        if start >= end:
            keep[i] = True
            end = stop
    return keep


def _widths(points: npt.NDArray[np.uint32]) -> Integers:
    """Return how many bytes each character takes in UTF-8; what is left of a split one stands for a byte."""
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    widths[is_split(points)] = 1
    return widths


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
