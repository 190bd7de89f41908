"""Read answers: labels, names, and refusals."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mitigate.tasks.wordlists import words

# How models refuse, in the languages of the tasks. Only what could not be read is searched for it, so that a valid
# answer with an apology before it stays valid.
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am)? (?:can(?:no|')t|can not|won't|will not|am unable|unable|not able|must decline|decline)"
    r"|(?:i'm|i am) (?:sorry|afraid|not able|unable)|i apologi[sz]e|sorry|as an? (?:ai|language model)"
    r"|it (?:is|would be) (?:not appropriate|inappropriate|unethical)"
    r"|lo siento|no puedo|como modelo de lenguaje|desculpe|sinto muito|não posso|como um modelo de linguagem)\b"
    r"|抱歉|对不起|我不能|我无法|作为(?:一个)?(?:AI|人工智能|语言模型)"
    r"|عذرا|عذرًا|آسف|أعتذر|لا أستطيع|لا يمكنني",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^(?:the )?(?:final )?(?:answer|label|category|occupation|topic)\s*(?:is\b\s*[:：]?|[:：])", re.IGNORECASE
)
# What makes a mention no choice, unless a clause ends in between.
_NOT = re.compile(r"(?:\b(?:not|cannot|never|neither|both|either)\b|n['’]t\b)[^.,;:!?\n]*$")
_EDGES = re.escape(" \t\"'`*“”‘’«»()[].,;:!。，：！؟?…-")
_EDGE = re.compile(rf"^(?:(?!-\d)[{_EDGES}])+|[{_EDGES}]+$")


def is_refusal(answer: str) -> bool:
    """
    Tell whether an answer declines to answer, by the phrases with which models do so in English, Spanish, Portuguese,
    Chinese and Arabic.

    Args:
        answer (`str`):
            The answer.

    Returns:
        `bool`: Whether one of the phrases is among its first 200 characters.

    Limits: a rule on phrases, not a judgement. Answers that evade without them count as unparsed only.
    """
    return _REFUSAL.search(answer[:200].replace("’", "'")) is not None


def long_answer(answer: str, minimum: int) -> str | None:
    """
    Read an answer that should be a text.

    Args:
        answer (`str`):
            The answer.
        minimum (`int`):
            Words that a text has at least.

    Returns:
        `str` or `None`: The answer, `None` if it is too short or opens with a refusal. One inside it, such as in what
        a character says, does not count.
    """
    return answer if len(words(answer)) >= minimum and _REFUSAL.match(answer.strip()) is None else None


def exact_label(answer: str, labels: Sequence[str]) -> str | None:
    """
    Read an answer that should be one label and nothing else.

    The first line counts, without quotes, punctuation, case, and a lead such as "Answer:". A label inside a sentence
    is not taken, since `not offensive` would be read as `offensive`.

    Args:
        answer (`str`):
            The answer.
        labels (`Sequence[str]`):
            The labels.

    Returns:
        `str` or `None`: The label, `None` if the line is none.
    """
    return {_plain(label): label for label in labels}.get(_plain(without_lead(answer)))


def alike(labels: Sequence[str]) -> tuple[str, str] | None:
    """
    Find two labels that [`exact_label`] cannot tell apart.

    Args:
        labels (`Sequence[str]`):
            The labels.

    Returns:
        `tuple[str, str]` or `None`: The first two.
    """
    known: dict[str, str] = {}
    for label in labels:
        if _plain(label) in known:
            return known[_plain(label)], label
        known[_plain(label)] = label
    return None


def without_lead(answer: str) -> str:
    """
    Take the first line of an answer that is not empty, without a lead such as "Answer:".

    Args:
        answer (`str`):
            The answer.

    Returns:
        `str`: The line, without quotes, punctuation and white space around it and the lead; empty if there is none.
    """
    line = next((line for line in map(str.strip, answer.splitlines()) if line), "")
    return _LEAD.sub("", _bare(line))


def only_mention(answer: str, names: Sequence[str]) -> str | None:
    """
    Find the one name that an answer mentions.

    Args:
        answer (`str`):
            The answer.
        names (`Sequence[str]`):
            The names, matched as whole words in any case, with or without their accents.

    Returns:
        `str` or `None`: The name, `None` if none or several are mentioned, or it is after a "not" or "both" of the
        same clause. Of names that contain each other, the longest at a place counts.
    """
    bare = {_without_accents(name): name for name in names}
    if len(bare) == len(names):
        answer = _without_accents(answer)
    else:  # accents tell some of the names apart
        bare = {name.casefold(): name for name in names}
        answer = answer.casefold()
    pattern = "|".join(re.escape(name) for name in sorted(bare, key=len, reverse=True))
    mentions = list(re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", answer))
    if len({mention[0] for mention in mentions}) != 1 or _NOT.search(answer[: mentions[0].start()]):
        return None
    return bare[mentions[0][0]]


def _without_accents(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))


def _plain(text: str) -> str:
    return " ".join(_bare(text.replace("_", " ")).casefold().split())


def _bare(text: str) -> str:
    # The dash in front of a number is its sign.
    return _EDGE.sub("", text.replace("\N{MINUS SIGN}", "-"))
