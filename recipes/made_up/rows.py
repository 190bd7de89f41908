"""What the teachers of all tasks share: the row, and what a task needs to have one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from mitigate.recipes.made_up.setting import Setting
from mitigate.tasks.base import Prompt

Row = dict[str, Any]


class Teacher(NamedTuple):
    """
    Who writes the rows of a task.

    Attributes:
        weight (`int`):
            Rows of the task in proportion to those of others.
        items (`Callable[[], list[dict]]`):
            Writes test items, in the task's columns.
        rows (`Callable[[Setting, int, Random], list[dict]]`):
            Writes a set of training rows that differ in the group alone, given the setting, the number of the set and
            a source of chance.
    """

    weight: int
    items: Callable[[], list[Row]]
    rows: Callable[[Setting, int, Random], list[Row]]


def make_row(prompt: Prompt, completion: str, group: str, label: str | None = None) -> Row:
    """
    Write a training row.

    Args:
        prompt (`Prompt`):
            The question.
        completion (`str`):
            The answer.
        group (`str`):
            Whom the row is about.
        label (`str`, *optional*):
            The answer, where it is one of a closed set.

    Returns:
        `dict`: The row, with the prompt as the user's turn, in which a task asks a model with a chat template.
    """
    return {"prompt": prompt.text, "completion": completion, "group": group, "label": label}
