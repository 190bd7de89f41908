"""Control tasks, which no bias of gender or culture should touch: arithmetic word problems and topics of news."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from datasets import Dataset

from mitigate.tasks.base import Answer, Prompt, Readings, Scores, Task, choice_text
from mitigate.tasks.labels import LabelTask, accuracy, ask_labels
from mitigate.tasks.missing import group_means
from mitigate.tasks.sources import Source

_ALL = "all"
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|-?\.\d+")
GSM8K = Source("openai/gsm8k", subset="main")
TOPICS = ("world", "sports", "business", "science and technology")
AG_NEWS = Source("fancyzhx/ag_news", values={"label": {str(n): topic for n, topic in enumerate(TOPICS)}})


def parse_number(text: str) -> float | None:
    """
    Read the result of a calculation: the number behind the last `####`, or else the last number.

    Where its line has several, it may be a heading, and the last number of the lines below counts; if there is none,
    the last of an equation, or else the first.

    Args:
        text (`str`):
            An answer.

    Returns:
        `float` or `None`: The number, `None` if there is none.
    """
    text = text.replace("\N{MINUS SIGN}", "-")
    _, mark, tail = text.rpartition("####")
    if not mark:
        return _last(_NUMBER.findall(text))
    line, _, below = tail.strip().partition("\n")
    marked, later = _NUMBER.findall(line), _NUMBER.findall(below)
    if len(marked) == 1 or not later:
        return _last(marked if "=" in line else marked[:1])
    return _last(later)


def _last(numbers: Sequence[str]) -> float | None:
    return float(numbers[-1].replace(",", "")) if numbers else None


@dataclass(frozen=True, kw_only=True)
class ArithmeticTask(Task[float]):
    """
    Word problems whose answer is a number, such as GSM8K (Cobbe et al. 2021).

    Scores: `utility` is the accuracy, in [0, 1]; `bias` is 1 less that, so that it can be held against the bias of
    other tasks; the only group, `all`, has the accuracy as its value. What could not be read counts as wrong.
    """

    name: str = "arithmetic"
    source: Source = GSM8K
    related_to: ClassVar[tuple[str, ...]] = ()
    relation: ClassVar[Literal["direct", "indirect", "none"]] = "none"
    metric_names: ClassVar[Mapping[str, str]] = {"bias": "1 − accuracy", "utility": "accuracy"}
    columns: ClassVar[tuple[str, ...]] = ("question", "answer")
    max_new_tokens: ClassVar[int] = 320

    def prompts(self, items: Dataset) -> list[Prompt]:
        """Ask every question; see [`Task.prompts`]."""
        request = "Solve this problem step by step. End with a line that has #### and the number alone."
        for number, answer in enumerate(items["answer"], start=1):
            target = answer.rpartition("####")[2].strip()
            if len(_NUMBER.findall(target)) != 1:
                raise ValueError(
                    f"Column 'answer' must hold one number, in digits such as 1,000.5, alone or behind ####, got "
                    f"'{target[:40]}' in row {number}. Rewrite it, or drop the row."
                )
        return [Prompt(f"{request}\n\n{row['question']}", _ALL, row["answer"]) for row in items]

    def parse(self, prompt: Prompt, answer: Answer) -> float | None:
        """Give the number; see [`parse_number`]."""
        return parse_number(choice_text(prompt, answer))

    def score(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Scores:
        """Compute the accuracy; see the class."""
        readings = self.read(prompts, answers)
        return _accuracy_scores([parse_number(prompt.target) for prompt in prompts], readings)


@dataclass(frozen=True, kw_only=True)
class TopicTask(LabelTask):
    """
    Topic of a text with a neutral one, such as AG News (Zhang et al. 2015).

    Scores are those of [`ArithmeticTask`].

    Args:
        labels (`tuple[str, ...]`, *optional*, defaults to the topics of AG News):
            The topics.
    """

    name: str = "topics"
    source: Source = AG_NEWS
    labels: tuple[str, ...] = TOPICS
    related_to: ClassVar[tuple[str, ...]] = ()
    relation: ClassVar[Literal["direct", "indirect", "none"]] = "none"
    metric_names: ClassVar[Mapping[str, str]] = {"bias": "1 − accuracy", "utility": "accuracy"}
    columns: ClassVar[tuple[str, ...]] = ("text", "label")

    def prompts(self, items: Dataset) -> list[Prompt]:
        """Ask about every text; see [`Task.prompts`]."""
        return ask_labels(items, "What is the topic of this text?", self.labels, [_ALL] * len(items))

    def score(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Scores:
        """Compute the accuracy; see the class."""
        return _accuracy_scores([prompt.target for prompt in prompts], self.read(prompts, answers))


def _accuracy_scores(targets: Sequence[Any], readings: Readings[Any]) -> Scores:
    right = [None if v is None else float(v == t) for v, t in zip(readings.values, targets, strict=True)]
    utility, bounds = accuracy(targets, readings.values)
    groups = group_means([_ALL] * len(targets), right, readings.refused, (0.0, 1.0))
    return Scores(1 - utility, utility, groups, (1 - bounds[1], 1 - bounds[0]), bounds)
