"""What downstream tasks ask in a sweep: which file their items come from, and which of them are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mitigate.recipes.arguments import JOBS
from mitigate.recipes.config import ConfigError
from mitigate.tasks import Question, Source, load_task


def load_question(name: str, files: Mapping[str, Path], max_items: int | None) -> Question:
    """
    Load a task and what it asks.

    Args:
        name (`str`):
            Name of the task.
        files (`Mapping[str, Path]`):
            By task its file of items, in the task's columns, and by `"jobs"` that of the jobs that hiring, salary and
            letters are about. What has no file has the task's own source.
        max_items (`int`, *optional*):
            Items at most; see [`~mitigate.tasks.sample_prompts`]. The sample is the same for all models.

    Returns:
        `Question`: Task and prompts.

    Raises:
        ConfigError: If the items cannot be read, or they or `max_items` do not suffice for the task.
    """
    task = load_task(name)
    if JOBS in files and hasattr(task, "jobs"):
        task = replace(cast(Any, task), jobs=Source(str(files[JOBS])))
    try:
        return Question.draw(task, max_items, source=Source(str(files[name])) if name in files else None)
    except ValueError as error:
        hint = ""
        if name in files:
            hint = f" A sweep takes the columns, labels and groups of docs/tasks.md alone: write {files[name]} so."
        raise ConfigError(f"`tasks`: '{name}' cannot be loaded: {error}{hint}") from error
