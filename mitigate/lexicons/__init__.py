"""Lexicons: lists of sensitive words, those that come with the package and your own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from mitigate.lexicons.files import read_word_list
from mitigate.lexicons.lexicon import Group, Lexicon, Members
from mitigate.spelling import did_you_mean

__all__ = ["Group", "Lexicon", "Members", "available_lexicons", "load_lexicon"]

# How alike a string and the name of a lexicon are when the one is taken for a slip of the other: a letter that is
# missing, added or swapped in a name of six.
_ALIKE = 0.8


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
    if not isinstance(item, str | Path):
        raise ValueError(f"`lexicon` must hold words, names of lexicons and paths, got {item!r}.")
    if isinstance(item, Path) or item.endswith(".txt"):
        path = Path(item)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"`lexicon`: {path} is not in UTF-8. Save it as UTF-8.") from error
        return _read(path.stem, text, source=str(path))
    if item in _names():
        return _read(item, resources.files(__name__).joinpath(f"{item}.txt").read_text(encoding="utf-8"))
    return None


def _read(name: str, text: str, source: str = "user") -> Lexicon:
    file = read_word_list(text, name)
    header = {"source": source, "licence": "unknown"} | file.header
    about = (header["source"], header["licence"])
    return Lexicon(name, file.words, *about, file.groups, file.exact, file.exceptions, file.members)


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
    owners = {word: part for part in reversed(parts) for word in part.words}
    return Lexicon(
        "+".join(part.name for part in parts),
        tuple(word for part in parts for word in part.words),
        source="; ".join(dict.fromkeys(part.source for part in parts)),
        licence="; ".join(dict.fromkeys(part.licence for part in parts)),
        groups=tuple(group for part in parts for group in part.groups),
        exact=tuple(word for part in parts for word in part.exact if owners[word] is part),
        exceptions=tuple(word for part in parts for word in part.exceptions if word not in owners),
        members=tuple(members for part in parts for members in part.members),
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
    hint = did_you_mean(name, _names())
    return (
        f"`lexicon` has no entry '{name}'; available: {', '.join(_names())}.{hint} For words of your own pass a "
        "list of them, a `Lexicon`, or the path of a text file (a `Path`, or a string that ends in `.txt`)."
    )
