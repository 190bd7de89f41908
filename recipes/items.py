"""The prompts of downstream tasks: which file their items come from, and which of them are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mitigate.recipes.config import ConfigError
from mitigate.tasks import Prompt, Source, Task, load_task, sample_prompts


class Questions(NamedTuple):
    """
    What a model is asked.

    Args:
        task (`Task`):
            The task.
        prompts (`list[Prompt]`):
            Its prompts, or a sample of them.
    """

    task: Task[Any]
    prompts: list[Prompt]


def load_questions(name: str, path: Path | None, max_items: int | None) -> Questions:
    """
    Load a task and what it asks.

    Args:
        name (`str`):
            Name of the task.
        path (`Path`, *optional*):
            File of items, in the task's columns; by default the task's own source is loaded.
        max_items (`int`, *optional*):
            Items at most; see [`~mitigate.tasks.sample_prompts`]. The sample is the same for all models.

    Returns:
        `Questions`: Task and prompts.

    Raises:
        ConfigError: If the items cannot be read, or they or `max_items` do not suffice for the task.
    """
    try:
        task = load_task(name)
        prompts = task.prompts(task.load(None if path is None else Source(str(path))))
        if max_items is not None:
            prompts = sample_prompts(task, prompts, max_items)
    except ValueError as error:
        raise ConfigError(f"`tasks`: '{name}' cannot be loaded: {error}") from error
    return Questions(task, prompts)
