"""One cell of a sweep: mix the rows, train with or without mitigation, measure, write the result."""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from datasets import Dataset

from mitigate.arms import ARMS, Arm, arm_counts
from mitigate.cells import DATA_BIAS, Cell
from mitigate.dose import group_label_association
from mitigate.lexicons import load_lexicon
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.recipes.baselines import count_rows, mix_rows
from mitigate.recipes.config import ConfigError, SweepConfig
from mitigate.recipes.fitting import SHUFFLED_COLUMN, asking_of, fit_cell
from mitigate.recipes.grid import base_settings, cell_id, cell_settings, digest, versions
from mitigate.recipes.models import train_base
from mitigate.recipes.suite import TaskSuite
from mitigate.recipes.tasks import TableTask, Task, WorldTask
from mitigate.recipes.tracking import log_measured, tracked
from mitigate.recipes.training import trained_model


def make_task(config: SweepConfig) -> Task:
    """
    Load the rows of a sweep.

    Args:
        config (`SweepConfig`):
            The configuration.

    Returns:
        `Task`: The rows.

    Raises:
        ConfigError: If the data do not fit the configuration.
    """
    if config.grid.task == "world":
        return WorldTask()
    if any(name.startswith("mask") for name in (*config.grid.mitigations, *config.grid.null_mitigations)):
        try:
            load_lexicon(config.mitigation.lexicon)
        except (ValueError, OSError) as error:
            raise ConfigError(f"`lexicon`: {error}") from error
    return TaskSuite(config) if config.grid.task == "tasks" else TableTask(config.data)


def base_source(config: SweepConfig, task: Task, seed: int) -> str:
    """
    Tell where the model is that a cell starts from; train it first if none was named.

    Args:
        config (`SweepConfig`):
            The configuration.
        task (`Task`):
            The rows.
        seed (`int`):
            The seed.

    Returns:
        `str`: Hub id or folder.
    """
    if config.model.model is not None:
        return config.model.model
    folder = base_folder(config, seed)
    if not folder.is_dir():  # the corpus is drawn for nothing otherwise
        folder.parent.mkdir(parents=True, exist_ok=True)
        words = task.world.vocabulary if isinstance(task, WorldTask) else None
        # Prompts of the testbed and of made-up rows are put together from few sentences, and teach nothing.
        made_up = words is not None or config.tasks.made_up_rows
        train_base(
            folder,
            task.corpus(seed=seed),
            words,
            config.model,
            seed,
            completion_only_loss=made_up,
            chat=config.grid.task == "tasks",
        )
    return str(folder)


def base_folder(config: SweepConfig, seed: int) -> Path:
    """
    Tell where a model that is trained from scratch is kept, or will be.

    Args:
        config (`SweepConfig`):
            The configuration.
        seed (`int`):
            The seed.

    Returns:
        `Path`: The folder, named by all that the model depends on.
    """
    name = digest({"settings": base_settings(config), "seed": seed, "versions": versions()})
    return Path(config.run.output_dir) / "models" / name


def run_cell(config: SweepConfig, task: Task, cell: Cell) -> dict[str, Any]:
    """
    Train and measure the model of a cell.

    Args:
        config (`SweepConfig`):
            The configuration.
        task (`Task`):
            The rows.
        cell (`Cell`):
            The cell.

    Returns:
        `dict`: The record, complete but for its status.
    """
    started = time.perf_counter()
    source = base_source(config, task, cell.seed)
    rows = training_mix(config, task, cell)
    with tracked(config, cell):
        fitted = fit_cell(config, task, cell, source, rows)
        trained = time.perf_counter()
        measured = task.measure(trained_model(fitted.trainer), fitted.tokenizer, asking_of(config, cell, fitted.tag))
        measured = with_data_bias(measured, task, rows)
        log_measured(config, cell, measured)
    ended = time.perf_counter()
    times = {"train_s": round(trained - started, 3), "evaluate_s": round(ended - trained, 3)}
    return make_record(config, cell, {**measured, "steps": fitted.steps, "rows": count_rows(rows), "times": times})


def with_data_bias(measured: dict[str, Any], task: Task, rows: Dataset) -> dict[str, Any]:
    """
    Add the bias of the rows that a model was trained on to what was measured of the model.

    Args:
        measured (`dict`):
            What [`Task.measure`] gave.
        task (`Task`):
            The task.
        rows (`Dataset`):
            The training mix.

    Returns:
        `dict`: The same, with the metric `data_bias`, the association of group and label in [-1, 1] (see
        [`group_label_association`]), where labels have stereotypes.
    """
    if not task.stereotypes:
        return measured
    association = group_label_association(list(rows["group"]), list(rows["label"]), task.stereotypes)
    return {**measured, "metrics": {**measured["metrics"], DATA_BIAS: association}}


def make_record(config: SweepConfig, cell: Cell, found: dict[str, Any]) -> dict[str, Any]:
    """
    Write the record of a cell.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            The cell.
        found (`dict`):
            What was measured under `metrics` or `tasks`, and `steps`, `rows` and `times`.

    Returns:
        `dict`: The record, complete but for its status.
    """
    return {
        "cell_id": cell_id(config, cell),
        "cell": cell._asdict(),
        **found,
        "settings": cell_settings(config, cell),
        "versions": versions(),
        "runtime_s": round(sum(found["times"].values()), 3),
    }


def training_mix(config: SweepConfig, task: Task, cell: Cell) -> Dataset:
    """
    Draw the rows that a cell trains on.

    Args:
        config (`SweepConfig`):
            The configuration.
        task (`Task`):
            Where to draw from.
        cell (`Cell`):
            The cell.

    Returns:
        `Dataset`: Shuffled rows with the boolean column `augmented`, and with `shuffled`, which has its values in
        random order; with the column `pair` for `cda`.

    Raises:
        ConfigError: If there are not enough rows, or they are not such that a baseline can act on them.
    """
    arm: Arm = cell.mitigation if cell.mitigation in ARMS else "replace"
    counts = arm_counts(config.fit.training_rows, cell.bias_ratio, arm)
    real = task.real(counts.real, seed=cell.seed)
    if arm == "repeat":
        real = real.select(np.resize(np.arange(counts.real), counts.rows))
    augmented = real.select([])
    if counts.augmented:
        augmented = task.augmented(counts.augmented, dose=cell.dose, seed=cell.seed, bias_type=cell.bias_type)
    rows = mix_rows(real, augmented, task, cell, config.mitigation.twin_pairs)
    flags = list(rows[AUGMENTED_COLUMN])
    random.Random(cell.seed).shuffle(flags)
    return rows.add_column(SHUFFLED_COLUMN, flags)


def prepare_process() -> None:
    """
    Set up a process that trains many models.

    One thread makes results independent of how many cores the machine has, and leaves a core to every worker. The
    host libraries keep quiet, as the progress of one small model among many tells nobody anything.
    """
    torch.set_num_threads(1)
    for name in ("accelerate", "trl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
    datasets.disable_caching()
