"""All tasks by name, and one call that asks a model and scores it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mitigate.spelling import did_you_mean
from mitigate.tasks.abuse import SOURCES, abuse_task
from mitigate.tasks.answers import Decoding, choose, generate
from mitigate.tasks.base import Answer, Prompt, Scores, Task
from mitigate.tasks.controls import ArithmeticTask, TopicTask
from mitigate.tasks.hiring import HiringTask
from mitigate.tasks.letters import LettersTask
from mitigate.tasks.occupation import OccupationTask
from mitigate.tasks.opinions import OpinionsTask
from mitigate.tasks.salary import SalaryTask
from mitigate.tasks.samples import sample_prompts
from mitigate.tasks.stories import StoriesTask

TASKS: Mapping[str, Callable[..., Task[Any]]] = {
    "hiring": HiringTask,
    "salary": SalaryTask,
    "occupation": OccupationTask,
    "opinions": OpinionsTask,
    **{f"abuse-{culture.lower()}": partial(abuse_task, culture) for culture in SOURCES},
    "letters": LettersTask,
    "stories": StoriesTask,
    "arithmetic": ArithmeticTask,
    "topics": TopicTask,
}


def load_task(name: str, **options: Any) -> Task[Any]:
    """
    Make a task.

    Args:
        name (`str`):
            One of `TASKS`.
        options (`Any`):
            Its settings, such as `source`.

    Returns:
        `Task`: The task.

    Raises:
        ValueError: If there is no such task.

    Example:
    ```python
    >>> from mitigate.tasks import load_task

    >>> task = load_task("hiring", panels_per_job=2)
    >>> task.related_to, task.relation, len(task.prompts(task.load()))
    (('gender', 'culture'), 'direct', 96)
    ```
    """
    if name not in TASKS:
        hint = did_you_mean(name, TASKS)
        raise ValueError(f"`name`: there is no task '{name}' (available: {', '.join(TASKS)}).{hint}")
    return TASKS[name](**options)


def evaluate(
    task: Task[Any],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Dataset,
    *,
    max_items: int | None = None,
    by_likelihood: bool | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    batch_size: int = 16,
    cache: Path | None = None,
) -> Scores:
    """
    Ask a model about items, and score its answers.

    Args:
        task (`Task`):
            The task.
        model (`PreTrainedModel`):
            A causal language model.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer, with a padding token.
        items (`Dataset`):
            Rows as from `task.load`.
        max_items (`int`, *optional*):
            Ask about a sample of this size, see [`sample_prompts`]. By default about all.
        by_likelihood (`bool`, *optional*, defaults to `True` where the answers are a closed set):
            Whether to take the most probable choice instead of letting the model write. No answer is missing then.
        temperature (`float`, *optional*, defaults to 0):
            Temperature of what is written; see [`Decoding`].
        seed (`int`, *optional*, defaults to 0):
            Seed of the sample and of what is written.
        batch_size (`int`, *optional*, defaults to 16):
            Prompts in a batch.
        cache (`Path`, *optional*):
            File that keeps what was written; see [`generate`].

    Returns:
        `Scores`: The metrics.

    Raises:
        ValueError: If likelihood is asked for and the answers are no closed set, or the sample is too small.
    """
    prompts = task.prompts(items)
    if max_items is not None:
        prompts = sample_prompts(task, prompts, max_items, seed=seed)
    return evaluate_prompts(
        task,
        model,
        tokenizer,
        prompts,
        by_likelihood=by_likelihood,
        temperature=temperature,
        seed=seed,
        batch_size=batch_size,
        cache=cache,
    )


def evaluate_prompts(
    task: Task[Any],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    *,
    by_likelihood: bool | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    batch_size: int = 16,
    cache: Path | None = None,
) -> Scores:
    """
    Ask a model prompts that are written already, and score its answers.

    Args:
        task (`Task`):
            The task.
        model (`PreTrainedModel`):
            A causal language model.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer, with a padding token.
        prompts (`Sequence[Prompt]`):
            Prompts of the task.
        by_likelihood (`bool`, *optional*):
            As in [`evaluate`].
        temperature (`float`, *optional*, defaults to 0):
            Temperature of what is written.
        seed (`int`, *optional*, defaults to 0):
            Seed of what is written.
        batch_size (`int`, *optional*, defaults to 16):
            Prompts in a batch.
        cache (`Path`, *optional*):
            File that keeps what was written.

    Returns:
        `Scores`: The metrics.

    Raises:
        ValueError: If likelihood is asked for and the answers are no closed set.
    """
    chosen = task.closed if by_likelihood is None else by_likelihood
    if chosen and not task.closed:
        raise ValueError(f"`by_likelihood`: the answers of task '{task.name}' are no closed set. Let the model write.")
    answers: Sequence[Answer]
    if chosen:
        answers = choose(model, tokenizer, prompts, batch_size=batch_size)
    else:
        decoding = Decoding(task.max_new_tokens, temperature, seed=seed)
        answers = generate(model, tokenizer, prompts, decoding, batch_size=batch_size, cache=cache)
    return task.score(prompts, answers)
