"""Lexicons: lists of sensitive words, those that come with the package and your own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

from mitigate.lexicons.files import Group, read_word_list

__all__ = ["Group", "Lexicon", "available_lexicons", "load_lexicon"]

# How alike a string and the name of a lexicon are when the one is taken for a slip of the other: a letter that is
# missing, added or swapped in a name of six.
_ALIKE = 0.8


@dataclass(frozen=True)
class Lexicon:
    """
    A list of sensitive words, and what each can be replaced by.

    An entry in lower case stands for the word in any case: `"she"` for she, She and SHE. An entry with a capital
    stands for itself and its form in capitals only, so that `"Turkey"` is found in Turkey and TURKEY, and not in
    turkey. An entry may have several words (`"South Korea"`).

    Args:
        name (`str`):
            Name of the list, for logs and reports.
        words (`tuple[str, ...]`):
            The entries. White space around and inside them is reduced to single spaces, and an entry that comes
            twice is kept once.
        source (`str`, *optional*, defaults to `"user"`):
            Who compiled the list.
        licence (`str`, *optional*, defaults to `"unknown"`):
            Its licence.
        groups (`tuple[Group, ...]`, *optional*, defaults to one group of all words, with `name` as its kind):
            Words that can take each other's place. Every entry is in at least one. The first group that an entry is
            in is its own; in a later one it stands in for the others. A word of a group that is no entry also only
            stands in for the others.

    Raises:
        ValueError: If there is no entry, a blank one, or one that is in none of the groups.

    Example:
    ```python
    >>> from mitigate.lexicons import Lexicon

    >>> jobs = Lexicon("jobs", ("nurse", "doctor", "pilot"))
    >>> jobs.kind("nurse"), jobs.alternatives("nurse")
    ('jobs', ('doctor', 'pilot'))
    ```
    """

    name: str
    words: tuple[str, ...]
    source: str = "user"
    licence: str = "unknown"
    groups: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        words = _clean(self.words)
        if not words:
            raise ValueError(f"Lexicon '{self.name}' is empty: it needs at least one word.")
        if "" in words:
            raise ValueError(f"Lexicon '{self.name}' has a blank entry. Take it out.")
        groups = tuple(group._replace(words=_clean(group.words)) for group in self.groups)
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "groups", groups or (Group(self.name, "", words),))
        lost = [word for word in words if word not in self._group_of]
        if lost:
            raise ValueError(
                f"Lexicon '{self.name}': entry '{lost[0]}' is in none of `groups`. Add it to one, or give no groups."
            )

    def kind(self, entry: str) -> str:
        """
        Return what an entry tells of a person.

        Args:
            entry (`str`):
                An entry, as it is written in `words`.

        Returns:
            `str`: `"gender"`, `"nationality"`, `"religion"`, `"race"` or `"age"` for the lists that come with the
            package, in any language; the name of the lexicon for words of your own.

        Raises:
            ValueError: If the lexicon has no such entry.
        """
        return self._own_group(entry).kind

    def alternatives(self, entry: str) -> tuple[str, ...]:
        """
        Return the words that can take an entry's place in a sentence: of the same kind, and of the same form.

        Args:
            entry (`str`):
                An entry, as it is written in `words`.

        Returns:
            `tuple[str, ...]`: The words, without the entry itself; empty if there is none.

        Raises:
            ValueError: If the lexicon has no such entry.
        """
        return tuple(word for word in self._own_group(entry).words if word != entry)

    @cached_property
    def _group_of(self) -> dict[str, Group]:
        groups: dict[str, Group] = {}
        for group in self.groups:
            for word in group.words:
                groups.setdefault(word, group)
        return groups

    def _own_group(self, entry: str) -> Group:
        group = self._group_of.get(entry)
        if group is None:
            raise ValueError(f"Lexicon '{self.name}' has no entry '{entry}'. Spell it as in `words`.")
        return group


def _clean(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(" ".join(word.split()) for word in words))


def available_lexicons() -> list[str]:
    """
    Return the names of the lexicons that come with the package.

    Returns:
        `list[str]`: The names, sorted.
    """
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".txt") for name in files if name.endswith(".txt")))


def load_lexicon(lexicon: str | Path | Lexicon | Iterable[str | Path | Lexicon]) -> Lexicon:
    """
    Load a lexicon, or unite several.

    Args:
        lexicon (`str`, `Path`, `Lexicon` or an iterable of them):
            - The name of a lexicon that comes with the package, one of [`available_lexicons`]: `"gender"` (pronouns,
              titles, nouns), `"names"` (first names), `"nationality"`, `"religion"`, `"race"` and `"age"` are
              English; those in other languages end in the language, such as `"gender-es"`.
            - The path to a text file in UTF-8 with one entry a line, as a `Path` or as a string that ends in `.txt`.
              A line that starts with `#` is a comment. `docs/lexicons.md` tells how such a file names its source,
              licence and kind, and how it groups entries that can replace each other.
            - A `Lexicon`, which is returned as it is.
            - An iterable of names, paths, lexicons and words. A string in it that is neither a name nor ends in
              `.txt` is a word.

    Returns:
        `Lexicon`: The lexicon. One that was united is named after its parts (`"gender+words"`). Its entries keep
        their kinds and alternatives; an entry of several parts has those of the first.

    Raises:
        ValueError: If a single string is neither a name nor a path; if a string in an iterable is nearly the name of
            a lexicon, and the iterable holds a name too or no other word; if a file cannot be read as a list of
            words; or if there is no entry.
        FileNotFoundError: If there is no such file.

    Example:
    ```python
    >>> from mitigate.lexicons import load_lexicon

    >>> both = load_lexicon(["gender", "nationality", "Quebec"])
    >>> both.name, "herself" in both.words, "Quebec" in both.words
    ('gender+nationality+words', True, True)
    >>> both.kind("Dutch"), both.alternatives("she"), both.kind("Quebec")
    ('nationality', ('he',), 'words')
    ```

    Limits: no list is complete. In a corpus that you have put in lower case, entries with a capital are not found;
    where you accept that `turkey` is then always the country, pass
    `load_lexicon(word.lower() for word in load_lexicon("nationality").words)`.
    """
    if isinstance(lexicon, Lexicon):
        return lexicon
    if isinstance(lexicon, (str, Path)):
        known = _known(lexicon)
        if known is None:
            raise ValueError(_unknown_name(str(lexicon)))
        return known
    return _unite(lexicon)


def _known(item: str | Path) -> Lexicon | None:
    """Load a name or a path; `None` for any other string."""
    if isinstance(item, Path) or item.endswith(".txt"):
        path = Path(item)
        return _read(path.stem, path.read_text(encoding="utf-8"), source=str(path))
    if item in _names():
        return _read(item, resources.files(__name__).joinpath(f"{item}.txt").read_text(encoding="utf-8"))
    return None


def _read(name: str, text: str, source: str = "user") -> Lexicon:
    file = read_word_list(text, name)
    header = {"source": source, "licence": "unknown"} | file.header
    return Lexicon(name, file.words, header["source"], header["licence"], file.groups)


def _unite(items: Iterable[str | Path | Lexicon]) -> Lexicon:
    parts: list[Lexicon] = []
    own: list[str] = []
    names = 0
    for item in items:
        part = item if isinstance(item, Lexicon) else _known(item)
        names += isinstance(item, str) and item in _names()
        if part is None:
            own.append(str(item))
        else:
            parts.append(part)
    _refuse_slips(own, beside_names=names > 0)
    if own or not parts:
        parts.append(Lexicon("words", tuple(own)))
    return Lexicon(
        "+".join(part.name for part in parts),
        tuple(word for part in parts for word in part.words),
        source="; ".join(dict.fromkeys(part.source for part in parts)),
        licence="; ".join(dict.fromkeys(part.licence for part in parts)),
        groups=tuple(group for part in parts for group in part.groups),
    )


def _refuse_slips(words: list[str], beside_names: bool) -> None:
    # In a list of words, `tender` is a word; beside a name, or where nothing else was given, it may be a slip of
    # `gender`, which would go unnoticed.
    slips = {word: near for word in words if (near := _nearest(word))}
    if slips and (beside_names or len(slips) == len(words)):
        word, name = next(iter(slips.items()))
        raise ValueError(
            f"`lexicon` holds '{word}', which is nearly the name of the lexicon '{name}'. If you mean the lexicon, "
            f"correct the name (available: {', '.join(_names())}); if you mean the word, pass "
            f"`Lexicon('words', ({word!r},))` in its place."
        )


def _nearest(word: str) -> str | None:
    nearest = difflib.get_close_matches(word.strip().lower(), _names(), n=1, cutoff=_ALIKE)
    return nearest[0] if nearest else None


def _unknown_name(name: str) -> str:
    nearest = difflib.get_close_matches(name, _names(), n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return (
        f"`lexicon` has no entry '{name}'; available: {', '.join(_names())}.{hint} For words of your own pass a "
        "list of them, a `Lexicon`, or the path of a text file (a `Path`, or a string that ends in `.txt`)."
    )
