"""The operational rules of the bias types, checked on every prompt and on every text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mitigate.augment.bias_types import ATTRIBUTES
from mitigate.augment.generators import Answer
from mitigate.augment.group_words import find_group_words
from mitigate.augment.plan import Item
from mitigate.words.entries import WORD
from mitigate.words.hashes import fold

# A text is taken for a copy if so many of its runs of so many words are in the seed (the containment of Broder, 1997).
COPIED_SHARE = 0.8
COPIED_WORDS = 5

_REFUSAL = re.compile(
    r"(?:(?:i'm|i am)\s+)?(?:very\s+)?(?:sorry|unfortunately|apologies)\b.{0,60}?"
    r"\b(?:can't|cannot|can not|unable|won't)\b"
    r"|(?:i\s+(?:can't|cannot|can not|won't|will not)|(?:i'm|i am)\s+(?:unable|not able)\s+to)\s+"
    r"(?:help|assist|provide|write|create|generate|produce|fulfil|fulfill|comply|continue|answer|engage|do)\b"
    r"|as\s+an?\s+(?:ai|(?:large\s+)?language\s+model)\b",
    re.IGNORECASE | re.DOTALL,
)

# Where thinking begins or ends. Its beginning alone may be in the prompt, as templates of DeepSeek-R1 and QwQ have it;
# `assistantfinal` is what is left of the channels of gpt-oss without special tokens.
_THINKING = re.compile(
    r"</?(?:\w+:)?(?:think|thinking|thought|reasoning)>|\[/?THINK\]|◁/?think▷|<\|?channel\|?>|\Aanalysis.*assistantfinal",
    re.IGNORECASE | re.DOTALL,
)


class Rejection(NamedTuple):
    """
    Why a row is set apart.

    Attributes:
        reason (`str`):
            One of a few, to count by.
        detail (`str`):
            What it is about this row.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class TextLimits:
    """
    How long a text may be.

    Args:
        min_words (`int`, *optional*, defaults to 5):
            Fewest words, between white space; at least 1.
        max_words (`int`, *optional*, defaults to 300):
            Most words.

    Raises:
        ValueError: If they leave nothing.
    """

    min_words: int = 5
    max_words: int = 300

    def __post_init__(self) -> None:
        if not 1 <= self.min_words <= self.max_words:
            raise ValueError(
                f"`min_words` must be at least 1 and at most `max_words`, got {self.min_words} and {self.max_words}."
            )


def check_prompt(item: Item) -> Rejection | None:
    """
    Check a prompt against the rule of its bias type, before it is sent.

    - explicit: our part of the prompt names the group, and tells nothing else of gender or culture
    - implicit: it tells neither, and holds the names that stand for the group
    - contextual: the prompt holds the passage, and the passage does not tell the attributes that vary
    - contextless: it does not hold the passage
    - single and intersectional follow from the words that our part may hold

    Args:
        item (`Item`):
            The row to be written.

    Returns:
        `Rejection` or `None`: What breaks the rule, with `"prompt"` as its reason.
    """
    for check in (_frame_problem, _passage_problem):
        problem = check(item)
        if problem:
            return Rejection("prompt", problem)
    return None


def check_text(item: Item, answer: Answer, limits: TextLimits) -> Rejection | None:
    """
    Check a text by itself, and against the rule of its bias type.

    Args:
        item (`Item`):
            What was asked.
        answer (`Answer`):
            What came back.
        limits (`TextLimits`):
            Its length.

    Returns:
        `Rejection` or `None`: The first problem.
    """
    text = answer.text.strip()
    words = len(text.split())
    checks: list[tuple[str, Callable[[], str]]] = [
        ("refusal", lambda: _refusal(answer, text)),
        ("empty", lambda: "" if text else "no text"),
        ("thinking", lambda: _thinking(text)),
        ("cut off", lambda: "ended by the limit of tokens" if answer.finish_reason == "length" else ""),
        ("too short", lambda: f"{words} words" if words < limits.min_words else ""),
        ("too long", lambda: f"{words} words" if words > limits.max_words else ""),
        ("group word", lambda: ", ".join(told_words(item, text))),
        ("seed copied", lambda: _copied(text, item.seed.text)),
    ]
    for reason, check in checks:
        detail = check()
        if detail:
            return Rejection(reason, detail)
    return None


def told_words(item: Item, text: str) -> list[str]:
    """
    Find what a text tells against the rule of its bias type.

    Where a name stands for the group, no word may tell what varies. What does not vary must be left unstated, unless
    the passage states it, which it does for all groups alike.

    Args:
        item (`Item`):
            What was asked.
        text (`str`):
            The text.

    Returns:
        `list[str]`: The words.
    """
    told = []
    for kind in ATTRIBUTES:
        varies = kind in item.group.varied
        if varies and item.bias_type.signal == "explicit":
            continue
        given = set() if varies else set(find_group_words(_passage(item), kind))
        told += [word for word in find_group_words(text, kind) if word not in given]
    return list(dict.fromkeys(told))


def _frame_problem(item: Item) -> str:
    for kind in ATTRIBUTES:
        found = {fold(word) for word in find_group_words(item.frame, kind)}
        named = kind in item.group.varied and item.bias_type.signal == "explicit"
        wanted = {fold(item.group.stated("explicit")[kind])} if named else set()
        if found - wanted:
            return f"the prompt tells the {kind} besides: {', '.join(sorted(found - wanted))}"
        if wanted - found:
            return f"the prompt does not name the group: {', '.join(wanted)}"
    missing = [name for name in item.proxies.values() if name not in item.frame]
    return f"the prompt lacks the name {missing[0]}" if missing else ""


def _passage_problem(item: Item) -> str:
    text = item.seed.text.strip()
    if item.bias_type.context == "contextless":
        return "" if item.prompt == item.frame else "the prompt holds the passage"
    if item.prompt == item.frame or text not in item.prompt:
        return "the prompt lacks the passage"
    kinds = [*item.group.varied, *(["names"] if "gender" in item.group.varied else [])]
    told = [word for kind in kinds for word in find_group_words(text, kind)]
    return f"the passage tells the group by itself: {', '.join(dict.fromkeys(told))}" if told else ""


def _passage(item: Item) -> str:
    return item.seed.text if item.bias_type.context == "contextual" else ""


def _refusal(answer: Answer, text: str) -> str:
    if answer.finish_reason in ("content_filter", "refusal"):
        return f"ended by the endpoint: {answer.finish_reason}"
    found = _REFUSAL.match(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return found[0] if found else ""


def _thinking(text: str) -> str:
    found = _THINKING.search(text)
    return f"{found[0][:20]} in the text" if found else ""


def _copied(text: str, seed: str) -> str:
    words, source = (WORD.findall(each.casefold()) for each in (text, seed))
    length = min(COPIED_WORDS, len(words))
    if not length:
        return ""
    runs, known = (
        {tuple(each[start : start + length]) for start in range(len(each) - length + 1)} for each in (words, source)
    )
    share = len(runs & known) / len(runs)
    return f"{share:.0%} of the runs of {length} words are in the seed" if share >= COPIED_SHARE else ""
