"""One cell of a sweep: mix the rows, train with or without mitigation, measure, write the result."""

from __future__ import annotations

import logging
import random
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import datasets
import numpy as np
import torch
import transformers
import wandb
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from mitigate.arms import ARMS, Arm, arm_counts, equal_steps
from mitigate.callbacks import MitigationCallback
from mitigate.cells import CONTROL, Cell
from mitigate.lexicons import load_lexicon
from mitigate.mask_config import MaskConfig
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.recipes.baselines import ROW_BASELINES, count_rows, mix_rows
from mitigate.recipes.config import ConfigError, SweepConfig
from mitigate.recipes.grid import cell_id, digest, versions
from mitigate.recipes.measuring import Asking
from mitigate.recipes.models import load_model, train_base
from mitigate.recipes.suite import TaskSuite
from mitigate.recipes.tasks import TableTask, Task, WorldTask
from mitigate.recipes.training import FitSettings, as_turns, fit_classifier, fit_language_model
from mitigate.tag_steps import TokenPosition

SHUFFLED_COLUMN = "shuffled"


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
    if any(name.startswith("mask") for name in config.grid.mitigations):
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
        train_base(folder, task.corpus(seed=seed), words, config.model, seed)
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
    name = digest({"settings": config.base_settings, "seed": seed, "versions": versions()})
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
    with _tracked(config, cell):
        set_seed(cell.seed)
        labels = sorted(config.data.stereotype_of()) if config.model.architecture == "classification" else None
        model, tokenizer = load_model(source, config.model, labels)
        callbacks = _callbacks(config, task, cell)
        model, steps = _fit(config, cell, model, tokenizer, rows, callbacks)
        real_tags = [callback.real_tag for callback in callbacks if callback.real_tag]
        trained = time.perf_counter()
        measured = task.measure(model, tokenizer, _asking(config, cell, "".join(real_tags)))
        if wandb.run is not None:
            wandb.run.summary.update(_flat(measured))
    ended = time.perf_counter()
    return {
        "cell_id": cell_id(config, cell),
        "cell": cell._asdict(),
        **measured,
        "rows": count_rows(rows),
        "steps": steps,
        "settings": config.settings,
        "versions": versions(),
        "runtime_s": round(ended - started, 3),
        "times": {"train_s": round(trained - started, 3), "evaluate_s": round(ended - trained, 3)},
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
    rows = mix_rows(real, augmented, task, cell)
    flags = list(rows[AUGMENTED_COLUMN])
    random.Random(cell.seed).shuffle(flags)
    return rows.add_column(SHUFFLED_COLUMN, flags)


def _callbacks(config: SweepConfig, task: Task, cell: Cell) -> list[MitigationCallback]:
    settings = config.mitigation
    kind = cell.mitigation.removesuffix(CONTROL)
    column = SHUFFLED_COLUMN if cell.mitigation.endswith(CONTROL) else AUGMENTED_COLUMN
    if kind in ("none", *ARMS, *ROW_BASELINES):
        return []
    if kind == "down-weight":
        return [MitigationCallback(augmented_weight=settings.augmented_weight, column=column)]
    if kind in ("mask", "mask-random"):
        words = task.sensitive_words or settings.lexicon
        return [MitigationCallback(mask=MaskConfig(words, random_words=kind == "mask-random"), column=column)]
    if kind == "loss":
        return [MitigationCallback(loss=settings.discrepancy, loss_weight=settings.loss_weight, column=column)]
    return [
        MitigationCallback(
            token="paired" if kind == "token-paired" else True,
            tag_position=cast(TokenPosition, settings.tag_position),
            tag_dropout=settings.tag_dropout,
            column=column,
        )
    ]


def _fit(
    config: SweepConfig,
    cell: Cell,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    callbacks: list[MitigationCallback],
) -> tuple[PreTrainedModel, int]:
    classify = config.model.architecture == "classification"
    columns = ["prompt", "label" if classify else "completion", *(callback.column for callback in callbacks)]
    rows_per_step = config.fit.batch_size * max(1, torch.cuda.device_count())
    settings = FitSettings(
        output_dir=Path(config.run.output_dir) / "trainer",
        seed=cell.seed,
        epochs=config.fit.epochs,
        learning_rate=config.fit.learning_rate,
        batch_size=config.fit.batch_size,
        max_length=config.fit.max_length,
        lora_rank=config.model.lora_rank if config.model.lora else None,
        report_to=config.run.report_to,
        max_steps=equal_steps(config.fit.training_rows, rows_per_step=rows_per_step, epochs=config.fit.epochs),
    )
    rows = rows.select_columns(columns)
    if config.grid.task == "tasks" and tokenizer.chat_template is not None:
        rows = rows.map(as_turns)  # as the tasks ask
    fit = fit_classifier if classify else fit_language_model
    return fit(model, tokenizer, rows, settings, callbacks=callbacks)


def _asking(config: SweepConfig, cell: Cell, tag: str) -> Asking:
    return Asking(
        seed=cell.seed,
        tag=tag,
        tag_position=cast(TokenPosition, config.mitigation.tag_position),
        classify=config.model.architecture == "classification",
        max_length=config.fit.max_length,
    )


def _flat(measured: dict[str, Any]) -> dict[str, float]:
    """Write what was measured under flat names, as trackers take them."""
    if "metrics" in measured:
        return dict(measured["metrics"])
    named = ((f"{task}/{name}", value) for task, found in measured["tasks"].items() for name, value in found.items())
    return {name: value for name, value in named if value is not None}


def _tracked(config: SweepConfig, cell: Cell) -> Any:
    if config.run.report_to == "none":
        return nullcontext()
    return wandb.init(
        project=config.run.project,
        dir=config.run.output_dir,
        # A cell that was killed and is run again continues under one id once it is synchronised.
        id=cell_id(config, cell),
        name=str(cell),
        group=f"{config.grid.task} ρ={cell.bias_ratio:g} β={cell.dose:g} {cell.mitigation}",
        job_type="train",
        tags=[config.grid.task, cell.mitigation],
        config={**cell._asdict(), **config.settings},
        settings=wandb.Settings(silent=True, console="off"),
        reinit="finish_previous",
    )


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
