"""The items of downstream tasks: which file they come from, and which of them are asked about."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

from datasets import Dataset

from mitigate.recipes.config import ConfigError
from mitigate.tasks import Source, Task, load_task
from mitigate.tasks.panels import load_jobs

# Tasks whose items are names that they put into panels, and the setting that says how many for each job.
_PANELS = {"hiring": "panels_per_job", "letters": "letters_per_job"}
_STRATA = ("group", "label")


def load_items(name: str, path: str | None, max_items: int | None) -> tuple[Task[Any], Dataset]:
    """
    Load a task and the items to ask a model about.

    Args:
        name (`str`):
            Name of the task.
        path (`str`, *optional*):
            File of items, in the task's columns; by default the task's own source is loaded.
        max_items (`int`, *optional*):
            Items at most, drawn evenly over the groups and labels of the task; by default all. Of a task that asks
            about panels of names, panels at most, but one for each job at least.

    Returns:
        `tuple[Task, Dataset]`: Both.

    Raises:
        ConfigError: If the items cannot be read, do not suffice for the task, or `max_items` leaves none of a group.
    """
    try:
        task = load_task(name)
        items = task.load(None if path is None else Source(path))
        if max_items is not None and name in _PANELS:
            task = _fewer_panels(task, _PANELS[name], max_items)
        elif max_items is not None:
            items = sample_items(_of_groups(task, items), max_items)
        task.prompts(items)  # items that the task cannot ask about show here, before any training
    except ValueError as error:
        raise ConfigError(f"`tasks`: '{name}' cannot be loaded: {error}") from error
    return task, items


def sample_items(items: Dataset, count: int) -> Dataset:
    """
    Draw items, with a fixed seed, so that all combinations of group and label come equally often if there are enough.

    Args:
        items (`Dataset`):
            The items, with `group`, `label`, both or neither.
        count (`int`):
            How many to draw; fewer are always among more.

    Returns:
        `Dataset`: `count` items in their order; all of them if there are not more.

    Raises:
        ValueError: If there are more combinations than items to draw.
    """
    columns = [items[name] for name in _STRATA if name in items.column_names]
    strata: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place in range(len(items)):
        strata[tuple(column[place] for column in columns)].append(place)
    if len(strata) > count:
        raise ValueError(
            f"`max_items`: {count} items cannot hold one of each group and label, of which there are {len(strata)} "
            f"combinations. Raise it to at least {len(strata)}."
        )
    for name, places in strata.items():
        random.Random(f"items-{name}").shuffle(places)
    in_turn = [place for place in chain.from_iterable(zip_longest(*strata.values())) if place is not None]
    return items.select(sorted(in_turn[:count]))


def _fewer_panels(task: Any, option: str, count: int) -> Task[Any]:
    fewer: Task[Any] = replace(
        task, **{option: min(getattr(task, option), max(1, count // len(load_jobs(task.jobs))))}
    )
    return fewer


def _of_groups(task: Task[Any], items: Dataset) -> Dataset:
    """Leave out the items of groups that the task does not ask about."""
    groups = getattr(task, "groups", None) or getattr(task, "pair", None)
    if groups is None:
        return items
    return items.select([place for place, group in enumerate(items["group"]) if group in groups])
