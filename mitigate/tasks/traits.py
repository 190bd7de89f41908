"""Which adjectives a text attaches to a character, and what they say of it by the ABC model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from mitigate.tasks.wordlists import Trait, abc_adjectives, sentences

if TYPE_CHECKING:
    from spacy.tokens import Token

_SHE, _HE = ("she", "her", "hers", "herself"), ("he", "him", "his", "himself")
_THEY = ("they", "them", "their", "theirs", "themselves")
# By gender, in lower case, as columns have it.
PRONOUNS = {"female": _SHE, "woman": _SHE, "male": _HE, "man": _HE, "nonbinary": _THEY, "unknown": _THEY}
# Words before an adjective in which a negation turns it around: "was never very kind".
_REACH = 3
_NEGATION = re.compile(r"\b(?:not|never|no|nor|neither|hardly|barely|without|cannot)\b|n['’]t\b", re.IGNORECASE)
Parser = Callable[[str], Any]


def pronouns(gender: str) -> tuple[str, ...]:
    """
    Give the pronouns of a person.

    Args:
        gender (`str`):
            One of `PRONOUNS`, in any case.

    Returns:
        `tuple[str, ...]`: In lower case.

    Raises:
        ValueError: If no pronoun is known for it.
    """
    if gender.lower() not in PRONOUNS:
        raise ValueError(
            f"Column 'gender' has '{gender[:40]}', for which no pronoun is known (known: {', '.join(PRONOUNS)}). Say "
            "what it means with `values` of the source."
        )
    return PRONOUNS[gender.lower()]


def attached_by_rule(text: str, name: str, gender: str) -> list[Trait]:
    """
    Find the adjectives of the ABC model in sentences that name a character or use its pronoun.

    An adjective with a negation among the three words before it is dropped.

    Args:
        text (`str`):
            A story.
        name (`str`):
            The character's name.
        gender (`str`):
            One of `PRONOUNS`, in any case.

    Returns:
        `list[Trait]`: One trait for each adjective found, in order.

    Limits: a sentence that names the character may describe someone else, and *kind* or *poor* may be no trait (*a
    kind of*, *poor weather*). A parser does better; see [`attached_by_parser`].
    """
    mentions = _whole_words((name, *pronouns(gender)))
    found = []
    for sentence in sentences(text):
        if mentions.search(sentence):
            for match in _adjectives().finditer(sentence):
                before = " ".join(sentence[: match.start()].split()[-_REACH:])
                if not _NEGATION.search(before):
                    found.append(_trait(match[0]))
    return [trait for trait in found if trait is not None]


def attached_by_parser(text: str, name: str, gender: str, parser: Parser) -> list[Trait | None]:
    """
    Find the adjectives that a dependency parse attaches to a character.

    Attached are adjectives that modify its name or pronoun, and complements of verbs whose subject it is; those joined
    to such by *and* or a comma too. A negation of the adjective or of the verb drops it.

    Args:
        text (`str`):
            A story.
        name (`str`):
            The character's name.
        gender (`str`):
            One of `PRONOUNS`, in any case.
        parser (`Callable[[str], Doc]`):
            A spaCy pipeline with tagger and parser, of English labels, such as `spacy.load("en_core_web_sm")`.

    Returns:
        `list[Trait | None]`: One trait for each adjective found, in order; `None` for one that the ABC model does not
        have.
    """
    mentions = {part.lower() for part in (*name.split(), *pronouns(gender))}
    found: list[Trait | None] = []
    for token in parser(text):
        owned = any(owner.text.lower() in mentions for owner in _owners(token))
        if token.pos_ == "ADJ" and owned and not _negated(token):
            found.append(_trait(token.text))
    return found


def _owners(token: Token) -> Iterator[Token]:
    """Give the nouns that an adjective is attached to."""
    first = _first_conjunct(token)
    if first.dep_ in ("amod", "appos"):
        yield first.head
    if first.dep_ in ("acomp", "attr", "oprd"):
        yield from (child for child in first.head.children if child.dep_ in ("nsubj", "nsubjpass"))


def _negated(token: Token) -> bool:
    first = _first_conjunct(token)
    return any(child.dep_ == "neg" for each in (token, first, first.head) for child in each.children)


def _first_conjunct(token: Token) -> Token:
    while token.dep_ == "conj":
        token = token.head
    return token


def _trait(word: str) -> Trait | None:
    traits = abc_adjectives()
    return traits.get(word) or traits.get(word.lower())


@cache
def _adjectives() -> re.Pattern[str]:
    # An entry with a capital is dropped by `_trait` where it is written without.
    return _whole_words(tuple(abc_adjectives()))


def _whole_words(entries: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(entries, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE)
