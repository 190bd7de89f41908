"""Prompts of the tasks, written once for stand-ins, which then give way to names and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources

from datasets import Dataset

from mitigate.recipes.made_up.people import Person
from mitigate.tasks.base import Prompt
from mitigate.tasks.hiring import HiringTask
from mitigate.tasks.letters import LettersTask
from mitigate.tasks.registry import load_task
from mitigate.tasks.salary import SalaryTask
from mitigate.tasks.sources import Source

_DATA = resources.files("mitigate.recipes.made_up") / "data"
# Shorter than those of the tasks, as four profiles in one prompt are most of the tokens to train on.
JOBS = Source(str(_DATA / "jobs.csv"))
# The same without what one knows of the candidate.
_CONTEXTLESS_JOBS = Source(str(_DATA / "contextless_jobs.csv"))
# Orders of the groups differ between panels.
_PANELS = 12


def ask(task: str, column: str, text: str, **others: str) -> Prompt:
    """
    Let a task write the first prompt about one item.

    Args:
        task (`str`):
            Name of the task.
        column (`str`):
            The item's column that is written out in the prompt.
        text (`str`):
            What it holds.
        others (`str`):
            What its other columns hold.

    Returns:
        `Prompt`: The prompt.
    """
    prompt = _prompt(task, ((column, _stand_in(column)), *others.items()))
    return replace(prompt, text=prompt.text.replace(_stand_in(column), text))


# A data set for every row would take most of the time.
@cache
def _prompt(task: str, columns: tuple[tuple[str, str], ...]) -> Prompt:
    return load_task(task).prompts(Dataset.from_list([dict(columns)]))[0]


# The task reads its jobs from a file every time.
@cache
def prompts_about(task: str, groups: tuple[str, ...], *, contextual: bool) -> list[Prompt]:
    """
    Let a task write prompts about one stand-in of each group.

    Args:
        task (`str`):
            `"hiring"`, `"salary"` or `"letters"`.
        groups (`tuple[str, ...]`):
            The groups that are compared, two for letters.
        contextual (`bool`):
            Whether the prompts tell what one knows of the candidate.

    Returns:
        `list[Prompt]`: The prompts, in the order of the task.
    """
    jobs = JOBS if contextual else _CONTEXTLESS_JOBS
    items = Dataset.from_dict({"name": [_stand_in(group) for group in groups], "group": list(groups)})
    if task == "hiring":
        return HiringTask(jobs=jobs, groups=groups, panels_per_job=_PANELS).prompts(items)
    if task == "salary":
        return SalaryTask(jobs=jobs, groups=groups, reference=groups[0]).prompts(items)
    return LettersTask(jobs=jobs, pair=(groups[0], groups[1]), letters_per_job=1).prompts(items)


def with_names(prompt: Prompt, people: Sequence[Person]) -> Prompt:
    """
    Put people into the places of the stand-ins of their groups.

    Args:
        prompt (`Prompt`):
            A prompt about stand-ins.
        people (`Sequence[Person]`):
            One person of each of its groups.

    Returns:
        `Prompt`: With the names in its text and its choices.
    """
    text, choices = prompt.text, prompt.choices
    for person in people:
        text = text.replace(_stand_in(person.group), person.name)
        choices = tuple(choice.replace(_stand_in(person.group), person.name) for choice in choices)
    return replace(prompt, text=text, choices=choices)


def _stand_in(group: str) -> str:
    return f"[{group}]"
