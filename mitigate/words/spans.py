"""The words that were found in a batch, as columns: an object for each would take longer than to find it."""

from __future__ import annotations

from itertools import compress
from typing import NamedTuple

import numpy as np

from mitigate.words.hashes import Flags, Integers


class RowSpans(NamedTuple):
    """
    Words of `n` rows, as columns of one length: those of a row after those of the row before it.

    Attributes:
        splits (`list[int]` of length `n + 1`):
            Where the words of each row begin in the columns, and where the last ones end.
        starts (`list[int]`):
            The first token of each word, within its row.
        stops (`list[int]`):
            The token after its last.
        entries (`list[str]`):
            The entry of the lexicon.
    """

    splits: list[int]
    starts: list[int]
    stops: list[int]
    entries: list[str]


class BatchSpans(NamedTuple):
    """
    Words of a batch in the order of the text, as columns of one length.

    Attributes:
        starts (`int64` array):
            The first token of each word, counted over all rows.
        stops (`int64` array):
            The token after its last.
        entries (`list[str]`):
            The entry of the lexicon.
    """

    starts: Integers
    stops: Integers
    entries: list[str]

    def where(self, keep: Flags) -> BatchSpans:
        """Return those to keep."""
        return BatchSpans(self.starts[keep], self.stops[keep], list(compress(self.entries, keep.tolist())))

    def merged(self, other: BatchSpans) -> BatchSpans:
        """Put others between them."""
        starts, stops = np.append(self.starts, other.starts), np.append(self.stops, other.stops)
        entries = self.entries + other.entries
        order = np.argsort(starts, kind="stable")
        return BatchSpans(starts[order], stops[order], [entries[place] for place in order.tolist()])

    def joined(self) -> BatchSpans:
        """Make one of those that share a token, with the entry of the first."""
        apart = self.starts[1:] >= self.stops[:-1]
        first, last = (np.append(*ends)[: len(self.starts)] for ends in ((True, apart), (apart, True)))
        return BatchSpans(self.starts[first], self.stops[last], list(compress(self.entries, first.tolist())))

    def by_row(self, bounds: Integers) -> RowSpans:
        """Count within rows, given where each starts and where the last stops."""
        offsets = bounds[rows_of(self.starts, bounds)]
        splits = np.searchsorted(self.starts, bounds).tolist()
        return RowSpans(splits, (self.starts - offsets).tolist(), (self.stops - offsets).tolist(), self.entries)


def rows_of(places: Integers, bounds: Integers) -> Integers:
    """
    Tell the rows of tokens.

    Args:
        places (`int64` array of length `n`):
            Tokens, counted over all rows.
        bounds (`int64` array of one more than there are rows):
            Where each row starts, and where the last stops.

    Returns:
        `int64` array of length `n`: The row of each.
    """
    return np.searchsorted(bounds, places, side="right") - 1
