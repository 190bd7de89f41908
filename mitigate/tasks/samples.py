"""Samples of a task's prompts that keep what the task balances."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from itertools import chain, islice, zip_longest
from typing import Any, NamedTuple

from mitigate.tasks.base import Prompt, Task
from mitigate.tasks.sources import Source

# Items of each group and label that a sample has at least: one says nothing of a group.
_LEAST = 2


class Question(NamedTuple):
    """
    A task and the prompts that are asked.

    Args:
        task (`Task`):
            The task.
        prompts (`list[Prompt]`):
            Its prompts, or those of a sample of its items.
    """

    task: Task[Any]
    prompts: list[Prompt]

    @classmethod
    def draw(cls, task: Task[Any], max_items: int | None, *, seed: int = 0, source: Source | None = None) -> Question:
        """
        Load the items of a task, and draw a sample.

        Args:
            task (`Task`):
                The task.
            max_items (`int`, *optional*):
                Items to draw, see [`sample_prompts`]; `None` for all.
            seed (`int`, *optional*, defaults to 0):
                Seed of the draw.
            source (`Source`, *optional*, defaults to the task's own):
                Where the items are.

        Returns:
            `Question`: Task and prompts.

        Raises:
            ValueError: If the items cannot be loaded, or the sample is too small for the task.
        """
        prompts = task.prompts(task.load(source))
        return cls(task, prompts if max_items is None else sample_prompts(task, prompts, max_items, seed=seed))


def sample_prompts(task: Task[Any], prompts: Sequence[Prompt], max_items: int, *, seed: int = 0) -> list[Prompt]:
    """
    Draw items of a task, equally many of each group and label.

    An item is what stands or falls together: a panel of candidates in all its orders (`hiring`), one name of each
    group and a job (`salary`), a pair of letters, a question to a country in all its orders (`opinions`), and one
    prompt elsewhere. Equal shares leave small groups visible, but scores that depend on how frequent labels are, such
    as macro-F1, are comparable between samples and not with the whole set.

    Args:
        task (`Task`):
            The task.
        prompts (`Sequence[Prompt]` of length `n`):
            All its prompts.
        max_items (`int`):
            Items to draw; all are taken if there are not more.
        seed (`int`, *optional*, defaults to 0):
            Seed of the draw. The same prompts and seed give the same sample.

    Returns:
        `list[Prompt]`: The prompts of the items drawn, in their order.

    Raises:
        ValueError: If there would be less than two items of some group and label.

    Example:
    ```python
    >>> from mitigate.tasks import load_task, sample_prompts

    >>> task = load_task("hiring")
    >>> prompts = task.prompts(task.load())
    >>> len(prompts), len(sample_prompts(task, prompts, 16))  # four orders of 144 panels, and of 16
    (576, 64)
    ```
    """
    items: dict[Hashable, list[Prompt]] = {}
    for number, prompt in enumerate(prompts):
        items.setdefault(prompt.block or number, []).append(prompt)
    if len(items) <= max_items:
        return list(prompts)
    strata: dict[Hashable, list[Hashable]] = {}
    for key, item in items.items():
        strata.setdefault(_stratum(item), []).append(key)
    if max_items < _LEAST * len(strata):
        raise ValueError(
            f"`max_items={max_items}` is too few for task '{task.name}', whose {len(items)} items are of "
            f"{len(strata)} groups or labels: a sample needs {_LEAST} of each. Set `max_items` to "
            f"{_LEAST * len(strata)} or more, or give the task a source with fewer."
        )
    for number, keys in enumerate(strata.values()):
        random.Random(f"{seed}-{task.name}-{number}").shuffle(keys)
    # One of each, then a second of each, until there are enough.
    in_turn = chain.from_iterable(zip_longest(*strata.values(), fillvalue=None))
    drawn = set(islice((key for key in in_turn if key is not None), max_items))
    return [prompt for key, item in items.items() if key in drawn for prompt in item]


def _stratum(item: Sequence[Prompt]) -> Hashable:
    # Right answers are labels only where there is a fixed set of them.
    return tuple(sorted({prompt.group for prompt in item})), item[0].target if item[0].choices else ""
