"""Lexicons: lists of sensitive words, those that come with the package and your own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

__all__ = ["Lexicon", "available_lexicons", "load_lexicon"]


@dataclass(frozen=True)
class Lexicon:
    """
    A list of sensitive words.

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

    Raises:
        ValueError: If there is no entry, or a blank one.
    """

    name: str
    words: tuple[str, ...]
    source: str = "user"
    licence: str = "unknown"

    def __post_init__(self) -> None:
        words = tuple(dict.fromkeys(" ".join(word.split()) for word in self.words))
        if not words:
            raise ValueError(f"Lexicon '{self.name}' is empty: it needs at least one word.")
        if "" in words:
            raise ValueError(f"Lexicon '{self.name}' has a blank entry. Take it out.")
        object.__setattr__(self, "words", words)


def available_lexicons() -> list[str]:
    """
    Return the names of the lexicons that come with the package.

    Returns:
        `list[str]`: The names, sorted.
    """
    return sorted(
        Path(entry.name).stem for entry in resources.files(__name__).iterdir() if entry.name.endswith(".txt")
    )


def load_lexicon(lexicon: str | Path | Lexicon | Iterable[str | Path | Lexicon]) -> Lexicon:
    """
    Load a lexicon, or unite several.

    Args:
        lexicon (`str`, `Path`, `Lexicon` or an iterable of them):
            - The name of a lexicon that comes with the package: `"gender"` (pronouns, titles, gendered nouns) or
              `"nationality"` (countries and their people).
            - The path to a text file in UTF-8 with one entry a line, as a `Path` or as a string that ends in `.txt`.
              A line that starts with `#` is a comment.
            - A `Lexicon`, which is returned as it is.
            - An iterable of names, paths, lexicons and words. A string in it that is neither a name nor ends in
              `.txt` is a word.

    Returns:
        `Lexicon`: The lexicon. One that was united is named after its parts (`"gender+words"`).

    Raises:
        ValueError: If a single string is neither a name nor a path, or if there is no entry.
        FileNotFoundError: If there is no such file.

    Example:
    ```python
    >>> from mitigate.lexicons import load_lexicon

    >>> both = load_lexicon(["gender", "nationality", "Quebec"])
    >>> both.name, "herself" in both.words, "Quebec" in both.words
    ('gender+nationality+words', True, True)
    ```

    Limits: the lists that come with the package are English, and no list is complete. In a corpus that you have put
    in lower case, entries with a capital are not found; where you accept that `turkey` is then always the country,
    pass `load_lexicon(word.lower() for word in load_lexicon("nationality").words)`. A misspelt name in an iterable
    cannot be told from a word: look at `name`, which ends in `words` if there was one.
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
        return Lexicon(path.stem, _entries(path.read_text(encoding="utf-8")), source=str(path))
    if item in available_lexicons():
        text = resources.files(__name__).joinpath(f"{item}.txt").read_text(encoding="utf-8")
        return Lexicon(item, _entries(text), source="compiled by the mitigate authors", licence="Apache-2.0")
    return None


def _entries(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _unite(items: Iterable[str | Path | Lexicon]) -> Lexicon:
    parts: list[Lexicon] = []
    own: list[str] = []
    for item in items:
        part = item if isinstance(item, Lexicon) else _known(item)
        if part is None:
            own.append(str(item))
        else:
            parts.append(part)
    if own or not parts:
        parts.append(Lexicon("words", tuple(own)))
    return Lexicon(
        "+".join(part.name for part in parts),
        tuple(word for part in parts for word in part.words),
        source="; ".join(dict.fromkeys(part.source for part in parts)),
        licence="; ".join(dict.fromkeys(part.licence for part in parts)),
    )


def _unknown_name(name: str) -> str:
    available = available_lexicons()
    nearest = difflib.get_close_matches(name, available, n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return (
        f"`lexicon` has no entry '{name}'; available: {', '.join(available)}.{hint} For words of your own pass a "
        "list of them, a `Lexicon`, or the path of a text file (a `Path`, or a string that ends in `.txt`)."
    )
