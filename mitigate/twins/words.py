"""Words of two groups that take each other's place in counterfactual twins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from mitigate.lexicons import Lexicon, load_lexicon
from mitigate.twins.pronoun_roles import COUNTERPARTS, RoleFinder, roles_by_rule
from mitigate.twins.swaps import in_case_of
from mitigate.words import Entry, read_entries
from mitigate.words.entries import WORD
from mitigate.words.hashes import fold

_ARTICLE = re.compile(r"(?<![^\W_])an?(?=[\s\"“‘(]+$)", re.IGNORECASE)
_BACK = 10  # characters before a word in which its article is
# What is called after a name that is in the pairs and not in the lexicons, which would tell of exceptions themselves.
_PLACES = (
    "Charlotte, NC",
    "Charlotte, North Carolina",
    "Port Charlotte",
    "Isla Mujeres",
    "Isla Vista",
    "San Francisco",
    "San Martín",
    "San Pablo",
    "Santo Tomás",
    "São João",
    "Big Ben",
    "Hugo Award",
    "Hugo Awards",
    "Hugo Boss",
)
# Written with a vowel, spoken with the consonant of *you* or *one*: a Ukrainian, a European.
_CONSONANTS = ("eu", "uk", "ug", "uru", "uni", "one")


class Swapped(NamedTuple):
    """
    A text with the words of its groups swapped.

    Attributes:
        text (`str`):
            The new text.
        replaced (`tuple[str, ...]`):
            The words that were replaced, as they were written, in order. [`TwinWords.swap`] needs them to go back,
            where a word has several counterparts.
        groups (`tuple[str, ...]`):
            The group of each.
    """

    text: str
    replaced: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class TwinWords:
    """
    Pairs of words of two groups, and what swaps them.

    A word in lower case is found in any case, one with a capital as it is or all in capitals, and one of the lexicon's
    `exact` only as it is (MS is a degree), unless all of the text is in capitals. Only whole words are found; *she's*,
    *Mary's* and *step-sister* have one each. An article before a word follows it: *an American*, *a Dane*.

    Args:
        groups (`tuple[str, str]`):
            Names of the two groups.
        pairs (`tuple[tuple[str, str], ...]`):
            A word, or several, of the first group and the counterpart in the second. Of several counterparts the
            first counts. A word that is paired with itself as well, as *actor*, may be said of either group: where
            all else is of the other one, it stays.
        lexicon (`Lexicon`, *optional*):
            All words of the kind, also those that no pair holds. A text with one of those has no twin, for it would
            still tell the old group, or a third one.

    Raises:
        ValueError: If a word is of both groups or does not begin and end with a letter or digit, or if the lexicon
            says that two words of a pair cannot take each other's place.

    Example:
    ```python
    >>> from mitigate import load_lexicon
    >>> from mitigate.twins.words import TwinWords

    >>> pairs = (("American", "Dutch"), ("United States", "Netherlands"))
    >>> words = TwinWords(("american", "dutch"), pairs, load_lexicon("nationality"))
    >>> words.swap("An American painter from the United States").text
    'A Dutch painter from the Netherlands'
    ```

    Limits: an article that goes with one name only stays, as in *the Turkey*, and so do endings.
    """

    groups: tuple[str, str]
    pairs: tuple[tuple[str, str], ...]
    lexicon: Lexicon | None = None

    def __post_init__(self) -> None:
        for word in self._words:
            if not (word[:1].isalnum() and word[-1:].isalnum()):
                raise ValueError(f"`pairs` holds {word!r}, which must begin and end with a letter or digit.")
        pairs = [(first, second) for first, second in self.pairs if first != second]
        both = {first for first, _ in pairs} & {second for _, second in pairs}
        if both or not pairs:
            raise ValueError(f"`pairs` is empty or has words of both groups: {', '.join(sorted(both)) or 'none'}.")
        entries = set(self.lexicon.words) if self.lexicon else set()
        for first, second in pairs:
            if self.lexicon and {first, second} <= entries and not _replace_each_other(self.lexicon, first, second):
                raise ValueError(
                    f"`pairs`: '{first}' and '{second}' cannot take each other's place by lexicon "
                    f"'{self.lexicon.name}'. Pair words of one form, such as two countries."
                )

    def swap(self, text: str, replaced: Sequence[str] = (), *, roles: RoleFinder = roles_by_rule) -> Swapped:
        """
        Put the counterpart in the place of every word of the two groups.

        Args:
            text (`str`):
                The text.
            replaced (`Sequence[str]`, *optional*):
                To go back: what the words of the text have replaced. One that is no counterpart of the word in its
                place is not looked at.
            roles (`Callable[[str], dict[int, str]]`, *optional*, defaults to `roles_by_rule`):
                Tells the role of every `her` and `his`, see [`mitigate.twins.pronoun_roles`].

        Returns:
            `Swapped`: The new text, and what was replaced.
        """
        pieces: list[str] = []
        words: list[str] = []
        groups: list[str] = []
        finder = self._finder_in_capitals if text.isupper() else self._finder
        found = [(start, stop, name, self._others[name]) for start, stop, name in finder.find(text)]
        told = {others.group for _, _, name, others in found if name not in others.words}
        end, places = 0, roles(text)
        for start, stop, name, others in found:
            word = text[start:stop]
            group = next(iter(told)) if name in others.words and len(told) == 1 else others.group
            known = replaced[len(words)] if len(words) < len(replaced) else ""
            if finder.name_of(known) in others.words:
                other = known
            elif group != others.group:
                other = word
            else:
                other = others.choose(word, COUNTERPARTS.get(name, {}).get(places.get(start, "")))
            pieces += [_follow(text[end:start], word, other), other]
            end = stop
            words.append(word)
            groups.append(group)
        return Swapped("".join([*pieces, text[end:]]), tuple(words), tuple(groups))

    def unpaired(self, text: str) -> list[str]:
        """
        Find the words of the lexicon that no pair can swap.

        Args:
            text (`str`):
                The text.

        Returns:
            `list[str]`: The words as they are written, in order.
        """
        if self.lexicon is None:
            return []
        found = self._all.find(text)
        return [text[start:stop] for start, stop, name in found if name not in self._others and name in self._left]

    @property
    def _words(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for pair in self.pairs for word in pair))

    @cached_property
    def _others(self) -> dict[str, _Others]:
        others: dict[str, _Others] = {}
        for pair in self.pairs:
            for group, word, other in zip(self.groups, pair, pair[::-1], strict=True):
                old = others.get(word, _Others(group, ()))
                others[word] = _Others(old.group, (*old.words, other))
        return others

    @cached_property
    def _finder(self) -> _Finder:
        exact, exceptions = (self.lexicon.exact, self.lexicon.exceptions) if self.lexicon else ((), ())
        exact = tuple(word for word in self._words if word in exact)
        return _Finder(Lexicon("pairs", self._words, exact=exact, exceptions=exceptions))

    @cached_property
    def _finder_in_capitals(self) -> _Finder:
        exceptions = self.lexicon.exceptions if self.lexicon else ()
        return _Finder(Lexicon("pairs", self._words, exceptions=exceptions))

    @cached_property
    def _all(self) -> _Finder:
        assert self.lexicon is not None
        return _Finder(load_lexicon([self.lexicon, Lexicon("pairs", self._words)]))

    @cached_property
    def _left(self) -> frozenset[str]:
        """Entries of the lexicon that the pairs do not turn into another of its entries, as half-sister."""
        assert self.lexicon is not None
        left = (word for word in self.lexicon.words if self.swap(word).text not in self.lexicon.alternatives(word))
        return frozenset(left)


class _Finder:
    """Finds the entries of a lexicon in text, longer ones first."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._entries: dict[str, list[Entry]] = {}
        for entry in read_entries(lexicon, str):
            if entry.starts_with_word:
                self._entries.setdefault(entry.words[0], []).append(entry)

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Give the first character, the one after the last, and the entry, of each that is not within another."""
        end = 0
        for word in WORD.finditer(text):
            found = self._at(text, word) if word.start() >= end else None
            if found is not None:
                entry, end = found
                if not entry.is_exception:
                    yield word.start(), end, entry.name

    def name_of(self, text: str) -> str | None:
        """Tell of which entry a text is a spelling; `None` if of none."""
        return next((name for start, stop, name in self.find(text) if (start, stop) == (0, len(text))), None)

    def _at(self, text: str, word: re.Match[str]) -> tuple[Entry, int] | None:
        for entry in self._entries.get(fold(word[0]), ()):
            if entry.is_word:
                if entry.is_written(word[0]):
                    return entry, word.end()
            elif found := entry.regex.match(text, word.start()):
                return entry, found.end()
        return None


def _follow(before: str, word: str, other: str) -> str:
    """Put the article at the end of a text that goes with another word, if there is the one that went with the old."""
    article = _ARTICLE.search(before, max(0, len(before) - _BACK))
    if article is None or article[0].lower() != _article(word) or _article(other) == _article(word):
        return before
    new = in_case_of(article[0], article[0].lower(), _article(other))
    new = new.upper() if article[0].isupper() and other.isupper() else new
    return before[: article.start()] + new + before[article.end() :]


def _article(word: str) -> str:
    low = word.lower()
    return "an" if low[0] in "aeiou" and not low.startswith(_CONSONANTS) else "a"


def _replace_each_other(lexicon: Lexicon, first: str, second: str) -> bool:
    return second in lexicon.alternatives(first) or first in lexicon.alternatives(second)


class _Others(NamedTuple):
    """The group of a word, and its counterparts."""

    group: str
    words: tuple[str, ...]

    def choose(self, word: str, wanted: str | None) -> str:
        """Give a counterpart in the case of a word: the wanted one if there is one, else the first."""
        return in_case_of(word, word.lower(), wanted if wanted in self.words else self.words[0])


@cache
def gender_words() -> TwinWords:
    """
    Return the English words of women and men that come with the package: pronouns, titles, nouns and first names.

    Returns:
        `TwinWords`: The pairs, of the groups `"female"` and `"male"`, with the words of the lexicons `gender` and
        `names`. Pairs of names are arbitrary but fixed. Every first name that the prompts of [`mitigate.augment`] give
        out is in one.
    """
    text = resources.files("mitigate.lexicons").joinpath("gender-pairs.tsv").read_text(encoding="utf-8")
    lexicon = load_lexicon(["gender", "names"])
    lexicon = replace(lexicon, exceptions=(*lexicon.exceptions, *_PLACES))
    return TwinWords(("female", "male"), tuple(_read_pairs(text)), lexicon)


def read_twin_words(path: str | Path) -> TwinWords:
    """
    Read pairs of words of your own.

    Args:
        path (`str` or `Path`):
            Text file in UTF-8 with two columns, separated by a tab: first the names of the two groups, then one pair
            of words a line, as [`TwinWords`] describes them. Lines that are empty or begin with `#` are left out.

    Returns:
        `TwinWords`: The pairs, without a lexicon.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such file, names the two groups alike or has no pairs, or as [`TwinWords`] does.
    """
    try:
        groups, *pairs = _read_pairs(Path(path).read_text(encoding="utf-8-sig")) or [("", "")]
        if len(set(groups)) < 2:
            raise ValueError("its first line must name two groups, such as english<TAB>other.")
        return TwinWords(groups, tuple(pairs))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_pairs(text: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        words = [word.strip() for word in line.split("\t")]
        if len(words) != 2 or not all(words):
            raise ValueError(f"line {number} must be two words or names with one tab between them, got {line!r}.")
        pairs.append((words[0], words[1]))
    return pairs
