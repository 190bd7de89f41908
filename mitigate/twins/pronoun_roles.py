"""Tell apart what one pronoun can be: her book and see her, his book and it is his."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import dropwhile
from typing import TYPE_CHECKING, Literal

from mitigate.spacy_pipelines import load_pipeline

if TYPE_CHECKING:
    from spacy.language import Language

# "determiner" stands before a noun (her book, his book), "other" alone (see her, it is his).
Role = Literal["determiner", "other"]
# Gives the role of every `her` and `his` of a text, by the place of its first character.
RoleFinder = Callable[[str], dict[int, Role]]

# What takes the place of a pronoun of the other sex, by its role.
COUNTERPARTS: dict[str, dict[str, str]] = {
    "her": {"determiner": "his", "other": "him"},
    "his": {"determiner": "her", "other": "hers"},
}

_PRONOUN = re.compile(r"(?<![^\W_])(?:her|his)(?![^\W_])", re.IGNORECASE)
# The two words before a pronoun, with nothing but spaces between.
_BEFORE = re.compile(r"(?:([^\W_]+)\s+)?([^\W_]+)\s+$")
_FIRST = re.compile(r"[\s\"“‘(]*([^\W_]+)(-[^\W_])?")
_NEXT = re.compile(r"\s+([^\W_]+)")
# What is looked at: characters before a pronoun, which hold two words, and words after it.
_BACK, _AHEAD = 80, 4


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What begins another phrase than the one of a determiner.
_DETERMINERS = _words("a an the this that these those some any each no another my your our its their his her")
_CLOSED = _DETERMINERS | _words(
    "it he she they we you i him them us me in on at to by for from with without of off out up down over under "
    "about after before during until till since as than into onto upon through across behind beside between against "
    "around along near toward towards inside outside like despite except because and or but nor so yet if when "
    "whenever while whether though although unless where wherever who whom whose which what why how is are was were "
    "be been being am do does did has have had will would shall should can could may might must not too again also "
    "either anyway just even there here today tonight tomorrow yesterday soon already alone away together apart "
    "enough everywhere somewhere afterwards twice instead something someone somebody anything nothing everything "
    "anywhere nowhere lots"
)
# Nouns too, unless a verb follows that they help: her will to live, but those who know her will be there.
_HELPING_NOUNS = _words("will might")
_HELPED = _words("not be have do also just even again soon already either anyway")
# Adverbs that may also stand at the end of a clause: saw her later, her later work.
_ADVERBS = _words(
    "very most more less once twice never always often sometimes now then later well still ever rather so"
)
_ADJECTIVES_IN_LY = _words(
    "only early daily weekly monthly yearly friendly lovely lonely elderly family ugly costly lively likely holy "
    "deadly scholarly motherly fatherly sisterly brotherly womanly manly orderly silly curly jolly bodily worldly "
    "timely hourly unruly belly jelly assembly reply supply ally rally bully butterfly"
)
_TIMES = _words("day week month year time morning evening night weekend summer winter spring hour minute step")
# After these verbs a person may come first, and then a thing without an article: gave her advice, earned her respect.
_GIVING = _words(
    "give gives gave given giving offer offers offered offering teach teaches taught teaching bring brings brought "
    "bringing send sends sent sending buy buys bought buying owe owes owed wish wishes wished wishing show shows "
    "showed shown showing grant grants granted granting award awards awarded awarding lend lends lent sell sells "
    "sold pay pays paid paying charge charges charged charging cost costs tell tells told ask asks asked provide "
    "provides provided earn earns earned earning gain gains gained gaining garner garners garnered garnering win "
    "wins won winning land lands landed landing cause causes caused do does did done"
)
_THINGS = _words(
    "advice joy hope money credit permission help comfort strength support peace courage confidence pleasure pain "
    "trouble good harm justice flowers presents more recognition acclaim praise respect admiration fame attention "
    "visibility accolades awards honours honors prizes medals followers access feedback information thanks birthday"
)
_AMOUNTS = _words("many several numerous countless both two three four five six seven ten hundreds thousands every")
# After these verbs a bare verb may follow an object: saw her leave, let her go.
_BARE_VERB_AFTER = _words(
    "see sees saw seen seeing hear hears heard hearing watch watches watched watching feel felt notice noticed let "
    "lets letting make makes made making help helps helped helping have has had"
)
_BARE_VERBS = _words(
    "go leave come sing dance speak talk run walk play sleep cry laugh smile eat drink read write sit stand fall "
    "know think feel see hear learn understand choose decide finish become be do have get take keep look wait drive "
    "swim work win lose grow rest stay enter explain realize realise forget remember pass cross carry shout whisper "
    "succeed happen move break climb open close repeat breathe recover find pay perform excel thrive lead teach "
    "build create develop achieve reach navigate overcome identify gain secure avoid improve prepare join settle "
    "change enjoy try agree"
)
_SEEING = _words("see sees saw seen seeing hear hears heard hearing watch watches watched watching notice noticed")
# After these verbs an adjective may follow an object: made her famous, found her guilty.
_MAKING = _words(
    "make makes made making find finds found finding keep keeps kept keeping consider considers considered drive "
    "drives drove leave leaves left leaving render renders rendered get gets got set sets think thinks thought "
    "believed deemed declared call calls called prove proves proved"
)
_STATES = _words(
    "guilty happy sad angry sick safe busy free rich poor proud ready alive dead asleep awake calm known fit "
    "wealthy anxious tired lonely popular stronger better worse available eligible crazy mad innocent unable able "
    "afraid uneasy homesick late easy unique hot right wrong dull content satisfied speechless unconscious"
)
_STATE_ENDINGS = ("ful", "able", "ible", "ous", "less", "ive", "ied")
# After these verbs an office may follow an object: elected her president.
_NAMING = _words(
    "name names named naming elect elects elected appoint appointed crown crowned call calls called make makes made"
)
_OFFICES = _words("captain president chair chief director queen champion chancellor secretary treasurer partner")
# After these verbs a direction may follow an object: called her back, drove her home.
_MOVING = _words(
    "call calls called pay pays paid bring brings brought send sends sent take takes took taken taking get gets got "
    "hold holds held holding win won want wants wanted nurse nurses nursed welcome welcomes welcomed drive drives "
    "drove walk walked follow follows followed fly flew invite invited lead led push pushed pull pulled set sets"
)
# Penn Treebank tags of what can follow a determiner.
_IN_NOUN_PHRASE = ("NN", "JJ", "CD", "VBG", "VBN", "RB", "``", "FW")


def roles_by_rule(text: str) -> dict[int, Role]:
    """
    Tell roles by the words around a pronoun.

    It is a determiner unless what follows cannot be its noun phrase: the end of a clause, a word such as *to*, *the*
    or *yesterday*, and adverbs before either; and, for `her`, unless the verb before and the words after make it an
    object: a bare verb after *see* or *let*, a state after *make*, a thing that is given after *give*, an office after
    *elect*. `her` after *she* and a verb is a determiner, for an object would be *herself*.

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
        nlp (`str` or `spacy.language.Language`):
            A pipeline for English with a component that sets Penn Treebank tags, or the name or folder of an installed
            one, such as `"en_core_web_sm"`. `her` is a determiner if tagged `PRP$`; `his`, which taggers call `PRP$`
            in any use, if what follows can be part of a noun phrase too.

    Raises:
        ImportError: If `nlp` is a name and spaCy is not installed.
        OSError: If there is no such pipeline.
        ValueError: When a text comes, if the pipeline sets no tags.
    """

    def __init__(self, nlp: str | Language) -> None:
        self.nlp = load_pipeline(nlp) if isinstance(nlp, str) else nlp

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
    first = _FIRST.match(text, found.end())
    if first is None:
        return "other"
    if first[2]:  # her in-depth report, her then-husband
        return "determiner"
    ahead = _ahead(text, first)
    if ahead[0] in {"and", "or"} and len(ahead) > 1 and ahead[1] in {"her", "his"} - {found[0].lower()}:
        second = _PRONOUN.search(text, found.end())  # "his or her job": as the second is
        return _role(text, second) if second else "other"
    phrase = list(dropwhile(_is_adverb, ahead))
    if not phrase or _begins_another(phrase):
        return "other"
    before = _BEFORE.search(text, max(0, found.start() - _BACK), found.start())
    if before is None or found[0].lower() == "his" or (before[1] or "").lower() == "she":
        return "determiner"
    return "other" if _is_object(before[2].lower(), phrase, adverb=len(phrase) < len(ahead)) else "determiner"


def _ahead(text: str, first: re.Match[str]) -> list[str]:
    """Read words up to the next punctuation, in lower case: some, and adverbs."""
    words, end = [first[1].lower()], first.end(1)
    while len(words) < _AHEAD and (following := _NEXT.match(text, end)):
        words.append(following[1].lower())
        end = following.end()
    return words


def _is_adverb(word: str) -> bool:
    return word in _ADVERBS or (word.endswith("ly") and word not in _ADJECTIVES_IN_LY)


def _begins_another(phrase: list[str]) -> bool:
    """Tell whether words are another phrase than one of which the pronoun is the determiner."""
    first, second = phrase[0], phrase[1] if len(phrase) > 1 else ""
    if first == "all":
        return second in _CLOSED
    if first == "every":
        return second in _TIMES or second.endswith("day")
    if first in _HELPING_NOUNS and (not second or second in _CLOSED - _HELPED):
        return False
    return first in _CLOSED or (first == "one" and second == "of")


def _is_object(verb: str, phrase: list[str], *, adverb: bool) -> bool:
    """Tell whether a verb before `her` and a phrase after it make `her` an object."""
    first, second = phrase[0], phrase[1] if len(phrase) > 1 else ""
    ends = not second or second in _CLOSED
    state = first in _STATES or first.endswith(_STATE_ENDINGS) or (adverb and first.endswith("ed"))
    given = first in _THINGS | _AMOUNTS or first.isdigit() or second in _THINGS
    bare = first in _BARE_VERBS or second in _DETERMINERS or (verb in _SEEING and first.endswith("ing"))
    return (
        (verb in _GIVING and given)
        or (verb in _BARE_VERB_AFTER and bare)
        or (verb in _MAKING and state and ends)
        or (verb in _NAMING and first in _OFFICES)
        or (verb in _MOVING and first in {"back", "home"})
    )
