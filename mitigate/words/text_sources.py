"""The text that units of a batch stand for, be they tokens or characters."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from typing import Protocol

import numpy as np

from mitigate.words.hashes import Integers


class Source(Protocol):
    """Text by spans of units, each given by its first unit and the one after its last, counted over all rows."""

    def keys(self, starts: Integers, stops: Integers) -> list[Hashable]:
        """
        Give something that tells texts apart and costs less than to read them.

        Args:
            starts (`int64` array of length `n`):
                The first unit of each span.
            stops (`int64` array of length `n`):
                The unit after its last.

        Returns:
            `list[Hashable]` of length `n`: Spans of one key have one text; those of one text may differ in key.
        """
        ...

    def read(self, starts: Integers, stops: Integers) -> list[str]:
        """
        Read spans.

        Args:
            starts (`int64` array of length `n`):
                The first unit of each span.
            stops (`int64` array of length `n`):
                The unit after its last.

        Returns:
            `list[str]` of length `n`: The texts.
        """
        ...


class TokenSource:
    """
    Text of tokens; a [`Source`].

    Args:
        ids (`int64` array):
            Token ids of all rows, one row after the other.
        texts (`list[str]`):
            The text of each token of the vocabulary.
    """

    def __init__(self, ids: Integers, texts: list[str]) -> None:
        self._ids = ids
        self._bytes = ids.tobytes()
        self._texts = texts

    def keys(self, starts: Integers, stops: Integers) -> list[Hashable]:
        """Give the ids, as bytes."""
        size = self._ids.itemsize
        return [self._bytes[a:b] for a, b in zip((starts * size).tolist(), (stops * size).tolist(), strict=True)]

    def read(self, starts: Integers, stops: Integers) -> list[str]:
        """Read spans."""
        ends = np.cumsum(stops - starts)
        tokens = self._ids[np.repeat(stops - ends, stops - starts) + np.arange(ends[-1] if len(ends) else 0)]
        pieces = [self._texts[i] for i in tokens.tolist()]
        return ["".join(pieces[a:b]) for a, b in pairwise([0, *ends.tolist()])]


class CharacterSource:
    """
    Text of characters; a [`Source`].

    Args:
        text (`str`):
            The text of all rows.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def keys(self, starts: Integers, stops: Integers) -> list[Hashable]:
        """Give the texts themselves."""
        return [*self.read(starts, stops)]

    def read(self, starts: Integers, stops: Integers) -> list[str]:
        """Read spans."""
        return [self._text[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
