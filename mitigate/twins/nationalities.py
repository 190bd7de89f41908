"""Nationality words of two cultures that take each other's place in counterfactual twins."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources

from mitigate.lexicons import load_lexicon
from mitigate.twins.words import TwinWords

_NONE = "-"


@cache
def nationality_words(first: str = "English", second: str | None = None) -> TwinWords:
    """
    Return the English nationality words of two cultures: adjectives, countries and nouns (*Spanish*, *Spain*,
    *Spaniards*).

    The cultures are those that [`mitigate.augment`] writes about: Arab, Chinese, English, German, Korean, Portuguese,
    Spanish and Turkish. No nationality has one counterpart, so name the two that you compare. Without `second`, words
    of all other cultures become those of the first, and those of the first become Spanish (of Spanish, English): its
    rows are then balanced against the others together.

    Args:
        first (`str`, *optional*, defaults to `"English"`):
            A culture.
        second (`str`, *optional*):
            Another one; by default all others together, as the group `"other"`.

    Returns:
        `TwinWords`: The pairs, of the groups `first` and `second` in lower case, with the words of the lexicon
        `nationality`: a text with one that is in no pair has no twin.

    Raises:
        ValueError: If there is no such culture, or the two are one.

    Example:
    ```python
    >>> from mitigate.twins import nationality_words

    >>> nationality_words("Korean", "Spanish").swap("A Korean chef left South Korea.").text
    'A Spanish chef left Spain.'
    ```

    Limits: *an Arab moved* becomes *an English moved*, for few adjectives are nouns as well. Languages and names of
    things are swapped with the people (*speaks English*, *Spanish flu*). Names of persons stay, so that they may
    still tell the old culture: pass `names` to [`make_twins`], which rejects such rows.
    """
    cultures = _read()
    for field, culture in (("first", first), ("second", second)):
        if culture is not None and culture not in cultures:
            raise ValueError(f"`{field}`: there are no words for '{culture}', only for {', '.join(sorted(cultures))}.")
    if first == second:
        raise ValueError(f"`first` and `second` must be two cultures, got '{first}' twice.")
    others = [culture for culture in cultures if culture != first] if second is None else [second]
    pairs = [pair for culture in others for pair in _pairs(cultures[first], cultures[culture])]
    groups = first.lower(), "other" if second is None else second.lower()
    return TwinWords(groups, tuple(pairs), load_lexicon("nationality"))


def _pairs(first: list[list[str]], second: list[list[str]]) -> Iterator[tuple[str, str]]:
    """Pair the words of every form, those that are first with each other before all else."""
    for own, others in zip(first, second, strict=True):
        if own and others:
            yield from ((own[0], other) for other in others)
            yield from ((word, others[0]) for word in own[1:])


@cache
def _read() -> dict[str, list[list[str]]]:
    """Read the words of every culture, by form."""
    text = resources.files("mitigate.lexicons").joinpath("nationality-pairs.tsv").read_text(encoding="utf-8")
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {
        culture: [[] if cell == _NONE else [word.strip() for word in cell.split(",")] for cell in cells]
        for culture, *cells in lines
    }
