"""The entries of a lexicon, as patterns over text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from mitigate.lexicons import Lexicon
from mitigate.words.hashes import IDEOGRAPH, IDEOGRAPHS, fold

_LETTER = rf"[^\W_{IDEOGRAPHS}]"
# A run of letters and digits, or an ideograph.
WORD = re.compile(rf"[{IDEOGRAPHS}]|{_LETTER}+")


@dataclass(frozen=True)
class Entry:
    """
    One way to write an entry of a lexicon.

    Args:
        name (`str`):
            The entry, as the lexicon writes it.
        form (`str`):
            How it is written in text.
        any_case (`bool`):
            Whether its letters may be in either case.
        is_exception (`bool`, *optional*, defaults to `False`):
            Whether it is no entry but a word that is left alone, though it holds one.
    """

    name: str
    form: str
    any_case: bool
    is_exception: bool = False

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its words, in one case."""
        return tuple(map(fold, WORD.findall(self.form)))

    @property
    def is_word(self) -> bool:
        """Whether it is one word without punctuation."""
        return WORD.fullmatch(self.form) is not None

    @property
    def starts_with_word(self) -> bool:
        """Whether it starts with a letter or digit."""
        return self.form[0].isalnum()

    def is_written(self, word: str) -> bool:
        """Tell whether a word without punctuation is this entry; a pattern would take long to compile."""
        if not self.any_case:
            return word == self.form
        letters = zip(word, self.form, strict=False)
        return len(word) == len(self.form) and all(a in (b, b.lower(), b.upper()) for a, b in letters)

    @property
    def pattern(self) -> str:
        """A regular expression that finds it as whole words."""
        before = "" if IDEOGRAPH.match(self.form[0]) else f"(?<!{_LETTER})"
        after = "" if IDEOGRAPH.match(self.form[-1]) else f"(?!{_LETTER})"
        return before + _spell(self.form, _either_case if self.any_case else re.escape) + after

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern, compiled when it is first needed, since few entries of a long lexicon ever are."""
        return re.compile(self.pattern)


def read_entries(lexicon: Lexicon, normalize: Callable[[str], str]) -> list[Entry]:
    """
    Read a lexicon as a tokenizer sees text.

    Args:
        lexicon (`Lexicon`):
            The words.
        normalize (`Callable[[str], str]`):
            What the tokenizer does to text before it cuts it.

    Returns:
        `list[Entry]`: The entries and exceptions, longer ones first, and of equally long ones those that are exact in
            case.

    Raises:
        ValueError: If no entry is left.
    """
    exact, exceptions = set(lexicon.exact), set(lexicon.exceptions)
    entries = [
        Entry(word, form, any_case, word in exceptions)
        for word in (*lexicon.words, *lexicon.exceptions)
        for form, any_case in _forms(word, word in exact, normalize)
        if form
    ]
    if all(entry.is_exception for entry in entries):
        raise ValueError(f"No entry of lexicon '{lexicon.name}' is left after the tokenizer's normalizer.")
    return sorted(entries, key=lambda entry: (-len(entry.form), entry.any_case))


def _forms(word: str, exact: bool, normalize: Callable[[str], str]) -> list[tuple[str, bool]]:
    """Give the ways to write an entry, and whether each may be in any case."""
    lower_cases = normalize("A") == "a"
    if lower_cases and word != word.lower() and (exact or word.isupper()):
        return []  # nothing is left of what would tell it from another word
    if exact:
        return [(normalize(word), False)]
    if word == word.lower():
        return [(normalize(word), True)]
    return [(form, False) for form in dict.fromkeys((normalize(word), normalize(word.upper())))]


def _spell(text: str, letter: Callable[[str], str]) -> str:
    """Write an entry as a regular expression, with `letter` for its letters."""
    pattern = ""
    for piece in re.findall(r"[^\W_]+|\s*[^\w\s]\s*|\s+|_", text):
        if piece.isspace():
            pattern += r"\s+"
        elif piece[0].isalnum():
            pattern += "".join(map(letter, piece))
        else:
            mark = piece.strip()
            pattern += r"\s*" + ("['’]" if mark == "'" else re.escape(mark)) + r"\s*"
    return pattern.removeprefix(r"\s*").removesuffix(r"\s*")


def _either_case(character: str) -> str:
    cases = sorted({form for form in (character, character.lower(), character.upper()) if len(form) == 1})
    return re.escape(character) if len(cases) == 1 else f"[{''.join(cases)}]"
