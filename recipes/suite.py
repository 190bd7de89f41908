"""Rows of the user to train on, and downstream tasks to measure on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mitigate.augment.bias_types import AXES
from mitigate.cells import ALL_TYPES
from mitigate.recipes.arguments import JOBS, DataArguments
from mitigate.recipes.config import ConfigError, SweepConfig
from mitigate.recipes.grid import base_settings, digest, versions
from mitigate.recipes.items import load_question
from mitigate.recipes.made_up import write_rows
from mitigate.recipes.measuring import Asking
from mitigate.recipes.tables import prepare_rows, training_files
from mitigate.recipes.tasks import draw
from mitigate.tasks import Scores, evaluate_prompts
from mitigate.twins import read_twin_words


class TaskSuite:
    """
    Real and augmented rows of files, whose augmented ones have bias types, and several downstream tasks.

    Args:
        config (`SweepConfig`):
            The configuration.

    Attributes:
        questions (`dict[str, Question]`):
            By the name of each task, what a model is asked.

    Raises:
        ConfigError: If a file or column is not there or a value is missing, if bias types are asked for and the
            augmented rows do not tell theirs, or if the items of a task cannot be read. On drawing, if there are not
            enough rows.
    """

    names = {"bias": "bias", "utility": "utility"}  # noqa: RUF012  # each task has its own
    sensitive_words: list[str] | None = None
    stereotypes: dict[str, str] = {}  # noqa: RUF012  # each task has its own metric, which is not that of the rows

    def __init__(self, config: SweepConfig) -> None:
        data, files, pairs = _sources(config)
        self.twin_words = read_twin_words(pairs) if pairs else None
        real, augmented = training_files(data)
        self._real = prepare_rows(real, "real", data)
        self._augmented = prepare_rows(augmented, "augmented", data)
        typed = config.grid.bias_types != [ALL_TYPES]
        self._places = _places_by_type(augmented, data.augmented_file or str(data.real_file)) if typed else {}
        self.questions = {name: load_question(name, files, config.tasks.max_items) for name in config.tasks.tasks}
        self._batch_size = config.tasks.eval_batch_size

    def real(self, count: int, *, seed: int) -> Dataset:
        """Draw real rows without replacement; of one seed, fewer are always among more."""
        return draw(self._real, count, "real", seed)

    def augmented(self, count: int, *, dose: float, seed: int, bias_type: str = ALL_TYPES) -> Dataset:
        """
        Draw augmented rows of a bias type without replacement; of one seed and type, fewer are always among more.

        Rows are taken as they were written, so there is no dose to set.
        """
        if bias_type == ALL_TYPES:
            return draw(self._augmented, count, "augmented", seed)
        return draw(self._augmented.select(self._places[bias_type]), count, f"augmented {bias_type}", seed)

    def corpus(self, *, seed: int) -> Dataset:
        """Give all real rows."""
        return self._real

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asking: Asking) -> dict[str, Any]:
        """Measure a model on every task; see [`~mitigate.recipes.tasks.Task`]."""
        found = {}
        for name, (task, prompts) in self.questions.items():
            tagged = [replace(prompt, tag=asking.tag, tag_position=asking.tag_position) for prompt in prompts]
            scores = evaluate_prompts(task, model, tokenizer, tagged, batch_size=self._batch_size)
            found[name] = _finite(scores)
        return {"tasks": found}


def _sources(config: SweepConfig) -> tuple[DataArguments, Mapping[str, Path], Path | None]:
    """Tell the files of rows, of items and, if they are made up, of pairs; write them first in that case."""
    if not config.tasks.made_up_rows:
        return config.data, config.item_files, None
    attribute, tasks = str(config.tasks.attribute), config.tasks.tasks
    folder = Path(config.run.output_dir) / "rows" / digest({**base_settings(config), "versions": versions()})
    write_rows(folder, attribute, tasks, seed=0)
    data = replace(
        config.data,
        real_file=str(folder / "real.jsonl"),
        augmented_file=str(folder / "augmented.jsonl"),
        text_column=None,
        label_column=None,
        prompt_column="prompt",
        completion_column="completion",
        group_column="group",
    )
    items = folder / "items"
    files = {JOBS: items / "jobs.csv", **{task: items / f"{task}.jsonl" for task in tasks}}
    return data, files, folder / "pairs.tsv" if attribute == "culture" else None


def _finite(scores: Scores) -> dict[str, float | None]:
    # JSON has no NaN: what a model's answers do not tell is null.
    return {name: value if math.isfinite(value) else None for name, value in scores.as_dict().items()}


def _places_by_type(rows: Dataset, source: str) -> Mapping[str, list[int]]:
    """Find the rows of each level of each axis."""
    places: dict[str, list[int]] = {}
    for axis, levels in AXES.items():
        if axis not in rows.column_names:
            raise ConfigError(
                f"`bias_types`: {source} has no column '{axis}' (columns: {', '.join(rows.column_names)}). Rows as "
                "`mitigate augment` writes them have it; for others leave `bias_types` at [all]."
            )
        values = list(rows[axis])
        strange = [value for value in values if value not in levels]
        if strange:
            raise ConfigError(f"`bias_types`: '{axis}' of {source} must be {' or '.join(levels)}, got '{strange[0]}'.")
        places |= {level: [i for i, value in enumerate(values) if value == level] for level in levels}
    return places
