"""Find sensitive words in token ids, whatever the tokenizer cuts them into."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from mitigate.entries import read_entries
from mitigate.entry_table import EntryTable
from mitigate.lexicons import Lexicon
from mitigate.token_texts import BOUNDARY, normalizer_of, token_texts
from mitigate.word_hashes import IDEOGRAPH, Flags, Integers, character_units, code_points, is_split, text_units


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
    >>> from mitigate.matching import WordMatcher

    >>> matcher = WordMatcher(tokenizer, load_lexicon("gender"))
    >>> ids = tokenizer("in the shell she sits").input_ids
    >>> [(tokenizer.decode(ids[start:stop]), entry) for start, stop, entry in matcher.find(ids)]
    [(' she', 'she')]
    ```

    Limits: a token that stands for an unknown word is a special token here, so what it hides is not found. Other
    scripts that write no space between words (kana, Thai) have no whole words in this sense, and hardly anything is
    found in them. Rows with a token that holds a part of a character, or several words, as most of those in Chinese,
    take about three times as long; so do all rows where an entry starts with anything but a letter or digit.
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
        self._units, self._is_no_unit = text_units(texts, self._entries.powers)
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
        bounds = _bounds(rows)
        ids = np.fromiter(chain.from_iterable(rows), np.int64, bounds[-1])
        # Without a sign, a negative id is beyond the vocabulary too.
        ids = np.minimum(ids.view(np.uint64), np.uint64(len(self._texts) - 1)).view(np.int64)
        apart = self._rows_apart(ids, bounds)
        if len(apart) == len(rows):
            return self._find_in_characters(ids, bounds)
        found = self._find_in_tokens(ids, bounds)
        if len(apart):
            chosen = [ids[bounds[row] : bounds[row + 1]] for row in apart]
            matches = self._find_in_characters(np.concatenate(chosen), _bounds(chosen))
            for row, row_matches in zip(apart, matches, strict=True):
                found[row] = row_matches
        return found

    def _rows_apart(self, ids: Integers, bounds: Integers) -> list[int]:
        """Return the rows that must be searched character by character."""
        if self._entries.has_strays:
            return list(range(len(bounds) - 1))
        tokens = np.flatnonzero(self._is_no_unit[ids])
        rows: list[int] = np.unique(np.searchsorted(bounds, tokens, side="right") - 1).tolist()
        return rows

    def _find_in_tokens(self, ids: Integers, bounds: Integers) -> list[list[Match]]:
        texts = self._texts

        def read(starts: Integers, stops: Integers) -> list[str]:
            ends = np.cumsum(stops - starts)
            tokens = ids[np.repeat(stops - ends, stops - starts) + np.arange(ends[-1] if len(ends) else 0)]
            pieces = [texts[i] for i in tokens.tolist()]
            return ["".join(pieces[a:b]) for a, b in pairwise([0, *ends.tolist()])]

        found = self._entries.find(self._units.take(ids), bounds, read)
        if (found.starts[1:] < found.stops[:-1]).any():
            found = found.where(_first_of_overlapping(found.words, found.next_words))
        if self._exceptions:
            found = found.where(np.array([entry not in self._exceptions for entry in found.entries], bool))
        return _by_row(found.rows, found.starts, found.stops, found.entries, bounds)

    def _find_in_characters(self, ids: Integers, bounds: Integers) -> list[list[Match]]:
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
        return _by_row(np.searchsorted(bounds, first, side="right") - 1, first, stop, entries, bounds)

    def _hits(
        self, points: npt.NDArray[np.uint32], text: str, bounds: Integers
    ) -> tuple[Integers, Integers, list[str]]:
        """Return start and stop of each entry that is found, in characters, and the entries."""

        def read(starts: Integers, stops: Integers) -> list[str]:
            return [text[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]

        found = self._entries.find(character_units(points), bounds, read)
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


def _by_row(
    rows: Integers, starts: Integers, stops: Integers, entries: list[str], bounds: Integers
) -> list[list[Match]]:
    """Make the matches of each row; those that share a token become one."""
    offsets = bounds[rows]
    matches = list(map(Match, (starts - offsets).tolist(), (stops - offsets).tolist(), entries))
    splits = np.searchsorted(rows, np.arange(len(bounds))).tolist()
    found = [matches[a:b] for a, b in pairwise(splits)]
    shared = (starts[1:] < stops[:-1]).nonzero()[0]
    for row in set(rows[shared].tolist()):
        joined: list[Match] = []
        for match in found[row]:
            if joined and match.start < joined[-1].stop:
                match = joined.pop()._replace(stop=match.stop)
            joined.append(match)
        found[row] = joined
    return found


def _widths(points: npt.NDArray[np.uint32]) -> Integers:
    """Return how many bytes each character takes in UTF-8; what is left of a split one stands for a byte."""
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    widths[is_split(points)] = 1
    return widths


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
