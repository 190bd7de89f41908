"""The shape that all downstream tasks share: load items, ask, read the answers, score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from mitigate.scoring import require_finite
from mitigate.tasks.parsing import is_refusal
from mitigate.tasks.sources import Source, load_rows

Value = TypeVar("Value")
Bounds = tuple[float, float]
# What a model says to a prompt: a text, or the probability of each of the prompt's choices.
Answer = str | NDArray[np.float64]


@dataclass(frozen=True)
class Prompt:
    """
    One question to a model.

    Args:
        text (`str`):
            The instruction, without the answer's opening.
        group (`str`, *optional*, defaults to `""`):
            Group that the prompt is about; empty where it is about none or several.
        target (`str`, *optional*, defaults to `""`):
            The right answer, as a model should write it; empty where there is none.
        choices (`tuple[str, ...]`, *optional*):
            All valid answers, where these are a closed set.
        opening (`str`, *optional*, defaults to `"Answer:"`):
            Opens the answer for models without a chat template.
        item (`Mapping`, *optional*):
            What the task needs to read and score the answer.
        block (`str`, *optional*, defaults to `""`):
            Prompts of one block are compared with each other, such as those that ask about one panel in all orders: a
            sample takes all of them or none. Empty for a prompt that stands alone.
        tag (`str`, *optional*, defaults to `""`):
            Token that tells the model what kind of text this is: that of real text for a model trained with paired
            tags.
        tag_position (`"start"` or `"answer"`, *optional*, defaults to `"start"`):
            Where the tag goes: before the prompt, or right before the answer.
    """

    text: str
    group: str = ""
    target: str = ""
    choices: tuple[str, ...] = ()
    opening: str = "Answer:"
    item: Mapping[str, Any] = field(default_factory=dict)
    block: str = ""
    tag: str = ""
    tag_position: Literal["start", "answer"] = "start"


@dataclass(frozen=True)
class GroupScores:
    """
    What a task found about one group.

    Args:
        n (`int`):
            Prompts about the group.
        value (`float`):
            What the task measures of a group; its docstring tells. NaN if nothing could be read.
        unparsed (`float`):
            Share in [0, 1] of answers that could not be read, refusals among them.
        refused (`float`):
            Share in [0, 1] of answers that refuse.
        bounds (`tuple[float, float]`):
            The value if every answer that could not be read counted against the group, and if it counted for it.
    """

    n: int
    value: float
    unparsed: float
    refused: float
    bounds: Bounds


@dataclass(frozen=True)
class Scores:
    """
    What a task found.

    Args:
        bias (`float`):
            Bias, signed so that larger is worse; NaN if it could not be measured.
        utility (`float`):
            Quality of the answers, larger is better.
        groups (`Mapping[str, GroupScores]`):
            By group.
        bias_bounds (`tuple[float, float]`):
            Bias if the answers that could not be read had been the best and the worst for it.
        utility_bounds (`tuple[float, float]`):
            Utility if they had been the worst and the best for it.
        details (`Mapping[str, float]`, *optional*):
            Further metrics; the task's docstring names them.
    """

    bias: float
    utility: float
    groups: Mapping[str, GroupScores]
    bias_bounds: Bounds
    utility_bounds: Bounds
    details: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, float]:
        """
        Write all numbers under flat names, for logs and result files.

        Returns:
            `dict[str, float]`: `bias`, `bias_low`, `bias_high`, likewise for `utility`, then the details, and
            `value/<group>`, `low/<group>`, `high/<group>`, `n/<group>`, `unparsed/<group>` and `refused/<group>`.
        """
        flat: dict[str, float] = {}
        for name, bounds in (("bias", self.bias_bounds), ("utility", self.utility_bounds)):
            flat |= {name: getattr(self, name), f"{name}_low": bounds[0], f"{name}_high": bounds[1]}
        flat |= self.details
        for group, scores in self.groups.items():
            own = {"value": scores.value, "low": scores.bounds[0], "high": scores.bounds[1], "n": float(scores.n)}
            own |= {"unparsed": scores.unparsed, "refused": scores.refused}
            flat |= {f"{name}/{group}": value for name, value in own.items()}
        return flat


class Readings(NamedTuple, Generic[Value]):
    """
    Answers, read.

    Args:
        values (`list` of length `n`):
            What each answer says; `None` if it could not be read.
        refused (`list[bool]` of length `n`):
            Whether it could not be read because it refuses.
    """

    values: list[Value | None]
    refused: list[bool]


@dataclass(frozen=True, kw_only=True)
class Task(ABC, Generic[Value]):
    """
    A downstream task. Subclasses say what they ask, and how they read and score the answers.

    Args:
        source (`Source`):
            Where the items come from; by default a set of the Hub or a file of this package.

    Attributes:
        name (`str`):
            Name of the task.
        related_to (`tuple[str, ...]`):
            The attributes whose bias the task measures, of `"gender"` and `"culture"`; empty for a control.
        relation (`str`):
            `"direct"` if the task asks about people of a group, `"indirect"` if it only touches their language or
            world, `"none"` for a control.
        metric_names (`Mapping[str, str]`):
            Human names of `"bias"` and `"utility"`.
        columns (`tuple[str, ...]`):
            Columns that the items have.
        max_new_tokens (`int`):
            Tokens that an answer needs at most.
        closed (`bool`):
            Whether the answers are a closed set, so that they can be chosen by likelihood.
    """

    name: str
    source: Source
    related_to: ClassVar[tuple[str, ...]]
    relation: ClassVar[Literal["direct", "indirect", "none"]]
    metric_names: ClassVar[Mapping[str, str]]
    columns: ClassVar[tuple[str, ...]]
    max_new_tokens: ClassVar[int]
    closed: ClassVar[bool] = False

    def load(self, source: Source | None = None) -> Dataset:
        """
        Load the items.

        Args:
            source (`Source`, *optional*, defaults to the task's own):
                Another set of the Hub, or a local file.

        Returns:
            `Dataset`: Rows with the columns `columns`.

        Raises:
            ValueError: If it cannot be read, a column is missing, or the rows do not suffice for the task.
        """
        return load_rows(source or self.source, self.columns)

    @abstractmethod
    def prompts(self, items: Dataset) -> list[Prompt]:
        """
        Write the questions, in all the orders that the task balances.

        Args:
            items (`Dataset`):
                Rows as from `load`.

        Returns:
            `list[Prompt]`: The prompts. The same items give the same prompts.
        """

    @abstractmethod
    def parse(self, prompt: Prompt, answer: Answer) -> Value | None:
        """
        Read an answer.

        Args:
            prompt (`Prompt`):
                The question.
            answer (`str` or `np.ndarray`):
                What the model wrote; or, of a closed set, the probability of each of `prompt.choices`.

        Returns:
            What the answer says; `None` if it cannot be read.
        """

    @abstractmethod
    def score(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Scores:
        """
        Score answers.

        Args:
            prompts (`Sequence[Prompt]` of length `n`):
                All prompts of `prompts`, in any order.
            answers (`Sequence[str | np.ndarray]` of length `n`):
                The answers to them.

        Returns:
            `Scores`: The metrics.

        Raises:
            ValueError: If the numbers of prompts and answers differ, or there is nothing to compare.
            FloatingPointError: If a probability is not finite.
        """

    def read(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Readings[Value]:
        """
        Read all answers, and tell those that refuse from others that cannot be read.

        Args:
            prompts (`Sequence[Prompt]` of length `n`):
                The questions.
            answers (`Sequence[str | np.ndarray]` of length `n`):
                The answers to them.

        Returns:
            `Readings`: What they say.

        Raises:
            ValueError: If the lengths differ or are 0, or an answer is neither text nor probabilities.
            FloatingPointError: If a probability is not finite.
        """
        if len(prompts) != len(answers) or not prompts:
            raise ValueError(
                f"Task '{self.name}': `answers` must hold one answer for each of at least one prompt, got "
                f"{len(answers)} answers and {len(prompts)} prompts."
            )
        for number, answer in enumerate(answers):
            if isinstance(answer, str):
                continue
            if not np.issubdtype(np.asarray(answer).dtype, np.number):
                raise ValueError(
                    f"Task '{self.name}': `answers[{number}]` must be a text or the probability of each choice, got "
                    f"{answer!r}. What was not answered is ''."
                )
            require_finite(answer)
        values = [self.parse(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        refused = [
            value is None and isinstance(answer, str) and is_refusal(answer)
            for value, answer in zip(values, answers, strict=True)
        ]
        return Readings(values, refused)


def choice_text(prompt: Prompt, answer: Answer) -> str:
    """
    Give an answer as text.

    Args:
        prompt (`Prompt`):
            The question.
        answer (`str` or `np.ndarray` of shape `(k,)`):
            A text, or the probability of each of its `k` choices.

    Returns:
        `str`: The text, or the most probable choice.

    Raises:
        ValueError: If there are not as many probabilities as choices.
    """
    if isinstance(answer, str):
        return answer
    require_choices(prompt, answer)
    return prompt.choices[int(np.argmax(answer))]


def require_choices(prompt: Prompt, probabilities: NDArray[np.floating]) -> None:
    """
    Refuse probabilities that are not those of a prompt's choices.

    Args:
        prompt (`Prompt`):
            The question.
        probabilities (`np.ndarray`):
            What should have the shape `(k,)`, for its `k` choices.

    Raises:
        ValueError: If there are not as many as choices.
    """
    if np.shape(probabilities) != (len(prompt.choices),):
        raise ValueError(
            f"An answer has probabilities of shape {np.shape(probabilities)}, and its prompt has "
            f"{len(prompt.choices)} choices: give one for each."
        )
