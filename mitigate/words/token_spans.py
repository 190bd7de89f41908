"""Read token ids as text, and find the tokens that hold a span of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from mitigate.words.token_texts import BOUNDARY, token_texts


class TokenizedText(NamedTuple):
    r"""
    A text, and the characters that each of its tokens holds.

    Attributes:
        text (`str`):
            The text. A special token is the character `"\0"` in it. A byte that is no whole character is put as
            `surrogateescape` does.
        starts (`list[int]` of length `n`):
            The first character of each token.
        stops (`list[int]` of length `n`):
            The character after the last one of each token. Tokens that share a character overlap.
    """

    text: str
    starts: list[int]
    stops: list[int]

    def tokens(self, start: int, stop: int) -> tuple[int, int]:
        """
        Find the tokens of a span.

        Args:
            start (`int`):
                Its first character.
            stop (`int`):
                The character after its last, above `start`.

        Returns:
            `tuple[int, int]`: The first token that holds some of it, and the token after the last.
        """
        return bisect_right(self.stops, start), bisect_left(self.starts, stop)


class TokenReader:
    """
    Reads token ids as text, as [`~mitigate.words.WordMatcher`] does.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A fast tokenizer of a kind that [`~mitigate.words.token_texts.token_texts`] can read.

    Raises:
        ValueError: If the tokenizer is not such a one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._texts = token_texts(tokenizer)

    def read(self, ids: Sequence[int]) -> TokenizedText:
        """
        Read token ids.

        Args:
            ids (`Sequence[int]`):
                The ids. One that the tokenizer does not know is read as a special token.

        Returns:
            `TokenizedText`: Their text.
        """
        known = len(self._texts)
        pieces = [self._texts[i] if 0 <= i < known else BOUNDARY for i in ids]
        joined = "".join(pieces)
        data = joined.encode("utf-8", "surrogateescape")
        text = data.decode("utf-8", "surrogateescape")
        if text == joined:  # no character is spread over tokens
            bounds = list(accumulate(map(len, pieces), initial=0))
            return TokenizedText(text, bounds[:-1], bounds[1:])
        bounds = list(accumulate((_size(piece) for piece in pieces), initial=0))
        characters = list(accumulate(map(_size, text), initial=0))
        starts = [bisect_right(characters, place) - 1 for place in bounds[:-1]]
        return TokenizedText(text, starts, [bisect_left(characters, place) for place in bounds[1:]])


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
