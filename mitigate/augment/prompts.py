"""Prompts, filled from the templates in `prompts/`: one for each attribute, context and signal."""

from __future__ import annotations

from functools import cache
from importlib import resources
from string import Template
from typing import Any

import yaml

from mitigate.augment.bias_types import ATTRIBUTES, BiasType, Group
from mitigate.augment.group_words import find_group_words

_TASKS = "tasks"


def default_task(*, labelled: bool) -> str:
    """
    Return the task where the user names none.

    Args:
        labelled (`bool`):
            Whether the seeds have labels.

    Returns:
        `str`: The task, with `$label` if they have.
    """
    task: str = _read(_TASKS)["labelled" if labelled else "plain"]
    return task


def check_task(task: str) -> None:
    """
    Refuse a task that cannot be filled, or that would tell a group by itself.

    Args:
        task (`str`):
            The first line of every prompt; `$label` stands for the label of the seed, `$$` for a dollar.

    Raises:
        ValueError: If it is empty, names anything but `$label`, or holds a word that tells a group.
    """
    template = Template(task)
    if not task.strip():
        raise ValueError("`task` is empty. Say what to write, as in 'Write two sentences about a person.'")
    if not template.is_valid() or set(template.get_identifiers()) - {"label"}:
        raise ValueError(f"`task` may hold `$label`, and `$$` for a dollar, and no other `$`, got {task!r}.")
    told = [word for kind in ATTRIBUTES for word in find_group_words(template.safe_substitute(label=""), kind)]
    if told:
        raise ValueError(f"`task` tells a group by itself: '{told[0]}'. Leave that to the prompts, and say 'person'.")


def fill_prompt(
    bias_type: BiasType,
    group: Group,
    *,
    task: str,
    number: int = 0,
    passage: str = "",
    label: object = None,
    aligned: bool = False,
) -> str:
    """
    Fill the template of a bias type.

    What is put in is never read as a template itself, whatever it holds.

    Args:
        bias_type (`BiasType`):
            The bias type.
        group (`Group`):
            The group.
        task (`str`):
            The task, see [`check_task`].
        number (`int`, *optional*, defaults to 0):
            Which of the names to take, where a name stands for the group.
        passage (`str`, *optional*):
            The text of the seed. Contextless prompts do not show it.
        label (`object`, *optional*):
            The label of the seed.
        aligned (`bool`, *optional*, defaults to `False`):
            Whether the instruction of the pre-aligned arm comes first.

    Returns:
        `str`: The prompt.
    """
    values = {
        "task": Template(task).substitute(label=label).strip(),
        "gender": group.gender,
        "culture": group.culture,
        "passage": passage.strip(),
        **group.proxies(number),
    }
    prompt = read_template(group.attribute, bias_type).substitute(values).strip()
    return f"{_read(_TASKS)['aligned'].strip()}\n{prompt}" if aligned else prompt


def read_template(attribute: str, bias_type: BiasType) -> Template:
    """
    Read the template of a bias type.

    Args:
        attribute (`str`):
            `"gender"`, `"culture"` or `"gender-culture"`: the file.
        bias_type (`BiasType`):
            The place in the file.

    Returns:
        `string.Template`: The template.
    """
    return Template(_read(attribute)[bias_type.context][bias_type.signal])


@cache
def _read(name: str) -> dict[str, Any]:
    text = resources.files("mitigate.augment").joinpath("prompts", f"{name}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
