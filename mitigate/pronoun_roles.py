"""Tell apart what one pronoun can be: her book and see her, his book and it is his."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from spacy.language import Language

# "determiner" stands before a noun (her book, his book), "other" alone (see her, it is his).
Role = Literal["determiner", "other"]
# Gives the role of every `her` and `his` of a text, by the place of its first character.
RoleFinder = Callable[[str], dict[int, Role]]

_PRONOUN = re.compile(r"(?<![^\W_])(?:her|his)(?![^\W_])", re.IGNORECASE)
_NEXT = re.compile(r"[\s\"“‘(-]*([^\W_]+|.)?", re.DOTALL)
_LAST = re.compile(r"([^\W_]+)\W*$")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What cannot begin the noun phrase of a determiner.
_CLOSED = _words(
    "a an the this that these those some any each every no another my your our its their his her it he she they "
    "we you i him them us me in on at to by for from with without of off out up down over under about after "
    "before during until till since as than into onto upon through across behind beside between against around "
    "along near toward towards inside outside like despite except because and or but nor so yet if when whenever "
    "while whether though although unless where wherever who whom whose which what why how is are was were be "
    "been being am do does did has have had will would shall should can could may might must not never always "
    "often sometimes again too also either anyway well just even there here then now today tonight tomorrow "
    "yesterday soon already alone away together everywhere somewhere afterwards later once twice instead"
)
# After these verbs a bare verb may follow an object: saw her leave, let her go.
_BARE_VERB_AFTER = _words(
    "see sees saw seen seeing hear hears heard hearing watch watches watched watching let lets letting make makes "
    "made making help helps helped helping feel felt notice noticed"
)
_BARE_VERBS = _words(
    "go leave come sing dance speak talk run walk play sleep cry laugh smile eat drink read write sit stand fall "
    "know think feel see hear learn understand choose decide finish become be do have get take keep look wait "
    "drive swim work win lose grow rest stay enter explain realize realise forget remember pass cross carry shout "
    "whisper succeed happen move break climb open close repeat breathe recover find pay"
)
# After these verbs a person comes first, and then the thing without an article: gave her flowers, told her stories.
_GIVING = _words(
    "give gives gave given giving offer offers offered offering teach teaches taught teaching bring brings "
    "brought send sends sent buy buys bought owe owes owed wish wishes wished show shows showed grant grants "
    "granted award awarded feed feeds fed cost costs call calls called"
)
_GIFTS = _words(
    "advice joy hope money credit permission time water food help comfort strength work access support peace "
    "courage confidence pleasure pain trouble enough more nothing everything something first second good harm "
    "justice"
)
# After these verbs an adjective may follow an object: made her famous, found her guilty.
_MAKING = _words(
    "make makes made making find finds found finding keep keeps kept keeping consider considered considers drive "
    "drives drove leave leaves left leaving render rendered get got set think thought believed deemed declared"
)
_STATES = _words(
    "famous guilty happy sad angry sick safe busy free rich poor proud ready alive dead asleep awake calm nervous "
    "anxious tired lonely popular stronger better worse available suitable responsible eligible crazy mad "
    "speechless unconscious innocent fit unable able afraid uncomfortable comfortable uneasy homesick jealous "
    "late"
)
_ADJECTIVES_IN_LY = _words(
    "only early daily weekly monthly yearly friendly lovely lonely elderly family ugly costly lively likely holy "
    "deadly scholarly motherly fatherly sisterly brotherly womanly manly orderly silly curly jolly bodily worldly "
    "timely hourly unruly belly jelly assembly reply supply ally rally bully butterfly"
)
# Penn Treebank tags of what can follow a determiner.
_IN_NOUN_PHRASE = ("NN", "JJ", "CD", "VBG", "VBN", "RB", "``", "FW")


def roles_by_rule(text: str) -> dict[int, Role]:
    """
    Tell roles by the words around a pronoun.

    It is a determiner unless what follows cannot begin its noun phrase: the end of a clause, a word such as *to*,
    *the* or *yesterday*, an adverb at the end, and, for `her`, a bare verb after *see* or *let*, a plural after
    *give*, and a state after *make*.

    Args:
        text (`str`):
            An English text.

    Returns:
        `dict[int, Role]`: For the first character of every `her` and `his`: `"determiner"` or `"other"`.

    Limits: *told her stories* and *saw her duck* have two readings, of which it takes one. `docs/dose.md` says how
    often it is right.
    """
    return {found.start(): _role(text, found) for found in _PRONOUN.finditer(text)}


class SpacyRoles:
    """
    Tell roles by the part-of-speech tags of a spaCy pipeline.

    Args:
        nlp (`spacy.language.Language`):
            A pipeline for English with a component that sets Penn Treebank tags, such as the tagger of
            `en_core_web_sm`. `her` is a determiner if tagged `PRP$`; `his`, which taggers call `PRP$` in any use, if
            what follows can be part of a noun phrase too.

    Raises:
        ValueError: When a text comes, if the pipeline sets no tags.
    """

    def __init__(self, nlp: Language) -> None:
        self.nlp = nlp

    def __call__(self, text: str) -> dict[int, Role]:
        """
        Tell the role of every `her` and `his` of a text.

        Args:
            text (`str`):
                The text.

        Returns:
            `dict[int, Role]`: Role by place of the first character.
        """
        tokens = list(self.nlp(text))
        roles: dict[int, Role] = {}
        for token, following in zip(tokens, [*tokens[1:], None], strict=True):
            if not _PRONOUN.fullmatch(token.text):
                continue
            if not token.tag_:
                raise ValueError(
                    "The spaCy pipeline sets no part-of-speech tags. Give one with a tagger, such as en_core_web_sm."
                )
            determiner = token.tag_ == "PRP$"
            if token.lower_ == "his":
                determiner = determiner and following is not None and following.tag_.startswith(_IN_NOUN_PHRASE)
            roles[token.idx] = "determiner" if determiner else "other"
        return roles


def _role(text: str, found: re.Match[str]) -> Role:
    last = _LAST.search(text[: found.start()])
    before = last[1].lower() if last else ""
    after = _NEXT.match(text, found.end())
    word = (after[1] or "").lower() if after else ""
    if not word[:1].isalnum():
        return "other"
    if word in {"or", "and"} and re.match(
        r"\W+(?:or|and)\W+(?:his|her)(?![^\W_])", text[found.end() :], re.IGNORECASE
    ):
        # "his or her job": as the second is.
        rest = _PRONOUN.search(text, found.end())
        return _role(text, rest) if rest else "other"
    if after and _is_adverb(word):
        # An adverb may belong to a participle: praised her publicly, her beautifully written essay.
        after = _NEXT.match(text, after.end())
        word = (after[1] or "").lower() if after else ""
        return "other" if not word[:1].isalnum() or word in _CLOSED or _is_adverb(word) else "determiner"
    if word in _CLOSED or (found[0].lower() == "her" and _follows_object(before, word)):
        return "other"
    return "determiner"


def _is_adverb(word: str) -> bool:
    return word in {"very", "most", "once", "never", "always"} or (
        word.endswith("ly") and word not in _ADJECTIVES_IN_LY
    )


def _follows_object(before: str, word: str) -> bool:
    """Tell whether a verb before `her` and a word after it make `her` an object."""
    plural = word.endswith("s") and not word.endswith("ss")
    return (
        (before in _BARE_VERB_AFTER and word in _BARE_VERBS)
        or (before in _GIVING and (plural or word in _GIFTS))
        or (before in _MAKING and word in _STATES)
    )
