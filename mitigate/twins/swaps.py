"""Write another word in the place of a sensitive one, among tokens."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from mitigate.lexicons import Lexicon
from mitigate.recent import Recent
from mitigate.twins.pronoun_roles import COUNTERPARTS, roles_by_rule
from mitigate.words import Entry, read_entries
from mitigate.words.entries import WORD
from mitigate.words.hashes import IDEOGRAPH, fold
from mitigate.words.token_spans import TokenReader
from mitigate.words.token_texts import normalizer_of

# What is put before a text so that the tokenizer does not take it for the beginning of one. Which of them keeps to
# itself depends on how it cuts text; the result is checked.
_ANCHORS = ("", "\n", "(", '"', "/")
_MARK = re.compile(r"\s*([^\w\s]|_)\s*")
# Texts whose tokens are remembered: words with their surroundings.
_REMEMBERED = 4096


class Swap(NamedTuple):
    """
    Tokens to put in the place of others.

    Attributes:
        start (`int`):
            The first token that they replace.
        stop (`int`):
            The token after the last.
        ids (`tuple[int, ...]`):
            The new tokens.
    """

    start: int
    stop: int
    ids: tuple[int, ...]


class WordSwapper:
    """
    Replaces sensitive words by others of the same kind and form.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the rows.
        lexicon (`Lexicon`):
            The words, and what can take the place of each.
        invert (`bool`, *optional*, defaults to `True`):
            Whether a word is replaced by one that tells of other people, where the lexicon says so; else by any of its
            alternatives or itself, all as likely.

    Raises:
        ValueError: If the tokenizer is of a kind that cannot be read.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, lexicon: Lexicon, *, invert: bool = True) -> None:
        self._tokenizer = tokenizer
        self._lexicon = lexicon
        self._invert = invert
        self._has_roles = COUNTERPARTS.keys() <= set(lexicon.words) and lexicon.alternatives("her") == ("his",)
        self._reader = TokenReader(tokenizer)
        # By first word; those that start with something else are tried everywhere, under "".
        self._entries: dict[str, list[tuple[int, Entry]]] = {}
        for rank, entry in enumerate(read_entries(lexicon, normalizer_of(tokenizer))):
            first = entry.words[0] if entry.starts_with_word else ""
            self._entries.setdefault(first, []).append((rank, entry))
        self._choices: dict[str, tuple[str, ...]] = {}
        self._written: Recent[str, tuple[int, ...] | None] = Recent(_REMEMBERED)

    def swap(self, ids: Sequence[int], spans: Sequence[tuple[int, int]], draw: int) -> list[Swap]:
        """
        Choose other words.

        Args:
            ids (`Sequence[int]`):
                Token ids of a text.
            spans (`Sequence[tuple[int, int]]`):
                Spans `[start, stop)` of tokens that hold sensitive words, ascending and disjoint.
            draw (`int`):
                Random number of the text: with the same, the same word always becomes the same other one.

        Returns:
            `list[Swap]`: What to put in the place of the spans. A span of which no word has another that the
            tokenizer can write is not in it.
        """
        text, starts, stops = self._reader.read(ids)
        roles = roles_by_rule(text) if self._has_roles and spans else {}
        swaps = []
        for start, stop in spans:
            # Tokens that share a character can only be written together.
            while start > 0 and stops[start - 1] > starts[start]:
                start -= 1
            while stop < len(ids) and starts[stop] < stops[stop - 1]:
                stop += 1
            written = self._rewrite(text, starts[start], stops[stop - 1], roles, draw)
            if written is not None:
                swaps.append(Swap(start, stop, written))
        return swaps

    def _rewrite(
        self, text: str, start: int, stop: int, roles: Mapping[int, str], draw: int
    ) -> tuple[int, ...] | None:
        """Return the tokens of a span of characters with other words in it; `None` if all of them stay."""
        span, written = text[start:stop], None
        normalize = normalizer_of(self._tokenizer)
        for first, after, name in reversed(self._words(text, start, stop)):
            for other in self._others(name, roles.get(first, ""), draw):
                if other == name:
                    break
                cased = normalize(in_case_of(text[first:after], name, other))
                candidate = span[: first - start] + cased + span[after - start :]
                ids = None if cased == text[first:after] else self._written.get(candidate, self._write)
                if ids is not None:
                    span, written = candidate, ids
                    break
        return written

    def _words(self, text: str, start: int, stop: int) -> list[tuple[int, int, str]]:
        """Find the entries within a span of characters: start, stop and entry."""
        # A word of ideographs may reach over the tokens of the span, which alone do not tell what is one. Some
        # tokenizers put spaces between them.
        begin, end = start, stop
        while begin > 0 and (text[begin - 1] == " " or IDEOGRAPH.match(text[begin - 1])):
            begin -= 1
        while end < len(text) and (text[end] == " " or IDEOGRAPH.match(text[end])):
            end += 1
        firsts = {"", *map(fold, WORD.findall(text[begin:end]))}
        candidates = [entry for first in firsts for entry in self._entries.get(first, ())]
        words: list[tuple[int, int, str]] = []
        while begin < end:
            # With the character after the span, which tells whether a word ends there.
            found = [(entry.regex.search(text, begin, end + 1), rank, entry) for rank, entry in candidates]
            hits = [(hit.start(), rank, hit.end(), entry) for hit, rank, entry in found if hit and hit.end() <= end]
            if not hits:
                break
            first, _, begin, entry = min(hits, key=lambda hit: hit[:2])
            if start <= first and begin <= stop and not entry.is_exception:
                words.append((first, begin, entry.name))
        return words

    def _others(self, name: str, role: str, draw: int) -> Iterator[str]:
        """Give what can take the place of an entry, from a random one on."""
        if name not in self._choices:
            words = self._lexicon
            self._choices[name] = words.counterparts(name) if self._invert else (name, *words.alternatives(name))
        choices = self._choices[name]
        first = random.Random(f"{draw} {name}").randrange(len(choices)) if choices else 0
        for other in (*choices[first:], *choices[:first]):
            yield other if other == name else COUNTERPARTS.get(name, {}).get(role, other)

    def _write(self, text: str) -> tuple[int, ...] | None:
        """Return tokens that stand for exactly this text, or at least but for spaces around punctuation."""
        if not _is_unicode(text):
            return None
        nearly = None
        for anchor in _ANCHORS:
            ids: list[int] = self._tokenizer(anchor + text, add_special_tokens=False)["input_ids"]
            read = self._reader.read(ids)
            for skipped in range(len(ids)):
                begin = read.starts[skipped]
                if anchor and (skipped == 0 or not read.text[:begin].endswith(anchor)):
                    continue
                if read.text[begin:] == text:
                    return tuple(ids[skipped:])
                if nearly is None and _spaced(read.text[begin:]) == _spaced(text):
                    nearly = tuple(ids[skipped:])
                break
        return nearly


def in_case_of(word: str, entry: str, other: str) -> str:
    """
    Write a word in the case of another.

    Args:
        word (`str`):
            A word of a text.
        entry (`str`):
            The entry of a lexicon that it is.
        other (`str`):
            Another entry.

    Returns:
        `str`: The other entry: as it is, if the word is written as its own entry is; all in capitals, or with a
        capital, if the word is.
    """
    if word == entry or entry.isupper():
        return other
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def _spaced(text: str) -> str:
    """Put spaces around punctuation, as tokenizers do that do not tell where there were some."""
    return _MARK.sub(r" \1 ", text).rstrip()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
